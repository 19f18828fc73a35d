//! An invariant that did not hold.

use std::fmt;

/// Which invariant, and what was seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The invariant: its module's name under `invariants/`.
    pub invariant: &'static str,
    /// What was seen, in a sentence.
    pub detail: String,
}

impl Violation {
    pub(crate) fn new(invariant: &'static str, detail: String) -> Self {
        Self { invariant, detail }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.detail)
    }
}

impl std::error::Error for Violation {}

/// Whether all is well so far.
pub(crate) type Verdict = Result<(), Violation>;
