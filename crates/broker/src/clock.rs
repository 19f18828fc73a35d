//! The only place that reads the time. The simulation gives its own clock.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use polybus_model::Millis;

/// Tells the time in milliseconds since the Unix epoch.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Millis;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| elapsed.as_millis() as Millis)
    }
}

/// A clock to share.
pub type SharedClock = Arc<dyn Clock>;
