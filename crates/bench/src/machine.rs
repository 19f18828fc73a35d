//! The machine that figures are from: no figure without it.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::error::BenchError;
use crate::histogram::{Histogram, Latency};

/// What there is to know about a machine.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// How many of it.
    pub cores: usize,
    /// Memory.
    pub memory_gib: f64,
    /// The kernel.
    pub kernel: String,
    /// The file system of the data folders.
    pub file_system: String,
    /// 4 KiB written at the same place and synced: what a confirm cannot be faster than.
    pub sync: Option<Latency>,
    /// When, in seconds since the Unix epoch.
    pub unix_s: u64,
}

impl Machine {
    /// Looks at this machine; `folder` is where data will be.
    #[must_use]
    pub fn look(folder: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| -> String {
            let line = text.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.split_once(':'));
            value.map_or_else(|| "unknown".into(), |(_, value)| value.trim().into())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let kib = memory
            .split_whitespace()
            .next()
            .and_then(|n| n.parse().ok());
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            memory_gib: kib.map_or(0.0, |kib: f64| kib / (1024.0 * 1024.0)),
            kernel: read("/proc/sys/kernel/osrelease").trim().into(),
            file_system: file_system(folder),
            sync: sync_latency(folder).ok().flatten(),
            unix_s: since.map_or(0, |since| since.as_secs()),
        }
    }

    /// The day, as 2026-07-31.
    #[must_use]
    pub fn day(&self) -> String {
        // Days to a date of the Gregorian calendar (Howard Hinnant's civil_from_days, for dates after 1970).
        let shifted = self.unix_s / 86_400 + 719_468;
        let era = shifted / 146_097;
        let of_era = shifted % 146_097;
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_index = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month_index + 2) / 5 + 1;
        let month = if month_index < 10 {
            month_index + 3
        } else {
            month_index - 9
        };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        format!("{year:04}-{month:02}-{day:02}")
    }
}

/// Processes that ran or waited for a processor, on average over the last minute.
#[must_use]
pub fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split_whitespace().next();
    first.and_then(|first| first.parse().ok()).unwrap_or(0.0)
}

/// Processor seconds that the whole machine has spent working, all processes together.
#[must_use]
pub fn busy_cpu_s() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = line
        .split_whitespace()
        .skip(1)
        .filter_map(|number| number.parse().ok())
        .collect();
    // user, nice, system, (idle, iowait,) irq, softirq, steal
    let busy: f64 = [0, 1, 2, 5, 6, 7]
        .iter()
        .filter_map(|index| ticks.get(*index))
        .sum();
    busy / rustix::param::clock_ticks_per_second() as f64
}

fn file_system(folder: &Path) -> String {
    let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.into());
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mut best: (usize, String) = (0, "unknown".into());
    for line in mounts.lines() {
        let mut fields = line.split_whitespace().skip(1);
        if let (Some(point), Some(kind)) = (fields.next(), fields.next())
            && folder.starts_with(point)
            && point.len() >= best.0
        {
            best = (point.len(), kind.into());
        }
    }
    best.1
}

fn sync_latency(folder: &Path) -> Result<Option<Latency>, BenchError> {
    let path = folder.join("polybus-bench.sync");
    let at = || format!("syncing {}", path.display());
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let mut file = options.open(&path).map_err(BenchError::io(at()))?;
    let block = [b'x'; 4096];
    let mut histogram = Histogram::default();
    for _ in 0..200 {
        let begin = Instant::now();
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.write_all(&block))
            .and_then(|()| file.sync_data())
            .map_err(BenchError::io(at()))?;
        histogram.record(begin.elapsed().as_nanos() as u64);
    }
    fs::remove_file(&path).map_err(BenchError::io(at()))?;
    Ok(histogram.latency())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days() {
        let day = |unix_s| {
            let machine = Machine {
                unix_s,
                ..Machine::default()
            };
            machine.day()
        };
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(951_782_400), "2000-02-29");
        assert_eq!(day(1_767_225_599), "2025-12-31");
    }
}
