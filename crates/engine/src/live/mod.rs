//! Live subscribers: who listens to topics, what they are told, and what becomes of those who do not keep up.
//!
//! ```text
//! block -> each message: who listens to its key?  (routing::live, one look-up)
//!            -> for each: (number in the block, subscriber) into its session's letter
//!            -> where it leads on: a Message, the way of every publish      (publish)
//!       -> one event for each session with a letter
//! ```
//! A session that leaves hears nothing any more at once; its listeners go out of the routing a slice a turn (`leaving`).
//! What always holds: what a session was handed and has not drained is bounded: past the bound its subscriptions end and it
//! is told so, once (`slow`); a publisher that is faster than those it publishes to is held for a moment, never for long.

mod copies;
mod leaving;
mod publish;
mod slow;
mod subscribe;

use polybus_model::{Millis, SubscriberId};

use leaving::Leaving;
pub(crate) use publish::Posted;
use slow::Holds;

/// What a message costs whoever is handed it, beside its bytes.
pub(crate) const TARGET_BYTES: usize = 16;

/// What is carried through a turn, by the sessions' slots; its memory is used again.
#[derive(Debug, Default)]
pub(crate) struct LiveWork {
    letters: Vec<Letter>,
    /// The sessions with a letter.
    written: Vec<u32>,
    /// Listeners that have had all that they wanted.
    served: Vec<u32>,
    /// Sessions that have more on the way than they may.
    slow: Vec<u32>,
    /// The session that was told of a single message last.
    last_told: Option<u32>,
    /// Messages of the block that lead on: their numbers, and whether anyone heard them.
    onward: Vec<(u32, bool)>,
    /// All live subscriptions there are.
    pub(crate) count: usize,
    /// About what their filters take in memory.
    bytes: usize,
    holds: Holds,
    leaving: Leaving,
}

/// What a block holds for one session.
#[derive(Debug, Default)]
struct Letter {
    targets: Vec<(u32, SubscriberId)>,
    bytes: usize,
    /// What is on the way to the session already.
    before: usize,
    /// How many targets its last one had.
    len_before: usize,
    is_open: bool,
}

impl LiveWork {
    /// When a publisher is to be let go; at once, while listeners are leaving.
    pub(crate) fn deadline(&self) -> Option<Millis> {
        self.leaving.deadline().or(self.holds.deadline())
    }
}
