//! Kafka's protocol as Kafka 4 speaks it, so that its clients and tools run unchanged.
//!
//! ```text
//! bytes -> codec -> session -> model::Request::{Log, Group}
//!                   mapping (settings, records of other protocols)
//! bytes <- codec <- session <- model::Event::{Log, Group}
//! ```
//! A connection's requests are asked as they come and answered in their order. Record batches stay as they came: checked,
//! appended, and given back with two fields patched. Nothing here does input or output, reads a clock or knows the engine.

pub mod codec;
mod error;
mod mapping;
mod session;
mod settings;

use std::sync::Arc;

use polybus_model::{Millis, Origin};
use polybus_session::{Claim, Peer, Protocol, Session};

pub use mapping::{COMPACTOR, read_headers, read_messages, read_property};
pub use settings::{HeadersOf, Random, Settings};

/// The mark of record batches as Kafka packs them.
pub const ORIGIN: Origin = Origin(2);

/// Kafka.
#[derive(Clone, Debug)]
pub struct Kafka {
    settings: Arc<Settings>,
}

impl Kafka {
    /// The protocol with these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings: Arc::new(settings),
        }
    }
}

impl Protocol for Kafka {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn claims(&self, first: &[u8]) -> Claim {
        // A frame's size, of which the first octet is zero below 16 MiB, and an API's number, which is small.
        match first {
            [0, _, _, _, 0, _, ..] => Claim::Yes,
            [0, ..] if first.len() < 6 => Claim::NeedMore,
            [] => Claim::NeedMore,
            _ => Claim::No,
        }
    }

    fn accept(&self, peer: Peer, now: Millis) -> Box<dyn Session> {
        Box::new(session::Connection::new(
            Arc::clone(&self.settings),
            peer,
            now,
        ))
    }
}
