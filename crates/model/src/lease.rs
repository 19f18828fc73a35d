//! What a session asks of groups that lease: their members are given single records of a log, each under a lease, and settle
//! them in any order.

use std::ops::Range;

use crate::{GroupError, LogError, LogId, Millis, Name, PartitionName, Slice};

/// Where a group begins that has no window to a partition yet.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Beginning {
    /// With the first record that there is.
    Start,
    /// With the next that comes.
    #[default]
    End,
    /// With the first that is not older than this, in milliseconds.
    Age(Millis),
}

/// How a group leases.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupSettings {
    /// Where it begins.
    pub beginning: Beginning,
    /// How long a lease lasts, in milliseconds.
    pub lease_ms: Millis,
    /// Only what is committed is handed out.
    pub committed: bool,
    /// A record is handed out so often at most (none: without end); after that it fails.
    pub attempts_max: Option<u32>,
    /// Of a partition at most so many records are handed out and not yet settled.
    pub unsettled_max: u32,
    /// The topic, or else the queue, that records go to that failed; without one they are only settled.
    pub dead_letter: Option<Name>,
    /// The settings that were given, as text by the names of whoever gave them, for listings.
    pub arguments: Vec<(String, String)>,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            beginning: Beginning::End,
            lease_ms: 30_000,
            committed: false,
            attempts_max: Some(5),
            unsettled_max: 2_000,
            dead_letter: None,
            arguments: Vec::new(),
        }
    }
}

/// How a leased record ends up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Done with.
    Accept,
    /// Back, for another attempt.
    Release,
    /// Refused for good.
    Reject,
    /// It stays leased, for as long again.
    Extend,
}

/// Records to settle alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settling {
    /// The first.
    pub first: u64,
    /// The first offset behind them.
    pub end: u64,
    /// How.
    pub how: Verdict,
}

/// One partition's part of a request.
#[derive(Clone, Debug)]
pub struct LeasePart {
    /// Which.
    pub partition: PartitionName,
    /// Only if this is the log of that name; one that was made anew is another log.
    pub id: Option<LogId>,
    /// What is settled; all of it or, where something is not leased to the member, nothing.
    pub settles: Vec<Settling>,
    /// More is wanted from here.
    pub reads: bool,
    /// The broker marks what the session may not read.
    pub forbidden: bool,
}

/// A member settles what it has, and asks for more.
#[derive(Clone, Debug)]
pub struct LeaseRequest {
    /// The group.
    pub group: String,
    /// The member: what it leases is leased to it on this connection.
    pub member: String,
    /// The partitions, in the order in which they are read.
    pub parts: Vec<LeasePart>,
    /// Wait until there are so many bytes,
    pub bytes_min: u32,
    /// or so long, in milliseconds.
    pub wait_ms: Millis,
    /// At most so many bytes in all; the very first run comes even if it is larger.
    pub bytes_max: u32,
    /// No further run once there are so many records,
    pub records_max: u32,
    /// and of the last run not more than that.
    pub exactly: bool,
    /// The member takes no more, and gives back all that it has.
    pub ends: bool,
}

/// Records that were handed out under a lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lent {
    /// The first.
    pub first: u64,
    /// The first offset behind them.
    pub end: u64,
    /// How often they were handed out, this time included.
    pub attempts: u32,
}

/// What became of one partition's part.
#[derive(Clone, Debug)]
pub struct LeasedPart {
    /// Of what was to be settled.
    pub settled: Result<(), GroupError>,
    /// The runs that hold what is leased.
    pub slice: Result<Slice, LogError>,
    /// What of them is leased.
    pub lent: Vec<Lent>,
    /// Aborted transactions that have records among the runs, where only what is committed is handed out: the producer, and
    /// from where to where its records belong to it.
    pub aborted: Vec<(u64, Range<u64>)>,
}

/// What a member is given.
#[derive(Clone, Debug)]
pub struct Leased {
    /// For so long, in milliseconds.
    pub lease_ms: Millis,
    /// For each part, in order.
    pub parts: Vec<LeasedPart>,
}

/// How far a group that leases has come in a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WindowSummary {
    /// The partition.
    pub partition: PartitionName,
    /// Its log.
    pub log: LogId,
    /// Everything before is settled.
    pub floor: u64,
    /// Records of the partition that are not settled,
    pub lag: u64,
    /// and those of them that are leased.
    pub leased: u64,
}
