//! Who still points at a record, and moving it.

use rustc_hash::FxHashMap;

use crate::queue::Queue;
use crate::record::{self, Holder, Stand};
use crate::{Engine, Place, Store};

/// What is not ready in one queue, by sequence. Compaction asks for many records in a row; between two that change
/// nothing this stays right.
#[derive(Debug, Default)]
pub(crate) struct AsideIndex {
    queue: u64,
    version: (u64, u64),
    found: FxHashMap<u64, Found>,
}

/// Where an entry was found.
#[derive(Clone, Copy, Debug)]
enum Found {
    Ready,
    Leased(u32),
    Waiting(u64),
    Dying(usize),
}

impl AsideIndex {
    fn look_up(&mut self, queue: &Queue, sequence: u64) -> Option<Found> {
        let version = (queue.leases.version(), queue.aside_version);
        if self.queue != queue.incarnation || self.version != version {
            self.queue = queue.incarnation;
            self.version = version;
            let leased = queue.leases.iter();
            let leased = leased.map(|(at, lease)| (lease.entry.sequence, Found::Leased(at)));
            let waiting = queue.waiting.keys();
            let waiting = waiting.map(|(due, sequence)| (*sequence, Found::Waiting(*due)));
            let dying = queue.dying.iter().enumerate();
            let dying = dying.map(|(at, (entry, _))| (entry.sequence, Found::Dying(at)));
            self.found.clear();
            self.found.extend(leased.chain(waiting).chain(dying));
        }
        self.found.get(&sequence).copied()
    }
}

impl Engine {
    /// How many queue entries still point at the record there.
    pub fn live_targets(&mut self, place: Place, payload: &[u8]) -> usize {
        match record::holder(payload) {
            Some(Holder::Targets(targets)) => targets
                .iter()
                .filter(|target| self.find(target.queue, target.sequence, place).is_some())
                .count(),
            Some(Holder::Delayed(sequence)) => {
                let stand = self.delayed.stand(sequence);
                usize::from(stand.is_some_and(|stand| stand.place == place))
            }
            Some(Holder::Run(at, offset)) => usize::from(self.logs.stands_at(at, offset, place)),
            None => 0,
        }
    }

    /// The record at `from` now stands at `to` too: the entries that pointed there point here. For each of them the store
    /// is told to adopt `to` and to release `from`.
    pub fn relocate(&mut self, payload: &[u8], from: Place, to: Place, store: &mut impl Store) {
        let len = payload.len() as u32;
        let stand = Stand { place: to, len };
        match record::holder(payload) {
            Some(Holder::Targets(targets)) => {
                for target in targets {
                    if let Some((slot, found)) = self.find(target.queue, target.sequence, from) {
                        self.set_stand(slot, target.sequence, found, stand);
                        store.adopt(to, len);
                        store.release(from, len);
                    }
                }
            }
            Some(Holder::Delayed(sequence)) => {
                let old = self.delayed.stand(sequence);
                if old.is_some_and(|old| old.place == from) {
                    self.delayed.set_stand(sequence, stand);
                    store.adopt(to, len);
                    store.release(from, len);
                }
            }
            Some(Holder::Run(at, offset)) => {
                if self.logs.stands_at(at, offset, from)
                    && let Some(partition) = self.logs.partition_mut(at)
                {
                    partition.move_to(offset, to);
                    store.adopt(to, len);
                    store.release(from, len);
                }
            }
            None => {}
        }
    }

    fn find(&mut self, incarnation: u64, sequence: u64, place: Place) -> Option<(u32, Found)> {
        let slot = *self.incarnations.get(&incarnation)?;
        let queue = self.queues.get(slot)?;
        let (stand, found) = match queue.ready.stand(sequence) {
            Some(stand) => (Some(stand), Found::Ready),
            None => {
                let found = self.aside.look_up(queue, sequence)?;
                let stand = match found {
                    Found::Ready => None,
                    Found::Leased(at) => queue.leases.at(at)?.entry.stand,
                    Found::Waiting(due) => queue.waiting.get(&(due, sequence))?.stand,
                    Found::Dying(at) => queue.dying.get(at)?.0.stand,
                };
                (stand, found)
            }
        };
        (stand?.place == place).then_some((slot, found))
    }

    fn set_stand(&mut self, slot: u32, sequence: u64, found: Found, stand: Stand) {
        let Some(queue) = self.queues.get_mut(slot) else {
            return;
        };
        let entry = match found {
            Found::Ready => {
                queue.ready.set_stand(sequence, stand);
                return;
            }
            Found::Leased(at) => queue.leases.entry_mut(at),
            Found::Waiting(due) => queue.waiting.get_mut(&(due, sequence)),
            Found::Dying(at) => queue.dying.get_mut(at).map(|(entry, _)| entry),
        };
        if let Some(entry) = entry {
            entry.stand = Some(stand);
        }
    }
}
