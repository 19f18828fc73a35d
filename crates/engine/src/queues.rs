//! Queues: declared, compared, purged, deleted, journaled.

use polybus_model::{Error, Event, Kind, Name, QueueSettings, Reply, Resource, Table, Value};

use crate::queue::Queue;
use crate::record::codec::Put;
use crate::record::{self, kind, settings};
use crate::turn::{Answer, Asker, Turn};
use crate::{Engine, Store};

/// The arguments that have to be the same, in the order in which they are compared.
const SIGNIFICANT: [&str; 16] = [
    "x-consumer-timeout",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-delayed-retry-max",
    "x-delayed-retry-min",
    "x-delayed-retry-type",
    "x-delivery-limit",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-message-ttl",
    "x-overflow",
    "x-queue-type",
    "x-single-active-consumer",
];

impl Engine {
    pub(crate) fn queue_slot(&self, namespace: u32, name: &str) -> Option<u32> {
        self.namespaces.get(namespace)?.router.queue_slot(name)
    }

    /// The slot of a queue that the asker may use.
    pub(crate) fn usable_queue(&self, asker: Asker, name: &Name) -> Result<u32, Error> {
        match self.queue_slot(asker.namespace, name.as_str()) {
            Some(slot) => self.check_owner(asker, slot).map(|()| slot),
            None => Err(self.failure(Kind::NotFound, Resource::Queue, name, asker.namespace)),
        }
    }

    /// An exclusive queue is its owner's alone.
    pub(crate) fn check_owner(&self, asker: Asker, slot: u32) -> Result<(), Error> {
        match self.queues.get(slot) {
            Some(queue) if queue.owner.is_some_and(|owner| owner != asker.id) => {
                Err(self.failure(Kind::Locked, Resource::Queue, &queue.name, asker.namespace))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn declare_queue(
        &mut self,
        asker: Asker,
        name: &Name,
        settings: Option<QueueSettings>,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<Answer, Error> {
        let refuse =
            |engine: &Self, kind| Err(engine.failure(kind, Resource::Queue, name, asker.namespace));
        if let Some(slot) = self.queue_slot(asker.namespace, name.as_str()) {
            return self.redeclare_queue(asker, slot, settings.as_ref(), turn);
        }
        if let Some(done) = self.declare_log_queue(asker, name, settings.as_ref(), turn) {
            return done;
        }
        let Some(settings) = settings else {
            return refuse(self, Kind::NotFound);
        };
        if self.queues.len() >= self.options.queues_max {
            let text = format!("at most {} queues (queues_max)", self.options.queues_max);
            return refuse(self, Kind::LimitReached(text));
        }
        let owner = settings.exclusive.then_some(asker.id);
        let incarnation = self.next_incarnation;
        let queue = Queue::new(
            name.clone(),
            asker.namespace,
            incarnation,
            settings,
            owner,
            turn.now,
        );
        if owner.is_some()
            && let Some(session) = self.sessions.get_mut(asker.session)
        {
            session.owned.push(incarnation);
        }
        let persistent = queue.persistent;
        if persistent && let Some(namespace) = self.namespaces.get(asker.namespace) {
            put_queue_declared(&mut self.work.buffer, &namespace.name, &queue);
            turn.append(&self.work.buffer, incarnation);
        }
        let slot = self.insert_queue(queue);
        self.touch(slot);
        let reply = Reply::Queue {
            name: name.clone(),
            messages: 0,
            consumers: 0,
        };
        Ok(answer(persistent, reply))
    }

    /// Puts a queue into its slot and tells the router.
    pub(crate) fn insert_queue(&mut self, queue: Queue) -> u32 {
        let (namespace, incarnation, name) =
            (queue.namespace, queue.incarnation, queue.name.clone());
        self.next_incarnation = self.next_incarnation.max(incarnation + 1);
        let slot = self.queues.insert(Box::new(queue));
        self.incarnations.insert(incarnation, slot);
        if let Some(namespace) = self.namespaces.get_mut(namespace) {
            namespace.router.queue_declared(&name, slot);
        }
        slot
    }

    fn redeclare_queue(
        &mut self,
        asker: Asker,
        slot: u32,
        settings: Option<&QueueSettings>,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<Answer, Error> {
        if let (Some(queue), Some(settings)) = (self.queues.get(slot), settings)
            && let Some(kind) = flag_difference(&queue.settings, settings)
        {
            return Err(self.failure(kind, Resource::Queue, &queue.name, asker.namespace));
        }
        self.check_owner(asker, slot)?;
        if let (Some(queue), Some(settings)) = (self.queues.get(slot), settings) {
            let kind = if queue.settings.exclusive == settings.exclusive {
                argument_difference(&queue.settings.arguments, &settings.arguments)
            } else {
                Some(Kind::Locked)
            };
            if let Some(kind) = kind {
                return Err(self.failure(kind, Resource::Queue, &queue.name, asker.namespace));
            }
        }
        let Some(queue) = self.queues.get_mut(slot) else {
            return Ok(Answer::Silent);
        };
        queue.last_used = turn.now;
        Ok(Answer::Now(Reply::Queue {
            name: queue.name.clone(),
            messages: queue.ready.len(),
            consumers: queue.consumers.len() as u64,
        }))
    }

    pub(crate) fn delete_queue_by_name(
        &mut self,
        asker: Asker,
        name: &Name,
        if_unused: bool,
        if_empty: bool,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<Answer, Error> {
        let Some(slot) = self.queue_slot(asker.namespace, name.as_str()) else {
            let deleted = self.delete_log_queue(asker, name, turn);
            return Ok(deleted.unwrap_or(Answer::Now(Reply::Count(0))));
        };
        self.check_owner(asker, slot)?;
        let Some(queue) = self.queues.get(slot) else {
            return Ok(Answer::Silent);
        };
        let count = queue.ready.len();
        // Those that die are on their way to another queue, and would be lost.
        let holds_any = count > 0 || !queue.dying.is_empty();
        let refused = match () {
            () if if_unused && queue.consumers.len() > 0 => Some(Kind::InUse),
            () if if_empty && holds_any => Some(Kind::NotEmpty),
            () => None,
        };
        if let Some(kind) = refused {
            return Err(self.failure(kind, Resource::Queue, name, asker.namespace));
        }
        // The answer comes before the end of the asker's own subscriptions.
        let event = Event::Reply {
            lane: asker.lane,
            result: Ok(Reply::Count(count)),
        };
        if queue.persistent {
            turn.gate(asker.id, event, true);
        } else {
            turn.tell(asker.id, event);
        }
        self.delete_queue(slot, turn);
        Ok(Answer::Silent)
    }

    pub(crate) fn purge(
        &mut self,
        asker: Asker,
        name: &Name,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<Answer, Error> {
        self.refuse_of_log(asker, name)?;
        let slot = self.usable_queue(asker, name)?;
        let Some(queue) = self.queues.get_mut(slot) else {
            return Ok(Answer::Silent);
        };
        let count = queue.ready.len();
        while let Some(entry) = queue.ready.pop() {
            queue.end(&entry, turn.store);
        }
        self.touch(slot);
        Ok(Answer::Now(Reply::Count(count)))
    }

    /// Deletes a queue with all it holds, but for what has died in it; its consumers are told.
    pub(crate) fn delete_queue(&mut self, slot: u32, turn: &mut Turn<'_, impl Store>) {
        let Some(mut queue) = self.queues.remove(slot) else {
            return;
        };
        self.incarnations.remove(&queue.incarnation);
        if let Some(armed) = queue.armed {
            self.timers.remove(&(armed, slot));
        }
        self.resident_bytes -= queue.reported_bytes;
        self.end_subscriptions(&queue, turn);
        for (_, lease) in queue.leases.iter() {
            if let Some(holder) = queue.leases.holder(lease.holder)
                && let Some(lane) = self.lanes.get_mut(holder.lane)
            {
                lane.held = lane.held.saturating_sub(u32::from(lease.counted));
            }
        }
        for holder in queue.leases.holders() {
            if let Some(lane) = self.lanes.get_mut(holder.lane) {
                lane.holders.remove(&slot);
                if !lane.parked.is_empty() {
                    self.lane_released(holder.lane, 0);
                }
            }
        }
        for take in queue.takes.drain(..) {
            let error = self.failure(
                Kind::NotFound,
                Resource::Queue,
                &queue.name,
                queue.namespace,
            );
            turn.reply(take.session_id, take.lane_id, Err(error));
        }
        if let Some(owner) = queue.owner.and_then(|owner| self.session_slots.get(&owner))
            && let Some(session) = self.sessions.get_mut(*owner)
        {
            session.owned.retain(|owned| *owned != queue.incarnation);
        }
        if queue.persistent {
            let buffer = &mut self.work.buffer;
            record::begin(buffer, kind::QUEUE_DELETED);
            buffer.put_u64(queue.incarnation);
            turn.append(buffer, queue.incarnation);
        }
        let namespace = queue.namespace;
        let removed = self
            .namespaces
            .get_mut(namespace)
            .map(|namespace| namespace.router.remove_queue(slot));
        // Behind the router's change: none of its letters comes back to it.
        self.leave_estate(queue, turn);
        if let Some(removed) = removed {
            self.removed(namespace, &removed, turn);
        }
    }

    fn end_subscriptions(&mut self, queue: &Queue, turn: &mut Turn<'_, impl Store>) {
        for (_, consumer) in queue.consumers.in_order() {
            if let Some(session) = self.sessions.get_mut(consumer.session) {
                session.subscribers.remove(&consumer.subscriber);
            }
            if let Some(lane) = self.lanes.get_mut(consumer.lane) {
                lane.subscribers
                    .retain(|other| *other != consumer.subscriber);
            }
            let event = Event::SubscriptionEnded {
                lane: consumer.lane_id,
                subscriber: consumer.subscriber,
            };
            // Behind the answer to the deletion, which waits for the disk if the queue is durable.
            if queue.persistent {
                turn.gate(consumer.session_id, event, false);
            } else {
                turn.tell(consumer.session_id, event);
            }
        }
    }

    /// A queue's timer has rung.
    pub(crate) fn handle_queue_timeout(&mut self, slot: u32, turn: &mut Turn<'_, impl Store>) {
        let Some(queue) = self.queues.get_mut(slot) else {
            return;
        };
        let unused = queue.settings.expires.is_some_and(|expires| {
            queue.consumers.len() == 0 && queue.last_used.saturating_add(expires) <= turn.now
        });
        if unused {
            self.delete_queue(slot, turn);
            return;
        }
        queue.end_waits(turn.now);
        if queue.lease_check.is_some_and(|check| check <= turn.now) {
            self.check_leases(slot, turn);
        }
        self.touch(slot);
    }
}

fn answer(durable: bool, reply: Reply) -> Answer {
    if durable {
        Answer::Durable(reply)
    } else {
        Answer::Now(reply)
    }
}

pub(crate) fn put_queue_declared(out: &mut Vec<u8>, namespace: &Name, queue: &Queue) {
    record::begin(out, kind::QUEUE_DECLARED);
    out.put_name(namespace);
    out.put_u64(queue.incarnation);
    out.put_name(&queue.name);
    settings::put_queue(out, &queue.settings);
}

fn flag_difference(current: &QueueSettings, received: &QueueSettings) -> Option<Kind> {
    let differ = |field: &str, received: bool, current: bool| {
        (received != current).then(|| {
            let [received, current] = [received, current].map(|flag| Some(Value::Bool(flag)));
            Kind::inequivalent(field, received, current)
        })
    };
    differ("durable", received.durable, current.durable)
        .or_else(|| differ("auto_delete", received.auto_delete, current.auto_delete))
}

fn argument_difference(current: &Table, received: &Table) -> Option<Kind> {
    SIGNIFICANT.iter().find_map(|field| {
        let (received, current) = (received.lookup(field), current.lookup(field));
        let same = match (received, current) {
            (None, None) => true,
            (Some(a), Some(b)) => is_same(a, b),
            // A queue is classic unless it says otherwise.
            (Some(one), None) | (None, Some(one)) => {
                *field == "x-queue-type" && one.as_str() == Some("classic")
            }
        };
        (!same).then(|| Kind::inequivalent(field, received.cloned(), current.cloned()))
    })
}

/// Whole numbers are the same whatever their width.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}
