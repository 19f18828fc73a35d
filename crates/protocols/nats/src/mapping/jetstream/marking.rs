//! What the broker itself writes on messages of streams: where a sourced one came from, what a republished one is a copy of, and
//! that a subject has ended.

use bytes::Bytes;
use polybus_model::{
    Body, CopiedFrom, CopyNote, KeyedWriter, LiveProperties, Message, MessageParts, Millis, Name,
    Terms,
};

use super::delivery::copy_headers;
use super::terms;
use crate::ORIGIN;
use crate::codec::Headers;

/// How this is written.
pub const KEYED_WRITER: KeyedWriter = KeyedWriter {
    copied: Some(copied),
    ended: Some(ended),
    told: Some(told),
    terms: Some(demanded),
    measured: Some(measured),
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

/// A republished message as another stream or a queue gets it. Only messages of this protocol have a place for what it says.
fn told(message: &Message, note: &CopyNote) -> Message {
    let copy = match note.headers_only {
        true => message.with_body(Bytes::new()),
        false => message.clone(),
    };
    if message.origin() != ORIGIN {
        return copy;
    }
    let own = LiveProperties::decoded(message.properties()).headers;
    let headers = copy_headers(own, note, message.body().len());
    let properties = LiveProperties {
        reply: b"",
        headers: &headers,
    };
    copy.with_properties(&properties.encoded())
}

/// What a message's headers demand.
fn demanded(message: &Message) -> Option<Terms> {
    if message.origin() != ORIGIN {
        return None;
    }
    let headers = LiveProperties::decoded(message.properties()).headers;
    terms(message.key(), headers)
}

/// The bytes of a message that count: those of its headers and its body.
fn measured(message: &Message) -> u64 {
    let headers = match message.origin() == ORIGIN {
        true => LiveProperties::decoded(message.properties()).headers.len(),
        false => 0,
    };
    (headers + message.body().len()) as u64
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
    fn a_republished_message_says_of_what_it_is_a_copy() {
        let properties = LiveProperties {
            reply: b"r",
            headers: b"NATS/1.0\r\nNats-Msg-Id: i\r\nNats-Expected-Stream: S\r\n\r\n",
        };
        let message = Message::new(MessageParts {
            origin: ORIGIN,
            topic: b"amq.topic",
            key: b"b.x",
            properties: &properties.encoded(),
            body: Body::Copied(b"1234"),
            durable: true,
            priority: None,
            ttl: None,
            deaths: None,
        });
        let note = CopyNote {
            log: Name::new("S").unwrap(),
            key: Bytes::from_static(b"a.x"),
            offset: 4,
            time: 0,
            before: None,
            headers_only: true,
        };
        assert_eq!(measured(&message), properties.headers.len() as u64 + 4);
        assert_eq!(demanded(&message).unwrap().id.as_deref(), Some(&b"i"[..]));
        let copy = told(&message, &note);
        assert!(copy.body().is_empty());
        let properties = LiveProperties::decoded(copy.properties());
        let text = std::str::from_utf8(properties.headers).unwrap();
        assert!(properties.reply.is_empty());
        assert!(text.contains("Nats-Stream: S\r\nNats-Subject: a.x\r\nNats-Sequence: 5\r\n"));
        assert!(text.contains("Nats-Msg-Size: 4\r\n"), "{text}");
    }

    #[test]
    fn durations_are_as_in_go() {
        for (ms, text) in [(1_000, "1s"), (60_000, "1m0s"), (3_661_000, "1h1m1s")] {
            assert_eq!(duration(ms), text);
        }
    }
}
