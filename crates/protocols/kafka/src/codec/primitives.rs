//! The primitives of Kafka's wire: a bounded reader over a frame, and a writer.
//!
//! ```text
//! version before flexible            flexible version
//! string  i16 length, bytes          uvarint length + 1, bytes
//! bytes   i32 length, bytes          uvarint length + 1, bytes
//! array   i32 count, elements        uvarint count + 1, elements
//! null    length or count -1         length or count 0
//!                                    tagged fields behind each struct: uvarint count, (tag, size, bytes)...
//! ```
//! A count is held against the bytes that are left and against an allowance before anything is allocated by it, so what a
//! frame costs in memory is bounded by its own size and by [`ALLOWANCE_BYTES`].

use bytes::{BufMut, Bytes, BytesMut};

use super::error::CodecError;

/// What the arrays of one frame may take in memory, in bytes: an array of empty strings takes far more there than on the
/// wire.
pub const ALLOWANCE_BYTES: usize = 64 * 1024 * 1024;

/// A topic's id.
pub type Uuid = [u8; 16];

/// Reads a frame from its start to its end.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    whole: &'a Bytes,
    rest: &'a [u8],
    allowance_bytes: usize,
}

impl<'a> Reader<'a> {
    /// Reads these bytes; byte fields become slices of them.
    #[must_use]
    pub fn new(whole: &'a Bytes) -> Self {
        Self {
            whole,
            rest: whole,
            allowance_bytes: ALLOWANCE_BYTES,
        }
    }

    /// Takes so many bytes to be read apart.
    pub(super) fn part(&mut self, len: usize) -> Result<Self, CodecError> {
        Ok(Self {
            whole: self.whole,
            rest: self.take(len)?,
            allowance_bytes: self.allowance_bytes,
        })
    }

    /// How many bytes are left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Fails if bytes are left.
    pub fn finish(&self) -> Result<(), CodecError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(CodecError::TrailingBytes(left)),
        }
    }

    /// Reads so many bytes.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(CodecError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    /// Reads so many bytes, borrowing them.
    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], CodecError> {
        let (head, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(CodecError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    /// Reads so many bytes, sharing them.
    #[inline]
    pub fn share(&mut self, len: usize) -> Result<Bytes, CodecError> {
        let taken = self.take(len)?;
        Ok(self.whole.slice_ref(taken))
    }

    /// Reads an int8.
    #[inline]
    pub fn i8(&mut self) -> Result<i8, CodecError> {
        self.array().map(i8::from_be_bytes)
    }

    /// Reads an int16.
    #[inline]
    pub fn i16(&mut self) -> Result<i16, CodecError> {
        self.array().map(i16::from_be_bytes)
    }

    /// Reads an int32.
    #[inline]
    pub fn i32(&mut self) -> Result<i32, CodecError> {
        self.array().map(i32::from_be_bytes)
    }

    /// Reads an int64.
    #[inline]
    pub fn i64(&mut self) -> Result<i64, CodecError> {
        self.array().map(i64::from_be_bytes)
    }

    /// Reads an unsigned variable-length integer.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u32, CodecError> {
        let value = self.varint_bits(5)?;
        u32::try_from(value).map_err(|_| CodecError::Varint)
    }

    /// Reads a zigzag variable-length integer of 32 bits.
    #[inline]
    pub fn varint(&mut self) -> Result<i32, CodecError> {
        let bits = self.uvarint()?;
        Ok((bits >> 1) as i32 ^ -((bits & 1) as i32))
    }

    /// Reads a zigzag variable-length integer of 64 bits.
    #[inline]
    pub fn varlong(&mut self) -> Result<i64, CodecError> {
        let bits = self.varint_bits(10)?;
        Ok((bits >> 1) as i64 ^ -((bits & 1) as i64))
    }

    #[inline]
    fn varint_bits(&mut self, bytes_max: u32) -> Result<u64, CodecError> {
        let mut bits = 0u64;
        for at in 0..bytes_max {
            let [byte] = self.array()?;
            let part = u64::from(byte & 0x7f);
            let shift = at * 7;
            if shift == 63 && part > 1 {
                return Err(CodecError::Varint);
            }
            bits |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(bits);
            }
        }
        Err(CodecError::Varint)
    }

    /// Reads a string's length: i16, or compact; none for null.
    #[inline]
    pub fn string_len(&mut self, flexible: bool) -> Result<Option<usize>, CodecError> {
        if flexible {
            return self.compact_len();
        }
        length(self.i16()?.into())
    }

    /// Reads the length of bytes or the count of an array: i32, or compact; none for null.
    #[inline]
    pub fn long_len(&mut self, flexible: bool) -> Result<Option<usize>, CodecError> {
        if flexible {
            return self.compact_len();
        }
        length(self.i32()?.into())
    }

    #[inline]
    fn compact_len(&mut self) -> Result<Option<usize>, CodecError> {
        length(i64::from(self.uvarint()?) - 1)
    }

    /// Reads a string that may be null, borrowing it.
    #[inline]
    pub fn str_or_null(&mut self, flexible: bool) -> Result<Option<&'a str>, CodecError> {
        let Some(len) = self.string_len(flexible)? else {
            return Ok(None);
        };
        let bytes = self.take(len)?;
        str::from_utf8(bytes)
            .map(Some)
            .map_err(|_| CodecError::Text)
    }

    /// Reads a string, borrowing it.
    #[inline]
    pub fn str(&mut self, flexible: bool) -> Result<&'a str, CodecError> {
        self.str_or_null(flexible)?.ok_or(CodecError::Null)
    }

    /// Reads bytes that may be null, sharing them.
    #[inline]
    pub fn bytes_or_null(&mut self, flexible: bool) -> Result<Option<Bytes>, CodecError> {
        match self.long_len(flexible)? {
            Some(len) => self.share(len).map(Some),
            None => Ok(None),
        }
    }

    /// Reads the count of an array whose elements take at least `bytes_min` on the wire and `size_bytes` in memory each;
    /// none for null.
    #[inline]
    pub fn count(
        &mut self,
        flexible: bool,
        bytes_min: usize,
        size_bytes: usize,
    ) -> Result<Option<usize>, CodecError> {
        let Some(count) = self.long_len(flexible)? else {
            return Ok(None);
        };
        if count > self.rest.len() / bytes_min.max(1) {
            return Err(CodecError::Count(count as i64));
        }
        self.allowance_bytes = self
            .allowance_bytes
            .checked_sub(count.saturating_mul(size_bytes))
            .ok_or(CodecError::TooMuch)?;
        Ok(Some(count))
    }

    /// Reads tagged fields. `known` reads the field of a tag and says so, or says that it knows none; what it does not
    /// know is skipped.
    pub fn tagged(
        &mut self,
        mut known: impl FnMut(u32, &mut Self) -> Result<bool, CodecError>,
    ) -> Result<(), CodecError> {
        let count = self.uvarint()?;
        // A tag and a size: two bytes at least.
        if count as usize > self.rest.len() / 2 {
            return Err(CodecError::Count(count.into()));
        }
        for _ in 0..count {
            let tag = self.uvarint()?;
            let len = self.uvarint()? as usize;
            let mut field = self.part(len)?;
            if known(tag, &mut field)? {
                field.finish()?;
            }
            self.allowance_bytes = field.allowance_bytes;
        }
        Ok(())
    }

    /// Skips tagged fields.
    #[inline]
    pub fn skip_tagged(&mut self) -> Result<(), CodecError> {
        self.tagged(|_, _| Ok(false))
    }
}

/// A length as the wire tells it: -1 is null, less is nothing.
#[inline]
fn length(len: i64) -> Result<Option<usize>, CodecError> {
    match len {
        -1 => Ok(None),
        _ => usize::try_from(len)
            .map(Some)
            .map_err(|_| CodecError::Count(len)),
    }
}

/// Writes a frame. Nothing here fails: a string too long for its length's type is cut.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut BytesMut,
}

impl<'a> Writer<'a> {
    /// Appends to this.
    #[must_use]
    pub fn new(out: &'a mut BytesMut) -> Self {
        Self { out }
    }

    /// Appends bytes as they are.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Writes an int8.
    #[inline]
    pub fn i8(&mut self, value: i8) {
        self.out.put_i8(value);
    }

    /// Writes an int16.
    #[inline]
    pub fn i16(&mut self, value: i16) {
        self.out.put_i16(value);
    }

    /// Writes an int32.
    #[inline]
    pub fn i32(&mut self, value: i32) {
        self.out.put_i32(value);
    }

    /// Writes an int64.
    #[inline]
    pub fn i64(&mut self, value: i64) {
        self.out.put_i64(value);
    }

    /// Writes an unsigned variable-length integer.
    #[inline]
    pub fn uvarint(&mut self, value: u32) {
        self.varint_bits(value.into());
    }

    /// Writes a zigzag variable-length integer of 32 bits.
    #[inline]
    pub fn varint(&mut self, value: i32) {
        self.uvarint(((value << 1) ^ (value >> 31)) as u32);
    }

    /// Writes a zigzag variable-length integer of 64 bits.
    #[inline]
    pub fn varlong(&mut self, value: i64) {
        self.varint_bits(((value << 1) ^ (value >> 63)) as u64);
    }

    #[inline]
    fn varint_bits(&mut self, mut bits: u64) {
        while bits >= 0x80 {
            self.out.put_u8(bits as u8 | 0x80);
            bits >>= 7;
        }
        self.out.put_u8(bits as u8);
    }

    /// Writes a string, or null.
    #[inline]
    pub fn str(&mut self, text: Option<&str>, flexible: bool) {
        if flexible {
            return self.compact(text.map(str::as_bytes));
        }
        let Some(text) = text else {
            return self.i16(-1);
        };
        let text = text
            .get(..text.floor_char_boundary(i16::MAX as usize))
            .unwrap_or(text);
        self.i16(text.len() as i16);
        self.raw(text.as_bytes());
    }

    /// Writes bytes, or null.
    #[inline]
    pub fn bytes(&mut self, bytes: Option<&[u8]>, flexible: bool) {
        self.len(bytes.map(<[u8]>::len), flexible);
        self.raw(bytes.unwrap_or_default());
    }

    /// Writes the length of bytes or the count of an array, or null.
    #[inline]
    pub fn len(&mut self, len: Option<usize>, flexible: bool) {
        match (len, flexible) {
            (Some(len), true) => self.uvarint(len as u32 + 1),
            (None, true) => self.uvarint(0),
            (Some(len), false) => self.i32(len as i32),
            (None, false) => self.i32(-1),
        }
    }

    #[inline]
    fn compact(&mut self, bytes: Option<&[u8]>) {
        self.len(bytes.map(<[u8]>::len), true);
        self.raw(bytes.unwrap_or_default());
    }

    /// Writes one tagged field, whose size stands in front of it.
    pub fn tagged(&mut self, tag: u32, write: impl FnOnce(&mut Writer<'_>)) {
        let mut field = BytesMut::new();
        write(&mut Writer::new(&mut field));
        self.uvarint(tag);
        self.uvarint(field.len() as u32);
        self.raw(&field);
    }
}
