//! How much room the disk has. It is looked at twice a second, and in between whatever is written is counted, so that a fast
//! publisher is stopped at the mark and not half a second behind it.
//!
//! ```text
//! free bytes:   ... | enough to go on | [min * 9/8] | blocked: sessions are told to wait | [min / 2] | publishes are refused |
//! ```
//! What lies below the mark is the reserve for acknowledgements and definitions, which go on.

use parking_lot::Mutex;

/// What is known of the disk's room.
pub(crate) struct Room {
    /// Below so many free bytes no messages are taken.
    min: u64,
    left: Mutex<u64>,
}

/// What the upkeep may do with the room that was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Free {
    /// No messages are taken.
    pub(crate) is_low: bool,
    /// Not even those that were on their way.
    pub(crate) is_out: bool,
    /// What may be used for files that only make the broker faster.
    pub(crate) spare: u64,
    /// What may be used for files that soon make more room than they take.
    pub(crate) compaction: u64,
}

impl Room {
    /// Nothing is known yet: the first frame that is written makes it look.
    pub(crate) fn new(min: u64) -> Self {
        Self {
            min,
            left: Mutex::new(0),
        }
    }

    /// So much was written. True if the disk is to be looked at.
    pub(crate) fn wrote(&self, bytes: u64) -> bool {
        let mut left = self.left.lock();
        *left = left.saturating_sub(bytes);
        *left < self.min
    }

    /// So many bytes are free; whether that is low depends on whether it was.
    pub(crate) fn looked(&self, free: u64, was_low: bool) -> Free {
        *self.left.lock() = free;
        let enough = self.min.saturating_add(self.min / 8);
        Free {
            is_low: free < if was_low { enough } else { self.min },
            is_out: free < self.min / 2,
            spare: free.saturating_sub(enough),
            compaction: free.saturating_sub(self.min / 2),
        }
    }

    /// Whether even what is on its way is refused.
    pub(crate) fn is_out(&self) -> bool {
        *self.left.lock() < self.min / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_looked_at_when_what_was_written_may_have_passed_the_mark() {
        let room = Room::new(800);
        assert!(room.wrote(1), "nothing is known yet");
        assert!(!room.looked(1000, false).is_low);
        assert!(!room.wrote(200));
        assert!(room.wrote(1));
        assert!(!room.is_out());
        let free = room.looked(799, false);
        assert!(free.is_low && !free.is_out);
        assert!(room.looked(899, true).is_low);
        assert!(!room.looked(900, true).is_low);
        assert!(room.looked(399, true).is_out && room.is_out());
    }

    #[test]
    fn without_a_mark_it_is_never_low() {
        let room = Room::new(0);
        assert!(!room.wrote(1));
        assert!(!room.looked(0, false).is_low && !room.is_out());
    }
}
