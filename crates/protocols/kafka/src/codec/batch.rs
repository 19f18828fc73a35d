//! Record batches (of magic 2, the only ones that are taken): their headers, and what may be changed in them.
//!
//! ```text
//!  0 base offset i64          12 leader epoch i32     16 magic i8      17 crc u32        outside the CRC
//!  8 length i32, from 12 on
//! 21 attributes i16           23 last offset delta i32                                   from here on under the CRC
//! 27 base timestamp i64       35 max timestamp i64
//! 43 producer id i64          51 producer epoch i16   53 base sequence i32
//! 57 record count i32         61 records, compressed as the attributes say
//!
//! attributes: 0..=2 compression, 3 the time is the broker's, 4 transactional, 5 control, 6 the base timestamp is the time
//!             from which on its tombstones may go
//! ```
//! A batch is stored as it came: what it says of itself is checked once, and its records are not looked at. Base offset and
//! leader epoch are put in when it is sent, with the time of the append where the log stamps its records.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use polybus_session::Outbound;

use super::compression::Compression;

/// The bytes of a batch before its records.
pub const BATCH_HEADER_BYTES: usize = 61;
/// The bytes that the length of a batch does not count.
const BEFORE_LENGTH_COUNTS: usize = 12;
/// Base offset, length and leader epoch: what differs between the batch that came and the one that is sent.
const SENT_ANEW: usize = 16;
const CRC_AT: usize = 17;
const CRC_FROM: usize = 21;
const MAX_TIMESTAMP_AT: usize = 35;
/// Length, attributes, time, offset, key, value, headers: a byte each at least.
const RECORD_BYTES_MIN: usize = 7;

const MAGIC: i8 = 2;
const COMPRESSION_BITS: i16 = 0b0111;
const STAMPED_BIT: i16 = 1 << 3;
const TRANSACTIONAL_BIT: i16 = 1 << 4;
const CONTROL_BIT: i16 = 1 << 5;
/// The base timestamp is the time from which on tombstones may go.
pub(super) const HORIZON_BIT: i16 = 1 << 6;

/// What is wrong with a batch. Nothing of it is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BatchError {
    /// Its length is less than a header's, or more than what came.
    Length(i32),
    /// Its bytes are not those that its CRC was taken of.
    Crc {
        /// The CRC in the batch.
        said: u32,
        /// The CRC of its bytes.
        is: u32,
    },
    /// It is of another format.
    Magic(i8),
    /// It has no records, fewer offsets than records, or more records than bytes.
    Count {
        /// How many records it says that it has.
        records: i32,
        /// The offset of the last one, from that of the first.
        last_offset_delta: i32,
    },
    /// It is of a producer and has no epoch or sequence, or is transactional without a producer.
    Producer,
    /// No compression has such a number.
    Compression(u8),
    /// It is one that only a broker writes.
    Control,
}

impl BatchError {
    /// True if the bytes were damaged on their way (`CORRUPT_MESSAGE`), false if they came as they were sent and are not
    /// what may be sent (`INVALID_RECORD`).
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Length(_) | Self::Crc { .. })
    }
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => write!(f, "a record batch's length of {length} cannot be"),
            Self::Crc { said, is } => {
                write!(f, "a record batch with CRC {said:08x} has {is:08x}")
            }
            Self::Magic(magic) => write!(
                f,
                "record batches of magic {magic} are not taken, only of 2"
            ),
            Self::Count {
                records,
                last_offset_delta,
            } => write!(
                f,
                "a record batch of {records} records cannot end at offset {last_offset_delta} from its first, or in so \
                 few bytes"
            ),
            Self::Producer => write!(
                f,
                "a record batch's producer, epoch and sequence do not fit together"
            ),
            Self::Compression(number) => write!(f, "no compression has the number {number}"),
            Self::Control => write!(f, "control batches are written by brokers only"),
        }
    }
}

impl std::error::Error for BatchError {}

/// What a batch says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchHeader {
    /// The offset of its first record.
    pub base_offset: i64,
    /// Its bytes, all of them.
    pub len_bytes: usize,
    /// The epoch of the leader that it was appended under.
    pub leader_epoch: i32,
    /// Its attributes, as they stand on the wire.
    pub attributes: i16,
    /// How its records are compressed.
    pub compression: Compression,
    /// The offset of its last record, from that of the first.
    pub last_offset_delta: i32,
    /// The time that the records' times count from.
    pub base_timestamp: i64,
    /// The latest time of its records; -1 if they have none.
    pub max_timestamp: i64,
    /// Its producer; -1 if that does not matter.
    pub producer_id: i64,
    /// The producer's epoch.
    pub producer_epoch: i16,
    /// The sequence of its first record.
    pub base_sequence: i32,
    /// How many records it has.
    pub record_count: i32,
    /// The CRC-32C of all that is under it, from [`BatchHeader::CRC_FROM`] on: it was found to be right.
    pub crc: u32,
}

impl BatchHeader {
    /// The first byte that is under the CRC.
    pub const CRC_FROM: usize = CRC_FROM;

    /// Reads and checks the batch that the bytes begin with, as it is stored: records may be missing in it.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let header = Self::read(bytes).unwrap_or(Err(BatchError::Length(0)))?;
        header.check()?;
        Ok(header)
    }

    /// True if the broker's time of the append counts.
    #[must_use]
    pub const fn is_stamped(&self) -> bool {
        self.attributes & STAMPED_BIT != 0
    }

    /// True if it belongs to a transaction.
    #[must_use]
    pub const fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// True if it holds a marker, no records.
    #[must_use]
    pub const fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// From when on its tombstones may go, if it says so.
    #[must_use]
    pub const fn horizon(&self) -> Option<i64> {
        if self.attributes & HORIZON_BIT == 0 {
            return None;
        }
        Some(self.base_timestamp)
    }

    /// How many offsets it takes.
    #[must_use]
    pub const fn offsets(&self) -> u32 {
        self.last_offset_delta as u32 + 1
    }

    /// Reads the fields and holds the CRC against the bytes. None: there are too few bytes for a header.
    fn read(bytes: &[u8]) -> Option<Result<Self, BatchError>> {
        let base_offset = i64::from_be_bytes(field(bytes, 0)?);
        let length = i32::from_be_bytes(field(bytes, 8)?);
        let magic = i8::from_be_bytes(field(bytes, 16)?);
        // Told first: older formats have other headers.
        if magic != MAGIC {
            return Some(Err(BatchError::Magic(magic)));
        }
        let len_bytes = usize::try_from(length)
            .ok()
            .and_then(|length| length.checked_add(BEFORE_LENGTH_COUNTS))
            .filter(|len| *len >= BATCH_HEADER_BYTES && *len <= bytes.len());
        let Some(len_bytes) = len_bytes else {
            return Some(Err(BatchError::Length(length)));
        };
        let said = u32::from_be_bytes(field(bytes, CRC_AT)?);
        let is = crc32c::crc32c(bytes.get(CRC_FROM..len_bytes)?);
        if said != is {
            return Some(Err(BatchError::Crc { said, is }));
        }
        let attributes = i16::from_be_bytes(field(bytes, CRC_FROM)?);
        let number = (attributes & COMPRESSION_BITS) as u8;
        let Some(compression) = Compression::from_number(number) else {
            return Some(Err(BatchError::Compression(number)));
        };
        Some(Ok(Self {
            crc: is,
            base_offset,
            len_bytes,
            leader_epoch: i32::from_be_bytes(field(bytes, 12)?),
            attributes,
            compression,
            last_offset_delta: i32::from_be_bytes(field(bytes, 23)?),
            base_timestamp: i64::from_be_bytes(field(bytes, 27)?),
            max_timestamp: i64::from_be_bytes(field(bytes, MAX_TIMESTAMP_AT)?),
            producer_id: i64::from_be_bytes(field(bytes, 43)?),
            producer_epoch: i16::from_be_bytes(field(bytes, 51)?),
            base_sequence: i32::from_be_bytes(field(bytes, 53)?),
            record_count: i32::from_be_bytes(field(bytes, 57)?),
        }))
    }

    fn wrong_count(&self) -> BatchError {
        BatchError::Count {
            records: self.record_count,
            last_offset_delta: self.last_offset_delta,
        }
    }

    fn check(&self) -> Result<(), BatchError> {
        let room = (self.len_bytes - BATCH_HEADER_BYTES) / RECORD_BYTES_MIN;
        let fits = self.compression != Compression::None
            || usize::try_from(self.record_count).is_ok_and(|count| count <= room);
        if self.record_count < 1 || self.record_count - 1 > self.last_offset_delta || !fits {
            return Err(self.wrong_count());
        }
        let sound = if self.producer_id < 0 {
            !self.is_transactional()
        } else {
            self.producer_epoch >= 0 && (self.base_sequence >= 0 || self.is_control())
        };
        if sound {
            Ok(())
        } else {
            Err(BatchError::Producer)
        }
    }
}

/// A stored batch with other records: the header's time, attributes and count are put in, and all else stays.
pub(super) fn rewritten(header: &BatchHeader, records: &[u8]) -> Option<Bytes> {
    let making = Making {
        base_offset: header.base_offset,
        leader_epoch: header.leader_epoch,
        attributes: header.attributes,
        base_timestamp: header.base_timestamp,
        max_timestamp: header.max_timestamp,
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        last_offset_delta: header.last_offset_delta,
        record_count: header.record_count,
    };
    (header.record_count > 0).then(|| making.finish(records))
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// The batches that the records of a produce request hold, each with what it says of itself. It ends at the first error.
#[derive(Debug)]
pub struct Batches {
    rest: Bytes,
}

impl Batches {
    /// The batches in these bytes.
    #[must_use]
    pub const fn new(records: Bytes) -> Self {
        Self { rest: records }
    }

    /// Checks a batch as one that a producer sends.
    fn take(&mut self) -> Result<(BatchHeader, Bytes), BatchError> {
        let header = BatchHeader::parse(&self.rest)?;
        if header.record_count - 1 != header.last_offset_delta {
            return Err(header.wrong_count());
        }
        if header.is_control() {
            return Err(BatchError::Control);
        }
        Ok((header, self.rest.split_to(header.len_bytes)))
    }
}

impl Iterator for Batches {
    type Item = Result<(BatchHeader, Bytes), BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let taken = self.take();
        if taken.is_err() {
            self.rest = Bytes::new();
        }
        Some(taken)
    }
}

/// A batch as it is sent: the bytes that came, with its place in the partition.
#[derive(Clone, Debug)]
pub struct SentBatch {
    /// The batch as it was stored.
    pub bytes: Bytes,
    /// The offset of its first record.
    pub base_offset: i64,
    /// The epoch of the partition's leader.
    pub leader_epoch: i32,
    /// The time of its append, if that counts instead of its records' own.
    pub stamped: Option<i64>,
}

impl SentBatch {
    /// Appends the batch, its records by reference where that pays.
    pub fn write(&self, out: &mut Outbound) {
        let head_bytes = self.write_head(out.staged());
        out.push_shared(self.bytes.slice(head_bytes..));
    }

    /// The batch in bytes of its own.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.bytes.len());
        let head_bytes = self.write_head(&mut out);
        out.extend_from_slice(self.bytes.get(head_bytes..).unwrap_or_default());
        out.freeze()
    }

    /// Writes the part that differs from the stored bytes; gives its length.
    #[inline]
    fn write_head(&self, out: &mut BytesMut) -> usize {
        if let Some(time) = self.stamped
            && let Some(head) = stamp(&self.bytes, time)
        {
            self.write_place(out);
            out.extend_from_slice(head.get(SENT_ANEW..).unwrap_or_default());
            return BATCH_HEADER_BYTES;
        }
        // Too short for a batch: sent as it is.
        if self.bytes.len() < SENT_ANEW {
            return 0;
        }
        self.write_place(out);
        SENT_ANEW
    }

    #[inline]
    fn write_place(&self, out: &mut BytesMut) {
        out.put_i64(self.base_offset);
        out.extend_from_slice(self.bytes.get(8..12).unwrap_or_default());
        out.put_i32(self.leader_epoch);
    }
}

/// A batch's header with the time of its append in it. That lies under the CRC, which is taken anew: reading a megabyte of
/// records takes 40 us, and moving the old CRC over them arithmetically takes 30 us however few they are.
fn stamp(bytes: &[u8], time: i64) -> Option<[u8; BATCH_HEADER_BYTES]> {
    let (head, records) = bytes.split_first_chunk::<BATCH_HEADER_BYTES>()?;
    let mut stamped = *head;
    let attributes = i16::from_be_bytes(field(head, CRC_FROM)?) | STAMPED_BIT;
    put(&mut stamped, CRC_FROM, attributes.to_be_bytes())?;
    put(&mut stamped, MAX_TIMESTAMP_AT, time.to_be_bytes())?;
    let crc = crc32c::crc32c_append(crc32c::crc32c(stamped.get(CRC_FROM..)?), records);
    put(&mut stamped, CRC_AT, crc.to_be_bytes())?;
    Some(stamped)
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, field: [u8; N]) -> Option<()> {
    *bytes.get_mut(at..)?.first_chunk_mut()? = field;
    Some(())
}

/// The fields of a batch that is made here; the others follow from its records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Making {
    pub(super) base_offset: i64,
    pub(super) leader_epoch: i32,
    pub(super) attributes: i16,
    pub(super) base_timestamp: i64,
    pub(super) max_timestamp: i64,
    pub(super) producer_id: i64,
    pub(super) producer_epoch: i16,
    pub(super) base_sequence: i32,
    pub(super) last_offset_delta: i32,
    pub(super) record_count: i32,
}

impl Making {
    /// Makes the batch of its records' bytes.
    pub(super) fn finish(self, records: &[u8]) -> Bytes {
        let mut under = BytesMut::with_capacity(BATCH_HEADER_BYTES + records.len());
        under.put_i16(self.attributes);
        under.put_i32(self.last_offset_delta);
        under.put_i64(self.base_timestamp);
        under.put_i64(self.max_timestamp);
        under.put_i64(self.producer_id);
        under.put_i16(self.producer_epoch);
        under.put_i32(self.base_sequence);
        under.put_i32(self.record_count);
        under.extend_from_slice(records);
        let mut batch = BytesMut::with_capacity(CRC_FROM + under.len());
        batch.put_i64(self.base_offset);
        batch.put_i32((CRC_FROM - BEFORE_LENGTH_COUNTS + under.len()) as i32);
        batch.put_i32(self.leader_epoch);
        batch.put_i8(MAGIC);
        batch.put_u32(crc32c::crc32c(&under));
        batch.extend_from_slice(&under);
        batch.freeze()
    }
}

/// The end of a transaction in a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Marker {
    /// The offset that the marker takes.
    pub offset: i64,
    /// The epoch of the partition's leader.
    pub leader_epoch: i32,
    /// Whose transaction it was.
    pub producer_id: i64,
    /// The producer's epoch.
    pub producer_epoch: i16,
    /// Committed or aborted.
    pub committed: bool,
    /// When it ended.
    pub timestamp: i64,
}

impl Marker {
    /// The control batch that tells a consumer of it.
    #[must_use]
    pub fn to_batch(&self) -> Bytes {
        let kind = u8::from(self.committed);
        // Attributes, time and offset 0; a key of 4 bytes: version, kind; a value of 6: version, coordinator's epoch.
        let record = [32, 0, 0, 0, 8, 0, 0, 0, kind, 12, 0, 0, 0, 0, 0, 0, 0];
        Making {
            base_offset: self.offset,
            leader_epoch: self.leader_epoch,
            attributes: TRANSACTIONAL_BIT | CONTROL_BIT,
            base_timestamp: self.timestamp,
            max_timestamp: self.timestamp,
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            base_sequence: -1,
            last_offset_delta: 0,
            record_count: 1,
        }
        .finish(&record)
    }
}
