//! Readers see only what is durable: a partition's end moves forward only, and what a reader saw a later one sees, too.

use crate::logs::Partition;
use crate::violation::{Verdict, Violation};

pub(crate) const NAME: &str = "log_durable";

/// The end is not before what was sure when it was asked for.
pub(crate) fn check_end(partition: &Partition, sure: u64, end: u64) -> Verdict {
    if end >= sure {
        return Ok(());
    }
    fault(partition, &format!("the end is {end}, after it was {sure}"))
}

/// A reader that is told its offset does not exist lags behind the start.
pub(crate) fn check_in_range(partition: &Partition, offset: u64, start: u64) -> Verdict {
    if offset < start {
        return Ok(());
    }
    let what = format!("{offset} is out of range, up to where a reader had come");
    fault(partition, &what)
}

/// What a reader is given is before the end that it is told.
pub(crate) fn check_within(partition: &Partition, next: u64, end: u64) -> Verdict {
    if next <= end {
        return Ok(());
    }
    fault(
        partition,
        &format!("records up to {next} come, and the end is {end}"),
    )
}

fn fault(partition: &Partition, what: &str) -> Verdict {
    let detail = format!("{:?}: {what}", partition.name);
    Err(Violation::new(NAME, detail))
}
