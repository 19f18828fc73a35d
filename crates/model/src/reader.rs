//! Readers: groups that read one partition of a log record by record, and hand each to whoever asks for it or listens.
//!
//! A **reader** remembers which records it has handed out, leases each until it is settled, and hands it out again where it was
//! not. It hands records to live subscribers: to those of one key (**push**), or to those of the key that a **pull** names.
//! What reaches a subscriber says where the record stands, and so what to name to settle it ([`crate::RecordBlock`]).

use bytes::Bytes;

use crate::{LiveFilter, LogError, Millis, Misplaced, Name, Pinned, PullGroups, PullStanding};

/// From where a reader reads.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum ReaderStart {
    /// The first record there is.
    #[default]
    First,
    /// The last record that it wants.
    Last,
    /// The last record of each key that it wants, and what comes then.
    LastOfEachKey,
    /// What comes from now on.
    Next,
    /// The record with this offset, or the first behind it.
    Offset(u64),
    /// The first record appended at this time or later.
    Time(Millis),
}

/// How records that a reader handed out are settled.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Acknowledging {
    /// They are settled when they are handed out.
    #[default]
    Never,
    /// One settles all before it.
    Through,
    /// Each for itself.
    Each,
}

/// To whom a reader hands records without being asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Push {
    /// The live subscribers of this key of the reader's topic, while there are any.
    pub key: Bytes,
    /// They hear at least this often, in milliseconds.
    pub heartbeat_ms: Option<Millis>,
    /// They are asked from time to time whether they have come so far, and get no more until they answer.
    pub flow_control: bool,
}

/// What pulls may ask for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PullLimits {
    /// So many wait at a time.
    pub waiting_max: Option<u32>,
    /// So many records.
    pub records_max: Option<u32>,
    /// So many bytes.
    pub bytes_max: Option<u64>,
    /// So long, in milliseconds.
    pub wait_ms_max: Option<Millis>,
}

/// How a reader is declared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReaderSettings {
    /// The topic whose live subscribers get what it reads.
    pub topic: Name,
    /// To whom it hands records; none: to whoever pulls.
    pub push: Option<Push>,
    /// What pulls may ask for.
    pub pulls: PullLimits,
    /// The groups of those who pull, if some come before others; none: the first one that asked comes first.
    pub groups: Option<Box<PullGroups>>,
    /// From where it reads.
    pub start: ReaderStart,
    /// The keys that it wants; none: all.
    pub filters: Vec<LiveFilter>,
    /// How records are settled.
    pub acknowledging: Acknowledging,
    /// How long a record is leased, in milliseconds.
    pub lease_ms: Millis,
    /// How long it is leased the first time, the second time and so on, in place of `lease_ms`; the last counts for all further.
    pub leases_ms: Vec<Millis>,
    /// How often a record is handed out (none: until it is settled).
    pub attempts_max: Option<u32>,
    /// So many records are leased at a time (none: any number).
    pub leased_max: Option<u64>,
    /// Records follow each other as they were appended.
    pub keeps_pace: bool,
    /// Only headers are handed out, with a body's length among them.
    pub headers_only: bool,
    /// So many bits go out a second.
    pub bits_per_second: Option<u64>,
    /// It goes when nobody has asked it or listened for so long, in milliseconds.
    pub idle_ms: Option<Millis>,
    /// It hands nothing out until then.
    pub paused_until: Option<Millis>,
    /// Of so many in a hundred records it is reported how long they took to be settled.
    pub sampled_percent: u8,
    /// It survives a restart.
    pub durable: bool,
    /// Where records go that were handed out as often as they may be, or refused for good: the topic that takes them.
    pub dead_letters: Option<Name>,
    /// What was given, as text by the names of whoever declared it, for listings.
    pub arguments: Vec<(String, String)>,
}

/// Whether a reader may be there already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Declaring {
    /// It must not be there, unless it is the same.
    New,
    /// It must be there.
    Known,
    /// Either.
    Any,
}

/// Asks a reader for records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pull {
    /// The live subscribers of this key get them.
    pub key: Bytes,
    /// At most so many.
    pub records: u32,
    /// At most so many bytes.
    pub bytes_max: Option<u64>,
    /// What its protocol adds to a record counts so many of these: the address by which it is settled.
    pub each_bytes: u32,
    /// It waits so long for them, in milliseconds; none: as long as somebody listens.
    pub wait_ms: Option<Millis>,
    /// It does not wait, or not longer than until the first one came.
    pub no_wait: bool,
    /// While it waits, it is told so this often, in milliseconds.
    pub heartbeat_ms: Option<Millis>,
    /// Where it stands among those that wait.
    pub standing: Option<Box<PullStanding>>,
}

/// How a record that was handed out ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReaderOutcome {
    /// Done with.
    Accept,
    /// To be handed out again, after so many milliseconds.
    Release(Millis),
    /// Its lease begins anew.
    Extend,
    /// Refused for good; the text says why.
    Reject(String),
}

/// What a session asks of readers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReaderRequest {
    /// Declare a reader. Answers [`ReaderReply::Reader`], when durable.
    Declare {
        /// The log.
        log: Name,
        /// Its name, unique in the log.
        name: String,
        /// With what.
        settings: Box<ReaderSettings>,
        /// Whether it may be there already.
        declaring: Declaring,
    },
    /// Delete it. Answers [`ReaderReply::Done`], when durable.
    Delete {
        /// The log.
        log: Name,
        /// Its name.
        name: String,
    },
    /// What it has come to. Answers [`ReaderReply::Reader`].
    Describe {
        /// The log.
        log: Name,
        /// Its name.
        name: String,
    },
    /// The readers of a log, by name. Answers [`ReaderReply::Readers`].
    List {
        /// The log.
        log: Name,
    },
    /// How many readers the namespace has. Answers [`ReaderReply::Count`].
    Count,
    /// Ask for records. They, and what else is to be said, come to the pull's key; not even an error is answered otherwise.
    Pull {
        /// The log.
        log: Name,
        /// The reader's name.
        name: String,
        /// The topic of whose keys the pull's is one.
        topic: Name,
        /// What.
        pull: Pull,
    },
    /// Settle a record. Answers [`ReaderReply::Done`]: to one who waits for it, when what was settled survives a restart.
    Settle {
        /// The log.
        log: Name,
        /// The reader's name.
        name: String,
        /// The record's offset.
        offset: u64,
        /// How.
        outcome: ReaderOutcome,
        /// Somebody waits for the answer.
        is_awaited: bool,
    },
    /// A listener has come so far as it was asked ([`Notice::FlowControl`]). Answers [`ReaderReply::Done`].
    Flow {
        /// The log.
        log: Name,
        /// The reader's name.
        name: String,
    },
    /// Forget what was handed out, and begin anew. Answers [`ReaderReply::Reader`], when durable.
    Reset {
        /// The log.
        log: Name,
        /// The reader's name.
        name: String,
        /// With the record with this offset; none: with the first one that is not settled.
        to: Option<u64>,
    },
    /// Whoever of that group gets all records gets them no longer. Answers [`ReaderReply::Done`].
    Unpin {
        /// The log.
        log: Name,
        /// The reader's name.
        name: String,
        /// Which group.
        group: String,
    },
    /// Hand nothing out until then (none: go on). Answers [`ReaderReply::Reader`], when durable.
    Pause {
        /// The log.
        log: Name,
        /// The reader's name.
        name: String,
        /// Until when.
        until: Option<Millis>,
    },
}

/// What can go wrong with a reader.
#[derive(Clone, PartialEq, Debug)]
pub enum ReaderError {
    /// There is no such log.
    NoLog,
    /// There is no such reader.
    NotFound,
    /// There is one of that name, declared otherwise.
    Exists,
    /// Its pullers have no such group.
    NoGroup,
    /// It cannot begin anew there.
    ResetRefused(ResetRefused),
    /// A log that keeps records until they are settled has a reader of these keys already.
    Overlaps,
    /// There are as many as there may be.
    TooMany,
    /// What cannot be changed would be; the text says what.
    Fixed(String),
    /// The settings contradict each other, or ask for what is not there; the text says how.
    Invalid(String),
    /// The session may not.
    Forbidden,
    /// The log refuses it.
    Log(LogError),
}

/// Why a reader cannot begin anew at a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResetRefused {
    /// It is declared to start behind it.
    BelowStart,
    /// It is declared to start with a later time.
    BelowStartTime,
    /// Where it starts is no record of its own choice.
    NotByOffset,
}

/// How far a reader has come with records.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Progress {
    /// Handed out so many in all: the number of the last one.
    pub sequence: u64,
    /// The first offset behind those records.
    pub offset: u64,
    /// When that was last.
    pub time: Option<Millis>,
}

/// A reader as listings show it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReaderSummary {
    /// Its log.
    pub log: Name,
    /// Its name.
    pub name: String,
    /// With what it was declared.
    pub settings: ReaderSettings,
    /// When.
    pub created: Millis,
    /// What was handed out.
    pub delivered: Progress,
    /// What of it is settled without a gap.
    pub settled: Progress,
    /// Records that are leased.
    pub leased: u64,
    /// Of them those that were handed out more than once.
    pub again: u64,
    /// Pulls that wait.
    pub waiting: u32,
    /// Records that it wants and never handed out.
    pub pending: u64,
    /// Somebody listens to its key.
    pub is_heard: bool,
    /// Who gets all of its records.
    pub pinned: Option<Pinned>,
}

/// What a session is told of readers.
#[derive(Clone, PartialEq, Debug)]
pub enum ReaderReply {
    /// One.
    Reader(Result<Box<ReaderSummary>, ReaderError>),
    /// Several.
    Readers(Result<Vec<ReaderSummary>, ReaderError>),
    /// So many.
    Count(u64),
    /// To what has nothing to tell.
    Done(Result<(), ReaderError>),
}

/// What a subscriber is told with a message that nobody published.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LiveNote {
    /// A reader says something: the message is empty but for its key, and this is what there is to say.
    Notice(Box<Notice>),
    /// A reader reports of a record: the message is empty but for its key.
    Report(Box<crate::ReaderReport>),
    /// It is a copy of a record, under another key.
    Copy(Box<CopyNote>),
}

/// Of which record a copy is that listeners get ([`crate::Copies`]).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CopyNote {
    /// The log.
    pub log: Name,
    /// The record's own key.
    pub key: Bytes,
    /// Its offset.
    pub offset: u64,
    /// When it was appended.
    pub time: Millis,
    /// The offset of its key's record before it.
    pub before: Option<u64>,
    /// Only its headers are to be shown.
    pub headers_only: bool,
}

/// What a reader says to a subscriber.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// There are no records, and the pull does not wait.
    Empty,
    /// The pull's time is over.
    Expired {
        /// Records that it could have had.
        records: u32,
        /// Bytes likewise.
        bytes: u64,
    },
    /// The next record is larger than what is left of the pull's bytes.
    BytesOver {
        /// Records that it could have had.
        records: u32,
        /// Bytes likewise.
        bytes: u64,
    },
    /// There are records, but not for a pull that does not wait: others asked for them before.
    Pending,
    /// Too many pulls wait.
    TooManyPulls,
    /// The pull asks for more than it may: records,
    RecordsExceeded(u32),
    /// bytes,
    BytesExceeded(u64),
    /// or time.
    WaitExceeded(Millis),
    /// The pull contradicts itself; the text says how.
    BadPull(String),
    /// It cannot wait where it asks to.
    Misplaced(Misplaced),
    /// While it waited another one was pinned.
    OtherPin {
        /// Records that it could have had.
        records: u32,
        /// Bytes likewise.
        bytes: u64,
    },
    /// The reader pushes: it cannot be asked.
    Pushes,
    /// The reader was deleted.
    Deleted,
    /// There is no reader of that name.
    NoReader,
    /// It is still there, and has come so far.
    Heartbeat {
        /// What was handed out: the last number
        sequence: u64,
        /// and offset behind.
        offset: u64,
        /// It waits for an answer to a [`Notice::FlowControl`].
        stalled: bool,
    },
    /// Answer when all before this was dealt with ([`ReaderRequest::Flow`]).
    FlowControl {
        /// The log.
        log: Name,
        /// The reader.
        reader: String,
    },
}
