//! The ids of the latest messages of a partition, so that one that comes again is known.
//!
//! What always holds: `by_id` and `in_order` name the same ids; times in `in_order` rise. Ids outlive their records: one that
//! was removed is still a duplicate. They are found again by the journal's records of ids and by the snapshot's list.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use polybus_model::Millis;

use crate::record::Corrupt;
use crate::record::codec::{Bounded, Put};

/// What is known of the message with an id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Known {
    offset: u64,
    at: Millis,
}

/// The ids that count.
#[derive(Debug, Default)]
pub(crate) struct Duplicates {
    by_id: BTreeMap<Arc<[u8]>, Known>,
    in_order: VecDeque<(Millis, Arc<[u8]>)>,
    /// The offset and id of the latest message that had one.
    last: Option<(u64, Arc<[u8]>)>,
}

impl Duplicates {
    /// The offset that the message with an id got, if it came at that time or later.
    pub(crate) fn find(&self, id: &[u8], since: Millis) -> Option<u64> {
        let known = self.by_id.get(id)?;
        (known.at >= since).then_some(known.offset)
    }

    /// A message with an id was appended.
    pub(crate) fn note(&mut self, id: &[u8], offset: u64, at: Millis) {
        let id: Arc<[u8]> = Arc::from(id);
        let at = at.max(self.in_order.back().map_or(0, |(last, _)| *last));
        self.last = Some((offset, Arc::clone(&id)));
        self.by_id.insert(Arc::clone(&id), Known { offset, at });
        self.in_order.push_back((at, id));
    }

    /// The id of the message with that offset, if that is the latest with an id.
    pub(crate) fn last_id(&self, offset: Option<u64>) -> Option<&[u8]> {
        let (known, id) = self.last.as_ref()?;
        (Some(*known) == offset).then_some(&**id)
    }

    /// When the oldest that is known came.
    pub(crate) fn oldest(&self) -> Option<Millis> {
        self.in_order.front().map(|(at, _)| *at)
    }

    /// Forgets those from before a time.
    pub(crate) fn expire(&mut self, since: Millis) {
        while let Some((at, id)) = self.in_order.pop_front_if(|(at, _)| *at < since) {
            if self.by_id.get(&id).is_some_and(|known| known.at == at) {
                self.by_id.remove(&id);
            }
        }
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.put_u32(self.in_order.len() as u32);
        for (at, id) in &self.in_order {
            let offset = self.by_id.get(id).map_or(0, |known| known.offset);
            out.put_u64(offset);
            out.put_u64(*at);
            out.put_bytes(id);
        }
        let last = self.last.as_ref();
        out.put_option(last.map(|(offset, _)| *offset));
        if let Some((_, id)) = last {
            out.put_bytes(id);
        }
    }

    pub(crate) fn read(from: &mut Bounded<'_>) -> Result<Self, Corrupt> {
        let mut read = Self::default();
        for _ in 0..from.u32()? {
            let (offset, at) = (from.u64()?, from.u64()?);
            read.note(from.bytes()?, offset, at);
        }
        read.last = match from.option()? {
            Some(offset) => Some((offset, Arc::from(from.bytes()?))),
            None => None,
        };
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_counts_as_long_as_the_window() {
        let mut ids = Duplicates::default();
        ids.note(b"a", 0, 10);
        ids.note(b"b", 1, 20);
        ids.note(b"a", 2, 40);
        assert_eq!(ids.find(b"a", 30), Some(2));
        assert_eq!(ids.find(b"b", 21), None);
        assert_eq!(ids.find(b"b", 20), Some(1));
        assert_eq!(ids.last_id(Some(2)), Some(&b"a"[..]));
        assert_eq!(ids.last_id(Some(3)), None);
        let mut bytes = Vec::new();
        ids.put(&mut bytes);
        let mut again = Duplicates::read(&mut Bounded::new(&bytes)).unwrap();
        assert_eq!(again.find(b"a", 30), Some(2));
        again.expire(21);
        assert_eq!((again.by_id.len(), again.in_order.len()), (1, 1));
        again.expire(41);
        assert_eq!((again.by_id.len(), again.in_order.len()), (0, 0));
        assert_eq!(again.last_id(Some(2)), Some(&b"a"[..]));
    }
}
