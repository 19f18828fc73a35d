//! Offsets that a group remembers.

use polybus_model::{GroupError, GroupOffset, Millis, Name, PartitionName};

use super::group::{Group, Phase};

/// What of an offset's memory does not depend on what the client says.
const BYTES: usize = 128;

/// Up to where the group has come in a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Offset {
    pub(super) offset: u64,
    pub(super) epoch: Option<u32>,
    pub(super) remark: Box<str>,
    /// When it was committed.
    pub(super) time: Millis,
}

/// About how much memory an offset takes.
pub(super) fn weight(partition: &PartitionName, remark: &str) -> usize {
    BYTES + partition.log.as_str().len() + remark.len()
}

impl Group {
    pub(super) fn set_offset(&mut self, partition: PartitionName, offset: Offset) {
        self.weight += weight(&partition, &offset.remark);
        let old = self.offsets.insert(partition.clone(), offset);
        if let Some(old) = old {
            self.weight -= weight(&partition, &old.remark);
        }
    }

    pub(super) fn forget_offset(&mut self, partition: &PartitionName) -> bool {
        match self.offsets.remove(partition) {
            None => false,
            Some(old) => {
                self.weight -= weight(partition, &old.remark);
                true
            }
        }
    }

    /// The offset of a partition as it is told.
    pub(super) fn offset(&self, partition: &PartitionName) -> Option<GroupOffset> {
        self.offsets.get(partition).map(|one| GroupOffset {
            partition: partition.clone(),
            offset: one.offset,
            epoch: one.epoch,
            metadata: one.remark.to_string(),
        })
    }

    /// Whether an offset may be forgotten.
    pub(super) fn may_forget(&self, partition: &PartitionName) -> Result<(), GroupError> {
        if self.phase == Phase::Empty {
            return Ok(());
        }
        match self.reads(&partition.log) {
            None => Err(GroupError::NotEmpty),
            Some(true) => Err(GroupError::Subscribed),
            Some(false) => Ok(()),
        }
    }

    /// When an offset is forgotten: while the group has no members, so long after the last of them and after the commit.
    fn expiry(&self, offset: &Offset, retention: Millis) -> Millis {
        let since = self.emptied.unwrap_or(0).max(offset.time);
        since.saturating_add(retention)
    }

    /// The partitions of logs that no member reads any more, and whose offsets are older than they are kept.
    pub(super) fn unread(&self, now: Millis, retention: Millis) -> Vec<PartitionName> {
        if !matches!(self.phase, Phase::Stable | Phase::Shared) {
            return Vec::new();
        }
        // Partitions of one log stand together.
        let mut last: Option<(&Name, bool)> = None;
        let mut is_read = |log| match last {
            Some((known, is_read)) if known == log => is_read,
            _ => {
                let is_read = self.reads(log) != Some(false);
                last = Some((log, is_read));
                is_read
            }
        };
        let old = self.offsets.iter();
        let old = old.filter(|(_, one)| one.time.saturating_add(retention) <= now);
        let unread = old.filter(|(at, _)| !is_read(&at.log));
        unread.map(|(at, _)| at.clone()).collect()
    }

    /// The partitions whose offsets are over, and when the next ones will be.
    pub(super) fn expired(
        &self,
        now: Millis,
        retention: Millis,
    ) -> (Vec<PartitionName>, Option<Millis>) {
        let (mut over, mut next) = (Vec::new(), None::<Millis>);
        for (partition, offset) in &self.offsets {
            let expiry = self.expiry(offset, retention);
            if expiry <= now {
                over.push(partition.clone());
            } else {
                next = Some(next.map_or(expiry, |next| next.min(expiry)));
            }
        }
        (over, next)
    }
}
