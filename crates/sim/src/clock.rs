//! The simulated clock: it stands still unless the schedule moves it, forwards or back.

use std::sync::atomic::{AtomicU64, Ordering};

use polybus_broker::Clock;
use polybus_model::Millis;

/// Where the clock starts: some day in 2026.
pub(crate) const START: Millis = 1_790_000_000_000;

/// A clock that is moved by hand.
#[derive(Debug)]
pub(crate) struct SimClock(AtomicU64);

impl Default for SimClock {
    fn default() -> Self {
        Self(AtomicU64::new(START))
    }
}

impl SimClock {
    /// Moves it on.
    pub(crate) fn advance(&self, by: Millis) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    /// Moves it back.
    pub(crate) fn set_back(&self, by: Millis) {
        let now = self.now();
        self.0.store(now.saturating_sub(by), Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Millis {
        self.0.load(Ordering::Relaxed)
    }
}
