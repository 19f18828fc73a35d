//! Runs as the clerks pack them, and how they are compacted: the simulation's own protocol.
//!
//! ```text
//! until when tombstones stay u64, 0 where that is not said | records, each: position u32, key u8, number u64, tombstone u8
//! ```

use bytes::Bytes;
use polybus_broker::RunReaders;
use polybus_model::{Millis, Origin, PackedRecord, PackedRun, RewrittenRun, RunCompactor};

/// Whose packing it is.
pub(crate) const ORIGIN: Origin = Origin(10);
const HEAD_BYTES: usize = 8;
const RECORD_BYTES: usize = 14;

/// A record in a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Packed {
    /// Its offset, from that of the run.
    pub(crate) position: u32,
    pub(crate) key: u8,
    pub(crate) number: u64,
    pub(crate) is_tombstone: bool,
}

/// What the broker is opened with.
pub(crate) fn readers() -> RunReaders {
    RunReaders::new().with_compactor(ORIGIN, RunCompactor { read, rewrite })
}

/// Packs records.
pub(crate) fn pack(records: &[Packed], until: Option<Millis>) -> Bytes {
    let mut bytes = until.unwrap_or(0).to_le_bytes().to_vec();
    for one in records {
        bytes.extend(one.position.to_le_bytes());
        bytes.push(one.key);
        bytes.extend(one.number.to_le_bytes());
        bytes.push(one.is_tombstone.into());
    }
    bytes.into()
}

/// The records, and until when tombstones stay; none if it is no run of this packing.
pub(crate) fn unpack(bytes: &[u8]) -> Option<(Vec<Packed>, Option<Millis>)> {
    let until = u64::from_le_bytes(*bytes.first_chunk::<HEAD_BYTES>()?);
    let mut records = Vec::new();
    for one in bytes.get(HEAD_BYTES..)?.chunks(RECORD_BYTES) {
        let (position, rest) = one.split_first_chunk::<4>()?;
        let (key, rest) = rest.split_first()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        records.push(Packed {
            position: u32::from_le_bytes(*position),
            key: *key,
            number: u64::from_le_bytes(*number),
            is_tombstone: *rest.first()? != 0,
        });
    }
    Some((records, Some(until).filter(|until| *until > 0)))
}

fn read(bytes: &Bytes, visit: &mut dyn FnMut(PackedRecord<'_>)) -> Option<PackedRun> {
    let (records, tombstones_until) = unpack(bytes)?;
    for one in records {
        visit(PackedRecord {
            position: one.position,
            key: Some(&[one.key]),
            is_tombstone: one.is_tombstone,
        });
    }
    Some(PackedRun {
        transaction_of: None,
        tombstones_until,
    })
}

fn rewrite(
    bytes: &Bytes,
    keep: &mut dyn FnMut(u32) -> bool,
    until: Option<Millis>,
) -> Option<RewrittenRun> {
    let (mut records, known) = unpack(bytes)?;
    records.retain(|one| keep(one.position));
    Some(RewrittenRun {
        bytes: pack(&records, until.or(known)),
        time_max: None,
    })
}
