//! When all is written and read back, no message waits for a consumer that could have it, and no request for its answer.

use polybus_broker::admin;
use polybus_model::QueueKind;

use crate::ledger::Ledger;
use crate::violation::{Verdict, Violation};

pub(crate) const NAME: &str = "progress";

/// Nothing is under way any more.
pub(crate) fn check_quiet(ledger: &Ledger, listed: &[admin::Queue]) -> Verdict {
    for (queue, shape) in ledger.shape.queues.iter().enumerate() {
        let ready = listed
            .iter()
            .find(|one| one.name == shape.name.as_str())
            .map_or(0, |one| one.ready);
        if ready == 0 {
            continue;
        }
        let (mut able, mut all, mut held) = (0, 0, 0);
        for session in ledger.sessions.values() {
            for subscriber in session.subscribers.values() {
                if subscriber.queue != queue {
                    continue;
                }
                let lane = session.lanes.get(&subscriber.lane);
                let can = subscriber.has_credit()
                    && lane.is_some_and(|lane| lane.has_credit(subscriber.auto_settle))
                    && session.outstanding < ledger.window_bytes;
                all += 1;
                held += subscriber.held;
                able += usize::from(can);
            }
        }
        // One of a higher priority waits until the active one of a quorum queue holds nothing.
        let hands_over = shape.settings.kind == QueueKind::Quorum && held > 0;
        let stuck = match shape.settings.single_active {
            true => able > 0 && able == all && !hands_over,
            false => able > 0,
        };
        if stuck {
            return Err(Violation::new(
                NAME,
                format!(
                    "'{}' has {ready} ready, and {able} of {all} consumers could have them",
                    shape.name
                ),
            ));
        }
    }
    for (id, session) in &ledger.sessions {
        for (lane, state) in &session.lanes {
            if let Some(ask) = &state.ask {
                let detail = format!("{id:?} {lane:?}: {ask:?} is never answered");
                return Err(Violation::new(NAME, detail));
            }
        }
    }
    Ok(())
}

/// What is read back is never what is wanted.
pub(crate) fn loads_again_and_again() -> Verdict {
    let detail = "something is read back again and again".to_owned();
    Err(Violation::new(NAME, detail))
}
