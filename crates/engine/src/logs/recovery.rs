//! Logs in snapshots, and back from them and the records around them.
//!
//! ```text
//! section = next log u64 | producers reserved u64 | logs u32, each: declaration (record.rs), then of each partition:
//!           start u64 | next u64 | producers
//! ```
//! Where runs stand is in their own records only. What always holds: of a recovered partition every run between start and
//! next is there, or it was removed, or the data is corrupt. A run that is seen more than once counts once: in its highest
//! revision, and of that (copied, and the original not yet released) where it was seen first; cold copies are seen before
//! what the journal says of their log.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use polybus_model::{KeyedSettings, Millis, Name, ReadParts};

use super::At;
use super::compaction::read_compaction;
use super::holes::{Holes, read_holes};
use super::keyed::record::{FollowedRecord, followed, message_id, read_followed, read_keyed};
use super::keyed::recovery::SeenMessages;
use super::keyed::schedule_record::{Scheduled, read_schedules, scheduled};
use super::log::Log;
use super::owed::RecoveredDebts;
use super::partition::{Entered, Partition};
use super::producers::Producers;
use super::record::{Declared, declared, put_declared, revision, run_head, settings};
use super::stable::Stable;
use super::transaction_record::RecoveredTransactions;
use crate::record::codec::{Bounded, Put};
use crate::record::{Corrupt, Stand, kind, ranges};
use crate::{Engine, ReplayOrigin, Store};

/// Logs under recovery.
#[derive(Debug, Default)]
pub(crate) struct LogRecovery {
    logs: BTreeMap<u64, Declared>,
    partitions: BTreeMap<(u64, u32), Seen>,
    /// Logs below existed before the snapshot, or not at all.
    snapshot_logs: u64,
    next_log: u64,
    reserved: u64,
    transactions: RecoveredTransactions,
    debts: RecoveredDebts,
}

/// What was seen of a partition.
#[derive(Debug, Default)]
struct Seen {
    /// Runs below were there at the snapshot.
    snapshot_next: u64,
    start: u64,
    producers: Producers,
    stable: Stable,
    /// With their revisions.
    runs: Vec<(u64, Entered)>,
    /// What was removed.
    holes: Holes,
    /// What a keyed log has to know of its messages.
    messages: SeenMessages,
    /// How far it is with those that it follows, by their places.
    followed: BTreeMap<u32, (u64, u64)>,
    cleaned_to: u64,
}

impl Engine {
    /// Writes the section of a snapshot that is about logs.
    pub(crate) fn put_logs(&self, out: &mut Vec<u8>) {
        let logs = &self.logs;
        out.put_u64(logs.next_id);
        out.put_u64(logs.reserved);
        let durable: Vec<&Log> = logs
            .all
            .values()
            .filter(|log| log.settings.durable)
            .collect();
        out.put_u32(durable.len() as u32);
        for log in durable {
            put_declared(out, &log.declared(self.namespace_name(log.namespace)));
            for partition in &log.partitions {
                out.put_u64(partition.start);
                out.put_u64(partition.next);
                partition.producers.put(out);
            }
        }
    }
}

impl LogRecovery {
    /// Starts from the section of a snapshot.
    pub(crate) fn of_snapshot(section: &[u8]) -> Result<Self, Corrupt> {
        let from = &mut Bounded::new(section);
        let next_log = from.u64()?;
        let mut recovery = Self {
            snapshot_logs: next_log,
            next_log,
            reserved: from.u64()?,
            ..Self::default()
        };
        for _ in 0..from.u32()? {
            let log = declared(from)?;
            for partition in 0..log.settings.partitions {
                let (start, snapshot_next) = (from.u64()?, from.u64()?);
                let seen = Seen {
                    snapshot_next,
                    start,
                    producers: Producers::read(from)?,
                    ..Seen::default()
                };
                recovery.partitions.insert((log.log, partition), seen);
            }
            recovery.logs.insert(log.log, log);
        }
        if from.is_empty() {
            Ok(recovery)
        } else {
            Err(Corrupt::new(
                "a snapshot's logs are followed by other bytes",
            ))
        }
    }

    /// Takes the section of a snapshot that is about transactions.
    pub(crate) fn with_transactions(&mut self, section: &[u8]) -> Result<(), Corrupt> {
        let partitions = &mut self.partitions;
        self.transactions = RecoveredTransactions::of_snapshot(section, |at, stable| {
            if let Some(seen) = partitions.get_mut(&(at.log, at.partition)) {
                seen.stable = stable;
            }
        })?;
        Ok(())
    }

    /// Takes the section of a snapshot that is about holes.
    pub(crate) fn with_holes(&mut self, section: &[u8]) -> Result<(), Corrupt> {
        let partitions = &mut self.partitions;
        read_holes(section, |at, hole| {
            if let Some(seen) = partitions.get_mut(&(at.log, at.partition)) {
                seen.holes.add(hole);
            }
        })
    }

    /// Takes the section of a snapshot that is about keyed logs.
    pub(crate) fn with_keyed(&mut self, section: &[u8]) -> Result<(), Corrupt> {
        let partitions = &mut self.partitions;
        read_keyed(section, |at, duplicates| {
            if let Some(seen) = partitions.get_mut(&(at.log, at.partition)) {
                seen.messages.set_duplicates(duplicates);
            }
        })
    }

    /// Takes the section of a snapshot that says how far followers are.
    pub(crate) fn with_followed(&mut self, section: &[u8]) -> Result<(), Corrupt> {
        read_followed(section, |one| self.note_followed(one))
    }

    fn note_followed(&mut self, one: FollowedRecord) {
        if self.logs.contains_key(&one.at.log) {
            let at = (one.at.log, one.at.partition);
            let seen = self.partitions.entry(at).or_default();
            let positions = one.positions.into_iter();
            let positions = positions.map(|(origin, log, offset)| (origin, (log, offset)));
            seen.followed.extend(positions);
        }
    }

    /// Takes the section of a snapshot that is about schedules.
    pub(crate) fn with_schedules(&mut self, section: &[u8]) -> Result<(), Corrupt> {
        read_schedules(section, |one| self.note_schedule(one))
    }

    fn note_schedule(&mut self, one: Scheduled) {
        let seen = self.partitions.get_mut(&(one.at.log, one.at.partition));
        if let Some(seen) = seen {
            seen.messages.note_schedule(one);
        }
    }

    /// Takes the section of a snapshot that says up to where partitions were compacted.
    pub(crate) fn with_compaction(&mut self, section: &[u8]) -> Result<(), Corrupt> {
        let partitions = &mut self.partitions;
        read_compaction(section, |at, cleaned_to| {
            if let Some(seen) = partitions.get_mut(&(at.log, at.partition)) {
                seen.cleaned_to = cleaned_to;
            }
        })
    }

    /// Takes the section of a snapshot that is about what transactions owe.
    pub(crate) fn with_debts(&mut self, section: &[u8]) -> Result<(), Corrupt> {
        self.debts.read(section)
    }

    /// Takes the section of a snapshot that says what of transactions was handed on before they ended.
    pub(crate) fn with_handed(&mut self, section: &[u8]) -> Result<(), Corrupt> {
        self.debts.read_handed(section)
    }

    /// The snapshot is of a version that handed on the records of transactions as they were appended.
    pub(crate) fn note_older(&mut self) {
        self.debts.note_older();
    }

    /// Takes a record; false if it is none of a log.
    pub(crate) fn replay(
        &mut self,
        origin: ReplayOrigin,
        kind: u8,
        from: &mut Bounded<'_>,
        stand: Stand,
    ) -> Result<bool, Corrupt> {
        if let Some(revision) = revision(kind, from)? {
            self.replay_run(origin, revision, from, stand)?;
            return Ok(true);
        }
        let known = kind::LOG_DECLARED..=kind::TRANSACTIONS_HANDED;
        let of_keyed = [kind::MESSAGE_ID, kind::FOLLOWED, kind::RECORD_SCHEDULED];
        if !known.contains(&kind) && !of_keyed.contains(&kind) {
            return Ok(false);
        }
        if origin != ReplayOrigin::AfterSnapshot {
            return Ok(true);
        }
        match kind {
            kind::LOG_DECLARED => {
                let log = declared(from)?;
                self.next_log = self.next_log.max(log.log.saturating_add(1));
                self.logs.insert(log.log, log);
            }
            kind::LOG_ALTERED => {
                let log = from.u64()?;
                let settings = settings(from)?;
                // Whom it follows from now on, and how far it is, is said next.
                if let Some(seen) = self.partitions.get_mut(&(log, 0)) {
                    seen.followed.clear();
                }
                if let Some(log) = self.logs.get_mut(&log) {
                    log.settings = settings;
                }
            }
            kind::LOG_DELETED => self.forget(from.u64()?),
            kind::LOG_TRIMMED => {
                let (log, partition, start) = (from.u64()?, from.u32()?, from.u64()?);
                if self.logs.contains_key(&log) {
                    let seen = self.partitions.entry((log, partition)).or_default();
                    seen.start = seen.start.max(start);
                }
            }
            kind::RUNS_REMOVED => {
                let (log, partition) = (from.u64()?, from.u32()?);
                let removed = ranges(from)?;
                if self.logs.contains_key(&log) {
                    let seen = self.partitions.entry((log, partition)).or_default();
                    let spans = removed.iter().map(|one| one.first..one.end());
                    spans.for_each(|span| seen.holes.add(span));
                }
            }
            kind::FOLLOWED => self.note_followed(followed(from)?),
            kind::MESSAGE_ID => {
                let one = message_id(from)?;
                let seen = self.partitions.get_mut(&(one.at.log, one.at.partition));
                if let Some(seen) = seen {
                    seen.messages.note_id(&one);
                }
            }
            kind::RECORD_SCHEDULED => self.note_schedule(scheduled(from)?),
            kind::PRODUCERS_RESERVED => self.reserved = self.reserved.max(from.u64()?),
            _ => {
                if !self.debts.replay(kind, from)? {
                    self.transactions.replay(kind, from)?;
                }
            }
        }
        if from.is_empty() {
            Ok(true)
        } else {
            Err(Corrupt::new("a record is followed by other bytes"))
        }
    }

    fn replay_run(
        &mut self,
        origin: ReplayOrigin,
        revision: u64,
        from: &mut Bounded<'_>,
        stand: Stand,
    ) -> Result<(), Corrupt> {
        let head = run_head(from)?;
        if head.log < self.snapshot_logs && !self.logs.contains_key(&head.log) {
            return Ok(());
        }
        // Also of logs that do not survive a restart: their runs must not be taken for another log's.
        self.next_log = self.next_log.max(head.log.saturating_add(1));
        let seen = self
            .partitions
            .entry((head.log, head.partition))
            .or_default();
        if origin == ReplayOrigin::AfterSnapshot {
            seen.stable.note(&head);
            if let Some(writer) = head.writer.filter(|_| head.ends.is_none()) {
                seen.producers
                    .note(writer, head.count, head.offset, head.at);
            }
        }
        let run = Entered {
            offset: head.offset,
            count: head.count,
            time: head.time_max(),
            at: head.at,
            stand,
        };
        seen.runs.push((revision, run));
        // Of a log that is yet to be declared, cold records may have come already.
        let log = self.logs.get(&head.log);
        if head.message && log.is_none_or(|log| log.settings.keyed.is_some()) {
            seen.messages.note(head.offset, from)?;
        }
        Ok(())
    }

    /// A log's namespace and name.
    pub(crate) fn name_of(&self, log: u64) -> Option<(Name, Name)> {
        let log = self.logs.get(&log)?;
        Some((log.namespace.clone(), log.name.clone()))
    }

    fn forget(&mut self, log: u64) {
        self.logs.remove(&log);
        self.debts.forget_log(log);
        let partitions = self.partitions.range((log, 0)..=(log, u32::MAX));
        let partitions: Vec<_> = partitions.map(|(at, _)| *at).collect();
        for at in partitions {
            self.partitions.remove(&at);
        }
    }

    /// A namespace is gone, with its logs.
    pub(crate) fn forget_namespace(&mut self, namespace: &str) {
        let gone = self.logs.values();
        let gone = gone.filter(|log| log.namespace.as_str() == namespace);
        let gone: Vec<u64> = gone.map(|log| log.log).collect();
        for log in gone {
            self.forget(log);
        }
        self.transactions.forget_namespace(namespace);
    }

    /// Puts the logs into the engine.
    pub(crate) fn finish(
        mut self,
        engine: &mut Engine,
        now: Millis,
        store: &mut impl Store,
    ) -> Result<(), Corrupt> {
        let producers_max = engine.options.log_producers_max;
        let read = engine.options.keyed_writer.parts;
        for (id, declared) in self.logs {
            let Some(slot) = engine.namespace_slot(declared.namespace.as_str()) else {
                continue;
            };
            let mut log = Log::new(slot, declared);
            let first = self.partitions.get_mut(&(id, 0));
            let followed = first.map(|seen| std::mem::take(&mut seen.followed));
            for (number, partition) in log.partitions.iter_mut().enumerate() {
                let seen = self.partitions.remove(&(id, number as u32));
                let mut seen = seen.unwrap_or_default();
                seen.producers.bound(producers_max);
                let rules = log.settings.keyed.as_deref();
                seen.fill(partition, rules, read, now, store)
                    .map_err(|Corrupt(text)| {
                        Corrupt(format!("partition {number} of log '{}': {text}", log.name))
                    })?;
            }
            engine.logs.partition_count += log.partitions.len();
            if let Some(namespace) = engine.namespaces.get_mut(slot) {
                namespace.router.log_declared(&log.name, id);
            }
            let partitions = 0..log.partitions.len() as u32;
            engine.logs.all.insert(id, log);
            for partition in partitions {
                engine.arm_keyed(At { log: id, partition });
            }
            engine.follow_as_set(id, now);
            for (origin, (log, offset)) in followed.unwrap_or_default() {
                engine.set_followed(id, origin, log, offset);
            }
        }
        engine.logs.next_id = self.next_log.max(1);
        engine.logs.reserved = self.reserved.max(1);
        engine.logs.next_producer = engine.logs.reserved;
        self.transactions.finish(engine);
        self.debts.finish(engine);
        engine.start_sweeping(now);
        Ok(())
    }
}

impl Seen {
    /// Enters the runs that are alive into a partition.
    fn fill(
        mut self,
        partition: &mut Partition,
        rules: Option<&KeyedSettings>,
        read: Option<ReadParts>,
        now: Millis,
        store: &mut impl Store,
    ) -> Result<(), Corrupt> {
        let order = |(revision, run): &(u64, Entered)| (run.offset, Reverse(*revision));
        if !self.runs.is_sorted_by_key(order) {
            // Stable: of copies of one record, the first seen counts.
            self.runs.sort_by_key(order);
        }
        let revisions = self.runs.iter().map(|(revision, _)| *revision);
        partition.revision = revisions.max().unwrap_or(0);
        self.runs.dedup_by_key(|(_, run)| run.offset);
        self.holes.merge();
        let end = |run: &Entered| run.offset.saturating_add(run.count.into());
        let last = self.runs.last().map_or(0, |(_, run)| end(run));
        let reached = self.snapshot_next.max(last).max(self.holes.end());
        let mut next = self.start;
        let living = self.runs.iter().map(|(_, run)| run);
        // Of a run that reaches over the start, a snapshot says only that what is behind it is gone.
        let shown = |run: &Entered| run.offset.max(self.start)..end(run);
        let living = living.filter(|run| end(run) > self.start);
        for run in living.filter(|run| !self.holes.cover(&shown(run))) {
            let first = partition.runs.is_empty() && run.offset <= self.start;
            if !first && run.offset != next && !self.holes.cover(&(next..run.offset)) {
                return Err(missing(next, run.offset));
            }
            next = end(run);
            store.adopt(run.stand.place, run.stand.len);
            partition.enter(*run);
        }
        if next < reached {
            if !self.holes.cover(&(next..reached)) {
                return Err(missing(next, reached));
            }
            next = reached;
        }
        partition.start = self.start;
        partition.next = next;
        partition.end = next;
        partition.durable_bytes = partition.appended_bytes;
        partition.producers = self.producers;
        self.stable.reached(next);
        self.stable.trim(self.start);
        self.stable
            .forget_ends(|end| self.holes.cover(&(end..end.saturating_add(1))));
        partition.cleaned_to = self.cleaned_to;
        partition.stable = self.stable;
        match rules {
            Some(rules) => self.messages.fill(partition, rules, read, now),
            None => Ok(()),
        }
    }
}

fn missing(from: u64, to: u64) -> Corrupt {
    Corrupt(format!(
        "the records from offset {from} to {to} are missing, which were not given up"
    ))
}
