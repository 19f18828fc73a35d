//! Keeping the folder small: snapshots, the release of segments that nobody needs, and the copying of what little is still
//! needed of old ones. What stays is outlined (outlines.rs).
//!
//! ```text
//! journal  [1: 3 % live] [2: dead] [3: live] [4: live] [5: open]
//!             |             `- released once a snapshot covers it
//!             `- copied into a cold segment, then released
//! ```
//! What always holds: a segment is released only when the snapshot on disk covers all its records, no queue entry points
//! into it and what ended them is durable; a copy is durable before an entry points to it.

use std::ops::Range;

use polybus_journal::{Durability, Lsn, Position, SegmentInfo, SegmentKind};
use tracing::{debug, warn};

use crate::broker::{CATALOG_RECORD, START_RECORD};
use crate::outlines::Outlines;
use crate::room::Free;
use crate::shard::Shard;
use crate::snapshot;
use crate::staging::place_of;

/// Complete journal segments that are left alone: their messages will mostly be gone soon.
const YOUNG_SEGMENTS: usize = 3;
/// Steps without a new record after which a snapshot is taken all the same, so that a restart is quick.
const IDLE_STEPS: u32 = 10;
/// The largest cold segment that is written.
const COLD_BYTES_MAX: u64 = 256 << 20;
/// Frames at least this long on average are bulk: the disk's speed counts for them, not how long one write takes.
const BULK_FRAME_BYTES: u64 = 64 << 10;
/// So much of a segment says how long its frames are.
const BULK_SAMPLE_BYTES: u64 = 1 << 20;
/// Records looked up under the shard's lock at a time, and the bytes of them past which it is fewer.
const LOOKUP_BATCH: usize = 256;
const LOOKUP_BYTES: usize = 4 << 20;

/// The state of the upkeep between its steps.
pub(crate) struct Upkeep {
    segment_bytes: u64,
    /// Each write waits until the disk has it.
    syncs_writes: bool,
    snapshot_lsn: Lsn,
    last_seen: Lsn,
    idle_steps: u32,
    outlines: Outlines,
}

impl Upkeep {
    pub(crate) fn new(segment_bytes: u32, durability: Durability) -> Self {
        Self {
            segment_bytes: u64::from(segment_bytes),
            syncs_writes: durability == Durability::Fsync,
            snapshot_lsn: Lsn::NONE,
            last_seen: Lsn::NONE,
            idle_steps: 0,
            outlines: Outlines::default(),
        }
    }

    /// Does what there is to do and what the disk has room for. An error ends the broker; a full disk does not.
    pub(crate) fn step(&mut self, shard: &Shard, free: Free) -> Result<(), String> {
        let now_at = shard.look().last_lsn();
        self.idle_steps = if now_at == self.last_seen {
            self.idle_steps + 1
        } else {
            0
        };
        self.last_seen = now_at;
        // The last of the room is for what clients acknowledge.
        if self.idle_steps == 1 && !free.is_out {
            shard.mark_idle()?;
        }

        let complete = complete_journal(shard);
        let uncovered = complete
            .iter()
            .any(|segment| segment.last_lsn > self.snapshot_lsn);
        let idle = self.idle_steps >= IDLE_STEPS && now_at > self.snapshot_lsn;
        if uncovered || idle {
            self.take_snapshot(shard)?;
        }
        self.release_dead(shard)?;
        self.compact(shard, free)?;
        // Late: a segment that was just released needs no zeroing, and no outline.
        self.prepare(shard, free)?;
        let is_idle = self.idle_steps > 0;
        self.outlines.step(shard, self.snapshot_lsn, is_idle, free);
        Ok(())
    }

    /// Zeroes a file for a later segment, if one is missing, there is room and it pays: a synced write to a zeroed file changes no
    /// metadata, which is most of a short write's time. Bulk would only be slowed by writing each byte twice.
    pub(crate) fn prepare(&self, shard: &Shard, free: Free) -> Result<(), String> {
        if self.syncs_writes
            && free.spare > self.segment_bytes
            && !is_bulk(&shard.writer.segments())
        {
            let prepared = shard.writer.prepare_spare_while(|| !shard.is_stopping());
            forgive_full_disk(prepared.map(|_| ()))?;
        }
        Ok(())
    }

    fn take_snapshot(&mut self, shard: &Shard) -> Result<(), String> {
        if let Some(lsn) = write_snapshot(shard, false)? {
            self.snapshot_lsn = lsn;
        }
        Ok(())
    }

    /// Releases what nobody needs: cold segments in any order, journal segments from the oldest on.
    fn release_dead(&self, shard: &Shard) -> Result<(), String> {
        let (releasable, settled) = {
            let state = shard.look();
            let mut journal_blocked = false;
            let mut segments = shard.writer.segments();
            segments.retain(|segment| {
                let live = state.staging.ledger.live(segment.number);
                let dead = segment.complete && live.references == 0;
                journal_blocked |= segment.kind == SegmentKind::Journal
                    && (!dead || segment.last_lsn > self.snapshot_lsn);
                dead && !(journal_blocked && segment.kind == SegmentKind::Journal)
            });
            (segments, state.last_lsn())
        };
        if releasable.is_empty() {
            return Ok(());
        }
        // What ended the last of their messages may still wait to be written.
        shard.wait_durable(settled)?;
        for segment in releasable {
            debug!(segment = segment.number, "released a segment");
            forgive_full_disk(shard.writer.release(segment.number))?;
        }
        Ok(())
    }

    /// Copies the live rest of the oldest journal segment, or of a mostly dead cold one, into a new cold segment.
    fn compact(&mut self, shard: &Shard, free: Free) -> Result<(), String> {
        let Some(segment) = self.segment_to_compact(shard, free) else {
            return Ok(());
        };
        match copy_live(shard, segment) {
            Ok(()) => {}
            Err(CopyError::FullDisk) => {
                warn!("no room on the disk to copy old messages together; trying again later");
                return Ok(());
            }
            Err(CopyError::Failed(reason)) => return Err(reason),
        }
        self.take_snapshot(shard)?;
        self.release_dead(shard)
    }

    fn segment_to_compact(&self, shard: &Shard, free: Free) -> Option<SegmentInfo> {
        let state = shard.look();
        let fits = |segment: &SegmentInfo| {
            state.staging.ledger.live(segment.number).bytes < free.compaction
        };
        let mostly_dead = |segment: &SegmentInfo| {
            state.staging.ledger.live(segment.number).bytes < segment.bytes / 2
        };
        let segments = shard.writer.segments();
        let cold = segments.iter().find(|segment| {
            segment.kind == SegmentKind::Cold
                && segment.complete
                && mostly_dead(segment)
                && fits(segment)
        });
        if let Some(cold) = cold {
            return Some(*cold);
        }
        let complete: Vec<_> = segments
            .iter()
            .filter(|segment| segment.kind == SegmentKind::Journal && segment.complete)
            .collect();
        let young = if free.is_low { 0 } else { YOUNG_SEGMENTS };
        let old = complete.len().saturating_sub(young);
        // The oldest one holds up all that come after it: it goes when what it holds up is mostly dead.
        let held_up: u64 = complete.iter().map(|segment| segment.bytes).sum();
        let live: u64 = complete
            .iter()
            .map(|segment| state.staging.ledger.live(segment.number).bytes)
            .sum();
        (old > 0 && live < held_up / 2)
            .then(|| complete.first().map(|segment| **segment))
            .flatten()
            .filter(fits)
    }
}

/// Whether what is written lately comes in long frames.
fn is_bulk(segments: &[SegmentInfo]) -> bool {
    segments
        .iter()
        .rfind(|segment| segment.kind == SegmentKind::Journal && segment.bytes >= BULK_SAMPLE_BYTES)
        .is_some_and(|segment| segment.bytes / segment.frames.max(1) >= BULK_FRAME_BYTES)
}

fn complete_journal(shard: &Shard) -> Vec<SegmentInfo> {
    let mut segments = shard.writer.segments();
    segments.retain(|segment| segment.kind == SegmentKind::Journal && segment.complete);
    segments
}

/// Writes a snapshot of the state as it is now; gives where it stands, none if the disk is full.
fn write_snapshot(shard: &Shard, clean: bool) -> Result<Option<Lsn>, String> {
    let mut bytes = Vec::new();
    let lsn = {
        let state = shard.look();
        snapshot::encode(&state, clean, &mut bytes)?;
        state.last_lsn()
    };
    shard.wait_durable(lsn)?;
    match shard
        .writer
        .write_snapshot(lsn, |out| out.write_all(&bytes))
    {
        Ok(()) => {
            debug!(lsn = lsn.0, bytes = bytes.len(), "wrote a snapshot");
            Ok(Some(lsn))
        }
        Err(error) if error.is_no_space() => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Ends in order: all is written, a clean snapshot is taken, the journal is closed.
pub(crate) fn close(shard: &Shard) -> Result<(), String> {
    while shard.commit_one()?.is_some() {}
    write_snapshot(shard, true)?;
    shard.writer.close().map_err(|error| error.to_string())
}

enum CopyError {
    FullDisk,
    Failed(String),
}

impl From<polybus_journal::Error> for CopyError {
    fn from(error: polybus_journal::Error) -> Self {
        match error.is_no_space() {
            true => Self::FullDisk,
            false => Self::Failed(error.to_string()),
        }
    }
}

/// A record that was copied.
struct Copied {
    from: Position,
    to: Position,
    len: u32,
}

/// Copies the live records of a segment to a new cold one and lets the queues point there.
fn copy_live(shard: &Shard, segment: SegmentInfo) -> Result<(), CopyError> {
    let mut cold = shard.writer.cold_writer()?;
    let mut copied = Vec::new();
    let mut chunk = Chunk::default();
    let mut scan = shard.reader.scan(segment.number)?;
    while let Some(found) = scan.next()? {
        if !matches!(found.kind, CATALOG_RECORD | START_RECORD) {
            chunk.push(&found);
        }
        if chunk.records.len() >= LOOKUP_BATCH || chunk.bytes.len() >= LOOKUP_BYTES {
            chunk.copy_to(shard, &mut cold, &mut copied)?;
        }
        if cold.bytes() > COLD_BYTES_MAX {
            return Err(CopyError::Failed(
                "a segment is larger than a cold segment may be".into(),
            ));
        }
    }
    chunk.copy_to(shard, &mut cold, &mut copied)?;
    let made = cold.finish()?;
    debug!(
        from = segment.number,
        to = made.number,
        records = copied.len(),
        "copied live messages together"
    );
    let mut rest = copied.as_slice();
    while !rest.is_empty() {
        let mut bytes = 0;
        let few = rest.iter().take(LOOKUP_BATCH).take_while(|one| {
            let fits = bytes < LOOKUP_BYTES;
            bytes += one.len as usize;
            fits
        });
        let (batch, later) = rest.split_at(few.count());
        rest = later;
        let wanted: Vec<_> = batch.iter().map(|one| (one.to, one.len)).collect();
        let payloads = shard.reader.read_many(&wanted)?;
        let mut state = shard.look();
        let state = &mut *state;
        for (one, payload) in batch.iter().zip(payloads) {
            state.engine.relocate(
                &payload,
                place_of(one.from),
                place_of(one.to),
                &mut state.staging,
            );
        }
    }
    Ok(())
}

/// A record read from a segment; its payload is a range of [`Chunk::bytes`].
struct Waiting {
    kind: u8,
    entity: u64,
    sequence: u64,
    from: Position,
    payload: Range<usize>,
}

/// Records read from a segment, waiting to be looked up together.
#[derive(Default)]
struct Chunk {
    records: Vec<Waiting>,
    bytes: Vec<u8>,
}

impl Chunk {
    fn push(&mut self, record: &polybus_journal::Record<'_>) {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(record.payload);
        self.records.push(Waiting {
            kind: record.kind,
            entity: record.entity,
            sequence: record.sequence,
            from: record.position,
            payload: from..self.bytes.len(),
        });
    }

    /// Copies those that a queue entry still points to, and forgets all.
    fn copy_to(
        &mut self,
        shard: &Shard,
        cold: &mut polybus_journal::ColdWriter,
        copied: &mut Vec<Copied>,
    ) -> Result<(), CopyError> {
        let bytes = &self.bytes;
        {
            let mut state = shard.look();
            self.records.retain(|one| {
                let payload = bytes.get(one.payload.clone()).unwrap_or_default();
                state.engine.live_targets(place_of(one.from), payload) > 0
            });
        }
        for one in self.records.drain(..) {
            let payload = self.bytes.get(one.payload).unwrap_or_default();
            let to = cold.append(one.kind, one.entity, one.sequence, &[payload])?;
            copied.push(Copied {
                from: one.from,
                to,
                len: payload.len() as u32,
            });
        }
        self.bytes.clear();
        Ok(())
    }
}

fn forgive_full_disk(result: polybus_journal::Result<()>) -> Result<(), String> {
    match result {
        Err(error) if !error.is_no_space() => Err(error.to_string()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(number: u32, bytes: u64, frames: u64) -> SegmentInfo {
        SegmentInfo {
            number,
            kind: SegmentKind::Journal,
            bytes,
            frames,
            first_lsn: Lsn(1),
            last_lsn: Lsn(1),
            complete: false,
            outlined: false,
        }
    }

    #[test]
    fn bulk_is_told_by_the_youngest_segment_that_has_enough_in_it() {
        let short = segment(1, 64 << 20, 8_192);
        let long = segment(2, 64 << 20, 64);
        let young = segment(3, 8_192, 2);
        assert!(!is_bulk(&[]));
        assert!(!is_bulk(&[long, short]));
        assert!(is_bulk(&[short, long]));
        assert!(is_bulk(&[short, long, young]));
    }
}
