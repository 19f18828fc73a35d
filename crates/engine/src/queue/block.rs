//! Entries packed: 24 bytes each, up to 1,024 to a block, in rising sequence. What only some entries have stands in columns
//! that a block without such entries does not have: messages in memory, expiries.

use std::num::NonZeroU64;

use polybus_model::{Message, Millis};

use super::entry::{Entry, NEVER, REQUESTED};
use crate::Place;
use crate::record::Stand;

/// Entries to a block.
pub(crate) const BLOCK_LEN: usize = 1024;

/// A block that is empty is kept for the next message only if it is small.
const KEPT_CAPACITY: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Packed {
    place: Option<NonZeroU64>,
    offset: u32,
    len: u32,
    body_len: u32,
    flags: u8,
}

/// A run of entries; those before `head` are taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Block {
    first: u64,
    head: usize,
    entries: Vec<Packed>,
    /// Empty, or as long as `entries`.
    hot: Vec<Option<Message>>,
    /// Empty, or as long as `entries`.
    expiries: Vec<Millis>,
}

/// The next entry of a queue, without its message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Front {
    pub(crate) sequence: u64,
    pub(crate) expiry: Millis,
    pub(crate) flags: u8,
    pub(crate) hot: bool,
}

/// A cold entry to load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cold {
    pub(crate) sequence: u64,
    pub(crate) stand: Stand,
}

impl Block {
    /// Whether an entry of that sequence still fits behind the others.
    pub(crate) fn takes(&self, sequence: u64) -> bool {
        self.entries.is_empty()
            || (self.entries.len() < BLOCK_LEN
                && sequence
                    .checked_sub(self.first)
                    .is_some_and(|offset| u32::try_from(offset).is_ok()))
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        if self.entries.is_empty() {
            self.first = entry.sequence;
        }
        let at = self.entries.len();
        if entry.message.is_some() && self.hot.is_empty() {
            self.hot.resize(at, None);
        }
        if entry.message.is_some() || !self.hot.is_empty() {
            self.hot.push(entry.message);
        }
        if entry.expiry != NEVER && self.expiries.is_empty() {
            self.expiries.resize(at, NEVER);
        }
        if entry.expiry != NEVER || !self.expiries.is_empty() {
            self.expiries.push(entry.expiry);
        }
        self.entries.push(Packed {
            place: entry.stand.map(|stand| stand.place.0),
            offset: (entry.sequence - self.first) as u32,
            len: entry.stand.map_or(0, |stand| stand.len),
            body_len: entry.body_len,
            flags: entry.flags,
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head >= self.entries.len()
    }

    pub(crate) fn front(&self) -> Option<Front> {
        let packed = self.entries.get(self.head)?;
        Some(Front {
            sequence: self.first + u64::from(packed.offset),
            expiry: self.expiries.get(self.head).copied().unwrap_or(NEVER),
            flags: packed.flags,
            hot: self.hot.get(self.head).is_some_and(Option::is_some),
        })
    }

    pub(crate) fn pop(&mut self, level: u8) -> Option<Entry> {
        let message = self.hot.get_mut(self.head).and_then(Option::take);
        let mut entry = self.entry_at(self.head, level)?;
        entry.message = message;
        self.head += 1;
        Some(entry)
    }

    /// Makes an empty block ready for use; false if it is better dropped.
    pub(crate) fn reuse(&mut self) -> bool {
        self.head = 0;
        self.entries.clear();
        self.hot.clear();
        self.expiries.clear();
        self.entries.capacity() <= KEPT_CAPACITY
    }

    /// The sequence of the last entry.
    pub(crate) fn last(&self) -> u64 {
        self.entries
            .last()
            .map_or(self.first, |packed| self.first + u64::from(packed.offset))
    }

    fn entry_at(&self, at: usize, level: u8) -> Option<Entry> {
        let packed = self.entries.get(at)?;
        Some(Entry {
            sequence: self.first + u64::from(packed.offset),
            stand: packed.place.map(|place| Stand {
                place: Place(place),
                len: packed.len,
            }),
            body_len: packed.body_len,
            flags: packed.flags,
            level,
            expiry: self.expiries.get(at).copied().unwrap_or(NEVER),
            message: None,
        })
    }

    /// The entries not yet taken, with copies of their messages.
    pub(crate) fn iter(&self, level: u8) -> impl Iterator<Item = Entry> + '_ {
        (self.head..self.entries.len()).filter_map(move |at| {
            let mut entry = self.entry_at(at, level)?;
            entry.message = self.hot.get(at).and_then(Clone::clone);
            Some(entry)
        })
    }

    /// Sequence and flags of the entries not yet taken.
    pub(crate) fn sequences(&self) -> impl Iterator<Item = (u64, u8)> + '_ {
        self.entries
            .iter()
            .skip(self.head)
            .map(|packed| (self.first + u64::from(packed.offset), packed.flags))
    }

    fn find(&self, sequence: u64) -> Option<usize> {
        let offset = u32::try_from(sequence.checked_sub(self.first)?).ok()?;
        let at = self
            .entries
            .binary_search_by_key(&offset, |packed| packed.offset)
            .ok()?;
        (at >= self.head).then_some(at)
    }

    /// Puts a loaded message to its entry; false if there is no such cold entry.
    pub(crate) fn load(&mut self, sequence: u64, message: Message) -> bool {
        let Some(at) = self.find(sequence) else {
            return false;
        };
        if self.hot.is_empty() {
            self.hot.resize(self.entries.len(), None);
        }
        match self.hot.get_mut(at) {
            Some(hole) if hole.is_none() => {
                *hole = Some(message);
                true
            }
            _ => false,
        }
    }

    /// Takes back that a cold entry was asked for; true if it was.
    pub(crate) fn forget_request(&mut self, sequence: u64) -> bool {
        let Some(at) = self.find(sequence) else {
            return false;
        };
        if self.hot.get(at).is_some_and(Option::is_some) {
            return false;
        }
        match self.entries.get_mut(at) {
            Some(packed) if packed.flags & REQUESTED != 0 => {
                packed.flags &= !REQUESTED;
                true
            }
            _ => false,
        }
    }

    /// The stand of an entry.
    pub(crate) fn stand(&self, sequence: u64) -> Option<Stand> {
        let packed = self.entries.get(self.find(sequence)?)?;
        packed.place.map(|place| Stand {
            place: Place(place),
            len: packed.len,
        })
    }

    /// Moves an entry's stand.
    pub(crate) fn set_stand(&mut self, sequence: u64, stand: Stand) {
        if let Some(at) = self.find(sequence)
            && let Some(packed) = self.entries.get_mut(at)
        {
            packed.place = Some(stand.place.0);
            packed.len = stand.len;
        }
    }

    /// Asks for cold entries from `cursor` on while `take` wants them; gives the sequence up to which it looked, and how
    /// many entries it looked at.
    pub(crate) fn request(
        &mut self,
        cursor: u64,
        take: &mut impl FnMut(Cold) -> bool,
    ) -> (u64, usize) {
        let offset = cursor.saturating_sub(self.first);
        let from = self
            .entries
            .partition_point(|packed| u64::from(packed.offset) < offset)
            .max(self.head);
        let mut looked = 0;
        for at in from..self.entries.len() {
            let hot = self.hot.get(at).is_some_and(Option::is_some);
            let Some(packed) = self.entries.get_mut(at) else {
                break;
            };
            let sequence = self.first + u64::from(packed.offset);
            if let Some(place) = packed.place
                && !hot
                && packed.flags & REQUESTED == 0
            {
                let stand = Stand {
                    place: Place(place),
                    len: packed.len,
                };
                if !take(Cold { sequence, stand }) {
                    return (sequence, looked);
                }
                packed.flags |= REQUESTED;
            }
            looked += 1;
        }
        (self.last() + 1, looked)
    }
}
