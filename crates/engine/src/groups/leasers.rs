//! The members of a group that leases: they say what they read, and are told with their signs of life which partitions to
//! take records from. As several may take from one partition, nobody has to give anything back before another begins.
//!
//! What always holds: `ids` names every member; `target` is what the members and logs of `target_epoch` come to; an epoch is
//! given out once.

use std::collections::{BTreeMap, BTreeSet};

use polybus_model::{
    Beat, BeatAnswer, GroupError, GroupState, LogId, Millis, Name, PartitionName,
    SharedMemberSummary, SharedSummary, Standing,
};

use super::Logs;
use super::group::Round;
use super::timers::{Of, Timer};

/// Kafka's: without a sign of life for so long a member is out,
const SESSION_MS: Millis = 45_000;
/// and it is asked for one every so often.
const INTERVAL_MS: Millis = 5_000;

/// What of a member's memory does not depend on what it says.
const BYTES: usize = 512;

/// How the work is shared out, for listings.
const ASSIGNOR: &str = "simple";

/// A member.
#[derive(Debug, Default)]
struct Leaser {
    id: Box<str>,
    client: Box<str>,
    host: Box<str>,
    reads: BTreeSet<Name>,
    epoch: u32,
    previous_epoch: u32,
    assigned: BTreeSet<PartitionName>,
    deadline: Millis,
    armed: Option<Millis>,
}

/// Members of a group that leases.
#[derive(Debug, Default)]
pub(super) struct Leasers {
    /// By number, in the order in which they came.
    members: BTreeMap<u64, Leaser>,
    ids: BTreeMap<Box<str>, u64>,
    next_member: u64,
    epoch: u32,
    target_epoch: u32,
    target: BTreeMap<u64, BTreeSet<PartitionName>>,
    /// The logs that members read and that exist, as they were last looked at.
    logs: BTreeMap<Name, (LogId, u32)>,
    /// The version of the logs when they were.
    seen: Option<u64>,
    weight: usize,
}

impl Leasers {
    /// A group whose last epoch was this one.
    pub(super) fn new(epoch: u32) -> Self {
        Self {
            epoch,
            target_epoch: epoch,
            ..Self::default()
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// About how much memory it takes.
    pub(super) const fn weight(&self) -> usize {
        self.weight
    }

    /// Whether a member reads that log.
    pub(super) fn reads(&self, log: &Name) -> bool {
        self.members.values().any(|one| one.reads.contains(log))
    }

    /// A member's sign of life, its first or its last.
    pub(super) fn beat(
        &mut self,
        beat: &Beat,
        number: u64,
        logs: &Logs<'_>,
        round: &mut Round<'_>,
    ) -> Result<BeatAnswer, GroupError> {
        let wrong = |text: &str| Err(GroupError::InvalidRequest(text.to_owned()));
        if beat.member.is_empty() {
            return wrong("a member needs an id");
        }
        let at = match beat.standing {
            Standing::Leaves => {
                let at = self.seat(&beat.member)?;
                self.remove(at, number, round);
                return Ok(answer(beat, None, None));
            }
            Standing::Pauses => return wrong("a member of a group that leases does not pause"),
            Standing::Joins if beat.reads.as_ref().is_none_or(Vec::is_empty) => {
                return wrong("whoever joins says what it reads");
            }
            Standing::Joins => self.enter(beat, round)?,
            Standing::Works(epoch) => self.at_work(beat, epoch)?,
        };
        let reads_other = self.hear(at, beat);
        if self.look_at_logs(logs, reads_other) || reads_other {
            self.epoch = self.epoch.saturating_add(1);
        }
        self.set_targets();
        self.touch(at, number, round);
        let target = self.target.get(&at).cloned().unwrap_or_default();
        let member = self.members.get_mut(&at);
        let member = member.ok_or(GroupError::UnknownMember)?;
        let tell = beat.standing == Standing::Joins || member.assigned != target;
        if member.epoch != self.target_epoch {
            member.previous_epoch = member.epoch;
            member.epoch = self.target_epoch;
        }
        member.assigned = target;
        let assigned = tell.then(|| member.assigned.iter().cloned().collect());
        Ok(answer(beat, Some(member.epoch), assigned))
    }

    fn seat(&self, id: &str) -> Result<u64, GroupError> {
        self.ids.get(id).copied().ok_or(GroupError::UnknownMember)
    }

    /// A member that works in an epoch, or in the one before if it missed the answer that told it of this one.
    fn at_work(&self, beat: &Beat, epoch: u32) -> Result<u64, GroupError> {
        let at = self.seat(&beat.member)?;
        let member = self.members.get(&at).ok_or(GroupError::UnknownMember)?;
        if epoch == member.epoch || epoch == member.previous_epoch {
            Ok(at)
        } else {
            Err(GroupError::FencedEpoch)
        }
    }

    fn enter(&mut self, beat: &Beat, round: &Round<'_>) -> Result<u64, GroupError> {
        if let Ok(at) = self.seat(&beat.member) {
            return Ok(at);
        }
        if self.members.len() >= round.options.members_max {
            return Err(GroupError::Full);
        }
        self.next_member += 1;
        let at = self.next_member;
        let member = Leaser {
            id: beat.member.as_str().into(),
            ..Leaser::default()
        };
        self.ids.insert(member.id.clone(), at);
        self.weight += member.weight();
        self.members.insert(at, member);
        Ok(at)
    }

    /// Takes over what a member says anew; true if it reads something else than before.
    fn hear(&mut self, at: u64, beat: &Beat) -> bool {
        let Some(member) = self.members.get_mut(&at) else {
            return false;
        };
        self.weight -= member.weight();
        member.client = beat.client.as_str().into();
        member.host = beat.host.as_str().into();
        let mut changed = false;
        if let Some(reads) = &beat.reads {
            let reads: BTreeSet<Name> = reads.iter().cloned().collect();
            changed = member.reads != reads;
            member.reads = reads;
        }
        self.weight += member.weight();
        changed
    }

    /// Logs may have come, gone, or grown; true if any has.
    fn look_at_logs(&mut self, logs: &Logs<'_>, reads_other: bool) -> bool {
        if self.seen == Some(logs.version) && !reads_other {
            return false;
        }
        self.seen = Some(logs.version);
        let reads = self.members.values().flat_map(|one| &one.reads);
        let found: BTreeMap<_, _> = reads
            .collect::<BTreeSet<_>>()
            .into_iter()
            .filter_map(|name| Some((name.clone(), (logs.find)(name)?)))
            .collect();
        let changed = found != self.logs;
        self.logs = found;
        changed
    }

    /// Shares the work out, if something has changed since it was: of each log one partition or more to each of its readers,
    /// and where there are fewer partitions than readers, several readers to each.
    fn set_targets(&mut self) {
        if self.target_epoch == self.epoch {
            return;
        }
        let mut target: BTreeMap<u64, BTreeSet<PartitionName>> = BTreeMap::new();
        for (log, (_, partitions)) in &self.logs {
            let readers = self.members.iter();
            let readers = readers.filter(|(_, one)| one.reads.contains(log));
            let mut readers: Vec<_> = readers.map(|(at, one)| (&one.id, *at)).collect();
            readers.sort_unstable();
            let most = readers.len().max(*partitions as usize);
            for nth in 0..most {
                let reader = readers.get(nth % readers.len().max(1));
                let partition = (nth as u32).checked_rem(*partitions);
                if let (Some((_, at)), Some(partition)) = (reader, partition) {
                    let log = log.clone();
                    let name = PartitionName { log, partition };
                    target.entry(*at).or_default().insert(name);
                }
            }
        }
        self.target = target;
        self.target_epoch = self.epoch;
    }

    fn touch(&mut self, at: u64, number: u64, round: &mut Round<'_>) {
        if let Some(member) = self.members.get_mut(&at) {
            member.deadline = round.now.saturating_add(SESSION_MS);
            let timer = timer(number, at);
            round.timers.arm(&mut member.armed, member.deadline, timer);
        }
    }

    fn remove(&mut self, at: u64, number: u64, round: &mut Round<'_>) {
        if let Some(mut member) = self.members.remove(&at) {
            round.timers.disarm(&mut member.armed, timer(number, at));
            self.weight -= member.weight();
            self.ids.remove(&member.id);
            self.target.remove(&at);
            self.epoch = self.epoch.saturating_add(1);
        }
    }

    /// A member may be lost.
    pub(super) fn ring(&mut self, at: u64, number: u64, round: &mut Round<'_>) {
        let Some(member) = self.members.get_mut(&at) else {
            return;
        };
        member.armed = None;
        if member.deadline > round.now {
            let deadline = member.deadline;
            round
                .timers
                .arm(&mut member.armed, deadline, timer(number, at));
        } else {
            self.remove(at, number, round);
        }
    }

    pub(super) fn disarm(&mut self, number: u64, timers: &mut super::Timers) {
        for (at, member) in &mut self.members {
            timers.disarm(&mut member.armed, timer(number, *at));
        }
    }

    pub(super) fn state(&self) -> GroupState {
        let is_told = |one: &Leaser| one.epoch == self.target_epoch;
        if self.members.is_empty() {
            GroupState::Empty
        } else if self.epoch == self.target_epoch && self.members.values().all(is_told) {
            GroupState::Stable
        } else {
            GroupState::Reconciling
        }
    }

    pub(super) fn summary(&self, group: &str) -> SharedSummary {
        let member = |one: &Leaser| SharedMemberSummary {
            member: one.id.to_string(),
            instance: None,
            client: one.client.to_string(),
            host: one.host.to_string(),
            epoch: Some(one.epoch),
            reads: one.reads.iter().cloned().collect(),
            pattern: None,
            is_guest: false,
            assigned: one.assigned.iter().cloned().collect(),
            target: one.assigned.iter().cloned().collect(),
        };
        SharedSummary {
            group: group.to_owned(),
            state: self.state(),
            epoch: self.epoch,
            assigned_epoch: self.target_epoch,
            assignor: ASSIGNOR.to_owned(),
            members: self.members.values().map(member).collect(),
        }
    }

    /// What must always hold; what is armed.
    #[cfg(test)]
    pub(super) fn check(&self) -> Vec<(Millis, Of)> {
        assert_eq!(self.ids.len(), self.members.len());
        let weights = self.members.values().map(Leaser::weight);
        assert_eq!(self.weight, weights.sum::<usize>());
        let armed = self.members.iter();
        let armed = armed.filter_map(|(at, one)| Some((one.armed?, Of::Leaser(*at))));
        armed.collect()
    }
}

impl Leaser {
    fn weight(&self) -> usize {
        let names = self.reads.iter().map(|name| 48 + name.as_str().len());
        BYTES + self.id.len() + self.client.len() + self.host.len() + names.sum::<usize>()
    }
}

const fn timer(group: u64, at: u64) -> Timer {
    Timer {
        group,
        of: Of::Leaser(at),
    }
}

fn answer(beat: &Beat, epoch: Option<u32>, assignment: Option<Vec<PartitionName>>) -> BeatAnswer {
    BeatAnswer {
        member: beat.member.clone(),
        epoch,
        interval_ms: INTERVAL_MS,
        assignment,
    }
}
