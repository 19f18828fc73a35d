//! Reads that wait: until enough bytes are durable in their partitions, or their time is over.
//!
//! What always holds: a read that waits is in the set of each partition it names that exists, has a deadline and is in its
//! session's set; when it is answered it leaves them all.

use std::collections::BTreeSet;

use polybus_model::{Millis, ReadRequest, SessionId};

use super::lending::Lease;
use super::{At, Caller, Logs};
use crate::slab::Slab;

/// What waits.
#[derive(Debug)]
pub(super) enum Asked {
    Read {
        request: ReadRequest,
        /// Its parts that the session may not read.
        forbidden: Vec<u32>,
    },
    /// A read under leases.
    Lease(Box<Lease>),
}

/// A read that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) caller: Caller,
    pub(super) asked: Asked,
    pub(super) due: Millis,
    /// Bytes that are still to come.
    pub(super) missing: u64,
    /// Where it waits.
    pub(super) partitions: Vec<At>,
}

/// All that wait.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    waiting: Slab<Waiter>,
    deadlines: BTreeSet<(Millis, u32)>,
    sessions: BTreeSet<(SessionId, u32)>,
}

impl Waiters {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        self.deadlines.first().map(|(due, _)| *due)
    }

    /// One whose time is over.
    pub(super) fn overdue(&self, now: Millis) -> Option<u32> {
        let (due, slot) = self.deadlines.first()?;
        (*due <= now).then_some(*slot)
    }

    pub(super) fn of_session(&self, session: SessionId) -> Vec<u32> {
        let own = self.sessions.range((session, 0)..=(session, u32::MAX));
        own.map(|(_, slot)| *slot).collect()
    }
}

impl Logs {
    /// Lets a read wait.
    pub(super) fn wait(&mut self, waiter: Waiter) {
        let (due, session) = (waiter.due, waiter.caller.session);
        let partitions = waiter.partitions.clone();
        let slot = self.waiters.waiting.insert(waiter);
        self.waiters.deadlines.insert((due, slot));
        self.waiters.sessions.insert((session, slot));
        for at in partitions {
            if let Some(partition) = self.partition_mut(at) {
                partition.waiters.insert(slot);
            }
        }
    }

    /// A read no longer waits.
    pub(super) fn stop_waiting(&mut self, slot: u32) -> Option<Waiter> {
        let waiter = self.waiters.waiting.remove(slot)?;
        self.waiters.deadlines.remove(&(waiter.due, slot));
        self.waiters.sessions.remove(&(waiter.caller.session, slot));
        for at in &waiter.partitions {
            if let Some(partition) = self.partition_mut(*at) {
                partition.waiters.remove(&slot);
            }
        }
        Some(waiter)
    }

    /// Those who wait to lease from a partition for a group, the longest waiting first.
    pub(crate) fn waiting_lessees(&self, at: At, namespace: u32, group: &str) -> Vec<u32> {
        let slots = self.partition(at).into_iter().flat_map(|one| &one.waiters);
        let found = slots.filter_map(|slot| {
            let waiter = self.waiters.waiting.get(*slot)?;
            match &waiter.asked {
                Asked::Lease(lease) if lease.is_of(namespace, group) => Some((waiter.due, *slot)),
                _ => None,
            }
        });
        let mut found: Vec<_> = found.collect();
        found.sort_unstable();
        found.into_iter().map(|(_, slot)| slot).collect()
    }

    /// A partition has so many more bytes for its readers: adds those that have enough to `ready`.
    pub(super) fn count_down(&mut self, at: At, bytes: u64, ready: &mut Vec<u32>) {
        let partition = self
            .all
            .get(&at.log)
            .and_then(|log| log.partitions.get(at.partition as usize));
        for slot in partition.into_iter().flat_map(|one| &one.waiters) {
            if let Some(waiter) = self.waiters.waiting.get_mut(*slot) {
                waiter.missing = waiter.missing.saturating_sub(bytes);
                if waiter.missing == 0 {
                    ready.push(*slot);
                }
            }
        }
    }
}
