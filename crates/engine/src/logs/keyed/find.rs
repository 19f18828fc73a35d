//! What a keyed log holds, and which of its records is meant.

use polybus_model::{KeyedSettings, KeyedState, LogError, PartitionName, WhichRecord};

use super::Keyed;
use super::size::counted_bytes;
use crate::Engine;
use crate::logs::partition::Partition;
use crate::logs::{At, Caller};

/// Removed offsets that one answer lists at most.
const LISTED_MAX: usize = 100_000;

impl Engine {
    /// The rules of a keyed log.
    pub(super) fn rules(&self, at: At) -> Result<&KeyedSettings, LogError> {
        let log = self.logs.all.get(&at.log).ok_or(LogError::NotFound)?;
        let not_keyed = || LogError::Unsupported("the log does not find records by key".into());
        log.settings.keyed.as_deref().ok_or_else(not_keyed)
    }

    /// What a partition of a keyed log holds.
    pub(in crate::logs) fn keyed_state(
        &self,
        caller: Caller,
        name: &PartitionName,
        removed: bool,
    ) -> Result<KeyedState, LogError> {
        let at = self.partition_at(caller.namespace, name)?;
        self.rules(at)?;
        let partition = self.logs.partition(at).ok_or(LogError::NotFound)?;
        let keyed = partition.keyed.as_ref().ok_or(LogError::NotFound)?;
        let start = keyed.keys.first().unwrap_or(partition.next);
        let records = keyed.keys.records();
        let time_of = |found: Option<u64>| {
            let (run, _) = partition.from(partition.position(found?)).next()?;
            Some(run.time)
        };
        let first_time = time_of(keyed.keys.first());
        Ok(KeyedState {
            start,
            next: partition.next,
            records,
            bytes: counted_bytes(partition, records),
            first_time,
            last_time: keyed.last_time,
            keys: keyed.keys.len() as u64,
            removed: partition.next - start - records,
            removed_offsets: match removed {
                true => keyed.gaps(start, partition.next),
                false => Vec::new(),
            },
            follows: self.follow_states(at),
        })
    }

    /// The position in its partition's index of the record that is meant.
    pub(in crate::logs) fn position_of(
        &self,
        at: At,
        which: &WhichRecord,
    ) -> Result<Option<usize>, LogError> {
        let partition = self.logs.partition(at).ok_or(LogError::NotFound)?;
        self.rules(at)?;
        let keyed = partition.keyed.as_ref().ok_or(LogError::NotFound)?;
        let found = found(keyed, partition, which);
        Ok(found.map(|offset| partition.position(offset)))
    }
}

fn found(keyed: &Keyed, partition: &Partition, which: &WhichRecord) -> Option<u64> {
    match which {
        WhichRecord::At(offset) => keyed.keys.key_of(*offset).map(|_| *offset),
        WhichRecord::LastOf { keys, before } => {
            let before = before.unwrap_or(partition.next);
            keyed.keys.last_matching(keys, before)
        }
        WhichRecord::NextOf { keys: None, from } => keyed.keys.next_from(*from),
        WhichRecord::NextOf {
            keys: Some(keys),
            from,
        } => keyed.keys.next_matching(keys, *from),
    }
}

impl Keyed {
    /// The offsets between these that have no record.
    fn gaps(&self, from: u64, to: u64) -> Vec<u64> {
        let mut gaps = Vec::new();
        let mut next = from;
        for offset in self.keys.offsets_from(from).chain(std::iter::once(to)) {
            let more = LISTED_MAX - gaps.len();
            gaps.extend((next..offset).take(more));
            next = offset.saturating_add(1);
            if gaps.len() == LISTED_MAX {
                break;
            }
        }
        gaps
    }
}
