//! Without a fault of the disk no step of the broker fails; and a disk that fails only a copy or a snapshot for lack of room
//! does not end it either.

use crate::violation::Violation;

pub(crate) const NAME: &str = "healthy";

/// A step failed although nothing was wrong with the disk.
pub(crate) fn failed(step: &str, reason: &str) -> Violation {
    Violation::new(NAME, format!("{step} failed on a sound disk: {reason}"))
}
