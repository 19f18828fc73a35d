//! What consumers hold: leases in reusable slots, strung together by holder, so that settling one and returning all of a
//! lane's cost no search.

use polybus_model::Millis;

use super::entry::Entry;
use crate::slab::Slab;

/// No slot.
pub(crate) const NONE: u32 = u32::MAX;

/// A message held.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) entry: Entry,
    pub(crate) holder: u32,
    /// The consumer it was delivered to; [`NONE`] if it was taken, or the consumer is gone.
    pub(crate) consumer: u32,
    /// It counts towards the lane's credit.
    pub(crate) counted: bool,
    pub(crate) since: Millis,
}

#[derive(Clone, Debug)]
struct Slot {
    stamp: u32,
    previous: u32,
    next: u32,
    lease: Option<Lease>,
}

impl Slot {
    const FREE: Self = Self {
        stamp: 0,
        previous: NONE,
        next: NONE,
        lease: None,
    };
}

/// A lane that holds, or may come to hold, messages of this queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder {
    /// The lane's slot.
    pub(crate) lane: u32,
    /// The session's slot.
    pub(crate) session: u32,
    first: u32,
}

/// What always holds: every lease is in exactly its holder's string; `len` counts them; `version` changes whenever the
/// set of leases does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leases {
    slots: Vec<Slot>,
    free: Vec<u32>,
    holders: Slab<Holder>,
    len: u64,
    hot_bytes: usize,
    version: u64,
}

impl Leases {
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    pub(crate) const fn hot_bytes(&self) -> usize {
        self.hot_bytes
    }

    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn add_holder(&mut self, lane: u32, session: u32) -> u32 {
        self.holders.insert(Holder {
            lane,
            session,
            first: NONE,
        })
    }

    pub(crate) fn holder(&self, holder: u32) -> Option<&Holder> {
        self.holders.get(holder)
    }

    pub(crate) fn holders(&self) -> impl Iterator<Item = &Holder> {
        self.holders.iter().map(|(_, holder)| holder)
    }

    /// Takes a holder away that holds nothing any more.
    pub(crate) fn remove_holder(&mut self, holder: u32) {
        self.holders.remove(holder);
    }

    /// Any slot that the holder holds.
    pub(crate) fn first_of(&self, holder: u32) -> Option<u32> {
        let first = self.holders.get(holder)?.first;
        (first != NONE).then_some(first)
    }

    /// Makes a lease and gives its slot.
    pub(crate) fn insert(&mut self, lease: Lease, stamp: u32) -> u32 {
        self.len += 1;
        self.version += 1;
        self.hot_bytes += lease.entry.memory_size();
        let next = self.first_of(lease.holder).unwrap_or(NONE);
        let holder = lease.holder;
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(Slot::FREE);
                (self.slots.len() - 1) as u32
            }
        };
        if let Some(place) = self.slots.get_mut(slot as usize) {
            place.stamp = stamp;
            place.previous = NONE;
            place.next = next;
            place.lease = Some(lease);
        }
        if let Some(behind) = self.slots.get_mut(next as usize) {
            behind.previous = slot;
        }
        if let Some(holder) = self.holders.get_mut(holder) {
            holder.first = slot;
        }
        slot
    }

    /// The lease in a slot, if it is still that one.
    pub(crate) fn get(&self, slot: u32, stamp: u32) -> Option<&Lease> {
        let place = self.slots.get(slot as usize)?;
        if place.stamp == stamp {
            place.lease.as_ref()
        } else {
            None
        }
    }

    /// Ends the lease in a slot.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<Lease> {
        let place = self.slots.get_mut(slot as usize)?;
        let lease = place.lease.take()?;
        let (previous, next) = (place.previous, place.next);
        if let Some(before) = self.slots.get_mut(previous as usize) {
            before.next = next;
        } else if let Some(holder) = self.holders.get_mut(lease.holder) {
            holder.first = next;
        }
        if let Some(behind) = self.slots.get_mut(next as usize) {
            behind.previous = previous;
        }
        self.free.push(slot);
        self.len -= 1;
        self.version += 1;
        self.hot_bytes -= lease.entry.memory_size();
        Some(lease)
    }

    /// The consumer is gone; what it held stays with the lane.
    pub(crate) fn orphan(&mut self, holder: u32, consumer: u32) {
        let mut slot = self.first_of(holder).unwrap_or(NONE);
        while let Some(place) = self.slots.get_mut(slot as usize) {
            if let Some(lease) = &mut place.lease
                && lease.consumer == consumer
            {
                lease.consumer = NONE;
            }
            slot = place.next;
        }
    }

    /// All leases with their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Lease)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(slot, place)| Some((slot as u32, place.lease.as_ref()?)))
    }

    /// The lease in a slot, whichever it is.
    pub(crate) fn at(&self, slot: u32) -> Option<&Lease> {
        self.slots.get(slot as usize)?.lease.as_ref()
    }

    /// The entry in a slot.
    pub(crate) fn entry_mut(&mut self, slot: u32) -> Option<&mut Entry> {
        let lease = self.slots.get_mut(slot as usize)?.lease.as_mut()?;
        Some(&mut lease.entry)
    }
}
