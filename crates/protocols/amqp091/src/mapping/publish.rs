//! A publish's properties: what routing and queues need of them, checked as RabbitMQ checks them, and the bytes to keep.

use std::fmt::Write;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use polybus_model::{Death, Millis};

use super::deaths;
use crate::codec::{
    BasicPublish, Properties, PropertiesRef, RawValue, Routing, TableRef, TableWriter,
};
use crate::error::{Fault, erlang_string};

/// The pseudo-queue of direct reply-to.
pub(crate) const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// The longest expiration, in milliseconds: 100 years.
const EXPIRATION_MAX_MS: u128 = 3_153_600_000_000;
/// The longest delay, in milliseconds.
const DELAY_MAX_MS: i64 = u32::MAX as i64;

/// What a publish's properties come to.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    pub(crate) durable: bool,
    pub(crate) priority: Option<u8>,
    pub(crate) ttl: Option<Millis>,
    pub(crate) more_keys: Vec<Bytes>,
    pub(crate) delay: Option<Millis>,
    pub(crate) deaths: Option<Arc<Vec<Death>>>,
    /// The property bytes to keep, where they are not those that came.
    pub(crate) rewritten: Option<Vec<u8>>,
}

impl Prepared {
    /// The property bytes to keep of those that came.
    pub(crate) fn kept<'a>(&'a self, came: PropertiesRef<'a>) -> &'a [u8] {
        self.rewritten.as_deref().unwrap_or(came.as_bytes())
    }
}

/// Who publishes, as far as properties are concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Publisher<'a> {
    /// The user who logged in.
    pub(crate) user: &'a str,
    /// Where this channel's direct replies go.
    pub(crate) reply_name: Option<&'a str>,
}

/// What the headers say, found in one pass.
#[derive(Default)]
struct Scan {
    more_keys: Vec<Bytes>,
    delay: Option<Millis>,
    deaths: Option<Vec<Death>>,
    has_bcc: bool,
}

/// Checks a publish's properties.
///
/// # Errors
/// The fault with which RabbitMQ refuses them.
#[inline]
pub(crate) fn prepare(
    properties: PropertiesRef<'_>,
    routing: &Routing<'_>,
    publisher: Publisher<'_>,
) -> Result<Prepared, Fault> {
    let mut prepared = Prepared {
        durable: routing.delivery_mode == Some(2),
        priority: routing.priority,
        ..Prepared::default()
    };
    if routing.is_plain() {
        return Ok(prepared);
    }
    let reply_name = match routing.reply_to {
        Some(name) if name == REPLY_TO.as_bytes() => {
            Some(publisher.reply_name.ok_or_else(|| {
                Fault::precondition(BasicPublish::ID, "fast reply consumer does not exist")
            })?)
        }
        _ => None,
    };
    if let Some(text) = routing.expiration {
        prepared.ttl = Some(expiration(text)?);
    }
    let scan = match routing.headers {
        Some(headers) => scan(headers)?,
        None => Scan::default(),
    };
    if let Some(user) = routing.user_id
        && user != publisher.user.as_bytes()
    {
        return Err(Fault::precondition(
            BasicPublish::ID,
            format!(
                "user_id property set to '{}' but authenticated user was '{}'",
                String::from_utf8_lossy(user),
                publisher.user
            ),
        ));
    }
    if reply_name.is_some() || scan.has_bcc || scan.deaths.is_some() {
        prepared.rewritten = Some(rewrite(properties, reply_name, scan.deaths.is_some()));
    }
    prepared.more_keys = scan.more_keys;
    prepared.delay = scan.delay;
    prepared.deaths = scan.deaths.map(Arc::new);
    Ok(prepared)
}

fn scan(headers: TableRef<'_>) -> Result<Scan, Fault> {
    let mut scan = Scan::default();
    for entry in headers.entries() {
        match entry.name {
            b"CC" => keys("CC", entry.value, &mut scan.more_keys)?,
            b"BCC" => {
                keys("BCC", entry.value, &mut scan.more_keys)?;
                scan.has_bcc = true;
            }
            b"x-delay" => scan.delay = delay(entry.value),
            b"x-death" => {
                scan.deaths = entry
                    .value
                    .as_array()
                    .and_then(deaths::parse)
                    .filter(|deaths| !deaths.is_empty());
            }
            _ => {}
        }
    }
    Ok(scan)
}

/// Collects a list of keys; what is no text in it is passed over.
fn keys(header: &str, value: RawValue<'_>, into: &mut Vec<Bytes>) -> Result<(), Fault> {
    let Some(values) = value.as_array() else {
        return Err(Fault::precondition(
            BasicPublish::ID,
            format!(
                "invalid message: {{unacceptable_type_in_header,\"{header}\",{}}}",
                raw_type_name(value.kind)
            ),
        ));
    };
    into.extend(
        values
            .filter(|value| value.kind == b'S')
            .map(|value| Bytes::copy_from_slice(value.bytes)),
    );
    Ok(())
}

/// What RabbitMQ calls the type of that octet.
fn raw_type_name(kind: u8) -> &'static str {
    match kind {
        b'S' => "longstr",
        b'I' => "signedint",
        b'D' => "decimal",
        b'T' => "timestamp",
        b'F' => "table",
        b'b' => "byte",
        b'B' => "unsignedbyte",
        b'd' => "double",
        b'f' => "float",
        b'l' | b'L' => "long",
        b's' => "short",
        b'u' => "unsignedshort",
        b'i' => "unsignedint",
        b't' => "bool",
        b'x' => "binary",
        b'V' => "void",
        _ => "array",
    }
}

/// From 1 ms to 2^32 - 1 ms, as a number or a text of digits; anything else is no delay.
pub(super) fn delay(value: RawValue<'_>) -> Option<Millis> {
    let ms = match value.as_text() {
        Some(text) => std::str::from_utf8(text).ok()?.parse().ok()?,
        None => value.as_i64()?,
    };
    if (1..=DELAY_MAX_MS).contains(&ms) {
        Millis::try_from(ms).ok()
    } else {
        None
    }
}

/// Reads an expiration as Erlang's `string:to_integer` does.
fn expiration(text: &[u8]) -> Result<Millis, Fault> {
    let text = String::from_utf8_lossy(text);
    let refused = |why: &str| {
        Fault::precondition(
            BasicPublish::ID,
            format!("invalid expiration '{text}': {why}"),
        )
    };
    let (negative, unsigned) = match text.as_bytes() {
        [b'-', ..] => (true, text.get(1..).unwrap_or_default()),
        [b'+', ..] => (false, text.get(1..).unwrap_or_default()),
        _ => (false, text.as_ref()),
    };
    let rest = unsigned.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = unsigned
        .get(..unsigned.len() - rest.len())
        .unwrap_or_default();
    if digits.is_empty() {
        return Err(refused("no_integer"));
    }
    if !rest.is_empty() {
        return Err(refused(&format!(
            "{{leftover_string,{}}}",
            erlang_string(rest)
        )));
    }
    let number = digits.trim_start_matches('0');
    let value = if number.is_empty() {
        Some(0)
    } else {
        number.parse::<u128>().ok()
    };
    let mut shown = String::new();
    match value {
        Some(value) if negative && value > 0 => {
            let _ = write!(shown, "{{value_negative,-{value}}}");
        }
        Some(value) if value <= EXPIRATION_MAX_MS => {
            return Ok(Millis::try_from(value).unwrap_or(Millis::MAX));
        }
        _ => {
            let _ = write!(shown, "{{value_too_large,{number}}}");
        }
    }
    Err(refused(&shown))
}

/// The properties without BCC and, where it is kept apart, the dead-letter history, with replies led to `reply_name`.
#[cold]
fn rewrite(
    properties: PropertiesRef<'_>,
    reply_name: Option<&str>,
    without_deaths: bool,
) -> Vec<u8> {
    let mut fields = properties.fields().unwrap_or_default();
    let mut table = BytesMut::new();
    if let Some(headers) = fields.headers {
        let mut writer = TableWriter::bare(&mut table);
        for entry in headers.entries() {
            let dropped =
                entry.name == b"BCC" || (without_deaths && deaths::is_rendered(entry.name));
            if !dropped {
                writer.raw_entry(&entry);
            }
        }
        writer.finish();
        fields.headers = Some(TableRef::new(&table));
    }
    if let Some(name) = reply_name {
        fields.reply_to = Some(name.as_bytes());
    }
    let mut out = BytesMut::with_capacity(properties.as_bytes().len() + 64);
    Properties::encode(&fields, &mut out);
    out.into()
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
