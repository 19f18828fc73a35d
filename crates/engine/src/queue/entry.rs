//! One message in a queue.

use polybus_model::{Message, Millis};

use crate::record::Stand;

/// An expiry that never comes.
pub(crate) const NEVER: Millis = Millis::MAX;

/// It may have been delivered before.
pub(crate) const REDELIVERED: u8 = 1;
/// It survives a restart: its end has to be journaled.
pub(crate) const DURABLE: u8 = 2;
/// It was asked for in a load, or has come by one.
pub(crate) const REQUESTED: u8 = 4;
/// The queue knows attempts of it.
pub(crate) const ATTEMPTED: u8 = 8;

/// A message's entry, unpacked. `message` is there while it is in memory ("hot"); a cold one has a stand.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    pub(crate) stand: Option<Stand>,
    pub(crate) body_len: u32,
    pub(crate) flags: u8,
    pub(crate) level: u8,
    pub(crate) expiry: Millis,
    pub(crate) message: Option<Message>,
}

impl Entry {
    pub(crate) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Bytes that it holds in memory, beside itself.
    pub(crate) fn memory_size(&self) -> usize {
        self.message.as_ref().map_or(0, Message::memory_size)
    }
}
