//! A flipped bit is found, or it was where nothing stands: a damaged folder is never opened with less in it.

use crate::violation::Violation;

pub(crate) const NAME: &str = "damage";

/// The damaged folder was opened, and something is wrong with what it holds.
pub(crate) fn unnoticed(file: &str, offset: u64, found: &Violation) -> Violation {
    Violation::new(
        NAME,
        format!("a bit flipped in '{file}' at {offset} was not noticed: {found}"),
    )
}
