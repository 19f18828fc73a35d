//! What a server's processes cost, from /proc.

use std::fs;
use std::time::Duration;

/// A process and all its descendants as of when it was looked at.
#[derive(Clone, Debug)]
pub struct Tree {
    pids: Vec<u32>,
}

impl Tree {
    /// The process without descendants.
    #[must_use]
    pub fn alone(pid: u32) -> Self {
        Self { pids: vec![pid] }
    }

    /// Finds the descendants.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        let mut parents = Vec::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let name = entry.file_name();
            if let Some(child) = name.to_str().and_then(|name| name.parse().ok())
                && let Some(parent) = stat_field(child, 1)
            {
                parents.push((child, parent as u32));
            }
        }
        let mut pids = vec![pid];
        let mut next = 0;
        while let Some(&parent) = pids.get(next) {
            next += 1;
            for (child, of) in &parents {
                if *of == parent && !pids.contains(child) {
                    pids.push(*child);
                }
            }
        }
        Self { pids }
    }

    /// Their ids.
    #[must_use]
    pub fn pids(&self) -> &[u32] {
        &self.pids
    }

    /// The time they have spent on processors.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        let ticks: u64 = self.pids.iter().map(|pid| cpu_ticks(*pid)).sum();
        Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Their memory that is in RAM.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let pages = |pid| -> Option<u64> {
            let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
            text.split_whitespace().nth(1)?.parse().ok()
        };
        let pages: u64 = self.pids.iter().filter_map(|pid| pages(*pid)).sum();
        pages * rustix::param::page_size() as u64
    }
}

fn cpu_ticks(pid: u32) -> u64 {
    stat_field(pid, 11).unwrap_or(0) + stat_field(pid, 12).unwrap_or(0)
}

/// A number of /proc/PID/stat, counted from the state (0), which comes after the name.
fn stat_field(pid: u32, index: usize) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_whitespace().nth(index)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory() {
        let tree = Tree::of(std::process::id());
        assert!(tree.resident_bytes() > 100_000);
        assert!(tree.cpu() < Duration::from_secs(3600));
    }
}
