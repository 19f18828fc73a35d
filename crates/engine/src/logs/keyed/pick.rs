//! Lists of records: the next ones of some keys, or the last one of each. Only their offsets, which rise; their bytes are looked
//! up as any record's. Lists of keys, slice by slice.

use std::collections::BTreeSet;

use bytes::Bytes;
use polybus_model::{
    ListKeys, ListedKeys, LiveFilter, LogError, Pick, PickedRecords, RecordsFrom, WhichRecords,
};

use super::Keys;
use crate::Engine;
use crate::logs::Caller;
use crate::logs::partition::Partition;

/// Records that one answer lists at most.
const PICKED_MAX: usize = 16 * 1024;
/// Keys that are looked at for one answer: nobody waits long for it.
const KEYS_LOOKED_AT_MAX: usize = 8 * 1024;

impl Engine {
    /// Lists the records that a pick names.
    pub(super) fn pick_records(
        &self,
        caller: Caller,
        pick: &Pick,
    ) -> Result<PickedRecords, LogError> {
        let at = self.partition_at(caller.namespace, &pick.partition)?;
        self.rules(at)?;
        let partition = self.logs.partition(at).ok_or(LogError::NotFound)?;
        let keyed = partition.keyed.as_ref().ok_or(LogError::NotFound)?;
        let most = PICKED_MAX.min(pick.records_max as usize);
        Ok(match &pick.which {
            WhichRecords::NextOf { keys, from } => {
                let from = place(partition, *from);
                keyed
                    .keys
                    .pick_next(keys.as_ref(), from, partition.next, most)
            }
            WhichRecords::LastOf { keys, before } => {
                let end = before.map_or(partition.next, |before| place(partition, before));
                keyed.keys.pick_last(keys, end.min(partition.next), most)
            }
        })
    }
}

impl Engine {
    /// Lists keys, as many as can be looked at at once.
    pub(super) fn list_keys(
        &self,
        caller: Caller,
        list: &ListKeys,
    ) -> Result<ListedKeys, LogError> {
        let at = self.partition_at(caller.namespace, &list.partition)?;
        self.rules(at)?;
        let partition = self.logs.partition(at).ok_or(LogError::NotFound)?;
        let keyed = partition.keyed.as_ref().ok_or(LogError::NotFound)?;
        Ok(keyed.keys.list(list, KEYS_LOOKED_AT_MAX))
    }
}

/// The offset of a place.
fn place(partition: &Partition, from: RecordsFrom) -> u64 {
    match from {
        RecordsFrom::Offset(offset) => offset,
        RecordsFrom::Time(time) => {
            let found = partition
                .at_time(time)
                .and_then(|at| partition.from(at).next());
            found.map_or(partition.next, |(run, _)| run.offset)
        }
    }
}

impl Keys {
    /// The next keys that are wanted, if so many are looked at.
    fn list(&self, list: &ListKeys, most: usize) -> ListedKeys {
        let mut listed = ListedKeys::default();
        let mut keys = self.keys_after(list.filter.prefix(), list.after.as_deref());
        let mut last: Option<&[u8]> = None;
        for held in keys.by_ref().take(most) {
            last = Some(held.key());
            if !list.filter.fits(held.key()) {
                continue;
            }
            listed.count += 1;
            if !list.is_count {
                let key = Bytes::copy_from_slice(held.key());
                listed.keys.push((key, held.count()));
            }
        }
        listed.after = match keys.next() {
            Some(_) => last.map(Bytes::copy_from_slice),
            None => None,
        };
        listed
    }

    /// The first records at or behind an offset that are wanted.
    fn pick_next(
        &self,
        filter: Option<&LiveFilter>,
        from: u64,
        end: u64,
        most: usize,
    ) -> PickedRecords {
        let offsets: Vec<u64> = match filter {
            None => self.offsets_from(from).take(most).collect(),
            Some(filter) => {
                let first = self.next_matching(filter, from);
                let next = |last: &u64| self.next_matching(filter, last.saturating_add(1));
                std::iter::successors(first, next).take(most).collect()
            }
        };
        let behind = offsets.last().map_or(from, |last| last.saturating_add(1));
        let filters = filter.map_or(&[][..], std::slice::from_ref);
        PickedRecords {
            left: self.count_wanted(behind, end, filters),
            offsets,
            end,
        }
    }

    /// The last record before an offset of each key that one of the filters lets through.
    fn pick_last(&self, filters: &[LiveFilter], end: u64, most: usize) -> PickedRecords {
        let mut offsets = BTreeSet::new();
        let mut left = 0;
        let keys = filters.iter().flat_map(|filter| self.matching(filter));
        for offset in keys.filter_map(|key| key.last_before(end)) {
            if offsets.len() == most && !offsets.contains(&offset) {
                left = 1;
                break;
            }
            offsets.insert(offset);
        }
        PickedRecords {
            offsets: offsets.into_iter().collect(),
            left,
            end,
        }
    }
}

#[cfg(test)]
mod tests {
    use polybus_model::FilterWord;

    use super::*;

    fn keys(of: &[&str]) -> Keys {
        let mut keys = Keys::default();
        for (offset, key) in (0..).zip(of) {
            keys.enter(offset, key.as_bytes());
        }
        keys
    }

    #[test]
    fn the_next_ones_rise_and_the_rest_is_counted() {
        let mut keys = keys(&["a.x", "b.x", "a.y", "a.x", "b.y", "a.x"]);
        keys.remove(2);
        let a = LiveFilter::new([FilterWord::Exact(b"a"), FilterWord::AnyOne]);
        let picked = keys.pick_next(Some(&a), 0, 6, 2);
        assert_eq!((&picked.offsets[..], picked.left), (&[0, 3][..], 1));
        let picked = keys.pick_next(None, 1, 6, 9);
        assert_eq!((&picked.offsets[..], picked.left), (&[1, 3, 4, 5][..], 0));
        let picked = keys.pick_next(Some(&a), 6, 6, 2);
        assert_eq!((&picked.offsets[..], picked.left), (&[][..], 0));
    }

    #[test]
    fn keys_are_listed_slice_by_slice() {
        let keys = keys(&["a.x", "b.x", "a.y", "b.y", "a.x", "c"]);
        let list = |filter: &LiveFilter, after: Option<&str>| ListKeys {
            partition: polybus_model::PartitionName {
                log: polybus_model::Name::empty(),
                partition: 0,
            },
            filter: filter.clone(),
            after: after.map(|key| Bytes::copy_from_slice(key.as_bytes())),
            is_count: false,
        };
        let b = LiveFilter::new([FilterWord::Exact(b"b"), FilterWord::AnyOne]);
        let all = LiveFilter::new([FilterWord::Rest]);
        let listed = |filter: &LiveFilter, after: Option<&str>, most| {
            let listed = keys.list(&list(filter, after), most);
            let names = listed.keys.iter();
            let names =
                names.map(|(key, count)| (String::from_utf8_lossy(key).into_owned(), *count));
            (names.collect::<Vec<_>>(), listed.after)
        };
        let one = |key: &str, count| (key.to_owned(), count);
        let (first, after) = listed(&all, None, 2);
        assert_eq!(first, [one("a.x", 2), one("a.y", 1)]);
        assert_eq!(after.as_deref(), Some(&b"a.y"[..]));
        let rest = listed(&all, Some("a.y"), 9);
        assert_eq!(
            rest,
            (vec![one("b.x", 1), one("b.y", 1), one("c", 1)], None)
        );
        assert_eq!(
            listed(&b, None, 2),
            (vec![one("b.x", 1), one("b.y", 1)], None)
        );
        assert_eq!(listed(&b, Some("b.x"), 2), (vec![one("b.y", 1)], None));
        assert_eq!(listed(&b, Some("b.y"), 2), (vec![], None));
        let count = ListKeys {
            is_count: true,
            ..list(&all, None)
        };
        let counted = keys.list(&count, 9);
        assert_eq!((counted.count, counted.keys.len()), (5, 0));
    }

    #[test]
    fn the_last_ones_are_each_there_once() {
        let keys = keys(&["a.x", "b.x", "a.y", "a.x", "b.y"]);
        let a = LiveFilter::new([FilterWord::Exact(b"a"), FilterWord::AnyOne]);
        let x = LiveFilter::new([FilterWord::AnyOne, FilterWord::Exact(b"x")]);
        let both = [a, x];
        let picked = keys.pick_last(&both, 5, 9);
        assert_eq!((&picked.offsets[..], picked.left), (&[1, 2, 3][..], 0));
        let picked = keys.pick_last(&both, 3, 9);
        assert_eq!((&picked.offsets[..], picked.left), (&[0, 1, 2][..], 0));
        let picked = keys.pick_last(&both, 5, 2);
        assert_eq!((picked.offsets.len(), picked.left), (2, 1));
    }
}
