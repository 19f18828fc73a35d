//! Up to where a partition is committed, and what in it was aborted.
//!
//! ```text
//! first run of a transaction -> open -> its end is appended -> ending -> the end is durable -> committed, or aborted
//! ```
//! What always holds: whoever reads what is committed sees nothing of a transaction whose end is not durable; a producer has
//! one open transaction at most; `aborted` is in the order of the ends.

use std::collections::{BTreeMap, VecDeque};

use polybus_model::Ends;

use super::record::RunHead;
use crate::record::Corrupt;
use crate::record::codec::{Bounded, Put};

/// A transaction that was aborted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Aborted {
    producer: u64,
    /// Its first offset,
    first: u64,
    /// and that of its end.
    end: u64,
}

/// The transactions of one partition.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Stable {
    /// The first offsets of open transactions, by producer.
    open: BTreeMap<u64, u64>,
    /// First offsets and ends of those whose end is not yet durable.
    ending: Vec<(u64, u64)>,
    aborted: VecDeque<Aborted>,
}

impl Stable {
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.aborted.is_empty()
    }

    /// A run was appended.
    pub(super) fn note(&mut self, head: &RunHead) {
        match (head.ended(), head.writer) {
            (Some(ends), _) => self.ended(ends, head.offset),
            (None, Some(writer)) if writer.transactional => {
                self.appended(writer.producer, head.offset);
            }
            _ => {}
        }
    }

    /// A run of a transaction was appended.
    fn appended(&mut self, producer: u64, offset: u64) {
        self.open.entry(producer).or_insert(offset);
    }

    /// The end of a transaction was appended.
    fn ended(&mut self, ends: Ends, end: u64) {
        let producer = ends.producer;
        let Some(first) = self.open.remove(&producer) else {
            return;
        };
        self.ending.push((first, end));
        if !ends.committed {
            self.aborted.push_back(Aborted {
                producer,
                first,
                end,
            });
        }
    }

    /// The first offset of a producer's open transaction.
    pub(super) fn open_since(&self, producer: u64) -> Option<u64> {
        self.open.get(&producer).copied()
    }

    /// What is before `end` is durable; true if transactions ended with that.
    pub(super) fn reached(&mut self, end: u64) -> bool {
        let had = self.ending.len();
        self.ending.retain(|(_, marker)| *marker >= end);
        self.ending.len() < had
    }

    /// The first offset that may belong to a transaction that has not ended; `end` if there is none.
    pub(super) fn stable_end(&self, end: u64) -> u64 {
        let ending = self.ending.iter().map(|(first, _)| first);
        let first = self.open.values().chain(ending).min();
        first.map_or(end, |first| end.min(*first))
    }

    /// The aborted transactions with offsets between: their producers and first offsets.
    pub(super) fn aborted(&self, from: u64, to: u64) -> Vec<(u64, u64)> {
        let behind = self.aborted.partition_point(|one| one.end < from);
        let found = self.aborted.range(behind..);
        let found = found.filter(|one| one.first < to);
        found.map(|one| (one.producer, one.first)).collect()
    }

    /// The same, with up to where each reaches.
    pub(super) fn aborted_ranges(&self, from: u64, to: u64) -> Vec<(u64, std::ops::Range<u64>)> {
        let behind = self.aborted.partition_point(|one| one.end < from);
        let found = self.aborted.range(behind..);
        let found = found.filter(|one| one.first < to);
        found
            .map(|one| (one.producer, one.first..one.end))
            .collect()
    }

    /// The end of a transaction was removed, after all that it had ended.
    pub(super) fn forget_end(&mut self, end: u64) {
        self.forget_ends(|one| one == end);
    }

    /// Ends of transactions were removed.
    pub(super) fn forget_ends(&mut self, is_gone: impl Fn(u64) -> bool) {
        self.aborted.retain(|one| !is_gone(one.end));
    }

    /// The partition begins there now.
    pub(super) fn trim(&mut self, start: u64) {
        while self.aborted.pop_front_if(|one| one.end < start).is_some() {}
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.put_u32(self.open.len() as u32);
        for (producer, first) in &self.open {
            out.put_u64(*producer);
            out.put_u64(*first);
        }
        out.put_u32(self.aborted.len() as u32);
        for one in &self.aborted {
            out.put_u64(one.producer);
            out.put_u64(one.first);
            out.put_u64(one.end);
        }
    }

    pub(super) fn read(from: &mut Bounded<'_>) -> Result<Self, Corrupt> {
        let mut stable = Self::default();
        for _ in 0..from.u32()? {
            stable.open.insert(from.u64()?, from.u64()?);
        }
        for _ in 0..from.u32()? {
            stable.aborted.push_back(Aborted {
                producer: from.u64()?,
                first: from.u64()?,
                end: from.u64()?,
            });
        }
        Ok(stable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(producer: u64, committed: bool) -> Ends {
        Ends {
            producer,
            epoch: 0,
            committed,
        }
    }

    #[test]
    fn the_earliest_transaction_holds_all_up_until_its_end_is_durable() {
        let mut stable = Stable::default();
        assert_eq!(stable.stable_end(9), 9);
        stable.appended(1, 3);
        stable.appended(1, 5);
        stable.appended(2, 4);
        assert_eq!(stable.stable_end(9), 3);
        stable.ended(ends(1, false), 7);
        assert_eq!(stable.stable_end(7), 3, "the end is not durable");
        assert!(!stable.reached(7));
        assert!(stable.reached(8));
        assert_eq!(stable.stable_end(8), 4);
        stable.ended(ends(2, true), 8);
        assert!(stable.reached(9));
        assert_eq!(stable.stable_end(9), 9);
        assert_eq!(stable.aborted(0, 9), [(1, 3)]);
        assert_eq!(stable.aborted(7, 9), [(1, 3)]);
        assert_eq!(stable.aborted(8, 9), []);
        assert_eq!(stable.aborted(0, 3), []);
        let mut bytes = Vec::new();
        stable.put(&mut bytes);
        let again = Stable::read(&mut Bounded::new(&bytes)).unwrap();
        assert_eq!(again, stable);
        stable.trim(8);
        assert!(stable.is_empty());
    }
}
