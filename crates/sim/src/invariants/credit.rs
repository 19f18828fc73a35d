//! A consumer never holds more than its credit, a lane never more than its limit, and a session whose window is full gets
//! nothing.

use polybus_model::SessionId;

use crate::ledger::{Ledger, SubscriberModel};
use crate::violation::{Verdict, Violation};

pub(crate) const NAME: &str = "credit";

/// A delivery is about to be noted.
pub(crate) fn check_delivery(
    ledger: &Ledger,
    id: SessionId,
    subscriber: &SubscriberModel,
) -> Verdict {
    let wrong = |detail: String| Err(Violation::new(NAME, detail));
    let Some(session) = ledger.sessions.get(&id) else {
        return wrong(format!("{id:?} is not connected"));
    };
    if !subscriber.has_credit() {
        return wrong(format!(
            "{id:?}: a consumer holds {} of {:?} and gets one more",
            subscriber.held, subscriber.credit
        ));
    }
    let lane = session.lanes.get(&subscriber.lane);
    if !lane.is_some_and(|lane| lane.has_credit(subscriber.auto_settle)) {
        return wrong(format!("{id:?}: {lane:?} may not get one more"));
    }
    if session.outstanding >= ledger.window_bytes {
        return wrong(format!(
            "{id:?}: {} bytes are on the way, and one more message is sent",
            session.outstanding
        ));
    }
    Ok(())
}
