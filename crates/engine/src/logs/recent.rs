//! Which runs are in memory: all logs share one bound, and the oldest appended go first.
//!
//! What always holds: every run in memory has an entry here; `bytes` is what they take together.

use std::collections::VecDeque;

use super::{At, Logs};

/// Entries of runs that went already are looked for when there are more than twice as many as runs, and at least so many.
const STALE_MIN: usize = 1_024;

/// The runs in memory, oldest first.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Partition and offset; the run may be gone already.
    order: VecDeque<(At, u64)>,
    runs: usize,
    bytes: usize,
}

impl Recent {
    /// A run was kept.
    pub(super) fn kept(&mut self, at: At, offset: u64, bytes: usize) {
        self.order.push_back((at, offset));
        self.runs += 1;
        self.bytes += bytes;
    }

    /// A run takes more or less than before.
    pub(super) fn resized(&mut self, before: usize, now: usize) {
        self.bytes = self.bytes.saturating_sub(before) + now;
    }

    /// Runs were given up by their partition.
    pub(super) fn freed(&mut self, runs: usize, bytes: usize) {
        self.runs = self.runs.saturating_sub(runs);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Logs {
    /// Bytes of runs in memory.
    #[cfg(test)]
    pub(crate) fn recent_bytes(&self) -> usize {
        self.recent.bytes
    }

    /// Whether what is counted is what the partitions have.
    #[cfg(test)]
    pub(crate) fn recent_is_right(&self) -> bool {
        let partitions = self.all.values().flat_map(|log| &log.partitions);
        let held: Vec<usize> = partitions.flat_map(|one| one.recent_sizes()).collect();
        (held.len(), held.iter().sum()) == (self.recent.runs, self.recent.bytes)
    }

    /// Lets go of the oldest runs in memory until no more than `max` bytes are left.
    pub(super) fn bound_recent(&mut self, max: usize) {
        while self.recent.bytes > max {
            let Some((at, offset)) = self.recent.order.pop_front() else {
                return;
            };
            let freed = self
                .partition_mut(at)
                .and_then(|partition| partition.let_go(offset));
            if let Some(bytes) = freed {
                self.recent.freed(1, bytes);
            }
        }
        if self.recent.order.len() > STALE_MIN.max(self.recent.runs * 2) {
            let mut order = std::mem::take(&mut self.recent.order);
            order.retain(|(at, offset)| {
                self.partition(*at)
                    .is_some_and(|partition| partition.is_recent(*offset))
            });
            self.recent.order = order;
        }
    }
}
