//! Only what was published comes out, byte for byte, where it was routed to, and each copy once.

use crate::ledger::audit::Found;
use crate::ledger::{Ledger, body_of, id_of};
use crate::ledger::{State, events::Handed};
use crate::shape::DEAD;
use crate::violation::{Verdict, Violation};

pub(crate) const NAME: &str = "nothing_invented";

fn wrong<T>(detail: String) -> Result<T, Violation> {
    Err(Violation::new(NAME, detail))
}

/// The copy that was handed over.
pub(crate) fn find(ledger: &Ledger, handed: &Handed<'_>) -> Result<usize, Violation> {
    let queue = &ledger.queue_shape(handed.queue).name;
    let Some(message) = ledger.known_message(handed.message.body()) else {
        return wrong(format!("'{queue}' gave a body that nobody published"));
    };
    let home = match handed.message.deaths().and_then(|deaths| deaths.last()) {
        Some(death) if handed.queue == DEAD => ledger.shape.find(death.queue.as_str()),
        None if handed.queue != DEAD => Some(handed.queue),
        _ => None,
    };
    let copy = home.and_then(|home| ledger.by_message.get(&(message, home)));
    match copy {
        Some(copy) => Ok(*copy),
        None => wrong(format!("message {message} was never routed to '{queue}'")),
    }
}

/// The copy that was found after a restart.
pub(crate) fn find_found(ledger: &Ledger, queue: usize, found: &Found) -> Result<usize, Violation> {
    let name = &ledger.queue_shape(queue).name;
    let message = id_of(&found.body).filter(|number| {
        let info = ledger.messages.get(*number as usize);
        info.is_some_and(|info| body_of(*number, info.body_len) == found.body)
            && found.body.len() == found.body_len
    });
    let Some(message) = message else {
        return wrong(format!("'{name}' holds a body that nobody published"));
    };
    let home = match &found.from {
        Some(from) => ledger.shape.find(from),
        None => Some(queue),
    };
    match home.and_then(|home| ledger.by_message.get(&(message, home))) {
        Some(copy) => Ok(*copy),
        None => wrong(format!("message {message} was never routed to '{name}'")),
    }
}

/// A copy is found once only, at home or among the dead.
pub(crate) fn check_once(
    ledger: &Ledger,
    at: usize,
    found: &mut [Option<bool>],
    dead: bool,
) -> Verdict {
    match found[at].replace(dead) {
        None => Ok(()),
        Some(_) => wrong(format!(
            "message {} of '{}' is there twice after a restart",
            ledger.copies[at].message,
            ledger.queue_shape(ledger.copies[at].home).name
        )),
    }
}

/// What is not durable does not survive a restart.
pub(crate) fn check_survivor(ledger: &Ledger, at: usize, dead: bool) -> Verdict {
    let copy = &ledger.copies[at];
    let durable = if dead {
        copy.durable_dead
    } else {
        copy.durable_home
    };
    if !durable || copy.state == State::Never {
        return wrong(format!(
            "message {} of '{}' is there after a restart, which was not durable or never taken",
            copy.message,
            ledger.queue_shape(copy.home).name
        ));
    }
    Ok(())
}
