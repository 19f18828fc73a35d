//! The properties of a delivery: the publisher's bytes verbatim, unless the broker has something to say in them.

use bytes::BytesMut;
use polybus_model::{Death, Message, Value};

use super::deaths;
use crate::ORIGIN;
use crate::codec::{Properties, PropertiesRef, TableRef, TableWriter};

/// The first flag octet's bit that says there is an expiration.
const EXPIRATION_FLAG: u8 = 1;

/// A message's properties as its consumer gets them. `scratch` holds them where they had to be written anew.
#[inline]
pub(crate) fn properties<'a>(
    message: &'a Message,
    attempts: Option<u64>,
    scratch: &'a mut BytesMut,
) -> PropertiesRef<'a> {
    let raw = if message.origin() == ORIGIN {
        PropertiesRef::new(message.properties())
    } else {
        PropertiesRef::NONE
    };
    let expiration_gone = message.ttl().is_none()
        && raw
            .as_bytes()
            .first()
            .is_some_and(|flags| flags & EXPIRATION_FLAG != 0);
    let attempts = attempts.filter(|count| *count > 0);
    if message.deaths().is_none() && attempts.is_none() && !expiration_gone {
        return raw;
    }
    rewritten(raw, message, attempts, scratch)
}

#[cold]
fn rewritten<'a>(
    raw: PropertiesRef<'_>,
    message: &Message,
    attempts: Option<u64>,
    scratch: &'a mut BytesMut,
) -> PropertiesRef<'a> {
    let deaths = message.deaths().map_or(&[][..], |deaths| deaths.as_slice());
    let fields = raw.fields().unwrap_or_default();
    let mut bytes = BytesMut::new();
    let mut headers = TableWriter::bare(&mut bytes);
    let drops_cc = has_new_key(deaths, message.key());
    for entry in fields.headers.unwrap_or_default().entries() {
        let replaced = (!deaths.is_empty() && deaths::is_rendered(entry.name))
            || (attempts.is_some() && entry.name == b"x-delivery-count")
            || (drops_cc && entry.name == b"CC");
        if !replaced {
            headers.raw_entry(&entry);
        }
    }
    deaths::render(deaths, &mut headers);
    if let Some(count) = attempts {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        headers.entry("x-delivery-count", &Value::I64(count));
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

/// True if a dead-lettering gave the message another key: then its CC went too.
fn has_new_key(deaths: &[Death], key: &[u8]) -> bool {
    deaths
        .first()
        .and_then(|death| death.keys.first())
        .is_some_and(|old| old != key)
}
