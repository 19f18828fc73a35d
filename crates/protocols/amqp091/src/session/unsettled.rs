//! A channel's deliveries that wait to be settled, in the order of their tags.
//!
//! ```text
//! front -> [ 3 lease | 5 settled | 6 lease | 9 lease ] <- back      found by binary search, as tags only rise
//! ```
//! One settled in the middle stays as a gap until it comes to the front or the gaps outnumber the rest: so any order of
//! settling costs the logarithm of the length at most.

use std::collections::VecDeque;

use polybus_model::LeaseId;

/// With fewer entries gaps are not worth a sweep.
const SWEEP_MIN: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Entry {
    tag: u64,
    lease: Option<LeaseId>,
}

/// Deliveries that wait to be settled.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    entries: VecDeque<Entry>,
    live: usize,
}

impl Unsettled {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.live
    }

    /// Adds one with the highest tag so far.
    #[inline]
    pub(super) fn push(&mut self, tag: u64, lease: LeaseId) {
        self.entries.push_back(Entry {
            tag,
            lease: Some(lease),
        });
        self.live += 1;
    }

    fn position(&self, tag: u64) -> Option<usize> {
        if self.entries.front().is_some_and(|front| front.tag == tag) {
            return Some(0);
        }
        self.entries
            .binary_search_by_key(&tag, |entry| entry.tag)
            .ok()
    }

    /// Takes the one of that tag.
    #[inline]
    pub(super) fn take(&mut self, tag: u64) -> Option<LeaseId> {
        let at = self.position(tag)?;
        let lease = self.entries.get_mut(at)?.lease.take()?;
        self.live -= 1;
        self.sweep();
        Some(lease)
    }

    /// Takes the one of that tag and all before it; false if there is none of that tag.
    pub(super) fn take_through(&mut self, tag: u64, mut give: impl FnMut(u64, LeaseId)) -> bool {
        let Some(at) = self.position(tag) else {
            return false;
        };
        if self
            .entries
            .get(at)
            .is_none_or(|entry| entry.lease.is_none())
        {
            return false;
        }
        for entry in self.entries.drain(..=at) {
            if let Some(lease) = entry.lease {
                self.live -= 1;
                give(entry.tag, lease);
            }
        }
        self.sweep();
        true
    }

    /// Takes all.
    pub(super) fn take_all(&mut self, mut give: impl FnMut(u64, LeaseId)) {
        for entry in self.entries.drain(..) {
            if let Some(lease) = entry.lease {
                give(entry.tag, lease);
            }
        }
        self.live = 0;
    }

    /// Puts some back that were taken.
    pub(super) fn restore(&mut self, taken: impl Iterator<Item = (u64, LeaseId)>) {
        let mut all = Vec::with_capacity(self.live);
        self.take_all(|tag, lease| all.push((tag, lease)));
        all.extend(taken);
        all.sort_unstable_by_key(|(tag, _)| *tag);
        for (tag, lease) in all {
            self.push(tag, lease);
        }
    }

    #[inline]
    fn sweep(&mut self) {
        while self
            .entries
            .front()
            .is_some_and(|front| front.lease.is_none())
        {
            self.entries.pop_front();
        }
        if self.entries.len() > SWEEP_MIN && self.entries.len() > 2 * self.live {
            self.entries.retain(|entry| entry.lease.is_some());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn lease(slot: u32) -> LeaseId {
        LeaseId {
            queue: 0,
            slot,
            stamp: 0,
        }
    }

    proptest! {
        #[test]
        fn behaves_as_an_ordered_map(steps in prop::collection::vec((0u8..5, 0u64..200), 0..400)) {
            let mut unsettled = Unsettled::default();
            let mut model = BTreeMap::new();
            let mut next = 0;
            for (what, tag) in steps {
                match what {
                    0..=2 => {
                        next += 1;
                        unsettled.push(next, lease(next as u32));
                        model.insert(next, lease(next as u32));
                    }
                    3 => prop_assert_eq!(unsettled.take(tag), model.remove(&tag)),
                    _ => {
                        let mut given = Vec::new();
                        let found = unsettled.take_through(tag, |tag, lease| given.push((tag, lease)));
                        prop_assert_eq!(found, model.contains_key(&tag));
                        if found {
                            let rest = model.split_off(&(tag + 1));
                            prop_assert_eq!(given, std::mem::replace(&mut model, rest).into_iter().collect::<Vec<_>>());
                        }
                    }
                }
                prop_assert_eq!(unsettled.len(), model.len());
            }
        }
    }

    #[test]
    fn restores_in_order() {
        let mut unsettled = Unsettled::default();
        for tag in 1..=5 {
            unsettled.push(tag, lease(tag as u32));
        }
        let taken: Vec<_> = [2, 4]
            .into_iter()
            .filter_map(|tag| Some((tag, unsettled.take(tag)?)))
            .collect();
        unsettled.restore(taken.into_iter());
        let mut tags = Vec::new();
        unsettled.take_all(|tag, _| tags.push(tag));
        assert_eq!(tags, [1, 2, 3, 4, 5]);
    }
}
