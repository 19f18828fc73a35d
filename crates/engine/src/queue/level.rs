//! The ready messages of one priority, in order of their sequence: blocks of those that never left, and beside them, in a
//! small sorted map, those that came back.

use std::collections::{BTreeMap, VecDeque};

use polybus_model::Message;

use super::block::{Block, Cold, Front};
use super::entry::{Entry, REQUESTED};
use crate::record::Stand;

/// Entries looked at in one search for cold ones.
const SEARCH_MAX: usize = 16 * 1024;

#[derive(Clone, Debug, Default)]
pub(crate) struct Level {
    blocks: VecDeque<Block>,
    returned: BTreeMap<u64, Entry>,
    /// Cold entries of blocks before this sequence have been asked for.
    cursor: u64,
}

impl Level {
    pub(crate) fn is_empty(&self) -> bool {
        self.returned.is_empty() && self.blocks.front().is_none_or(Block::is_empty)
    }

    /// Puts an entry behind all others; its sequence is the highest.
    pub(crate) fn push(&mut self, entry: Entry) {
        match self.blocks.back_mut() {
            Some(block) if block.takes(entry.sequence) => block.push(entry),
            _ => {
                let mut block = Block::default();
                block.push(entry);
                self.blocks.push_back(block);
            }
        }
    }

    /// Puts an entry back to its place.
    pub(crate) fn put_back(&mut self, entry: Entry) {
        self.returned.insert(entry.sequence, entry);
    }

    fn returned_first(&self) -> bool {
        let Some((returned, _)) = self.returned.first_key_value() else {
            return false;
        };
        self.blocks
            .front()
            .and_then(Block::front)
            .is_none_or(|front| *returned < front.sequence)
    }

    pub(crate) fn front(&self) -> Option<Front> {
        if self.returned_first() {
            let (_, entry) = self.returned.first_key_value()?;
            Some(Front {
                sequence: entry.sequence,
                expiry: entry.expiry,
                flags: entry.flags,
                hot: entry.message.is_some(),
            })
        } else {
            self.blocks.front()?.front()
        }
    }

    pub(crate) fn pop(&mut self, level: u8) -> Option<Entry> {
        if self.returned_first() {
            return self.returned.pop_first().map(|(_, entry)| entry);
        }
        let several = self.blocks.len() > 1;
        let block = self.blocks.front_mut()?;
        let entry = block.pop(level);
        if block.is_empty() && (several || !block.reuse()) {
            self.blocks.pop_front();
        }
        entry
    }

    fn block_of(&self, sequence: u64) -> usize {
        self.blocks.partition_point(|block| block.last() < sequence)
    }

    /// Puts a loaded message to its entry; false if there is no such cold entry.
    pub(crate) fn load(&mut self, sequence: u64, message: &Message) -> bool {
        if let Some(entry) = self.returned.get_mut(&sequence) {
            if entry.message.is_some() {
                return false;
            }
            entry.message = Some(message.clone());
            return true;
        }
        let at = self.block_of(sequence);
        self.blocks
            .get_mut(at)
            .is_some_and(|block| block.load(sequence, message.clone()))
    }

    /// A load came back without this message: it may be asked for again. True if it is here and was asked for.
    pub(crate) fn forget_request(&mut self, sequence: u64) -> bool {
        if let Some(entry) = self.returned.get_mut(&sequence) {
            let forgot = entry.message.is_none() && entry.has(REQUESTED);
            if forgot {
                entry.flags &= !REQUESTED;
            }
            return forgot;
        }
        let at = self.block_of(sequence);
        let forgot = self
            .blocks
            .get_mut(at)
            .is_some_and(|block| block.forget_request(sequence));
        if forgot {
            self.cursor = self.cursor.min(sequence);
        }
        forgot
    }

    /// Asks for cold entries in the order in which they will be wanted, while `take` wants them.
    pub(crate) fn request(&mut self, take: &mut impl FnMut(Cold) -> bool) {
        let mut goes_on = true;
        if self.returned_first() {
            self.request_returned(&mut |cold| {
                goes_on = take(cold);
                goes_on
            });
            if goes_on {
                self.request_blocks(take);
            }
        } else {
            self.request_blocks(&mut |cold| {
                goes_on = take(cold);
                goes_on
            });
            if goes_on {
                self.request_returned(take);
            }
        }
    }

    fn request_returned(&mut self, take: &mut impl FnMut(Cold) -> bool) {
        let cold = self
            .returned
            .values_mut()
            .filter(|entry| entry.message.is_none() && !entry.has(REQUESTED));
        for entry in cold {
            let Some(stand) = entry.stand else { continue };
            let sequence = entry.sequence;
            if !take(Cold { sequence, stand }) {
                return;
            }
            entry.flags |= REQUESTED;
        }
    }

    fn request_blocks(&mut self, take: &mut impl FnMut(Cold) -> bool) {
        let mut looked = 0;
        let mut at = self.block_of(self.cursor);
        while looked < SEARCH_MAX
            && let Some(block) = self.blocks.get_mut(at)
        {
            let mut stopped = false;
            let (cursor, count) = block.request(self.cursor, &mut |cold| {
                stopped = !take(cold);
                !stopped
            });
            self.cursor = cursor;
            if stopped {
                return;
            }
            looked += count + 1;
            at += 1;
        }
    }

    /// The stand of an entry.
    pub(crate) fn stand(&self, sequence: u64) -> Option<Stand> {
        match self.returned.get(&sequence) {
            Some(entry) => entry.stand,
            None => self.blocks.get(self.block_of(sequence))?.stand(sequence),
        }
    }

    /// Moves an entry's stand.
    pub(crate) fn set_stand(&mut self, sequence: u64, stand: Stand) {
        if let Some(entry) = self.returned.get_mut(&sequence) {
            entry.stand = Some(stand);
        } else {
            let at = self.block_of(sequence);
            if let Some(block) = self.blocks.get_mut(at) {
                block.set_stand(sequence, stand);
            }
        }
    }

    /// Sequence and flags of all, those that came back first.
    pub(crate) fn sequences(&self) -> impl Iterator<Item = (u64, u8)> + '_ {
        let returned = self
            .returned
            .values()
            .map(|entry| (entry.sequence, entry.flags));
        returned.chain(self.blocks.iter().flat_map(Block::sequences))
    }

    /// Copies of all entries, in order.
    pub(crate) fn iter(&self, level: u8) -> impl Iterator<Item = Entry> + '_ {
        let mut returned = self.returned.values().cloned().peekable();
        let mut blocks = self
            .blocks
            .iter()
            .flat_map(move |block| block.iter(level))
            .peekable();
        std::iter::from_fn(move || match (returned.peek(), blocks.peek()) {
            (Some(a), Some(b)) if a.sequence > b.sequence => blocks.next(),
            (Some(_), _) => returned.next(),
            (None, _) => blocks.next(),
        })
    }
}
