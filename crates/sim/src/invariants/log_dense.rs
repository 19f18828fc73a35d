//! The offsets of a partition are dense: every one belongs to exactly one run, for every reader at any time.

use polybus_model::Run;

use crate::logs::{Partition, SentRun};
use crate::violation::{Verdict, Violation};

pub(crate) const NAME: &str = "log_dense";

/// A run at an offset takes nothing of what is sure to be another's.
pub(crate) fn check_place(
    partition: &Partition,
    runs: &[SentRun],
    number: usize,
    offset: u64,
) -> Verdict {
    let end = offset + u64::from(runs[number].count);
    let before = partition.placed.range(..end).next_back();
    let other = before.filter(|(from, other)| {
        **other != number && *from + u64::from(runs[**other].count) > offset
    });
    let Some((from, other)) = other else {
        return Ok(());
    };
    let name = &partition.name;
    let detail = format!("{name:?}: run {number} is at {offset}, where {other} is from {from} on");
    Err(Violation::new(NAME, detail))
}

/// The next run that a reader is given follows the one before; its first one holds the offset that was asked for.
pub(crate) fn check_next(partition: &Partition, wanted: u64, run: &Run, follows: bool) -> Verdict {
    let holds = run.offset <= wanted && wanted < run.offset + u64::from(run.count);
    if run.offset == wanted || (holds && !follows) {
        return Ok(());
    }
    let (name, offset, count) = (&partition.name, run.offset, run.count);
    let detail = format!("{name:?}: {count} records at {offset} come where {wanted} is due");
    Err(Violation::new(NAME, detail))
}

/// Reading from the start on gets to the end.
pub(crate) fn check_goes_on(partition: &Partition, next: u64, end: u64, some: bool) -> Verdict {
    if some || next >= end {
        return Ok(());
    }
    let name = &partition.name;
    let detail = format!("{name:?}: nothing comes from {next} on, and it ends at {end}");
    Err(Violation::new(NAME, detail))
}
