//! A comparison's figures as bar charts: SVG files that lie beside the page.
//!
//! ```text
//! Comparison -> Bars (what is drawn, as data) -> SVG:   label |=====----..   text
//!                                                             1      10     100   (log axis)
//! ```
//! An image does not know the page's colours, so each has its own background, and turns dark when the reader's system is.
//! A chart for which there are no figures is none: an old file of that name is taken away, since it would show other figures
//! than the page.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::compare::{Comparison, Row};
use crate::error::BenchError;
use crate::page::{is_paced_or_idle, ratio};
use crate::run::Figures;
use crate::table::{latency, micros, number};

const WIDTH: f64 = 880.0;
const PLOT_LEFT: f64 = 145.0;
const PLOT_WIDTH: f64 = 515.0;
const PLOT_TOP: f64 = 92.0;
const BAR_HEIGHT: f64 = 13.0;
const BAR_GAP: f64 = 2.0;
const GROUP_GAP: f64 = 11.0;

/// The file names' endings.
const NAMES: [&str; 3] = ["throughput", "cpu", "latency"];

/// A chart.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What the file's name ends with.
    pub name: &'static str,
    /// What it shows, for who cannot see it.
    pub title: String,
    /// The file.
    pub svg: String,
}

/// Where a chart of the page with that stem (its name without `.md`) lies.
#[must_use]
pub fn file_name(stem: &str, name: &str) -> String {
    format!("{stem}-{name}.svg")
}

/// The charts for which there are figures.
#[must_use]
pub fn charts(comparison: &Comparison) -> Vec<Chart> {
    let all = [
        throughput(comparison),
        cpu(comparison),
        latencies(comparison),
    ];
    let drawn = NAMES.into_iter().zip(all).filter_map(|(name, bars)| {
        let bars = bars?;
        Some(Chart {
            name,
            svg: bars.svg()?,
            title: bars.title,
        })
    });
    drawn.collect()
}

/// Writes the charts beside the page.
///
/// # Errors
/// [`BenchError::Io`] if that fails.
pub fn write(comparison: &Comparison, page: &Path) -> Result<(), BenchError> {
    let charts = charts(comparison);
    for name in NAMES {
        let path = path_beside(page, name);
        let failed = BenchError::io(format!("writing {}", path.display()));
        let chart = charts.iter().find(|chart| chart.name == name);
        let written = match chart {
            Some(chart) => fs::write(&path, &chart.svg),
            None => match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        };
        written.map_err(failed)?;
    }
    Ok(())
}

/// The page's name without `.md`.
#[must_use]
pub fn stem(page: &Path) -> String {
    let stem = page.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

fn path_beside(page: &Path, name: &str) -> PathBuf {
    page.with_file_name(file_name(&stem(page), name))
}

/// What a chart shows.
struct Bars {
    title: String,
    note: String,
    legend: Vec<(usize, String)>,
    /// Where bars begin; none: at the left.
    base: Option<f64>,
    tick: fn(f64) -> String,
    groups: Vec<Group>,
}

/// The bars of a workload.
struct Group {
    label: String,
    bars: Vec<Bar>,
    aim: Option<f64>,
}

struct Bar {
    /// Whose colour.
    side: usize,
    /// Where it ends; several: one within the other, each paler than the one before.
    ends: Vec<f64>,
    text: String,
}

fn throughput(comparison: &Comparison) -> Option<Bars> {
    let [ours, theirs] = comparison.sides.as_slice() else {
        return rates(comparison);
    };
    let group = |row: &Row| {
        let times = ratio(row, |figures| Some(figures.consumed_per_s))?;
        let bar = Bar {
            side: usize::from(times < 1.0),
            ends: vec![times],
            text: format!("{}x", number(times)),
        };
        Some(Group {
            label: row.workload.clone(),
            bars: vec![bar],
            aim: row.target_ratio,
        })
    };
    let rows = comparison.rows.iter().filter(|row| !is_paced_or_idle(row));
    Some(Bars {
        title: format!(
            "Messages a second: the rate of {} over that of {}",
            ours.name, theirs.name
        ),
        note: "Consumed messages a second, medians; log axis. The tick is what is aimed at.".into(),
        legend: vec![
            (0, format!("{} is faster", ours.name)),
            (1, format!("{} is faster", theirs.name)),
        ],
        base: Some(1.0),
        tick: |times| format!("{times}x"),
        groups: rows.filter_map(group).collect(),
    })
}

/// Of more sides than two: the rates themselves.
fn rates(comparison: &Comparison) -> Option<Bars> {
    if comparison.sides.len() < 3 {
        return None;
    }
    let bar = |side: usize, figures: &Figures| {
        let rate = match figures.consumed_per_s > 0.0 {
            true => figures.consumed_per_s,
            false => figures.published_per_s,
        };
        (rate > 0.0 && figures.delivery.is_none()).then(|| Bar {
            side,
            ends: vec![rate],
            text: number(rate),
        })
    };
    Some(Bars {
        title: "Messages a second".into(),
        note: "Medians; log axis. More is better.".into(),
        legend: legend(comparison),
        base: None,
        tick: number,
        groups: groups(comparison, bar),
    })
}

fn cpu(comparison: &Comparison) -> Option<Bars> {
    let bar = |side: usize, figures: &Figures| {
        let us = figures.server_cpu_us.filter(|us| *us > 0.0)?;
        Some(Bar {
            side,
            ends: vec![us],
            text: format!("{} us", number(us)),
        })
    };
    Some(Bars {
        title: "Processor time of the broker for each message".into(),
        note:
            "Microseconds, user and system, all its processes, medians; log axis. Less is better."
                .into(),
        legend: legend(comparison),
        base: None,
        tick: |us| format!("{us} us"),
        groups: groups(comparison, bar),
    })
}

fn latencies(comparison: &Comparison) -> Option<Bars> {
    let bar = |side: usize, figures: &Figures| {
        let of = figures.confirm.filter(|of| of.p50_us > 0.0)?;
        Some(Bar {
            side,
            ends: vec![of.p50_us, of.p99_us, of.p999_us],
            text: latency(Some(of)),
        })
    };
    Some(Bars {
        title: "From a publish to its confirm: p50, p99, p99.9".into(),
        note: "Full colour to the median, paler to p99, palest to p99.9; log axis. Less is better."
            .into(),
        legend: legend(comparison),
        base: None,
        tick: micros,
        groups: groups(comparison, bar),
    })
}

fn legend(comparison: &Comparison) -> Vec<(usize, String)> {
    let names = comparison.sides.iter().map(|side| side.name.clone());
    names.enumerate().collect()
}

/// A bar for each side that has such a figure.
fn groups(comparison: &Comparison, bar: impl Fn(usize, &Figures) -> Option<Bar>) -> Vec<Group> {
    let group = |row: &Row| {
        let sides = row.medians.iter().enumerate();
        let bars: Vec<_> = sides
            .filter_map(|(side, figures)| bar(side, figures))
            .collect();
        (!bars.is_empty()).then(|| Group {
            label: row.workload.clone(),
            bars,
            aim: None,
        })
    };
    comparison.rows.iter().filter_map(group).collect()
}

/// Powers of ten, and where they are.
struct Axis {
    low: i32,
    high: i32,
}

impl Axis {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        // A bar of the least value still has a length.
        let low = (low.log10() - 0.05).floor() as i32;
        Self {
            low,
            high: (high.log10().ceil() as i32).max(low + 1),
        }
    }

    fn x(&self, value: f64) -> f64 {
        let share = (value.log10() - f64::from(self.low)) / f64::from(self.high - self.low);
        PLOT_LEFT + PLOT_WIDTH * share.clamp(0.0, 1.0)
    }
}

const STYLE: &str = "\
.back{fill:#fff}.text{fill:#1f2328}.dim{fill:#59636e}.grid{stroke:#d1d9e0}.base,.aim{stroke:#1f2328}.side0{fill:#0969da}.side1{fill:#d4691e}.side2{fill:#8250df}
@media(prefers-color-scheme:dark){.back{fill:#0d1117}.text{fill:#f0f6fc}.dim{fill:#9198a1}.grid{stroke:#30363d}.base,.aim{stroke:#f0f6fc}\
.side0{fill:#4493f8}.side1{fill:#f0883e}.side2{fill:#ab7df8}}
text{font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif}.head{font-size:16px;font-weight:600}\
.end{text-anchor:end}.mid{text-anchor:middle}";

impl Bars {
    /// None if there is nothing to draw.
    fn svg(&self) -> Option<String> {
        let all = || self.groups.iter().flat_map(|group| &group.bars);
        all().next()?;
        let ends = all().flat_map(|bar| bar.ends.iter().copied());
        let aims = self.groups.iter().filter_map(|group| group.aim);
        let axis = Axis::of(ends.chain(aims).chain(self.base));
        let bottom = PLOT_TOP + self.groups.iter().map(Group::height).sum::<f64>();
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.draw(&mut out, &axis, bottom);
        Some(out)
    }

    fn draw(&self, out: &mut String, axis: &Axis, bottom: f64) -> std::fmt::Result {
        let height = bottom + 34.0;
        let title = escaped(&self.title);
        writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\">"
        )?;
        writeln!(out, "<title>{title}</title>\n<style>{STYLE}</style>")?;
        writeln!(
            out,
            "<rect class=\"back\" width=\"{WIDTH}\" height=\"{height}\" rx=\"6\"/>"
        )?;
        text(out, 16.0, 28.0, "text head", &self.title)?;
        text(out, 16.0, 48.0, "dim", &self.note)?;
        for ((side, name), x) in self.legend.iter().zip([0.0, 160.0, 320.0]) {
            let x = PLOT_LEFT + x;
            writeln!(
                out,
                "<rect class=\"side{side}\" x=\"{x}\" y=\"62\" width=\"12\" height=\"12\" rx=\"2\"/>"
            )?;
            text(out, x + 18.0, 72.0, "text", name)?;
        }
        self.draw_grid(out, axis, bottom)?;
        let mut top = PLOT_TOP;
        for group in &self.groups {
            group.draw(out, axis, top, self.base)?;
            top += group.height();
        }
        writeln!(out, "</svg>")
    }

    fn draw_grid(&self, out: &mut String, axis: &Axis, bottom: f64) -> std::fmt::Result {
        for power in axis.low..=axis.high {
            let value = 10_f64.powi(power);
            let is_base = self
                .base
                .is_some_and(|base| base.log10() == f64::from(power));
            let class = if is_base { "base" } else { "grid" };
            let x = axis.x(value);
            line(out, class, x, PLOT_TOP - 4.0, bottom)?;
            text(out, x, bottom + 18.0, "dim mid", &(self.tick)(value))?;
        }
        Ok(())
    }
}

impl Group {
    fn height(&self) -> f64 {
        self.bars.len() as f64 * (BAR_HEIGHT + BAR_GAP) + GROUP_GAP
    }

    fn draw(&self, out: &mut String, axis: &Axis, top: f64, base: Option<f64>) -> std::fmt::Result {
        let bottom = top + self.height() - GROUP_GAP;
        let middle = f64::midpoint(top, bottom);
        text(out, PLOT_LEFT - 10.0, middle + 3.0, "text end", &self.label)?;
        let begin = base.map_or(PLOT_LEFT, |base| axis.x(base));
        for (index, bar) in self.bars.iter().enumerate() {
            let y = top + index as f64 * (BAR_HEIGHT + BAR_GAP);
            let mut right = begin;
            for (inner, end) in bar.ends.iter().enumerate().rev() {
                let opacity = [1.0, 0.55, 0.28].get(inner).copied().unwrap_or(0.28);
                let end = axis.x(*end);
                right = right.max(end);
                writeln!(
                    out,
                    "<rect class=\"side{}\" x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR_HEIGHT}\" opacity=\"{opacity}\"/>",
                    bar.side,
                    begin.min(end),
                    (begin - end).abs(),
                )?;
            }
            text(out, right + 7.0, y + 10.5, "text", &bar.text)?;
        }
        match self.aim {
            Some(aim) => line(out, "aim", axis.x(aim), top - 2.0, bottom),
            None => Ok(()),
        }
    }
}

fn line(out: &mut String, class: &str, x: f64, top: f64, bottom: f64) -> std::fmt::Result {
    let width = if class == "aim" { 2 } else { 1 };
    writeln!(
        out,
        "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\" stroke-width=\"{width}\"/>"
    )
}

fn text(out: &mut String, x: f64, y: f64, class: &str, text: &str) -> std::fmt::Result {
    let text = escaped(text);
    writeln!(
        out,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests;
