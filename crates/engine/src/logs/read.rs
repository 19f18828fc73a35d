//! Reading runs of several partitions at once.
//!
//! ```text
//! plan: for each partition, runs from the index up to the bounds
//!   not enough yet -> wait (waiting)          all in memory -> answer
//!   some are not in memory -> a load -> handle_log_loaded: fill them in, answer (or plan again if they were moved)
//!   they are on their way already (ahead) -> plan again when they have come
//! ```

use polybus_model::{
    FoundOffset, LeasedPart, LogError, LogReply, Millis, Origin, PartitionName, Place, ReadRequest,
    Run, RunContent, Slice,
};
use rustc_hash::FxHashMap;

use super::ahead::{Follower, Sought, Stretch};
use super::keyed::schedules::Due;
use super::lending::{Failed, Lease};
use super::owed::Payment;
use super::partition::Indexed;
use super::waiting::{Asked, Waiter};
use super::{At, Caller, is_forbidden};
use crate::effects::LogLoad;
use crate::turn::Turn;
use crate::{Effects, Engine, Store};

/// Bytes that one read brings back from disk at most; the first run comes even if it is larger.
pub(super) const LOAD_BYTES_MAX: u64 = 8 << 20;
/// Bytes that one read is answered with at most, whatever it asks.
const READ_BYTES_MAX: u64 = 64 << 20;
/// Reads whose time is over that are answered in one turn.
const OVERDUE_PER_TURN: usize = 1_024;

/// A run that is to be filled in: which of the slices (or offsets), which of its runs, and what the index says of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hole {
    pub(super) part: usize,
    pub(super) run: usize,
    pub(super) indexed: Indexed,
}

/// What waits for the disk.
#[derive(Debug)]
pub(super) enum Wanted {
    Read {
        caller: Caller,
        forbidden: Vec<u32>,
        request: ReadRequest,
        slices: Vec<Result<Slice, LogError>>,
    },
    Offsets {
        caller: Caller,
        forbidden: Vec<u32>,
        wanted: Vec<(PartitionName, Place)>,
        found: Vec<Result<Option<FoundOffset>, LogError>>,
    },
    /// Records to hand out under leases.
    Loan {
        lease: Box<Lease>,
        lease_ms: Millis,
        parts: Vec<LeasedPart>,
    },
    /// Records that failed under leases.
    Failed(Box<Failed>),
    /// What is to be copied of a record on a schedule.
    Due(Box<Due>),
    /// Records that a transaction owes.
    Owed(Box<Payment>),
}

/// An answer with holes.
#[derive(Debug)]
pub(super) struct Loading {
    wanted: Wanted,
    holes: Vec<Hole>,
}

/// Answers that wait for the disk, by the numbers of their loads.
#[derive(Debug, Default)]
pub(crate) struct Loadings {
    next: u64,
    under_way: FxHashMap<u64, Loading>,
}

impl Loadings {
    /// A number for a load.
    pub(crate) fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }
}

/// What a read comes to at this moment.
#[derive(Default)]
struct Plan {
    slices: Vec<Result<Slice, LogError>>,
    holes: Vec<Hole>,
    partitions: Vec<At>,
    bytes: u64,
    away_bytes: u64,
    runs: usize,
    failed: bool,
    /// What of it comes from the disk.
    stretches: Vec<Stretch>,
    /// A load that is under way and brings what comes next.
    coming: Option<u64>,
}

impl Plan {
    /// The load to wait for, if without it there is little for so large a request.
    fn follows(&self, request: &ReadRequest) -> Option<u64> {
        let part_max = request.reads.iter().map(|read| read.bytes_max).max();
        let wanted = part_max.unwrap_or(0).min(request.bytes_max);
        let is_little = self.bytes < u64::from(wanted) / 2 || self.bytes == 0;
        self.coming.filter(|_| is_little && !self.failed)
    }
}

impl Engine {
    /// A session reads.
    pub(super) fn read_logs(
        &mut self,
        caller: Caller,
        request: ReadRequest,
        forbidden: Vec<u32>,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let due = turn.now.saturating_add(request.wait_ms);
        self.read_until(caller, request, forbidden, due, turn);
    }

    /// Answers a read if there is enough or its time is over, else lets it wait.
    fn read_until(
        &mut self,
        caller: Caller,
        request: ReadRequest,
        forbidden: Vec<u32>,
        due: Millis,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let plan = self.plan_read(caller.namespace, &request, &forbidden);
        if let Some(load) = plan.follows(&request) {
            let asked = Asked::Read { request, forbidden };
            let follower = Follower { caller, asked, due };
            return self.logs.ahead.follow(load, follower);
        }
        let enough = plan.failed || plan.bytes >= u64::from(request.bytes_min);
        if enough || due <= turn.now || self.logs.waiters.len() >= self.options.log_waiters_max {
            let slices = plan.slices;
            let wanted = Wanted::Read {
                caller,
                forbidden,
                request,
                slices,
            };
            self.answer(wanted, plan.holes, turn);
            self.read_on(&plan.stretches, turn);
            return;
        }
        let missing = u64::from(request.bytes_min) - plan.bytes;
        self.logs.wait(Waiter {
            caller,
            asked: Asked::Read { request, forbidden },
            due,
            missing,
            partitions: plan.partitions,
        });
    }

    /// Looks whether there is enough for a read that waits.
    pub(crate) fn look_again(&mut self, slot: u32, turn: &mut Turn<'_, impl Store>) {
        let Some(waiter) = self.logs.stop_waiting(slot) else {
            return;
        };
        self.ask_again(waiter.caller, waiter.asked, waiter.due, turn);
    }

    /// Answers what waited, or lets it go on waiting.
    pub(super) fn ask_again(
        &mut self,
        caller: Caller,
        asked: Asked,
        due: Millis,
        turn: &mut Turn<'_, impl Store>,
    ) {
        match asked {
            Asked::Read { request, forbidden } => {
                self.read_until(caller, request, forbidden, due, turn);
            }
            Asked::Lease(lease) => self.lend_until(*lease, due, turn),
        }
    }

    /// Answers the reads whose time is over.
    pub(crate) fn answer_overdue(&mut self, turn: &mut Turn<'_, impl Store>) {
        for _ in 0..OVERDUE_PER_TURN {
            let Some(slot) = self.logs.waiters.overdue(turn.now) else {
                return;
            };
            self.look_again(slot, turn);
        }
    }

    fn plan_read(&self, namespace: u32, request: &ReadRequest, forbidden: &[u32]) -> Plan {
        let mut plan = Plan::default();
        for (part, read) in request.reads.iter().enumerate() {
            let found = match is_forbidden(forbidden, part) {
                true => Err(LogError::Forbidden),
                false => self.partition_of(namespace, &read.partition, read.id),
            };
            let slice = found.and_then(|at| {
                plan.partitions.push(at);
                self.slice(at, read.offset, read.bytes_max, request, part, &mut plan)
            });
            plan.failed |= slice.is_err();
            plan.slices.push(slice);
        }
        plan.partitions.sort_unstable();
        plan.partitions.dedup();
        plan
    }

    fn slice(
        &self,
        at: At,
        offset: u64,
        bytes_max: u32,
        request: &ReadRequest,
        part: usize,
        plan: &mut Plan,
    ) -> Result<Slice, LogError> {
        let partition = self.logs.partition(at).ok_or(LogError::NotFound)?;
        let (start, end) = (partition.start, partition.end);
        // Between `end` and `next` is what is not yet durable: there is nothing to read, and nothing wrong.
        if offset < start || offset > partition.next {
            return Err(LogError::OutOfRange { start, end });
        }
        let stable_end = partition.stable.stable_end(end);
        let limit = if request.committed { stable_end } else { end };
        let mut slice = Slice {
            start,
            end,
            stable_end,
            ..Slice::default()
        };
        let all_max = u64::from(request.bytes_max).min(READ_BYTES_MAX);
        let most = all_max.min(bytes_max.into());
        let (mut bytes, mut ahead_bytes, holes) = (0, 0, plan.holes.len());
        for (indexed, found) in partition.from(partition.position(offset)) {
            let len = u64::from(indexed.len);
            let fits = plan.bytes + len <= all_max
                && (slice.runs.is_empty() || bytes + len <= bytes_max.into());
            if indexed.end() > limit || !(fits || plan.runs == 0) {
                break;
            }
            let run = match self.logs.seek(at, &indexed, found) {
                Sought::Recent(run) => run.clone(),
                Sought::Ahead(run) => {
                    ahead_bytes += len;
                    run.clone()
                }
                Sought::Coming(load) => {
                    plan.coming.get_or_insert(load);
                    break;
                }
                // What is here is told before the disk is asked for more.
                Sought::Away if !may_load(plan, len) || ahead_bytes * 2 > most => break,
                Sought::Away => {
                    plan.away_bytes += len;
                    let run = slice.runs.len();
                    plan.holes.push(Hole { part, run, indexed });
                    unfilled(indexed)
                }
            };
            slice.runs.push(run);
            bytes += len;
            plan.bytes += len;
            plan.runs += 1;
        }
        if let (true, Some(first), Some(last)) = (
            ahead_bytes > 0 || plan.holes.len() > holes,
            slice.runs.first(),
            slice.runs.last(),
        ) {
            plan.stretches.push(Stretch {
                at,
                from: offset.min(first.offset),
                behind: last.offset.saturating_add(last.count.into()),
                bytes,
                was_here: ahead_bytes > 0,
            });
        }
        if let (true, Some(last)) = (request.committed, slice.runs.last()) {
            let behind = last.offset.saturating_add(last.count.into());
            slice.aborted = partition.stable.aborted(offset, behind);
        }
        Ok(slice)
    }

    /// Answers, by way of the disk if something is not in memory.
    pub(super) fn answer(
        &mut self,
        wanted: Wanted,
        holes: Vec<Hole>,
        turn: &mut Turn<'_, impl Store>,
    ) {
        if holes.is_empty() {
            let fresh = self.is_fresh(&wanted);
            let (caller, reply) = match wanted {
                Wanted::Read { caller, slices, .. } => (caller, LogReply::Read(slices)),
                Wanted::Offsets { caller, found, .. } => (caller, LogReply::Offsets(found)),
                Wanted::Loan {
                    lease,
                    lease_ms,
                    parts,
                } => return lease.tell(lease_ms, parts, turn),
                Wanted::Failed(failed) => return failed.post(self, turn),
                Wanted::Due(due) => return due.post(self, turn),
                Wanted::Owed(payment) => return payment.hand_on(self, turn),
            };
            match fresh {
                true => turn.gate(caller.session, caller.event(reply), true),
                false => turn.tell(caller.session, caller.event(reply)),
            }
            return;
        }
        self.load(wanted, holes, turn);
    }

    /// Has what is missing read back.
    pub(super) fn load(
        &mut self,
        wanted: Wanted,
        holes: Vec<Hole>,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let loadings = &mut self.logs.loadings;
        let number = loadings.number();
        let items = holes.iter().map(|hole| {
            let stand = hole.indexed.stand();
            (stand.place, stand.len)
        });
        let items = items.collect();
        turn.out.log_loads.push(LogLoad { number, items });
        let loading = Loading { wanted, holes };
        loadings.under_way.insert(number, loading);
    }

    /// Whether what was found is not yet durable: then it is told when it is.
    fn is_fresh(&self, wanted: &Wanted) -> bool {
        let Wanted::Offsets {
            caller,
            wanted,
            found,
            ..
        } = wanted
        else {
            return false;
        };
        wanted.iter().zip(found).any(|((name, place), found)| {
            let (Place::Record(_), Ok(Some(found))) = (place, found) else {
                return false;
            };
            let at = self.partition_at(caller.namespace, name);
            let partition = at.ok().and_then(|at| self.logs.partition(at));
            partition.is_some_and(|one| found.offset >= one.end)
        })
    }

    /// A [`LogLoad`] is answered with the runs of all its records, in order; with none if one of them could not be read any
    /// more (it was moved, or is not wanted any more): then what was asked is looked up again. Every load is to be answered
    /// once.
    pub fn handle_log_loaded(
        &mut self,
        number: u64,
        mut runs: Vec<Run>,
        now: Millis,
        store: &mut impl Store,
        out: &mut Effects,
    ) {
        let mut turn = self.begin(now, store, out);
        if self.reader_loaded(number, &mut runs)
            || self.followed_loaded(number, &mut runs)
            || self.ahead_loaded(number, &mut runs, &mut turn)
        {
            self.finish(&mut turn);
            return;
        }
        let Some(loading) = self.logs.loadings.under_way.remove(&number) else {
            return;
        };
        let Loading { mut wanted, holes } = loading;
        if runs.len() == holes.len() {
            for (hole, run) in holes.into_iter().zip(runs) {
                fill(&mut wanted, hole, run);
            }
            self.answer(wanted, Vec::new(), &mut turn);
        } else {
            self.look_up_again(wanted, now, &mut turn);
        }
        self.finish(&mut turn);
    }

    fn look_up_again(&mut self, wanted: Wanted, now: Millis, turn: &mut Turn<'_, impl Store>) {
        match wanted {
            Wanted::Read {
                caller,
                forbidden,
                request,
                ..
            } => self.read_until(caller, request, forbidden, now, turn),
            Wanted::Offsets {
                caller,
                forbidden,
                wanted,
                ..
            } => self.find_offsets(caller, wanted, forbidden, turn),
            Wanted::Loan { lease, parts, .. } => self.lend_again(*lease, &parts, turn),
            Wanted::Failed(failed) => failed.again(self),
            Wanted::Due(due) => due.again(self),
            Wanted::Owed(_) => Payment::again(self, turn),
        }
    }
}

/// Whether a run of that length may be read back for a plan, too.
fn may_load(plan: &Plan, len: u64) -> bool {
    plan.away_bytes == 0 || plan.away_bytes + len <= LOAD_BYTES_MAX
}

/// A run whose bytes are still to come.
pub(super) fn unfilled(indexed: Indexed) -> Run {
    Run {
        offset: indexed.offset,
        count: indexed.count,
        time_max: None,
        stamped: None,
        transaction: None,
        ends: None,
        content: RunContent::Packed {
            origin: Origin(0),
            bytes: bytes::Bytes::new(),
        },
    }
}

fn fill(wanted: &mut Wanted, hole: Hole, run: Run) {
    match wanted {
        Wanted::Read { slices, .. } => {
            if let Some(Ok(slice)) = slices.get_mut(hole.part)
                && let Some(unfilled) = slice.runs.get_mut(hole.run)
            {
                *unfilled = run;
            }
        }
        Wanted::Offsets { found, .. } => {
            if let Some(Ok(Some(found))) = found.get_mut(hole.part) {
                found.run = Some(run);
            }
        }
        Wanted::Loan { parts, .. } => Lease::fill(parts, hole, run),
        Wanted::Failed(failed) => failed.fill(run),
        Wanted::Due(due) => due.fill(run),
        Wanted::Owed(payment) => payment.fill(hole.run, run),
    }
}
