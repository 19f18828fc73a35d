//! What a session asks of logs, and what it is told.
//!
//! A **log** remembers: numbered, retained, replayable records in partitions. Records travel and are stored in *runs*, as
//! their writer packed them (a Kafka record batch, or one message of another protocol); the engine numbers a run and never
//! looks inside it. Offsets are dense over a partition: a run at `offset` with `count` records holds `offset..offset + count`.
//!
//! A request carries a number of the session's own, its reply carries it back. Replies may come in another order than the
//! requests: a read that waits for records does not hold up the append behind it.

use bytes::Bytes;

use crate::{
    Error, KeyedError, KeyedSettings, KeyedState, ListKeys, ListedKeys, Message, Millis, Name,
    Origin, Pick, PickedRecords, Purge, RestoredRecord, StoredRecord, Terms, WhichRecord,
};

/// The name of a log that is never given to another one, not even after it was deleted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct LogId(pub u64);

/// One partition of a log.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PartitionName {
    /// The log.
    pub log: Name,
    /// Its partition, from 0.
    pub partition: u32,
}

/// How a log is declared.
#[derive(Clone, PartialEq, Debug)]
pub struct LogSettings {
    /// How many partitions; at least 1.
    pub partitions: u32,
    /// Records older than this go, in milliseconds (none: never for their age).
    pub retention_ms: Option<Millis>,
    /// The oldest records of a partition go while it holds more bytes than this (none: never for their size).
    pub retention_bytes: Option<u64>,
    /// Records go for their age and size.
    pub trims: bool,
    /// Of the records with one key only the latest stays.
    pub compacts: bool,
    /// The largest run that is taken, in bytes.
    pub run_bytes_max: u32,
    /// The broker's time of the append counts, not the writer's.
    pub stamps: bool,
    /// It survives a restart.
    pub durable: bool,
    /// Its records are single messages that are found by key, and these rules hold (none: neither).
    pub keyed: Option<Box<KeyedSettings>>,
    /// How it compacts.
    pub compaction: CompactionSettings,
    /// Records whose time is further in the past than this are refused, in milliseconds (none: never).
    pub past_ms_max: Option<Millis>,
    /// Records whose time is further in the future than this are refused, in milliseconds (none: never).
    pub future_ms_max: Option<Millis>,
    /// The settings that were given, as text by the names of whoever declared it, for listings.
    pub arguments: Vec<(String, String)>,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            partitions: 1,
            retention_ms: Some(7 * 24 * 3_600_000),
            retention_bytes: None,
            trims: true,
            compacts: false,
            run_bytes_max: 1024 * 1024 + 12,
            stamps: false,
            durable: true,
            keyed: None,
            compaction: CompactionSettings::default(),
            past_ms_max: None,
            future_ms_max: None,
            arguments: Vec::new(),
        }
    }
}

/// How a log keeps only the latest record of each key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CompactionSettings {
    /// Records stay for so long at least, in milliseconds.
    pub lag_ms_min: Millis,
    /// A record is looked after so long after it came at the latest (none: when it pays).
    pub lag_ms_max: Option<Millis>,
    /// It pays when more than this share of a partition's bytes was not looked after yet, in thousandths.
    pub dirty_permille: u32,
    /// Tombstones stay for so long, from when they were looked after first, in milliseconds.
    pub tombstones_ms: Millis,
}

impl Default for CompactionSettings {
    fn default() -> Self {
        Self {
            lag_ms_min: 0,
            lag_ms_max: None,
            dirty_permille: 500,
            tombstones_ms: 24 * 3_600_000,
        }
    }
}

/// What a run holds.
#[derive(Clone, Debug)]
pub enum RunContent {
    /// Records as their protocol packs them; only a session of that protocol, or one with its reader, looks inside.
    Packed {
        /// Whose packing it is.
        origin: Origin,
        /// The bytes, as they came.
        bytes: Bytes,
    },
    /// One record: a message as any protocol publishes it.
    Message(Message),
}

/// Who wrote a run, where the writer wants repeated appends to be recognised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Writer {
    /// The producer's number, given by [`LogRequest::OpenProducer`].
    pub producer: u64,
    /// Its epoch: an older one is fenced off.
    pub epoch: u16,
    /// The sequence of the run's first record; sequences count per partition and go from `i32::MAX` on to 0.
    pub sequence: u32,
    /// It belongs to the producer's open transaction.
    pub transactional: bool,
}

/// A run to append.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// How many offsets it takes; at least 1.
    pub count: u32,
    /// The latest time of its records, in milliseconds since the Unix epoch; none if they have none.
    pub time_max: Option<Millis>,
    /// The earliest time of its records, as far as that is known without looking inside.
    pub time_min: Option<Millis>,
    /// Somebody has looked inside, and all its records have keys. A log that compacts takes no others.
    pub keyed: bool,
    /// Who wrote it, if that matters.
    pub writer: Option<Writer>,
    /// The checksum of its packed bytes, if whoever asks has checked it: they need not be read once more for the journal's then.
    pub crc: Option<TailCrc>,
    /// What it holds.
    pub content: RunContent,
}

/// The CRC-32C of the end of some bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TailCrc {
    /// The byte that it begins with.
    pub from: usize,
    /// The checksum.
    pub crc: u32,
}

/// A run in a log.
#[derive(Clone, Debug)]
pub struct Run {
    /// The offset of its first record.
    pub offset: u64,
    /// How many offsets it takes.
    pub count: u32,
    /// The latest time of its records, as [`NewRun::time_max`].
    pub time_max: Option<Millis>,
    /// The time of the append, where the log stamps its records with that.
    pub stamped: Option<Millis>,
    /// It belongs to a transaction of this producer.
    pub transaction: Option<u64>,
    /// It ends a transaction of this producer, and holds no records.
    pub ends: Option<Ends>,
    /// What it holds; empty for one that ends a transaction.
    pub content: RunContent,
}

impl Run {
    /// The offset behind its last record.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.count.into())
    }
}

/// The end of a producer's transaction in a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ends {
    /// Whose.
    pub producer: u64,
    /// Its epoch.
    pub epoch: u16,
    /// Committed or aborted.
    pub committed: bool,
}

/// What can go wrong with one partition of a request.
#[derive(Clone, PartialEq, Debug)]
pub enum LogError {
    /// There is no such log or partition.
    NotFound,
    /// There is a log of that name, but not the one with that id.
    Replaced,
    /// There is a log of that name already.
    Exists,
    /// The offset is before the log's start or past its end.
    OutOfRange {
        /// The first offset there is.
        start: u64,
        /// The first offset there is not.
        end: u64,
    },
    /// The run is larger than the log takes.
    TooLarge,
    /// The log compacts, and nobody has looked yet whether all records of the run have keys ([`NewRun::keyed`]).
    KeysUnknown,
    /// The time of a record is too far in the past or the future.
    BadTime,
    /// The sequence does not follow the producer's last one.
    OutOfSequence,
    /// The run was appended before; where it starts is told, if that is still known.
    Duplicate {
        /// The offset it was given then.
        offset: Option<u64>,
    },
    /// Nothing is known of this producer.
    UnknownProducer,
    /// A newer epoch of the producer is there.
    Fenced,
    /// The transactional producer has no open transaction that this partition is part of, or is ending it.
    NoTransaction,
    /// Another request about the same transaction is still being carried out.
    Busy,
    /// The log cannot do this (a record without a key in one that compacts); the text says what.
    Unsupported(String),
    /// A keyed log refuses it.
    Keyed(Box<KeyedError>),
    /// The session may not.
    Forbidden,
    /// It cannot be done now (no room on the disk, the broker stops); the text says why.
    Unavailable(String),
    /// Any other failure, as everywhere.
    Other(Box<Error>),
}

/// One partition's part of an append.
#[derive(Clone, Debug)]
pub struct Append {
    /// Where to.
    pub partition: PartitionName,
    /// Only if this is the log of that name; one that was made anew is another log.
    pub id: Option<LogId>,
    /// What.
    pub run: NewRun,
}

/// Where a run went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AppendedRun {
    /// The offset of its first record.
    pub offset: u64,
    /// The first offset of the partition.
    pub start: u64,
    /// The time of the append, where the log stamps its records with that.
    pub stamped: Option<Millis>,
}

/// One partition's part of a read.
#[derive(Clone, Debug)]
pub struct Read {
    /// Where from.
    pub partition: PartitionName,
    /// Only if this is the log of that name; one that was made anew is another log.
    pub id: Option<LogId>,
    /// The first offset wanted; the run that holds it is given whole, or the next one if it was removed.
    pub offset: u64,
    /// At most so many bytes; the first run comes even if it is larger.
    pub bytes_max: u32,
}

/// What is read: several partitions together.
#[derive(Clone, Debug)]
pub struct ReadRequest {
    /// From where; the order matters, since all share `bytes_max`.
    pub reads: Vec<Read>,
    /// At most so many bytes in all; the very first run comes even if it is larger.
    pub bytes_max: u32,
    /// Wait until there are so many bytes in all,
    pub bytes_min: u32,
    /// or so long, in milliseconds.
    pub wait_ms: Millis,
    /// Only what is committed: up to the partition's first open transaction.
    pub committed: bool,
}

/// What a read found in a partition.
#[derive(Clone, Debug, Default)]
pub struct Slice {
    /// The first offset of the partition.
    pub start: u64,
    /// The first offset that is not yet durable: readers see what is before it.
    pub end: u64,
    /// The first offset that belongs to an open transaction, or `end`.
    pub stable_end: u64,
    /// The runs, in order. The first may begin behind the offset asked for, and each behind the end of the one before it,
    /// where others were removed.
    pub runs: Vec<Run>,
    /// Aborted transactions that have records among the runs (for reads of what is committed): the producer and the
    /// offset of its first record in that transaction.
    pub aborted: Vec<(u64, u64)>,
}

impl Slice {
    /// The runs that hold records, without those of aborted transactions: of a read of what is committed.
    #[must_use]
    pub fn into_records(mut self) -> Vec<Run> {
        let mut aborting: Vec<u64> = Vec::new();
        let aborted = &mut self.aborted;
        self.runs.retain(|run| {
            aborted.retain(|(producer, first)| {
                let is_reached = *first <= run.offset;
                if is_reached {
                    aborting.push(*producer);
                }
                !is_reached
            });
            if let Some(ends) = run.ends {
                aborting.retain(|producer| *producer != ends.producer);
                return false;
            }
            !run.transaction.is_some_and(|one| aborting.contains(&one))
        });
        self.runs
    }
}

/// Which offset of a partition is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// The first.
    Start,
    /// The one after the last durable.
    End,
    /// The one after the last committed.
    StableEnd,
    /// The first whose time is this or later.
    Time(Millis),
    /// The one with the latest time.
    LatestTime,
    /// Of a keyed log, this record. It is told when it is durable.
    Record(WhichRecord),
}

/// What a look-up found.
#[derive(Clone, Debug)]
pub struct FoundOffset {
    /// The offset: of the run's first record where `run` is there, since the engine does not look inside.
    pub offset: u64,
    /// The run that holds the record asked for, for look-ups by time.
    pub run: Option<Run>,
}

/// A log as listings show it.
#[derive(Clone, PartialEq, Debug)]
pub struct LogSummary {
    /// Its name.
    pub name: Name,
    /// Its id.
    pub id: LogId,
    /// With what it was declared.
    pub settings: LogSettings,
}

/// Which logs are asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WhichLogs {
    /// All that there are.
    All,
    /// Those of these names.
    Named(Vec<Name>),
    /// Those of these names, for their settings.
    Configured(Vec<Name>),
    /// Those with these ids.
    WithIds(Vec<LogId>),
}

/// What a session asks of logs.
#[derive(Clone, Debug)]
pub enum LogRequest {
    /// Append runs; each partition answers for itself. Answers [`LogReply::Appended`] when all of it is durable.
    Append(Vec<Append>),
    /// Read. Answers [`LogReply::Read`] when there is enough or the time is over.
    Read(ReadRequest),
    /// Look offsets up. Answers [`LogReply::Offsets`].
    FindOffsets(Vec<(PartitionName, Place)>),
    /// List logs. Answers [`LogReply::Logs`], one for each that was asked for.
    List(WhichLogs),
    /// Declare a log, with a topic of its name in front of it. Fails if there is one. Answers [`LogReply::Logs`].
    Declare {
        /// Its name.
        name: Name,
        /// With what.
        settings: LogSettings,
        /// Only say whether it could be.
        dry_run: bool,
    },
    /// Change a log's settings; its partitions can only become more. Answers [`LogReply::Logs`].
    Alter {
        /// Its name.
        name: Name,
        /// With what.
        settings: LogSettings,
        /// Only say whether it could be.
        dry_run: bool,
    },
    /// Delete a log, its records and its topic. Answers [`LogReply::Logs`] with what it was.
    Delete {
        /// Its name.
        name: Name,
    },
    /// Give up the records before an offset (none: all there are). Answers [`LogReply::Offsets`] with the new start.
    Trim(Vec<(PartitionName, Option<u64>)>),
    /// Append a message to a keyed log, on these terms. Answers [`LogReply::Stored`] when durable.
    Store {
        /// To which.
        log: Name,
        /// What.
        message: Message,
        /// On what terms.
        terms: Box<Terms>,
    },
    /// Put records back into a sealed keyed log, with their offsets, which rise; `next` says which one the next gets. Answers
    /// [`LogReply::Done`] when they are durable.
    Restore {
        /// The partition.
        partition: PartitionName,
        /// The records.
        records: Vec<RestoredRecord>,
        /// The offset behind all of them.
        next: Option<u64>,
    },
    /// Remove one record of a keyed log. Answers [`LogReply::Removed`] when durable.
    Remove {
        /// Of which partition.
        partition: PartitionName,
        /// Which.
        offset: u64,
    },
    /// Remove records of a keyed log. Answers [`LogReply::Removed`] when durable.
    Purge(Purge),
    /// List records of a keyed log. Answers [`LogReply::Picked`].
    Pick(Pick),
    /// List keys of a keyed log. Answers [`LogReply::Keys`].
    ListKeys(ListKeys),
    /// What a partition of a keyed log holds. Answers [`LogReply::State`].
    State {
        /// Which.
        partition: PartitionName,
        /// List the offsets of records that were removed.
        removed: bool,
    },
    /// How many bytes each partition holds. Answers [`LogReply::Sizes`].
    Sizes(WhichLogs),
    /// A number for a producer. Answers [`LogReply::Producer`] when durable.
    OpenProducer {
        /// Under this name its transactions go on after a restart of the client, and older ones are fenced.
        transactional: Option<TransactionalProducer>,
        /// The number and epoch that it has, to be renewed.
        current: Option<(u64, u16)>,
    },
    /// Make partitions part of the producer's transaction, which begins with that. Answers [`LogReply::Added`] when durable.
    AddPartitions {
        /// Who.
        transactor: Transactor,
        /// Which.
        partitions: Vec<PartitionName>,
    },
    /// Make a group's offsets part of the producer's transaction, which begins with that. Answers [`LogReply::Done`] when
    /// durable.
    AddGroup {
        /// Who.
        transactor: Transactor,
        /// The group.
        group: String,
    },
    /// End the producer's transaction: all of it is there from then on, or nothing. Answers [`LogReply::Producer`] when
    /// durable.
    End {
        /// Who.
        transactor: Transactor,
        /// Commit it, or abort it.
        committed: bool,
        /// The producer goes on in a new epoch, so that nothing late of this transaction gets into the next.
        renew: bool,
    },
    /// Producers with transactions: those of these names, or all. Answers [`LogReply::Transactions`].
    Transactions(Option<Vec<String>>),
    /// Who writes to partitions. Answers [`LogReply::Writers`].
    Writers(Vec<PartitionName>),
    /// The broker puts this around a request of which the session may not do all.
    Partly {
        /// What the session asked.
        request: Box<LogRequest>,
        /// Which of its parts (partitions, or logs, counted from 0 and rising) are answered with [`LogError::Forbidden`].
        forbidden: Vec<u32>,
    },
}

/// A producer with transactions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransactionalProducer {
    /// The client's name for it.
    pub name: String,
    /// A transaction is aborted when it is open for so long, in milliseconds.
    pub timeout_ms: Millis,
}

/// A producer with transactions, as it shows itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transactor {
    /// The client's name for it.
    pub name: String,
    /// Its number.
    pub producer: u64,
    /// Its epoch.
    pub epoch: u16,
}

/// What a producer's transactions have come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TransactionState {
    /// It has not begun any.
    Empty,
    /// One is open.
    Open,
    /// The last one was committed.
    Committed,
    /// The last one was aborted.
    Aborted,
}

/// A producer with transactions as listings show it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransactionSummary {
    /// Who it is.
    pub transactor: Transactor,
    /// What its transactions have come to.
    pub state: TransactionState,
    /// A transaction is aborted when it is open for so long, in milliseconds.
    pub timeout_ms: Millis,
    /// When the open one began.
    pub since: Option<Millis>,
    /// What is part of the open one.
    pub partitions: Vec<PartitionName>,
}

/// One who writes to a partition, as listings show it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WriterSummary {
    /// Its number.
    pub producer: u64,
    /// Its epoch.
    pub epoch: u16,
    /// The sequence of its last record.
    pub sequence: Option<u32>,
    /// When it wrote that.
    pub time: Millis,
    /// The first offset of its open transaction.
    pub open_since: Option<u64>,
}

/// What a session is told of logs.
#[derive(Clone, Debug)]
pub enum LogReply {
    /// For each append, in order.
    Appended(Vec<Result<AppendedRun, LogError>>),
    /// For each read, in order.
    Read(Vec<Result<Slice, LogError>>),
    /// For each partition, in order; none where no record has such a time.
    Offsets(Vec<Result<Option<FoundOffset>, LogError>>),
    /// Logs.
    Logs(Vec<Result<LogSummary, LogError>>),
    /// For each log its partitions' bytes.
    Sizes(Vec<(LogSummary, Vec<u64>)>),
    /// Where a message went.
    Stored(Result<StoredRecord, LogError>),
    /// How many records went.
    Removed(Result<u64, LogError>),
    /// Which records a keyed log has of those asked for.
    Picked(Result<PickedRecords, LogError>),
    /// Which keys a keyed log has of those asked for.
    Keys(Result<ListedKeys, LogError>),
    /// What a partition holds, with its log.
    State(Result<Box<(LogSummary, KeyedState)>, LogError>),
    /// A producer's number and epoch.
    Producer(Result<(u64, u16), LogError>),
    /// For each partition, in order: nothing was added if one of them failed; or nothing was looked at.
    Added(Result<Vec<Result<(), LogError>>, LogError>),
    /// To what has nothing to tell.
    Done(Result<(), LogError>),
    /// For each name, in order.
    Transactions(Vec<Result<TransactionSummary, LogError>>),
    /// For each partition, in order.
    Writers(Vec<Result<Vec<WriterSummary>, LogError>>),
}
