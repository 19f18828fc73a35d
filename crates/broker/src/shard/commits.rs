//! When staged records are written, by whom, and what their being durable sets free.
//!
//! ```text
//! staged, someone waits for it   -> at once: a committer is woken, others' writes in flight or not
//! staged, nobody waits (lazy)    -> with the next frame that someone waits for;
//!                                   else once it is LAZY_WAIT old, or much, by the committer that watches the time
//! ```
//! A frame of its own for a settlement would be in the way of the next publish: two writes at a time cost a disk more than one,
//! and nobody is told of a settlement's end. So, always: what an event waits for is handed to a committer in the turn that
//! staged it; what nothing waits for is, too, soon after [`LAZY_WAIT`].

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use polybus_journal::{Lsn, SealedFrame};
use polybus_model::Event;

use super::{Shard, State, StepError, wake_all};

/// Bytes not yet on disk past which sessions are not read.
pub(super) const UNWRITTEN_BYTES_MAX: u64 = 16 << 20;
/// How long to wait for another thread's commit before looking again.
const COMMIT_WAIT: Duration = Duration::from_millis(50);
/// How long records that nobody waits for may wait for a frame of others.
const LAZY_WAIT: Duration = Duration::from_millis(5);
/// More of them are written at once.
const LAZY_BYTES_MAX: u64 = 256 << 10;

/// What is staged and being written, and who is there to write.
pub(super) struct Commits {
    /// Threads that write, in all.
    committers: usize,
    /// Those that sleep and were not told to wake.
    sleeping: usize,
    /// One of those that sleep wakes by itself to write what is lazy.
    is_watched: bool,
    /// Bytes sealed and being written.
    in_flight: u64,
    /// The last record that was sealed.
    sealed: Lsn,
    /// When the oldest record came that is not sealed.
    oldest: Option<Instant>,
}

/// When to write.
enum Due {
    Now,
    At(Instant),
    /// There is nothing to write.
    Never,
}

impl Commits {
    pub(super) fn new(durable: Lsn, committers: usize) -> Self {
        Self {
            committers,
            sleeping: 0,
            is_watched: false,
            in_flight: 0,
            sealed: durable,
            oldest: None,
        }
    }
}

impl State {
    /// Bytes staged or being written.
    pub(super) fn unwritten_bytes(&self) -> u64 {
        self.staging.appender.pending() + self.commits.in_flight
    }

    /// Called after a turn: whether to wake a committer. It counts as awake from then on.
    pub(super) fn wants_committer(&mut self) -> bool {
        let due = self.due();
        let sleeping = self.commits.sleeping;
        let wanted = match due {
            Due::Now => sleeping > 0,
            // Whoever is awake looks again before it sleeps.
            Due::At(_) => sleeping >= self.commits.committers.max(1) && !self.commits.is_watched,
            Due::Never => false,
        };
        if wanted {
            self.commits.sleeping -= 1;
        }
        wanted
    }

    fn due(&mut self) -> Due {
        let pending = self.staging.appender.pending();
        if pending == 0 {
            return Due::Never;
        }
        let sealed = self.commits.sealed;
        let is_awaited = self.gated.back().is_some_and(|(lsn, ..)| *lsn > sealed);
        if is_awaited || pending >= LAZY_BYTES_MAX || self.stopping {
            return Due::Now;
        }
        let now = Instant::now();
        let at = *self.commits.oldest.get_or_insert(now) + LAZY_WAIT;
        if at <= now { Due::Now } else { Due::At(at) }
    }

    /// Notes a frame that is about to be written.
    fn note_sealed(&mut self, frame: &SealedFrame) {
        self.commits.in_flight += frame.bytes();
        self.commits.sealed = frame.last_lsn();
        self.commits.oldest = None;
    }
}

impl Shard {
    /// Seals, writes and confirms one frame; gives its length. None if there was nothing to write.
    pub(crate) fn commit_one(&self) -> Result<Option<u64>, StepError> {
        let Some(frame) = ({
            let mut state = self.state.lock();
            if state.failed {
                return Err("the broker has failed before".into());
            }
            let frame = state.staging.appender.seal();
            if let Some(frame) = &frame {
                state.note_sealed(frame);
            }
            frame
        }) else {
            return Ok(None);
        };
        let bytes = frame.bytes();
        self.writer
            .write(frame)
            .map_err(|error| error.to_string())?;
        self.release_gated(bytes);
        Ok(Some(bytes))
    }

    /// Writes an empty frame: it proves on disk how far everything before it was durable, so that later damage to the last
    /// confirmed frame is not taken for a torn write.
    pub(crate) fn mark_idle(&self) -> Result<(), StepError> {
        let mark = {
            let mut state = self.state.lock();
            let mark = state.staging.appender.seal_mark();
            state.note_sealed(&mark);
            mark
        };
        let bytes = mark.bytes();
        self.writer.write(mark).map_err(|error| error.to_string())?;
        self.release_gated(bytes);
        Ok(())
    }

    /// Makes what was written stable, for interval durability.
    pub(crate) fn sync(&self) -> Result<(), StepError> {
        self.writer.sync().map_err(|error| error.to_string())?;
        self.release_gated(0);
        Ok(())
    }

    /// Hands over the events whose records are durable.
    fn release_gated(&self, written: u64) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.commits.in_flight -= written.min(state.commits.in_flight);
        if state.failed {
            return;
        }
        state.durable = self.writer.durable_lsn().max(state.durable);
        self.committed.notify_all();
        let mut wakers = Vec::new();
        while let Some((session, event)) = state.next_durable() {
            let superseded = state
                .gated
                .front()
                .is_some_and(|(lsn, next_session, next)| {
                    *lsn <= state.durable && *next_session == session && supersedes(next, &event)
                });
            if let Some(member) = state.members.get_mut(&session) {
                member.gated -= 1;
                if !superseded {
                    wakers.extend(member.mailbox.push_all(std::iter::once(event)));
                }
            }
        }
        wakers.extend(state.tell_durable());
        let (load, timer) = (!state.loads.is_empty(), state.wants_timer());
        if self.has_pressure() && state.unwritten_bytes() < UNWRITTEN_BYTES_MAX / 2 {
            self.pressure.store(false, Ordering::Relaxed);
            for member in state.members.values() {
                member.mailbox.nudge();
            }
        }
        drop(guard);
        if load {
            self.load_wanted.notify_one();
        }
        if timer {
            self.timer_wanted.notify_one();
        }
        wake_all(wakers);
    }

    /// Whether [`Shard::wait_for_commit`] would return at once.
    pub(crate) fn is_commit_due(&self) -> bool {
        matches!(self.state.lock().due(), Due::Now)
    }

    /// Waits until there is something to write. False when the shard stops and nothing is left.
    pub(crate) fn wait_for_commit(&self) -> bool {
        let mut state = self.state.lock();
        loop {
            let watch_until = match state.due() {
                Due::Now => return true,
                Due::Never if state.stopping => return false,
                Due::At(at) if !state.commits.is_watched => Some(at),
                Due::At(_) | Due::Never => None,
            };
            state.commits.sleeping += 1;
            let Some(until) = watch_until else {
                self.commit_wanted.wait(&mut state);
                continue;
            };
            state.commits.is_watched = true;
            if self.commit_wanted.wait_until(&mut state, until).timed_out() {
                // Nobody has counted it as awake.
                state.commits.sleeping = state.commits.sleeping.saturating_sub(1);
            }
            state.commits.is_watched = false;
        }
    }

    /// Waits until everything up to there is durable, writing what is not yet being written.
    pub(crate) fn wait_durable(&self, lsn: Lsn) -> Result<(), StepError> {
        while self.writer.durable_lsn() < lsn {
            if self.commit_one()?.is_some() {
                continue;
            }
            // The rest is in a committer's hands, or written and not yet synced.
            self.writer.sync().map_err(|error| error.to_string())?;
            let mut state = self.state.lock();
            if self.writer.durable_lsn() < lsn {
                self.committed.wait_for(&mut state, COMMIT_WAIT);
            }
        }
        Ok(())
    }
}

/// Whether a later event makes an earlier one of the same session superfluous: confirms rise.
fn supersedes(later: &Event, earlier: &Event) -> bool {
    matches!(
        (later, earlier),
        (Event::Confirmed { lane: a, .. }, Event::Confirmed { lane: b, .. }) if a == b
    )
}
