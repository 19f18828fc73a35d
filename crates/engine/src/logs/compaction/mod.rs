//! Keeping only the latest record of each key, in the background.
//!
//! ```text
//! start            cleaned_to                  until                    end
//!   |   looked after   |   latest of each key    |  too young, or open    |
//!                      `- 1. mapped: keys -> offsets, until the map is full
//!   `--------------------- 2. cleaned up to there -'   then cleaned_to is there
//!
//! sweep -> due -> job: step -> work (outside the engine, with what was read back) -> handle_compacted -> next step ...
//! ```
//! One partition at a time. A step is bounded in bytes and runs; what is heavy of it (reading back, unpacking, packing) is
//! done where the broker likes, with copies; the engine only takes the outcome. A crash at any point loses work, nothing
//! else: what was removed and replaced is journaled, and where a partition was looked after up to is in snapshots.
//!
//! What always holds: the last run of a partition stays, and all that is not durable, part of an open transaction, owed by one
//! to the topic's bindings or younger than the log says; of the latest record of a key nothing goes, but for a tombstone whose time is over.

mod keys;
mod step;
mod work;

use std::collections::BTreeSet;
use std::sync::Arc;

use polybus_model::{CompactionSettings, Millis};

use super::partition::Partition;
use super::{At, Logs};
use crate::Engine;
use crate::record::Corrupt;
use crate::record::codec::{Bounded, Put};
use keys::Keys;
pub use work::{Compacted, CompactionWork};

/// The pause between two steps: the others of the shard come first.
const PAUSE_MS: Millis = 2;

/// What is done with the runs of a step.
#[derive(Debug)]
enum Phase {
    /// Their keys are noted.
    Map(Keys),
    /// What is superseded goes.
    Clean { keys: Arc<Keys>, to: u64 },
}

/// A partition that is being looked after.
#[derive(Debug)]
struct Job {
    at: At,
    phase: Phase,
    /// The first offset that is not done in this phase.
    cursor: u64,
    /// Where the last step began.
    began: u64,
    /// Where it was to stop when it began.
    until: u64,
    /// The number of the work that is under way.
    under_way: Option<u64>,
}

/// All compaction.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    due: BTreeSet<At>,
    job: Option<Job>,
    /// When the next step is taken.
    next_step: Option<Millis>,
    next_number: u64,
}

impl Compaction {
    pub(super) fn deadline(&self) -> Option<Millis> {
        self.next_step
    }
}

impl Logs {
    /// A round comes by: puts a partition on the list if it pays, or must be.
    pub(super) fn look_for_compaction(&mut self, at: At, now: Millis) {
        let Some(log) = self.all.get(&at.log).filter(|log| log.settings.compacts) else {
            return;
        };
        let settings = log.settings.compaction;
        let partition = log.partitions.get(at.partition as usize);
        let owed = self.owed.first(at);
        if partition.is_some_and(|one| is_due(one, settings, owed, now)) {
            let compaction = &mut self.compaction;
            compaction.due.insert(at);
            compaction.next_step = compaction.next_step.or(Some(now));
        }
    }
}

/// Up to where a partition may be compacted now; `owed` is the first offset that transactions owe.
fn cleanable_until(
    partition: &Partition,
    settings: CompactionSettings,
    owed: Option<u64>,
    now: Millis,
) -> u64 {
    let stable = partition.stable.stable_end(partition.end);
    let last = partition.last_offset().unwrap_or(partition.start);
    let young = match settings.lag_ms_min {
        0 => u64::MAX,
        lag => partition.first_younger(now.saturating_sub(lag)),
    };
    let owed = owed.unwrap_or(u64::MAX);
    stable.min(last).min(young).min(owed)
}

fn is_due(
    partition: &Partition,
    settings: CompactionSettings,
    owed: Option<u64>,
    now: Millis,
) -> bool {
    let until = cleanable_until(partition, settings, owed, now);
    let from = partition.cleaned_to.max(partition.start);
    if from >= until {
        return false;
    }
    let (mut dirty, mut behind, mut oldest) = (0, 0, None);
    for (run, _) in partition.from(partition.position(from)) {
        match run.end() <= until {
            true => dirty += u64::from(run.len),
            false => behind += u64::from(run.len),
        }
        oldest = oldest.or(Some(run.latest));
    }
    let must = settings.lag_ms_max.zip(oldest);
    let must = must.is_some_and(|(lag, oldest)| oldest.saturating_add(lag) <= now);
    let all = partition.bytes.saturating_sub(behind);
    let share = u128::from(dirty) * 1_000;
    dirty > 0 && (must || share > u128::from(settings.dirty_permille) * u128::from(all))
}

impl Engine {
    /// Writes the section of a snapshot that says up to where partitions were compacted; nothing if none was.
    pub(crate) fn put_compaction(&self, out: &mut Vec<u8>) {
        let durable = self.logs.all.values().filter(|log| log.settings.durable);
        let partitions = durable.flat_map(|log| {
            let partitions = log.partitions.iter().zip(0_u32..);
            partitions.map(|(partition, number)| (log.id.0, number, partition.cleaned_to))
        });
        let partitions: Vec<_> = partitions.filter(|(.., to)| *to > 0).collect();
        if partitions.is_empty() {
            return;
        }
        out.put_u32(partitions.len() as u32);
        for (log, partition, cleaned_to) in partitions {
            out.put_u64(log);
            out.put_u32(partition);
            out.put_u64(cleaned_to);
        }
    }
}

/// Reads the section of a snapshot that says up to where partitions were compacted.
pub(super) fn read_compaction(
    section: &[u8],
    mut cleaned: impl FnMut(At, u64),
) -> Result<(), Corrupt> {
    let from = &mut Bounded::new(section);
    for _ in 0..from.u32()? {
        let at = At {
            log: from.u64()?,
            partition: from.u32()?,
        };
        cleaned(at, from.u64()?);
    }
    match from.is_empty() {
        true => Ok(()),
        false => Err(Corrupt::new(
            "a snapshot's compaction is followed by other bytes",
        )),
    }
}
