//! What was confirmed or read of a log is there after any crash, at its offset and with its bytes, unless it was given up.

use crate::logs::Partition;
use crate::violation::{Verdict, Violation};

pub(crate) const NAME: &str = "log_kept";

/// After a restart: the partition reaches at least as far as was confirmed or read.
pub(crate) fn check_end(partition: &Partition, end: u64) -> Verdict {
    if end >= partition.end_sure {
        return Ok(());
    }
    let (name, sure) = (&partition.name, partition.end_sure);
    let detail = format!("{name:?} ends at {end}, but {sure} was confirmed or read");
    Err(Violation::new(NAME, detail))
}

/// A run is not as it was sent.
pub(crate) fn changed(partition: &Partition, offset: u64, number: Option<u64>) -> Verdict {
    let name = &partition.name;
    let detail = format!("{name:?} at {offset}: this was never sent so (run {number:?}?)");
    Err(Violation::new(NAME, detail))
}
