//! Which records each key of a partition has.
//!
//! ```text
//! by_key   key -> slot            in the order of the keys: all with one prefix stand together
//! held     slot -> key, offsets   its records, oldest first; the offset alone where there is one
//! order    offset -> slot         all records, oldest first; one that was removed stays as a gap until there are many
//! ```
//! What always holds: a key is there while it has records; the same records are under their keys and in `order`. A record
//! takes 12 bytes in `order`, and 8 more beside its key's first; a key takes its bytes and about 120 more.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use polybus_model::LiveFilter;

use crate::slab::Slab;

/// The slot of a record that was removed.
const GONE: u32 = u32::MAX;
/// Gaps are closed when there are more than records, and at least so many.
const GAPS_MIN: usize = 1_024;
/// Of a pattern with more keys than this the records are looked through instead.
const KEYS_COMPARED_MAX: usize = 64;

/// A key's records.
#[derive(Debug)]
enum Offsets {
    One(u64),
    Many(VecDeque<u64>),
}

/// A key that has records.
#[derive(Debug)]
struct Held {
    key: Arc<[u8]>,
    offsets: Offsets,
}

impl Held {
    fn len(&self) -> usize {
        match &self.offsets {
            Offsets::One(_) => 1,
            Offsets::Many(many) => many.len(),
        }
    }

    fn first(&self) -> Option<u64> {
        match &self.offsets {
            Offsets::One(one) => Some(*one),
            Offsets::Many(many) => many.front().copied(),
        }
    }

    fn last_before(&self, end: u64) -> Option<u64> {
        match &self.offsets {
            Offsets::One(one) => (*one < end).then_some(*one),
            Offsets::Many(many) => {
                let behind = many.partition_point(|offset| *offset < end);
                many.get(behind.checked_sub(1)?).copied()
            }
        }
    }

    fn next_from(&self, from: u64) -> Option<u64> {
        match &self.offsets {
            Offsets::One(one) => (*one >= from).then_some(*one),
            Offsets::Many(many) => {
                let first = many.partition_point(|offset| *offset < from);
                many.get(first).copied()
            }
        }
    }

    fn push(&mut self, offset: u64) {
        match &mut self.offsets {
            Offsets::One(one) => {
                self.offsets = Offsets::Many(VecDeque::from([*one, offset]));
            }
            Offsets::Many(many) => many.push_back(offset),
        }
    }

    /// Takes a record away; true if it was the last one.
    fn remove(&mut self, offset: u64) -> bool {
        match &mut self.offsets {
            Offsets::One(_) => true,
            Offsets::Many(many) => {
                if many.front() == Some(&offset) {
                    many.pop_front();
                } else if let Ok(at) = many.binary_search(&offset) {
                    many.remove(at);
                }
                if let (1, Some(one)) = (many.len(), many.front()) {
                    self.offsets = Offsets::One(*one);
                }
                false
            }
        }
    }
}

/// A key as look-ups show it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyRecords<'a> {
    held: &'a Held,
}

impl<'a> KeyRecords<'a> {
    pub(crate) fn key(&self) -> &'a [u8] {
        &self.held.key
    }

    pub(crate) fn count(&self) -> u64 {
        self.held.len() as u64
    }

    /// Its last record before an offset.
    pub(crate) fn last_before(&self, end: u64) -> Option<u64> {
        self.held.last_before(end)
    }

    /// Its first record at or behind an offset.
    pub(crate) fn next_from(&self, from: u64) -> Option<u64> {
        self.held.next_from(from)
    }

    /// Its records, oldest first.
    pub(crate) fn offsets(&self) -> impl Iterator<Item = u64> + use<'a> {
        let (one, many) = match &self.held.offsets {
            Offsets::One(one) => (Some(*one), None),
            Offsets::Many(many) => (None, Some(many.iter().copied())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

/// The keys of a partition.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    by_key: BTreeMap<Arc<[u8]>, u32>,
    held: Slab<Held>,
    offsets: VecDeque<u64>,
    slots: VecDeque<u32>,
    gaps: usize,
}

impl Keys {
    /// Adds a record behind all others.
    pub(crate) fn enter(&mut self, offset: u64, key: &[u8]) {
        let slot = match self.by_key.get(key) {
            Some(slot) => {
                if let Some(held) = self.held.get_mut(*slot) {
                    held.push(offset);
                }
                *slot
            }
            None => {
                let key: Arc<[u8]> = Arc::from(key);
                let slot = self.held.insert(Held {
                    key: Arc::clone(&key),
                    offsets: Offsets::One(offset),
                });
                self.by_key.insert(key, slot);
                slot
            }
        };
        self.offsets.push_back(offset);
        self.slots.push_back(slot);
    }

    /// A record is gone; false if there was none.
    pub(crate) fn remove(&mut self, offset: u64) -> bool {
        let Ok(at) = self.offsets.binary_search(&offset) else {
            return false;
        };
        let Some(slot) = self.slots.get_mut(at) else {
            return false;
        };
        let slot = std::mem::replace(slot, GONE);
        if slot == GONE {
            return false;
        }
        self.take_from(slot, offset);
        self.gaps += 1;
        self.close_gaps();
        true
    }

    /// All records before an offset are gone.
    pub(crate) fn trim(&mut self, start: u64) {
        while self.offsets.front().is_some_and(|offset| *offset < start) {
            let offset = self.offsets.pop_front().unwrap_or_default();
            match self.slots.pop_front() {
                Some(GONE) | None => self.gaps = self.gaps.saturating_sub(1),
                Some(slot) => self.take_from(slot, offset),
            }
        }
    }

    fn take_from(&mut self, slot: u32, offset: u64) {
        let emptied = self
            .held
            .get_mut(slot)
            .is_some_and(|held| held.remove(offset));
        if emptied && let Some(held) = self.held.remove(slot) {
            self.by_key.remove(&held.key);
        }
    }

    fn close_gaps(&mut self) {
        while self.slots.front() == Some(&GONE) {
            self.slots.pop_front();
            self.offsets.pop_front();
            self.gaps -= 1;
        }
        if self.gaps <= GAPS_MIN.max(self.offsets.len() / 2) {
            return;
        }
        let mut slots = self.slots.iter();
        self.offsets
            .retain(|_| slots.next().is_some_and(|slot| *slot != GONE));
        self.slots.retain(|slot| *slot != GONE);
        self.gaps = 0;
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// How many records there are.
    pub(crate) fn records(&self) -> u64 {
        (self.offsets.len() - self.gaps) as u64
    }

    /// The first record.
    pub(crate) fn first(&self) -> Option<u64> {
        self.next_from(0)
    }

    /// The first record at or behind an offset.
    pub(crate) fn next_from(&self, from: u64) -> Option<u64> {
        self.records_from(from).map(|(offset, _)| offset).next()
    }

    /// The records from an offset on, with their keys' slots.
    fn records_from(&self, from: u64) -> impl Iterator<Item = (u64, u32)> {
        let first = self.offsets.partition_point(|offset| *offset < from);
        let offsets = self.offsets.range(first..).copied();
        let records = offsets.zip(self.slots.range(first..).copied());
        records.filter(|(_, slot)| *slot != GONE)
    }

    /// The offsets of all records from one on.
    pub(crate) fn offsets_from(&self, from: u64) -> impl Iterator<Item = u64> {
        self.records_from(from).map(|(offset, _)| offset)
    }

    /// The last record before an offset.
    pub(crate) fn last_before(&self, end: u64) -> Option<u64> {
        let behind = self.offsets.partition_point(|offset| *offset < end);
        let offsets = self.offsets.range(..behind).copied();
        let mut records = offsets.zip(self.slots.range(..behind).copied()).rev();
        let found = records.find(|(_, slot)| *slot != GONE);
        found.map(|(offset, _)| offset)
    }

    /// How many records lie between these offsets whose keys are wanted; without a filter, all are.
    pub(crate) fn count_wanted(&self, from: u64, end: u64, filters: &[LiveFilter]) -> u64 {
        if from >= end {
            return 0;
        }
        if filters.is_empty() && self.gaps == 0 {
            let behind = self.offsets.partition_point(|offset| *offset < end);
            let first = self.offsets.partition_point(|offset| *offset < from);
            return behind.saturating_sub(first) as u64;
        }
        let records = self.records_from(from);
        let records = records.take_while(|(offset, _)| *offset < end);
        let wanted = records.filter(|(_, slot)| {
            let held = self.held.get(*slot);
            let fits = |held: &Held| filters.iter().any(|one| one.fits(&held.key));
            filters.is_empty() || held.is_some_and(fits)
        });
        wanted.count() as u64
    }

    /// The key of a record.
    pub(crate) fn key_of(&self, offset: u64) -> Option<&[u8]> {
        let at = self.offsets.binary_search(&offset).ok()?;
        let held = self.held.get(*self.slots.get(at)?)?;
        Some(&held.key)
    }

    /// One key.
    pub(crate) fn key(&self, key: &[u8]) -> Option<KeyRecords<'_>> {
        let held = self.held.get(*self.by_key.get(key)?)?;
        Some(KeyRecords { held })
    }

    /// The keys that begin like that, behind one of them if it is named, in their order.
    pub(super) fn keys_after<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&[u8]>,
    ) -> impl Iterator<Item = KeyRecords<'a>> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.by_key
            .range::<[u8], _>((from, Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix))
            .filter_map(|(_, slot)| self.held.get(*slot))
            .map(|held| KeyRecords { held })
    }

    /// The keys that a filter lets through, in their order.
    pub(crate) fn matching<'a>(
        &'a self,
        filter: &'a LiveFilter,
    ) -> impl Iterator<Item = KeyRecords<'a>> {
        let keys = self.keys_after(filter.prefix(), None);
        keys.filter(|held| filter.fits(held.key()))
    }

    /// The last record before an offset whose key a filter lets through.
    pub(crate) fn last_matching(&self, filter: &LiveFilter, end: u64) -> Option<u64> {
        match filter.as_key() {
            Some(key) => self.key(key)?.last_before(end),
            None => {
                let last = |one: KeyRecords<'_>| one.last_before(end);
                self.matching(filter).filter_map(last).max()
            }
        }
    }

    /// The first record at or behind an offset whose key a filter lets through.
    pub(crate) fn next_matching(&self, filter: &LiveFilter, from: u64) -> Option<u64> {
        if let Some(key) = filter.as_key() {
            return self.key(key)?.next_from(from);
        }
        let mut first = None;
        let mut compared = 0;
        for one in self.matching(filter) {
            compared += 1;
            if compared > KEYS_COMPARED_MAX {
                return self.look_through(filter, from);
            }
            first = [first, one.next_from(from)].into_iter().flatten().min();
        }
        first
    }

    fn look_through(&self, filter: &LiveFilter, from: u64) -> Option<u64> {
        let mut records = self.records_from(from);
        let wanted = |slot: u32| {
            let held = self.held.get(slot);
            held.is_some_and(|held| filter.fits(&held.key))
        };
        let found = records.find(|(_, slot)| wanted(*slot));
        found.map(|(offset, _)| offset)
    }

    /// The oldest record of a key.
    pub(crate) fn oldest(&self, key: &[u8]) -> Option<u64> {
        let held = self.held.get(*self.by_key.get(key)?)?;
        held.first()
    }
}
