//! Who reads what is committed sees all of a transaction whose commit was confirmed, once and in order, and nothing of one that
//! was aborted or never asked to be committed; of one whose commit was asked for and not answered, all or nothing.

use crate::clerks::transactions::{Fate, Transaction};
use crate::violation::{Verdict, Violation};

pub(crate) const NAME: &str = "transactions_whole";

/// A record is seen: it is of a transaction that may be.
pub(crate) fn check_seen(
    offset: u64,
    number: Option<u64>,
    found: Option<&mut Transaction>,
) -> Result<&mut Transaction, Violation> {
    let fault = |detail| Err(Violation::new(NAME, detail));
    let Some(transaction) = found else {
        return fault(format!("{number:?} at {offset} was never written"));
    };
    match transaction.fate {
        Fate::Asked | Fate::Committed => Ok(transaction),
        Fate::Unasked | Fate::Aborted => fault(format!(
            "{number:?} at {offset} is seen, of a transaction that was not committed: {transaction:?}"
        )),
    }
}

/// All that there is was looked at.
pub(crate) fn check<'a>(transaction: &Transaction, seen: impl Fn(u32) -> &'a Vec<u64>) -> Verdict {
    if transaction.fate != Fate::Committed {
        return Ok(());
    }
    let mut places = Vec::new();
    for (partition, number) in &transaction.records {
        let found = seen(*partition);
        let times = found.iter().filter(|one| *one == number).count();
        if times != 1 {
            let detail = format!("{number} is seen {times} times, of {transaction:?}");
            return Err(Violation::new(NAME, detail));
        }
        places.push((*partition, found.iter().position(|one| one == number)));
    }
    places.sort_by_key(|(partition, _)| *partition);
    match places.is_sorted() {
        true => Ok(()),
        false => Err(Violation::new(
            NAME,
            format!("out of order: {transaction:?}"),
        )),
    }
}
