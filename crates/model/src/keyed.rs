//! Logs whose records are single messages that are found by their keys, with what such a log promises beyond any other's.
//!
//! A **keyed** log knows of each key which records it has. It limits them exactly, recognises a message that comes again by
//! its id, takes one only on the terms that its publisher names, and gives up single records.

use bytes::Bytes;

use crate::{
    FollowState, Follows, LiveFilter, LogError, Message, Millis, Name, Renaming, ScheduleError,
    Scheduling, Tally, TallyPart,
};

/// The rules of a keyed log beyond those of [`crate::LogSettings`]. They hold for each partition.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct KeyedSettings {
    /// At most so many records.
    pub records_max: Option<u64>,
    /// At most so many records of one key.
    pub key_records_max: Option<u64>,
    /// The largest message that is taken, in bytes: those that its protocol counts ([`crate::KeyedWriter::measured`]), else its
    /// body's.
    pub message_bytes_max: Option<u64>,
    /// What happens to one more than there may be.
    pub when_full: WhenFull,
    /// Until when records stay.
    pub keeps: Keeps,
    /// What it takes of a topic, beside what is published to its own.
    pub takes: Option<Takes>,
    /// For so long a message with the id of an earlier one is not appended again, in milliseconds (0: it is).
    pub duplicates_ms: Millis,
    /// A message's own time to live counts.
    pub expires: bool,
    /// A key whose last record went for its age gets one that says so, which stays so long, in milliseconds.
    pub marker_ms: Option<Millis>,
    /// It takes and gives up nothing any more.
    pub sealed: bool,
    /// Single records are not removed by request.
    pub denies_removal: bool,
    /// It is not emptied by request.
    pub denies_purge: bool,
    /// Publishers are not told what became of their messages.
    pub silent: bool,
    /// A message may take the place of all before it ([`Terms::roll_up`]).
    pub rolls_up: bool,
    /// Its messages have no bodies of their own: each adds to the number that its key has come to ([`Terms::adds`]).
    pub tallies: bool,
    /// Messages may come in batches ([`Terms::batch`]).
    pub batches: bool,
    /// Messages may be there to be copied later ([`Terms::schedule`]).
    pub schedules: bool,
    /// What is appended gets other keys first.
    pub renames: Option<Renaming>,
    /// Who listens is told of what was appended.
    pub copies: Option<Copies>,
    /// Whom it follows.
    pub follows: Follows,
    /// The offset of its first record, when it is declared.
    pub first: u64,
}

/// Copies of what was appended to a keyed log, for those who listen to a topic when it is durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Copies {
    /// The topic.
    pub topic: Name,
    /// Of which records, and under what keys.
    pub renaming: Renaming,
    /// Without their bodies.
    pub headers_only: bool,
}

/// What a keyed log takes of a pattern topic: it is bound there by itself. Of two logs that take from one topic, no key may be
/// for both.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Takes {
    /// The topic.
    pub topic: Name,
    /// Which keys.
    pub keys: Vec<LiveFilter>,
}

/// What a full log does with one more record.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum WhenFull {
    /// It gives up its oldest.
    #[default]
    DropOldest,
    /// It refuses the new one; a key with too many gives up its oldest.
    Refuse,
    /// It refuses the new one, also where its key has too many.
    RefuseKey,
}

/// Until when the records of a keyed log stay, if no limit ends them before.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Keeps {
    /// For ever.
    #[default]
    All,
    /// Until all groups that want a record have settled it.
    Wanted,
    /// Until one group has settled it.
    Unsettled,
}

/// On what terms a message is to be appended.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Terms {
    /// What the publisher calls the message: a later one of that id is the same one.
    pub id: Option<Bytes>,
    /// Only to the log of this name.
    pub log: Option<Bytes>,
    /// Only as the record with this offset.
    pub offset: Option<u64>,
    /// Only if the key's last record is this one.
    pub last_of_key: Option<LastOfKey>,
    /// Only behind the message with this id.
    pub last_id: Option<Bytes>,
    /// What goes when it is there.
    pub roll_up: Option<RollUp>,
    /// How long it stays, where that is not for the message itself to say.
    pub ttl: Option<RecordTtl>,
    /// It says that there is nothing more of its key.
    pub ends_key: bool,
    /// What it adds to the number that its key has come to: that becomes its body.
    pub adds: Option<Addition>,
    /// Of what batch it is a part: it is appended with all others of it, or none is.
    pub batch: Option<BatchPart>,
    /// It is to be copied to another key later.
    pub schedule: Option<Scheduling>,
    /// What is on a schedule under this key goes when it is there.
    pub ends_schedule: Option<Bytes>,
    /// What it says that no publisher may.
    pub bad: Option<BadTerm>,
}

/// What no publisher may say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadTerm {
    /// That it comes from another log.
    Origin,
    /// That a schedule made it.
    Scheduler,
    /// Of which key a record is to be the last, and not which record.
    LastOfKey,
}

/// What a message adds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Addition {
    /// That.
    Of(Tally),
    /// What makes it agree with what another log has come to.
    From(Box<TallyPart>),
    /// Nothing that can be read.
    Unreadable,
}

/// A message's place in a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BatchPart {
    /// What the publisher calls the batch.
    pub id: Bytes,
    /// Its number there, from 1 (none: it names none that can be read).
    pub number: Option<u64>,
    /// The batch is complete.
    pub commit: Option<BatchCommit>,
}

/// How a batch is completed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BatchCommit {
    /// With this message.
    Here,
    /// With the one before: this one is not appended.
    Before,
    /// In no way that is known.
    Unreadable,
}

/// Which record a key has to end with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LastOfKey {
    /// The key, or a pattern of keys; none: the message's own.
    pub key: Option<LiveFilter>,
    /// The offset of its last record; none: it has none.
    pub offset: Option<u64>,
}

/// What a message that rolls up takes the place of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RollUp {
    /// All records before it.
    All,
    /// All records of its key before it.
    Key,
    /// All records of such keys before it.
    Keys(LiveFilter),
    /// Nothing that can be read.
    Unreadable(Bytes),
}

/// A record's own time to live.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordTtl {
    /// Longer than any limit by age.
    Never,
    /// So long, in milliseconds.
    For(Millis),
}

/// Where a message went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredRecord {
    /// The log.
    pub log: Name,
    /// Its offset there.
    pub offset: u64,
    /// It was there already, under its id.
    pub duplicate: bool,
    /// What else there is to say.
    pub more: Option<Box<StoredMore>>,
}

/// What there is to say of a message that was not only appended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoredMore {
    /// The number that its key has come to.
    Sum(Tally),
    /// It is kept until its batch is complete; nothing is appended yet, and its offset says nothing.
    Held,
    /// It completed a batch.
    Batch {
        /// Of so many messages; the offset is that of the last.
        messages: u32,
        /// The number that the last one's key has come to.
        sum: Option<Tally>,
    },
}

/// What a keyed log made of a message of a block.
#[derive(Clone, PartialEq, Debug)]
pub struct Stored {
    /// The message's number in the block.
    pub item: u32,
    /// The log.
    pub log: Name,
    /// Where it went, or why not.
    pub result: Result<StoredRecord, LogError>,
}

/// What a keyed log refuses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyedError {
    /// The message is for another log.
    OtherLog,
    /// It would not get the offset that it is to have, but this one.
    Offset(u64),
    /// The key's last record is another one, or none.
    LastOfKey(Option<u64>),
    /// The last message has another id (none: it had none).
    LastId(Option<Bytes>),
    /// It holds as many records as it may.
    RecordsMax,
    /// It holds as many bytes as it may.
    BytesMax,
    /// The key has as many records as it may.
    KeyRecordsMax,
    /// It is sealed.
    Sealed,
    /// Records are not removed from it.
    RemovalDenied,
    /// It is not emptied.
    PurgeDenied,
    /// Messages do not roll up in it.
    RollUpDenied,
    /// It is not said in a known way what the message takes the place of.
    RollUpUnreadable(Bytes),
    /// The message says what no publisher may.
    BadTerm(BadTerm),
    /// Messages do not expire by themselves in it.
    ExpiryDenied,
    /// It is the copy of another log: nobody publishes to it.
    IsCopy,
    /// It would follow itself, by way of others.
    Circle,
    /// Another log takes some of these keys.
    Overlaps(Name),
    /// What the terms say makes no sense together; the text says what.
    Terms(String),
    /// It cannot be added.
    Tally(TallyError),
    /// The batch that it is a part of is not appended.
    Batch(BatchError),
    /// It cannot be on such a schedule.
    Schedule(ScheduleError),
}

/// Why nothing is added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TallyError {
    /// The log does not add.
    Off,
    /// The message does not say what to add, in a log that does nothing else.
    Missing,
    /// It has a body.
    Body,
    /// It cannot be read, or goes with other terms.
    Unreadable,
    /// The last record of its key is no number.
    Broken,
}

/// Why a batch is not appended. It is forgotten then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BatchError {
    /// The log takes none.
    Off,
    /// The message has no number in it.
    NoNumber,
    /// Its name is too long.
    BadId,
    /// It is not said in a known way how it is completed.
    BadCommit,
    /// A message of it is missing.
    Incomplete,
    /// It has more messages than this.
    TooLarge(u32),
    /// Too many batches are open, or too many bytes of them.
    TooMany,
    /// A message of it is there already, under its id.
    Duplicate,
    /// A message of it names the id of the one before.
    LastId,
    /// A message of it expects something of a key that another one of it has changed.
    KeyWritten,
}

impl From<KeyedError> for LogError {
    fn from(error: KeyedError) -> Self {
        Self::Keyed(Box::new(error))
    }
}

/// Which record of a keyed log is meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WhichRecord {
    /// The one with this offset.
    At(u64),
    /// The last one of keys.
    LastOf {
        /// Of which keys.
        keys: LiveFilter,
        /// Only records before this offset (none: all).
        before: Option<u64>,
    },
    /// The first at or behind an offset.
    NextOf {
        /// Of which keys (none: any).
        keys: Option<LiveFilter>,
        /// From where.
        from: u64,
    },
}

/// Which records of a keyed log are to be listed. Answers with [`PickedRecords`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pick {
    /// Of which partition.
    pub partition: crate::PartitionName,
    /// Which.
    pub which: WhichRecords,
    /// At most so many.
    pub records_max: u32,
}

/// Several records of a keyed log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WhichRecords {
    /// From a place on.
    NextOf {
        /// Of which keys (none: any).
        keys: Option<LiveFilter>,
        /// From where.
        from: RecordsFrom,
    },
    /// The last one of each key.
    LastOf {
        /// Of which keys: those that one of these lets through.
        keys: Vec<LiveFilter>,
        /// Only records before this place (none: all).
        before: Option<RecordsFrom>,
    },
}

/// A place in a partition of a keyed log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordsFrom {
    /// This offset.
    Offset(u64),
    /// The first record of that time or later.
    Time(Millis),
}

/// Records that were picked, by their offsets. What they are is looked up by [`WhichRecord::At`].
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct PickedRecords {
    /// Their offsets, rising.
    pub offsets: Vec<u64>,
    /// How many more there are of that kind; where the last ones of keys are picked, whether there are (one).
    pub left: u64,
    /// No record at this offset or behind it was looked at.
    pub end: u64,
}

/// Keys of a keyed log that are to be listed. So many are looked at for one answer as can be at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListKeys {
    /// Of which partition.
    pub partition: crate::PartitionName,
    /// Which.
    pub filter: LiveFilter,
    /// Only those behind this one, in their order.
    pub after: Option<Bytes>,
    /// Only count them.
    pub is_count: bool,
}

/// Keys of a keyed log.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ListedKeys {
    /// In their order, with the numbers of their records.
    pub keys: Vec<(Bytes, u64)>,
    /// How many there are of them.
    pub count: u64,
    /// The last key that was looked at; none: there are no more.
    pub after: Option<Bytes>,
}

/// Records to give up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Purge {
    /// Of which partition.
    pub partition: crate::PartitionName,
    /// Of which keys (none: all).
    pub keys: Option<LiveFilter>,
    /// Only those before this offset (none: all).
    pub before: Option<u64>,
    /// So many of the last ones stay.
    pub keep: u64,
}

/// A record that comes with its offset and the time of its append.
#[derive(Clone, Debug)]
pub struct RestoredRecord {
    /// Its offset.
    pub offset: u64,
    /// When it was appended first.
    pub time: Millis,
    /// What it is.
    pub message: Message,
}

/// What a partition of a keyed log holds.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct KeyedState {
    /// The offset of its first record; `next` if it has none.
    pub start: u64,
    /// The offset that the next message gets.
    pub next: u64,
    /// How many records there are.
    pub records: u64,
    /// How many bytes they count.
    pub bytes: u64,
    /// When the first of them was appended.
    pub first_time: Option<Millis>,
    /// When the last message was appended, whether it is still there or not.
    pub last_time: Option<Millis>,
    /// How many keys there are.
    pub keys: u64,
    /// How many offsets between `start` and `next` have no record.
    pub removed: u64,
    /// Offsets between `start` and `next` without a record, if they were asked for.
    pub removed_offsets: Vec<u64>,
    /// Whom it follows, in the order of its settings, and how far.
    pub follows: Vec<FollowState>,
}
