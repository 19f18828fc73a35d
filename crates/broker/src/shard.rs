//! One engine, its inlet to the journal and the events that wait for durability, behind one lock. Without threads: the
//! methods here are the steps, `threads.rs` (or the simulation) takes them.
//!
//! ```text
//! turn(batch) -> engine.handle -> events  -> mailboxes
//!                              -> records -> open frame        commits: seal, write, then release_gated
//!                              -> gated   -> waits for its LSN -----------------------------^
//!                              -> loads   -> load_one: read, engine.handle_loaded
//!                              -> a mark  -> waits for its LSN like a gated event, then engine.handle_durable
//! ```
//! What always holds: a gated event reaches its mailbox only when every record staged up to the end of its turn is durable;
//! the events of one session come in the order of its turns.

mod commits;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, MutexGuard};
use polybus_engine::{
    CompactionLoad, Corrupt, Effects, Engine, Load, LogLoad, Place, decode_run, record,
};
use polybus_journal::{Lsn, Reader, Writer};
use polybus_model::{Batch, Event, Millis, Name, SessionId};
use rustc_hash::FxHashMap;

use crate::access::Catalog;
use crate::mailbox::Mailbox;
use crate::staging::{Staging, position_of};
use commits::{Commits, UNWRITTEN_BYTES_MAX};

/// One engine and what it stands on.
pub(crate) struct Shard {
    state: Mutex<State>,
    /// Signalled when there is something to write and a committer sleeps.
    commit_wanted: Condvar,
    /// Signalled when there is something to load.
    load_wanted: Condvar,
    /// Signalled when the next deadline became earlier.
    timer_wanted: Condvar,
    /// Signalled when a frame is durable.
    committed: Condvar,
    /// Signalled when the shard stops.
    stopped: Condvar,
    pressure: AtomicBool,
    pub(crate) writer: Writer,
    pub(crate) reader: Reader,
}

/// What the lock guards.
pub(crate) struct State {
    pub(crate) engine: Engine,
    pub(crate) staging: Staging,
    pub(crate) catalog: Catalog,
    effects: Effects,
    members: FxHashMap<SessionId, Member>,
    gated: VecDeque<(Lsn, SessionId, Event)>,
    durable: Lsn,
    /// Marks that the engine wants to be told of, with the last record of their turn.
    marks: VecDeque<(Lsn, u64)>,
    loads: VecDeque<Wanted>,
    commits: Commits,
    timer_sleeps: bool,
    armed: Option<Millis>,
    stopping: bool,
    /// Nothing is confirmed any more.
    failed: bool,
}

/// What is to be read back.
enum Wanted {
    Messages(Load),
    Runs(LogLoad),
    Compaction(CompactionLoad),
}

/// A session as the shard knows it.
struct Member {
    mailbox: Arc<Mailbox>,
    /// Events of it that wait in the gate.
    gated: usize,
}

/// Why a step could not be taken.
pub(crate) type StepError = String;

impl Shard {
    pub(crate) fn new(
        engine: Engine,
        staging: Staging,
        catalog: Catalog,
        writer: Writer,
        reader: Reader,
        committers: usize,
    ) -> Self {
        let durable = writer.durable_lsn();
        Self {
            state: Mutex::new(State {
                engine,
                staging,
                catalog,
                effects: Effects::default(),
                members: FxHashMap::default(),
                gated: VecDeque::new(),
                durable,
                marks: VecDeque::new(),
                loads: VecDeque::new(),
                commits: Commits::new(durable, committers),
                timer_sleeps: false,
                armed: None,
                stopping: false,
                failed: false,
            }),
            commit_wanted: Condvar::new(),
            load_wanted: Condvar::new(),
            timer_wanted: Condvar::new(),
            committed: Condvar::new(),
            stopped: Condvar::new(),
            pressure: AtomicBool::new(false),
            writer,
            reader,
        }
    }

    /// Looks at the state without changing what the engine knows.
    pub(crate) fn look(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Whether sessions are to stop reading for now.
    pub(crate) fn has_pressure(&self) -> bool {
        self.pressure.load(Ordering::Relaxed)
    }

    /// Lets events reach a session.
    pub(crate) fn join(&self, session: SessionId, mailbox: Arc<Mailbox>) {
        self.state
            .lock()
            .members
            .insert(session, Member { mailbox, gated: 0 });
    }

    /// The session is gone: what it held goes back.
    pub(crate) fn leave(&self, session: SessionId, now: Millis) {
        self.turn(|engine, staging, _, effects| {
            engine.handle_detached(session, now, staging, effects)
        });
        self.state.lock().members.remove(&session);
    }

    /// Carries out a batch.
    pub(crate) fn handle(&self, session: SessionId, batch: &mut Batch, now: Millis) {
        self.turn(|engine, staging, _, effects| {
            engine.handle(session, batch, now, staging, effects)
        });
    }

    /// Runs one turn: an atomic group of records and its effects.
    pub(crate) fn turn<R>(
        &self,
        turn: impl FnOnce(&mut Engine, &mut Staging, &mut Catalog, &mut Effects) -> R,
    ) -> R {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.staging.appender.begin();
        let result = turn(
            &mut state.engine,
            &mut state.staging,
            &mut state.catalog,
            &mut state.effects,
        );
        let wakers = state.carry_out();
        if state.unwritten_bytes() > UNWRITTEN_BYTES_MAX {
            self.pressure.store(true, Ordering::Relaxed);
        }
        let commit = state.wants_committer();
        let loads = state.loads.len();
        let timer = state.wants_timer();
        drop(guard);
        if commit {
            self.commit_wanted.notify_one();
        }
        match loads {
            0 => {}
            1 => {
                self.load_wanted.notify_one();
            }
            _ => {
                self.load_wanted.notify_all();
            }
        }
        if timer {
            self.timer_wanted.notify_one();
        }
        wake_all(wakers);
        result
    }

    /// Reads back one run of messages, or what one read of logs wants. False if nothing is wanted.
    pub(crate) fn load_one(&self, now: Millis) -> Result<bool, StepError> {
        let Some(wanted) = self.state.lock().loads.pop_front() else {
            return Ok(false);
        };
        match wanted {
            Wanted::Messages(load) => {
                let places = load.items.iter().map(|(_, place, len)| (*place, *len));
                let decode = |payload: &Bytes| record::decode_message(payload);
                let messages = self.read_back(places.collect(), decode)?;
                let sequences = load.items.iter().map(|(sequence, ..)| *sequence);
                let messages = sequences.zip(messages).collect();
                self.turn(|engine, staging, _, effects| {
                    engine.handle_loaded(load.queue, messages, now, staging, effects);
                });
            }
            Wanted::Runs(load) => {
                let runs = self.read_back(load.items, decode_run)?;
                self.turn(|engine, staging, _, effects| {
                    engine.handle_log_loaded(load.number, runs, now, staging, effects);
                });
            }
            Wanted::Compaction(load) => {
                let runs = self.read_back(load.items, decode_run)?;
                let done = load.work.carry_out(runs);
                self.turn(|engine, staging, _, effects| {
                    engine.handle_compacted(load.number, done, now, staging, effects);
                });
            }
        }
        Ok(true)
    }

    /// Reads records back. None if one of them is no longer where it was: nobody has a use for it any more, or it was moved,
    /// and the engine asks again.
    fn read_back<T>(
        &self,
        places: Vec<(Place, u32)>,
        decode: impl Fn(&Bytes) -> Result<T, Corrupt>,
    ) -> Result<Vec<T>, StepError> {
        let positions: Vec<_> = places
            .into_iter()
            .map(|(place, len)| (position_of(place), len))
            .collect();
        let payloads = match self.reader.read_many(&positions) {
            Ok(payloads) => payloads,
            Err(polybus_journal::Error::Released { .. }) => Vec::new(),
            Err(error) => return Err(error.to_string()),
        };
        let decoded = positions.iter().zip(&payloads).map(|(at, payload)| {
            decode(payload)
                .map_err(|error| format!("the record at {} cannot be read back: {error}", at.0))
        });
        decoded.collect()
    }

    /// Does what is due.
    pub(crate) fn run_timers(&self, now: Millis) {
        self.turn(|engine, staging, _, effects| engine.handle_timeout(now, staging, effects));
    }

    /// Waits until there may be something to load. False when the shard stops.
    pub(crate) fn wait_for_load(&self) -> bool {
        let mut state = self.state.lock();
        while state.loads.is_empty() {
            if state.stopping {
                return false;
            }
            self.load_wanted.wait(&mut state);
        }
        !state.stopping
    }

    /// Waits for the engine's next deadline, `longest_ms` at most. False when the shard stops.
    pub(crate) fn wait_for_timer(&self, now: Millis, longest_ms: Millis) -> bool {
        let mut state = self.state.lock();
        if state.stopping {
            return false;
        }
        let until = state
            .engine
            .poll_timeout()
            .unwrap_or(Millis::MAX)
            .min(now.saturating_add(longest_ms));
        if until > now {
            state.timer_sleeps = true;
            state.armed = Some(until);
            self.timer_wanted
                .wait_for(&mut state, Duration::from_millis(until - now));
            state.timer_sleeps = false;
        }
        !state.stopping
    }

    /// Sleeps for so long, or until the shard stops: then true.
    pub(crate) fn sleep(&self, longest: Duration) -> bool {
        let mut state = self.state.lock();
        let until = Instant::now() + longest;
        while !state.stopping {
            if self.stopped.wait_until(&mut state, until).timed_out() {
                return state.stopping;
            }
        }
        true
    }

    /// Something has failed for good: nothing is confirmed any more, and the waits end.
    pub(crate) fn fail(&self) {
        self.state.lock().failed = true;
        self.stop();
    }

    /// Whether long work is to be left.
    pub(crate) fn is_stopping(&self) -> bool {
        self.state.lock().stopping
    }

    /// Makes the waits end.
    pub(crate) fn stop(&self) {
        self.state.lock().stopping = true;
        self.stopped.notify_all();
        self.commit_wanted.notify_all();
        self.load_wanted.notify_all();
        self.timer_wanted.notify_all();
    }

    /// Tells every session.
    pub(crate) fn broadcast(&self, mut event: impl FnMut() -> Event) {
        for member in self.state.lock().members.values() {
            member.mailbox.push(event());
        }
    }
}

impl State {
    /// The last record staged so far.
    pub(crate) fn last_lsn(&self) -> Lsn {
        Lsn(self.staging.appender.next_lsn().0 - 1)
    }

    /// Whether there is a namespace of that name.
    pub(crate) fn has_namespace(&self, name: &Name) -> bool {
        self.engine.namespaces().contains(name)
    }

    /// Whether the timer sleeps longer than the engine wants.
    fn wants_timer(&self) -> bool {
        self.timer_sleeps
            && match (self.engine.poll_timeout(), self.armed) {
                (Some(next), Some(armed)) => next < armed,
                (Some(_), None) => true,
                _ => false,
            }
    }

    /// Keeps an event until all that was staged so far is durable.
    fn gate(
        &mut self,
        session: SessionId,
        event: Event,
        needs_sync: bool,
        wakers: &mut Vec<Waker>,
    ) {
        // What the journal did not take has no number of its own, and is never durable.
        // After a failure not even what needs no disk is confirmed: what came before it in its lane never will be.
        let lost = self.failed || self.staging.refusal.is_some();
        let Some(member) = self.members.get_mut(&session) else {
            return;
        };
        // What only keeps its order needs nothing written that what it stands behind does not need.
        let lsn = match self.gated.back() {
            _ if lost => Lsn(u64::MAX),
            Some((lsn, ..)) if !needs_sync => *lsn,
            _ => Lsn(self.staging.appender.next_lsn().0 - 1),
        };
        if member.gated == 0 && (lsn <= self.durable || !(needs_sync || lost)) {
            wakers.extend(member.mailbox.push_all(std::iter::once(event)));
        } else {
            member.gated += 1;
            self.gated.push_back((lsn, session, event));
        }
    }

    /// The next event whose records are durable.
    fn next_durable(&mut self) -> Option<(SessionId, Event)> {
        let durable = self.durable;
        let (_, session, event) = self.gated.pop_front_if(|(lsn, ..)| *lsn <= durable)?;
        Some((session, event))
    }

    /// Hands over the turn's events and keeps what has to wait. Gives whom to wake.
    fn carry_out(&mut self) -> Vec<Waker> {
        let mut wakers = Vec::new();
        let mut events = std::mem::take(&mut self.effects.events);
        {
            let mut rest = events.drain(..);
            while let Some((session, _)) = rest.as_slice().first() {
                let session = *session;
                let is_same = |(next, _): &&(SessionId, Event)| *next == session;
                let len = rest.as_slice().iter().take_while(is_same).count();
                let run = rest.by_ref().take(len).map(|(_, event)| event);
                match self.members.get(&session) {
                    Some(member) => wakers.extend(member.mailbox.push_all(run)),
                    None => run.for_each(drop),
                }
            }
        }
        self.effects.events = events;
        let mut gated = std::mem::take(&mut self.effects.gated);
        for one in gated.drain(..) {
            self.gate(one.session, one.event, one.needs_sync, &mut wakers);
        }
        self.effects.gated = gated;
        for hold in self.effects.holds.drain(..) {
            if let Some(member) = self.members.get(&hold.session) {
                wakers.extend(member.mailbox.hold(hold.holds));
            }
        }
        let messages = self.effects.loads.drain(..).map(Wanted::Messages);
        let runs = self.effects.log_loads.drain(..).map(Wanted::Runs);
        let compactions = self.effects.compactions.drain(..).map(Wanted::Compaction);
        self.loads.extend(messages.chain(runs).chain(compactions));
        if let Some(mark) = self.effects.durable.take()
            && self.staging.refusal.is_none()
        {
            let lsn = self.last_lsn();
            self.marks.push_back((lsn, mark));
        }
        wakers
    }

    /// Tells the engine which of its marks are durable. Gives whom to wake.
    fn tell_durable(&mut self) -> Vec<Waker> {
        let durable = self.durable;
        let mut reached = None;
        while let Some((_, mark)) = self.marks.pop_front_if(|(lsn, _)| *lsn <= durable) {
            reached = Some(mark);
        }
        let Some(mark) = reached else {
            return Vec::new();
        };
        self.engine
            .handle_durable(mark, &mut self.staging, &mut self.effects);
        self.carry_out()
    }
}

fn wake_all(wakers: Vec<Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}
