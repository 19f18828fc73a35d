//! What a `basic.consume` of a stream asks: where to begin, and which messages.

use bytes::Bytes;
use polybus_model::{Message, Millis, Table, Value};

use super::queue::age_ms;
use crate::ORIGIN;
use crate::codec::MethodId;
use crate::error::{Fault, queue_in};

/// The header that a filter is compared with.
const FILTER_VALUE: &str = "x-stream-filter-value";

/// Where a reader begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Start {
    /// At this offset, or the nearest there is.
    Offset(u64),
    /// At the last message there is.
    Last,
    /// Behind all there is.
    Next,
    /// At the first message of that time or later.
    Time(Millis),
}

/// Which messages a reader gets.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Filter {
    values: Vec<Bytes>,
    /// Those without a value, too.
    matches_unfiltered: bool,
}

impl Filter {
    /// The filter that arguments name, if they do.
    pub(crate) fn of(arguments: &Table) -> Option<Self> {
        let text = |value: &Value| match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        };
        let values = match arguments.lookup("x-stream-filter")? {
            Value::Array(values) => values.iter().filter_map(text).collect(),
            value => vec![text(value)?],
        };
        let unfiltered = arguments.lookup("x-stream-match-unfiltered");
        Some(Self {
            values,
            matches_unfiltered: unfiltered.and_then(Value::as_bool).unwrap_or(false),
        })
    }

    /// Whether a message is wanted.
    pub(crate) fn matches(&self, message: &Message) -> bool {
        let headers = if message.origin() == ORIGIN {
            crate::read_headers(message.properties())
        } else {
            Table::new()
        };
        match headers.lookup(FILTER_VALUE) {
            Some(Value::Text(value)) => self.values.contains(value),
            _ => self.matches_unfiltered,
        }
    }
}

/// Where arguments say to begin.
///
/// # Errors
/// The fault with which RabbitMQ refuses them.
pub(crate) fn start(
    arguments: &Table,
    (queue, vhost): (&str, &str),
    now: Millis,
    method: MethodId,
) -> Result<Start, Fault> {
    let refuse = |why: &str| {
        let queue = queue_in(queue, vhost);
        let text = format!("failed consuming from stream {queue}: {why}");
        Err(Fault::precondition(method, text))
    };
    match arguments.lookup("x-stream-offset") {
        None => Ok(Start::Next),
        Some(Value::Timestamp(seconds)) => Ok(Start::Time(seconds.saturating_mul(1_000))),
        Some(value) => match (value.as_str(), value.as_i64()) {
            (Some("first"), _) => Ok(Start::Offset(0)),
            (Some("last"), _) => Ok(Start::Last),
            (Some("next"), _) => Ok(Start::Next),
            (Some(text), _) => match age_ms(text) {
                Some(age) => Ok(Start::Time(now.saturating_sub(age))),
                None => refuse("invalid_max_age"),
            },
            (None, Some(offset)) => match u64::try_from(offset) {
                Ok(offset) => Ok(Start::Offset(offset)),
                Err(_) => refuse("invalid_offset_arg"),
            },
            (None, None) => refuse("invalid_offset_arg"),
        },
    }
}

#[cfg(test)]
mod tests {
    use polybus_model::{Body, MessageParts};

    use super::*;
    use crate::codec::BasicConsume;

    fn with(name: &str, value: Value) -> Table {
        let mut table = Table::new();
        table.push(name, value);
        table
    }

    #[test]
    fn a_reader_begins_where_it_is_told() {
        let begin = |value| {
            let arguments = with("x-stream-offset", value);
            start(&arguments, ("q", "/"), 10_000_000, BasicConsume::ID)
        };
        let none = start(&Table::new(), ("q", "/"), 0, BasicConsume::ID);
        assert_eq!(none.unwrap(), Start::Next);
        let cases = [
            (Value::text("first"), Start::Offset(0)),
            (Value::text("last"), Start::Last),
            (Value::text("next"), Start::Next),
            (Value::I64(7), Start::Offset(7)),
            (Value::U8(7), Start::Offset(7)),
            (Value::Timestamp(5), Start::Time(5_000)),
            (Value::text("1h"), Start::Time(6_400_000)),
        ];
        for (value, expected) in cases {
            assert_eq!(begin(value.clone()).unwrap(), expected, "{value:?}");
        }
        for bad in [Value::text("soon"), Value::I64(-1), Value::Bool(true)] {
            assert!(begin(bad.clone()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_filter_wants_its_values() {
        let message = |value: Option<&str>| {
            let mut headers = Table::new();
            if let Some(value) = value {
                headers.push(FILTER_VALUE, Value::text(value));
            }
            let mut bytes = bytes::BytesMut::new();
            let table = crate::codec::encode_table(&headers);
            crate::codec::Properties {
                headers: Some(crate::codec::TableRef::new(&table)),
                ..Default::default()
            }
            .encode(&mut bytes);
            Message::new(MessageParts {
                origin: ORIGIN,
                topic: b"",
                key: b"",
                properties: &bytes,
                body: Body::Copied(b""),
                durable: true,
                priority: None,
                ttl: None,
                deaths: None,
            })
        };
        assert_eq!(Filter::of(&Table::new()), None);
        let values = Value::Array(vec![Value::text("a"), Value::text("b")]);
        let mut arguments = with("x-stream-filter", values);
        let strict = Filter::of(&arguments).unwrap();
        arguments.push("x-stream-match-unfiltered", Value::Bool(true));
        let lax = Filter::of(&arguments).unwrap();
        for (value, expected) in [(Some("a"), true), (Some("c"), false), (None, false)] {
            assert_eq!(strict.matches(&message(value)), expected, "{value:?}");
        }
        assert!(lax.matches(&message(None)));
        assert!(!lax.matches(&message(Some("c"))));
    }
}
