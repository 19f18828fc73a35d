//! A request that may be made is carried out, and answered as its kind demands.

use polybus_model::{Error, Reply};

use crate::ledger::{Ask, Copy, Ledger, State};
use crate::violation::{Verdict, Violation};

pub(crate) const NAME: &str = "answers";

/// An answer came.
pub(crate) fn check_reply(ask: Option<Ask>, result: &Result<Reply, Box<Error>>) -> Verdict {
    let wrong = |detail| Err(Violation::new(NAME, detail));
    match (ask, result) {
        (None, _) => wrong(format!("{result:?} answers nothing")),
        (Some(Ask::Subscribe { refused: true }), Err(_)) => Ok(()),
        (Some(Ask::Subscribe { refused: false }), Ok(Reply::Done)) => Ok(()),
        (Some(ask), Err(error)) => wrong(format!("{ask:?} may not fail, and did: {error}")),
        (Some(Ask::Take { .. }), Ok(Reply::Taken(_)))
        | (Some(Ask::Purge { .. }), Ok(Reply::Count(_)))
        | (Some(Ask::Transaction { .. }), Ok(Reply::Done))
        | (Some(Ask::Other), Ok(Reply::Done | Reply::Queue { .. })) => Ok(()),
        (Some(ask), Ok(reply)) => wrong(format!("{ask:?} was answered with {reply:?}")),
    }
}

/// A purge says how many messages went: all that were ready, but for what a rule had taken before.
pub(crate) fn check_purge(ledger: &Ledger, queue: usize, count: u64, expected: u64) -> Verdict {
    let shape = ledger.queue_shape(queue);
    let exact = !shape.drops_head()
        && shape.settings.delivery_limit.is_none()
        && shape.settings.delayed_retry.is_none()
        && !ledger
            .copies
            .iter()
            .any(|copy| copy.home == queue && copy.expiry.is_some());
    if exact && count != expected {
        let detail = format!("purging '{}' gave {count}, not {expected}", shape.name);
        return Err(Violation::new(NAME, detail));
    }
    Ok(())
}

/// There was nothing to take: then nothing may be ready for certain.
pub(crate) fn check_nothing_taken(ledger: &Ledger, queue: usize) -> Verdict {
    // A letter whose death was not seen may still be on its way.
    let unseen = |copy: &Copy| copy.dead && copy.died.is_none() && !copy.delivered;
    let waits = ledger.copies.iter().find(|copy| {
        copy.queue() == queue
            && !unseen(copy)
            && copy.state == State::Ready
            && copy.since < ledger.turn
            && !ledger.may_be_gone(copy)
    });
    match waits {
        None => Ok(()),
        Some(copy) => Err(Violation::new(
            NAME,
            format!(
                "'{}' gave nothing, though message {} waits in it",
                ledger.queue_shape(queue).name,
                copy.message
            ),
        )),
    }
}
