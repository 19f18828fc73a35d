//! What was confirmed is never lost: after a restart every durable message of a durable queue whose turn was durable is
//! there, unless it was settled or a rule of its queue explains its absence.

use crate::ledger::Ledger;
use crate::violation::{Verdict, Violation};

pub(crate) const NAME: &str = "confirmed_kept";

/// A copy is not there after a restart, although its publish was durable.
pub(crate) fn missing(ledger: &Ledger, at: usize) -> Verdict {
    let copy = &ledger.copies[at];
    Err(Violation::new(
        NAME,
        format!(
            "message {} of turn {} is gone from '{}': durable up to turn {}, last seen {:?}",
            copy.message,
            copy.published,
            ledger.queue_shape(copy.queue()).name,
            ledger.durable_turn,
            copy.state
        ),
    ))
}
