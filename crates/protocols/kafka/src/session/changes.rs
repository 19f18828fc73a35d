//! Holding a client to its quota of partitions that are made and deleted (KIP-599).
//!
//! ```text
//! each topic's partitions -> in debt already: refused, if the client knows the word; otherwise taken out
//!                            not made after all: put back
//! the answer              -> how long the client is not read
//! ```
//! What takes more than there is left is let through and leaves a debt; so a topic of any size can be made.

use polybus_model::{Metered, Millis};

use super::core::Core;
use super::throttle::wire_ms;
use crate::error::Code;

/// What one request makes or deletes.
#[derive(Debug)]
pub(super) struct Changes {
    /// The client knows that it can be refused for this.
    is_refused: bool,
    silent_ms: Millis,
}

impl Changes {
    /// A request of a client that knows, or does not know, that it can be refused.
    pub(super) fn of(is_refused: bool) -> Self {
        Self {
            is_refused,
            silent_ms: 0,
        }
    }

    /// Takes so many partitions out of the client's bucket, or refuses to.
    pub(super) fn take(&mut self, core: &Core, partitions: u32) -> Result<(), (Code, String)> {
        if self.is_refused {
            let debt_ms = core.spend(Metered::Changes, 0.0);
            if debt_ms > 0 {
                self.silent_ms = self.silent_ms.max(debt_ms);
                let text = "The throttling quota has been exceeded.".to_owned();
                return Err((Code::THROTTLING_QUOTA_EXCEEDED, text));
            }
        }
        let debt_ms = core.spend(Metered::Changes, partitions.into());
        if !self.is_refused {
            self.silent_ms = debt_ms;
        }
        Ok(())
    }

    /// Puts back what was taken for partitions that were not made or deleted after all.
    pub(super) fn give_back(&mut self, core: &Core, partitions: u32) {
        let debt_ms = core.spend(Metered::Changes, -f64::from(partitions));
        if !self.is_refused {
            self.silent_ms = debt_ms;
        }
    }

    /// How long the client is not read from now on, as it is told.
    pub(super) fn end(&self, core: &mut Core) -> i32 {
        core.hold_back(self.silent_ms);
        wire_ms(self.silent_ms)
    }
}
