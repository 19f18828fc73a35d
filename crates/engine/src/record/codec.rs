//! Numbers, names and texts as bytes: little-endian, lengths first. Reading is bounds-checked; no length is believed before
//! the bytes are there.

use bytes::Bytes;
use polybus_model::Name;

use super::Corrupt;

/// Writing; all infallible.
pub(crate) trait Put {
    fn put_u8(&mut self, value: u8);
    fn put_u16(&mut self, value: u16);
    fn put_u32(&mut self, value: u32);
    fn put_u64(&mut self, value: u64);
    /// A length of up to 4 GiB and the bytes.
    fn put_bytes(&mut self, bytes: &[u8]);
    /// A length byte and the text.
    fn put_name(&mut self, name: &Name);
    /// A flag and, if it is there, the number.
    fn put_option(&mut self, value: Option<u64>);
}

impl Put for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }

    fn put_u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        self.put_u32(bytes.len() as u32);
        self.extend_from_slice(bytes);
    }

    fn put_name(&mut self, name: &Name) {
        self.put_u8(name.as_str().len() as u8);
        self.extend_from_slice(name.as_str().as_bytes());
    }

    fn put_option(&mut self, value: Option<u64>) {
        match value {
            None => self.put_u8(0),
            Some(value) => {
                self.put_u8(1);
                self.put_u64(value);
            }
        }
    }
}

/// Reads from the front of a slice.
#[derive(Clone, Debug)]
pub(crate) struct Bounded<'a> {
    rest: &'a [u8],
}

impl<'a> Bounded<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) const fn len(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Corrupt> {
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or_else(|| Corrupt::new("a record ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or_else(|| Corrupt::new("a record ends too early"))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Corrupt> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Corrupt> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Corrupt> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Corrupt> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn bool(&mut self) -> Result<bool, Corrupt> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(Corrupt::new(&format!("{other} is no truth value"))),
        }
    }

    pub(crate) fn option(&mut self) -> Result<Option<u64>, Corrupt> {
        if self.bool()? {
            self.u64().map(Some)
        } else {
            Ok(None)
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Corrupt> {
        let len = self.u32()? as usize;
        self.take(len)
    }

    pub(crate) fn shared(&mut self) -> Result<Bytes, Corrupt> {
        self.bytes().map(Bytes::copy_from_slice)
    }

    pub(crate) fn name(&mut self) -> Result<Name, Corrupt> {
        let len = self.u8()?.into();
        let text = std::str::from_utf8(self.take(len)?)
            .map_err(|_| Corrupt::new("a name is not UTF-8"))?;
        Name::new(text).map_err(|_| Corrupt::new("a name is too long"))
    }
}
