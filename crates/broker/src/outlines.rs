//! Outlines of old segments: what recovery needs of their records, so that a start reads that and not the segments.
//!
//! ```text
//! journal  [1: outlined] [2: outlined] [3: next] [4: young] [5: young] [6: young] [7: open]
//! ```
//! Each is made by reading its segment once, when a snapshot covers that. What is written first is outlined first; while
//! much is written the youngest are left alone, since what is in them will mostly be gone soon, and only some of those that wait
//! are done in each step, so that clients have the disk. What always holds: a segment without an outline costs a start its reading,
//! and nothing else; no failure to write one ends the broker.

use polybus_engine::{FRONT_VERSION, front};
use polybus_journal::{Error, Lsn, SegmentInfo, SegmentKind};
use rustc_hash::FxHashSet;
use tracing::{debug, warn};

use crate::broker::{CATALOG_RECORD, START_RECORD};
use crate::room::Free;
use crate::shard::Shard;

/// Complete journal segments that are left alone while much is written.
const YOUNG_SEGMENTS: usize = 3;
/// Outlines of a step in which nothing was written.
const IDLE_BATCH: usize = 4;
/// Of those that wait, one in so many is written in a step in which something was.
const BUSY_SHARE: usize = 16;

/// What is known of outlines between the steps of the upkeep.
#[derive(Debug, Default)]
pub(crate) struct Outlines {
    /// Segments that could not be outlined; they are read at the next start, and tried again behind it.
    failed: FxHashSet<u32>,
}

impl Outlines {
    /// Writes some of the outlines that are missing.
    pub(crate) fn step(&mut self, shard: &Shard, snapshot_lsn: Lsn, is_idle: bool, free: Free) {
        let waiting = self.waiting(shard, snapshot_lsn, is_idle);
        let some = match is_idle {
            true => IDLE_BATCH,
            false => waiting.len().div_ceil(BUSY_SHARE),
        };
        for segment in waiting.into_iter().take(some) {
            // An outline is never longer than half of its segment.
            if free.spare < segment.bytes || shard.is_stopping() {
                return;
            }
            self.write(shard, segment.number);
        }
    }

    /// The segments that are to be outlined, oldest first.
    fn waiting(&mut self, shard: &Shard, snapshot_lsn: Lsn, is_idle: bool) -> Vec<SegmentInfo> {
        let mut segments = shard.writer.segments();
        self.failed
            .retain(|number| segments.iter().any(|segment| segment.number == *number));
        let is_old = |segment: &SegmentInfo| {
            segment.kind == SegmentKind::Journal
                && segment.complete
                && segment.last_lsn <= snapshot_lsn
        };
        let young = if is_idle { 0 } else { YOUNG_SEGMENTS };
        let old = segments.iter().filter(|segment| is_old(segment)).count();
        let mut left = old.saturating_sub(young);
        segments.retain(|segment| {
            let due = match segment.kind {
                SegmentKind::Cold => segment.complete,
                SegmentKind::Journal if left > 0 && is_old(segment) => {
                    left -= 1;
                    true
                }
                SegmentKind::Journal => false,
            };
            due && !segment.outlined && !self.failed.contains(&segment.number)
        });
        segments
    }

    fn write(&mut self, shard: &Shard, segment: u32) {
        let kept = |kind, payload: &[u8]| match kind {
            CATALOG_RECORD | START_RECORD => None,
            // What cannot be read is recovery's to complain of.
            _ => front(kind, payload).unwrap_or(Some(payload.len())),
        };
        let written =
            (shard.writer).write_outline(segment, FRONT_VERSION, kept, || !shard.is_stopping());
        match written {
            Ok(done) => debug!(segment, done, "outlined a segment"),
            Err(error) if error.is_no_space() => {}
            Err(Error::Released { .. }) => {}
            Err(error) => {
                warn!(segment, %error, "could not outline a segment; a start will read all of it");
                self.failed.insert(segment);
            }
        }
    }
}
