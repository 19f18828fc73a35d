//! The properties of a delivery: the publisher's bytes verbatim, unless the broker has something to say in them.

use bytes::BytesMut;
use polybus_model::{Attempts, Marks, Message, Value};
use polybus_session::Readers;

use super::deaths;
use super::publish::delay;
use crate::ORIGIN;
use crate::codec::{
    Properties, PropertiesRef, RawValue, TableRef, TableWriter, encode_table, rewrite_headers,
};

/// Earlier deliveries that failed, and all of them.
const DELIVERY_COUNT: &str = "x-delivery-count";
const ACQUIRED_COUNT: &str = "x-acquired-count";

/// A text of a property has at most so many bytes.
const SHORT_BYTES_MAX: usize = 255;
/// What a frame of properties needs beside the headers, at most.
const OTHER_BYTES_MAX: usize = 2048;

/// How messages of other protocols are told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Foreigners<'a> {
    /// Reads what they carry.
    pub(crate) readers: &'a Readers,
    /// The largest frame: headers that do not fit into one cannot be told.
    pub(crate) frame_max: u32,
}

/// Where a message stands in its log.
const STREAM_OFFSET: &str = "x-stream-offset";
const STREAM_PARTITION: &str = "x-stream-partition";

/// The first flag octet's bit that says there is an expiration.
const EXPIRATION_FLAG: u8 = 1;

/// A message's properties as its consumer gets them. `scratch` holds them where they had to be written anew.
#[inline]
pub(crate) fn properties<'a>(
    message: &'a Message,
    attempts: Option<Attempts>,
    foreigners: Foreigners<'_>,
    scratch: &'a mut BytesMut,
) -> PropertiesRef<'a> {
    if message.origin() != ORIGIN {
        return foreign(message, attempts, foreigners, scratch);
    }
    let raw = PropertiesRef::new(message.properties());
    let expiration_gone = message.ttl().is_none()
        && raw
            .as_bytes()
            .first()
            .is_some_and(|flags| flags & EXPIRATION_FLAG != 0);
    let untouched = message.deaths().is_none() && message.marks() == Marks::default();
    if untouched && attempts.is_none() && !expiration_gone {
        return raw;
    }
    rewritten(raw, message, attempts, scratch)
}

/// The properties of another protocol's message.
#[cold]
fn foreign<'a>(
    message: &Message,
    attempts: Option<Attempts>,
    foreigners: Foreigners<'_>,
    scratch: &'a mut BytesMut,
) -> PropertiesRef<'a> {
    let table = encode_table(&foreigners.readers.headers(message));
    let property = |name| {
        let text = foreigners.readers.property(message, name);
        text.filter(|text| text.len() <= SHORT_BYTES_MAX)
    };
    let (reply_to, message_id) = (property("reply_to"), property("message_id"));
    let (correlation_id, content_type) = (property("correlation_id"), property("content_type"));
    let room = (foreigners.frame_max as usize).saturating_sub(OTHER_BYTES_MAX);
    let mut bytes = BytesMut::new();
    Properties {
        headers: (1..=room)
            .contains(&table.len())
            .then(|| TableRef::new(&table)),
        reply_to: reply_to.as_deref(),
        message_id: message_id.as_deref(),
        correlation_id: correlation_id.as_deref(),
        content_type: content_type.as_deref(),
        ..Properties::default()
    }
    .encode(&mut bytes);
    rewritten(PropertiesRef::new(&bytes), message, attempts, scratch)
}

/// Where a message stands in its log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogPlace {
    pub(crate) offset: u64,
    /// Of a log that has several.
    pub(crate) partition: Option<u32>,
}

/// Properties that tell a message's place, too, in the place of what they told of an earlier one.
pub(crate) fn placed<'a>(
    properties: PropertiesRef<'_>,
    place: LogPlace,
    scratch: &'a mut BytesMut,
) -> PropertiesRef<'a> {
    scratch.clear();
    let put = |headers: &mut TableWriter<'_>| {
        let offset = i64::try_from(place.offset).unwrap_or(i64::MAX);
        headers.entry(STREAM_OFFSET, &Value::I64(offset));
        if let Some(partition) = place.partition {
            headers.entry(STREAM_PARTITION, &Value::I64(partition.into()));
        }
    };
    let told = [STREAM_OFFSET, STREAM_PARTITION];
    let rewritten = rewrite_headers(properties, scratch, |headers, writer| {
        for entry in headers.entries() {
            if !told.iter().any(|name| entry.name == name.as_bytes()) {
                writer.raw_entry(&entry);
            }
        }
        put(writer);
    });
    if rewritten.is_err() {
        let mut bytes = BytesMut::new();
        put(&mut TableWriter::bare(&mut bytes));
        Properties {
            headers: Some(TableRef::new(&bytes)),
            ..Properties::default()
        }
        .encode(scratch);
    }
    PropertiesRef::new(scratch)
}

#[cold]
fn rewritten<'a>(
    raw: PropertiesRef<'_>,
    message: &Message,
    attempts: Option<Attempts>,
    scratch: &'a mut BytesMut,
) -> PropertiesRef<'a> {
    let counts = attempts.map_or([(DELIVERY_COUNT, 0), (ACQUIRED_COUNT, 0)], |attempts| {
        [
            (DELIVERY_COUNT, attempts.failed),
            (ACQUIRED_COUNT, attempts.all),
        ]
    });
    let Marks {
        delayed, rekeyed, ..
    } = message.marks();
    let deaths = message.deaths().map_or(&[][..], |deaths| deaths.as_slice());
    let fields = raw.fields().unwrap_or_default();
    let mut bytes = BytesMut::new();
    let mut headers = TableWriter::bare(&mut bytes);
    for entry in fields.headers.unwrap_or_default().entries() {
        let counted = |(name, count): (&str, u32)| count > 0 && entry.name == name.as_bytes();
        let replaced = (!deaths.is_empty() && deaths::is_rendered(entry.name))
            || counts.into_iter().any(counted)
            || (rekeyed && entry.name == b"CC");
        match entry.name {
            _ if replaced => {}
            b"x-delay" if delayed => headers.entry("x-delay", &negated(entry.value)),
            _ => headers.raw_entry(&entry),
        }
    }
    deaths::render(deaths, &mut headers);
    for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        headers.entry(name, &Value::I64(count.into()));
    }
    headers.finish();
    let has_headers = fields.headers.is_some() || !bytes.is_empty();
    let expiration = fields.expiration.filter(|_| message.ttl().is_some());
    scratch.clear();
    Properties {
        headers: has_headers.then(|| TableRef::new(&bytes)),
        expiration,
        ..fields
    }
    .encode(scratch);
    PropertiesRef::new(scratch)
}

/// The delay that a message has waited for, as its consumer gets it.
fn negated(value: RawValue<'_>) -> Value {
    let ms = delay(value).map_or(0, |ms| i64::try_from(ms).unwrap_or(i64::MAX));
    i32::try_from(-ms).map_or(Value::I64(-ms), Value::I32)
}
