//! How a log tells the records of a batch apart when it compacts, and what is left of a batch then.

use bytes::Bytes;
use polybus_model::{Millis, PackedRecord, PackedRun, RewrittenRun, RunCompactor};

use super::wire_time;
use crate::codec::{BatchError, BatchHeader, Records, read_records, rewrite};

/// A batch is decompressed up to so many bytes; of a larger one nothing goes.
const DECOMPRESSED_MAX: usize = 64 << 20;

/// For logs that compact.
pub const COMPACTOR: RunCompactor = RunCompactor {
    read: read_packed,
    rewrite: rewrite_packed,
};

fn read_packed(batch: &Bytes, visit: &mut dyn FnMut(PackedRecord<'_>)) -> Option<PackedRun> {
    let header = BatchHeader::parse(batch).ok()?;
    let records = read_records(&header, batch, DECOMPRESSED_MAX).ok()?;
    let (mut count, mut next) = (0, 0);
    let mut all = Records::new(&header, &records);
    for record in all.by_ref() {
        let record = record.ok()?;
        let position = record.offset.checked_sub(header.base_offset)?;
        if !(next..=i64::from(header.last_offset_delta)).contains(&position) {
            return None;
        }
        next = position + 1;
        visit(PackedRecord {
            position: u32::try_from(position).ok()?,
            key: record.key,
            is_tombstone: record.value.is_none(),
        });
        count += 1;
    }
    let transaction_of = u64::try_from(header.producer_id).ok();
    // A batch that has another number of records than it says is left alone.
    let is_whole = count == header.record_count && all.rest_bytes() == 0;
    is_whole.then(|| PackedRun {
        transaction_of: transaction_of.filter(|_| header.is_transactional()),
        tombstones_until: header
            .horizon()
            .map(|time| u64::try_from(time).unwrap_or(0)),
    })
}

fn rewrite_packed(
    batch: &Bytes,
    keep: &mut dyn FnMut(u32) -> bool,
    tombstones_until: Option<Millis>,
) -> Option<RewrittenRun> {
    let horizon = tombstones_until.map(wire_time);
    let rewritten = rewrite(batch, keep, horizon, DECOMPRESSED_MAX)?;
    Some(RewrittenRun {
        bytes: rewritten.bytes,
        time_max: u64::try_from(rewritten.max_timestamp).ok(),
    })
}

/// The records of a batch that have no key, counted from 0; fails if they are not as the batch says.
pub(crate) fn keyless_records(header: &BatchHeader, batch: &Bytes) -> Result<Vec<i32>, String> {
    let unreadable = |error: &dyn std::fmt::Display| format!("its records cannot be read: {error}");
    let records = read_records(header, batch, DECOMPRESSED_MAX);
    let records = records.map_err(|error| unreadable(&error))?;
    let mut keyless = Vec::new();
    let mut count = 0;
    let mut all = Records::new(header, &records);
    for record in all.by_ref() {
        let record = record.map_err(|error| unreadable(&error))?;
        if record.key.is_none() {
            keyless.push(count);
        }
        count += 1;
    }
    match count == header.record_count && all.rest_bytes() == 0 {
        true => Ok(keyless),
        false => Err(unreadable(&BatchError::Count {
            records: count,
            last_offset_delta: header.last_offset_delta,
        })),
    }
}
