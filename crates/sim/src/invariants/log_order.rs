//! What a producer that numbers its runs appends to a partition is there in the order of its numbers.

use crate::logs::{Partition, SentRun, Stream};
use crate::violation::{Verdict, Violation};

pub(crate) const NAME: &str = "log_order";

/// A run was seen at an offset: those sent before it are before it, those sent later behind.
pub(crate) fn check(
    partition: &Partition,
    stream: &Stream,
    runs: &[SentRun],
    number: usize,
    offset: u64,
) -> Verdict {
    let run = &runs[number];
    if run.writer.is_none() {
        return Ok(());
    }
    let placed = |other: &&usize| runs[**other].offset.is_some();
    let before = stream.sent[..run.place].iter().rev().find(placed);
    let behind = stream.sent[run.place + 1..].iter().find(placed);
    let wrong = [
        before.filter(|other| runs[**other].offset > Some(offset)),
        behind.filter(|other| runs[**other].offset < Some(offset)),
    ];
    match wrong.into_iter().flatten().next() {
        None => Ok(()),
        Some(other) => {
            let (name, there) = (&partition.name, runs[*other].offset);
            let detail = format!(
                "{name:?}: run {number} is at {offset}, and {other} of its producer at {there:?}"
            );
            Err(Violation::new(NAME, detail))
        }
    }
}
