//! Field tables: headers and arguments.
//!
//! ```text
//! table: | size 4 | name len 1 | name | type 1 | value | name ... |        array: | size 4 | type 1 | value | type ... |
//! ```
//! The types are RabbitMQ's and its clients', which differ from the specification's: `s` is a signed 16-bit number (amqplib,
//! Java, Go), `l` and `L` are signed 64-bit ones (`L` comes from py-amqp), `b` is signed and `B` is not, `x` is bytes.
//! RabbitMQ writes `l`, never `L`. Order and duplicates are kept.
//!
//! A [`TableRef`] reads from the wire bytes in place; [`TableRef::decode`] makes the model's table of them, and
//! [`TableWriter`] writes one. Reading keeps its own stack, so that nesting costs no call depth.

mod decode;
mod encode;

use std::fmt;

use polybus_model::{Table, Value};

pub(super) use encode::close;
pub use encode::{TableWriter, encode_table};

/// How deep tables and arrays may nest. What clients send is at most five or so deep (`x-death` is three); pika's and
/// RabbitMQ's own parsers are recursive and have no limit of their own.
pub const DEPTH_MAX: usize = 64;

/// How many values a table may hold, nested ones counted. A frame of 128 KiB, the size that clients agree on, has room for
/// 43,000 at the very most, and a million would be decoded to much more memory than they take on the wire.
pub const VALUES_MAX: usize = 32 * 1024;

/// What is wrong with a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TableError {
    /// It ends in the middle of a value.
    Truncated,
    /// No value has such a type.
    UnknownType(u8),
    /// It is nested more than [`DEPTH_MAX`] deep.
    TooDeep,
    /// It holds more than [`VALUES_MAX`] values.
    TooMany,
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("it ends in the middle of a value"),
            Self::UnknownType(kind) => write!(f, "unknown type {kind}"),
            Self::TooDeep => write!(f, "nested more than {DEPTH_MAX} deep"),
            Self::TooMany => write!(f, "more than {VALUES_MAX} values"),
        }
    }
}

impl std::error::Error for TableError {}

/// A table's wire bytes, without its size in front.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct TableRef<'a>(&'a [u8]);

impl<'a> TableRef<'a> {
    /// A table of these bytes (an AMQPLAIN response is one too).
    #[inline]
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[inline]
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// True without entries.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Its entries in order; ends early where the bytes are malformed, which [`TableRef::check`] finds.
    #[inline]
    #[must_use]
    pub const fn entries(self) -> Entries<'a> {
        Entries(self.0)
    }

    /// The first value of that name.
    #[must_use]
    pub fn lookup(self, name: &[u8]) -> Option<RawValue<'a>> {
        self.entries()
            .find(|entry| entry.name == name)
            .map(|entry| entry.value)
    }

    /// Checks all of it, to the last nested value. The tables of a parsed [`super::Method`] are checked already.
    ///
    /// # Errors
    /// [`TableError`] if it is malformed, too deep or too large.
    #[inline]
    pub fn check(self) -> Result<(), TableError> {
        decode::check(self.0)
    }

    /// The model's table. Names that are no text keep what of them is.
    ///
    /// # Errors
    /// [`TableError`] if it is malformed, too deep or too large.
    pub fn decode(self) -> Result<Table, TableError> {
        decode::decode_table(self.0)
    }
}

impl fmt::Debug for TableRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries();
        f.debug_map()
            .entries(entries.map(|entry| (String::from_utf8_lossy(entry.name), entry.value)))
            .finish()
    }
}

/// An entry of a table, in place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RawEntry<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its value.
    pub value: RawValue<'a>,
    /// Name, type and value as they stand on the wire.
    pub wire: &'a [u8],
}

/// A value, in place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RawValue<'a> {
    /// Its type octet.
    pub kind: u8,
    /// Its bytes, without the size in front of texts, bytes, tables and arrays.
    pub bytes: &'a [u8],
}

impl<'a> RawValue<'a> {
    /// The bytes of a text (`S`) or of bytes (`x`).
    #[must_use]
    pub const fn as_text(self) -> Option<&'a [u8]> {
        match self.kind {
            b'S' | b'x' => Some(self.bytes),
            _ => None,
        }
    }

    /// The nested table.
    #[must_use]
    pub const fn as_table(self) -> Option<TableRef<'a>> {
        match self.kind {
            b'F' => Some(TableRef(self.bytes)),
            _ => None,
        }
    }

    /// The values of an array.
    #[must_use]
    pub const fn as_array(self) -> Option<Values<'a>> {
        match self.kind {
            b'A' => Some(Values(self.bytes)),
            _ => None,
        }
    }

    /// A whole number.
    #[must_use]
    pub fn as_i64(self) -> Option<i64> {
        decode::scalar(self.kind, self.bytes)?.as_i64()
    }

    /// A truth value.
    #[must_use]
    pub fn as_bool(self) -> Option<bool> {
        decode::scalar(self.kind, self.bytes)?.as_bool()
    }

    /// The model's value.
    ///
    /// # Errors
    /// [`TableError`] if it is malformed, too deep or too large.
    pub fn decode(self) -> Result<Value, TableError> {
        decode::decode_value(self)
    }

    /// Takes a value off the front of `bytes`. Costs the same for a number and for a table of any size.
    #[inline]
    fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), TableError> {
        let (&kind, rest) = bytes.split_first().ok_or(TableError::Truncated)?;
        let (size, rest) = match kind {
            b'S' | b'x' | b'F' | b'A' => {
                let (size, rest) = rest.split_first_chunk().ok_or(TableError::Truncated)?;
                (u32::from_be_bytes(*size) as usize, rest)
            }
            b't' | b'b' | b'B' => (1, rest),
            b's' | b'u' => (2, rest),
            b'I' | b'i' | b'f' => (4, rest),
            b'D' => (5, rest),
            b'l' | b'L' | b'd' | b'T' => (8, rest),
            b'V' => (0, rest),
            _ => return Err(TableError::UnknownType(kind)),
        };
        let (bytes, rest) = rest.split_at_checked(size).ok_or(TableError::Truncated)?;
        Ok((Self { kind, bytes }, rest))
    }

    #[inline]
    const fn is_container(&self) -> bool {
        matches!(self.kind, b'F' | b'A')
    }
}

/// Takes a name off the front of `bytes`.
#[inline]
fn split_name(bytes: &[u8]) -> Result<(&[u8], &[u8]), TableError> {
    let (&len, rest) = bytes.split_first().ok_or(TableError::Truncated)?;
    rest.split_at_checked(len.into())
        .ok_or(TableError::Truncated)
}

/// The entries of a table; see [`TableRef::entries`].
#[derive(Clone, Debug)]
pub struct Entries<'a>(&'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = RawEntry<'a>;

    #[inline]
    fn next(&mut self) -> Option<RawEntry<'a>> {
        let before = std::mem::take(&mut self.0);
        let (name, rest) = split_name(before).ok()?;
        let (value, rest) = RawValue::split(rest).ok()?;
        self.0 = rest;
        let wire = before.get(..before.len() - rest.len())?;
        Some(RawEntry { name, value, wire })
    }
}

/// The values of an array; see [`RawValue::as_array`].
#[derive(Clone, Debug)]
pub struct Values<'a>(&'a [u8]);

impl<'a> Iterator for Values<'a> {
    type Item = RawValue<'a>;

    #[inline]
    fn next(&mut self) -> Option<RawValue<'a>> {
        let (value, rest) = RawValue::split(std::mem::take(&mut self.0)).ok()?;
        self.0 = rest;
        Some(value)
    }
}
