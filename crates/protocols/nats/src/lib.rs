//! NATS as nats-server speaks it, so that its clients run unchanged.
//!
//! ```text
//! bytes -> codec -> session -> model::Request::{PublishLive, SubscribeLive, ...}
//!                   mapping (headers)
//! bytes <- codec <- session <- model::Event::{Live, LiveMessage, ...}
//! ```
//! Subjects are keys of the pattern topic [`TOPIC`]. What one read held of publishes is one block that nobody copies until it is
//! written to whoever listens. Nothing here does input or output, reads a clock or knows the engine.

pub mod codec;
mod error;
mod mapping;
mod nkey;
mod session;
mod settings;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use polybus_model::{Millis, Origin};
use polybus_session::{Claim, Peer, Protocol, Session};

pub use mapping::{read_headers, read_property};
pub use nkey::PublicKey;
pub use settings::{Random, Settings, Upgrade, Verify};

/// The mark of messages that carry NATS' headers and reply.
pub const ORIGIN: Origin = Origin(3);
/// The topic whose keys are the subjects.
pub const TOPIC: &str = "amq.topic";
/// The version of NATS whose features clients may count on.
pub const VERSION: &str = "2.12.0";

/// NATS.
#[derive(Clone, Debug)]
pub struct Nats {
    settings: Arc<Settings>,
    server_id: Arc<str>,
    next_client: Arc<AtomicU64>,
}

impl Nats {
    /// The protocol with these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let mut bytes = [0; 32];
        for (place, byte) in bytes.iter_mut().zip(settings.identity.to_le_bytes()) {
            *place = byte;
        }
        Self {
            settings: Arc::new(settings),
            server_id: nkey::server_id(&bytes).into(),
            next_client: Arc::new(AtomicU64::new(1)),
        }
    }

    /// The server's id as clients see it.
    #[must_use]
    pub fn server_id(&self) -> &str {
        &self.server_id
    }
}

impl Protocol for Nats {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn claims(&self, _first: &[u8]) -> Claim {
        // The server speaks first: whoever has come to this port is taken for a client.
        Claim::Yes
    }

    fn accept(&self, peer: Peer, now: Millis) -> Box<dyn Session> {
        let client = self.next_client.fetch_add(1, Ordering::Relaxed);
        let settings = Arc::clone(&self.settings);
        Box::new(session::Connection::new(
            settings,
            &self.server_id,
            client,
            peer,
            now,
        ))
    }
}
