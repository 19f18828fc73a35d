//! Subscriptions, leases and credit.

use polybus_model::{
    DeathReason, Error, Event, Kind, LeaseId, Name, Outcome, Reply, Resource, SessionId, Subscribe,
    SubscriberId,
};

use crate::Engine;
use crate::Store;
use crate::queue::PendingTake;
use crate::queue::consumers::{Consumer, Standing};
use crate::queue::entry::REDELIVERED;
use crate::queue::leases::NONE;
use crate::session::ConsumerRef;
use crate::turn::{Answer, Asker, Turn};

impl Engine {
    pub(crate) fn subscribe(
        &mut self,
        asker: Asker,
        subscribe: Subscribe,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<Answer, Error> {
        if let Some(log) = self.log_as_queue(asker, &subscribe.queue) {
            return Ok(Answer::Now(Reply::Log(Box::new(log.summary()))));
        }
        let slot = self.usable_queue(asker, &subscribe.queue)?;
        let lane = self.lane_slot(asker.session, asker.lane).unwrap_or(NONE);
        self.check_subscribe(asker, slot, &subscribe)?;
        let holder = self.holder(slot, lane, asker.session);
        let default_timeout = self.options.consumer_timeout;
        self.next_consumer += 1;
        let number = self.next_consumer;
        let Some(queue) = self.queues.get_mut(slot) else {
            return Ok(Answer::Silent);
        };
        let consumer = Consumer {
            number,
            session: asker.session,
            session_id: asker.id,
            lane,
            lane_id: asker.lane,
            holder,
            subscriber: subscribe.subscriber,
            tag: subscribe.tag,
            auto_settle: subscribe.auto_settle,
            exclusive: subscribe.exclusive,
            priority: subscribe.priority,
            credit: subscribe.credit,
            held: 0,
            timeout: subscribe
                .consumer_timeout
                .or(queue.settings.consumer_timeout)
                .or(default_timeout),
            arguments: subscribe.arguments,
            standing: Standing::Waiting,
        };
        let at = queue.consumers.add(consumer);
        queue.last_used = turn.now;
        let known = ConsumerRef {
            queue: slot,
            consumer: at,
            number,
        };
        if let Some(session) = self.sessions.get_mut(asker.session) {
            session.subscribers.insert(subscribe.subscriber, known);
        }
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.subscribers.push(subscribe.subscriber);
        }
        turn.reply(asker.id, asker.lane, Ok(Reply::Done));
        self.touch(slot);
        Ok(Answer::Silent)
    }

    fn check_subscribe(&self, asker: Asker, slot: u32, subscribe: &Subscribe) -> Result<(), Error> {
        let refuse =
            |kind| Err(self.failure(kind, Resource::Queue, &subscribe.queue, asker.namespace));
        let Some(queue) = self.queues.get(slot) else {
            return refuse(Kind::NotFound);
        };
        let taken = queue.consumers.has_exclusive()
            || (subscribe.exclusive && (queue.consumers.len() > 0 || queue.settings.single_active));
        if taken {
            return refuse(Kind::ExclusiveUse);
        }
        let Some(session) = self.sessions.get(asker.session) else {
            return Ok(());
        };
        let limited = session
            .lanes
            .get(&asker.lane)
            .and_then(|lane| self.lanes.get(*lane))
            .is_some_and(|lane| lane.limit.is_some());
        if limited && queue.is_quorum() {
            return refuse(Kind::Unsupported("does not support global qos"));
        }
        if session.subscribers.contains_key(&subscribe.subscriber) {
            return refuse(Kind::NotAllowed(
                "the subscriber's number is in use".to_owned(),
            ));
        }
        if session.subscribers.len() >= self.options.subscribers_max {
            return refuse(Kind::LimitReached(format!(
                "at most {} subscribers to a connection (subscribers_max)",
                self.options.subscribers_max
            )));
        }
        Ok(())
    }

    /// The lane's holder in a queue.
    fn holder(&mut self, slot: u32, lane: u32, session: u32) -> u32 {
        let (Some(queue), Some(state)) = (self.queues.get_mut(slot), self.lanes.get_mut(lane))
        else {
            return NONE;
        };
        *state
            .holders
            .entry(slot)
            .or_insert_with(|| queue.leases.add_holder(lane, session))
    }

    pub(crate) fn unsubscribe(
        &mut self,
        asker: Asker,
        subscriber: SubscriberId,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let Some(known) = self
            .sessions
            .get_mut(asker.session)
            .and_then(|session| session.subscribers.remove(&subscriber))
        else {
            return;
        };
        let Some(queue) = self.queues.get_mut(known.queue) else {
            return;
        };
        let Some(consumer) = queue.consumers.remove(known.consumer) else {
            return;
        };
        queue.leases.orphan(consumer.holder, known.consumer);
        queue.last_used = turn.now;
        if let Some(lane) = self.lanes.get_mut(consumer.lane) {
            lane.subscribers.retain(|other| *other != subscriber);
        }
        self.touch(known.queue);
        self.delete_if_deserted(known.queue, turn);
    }

    /// A queue of `auto_delete` goes with its last consumer.
    pub(crate) fn delete_if_deserted(&mut self, slot: u32, turn: &mut Turn<'_, impl Store>) {
        let deserted = self.queues.get(slot).is_some_and(|queue| {
            queue.settings.auto_delete && queue.consumers.had_any() && queue.consumers.len() == 0
        });
        if deserted {
            self.delete_queue(slot, turn);
        }
    }

    pub(crate) fn take(
        &mut self,
        asker: Asker,
        name: &Name,
        auto_settle: bool,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<Answer, Error> {
        self.refuse_of_log(asker, name)?;
        let slot = self.usable_queue(asker, name)?;
        let lane = self.lane_slot(asker.session, asker.lane).unwrap_or(NONE);
        self.holder(slot, lane, asker.session);
        if let Some(queue) = self.queues.get_mut(slot) {
            queue.last_used = turn.now;
            queue.takes.push_back(PendingTake {
                session: asker.session,
                session_id: asker.id,
                lane,
                lane_id: asker.lane,
                auto_settle,
            });
        }
        self.touch(slot);
        self.look_after_touched(turn);
        Ok(Answer::Silent)
    }

    /// Ends a lease, if it is still that one and the session's.
    pub(crate) fn settle_lease(
        &mut self,
        session: u32,
        id: LeaseId,
        outcome: Outcome,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let Some(queue) = self.queues.get_mut(id.queue) else {
            return;
        };
        let owner = queue
            .leases
            .get(id.slot, id.stamp)
            .and_then(|lease| queue.leases.holder(lease.holder))
            .map(|holder| (holder.session, holder.lane));
        let Some((owner, lane)) = owner else {
            return;
        };
        if owner != session {
            return;
        }
        let Some(lease) = queue.leases.remove(id.slot) else {
            return;
        };
        if let Some(consumer) = queue.consumers.get_mut(lease.consumer) {
            let had_credit = consumer.has_credit();
            consumer.held = consumer.held.saturating_sub(1);
            if !had_credit {
                queue.consumers.unpark(lease.consumer);
            }
            queue.consumers.yield_active();
        }
        match outcome {
            Outcome::Accept => queue.end(&lease.entry, turn.store),
            Outcome::Release { failed } => {
                queue.give_back(lease.entry, failed, turn.now, turn.store);
            }
            Outcome::Reject => {
                // While it waits to be read back it is still this queue's, and would be after a restart.
                let mut entry = lease.entry;
                entry.flags |= REDELIVERED;
                queue.kill(entry, DeathReason::Rejected, turn.store);
            }
        }
        self.touch(id.queue);
        if lease.counted {
            self.lane_released(lane, 1);
        }
    }

    /// Subscribers of a lane hold fewer messages.
    pub(crate) fn lane_released(&mut self, lane: u32, count: u32) {
        if let Some(state) = self.lanes.get_mut(lane) {
            state.held = state.held.saturating_sub(count);
            if !state.parked.is_empty() && state.has_credit(false) {
                self.unpark_lane(lane);
            }
        }
    }

    fn unpark_lane(&mut self, lane: u32) {
        if let Some(state) = self.lanes.get_mut(lane) {
            let parked = std::mem::take(&mut state.parked);
            self.unpark(parked);
        }
    }

    fn unpark(&mut self, parked: Vec<ConsumerRef>) {
        for waiting in parked {
            let Some(queue) = self.queues.get_mut(waiting.queue) else {
                continue;
            };
            let same = queue
                .consumers
                .get(waiting.consumer)
                .is_some_and(|consumer| consumer.number == waiting.number);
            if same && queue.consumers.unpark(waiting.consumer) {
                self.touch(waiting.queue);
            }
        }
    }

    /// The session has written deliveries to its peer.
    pub(crate) fn drained(&mut self, asker: Asker, bytes: usize) {
        let Some(session) = self.sessions.get_mut(asker.session) else {
            return;
        };
        session.outstanding = session.outstanding.saturating_sub(bytes);
        if !session.is_full() && !session.parked.is_empty() {
            let parked = std::mem::take(&mut session.parked);
            self.unpark(parked);
        }
        self.readers.unpark(asker.session);
    }

    pub(crate) fn limit_lane(&mut self, asker: Asker, limit: Option<u32>) {
        if let Some(lane) = self.lane_slot(asker.session, asker.lane) {
            if let Some(state) = self.lanes.get_mut(lane) {
                state.limit = limit;
            }
            self.unpark_lane(lane);
        }
    }

    pub(crate) fn flow(&mut self, asker: Asker, active: bool) {
        if let Some(lane) = self.lane_slot(asker.session, asker.lane) {
            if let Some(state) = self.lanes.get_mut(lane) {
                state.active = active;
            }
            self.unpark_lane(lane);
        }
    }

    /// A lane ends: its subscriptions end, what it holds goes back.
    pub(crate) fn close_lane(&mut self, asker: Asker, turn: &mut Turn<'_, impl Store>) {
        let Some(lane) = self
            .sessions
            .get_mut(asker.session)
            .and_then(|session| session.lanes.remove(&asker.lane))
        else {
            return;
        };
        self.end_lane(asker, lane, turn);
    }

    fn end_lane(&mut self, asker: Asker, lane: u32, turn: &mut Turn<'_, impl Store>) {
        // First the consumers, so that nothing is delivered to them again; queues that go with them go last.
        let Some(state) = self.lanes.get_mut(lane) else {
            return;
        };
        let subscribers = std::mem::take(&mut state.subscribers);
        let holders = std::mem::take(&mut state.holders);
        let mut deserted = Vec::new();
        for subscriber in subscribers {
            let known = self
                .sessions
                .get_mut(asker.session)
                .and_then(|session| session.subscribers.remove(&subscriber));
            if let Some(known) = known
                && let Some(queue) = self.queues.get_mut(known.queue)
            {
                queue.consumers.remove(known.consumer);
                queue.last_used = turn.now;
                self.touch(known.queue);
                deserted.push(known.queue);
            }
        }
        for (slot, holder) in holders {
            let Some(queue) = self.queues.get_mut(slot) else {
                continue;
            };
            while let Some(lease) = queue.leases.first_of(holder) {
                if let Some(lease) = queue.leases.remove(lease) {
                    queue.give_back(lease.entry, true, turn.now, turn.store);
                }
            }
            queue.leases.remove_holder(holder);
            queue.takes.retain(|take| take.lane != lane);
            self.touch(slot);
        }
        self.lanes.remove(lane);
        for slot in deserted {
            self.delete_if_deserted(slot, turn);
        }
    }

    /// The session is gone.
    pub(crate) fn detach(&mut self, id: SessionId, turn: &mut Turn<'_, impl Store>) {
        self.logs.forget_session(id);
        let Some(at) = self.session_slots.remove(&id) else {
            return;
        };
        self.leave(at);
        self.let_go(at, true, turn);
        self.let_one_go(at, turn);
        let Some(session) = self.sessions.get_mut(at) else {
            return;
        };
        let namespace = session.namespace;
        self.release_session(namespace, id);
        let Some(session) = self.sessions.get_mut(at) else {
            return;
        };
        let owned = std::mem::take(&mut session.owned);
        let mut lanes: Vec<_> = std::mem::take(&mut session.lanes).into_iter().collect();
        lanes.sort_unstable();
        for (lane_id, lane) in lanes {
            let asker = Asker {
                session: at,
                id,
                namespace,
                lane: lane_id,
            };
            self.end_lane(asker, lane, turn);
        }
        for incarnation in owned {
            if let Some(slot) = self.incarnations.get(&incarnation) {
                self.delete_queue(*slot, turn);
            }
        }
        self.free_when_left(at);
    }

    /// Looks for messages held for too long, and sets when to look again.
    pub(crate) fn check_leases(&mut self, slot: u32, turn: &mut Turn<'_, impl Store>) {
        let default_timeout = self.options.consumer_timeout;
        let Some(queue) = self.queues.get_mut(slot) else {
            return;
        };
        let of_queue = queue.settings.consumer_timeout.or(default_timeout);
        let mut next = None;
        let mut late = Vec::new();
        for (_, lease) in queue.leases.iter() {
            let timeout = match queue.consumers.get(lease.consumer) {
                Some(consumer) => consumer.timeout,
                None => of_queue,
            };
            let Some(timeout) = timeout else { continue };
            let due = lease.since.saturating_add(timeout);
            if due > turn.now {
                next = Some(next.map_or(due, |next: u64| next.min(due)));
            } else if let Some(holder) = queue.leases.holder(lease.holder) {
                late.push((holder.lane, holder.session, timeout));
            }
        }
        queue.lease_check = next;
        self.touch(slot);
        for (lane, session, timeout) in late {
            if let (Some(session), Some(state)) =
                (self.sessions.get(session), self.lanes.get_mut(lane))
                && !state.timed_out
            {
                state.timed_out = true;
                let lane = state.id;
                turn.tell(session.id, Event::ConsumerTimeout { lane, timeout });
            }
        }
    }
}
