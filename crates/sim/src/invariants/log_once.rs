//! A run is in its log once, however often a producer that numbers its runs has sent it; and one that does not sends it once.

use crate::logs::{Partition, SentRun};
use crate::violation::{Verdict, Violation};

pub(crate) const NAME: &str = "log_once";

/// A run was seen at an offset.
pub(crate) fn check(partition: &Partition, number: usize, run: &SentRun, offset: u64) -> Verdict {
    match run.offset {
        Some(before) if before != offset => {
            let name = &partition.name;
            let detail = format!("{name:?}: run {number} is at {offset}, and at {before}");
            Err(Violation::new(NAME, detail))
        }
        _ => Ok(()),
    }
}
