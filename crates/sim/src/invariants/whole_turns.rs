//! What comes back after a restart is what a number of whole turns left behind: no turn is there in part (a transaction, a
//! fan-out, a dead-letter move), and none is missing before one that is there.

use crate::ledger::Ledger;
use crate::violation::{Verdict, Violation};

pub(crate) const NAME: &str = "whole_turns";

/// A copy is not there, although something of a later turn (or of its own) is.
pub(crate) fn missing(ledger: &Ledger, at: usize, reached: u64) -> Verdict {
    let copy = &ledger.copies[at];
    Err(Violation::new(
        NAME,
        format!(
            "message {} of turn {} is gone from '{}', but turn {reached} is there",
            copy.message,
            copy.published,
            ledger.queue_shape(copy.queue()).name
        ),
    ))
}
