//! The engine as the broker sees it: inputs, each of which is one turn, and the end that all turns share.

use std::collections::BTreeSet;

use polybus_model::{
    Batch, Error, Event, Kind, Lane, Message, Millis, Name, Outcome, Reply, Request, Resource,
    SessionId,
};
use rustc_hash::FxHashMap;

use crate::compaction::AsideIndex;
use crate::delayed::DelayedMessages;
use crate::estate::Estates;
use crate::groups::{Groups, Holders, Readers, Windows};
use crate::live::LiveWork;
use crate::logs::Logs;
use crate::namespace::Namespace;
use crate::queue::Queue;
use crate::record;
use crate::session::{LaneState, Session};
use crate::slab::Slab;
use crate::turn::{Answer, Asker, Turn, Work, fail};
use crate::{Effects, Options, Store};

/// Messages that may expire in one turn; the rest follows in the next.
const EXPIRIES_PER_TURN: usize = 16 * 1024;

/// Queues whose deadline is looked after in one turn.
const TIMERS_PER_TURN: usize = 1_024;

/// Topics and queues of all namespaces, and who is connected to them.
#[derive(Debug)]
pub struct Engine {
    pub(crate) options: Options,
    pub(crate) namespaces: Slab<Namespace>,
    pub(crate) queues: Slab<Box<Queue>>,
    /// The slots of queues by incarnation.
    pub(crate) incarnations: FxHashMap<u64, u32>,
    pub(crate) sessions: Slab<Session>,
    pub(crate) session_slots: FxHashMap<SessionId, u32>,
    pub(crate) lanes: Slab<LaneState>,
    pub(crate) delayed: DelayedMessages,
    pub(crate) groups: Groups,
    /// What groups lease of logs.
    pub(crate) windows: Windows,
    /// Who reads logs record by record.
    pub(crate) readers: Readers,
    pub(crate) live: LiveWork,
    /// Who leases.
    pub(crate) holders: Holders,
    /// What deleted queues have left.
    pub(crate) estates: Estates,
    /// Queues by their next deadline.
    pub(crate) timers: BTreeSet<(Millis, u32)>,
    pub(crate) next_incarnation: u64,
    pub(crate) next_stamp: u32,
    /// The latest time that a turn was given: some turns are given none.
    clock: Millis,
    pub(crate) next_consumer: u64,
    /// Bytes of messages in memory.
    pub(crate) resident_bytes: usize,
    pub(crate) work: Work,
    pub(crate) aside: AsideIndex,
    pub(crate) logs: Logs,
}

impl Engine {
    /// An engine with one empty namespace, `/`.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let mut engine = Self::bare(options);
        if let Ok(name) = Name::new("/") {
            engine.create_namespace(&name);
        }
        engine
    }

    /// An engine without any namespace.
    pub(crate) fn bare(options: Options) -> Self {
        Self {
            options,
            namespaces: Slab::default(),
            queues: Slab::default(),
            incarnations: FxHashMap::default(),
            sessions: Slab::default(),
            session_slots: FxHashMap::default(),
            lanes: Slab::default(),
            delayed: DelayedMessages::default(),
            groups: Groups::default(),
            windows: Windows::default(),
            readers: Readers::default(),
            live: LiveWork::default(),
            holders: Holders::default(),
            estates: Estates::default(),
            timers: BTreeSet::new(),
            next_incarnation: 1,
            next_stamp: 0,
            clock: 0,
            next_consumer: 0,
            resident_bytes: 0,
            work: Work::default(),
            aside: AsideIndex::default(),
            logs: Logs::default(),
        }
    }

    /// A session enters a namespace (its request to open is granted).
    ///
    /// # Errors
    /// The namespace does not exist.
    pub fn attach(&mut self, session: SessionId, namespace: &Name) -> Result<(), Error> {
        let Some(slot) = self.namespace_slot(namespace.as_str()) else {
            return Err(fail(
                Kind::NotFound,
                Resource::Namespace,
                namespace,
                namespace,
            ));
        };
        if let Some(&known) = self.session_slots.get(&session) {
            self.end_listening(known);
            if let Some(known) = self.sessions.get_mut(known) {
                known.namespace = slot;
            }
            return Ok(());
        }
        let at = self.sessions.insert(Session::new(
            session,
            slot,
            self.options.session_window_bytes,
        ));
        self.session_slots.insert(session, at);
        Ok(())
    }

    /// Carries out a batch; `batch` is left empty, its memory kept. A session that is not attached is not heard.
    pub fn handle(
        &mut self,
        session: SessionId,
        batch: &mut Batch,
        now: Millis,
        store: &mut impl Store,
        out: &mut Effects,
    ) {
        let Some(&slot) = self.session_slots.get(&session) else {
            batch.requests.clear();
            return;
        };
        let Some(namespace) = self.sessions.get(slot).map(|state| state.namespace) else {
            return;
        };
        let mut turn = self.begin(now, store, out);
        for (lane, request) in batch.requests.drain(..) {
            let asker = Asker {
                session: slot,
                id: session,
                namespace,
                lane,
            };
            self.handle_request(asker, request, &mut turn);
        }
        self.finish(&mut turn);
        self.confirm(session, &mut turn);
    }

    fn handle_request(&mut self, asker: Asker, request: Request, turn: &mut Turn<'_, impl Store>) {
        if let Request::Drained { bytes } = request {
            self.drained(asker, bytes);
            self.let_go(asker.session, false, turn);
            return;
        }
        if self.work.failed.contains(&asker.lane) {
            return;
        }
        let answers = request.answers();
        match self.carry_out(asker, request, turn) {
            Ok(Answer::Silent) => {}
            Ok(Answer::Now(reply)) => turn.reply(asker.id, asker.lane, Ok(reply)),
            Ok(Answer::Durable(reply)) => {
                let event = Event::Reply {
                    lane: asker.lane,
                    result: Ok(reply),
                };
                turn.gate(asker.id, event, true);
            }
            Err(error) => {
                self.work.failed.push(asker.lane);
                if answers {
                    turn.reply(asker.id, asker.lane, Err(error));
                } else {
                    let (lane, error) = (asker.lane, Box::new(error));
                    turn.tell(asker.id, Event::Failed { lane, error });
                }
            }
        }
    }

    fn carry_out(
        &mut self,
        asker: Asker,
        request: Request,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<Answer, Error> {
        let is_hot = matches!(
            request,
            Request::Publish(_) | Request::Settle(_) | Request::PublishLive(_)
        );
        if !is_hot {
            self.look_after_touched(turn);
        }
        match request {
            Request::Publish(publish) => {
                self.publish(asker, publish, turn).map(|()| Answer::Silent)
            }
            Request::Settle(settle) => {
                for lease in &settle.leases {
                    self.settle(asker, *lease, settle.outcome, turn);
                }
                Ok(Answer::Silent)
            }
            Request::DeclareTopic { name, settings } => {
                self.declare_topic(asker, &name, settings.map(|settings| *settings), turn)
            }
            Request::DeleteTopic { name, if_unused } => {
                self.delete_topic(asker, &name, if_unused, turn)
            }
            Request::Bind(binding) => self.bind(asker, *binding, turn),
            Request::Unbind(binding) => self.unbind(asker, *binding, turn),
            Request::DeclareQueue { name, settings } => {
                self.declare_queue(asker, &name, settings.map(|settings| *settings), turn)
            }
            Request::DeleteQueue {
                name,
                if_unused,
                if_empty,
            } => self.delete_queue_by_name(asker, &name, if_unused, if_empty, turn),
            Request::Purge { queue } => self.purge(asker, &queue, turn),
            Request::Subscribe(subscribe) => self.subscribe(asker, *subscribe, turn),
            Request::Unsubscribe { subscriber } => {
                turn.reply(asker.id, asker.lane, Ok(Reply::Done));
                self.unsubscribe(asker, subscriber, turn);
                Ok(Answer::Silent)
            }
            Request::LaneCredit { limit } => {
                self.limit_lane(asker, limit);
                Ok(Answer::Now(Reply::Done))
            }
            Request::Flow { active } => {
                self.flow(asker, active);
                Ok(Answer::Now(Reply::Done))
            }
            Request::Take { queue, auto_settle } => self.take(asker, &queue, auto_settle, turn),
            Request::Transaction(transaction) => self.transact(asker, *transaction, turn),
            Request::CloseLane => {
                self.close_lane(asker, turn);
                Ok(Answer::Now(Reply::Done))
            }
            Request::Refused { error, .. } => Err(*error),
            Request::Log { number, request } => {
                self.log_request(asker, number, *request, turn);
                Ok(Answer::Silent)
            }
            Request::PublishLive(block) => {
                self.publish_live(asker, &block, turn);
                Ok(Answer::Silent)
            }
            Request::SubscribeLive(subscribe) => {
                self.subscribe_live(asker, *subscribe, turn);
                Ok(Answer::Silent)
            }
            Request::UnsubscribeLive { subscriber, after } => {
                self.unsubscribe_live(asker, subscriber, after, turn);
                Ok(Answer::Silent)
            }
            Request::Group { number, request } => {
                self.handle_group(asker, number, *request, turn);
                Ok(Answer::Silent)
            }
            // The broker's own.
            Request::Authenticate(_)
            | Request::LookUpSalt { .. }
            | Request::Open { .. }
            | Request::Access { .. }
            | Request::Drained { .. } => Ok(Answer::Silent),
        }
    }

    fn transact(
        &mut self,
        asker: Asker,
        transaction: polybus_model::Transaction,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<Answer, Error> {
        for publish in &transaction.publishes {
            self.check_publish(asker, &publish.message)?;
        }
        for mut publish in transaction.publishes {
            publish.confirm = None;
            self.publish(asker, publish, turn)?;
        }
        for settle in transaction.settles {
            for lease in &settle.leases {
                self.settle(asker, *lease, settle.outcome, turn);
            }
        }
        Ok(Answer::Durable(Reply::Done))
    }

    /// The session is gone: subscriptions end, leases return, exclusive queues go.
    pub fn handle_detached(
        &mut self,
        session: SessionId,
        now: Millis,
        store: &mut impl Store,
        out: &mut Effects,
    ) {
        let mut turn = self.begin(now, store, out);
        self.detach(session, &mut turn);
        self.finish(&mut turn);
    }

    /// A [`crate::Load`] is answered with the messages that could be read; the others are asked for again if they are
    /// still wanted (their records were moved meanwhile). Every load is to be answered once.
    pub fn handle_loaded(
        &mut self,
        queue: u64,
        messages: Vec<(u64, Message)>,
        now: Millis,
        store: &mut impl Store,
        out: &mut Effects,
    ) {
        let mut turn = self.begin(now, store, out);
        if queue == record::DELAYED_QUEUE {
            self.delayed.loaded(messages);
            self.release_delayed(&mut turn);
        } else if let Some(&slot) = self.incarnations.get(&queue) {
            self.loaded(slot, &messages);
        } else {
            self.estate_loaded(queue, &messages, &mut turn);
        }
        self.finish(&mut turn);
    }

    /// The time that [`Engine::poll_timeout`] named has come, or later.
    pub fn handle_timeout(&mut self, now: Millis, store: &mut impl Store, out: &mut Effects) {
        let mut turn = self.begin(now, store, out);
        for _ in 0..TIMERS_PER_TURN {
            let Some(&(due, slot)) = self.timers.first() else {
                break;
            };
            if due > now {
                break;
            }
            self.timers.pop_first();
            if let Some(queue) = self.queues.get_mut(slot) {
                queue.armed = None;
                self.handle_queue_timeout(slot, &mut turn);
            }
        }
        self.let_overdue_go(&mut turn);
        self.see_leavers_off();
        self.release_delayed(&mut turn);
        self.handle_group_timeouts(&mut turn);
        self.handle_window_timeouts(&mut turn);
        self.handle_reader_timeouts(&mut turn);
        self.abort_overdue(&mut turn);
        self.forget_idle_transactional(&mut turn);
        self.resume_paying(&mut turn);
        self.answer_overdue(&mut turn);
        self.tidy_ahead(now);
        self.sweep_logs(&mut turn);
        self.expire_keyed(&mut turn);
        self.compact_logs(&mut turn);
        self.finish(&mut turn);
    }

    /// When to call [`Engine::handle_timeout`] at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Millis> {
        let queues = self.timers.first().map(|(due, _)| *due);
        let delayed = self.delayed.deadline();
        [
            queues,
            delayed,
            self.groups.deadline(),
            self.windows.deadline(),
            self.readers.deadline(),
            self.logs.deadline(&self.options),
            self.live.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    pub(crate) fn begin<'a, S: Store>(
        &mut self,
        now: Millis,
        store: &'a mut S,
        out: &'a mut Effects,
    ) -> Turn<'a, S> {
        self.clock = self.clock.max(now);
        self.work.expiries_left = EXPIRIES_PER_TURN;
        self.work.confirms.clear();
        self.work.failed.clear();
        self.work.stored.clear();
        self.work.wants_stored = false;
        self.work.terms = None;
        Turn { now, store, out }
    }

    /// The time of the turn, or of the last one that had one.
    pub(crate) fn time<S>(&self, turn: &Turn<'_, S>) -> Millis {
        turn.now.max(self.clock)
    }

    /// Puts a queue on the turn's work list.
    pub(crate) fn touch(&mut self, slot: u32) {
        if let Some(queue) = self.queues.get_mut(slot)
            && !queue.touched
        {
            queue.touched = true;
            self.work.touched.push(slot);
        }
    }

    /// Delivers, enforces limits and buries, until no queue has anything left to do.
    pub(crate) fn look_after_touched(&mut self, turn: &mut Turn<'_, impl Store>) {
        while let Some(&slot) = self.work.touched.get(self.work.done) {
            self.work.done += 1;
            if let Some(queue) = self.queues.get_mut(slot) {
                queue.touched = false;
                self.look_after(slot, turn);
            }
        }
    }

    pub(crate) fn look_after(&mut self, slot: u32, turn: &mut Turn<'_, impl Store>) {
        self.pump(slot, turn);
        if let Some(queue) = self.queues.get_mut(slot) {
            queue.enforce_limits(turn.store);
            if !queue.dying.is_empty() {
                self.bury(slot, turn);
            }
        }
    }

    /// The end of a turn: all queues are looked after, what ended in them is journaled, their timers are set.
    pub(crate) fn finish(&mut self, turn: &mut Turn<'_, impl Store>) {
        self.look_after_windows(turn);
        self.feed_followers(turn);
        self.feed_readers(turn);
        self.look_after_touched(turn);
        let mut touched = std::mem::take(&mut self.work.touched);
        self.work.done = 0;
        for slot in touched.drain(..) {
            self.settle_accounts(slot, turn);
        }
        self.work.touched = touched;
        self.delayed.journal_ended(&mut self.work.buffer, turn);
        self.journal_readers(turn);
        self.windows.journal(turn);
        self.look_after_keyed(turn);
        self.journal_removed(turn);
        self.mark_appended(turn);
    }

    fn settle_accounts(&mut self, slot: u32, turn: &mut Turn<'_, impl Store>) {
        let Some(queue) = self.queues.get_mut(slot) else {
            return;
        };
        let buffer = &mut self.work.buffer;
        if !queue.ended.is_empty() {
            merge_ranges(&mut queue.ended);
            record::put_settle(buffer, queue.incarnation, &queue.ended);
            queue.ended.clear();
            turn.append(buffer, queue.incarnation);
        }
        if !queue.changed.is_empty() {
            record::put_attempts(buffer, queue.incarnation, &queue.changed);
            queue.changed.clear();
            turn.append(buffer, queue.incarnation);
        }
        let bytes = queue.hot_bytes();
        self.resident_bytes = self.resident_bytes + bytes - queue.reported_bytes;
        queue.reported_bytes = bytes;
        self.arm(slot);
    }

    /// Sets a queue's timer, if it is to ring earlier than it would.
    pub(crate) fn arm(&mut self, slot: u32) {
        let Some(queue) = self.queues.get_mut(slot) else {
            return;
        };
        let Some(deadline) = queue.deadline() else {
            return;
        };
        if queue.armed.is_none_or(|armed| deadline < armed) {
            if let Some(armed) = queue.armed.replace(deadline) {
                self.timers.remove(&(armed, slot));
            }
            self.timers.insert((deadline, slot));
        }
    }

    /// Confirms the publishes of the batch, lane by lane.
    fn confirm(&mut self, session: SessionId, turn: &mut Turn<'_, impl Store>) {
        for confirm in self.work.confirms.drain(..) {
            let event = Event::Confirmed {
                lane: confirm.lane,
                through: confirm.through,
            };
            turn.gate(session, event, confirm.needs_sync);
        }
    }

    /// The lane's slot; lanes come into being when they are first used.
    pub(crate) fn lane_slot(&mut self, session: u32, lane: Lane) -> Option<u32> {
        let state = self.sessions.get_mut(session)?;
        if let Some(slot) = state.lanes.get(&lane) {
            return Some(*slot);
        }
        let slot = self.lanes.insert(LaneState::new(lane));
        state.lanes.insert(lane, slot);
        Some(slot)
    }

    pub(crate) fn settle(
        &mut self,
        asker: Asker,
        lease: polybus_model::LeaseId,
        outcome: Outcome,
        turn: &mut Turn<'_, impl Store>,
    ) {
        self.settle_lease(asker.session, lease, outcome, turn);
    }
}

/// Sorts ranges and joins those that meet.
pub(crate) fn merge_ranges(ranges: &mut Vec<record::Range>) {
    if !ranges.is_sorted_by_key(|range| range.first) {
        ranges.sort_unstable();
    }
    ranges.dedup_by(|next, kept| {
        let joins = next.first == kept.end() && kept.len.checked_add(next.len).is_some();
        if joins {
            kept.len += next.len;
        }
        joins
    });
}
