//! How far the journal is written and stable: a contiguous watermark over frames that finish in
//! any order, and the poison that stops it for good.
//!
//! ```text
//! frames   1  2  3  4  5  6          done out of order: 5 and 6 wait for 4
//!          x  x  x  .  x  x   ->     written = 3
//! ```
//!
//! Always: `stable <= written`; neither ever moves back; after poison neither moves at all.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::error::{Error, Result};
use crate::options::Durability;
use crate::segment::Segment;

/// A place in the journal: everything up to this frame and this record.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mark {
    pub(crate) frame: u64,
    pub(crate) lsn: u64,
}

/// A frame whose write has returned.
pub(crate) struct Done {
    pub(crate) frame: u64,
    pub(crate) last_lsn: u64,
    pub(crate) end: u32,
    pub(crate) segment: Arc<Segment>,
}

struct State {
    waiting: BTreeMap<u64, Done>,
    written: Mark,
    stable: Mark,
    /// The segment that the watermark is in.
    current: Option<Arc<Segment>>,
    /// Written to since the last sync.
    dirty: Vec<Arc<Segment>>,
    appender_gone: bool,
    /// Threads in [`Progress::wait`]; waking nobody costs a system call as well.
    waiters: usize,
}

pub(crate) struct Progress {
    durability: Durability,
    state: Mutex<State>,
    changed: Condvar,
    written_lsn: AtomicU64,
    stable_lsn: AtomicU64,
    poisoned: AtomicBool,
    cause: OnceLock<Arc<str>>,
}

impl Progress {
    /// Begins behind `last_lsn`, which is stable; frames are numbered from 1.
    pub(crate) fn new(durability: Durability, last_lsn: u64) -> Self {
        let mark = Mark {
            frame: 0,
            lsn: last_lsn,
        };
        Self {
            durability,
            state: Mutex::new(State {
                waiting: BTreeMap::new(),
                written: mark,
                stable: mark,
                current: None,
                dirty: Vec::new(),
                appender_gone: false,
                waiters: 0,
            }),
            changed: Condvar::new(),
            written_lsn: AtomicU64::new(last_lsn),
            stable_lsn: AtomicU64::new(last_lsn),
            poisoned: AtomicBool::new(false),
            cause: OnceLock::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails once the journal is poisoned.
    pub(crate) fn check(&self) -> Result<()> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(self.poison_error());
        }
        Ok(())
    }

    fn poison_error(&self) -> Error {
        let cause = self.cause.get().cloned();
        Error::Poisoned {
            cause: cause.unwrap_or_else(|| Arc::from("an earlier failure")),
        }
    }

    /// Stops the journal for good. The first cause is the one that is told.
    pub(crate) fn poison(&self, cause: &str) {
        let _state = self.state();
        let _ = self.cause.set(Arc::from(cause));
        self.poisoned.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    pub(crate) fn written_lsn(&self) -> u64 {
        self.written_lsn.load(Ordering::Acquire)
    }

    /// What is on stable storage, whatever the durability level promises.
    pub(crate) fn stable_lsn(&self) -> u64 {
        self.stable_lsn.load(Ordering::Acquire)
    }

    pub(crate) fn stable(&self) -> Mark {
        self.state().stable
    }

    /// What may be acknowledged.
    pub(crate) fn durable_lsn(&self) -> u64 {
        match self.durability {
            Durability::Fsync | Durability::Interval => self.stable_lsn(),
            Durability::None => self.written_lsn(),
        }
    }

    /// A frame's write has returned: moves the watermark over it and all that waited behind it.
    pub(crate) fn complete(&self, done: Done) -> Result<()> {
        let mut state = self.state();
        self.check()?;
        let dirty = self.durability != Durability::Fsync
            && !state.dirty.iter().any(|s| s.number == done.segment.number);
        if dirty {
            state.dirty.push(Arc::clone(&done.segment));
        }
        state.waiting.insert(done.frame, done);
        let before = state.written.frame;
        loop {
            let next = state.written.frame + 1;
            let Some(done) = state.waiting.remove(&next) else {
                break;
            };
            state.written = Mark {
                frame: done.frame,
                lsn: done.last_lsn,
            };
            done.segment.advance(done.end, done.last_lsn, done.frame);
            let moved_on = state
                .current
                .as_ref()
                .is_none_or(|current| current.number != done.segment.number);
            if moved_on && let Some(left) = state.current.replace(done.segment) {
                left.complete();
            }
        }
        if state.written.frame != before {
            if self.durability == Durability::Fsync {
                state.stable = state.written;
            }
            self.publish(&state);
        }
        Ok(())
    }

    fn publish(&self, state: &State) {
        self.written_lsn.store(state.written.lsn, Ordering::Release);
        self.stable_lsn.store(state.stable.lsn, Ordering::Release);
        if state.waiters > 0 {
            self.changed.notify_all();
        }
    }

    /// What a sync that begins now must reach, and the files that it must sync.
    pub(crate) fn begin_sync(&self) -> (Mark, Vec<Arc<Segment>>) {
        let mut state = self.state();
        (state.written, std::mem::take(&mut state.dirty))
    }

    /// Such a sync is done.
    pub(crate) fn end_sync(&self, reached: Mark) -> Result<()> {
        let mut state = self.state();
        self.check()?;
        if reached.frame > state.stable.frame {
            state.stable = reached;
            self.publish(&state);
        }
        Ok(())
    }

    /// The segment that is still being written.
    pub(crate) fn current(&self) -> Option<Arc<Segment>> {
        self.state().current.clone()
    }

    /// Nothing more will be appended.
    pub(crate) fn appender_gone(&self) {
        self.state().appender_gone = true;
        self.changed.notify_all();
    }

    /// Wakes those who wait for something that is not a frame (a finished cold segment).
    pub(crate) fn notify(&self) {
        let _state = self.state();
        self.changed.notify_all();
    }

    /// Waits until `ready` gives an answer; `None` when it never will.
    pub(crate) fn wait<T>(&self, mut ready: impl FnMut() -> Option<T>) -> Result<Option<T>> {
        let mut state = self.state();
        loop {
            if let Some(answer) = ready() {
                return Ok(Some(answer));
            }
            self.check()?;
            if state.appender_gone {
                return Ok(None);
            }
            state.waiters += 1;
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.waiters -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{Io, MemoryIo, OpenMode};
    use crate::segment::{SegmentKind, SegmentStart};

    #[test]
    fn a_frame_that_finishes_after_the_poison_does_not_count() {
        let start = SegmentStart {
            number: 1,
            kind: SegmentKind::Journal,
            nonce: 1,
            epoch: 1,
            first_lsn: 1,
            first_frame: 1,
        };
        let file = MemoryIo::new().open("a", OpenMode::Create).unwrap();
        let segment = Arc::new(Segment::new(&start, file));
        let done = |frame| Done {
            frame,
            last_lsn: frame,
            end: 4096 * (frame as u32 + 1),
            segment: Arc::clone(&segment),
        };
        let progress = Progress::new(Durability::Fsync, 0);
        progress.complete(done(2)).unwrap();
        assert_eq!(progress.durable_lsn(), 0);
        progress.complete(done(1)).unwrap();
        assert_eq!(progress.durable_lsn(), 2);
        progress.poison("first");
        progress.poison("second");
        let error = progress.complete(done(3)).unwrap_err();
        assert!(error.to_string().contains("first"), "{error}");
        assert_eq!((progress.durable_lsn(), progress.written_lsn()), (2, 2));
        assert_eq!(segment.readable(), 4096 * 3);
    }
}
