//! Holding a client to its quotas: what it does is taken out of its bucket, and if that is in debt the client is told how long it
//! is to be silent, and its requests are not read for that long. Others are not held up by it.

use polybus_model::{Metered, Millis};
use polybus_session::Spender;

use super::core::Core;

/// Who a connection's client is to the quotas, and how long it is not read.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    pub(super) user: String,
    host: String,
    until: Option<Millis>,
}

impl Throttle {
    pub(super) fn new(host: String) -> Self {
        Self {
            host,
            ..Self::default()
        }
    }

    /// When requests are read again, if they are not read now.
    pub(super) fn until(&self) -> Option<Millis> {
        self.until
    }

    /// The time has come, or not yet.
    pub(super) fn handle_timeout(&mut self, now: Millis) {
        self.until.take_if(|until| *until <= now);
    }
}

impl Core {
    /// The client has done so much: gives how long it is not read from now on, in milliseconds, as clients are told.
    pub(super) fn meter(&mut self, metered: Metered, amount: usize) -> i32 {
        let spent_ms = self
            .settings
            .quotas
            .spend(metered, self.spender(), amount as f64, self.now);
        // Clients are told in 32 bits.
        let silent_ms = i32::try_from(spent_ms).unwrap_or(i32::MAX);
        self.hold_back(silent_ms.unsigned_abs().into());
        silent_ms
    }

    /// A new connection counts for the address it comes from; it is not read for a while if there were too many.
    pub(super) fn meter_connection(&mut self) {
        let longest_ms = self.settings.handshake_timeout_ms / 2;
        let spender = self.spender();
        let quotas = &self.settings.quotas;
        let spent_ms = quotas.spend(Metered::Connections, spender, 1.0, self.now);
        self.hold_back(spent_ms.min(longest_ms));
    }

    /// The bytes of messages that one answer may have.
    pub(super) fn answer_bytes_max(&self) -> u32 {
        let most = self.settings.fetch_bytes_max;
        let burst = self
            .settings
            .quotas
            .burst(Metered::BytesOut, self.spender());
        // A cast of a number that is too large gives the greatest there is.
        burst.map_or(most, |burst| most.min(burst as u32))
    }

    fn hold_back(&mut self, silent_ms: Millis) {
        if silent_ms > 0 {
            let until = self.now.saturating_add(silent_ms);
            self.throttle.until = self.throttle.until.max(Some(until));
        }
    }

    fn spender(&self) -> Spender<'_> {
        Spender {
            user: &self.throttle.user,
            client: &self.client,
            host: &self.throttle.host,
        }
    }
}
