//! NATS' column of the property table: its headers and reply as other protocols read them, and theirs as NATS has them.
//!
//! ```text
//! a message of NATS, kept:   reply length u16 LE | reply | header block as it came      (polybus_model::LiveProperties)
//! headers of others:         "name: text CRLF" each, lists and tables left out; some properties as headers (PROPERTIES)
//! reply to of others:        the reply, if it is a subject
//! ```

pub(crate) mod jetstream;

pub use jetstream::copy_properties;

use bytes::Bytes;
use polybus_model::{LiveProperties, Message, Table, Value};
use polybus_session::Readers;

use crate::codec::{HEADER_LINE, Headers, is_literal};

/// Properties that other protocols have a place for, and the header that stands for each.
const PROPERTIES: [(&str, &str); 3] = [
    ("message_id", "Nats-Msg-Id"),
    ("correlation_id", "Correlation-Id"),
    ("content_type", "Content-Type"),
];

/// What other protocols' messages say in NATS' words.
#[derive(Debug, Default)]
pub(crate) struct Foreign {
    pub(crate) reply: Bytes,
    pub(crate) headers: Vec<u8>,
}

/// Reads the headers out of this protocol's property bytes.
#[must_use]
pub fn read_headers(properties: &[u8]) -> Table {
    let mut table = Table::new();
    for (name, value) in Headers::new(LiveProperties::decoded(properties).headers) {
        let value = Value::Text(Bytes::copy_from_slice(value));
        table.push(&String::from_utf8_lossy(name), value);
    }
    table
}

/// Reads a property as text out of this protocol's property bytes: `reply_to`, and those that a header stands for.
#[must_use]
pub fn read_property(properties: &[u8], name: &str) -> Option<Bytes> {
    let properties = LiveProperties::decoded(properties);
    if name == "reply_to" {
        return (!properties.reply.is_empty()).then(|| Bytes::copy_from_slice(properties.reply));
    }
    let (_, header) = PROPERTIES.iter().find(|(known, _)| *known == name)?;
    Headers::new(properties.headers)
        .lookup(header)
        .map(Bytes::copy_from_slice)
}

/// What another protocol's message says in NATS' words.
pub(crate) fn properties(message: &Message, readers: &Readers) -> Foreign {
    let mut headers = Vec::new();
    for (property, name) in PROPERTIES {
        if let Some(text) = readers.property(message, property) {
            push(&mut headers, name, &text);
        }
    }
    for (name, value) in readers.headers(message).iter() {
        if let Some(text) = text_of(value)
            && is_name(name)
        {
            push(&mut headers, name, &text);
        }
    }
    if !headers.is_empty() {
        headers.extend_from_slice(b"\r\n");
    }
    let reply = readers.property(message, "reply_to");
    Foreign {
        reply: reply.filter(|reply| is_literal(reply)).unwrap_or_default(),
        headers,
    }
}

/// Appends a line to a header block, and before the first one how it starts.
fn push(headers: &mut Vec<u8>, name: &str, text: &[u8]) {
    if headers.is_empty() {
        headers.extend_from_slice(HEADER_LINE);
        headers.extend_from_slice(b"\r\n");
    }
    headers.extend_from_slice(name.as_bytes());
    headers.extend_from_slice(b": ");
    // What would end the line is a blank in it.
    headers.extend(text.iter().map(|byte| match byte {
        b'\r' | b'\n' => b' ',
        byte => *byte,
    }));
    headers.extend_from_slice(b"\r\n");
}

/// Whether a header can have that name.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b':')
}

/// A value as a header's text; none where there is no such text.
fn text_of(value: &Value) -> Option<Vec<u8>> {
    let text = match value {
        Value::Void => return Some(Vec::new()),
        Value::Text(bytes) | Value::Bytes(bytes) => return Some(bytes.to_vec()),
        Value::Array(_) | Value::Table(_) | Value::Decimal { .. } => return None,
        Value::Bool(value) => value.to_string(),
        Value::F32(value) => value.to_string(),
        Value::F64(value) => value.to_string(),
        Value::U64(value) | Value::Timestamp(value) => value.to_string(),
        whole => whole.as_i64()?.to_string(),
    };
    Some(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_read_headers_and_what_they_stand_for() {
        let own = LiveProperties {
            reply: b"_INBOX.1",
            headers: b"NATS/1.0\r\nkind: new\r\nNats-Msg-Id: 7\r\nkind: second\r\n\r\n",
        };
        let bytes = own.encoded();
        let table = read_headers(&bytes);
        assert_eq!(table.len(), 3);
        assert_eq!(table.lookup("kind"), Some(&Value::text("new")));
        let property = |name| read_property(&bytes, name);
        assert_eq!(property("reply_to").as_deref(), Some(&b"_INBOX.1"[..]));
        assert_eq!(property("message_id").as_deref(), Some(&b"7"[..]));
        assert_eq!((property("content_type"), property("other")), (None, None));
        assert!(read_headers(b"").is_empty() && read_headers(&[0xff; 9]).is_empty());
        assert_eq!(read_property(b"", "reply_to"), None);
    }
}
