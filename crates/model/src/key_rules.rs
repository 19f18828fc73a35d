//! Which keys of live topics a user may publish to and subscribe to, beside what it may do to the topics themselves.
//!
//! The patterns are text as the protocol writes them whose clients they are for: its sessions read them, and keep to them.

use crate::Millis;

/// A user's rules in a namespace.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct KeyRules {
    /// What it may publish to.
    pub publish: KeyPatterns,
    /// What it may subscribe to, and is handed.
    pub subscribe: KeyPatterns,
    /// It may answer what it was handed, whatever else it may publish to.
    pub answers: Option<Answers>,
}

/// Patterns of keys.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct KeyPatterns {
    /// Only these (none: all but those denied).
    pub allow: Option<Vec<String>>,
    /// Not these, whatever is allowed.
    pub deny: Vec<String>,
}

/// How a user may answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answers {
    /// So many times each.
    pub count_max: u32,
    /// For so long, in milliseconds.
    pub within_ms: Millis,
}
