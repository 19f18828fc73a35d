//! Who still points at a record, and moving it.

use rustc_hash::FxHashMap;

use crate::record::{self, Holder, Stand};
use crate::{Engine, Place, Store};

/// Leases of one queue by sequence, while no lease begins or ends: compaction asks for many records in a row.
#[derive(Debug, Default)]
pub(crate) struct LeasedIndex {
    queue: u64,
    version: u64,
    slots: FxHashMap<u64, u32>,
}

/// Where an entry was found.
enum Found {
    Ready,
    Leased(u32),
    Waiting(u64),
    Dying(usize),
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
            None => 0,
        }
    }

    /// The record at `from` now stands at `to` too: the entries that pointed there point here. Tells the store to
    /// release each of them at `from`; `to` needs as many references as [`Engine::live_targets`] said.
    pub fn relocate(&mut self, payload: &[u8], from: Place, to: Place, store: &mut impl Store) {
        let len = payload.len() as u32;
        let stand = Stand { place: to, len };
        match record::holder(payload) {
            Some(Holder::Targets(targets)) => {
                for target in targets {
                    if let Some((slot, found)) = self.find(target.queue, target.sequence, from) {
                        self.set_stand(slot, target.sequence, &found, stand);
                        store.release(from, len);
                    }
                }
            }
            Some(Holder::Delayed(sequence)) => {
                let old = self.delayed.stand(sequence);
                if old.is_some_and(|old| old.place == from) {
                    self.delayed.set_stand(sequence, stand);
                    store.release(from, len);
                }
            }
            None => {}
        }
    }

    fn find(&mut self, incarnation: u64, sequence: u64, place: Place) -> Option<(u32, Found)> {
        let slot = *self.incarnations.get(&incarnation)?;
        let queue = self.queues.get(slot)?;
        let here = |stand: Option<Stand>| stand.is_some_and(|stand| stand.place == place);
        if let Some(stand) = queue.ready.stand(sequence) {
            return here(Some(stand)).then_some((slot, Found::Ready));
        }
        for ((due, waiting), entry) in &queue.waiting {
            if *waiting == sequence {
                return here(entry.stand).then_some((slot, Found::Waiting(*due)));
            }
        }
        for (at, (entry, _)) in queue.dying.iter().enumerate() {
            if entry.sequence == sequence && here(entry.stand) {
                return Some((slot, Found::Dying(at)));
            }
        }
        if self.leased.queue != incarnation || self.leased.version != queue.leases.version() {
            self.leased.queue = incarnation;
            self.leased.version = queue.leases.version();
            self.leased.slots = queue
                .leases
                .iter()
                .map(|(at, lease)| (lease.entry.sequence, at))
                .collect();
        }
        let at = *self.leased.slots.get(&sequence)?;
        let lease = queue.leases.at(at)?;
        here(lease.entry.stand).then_some((slot, Found::Leased(at)))
    }

    fn set_stand(&mut self, slot: u32, sequence: u64, found: &Found, stand: Stand) {
        let Some(queue) = self.queues.get_mut(slot) else {
            return;
        };
        let entry = match found {
            Found::Ready => {
                queue.ready.set_stand(sequence, stand);
                return;
            }
            Found::Leased(at) => queue.leases.entry_mut(*at),
            Found::Waiting(due) => queue.waiting.get_mut(&(*due, sequence)),
            Found::Dying(at) => queue.dying.get_mut(*at).map(|(entry, _)| entry),
        };
        if let Some(entry) = entry {
            entry.stand = Some(stand);
        }
    }
}
