//! The properties of a delivery: the publisher's bytes verbatim, unless the broker has something to say in them.

use bytes::BytesMut;
use polybus_model::{Attempts, Marks, Message, Value};

use super::deaths;
use super::publish::delay;
use crate::ORIGIN;
use crate::codec::{Properties, PropertiesRef, RawValue, TableRef, TableWriter};

/// Earlier deliveries that failed, and all of them.
const DELIVERY_COUNT: &str = "x-delivery-count";
const ACQUIRED_COUNT: &str = "x-acquired-count";

/// The first flag octet's bit that says there is an expiration.
const EXPIRATION_FLAG: u8 = 1;

/// A message's properties as its consumer gets them. `scratch` holds them where they had to be written anew.
#[inline]
pub(crate) fn properties<'a>(
    message: &'a Message,
    attempts: Option<Attempts>,
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
    let untouched = message.deaths().is_none() && message.marks() == Marks::default();
    if untouched && attempts.is_none() && !expiration_gone {
        return raw;
    }
    rewritten(raw, message, attempts, scratch)
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
    let Marks { delayed, rekeyed } = message.marks();
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
