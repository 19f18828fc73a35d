//! What a reader's record settled, and was told to survive, is not handed out again; what is handed out is what stands there.

use std::collections::BTreeSet;

use crate::violation::{Verdict, Violation};

pub(crate) const NAME: &str = "reader_settled";

/// A record is handed out; `sure`: where its message is known to be.
pub(crate) fn check(offset: u64, sure: Option<u64>, settled: &BTreeSet<u64>) -> Verdict {
    if settled.contains(&offset) {
        let detail = format!("{offset} was settled for good, and comes again");
        return Err(Violation::new(NAME, detail));
    }
    match sure.filter(|sure| *sure != offset) {
        None => Ok(()),
        Some(sure) => {
            let detail = format!("the message at {sure} is handed out as the one at {offset}");
            Err(Violation::new(NAME, detail))
        }
    }
}
