//! The time that sessions are given: the wall clock of the start plus what has passed since, so that it never jumps.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use polybus_model::Millis;
use tokio::time::Instant;

/// A clock, cheap to copy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started_at: Millis,
    start: Instant,
}

impl Clock {
    /// Starts at the wall clock's time.
    pub(crate) fn start() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            started_at: millis(since.unwrap_or_default()),
            start: Instant::now(),
        }
    }

    /// The time.
    pub(crate) fn now(&self) -> Millis {
        self.started_at + millis(self.start.elapsed())
    }

    /// When it will be that time.
    pub(crate) fn instant(&self, at: Millis) -> Instant {
        self.start + Duration::from_millis(at.saturating_sub(self.started_at))
    }
}

/// A duration in milliseconds.
pub(crate) fn millis(duration: Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
