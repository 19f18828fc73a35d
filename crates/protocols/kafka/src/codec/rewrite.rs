//! A stored batch with fewer records: what compaction leaves of it.
//!
//! What stays keeps its offset, so there are gaps between records; base offset, last offset delta, producer and sequence stay
//! what they were, as in Kafka. A batch that holds tombstones says from when on they may go: attribute bit 6 is set then, and the
//! base timestamp is that time. The codec of the batch is kept.

use bytes::{Bytes, BytesMut};

use super::batch::{BatchHeader, HORIZON_BIT, rewritten};
use super::primitives::{Reader, Writer};
use super::records::{Records, read_records};

/// What is left of a batch.
#[derive(Clone, Debug)]
pub struct Rewritten {
    /// The batch.
    pub bytes: Bytes,
    /// The latest time of its records; -1 if they have none.
    pub max_timestamp: i64,
}

/// Makes a batch of those records of another that are to be kept, by their offsets from its first. `horizon`: from when on its
/// tombstones may go, if that is to be said now. None if the batch cannot be read whole, or nothing is kept.
pub fn rewrite(
    batch: &Bytes,
    keep: &mut dyn FnMut(u32) -> bool,
    horizon: Option<i64>,
    limit_bytes: usize,
) -> Option<Rewritten> {
    let header = BatchHeader::parse(batch).ok()?;
    let records = read_records(&header, batch, limit_bytes).ok()?;
    let base_timestamp = horizon.unwrap_or(header.base_timestamp);
    let mut kept = BytesMut::with_capacity(records.len());
    let (mut count, mut max_timestamp) = (0, -1);
    let mut reader = Reader::new(&records);
    for record in Records::new(&header, &records) {
        let record = record.ok()?;
        let raw = raw_record(&mut reader)?;
        let position = record.offset.wrapping_sub(header.base_offset);
        if !keep(u32::try_from(position).ok()?) {
            continue;
        }
        count += 1;
        max_timestamp = record.timestamp.max(max_timestamp);
        let since = raw.since_base.wrapping_add(header.base_timestamp);
        raw.put(&mut kept, since.wrapping_sub(base_timestamp));
    }
    if count == 0 || reader.remaining() > 0 {
        return None;
    }
    let compressed = header.compression.compress(&kept, limit_bytes)?;
    let changed = BatchHeader {
        attributes: header.attributes | horizon.map_or(0, |_| HORIZON_BIT),
        base_timestamp,
        max_timestamp: match header.is_stamped() {
            true => header.max_timestamp,
            false => max_timestamp,
        },
        record_count: count,
        ..header
    };
    Some(Rewritten {
        bytes: rewritten(&changed, &compressed)?,
        max_timestamp: changed.max_timestamp,
    })
}

/// A record as its bytes have it.
struct Raw<'a> {
    attributes: i8,
    since_base: i64,
    /// All behind its time.
    rest: &'a [u8],
}

fn raw_record<'a>(reader: &mut Reader<'a>) -> Option<Raw<'a>> {
    let len = usize::try_from(reader.varint().ok()?).ok()?;
    let mut reader = reader.part(len).ok()?;
    Some(Raw {
        attributes: reader.i8().ok()?,
        since_base: reader.varlong().ok()?,
        rest: reader.take(reader.remaining()).ok()?,
    })
}

impl Raw<'_> {
    fn put(&self, out: &mut BytesMut, since_base: i64) {
        let mut head = BytesMut::with_capacity(11);
        let mut writer = Writer::new(&mut head);
        writer.i8(self.attributes);
        writer.varlong(since_base);
        let len = head.len() + self.rest.len();
        let mut writer = Writer::new(out);
        writer.varint(i32::try_from(len).unwrap_or(i32::MAX));
        writer.raw(&head);
        writer.raw(self.rest);
    }
}
