//! What came out, held against what may.

use polybus_model::{Event, Lane, LeaseId, Message, Reply, SessionId};

use super::{Ask, Holder, Ledger, Seen, State, id_of};
use crate::invariants::{
    answers, confirms, credit, limits, nothing_invented, redelivered, settled_gone,
};
use crate::shape::DEAD;
use crate::violation::{Verdict, Violation};

/// A message that was handed over.
pub(crate) struct Handed<'a> {
    pub(crate) queue: usize,
    pub(crate) message: &'a Message,
    pub(crate) redelivered: bool,
}

impl Ledger {
    /// Takes all events of a turn: first what says how requests were taken, then deliveries, then confirms (of what was
    /// delivered and settled at once nothing is stored).
    pub(crate) fn note_events(&mut self, events: &[(SessionId, Event)]) -> Verdict {
        for (id, event) in events {
            self.note_answer(*id, event)?;
        }
        for (id, event) in events {
            self.note_delivery(*id, event)?;
        }
        for (id, event) in events {
            if let Event::Confirmed { lane, through } = event {
                self.note_confirmed(*id, *lane, *through)?;
            }
        }
        Ok(())
    }

    fn note_answer(&mut self, id: SessionId, event: &Event) -> Verdict {
        match event {
            Event::Refused { lane, number } => self.note_refused(id, *lane, *number),
            Event::Reply { lane, result } => {
                let ask = self.lane(id, *lane).ask.take();
                answers::check_reply(ask, result)?;
                match (ask, result) {
                    (Some(Ask::Transaction { turn, durable }), Ok(_)) if durable => {
                        confirms::check_alive(self, "a transaction")?;
                        self.note_durable(turn);
                    }
                    (Some(Ask::Purge { queue }), Ok(Reply::Count(count))) => {
                        let expected = self.purge(queue);
                        answers::check_purge(self, queue, *count, expected)?;
                    }
                    (Some(ask @ Ask::Take { .. }), Ok(_)) => {
                        // The delivery pass has to know what was asked.
                        self.lane(id, *lane).ask = Some(ask);
                    }
                    _ => {}
                }
                Ok(())
            }
            Event::Failed { error, .. } => Err(Violation::new(
                answers::NAME,
                format!("a request that may not fail did: {error}"),
            )),
            _ => Ok(()),
        }
    }

    fn note_refused(&mut self, id: SessionId, lane: Lane, number: u64) -> Verdict {
        let waiting = &mut self.lane(id, lane).unconfirmed;
        let found = waiting.iter().position(|one| one.number == number);
        let Some(one) = found.and_then(|at| waiting.remove(at)) else {
            return Err(Violation::new(
                confirms::NAME,
                format!("{id:?} {lane:?}: number {number} is refused, which does not wait"),
            ));
        };
        for copy in one.copies {
            let home = self.copies[copy].home;
            let queue = self.queue_shape(home);
            let dies = queue.settings.overflow == polybus_model::Overflow::RejectPublishDeadLetter
                && queue.has_letters();
            if !queue.refuses() {
                return Err(Violation::new(
                    limits::NAME,
                    format!("queue '{}' refused a message without a limit", queue.name),
                ));
            }
            match dies {
                true => self.move_to_dead(copy, Some(self.turn)),
                false => self.set_state(copy, State::Never),
            }
        }
        Ok(())
    }

    fn note_confirmed(&mut self, id: SessionId, lane: Lane, through: u64) -> Verdict {
        confirms::check_rises(self, id, lane, through)?;
        let state = self.lane(id, lane);
        state.last_confirmed = through;
        let mut durable_turn = 0;
        let mut confirmed = Vec::new();
        while state
            .unconfirmed
            .front()
            .is_some_and(|one| one.number <= through)
        {
            confirmed.extend(state.unconfirmed.pop_front());
        }
        for one in confirmed {
            self.confirmed += 1;
            // What ends in the turn in which it comes is not stored, and its confirm waits for nothing.
            let is_stored = |copy: &usize| {
                let copy = &self.copies[*copy];
                copy.durable_home && copy.state != State::Over(one.turn)
            };
            let journaled = one.copies.iter().any(is_stored);
            if journaled && one.turn > self.durable_turn {
                durable_turn = durable_turn.max(one.turn);
            }
        }
        if durable_turn > 0 {
            confirms::check_alive(self, "a publish")?;
            self.note_durable(durable_turn);
        }
        Ok(())
    }

    fn note_delivery(&mut self, id: SessionId, event: &Event) -> Verdict {
        match event {
            Event::Delivery(delivery) => {
                let known = self
                    .sessions
                    .get(&id)
                    .and_then(|session| session.subscribers.get(&delivery.subscriber))
                    .cloned();
                let Some(subscriber) = known else {
                    return Err(Violation::new(
                        credit::NAME,
                        format!("{id:?} has no {:?}", delivery.subscriber),
                    ));
                };
                credit::check_delivery(self, id, &subscriber)?;
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.outstanding += delivery.message.memory_size();
                }
                let handed = Handed {
                    queue: subscriber.queue,
                    message: &delivery.message,
                    redelivered: delivery.redelivered,
                };
                let copy = self.hand_over(id, &handed)?;
                match delivery.lease {
                    None => self.end(copy),
                    Some(lease) => {
                        let holder = Holder {
                            copy,
                            session: id,
                            lane: delivery.lane,
                            subscriber: Some(delivery.subscriber),
                        };
                        self.lease(lease, holder);
                    }
                }
                Ok(())
            }
            Event::Reply {
                lane,
                result: Ok(Reply::Taken(taken)),
            } => {
                let Some(Ask::Take { queue, .. }) = self.lane(id, *lane).ask.take() else {
                    return Ok(());
                };
                let Some(taken) = taken else {
                    return answers::check_nothing_taken(self, queue);
                };
                let handed = Handed {
                    queue,
                    message: &taken.message,
                    redelivered: taken.redelivered,
                };
                let copy = self.hand_over(id, &handed)?;
                match taken.lease {
                    None => self.end(copy),
                    Some(lease) => {
                        let holder = Holder {
                            copy,
                            session: id,
                            lane: *lane,
                            subscriber: None,
                        };
                        self.lease(lease, holder);
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn lease(&mut self, lease: LeaseId, holder: Holder) {
        self.set_state(holder.copy, State::Leased(lease));
        if let Some(number) = holder.subscriber
            && let Some(session) = self.sessions.get_mut(&holder.session)
        {
            if let Some(subscriber) = session.subscribers.get_mut(&number) {
                subscriber.held += 1;
            }
            if let Some(lane) = session.lanes.get_mut(&holder.lane) {
                lane.held += 1;
            }
        }
        self.leases.insert(lease, holder);
    }

    /// Finds the copy that was handed over, and checks that it may be.
    fn hand_over(&mut self, id: SessionId, handed: &Handed<'_>) -> Result<usize, Violation> {
        let copy = nothing_invented::find(self, handed)?;
        if handed.queue == DEAD && !self.copies[copy].dead {
            limits::check_death(self, copy, handed.message)?;
            self.move_to_dead(copy, None);
        }
        settled_gone::check_delivery(self, copy, handed.queue)?;
        limits::check_delivery(self, copy)?;
        redelivered::check_delivery(self, copy, handed.redelivered)?;
        self.delivered += 1;
        let turn = self.turn;
        let one = &mut self.copies[copy];
        let was_ready = one.state == State::Ready && one.since < turn;
        one.delivered = true;
        one.unsure = false;
        one.unfounded = false;
        self.seen.push(Seen {
            copy,
            queue: handed.queue,
            session: id,
            was_ready,
        });
        Ok(copy)
    }

    /// The message's number, if the bytes are those of a message that was published.
    pub(crate) fn known_message(&self, body: &[u8]) -> Option<u64> {
        let number = id_of(body)?;
        let info = self.messages.get(number as usize)?;
        (super::body_of(number, info.body_len) == body).then_some(number)
    }
}
