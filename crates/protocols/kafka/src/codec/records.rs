//! The records in a batch: read for those who are not Kafka's, and made for Kafka's out of what is not.
//!
//! ```text
//! varint length | i8 attributes | varlong time, from the batch's | varint offset, from the batch's
//!   varint key length, key | varint value length, value            (-1: null)
//!   varint headers, each: varint name length, name, varint value length, value
//! ```

use bytes::{Bytes, BytesMut};

use super::batch::{BATCH_HEADER_BYTES, BatchHeader, Making};
use super::error::CodecError;
use super::primitives::{Reader, Writer};

/// A header of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordHeader<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value, or null.
    pub value: Option<&'a [u8]>,
}

/// A record, borrowing from its batch.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// Its offset.
    pub offset: i64,
    /// Its time, in milliseconds since the Unix epoch; -1 for none.
    pub timestamp: i64,
    /// Its key, or null.
    pub key: Option<&'a [u8]>,
    /// Its value, or null.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: RecordHeaders<'a>,
}

/// The headers of a record, in order. They were checked when the record was read.
#[derive(Clone, Debug)]
pub struct RecordHeaders<'a> {
    reader: Reader<'a>,
    left: usize,
}

impl<'a> Iterator for RecordHeaders<'a> {
    type Item = RecordHeader<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        read_header(&mut self.reader).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for RecordHeaders<'_> {}

/// The bytes of a batch's records, decompressed if they were compressed; no more than the limit.
pub fn read_records(
    header: &BatchHeader,
    batch: &Bytes,
    limit_bytes: usize,
) -> Result<Bytes, CodecError> {
    if batch.len() < header.len_bytes || header.len_bytes < BATCH_HEADER_BYTES {
        return Err(CodecError::Truncated);
    }
    let records = batch.slice(BATCH_HEADER_BYTES..header.len_bytes);
    header.compression.decompress(&records, limit_bytes)
}

/// The records of a batch, in order. It ends at the first error.
#[derive(Debug)]
pub struct Records<'a> {
    header: BatchHeader,
    reader: Reader<'a>,
    left: i32,
}

impl<'a> Records<'a> {
    /// The records in these bytes, which [`read_records`] gave for this batch.
    #[must_use]
    pub fn new(header: &BatchHeader, records: &'a Bytes) -> Self {
        Self {
            header: *header,
            reader: Reader::new(records),
            left: header.record_count,
        }
    }

    /// Bytes behind the records that were read: none when all of them were, if the batch has as many as it says.
    #[must_use]
    pub fn rest_bytes(&self) -> usize {
        self.reader.remaining()
    }

    fn read(&mut self) -> Result<Record<'a>, CodecError> {
        let len = self.reader.varint()?;
        let len = usize::try_from(len).map_err(|_| CodecError::Count(len.into()))?;
        let mut reader = self.reader.part(len)?;
        reader.i8()?;
        let since_base = reader.varlong()?;
        let offset_delta = reader.varint()?;
        let key = read_bytes(&mut reader)?;
        let value = read_bytes(&mut reader)?;
        let count = reader.varint()?;
        let left = usize::try_from(count)
            .ok()
            .filter(|left| *left <= reader.remaining() / 2)
            .ok_or(CodecError::Count(count.into()))?;
        let headers = RecordHeaders {
            reader: reader.clone(),
            left,
        };
        for _ in 0..left {
            read_header(&mut reader)?;
        }
        reader.finish()?;
        let timestamp = if self.header.is_stamped() {
            self.header.max_timestamp
        } else {
            self.header.base_timestamp.wrapping_add(since_base)
        };
        Ok(Record {
            offset: self.header.base_offset.wrapping_add(offset_delta.into()),
            timestamp,
            key,
            value,
            headers,
        })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, CodecError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            return None;
        }
        let record = self.read();
        self.left = if record.is_ok() { self.left - 1 } else { 0 };
        Some(record)
    }
}

fn read_bytes<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, CodecError> {
    match reader.varint()? {
        -1 => Ok(None),
        len => {
            let len = usize::try_from(len).map_err(|_| CodecError::Count(len.into()))?;
            reader.take(len).map(Some)
        }
    }
}

fn read_header<'a>(reader: &mut Reader<'a>) -> Result<RecordHeader<'a>, CodecError> {
    let name = read_bytes(reader)?.ok_or(CodecError::Null)?;
    let name = str::from_utf8(name).map_err(|_| CodecError::Text)?;
    let value = read_bytes(reader)?;
    Ok(RecordHeader { name, value })
}

/// Makes a batch, uncompressed, of records.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    records: BytesMut,
    one: BytesMut,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// No records yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record behind those that are there.
    pub fn push<'a>(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl ExactSizeIterator<Item = RecordHeader<'a>>,
    ) {
        if self.count == 0 {
            (self.base_timestamp, self.max_timestamp) = (timestamp, timestamp);
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.one.clear();
        let mut writer = Writer::new(&mut self.one);
        writer.i8(0);
        writer.varlong(timestamp.wrapping_sub(self.base_timestamp));
        writer.varint(self.count);
        write_bytes(&mut writer, key);
        write_bytes(&mut writer, value);
        writer.varint(headers.len() as i32);
        for header in headers {
            write_bytes(&mut writer, Some(header.name.as_bytes()));
            write_bytes(&mut writer, header.value);
        }
        let len = self.one.len() as i32;
        Writer::new(&mut self.records).varint(len);
        self.records.extend_from_slice(&self.one);
        self.count += 1;
    }

    /// How many bytes the batch would have now.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        BATCH_HEADER_BYTES + self.records.len()
    }

    /// The batch, of no producer; none without records.
    #[must_use]
    pub fn finish(self, base_offset: i64, leader_epoch: i32) -> Option<Bytes> {
        let making = Making {
            base_offset,
            leader_epoch,
            attributes: 0,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            last_offset_delta: self.count - 1,
            record_count: self.count,
        };
        (self.count > 0).then(|| making.finish(&self.records))
    }
}

fn write_bytes(writer: &mut Writer<'_>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            writer.varint(bytes.len() as i32);
            writer.raw(bytes);
        }
        None => writer.varint(-1),
    }
}
