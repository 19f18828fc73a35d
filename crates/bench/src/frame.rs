//! What all pages of a comparison have alike: the machine, the sides, tables with a column for each side.
//!
//! ```text
//! Frame (figures, which side is held against which, words) -> machine, sides, charts, rates, costs, latencies, empty brokers
//! ```

use std::fmt::Write;

use crate::charts::{charts, file_name};
use crate::compare::{Comparison, Row};
use crate::run::Figures;
use crate::table::{latency, maybe, number};

/// With more than this many cores busy with other things, the page warns.
const BUSY: f64 = 0.25;

/// A comparison over one protocol, ready to be told.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    /// The figures.
    pub(crate) base: &'a Comparison,
    /// Which side is held against which other, by their places.
    pub(crate) pairs: Vec<(usize, usize)>,
    /// What is counted: messages, records.
    pub(crate) unit: &'static str,
    /// What the two latencies of a workload are, if it has them.
    pub(crate) latencies: [&'static str; 2],
}

/// Messages a second: those that came, or where none is read, those that were confirmed.
fn rate(figures: &Figures) -> f64 {
    match figures.consumed > 0 {
        true => figures.consumed_per_s,
        false => figures.published_per_s,
    }
}

fn is_paced(row: &Row) -> bool {
    row.medians.iter().any(|figures| figures.delivery.is_some())
}

impl Frame<'_> {
    /// Title, machine and charts, after which the sides are told.
    pub(crate) fn begin(&self, out: &mut String, title: &str) -> std::fmt::Result {
        writeln!(out, "# {title}")?;
        writeln!(
            out,
            "<!-- Made by `make bench` (crates/bench); do not edit. -->\n"
        )?;
        render_machine(out, self.base)
    }

    /// Who they are, and why another is not among them.
    pub(crate) fn sides(
        &self,
        out: &mut String,
        peer: &str,
        absent: Option<&str>,
    ) -> std::fmt::Result {
        writeln!(out, "| broker | version | durability |\n|---|---|---|")?;
        for side in &self.base.sides {
            let (name, version, durability) = (&side.name, &side.version, &side.durability);
            writeln!(out, "| {name} | {version} | {durability} |")?;
        }
        if let Some(why) = absent {
            writeln!(
                out,
                "\n{peer} was not measured beside it ({why}): these are polybus' figures alone."
            )?;
        }
        writeln!(out)
    }

    /// Links to the charts, if it is known what the page's file is called, without `.md`.
    pub(crate) fn charts(&self, out: &mut String, stem: Option<&str>) -> std::fmt::Result {
        let Some(stem) = stem else {
            return Ok(());
        };
        for chart in charts(self.base) {
            let file = file_name(stem, chart.name);
            writeln!(out, "![{}]({file})\n", chart.title)?;
        }
        Ok(())
    }

    /// How many times the figure of the one each other has, by pairs.
    fn ratios(&self, row: &Row, of: impl Fn(&Figures) -> f64) -> String {
        let times = |(ours, theirs): &(usize, usize)| {
            let ours = row.medians.get(*ours).map_or(0.0, &of);
            let theirs = row.medians.get(*theirs).map_or(0.0, &of);
            match ours > 0.0 && theirs > 0.0 {
                true => format!(" {:.2} |", ours / theirs),
                false => " - |".to_owned(),
            }
        };
        self.pairs.iter().map(times).collect()
    }

    fn ratio_columns(&self) -> Vec<String> {
        let name = |index: usize| self.base.sides.get(index).map_or("", |side| &side.name);
        let pairs = self.pairs.iter();
        pairs
            .map(|(ours, theirs)| format!("{} / {}", name(*ours), name(*theirs)))
            .collect()
    }

    /// Messages a second.
    pub(crate) fn rates(&self, out: &mut String) -> std::fmt::Result {
        let rows = || self.base.rows.iter().filter(|row| !is_paced(row));
        if rows().next().is_none() {
            return Ok(());
        }
        let (first, rest) = self.unit.split_at_checked(1).unwrap_or_default();
        writeln!(out, "## {}{rest} a second\n", first.to_uppercase())?;
        let mut columns = per_side(self.base, &[&format!("{}/s", self.unit)]);
        columns.extend(self.ratio_columns());
        let has_aim = rows().any(|row| row.target_ratio.is_some());
        columns.extend(has_aim.then(|| "aim".to_owned()));
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
            write!(out, "{}", self.ratios(row, rate))?;
            if has_aim {
                write!(out, " {} |", maybe(row.target_ratio))?;
            }
            let rounds = row.rounds.iter().map(Vec::len).max().unwrap_or(0);
            writeln!(out, " {rounds} | {:.2} |", row.other_load)?;
        }
        writeln!(out)
    }

    /// Processor time and memory.
    pub(crate) fn costs(&self, out: &mut String) -> std::fmt::Result {
        if self.base.rows.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "## What it costs\n\n\
             Processor time of the broker (all its processes, user and system) in seconds for a million {} (so: in \
             microseconds for each), and its greatest resident memory.\n",
            self.unit
        )?;
        let mut columns = per_side(self.base, &["s/million", "% of a core", "MiB"]);
        let of = self.ratio_columns();
        columns.extend(of.iter().map(|name| format!("s/million, {name}")));
        columns.push("client s/million".into());
        head(out, "workload", &columns)?;
        for row in &self.base.rows {
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
            let times = self.ratios(row, |figures| figures.server_cpu_us.unwrap_or(0.0));
            let client = row.medians.first().map(|figures| figures.client_cpu_us);
            writeln!(out, "{times} {} |", maybe(client))?;
        }
        writeln!(out)
    }

    /// Latencies of the workloads that have some.
    pub(crate) fn latencies(&self, out: &mut String) -> std::fmt::Result {
        let has = |row: &&Row| row.medians.iter().any(|figures| figures.confirm.is_some());
        let rows: Vec<&Row> = self.base.rows.iter().filter(has).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let of = |row: &&Row| row.medians.iter().any(|figures| figures.delivery.is_some());
        let count = if rows.iter().any(of) { 2 } else { 1 };
        writeln!(out, "## Latency (p50 / p99 / p99.9)\n")?;
        let what: Vec<&str> = self.latencies.into_iter().take(count).collect();
        head(out, "workload", &per_side(self.base, &what))?;
        for row in rows {
            write!(out, "| {}: {} |", row.workload, row.about)?;
            for (figures, failure) in row.medians.iter().zip(&row.failures) {
                let both = match failure {
                    Some(_) => ["failed".to_owned(), "-".to_owned()],
                    None => [latency(figures.confirm), latency(figures.delivery)],
                };
                for text in both.iter().take(count) {
                    write!(out, " {text} |")?;
                }
            }
            writeln!(out)?;
        }
        writeln!(out)
    }
}

fn render_machine(out: &mut String, comparison: &Comparison) -> std::fmt::Result {
    let machine = &comparison.machine;
    writeln!(
        out,
        "{}: {} cores of {}, {:.0} GiB, Linux {}, {}. Load of the machine before and after: {:.2}, {:.2}.",
        machine.day(),
        machine.cores,
        machine.processor,
        machine.memory_gib,
        machine.kernel,
        machine.file_system,
        comparison.load_before,
        comparison.load_after,
    )?;
    if machine.sync.is_some() {
        writeln!(
            out,
            "The disk: 4 KiB overwritten and synced (p50 / p99 / p99.9): {}.",
            latency(machine.sync)
        )?;
    }
    writeln!(
        out,
        "Medians of {} runs of {} s of publishing each, alternating between the brokers; client and brokers share the cores.\n",
        comparison.rounds,
        number(comparison.seconds)
    )?;
    let others: f64 = comparison.rows.iter().map(|row| row.other_load).sum();
    let others = others / comparison.rows.len().max(1) as f64;
    if others > BUSY {
        writeln!(
            out,
            "**Processes that take no part kept {others:.1} cores busy meanwhile: take these as orders of magnitude.**\n"
        )?;
    }
    Ok(())
}

/// A table with a column or more for each side.
pub(crate) fn head(out: &mut String, first: &str, columns: &[String]) -> std::fmt::Result {
    write!(out, "| {first} |")?;
    for column in columns {
        write!(out, " {column} |")?;
    }
    write!(out, "\n|---|")?;
    for _ in columns {
        write!(out, "--:|")?;
    }
    writeln!(out)
}

pub(crate) fn per_side(comparison: &Comparison, what: &[&str]) -> Vec<String> {
    let sides = comparison.sides.iter();
    sides
        .flat_map(|side| what.iter().map(move |what| format!("{} {what}", side.name)))
        .collect()
}

pub(crate) fn render_startup(out: &mut String, comparison: &Comparison) -> std::fmt::Result {
    if comparison.startup.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Empty and idle\n")?;
    let columns = ["ready in, ms", "MiB", "% of a core"].map(String::from);
    head(out, "broker", &columns)?;
    for (side, startup) in comparison.sides.iter().zip(&comparison.startup) {
        writeln!(
            out,
            "| {} | {} | {} | {} |",
            side.name,
            number(startup.ready_ms),
            number(startup.resident_mib),
            number(startup.cpu_percent)
        )?;
    }
    writeln!(out)
}
