//! Guests: members that speak as where the members share the work out among themselves, in a group in which the broker does it. So a
//! group moves from the one protocol to the other member by member.
//!
//! ```text
//! a group of members by themselves -- the first that lets the broker share --> its members are guests
//! a guest joins again -> what it may have in its hands, as with a sign of life; its sync only tells it
//! a guest's heartbeat -> it is to join again, if there is something for it to give back or to take
//! only guests are left -> they share the work out by themselves again
//! ```

use bytes::Bytes;
use polybus_model::{Assignor, GroupError, Join, Joined, Membership, Millis, PartitionName};

use super::super::group::Round;
use super::super::member::Member;
use super::{Logs, Shared, Worker};

/// The sort of a group that can move: its members say which logs they read.
pub(in crate::groups) const MOVING_TYPE: &str = "consumer";

/// What only a guest has.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) session_timeout: Millis,
    /// Its assignors, the one it likes best first; never none.
    assignors: Vec<Assignor>,
}

impl Guest {
    fn new(session_timeout: Millis, assignors: &[Assignor]) -> Self {
        // What it keeps is copied: the request's bytes are part of what was read with it.
        let kept = assignors.iter().map(|one| Assignor {
            name: one.name.clone(),
            metadata: Bytes::copy_from_slice(&one.metadata),
        });
        Self {
            session_timeout,
            assignors: kept.collect(),
        }
    }

    fn assignor(&self) -> String {
        let first = self.assignors.first();
        first.map_or_else(String::new, |one| one.name.clone())
    }

    pub(super) fn weight(&self) -> usize {
        let each = self.assignors.iter();
        each.map(|one| 64 + one.name.len() + one.metadata.len())
            .sum()
    }
}

impl Shared {
    /// Takes a member over of a group whose members shared the work out themselves, with what it has in its hands.
    pub(in crate::groups) fn adopt(&mut self, member: &Member, number: u64, round: &mut Round<'_>) {
        self.next_member += 1;
        let at = self.next_member;
        let reads = member.reads.iter().flatten().cloned();
        let named: std::collections::BTreeSet<_> = reads.collect();
        let mut worker = Worker {
            id: member.id.clone(),
            instance: member.instance.clone(),
            client: member.client.clone(),
            host: member.host.clone(),
            rebalance_timeout: member.rebalance_timeout,
            reads: named.clone(),
            named,
            epoch: self.epoch,
            previous_epoch: self.epoch,
            guest: Some(Guest::new(member.session_timeout, &member.assignors)),
            ..Worker::default()
        };
        for partition in &member.share {
            if !self.owners.contains_key(partition) {
                self.owners.insert(partition.clone(), at);
                worker.assigned.insert(partition.clone());
            }
        }
        self.target.insert(at, worker.assigned.clone());
        self.ids.insert(worker.id.clone(), at);
        if let Some(instance) = &worker.instance {
            self.instances.insert(instance.clone(), at);
        }
        self.members.insert(at, worker);
        self.count(at, true);
        self.changed = true;
        self.touch(at, number, round);
    }

    /// Whether all that are left are guests.
    pub(in crate::groups) fn is_left_to_guests(&self) -> bool {
        !self.members.is_empty() && self.guests == self.members.len()
    }

    /// The guests as members that share the work out by themselves, and the last epoch that one of them was told.
    pub(in crate::groups) fn into_members(
        mut self,
        number: u64,
        round: &mut Round<'_>,
    ) -> (u32, Vec<Member>) {
        self.disarm(number, round.timers);
        let epochs = self.members.values().map(|one| one.epoch);
        let epoch = epochs.max().unwrap_or(self.epoch);
        let members = self.members.into_values().filter_map(|one| {
            let guest = one.guest?;
            Some(Member::of_guest(
                (one.id, one.instance),
                (one.client, one.host),
                (guest.session_timeout, one.rebalance_timeout),
                guest.assignors,
                one.named.into_iter().collect(),
            ))
        });
        (epoch, members.collect())
    }

    /// A guest joins, or joins again with what it has in its hands.
    pub(in crate::groups) fn join(
        &mut self,
        join: &Join,
        number: u64,
        logs: &Logs<'_>,
        round: &mut Round<'_>,
    ) -> Result<Box<Joined>, GroupError> {
        let known = self.guest_that_joins(join)?;
        if join.protocol_type != MOVING_TYPE || !self.can_share_with(join, known) {
            return Err(GroupError::Inconsistent);
        }
        let Some(reads) = &join.reads else {
            return Err(GroupError::Inconsistent);
        };
        let at = match known {
            Some(at) => self.rename(at, join),
            None => self.welcome(join, round)?,
        };
        self.count(at, false);
        if let Some(member) = self.members.get_mut(&at) {
            member.client = join.client.as_str().into();
            member.host = join.host.as_str().into();
            member.rebalance_timeout = join.rebalance_timeout_ms;
            member.named = reads.iter().cloned().collect();
            member.guest = Some(Guest::new(join.session_timeout_ms, &join.assignors));
        }
        self.count(at, true);
        self.set_reads(at);
        self.look_at_logs(logs);
        if std::mem::take(&mut self.changed) {
            self.epoch = self.epoch.saturating_add(1);
        }
        self.set_targets();
        self.reconcile(at, Some(&join.owned), number, round);
        self.touch(at, number, round);
        let member = self.members.get(&at).ok_or(GroupError::UnknownMember)?;
        let guest = member.guest.as_ref().ok_or(GroupError::UnknownMember)?;
        Ok(Box::new(Joined {
            generation: member.epoch,
            protocol_type: MOVING_TYPE.to_owned(),
            assignor: guest.assignor(),
            // The broker leads.
            leader: String::new(),
            member: member.id.to_string(),
            members: Vec::new(),
            skip_assignment: false,
        }))
    }

    /// The guest that joins again; none for a new one.
    fn guest_that_joins(&self, join: &Join) -> Result<Option<u64>, GroupError> {
        let by_instance = join
            .instance
            .as_deref()
            .and_then(|name| self.instances.get(name));
        let at = match (by_instance, &join.member) {
            (Some(at), Some(id)) => {
                let is_it = self.members.get(at).is_some_and(|one| *one.id == **id);
                Some(*is_it.then_some(at).ok_or(GroupError::Fenced)?)
            }
            (Some(at), None) => Some(*at),
            (None, Some(id)) => {
                let at = self.ids.get(id.as_str());
                Some(*at.ok_or(GroupError::UnknownMember)?)
            }
            (None, None) => None,
        };
        let is_other = |at: u64| self.members.get(&at).is_some_and(|one| one.guest.is_none());
        match at {
            Some(at) if is_other(at) => Err(GroupError::UnknownMember),
            at => Ok(at),
        }
    }

    /// Whether all guests have an assignor in common with one that joins: they may share the work by themselves one day.
    fn can_share_with(&self, join: &Join, known: Option<u64>) -> bool {
        let others = self.members.iter().filter(|(at, _)| Some(**at) != known);
        let mut guests = others.filter_map(|(_, one)| one.guest.as_ref());
        let is_known =
            |guest: &Guest, name: &str| guest.assignors.iter().any(|one| one.name == name);
        let mut common: Vec<&str> = join.assignors.iter().map(|one| one.name.as_str()).collect();
        guests.all(|guest| {
            common.retain(|name| is_known(guest, name));
            !common.is_empty()
        }) && !common.is_empty()
    }

    fn welcome(&mut self, join: &Join, round: &Round<'_>) -> Result<u64, GroupError> {
        if self.members.len() >= round.options.members_max {
            return Err(GroupError::Full);
        }
        if self.ids.contains_key(join.new_member.as_str()) {
            let text = format!("the id '{}' is taken: ask again", join.new_member);
            return Err(GroupError::Unavailable(text));
        }
        self.next_member += 1;
        let at = self.next_member;
        let worker = Worker {
            id: join.new_member.as_str().into(),
            instance: join.instance.as_deref().map(Into::into),
            guest: Some(Guest::new(join.session_timeout_ms, &join.assignors)),
            ..Worker::default()
        };
        self.ids.insert(worker.id.clone(), at);
        if let Some(instance) = &worker.instance {
            self.instances.insert(instance.clone(), at);
        }
        self.members.insert(at, worker);
        self.count(at, true);
        self.changed = true;
        Ok(at)
    }

    /// A client that comes back under its lasting name without an id gets a new one.
    fn rename(&mut self, at: u64, join: &Join) -> u64 {
        if join.member.is_none() {
            self.count(at, false);
            if let Some(member) = self.members.get_mut(&at) {
                self.ids.remove(&member.id);
                member.id = join.new_member.as_str().into();
                self.ids.insert(member.id.clone(), at);
            }
            self.count(at, true);
        }
        at
    }

    /// The guest that says it is one, in its epoch.
    fn guest(&self, who: &Membership) -> Result<u64, GroupError> {
        let at = self.seat_of(&who.member, who.instance.as_deref())?;
        let member = self.members.get(&at).ok_or(GroupError::UnknownMember)?;
        if member.guest.is_none() {
            return Err(GroupError::UnknownMember);
        }
        if who.generation == Some(member.epoch) {
            Ok(at)
        } else {
            Err(GroupError::OldGeneration)
        }
    }

    /// A guest asks what it may have in its hands.
    pub(in crate::groups) fn sync(
        &mut self,
        who: &Membership,
        number: u64,
        round: &mut Round<'_>,
    ) -> Result<(String, Vec<PartitionName>), GroupError> {
        let at = self.guest(who)?;
        self.touch(at, number, round);
        let member = self.members.get(&at).ok_or(GroupError::UnknownMember)?;
        let assignor = member.guest.as_ref().map(Guest::assignor);
        let share = member.assigned.iter().cloned().collect();
        Ok((assignor.unwrap_or_default(), share))
    }

    /// A guest's sign of life: an error if it is to join again.
    pub(in crate::groups) fn heartbeat(
        &mut self,
        who: &Membership,
        number: u64,
        round: &mut Round<'_>,
    ) -> Result<(), GroupError> {
        let at = self.guest(who)?;
        self.touch(at, number, round);
        let member = self.members.get(&at).ok_or(GroupError::UnknownMember)?;
        let is_free = |one: &PartitionName| !self.owners.contains_key(one);
        let can_take = || {
            self.target
                .get(&at)
                .is_some_and(|all| all.iter().any(is_free))
        };
        let is_behind = member.epoch < self.epoch || !member.revoking.is_empty();
        if is_behind || member.waiting && can_take() {
            return Err(GroupError::Rebalancing);
        }
        Ok(())
    }
}
