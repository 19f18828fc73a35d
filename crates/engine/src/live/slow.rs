//! Those who do not keep up. A session that was handed more than it may have on the way is cut; before it comes to that, those
//! who publish to it are held for a moment, so that a fast publisher goes at the pace of its subscribers.

use std::collections::BTreeSet;

use polybus_model::{Event, Millis};

use crate::turn::Turn;
use crate::{Engine, Hold, Store};

/// With more than this on the way to one of those it publishes to (or a quarter of what is too much, if that is less), a
/// publisher is held, and let go when there is half of it,
const HOLD_BYTES: usize = 1 << 20;
/// or so long after: nobody waits long for another.
const HOLD_MS: Millis = 10;

/// Who is held until when.
#[derive(Debug, Default)]
pub(super) struct Holds {
    by_due: BTreeSet<(Millis, u32)>,
}

impl Holds {
    pub(super) fn deadline(&self) -> Option<Millis> {
        self.by_due.first().map(|(due, _)| *due)
    }
}

impl Engine {
    /// Ends the subscriptions of a session that does not keep up, and tells it.
    pub(super) fn cut_off(&mut self, slot: u32, turn: &mut Turn<'_, impl Store>) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        if session.is_cut {
            return;
        }
        let pending = session.outstanding;
        turn.tell(session.id, Event::TooSlow { pending });
        self.leave(slot);
    }

    /// With more than this on the way to one of those it publishes to, a publisher is held.
    fn hold_bytes(&self) -> usize {
        HOLD_BYTES.min(self.options.live_pending_max / 4)
    }

    /// Holds a publisher if one of those that it publishes to falls behind.
    pub(super) fn hold_if_full(
        &mut self,
        publisher: u32,
        slow: u32,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let hold = self.hold_bytes();
        let is_full = |session: &crate::session::Session| session.outstanding > hold;
        if publisher == slow || !self.sessions.get(slow).is_some_and(is_full) {
            return;
        }
        let Some(session) = self.sessions.get_mut(publisher) else {
            return;
        };
        if session.held_until.is_some() {
            return;
        }
        let due = turn.now + HOLD_MS;
        session.held_until = Some(due);
        turn.out.holds.push(Hold {
            session: session.id,
            holds: true,
        });
        self.live.holds.by_due.insert((due, publisher));
        if let Some(session) = self.sessions.get_mut(slow) {
            session.holding.push(publisher);
        }
    }

    /// Holds a publisher if the session that was told of its message, which came alone, falls behind.
    pub(crate) fn hold_for_last_told(&mut self, publisher: u32, turn: &mut Turn<'_, impl Store>) {
        if let Some(slow) = self.live.last_told.take() {
            self.hold_if_full(publisher, slow, turn);
        }
    }

    /// Lets go who is held for a session, if that has caught up or is gone.
    pub(crate) fn let_go(&mut self, slow: u32, is_gone: bool, turn: &mut Turn<'_, impl Store>) {
        let let_go = self.hold_bytes() / 2;
        let Some(session) = self.sessions.get_mut(slow) else {
            return;
        };
        if session.holding.is_empty() || (session.outstanding > let_go && !is_gone) {
            return;
        }
        for publisher in std::mem::take(&mut session.holding) {
            self.let_one_go(publisher, turn);
        }
    }

    /// Lets go who was held for long enough.
    pub(crate) fn let_overdue_go(&mut self, turn: &mut Turn<'_, impl Store>) {
        while let Some(&(due, publisher)) = self.live.holds.by_due.first() {
            if due > turn.now {
                return;
            }
            self.live.holds.by_due.pop_first();
            self.let_one_go(publisher, turn);
        }
    }

    /// A publisher is held no more. (It may be another one in the place of one that is gone: that is let go too early then.)
    pub(crate) fn let_one_go(&mut self, publisher: u32, turn: &mut Turn<'_, impl Store>) {
        let Some(session) = self.sessions.get_mut(publisher) else {
            return;
        };
        if let Some(due) = session.held_until.take() {
            self.live.holds.by_due.remove(&(due, publisher));
            turn.out.holds.push(Hold {
                session: session.id,
                holds: false,
            });
        }
    }
}
