//! Messages, and what becomes of their copies.

use std::cmp::Reverse;

use polybus_model::{LeaseId, Millis};

use super::{Ledger, ReadyKey};
use crate::shape::{DEAD, QueueShape};

/// What was published.
#[derive(Clone, Debug)]
pub(crate) struct MessageInfo {
    pub(crate) body_len: usize,
    pub(crate) durable: bool,
    pub(crate) priority: Option<u8>,
    pub(crate) ttl: Option<Millis>,
}

/// Where a copy is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// To be delivered.
    Ready,
    /// Waits for its retry, until then at least.
    Waiting(Millis),
    /// Someone holds it.
    Leased(LeaseId),
    /// Settled in that turn.
    Over(u64),
    /// Refused, or lost in a crash before it was durable.
    Never,
    /// Passed over: a rule of its queue must have dropped it.
    Dropped,
}

/// One message in one queue (its home), or later among the dead letters.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) message: u64,
    pub(crate) home: usize,
    pub(crate) order: u64,
    pub(crate) level: u8,
    /// It has to survive a restart while at home.
    pub(crate) durable_home: bool,
    /// It has to survive a restart as a dead letter.
    pub(crate) durable_dead: bool,
    pub(crate) expiry: Option<Millis>,
    /// The turn that published it.
    pub(crate) published: u64,
    /// The turn in which it came to where it is now, or became ready again.
    pub(crate) since: u64,
    pub(crate) state: State,
    /// It is a dead letter.
    pub(crate) dead: bool,
    /// The turn in which it died, where that is known.
    pub(crate) died: Option<u64>,
    /// It was delivered where it is now.
    pub(crate) delivered: bool,
    /// It was delivered while it was at home.
    pub(crate) delivered_home: bool,
    /// A crash came after its publish: all are marked redelivered then.
    pub(crate) crashed: bool,
    /// Failed deliveries at most.
    pub(crate) failures: u64,
    /// After a restart it was not found where one can look: it waits for a retry, or it is gone.
    pub(crate) unsure: bool,
    /// A crash may have left nothing of it, or undone nothing of its end; since then nobody has seen it.
    pub(crate) unfounded: bool,
}

impl Copy {
    pub(crate) fn key(&self) -> ReadyKey {
        (Reverse(self.level), self.order)
    }

    /// It is somewhere on the broker.
    pub(crate) fn is_alive(&self) -> bool {
        matches!(
            self.state,
            State::Ready | State::Waiting(_) | State::Leased(_)
        )
    }

    /// Where it is.
    pub(crate) fn queue(&self) -> usize {
        if self.dead { DEAD } else { self.home }
    }

    /// It has to survive a restart where it is.
    pub(crate) fn is_durable(&self) -> bool {
        if self.dead {
            self.durable_dead
        } else {
            self.durable_home
        }
    }
}

/// The bytes of a message's body: its number, and filling that depends on it.
pub(crate) fn body_of(message: u64, len: usize) -> Vec<u8> {
    let mut body = format!("m{message:08x}.").into_bytes();
    let filling = b'a' + (message % 26) as u8;
    body.resize(body.len().max(len), filling);
    body
}

/// The message's number in a body.
pub(crate) fn id_of(body: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(body.get(1..9)?).ok()?;
    u64::from_str_radix(text, 16).ok()
}

impl Ledger {
    /// The next message's number; its body is [`body_of`] that.
    pub(crate) fn add_message(&mut self, info: MessageInfo) -> u64 {
        self.messages.push(info);
        self.messages.len() as u64 - 1
    }

    pub(crate) fn queue_shape(&self, at: usize) -> &QueueShape {
        // Copies are only ever made for queues of the shape.
        &self.shape.queues[at]
    }

    /// A copy comes into being.
    pub(super) fn add_copy(&mut self, message: u64, home: usize) -> usize {
        let Some(info) = self.messages.get(message as usize).cloned() else {
            return usize::MAX;
        };
        let quorum_keeps = |queue: &QueueShape| {
            queue.is_persistent()
                && (info.durable || queue.settings.kind == polybus_model::QueueKind::Quorum)
        };
        let queue = self.queue_shape(home);
        let ttl = [info.ttl, queue.settings.message_ttl]
            .into_iter()
            .flatten()
            .min();
        let (level, durable_home) = (queue.level_of(info.priority), quorum_keeps(queue));
        let durable_dead = quorum_keeps(self.queue_shape(DEAD));
        let order = self.next_order[home];
        self.next_order[home] += 1;
        let copy = Copy {
            message,
            home,
            order,
            level,
            durable_home,
            durable_dead,
            expiry: ttl.map(|ttl| self.now.saturating_add(ttl)),
            published: self.turn,
            since: self.turn,
            state: State::Ready,
            dead: false,
            died: None,
            delivered: false,
            delivered_home: false,
            crashed: false,
            failures: 0,
            unsure: false,
            unfounded: false,
        };
        let at = self.copies.len();
        self.ready[home].insert(copy.key(), at);
        self.by_message.insert((message, home), at);
        self.copies.push(copy);
        at
    }

    /// Sets a copy's state and keeps the index of ready ones.
    pub(crate) fn set_state(&mut self, at: usize, state: State) {
        let copy = &mut self.copies[at];
        let key = copy.key();
        copy.state = state;
        let home = copy.home;
        if state == State::Ready && !copy.dead {
            self.ready[home].insert(key, at);
        } else {
            self.ready[home].remove(&key);
        }
    }

    /// Settled for good.
    pub(super) fn end(&mut self, at: usize) {
        self.set_state(at, State::Over(self.turn));
    }

    /// It came back from a consumer.
    pub(super) fn give_back(&mut self, at: usize, failed: bool) {
        let copy = &mut self.copies[at];
        copy.failures += u64::from(failed);
        copy.since = self.turn;
        let dead = copy.dead;
        let settings = &self.queue_shape(self.copies[at].queue()).settings;
        let state = match settings.delayed_retry {
            Some(retry) if !dead && retry.of.include(failed) => {
                State::Waiting(self.now.saturating_add(retry.min.min(retry.max)))
            }
            _ => State::Ready,
        };
        self.set_state(at, state);
    }

    /// It is refused for good: a dead letter, or gone where there is nowhere to.
    pub(super) fn bury(&mut self, at: usize) {
        let copy = &self.copies[at];
        if copy.dead || !self.queue_shape(copy.home).has_letters() {
            self.end(at);
        } else {
            // Behind others that die and have to be read back first, it waits: nobody knows for how long.
            let home = copy.home;
            let expires = |copy: &Copy| copy.home == home && copy.expiry.is_some();
            let may_wait = self.queue_shape(home).drops_head() || self.copies.iter().any(expires);
            self.move_to_dead(at, (!may_wait).then_some(self.turn));
        }
    }

    /// It is a dead letter now.
    pub(crate) fn move_to_dead(&mut self, at: usize, died: Option<u64>) {
        let turn = self.turn;
        let copy = &mut self.copies[at];
        if !copy.dead {
            copy.delivered_home = copy.delivered;
        }
        copy.dead = true;
        copy.died = died;
        copy.delivered = false;
        copy.since = turn;
        self.set_state(at, State::Ready);
    }

    /// Whether a rule of its queue may have taken it away, which nobody is told of.
    pub(crate) fn may_be_gone(&self, copy: &Copy) -> bool {
        if copy.dead {
            return false;
        }
        let queue = self.queue_shape(copy.home);
        let expired = copy.expiry.is_some_and(|expiry| expiry <= self.now_max);
        let over_limit = queue
            .settings
            .delivery_limit
            .is_some_and(|limit| copy.failures > limit);
        copy.unsure || expired || over_limit || queue.drops_head()
    }

    /// It is not where it should be, and a rule may have taken it: so it did.
    pub(crate) fn pass_over(&mut self, at: usize) {
        let home = self.copies[at].home;
        if self.queue_shape(home).has_letters() {
            self.move_to_dead(at, None);
        } else {
            self.set_state(at, State::Dropped);
        }
    }
}
