//! All ready messages of a queue: a level per priority in use, the highest first, and the sums over them.

use polybus_model::Message;

use super::block::{Cold, Front};
use super::entry::{Entry, REQUESTED};
use super::level::Level;
use crate::record::Stand;

/// What always holds: the sums are those of the entries; `cold` counts the entries that are neither in memory nor asked
/// for; `ahead` counts those asked for, whether they have come or not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ready {
    /// By rising priority.
    levels: Vec<(u8, Level)>,
    /// Entries.
    len: u64,
    /// Bytes of their bodies.
    body_bytes: u64,
    /// Bytes in memory.
    hot_bytes: usize,
    cold: usize,
    ahead: usize,
}

impl Ready {
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    pub(crate) const fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    pub(crate) const fn hot_bytes(&self) -> usize {
        self.hot_bytes
    }

    /// Entries asked for and not yet taken.
    pub(crate) const fn ahead(&self) -> usize {
        self.ahead
    }

    /// Whether there are entries to ask for.
    pub(crate) const fn has_cold(&self) -> bool {
        self.cold > 0
    }

    fn level_mut(&mut self, priority: u8) -> Option<&mut Level> {
        let at = match self.levels.binary_search_by_key(&priority, |level| level.0) {
            Ok(at) => at,
            Err(at) => {
                self.levels.insert(at, (priority, Level::default()));
                at
            }
        };
        self.levels.get_mut(at).map(|level| &mut level.1)
    }

    fn add(&mut self, entry: &Entry) {
        self.len += 1;
        self.body_bytes += u64::from(entry.body_len);
        self.hot_bytes += entry.memory_size();
        self.cold += usize::from(entry.message.is_none());
    }

    /// Puts an entry behind all others of its level; its sequence is the highest.
    pub(crate) fn push(&mut self, entry: Entry) {
        self.add(&entry);
        if let Some(level) = self.level_mut(entry.level) {
            level.push(entry);
        }
    }

    /// Puts an entry back to its place.
    pub(crate) fn put_back(&mut self, entry: Entry) {
        self.add(&entry);
        if let Some(level) = self.level_mut(entry.level) {
            level.put_back(entry);
        }
    }

    fn top(&self) -> Option<&(u8, Level)> {
        self.levels.iter().rev().find(|level| !level.1.is_empty())
    }

    /// The next entry.
    pub(crate) fn front(&self) -> Option<Front> {
        self.top()?.1.front()
    }

    /// Takes the next entry.
    pub(crate) fn pop(&mut self) -> Option<Entry> {
        let (priority, level) = self
            .levels
            .iter_mut()
            .rev()
            .find(|level| !level.1.is_empty())?;
        let mut entry = level.pop(*priority)?;
        self.len -= 1;
        self.body_bytes -= u64::from(entry.body_len);
        self.hot_bytes -= entry.memory_size();
        if entry.has(REQUESTED) {
            self.ahead -= 1;
            entry.flags &= !REQUESTED;
        } else if entry.message.is_none() {
            self.cold -= 1;
        }
        Some(entry)
    }

    /// A load brought this message; false if it is not wanted here.
    pub(crate) fn load(&mut self, sequence: u64, message: &Message) -> bool {
        let loaded = self
            .levels
            .iter_mut()
            .any(|(_, level)| level.load(sequence, message));
        if loaded {
            self.hot_bytes += message.memory_size();
        }
        loaded
    }

    /// A load did not bring this message.
    pub(crate) fn forget_request(&mut self, sequence: u64) {
        let forgot = self
            .levels
            .iter_mut()
            .any(|(_, level)| level.forget_request(sequence));
        if forgot {
            self.ahead -= 1;
            self.cold += 1;
        }
    }

    /// Asks for cold entries in the order in which they will be wanted, while `take` wants them.
    pub(crate) fn request(&mut self, mut take: impl FnMut(Cold) -> bool) {
        let (mut asked, mut goes_on) = (0, true);
        for (_, level) in self.levels.iter_mut().rev() {
            level.request(&mut |cold| {
                goes_on = take(cold);
                asked += usize::from(goes_on);
                goes_on
            });
            if !goes_on {
                break;
            }
        }
        self.ahead += asked;
        self.cold -= asked;
    }

    /// The stand of an entry.
    pub(crate) fn stand(&self, sequence: u64) -> Option<Stand> {
        self.levels
            .iter()
            .find_map(|(_, level)| level.stand(sequence))
    }

    /// Moves an entry's stand.
    pub(crate) fn set_stand(&mut self, sequence: u64, stand: Stand) {
        for (_, level) in &mut self.levels {
            level.set_stand(sequence, stand);
        }
    }

    /// Sequence and flags of all, level by level.
    pub(crate) fn sequences(&self) -> impl Iterator<Item = (u64, u8)> + '_ {
        self.levels.iter().flat_map(|(_, level)| level.sequences())
    }

    /// Copies of all entries, in the order in which they would be taken.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        self.levels
            .iter()
            .rev()
            .flat_map(|(priority, level)| level.iter(*priority))
    }
}
