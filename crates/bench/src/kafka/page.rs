//! The page of a comparison over Kafka's protocol, for docs/reference/performance-kafka.md; its charts lie beside it.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::compare::KafkaComparison;
use crate::charts;
use crate::error::BenchError;
use crate::frame::{Frame, head, render_startup};
use crate::table::number;

/// Writes the page, and its charts beside it.
///
/// # Errors
/// [`BenchError::Io`] if that fails.
pub fn write(found: &KafkaComparison, path: &Path) -> Result<(), BenchError> {
    charts::write(&found.base, path)?;
    fs::write(path, render(found, Some(&charts::stem(path))))
        .map_err(BenchError::io(format!("writing {}", path.display())))
}

/// The page's text; with links to the charts if it is known what its file is called, without `.md`.
#[must_use]
pub fn render(found: &KafkaComparison, stem: Option<&str>) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = render_to(&mut out, found, stem);
    out
}

fn render_to(out: &mut String, found: &KafkaComparison, stem: Option<&str>) -> std::fmt::Result {
    let sides = found.base.sides.len();
    let frame = Frame {
        base: &found.base,
        // Kafka is the last of them.
        pairs: match found.absent {
            None => (0..sides.saturating_sub(1))
                .map(|ours| (ours, sides - 1))
                .collect(),
            Some(_) => Vec::new(),
        },
        unit: "records",
        latencies: ["request to confirm", "request to consumer"],
    };
    frame.begin(out, "Performance over Kafka's protocol")?;
    frame.sides(out, "Apache Kafka", found.absent.as_deref())?;
    frame.charts(out, stem)?;
    frame.rates(out)?;
    frame.costs(out)?;
    frame.latencies(out)?;
    render_startup(out, &found.base)?;
    render_partitions(out, found)?;
    render_method(out)
}

fn render_partitions(out: &mut String, found: &KafkaComparison) -> std::fmt::Result {
    if found.partitions.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "## 10,000 partitions\n\n\
         100 topics of 100 partitions, then a restart; ready is when Metadata names a leader for each.\n"
    )?;
    let columns = ["created in, ms", "ready in after a restart, ms", "MiB"].map(String::from);
    head(out, "broker", &columns)?;
    for (side, many) in found.base.sides.iter().zip(&found.partitions) {
        match &many.failure {
            Some(failure) => {
                let failure = failure.replace('|', "/");
                writeln!(out, "| {} | failed: {failure} | - | - |", side.name)?;
            }
            None => writeln!(
                out,
                "| {} | {} | {} | {} |",
                side.name,
                number(many.created_ms),
                number(many.ready_ms),
                number(many.resident_mib)
            )?,
        }
    }
    writeln!(out)
}

fn render_method(out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "## How\n\n\
         `crates/bench` speaks Kafka's protocol over plain sockets, the same bytes to each side: Produce 9 with acks=all (all \
         replicas: there is one) and no compression, by a producer that is not idempotent; requests are made beforehand and carry \
         as many partitions' batches as fit in 1 MiB, and five are in flight on one connection. Fetch 12 asks for 1 MiB, one request after \
         the other on one connection. Each broker works for 2 s before it is measured, with a virtual machine of 1 GiB as Kafka's own script \
         starts it. Each run checks that base offsets follow each other without a gap, that partitions end where they should, and that every \
         batch comes back in its place with the CRC it was sent with; a run that finds otherwise is a failure and has no figures. \
         On the schedule a request counts as sent when it was due; its rate is half of what the slowest side took in `produce-100b-16k`. Between \
         rounds all is synced, so that no side pays for what another left to the system. \"Others' load\" is how many cores processes that take no \
         part kept busy.\n\n\
         Again, on your machine: `make bench`, or `polybus-bench compare --kafka --workload consume-100b --rounds 5`."
    )
}
