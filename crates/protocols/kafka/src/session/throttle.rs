//! Holding a client to its quotas: what it does is taken out of its bucket, and if that is in debt the client is told how long it
//! is to be silent, and its requests are not read for that long. Others are not held up by it.

use std::time::Duration;

use polybus_model::{Metered, Millis};
use polybus_session::Spender;

use super::core::Core;

/// For the time that it has taken a client is silent so long at once, at most, as in Kafka.
const TIME_SILENT_MS_MAX: Millis = 1000;

/// Who a connection's client is to the quotas, and how long it is not read.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    pub(super) user: String,
    host: String,
    until: Option<Millis>,
    /// How long it is not read for the time that it has taken: all of its answers say so.
    time_until: Millis,
    /// Since its time was metered last it has asked something or was answered. A turn that only ends its silence costs time
    /// too, and would prolong it for ever.
    pub(super) has_worked: bool,
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

    /// How long it is not read any more for the time that it has taken.
    pub(super) fn time_ms(&self, now: Millis) -> i32 {
        wire_ms(self.time_until.saturating_sub(now))
    }

    /// The time has come, or not yet.
    pub(super) fn handle_timeout(&mut self, now: Millis) {
        self.until.take_if(|until| *until <= now);
    }
}

/// A time as clients are told: in 32 bits.
pub(super) fn wire_ms(silent_ms: Millis) -> i32 {
    i32::try_from(silent_ms).unwrap_or(i32::MAX)
}

impl Core {
    /// The client has done so much: gives how long it is not read from now on, in milliseconds, as clients are told.
    pub(super) fn meter(&mut self, metered: Metered, amount: usize) -> i32 {
        let spent_ms = self.spend(metered, amount as f64);
        self.hold_back(spent_ms);
        wire_ms(spent_ms)
    }

    /// The client's requests have taken so much time.
    pub(super) fn meter_time(&mut self, spent: Duration) {
        if !std::mem::take(&mut self.throttle.has_worked) {
            return;
        }
        let percent = spent.as_secs_f64() * 100.0;
        let silent_ms = self.spend(Metered::Time, percent).min(TIME_SILENT_MS_MAX);
        if silent_ms > 0 {
            self.throttle.time_until = self.now.saturating_add(silent_ms);
            self.hold_back(silent_ms);
        }
    }

    /// Takes so much out of the client's bucket, or puts it back; gives how long it would have to be silent, in milliseconds.
    pub(super) fn spend(&self, metered: Metered, amount: f64) -> Millis {
        let quotas = &self.settings.quotas;
        quotas.spend(metered, self.spender(), amount, self.now)
    }

    /// A new connection counts for the address it comes from; it is not read for a while if there were too many.
    pub(super) fn meter_connection(&mut self) {
        let longest_ms = self.settings.handshake_timeout_ms / 2;
        let spent_ms = self.spend(Metered::Connections, 1.0);
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

    /// The client is not read for so long.
    pub(super) fn hold_back(&mut self, silent_ms: Millis) {
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
