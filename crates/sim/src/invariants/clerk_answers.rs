//! Clerks are answered once, and as they asked.

use std::fmt::Debug;

use crate::violation::{Verdict, Violation};

pub(crate) const NAME: &str = "clerk_answers";

/// Nobody waits for this answer.
pub(crate) fn unasked(clerk: &str, number: u64) -> Verdict {
    fault(format!("the clerk of {clerk} did not ask {number}"))
}

/// An answer that does not fit the question. `may_be`: the disk is full or has failed.
pub(crate) fn unexpected(clerk: &str, answer: &impl Debug, may_be: bool) -> Verdict {
    match may_be {
        true => Ok(()),
        false => fault(format!("the clerk of {clerk} was told {answer:?}")),
    }
}

fn fault(detail: String) -> Verdict {
    Err(Violation::new(NAME, detail))
}
