//! Single runs go out of the middle of a partition, or give way to others with fewer records for the same offsets.
//!
//! What always holds: what goes in a turn is journaled with that turn, the ranges of each partition merged in one record
//! (or some, if they are very many); offsets that are gone are never given again; readers get what is left, with gaps.

use polybus_model::{Millis, Run, RunContent};

use super::At;
use super::append::{owned, record_parts};
use super::record::{RunHead, put_removed, put_replaced};
use crate::engine::merge_ranges;
use crate::record::{Range, Stand, kind};
use crate::turn::Turn;
use crate::{Engine, Store};

/// Ranges that one record holds at most.
const RANGES_PER_RECORD: usize = 64 * 1024;

/// What was removed in this turn.
pub(super) type Removed = Vec<(At, Range)>;

/// What takes the place of a run.
#[derive(Clone, Debug)]
pub(crate) struct Rewritten {
    /// The latest time of the records that are left.
    pub(crate) time_max: Option<Millis>,
    /// The time of the append, where that counts for its records.
    pub(crate) stamped: Option<Millis>,
    pub(crate) content: RunContent,
}

impl Engine {
    /// Removes the runs of a partition that lie in these ranges with all of their offsets, durable or not; gives how many
    /// there were. As cheap for one at a time as for many: what a turn removes is journaled at its end.
    pub(crate) fn remove_runs(
        &mut self,
        at: At,
        ranges: &[Range],
        turn: &mut Turn<'_, impl Store>,
    ) -> usize {
        let Some(partition) = self.logs.partition_mut(at) else {
            return 0;
        };
        let mut gone = Vec::new();
        let mut freed = (0, 0);
        for range in ranges {
            let (bytes, runs) = partition.remove(*range, &mut gone, turn.store);
            freed = (freed.0 + bytes, freed.1 + runs);
        }
        self.logs.recent.freed(freed.1, freed.0);
        if let Some(last) = gone.iter().map(|range| range.first).max() {
            self.readers.records_went(at, last);
        }
        let count = gone.len();
        let gone = gone.into_iter().map(|range| (at, range));
        self.logs.removed.extend(gone);
        count
    }

    /// Puts another run in the place of the one with that offset, which takes the same offsets; false if there is none.
    pub(crate) fn replace_run(
        &mut self,
        at: At,
        offset: u64,
        with: Rewritten,
        turn: &mut Turn<'_, impl Store>,
    ) -> bool {
        let Some(partition) = self.logs.partition_mut(at) else {
            return false;
        };
        let Some(found) = partition.indexed(offset) else {
            return false;
        };
        partition.revision += 1;
        let revision = partition.revision;
        let content = owned(with.content);
        let head = RunHead {
            log: at.log,
            partition: at.partition,
            offset,
            count: found.count,
            at: with.stamped.unwrap_or(found.latest),
            time: with.time_max,
            stamped: with.stamped.is_some(),
            writer: None,
            ends: None,
            message: matches!(content, RunContent::Message(_)),
        };
        let buffer = &mut self.work.buffer;
        put_replaced(buffer, revision, &head, &content);
        let (inline, shared) = record_parts(&content, None);
        let parts = [buffer, inline];
        let kind = kind::RUN_REPLACED;
        let stored = turn.store.append(kind, at.log, offset, &parts, shared, 1);
        let stand = Stand {
            place: stored.place,
            len: stored.len,
        };
        let run = Run {
            offset,
            count: found.count,
            time_max: with.time_max,
            stamped: with.stamped,
            transaction: None,
            ends: None,
            content,
        };
        let partition = self.logs.partition_mut(at);
        let kept = partition.and_then(|partition| partition.replace(run, stand, turn.store));
        if let Some((now, before)) = kept {
            self.logs.recent.resized(before, now);
        }
        true
    }

    /// The end of a turn: journals what it removed.
    pub(crate) fn journal_removed(&mut self, turn: &mut Turn<'_, impl Store>) {
        if self.logs.removed.is_empty() {
            return;
        }
        let mut removed = std::mem::take(&mut self.logs.removed);
        removed.sort_unstable();
        for of_one in removed.chunk_by(|(one, _), (next, _)| one == next) {
            let Some((at, _)) = of_one.first() else {
                continue;
            };
            let log = self.logs.all.get(&at.log);
            if !log.is_some_and(|log| log.settings.durable) {
                continue;
            }
            let mut ranges: Vec<Range> = of_one.iter().map(|(_, range)| *range).collect();
            merge_ranges(&mut ranges);
            for ranges in ranges.chunks(RANGES_PER_RECORD) {
                put_removed(&mut self.work.buffer, *at, ranges);
                turn.append(&self.work.buffer, at.log);
            }
        }
        removed.clear();
        self.logs.removed = removed;
    }
}
