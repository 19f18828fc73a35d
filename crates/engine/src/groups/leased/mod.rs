//! Groups that lease: the records of a partition are handed out one by one (or in ranges), each under a lease of its own, and
//! settled in any order. Whoever reads a log this way (a share group, a consumer with acknowledgements) has one window to
//! a partition.
//!
//! ```text
//!            floor                                   next
//!   settled   | leased | settled | ready | waiting |  fresh: never handed out ...
//!
//!   ready, fresh --lend--> leased --accept--------------------------> settled
//!     ^                      | | \--reject, attempts used up--> failed --bury--> settled
//!     |                      | release after a delay
//!     |   release, expiry    v
//!     +----------------- waiting (until due)
//! ```
//! The window (`window`) is a plain value that knows neither logs nor clients: its caller looks which records there are,
//! lends them, passes over those that nobody wants, and does with what failed what its failure policy says. `windows` keeps all
//! of them, journals what happened in a turn at its end, and knows the next deadline. `span` is the runs of records that
//! are in the same state, `record` and `recovery` the way to the journal and back.
//!
//! What the journal is told: what is settled, and what came back, with its attempts. A lease is not in it: after a
//! failure what was leased is ready again, as often tried as it had been before.

mod record;
mod recovery;
mod span;
#[cfg(test)]
mod tests;
mod window;
mod windows;

pub(crate) use recovery::RecoveredWindows;
pub(crate) use span::Failure;
pub(crate) use window::{Settlement, Window};
pub(crate) use windows::{Owner, Windows};
