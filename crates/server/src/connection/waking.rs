//! When a connection is run that another one has something for: at once, or together with what others have for it.
//!
//! ```text
//! the thread was asleep, one socket is ready:   A -> B                         B's answer is not kept waiting
//! many are ready:                               A1 A2 A3 ... -> all sockets asked again -> B, once, with one write
//! ```
//! Without this B would run, and write, after each of the others: its write costs more than all the rest. So, always: the
//! first connection that a thread runs after a sleep, and one that has just read much, wake at once; the others when
//! the thread has nothing else to do (the scheduler sees to it that this is soon). Threads that run no connections
//! wake at once.

use std::cell::Cell;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

/// Who has read so much has a batch of its own, which another thread may deliver meanwhile.
const MUCH_BYTES: usize = 32 * 1024;

thread_local! {
    /// Connections that this thread has run since it last slept.
    static RUNS: Cell<u32> = const { Cell::new(0) };
    /// The one that it runs has just read much.
    static HAS_MUCH: Cell<bool> = const { Cell::new(false) };
}

/// To be called by a thread that has slept.
pub(crate) fn note_sleep() {
    RUNS.set(0);
}

/// To be called when a connection is run.
pub(super) fn note_run() {
    RUNS.set(RUNS.get().saturating_add(1));
    HAS_MUCH.set(false);
}

/// To be called when the connection that is run has read so many bytes.
pub(super) fn note_read(bytes: usize) {
    HAS_MUCH.set(bytes >= MUCH_BYTES);
}

/// A connection's waker as it is handed to the broker, made once.
#[derive(Debug, Default)]
pub(super) struct Waking(Option<(Waker, Waker)>);

impl Waking {
    /// The waker for a task that is woken by this one.
    pub(super) fn waker(&mut self, task: &Waker) -> &Waker {
        let is_made = |(of, _): &(Waker, Waker)| of.will_wake(task);
        if !self.0.as_ref().is_some_and(is_made) {
            self.0 = None;
        }
        let make = || (task.clone(), Waker::from(Arc::new(Patient(task.clone()))));
        &self.0.get_or_insert_with(make).1
    }
}

/// Wakes when the thread has nothing else to do, where it has.
struct Patient(Waker);

impl Wake for Patient {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if RUNS.get() < 2 || HAS_MUCH.get() {
            return self.0.wake_by_ref();
        }
        // A yield leaves the waker with the scheduler, which wakes it after the tasks that are there and a look at the sockets.
        let leave = pin!(tokio::task::yield_now());
        if leave.poll(&mut Context::from_waker(&self.0)).is_ready() {
            self.0.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Count {
        fn woken(&self) -> u32 {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[tokio::test]
    async fn the_first_wakes_at_once_and_the_next_when_the_thread_is_idle() {
        let (count, mut waking) = (Arc::new(Count::default()), Waking::default());
        let task = Waker::from(Arc::clone(&count));
        note_sleep();
        note_run();
        waking.waker(&task).wake_by_ref();
        assert_eq!(count.woken(), 1);
        note_run();
        waking.waker(&task).wake_by_ref();
        assert_eq!(count.woken(), 1);
        tokio::task::yield_now().await;
        assert_eq!(count.woken(), 2);
        note_run();
        note_read(MUCH_BYTES);
        waking.waker(&task).wake_by_ref();
        assert_eq!(count.woken(), 3);
    }

    #[test]
    fn a_thread_that_runs_no_connections_wakes_at_once_and_a_waker_is_made_once() {
        let (count, mut waking) = (Arc::new(Count::default()), Waking::default());
        let task = Waker::from(Arc::clone(&count));
        let first = waking.waker(&task).clone();
        assert!(first.will_wake(waking.waker(&task)));
        assert!(!first.will_wake(waking.waker(Waker::noop())));
        first.wake();
        assert_eq!(count.woken(), 1);
    }
}
