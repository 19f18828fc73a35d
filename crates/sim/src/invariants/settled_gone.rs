//! What is settled is not seen again; after a restart it may be only if its settlement was not durable yet. And nothing is
//! handed to two consumers at a time.

use crate::ledger::{Copy, Ledger, State};
use crate::violation::{Verdict, Violation};

pub(crate) const NAME: &str = "settled_gone";

/// A copy is handed over.
pub(crate) fn check_delivery(ledger: &Ledger, at: usize, queue: usize) -> Verdict {
    let copy = &ledger.copies[at];
    let wrong = |what: &str| {
        let detail = format!(
            "message {} comes from '{}' although {what}",
            copy.message,
            ledger.queue_shape(queue).name
        );
        Err(Violation::new(NAME, detail))
    };
    if copy.dead && queue == copy.home {
        return wrong("it is a dead letter");
    }
    match copy.state {
        State::Ready | State::Waiting(_) => Ok(()),
        State::Leased(_) => wrong("a consumer holds it"),
        State::Over(turn) => wrong(&format!("it was settled in turn {turn}")),
        State::Never => wrong("it was never taken, or lost when it was not durable"),
        State::Dropped => wrong("later ones came before it"),
    }
}

/// After a restart, with the copies that were found (and whether as dead letters).
pub(crate) fn check_found(ledger: &Ledger, found: &[Option<bool>], reached: u64) -> Verdict {
    for (copy, found) in ledger.copies.iter().zip(found) {
        let Some(dead) = *found else { continue };
        let ended = match (copy.state, copy.died) {
            (State::Over(turn), _) => Some(turn),
            // It is back home although it died.
            (_, Some(turn)) if copy.dead && !dead => Some(turn),
            _ => None,
        };
        if let Some(turn) = ended.filter(|turn| *turn <= reached) {
            return Err(Violation::new(NAME, describe(ledger, copy, turn, reached)));
        }
    }
    Ok(())
}

fn describe(ledger: &Ledger, copy: &Copy, turn: u64, reached: u64) -> String {
    format!(
        "message {} is back in '{}' although it ended in turn {turn}, and turn {reached} is there",
        copy.message,
        ledger.queue_shape(copy.home).name
    )
}
