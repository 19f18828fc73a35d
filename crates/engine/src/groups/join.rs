//! Joining: who may come in, and how a group comes from one generation to the next.

use polybus_model::{Assignor, GroupError, GroupReply, Join, Joined, Millis};

use super::group::{Expected, Group, Phase, Round};
use super::member::{Member, Waiter};
use super::timers::Of;

/// A member that is not yet told that it is one cannot give signs of life. If its client is gone it would hold up every
/// rebalance, so it has to ask again in this time (Kafka's).
const NEW_MEMBER_MS: Millis = 5 * 60_000;

impl Group {
    /// A join. Answered at once if it gives an error or an answer.
    pub(super) fn join(
        &mut self,
        join: &Join,
        waiter: Waiter,
        round: &mut Round<'_>,
    ) -> Option<Result<Box<Joined>, GroupError>> {
        // Where the broker shares out the work it joins as a guest (`shared`).
        if self.phase == Phase::Shared || self.leases() {
            return Some(Err(GroupError::Inconsistent));
        }
        let answer = match &join.member {
            None => self.join_new(join, waiter, round),
            Some(id) => self.join_again(id, join, waiter, round),
        };
        self.try_complete(round);
        answer
    }

    fn join_new(
        &mut self,
        join: &Join,
        waiter: Waiter,
        round: &mut Round<'_>,
    ) -> Option<Result<Box<Joined>, GroupError>> {
        let known = join
            .instance
            .as_deref()
            .and_then(|name| self.instances.get(name));
        let known = known.copied();
        if known.is_none() && self.ids.len() >= round.options.members_max {
            return Some(Err(GroupError::Full));
        }
        if !self.can_share_with(join) {
            return Some(Err(GroupError::Inconsistent));
        }
        if self.ids.contains_key(join.new_member.as_str()) {
            let text = format!("the id '{}' is taken: ask again", join.new_member);
            return Some(Err(GroupError::Unavailable(text)));
        }
        if let Some(at) = known {
            return self.replace(at, join, waiter, round);
        }
        let at = self.next();
        if join.instance.is_none() && join.id_first {
            let id: Box<str> = join.new_member.as_str().into();
            self.ids.insert(id.clone(), at);
            let mut expected = Expected { id, armed: None };
            let due = round.now.saturating_add(join.session_timeout_ms);
            let timer = self.timer(Of::Expected(at));
            round.timers.arm(&mut expected.armed, due, timer);
            self.expected.insert(at, expected);
            let id = join.new_member.clone();
            return Some(Err(GroupError::MemberIdRequired(id)));
        }
        self.welcome(at, &join.new_member, join, waiter, round);
        None
    }

    fn join_again(
        &mut self,
        id: &str,
        join: &Join,
        waiter: Waiter,
        round: &mut Round<'_>,
    ) -> Option<Result<Box<Joined>, GroupError>> {
        if !self.can_share_with(join) {
            return Some(Err(GroupError::Inconsistent));
        }
        if let Some(at) = self.ids.get(id).copied()
            && self.expected.contains_key(&at)
        {
            if join.instance.is_some() {
                return Some(Err(GroupError::UnknownMember));
            }
            self.drop_expected(at, round);
            self.welcome(at, id, join, waiter, round);
            return None;
        }
        let at = match self.seat(id, join.instance.as_deref()) {
            Ok(at) => at,
            Err(error) => return Some(Err(error)),
        };
        let same = self
            .members
            .get(&at)
            .is_some_and(|member| member.matches(join));
        let is_leader = self.leader == Some(at);
        match self.phase {
            Phase::Empty | Phase::Shared | Phase::Leasing => Some(Err(GroupError::UnknownMember)),
            // It may not have got the answer to its first request.
            Phase::Assigning if same => {
                self.touch(at, round);
                Some(Ok(self.joined(at)))
            }
            // A leader that joins again wants the work to be shared out anew: it sees partitions that others do not.
            Phase::Stable if same && !is_leader => {
                self.touch(at, round);
                Some(Ok(self.joined(at)))
            }
            Phase::Joining | Phase::Assigning | Phase::Stable => {
                self.update(at, join, waiter, round);
                self.rebalance(round);
                None
            }
        }
    }

    /// Whether a member could share the work with those who are there.
    fn can_share_with(&self, join: &Join) -> bool {
        if self.phase == Phase::Empty {
            return !join.protocol_type.is_empty() && !join.assignors.is_empty();
        }
        let members = self.members.len();
        let knows = |one: &Assignor| self.votes.get(&one.name).copied().unwrap_or(0) == members;
        self.protocol_type.as_deref() == Some(join.protocol_type.as_str())
            && join.assignors.iter().any(knows)
    }

    /// A new member.
    fn welcome(&mut self, at: u64, id: &str, join: &Join, waiter: Waiter, round: &mut Round<'_>) {
        let mut member = Member::new(id.into(), join);
        member.joining = Some(waiter);
        member.deadline = round.now.saturating_add(NEW_MEMBER_MS);
        let (deadline, timer) = (member.deadline, self.timer(Of::Member(at)));
        round.timers.arm(&mut member.armed, deadline, timer);
        self.newcomer |= self.gathering.is_some();
        self.add(at, member, &join.protocol_type);
        self.rebalance(round);
    }

    /// A client comes back under its lasting name: it takes the place of the one that had it.
    fn replace(
        &mut self,
        at: u64,
        join: &Join,
        waiter: Waiter,
        round: &mut Round<'_>,
    ) -> Option<Result<Box<Joined>, GroupError>> {
        let old_leader = self.leader.map(|leader| self.id_of(leader).to_owned());
        let member = self.members.get_mut(&at)?;
        self.weight -= member.weight();
        self.ids.remove(&member.id);
        member.id = join.new_member.as_str().into();
        self.ids.insert(member.id.clone(), at);
        self.weight += member.weight();
        if let Some(old) = member.joining.take() {
            self.joining -= 1;
            round.tell(old, GroupReply::Joined(Err(GroupError::Fenced)));
        }
        if let Some(old) = member.syncing.take() {
            round.tell(old, GroupReply::Synced(Err(GroupError::Fenced)));
        }
        self.update(at, join, waiter, round);
        self.touch(at, round);
        if self.phase != Phase::Stable || self.assignor != self.elect_assignor() {
            // While assigning too: the leader knows the old id only.
            self.rebalance(round);
            return None;
        }
        if let Some(member) = self.members.get_mut(&at) {
            member.joining = None;
            self.joining -= 1;
        }
        let mut joined = self.joined(at);
        if join.can_skip_assignment {
            joined.skip_assignment = self.leader == Some(at);
        } else {
            // It would assign, and nobody would listen: it is not to know that it is the leader.
            joined.members.clear();
            joined.leader = old_leader.unwrap_or_default();
        }
        Some(Ok(joined))
    }

    /// What a member is told of the generation.
    fn joined(&self, at: u64) -> Box<Joined> {
        let assignor = self.assignor.clone().unwrap_or_default();
        let members = if self.leader == Some(at) {
            let of = |one: &Member| {
                let instance = one.instance.as_deref().map(Into::into);
                (one.id.to_string(), instance, one.metadata(&assignor))
            };
            self.members.values().map(of).collect()
        } else {
            Vec::new()
        };
        Box::new(Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            leader: self
                .leader
                .map_or_else(String::new, |at| self.id_of(at).to_owned()),
            member: self.id_of(at).to_owned(),
            assignor,
            members,
            skip_assignment: false,
        })
    }

    /// The work is to be shared out anew, unless that is under way: members are waited for.
    pub(super) fn rebalance(&mut self, round: &mut Round<'_>) {
        if self.phase == Phase::Joining {
            return;
        }
        if self.phase == Phase::Assigning {
            self.cancel_assignments(round);
        }
        let sync = self.timer(Of::Sync);
        round.timers.disarm(&mut self.sync_armed, sync);
        self.unsynced.clear();
        let longest = self.rebalance_timeout();
        let wait = if self.phase == Phase::Empty {
            let delay = round.options.initial_delay_ms;
            self.gathering = Some(longest.saturating_sub(delay));
            self.newcomer = false;
            delay
        } else {
            longest
        };
        self.phase = Phase::Joining;
        self.emptied = None;
        self.wait_for_joins(wait, round);
        self.try_complete(round);
    }

    fn wait_for_joins(&mut self, wait: Millis, round: &mut Round<'_>) {
        let timer = self.timer(Of::Join);
        round.timers.disarm(&mut self.join_armed, timer);
        let due = round.now.saturating_add(wait);
        round.timers.arm(&mut self.join_armed, due, timer);
    }

    /// Those who wait for their assignment are to join again.
    fn cancel_assignments(&mut self, round: &mut Round<'_>) {
        let numbers: Vec<u64> = self.members.keys().copied().collect();
        for at in numbers {
            let Some(member) = self.members.get_mut(&at) else {
                continue;
            };
            self.weight -= std::mem::take(&mut member.assignment).len();
            if let Some(waiter) = member.syncing.take() {
                round.tell(waiter, GroupReply::Synced(Err(GroupError::Rebalancing)));
                self.touch(at, round);
            }
        }
    }

    /// The time to join is over.
    pub(super) fn join_is_over(&mut self, round: &mut Round<'_>) {
        self.join_armed = None;
        if self.phase != Phase::Joining {
            return;
        }
        if let Some(left) = self.gathering
            && self.newcomer
            && left > 0
        {
            let wait = round.options.initial_delay_ms.min(left);
            self.newcomer = false;
            self.gathering = Some(left - wait);
            self.wait_for_joins(wait, round);
        } else {
            self.complete_join(round);
        }
    }

    /// Ends the joining if nobody else is to come.
    pub(super) fn try_complete(&mut self, round: &mut Round<'_>) {
        let all = self.joining == self.members.len() && self.expected.is_empty();
        if self.phase == Phase::Joining && self.gathering.is_none() && all {
            self.complete_join(round);
        }
    }

    /// The next generation: those who joined, and those with lasting names, who may be away for a while.
    fn complete_join(&mut self, round: &mut Round<'_>) {
        let timer = self.timer(Of::Join);
        round.timers.disarm(&mut self.join_armed, timer);
        self.gathering = None;
        let away = |one: &Member| one.joining.is_none() && one.instance.is_none();
        let late: Vec<u64> = numbers(self.members.iter().filter(|(_, one)| away(one)));
        for at in late {
            self.drop_member(at, round);
        }
        if self.members.is_empty() {
            self.generation = self.generation.saturating_add(1);
            self.assignor = None;
            self.leader = None;
            self.phase = Phase::Empty;
            self.emptied = Some(round.now);
            self.changed = true;
            return;
        }
        let here = |at: &u64| {
            self.members
                .get(at)
                .is_some_and(|one| one.joining.is_some())
        };
        if !self.leader.as_ref().is_some_and(here) {
            let Some(leader) = self.members.keys().copied().find(here) else {
                // Nobody is here who could lead: until one comes, or the last is out.
                self.wait_for_joins(self.rebalance_timeout(), round);
                return;
            };
            self.leader = Some(leader);
        }
        self.generation = self.generation.saturating_add(1);
        self.assignor = self.elect_assignor();
        self.phase = Phase::Assigning;
        self.changed = true;
        self.announce(round);
    }

    /// Tells all members of the new generation.
    fn announce(&mut self, round: &mut Round<'_>) {
        for at in numbers(self.members.iter()) {
            let joined = self.joined(at);
            if let Some(member) = self.members.get_mut(&at) {
                member.is_new = false;
                if let Some(waiter) = member.joining.take() {
                    self.joining -= 1;
                    round.tell(waiter, GroupReply::Joined(Ok(joined)));
                }
            }
            self.touch(at, round);
            self.unsynced.insert(at);
        }
        let due = round.now.saturating_add(self.rebalance_timeout());
        let timer = self.timer(Of::Sync);
        round.timers.arm(&mut self.sync_armed, due, timer);
    }

    /// The assignor that most members like best among those that all know; of equals, the older members' choice.
    fn elect_assignor(&self) -> Option<String> {
        let all = self.members.len();
        let mut votes: Vec<(&str, usize)> = Vec::new();
        for member in self.members.values() {
            let choice = member
                .assignors
                .iter()
                .find(|one| self.votes.get(&one.name) == Some(&all));
            let Some(choice) = choice else {
                continue;
            };
            match votes.iter_mut().find(|(name, _)| *name == choice.name) {
                Some((_, count)) => *count += 1,
                None => votes.push((&choice.name, 1)),
            }
        }
        let most = votes.iter().map(|(_, count)| *count).max()?;
        let first = votes.iter().find(|(_, count)| *count == most);
        first.map(|(name, _)| (*name).to_owned())
    }

    /// A member is out: left, or not heard of.
    pub(super) fn remove(&mut self, at: u64, round: &mut Round<'_>) {
        self.drop_member(at, round);
        match self.phase {
            Phase::Empty | Phase::Shared | Phase::Leasing => {}
            Phase::Joining => self.try_complete(round),
            Phase::Assigning | Phase::Stable => self.rebalance(round),
        }
    }

    /// A client that was told its id is not waited for any longer.
    pub(super) fn give_up_on(&mut self, at: u64, round: &mut Round<'_>) {
        self.drop_expected(at, round);
        self.try_complete(round);
    }
}

fn numbers<'a, T: 'a>(members: impl Iterator<Item = (&'a u64, T)>) -> Vec<u64> {
    members.map(|(at, _)| *at).collect()
}
