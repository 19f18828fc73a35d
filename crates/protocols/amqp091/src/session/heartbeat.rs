//! Proof of life, both ways: sent when half the interval passed in silence, and the peer is cut off when more than two
//! intervals passed without a byte from it.

use polybus_model::Millis;

/// The timers of a connection's heartbeats.
#[derive(Debug, Default)]
pub(super) struct Heartbeat {
    /// 0: no heartbeats.
    interval_ms: Millis,
    last_in: Millis,
    last_out: Millis,
}

impl Heartbeat {
    /// Starts with the interval that the client settled on.
    pub(super) fn start(&mut self, interval_s: u16, now: Millis) {
        self.interval_ms = Millis::from(interval_s) * 1000;
        self.last_in = now;
        self.last_out = now;
    }

    /// Something came, or it was not listened for until now.
    pub(super) fn heard(&mut self, now: Millis) {
        self.last_in = now;
    }

    /// Something was sent.
    pub(super) fn sent(&mut self, now: Millis) {
        self.last_out = now;
    }

    fn send_at(&self) -> Millis {
        self.last_out + self.interval_ms / 2
    }

    fn cut_at(&self) -> Millis {
        self.last_in + self.interval_ms * 5 / 2
    }

    /// True if a heartbeat is to be sent.
    pub(super) fn is_send_due(&self, now: Millis) -> bool {
        self.interval_ms > 0 && now >= self.send_at()
    }

    /// True if the peer is gone.
    pub(super) fn is_cut_due(&self, now: Millis) -> bool {
        self.interval_ms > 0 && now >= self.cut_at()
    }

    /// When to look again.
    pub(super) fn deadline(&self) -> Option<Millis> {
        (self.interval_ms > 0).then(|| self.send_at().min(self.cut_at()))
    }
}
