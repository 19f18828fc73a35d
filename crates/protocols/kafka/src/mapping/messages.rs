//! Records as messages, and messages as records: what other protocols read of Kafka's and Kafka of theirs.
//!
//! ```text
//! a record as a message: its key, its value, and as properties   i64 time | varint count | (name, value) of each header
//! a message as a record: its key, its body, its headers as text (those of Kafka's own messages as they came)
//! ```

use bytes::{Bytes, BytesMut};
use polybus_model::{Body, Message, MessageParts, Name, Table, Value};

use crate::ORIGIN;
use crate::codec::{BatchHeader, Reader, Record, Records, Writer, read_records};

/// A batch is decompressed up to so many bytes for readers of other protocols; a larger one they do not see.
const DECOMPRESSED_MAX: usize = 64 << 20;
/// A key that routes has at most so many bytes.
const KEY_BYTES_MAX: usize = 65_535;

/// A header of a record, in bytes of its own.
pub(crate) type Header = (String, Option<Bytes>);

/// Reads the messages out of a record batch, for a topic of that name, to the end of a list: each with its offset within
/// the batch.
pub fn read_messages(topic: &Name, batch: &Bytes, messages: &mut Vec<(u32, Message)>) {
    let Ok(header) = BatchHeader::parse(batch) else {
        return;
    };
    let Ok(records) = read_records(&header, batch, DECOMPRESSED_MAX) else {
        return;
    };
    for record in Records::new(&header, &records).map_while(Result::ok) {
        let key = record.key.unwrap_or_default();
        let at = record.offset.wrapping_sub(header.base_offset);
        let Ok(at) = u32::try_from(at) else {
            return;
        };
        let message = Message::new(MessageParts {
            origin: ORIGIN,
            topic: topic.as_str().as_bytes(),
            key: key.get(..KEY_BYTES_MAX).unwrap_or(key),
            properties: &properties(&record),
            body: Body::Copied(record.value.unwrap_or_default()),
            durable: true,
            priority: None,
            ttl: None,
            deaths: None,
        });
        messages.push((at, message));
    }
}

fn properties(record: &Record<'_>) -> BytesMut {
    let mut bytes = BytesMut::new();
    let mut writer = Writer::new(&mut bytes);
    writer.i64(record.timestamp);
    let headers = record.headers.clone();
    writer.varint(i32::try_from(headers.len()).unwrap_or(0));
    for header in headers {
        write_bytes(&mut writer, Some(header.name.as_bytes()));
        write_bytes(&mut writer, header.value);
    }
    bytes
}

fn write_bytes(writer: &mut Writer<'_>, bytes: Option<&[u8]>) {
    let len = bytes.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap_or(i32::MAX));
    writer.varint(len);
    writer.raw(bytes.unwrap_or_default());
}

/// The headers in the property bytes of a message that was a record.
fn own_headers(properties: &[u8]) -> Option<Vec<Header>> {
    let whole = Bytes::copy_from_slice(properties);
    let mut reader = Reader::new(&whole);
    reader.i64().ok()?;
    let count = usize::try_from(reader.varint().ok()?).ok()?;
    // Each takes two bytes at least.
    let mut headers = Vec::with_capacity(count.min(properties.len() / 2));
    for _ in 0..count {
        let len = usize::try_from(reader.varint().ok()?).ok()?;
        let name = str::from_utf8(reader.take(len).ok()?).ok()?.to_owned();
        let value = match usize::try_from(reader.varint().ok()?) {
            Ok(len) => Some(reader.share(len).ok()?),
            Err(_) => None,
        };
        headers.push((name, value));
    }
    Some(headers)
}

/// Reads the headers out of this protocol's property bytes, for routing by them.
#[must_use]
pub fn read_headers(properties: &[u8]) -> Table {
    let mut table = Table::new();
    for (name, value) in own_headers(properties).unwrap_or_default() {
        table.push(&name, value.map_or(Value::Void, Value::Text));
    }
    table
}

/// No property of these messages is one that topics can hash.
#[must_use]
pub fn read_property(_properties: &[u8], _name: &str) -> Option<Bytes> {
    None
}

/// The headers of a message as a record has them; `read` reads those of other protocols.
pub(crate) fn headers(message: &Message, read: &dyn Fn(&Message) -> Table) -> Vec<Header> {
    if message.origin() == ORIGIN {
        return own_headers(message.properties()).unwrap_or_default();
    }
    let table = read(message);
    let entries = table
        .iter()
        .filter_map(|(name, value)| Some((name.to_owned(), text_of(value)?)));
    entries.collect()
}

/// A value as a header's bytes; none where there is no such text (lists and tables are left out).
fn text_of(value: &Value) -> Option<Option<Bytes>> {
    let text = match value {
        Value::Void => return Some(None),
        Value::Text(bytes) | Value::Bytes(bytes) => return Some(Some(bytes.clone())),
        Value::Array(_) | Value::Table(_) | Value::Decimal { .. } => return None,
        Value::Bool(value) => value.to_string(),
        Value::F32(value) => value.to_string(),
        Value::F64(value) => value.to_string(),
        Value::U64(value) | Value::Timestamp(value) => value.to_string(),
        whole => whole.as_i64()?.to_string(),
    };
    Some(Some(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{BatchBuilder, RecordHeader};

    #[test]
    fn a_record_is_a_message_and_a_record_again() {
        let mut builder = BatchBuilder::new();
        let headers = [("a", Some(&b"1"[..])), ("n", None)];
        let pairs = headers.map(|(name, value)| RecordHeader { name, value });
        builder.push(7, Some(b"key"), Some(b"value"), pairs.into_iter());
        builder.push(8, None, None, [].into_iter());
        let batch = builder.finish(0, 0).unwrap();
        let mut messages = Vec::new();
        read_messages(&Name::new("t").unwrap(), &batch, &mut messages);
        let [(0, first), (1, second)] = &messages[..] else {
            panic!("two messages")
        };
        assert_eq!(
            (first.topic(), first.key(), first.body()),
            (&b"t"[..], &b"key"[..], &b"value"[..])
        );
        assert_eq!((second.key(), second.body()), (&b""[..], &b""[..]));
        let none = |_: &Message| Table::new();
        let own: Vec<Header> = vec![
            ("a".into(), Some(Bytes::from_static(b"1"))),
            ("n".into(), None),
        ];
        assert_eq!(super::headers(first, &none), own);
        let table = read_headers(first.properties());
        assert_eq!(table.lookup("a"), Some(&Value::text("1")));
        assert!(read_headers(b"short").is_empty());
        assert!(read_headers(&[0xff; 40]).is_empty());
    }

    #[test]
    fn headers_of_others_are_text() {
        let message = Message::new(MessageParts {
            origin: polybus_model::Origin(9),
            topic: b"",
            key: b"",
            properties: b"",
            body: Body::Copied(b""),
            durable: false,
            priority: None,
            ttl: None,
            deaths: None,
        });
        let read = |_: &Message| {
            let mut table = Table::new();
            table.push("i", Value::I32(-5));
            table.push("t", Value::text("x"));
            table.push("b", Value::Bool(true));
            table.push("l", Value::Array(Vec::new()));
            table.push("v", Value::Void);
            table
        };
        let shown: Vec<_> = headers(&message, &read)
            .into_iter()
            .map(|(name, value)| format!("{name}={value:?}"))
            .collect();
        assert_eq!(
            shown,
            [
                "i=Some(b\"-5\")",
                "t=Some(b\"x\")",
                "b=Some(b\"true\")",
                "v=None"
            ]
        );
    }
}
