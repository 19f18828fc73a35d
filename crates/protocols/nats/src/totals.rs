//! What went through all connections that are gone, and a few counts of all that ever were.

use std::sync::atomic::{AtomicU64, Ordering};

use polybus_session::Traffic;

/// Counts of a server's life. Connections that are open count for themselves.
#[derive(Debug, Default)]
pub struct Totals {
    connections: AtomicU64,
    slow: AtomicU64,
    messages_in: AtomicU64,
    bytes_in: AtomicU64,
    messages_out: AtomicU64,
    bytes_out: AtomicU64,
}

impl Totals {
    /// One more connection; gives its number.
    pub(crate) fn connected(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A client was cut off since it read too slowly.
    pub(crate) fn was_slow(&self) {
        self.slow.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection is gone.
    pub(crate) fn add(&self, traffic: Traffic) {
        for (total, count) in [
            (&self.messages_in, traffic.messages_in),
            (&self.bytes_in, traffic.bytes_in),
            (&self.messages_out, traffic.messages_out),
            (&self.bytes_out, traffic.bytes_out),
        ] {
            total.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Connections ever.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Clients that were cut off since they read too slowly.
    #[must_use]
    pub fn slow(&self) -> u64 {
        self.slow.load(Ordering::Relaxed)
    }

    /// What went through connections that are gone.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        Traffic {
            messages_in: self.messages_in.load(Ordering::Relaxed),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            messages_out: self.messages_out.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
            subscriptions: 0,
        }
    }
}
