//! A message that a keyed log has confirmed is there, at its offset, once; sent again under its id it is found there, and not
//! appended again, after a restart too.

use std::collections::{BTreeMap, BTreeSet};

use polybus_model::StoredRecord;

use crate::violation::{Verdict, Violation};

pub(crate) const NAME: &str = "keyed_kept";

/// A message was confirmed; `known`: where it was confirmed to be before.
pub(crate) fn check_stored(message: u64, known: Option<u64>, stored: &StoredRecord) -> Verdict {
    match known {
        Some(offset) if stored.offset != offset || !stored.duplicate => fault(format!(
            "message {message} is at {offset}, and then {stored:?}"
        )),
        _ => Ok(()),
    }
}

/// What is read was sent.
pub(crate) fn check_sent(offset: u64, sent: Option<u64>) -> Result<u64, Violation> {
    let detail = || format!("what is at {offset} was never sent so");
    sent.ok_or_else(|| Violation::new(NAME, detail()))
}

/// After a restart: all that there is.
pub(crate) fn check(sure: &BTreeMap<u64, u64>, seen: &[(u64, u64)]) -> Verdict {
    let mut once = BTreeSet::new();
    if let Some((offset, message)) = seen.iter().find(|one| !once.insert(one.1)) {
        return fault(format!("message {message} is there again at {offset}"));
    }
    let mut missing = sure.iter();
    let missing = missing.find(|(message, offset)| !seen.contains(&(**offset, **message)));
    match missing {
        None => Ok(()),
        Some((message, offset)) => fault(format!("message {message} is not at {offset}")),
    }
}

fn fault(detail: String) -> Verdict {
    Err(Violation::new(NAME, detail))
}
