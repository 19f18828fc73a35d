//! What the broker has to tell a session: events are pushed by whoever runs a turn and taken by the session's driver.
//!
//! ```text
//! turn (any thread) --push_all--> [ events ] --take--> driver
//!                        `-- Waker, only where the driver waits: one wake-up per batch
//! ```
//! Pushing happens under the shard's lock, so the order of events is the order of turns; waking happens after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;
use polybus_model::Event;

/// One session's events.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    inner: Mutex<Inner>,
    /// The session is not to be read: those whom it publishes to cannot take more.
    is_held: AtomicBool,
}

#[derive(Debug, Default)]
struct Inner {
    events: Vec<Event>,
    /// Set while the driver waits for events.
    waker: Option<Waker>,
    /// Set by a change of pressure: the driver is to look again though there is no event.
    nudged: bool,
}

impl Mailbox {
    /// Adds events; the waker that is returned must be woken once the shard is unlocked.
    #[must_use]
    pub(crate) fn push_all(&self, events: impl Iterator<Item = Event>) -> Option<Waker> {
        let mut inner = self.inner.lock();
        inner.events.extend(events);
        inner.waker.take()
    }

    /// Adds one event and wakes the driver.
    pub(crate) fn push(&self, event: Event) {
        if let Some(waker) = self.push_all(std::iter::once(event)) {
            waker.wake();
        }
    }

    /// Makes the driver look again, without an event.
    pub(crate) fn nudge(&self) {
        let waker = {
            let mut inner = self.inner.lock();
            inner.nudged = true;
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Holds the session, or lets it go: then whoever waits is to look again.
    #[must_use]
    pub(crate) fn hold(&self, holds: bool) -> Option<Waker> {
        self.is_held.store(holds, Ordering::Relaxed);
        if holds {
            return None;
        }
        let mut inner = self.inner.lock();
        inner.nudged = true;
        inner.waker.take()
    }

    /// Whether the session is held.
    pub(crate) fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Relaxed)
    }

    /// Moves the events to the end of `into`.
    pub(crate) fn take(&self, into: &mut Vec<Event>) {
        let mut inner = self.inner.lock();
        // Whoever takes is awake: what comes next finds the waker only after the next poll.
        inner.waker = None;
        if into.is_empty() {
            std::mem::swap(&mut inner.events, into);
        } else {
            into.append(&mut inner.events);
        }
    }

    /// Blocks the thread until [`Mailbox::poll`] is ready.
    pub(crate) fn wait(&self) {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        while self.poll(&Context::from_waker(&waker)).is_pending() {
            std::thread::park();
        }
    }

    /// Ready when there are events, or after a nudge.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<()> {
        let mut inner = self.inner.lock();
        if inner.nudged || !inner.events.is_empty() {
            inner.nudged = false;
            inner.waker = None;
            return Poll::Ready(());
        }
        match &inner.waker {
            Some(waker) if waker.will_wake(context.waker()) => {}
            _ => inner.waker = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_keep_their_order_and_end_the_wait() {
        let mailbox = Mailbox::default();
        let context = Context::from_waker(Waker::noop());
        assert!(mailbox.poll(&context).is_pending());
        mailbox.push(Event::Unblocked);
        mailbox.push(Event::Blocked {
            reason: "low on disk",
        });
        assert!(mailbox.poll(&context).is_ready());
        let mut events = Vec::new();
        mailbox.take(&mut events);
        assert!(matches!(
            events[..],
            [Event::Unblocked, Event::Blocked { .. }]
        ));
        assert!(mailbox.poll(&context).is_pending());
    }

    #[test]
    fn letting_go_ends_the_wait() {
        let mailbox = Mailbox::default();
        let context = Context::from_waker(Waker::noop());
        assert!(mailbox.hold(true).is_none() && mailbox.is_held());
        assert!(mailbox.poll(&context).is_pending());
        assert!(mailbox.hold(false).is_some() && !mailbox.is_held());
        assert!(mailbox.poll(&context).is_ready());
    }

    #[test]
    fn a_nudge_ends_the_wait_once() {
        let mailbox = Mailbox::default();
        let context = Context::from_waker(Waker::noop());
        mailbox.nudge();
        assert!(mailbox.poll(&context).is_ready());
        assert!(mailbox.poll(&context).is_pending());
    }
}
