//! Handing records out under leases: which of a group's windows have some, and where their runs are.
//!
//! ```text
//! plan: for each partition, what its window may hand out and the runs that hold it
//!   nothing yet -> wait (waiting), as reads do        else lend it -> answer, by way of the disk if need be
//! records that failed: the run that holds them, by way of the disk likewise -> groups/leasing
//! ```
//! What always holds: nothing is lent that is not answered; where the answer fails, the loan is taken back.

use std::ops::Range;

use polybus_model::{
    Event, GroupError, GroupReply, GroupSettings, LeaseRequest, Leased, LeasedPart, Lent, LogError,
    Millis, Run, Slice,
};

use super::ahead::{Follower, Sought, Stretch};
use super::partition::Found;
use super::read::{Hole, LOAD_BYTES_MAX, Wanted, unfilled};
use super::waiting::{Asked, Waiter};
use super::{At, Caller, Logs};
use crate::groups::{Failure, Settlement, Window};
use crate::turn::{Asker, Turn};
use crate::{Engine, Store};

/// A member's request, of which all that was to be settled is.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(super) caller: Caller,
    pub(super) request: LeaseRequest,
    holder: u64,
    settled: Vec<Result<(), GroupError>>,
    has_settled: bool,
}

/// What failed, and is on its way out.
#[derive(Debug)]
pub(super) struct Failed {
    window: u64,
    range: Range<u64>,
    failure: Failure,
    run: Run,
}

/// What may be lent of one partition.
#[derive(Debug)]
struct Share {
    at: At,
    window: u64,
    lends: Vec<Range<u64>>,
    passes: Vec<Range<u64>>,
    slice: Slice,
    aborted: Vec<(u64, Range<u64>)>,
}

/// What a request comes to at this moment.
#[derive(Default)]
struct Plan {
    shares: Vec<Result<Option<Share>, LogError>>,
    holes: Vec<Hole>,
    bytes: u64,
    away_bytes: u64,
    records: u64,
    /// What of it comes from the disk.
    stretches: Vec<Stretch>,
    /// A load that is under way and brings what comes next.
    coming: Option<u64>,
}

impl Lease {
    pub(crate) fn new(
        asker: Asker,
        number: u64,
        request: LeaseRequest,
        holder: u64,
        settled: Vec<Result<(), GroupError>>,
    ) -> Self {
        let has_settled = request.ends || request.parts.iter().any(|one| !one.settles.is_empty());
        Self {
            caller: Caller {
                session: asker.id,
                namespace: asker.namespace,
                number,
            },
            request,
            holder,
            settled,
            has_settled,
        }
    }

    /// Whether it is a group's of that namespace.
    pub(super) fn is_of(&self, namespace: u32, group: &str) -> bool {
        self.caller.namespace == namespace && self.request.group == group
    }

    /// Puts a run that was read back where it belongs.
    pub(super) fn fill(parts: &mut [LeasedPart], hole: Hole, run: Run) {
        if let Some(LeasedPart {
            slice: Ok(slice), ..
        }) = parts.get_mut(hole.part)
            && let Some(unfilled) = slice.runs.get_mut(hole.run)
        {
            *unfilled = run;
        }
    }

    /// Tells the member what it has.
    pub(super) fn tell(
        self,
        lease_ms: Millis,
        parts: Vec<LeasedPart>,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let leased = Box::new(Leased { lease_ms, parts });
        let event = Event::Group {
            number: self.caller.number,
            reply: Box::new(GroupReply::Leased(Ok(leased))),
        };
        turn.gate(self.caller.session, event, self.has_settled);
    }
}

impl Engine {
    /// Hands records out to a member, or lets it wait for some.
    pub(crate) fn lend(&mut self, lease: Lease, turn: &mut Turn<'_, impl Store>) {
        let due = self.time(turn).saturating_add(lease.request.wait_ms);
        self.lend_until(lease, due, turn);
    }

    pub(super) fn lend_until(
        &mut self,
        lease: Lease,
        due: Millis,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let group = &lease.request.group;
        let settings = self.group_settings(lease.caller.namespace, group);
        let plan = self.plan_loan(&lease, &settings, turn);
        let reads = lease.request.parts.iter().any(|part| part.reads);
        let failed =
            lease.settled.iter().any(Result::is_err) || plan.shares.iter().any(Result::is_err);
        let enough = plan.records > 0 && plan.bytes >= u64::from(lease.request.bytes_min);
        let over =
            due <= self.time(turn) || self.logs.waiters.len() >= self.options.log_waiters_max;
        if let (0, true, Some(load)) = (plan.records, reads && !failed, plan.coming) {
            let (caller, asked) = (lease.caller, Asked::Lease(Box::new(lease)));
            let follower = Follower { caller, asked, due };
            return self.logs.ahead.follow(load, follower);
        }
        if !reads || failed || enough || over {
            self.hand_over(lease, &settings, plan, turn);
            return;
        }
        let missing = u64::from(lease.request.bytes_min).saturating_sub(plan.bytes);
        let shares = plan.shares.into_iter().flatten().flatten();
        let mut partitions: Vec<At> = shares.map(|share| share.at).collect();
        partitions.sort_unstable();
        partitions.dedup();
        self.logs.wait(Waiter {
            caller: lease.caller,
            asked: Asked::Lease(Box::new(lease)),
            due,
            missing: missing.max(1),
            partitions,
        });
    }

    fn plan_loan(
        &mut self,
        lease: &Lease,
        settings: &GroupSettings,
        turn: &mut Turn<'_, impl Store>,
    ) -> Plan {
        let mut plan = Plan::default();
        let namespace = lease.caller.namespace;
        for (nth, part) in lease.request.parts.iter().enumerate() {
            if !part.reads || lease.request.ends {
                plan.shares.push(Ok(None));
                continue;
            }
            let found = match part.forbidden {
                true => Err(LogError::Forbidden),
                false => self.partition_of(namespace, &part.partition, part.id),
            };
            let share = found.and_then(|at| {
                let group = &lease.request.group;
                let window = self.window(namespace, group, at, settings, turn)?;
                let share = self.share(nth, at, window, &lease.request, settings, &mut plan)?;
                Ok(Some(share))
            });
            plan.shares.push(share);
        }
        plan
    }

    /// What of a partition may be lent now.
    fn share(
        &self,
        part: usize,
        at: At,
        number: u64,
        request: &LeaseRequest,
        settings: &GroupSettings,
        plan: &mut Plan,
    ) -> Result<Share, LogError> {
        let partition = self.logs.partition(at).ok_or(LogError::NotFound)?;
        let window = self.windows.get(number).ok_or(LogError::NotFound)?;
        let stable_end = partition.stable.stable_end(partition.end);
        let limit = match settings.committed {
            true => stable_end,
            false => partition.end,
        };
        let mut share = Share {
            at,
            window: number,
            lends: Vec::new(),
            passes: Vec::new(),
            slice: Slice {
                start: partition.start,
                end: partition.end,
                stable_end,
                ..Slice::default()
            },
            aborted: Vec::new(),
        };
        let (bytes, holes) = (plan.bytes, plan.holes.len());
        let was_here = gather(
            &self.logs, window, limit, part, request, settings, plan, &mut share,
        );
        if was_here || plan.holes.len() > holes {
            let read = stretch_of(&share, plan.bytes - bytes, was_here);
            plan.stretches.extend(read);
        }
        if let (true, Some(first), Some(last)) = (
            settings.committed,
            share.slice.runs.first(),
            share.slice.runs.last(),
        ) {
            let behind = last.offset.saturating_add(last.count.into());
            share.aborted = partition.stable.aborted_ranges(first.offset, behind);
        }
        Ok(share)
    }

    /// Lends what was planned, and answers with it.
    fn hand_over(
        &mut self,
        lease: Lease,
        settings: &GroupSettings,
        plan: Plan,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let until = self.time(turn).saturating_add(settings.lease_ms);
        let (holder, mut parts) = (lease.holder, Vec::new());
        for (share, settled) in plan.shares.into_iter().zip(&lease.settled) {
            let mut part = LeasedPart {
                settled: settled.clone(),
                slice: Ok(Slice::default()),
                lent: Vec::new(),
                aborted: Vec::new(),
            };
            match share {
                Ok(None) => {}
                Ok(Some(share)) => {
                    self.windows.act(share.window, |window| {
                        for range in share.passes {
                            window.pass_over(range);
                        }
                        for range in share.lends {
                            window.lend(range, holder, until, &mut part.lent);
                        }
                    });
                    part.slice = Ok(share.slice);
                    part.aborted = share.aborted;
                }
                Err(error) => part.slice = Err(error),
            }
            parts.push(part);
        }
        let lease_ms = settings.lease_ms;
        let wanted = Wanted::Loan {
            lease: Box::new(lease),
            lease_ms,
            parts,
        };
        self.answer(wanted, plan.holes, turn);
        self.read_on(&plan.stretches, turn);
    }

    /// A loan could not be read back: it is taken back, and made again as far as the member is still there.
    pub(super) fn lend_again(
        &mut self,
        lease: Lease,
        parts: &[LeasedPart],
        turn: &mut Turn<'_, impl Store>,
    ) {
        for (part, lent) in lease.request.parts.iter().zip(parts) {
            let group = &lease.request.group;
            let namespace = lease.caller.namespace;
            let at = self.partition_of(namespace, &part.partition, part.id);
            let window = at
                .ok()
                .and_then(|at| self.windows.find(namespace, group, at));
            let Some(number) = window else { continue };
            self.windows.act(number, |window| {
                let never = Settlement::Release {
                    counted: false,
                    due: None,
                };
                for Lent { first, end, .. } in &lent.lent {
                    window.settle(*first..*end, Some(lease.holder), never);
                }
            });
        }
        if self.session_slots.contains_key(&lease.caller.session) {
            let now = self.time(turn);
            self.lend_until(lease, now, turn);
        }
    }

    /// Records that failed: their runs are looked up, one after the other.
    pub(crate) fn bury_records(
        &mut self,
        window: u64,
        failed: Lent,
        failure: Failure,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let Some((owner, at)) = self.windows.owner(window) else {
            return;
        };
        let settings = self.group_settings(owner.namespace, &owner.group);
        let partition = self.logs.partition(at);
        let run = partition.filter(|_| settings.dead_letter.is_some());
        let run = run.and_then(|one| one.from(one.position(failed.first)).next());
        let Some((indexed, found)) = run.filter(|(run, _)| run.offset < failed.end) else {
            // There is nowhere to send them, or nothing left to send.
            self.windows
                .act(window, |window| window.bury(failed.first..failed.end));
            return;
        };
        let behind = indexed.end().min(failed.end);
        let mut holes = Vec::new();
        let run = match found {
            Found::Recent(run) => run.clone(),
            Found::Away(indexed) => {
                let (part, run) = (0, 0);
                holes.push(Hole { part, run, indexed });
                unfilled(indexed)
            }
        };
        if behind < failed.end {
            self.windows
                .act(window, |window| window.fail_again(behind..failed.end));
        }
        let wanted = Wanted::Failed(Box::new(Failed {
            window,
            range: failed.first..behind,
            failure,
            run,
        }));
        self.answer(wanted, holes, turn);
    }
}

impl Failed {
    pub(super) fn fill(&mut self, run: Run) {
        self.run = run;
    }

    /// Its run is there.
    pub(super) fn post(self, engine: &mut Engine, turn: &mut Turn<'_, impl Store>) {
        engine.post_failed(self.window, self.range, self.failure, &self.run, turn);
    }

    /// Its run could not be read back: it is looked up again.
    pub(super) fn again(self, engine: &mut Engine) {
        let range = self.range;
        engine
            .windows
            .act(self.window, |window| window.fail_again(range));
    }
}

/// What a share reads from the disk. A run that is lent in part is read again.
fn stretch_of(share: &Share, bytes: u64, was_here: bool) -> Option<Stretch> {
    let (first, last) = (share.slice.runs.first()?, share.slice.runs.last()?);
    let end = last.offset.saturating_add(last.count.into());
    let is_lent = share.lends.last().is_some_and(|lent| lent.end >= end);
    Some(Stretch {
        at: share.at,
        from: first.offset,
        behind: if is_lent { end } else { last.offset },
        bytes,
        was_here,
    })
}

/// Goes through what a window may hand out, as far as the bounds allow. Says whether some of it was read ahead.
#[expect(
    clippy::too_many_arguments,
    reason = "the bounds of one request, each its own"
)]
fn gather(
    logs: &Logs,
    window: &Window,
    limit: u64,
    part: usize,
    request: &LeaseRequest,
    settings: &GroupSettings,
    plan: &mut Plan,
    share: &mut Share,
) -> bool {
    let mut was_here = false;
    let Some(partition) = logs.partition(share.at) else {
        return was_here;
    };
    let mut room = u64::from(settings.unsettled_max).saturating_sub(window.unsettled());
    let mut from = window.floor().max(partition.start);
    while plan.records < u64::from(request.records_max) {
        let candidate = window.candidate(from);
        let run = partition.from(partition.position(candidate.first)).next();
        let Some((indexed, found)) = run else {
            // What was there was removed.
            let gap = candidate.first..limit.min(candidate.end);
            share.passes.extend(Some(gap).filter(|gap| !gap.is_empty()));
            return was_here;
        };
        if indexed.end() > limit {
            return was_here;
        }
        let first = candidate.first.max(indexed.offset);
        let gap = candidate.first..first.min(candidate.end);
        if !gap.is_empty() {
            share.passes.push(gap);
        }
        if first >= candidate.end {
            from = candidate.end;
            continue;
        }
        let mut end = candidate.end.min(indexed.end());
        if first >= window.next() {
            end = end.min(first.saturating_add(room));
        }
        if request.exactly {
            let left = u64::from(request.records_max) - plan.records;
            end = end.min(first.saturating_add(left));
        }
        let is_new = share
            .slice
            .runs
            .last()
            .is_none_or(|last| last.offset != indexed.offset);
        let len = u64::from(indexed.len);
        let fits = plan.bytes + len <= u64::from(request.bytes_max) || plan.bytes == 0;
        if end <= first || (is_new && !fits) {
            return was_here;
        }
        if is_new {
            let run = match logs.seek(share.at, &indexed, found) {
                Sought::Recent(run) => run.clone(),
                Sought::Ahead(run) => {
                    was_here = true;
                    run.clone()
                }
                Sought::Coming(load) => {
                    plan.coming.get_or_insert(load);
                    return was_here;
                }
                // What is here is handed out before the disk is asked for more.
                Sought::Away
                    if was_here
                        || (plan.away_bytes > 0 && plan.away_bytes + len > LOAD_BYTES_MAX) =>
                {
                    return was_here;
                }
                Sought::Away => {
                    plan.away_bytes += len;
                    let run = share.slice.runs.len();
                    plan.holes.push(Hole { part, run, indexed });
                    unfilled(indexed)
                }
            };
            share.slice.runs.push(run);
            plan.bytes += len;
        }
        if first >= window.next() {
            room -= end - first;
        }
        plan.records += end - first;
        share.lends.push(first..end);
        from = end;
    }
    was_here
}
