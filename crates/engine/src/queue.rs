//! A queue: holds each message until one consumer settles it.
//!
//! ```text
//! publish -> ready --deliver--> lease --accept--------> ended (journaled once a turn)
//!              ^ |                |--release--> ready, in its place (or waiting for a retry first)
//!              | '--expired,------+--reject---> dying (to be dead-lettered; ended where there is nowhere to)
//!           waiting   over limit
//! ```
//! What always holds: a message is in exactly one of ready, leases, waiting and dying; a durable one leaves them only
//! together with a settle record; sequences rise and are never used again.

pub(crate) mod block;
pub(crate) mod consumers;
pub(crate) mod entry;
pub(crate) mod leases;
mod level;
pub(crate) mod ready;

use std::collections::{BTreeMap, VecDeque};

use polybus_model::{
    Attempts, DeathReason, Lane, Millis, Name, Overflow, QueueKind, QueueSettings, SessionId,
};
use rustc_hash::FxHashMap;

use crate::Store;
use crate::record::{Range, Returned, Stand};
use consumers::Consumers;
use entry::{ATTEMPTED, DURABLE, Entry, NEVER, REDELIVERED};
use leases::Leases;
use ready::Ready;

/// The level of quorum messages without a priority, and the highest one.
const QUORUM_PRIORITY: u8 = 4;
const QUORUM_PRIORITY_MAX: u8 = 31;

/// A backlog of so many messages or bytes may leave memory.
const BACKLOG_LEN: u64 = 1_000;
const BACKLOG_BYTES: u64 = 1 << 20;

/// Messages that may die at once; further ones stay where they are until these are buried. Nothing is delivered meanwhile, so
/// that what consumers reject beyond this is bounded by what they hold.
pub(crate) const DYING_MAX: usize = 4_096;

/// Someone waits for a message that is being loaded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingTake {
    pub(crate) session: u32,
    pub(crate) session_id: SessionId,
    pub(crate) lane: u32,
    pub(crate) lane_id: Lane,
    pub(crate) auto_settle: bool,
}

/// A queue.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) name: Name,
    pub(crate) namespace: u32,
    pub(crate) incarnation: u64,
    pub(crate) settings: QueueSettings,
    pub(crate) owner: Option<SessionId>,
    /// Its definition and its durable messages are journaled.
    pub(crate) persistent: bool,
    pub(crate) next_sequence: u64,
    pub(crate) ready: Ready,
    pub(crate) leases: Leases,
    pub(crate) consumers: Consumers,
    /// Returned messages that wait for their retry, by when and sequence.
    pub(crate) waiting: BTreeMap<(Millis, u64), Entry>,
    /// To be dead-lettered, in order; cold ones are loaded first.
    pub(crate) dying: VecDeque<(Entry, DeathReason)>,
    /// Earlier deliveries of the entries flagged so.
    pub(crate) attempts: FxHashMap<u64, Attempts>,
    pub(crate) takes: VecDeque<PendingTake>,
    /// The sequences of the one load under way.
    pub(crate) asked: Vec<u64>,
    /// Durable sequences that ended in this turn.
    pub(crate) ended: Vec<Range>,
    /// Attempts that changed in this turn.
    pub(crate) changed: Vec<Returned>,
    pub(crate) last_used: Millis,
    /// Changes whenever the set of those waiting or dying does.
    pub(crate) aside_version: u64,
    /// Bytes in memory of what is waiting or dying.
    pub(crate) aside_bytes: usize,
    /// What the engine's sum holds for this queue.
    pub(crate) reported_bytes: usize,
    /// The deadline that the engine's timers hold for this queue.
    pub(crate) armed: Option<Millis>,
    /// When the oldest lease known of may be too old.
    pub(crate) lease_check: Option<Millis>,
    /// It is on the turn's work list.
    pub(crate) touched: bool,
}

impl Queue {
    pub(crate) fn new(
        name: Name,
        namespace: u32,
        incarnation: u64,
        settings: QueueSettings,
        owner: Option<SessionId>,
        now: Millis,
    ) -> Self {
        Self {
            name,
            namespace,
            incarnation,
            owner,
            persistent: settings.durable && !settings.exclusive,
            next_sequence: 1,
            ready: Ready::default(),
            leases: Leases::default(),
            consumers: Consumers::new(settings.single_active, settings.kind == QueueKind::Quorum),
            settings,
            waiting: BTreeMap::new(),
            dying: VecDeque::new(),
            attempts: FxHashMap::default(),
            takes: VecDeque::new(),
            asked: Vec::new(),
            ended: Vec::new(),
            changed: Vec::new(),
            last_used: now,
            aside_version: 0,
            aside_bytes: 0,
            reported_bytes: 0,
            armed: None,
            lease_check: None,
            touched: false,
        }
    }

    pub(crate) fn is_quorum(&self) -> bool {
        self.settings.kind == QueueKind::Quorum
    }

    fn counts_attempts(&self) -> bool {
        self.is_quorum() || self.settings.delivery_limit.is_some()
    }

    /// Whether messages of different priorities stand apart.
    pub(crate) fn has_levels(&self) -> bool {
        self.is_quorum() || self.settings.max_priority.is_some()
    }

    /// The level that a message of this priority belongs to.
    pub(crate) fn level_of(&self, priority: Option<u8>) -> u8 {
        match (self.settings.kind, self.settings.max_priority) {
            (QueueKind::Quorum, None) => {
                priority.unwrap_or(QUORUM_PRIORITY).min(QUORUM_PRIORITY_MAX)
            }
            (_, Some(max)) => priority.unwrap_or(0).min(max),
            (QueueKind::Classic | QueueKind::Log, None) => 0,
        }
    }

    /// When a message with this time to live expires here.
    pub(crate) fn expiry_of(&self, ttl: Option<Millis>, now: Millis) -> Millis {
        let ttl = match (ttl, self.settings.message_ttl) {
            (Some(own), Some(all)) => own.min(all),
            (Some(ttl), None) | (None, Some(ttl)) => ttl,
            (None, None) => return NEVER,
        };
        now.saturating_add(ttl)
    }

    /// Whether so much waits here that new messages may as well stay out of memory.
    pub(crate) fn has_backlog(&self, pressing: bool) -> bool {
        let part = if pressing { 64 } else { 1 };
        self.ready.len() > BACKLOG_LEN / part || self.ready.body_bytes() > BACKLOG_BYTES / part
    }

    /// Bytes of messages in memory.
    pub(crate) fn hot_bytes(&self) -> usize {
        self.ready.hot_bytes() + self.leases.hot_bytes() + self.aside_bytes
    }

    /// Whether one more message would be one too many, and new ones are refused then.
    pub(crate) fn would_refuse(&self, body_len: u64) -> bool {
        if self.settings.overflow == Overflow::DropHead {
            return false;
        }
        let settings = &self.settings;
        settings
            .max_length
            .is_some_and(|max| self.ready.len() + 1 > max)
            || settings
                .max_bytes
                .is_some_and(|max| self.ready.body_bytes() + body_len > max)
    }

    /// Whether it holds more than it may, and drops its head for that.
    pub(crate) fn is_over_limit(&self) -> bool {
        self.settings.overflow == Overflow::DropHead
            && (self
                .settings
                .max_length
                .is_some_and(|max| self.ready.len() > max)
                || self
                    .settings
                    .max_bytes
                    .is_some_and(|max| self.ready.body_bytes() > max))
    }

    /// Takes out what is over the limits, the next to be delivered first, as far as those that die have room: cold ones
    /// have to be loaded before they are dead letters, and take less memory where they are.
    pub(crate) fn enforce_limits(&mut self, store: &mut impl Store) {
        while self.is_over_limit()
            && self.can_kill()
            && let Some(entry) = self.ready.pop()
        {
            self.kill(entry, DeathReason::MaxLength, store);
        }
    }

    /// An entry's life ends here.
    pub(crate) fn end(&mut self, entry: &Entry, store: &mut impl Store) {
        if entry.has(DURABLE) {
            match self.ended.last_mut() {
                Some(last) if last.end() == entry.sequence && last.len < u32::MAX => last.len += 1,
                _ => self.ended.push(Range {
                    first: entry.sequence,
                    len: 1,
                }),
            }
        }
        if entry.has(ATTEMPTED) {
            self.attempts.remove(&entry.sequence);
        }
        if let Some(Stand { place, len }) = entry.stand {
            store.release(place, len);
        }
    }

    /// An entry is to be dead-lettered, or ends where there is nowhere to.
    pub(crate) fn kill(&mut self, entry: Entry, reason: DeathReason, store: &mut impl Store) {
        if self.settings.dead_letter.is_some() {
            self.aside_version += 1;
            self.aside_bytes += entry.memory_size();
            self.dying.push_back((entry, reason));
        } else {
            self.end(&entry, store);
        }
    }

    /// The queue is gone: its entries no longer point anywhere.
    pub(crate) fn release_all(&mut self, store: &mut impl Store) {
        let mut release = |entry: &Entry| {
            if let Some(stand) = entry.stand {
                store.release(stand.place, stand.len);
            }
        };
        while let Some(entry) = self.ready.pop() {
            release(&entry);
        }
        self.leases
            .iter()
            .for_each(|(_, lease)| release(&lease.entry));
        self.waiting.values().for_each(&mut release);
        self.dying.iter().for_each(|(entry, _)| release(entry));
    }

    /// Whether more may die now.
    pub(crate) fn can_kill(&self) -> bool {
        self.dying.len() < DYING_MAX
    }

    /// An entry that was delivered comes back: to its place, to wait, or to die of its failures.
    pub(crate) fn give_back(
        &mut self,
        mut entry: Entry,
        failed: bool,
        now: Millis,
        store: &mut impl Store,
    ) {
        entry.flags |= REDELIVERED;
        let mut attempts = Attempts::default();
        if self.counts_attempts() {
            let before = self.attempts.get(&entry.sequence).copied();
            attempts = before.unwrap_or_default();
            attempts.all = attempts.all.saturating_add(1);
            attempts.failed = attempts.failed.saturating_add(failed.into());
            if self
                .settings
                .delivery_limit
                .is_some_and(|limit| u64::from(attempts.failed) > limit)
            {
                self.kill(entry, DeathReason::DeliveryLimit, store);
                return;
            }
            entry.flags |= ATTEMPTED;
            self.attempts.insert(entry.sequence, attempts);
        }
        let retry = self.settings.delayed_retry;
        let wait = retry
            .filter(|retry| retry.of.include(failed))
            .map_or(0, |retry| {
                let times = u64::from(attempts.failed.max(1));
                retry.min.saturating_mul(times).min(retry.max)
            });
        let due = if wait > 0 {
            now.saturating_add(wait)
        } else {
            0
        };
        if entry.has(DURABLE) && (attempts.all > 0 || due > 0) {
            self.changed.push(Returned {
                sequence: entry.sequence,
                attempts,
                due,
            });
        }
        if due > 0 {
            self.wait(due, entry);
        } else {
            self.ready.put_back(entry);
        }
    }

    /// Takes the next one to be dead-lettered.
    pub(crate) fn next_dying(&mut self) -> Option<(Entry, DeathReason)> {
        let (entry, reason) = self.dying.pop_front()?;
        self.aside_version += 1;
        self.aside_bytes -= entry.memory_size();
        Some((entry, reason))
    }

    /// Puts an entry aside until then.
    pub(crate) fn wait(&mut self, due: Millis, entry: Entry) {
        self.aside_version += 1;
        self.aside_bytes += entry.memory_size();
        self.waiting.insert((due, entry.sequence), entry);
    }

    /// Brings back what has waited long enough.
    pub(crate) fn end_waits(&mut self, now: Millis) {
        while let Some(first) = self.waiting.first_entry()
            && first.key().0 <= now
        {
            let entry = first.remove();
            self.aside_version += 1;
            self.aside_bytes -= entry.memory_size();
            self.ready.put_back(entry);
        }
    }

    /// The next time at which something happens here by itself.
    pub(crate) fn deadline(&self) -> Option<Millis> {
        let loading = !self.asked.is_empty();
        let head = self
            .ready
            .front()
            .map(|front| front.expiry)
            .filter(|expiry| *expiry != NEVER && (!loading || self.can_kill()));
        let unused = self
            .settings
            .expires
            .filter(|_| self.consumers.len() == 0)
            .map(|expires| self.last_used.saturating_add(expires));
        let waiting = self.waiting.first_key_value().map(|((due, _), _)| *due);
        [head, unused, waiting, self.lease_check]
            .into_iter()
            .flatten()
            .min()
    }

    /// Earlier deliveries of an entry, as consumers see them.
    pub(crate) fn attempts_of(&self, entry: &Entry) -> Option<Attempts> {
        if !self.is_quorum() || !entry.has(ATTEMPTED) {
            return None;
        }
        self.attempts.get(&entry.sequence).copied()
    }
}
