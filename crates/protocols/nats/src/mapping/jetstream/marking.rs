//! What the broker itself writes on messages of streams: where a sourced one came from, and that a subject has ended.

use polybus_model::{
    Body, CopiedFrom, KeyedWriter, LiveProperties, Message, MessageParts, Millis, Name,
};

use crate::ORIGIN;
use crate::codec::Headers;

/// How this is written.
pub const KEYED_WRITER: KeyedWriter = KeyedWriter {
    copied: Some(copied),
    ended: Some(ended),
};

/// The header that says where a sourced message was.
const SOURCE: &str = "Nats-Stream-Source";

/// A message with its source; what its publisher demanded of the other stream is not demanded of this one. Only messages of
/// this protocol have a place for it.
fn copied(message: &Message, from: &CopiedFrom<'_>) -> Message {
    if message.origin() != ORIGIN {
        return message.clone();
    }
    let properties = LiveProperties::decoded(message.properties());
    let mut headers = b"NATS/1.0\r\n".to_vec();
    let mut put = |name: &[u8], value: &[u8]| {
        for part in [name, b": ", value, b"\r\n"] {
            headers.extend_from_slice(part);
        }
    };
    for (name, value) in Headers::new(properties.headers) {
        if name != SOURCE.as_bytes() && !name.starts_with(b"Nats-Expected-") {
            put(name, value);
        }
    }
    let source = format!(
        "{} {} {} {}",
        from.log,
        from.offset.saturating_add(1),
        String::from_utf8_lossy(from.label),
        String::from_utf8_lossy(from.key),
    );
    put(SOURCE.as_bytes(), source.as_bytes());
    headers.extend_from_slice(b"\r\n");
    let properties = LiveProperties {
        headers: &headers,
        ..properties
    };
    message.with_properties(&properties.encoded())
}

/// What stands for a subject whose last message went for its age.
fn ended(stream: &Name, subject: &[u8], stays_ms: Millis) -> Message {
    let headers = format!(
        "NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: {}\r\nNats-Rollup: sub\r\n\r\n",
        duration(stays_ms)
    );
    let properties = LiveProperties {
        reply: b"",
        headers: headers.as_bytes(),
    };
    Message::new(MessageParts {
        origin: ORIGIN,
        topic: stream.as_str().as_bytes(),
        key: subject,
        properties: &properties.encoded(),
        body: Body::Copied(b""),
        durable: true,
        priority: None,
        ttl: None,
        deaths: None,
    })
}

/// A duration of whole seconds as Go writes it.
fn duration(ms: Millis) -> String {
    let seconds = ms / 1_000;
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_says_where_it_was() {
        let stream = Name::new("S").unwrap();
        let message = ended(&stream, b"a.b", 90_000);
        let headers = LiveProperties::decoded(message.properties())
            .headers
            .to_vec();
        let text = String::from_utf8(headers).unwrap();
        assert!(
            text.contains("Nats-Marker-Reason: MaxAge\r\nNats-TTL: 1m30s\r\n"),
            "{text}"
        );
        let from = CopiedFrom {
            log: &stream,
            offset: 4,
            key: b"a.b",
            label: b"a.> >",
        };
        let copy = copied(&copied(&message, &from), &from);
        let headers = LiveProperties::decoded(copy.properties()).headers.to_vec();
        let text = String::from_utf8(headers).unwrap();
        let wanted = "Nats-Rollup: sub\r\nNats-Stream-Source: S 5 a.> > a.b\r\n\r\n";
        assert!(text.ends_with(wanted), "{text}");
    }

    #[test]
    fn durations_are_as_in_go() {
        for (ms, text) in [(1_000, "1s"), (60_000, "1m0s"), (3_661_000, "1h1m1s")] {
            assert_eq!(duration(ms), text);
        }
    }
}
