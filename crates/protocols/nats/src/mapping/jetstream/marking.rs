//! What the broker itself writes on messages of streams: where a sourced one came from, what a republished one is a copy of, and
//! that a subject has ended.

use std::collections::BTreeMap;

use bytes::Bytes;
use polybus_model::{
    Body, CopiedFrom, CopyNote, KeyedWriter, LiveProperties, Message, MessageParts, Millis, Name,
    Tally, TallyParts, Terms,
};

use serde_json::{Map, Value};

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
    tallied: Some(tallied),
    parts: Some(parts),
};

/// The headers of counters: what is added, and what comes from other streams.
const INCREMENT: &[u8] = b"Nats-Incr";
const PARTS: &[u8] = b"Nats-Counter-Sources";
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

/// A counter's message with what it adds, and the counters of other streams that its own is made of.
fn tallied(message: &Message, added: &Tally, parts: &TallyParts) -> Message {
    if message.origin() != ORIGIN {
        return message.clone();
    }
    let own = LiveProperties::decoded(message.properties()).headers;
    let mut headers = b"NATS/1.0\r\n".to_vec();
    for (name, value) in Headers::new(own) {
        if name != INCREMENT && name != PARTS {
            for part in [name, b": ", value, b"\r\n"] {
                headers.extend_from_slice(part);
            }
        }
    }
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let of_stream = |counters: &BTreeMap<Bytes, Tally>| -> Map<String, Value> {
        let counters = counters.iter();
        counters
            .map(|(subject, value)| (text(subject), value.to_string().into()))
            .collect()
    };
    let all = parts.iter();
    let all: Map<String, Value> = all
        .map(|(stream, counters)| (text(stream), of_stream(counters).into()))
        .collect();
    let (added, all) = (added.to_string(), Value::from(all).to_string());
    for (name, value) in [(INCREMENT, added.as_bytes()), (PARTS, all.as_bytes())] {
        for part in [name, b": ", value, b"\r\n"] {
            headers.extend_from_slice(part);
        }
    }
    headers.extend_from_slice(b"\r\n");
    let properties = LiveProperties {
        reply: b"",
        headers: &headers,
    };
    message.with_properties(&properties.encoded())
}

/// The counters of other streams that a counter is made of, as its last message says.
fn parts(properties: &[u8]) -> Option<TallyParts> {
    let headers = LiveProperties::decoded(properties).headers;
    let (_, value) = Headers::new(headers).find(|(name, _)| *name == PARTS)?;
    let all: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_slice(value).ok()?;
    let counter = |(subject, value): (String, String)| {
        Some((Bytes::from(subject), Tally::parse(value.as_bytes())?))
    };
    let all = all.into_iter().map(|(stream, counters)| {
        let counters = counters.into_iter().filter_map(counter);
        (Bytes::from(stream), counters.collect())
    });
    Some(all.collect())
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
    fn counters_say_what_they_are_made_of() {
        let stream = Name::new("S").unwrap();
        let tally = |text: &str| Tally::parse(text.as_bytes()).unwrap();
        let of = |value| BTreeMap::from([(Bytes::from_static(b"a.b"), tally(value))]);
        let all = BTreeMap::from([(Bytes::from_static(b"S"), of("-7"))]);
        let message = ended(&stream, b"a.b", 90_000);
        let once = tallied(&message, &tally("1"), &all);
        let twice = tallied(&once, &tally("2"), &all);
        assert_eq!(parts(twice.properties()), Some(all));
        let headers = LiveProperties::decoded(twice.properties()).headers;
        let text = std::str::from_utf8(headers).unwrap();
        let wanted = "Nats-Incr: 2\r\nNats-Counter-Sources: {\"S\":{\"a.b\":\"-7\"}}\r\n\r\n";
        assert!(text.ends_with(wanted), "{text}");
        assert_eq!(parts(message.properties()), None);
    }

    #[test]
    fn durations_are_as_in_go() {
        for (ms, text) in [(1_000, "1s"), (60_000, "1m0s"), (3_661_000, "1h1m1s")] {
            assert_eq!(duration(ms), text);
        }
    }
}
