//! The page of a comparison over NATS' protocol, for docs/reference/performance-nats.md; its charts lie beside it.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::compare::NatsComparison;
use crate::charts;
use crate::error::BenchError;
use crate::frame::{Frame, render_startup};

/// Writes the page, and its charts beside it.
///
/// # Errors
/// [`BenchError::Io`] if that fails.
pub fn write(found: &NatsComparison, path: &Path) -> Result<(), BenchError> {
    charts::write(&found.base, path)?;
    fs::write(path, render(found, Some(&charts::stem(path))))
        .map_err(BenchError::io(format!("writing {}", path.display())))
}

/// The page's text; with links to the charts if it is known what its file is called, without `.md`.
#[must_use]
pub fn render(found: &NatsComparison, stem: Option<&str>) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = render_to(&mut out, found, stem);
    out
}

fn render_to(out: &mut String, found: &NatsComparison, stem: Option<&str>) -> std::fmt::Result {
    let sides = found.base.sides.len();
    let frame = Frame {
        base: &found.base,
        // Polybus against each nats-server.
        pairs: (1..sides).map(|theirs| (0, theirs)).collect(),
        unit: "messages",
        latencies: ["request to answer", ""],
    };
    frame.begin(out, "Performance over NATS' protocol")?;
    frame.sides(out, "nats-server", found.absent.as_deref())?;
    frame.charts(out, stem)?;
    frame.rates(out)?;
    frame.costs(out)?;
    frame.latencies(out)?;
    render_startup(out, &found.base)?;
    render_method(out)
}

fn render_method(out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "## How\n\n\
         `crates/bench` speaks NATS' protocol over plain sockets, the same bytes to each side, logged in as a user. Publishes are lines \
         made beforehand of which only a stamp in the body changes, 128 KiB at a write; a publisher is at most 4 MiB ahead of \
         its slowest subscriber, so that none is cut off as slow. What comes is checked: each publisher's messages in order, none lost, \
         none twice; a run that finds otherwise is a failure and has no figures. With several subscribers of a subject every one \
         gets every message, and what they get together is counted. A request and its answer (two publishes, two deliveries; a new inbox for \
         each, one service on a connection of its own) count as one. Publishes to a stream count when they are acknowledged, in order, and \
         the stream has to hold as many. Streams are on file, and read from their beginning. Each broker is started anew for each workload and works for \
         half a second before it is measured; between rounds all is synced, so that no side pays for what another left to the system. \
         nats-server runs as it comes, with JetStream and one user. \"Others' load\" is how many cores processes that take no part kept busy.\n\n\
         Again, on your machine: `make bench`, or `polybus-bench compare --nats --workload core-16b-1-1 --rounds 5`."
    )
}
