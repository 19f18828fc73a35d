//! The vocabulary of Polybus: what sessions ask, what the engine answers, and the message that travels between them.
//!
//! **A topic routes. A binding chooses. A queue works. A log remembers. A group reads.**
//!
//! Data only: no wire names of any protocol, no input or output, no clock. Times are milliseconds since the Unix epoch
//! ([`Millis`]); durations are milliseconds.

mod access;
mod calendar;
mod error;
mod event;
mod follow;
mod group;
mod joined;
mod key_rules;
mod keyed;
mod lease;
mod live;
mod log;
mod message;
mod name;
mod packed;
mod precedence;
mod quota;
mod reader;
mod records;
mod renaming;
mod report;
mod request;
mod schedule;
mod settings;
mod sight;
mod tally;
mod value;

pub use access::{
    AccessError, AccessReply, AccessRequest, CLUSTER, EVERY, Guarded, KeyChange, NameFilter,
    Operation, Operations, Rule, RuleFilter, ScramHash, ScramProof, UserKeys,
};
pub use calendar::{Calendar, date_of_day, day_of_date};
pub use error::{Difference, Error, Kind, Reserved, Resource, RoutingFault};
pub use event::{Attempts, Delivery, Event, Reply, ReturnReason, Taken};
pub use follow::{
    CopiedFrom, FollowFrom, FollowState, Followed, Follows, KeyedWriter, Measure, ReadParts,
    ReadTerms, WriteCopied, WriteEnded, WriteTallied, WriteTold,
};
pub use group::{
    Assignor, Beat, BeatAnswer, GroupError, GroupOffset, GroupReply, GroupRequest, GroupState,
    GroupSummary, Join, Joined, Leaver, MemberSummary, Membership, SharedMemberSummary,
    SharedSummary, Sharing, Standing,
};
pub use key_rules::{Answers, KeyPatterns, KeyRules};
pub use keyed::{
    Addition, BadTerm, BatchCommit, BatchError, BatchPart, Copies, Keeps, KeyedError,
    KeyedSettings, KeyedState, LastOfKey, ListKeys, ListedKeys, Pick, PickedRecords, Purge,
    RecordTtl, RecordsFrom, RestoredRecord, RollUp, Stored, StoredMore, StoredRecord, Takes,
    TallyError, Terms, WhenFull, WhichRecord, WhichRecords,
};
pub use lease::{
    Beginning, GroupSettings, LeasePart, LeaseRequest, Leased, LeasedPart, Lent, Settling, Verdict,
    WindowSummary,
};
pub use live::{FilterWord, LiveBlock, LiveFilter, LiveItem, LiveProperties, SubscribeLive};
pub use log::{
    Append, AppendedRun, CompactionSettings, Ends, FoundOffset, LogError, LogId, LogReply,
    LogRequest, LogSettings, LogSummary, NewRun, PartitionName, Place, Read, ReadRequest, Run,
    RunContent, Slice, TailCrc, TransactionState, TransactionSummary, TransactionalProducer,
    Transactor, WhichLogs, Writer, WriterSummary,
};
pub use message::{Body, Death, DeathReason, Marks, Message, MessageParts, Origin};
pub use name::{Name, NameTooLong};
pub use packed::{PackedRecord, PackedRun, ReadPacked, RewritePacked, RewrittenRun, RunCompactor};
pub use precedence::{Misplaced, Pinned, Precedence, PullGroups, PullStanding, Unpinned};
pub use quota::{Metered, Quota, QuotaChange, QuotaOwner, Whose};
pub use reader::{
    Acknowledging, CopyNote, Declaring, LiveNote, Notice, Progress, Pull, PullLimits, Push,
    ReaderError, ReaderOutcome, ReaderReply, ReaderRequest, ReaderSettings, ReaderStart,
    ReaderSummary, ResetRefused,
};
pub use records::{HandedRecord, RecordBlock};
pub use renaming::{NewWord, Renaming, Taking};
pub use report::{ReaderReport, ReportKey, Reported};
pub use request::{
    Batch, Credentials, Destination, Outcome, Publish, Request, Settle, Subscribe, Transaction,
};
pub use schedule::{
    Recurrence, Schedule, ScheduleError, ScheduledNote, ScheduledProperties, Scheduling,
};
pub use settings::{
    Binding, DeadLetter, DelayedRetry, Overflow, QueueKind, QueueSettings, Returns, TopicKind,
    TopicSettings,
};
pub use sight::Sight;
pub use tally::{Tally, TallyPart, TallyParts};
pub use value::{Table, Value};

/// Milliseconds since the Unix epoch, or a duration in milliseconds where the field says so.
pub type Millis = u64;

/// A connection's session as the broker numbers it; unique for the life of the process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Debug)]
pub struct SessionId(pub u64);

/// One independent conversation within a session (an AMQP channel). Failures stop a lane, not the session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Lane(pub u16);

/// A subscriber within a session, numbered by the session as it likes (unique among its live subscribers).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SubscriberId(pub u32);

/// What a consumer holds between delivery and settlement. Opaque to sessions; a stale one is recognised and ignored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LeaseId {
    /// The queue's slot in its engine.
    pub queue: u32,
    /// The lease's slot in its queue.
    pub slot: u32,
    /// Distinguishes the successive uses of a slot.
    pub stamp: u32,
}
