//! A partition's start moves forward only, and for a reason: a request, or its log's limits. What a trim that was confirmed
//! gave up does not come back.

use polybus_model::Millis;

use crate::logs::{Partition, SentRun};
use crate::violation::{Verdict, Violation};

pub(crate) const NAME: &str = "log_start";

/// What a run's record takes beside the run, at most.
const RECORD_BYTES_MAX: u64 = 128;

/// The start is not before where it was.
pub(crate) fn check_forward(partition: &Partition, before: u64, start: u64) -> Verdict {
    if start >= before {
        return Ok(());
    }
    fault(
        partition,
        &format!("it starts at {start}, after it started at {before}"),
    )
}

/// Something was appended: not before the start. (One that comes again is told where it went, even if that was given up.)
pub(crate) fn check_told(partition: &Partition, run: &SentRun, offset: u64) -> Verdict {
    if offset >= partition.start_sure || run.writer.is_some() {
        return Ok(());
    }
    let start = partition.start_sure;
    fault(
        partition,
        &format!("a run went to {offset}, and it starts at {start}"),
    )
}

/// What is sure and before the start was given up for a reason.
pub(crate) fn check_gone(partition: &Partition, runs: &[SentRun], now_max: Millis) -> Verdict {
    if partition.start <= partition.trim_asked {
        return Ok(());
    }
    let kept = partition.placed.range(partition.start..);
    let kept: u64 = kept
        .map(|(_, run)| runs[*run].len as u64 + RECORD_BYTES_MAX)
        .sum();
    if partition.retention_bytes.is_some_and(|max| kept >= max) {
        return Ok(());
    }
    let gone = partition.placed.range(..partition.start).next_back();
    let old = |run: &usize| {
        let age = now_max.saturating_sub(runs[*run].sent_at);
        partition.retention_ms.is_some_and(|max| age >= max)
    };
    if gone.is_none_or(|(_, run)| old(run)) {
        return Ok(());
    }
    let (start, asked) = (partition.start, partition.trim_asked);
    fault(
        partition,
        &format!("it starts at {start}; {asked} was asked for, and {kept} bytes are left"),
    )
}

fn fault(partition: &Partition, what: &str) -> Verdict {
    let detail = format!("{:?}: {what}", partition.name);
    Err(Violation::new(NAME, detail))
}
