//! A message's properties: flags that say which of fourteen fields are there, then those fields.
//!
//! ```text
//! | flags 2 | content_type | content_encoding | headers | delivery_mode | ... | cluster_id |
//!   15 ... 2: a field each, in this order;  1: never set;  0: more flags follow, which no client ever sends: refused
//! ```
//! A message keeps the bytes it came with, and consumers get them verbatim; [`PropertiesRef`] reads them in place.

use bytes::{BufMut, BytesMut};

use super::error::CodecError;
use super::field::{put_long, put_short};
use super::table::{TableRef, TableWriter};

const CONTENT_TYPE: u16 = 1 << 15;
const CONTENT_ENCODING: u16 = 1 << 14;
const HEADERS: u16 = 1 << 13;
const DELIVERY_MODE: u16 = 1 << 12;
const PRIORITY: u16 = 1 << 11;
const CORRELATION_ID: u16 = 1 << 10;
const REPLY_TO: u16 = 1 << 9;
const EXPIRATION: u16 = 1 << 8;
const MESSAGE_ID: u16 = 1 << 7;
const TIMESTAMP: u16 = 1 << 6;
const TYPE: u16 = 1 << 5;
const USER_ID: u16 = 1 << 4;
const APP_ID: u16 = 1 << 3;
const CLUSTER_ID: u16 = 1 << 2;
/// The fields after the priority, which many a message has none of.
const BEYOND_PRIORITY: u16 = PRIORITY - 1;
const UNDEFINED: u16 = 0b11;

/// The bytes of properties: flags and fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PropertiesRef<'a>(&'a [u8]);

/// What routing and queues need of the properties; the rest only travels.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Routing<'a> {
    /// The headers.
    pub headers: Option<TableRef<'a>>,
    /// 2: durable.
    pub delivery_mode: Option<u8>,
    /// The priority.
    pub priority: Option<u8>,
    /// Where answers go.
    pub reply_to: Option<&'a [u8]>,
    /// The time to live, as a text of milliseconds.
    pub expiration: Option<&'a [u8]>,
    /// The user who claims to publish it.
    pub user_id: Option<&'a [u8]>,
}

impl Routing<'_> {
    /// Nothing of it takes more than a look: no headers, no reply, no expiration, no claim.
    #[inline]
    pub(crate) const fn is_plain(&self) -> bool {
        self.headers.is_none()
            && self.reply_to.is_none()
            && self.expiration.is_none()
            && self.user_id.is_none()
    }
}

/// All properties.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Properties<'a> {
    /// The body's media type.
    pub content_type: Option<&'a [u8]>,
    /// The body's encoding.
    pub content_encoding: Option<&'a [u8]>,
    /// The headers.
    pub headers: Option<TableRef<'a>>,
    /// 2: durable.
    pub delivery_mode: Option<u8>,
    /// The priority.
    pub priority: Option<u8>,
    /// What it belongs to.
    pub correlation_id: Option<&'a [u8]>,
    /// Where answers go.
    pub reply_to: Option<&'a [u8]>,
    /// The time to live, as a text of milliseconds.
    pub expiration: Option<&'a [u8]>,
    /// The message's id.
    pub message_id: Option<&'a [u8]>,
    /// When it was made, in seconds since the Unix epoch.
    pub timestamp: Option<u64>,
    /// The message's type, in the application's words.
    pub kind: Option<&'a [u8]>,
    /// The user who claims to publish it.
    pub user_id: Option<&'a [u8]>,
    /// The application that made it.
    pub app_id: Option<&'a [u8]>,
    /// Out of use, and kept.
    pub cluster_id: Option<&'a [u8]>,
}

/// Walks the fields that the flags name.
struct Walk<'a> {
    flags: u16,
    rest: &'a [u8],
}

impl<'a> Walk<'a> {
    #[inline]
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let (flags, rest) = bytes.split_first_chunk()?;
        let flags = u16::from_be_bytes(*flags);
        (flags & UNDEFINED == 0).then_some(Self { flags, rest })
    }

    #[inline]
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(head)
    }

    #[inline]
    fn octet(&mut self, flag: u16) -> Option<Option<u8>> {
        if self.flags & flag == 0 {
            return Some(None);
        }
        let (octet, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(Some(*octet))
    }

    #[inline]
    fn text(&mut self, flag: u16) -> Option<Option<&'a [u8]>> {
        if self.flags & flag == 0 {
            return Some(None);
        }
        let (len, rest) = self.rest.split_first()?;
        self.rest = rest;
        self.take((*len).into()).map(Some)
    }

    #[inline]
    fn table(&mut self, flag: u16) -> Option<Option<TableRef<'a>>> {
        if self.flags & flag == 0 {
            return Some(None);
        }
        let (size, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        let bytes = self.take(u32::from_be_bytes(*size) as usize)?;
        Some(Some(TableRef::new(bytes)))
    }

    #[inline]
    fn number(&mut self, flag: u16) -> Option<Option<u64>> {
        if self.flags & flag == 0 {
            return Some(None);
        }
        let (number, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(Some(u64::from_be_bytes(*number)))
    }

    #[inline]
    fn all(mut self) -> Option<Properties<'a>> {
        let first = Properties {
            content_type: self.text(CONTENT_TYPE)?,
            content_encoding: self.text(CONTENT_ENCODING)?,
            headers: self.table(HEADERS)?,
            delivery_mode: self.octet(DELIVERY_MODE)?,
            priority: self.octet(PRIORITY)?,
            ..Properties::default()
        };
        if self.flags & BEYOND_PRIORITY == 0 {
            return self.rest.is_empty().then_some(first);
        }
        let properties = Properties {
            correlation_id: self.text(CORRELATION_ID)?,
            reply_to: self.text(REPLY_TO)?,
            expiration: self.text(EXPIRATION)?,
            message_id: self.text(MESSAGE_ID)?,
            timestamp: self.number(TIMESTAMP)?,
            kind: self.text(TYPE)?,
            user_id: self.text(USER_ID)?,
            app_id: self.text(APP_ID)?,
            cluster_id: self.text(CLUSTER_ID)?,
            ..first
        };
        self.rest.is_empty().then_some(properties)
    }
}

impl<'a> PropertiesRef<'a> {
    /// The properties of a message without any.
    pub const NONE: PropertiesRef<'static> = PropertiesRef(&[0, 0]);

    /// Properties of these bytes.
    #[inline]
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[inline]
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Checks all of it, to the last nested header, and gives what routing needs.
    ///
    /// # Errors
    /// [`CodecError::Properties`] or [`CodecError::Headers`] if it is malformed.
    #[inline]
    pub fn check(self) -> Result<Routing<'a>, CodecError> {
        let all = Walk::new(self.0)
            .and_then(Walk::all)
            .ok_or(CodecError::Properties)?;
        if let Some(headers) = all.headers {
            headers.check().map_err(CodecError::Headers)?;
        }
        Ok(Routing {
            headers: all.headers,
            delivery_mode: all.delivery_mode,
            priority: all.priority,
            reply_to: all.reply_to,
            expiration: all.expiration,
            user_id: all.user_id,
        })
    }

    /// All fields. None if the bytes are malformed, which those of a checked message are not.
    #[must_use]
    pub fn fields(self) -> Option<Properties<'a>> {
        Walk::new(self.0)?.all()
    }

    /// The headers alone, which costs less than all fields.
    #[must_use]
    pub fn headers(self) -> Option<TableRef<'a>> {
        let mut walk = Walk::new(self.0)?;
        walk.text(CONTENT_TYPE)?;
        walk.text(CONTENT_ENCODING)?;
        walk.table(HEADERS)?
    }
}

impl Properties<'_> {
    /// Appends flags and fields.
    pub fn encode(&self, out: &mut BytesMut) {
        let at = out.len();
        out.put_u16(0);
        let mut flags = 0;
        let mut text = |out: &mut BytesMut, flag: u16, field: Option<&[u8]>| {
            if let Some(bytes) = field {
                flags |= flag;
                put_short(out, bytes);
            }
        };
        text(out, CONTENT_TYPE, self.content_type);
        text(out, CONTENT_ENCODING, self.content_encoding);
        if let Some(headers) = self.headers {
            put_long(out, headers.as_bytes());
        }
        if let Some(mode) = self.delivery_mode {
            out.put_u8(mode);
        }
        if let Some(priority) = self.priority {
            out.put_u8(priority);
        }
        text(out, CORRELATION_ID, self.correlation_id);
        text(out, REPLY_TO, self.reply_to);
        text(out, EXPIRATION, self.expiration);
        text(out, MESSAGE_ID, self.message_id);
        if let Some(timestamp) = self.timestamp {
            out.put_u64(timestamp);
        }
        text(out, TYPE, self.kind);
        text(out, USER_ID, self.user_id);
        text(out, APP_ID, self.app_id);
        text(out, CLUSTER_ID, self.cluster_id);
        for (flag, is_there) in [
            (HEADERS, self.headers.is_some()),
            (DELIVERY_MODE, self.delivery_mode.is_some()),
            (PRIORITY, self.priority.is_some()),
            (TIMESTAMP, self.timestamp.is_some()),
        ] {
            if is_there {
                flags |= flag;
            }
        }
        put_flags(out, at, flags);
    }
}

fn put_flags(out: &mut BytesMut, at: usize, flags: u16) {
    if let Some(room) = out.get_mut(at..at + 2) {
        room.copy_from_slice(&flags.to_be_bytes());
    }
}

/// Appends `properties` with other headers and all else byte for byte. `write` is given the headers as they are (empty if
/// there are none) and writes what shall stand instead; if it writes nothing where nothing was, there are no headers still.
///
/// # Errors
/// [`CodecError::Properties`] if the properties are malformed; then nothing is appended.
pub fn rewrite_headers(
    properties: PropertiesRef<'_>,
    out: &mut BytesMut,
    write: impl FnOnce(TableRef<'_>, &mut TableWriter<'_>),
) -> Result<(), CodecError> {
    let mut walk = Walk::new(properties.0).ok_or(CodecError::Properties)?;
    let flags = walk.flags;
    let mut split = || {
        let fields = walk.rest;
        walk.text(CONTENT_TYPE)?;
        walk.text(CONTENT_ENCODING)?;
        let before = fields.get(..fields.len() - walk.rest.len())?;
        Some((before, walk.table(HEADERS)?, walk.rest))
    };
    let (before, headers, after) = split().ok_or(CodecError::Properties)?;
    let at = out.len();
    out.put_u16(flags | HEADERS);
    out.extend_from_slice(before);
    let headers_at = out.len();
    let mut writer = TableWriter::new(out);
    write(headers.unwrap_or_default(), &mut writer);
    writer.finish();
    if headers.is_none() && out.len() == headers_at + 4 {
        out.truncate(headers_at);
        put_flags(out, at, flags);
    }
    out.extend_from_slice(after);
    Ok(())
}
