//! The steps of a partition's compaction: what is next, and what became of it.

use std::sync::Arc;

use polybus_model::{CompactionSettings, Millis};

use super::keys::Keys;
use super::work::{Compacted, CompactionWork, Outcome, Task, Verdict};
use super::{At, Job, PAUSE_MS, Phase, cleanable_until};
use crate::effects::CompactionLoad;
use crate::logs::partition::Found;
use crate::record::Range;
use crate::turn::Turn;
use crate::{Effects, Engine, Store};

/// Bytes and runs of one step; the first run comes even if it is larger.
const STEP_BYTES: u64 = 1 << 20;
const STEP_RUNS: usize = 4_096;

/// What the next step has to do.
enum Next {
    /// Runs are to be looked at: the work, and what of it is to be read back.
    Work(CompactionLoad),
    /// All of the phase is done.
    Done,
    /// The log is gone, or compacts no more.
    Over,
}

impl Engine {
    /// Takes the next step, if it is time.
    pub(crate) fn compact_logs(&mut self, turn: &mut Turn<'_, impl Store>) {
        let compaction = &mut self.logs.compaction;
        if compaction.next_step.is_none_or(|due| due > turn.now) {
            return;
        }
        compaction.next_step = None;
        if compaction.job.is_none() {
            self.begin_compaction(turn.now);
        }
        let Some(mut job) = self.logs.compaction.job.take() else {
            return;
        };
        if job.under_way.is_some() {
            self.logs.compaction.job = Some(job);
            return;
        }
        match self.next_work(&mut job, turn.now) {
            Next::Work(load) => {
                job.under_way = Some(load.number);
                turn.out.compactions.push(load);
                self.logs.compaction.job = Some(job);
            }
            Next::Done => {
                self.logs.compaction.job = self.end_phase(job);
                self.logs.compaction.next_step = Some(turn.now);
            }
            Next::Over => self.logs.compaction.next_step = Some(turn.now),
        }
    }

    /// Begins with the next partition that is due, if one still is.
    fn begin_compaction(&mut self, now: Millis) {
        while let Some(at) = self.logs.compaction.due.pop_first() {
            let Some(settings) = self.compaction_settings(at) else {
                continue;
            };
            let Some(partition) = self.logs.partition(at) else {
                continue;
            };
            let cursor = partition.cleaned_to.max(partition.start);
            let until = cleanable_until(partition, settings, self.logs.owed.first(at), now);
            if cursor >= until {
                // A round puts it on the list again when there is more.
                continue;
            }
            self.logs.compaction.job = Some(Job {
                at,
                phase: Phase::Map(Keys::default()),
                cursor,
                began: 0,
                until,
                under_way: None,
            });
            return;
        }
    }

    fn compaction_settings(&self, at: At) -> Option<CompactionSettings> {
        let log = self.logs.all.get(&at.log)?;
        let settings = &log.settings;
        settings.compacts.then_some(settings.compaction)
    }

    fn next_work(&mut self, job: &mut Job, now: Millis) -> Next {
        let Some(settings) = self.compaction_settings(job.at) else {
            return Next::Over;
        };
        let Some(partition) = self.logs.partition(job.at) else {
            return Next::Over;
        };
        let (until, is_full) = match &job.phase {
            Phase::Map(keys) => (
                job.until,
                keys.len() >= self.options.log_compaction_keys_max.max(1),
            ),
            Phase::Clean { to, .. } => (*to, false),
        };
        let (mut items, mut runs, mut bytes) = (Vec::new(), Vec::new(), 0);
        let first = job.cursor;
        for (indexed, found) in partition.from(partition.position(first)) {
            let len = u64::from(indexed.len);
            let fits = runs.is_empty() || (bytes + len <= STEP_BYTES && runs.len() < STEP_RUNS);
            if indexed.end() > until || !fits || is_full {
                break;
            }
            bytes += len;
            job.cursor = indexed.end();
            runs.push(match found {
                Found::Recent(run) => Some(run.clone()),
                Found::Away(_) => {
                    items.push((indexed.place, indexed.len));
                    None
                }
            });
        }
        if runs.is_empty() {
            if !is_full {
                // What is left has no runs any more: if that were not done too, it would be taken up for ever.
                job.cursor = job.cursor.max(until);
            }
            return Next::Done;
        }
        let task = match &job.phase {
            Phase::Map(_) => Task::Map,
            Phase::Clean { keys, .. } => Task::Clean {
                keys: Arc::clone(keys),
                now,
                tombstones_ms: settings.tombstones_ms,
            },
        };
        let aborted = partition.stable.aborted_ranges(first, job.cursor);
        let readers = self.options.run_readers.clone();
        let number = self.logs.compaction.next_number;
        self.logs.compaction.next_number += 1;
        job.began = first;
        Next::Work(CompactionLoad {
            number,
            items,
            work: CompactionWork {
                readers,
                runs,
                task,
                aborted,
            },
        })
    }

    /// What comes after a phase.
    fn end_phase(&mut self, job: Job) -> Option<Job> {
        let start = self.logs.partition(job.at)?.start;
        match job.phase {
            Phase::Map(keys) => Some(Job {
                cursor: start,
                phase: Phase::Clean {
                    keys: Arc::new(keys),
                    to: job.cursor,
                },
                ..job
            }),
            Phase::Clean { to, .. } => {
                let partition = self.logs.partition_mut(job.at)?;
                partition.cleaned_to = partition.cleaned_to.max(to);
                if to < job.until {
                    // The keys were too many for one round; what the next one begins with is behind those of this one.
                    self.logs.compaction.due.insert(job.at);
                }
                None
            }
        }
    }

    /// A [`CompactionLoad`] is answered with what its work came to; with none if one of its records could not be read any
    /// more (it was moved, or is not wanted any more): then that step is taken again. Every load is to be answered once.
    pub fn handle_compacted(
        &mut self,
        number: u64,
        done: Option<Compacted>,
        now: Millis,
        store: &mut impl Store,
        out: &mut Effects,
    ) {
        let mut turn = self.begin(now, store, out);
        let compaction = &mut self.logs.compaction;
        if let Some(job) = &mut compaction.job
            && job.under_way == Some(number)
        {
            job.under_way = None;
            compaction.next_step = Some(now.saturating_add(PAUSE_MS));
            let at = job.at;
            match done {
                None => job.cursor = job.began,
                Some(Compacted(Outcome::Keys(keys))) => {
                    if let Phase::Map(known) = &mut job.phase {
                        keys.into_iter()
                            .for_each(|(key, offset)| known.note(key, offset));
                    }
                }
                Some(Compacted(Outcome::Verdicts(verdicts))) => {
                    self.carry_out_verdicts(at, verdicts, &mut turn);
                }
            }
        }
        self.finish(&mut turn);
    }

    fn carry_out_verdicts(
        &mut self,
        at: At,
        verdicts: Vec<(u64, Verdict)>,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let mut gone = Vec::new();
        for (offset, verdict) in verdicts {
            let Some(partition) = self.logs.partition_mut(at) else {
                return;
            };
            // It may have been given up meanwhile.
            let Some(run) = partition.indexed(offset) else {
                continue;
            };
            match verdict {
                Verdict::GivesWay(with) => {
                    self.replace_run(at, offset, with, turn);
                    continue;
                }
                Verdict::EndGoes => partition.stable.forget_end(offset),
                Verdict::Goes => {}
            }
            gone.push(Range {
                first: offset,
                len: run.count,
            });
        }
        self.remove_runs(at, &gone, turn);
        let max = self.options.log_resident_bytes_max;
        self.logs.bound_recent(max);
    }
}
