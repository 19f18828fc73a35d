//! Confirms rise, come for what was published and once, all of them in the end, and none after the journal has failed.

use polybus_model::{Lane, SessionId};

use crate::ledger::Ledger;
use crate::violation::{Verdict, Violation};

pub(crate) const NAME: &str = "confirms";

/// A confirm came.
pub(crate) fn check_rises(ledger: &Ledger, id: SessionId, lane: Lane, through: u64) -> Verdict {
    let state = ledger
        .sessions
        .get(&id)
        .and_then(|session| session.lanes.get(&lane));
    let (last, waits) = state.map_or((0, false), |state| {
        let waits = state.unconfirmed.iter().any(|one| one.number == through);
        (state.last_confirmed, waits)
    });
    if waits && through > last {
        return Ok(());
    }
    Err(Violation::new(
        NAME,
        format!("{id:?} {lane:?}: confirmed through {through} after {last}; it waits: {waits}"),
    ))
}

/// Something is said to be durable.
pub(crate) fn check_alive(ledger: &Ledger, what: &str) -> Verdict {
    if ledger.failed {
        let detail = format!("{what} is confirmed although the journal has failed");
        return Err(Violation::new(NAME, detail));
    }
    Ok(())
}

/// All is written: nobody waits for a confirm any more.
pub(crate) fn check_quiet(ledger: &Ledger) -> Verdict {
    for (id, session) in &ledger.sessions {
        for (lane, state) in &session.lanes {
            if let Some(one) = state.unconfirmed.front() {
                return Err(Violation::new(
                    NAME,
                    format!("{id:?} {lane:?}: number {} is never confirmed", one.number),
                ));
            }
        }
    }
    Ok(())
}
