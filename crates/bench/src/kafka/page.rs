//! The page of a comparison over Kafka's protocol, for docs/reference/performance-kafka.md; its charts lie beside it.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::compare::KafkaComparison;
use crate::charts::{self, charts, file_name};
use crate::compare::Row;
use crate::error::BenchError;
use crate::page::{head, per_side, render_machine, render_startup};
use crate::run::Figures;
use crate::table::{latency, maybe, number};

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
    writeln!(out, "# Performance over Kafka's protocol")?;
    writeln!(
        out,
        "<!-- Made by `make bench` (crates/bench); do not edit. -->\n"
    )?;
    render_machine(out, &found.base)?;
    render_sides(out, found)?;
    if let Some(stem) = stem {
        for chart in charts(&found.base) {
            let file = file_name(stem, chart.name);
            writeln!(out, "![{}]({file})\n", chart.title)?;
        }
    }
    render_rates(out, found)?;
    render_costs(out, found)?;
    render_latencies(out, found)?;
    render_startup(out, &found.base)?;
    render_partitions(out, found)?;
    render_method(out)
}

fn render_sides(out: &mut String, found: &KafkaComparison) -> std::fmt::Result {
    writeln!(out, "| broker | version | durability |\n|---|---|---|")?;
    for side in &found.base.sides {
        let (name, version, durability) = (&side.name, &side.version, &side.durability);
        writeln!(out, "| {name} | {version} | {durability} |")?;
    }
    if let Some(why) = &found.absent {
        writeln!(
            out,
            "\nApache Kafka was not measured beside it ({why}): these are polybus' figures alone."
        )?;
    }
    writeln!(out)
}

/// Records a second: produced, or where nothing is, consumed.
fn rate(figures: &Figures) -> f64 {
    if figures.published > 0 {
        figures.published_per_s
    } else {
        figures.consumed_per_s
    }
}

fn is_paced(row: &Row) -> bool {
    row.medians.iter().any(|figures| figures.delivery.is_some())
}

/// How many times the last side's figure each of the others has.
fn ratios(row: &Row, found: &KafkaComparison, of: impl Fn(&Figures) -> f64) -> String {
    let sides = row.medians.len();
    let Some(theirs) = row.medians.last().map(&of).filter(|_| has_peer(found)) else {
        return String::new();
    };
    let times = |ours: f64| match ours > 0.0 && theirs > 0.0 {
        true => format!(" {:.2} |", ours / theirs),
        false => " - |".to_owned(),
    };
    let ours = row.medians.iter().take(sides.saturating_sub(1));
    ours.map(|figures| times(of(figures))).collect()
}

const fn has_peer(found: &KafkaComparison) -> bool {
    found.absent.is_none()
}

fn ratio_columns(found: &KafkaComparison) -> Vec<String> {
    let sides = &found.base.sides;
    let others = sides.len().saturating_sub(1);
    match sides.last() {
        Some(peer) if has_peer(found) => sides
            .iter()
            .take(others)
            .map(|side| format!("{} / {}", side.name, peer.name))
            .collect(),
        _ => Vec::new(),
    }
}

fn render_rates(out: &mut String, found: &KafkaComparison) -> std::fmt::Result {
    let rows = || found.base.rows.iter().filter(|row| !is_paced(row));
    if rows().next().is_none() {
        return Ok(());
    }
    writeln!(out, "## Records a second\n")?;
    let mut columns = per_side(&found.base, &["records/s"]);
    columns.extend(ratio_columns(found));
    columns.extend(["rounds".into(), "others' load".into()]);
    head(out, "workload", &columns)?;
    for row in rows() {
        write!(out, "| **{}**: {} |", row.workload, row.about)?;
        for (figures, failure) in row.medians.iter().zip(&row.failures) {
            match failure {
                Some(failure) => write!(out, " failed: {} |", failure.replace('|', "/"))?,
                None => write!(out, " {} |", number(rate(figures)))?,
            }
        }
        write!(out, "{}", ratios(row, found, rate))?;
        let rounds = row.rounds.iter().map(Vec::len).max().unwrap_or(0);
        writeln!(out, " {rounds} | {:.2} |", row.other_load)?;
    }
    writeln!(out)
}

fn render_costs(out: &mut String, found: &KafkaComparison) -> std::fmt::Result {
    if found.base.rows.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "## What it costs\n\n\
         Processor time of the broker (all its processes, user and system) in seconds for a million records (so: in \
         microseconds for each), and its greatest resident memory.\n"
    )?;
    let mut columns = per_side(&found.base, &["s/million", "% of a core", "MiB"]);
    let of = ratio_columns(found);
    columns.extend(of.iter().map(|name| format!("s/million, {name}")));
    columns.push("client s/million".into());
    head(out, "workload", &columns)?;
    for row in &found.base.rows {
        write!(out, "| {} |", row.workload)?;
        for figures in &row.medians {
            write!(
                out,
                " {} | {} | {} |",
                maybe(figures.server_cpu_us),
                maybe(figures.server_cpu_percent),
                maybe(figures.resident_mib)
            )?;
        }
        let times = ratios(row, found, |figures| figures.server_cpu_us.unwrap_or(0.0));
        let client = row.medians.first().map(|figures| figures.client_cpu_us);
        writeln!(out, "{times} {} |", maybe(client))?;
    }
    writeln!(out)
}

fn render_latencies(out: &mut String, found: &KafkaComparison) -> std::fmt::Result {
    let has = |row: &&Row| row.medians.iter().any(|figures| figures.confirm.is_some());
    if !found.base.rows.iter().any(|row| has(&row)) {
        return Ok(());
    }
    writeln!(out, "## Latency (p50 / p99 / p99.9)\n")?;
    let columns = per_side(&found.base, &["request to confirm", "request to consumer"]);
    head(out, "workload", &columns)?;
    for row in found.base.rows.iter().filter(has) {
        write!(out, "| {}: {} |", row.workload, row.about)?;
        for (figures, failure) in row.medians.iter().zip(&row.failures) {
            let (confirm, delivery) = (latency(figures.confirm), latency(figures.delivery));
            match failure {
                Some(_) => write!(out, " failed | - |")?,
                None => write!(out, " {confirm} | {delivery} |")?,
            }
        }
        writeln!(out)?;
    }
    writeln!(out)
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
