//! The page of a comparison, for docs/reference/performance.md; its charts lie beside it.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::charts::{self, charts, file_name};
use crate::compare::{Comparison, Row};
use crate::error::BenchError;
use crate::frame::{head, per_side, render_machine, render_startup};
use crate::run::Figures;
use crate::table::{latency, maybe, number};

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
    writeln!(out, "# Performance")?;
    writeln!(
        out,
        "<!-- Made by `make bench` (crates/bench); do not edit. -->\n"
    )?;
    render_machine(out, comparison)?;
    render_sides(out, comparison)?;
    if let Some(stem) = stem {
        for chart in charts(comparison) {
            let file = file_name(stem, chart.name);
            writeln!(out, "![{}]({file})\n", chart.title)?;
        }
    }
    render_rates(out, comparison)?;
    render_costs(out, comparison)?;
    render_latencies(out, comparison)?;
    render_waiting(out, comparison)?;
    render_startup(out, comparison)?;
    render_recovery(out, comparison)?;
    render_method(out)
}

fn render_sides(out: &mut String, comparison: &Comparison) -> std::fmt::Result {
    writeln!(
        out,
        "| broker | version | what a confirm of a persistent message means |"
    )?;
    writeln!(out, "|---|---|---|")?;
    for side in &comparison.sides {
        writeln!(
            out,
            "| {} | {} | {} |",
            side.name, side.version, side.durability
        )?;
    }
    if comparison.sides.len() < 2 {
        writeln!(
            out,
            "\nRabbitMQ was not measured beside it: these are polybus' figures alone."
        )?;
    }
    writeln!(out)
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

fn render_costs(out: &mut String, comparison: &Comparison) -> std::fmt::Result {
    if comparison.rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "## What it costs\n")?;
    writeln!(
        out,
        "Processor time of the broker (all its processes, user and system) for each message (published or delivered, whichever \
         are more), and its greatest resident memory.\n"
    )?;
    let mut columns = per_side(comparison, &["us/message", "% of a core", "MiB"]);
    if comparison.sides.len() == 2 {
        columns.push("us/message, ratio".into());
    }
    columns.push("client us/message".into());
    head(out, "workload", &columns)?;
    for row in &comparison.rows {
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
        if comparison.sides.len() == 2 {
            let ratio = ratio(row, |figures| figures.server_cpu_us);
            let text = ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}"));
            write!(out, " {text} |")?;
        }
        let client = row.medians.first().map(|figures| figures.client_cpu_us);
        writeln!(out, " {} |", maybe(client))?;
    }
    writeln!(out)
}

fn render_latencies(out: &mut String, comparison: &Comparison) -> std::fmt::Result {
    let has = |row: &&Row| row.medians.iter().any(|figures| figures.confirm.is_some());
    if !comparison.rows.iter().any(|row| has(&row)) {
        return Ok(());
    }
    writeln!(out, "## Latency (p50 / p99 / p99.9)\n")?;
    let columns = per_side(comparison, &["publish to confirm", "publish to delivery"]);
    head(out, "workload", &columns)?;
    for row in comparison.rows.iter().filter(has) {
        write!(out, "| {}: {} |", row.workload, row.about)?;
        for figures in &row.medians {
            let (confirm, delivery) = (latency(figures.confirm), latency(figures.delivery));
            write!(out, " {confirm} | {delivery} |")?;
        }
        writeln!(out)?;
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
