//! One partition: an index of its runs, the latest of them in memory.
//!
//! ```text
//! start            first in memory        end (durable)   next (appended)
//!   |  [run][run][run]  |  [run][run][run]   |  [run][run]   |
//!      only their place       their bytes        not yet shown to readers
//! ```
//! What always holds: runs rise and do not overlap; between two of them, before the first and behind the last there are holes
//! only where runs were removed; `start <= end <= next`; `recent` are the last of `runs`, in the same order.
//!
//! A run that is removed stays in the index as one that is gone (and in `recent` as none), until these are so many that it
//! pays to move the others together: taking one out of the middle at once would cost as much as there are.

use std::collections::VecDeque;

use polybus_model::{Millis, Run, RunContent};
use rustc_hash::FxHashSet;

use super::holes::Span;
use super::keyed::Keyed;
use super::producers::Producers;
use super::stable::Stable;
use crate::record::{Range, Stand};
use crate::{Place, Store};

/// What a run in memory takes beside its bytes.
const RUN_OVERHEAD_BYTES: usize = 160;
/// The living are moved together when more than half of the index is gone, and at least so many.
const GONE_MIN: usize = if cfg!(test) { 2 } else { 64 };

/// A run as the index knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Indexed {
    pub(crate) offset: u64,
    pub(crate) place: Place,
    /// The latest time of its records; 0 if they have none.
    pub(crate) time: Millis,
    /// The latest time of it and all before it; of runs without a time the time of their append counts here.
    pub(crate) latest: Millis,
    /// Its record's length; 0 if it was removed.
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

    /// It was removed.
    fn is_gone(&self) -> bool {
        self.len == 0
    }

    fn range(&self) -> Range {
        Range {
            first: self.offset,
            len: self.count,
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
pub(crate) enum Found<'a> {
    /// It is in memory.
    Recent(&'a Run),
    /// It has to be read back from there.
    Away(Indexed),
}

/// One partition of a log.
#[derive(Debug, Default)]
pub(crate) struct Partition {
    pub(crate) runs: VecDeque<Indexed>,
    /// None for one that was removed.
    recent: VecDeque<Option<Run>>,
    /// Runs of the index that were removed.
    gone: usize,
    /// Offsets of all others.
    held: u64,
    /// The last number given to a run that replaced another.
    pub(super) revision: u64,
    pub(crate) start: u64,
    /// The first offset that is not durable.
    pub(crate) end: u64,
    pub(crate) next: u64,
    /// What is before it was compacted at least once.
    pub(crate) cleaned_to: u64,
    /// Bytes of the runs' records.
    pub(crate) bytes: u64,
    /// Bytes ever appended, and of these the durable ones.
    pub(super) appended_bytes: u64,
    pub(super) durable_bytes: u64,
    pub(crate) producers: Producers,
    /// What of it is committed.
    pub(crate) stable: Stable,
    /// What it knows of keys, in a keyed log.
    pub(crate) keyed: Option<Box<Keyed>>,
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
        self.held += u64::from(indexed.count);
        self.runs.push_back(indexed);
    }

    /// Nothing was ever in it: its first record gets this offset.
    pub(super) fn begin_at(&mut self, offset: u64) {
        (self.start, self.end, self.next) = (offset, offset, offset);
        self.stable.reached(offset);
        self.stable.trim(offset);
    }

    /// Bytes that were appended and are not yet durable.
    pub(super) fn undurable_bytes(&self) -> u64 {
        self.appended_bytes.saturating_sub(self.durable_bytes)
    }

    /// Keeps the bytes of the run entered last.
    pub(super) fn keep(&mut self, run: Run) {
        self.recent.push_back(Some(run));
    }

    /// Lets go of the oldest run in memory if it is that; gives what it took.
    pub(super) fn let_go(&mut self, offset: u64) -> Option<usize> {
        while self.recent.pop_front_if(|run| run.is_none()).is_some() {}
        let is_it = |run: &mut Option<Run>| run.as_ref().is_some_and(|run| run.offset == offset);
        let run = self.recent.pop_front_if(is_it)??;
        Some(memory(&run))
    }

    /// Whether a run is in memory, by its offset.
    pub(super) fn is_recent(&self, offset: u64) -> bool {
        let recent = self.living(offset).and_then(|at| self.recent_at(at));
        recent.is_some()
    }

    /// The run at a position of the index, if it is in memory.
    fn recent_at(&self, position: usize) -> Option<&Run> {
        let at = position.checked_sub(self.first_recent())?;
        self.recent.get(at)?.as_ref()
    }

    fn first_recent(&self) -> usize {
        self.runs.len() - self.recent.len()
    }

    /// What each run in memory takes.
    #[cfg(test)]
    pub(super) fn recent_sizes(&self) -> impl Iterator<Item = usize> {
        self.recent.iter().flatten().map(memory)
    }

    /// All its runs go; gives the bytes and the runs that went from memory.
    pub(super) fn release_all(&mut self, store: &mut impl Store) -> (usize, usize) {
        for run in self.runs.drain(..).filter(|run| !run.is_gone()) {
            store.release(run.place, run.len);
        }
        let freed: Vec<usize> = self
            .recent
            .drain(..)
            .flatten()
            .map(|run| memory(&run))
            .collect();
        (freed.iter().sum(), freed.len())
    }

    /// Where in the index the run stands that holds an offset, or the first behind it.
    pub(crate) fn position(&self, offset: u64) -> usize {
        self.runs.partition_point(|run| run.end() <= offset)
    }

    /// The position of the run with that offset, if it was not removed.
    fn living(&self, offset: u64) -> Option<usize> {
        let at = self.position(offset);
        let run = self.runs.get(at)?;
        (run.offset == offset && !run.is_gone()).then_some(at)
    }

    /// The runs from a position of the index on.
    pub(crate) fn from(&self, position: usize) -> impl Iterator<Item = (Indexed, Found<'_>)> {
        let position = position.min(self.runs.len());
        let runs = self.runs.range(position..).enumerate();
        let runs = runs.filter(|(_, indexed)| !indexed.is_gone());
        runs.map(move |(at, indexed)| {
            let recent = self.recent_at(position + at);
            let found = recent.map_or(Found::Away(*indexed), Found::Recent);
            (*indexed, found)
        })
    }

    /// The position of the first run with a record of that time or later.
    pub(super) fn at_time(&self, time: Millis) -> Option<usize> {
        let first = self.runs.partition_point(|run| run.latest < time);
        // Of runs that went, and of those without a time, `latest` may say more than is true.
        let has_it = |run: &Indexed| run.time >= time && !run.is_gone();
        let behind = self.runs.range(first..).position(has_it)?;
        Some(first + behind).filter(|at| self.is_shown(*at))
    }

    /// The first offset of that time or later; the end where there is none.
    pub(crate) fn offset_at(&self, time: Millis) -> u64 {
        let run = self.at_time(time).and_then(|at| self.runs.get(at));
        run.map_or(self.end, |run| run.offset)
    }

    /// The first offset of a record of that time or later, durable or not; `next` where there is none.
    pub(crate) fn first_since(&self, time: Millis) -> u64 {
        let first = self.runs.partition_point(|run| run.latest < time);
        let has_it = |run: &&Indexed| run.time >= time && !run.is_gone();
        let found = self.runs.range(first..).find(has_it);
        found.map_or(self.next, |run| run.offset)
    }

    /// The position of the durable run with the latest time.
    pub(super) fn at_latest_time(&self) -> Option<usize> {
        let shown = self.runs.partition_point(|run| run.end() <= self.end);
        let last = self.runs.get(shown.checked_sub(1)?)?;
        let first = self.runs.partition_point(|run| run.latest < last.latest);
        let found = self.runs.get(first)?;
        if found.time == last.latest && !found.is_gone() {
            return Some(first);
        }
        let shown = self.runs.range(..shown).enumerate();
        let shown = shown.filter(|(_, run)| !run.is_gone());
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

    /// The offset of the last run.
    pub(super) fn last_offset(&self) -> Option<u64> {
        let mut living = self.runs.iter().rev().filter(|run| !run.is_gone());
        living.next().map(|run| run.offset)
    }

    /// The offset of the first run that is younger than a time, or comes behind one that is.
    pub(super) fn first_younger(&self, than: Millis) -> u64 {
        let first = self.runs.partition_point(|run| run.latest <= than);
        self.runs.get(first).map_or(self.next, |run| run.offset)
    }

    /// The run with that offset.
    pub(super) fn indexed(&self, offset: u64) -> Option<Indexed> {
        self.runs.get(self.living(offset)?).copied()
    }

    /// Where the record of the run with that offset stands.
    pub(crate) fn stand(&self, offset: u64) -> Option<Stand> {
        self.indexed(offset).map(|run| run.stand())
    }

    /// The record of the run with that offset was moved.
    pub(crate) fn move_to(&mut self, offset: u64, place: Place) {
        let at = self.living(offset);
        if let Some(run) = at.and_then(|at| self.runs.get_mut(at)) {
            run.place = place;
        }
    }

    /// Removes the runs that are in a range with all of their offsets, and adds what these were to `removed`. Gives the bytes
    /// and the runs that went from memory.
    pub(super) fn remove(
        &mut self,
        range: Range,
        removed: &mut Vec<Range>,
        store: &mut impl Store,
    ) -> (usize, usize) {
        let mut freed = (0, 0);
        let first = self.position(range.first);
        let first_recent = self.first_recent();
        for (at, run) in self.runs.range_mut(first..).enumerate() {
            if run.end() > range.end() {
                break;
            }
            if run.is_gone() || run.offset < range.first {
                continue;
            }
            store.release(run.place, run.len);
            self.bytes -= u64::from(run.len);
            self.held -= u64::from(run.count);
            self.gone += 1;
            run.len = 0;
            if let Some(keyed) = &mut self.keyed {
                keyed.remove(run.offset);
            }
            removed.push(run.range());
            let recent = (first + at).checked_sub(first_recent);
            let recent = recent.and_then(|at| self.recent.get_mut(at)?.take());
            if let Some(run) = recent {
                freed = (freed.0 + memory(&run), freed.1 + 1);
            }
        }
        self.tidy();
        freed
    }

    /// Forgets runs that are gone: those at the front, and all if they are many.
    fn tidy(&mut self) {
        while self.runs.front().is_some_and(Indexed::is_gone) {
            self.pop_front();
        }
        if self.gone < GONE_MIN || self.gone <= self.runs.len() / 2 {
            return;
        }
        self.recent.retain(Option::is_some);
        self.runs.retain(|run| !run.is_gone());
        self.gone = 0;
    }

    /// Takes the first run out of the index and out of memory.
    fn pop_front(&mut self) -> Option<(Indexed, Option<Run>)> {
        let recent = match self.first_recent() {
            0 => self.recent.pop_front().flatten(),
            _ => None,
        };
        let run = self.runs.pop_front()?;
        match run.is_gone() {
            true => self.gone -= 1,
            false => self.held -= u64::from(run.count),
        }
        Some((run, recent))
    }

    /// The record of a run gives way to another one for the same offsets. Gives what the run takes in memory now, and took
    /// before, if it is there.
    pub(super) fn replace(
        &mut self,
        run: Run,
        stand: Stand,
        store: &mut impl Store,
    ) -> Option<(usize, usize)> {
        let at = self.living(run.offset)?;
        let first_recent = self.first_recent();
        let indexed = self.runs.get_mut(at)?;
        store.release(indexed.place, indexed.len);
        self.bytes = self.bytes - u64::from(indexed.len) + u64::from(stand.len);
        (indexed.place, indexed.len) = (stand.place, stand.len);
        indexed.time = run.stamped.or(run.time_max).unwrap_or(0);
        let kept = self.recent.get_mut(at.checked_sub(first_recent)?)?;
        let now = memory(&run);
        let before = kept.replace(run)?;
        Some((now, memory(&before)))
    }

    /// Where between `start` and `next` there are no runs.
    pub(super) fn holes(&self) -> Vec<Span> {
        let first = self.runs.iter().find(|run| !run.is_gone());
        let from = first.map_or(self.start, |run| run.offset.min(self.start));
        if self.held == self.next.saturating_sub(from) {
            return Vec::new();
        }
        let mut holes = Vec::new();
        let mut next = self.start;
        for run in self.runs.iter().filter(|run| !run.is_gone()) {
            if run.offset > next {
                holes.push(next..run.offset);
            }
            next = run.end();
        }
        if self.next > next {
            holes.push(next..self.next);
        }
        holes
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
            if self.runs.front().is_none_or(|run| run.end() > start) {
                break;
            }
            let Some((run, recent)) = self.pop_front() else {
                break;
            };
            if !run.is_gone() {
                self.bytes -= u64::from(run.len);
                store.release(run.place, run.len);
            }
            if let Some(run) = recent {
                freed = (freed.0 + memory(&run), freed.1 + 1);
            }
        }
        let held = self.runs.front().map_or(start, |run| run.offset);
        self.start = match self.runs.front() {
            Some(run) if run.end() <= start => self.start.max(held),
            _ => self.start.max(start),
        };
        self.stable.trim(self.start);
        if let Some(keyed) = &mut self.keyed {
            keyed.trim(self.start);
        }
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
