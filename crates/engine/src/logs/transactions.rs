//! Producers with transactions: who they are, and what is part of the open one of each.
//!
//! ```text
//! open producer -> [open: partitions, groups' offsets] -> end, or its time is over -> ...
//!                        epoch + 1 aborts it
//! ```
//! What always holds: a name has one producer number at a time, whose epoch only rises; every open transaction has its
//! deadline in `due`, and the groups that are part of it in `groups`; every producer with none open is in `idle`.

use std::collections::{BTreeMap, BTreeSet};

use polybus_model::{LogError, Millis, PartitionName, TransactionState, Transactor, Writer};

use super::At;
use crate::groups::Offset;

/// Epochs are signed in some protocols; the last one is left for a fence.
const EPOCH_MAX: u16 = i16::MAX as u16 - 1;

/// Where a group is to be when the transaction is committed.
pub(super) type PendingOffsets = BTreeMap<PartitionName, Offset>;

/// An open transaction.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Open {
    pub(super) since: Millis,
    pub(super) partitions: BTreeSet<At>,
    pub(super) offsets: BTreeMap<String, PendingOffsets>,
}

impl Open {
    pub(super) fn new(since: Millis) -> Self {
        Self {
            since,
            partitions: BTreeSet::new(),
            offsets: BTreeMap::new(),
        }
    }
}

/// A producer with transactions.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Transactional {
    /// Its namespace's slot.
    pub(super) namespace: u32,
    pub(super) name: String,
    pub(super) epoch: u16,
    pub(super) timeout_ms: Millis,
    /// When it last was given an epoch or ended a transaction.
    pub(super) used: Millis,
    /// How its last transaction ended.
    pub(super) ended: Option<bool>,
    /// The number and epoch that it had before, if the client may ask again with them.
    pub(super) before: Option<(u64, u16)>,
    pub(super) open: Option<Open>,
}

impl Transactional {
    pub(super) fn due(&self) -> Option<Millis> {
        let open = self.open.as_ref()?;
        Some(open.since.saturating_add(self.timeout_ms))
    }

    /// The next epoch, if there is one.
    pub(super) fn next_epoch(&self) -> Option<u16> {
        (self.epoch < EPOCH_MAX).then(|| self.epoch + 1)
    }

    pub(super) fn state(&self) -> TransactionState {
        match (&self.open, self.ended) {
            (Some(_), _) => TransactionState::Open,
            (None, None) => TransactionState::Empty,
            (None, Some(true)) => TransactionState::Committed,
            (None, Some(false)) => TransactionState::Aborted,
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    /// By number.
    all: BTreeMap<u64, Transactional>,
    names: BTreeMap<(u32, String), u64>,
    due: BTreeSet<(Millis, u64)>,
    /// When those with nothing open were last used.
    idle: BTreeSet<(Millis, u64)>,
    /// The producers whose open transactions a group is part of.
    groups: BTreeMap<(u32, String), BTreeSet<u64>>,
}

impl Transactions {
    pub(super) fn find(&self, namespace: u32, name: &str) -> Option<u64> {
        self.names.get(&(namespace, name.to_owned())).copied()
    }

    pub(super) fn by_number(&self, number: u64) -> Option<&Transactional> {
        self.all.get(&number)
    }

    /// The numbers of a namespace's, by name.
    pub(super) fn of_namespace(&self, namespace: u32) -> Vec<u64> {
        let from = (namespace, String::new());
        let names = self.names.range(from..);
        let names = names.take_while(|((slot, _), _)| *slot == namespace);
        names.map(|(_, number)| *number).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Transactional)> {
        self.all.iter().map(|(number, one)| (*number, one))
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Puts one in, with its name, deadline and groups.
    pub(super) fn insert(&mut self, number: u64, one: Transactional) {
        self.names.insert((one.namespace, one.name.clone()), number);
        match one.due() {
            Some(due) => self.due.insert((due, number)),
            None => self.idle.insert((one.used, number)),
        };
        let groups = one.open.iter().flat_map(|open| open.offsets.keys());
        for group in groups {
            let key = (one.namespace, group.clone());
            self.groups.entry(key).or_default().insert(number);
        }
        self.all.insert(number, one);
    }

    /// Takes one out, with its name, deadline and groups.
    pub(super) fn remove(&mut self, number: u64) -> Option<Transactional> {
        let one = self.all.remove(&number)?;
        self.names.remove(&(one.namespace, one.name.clone()));
        match one.due() {
            Some(due) => self.due.remove(&(due, number)),
            None => self.idle.remove(&(one.used, number)),
        };
        let groups = one.open.iter().flat_map(|open| open.offsets.keys());
        for group in groups {
            let key = (one.namespace, group.clone());
            if let Some(numbers) = self.groups.get_mut(&key) {
                numbers.remove(&number);
                if numbers.is_empty() {
                    self.groups.remove(&key);
                }
            }
        }
        Some(one)
    }

    /// Changes one.
    pub(super) fn change<R>(
        &mut self,
        number: u64,
        change: impl FnOnce(&mut Transactional) -> R,
    ) -> Option<R> {
        let mut one = self.remove(number)?;
        let result = change(&mut one);
        self.insert(number, one);
        Some(result)
    }

    /// The longest idle one.
    pub(super) fn oldest_idle(&self) -> Option<u64> {
        self.idle.first().map(|(_, number)| *number)
    }

    /// One that was idle for so long.
    pub(super) fn expired(&self, now: Millis, idle_ms_max: Millis) -> Option<u64> {
        let (used, number) = self.idle.first()?;
        (used.saturating_add(idle_ms_max) <= now).then_some(*number)
    }

    /// A namespace is gone, and its producers with it.
    pub(crate) fn drop_namespace(&mut self, namespace: u32) {
        for number in self.of_namespace(namespace) {
            self.remove(number);
        }
    }

    /// When one is open for too long, or idle.
    pub(super) fn deadline(&self, idle_ms_max: Millis) -> Option<Millis> {
        let due = self.due.first().map(|(due, _)| *due);
        let idle = self.idle.first();
        let idle = idle.map(|(used, _)| used.saturating_add(idle_ms_max));
        due.into_iter().chain(idle).min()
    }

    /// One whose transaction is open for too long.
    pub(super) fn overdue(&self, now: Millis) -> Option<u64> {
        let (due, number) = self.due.first()?;
        (*due <= now).then_some(*number)
    }

    /// Whether somebody is who it says.
    pub(crate) fn admit(&self, namespace: u32, who: &Transactor) -> Result<u64, LogError> {
        let number = self.find(namespace, &who.name);
        let number = number.ok_or(LogError::UnknownProducer)?;
        let one = self.all.get(&number).ok_or(LogError::UnknownProducer)?;
        if number != who.producer {
            return match one.before {
                Some((before, _)) if before == who.producer => Err(LogError::Fenced),
                _ => Err(LogError::UnknownProducer),
            };
        }
        if one.epoch == who.epoch {
            Ok(number)
        } else {
            Err(LogError::Fenced)
        }
    }

    /// Whether a run comes from the present epoch of a producer; whether it may be appended there tells [`Self::has`].
    pub(super) fn admit_writer(&self, namespace: u32, writer: Writer) -> Result<(), LogError> {
        let one = self.all.get(&writer.producer);
        let one = one.filter(|one| one.namespace == namespace);
        match one {
            None => Err(LogError::NoTransaction),
            Some(one) if one.epoch != writer.epoch => Err(LogError::Fenced),
            Some(_) => Ok(()),
        }
    }

    /// Whether a partition is part of a producer's open transaction.
    pub(super) fn has(&self, number: u64, at: At) -> bool {
        let open = self.all.get(&number).and_then(|one| one.open.as_ref());
        open.is_some_and(|open| open.partitions.contains(&at))
    }

    /// Whether a group is part of a producer's open transaction.
    pub(crate) fn has_group(&self, number: u64, group: &str) -> bool {
        let open = self.all.get(&number).and_then(|one| one.open.as_ref());
        open.is_some_and(|open| open.offsets.contains_key(group))
    }

    /// Whether open transactions have offsets of a group in these partitions (none: in any).
    pub(crate) fn is_unstable(
        &self,
        namespace: u32,
        group: &str,
        partitions: Option<&[PartitionName]>,
    ) -> bool {
        let numbers = self.groups.get(&(namespace, group.to_owned()));
        let ones = numbers
            .into_iter()
            .flatten()
            .filter_map(|one| self.all.get(one));
        let mut pending = ones
            .filter_map(|one| one.open.as_ref()?.offsets.get(group))
            .filter(|pending| !pending.is_empty());
        pending.any(|pending| {
            partitions.is_none_or(|wanted| wanted.iter().any(|at| pending.contains_key(at)))
        })
    }
}
