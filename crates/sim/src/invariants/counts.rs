//! The counts that the broker shows are those of the model: what is held exactly, what is ready up to what rules may have
//! taken away; and what has a dead-letter queue never just goes.

use polybus_broker::admin;

use crate::ledger::{Ledger, State};
use crate::violation::{Verdict, Violation};

use super::limits;

pub(crate) const NAME: &str = "counts";

#[derive(Clone, Copy, Default, Debug)]
struct Expected {
    leased: u64,
    /// Surely there and not held.
    sure: u64,
    /// There unless a rule took them.
    maybe: u64,
}

/// Compares with the broker's listing.
pub(crate) fn check(ledger: &Ledger, listed: &[admin::Queue]) -> Verdict {
    let wrong = |detail: String| Err(Violation::new(NAME, detail));
    let mut expected = vec![Expected::default(); ledger.ready.len()];
    let (mut total, mut may_vanish) = (0, 0);
    for copy in ledger.copies.iter().filter(|copy| copy.is_alive()) {
        total += 1;
        let gone = ledger.may_be_gone(copy);
        let letters = ledger.queue_shape(copy.home).has_letters();
        let here = &mut expected[copy.queue()];
        match copy.state {
            State::Leased(_) => here.leased += 1,
            _ if gone => {
                here.maybe += 1;
                may_vanish += u64::from(!letters || copy.unsure);
                if letters {
                    expected[crate::shape::DEAD].maybe += 1;
                }
            }
            _ => here.sure += 1,
        }
    }
    let mut listed_total = 0;
    for (queue, expected) in expected.iter().enumerate() {
        let shape = ledger.queue_shape(queue);
        let Some(found) = listed.iter().find(|one| one.name == shape.name.as_str()) else {
            return wrong(format!("'{}' is not listed", shape.name));
        };
        let unheld = found.ready + found.waiting;
        // A dead letter that is passed over at home may not have come there yet.
        let slack = match queue == crate::shape::DEAD {
            true => unsure_dead(ledger),
            false => 0,
        };
        let range = expected.sure.saturating_sub(slack)..=expected.sure + expected.maybe + slack;
        let range_home = *range.start()..=range.end() + home_slack(ledger, queue);
        if found.unacknowledged != expected.leased || !range_home.contains(&unheld) {
            return wrong(format!(
                "'{}' has {} ready, {} waiting, {} held; the model says {expected:?}",
                shape.name, found.ready, found.waiting, found.unacknowledged
            ));
        }
        limits::check_length(ledger, queue, found)?;
        listed_total += unheld + found.unacknowledged;
    }
    if listed_total > total || listed_total + may_vanish < total {
        return wrong(format!(
            "{listed_total} messages are listed of {total}, of which {may_vanish} may have gone by a rule"
        ));
    }
    Ok(())
}

/// Dead letters of which it is not known when they died: they may still be dying at home.
fn unsure_dead(ledger: &Ledger) -> u64 {
    let dying = |copy: &&crate::ledger::Copy| copy.dead && copy.state == State::Ready;
    ledger.copies.iter().filter(dying).count() as u64
}

/// The same, seen from home.
fn home_slack(ledger: &Ledger, queue: usize) -> u64 {
    let dying =
        |copy: &&crate::ledger::Copy| copy.dead && copy.state == State::Ready && copy.home == queue;
    ledger.copies.iter().filter(dying).count() as u64
}
