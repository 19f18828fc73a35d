//! AMQP 0-9-1 as RabbitMQ speaks it, so that its clients run unchanged.
//!
//! ```text
//! bytes -> codec -> session (connection, channels) -> model::Request
//!                   mapping (arguments, properties)
//! bytes <- codec <- session                        <- model::Event
//! ```
//! A channel is a lane. Nothing here does input or output, reads a clock or knows the engine; every reply code and text a
//! client can see is RabbitMQ's.

pub mod codec;
mod error;
mod mapping;
mod sasl;
mod session;
mod settings;

use std::sync::Arc;

use bytes::Bytes;
use polybus_model::{Millis, Origin, Table};
use polybus_session::{Claim, Peer, Protocol, Session};

use codec::{Opening, PropertiesRef};
pub use settings::{MessagesOf, Random, Settings};

/// The mark of messages that carry AMQP 0-9-1 properties.
pub const ORIGIN: Origin = Origin(1);

/// AMQP 0-9-1.
#[derive(Clone, Debug)]
pub struct Amqp091 {
    settings: Arc<Settings>,
}

impl Amqp091 {
    /// The protocol with these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings: Arc::new(settings),
        }
    }
}

impl Protocol for Amqp091 {
    fn name(&self) -> &'static str {
        "amqp091"
    }

    fn claims(&self, first: &[u8]) -> Claim {
        match Opening::detect(first) {
            Opening::Amqp091 => Claim::Yes,
            Opening::NeedMore => Claim::NeedMore,
            Opening::Amqp10(_) | Opening::OtherVersion | Opening::Other => Claim::No,
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

/// Reads the headers out of this protocol's property bytes, for routing by them.
#[must_use]
pub fn read_headers(properties: &[u8]) -> Table {
    PropertiesRef::new(properties)
        .headers()
        .and_then(|headers| headers.decode().ok())
        .unwrap_or_default()
}

/// Reads `message_id`, `correlation_id`, `reply_to`, `content_type` or `timestamp` as text out of this protocol's property bytes.
#[must_use]
pub fn read_property(properties: &[u8], name: &str) -> Option<Bytes> {
    let fields = PropertiesRef::new(properties).fields()?;
    match name {
        "message_id" => fields.message_id.map(Bytes::copy_from_slice),
        "correlation_id" => fields.correlation_id.map(Bytes::copy_from_slice),
        "reply_to" => fields.reply_to.map(Bytes::copy_from_slice),
        "content_type" => fields.content_type.map(Bytes::copy_from_slice),
        "timestamp" => fields.timestamp.map(|seconds| seconds.to_string().into()),
        _ => None,
    }
}
