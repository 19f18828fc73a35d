//! Figures as text.

use crate::histogram::Latency;
use crate::run::Figures;

/// A number people can read: 1,234,567 or 12.3.
#[must_use]
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "-".into();
    }
    if value < 100.0 {
        return if value < 10.0 {
            format!("{value:.2}")
        } else {
            format!("{value:.1}")
        };
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number, or a dash for none.
#[must_use]
pub fn maybe(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), number)
}

/// A time in microseconds, in the unit that suits it.
#[must_use]
pub fn micros(us: f64) -> String {
    if us < 1000.0 {
        format!("{us:.0} us")
    } else if us < 1e6 {
        format!("{} ms", number(us / 1e3))
    } else {
        format!("{} s", number(us / 1e6))
    }
}

/// Three quantiles, or a dash for none.
#[must_use]
pub fn latency(latency: Option<Latency>) -> String {
    latency.map_or_else(
        || "-".into(),
        |of| {
            format!(
                "{} / {} / {}",
                micros(of.p50_us),
                micros(of.p99_us),
                micros(of.p999_us)
            )
        },
    )
}

/// Rows of cells, aligned: the first column to the left, all others to the right.
#[must_use]
pub fn aligned(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let head: Vec<String> = head.iter().map(ToString::to_string).collect();
    let mut out = String::new();
    for row in std::iter::once(&head).chain(rows) {
        for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if index == 0 {
                out.push_str(&format!("{cell:<width$}"));
            } else {
                out.push_str(&format!("  {cell:>width$}"));
            }
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    out
}

/// The columns of [`row`].
pub const COLUMNS: [&str; 9] = [
    "workload",
    "published/s",
    "consumed/s",
    "confirm p50/p99/p99.9",
    "delivery p50/p99/p99.9",
    "server us/msg",
    "server cpu %",
    "resident MiB",
    "client us/msg",
];

/// A run's figures as a row.
#[must_use]
pub fn row(name: &str, figures: &Figures) -> Vec<String> {
    vec![
        name.into(),
        number(figures.published_per_s),
        number(figures.consumed_per_s),
        latency(figures.confirm),
        latency(figures.delivery),
        maybe(figures.server_cpu_us),
        maybe(figures.server_cpu_percent),
        maybe(figures.resident_mib),
        number(figures.client_cpu_us),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(number(1_234_567.4), "1,234,567");
        assert_eq!(number(999.6), "1,000");
        assert_eq!(number(12.34), "12.3");
        assert_eq!(number(0.123), "0.12");
        assert_eq!(micros(1500.0), "1.50 ms");
    }
}
