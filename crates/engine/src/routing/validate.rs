//! Which topics and bindings make sense.

use bytes::Bytes;
use polybus_model::{Binding, RoutingFault, TopicKind, TopicSettings, Value};

/// Whether a topic may be declared so.
pub(crate) fn validate_topic(settings: &TopicSettings) -> Result<(), RoutingFault> {
    if settings.kind != TopicKind::ConsistentHash {
        return Ok(());
    }
    let header = settings.arguments.lookup("hash-header");
    let property = settings.arguments.lookup("hash-property");
    match (header, property) {
        (Some(_), Some(_)) => Err(RoutingFault::TwoHashed),
        (Some(header), None) if header.as_str().is_none() => {
            Err(RoutingFault::HashedHeader(header.clone()))
        }
        (None, Some(property)) => match property.as_str() {
            Some("message_id" | "correlation_id" | "timestamp") => Ok(()),
            _ => Err(RoutingFault::HashedProperty(property.clone())),
        },
        _ => Ok(()),
    }
}

/// Whether a topic of these settings takes such a binding.
pub(crate) fn validate_binding(
    source: &TopicSettings,
    binding: &Binding,
) -> Result<(), RoutingFault> {
    match source.kind {
        TopicKind::Headers => match binding.arguments.lookup("x-match") {
            Some(mode) if !is_match_mode(mode) => Err(RoutingFault::MatchMode(mode.clone())),
            _ => Ok(()),
        },
        TopicKind::ConsistentHash if !is_weight(&binding.key) => {
            Err(RoutingFault::Weight(binding.key.clone()))
        }
        _ => Ok(()),
    }
}

fn is_match_mode(mode: &Value) -> bool {
    matches!(mode, Value::Text(text) if matches!(&**text, b"all" | b"any" | b"all-with-x" | b"any-with-x"))
}

/// Digits, of which one at least is not zero, and perhaps a plus before them.
fn is_weight(key: &Bytes) -> bool {
    let digits = key.strip_prefix(b"+").unwrap_or(key);
    digits.iter().all(u8::is_ascii_digit) && digits.iter().any(|digit| *digit != b'0')
}
