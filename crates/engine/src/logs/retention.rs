//! What goes by itself: runs for their age and size, producers that are idle. Looked after at intervals, partition by
//! partition; a partition that grows far past its size in between is looked after at once.
//!
//! What always holds: nothing goes that is not durable, or that transactions owe, or may come to owe, to the topic's bindings.

use polybus_model::Millis;

use super::At;
use crate::turn::Turn;
use crate::{Engine, Store};

/// Partitions looked after in one turn.
const PARTITIONS_PER_TURN: usize = 256;
/// Runs given up in one turn.
const RUNS_PER_TURN: usize = 16 * 1024;
/// A partition may grow past its size by this share of it, or by so many bytes if that is more.
const SLACK_SHARE: u64 = 8;
const SLACK_BYTES_MIN: u64 = 1 << 20;

/// The round that looks after all partitions again and again.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// When it goes on; none while there are no logs.
    due: Option<Millis>,
    /// Where it goes on.
    next: Option<At>,
}

impl Sweep {
    pub(super) fn deadline(&self) -> Option<Millis> {
        self.due
    }
}

impl Engine {
    /// There are logs: sees to it that they are looked after.
    pub(crate) fn start_sweeping(&mut self, now: Millis) {
        if self.logs.sweep.due.is_none() && !self.logs.all.is_empty() {
            self.logs.sweep.due = Some(now.saturating_add(self.options.log_sweep_ms));
        }
    }

    /// Does the next part of the round, if it is due.
    pub(crate) fn sweep_logs(&mut self, turn: &mut Turn<'_, impl Store>) {
        if self.logs.sweep.due.is_none_or(|due| due > turn.now) {
            return;
        }
        let first = self.logs.sweep.next.take();
        let first = first.unwrap_or(At {
            log: 0,
            partition: 0,
        });
        let mut runs = RUNS_PER_TURN;
        let mut next = Some(first);
        for _ in 0..PARTITIONS_PER_TURN {
            let Some(at) = next.and_then(|next| self.partition_from(next)) else {
                next = None;
                break;
            };
            runs -= self.sweep_partition(at, runs, turn);
            self.logs.look_for_compaction(at, turn.now);
            if runs == 0 {
                next = Some(at);
                break;
            }
            next = Some(At {
                partition: at.partition + 1,
                ..at
            });
        }
        self.logs.sweep.next = next;
        self.logs.sweep.due = match next {
            Some(_) => Some(turn.now),
            None => None,
        };
        self.start_sweeping(turn.now);
    }

    /// The first partition that there is at or behind a place in the round.
    fn partition_from(&self, from: At) -> Option<At> {
        let (log, found) = self.logs.all.range(from.log..).next()?;
        let first = if *log == from.log { from.partition } else { 0 };
        if (first as usize) < found.partitions.len() {
            return Some(At {
                log: *log,
                partition: first,
            });
        }
        let (log, _) = self.logs.all.range(log.checked_add(1)?..).next()?;
        Some(At {
            log: *log,
            partition: 0,
        })
    }

    /// Gives up what is too old or too much; gives how many runs that were.
    fn sweep_partition(
        &mut self,
        at: At,
        runs_max: usize,
        turn: &mut Turn<'_, impl Store>,
    ) -> usize {
        let handed_on_to = self.handed_on_to(at);
        let Some(log) = self.logs.all.get_mut(&at.log) else {
            return 0;
        };
        let settings = &log.settings;
        // A keyed log keeps its limits itself, exactly.
        let trims = settings.trims && settings.keyed.is_none();
        let bytes_max = settings.retention_bytes;
        let oldest = settings
            .retention_ms
            .and_then(|age| turn.now.checked_sub(age));
        let Some(partition) = log.partitions.get_mut(at.partition as usize) else {
            return 0;
        };
        partition.producers.expire(turn.now);
        if !trims {
            return 0;
        }
        let mut bytes = partition.bytes;
        let too_much = |bytes: u64, len: u32| {
            let left = bytes.saturating_sub(len.into());
            bytes_max.is_some_and(|max| left >= max)
        };
        let mut runs = 0;
        let mut start = partition.start;
        for run in partition.runs.iter().take(runs_max) {
            let old = oldest.is_some_and(|oldest| run.latest < oldest);
            if run.end() > partition.end.min(handed_on_to) || !(old || too_much(bytes, run.len)) {
                break;
            }
            bytes -= u64::from(run.len);
            start = run.end();
            runs += 1;
        }
        if runs > 0 {
            self.give_up(at, start, runs, turn);
        }
        runs
    }

    /// After an append: a partition that is far too large is looked after at once.
    pub(super) fn trim_by_size(&mut self, at: At, turn: &mut Turn<'_, impl Store>) {
        let Some(log) = self.logs.all.get(&at.log) else {
            return;
        };
        let Some(max) = log.settings.retention_bytes.filter(|_| log.settings.trims) else {
            return;
        };
        let slack = (max / SLACK_SHARE).max(SLACK_BYTES_MIN);
        let partition = log.partitions.get(at.partition as usize);
        if partition.is_some_and(|one| one.bytes > max.saturating_add(slack)) {
            self.sweep_partition(at, RUNS_PER_TURN, turn);
        }
    }
}
