//! The page of a comparison, for docs/reference/performance.md; its charts lie beside it.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::charts;
use crate::compare::{Comparison, Row};
use crate::error::BenchError;
use crate::frame::{Frame, head, per_side, render_startup};
use crate::run::Figures;
use crate::table::{maybe, number};

/// Writes the page, and its charts beside it.
///
/// # Errors
/// [`BenchError::Io`] if that fails.
pub fn write(comparison: &Comparison, path: &Path) -> Result<(), BenchError> {
    charts::write(comparison, path)?;
    fs::write(path, render(comparison, Some(&charts::stem(path))))
        .map_err(BenchError::io(format!("writing {}", path.display())))
}

/// The page's text; with links to the charts if it is known what its file is called, without `.md`.
#[must_use]
pub fn render(comparison: &Comparison, stem: Option<&str>) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = render_to(&mut out, comparison, stem);
    out
}

fn render_to(out: &mut String, comparison: &Comparison, stem: Option<&str>) -> std::fmt::Result {
    let frame = Frame {
        base: comparison,
        pairs: (1..comparison.sides.len())
            .map(|theirs| (0, theirs))
            .collect(),
        unit: "messages",
        latencies: ["publish to confirm", "publish to delivery"],
    };
    frame.begin(out, "Performance")?;
    let absent =
        (comparison.sides.len() < 2).then_some("it is not installed, or was not asked for");
    frame.sides(out, "RabbitMQ", absent)?;
    frame.charts(out, stem)?;
    render_rates(out, comparison)?;
    frame.costs(out)?;
    frame.latencies(out)?;
    render_waiting(out, comparison)?;
    render_startup(out, comparison)?;
    render_recovery(out, comparison)?;
    render_method(out)
}

/// The first side's figure over the second's.
pub(crate) fn ratio(row: &Row, of: impl Fn(&Figures) -> Option<f64>) -> Option<f64> {
    let ours = of(row.medians.first()?)?;
    let theirs = of(row.medians.get(1)?)?;
    (ours > 0.0 && theirs > 0.0).then(|| ours / theirs)
}

pub(crate) fn is_paced_or_idle(row: &Row) -> bool {
    row.workload == "latency" || row.workload.starts_with("idle")
}

fn render_rates(out: &mut String, comparison: &Comparison) -> std::fmt::Result {
    let rows = || comparison.rows.iter().filter(|row| !is_paced_or_idle(row));
    if rows().next().is_none() {
        return Ok(());
    }
    writeln!(out, "## Messages a second\n")?;
    let mut columns = per_side(comparison, &["published/s", "consumed/s"]);
    let is_pair = comparison.sides.len() == 2;
    if is_pair {
        columns.extend(["consumed, ratio".into(), "aim".into()]);
    }
    columns.push("others' load".into());
    head(out, "workload", &columns)?;
    for row in rows() {
        write!(out, "| **{}**: {} |", row.workload, row.about)?;
        for (figures, failure) in row.medians.iter().zip(&row.failures) {
            match failure {
                Some(failure) => write!(out, " failed | {} |", failure.replace('|', "/"))?,
                None => write!(
                    out,
                    " {} | {} |",
                    number(figures.published_per_s),
                    number(figures.consumed_per_s)
                )?,
            }
        }
        if is_pair {
            let reached = ratio(row, |figures| Some(figures.consumed_per_s));
            let times =
                |ratio: Option<f64>| ratio.map_or_else(|| "-".into(), |r| format!("{r:.1}x"));
            write!(out, " {} | {} |", times(reached), times(row.target_ratio))?;
        }
        writeln!(out, " {:.2} |", row.other_load)?;
    }
    writeln!(out)
}

fn render_waiting(out: &mut String, comparison: &Comparison) -> std::fmt::Result {
    let is_waiting = |figures: &Figures| figures.resident_waiting_mib.is_some();
    let has = |row: &&Row| row.medians.iter().any(is_waiting);
    if !comparison.rows.iter().any(|row| has(&row)) {
        return Ok(());
    }
    writeln!(out, "## Messages waiting\n")?;
    let columns = per_side(
        comparison,
        &["messages", "MiB while waiting", "first get, ms"],
    );
    head(out, "workload", &columns)?;
    for row in comparison.rows.iter().filter(has) {
        write!(out, "| {} |", row.workload)?;
        for figures in &row.medians {
            write!(
                out,
                " {} | {} | {} |",
                number(figures.published as f64),
                maybe(figures.resident_waiting_mib),
                maybe(figures.first_get_ms)
            )?;
        }
        writeln!(out)?;
    }
    writeln!(out)
}

fn render_recovery(out: &mut String, comparison: &Comparison) -> std::fmt::Result {
    if comparison.recovery.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Killed with durable messages waiting\n")?;
    let columns = ["messages", "ready in, ms", "first message after, ms", "MiB"].map(String::from);
    head(out, "broker", &columns)?;
    for (side, recovery) in comparison.sides.iter().zip(&comparison.recovery) {
        writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            side.name,
            number(recovery.messages as f64),
            number(recovery.ready_ms),
            number(recovery.first_message_ms),
            number(recovery.resident_mib)
        )?;
    }
    writeln!(out)
}

fn render_method(out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "## How\n\n\
         `crates/bench` speaks AMQP 0-9-1 over plain sockets: publishes are frames made beforehand, of which only a stamp in the \
         body changes; deliveries are walked by frame heads. Each run checks that every queue delivered all that was sent to it, \
         once and in order; a run that finds otherwise is a failure and has no figures. Rates are over whole phases: consumed/s \
         is all messages by the time the last one came. With a window, the client writes when an eighth of it is free. At a fixed \
         rate a publish counts as sent when it was due. \"Others' load\" is how many cores processes that take no part kept busy.\n\n\
         Again, on your machine: `make bench`, or `polybus-bench compare --workload durable-16b --rounds 5`."
    )
}
