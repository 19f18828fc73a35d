//! What may have been delivered before is marked so; what surely was not is not marked.

use crate::ledger::Ledger;
use crate::ledger::audit::Found;
use crate::shape::DEAD;
use crate::violation::{Verdict, Violation};

pub(crate) const NAME: &str = "redelivered";

/// A copy is handed over.
pub(crate) fn check_delivery(ledger: &Ledger, at: usize, marked: bool) -> Verdict {
    let copy = &ledger.copies[at];
    let wrong = |what: &str| {
        let queue = &ledger.queue_shape(copy.queue()).name;
        let detail = format!("message {} of '{queue}' {what}", copy.message);
        Err(Violation::new(NAME, detail))
    };
    match (copy.delivered, marked) {
        (true, false) => wrong("was delivered before, and is not marked"),
        (false, true) if !copy.crashed => wrong("is marked, and was never delivered"),
        _ => Ok(()),
    }
}

/// A copy is found after a restart.
pub(crate) fn check_found(ledger: &Ledger, at: usize, queue: usize, found: &Found) -> Verdict {
    let copy = &ledger.copies[at];
    // Where it was delivered is known only of where the ledger takes it to be.
    if copy.dead == (queue == DEAD) && copy.delivered && !found.redelivered {
        let queue = &ledger.queue_shape(queue).name;
        let detail = format!(
            "message {} of '{queue}' was delivered before the restart, and is not marked",
            copy.message
        );
        return Err(Violation::new(NAME, detail));
    }
    Ok(())
}
