//! The elementary fields of methods, by type: `bool` is a bit, `&str` and [`ShortText`] a short string that is text,
//! [`ShortBytes`] one that need not be, `&[u8]` a long string, [`TableRef`] a table, numbers themselves. Neighbouring bits
//! share an octet.

use std::fmt;

use bytes::{BufMut, BytesMut};

use super::table::{TableError, TableRef};

/// A short string that need not be text: the names that a delivery carries, which another protocol may have written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ShortBytes<'a>(pub &'a [u8]);

impl<'a> From<&'a str> for ShortBytes<'a> {
    fn from(text: &'a str) -> Self {
        Self(text.as_bytes())
    }
}

/// A short string that is text, kept as bytes: what a publish names is compared and copied as bytes, and proving it to be
/// text twice (a `&str` cannot be had otherwise) would cost as much as all the rest of its parsing.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct ShortText<'a>(&'a [u8]);

impl<'a> ShortText<'a> {
    /// The bytes, which are UTF-8.
    #[inline]
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The text.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        match std::str::from_utf8(self.0) {
            Ok(text) => text,
            // There is no way to make one of anything else.
            Err(_) => "",
        }
    }
}

impl<'a> From<&'a str> for ShortText<'a> {
    fn from(text: &'a str) -> Self {
        Self(text.as_bytes())
    }
}

impl fmt::Debug for ShortText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Why a field cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FieldError {
    /// The bytes end too early or too late.
    Length,
    /// Not UTF-8.
    Text,
    /// A malformed table.
    Table(TableError),
}

/// Reads fields one after the other.
pub(super) struct FieldReader<'a> {
    rest: &'a [u8],
    bits: u8,
    /// Bits of `bits` already given out; 0 when the next bit starts an octet.
    used: u8,
}

impl<'a> FieldReader<'a> {
    #[inline]
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            bits: 0,
            used: 0,
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], FieldError> {
        self.used = 0;
        let (head, rest) = self.rest.split_first_chunk().ok_or(FieldError::Length)?;
        self.rest = rest;
        Ok(*head)
    }

    #[inline]
    fn slice(&mut self, len: usize) -> Result<&'a [u8], FieldError> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(FieldError::Length)?;
        self.rest = rest;
        Ok(head)
    }

    #[inline]
    fn bit(&mut self) -> Result<bool, FieldError> {
        if self.used == 0 {
            let [bits] = self.array()?;
            self.bits = bits;
        }
        let bit = self.bits >> self.used & 1 == 1;
        self.used = (self.used + 1) & 7;
        Ok(bit)
    }

    /// Nothing may be left.
    #[inline]
    pub(super) const fn finish(self) -> Result<(), FieldError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(FieldError::Length)
        }
    }
}

/// Writes fields one after the other.
pub(super) struct FieldWriter<'b> {
    out: &'b mut BytesMut,
    bits: u8,
    /// Bits of `bits` that wait to be written.
    used: u8,
}

impl<'b> FieldWriter<'b> {
    #[inline]
    pub(super) const fn new(out: &'b mut BytesMut) -> Self {
        Self {
            out,
            bits: 0,
            used: 0,
        }
    }

    #[inline]
    fn out(&mut self) -> &mut BytesMut {
        self.flush();
        self.out
    }

    #[inline]
    fn bit(&mut self, bit: bool) {
        if self.used == 8 {
            self.flush();
        }
        self.bits |= u8::from(bit) << self.used;
        self.used += 1;
    }

    #[inline]
    fn flush(&mut self) {
        if self.used > 0 {
            self.out.put_u8(self.bits);
            self.bits = 0;
            self.used = 0;
        }
    }

    #[inline]
    pub(super) fn finish(mut self) {
        self.flush();
    }
}

/// A field of a method.
pub(super) trait Field<'a>: Sized + Default {
    fn read(from: &mut FieldReader<'a>) -> Result<Self, FieldError>;
    fn write(&self, to: &mut FieldWriter<'_>);
    /// At most so many bytes.
    fn size_bound(&self) -> usize;
}

macro_rules! number_field {
    ($($ty:ty)*) => {$(
        impl<'a> Field<'a> for $ty {
            #[inline]
            fn read(from: &mut FieldReader<'a>) -> Result<Self, FieldError> {
                Ok(Self::from_be_bytes(from.array()?))
            }
            #[inline]
            fn write(&self, to: &mut FieldWriter<'_>) {
                to.out().extend_from_slice(&self.to_be_bytes());
            }
            #[inline]
            fn size_bound(&self) -> usize {
                size_of::<Self>()
            }
        }
    )*};
}
number_field!(u8 u16 u32 u64);

impl<'a> Field<'a> for bool {
    #[inline]
    fn read(from: &mut FieldReader<'a>) -> Result<Self, FieldError> {
        from.bit()
    }
    #[inline]
    fn write(&self, to: &mut FieldWriter<'_>) {
        to.bit(*self);
    }
    #[inline]
    fn size_bound(&self) -> usize {
        1
    }
}

impl<'a> Field<'a> for ShortBytes<'a> {
    #[inline]
    fn read(from: &mut FieldReader<'a>) -> Result<Self, FieldError> {
        let [len] = from.array()?;
        from.slice(len.into()).map(ShortBytes)
    }
    #[inline]
    fn write(&self, to: &mut FieldWriter<'_>) {
        put_short(to.out(), self.0);
    }
    #[inline]
    fn size_bound(&self) -> usize {
        1 + self.0.len().min(255)
    }
}

impl<'a> Field<'a> for ShortText<'a> {
    #[inline]
    fn read(from: &mut FieldReader<'a>) -> Result<Self, FieldError> {
        let ShortBytes(bytes) = ShortBytes::read(from)?;
        if is_ascii(bytes) || std::str::from_utf8(bytes).is_ok() {
            Ok(Self(bytes))
        } else {
            Err(FieldError::Text)
        }
    }
    #[inline]
    fn write(&self, to: &mut FieldWriter<'_>) {
        put_short(to.out(), self.0);
    }
    #[inline]
    fn size_bound(&self) -> usize {
        1 + self.0.len().min(255)
    }
}

impl<'a> Field<'a> for &'a str {
    #[inline]
    fn read(from: &mut FieldReader<'a>) -> Result<Self, FieldError> {
        let ShortBytes(bytes) = ShortBytes::read(from)?;
        std::str::from_utf8(bytes).map_err(|_| FieldError::Text)
    }
    #[inline]
    fn write(&self, to: &mut FieldWriter<'_>) {
        put_short(to.out(), short_text(self).as_bytes());
    }
    #[inline]
    fn size_bound(&self) -> usize {
        1 + self.len().min(255)
    }
}

impl<'a> Field<'a> for &'a [u8] {
    #[inline]
    fn read(from: &mut FieldReader<'a>) -> Result<Self, FieldError> {
        let len = u32::read(from)?;
        from.slice(len as usize)
    }
    #[inline]
    fn write(&self, to: &mut FieldWriter<'_>) {
        put_long(to.out(), self);
    }
    #[inline]
    fn size_bound(&self) -> usize {
        4 + self.len()
    }
}

impl<'a> Field<'a> for TableRef<'a> {
    #[inline]
    fn read(from: &mut FieldReader<'a>) -> Result<Self, FieldError> {
        let table = TableRef::new(<&[u8]>::read(from)?);
        table.check().map_err(FieldError::Table)?;
        Ok(table)
    }
    #[inline]
    fn write(&self, to: &mut FieldWriter<'_>) {
        put_long(to.out(), self.as_bytes());
    }
    #[inline]
    fn size_bound(&self) -> usize {
        4 + self.as_bytes().len()
    }
}

/// Eight bytes at a time, the last eight overlapping: the texts at hand are short.
#[inline]
fn is_ascii(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut seen = 0;
    for word in words {
        seen |= u64::from_ne_bytes(*word);
    }
    if let Some(last) = bytes.last_chunk::<8>() {
        seen |= u64::from_ne_bytes(*last);
    } else {
        for byte in rest {
            seen |= u64::from(*byte);
        }
    }
    seen & 0x8080_8080_8080_8080 == 0
}

/// The part of a text that fits a short string.
pub(super) fn short_text(text: &str) -> &str {
    text.get(..text.floor_char_boundary(255)).unwrap_or(text)
}

/// Writes a short string; longer than 255 bytes it is cut.
#[inline]
pub(super) fn put_short(out: &mut BytesMut, bytes: &[u8]) {
    let bytes = bytes.get(..255).unwrap_or(bytes);
    out.put_u8(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

/// Writes a long string.
#[inline]
pub(super) fn put_long(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u32(bytes.len() as u32);
    out.extend_from_slice(bytes);
}
