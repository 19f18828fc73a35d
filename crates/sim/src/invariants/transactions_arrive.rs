//! What a committed transaction wrote arrives where its log's topic is bound to: all of it, once and in order; nothing else
//! does.

use std::collections::{BTreeMap, BTreeSet};

use crate::clerks::transactions::{Fate, Transaction};
use crate::violation::{Verdict, Violation};

pub(crate) const NAME: &str = "transactions_arrive";

/// Nothing comes twice.
pub(crate) fn check_once(arrived: &[u64]) -> Verdict {
    let mut seen = BTreeSet::new();
    match arrived.iter().find(|number| !seen.insert(**number)) {
        None => Ok(()),
        Some(number) => fault(format!("{number} has arrived twice")),
    }
}

/// What a transaction wrote to one partition comes as it was written.
pub(crate) fn check_order(
    arrived: &[u64],
    all: &[Transaction],
    of_record: &BTreeMap<u64, usize>,
) -> Verdict {
    let mut last: BTreeMap<(usize, u32), u64> = BTreeMap::new();
    for number in arrived {
        let Some(of) = of_record.get(number) else {
            continue;
        };
        let records = all.get(*of).into_iter().flat_map(|one| &one.records);
        let Some((partition, _)) = records.into_iter().find(|one| one.1 == *number) else {
            return fault(format!("{number} has arrived, and was refused"));
        };
        let before = last.insert((*of, *partition), *number);
        if before.is_some_and(|before| before > *number) {
            return fault(format!("{number} has arrived behind {before:?}"));
        }
    }
    Ok(())
}

/// Nothing is under way: all of it has arrived.
pub(crate) fn check_all(transaction: &Transaction, arrived: &[u64]) -> Verdict {
    if transaction.fate != Fate::Committed {
        return Ok(());
    }
    let mut records = transaction.records.iter();
    match records.find(|(_, number)| !arrived.contains(number)) {
        None => Ok(()),
        Some((_, number)) => fault(format!("{number} has not arrived, of {transaction:?}")),
    }
}

fn fault(detail: String) -> Verdict {
    Err(Violation::new(NAME, detail))
}
