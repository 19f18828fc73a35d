//! A record of a group that leases is not lent again after it was accepted and that was confirmed.

use std::collections::BTreeSet;

use crate::violation::{Verdict, Violation};

pub(crate) const NAME: &str = "lease_settled";

/// A record is lent; `others` is what other members may still hold: then this is not its first time.
pub(crate) fn check(
    offset: u64,
    attempts: u32,
    accepted: &BTreeSet<u64>,
    others: &[u64],
) -> Verdict {
    if accepted.contains(&offset) {
        let detail = format!("{offset} was accepted, and is lent again");
        return Err(Violation::new(NAME, detail));
    }
    if others.contains(&offset) && attempts < 2 {
        let detail = format!("{offset} is with another member, and lent as if for the first time");
        return Err(Violation::new(NAME, detail));
    }
    Ok(())
}
