//! What went through all connections that are gone, and a few counts of all that ever were.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use polybus_model::Millis;
use polybus_session::{PeerSummary, Traffic};

/// Connections that are gone and still listed.
const GONE_MAX: usize = 1_000;

/// A connection that is gone.
#[derive(Clone, Debug)]
pub struct Gone {
    /// What listings showed of it last.
    pub summary: PeerSummary,
    /// Where its client was.
    pub remote: SocketAddr,
    /// It was encrypted.
    pub is_encrypted: bool,
    /// When it came.
    pub connected_at: Millis,
    /// When it went.
    pub gone_at: Millis,
    /// Why; none: its client left.
    pub reason: Option<String>,
}

/// Counts of a server's life. Connections that are open count for themselves.
#[derive(Debug, Default)]
pub struct Totals {
    connections: AtomicU64,
    slow: AtomicU64,
    messages_in: AtomicU64,
    bytes_in: AtomicU64,
    messages_out: AtomicU64,
    bytes_out: AtomicU64,
    /// The last connections that are gone, the latest last.
    gone: Mutex<VecDeque<Gone>>,
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
    pub(crate) fn left(&self, gone: Gone) {
        let traffic = gone.summary.traffic;
        for (total, count) in [
            (&self.messages_in, traffic.messages_in),
            (&self.bytes_in, traffic.bytes_in),
            (&self.messages_out, traffic.messages_out),
            (&self.bytes_out, traffic.bytes_out),
        ] {
            total.fetch_add(count, Ordering::Relaxed);
        }
        let mut listed = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        if listed.len() >= GONE_MAX {
            listed.pop_front();
        }
        listed.push_back(gone);
    }

    /// The last connections that are gone, the latest last.
    #[must_use]
    pub fn gone(&self) -> Vec<Gone> {
        let listed = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        listed.iter().cloned().collect()
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
            pending: 0,
        }
    }
}
