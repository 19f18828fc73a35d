//! Messages of one queue and priority come in the order of their publishes, those that came back in their old place.

use crate::ledger::{Ledger, ReadyKey};
use crate::shape::DEAD;
use crate::violation::{Verdict, Violation};

pub(crate) const NAME: &str = "order";

/// At the end of a turn: nothing that was ready all the time was passed over. What a rule may have taken is taken to be so.
pub(crate) fn check_turn(ledger: &mut Ledger) -> Verdict {
    check_sessions(ledger)?;
    let mut latest: Vec<Option<(ReadyKey, usize)>> = vec![None; ledger.ready.len()];
    for seen in ledger.seen.iter().filter(|seen| seen.queue != DEAD) {
        let key = ledger.copies[seen.copy].key();
        let latest = &mut latest[seen.queue];
        if latest.is_none_or(|(other, _)| other < key) {
            *latest = Some((key, seen.copy));
        }
    }
    for (queue, latest) in latest.into_iter().enumerate() {
        let Some((key, delivered)) = latest else {
            continue;
        };
        let passed: Vec<usize> = ledger.ready[queue]
            .range(..key)
            .map(|(_, at)| *at)
            .collect();
        for at in passed {
            let copy = &ledger.copies[at];
            if copy.since >= ledger.turn {
                continue;
            }
            if !ledger.may_be_gone(copy) {
                return Err(Violation::new(
                    NAME,
                    format!(
                        "'{}' gave message {} before message {}, which was ready and has its place before it",
                        ledger.queue_shape(queue).name,
                        ledger.copies[delivered].message,
                        copy.message
                    ),
                ));
            }
            ledger.pass_over(at);
        }
    }
    Ok(())
}

/// What one session gets of a queue in one turn is in order.
fn check_sessions(ledger: &Ledger) -> Verdict {
    for (at, later) in ledger.seen.iter().enumerate() {
        if later.queue == DEAD || !later.was_ready {
            continue;
        }
        let earlier = ledger.seen[..at].iter().rev().find(|earlier| {
            earlier.queue == later.queue && earlier.session == later.session && earlier.was_ready
        });
        let Some(earlier) = earlier else { continue };
        let (first, second) = (&ledger.copies[earlier.copy], &ledger.copies[later.copy]);
        if first.key() > second.key() {
            return Err(Violation::new(
                NAME,
                format!(
                    "'{}' gave message {} before message {}",
                    ledger.queue_shape(later.queue).name,
                    first.message,
                    second.message
                ),
            ));
        }
    }
    Ok(())
}

/// After a restart a queue's messages stand in order.
pub(crate) fn check_found(ledger: &Ledger, at: usize, last: &mut Option<ReadyKey>) -> Verdict {
    let copy = &ledger.copies[at];
    let key = copy.key();
    if last.is_some_and(|last| last >= key) {
        return Err(Violation::new(
            NAME,
            format!(
                "after a restart message {} stands in the wrong place in '{}'",
                copy.message,
                ledger.queue_shape(copy.home).name
            ),
        ));
    }
    *last = Some(key);
    Ok(())
}
