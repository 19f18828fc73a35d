//! The rules of queues hold: nothing expired is delivered, nothing dies for a reason that it has not, no retry comes too
//! early, and no queue that drops its head is longer than it may be.

use polybus_broker::admin;
use polybus_model::{DeathReason, Message};

use crate::ledger::{Ledger, State};
use crate::violation::{Verdict, Violation};

pub(crate) const NAME: &str = "limits";

/// A copy is handed over.
pub(crate) fn check_delivery(ledger: &Ledger, at: usize) -> Verdict {
    let copy = &ledger.copies[at];
    let wrong = |what: String| Err(Violation::new(NAME, what));
    if let Some(expiry) = copy
        .expiry
        .filter(|expiry| !copy.dead && *expiry < ledger.now)
    {
        let late = ledger.now - expiry;
        return wrong(format!(
            "message {} comes {late} ms after it expired",
            copy.message
        ));
    }
    if let State::Waiting(until) = copy.state
        && ledger.now_max < until
    {
        let early = until - ledger.now_max;
        return wrong(format!(
            "message {} is retried {early} ms early",
            copy.message
        ));
    }
    Ok(())
}

/// A copy came among the dead by a rule.
pub(crate) fn check_death(ledger: &Ledger, at: usize, message: &Message) -> Verdict {
    let copy = &ledger.copies[at];
    let queue = ledger.queue_shape(copy.home);
    let reason = message
        .deaths()
        .and_then(|deaths| deaths.first())
        .map(|death| death.reason);
    let alive = matches!(
        copy.state,
        State::Ready | State::Waiting(_) | State::Dropped
    );
    let right = match reason {
        Some(DeathReason::Expired) => copy.expiry.is_some_and(|expiry| expiry <= ledger.now_max),
        Some(DeathReason::MaxLength) => queue.drops_head(),
        Some(DeathReason::DeliveryLimit) => queue
            .settings
            .delivery_limit
            .is_some_and(|limit| copy.failures > limit),
        Some(DeathReason::Rejected) | None => false,
    };
    if alive && right {
        return Ok(());
    }
    Err(Violation::new(
        NAME,
        format!(
            "message {} died in '{}' ({reason:?}), without cause: {:?}, {} failures",
            copy.message, queue.name, copy.state, copy.failures
        ),
    ))
}

/// Lengths as listed.
pub(crate) fn check_length(ledger: &Ledger, queue: usize, listed: &admin::Queue) -> Verdict {
    let shape = ledger.queue_shape(queue);
    let max = shape
        .settings
        .max_length
        .filter(|_| shape.drops_head() && ledger.published_to[queue]);
    match max {
        Some(max) if listed.ready > max => Err(Violation::new(
            NAME,
            format!("'{}' has {} ready of {max}", shape.name, listed.ready),
        )),
        _ => Ok(()),
    }
}
