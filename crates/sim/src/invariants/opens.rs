//! After any crash the folder can be opened again: a torn end is cut, never taken for damage.

use polybus_broker::OpenError;

use crate::violation::Violation;

pub(crate) const NAME: &str = "opens";

/// The folder was refused.
pub(crate) fn refused(error: &OpenError) -> Violation {
    Violation::new(NAME, format!("the folder cannot be opened: {error}"))
}
