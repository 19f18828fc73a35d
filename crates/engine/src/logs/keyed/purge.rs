//! Records that go by request: single ones, or all of some keys.

use polybus_model::{KeyedError, LiveFilter, LogError, PartitionName, Purge};

use crate::logs::{At, Caller};
use crate::turn::Turn;
use crate::{Engine, Store};

impl Engine {
    /// Removes one record; false if it is not there.
    pub(in crate::logs) fn remove_record(
        &mut self,
        caller: Caller,
        name: &PartitionName,
        offset: u64,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<u64, LogError> {
        let at = self.partition_at(caller.namespace, name)?;
        let rules = self.rules(at)?;
        if rules.sealed {
            return Err(KeyedError::Sealed.into());
        }
        if rules.denies_removal {
            return Err(KeyedError::RemovalDenied.into());
        }
        Ok(self.remove_records(at, &[offset], turn) as u64)
    }

    /// Removes what a purge names; gives how many records that were.
    pub(in crate::logs) fn purge_log(
        &mut self,
        caller: Caller,
        purge: &Purge,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<u64, LogError> {
        let at = self.partition_at(caller.namespace, &purge.partition)?;
        let rules = self.rules(at)?;
        if rules.sealed {
            return Err(KeyedError::Sealed.into());
        }
        if rules.denies_purge {
            return Err(KeyedError::PurgeDenied.into());
        }
        let partition = self.logs.partition(at).ok_or(LogError::NotFound)?;
        let keyed = partition.keyed.as_ref().ok_or(LogError::NotFound)?;
        let before = purge.before.unwrap_or(partition.next);
        if purge.keys.is_none() {
            let goes = keyed.keys.records().saturating_sub(purge.keep);
            let stays = keyed.keys.offsets_from(0).nth(goes as usize);
            let first = stays.unwrap_or(partition.next).min(before);
            let removed = self.cut_before(at, first, turn) as u64;
            self.touch_keyed(at);
            return Ok(removed);
        }
        let mut offsets = self.offsets_matching(at, purge.keys.as_ref());
        let stay = offsets.len().saturating_sub(purge.keep as usize);
        offsets.truncate(stay);
        offsets.retain(|offset| *offset < before);
        Ok(self.remove_records(at, &offsets, turn) as u64)
    }

    /// The records of the keys that a filter lets through, in order.
    pub(super) fn offsets_matching(&self, at: At, filter: Option<&LiveFilter>) -> Vec<u64> {
        let keyed = self.logs.partition(at).and_then(|one| one.keyed.as_ref());
        let (Some(keyed), Some(filter)) = (keyed, filter) else {
            return Vec::new();
        };
        let keys = keyed.keys.matching(filter);
        let mut offsets: Vec<u64> = keys.flat_map(|key| key.offsets()).collect();
        offsets.sort_unstable();
        offsets
    }
}
