//! `exchange.declare` to topic settings, and what bindings carry, checked as RabbitMQ and its plug-ins check them.

use polybus_model::{Table, TopicKind, TopicSettings, Value};

use super::name;
use crate::codec::MethodId;
use crate::error::{Code, Fault, exchange_in, type_name};

/// The flags of `exchange.declare`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExchangeFlags {
    pub(crate) durable: bool,
    pub(crate) auto_delete: bool,
    pub(crate) internal: bool,
}

/// An exchange's type, and whether it delays.
///
/// # Errors
/// The fault of a type that there is not; it costs the connection, as with RabbitMQ.
pub(crate) fn kind(
    text: &str,
    arguments: &Table,
    method: MethodId,
) -> Result<(TopicKind, bool), Fault> {
    if let Some(kind) = plain_kind(text) {
        return Ok((kind, false));
    }
    if text != "x-delayed-message" {
        // RabbitMQ says `unknown` of a word that its virtual machine has never met, which `x-` words mostly are.
        let how = if text.starts_with("x-") {
            "unknown"
        } else {
            "invalid"
        };
        return Err(Fault::new(
            Code::CommandInvalid,
            method,
            format!("{how} exchange type '{text}'"),
        ));
    }
    arguments
        .lookup("x-delayed-type")
        .and_then(Value::as_str)
        .and_then(plain_kind)
        .map(|kind| (kind, true))
        .ok_or_else(|| {
            Fault::precondition(
                method,
                "Invalid argument, 'x-delayed-type' must be an existing exchange type",
            )
        })
}

fn plain_kind(text: &str) -> Option<TopicKind> {
    Some(match text {
        "direct" => TopicKind::Direct,
        "fanout" => TopicKind::Fanout,
        "topic" => TopicKind::Pattern,
        "headers" => TopicKind::Headers,
        "x-consistent-hash" => TopicKind::ConsistentHash,
        _ => return None,
    })
}

/// The settings that an `exchange.declare` asks for.
///
/// # Errors
/// The fault with which RabbitMQ refuses them.
pub(crate) fn settings(
    (kind, delayed): (TopicKind, bool),
    flags: ExchangeFlags,
    arguments: Table,
    exchange: &str,
    vhost: &str,
    method: MethodId,
) -> Result<TopicSettings, Fault> {
    let alternate = match arguments.lookup("alternate-exchange") {
        None => None,
        Some(Value::Text(text)) => Some(name(std::str::from_utf8(text).unwrap_or_default())),
        Some(other) => {
            return Err(Fault::precondition(
                method,
                format!(
                    "invalid type '{}' for arg 'alternate-exchange' in {}",
                    type_name(other),
                    exchange_in(exchange, vhost)
                ),
            ));
        }
    };
    Ok(TopicSettings {
        kind,
        delayed,
        durable: flags.durable,
        auto_delete: flags.auto_delete,
        internal: flags.internal,
        alternate,
        arguments,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_known_or_refused() {
        let mut arguments = Table::new();
        assert_eq!(
            kind("topic", &arguments, MethodId::new(40, 10)),
            Ok((TopicKind::Pattern, false))
        );
        let unknown = kind("foo", &arguments, MethodId::new(40, 10)).err();
        assert_eq!(
            unknown.map(|f| (f.code.number(), f.text)),
            Some((
                503,
                "COMMAND_INVALID - invalid exchange type 'foo'".to_owned()
            ))
        );
        assert!(kind("x-delayed-message", &arguments, MethodId::new(40, 10)).is_err());
        arguments.push("x-delayed-type", Value::text("direct"));
        assert_eq!(
            kind("x-delayed-message", &arguments, MethodId::new(40, 10)),
            Ok((TopicKind::Direct, true))
        );
    }
}
