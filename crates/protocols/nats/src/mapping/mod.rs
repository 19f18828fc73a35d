//! NATS' column of the property table: its headers and reply as other protocols read them, and theirs as NATS has them.
//!
//! ```text
//! a message of NATS, kept:   reply length u16 LE | reply | header block as it came      (polybus_model::LiveProperties)
//! headers of others:         "name: text CRLF" each, lists and tables left out
//! ```

use bytes::Bytes;
use polybus_model::{LiveProperties, Message, Table, Value};

use crate::codec::{HEADER_LINE, Headers};
use crate::settings::HeadersOf;

/// What other protocols' messages say in NATS' words.
#[derive(Debug, Default)]
pub(crate) struct Foreign {
    pub(crate) reply: Vec<u8>,
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

/// Reads `message_id` or `reply_to` as text out of this protocol's property bytes.
#[must_use]
pub fn read_property(properties: &[u8], name: &str) -> Option<Bytes> {
    let properties = LiveProperties::decoded(properties);
    let found = match name {
        "message_id" => Headers::new(properties.headers).lookup("Nats-Msg-Id"),
        "reply_to" => Some(properties.reply).filter(|reply| !reply.is_empty()),
        _ => None,
    };
    found.map(Bytes::copy_from_slice)
}

/// The headers of another protocol's message as NATS has them.
pub(crate) fn properties(message: &Message, headers_of: &HeadersOf) -> Foreign {
    let table = headers_of(message);
    let mut headers = Vec::new();
    for (name, value) in table.iter() {
        let Some(text) = text_of(value) else { continue };
        if !is_name(name) {
            continue;
        }
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
    if !headers.is_empty() {
        headers.extend_from_slice(b"\r\n");
    }
    Foreign {
        reply: Vec::new(),
        headers,
    }
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
