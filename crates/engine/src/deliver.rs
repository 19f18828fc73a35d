//! From the head of a queue to its consumers, and what else happens at the head: expiry, loading.

use polybus_model::{DeathReason, Delivery, Event, LeaseId, Message, Millis, Reply, Taken};

use crate::queue::Queue;
use crate::queue::block::Cold;
use crate::queue::entry::{Entry, REDELIVERED};
use crate::queue::leases::{Lease, NONE};
use crate::session::{ConsumerRef, LaneState, Session};
use crate::slab::Slab;
use crate::turn::Turn;
use crate::{Engine, Load, Store};

/// A run of messages to load: at most so many, of so many bytes.
const LOAD_LEN: usize = 1_024;
const LOAD_BYTES: usize = 1 << 20;

/// The next run is asked for when fewer than so many are left of those asked for before.
const LOAD_AHEAD: usize = 512;

/// What stands in the way of a delivery.
enum Obstacle {
    OwnCredit,
    Lane,
    Session,
}

/// What the consumer whose turn it is makes of a message that was just published.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Offer {
    /// Nobody waits, or something stands before the message: it has to go through the queue.
    Declined,
    /// It was handed over to a consumer that settles with the delivery: it ended in the turn in which it came, and there is
    /// nothing to store.
    Ended,
    /// This consumer gets it, its credit is used; it is to be leased to it once it is stored.
    Claimed(u32),
}

impl Engine {
    /// Lets a queue's head expire, serves who waits to take a message, and delivers while consumers have credit.
    pub(crate) fn pump(&mut self, slot: u32, turn: &mut Turn<'_, impl Store>) {
        let Self {
            queues,
            lanes,
            sessions,
            work,
            next_stamp,
            resident_bytes,
            options,
            ..
        } = self;
        let Some(queue) = queues.get_mut(slot) else {
            return;
        };
        let crowded = *resident_bytes > options.resident_bytes_max;
        loop {
            let Some(front) = queue.ready.front() else {
                answer_takes_empty(queue, turn);
                return;
            };
            if front.expiry < turn.now {
                if !expire(queue, &mut work.expiries_left, turn) {
                    return;
                }
                continue;
            }
            if !queue.can_kill() {
                return;
            }
            let ready =
                !queue.takes.is_empty() || next_consumer(queue, slot, lanes, sessions).is_some();
            if !ready {
                // What expires this very moment could still have been delivered.
                if front.expiry == turn.now && expire(queue, &mut work.expiries_left, turn) {
                    continue;
                }
                return;
            }
            let wanted = queue.ready.has_cold() && (!front.hot || queue.ready.ahead() < LOAD_AHEAD);
            if wanted {
                request_loads(queue, true, turn);
            }
            if !front.hot {
                return;
            }
            *next_stamp = next_stamp.wrapping_add(1);
            let id = LeaseId {
                queue: slot,
                slot: NONE,
                stamp: *next_stamp,
            };
            if queue.takes.is_empty() {
                deliver(queue, id, crowded, lanes, sessions, turn);
            } else {
                serve_take(queue, id, lanes, sessions, turn);
            }
        }
    }

    /// Offers a message that was just published to the consumer whose turn it is, if it waits and nothing stands before the
    /// message.
    pub(crate) fn offer(
        &mut self,
        slot: u32,
        message: &Message,
        turn: &mut Turn<'_, impl Store>,
    ) -> Offer {
        let Self {
            queues,
            lanes,
            sessions,
            work,
            ..
        } = self;
        let Some(queue) = queues.get_mut(slot) else {
            return Offer::Declined;
        };
        // With levels, a later message of the same batch may have to go first.
        let in_line = queue.has_levels()
            || queue.ready.len() > 0
            || !queue.takes.is_empty()
            || !queue.can_kill();
        if in_line {
            return Offer::Declined;
        }
        let Some(at) = next_consumer(queue, slot, lanes, sessions) else {
            return Offer::Declined;
        };
        claim(queue, at, message, lanes, sessions);
        let Some(consumer) = queue.consumers.get(at) else {
            return Offer::Declined;
        };
        if !consumer.auto_settle {
            return Offer::Claimed(at);
        }
        let delivery = Delivery {
            lane: consumer.lane_id,
            subscriber: consumer.subscriber,
            lease: None,
            message: message.clone(),
            redelivered: work.redelivered,
            attempts: None,
        };
        turn.tell(consumer.session_id, Event::Delivery(delivery));
        Offer::Ended
    }

    /// Leases a message to the consumer that claimed it when it was published.
    pub(crate) fn lend_claimed(
        &mut self,
        slot: u32,
        at: u32,
        entry: Entry,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let crowded = self.resident_bytes > self.options.resident_bytes_max;
        self.next_stamp = self.next_stamp.wrapping_add(1);
        let id = LeaseId {
            queue: slot,
            slot: NONE,
            stamp: self.next_stamp,
        };
        if let Some(queue) = self.queues.get_mut(slot) {
            lend(queue, id, at, entry, crowded, turn);
        }
    }

    /// A load brought messages (or not: then they are asked for again when they are wanted).
    pub(crate) fn loaded(&mut self, slot: u32, messages: &[(u64, Message)]) {
        if let Some(queue) = self.queues.get_mut(slot) {
            queue.place_loaded(messages);
            self.touch(slot);
        }
    }
}

impl Queue {
    /// Puts what a load brought where it belongs.
    pub(crate) fn place_loaded(&mut self, messages: &[(u64, Message)]) {
        let mut dying = self.dying.iter_mut().peekable();
        let mut grown = 0;
        for (sequence, message) in messages {
            // Both are in the order in which they were asked for; what is not dying is ready.
            let mut found = false;
            while let Some((entry, _)) =
                dying.next_if(|(entry, _)| entry.message.is_some() || entry.sequence == *sequence)
            {
                if entry.sequence == *sequence && entry.message.is_none() {
                    entry.message = Some(message.clone());
                    grown += message.memory_size();
                    found = true;
                    break;
                }
            }
            if !found {
                self.ready.load(*sequence, message);
            }
        }
        self.aside_bytes += grown;
        for sequence in std::mem::take(&mut self.asked) {
            self.ready.forget_request(sequence);
        }
    }
}

/// Whose turn it is and who can take a message now; those who cannot are parked on the way.
fn next_consumer(
    queue: &mut Queue,
    slot: u32,
    lanes: &mut Slab<LaneState>,
    sessions: &mut Slab<Session>,
) -> Option<u32> {
    while let Some(at) = queue.consumers.next() {
        let consumer = queue.consumers.get(at)?;
        let obstacle = match (lanes.get(consumer.lane), sessions.get(consumer.session)) {
            _ if !consumer.has_credit() => Obstacle::OwnCredit,
            (Some(lane), _) if !lane.has_credit(consumer.auto_settle) => Obstacle::Lane,
            (_, Some(session)) if session.is_full() => Obstacle::Session,
            _ => return Some(at),
        };
        let waits = ConsumerRef {
            queue: slot,
            consumer: at,
            number: consumer.number,
        };
        match obstacle {
            Obstacle::OwnCredit => {}
            Obstacle::Lane => {
                if let Some(lane) = lanes.get_mut(consumer.lane) {
                    lane.parked.push(waits);
                }
            }
            Obstacle::Session => {
                if let Some(session) = sessions.get_mut(consumer.session) {
                    session.parked.push(waits);
                }
            }
        }
        queue.consumers.park();
    }
    None
}

/// The head expires; false if that has to wait.
fn expire(queue: &mut Queue, left: &mut usize, turn: &mut Turn<'_, impl Store>) -> bool {
    if *left == 0 || !queue.can_kill() {
        return false;
    }
    *left -= 1;
    if let Some(entry) = queue.ready.pop() {
        queue.kill(entry, DeathReason::Expired, turn.store);
    }
    true
}

/// Hands the head to the consumer whose turn it is.
fn deliver(
    queue: &mut Queue,
    id: LeaseId,
    crowded: bool,
    lanes: &mut Slab<LaneState>,
    sessions: &mut Slab<Session>,
    turn: &mut Turn<'_, impl Store>,
) {
    let (Some(at), Some(entry)) = (queue.consumers.next(), queue.ready.pop()) else {
        return;
    };
    let Some(message) = entry.message.as_ref() else {
        return;
    };
    claim(queue, at, message, lanes, sessions);
    lend(queue, id, at, entry, crowded, turn);
}

/// The consumer whose turn it is gets a message: it is the next one's turn.
fn claim(
    queue: &mut Queue,
    at: u32,
    message: &Message,
    lanes: &mut Slab<LaneState>,
    sessions: &mut Slab<Session>,
) {
    if let Some(consumer) = queue.consumers.get_mut(at) {
        if let Some(session) = sessions.get_mut(consumer.session) {
            session.outstanding += message.memory_size();
        }
        if !consumer.auto_settle {
            consumer.held += 1;
            if let Some(lane) = lanes.get_mut(consumer.lane) {
                lane.held += 1;
            }
        }
    }
    queue.consumers.rotate();
}

/// Hands a message that is in no other place to the consumer that has claimed it.
fn lend(
    queue: &mut Queue,
    mut id: LeaseId,
    at: u32,
    mut entry: Entry,
    crowded: bool,
    turn: &mut Turn<'_, impl Store>,
) {
    let attempts = queue.attempts_of(&entry);
    let (Some(consumer), Some(message)) = (queue.consumers.get(at), entry.message.clone()) else {
        return;
    };
    let session = consumer.session_id;
    let mut delivery = Delivery {
        lane: consumer.lane_id,
        subscriber: consumer.subscriber,
        lease: None,
        message,
        redelivered: entry.has(REDELIVERED),
        attempts,
    };
    if consumer.auto_settle {
        queue.end(&entry, turn.store);
    } else {
        let (holder, timeout) = (consumer.holder, consumer.timeout);
        if crowded && entry.stand.is_some() && queue.settings.dead_letter.is_none() {
            entry.message = None;
        }
        let lease = Lease {
            entry,
            holder,
            consumer: at,
            counted: true,
            since: turn.now,
        };
        id.slot = queue.leases.insert(lease, id.stamp);
        watch_leases(queue, timeout, turn.now);
        delivery.lease = Some(id);
    }
    turn.tell(session, Event::Delivery(delivery));
}

/// Makes sure that a lease made now is looked at when it is too old.
fn watch_leases(queue: &mut Queue, timeout: Option<Millis>, now: Millis) {
    if let Some(timeout) = timeout {
        let due = now.saturating_add(timeout);
        queue.lease_check = Some(queue.lease_check.map_or(due, |check| check.min(due)));
    }
}

/// Gives the head to the one who waits longest to take a message.
fn serve_take(
    queue: &mut Queue,
    mut id: LeaseId,
    lanes: &mut Slab<LaneState>,
    sessions: &Slab<Session>,
    turn: &mut Turn<'_, impl Store>,
) {
    let Some(take) = queue.takes.pop_front() else {
        return;
    };
    let is_there = sessions
        .get(take.session)
        .is_some_and(|session| session.lanes.get(&take.lane_id) == Some(&take.lane));
    let Some(lane) = lanes.get_mut(take.lane).filter(|_| is_there) else {
        return;
    };
    let Some(entry) = queue.ready.pop() else {
        return;
    };
    let Some(message) = entry.message.clone() else {
        queue.ready.put_back(entry);
        return;
    };
    let redelivered = entry.has(REDELIVERED);
    let attempts = queue.attempts_of(&entry);
    let lease = if take.auto_settle {
        queue.end(&entry, turn.store);
        None
    } else {
        let holder = *lane
            .holders
            .entry(id.queue)
            .or_insert_with(|| queue.leases.add_holder(take.lane, take.session));
        let lease = Lease {
            entry,
            holder,
            consumer: NONE,
            counted: false,
            since: turn.now,
        };
        id.slot = queue.leases.insert(lease, id.stamp);
        let timeout = queue.settings.consumer_timeout;
        watch_leases(queue, timeout, turn.now);
        Some(id)
    };
    let taken = Taken {
        lease,
        message,
        redelivered,
        attempts,
        remaining: queue.ready.len(),
    };
    let reply = Reply::Taken(Some(Box::new(taken)));
    turn.reply(take.session_id, take.lane_id, Ok(reply));
}

/// There is nothing to take.
fn answer_takes_empty(queue: &mut Queue, turn: &mut Turn<'_, impl Store>) {
    while let Some(take) = queue.takes.pop_front() {
        turn.reply(take.session_id, take.lane_id, Ok(Reply::Taken(None)));
    }
}

/// Asks for the next run of cold messages: those that are to be dead-lettered next, and, if they are wanted, ready ones,
/// which get half of the run.
pub(crate) fn request_loads(queue: &mut Queue, ready: bool, turn: &mut Turn<'_, impl Store>) {
    if !queue.asked.is_empty() {
        return;
    }
    let mut run = Run::default();
    for (entry, _) in &queue.dying {
        let enough = ready && run.is_half_full();
        if let (None, Some(stand)) = (&entry.message, entry.stand) {
            let sequence = entry.sequence;
            if enough || !run.take(Cold { sequence, stand }) {
                break;
            }
        }
    }
    if ready {
        queue.ready.request(|cold| run.take(cold));
    }
    run.send(queue, turn);
}

/// A run being put together.
#[derive(Default)]
pub(crate) struct Run {
    pub(crate) items: Vec<(u64, crate::Place, u32)>,
    bytes: usize,
}

impl Run {
    /// Takes one more, if the run is not full.
    pub(crate) fn take(&mut self, cold: Cold) -> bool {
        let full = self.items.len() >= LOAD_LEN || self.bytes >= LOAD_BYTES;
        if !full {
            self.bytes += cold.stand.len as usize;
            self.items
                .push((cold.sequence, cold.stand.place, cold.stand.len));
        }
        !full
    }

    fn is_half_full(&self) -> bool {
        self.items.len() >= LOAD_LEN / 2 || self.bytes >= LOAD_BYTES / 2
    }

    fn send(self, queue: &mut Queue, turn: &mut Turn<'_, impl Store>) {
        if self.items.is_empty() {
            return;
        }
        queue.asked.extend(self.items.iter().map(|item| item.0));
        turn.out.loads.push(Load {
            queue: queue.incarnation,
            items: self.items,
        });
    }
}
