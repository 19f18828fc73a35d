//! The list of protocols: the one place that a new one is added to.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use polybus_amqp091::{Amqp091, Random};
use polybus_broker::HeaderReaders;
use polybus_session::Protocol;

use crate::clock::millis;
use crate::config::Config;

/// What is spoken on AMQP's ports, in the order in which they are asked.
pub(crate) fn amqp(config: &Config) -> Vec<Arc<dyn Protocol>> {
    let amqp = &config.amqp;
    let settings = polybus_amqp091::Settings {
        frame_max: amqp.frame_max,
        channel_max: amqp.channel_max,
        heartbeat_s: u16::try_from(amqp.heartbeat.as_secs()).unwrap_or(u16::MAX),
        handshake_timeout_ms: millis(amqp.handshake_timeout),
        message_size_max: amqp.message_bytes_max,
        external: config.tls.client_ca.is_some(),
        ..polybus_amqp091::Settings::new(random())
    };
    vec![Arc::new(Amqp091::new(settings))]
}

/// How routing reads the headers of each protocol's messages.
pub(crate) fn header_readers() -> HeaderReaders {
    HeaderReaders::new().with(
        polybus_amqp091::ORIGIN,
        polybus_amqp091::read_headers,
        polybus_amqp091::read_property,
    )
}

/// The operating system's randomness, by the library that TLS brings anyway.
fn random() -> Random {
    let source = rustls::crypto::ring::default_provider().secure_random;
    Arc::new(move || {
        let mut bytes = [0; 8];
        match source.fill(&mut bytes) {
            Ok(()) => u64::from_le_bytes(bytes),
            // A system that gives none: the standard library's seed is the best there is.
            Err(_) => RandomState::new().hash_one(bytes),
        }
    })
}
