//! From a publish to the queues: one lookup, one record for all durable targets, one entry in each. (To logs: `logs/publish`.)

use polybus_model::{
    DeathReason, Error, Event, Kind, Message, Name, Overflow, Publish, Reserved, Resource,
    ReturnReason,
};

use crate::Engine;
use crate::Store;
use crate::deliver::Offer;
use crate::queue::entry::{DURABLE, Entry, NEVER, REDELIVERED};
use crate::record::{self, Stand, Target, kind};
use crate::routing::{RouteError, RouteMode};
use crate::turn::{Asker, Confirm, Planned, Turn};

/// What became of a message.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Placed {
    /// A full queue refused it, or a log that does not take it.
    pub(crate) refused: bool,
    /// Something of it was journaled.
    pub(crate) journaled: bool,
}

impl Engine {
    /// A client publishes.
    pub(crate) fn publish(
        &mut self,
        asker: Asker,
        publish: Publish,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<(), Error> {
        let mut slots = std::mem::take(&mut self.work.slots);
        let mode = RouteMode {
            delay: publish.delay.is_some(),
            ..RouteMode::CLIENT
        };
        let routed = match self.namespaces.get_mut(asker.namespace) {
            Some(namespace) => namespace.router.route(
                publish.message.topic(),
                &publish.message,
                &publish.more_keys,
                mode,
                &self.options.header_readers,
                &mut slots,
            ),
            None => Err(RouteError::NotFound),
        };
        let routed = match routed {
            Ok(routed) => routed,
            Err(error) => {
                self.work.slots = slots;
                return Err(self.route_error(asker.namespace, publish.message.topic(), error));
            }
        };
        let heard = self.tell_listeners(asker.namespace, &publish.message, turn);
        if heard {
            self.hold_for_last_told(asker.session, turn);
        }
        let mut placed = Placed::default();
        if routed.logged {
            placed = self.append_routed(asker.namespace, &publish.message, turn);
        }
        if routed.delayed {
            placed.journaled |= self.delay(asker.namespace, &publish, turn);
        }
        // What is delayed comes back too: nothing was routed yet.
        if slots.is_empty() && publish.mandatory && !routed.logged && !heard {
            let event = Event::Returned {
                lane: asker.lane,
                message: publish.message.clone(),
                reason: ReturnReason::Unroutable,
            };
            turn.tell(asker.id, event);
        }
        if !slots.is_empty() {
            let more = self.enqueue(&publish.message, &slots, turn);
            placed.refused |= more.refused;
            placed.journaled |= more.journaled;
        }
        self.work.slots = slots;
        if let Some(number) = publish.confirm {
            self.note_confirm(asker, number, placed, turn);
        }
        Ok(())
    }

    fn note_confirm(
        &mut self,
        asker: Asker,
        number: u64,
        placed: Placed,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let lane = asker.lane;
        if placed.refused {
            turn.tell(asker.id, Event::Refused { lane, number });
            return;
        }
        let confirms = &mut self.work.confirms;
        match confirms.iter_mut().rev().find(|one| one.lane == lane) {
            Some(confirm) => {
                confirm.through = number;
                confirm.needs_sync |= placed.journaled;
            }
            None => confirms.push(Confirm {
                lane,
                through: number,
                needs_sync: placed.journaled,
            }),
        }
    }

    /// Whether a client may publish this at all.
    pub(crate) fn check_publish(&self, asker: Asker, message: &Message) -> Result<(), Error> {
        let topic = std::str::from_utf8(message.topic()).unwrap_or_default();
        if topic.is_empty() && message.topic().is_empty() {
            return Ok(());
        }
        let settings = self
            .namespaces
            .get(asker.namespace)
            .and_then(|namespace| namespace.router.topic(topic));
        match settings {
            None => Err(self.route_error(asker.namespace, message.topic(), RouteError::NotFound)),
            Some(settings) if settings.internal => {
                Err(self.route_error(asker.namespace, message.topic(), RouteError::Internal))
            }
            Some(_) => Ok(()),
        }
    }

    pub(crate) fn route_error(&self, namespace: u32, topic: &[u8], error: RouteError) -> Error {
        let topic = String::from_utf8_lossy(topic);
        let name = Name::new(&topic).unwrap_or_else(|_| Name::empty());
        let kind = match error {
            RouteError::NotFound => Kind::NotFound,
            RouteError::Internal => Kind::Reserved(Reserved::InternalTopic),
        };
        self.failure(kind, Resource::Topic, &name, namespace)
    }

    /// Puts a message into queues: a record for those that want one, and an entry in each. Where a consumer waits, no queue
    /// ever has it ready: it is handed over at once, or leased as soon as its record is staged.
    pub(crate) fn enqueue(
        &mut self,
        message: &Message,
        slots: &[u32],
        turn: &mut Turn<'_, impl Store>,
    ) -> Placed {
        let mut plan = std::mem::take(&mut self.work.plan);
        plan.clear();
        let mut placed = Placed::default();
        for slot in slots {
            if self.refuses(*slot, message, turn) {
                placed.refused = true;
                continue;
            }
            let consumer = match self.offer(*slot, message, turn) {
                Offer::Declined => None,
                Offer::Ended => continue,
                Offer::Claimed(at) => Some(at),
            };
            plan.extend(self.plan(*slot, consumer, message, turn.now));
        }
        let stand = self.journal(message, &plan, turn);
        let again = if self.work.redelivered {
            REDELIVERED
        } else {
            0
        };
        for planned in &plan {
            placed.journaled |= planned.durable;
            let journaled = planned.durable || planned.cold;
            let entry = Entry {
                sequence: planned.target.sequence,
                stand: stand.filter(|_| journaled),
                body_len: message.body().len() as u32,
                flags: if planned.durable { DURABLE } else { 0 } | again,
                level: planned.level,
                expiry: planned.target.expiry.unwrap_or(NEVER),
                message: (!planned.cold).then(|| message.clone()),
            };
            if let Some(at) = planned.consumer {
                self.lend_claimed(planned.slot, at, entry, turn);
            } else if let Some(queue) = self.queues.get_mut(planned.slot) {
                queue.ready.push(entry);
            }
            self.touch(planned.slot);
        }
        self.work.plan = plan;
        placed
    }

    /// Whether a full queue refuses the message; then it is dead-lettered where the queue says so.
    fn refuses(&mut self, slot: u32, message: &Message, turn: &mut Turn<'_, impl Store>) -> bool {
        let len = message.body().len() as u64;
        let full = |engine: &Self| {
            engine
                .queues
                .get(slot)
                .is_some_and(|queue| queue.would_refuse(len))
        };
        if !full(self) {
            return false;
        }
        // What came before in this turn goes to idle consumers first.
        self.pump(slot, turn);
        if !full(self) {
            return false;
        }
        let Some(queue) = self.queues.get_mut(slot) else {
            return false;
        };
        // The publisher is told in any case; without room the dead letter is not kept.
        if queue.settings.overflow == Overflow::RejectPublishDeadLetter && queue.can_kill() {
            let entry = Entry {
                sequence: 0,
                stand: None,
                body_len: message.body().len() as u32,
                flags: 0,
                level: 0,
                expiry: NEVER,
                message: Some(message.clone()),
            };
            queue.kill(entry, DeathReason::MaxLength, turn.store);
            self.touch(slot);
        }
        true
    }

    fn plan(
        &mut self,
        slot: u32,
        consumer: Option<u32>,
        message: &Message,
        now: u64,
    ) -> Option<Planned> {
        let max = self.options.resident_bytes_max;
        let resident = self.resident_bytes;
        let queue = self.queues.get_mut(slot)?;
        let sequence = queue.next_sequence;
        queue.next_sequence += 1;
        let durable = queue.persistent && (message.is_durable() || queue.is_quorum());
        let expiry = queue.expiry_of(message.ttl(), now);
        Some(Planned {
            slot,
            target: Target {
                queue: queue.incarnation,
                sequence,
                transient: !durable,
                expiry: (expiry != NEVER).then_some(expiry),
            },
            level: queue.level_of(message.priority()),
            durable,
            cold: consumer.is_none() && resident > max && queue.has_backlog(resident / 2 > max),
            consumer,
        })
    }

    fn journal(
        &mut self,
        message: &Message,
        plan: &[Planned],
        turn: &mut Turn<'_, impl Store>,
    ) -> Option<Stand> {
        let targets = &mut self.work.targets;
        targets.clear();
        targets.extend(
            plan.iter()
                .filter(|planned| planned.durable || planned.cold)
                .map(|planned| planned.target),
        );
        let first = *targets.first()?;
        record::put_publish(&mut self.work.buffer, targets, message);
        let stored = turn.store.append(
            kind::PUBLISH,
            first.queue,
            first.sequence,
            &[&self.work.buffer, message.inline_bytes()],
            message.shared_body().map(crate::Shared::from),
            targets.len() as u32,
        );
        Some(Stand {
            place: stored.place,
            len: stored.len,
        })
    }
}
