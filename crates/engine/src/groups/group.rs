//! One group: its members, the generation they are in, and the offsets they left.
//!
//! ```text
//!           a member joins        all are there, or time is over       the leader's assignments
//!   Empty ----------------> Joining ------------------> Assigning -------------------> Stable
//!     ^                     |    ^                          |                             |
//!     +---------------------+    +--------------------------+-----------------------------+
//!       nobody is left                 a member comes, goes, changes, or does not sync
//! ```
//! Or the broker shares out the work: from Empty to Shared, and back when nobody is left (`shared`); or it leases record by
//! record: to Leasing, and back (`leasers`), which a group does either always or never.
//!
//! What always holds: `members` and `expected` are numbered together, by age, and never share a number; `ids` names both,
//! `instances` the members that have a lasting name; `votes` counts the members that know an assignor, `joining` those whose
//! join waits. A generation is given out once.

use std::collections::{BTreeMap, BTreeSet};

use polybus_model::{
    GroupError, GroupReply, GroupState, GroupSummary, Join, Millis, Name, PartitionName, Sharing,
};

use super::leasers::Leasers;
use super::member::{Member, Waiter};
use super::offset::Offset;
use super::shared::Shared;
use super::timers::{Of, Timer, Timers};
use super::{GroupOptions, Told};

/// The sort of a group whose work the broker shares out: its members could as well do it themselves.
const SHARED_TYPE: &str = "consumer";

/// The sort of a group that leases.
const LEASING_TYPE: &str = "leasing";

/// What a group works with while it is asked something.
pub(super) struct Round<'a> {
    pub(super) now: Millis,
    pub(super) options: &'a GroupOptions,
    pub(super) timers: &'a mut Timers,
    pub(super) told: &'a mut Told,
}

impl Round<'_> {
    pub(super) fn tell(&mut self, waiter: Waiter, reply: GroupReply) {
        self.told.push((waiter, reply));
    }
}

/// A client that was told the id to join with.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) id: Box<str>,
    pub(super) armed: Option<Millis>,
}

/// What members are doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    Empty,
    Joining,
    Assigning,
    Stable,
    /// The broker shares out the work.
    Shared,
    /// It leases record by record.
    Leasing,
}

/// A group.
#[derive(Debug)]
pub(super) struct Group {
    /// Never given to another one.
    pub(super) number: u64,
    /// Its namespace's slot.
    pub(super) namespace: u32,
    pub(super) name: Box<str>,
    pub(super) phase: Phase,
    pub(super) generation: u32,
    /// None if it never had members.
    pub(super) protocol_type: Option<String>,
    pub(super) assignor: Option<String>,
    pub(super) leader: Option<u64>,
    pub(super) members: BTreeMap<u64, Member>,
    pub(super) expected: BTreeMap<u64, Expected>,
    /// There while members are that the broker shares the work among.
    pub(super) shared: Option<Box<Shared>>,
    /// There while members are that lease.
    pub(super) leasers: Option<Box<Leasers>>,
    pub(super) ids: BTreeMap<Box<str>, u64>,
    pub(super) instances: BTreeMap<Box<str>, u64>,
    pub(super) votes: BTreeMap<String, usize>,
    pub(super) joining: usize,
    /// Those who have not yet asked for their assignment in this generation.
    pub(super) unsynced: BTreeSet<u64>,
    next_member: u64,
    pub(super) join_armed: Option<Millis>,
    /// The first members come: how much longer than its timer the join may take.
    pub(super) gathering: Option<Millis>,
    /// One came since the timer was set.
    pub(super) newcomer: bool,
    pub(super) sync_armed: Option<Millis>,
    pub(super) idle_armed: Option<Millis>,
    /// Since when it has no members, if it had some.
    pub(super) emptied: Option<Millis>,
    pub(super) offsets: BTreeMap<PartitionName, Offset>,
    /// What the journal does not yet know: the generation, or that it is empty.
    pub(super) changed: bool,
    /// The journal knows the group.
    pub(super) recorded: bool,
    /// About how much memory members and offsets take,
    pub(super) weight: usize,
    /// and how much of it was reported.
    pub(super) reported: usize,
}

impl Group {
    pub(super) fn new(number: u64, namespace: u32, name: &str) -> Self {
        Self {
            number,
            namespace,
            name: name.into(),
            phase: Phase::Empty,
            generation: 0,
            protocol_type: None,
            assignor: None,
            leader: None,
            members: BTreeMap::new(),
            expected: BTreeMap::new(),
            shared: None,
            leasers: None,
            ids: BTreeMap::new(),
            instances: BTreeMap::new(),
            votes: BTreeMap::new(),
            joining: 0,
            unsynced: BTreeSet::new(),
            next_member: 0,
            join_armed: None,
            gathering: None,
            newcomer: false,
            sync_armed: None,
            idle_armed: None,
            emptied: None,
            offsets: BTreeMap::new(),
            changed: false,
            recorded: false,
            weight: 0,
            reported: 0,
        }
    }

    pub(super) fn timer(&self, of: Of) -> Timer {
        Timer {
            group: self.number,
            of,
        }
    }

    pub(super) fn id_of(&self, at: u64) -> &str {
        self.members.get(&at).map_or("", |member| &member.id)
    }

    /// The member of that id; with a lasting name, the one that has it now.
    pub(super) fn seat(&self, id: &str, instance: Option<&str>) -> Result<u64, GroupError> {
        if let Some(instance) = instance {
            let at = *self
                .instances
                .get(instance)
                .ok_or(GroupError::UnknownMember)?;
            return if self.id_of(at) == id {
                Ok(at)
            } else {
                Err(GroupError::Fenced)
            };
        }
        let at = *self.ids.get(id).ok_or(GroupError::UnknownMember)?;
        if self.members.contains_key(&at) {
            Ok(at)
        } else {
            Err(GroupError::UnknownMember)
        }
    }

    /// A number for a member.
    pub(super) fn next(&mut self) -> u64 {
        self.next_member += 1;
        self.next_member
    }

    /// Adds a member; its join waits.
    pub(super) fn add(&mut self, at: u64, member: Member, protocol_type: &str) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.to_owned());
        }
        self.leader.get_or_insert(at);
        self.ids.insert(member.id.clone(), at);
        if let Some(instance) = &member.instance {
            self.instances.insert(instance.clone(), at);
        }
        self.joining += usize::from(member.joining.is_some());
        self.weight += member.weight();
        count(&mut self.votes, &member, true);
        self.members.insert(at, member);
    }

    /// Takes over what a member says anew; its join waits. The join that waited before is over.
    pub(super) fn update(&mut self, at: u64, join: &Join, waiter: Waiter, round: &mut Round<'_>) {
        let Some(member) = self.members.get_mut(&at) else {
            return;
        };
        self.weight -= member.weight();
        count(&mut self.votes, member, false);
        member.update(join);
        count(&mut self.votes, member, true);
        self.weight += member.weight();
        match member.joining.replace(waiter) {
            None => self.joining += 1,
            Some(old) => {
                round.tell(old, GroupReply::Joined(Err(GroupError::Rebalancing)));
            }
        }
    }

    /// Takes a member out; what it waits for ends with an error.
    pub(super) fn drop_member(&mut self, at: u64, round: &mut Round<'_>) {
        let Some(mut member) = self.members.remove(&at) else {
            return;
        };
        let timer = self.timer(Of::Member(at));
        round.timers.disarm(&mut member.armed, timer);
        self.weight -= member.weight();
        count(&mut self.votes, &member, false);
        self.ids.remove(&member.id);
        if let Some(instance) = &member.instance {
            self.instances.remove(instance);
        }
        if let Some(waiter) = member.joining {
            self.joining -= 1;
            round.tell(waiter, GroupReply::Joined(Err(GroupError::UnknownMember)));
        }
        if let Some(waiter) = member.syncing {
            round.tell(waiter, GroupReply::Synced(Err(GroupError::UnknownMember)));
        }
        if self.leader == Some(at) {
            self.leader = self.members.keys().next().copied();
        }
        self.synced(at, round);
    }

    /// Waits no longer for a client that was told its id.
    pub(super) fn drop_expected(&mut self, at: u64, round: &mut Round<'_>) {
        if let Some(mut expected) = self.expected.remove(&at) {
            let timer = self.timer(Of::Expected(at));
            round.timers.disarm(&mut expected.armed, timer);
            self.ids.remove(&expected.id);
        }
    }

    /// The member has asked for its assignment, or is gone.
    pub(super) fn synced(&mut self, at: u64, round: &mut Round<'_>) {
        if self.unsynced.remove(&at) && self.unsynced.is_empty() {
            let timer = self.timer(Of::Sync);
            round.timers.disarm(&mut self.sync_armed, timer);
        }
    }

    /// A sign of life.
    pub(super) fn touch(&mut self, at: u64, round: &mut Round<'_>) {
        let timer = self.timer(Of::Member(at));
        if let Some(member) = self.members.get_mut(&at) {
            member.deadline = round.now.saturating_add(member.session_timeout);
            let deadline = member.deadline;
            round.timers.arm(&mut member.armed, deadline, timer);
        }
    }

    /// So long all members may take; the slowest counts.
    pub(super) fn rebalance_timeout(&self) -> Millis {
        let timeouts = self.members.values().map(|member| member.rebalance_timeout);
        timeouts.max().unwrap_or(0)
    }

    /// Whether a member reads that log; none if not all say what they read.
    pub(super) fn reads(&self, log: &Name) -> Option<bool> {
        if let Some(shared) = &self.shared {
            return Some(shared.reads(log));
        }
        if let Some(leasers) = &self.leasers {
            return Some(leasers.reads(log));
        }
        let mut reads = false;
        for member in self.members.values() {
            reads |= member.reads.as_ref()?.contains(log);
        }
        Some(reads)
    }

    /// Does something with the members that the broker shares the work among, and sees what it means for the group.
    pub(super) fn with_shared<R>(
        &mut self,
        round: &mut Round<'_>,
        act: impl FnOnce(&mut Shared, u64, &mut Round<'_>) -> R,
    ) -> R {
        let generation = self.generation;
        let mut shared = self
            .shared
            .take()
            .unwrap_or_else(|| Box::new(Shared::new(generation)));
        let before = shared.weight();
        let result = act(&mut shared, self.number, round);
        self.weight = self.weight + shared.weight() - before;
        self.changed |= shared.epoch() != self.generation;
        self.generation = shared.epoch();
        if shared.is_left_to_guests() {
            self.move_from_broker(*shared, round);
        } else if !shared.is_empty() {
            self.phase = Phase::Shared;
            self.emptied = None;
            self.protocol_type = Some(SHARED_TYPE.to_owned());
            self.shared = Some(shared);
        } else if self.phase == Phase::Shared {
            self.phase = Phase::Empty;
            self.emptied = Some(round.now);
        }
        result
    }

    /// Does something with the members that lease, and sees what it means for the group.
    pub(super) fn with_leasers<R>(
        &mut self,
        round: &mut Round<'_>,
        act: impl FnOnce(&mut Leasers, u64, &mut Round<'_>) -> R,
    ) -> R {
        let generation = self.generation;
        let leasers = self.leasers.take();
        let mut leasers = leasers.unwrap_or_else(|| Box::new(Leasers::new(generation)));
        let before = leasers.weight();
        let result = act(&mut leasers, self.number, round);
        self.weight = self.weight + leasers.weight() - before;
        self.changed |= leasers.epoch() != self.generation;
        self.generation = leasers.epoch();
        if !leasers.is_empty() {
            self.phase = Phase::Leasing;
            self.emptied = None;
            self.protocol_type = Some(LEASING_TYPE.to_owned());
            self.leasers = Some(leasers);
        } else if self.phase == Phase::Leasing {
            self.phase = Phase::Empty;
            self.emptied = Some(round.now);
        }
        result
    }

    /// Whether it leases, or did when it had members.
    pub(super) fn leases(&self) -> bool {
        self.protocol_type.as_deref() == Some(LEASING_TYPE)
    }

    /// Whether nothing would be lost with it.
    pub(super) fn is_blank(&self) -> bool {
        self.phase == Phase::Empty && self.expected.is_empty() && self.offsets.is_empty()
    }

    /// All its deadlines go.
    pub(super) fn disarm(&mut self, timers: &mut Timers) {
        let number = self.number;
        let timer = |of| Timer { group: number, of };
        for (at, member) in &mut self.members {
            timers.disarm(&mut member.armed, timer(Of::Member(*at)));
        }
        for (at, expected) in &mut self.expected {
            timers.disarm(&mut expected.armed, timer(Of::Expected(*at)));
        }
        if let Some(shared) = &mut self.shared {
            shared.disarm(number, timers);
        }
        if let Some(leasers) = &mut self.leasers {
            leasers.disarm(number, timers);
        }
        timers.disarm(&mut self.join_armed, timer(Of::Join));
        timers.disarm(&mut self.sync_armed, timer(Of::Sync));
        timers.disarm(&mut self.idle_armed, timer(Of::Idle));
    }

    /// As listings show it. Members show their part in the work only while it is settled.
    pub(super) fn summary(&self, with_members: bool) -> GroupSummary {
        let assignor = match self.phase {
            Phase::Stable => self.assignor.as_deref(),
            _ => None,
        };
        let assignor_now = self.shared.as_ref().map(|shared| shared.assignor());
        let members = if with_members {
            self.members.values()
        } else {
            Default::default()
        };
        GroupSummary {
            group: self.name.to_string(),
            state: match self.phase {
                Phase::Empty => GroupState::Empty,
                Phase::Joining => GroupState::Joining,
                Phase::Assigning => GroupState::Assigning,
                Phase::Stable => GroupState::Stable,
                Phase::Shared => self
                    .shared
                    .as_ref()
                    .map_or(GroupState::Empty, |shared| shared.state()),
                Phase::Leasing => self
                    .leasers
                    .as_ref()
                    .map_or(GroupState::Empty, |leasers| leasers.state()),
            },
            sharing: match self.phase {
                _ if self.leases() => Sharing::Leased,
                Phase::Shared => Sharing::ByBroker,
                _ => Sharing::ByMembers,
            },
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            assignor: assignor.or(assignor_now).unwrap_or_default().to_owned(),
            members: members.map(|member| member.summary(assignor)).collect(),
        }
    }
}

/// Counts a member's assignors in, or out.
fn count(votes: &mut BTreeMap<String, usize>, member: &Member, is_in: bool) {
    for assignor in &member.assignors {
        if is_in {
            *votes.entry(assignor.name.clone()).or_default() += 1;
        } else if let Some(count) = votes.get_mut(&assignor.name) {
            *count -= 1;
            if *count == 0 {
                votes.remove(&assignor.name);
            }
        }
    }
}
