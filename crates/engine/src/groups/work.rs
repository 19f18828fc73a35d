//! Members at work: they get their assignments, give signs of life, leave, or are not heard of any more.

use bytes::Bytes;
use polybus_model::{GroupError, GroupReply, Leaver, Membership, PartitionName};
use rustc_hash::FxHashMap;

use super::group::{Group, Phase, Round};
use super::member::Waiter;
use super::timers::Of;

/// What a sync asks.
pub(super) struct Sync {
    pub(super) membership: Membership,
    pub(super) protocol_type: Option<String>,
    pub(super) assignor: Option<String>,
    pub(super) assignments: Vec<(String, Bytes)>,
    pub(super) shares: Vec<Vec<PartitionName>>,
}

/// The protocol type, the assignor and what a member is to do.
pub(super) type Assigned = (String, String, Bytes);

impl Group {
    /// A member of this generation.
    fn present(&self, who: &Membership) -> Result<u64, GroupError> {
        let at = self.seat(&who.member, who.instance.as_deref())?;
        if who.generation == Some(self.generation) {
            Ok(at)
        } else {
            Err(GroupError::OldGeneration)
        }
    }

    /// A member asks for its assignment, the leader brings all. Answered at once if it gives an error or an answer.
    pub(super) fn sync(
        &mut self,
        sync: Sync,
        waiter: Waiter,
        round: &mut Round<'_>,
    ) -> Option<Result<Assigned, GroupError>> {
        let at = match self.present(&sync.membership) {
            Ok(at) => at,
            Err(error) => return Some(Err(error)),
        };
        let believes = |what: &Option<String>, is: &Option<String>| what.is_none() || what == is;
        if !believes(&sync.protocol_type, &self.protocol_type)
            || !believes(&sync.assignor, &self.assignor)
        {
            return Some(Err(GroupError::Inconsistent));
        }
        match self.phase {
            Phase::Empty | Phase::Shared | Phase::Leasing => Some(Err(GroupError::UnknownMember)),
            Phase::Joining => Some(Err(GroupError::Rebalancing)),
            Phase::Assigning => {
                if let Some(old) = self
                    .members
                    .get_mut(&at)
                    .and_then(|member| member.syncing.replace(waiter))
                {
                    round.tell(old, GroupReply::Synced(Err(GroupError::Rebalancing)));
                }
                self.synced(at, round);
                if self.leader == Some(at) {
                    self.assign(sync.assignments, sync.shares, round);
                }
                None
            }
            Phase::Stable => {
                self.synced(at, round);
                self.touch(at, round);
                Some(Ok(self.assigned(at)))
            }
        }
    }

    fn assigned(&self, at: u64) -> Assigned {
        let assignment = self.members.get(&at).map(|one| one.assignment.clone());
        (
            self.protocol_type.clone().unwrap_or_default(),
            self.assignor.clone().unwrap_or_default(),
            assignment.unwrap_or_default(),
        )
    }

    /// The leader's assignments: all members have their part now, those it does not name an empty one.
    fn assign(
        &mut self,
        assignments: Vec<(String, Bytes)>,
        shares: Vec<Vec<PartitionName>>,
        round: &mut Round<'_>,
    ) {
        let mut parts: FxHashMap<u64, (Bytes, Vec<PartitionName>)> = FxHashMap::default();
        let shares = shares.into_iter().chain(std::iter::repeat_with(Vec::new));
        for ((id, part), share) in assignments.into_iter().zip(shares) {
            if let Some(at) = self.ids.get(id.as_str()) {
                parts.insert(*at, (part, share));
            }
        }
        self.phase = Phase::Stable;
        let numbers: Vec<u64> = self.members.keys().copied().collect();
        for at in numbers {
            let (part, share) = parts.remove(&at).unwrap_or_default();
            let Some(member) = self.members.get_mut(&at) else {
                continue;
            };
            self.weight -= member.weight();
            member.assignment = Bytes::copy_from_slice(&part);
            member.share = share;
            self.weight += member.weight();
            if let Some(waiter) = member.syncing.take() {
                let assigned = self.assigned(at);
                round.tell(waiter, GroupReply::Synced(Ok(assigned)));
                self.touch(at, round);
            }
        }
    }

    /// A sign of life.
    pub(super) fn heartbeat(
        &mut self,
        who: &Membership,
        round: &mut Round<'_>,
    ) -> Result<(), GroupError> {
        let at = self.present(who)?;
        self.touch(at, round);
        match self.phase {
            Phase::Empty | Phase::Shared | Phase::Leasing => Err(GroupError::UnknownMember),
            Phase::Joining => Err(GroupError::Rebalancing),
            Phase::Assigning | Phase::Stable => Ok(()),
        }
    }

    /// A member goes, or is sent away by its lasting name.
    pub(super) fn leave(
        &mut self,
        leaver: &Leaver,
        round: &mut Round<'_>,
    ) -> Result<(), GroupError> {
        let instance = leaver.instance.as_deref();
        if let Some(shared) = &self.shared {
            let at = shared.number_of(&leaver.member, instance);
            let at = at.ok_or(GroupError::UnknownMember)?;
            self.with_shared(round, |shared, number, round| {
                shared.remove(at, number, round);
            });
            return Ok(());
        }
        let at = if leaver.member.is_empty() {
            let at = instance.and_then(|name| self.instances.get(name));
            *at.ok_or(GroupError::UnknownMember)?
        } else {
            let at = self.ids.get(leaver.member.as_str()).copied();
            if let Some(at) = at.filter(|at| self.expected.contains_key(at)) {
                self.give_up_on(at, round);
                return Ok(());
            }
            self.seat(&leaver.member, instance)?
        };
        self.remove(at, round);
        Ok(())
    }

    /// Whether a client may commit offsets, as what it says it is. A member's commit is a sign of life.
    pub(super) fn admit_commit(
        &mut self,
        who: &Membership,
        round: &mut Round<'_>,
    ) -> Result<(), GroupError> {
        if who.generation.is_none() && self.phase == Phase::Empty {
            return Ok(());
        }
        if self.leases() {
            return Err(GroupError::NotFound);
        }
        if let Some(shared) = &self.shared {
            return shared.admit(&who.member, who.generation);
        }
        if who.generation.is_none() && who.member.is_empty() && who.instance.is_none() {
            // Whoever assigns partitions to itself must not work against those who share them.
            return Err(GroupError::UnknownMember);
        }
        let at = self.present(who)?;
        if self.phase == Phase::Assigning {
            // It knows the new generation, and does not yet know what is its own in it.
            return Err(GroupError::Rebalancing);
        }
        self.touch(at, round);
        Ok(())
    }

    /// What is due of a member, or of the group's members together.
    pub(super) fn ring(&mut self, of: Of, round: &mut Round<'_>) {
        match of {
            Of::Member(at) => self.look_for(at, round),
            Of::Expected(at) => {
                if let Some(expected) = self.expected.get_mut(&at) {
                    expected.armed = None;
                }
                self.give_up_on(at, round);
            }
            Of::Join => self.join_is_over(round),
            Of::Sync => self.sync_is_over(round),
            Of::Worker(_) | Of::Revoke(_) => {
                self.with_shared(round, |shared, number, round| {
                    shared.ring(of, number, round);
                });
            }
            Of::Leaser(at) => {
                self.with_leasers(round, |leasers, number, round| {
                    leasers.ring(at, number, round);
                });
            }
            Of::Idle => {}
        }
    }

    /// A member may be lost.
    fn look_for(&mut self, at: u64, round: &mut Round<'_>) {
        let timer = self.timer(Of::Member(at));
        let Some(member) = self.members.get_mut(&at) else {
            return;
        };
        member.armed = None;
        if member.deadline > round.now {
            let deadline = member.deadline;
            round.timers.arm(&mut member.armed, deadline, timer);
        } else if !member.is_waiting() {
            // Of one that waits, the answer sets the timer again.
            self.remove(at, round);
        }
    }

    /// Who has not asked for its assignment until now is not there any more.
    fn sync_is_over(&mut self, round: &mut Round<'_>) {
        self.sync_armed = None;
        if !matches!(self.phase, Phase::Assigning | Phase::Stable) {
            return;
        }
        let silent = std::mem::take(&mut self.unsynced);
        for at in &silent {
            self.drop_member(*at, round);
        }
        if !silent.is_empty() {
            self.rebalance(round);
        }
    }
}
