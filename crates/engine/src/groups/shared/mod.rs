//! A group whose work the broker shares out (Kafka's newer protocol for groups): members say what they read, and are told
//! with their signs of life what they may have in their hands.
//!
//! ```text
//! a member or a log comes, goes or changes -> epoch + 1
//! the next sign of life                    -> a target for each member (assignors)
//! a member's own signs of life             -> it gives back what is not its target any more   (revoking)
//!                                          -> it takes what nobody holds                      (waiting for the rest)
//!                                          -> it has its target, in the target's epoch
//! ```
//! A sign of life that says nothing new costs the same however many logs and partitions there are.
//!
//! What always holds: `owners` says for each partition who holds it or has yet to give it back, and that is one member; a
//! member's `assigned` and `revoking` are what it owns; an epoch is given out once.

mod guests;
mod hearing;
mod patterns;
mod worker;

use std::collections::BTreeMap;

use polybus_model::{
    Beat, BeatAnswer, GroupError, GroupState, LogId, Millis, Name, PartitionName, SharedSummary,
    Standing,
};
use regex_lite::Regex;

use super::Logs;
use super::assignors::{Assignor, Shares, Work};
use super::group::Round;
use super::timers::{Of, Timer};
pub(super) use guests::MOVING_TYPE;
use patterns::Patterns;
use worker::Worker;

/// Kafka's: without a sign of life for so long a member is out,
const SESSION_MS: Millis = 45_000;
/// and it is asked for one every so often.
const INTERVAL_MS: Millis = 5_000;

/// Members that the broker shares the work among.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// By number, in the order in which they came.
    members: BTreeMap<u64, Worker>,
    ids: BTreeMap<Box<str>, u64>,
    instances: BTreeMap<Box<str>, u64>,
    next_member: u64,
    epoch: u32,
    /// The epoch is to rise with this sign of life.
    changed: bool,
    target_epoch: u32,
    target: Shares,
    assignor: Option<Assignor>,
    owners: BTreeMap<PartitionName, u64>,
    /// How many members read a log.
    readers: BTreeMap<Name, usize>,
    /// Those of them that exist, and their partitions, as they were last looked at.
    logs: BTreeMap<Name, u32>,
    ids_of_logs: BTreeMap<Name, LogId>,
    /// The version of the logs when they were; none: they are to be looked at again.
    seen: Option<u64>,
    /// Other logs are read since.
    are_readers_new: bool,
    patterns: Patterns,
    /// How many members are guests.
    guests: usize,
    /// About how much memory members take.
    members_weight: usize,
}

impl Shared {
    /// A group whose last epoch was this one.
    pub(super) fn new(epoch: u32) -> Self {
        Self {
            epoch,
            target_epoch: epoch,
            ..Self::default()
        }
    }

    /// Whether a sign of life makes sense at all, before anything is done for it.
    pub(super) fn check_beat(beat: &Beat) -> Result<(), GroupError> {
        check(beat).map(|_| ())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Whether a member reads that log.
    pub(super) fn reads(&self, log: &Name) -> bool {
        self.readers.contains_key(log)
    }

    /// About how much memory it takes.
    pub(super) fn weight(&self) -> usize {
        self.members_weight + 64 * self.owners.len()
    }

    /// Counts a member in, or out.
    fn count(&mut self, at: u64, is_in: bool) {
        let Some(member) = self.members.get(&at) else {
            return;
        };
        if is_in {
            self.members_weight += member.weight();
            self.guests += usize::from(member.guest.is_some());
        } else {
            self.members_weight -= member.weight();
            self.guests -= usize::from(member.guest.is_some());
        }
        for log in &member.reads {
            if is_in {
                let count = self.readers.entry(log.clone()).or_insert(0);
                *count += 1;
                self.are_readers_new |= *count == 1;
            } else if let Some(count) = self.readers.get_mut(log) {
                *count -= 1;
                if *count == 0 {
                    self.readers.remove(log);
                    self.are_readers_new = true;
                }
            }
        }
    }

    /// A member's sign of life, its first or its last.
    pub(super) fn beat(
        &mut self,
        beat: &Beat,
        number: u64,
        logs: &Logs<'_>,
        round: &mut Round<'_>,
    ) -> Result<BeatAnswer, GroupError> {
        let said = check(beat)?;
        match beat.standing {
            Standing::Leaves | Standing::Pauses => {
                let at = self.seat(beat)?;
                if beat.standing == Standing::Leaves {
                    self.remove(at, number, round);
                } else if let Some(member) = self.members.get_mut(&at) {
                    member.away = true;
                }
                return Ok(BeatAnswer {
                    member: beat.member.clone(),
                    epoch: None,
                    interval_ms: INTERVAL_MS,
                    assignment: None,
                });
            }
            Standing::Joins | Standing::Works(_) => {}
        }
        let at = match beat.standing {
            Standing::Works(epoch) => self.at_work(beat, epoch)?,
            _ => self.enter(beat, round)?,
        };
        self.hear(at, beat, said);
        self.look_at_patterns(at, &beat.sight, logs);
        self.look_at_logs(logs);
        if std::mem::take(&mut self.changed) {
            self.epoch = self.epoch.saturating_add(1);
        }
        self.set_targets();
        let owned = match beat.standing {
            // Whoever joins has nothing in its hands.
            Standing::Joins => Some(&[][..]),
            _ => beat.owned.as_deref(),
        };
        let has_moved = self.reconcile(at, owned, number, round);
        self.touch(at, number, round);
        let member = self.members.get(&at).ok_or(GroupError::UnknownMember)?;
        let says_all =
            beat.rebalance_timeout_ms.is_some() && beat.reads.is_some() && beat.owned.is_some();
        let tell = beat.standing == Standing::Joins || says_all || has_moved;
        Ok(BeatAnswer {
            member: beat.member.clone(),
            epoch: Some(member.epoch),
            interval_ms: INTERVAL_MS,
            assignment: tell.then(|| member.assigned.iter().cloned().collect()),
        })
    }

    /// The member that speaks, by its id; with a lasting name, the one that has it now.
    fn seat_of(&self, id: &str, instance: Option<&str>) -> Result<u64, GroupError> {
        if let Some(instance) = instance {
            let at = self.instances.get(instance);
            let at = *at.ok_or(GroupError::UnknownMember)?;
            let is_it = self.members.get(&at).is_some_and(|one| *one.id == *id);
            return if is_it {
                Ok(at)
            } else {
                Err(GroupError::Fenced)
            };
        }
        self.ids.get(id).copied().ok_or(GroupError::UnknownMember)
    }

    /// The member of the broker's sharing that speaks.
    fn seat(&self, beat: &Beat) -> Result<u64, GroupError> {
        let at = self.seat_of(&beat.member, beat.instance.as_deref())?;
        match self.members.get(&at) {
            Some(member) if member.guest.is_none() => Ok(at),
            _ => Err(GroupError::UnknownMember),
        }
    }

    /// A member that works in an epoch, or in the one before if it missed the answer that told it of this one.
    fn at_work(&self, beat: &Beat, epoch: u32) -> Result<u64, GroupError> {
        let at = self.seat(beat)?;
        let member = self.members.get(&at).ok_or(GroupError::UnknownMember)?;
        let missed = || {
            let owned = beat.owned.as_deref();
            epoch == member.previous_epoch
                && owned.is_some_and(|owned| owned.iter().all(|one| member.assigned.contains(one)))
        };
        if !member.away && (epoch == member.epoch || (epoch < member.epoch && missed())) {
            Ok(at)
        } else {
            Err(GroupError::FencedEpoch)
        }
    }

    /// A member that joins: a new one, one that lost its way, or one that comes back under its lasting name.
    fn enter(&mut self, beat: &Beat, round: &mut Round<'_>) -> Result<u64, GroupError> {
        let known = match &beat.instance {
            Some(instance) => self.instances.get(instance.as_str()),
            None => self.ids.get(beat.member.as_str()),
        };
        if let Some(at) = known.copied() {
            self.count(at, false);
            if let Some(member) = self.members.get_mut(&at)
                && member.guest.take().is_some()
            {
                // It comes back as no guest; as such it says nothing when it goes.
                member.away = true;
            }
            self.count(at, true);
            let member = self.members.get_mut(&at);
            let member = member.ok_or(GroupError::UnknownMember)?;
            if *member.id != *beat.member {
                if !member.away {
                    return Err(GroupError::InstanceInUse);
                }
                self.ids.remove(&member.id);
                self.members_weight -= member.id.len();
                member.id = beat.member.as_str().into();
                self.members_weight += member.id.len();
                self.ids.insert(member.id.clone(), at);
            }
            // It has nothing in its hands: it starts from what is its own.
            member.away = false;
            member.epoch = 0;
            member.previous_epoch = 0;
            return Ok(at);
        }
        if self.ids.contains_key(beat.member.as_str()) {
            return Err(GroupError::InvalidRequest(
                "the member has another lasting name".to_owned(),
            ));
        }
        if self.members.len() >= round.options.members_max {
            return Err(GroupError::Full);
        }
        self.next_member += 1;
        let at = self.next_member;
        let member = Worker {
            id: beat.member.as_str().into(),
            instance: beat.instance.as_deref().map(Into::into),
            ..Worker::default()
        };
        self.ids.insert(member.id.clone(), at);
        if let Some(instance) = &member.instance {
            self.instances.insert(instance.clone(), at);
        }
        self.members.insert(at, member);
        self.count(at, true);
        self.changed = true;
        Ok(at)
    }

    /// Shares the work out, if something has changed since it was.
    fn set_targets(&mut self) {
        if self.target_epoch == self.epoch && self.assignor.is_some() {
            return;
        }
        let votes = |wanted| {
            let for_it = |one: &&Worker| one.assignor == Some(wanted);
            self.members.values().filter(for_it).count()
        };
        let assignor = if votes(Assignor::Range) > votes(Assignor::Uniform) {
            Assignor::Range
        } else {
            Assignor::Uniform
        };
        let mut members: Vec<_> = self.members.iter().collect();
        // Lasting members keep their place in the order over a restart.
        members.sort_by_key(|(_, one)| (one.instance.is_none(), one.instance.as_deref(), &*one.id));
        let work = Work {
            logs: &self.logs,
            members: members
                .into_iter()
                .map(|(at, one)| (*at, &one.reads))
                .collect(),
            before: &self.target,
        };
        self.target = assignor.share(&work);
        self.assignor = Some(assignor);
        self.target_epoch = self.epoch;
    }

    /// Brings a member closer to its target, as far as others and it itself have given back what must go. True if it may have
    /// other partitions in its hands now.
    fn reconcile(
        &mut self,
        at: u64,
        owned: Option<&[PartitionName]>,
        number: u64,
        round: &mut Round<'_>,
    ) -> bool {
        let Some(member) = self.members.get_mut(&at) else {
            return false;
        };
        let holds = |one: &PartitionName| owned.is_none_or(|owned| owned.contains(one));
        if member.revoking.iter().any(holds) {
            return false;
        }
        let gave_back = !member.revoking.is_empty();
        if member.epoch == self.target_epoch && !member.waiting && !gave_back {
            return false;
        }
        let before = member.assigned.clone();
        let target = self.target.get(&at).cloned().unwrap_or_default();
        for partition in std::mem::take(&mut member.revoking) {
            self.owners.remove(&partition);
        }
        let timer = Timer {
            group: number,
            of: Of::Revoke(at),
        };
        round.timers.disarm(&mut member.revoke_armed, timer);
        let (kept, gone) = std::mem::take(&mut member.assigned)
            .into_iter()
            .partition(|one| target.contains(one));
        member.assigned = kept;
        member.revoking = gone;
        if member.revoking.iter().any(holds) {
            // Before it takes anything it gives back, in the epoch in which it has it.
            let due = round.now.saturating_add(member.rebalance_timeout);
            round.timers.arm(&mut member.revoke_armed, due, timer);
            return member.assigned != before;
        }
        for partition in std::mem::take(&mut member.revoking) {
            self.owners.remove(&partition);
        }
        member.waiting = false;
        for partition in target {
            match self.owners.get(&partition) {
                Some(owner) if *owner != at => member.waiting = true,
                _ => {
                    self.owners.insert(partition.clone(), at);
                    member.assigned.insert(partition);
                }
            }
        }
        if member.epoch != self.target_epoch {
            member.previous_epoch = member.epoch;
            member.epoch = self.target_epoch;
        }
        member.assigned != before
    }

    fn touch(&mut self, at: u64, number: u64, round: &mut Round<'_>) {
        if let Some(member) = self.members.get_mut(&at) {
            let timeout = member.guest.as_ref().map(|guest| guest.session_timeout);
            member.deadline = round.now.saturating_add(timeout.unwrap_or(SESSION_MS));
            let timer = Timer {
                group: number,
                of: Of::Worker(at),
            };
            round.timers.arm(&mut member.armed, member.deadline, timer);
        }
    }

    /// A member is out: what it had is free.
    pub(super) fn remove(&mut self, at: u64, number: u64, round: &mut Round<'_>) {
        self.count(at, false);
        let Some(mut member) = self.members.remove(&at) else {
            return;
        };
        member.disarm(at, number, round.timers);
        self.ids.remove(&member.id);
        if let Some(instance) = &member.instance {
            self.instances.remove(instance);
        }
        if let Some(pattern) = &member.pattern {
            self.patterns.remove(pattern);
        }
        for partition in member.assigned.iter().chain(&member.revoking) {
            self.owners.remove(partition);
        }
        self.target.remove(&at);
        self.epoch = self.epoch.saturating_add(1);
    }

    /// A member that leaves in the words of the other protocol: an operator's tool sends it away.
    pub(super) fn number_of(&self, id: &str, instance: Option<&str>) -> Option<u64> {
        match instance {
            Some(instance) => self.instances.get(instance).copied(),
            None => self.ids.get(id).copied(),
        }
    }

    /// A member may be lost, or does not give back what it should.
    pub(super) fn ring(&mut self, of: Of, number: u64, round: &mut Round<'_>) {
        match of {
            Of::Worker(at) => {
                let timer = Timer { group: number, of };
                let Some(member) = self.members.get_mut(&at) else {
                    return;
                };
                member.armed = None;
                if member.deadline > round.now {
                    round.timers.arm(&mut member.armed, member.deadline, timer);
                } else {
                    self.remove(at, number, round);
                }
            }
            Of::Revoke(at) => {
                if let Some(member) = self.members.get_mut(&at) {
                    member.revoke_armed = None;
                    self.remove(at, number, round);
                }
            }
            _ => {}
        }
    }

    pub(super) fn disarm(&mut self, number: u64, timers: &mut super::Timers) {
        for (at, member) in &mut self.members {
            member.disarm(*at, number, timers);
        }
    }

    /// Whether a client works as that member in that epoch.
    pub(super) fn admit(&self, member: &str, epoch: Option<u32>) -> Result<(), GroupError> {
        if epoch.is_none() && self.members.is_empty() {
            return Ok(());
        }
        let at = self.ids.get(member).ok_or(GroupError::UnknownMember)?;
        let member = self.members.get(at).ok_or(GroupError::UnknownMember)?;
        match epoch {
            _ if epoch == Some(member.epoch) => Ok(()),
            _ if member.guest.is_some() => Err(GroupError::OldGeneration),
            _ => Err(GroupError::StaleEpoch),
        }
    }

    pub(super) fn state(&self) -> GroupState {
        let settled = |one: &Worker| {
            one.epoch == self.target_epoch && !one.waiting && one.revoking.is_empty()
        };
        if self.members.is_empty() {
            GroupState::Empty
        } else if self.epoch > self.target_epoch {
            GroupState::Assigning
        } else if self.members.values().all(settled) {
            GroupState::Stable
        } else {
            GroupState::Reconciling
        }
    }

    pub(super) fn assignor(&self) -> &'static str {
        self.assignor.unwrap_or(Assignor::Uniform).name()
    }

    pub(super) fn summary(&self, group: &str) -> SharedSummary {
        SharedSummary {
            group: group.to_owned(),
            state: self.state(),
            epoch: self.epoch,
            assigned_epoch: self.target_epoch,
            assignor: self.assignor().to_owned(),
            members: {
                let members = self.members.iter();
                let members = members.map(|(at, one)| one.summary(self.target.get(at)));
                members.collect()
            },
        }
    }

    /// What must always hold; what is armed.
    #[cfg(test)]
    pub(super) fn check(&self) -> Vec<(Millis, Of)> {
        let mut owners = BTreeMap::new();
        let mut armed = Vec::new();
        for (at, one) in &self.members {
            assert_eq!(self.ids.get(&one.id), Some(at));
            for partition in one.assigned.iter().chain(&one.revoking) {
                assert_eq!(owners.insert(partition.clone(), *at), None);
            }
            assert_eq!(one.revoke_armed.is_some(), !one.revoking.is_empty());
            armed.extend(one.armed.map(|due| (due, Of::Worker(*at))));
            armed.extend(one.revoke_armed.map(|due| (due, Of::Revoke(*at))));
        }
        assert_eq!(owners, self.owners);
        let mut readers = BTreeMap::new();
        for log in self.members.values().flat_map(|one| &one.reads) {
            *readers.entry(log.clone()).or_insert(0) += 1;
        }
        assert_eq!(readers, self.readers);
        let guests = self.members.values().filter(|one| one.guest.is_some());
        assert_eq!(guests.count(), self.guests);
        assert!(self.guests < self.members.len(), "not only guests are left");
        let weights = self.members.values().map(Worker::weight);
        assert_eq!(self.members_weight, weights.sum::<usize>());
        let patterns = self
            .members
            .values()
            .filter_map(|one| one.pattern.as_deref());
        self.patterns.check(patterns);
        assert_eq!(self.ids.len(), self.members.len());
        armed
    }
}

/// What a sign of life says in words that have to be understood first.
struct Said {
    assignor: Option<Assignor>,
    /// None too where it says that it has none any more.
    pattern: Option<Regex>,
}

/// Whether a sign of life makes sense.
fn check(beat: &Beat) -> Result<Said, GroupError> {
    let wrong = |text: &str| Err(GroupError::InvalidRequest(text.to_owned()));
    if beat.member.is_empty() {
        return wrong("a member needs an id");
    }
    if beat.instance.as_ref().is_some_and(String::is_empty) {
        return wrong("a lasting name is not empty");
    }
    match beat.standing {
        Standing::Joins => {
            if beat.rebalance_timeout_ms.is_none() || beat.reads.is_none() && beat.pattern.is_none()
            {
                return wrong("whoever joins says its rebalance timeout and what it reads");
            }
            if beat.owned.as_ref().is_some_and(|owned| !owned.is_empty()) {
                return wrong("whoever joins has nothing in hand");
            }
        }
        Standing::Pauses if beat.instance.is_none() => {
            return wrong("only a member with a lasting name keeps its place");
        }
        Standing::Works(_) | Standing::Leaves | Standing::Pauses => {}
    }
    let pattern = beat.pattern.as_deref().filter(|text| !text.is_empty());
    let pattern = pattern.map(patterns::compile).transpose()?;
    let assignor = match &beat.assignor {
        None => None,
        Some(name) => Some(Assignor::named(name).ok_or(GroupError::UnknownAssignor)?),
    };
    Ok(Said { assignor, pattern })
}
