//! What is done with the runs of one step, wherever the broker likes: a pure function of what it was given.

use std::ops::Range;
use std::sync::Arc;

use polybus_model::{Millis, PackedRecord, PackedRun, Run, RunCompactor, RunContent};

use super::keys::{KeyHash, Keys, hash_of};
use crate::RunReaders;
use crate::logs::remove::Rewritten;

/// The work of one step.
#[derive(Debug)]
pub struct CompactionWork {
    pub(super) readers: RunReaders,
    /// In order; none: it has to be read back.
    pub(super) runs: Vec<Option<Run>>,
    pub(super) task: Task,
    /// Producers of transactions that were aborted, with their offsets.
    pub(super) aborted: Vec<(u64, Range<u64>)>,
}

/// What is wanted of the runs.
#[derive(Debug)]
pub(super) enum Task {
    Map,
    Clean {
        keys: Arc<Keys>,
        now: Millis,
        tombstones_ms: Millis,
    },
}

/// What a step came to.
#[derive(Debug)]
pub struct Compacted(pub(super) Outcome);

#[derive(Debug)]
pub(super) enum Outcome {
    /// The keys of the records, with their offsets, in order.
    Keys(Vec<(KeyHash, u64)>),
    /// What becomes of runs, by their offsets; all others stay as they are.
    Verdicts(Vec<(u64, Verdict)>),
}

/// What becomes of a run.
#[derive(Debug)]
pub(super) enum Verdict {
    Goes,
    /// It goes, and with it the end of a transaction.
    EndGoes,
    GivesWay(Rewritten),
}

impl CompactionWork {
    /// Does it, with the runs that were read back, in order; none if these are not all.
    #[must_use]
    pub fn carry_out(mut self, read_back: Vec<Run>) -> Option<Compacted> {
        let missing = self.runs.iter_mut().filter(|run| run.is_none());
        let mut read_back = read_back.into_iter();
        for (slot, run) in missing.zip(read_back.by_ref()) {
            *slot = Some(run);
        }
        let runs: Option<Vec<Run>> = std::mem::take(&mut self.runs).into_iter().collect();
        let runs = runs?;
        Some(Compacted(match &self.task {
            Task::Map => Outcome::Keys(self.keys_of(&runs)),
            Task::Clean { .. } => {
                let verdicts = runs
                    .iter()
                    .filter_map(|run| Some((run.offset, self.verdict(run)?)));
                Outcome::Verdicts(verdicts.collect())
            }
        }))
    }

    fn keys_of(&self, runs: &[Run]) -> Vec<(KeyHash, u64)> {
        let mut keys = Vec::new();
        for run in runs.iter().filter(|run| run.ends.is_none()) {
            match &run.content {
                RunContent::Message(message) => keys.push((hash_of(message.key()), run.offset)),
                RunContent::Packed { .. } => {
                    let before = keys.len();
                    let read = self.read(run, &mut |record| {
                        if let Some(key) = record.key {
                            keys.push((hash_of(key), run.offset + u64::from(record.position)));
                        }
                    });
                    // What was aborted, or cannot be read, supersedes nothing.
                    if read.is_none_or(|(_, packed)| self.is_aborted(run, packed)) {
                        keys.truncate(before);
                    }
                }
            }
        }
        keys
    }

    /// Shows the records of a packed run; none if nobody can read it.
    fn read(
        &self,
        run: &Run,
        visit: &mut dyn FnMut(PackedRecord<'_>),
    ) -> Option<(RunCompactor, PackedRun)> {
        let RunContent::Packed { origin, bytes } = &run.content else {
            return None;
        };
        let compactor = self.readers.compactor(*origin)?;
        let packed = (compactor.read)(bytes, visit)?;
        Some((compactor, packed))
    }

    fn is_aborted(&self, run: &Run, packed: PackedRun) -> bool {
        packed.transaction_of.is_some_and(|producer| {
            let mut aborted = self.aborted.iter();
            aborted.any(|(whose, offsets)| *whose == producer && offsets.contains(&run.offset))
        })
    }

    /// What becomes of a run; none: it stays as it is.
    fn verdict(&self, run: &Run) -> Option<Verdict> {
        let Task::Clean {
            keys,
            now,
            tombstones_ms,
        } = &self.task
        else {
            return None;
        };
        if run.ends.is_some() {
            let since = run.stamped.or(run.time_max)?;
            return (since.saturating_add(*tombstones_ms) <= *now).then_some(Verdict::EndGoes);
        }
        match &run.content {
            RunContent::Message(message) => {
                let key = message.key();
                let goes = key.is_empty() || keys.supersede(hash_of(key), run.offset);
                goes.then_some(Verdict::Goes)
            }
            RunContent::Packed { origin, bytes } => {
                let (compactor, sifted) = self.sift(run, keys)?;
                if self.is_aborted(run, sifted.packed) {
                    return Some(Verdict::Goes);
                }
                let (stays, until) = sifted.staying(*now, *tombstones_ms);
                if stays.is_empty() {
                    return Some(Verdict::Goes);
                }
                if stays.len() == sifted.count && until.is_none() {
                    return None;
                }
                let mut keep = |position: u32| stays.binary_search(&position).is_ok();
                let rewritten = (compactor.rewrite)(bytes, &mut keep, until)?;
                Some(Verdict::GivesWay(Rewritten {
                    time_max: rewritten.time_max,
                    stamped: run.stamped,
                    content: RunContent::Packed {
                        origin: *origin,
                        bytes: rewritten.bytes,
                    },
                }))
            }
        }
    }

    fn sift(&self, run: &Run, keys: &Keys) -> Option<(RunCompactor, Sifted)> {
        let mut sifted = Sifted::default();
        let (compactor, packed) = self.read(run, &mut |record| {
            sifted.count += 1;
            let offset = run.offset + u64::from(record.position);
            // One without a key goes: it came before the log compacted.
            let Some(key) = record.key.map(hash_of) else {
                return;
            };
            if !keys.supersede(key, offset) {
                sifted.latest.push((record.position, record.is_tombstone));
            }
        })?;
        sifted.packed = packed;
        Some((compactor, sifted))
    }
}

/// The records of a run.
#[derive(Default)]
struct Sifted {
    packed: PackedRun,
    /// How many there are.
    count: usize,
    /// Positions of those that are the latest of their keys, and whether they are tombstones; rising.
    latest: Vec<(u32, bool)>,
}

impl Sifted {
    /// Which of them stay; and until when tombstones among them do, if that is not yet said.
    fn staying(&self, now: Millis, tombstones_ms: Millis) -> (Vec<u32>, Option<Millis>) {
        let until = self.packed.tombstones_until;
        let are_over = until.is_some_and(|until| until <= now);
        let staying = self.latest.iter();
        let staying = staying.filter(|(_, is_tombstone)| !(*is_tombstone && are_over));
        let stays = staying.map(|(position, _)| *position).collect();
        let has_tombstones = self.latest.iter().any(|(_, is_tombstone)| *is_tombstone);
        let until = (until.is_none() && has_tombstones).then(|| now.saturating_add(tombstones_ms));
        (stays, until)
    }
}
