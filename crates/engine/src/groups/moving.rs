//! A group moves with its members in it: from sharing the work out by themselves to letting the broker do it, and back.

use polybus_model::{GroupError, GroupReply};

use super::group::{Group, Phase, Round};
use super::shared::{MOVING_TYPE, Shared};
use super::timers::Of;

impl Group {
    /// Whether the broker could share the work out among its members: all say what they read.
    pub(super) fn can_move(&self) -> bool {
        matches!(
            self.phase,
            Phase::Joining | Phase::Assigning | Phase::Stable
        ) && self.protocol_type.as_deref() == Some(MOVING_TYPE)
            && self.members.values().all(|one| one.reads.is_some())
    }

    /// From now on the broker shares the work out; its members are guests. Those that wait are to join again.
    pub(super) fn move_to_broker(&mut self, round: &mut Round<'_>) {
        let mut shared = Box::new(Shared::new(self.generation));
        for at in self.members.keys().copied().collect::<Vec<u64>>() {
            if let Some(member) = self.members.get_mut(&at) {
                if let Some(waiter) = member.joining.take() {
                    self.joining -= 1;
                    round.tell(waiter, GroupReply::Joined(Err(GroupError::Rebalancing)));
                }
                if let Some(waiter) = member.syncing.take() {
                    round.tell(waiter, GroupReply::Synced(Err(GroupError::Rebalancing)));
                }
                shared.adopt(member, self.number, round);
            }
            self.drop_member(at, round);
        }
        for at in self.expected.keys().copied().collect::<Vec<u64>>() {
            self.drop_expected(at, round);
        }
        let (join, sync) = (self.timer(Of::Join), self.timer(Of::Sync));
        round.timers.disarm(&mut self.join_armed, join);
        round.timers.disarm(&mut self.sync_armed, sync);
        self.unsynced.clear();
        self.gathering = None;
        self.newcomer = false;
        self.assignor = None;
        self.phase = Phase::Shared;
        self.weight += shared.weight();
        self.shared = Some(shared);
    }

    /// Only guests are left: from now on they share the work out by themselves, and are to join again for that.
    pub(super) fn move_from_broker(&mut self, shared: Shared, round: &mut Round<'_>) {
        self.weight -= shared.weight();
        let (generation, members) = shared.into_members(self.number, round);
        // What they know; the next one is given out when they have joined.
        self.generation = generation;
        self.changed = true;
        self.phase = Phase::Stable;
        for member in members {
            let at = self.next();
            self.add(at, member, MOVING_TYPE);
            self.touch(at, round);
        }
        self.rebalance(round);
    }
}
