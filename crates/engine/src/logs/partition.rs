//! One partition: an index of its runs, the latest of them in memory.
//!
//! ```text
//! start            first in memory        end (durable)   next (appended)
//!   |  [run][run][run]  |  [run][run][run]   |  [run][run]   |
//!      only their place       their bytes        not yet shown to readers
//! ```
//! What always holds: runs are dense (each begins where the one before ends, the last ends at `next`); `start <= end <= next`;
//! `recent` are the last of `runs`, in the same order.

use std::collections::VecDeque;

use polybus_model::{Millis, Run, RunContent};
use rustc_hash::FxHashSet;

use super::producers::Producers;
use super::stable::Stable;
use crate::record::Stand;
use crate::{Place, Store};

/// What a run in memory takes beside its bytes.
const RUN_OVERHEAD_BYTES: usize = 160;

/// A run as the index knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Indexed {
    pub(crate) offset: u64,
    pub(crate) place: Place,
    /// The latest time of its records; 0 if they have none.
    pub(crate) time: Millis,
    /// The latest time of it and all before it; of runs without a time the time of their append counts here.
    pub(crate) latest: Millis,
    /// Its record's length.
    pub(crate) len: u32,
    pub(crate) count: u32,
}

const _: () = assert!(size_of::<Indexed>() <= 40);

impl Indexed {
    /// The offset behind it.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.count.into())
    }

    pub(crate) fn stand(&self) -> Stand {
        Stand {
            place: self.place,
            len: self.len,
        }
    }
}

/// What the index is told of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entered {
    pub(crate) offset: u64,
    pub(crate) count: u32,
    /// The latest time of its records.
    pub(crate) time: Option<Millis>,
    /// When it was appended.
    pub(crate) at: Millis,
    pub(crate) stand: Stand,
}

/// A run that is read.
pub(super) enum Found<'a> {
    /// It is in memory.
    Recent(&'a Run),
    /// It has to be read back from there.
    Away(Indexed),
}

/// One partition of a log.
#[derive(Debug, Default)]
pub(crate) struct Partition {
    pub(crate) runs: VecDeque<Indexed>,
    recent: VecDeque<Run>,
    pub(crate) start: u64,
    /// The first offset that is not durable.
    pub(crate) end: u64,
    pub(crate) next: u64,
    /// Bytes of the runs' records.
    pub(crate) bytes: u64,
    /// Bytes ever appended, and of these the durable ones.
    pub(super) appended_bytes: u64,
    pub(super) durable_bytes: u64,
    pub(crate) producers: Producers,
    /// What of it is committed.
    pub(crate) stable: Stable,
    /// Reads that wait for more.
    pub(super) waiters: FxHashSet<u32>,
    /// It was appended to in this turn.
    pub(super) touched: bool,
}

/// What a run takes in memory.
pub(super) fn memory(run: &Run) -> usize {
    RUN_OVERHEAD_BYTES
        + match &run.content {
            RunContent::Packed { bytes, .. } => bytes.len(),
            RunContent::Message(message) => message.memory_size(),
        }
}

impl Partition {
    /// Adds a run to the end of the index.
    pub(crate) fn enter(&mut self, run: Entered) {
        let before = self.runs.back().map_or(0, |last| last.latest);
        let indexed = Indexed {
            offset: run.offset,
            place: run.stand.place,
            time: run.time.unwrap_or(0),
            latest: before.max(run.time.unwrap_or(run.at)),
            len: run.stand.len,
            count: run.count,
        };
        self.next = indexed.end();
        self.bytes += u64::from(indexed.len);
        self.appended_bytes += u64::from(indexed.len);
        self.runs.push_back(indexed);
    }

    /// Keeps the bytes of the run entered last.
    pub(super) fn keep(&mut self, run: Run) {
        self.recent.push_back(run);
    }

    /// Lets go of the oldest run in memory if it is that; gives what it took.
    pub(super) fn let_go(&mut self, offset: u64) -> Option<usize> {
        let run = self.recent.pop_front_if(|run| run.offset == offset)?;
        Some(memory(&run))
    }

    /// Whether a run is in memory, by its offset.
    pub(super) fn is_recent(&self, offset: u64) -> bool {
        self.recent.front().is_some_and(|run| run.offset <= offset)
            && self.recent.back().is_some_and(|run| offset <= run.offset)
    }

    /// All its runs go; gives the bytes and the runs that went from memory.
    pub(super) fn release_all(&mut self, store: &mut impl Store) -> (usize, usize) {
        for run in self.runs.drain(..) {
            store.release(run.place, run.len);
        }
        let freed = self.recent.iter().map(memory).sum();
        (freed, self.recent.drain(..).len())
    }

    /// Where in the index the run stands that holds an offset, or the first behind it.
    pub(crate) fn position(&self, offset: u64) -> usize {
        self.runs.partition_point(|run| run.end() <= offset)
    }

    /// The runs from a position of the index on.
    pub(super) fn from(&self, position: usize) -> impl Iterator<Item = (Indexed, Found<'_>)> {
        let first_recent = self.runs.len() - self.recent.len();
        self.runs
            .range(position.min(self.runs.len())..)
            .enumerate()
            .map(move |(at, indexed)| {
                let recent = (position + at)
                    .checked_sub(first_recent)
                    .and_then(|at| self.recent.get(at));
                let found = recent.map_or(Found::Away(*indexed), Found::Recent);
                (*indexed, found)
            })
    }

    /// The position of the first run with a record of that time or later.
    pub(super) fn at_time(&self, time: Millis) -> Option<usize> {
        let first = self.runs.partition_point(|run| run.latest < time);
        // Of runs that went, and of those without a time, `latest` may say more than is true.
        let behind = self.runs.range(first..).position(|run| run.time >= time)?;
        Some(first + behind).filter(|at| self.is_shown(*at))
    }

    /// The position of the durable run with the latest time.
    pub(super) fn at_latest_time(&self) -> Option<usize> {
        let shown = self.runs.partition_point(|run| run.end() <= self.end);
        let last = self.runs.get(shown.checked_sub(1)?)?;
        let first = self.runs.partition_point(|run| run.latest < last.latest);
        if self.runs.get(first)?.time == last.latest {
            return Some(first);
        }
        let shown = self.runs.range(..shown).enumerate();
        let latest = shown.max_by_key(|(at, run)| (run.time, std::cmp::Reverse(*at)));
        latest
            .filter(|(_, run)| run.time > 0)
            .map(|(position, _)| position)
    }

    fn is_shown(&self, position: usize) -> bool {
        self.runs
            .get(position)
            .is_some_and(|run| run.end() <= self.end)
    }

    /// Where the record of the run with that offset stands.
    pub(crate) fn stand(&self, offset: u64) -> Option<Stand> {
        let run = self.runs.get(self.position(offset))?;
        (run.offset == offset).then(|| run.stand())
    }

    /// The record of the run with that offset was moved.
    pub(crate) fn move_to(&mut self, offset: u64, place: Place) {
        let at = self.position(offset);
        if let Some(run) = self.runs.get_mut(at)
            && run.offset == offset
        {
            run.place = place;
        }
    }

    /// Gives up what is before an offset, `runs_max` runs at most: runs that reach over it stay. Gives the bytes and the runs
    /// that went from memory.
    pub(super) fn trim(
        &mut self,
        start: u64,
        runs_max: usize,
        store: &mut impl Store,
    ) -> (usize, usize) {
        let mut freed = (0, 0);
        for _ in 0..runs_max {
            let Some(run) = self.runs.pop_front_if(|run| run.end() <= start) else {
                break;
            };
            self.bytes -= u64::from(run.len);
            store.release(run.place, run.len);
            if let Some(bytes) = self.let_go(run.offset) {
                freed = (freed.0 + bytes, freed.1 + 1);
            }
        }
        let held = self.runs.front().map_or(start, |run| run.offset);
        self.start = match self.runs.front() {
            Some(run) if run.end() <= start => self.start.max(held),
            _ => self.start.max(start),
        };
        self.stable.trim(self.start);
        freed
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    fn partition(times: &[Option<Millis>]) -> Partition {
        let mut partition = Partition::default();
        for (at, time) in times.iter().enumerate() {
            let place = Place(NonZeroU64::new(at as u64 + 1).unwrap());
            partition.enter(Entered {
                offset: at as u64 * 10,
                count: 10,
                time: *time,
                at: 1_000,
                stand: Stand { place, len: 7 },
            });
        }
        partition.end = partition.next;
        partition
    }

    #[test]
    fn runs_are_found_by_any_of_their_offsets() {
        let partition = partition(&[Some(1); 3]);
        let found = [0, 9, 10, 29, 30].map(|offset| partition.position(offset));
        assert_eq!(found, [0, 0, 1, 2, 3]);
        assert_eq!(partition.stand(10).unwrap().len, 7);
        assert!(partition.stand(11).is_none());
    }

    #[test]
    fn times_need_not_be_in_order() {
        let mut one = partition(&[Some(5), Some(3), None, Some(9), Some(4)]);
        let found = [0, 5, 6, 9, 10].map(|time| one.at_time(time));
        assert_eq!(found, [Some(0), Some(0), Some(3), Some(3), None]);
        assert_eq!(one.at_latest_time(), Some(3));
        one.end = 30;
        assert_eq!(one.at_time(6), None, "not yet durable");
        assert_eq!(one.at_latest_time(), Some(0));
        assert_eq!(partition(&[None, None]).at_latest_time(), None);
    }
}
