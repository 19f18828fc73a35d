//! Which messages of one queue are alive: those of the snapshot and those published since, without those that ended.

use polybus_model::Millis;
use rustc_hash::FxHashMap;

use crate::engine::merge_ranges;
use crate::record::{Corrupt, Range, Returned, Stand};

/// A message's record was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    pub(crate) sequence: u64,
    pub(crate) stand: Stand,
    pub(crate) body_len: u32,
    pub(crate) priority: Option<u8>,
}

/// One queue's messages, as far as they are known.
#[derive(Debug, Default)]
pub(crate) struct Sequences {
    /// Those below were published before the snapshot.
    snapshot_next: u64,
    live: Vec<Range>,
    redelivered: Vec<Range>,
    pub(crate) attempts: FxHashMap<u64, Returned>,
    seen: Vec<Seen>,
    /// Of those that expire.
    expiries: FxHashMap<u64, Millis>,
    ended: Vec<Range>,
    pub(crate) next: u64,
}

/// Whether one of sorted ranges holds a sequence.
fn holds(ranges: &[Range], sequence: u64) -> bool {
    let behind = ranges.partition_point(|range| range.first <= sequence);
    behind
        .checked_sub(1)
        .and_then(|at| ranges.get(at))
        .is_some_and(|range| sequence < range.end())
}

impl Sequences {
    pub(crate) fn of_snapshot(
        next: u64,
        live: Vec<Range>,
        redelivered: Vec<Range>,
        attempts: Vec<Returned>,
    ) -> Self {
        Self {
            snapshot_next: next,
            live,
            redelivered,
            attempts: attempts
                .into_iter()
                .map(|one| (one.sequence, one))
                .collect(),
            next,
            ..Self::default()
        }
    }

    /// A record of a message was found; true if it may be alive.
    pub(crate) fn see(&mut self, seen: Seen, expiry: Option<Millis>) -> bool {
        let sequence = seen.sequence;
        if sequence < self.snapshot_next && !holds(&self.live, sequence) {
            return false;
        }
        self.next = self.next.max(sequence.saturating_add(1));
        if let Some(expiry) = expiry {
            self.expiries.insert(sequence, expiry);
        }
        self.seen.push(seen);
        true
    }

    pub(crate) fn end(&mut self, ranges: &[Range]) {
        self.ended.extend_from_slice(ranges);
    }

    pub(crate) fn expiry(&self, sequence: u64) -> Option<Millis> {
        if self.expiries.is_empty() {
            return None;
        }
        self.expiries.get(&sequence).copied()
    }

    /// Whether it had been delivered before the snapshot.
    pub(crate) fn was_redelivered(&self, sequence: u64) -> bool {
        holds(&self.redelivered, sequence)
    }

    /// The living, in order.
    pub(crate) fn living(&mut self) -> Result<Vec<Seen>, Corrupt> {
        let mut seen = std::mem::take(&mut self.seen);
        if !seen.is_sorted_by_key(|one| one.sequence) {
            // Stable: of copies of one record, the first seen counts.
            seen.sort_by_key(|one| one.sequence);
        }
        seen.dedup_by_key(|one| one.sequence);
        merge_ranges(&mut self.ended);
        let mut ended = self.ended.iter().peekable();
        seen.retain(|one| {
            while ended.next_if(|range| range.end() <= one.sequence).is_some() {}
            ended.peek().is_none_or(|range| one.sequence < range.first)
        });
        self.check(&seen)?;
        Ok(seen)
    }

    /// All that the snapshot says is alive, and that has not ended since, must have been seen.
    fn check(&self, seen: &[Seen]) -> Result<(), Corrupt> {
        let mut seen = seen.iter().map(|one| one.sequence).peekable();
        let mut ended = self.ended.iter().peekable();
        for range in &self.live {
            let mut sequence = range.first;
            while sequence < range.end() {
                while ended.next_if(|ended| ended.end() <= sequence).is_some() {}
                if let Some(over) = ended.peek().filter(|ended| ended.first <= sequence) {
                    sequence = over.end();
                    continue;
                }
                while seen.next_if(|seen| *seen < sequence).is_some() {}
                if seen.peek() != Some(&sequence) {
                    return Err(Corrupt(format!(
                        "the record of message {sequence} is missing, which is not settled"
                    )));
                }
                sequence += 1;
            }
        }
        Ok(())
    }
}
