//! From a snapshot and the records around it back to an engine.
//!
//! ```text
//! snapshot: definitions, live sequences
//! + cold and earlier records:  where the live sequences stand
//! + later records:             definitions and messages come and go, in order
//! = finish: every sequence that is alive has a record, or the data is corrupt
//! ```
//! Of a record that is cold or from before the snapshot its front is enough (front.rs).

mod definitions;
pub(crate) mod front;
mod sequences;

use polybus_model::{Destination, Millis, Name};
use rustc_hash::FxHashMap;

use crate::delayed::Held;
use crate::groups::RecoveredGroups;
use crate::logs::recovery::LogRecovery;
use crate::queue::Queue;
use crate::queue::entry::{ATTEMPTED, DURABLE, Entry, NEVER, REDELIVERED};
use crate::record::codec::Bounded;
use crate::record::{self, Corrupt, DELAYED_QUEUE, Delayed, Stand, Target, kind};
use crate::{Engine, Options, Place, Store, snapshot};
use definitions::Definitions;
use sequences::{Seen, Sequences};

/// Where a record stands in relation to the snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplayOrigin {
    /// A copy of an old record in cold storage.
    Cold,
    /// In the journal, but the snapshot already knows what came of it.
    BeforeSnapshot,
    /// In the journal, after the snapshot.
    AfterSnapshot,
}

/// A recovery under way.
#[derive(Debug)]
pub struct Recovery {
    options: Options,
    definitions: Definitions,
    groups: RecoveredGroups,
    logs: LogRecovery,
    sequences: FxHashMap<u64, Sequences>,
    /// What the living among the delayed messages say, by sequence.
    delayed: FxHashMap<u64, Delayed>,
    /// Incarnations below existed before the snapshot, or not at all.
    snapshot_incarnations: u64,
    next_incarnation: u64,
    /// Used from record to record.
    targets: Vec<Target>,
}

impl Engine {
    /// Starts a recovery from a snapshot.
    ///
    /// # Errors
    /// The snapshot cannot be read.
    pub fn restore(options: Options, snapshot: &[u8]) -> Result<Recovery, Corrupt> {
        let mut recovery = Recovery::bare(options);
        let snapshot = snapshot::read(snapshot)?;
        recovery.snapshot_incarnations = snapshot.next_incarnation;
        recovery.next_incarnation = snapshot.next_incarnation;
        for definition in snapshot.definitions {
            let (kind, mut from) = record::open(definition)?;
            if !recovery.groups.apply(kind, &mut from)?
                && !recovery.definitions.apply(kind, &mut from)?
            {
                return Err(Corrupt(format!("a definition of kind {kind}")));
            }
        }
        for queue in snapshot.queues {
            let sequences = Sequences::of_snapshot(
                queue.next_sequence,
                queue.live,
                queue.redelivered,
                queue.attempts,
            );
            recovery.sequences.insert(queue.incarnation, sequences);
        }
        let delayed = Sequences::of_snapshot(
            snapshot.next_delayed,
            snapshot.delayed,
            Vec::new(),
            Vec::new(),
        );
        recovery.sequences.insert(DELAYED_QUEUE, delayed);
        if let Some(logs) = snapshot.logs {
            recovery.logs = LogRecovery::of_snapshot(logs)?;
        }
        if let Some(transactions) = snapshot.transactions {
            recovery.logs.with_transactions(transactions)?;
        }
        if let Some(holes) = snapshot.holes {
            recovery.logs.with_holes(holes)?;
        }
        if let Some(keyed) = snapshot.keyed {
            recovery.logs.with_keyed(keyed)?;
        }
        if let Some(followed) = snapshot.followed {
            recovery.logs.with_followed(followed)?;
        }
        if let Some(schedules) = snapshot.schedules {
            recovery.logs.with_schedules(schedules)?;
        }
        if let Some(compaction) = snapshot.compaction {
            recovery.logs.with_compaction(compaction)?;
        }
        if let Some(debts) = snapshot.debts {
            recovery.logs.with_debts(debts)?;
        }
        if let Some(handed) = snapshot.handed {
            recovery.logs.with_handed(handed)?;
        }
        Ok(recovery)
    }
}

impl Recovery {
    /// Starts without a snapshot.
    #[must_use]
    pub fn empty(options: Options) -> Self {
        let mut recovery = Self::bare(options);
        recovery.definitions.namespaces.extend(Name::new("/"));
        recovery
    }

    fn bare(options: Options) -> Self {
        let mut sequences = FxHashMap::default();
        sequences.insert(DELAYED_QUEUE, Sequences::default());
        Self {
            options,
            definitions: Definitions::default(),
            groups: RecoveredGroups::default(),
            logs: LogRecovery::default(),
            sequences,
            delayed: FxHashMap::default(),
            snapshot_incarnations: 1,
            next_incarnation: 1,
            targets: Vec::new(),
        }
    }

    /// The snapshot is of a version before 0.4: what transactions appended was handed to the bindings of their topics at once,
    /// and not when they were committed.
    pub fn note_handed_on_at_append(&mut self) {
        self.logs.note_older();
    }

    /// Takes one record, in journal order (cold ones first).
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn replay(
        &mut self,
        origin: ReplayOrigin,
        kind: u8,
        place: Place,
        payload: &[u8],
    ) -> Result<(), Corrupt> {
        let stand = Stand {
            place,
            len: payload.len() as u32,
        };
        self.replay_at(origin, kind, stand, payload)
    }

    /// Takes one record of which only its front ([`crate::front`]) is at hand: one that is cold or from before the
    /// snapshot. `len` is the length of all of it.
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn replay_front(
        &mut self,
        origin: ReplayOrigin,
        kind: u8,
        (place, len): (Place, u32),
        front: &[u8],
    ) -> Result<(), Corrupt> {
        if front.len() < len as usize && origin == ReplayOrigin::AfterSnapshot {
            return Err(Corrupt::new("of a record after the snapshot only a part"));
        }
        self.replay_at(origin, kind, Stand { place, len }, front)
    }

    fn replay_at(
        &mut self,
        origin: ReplayOrigin,
        kind: u8,
        stand: Stand,
        payload: &[u8],
    ) -> Result<(), Corrupt> {
        let (inner, mut from) = record::open(payload)?;
        if inner != kind {
            return Err(Corrupt(format!("a record of kind {inner} filed as {kind}")));
        }
        if kind == kind::LOG_DELETED && origin == ReplayOrigin::AfterSnapshot {
            let log = from.clone().u64()?;
            if let Some((namespace, name)) = self.logs.name_of(log) {
                let end = Destination::Log(name);
                self.definitions.delete_bindings(namespace, end);
            }
        }
        if self.logs.replay(origin, kind, &mut from, stand)? {
            return Ok(());
        }
        match kind {
            kind::PUBLISH => return self.replay_publish(origin, &mut from, stand),
            kind::DELAYED => return self.replay_delayed(&mut from, stand),
            _ if origin != ReplayOrigin::AfterSnapshot => return Ok(()),
            kind::SETTLE => {
                let (queue, ranges) = (from.u64()?, record::ranges(&mut from)?);
                if let Some(sequences) = self.sequences.get_mut(&queue) {
                    sequences.end(&ranges);
                }
            }
            kind::ATTEMPTS => {
                let (queue, attempts) = (from.u64()?, record::attempt_list(&mut from)?);
                if let Some(sequences) = self.sequences.get_mut(&queue) {
                    let attempts = attempts.into_iter().map(|one| (one.sequence, one));
                    sequences.attempts.extend(attempts);
                }
            }
            _ => return self.replay_definition(kind, &mut from),
        }
        if from.is_empty() {
            Ok(())
        } else {
            Err(Corrupt::new("a record is followed by other bytes"))
        }
    }

    fn replay_definition(&mut self, kind: u8, from: &mut Bounded<'_>) -> Result<(), Corrupt> {
        if self.groups.apply(kind, from)? {
            return Ok(());
        }
        if kind == kind::NAMESPACE_DELETED {
            let name = from.clone().name()?;
            self.groups.drop_namespace(&name);
            self.logs.forget_namespace(name.as_str());
        }
        if !self.definitions.apply(kind, from)? {
            return Err(Corrupt(format!("a record of the unknown kind {kind}")));
        }
        match kind {
            kind::QUEUE_DECLARED => {
                if let Some((incarnation, _)) = self.definitions.queues.last_key_value() {
                    self.next_incarnation = self.next_incarnation.max(incarnation + 1);
                    self.sequences.entry(*incarnation).or_default();
                }
            }
            kind::QUEUE_DELETED | kind::NAMESPACE_DELETED => {
                let queues = &self.definitions.queues;
                let next = self.next_incarnation;
                // Of queues that are yet to be declared, cold records may have come already.
                self.sequences.retain(|incarnation, _| {
                    *incarnation == DELAYED_QUEUE
                        || *incarnation >= next
                        || queues.contains_key(incarnation)
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn replay_publish(
        &mut self,
        origin: ReplayOrigin,
        from: &mut Bounded<'_>,
        stand: Stand,
    ) -> Result<(), Corrupt> {
        let mut targets = std::mem::take(&mut self.targets);
        record::targets(from, &mut targets)?;
        let glance = record::glance(from)?;
        for target in targets.iter().filter(|target| !target.transient) {
            let may_come =
                origin == ReplayOrigin::Cold && target.queue >= self.snapshot_incarnations;
            let sequences = match self.sequences.get_mut(&target.queue) {
                Some(sequences) => sequences,
                None if may_come => self.sequences.entry(target.queue).or_default(),
                None => continue,
            };
            let seen = Seen {
                sequence: target.sequence,
                stand,
                body_len: glance.body_len,
                priority: glance.priority,
            };
            sequences.see(seen, target.expiry);
        }
        self.targets = targets;
        Ok(())
    }

    fn replay_delayed(&mut self, from: &mut Bounded<'_>, stand: Stand) -> Result<(), Corrupt> {
        let delayed = record::delayed(from)?;
        let glance = record::glance(from)?;
        let seen = Seen {
            sequence: delayed.sequence,
            stand,
            body_len: glance.body_len,
            priority: glance.priority,
        };
        if let Some(sequences) = self.sequences.get_mut(&DELAYED_QUEUE)
            && sequences.see(seen, None)
        {
            self.delayed.insert(delayed.sequence, delayed);
        }
        Ok(())
    }

    /// All records are in. `clean` says that the snapshot was the last act of an orderly end. Calls [`Store::adopt`] for
    /// each queue entry that points at a record.
    ///
    /// # Errors
    /// A message that must be there is not.
    pub fn finish(
        mut self,
        now: Millis,
        clean: bool,
        store: &mut impl Store,
    ) -> Result<Engine, Corrupt> {
        let mut engine = Engine::bare(self.options.clone());
        for name in &self.definitions.namespaces {
            engine.create_namespace(name);
        }
        for ((namespace, name), settings) in std::mem::take(&mut self.definitions.topics) {
            if let Some(slot) = engine.namespace_slot(namespace.as_str())
                && let Some(namespace) = engine.namespaces.get_mut(slot)
                && namespace.router.declare_topic(&name, settings)
            {
                namespace.topic_count += 1;
            }
        }
        self.finish_queues(&mut engine, now, clean, store)?;
        std::mem::take(&mut self.logs).finish(&mut engine, now, store)?;
        for (namespace, binding) in self.definitions.bindings.values() {
            if let Some(slot) = engine.namespace_slot(namespace.as_str())
                && let Some(namespace) = engine.namespaces.get_mut(slot)
                && namespace.router.bind(binding) == Ok(true)
            {
                namespace.binding_count += 1;
            }
        }
        self.finish_delayed(&mut engine, store)?;
        self.groups.finish(&mut engine, now);
        engine.next_incarnation = engine.next_incarnation.max(self.next_incarnation);
        Ok(engine)
    }

    fn finish_queues(
        &mut self,
        engine: &mut Engine,
        now: Millis,
        clean: bool,
        store: &mut impl Store,
    ) -> Result<(), Corrupt> {
        for (incarnation, definition) in std::mem::take(&mut self.definitions.queues) {
            let Some(namespace) = engine.namespace_slot(definition.namespace.as_str()) else {
                continue;
            };
            let mut queue = Queue::new(
                definition.name,
                namespace,
                incarnation,
                definition.settings,
                None,
                now,
            );
            let sequences = self.sequences.remove(&incarnation).unwrap_or_default();
            fill(&mut queue, sequences, now, clean, store)?;
            let slot = engine.insert_queue(queue);
            engine.arm(slot);
        }
        Ok(())
    }

    fn finish_delayed(
        &mut self,
        engine: &mut Engine,
        store: &mut impl Store,
    ) -> Result<(), Corrupt> {
        let Some(mut sequences) = self.sequences.remove(&DELAYED_QUEUE) else {
            return Ok(());
        };
        for seen in sequences.living()? {
            let Some(delayed) = self.delayed.remove(&seen.sequence) else {
                continue;
            };
            let Some(namespace) = engine.namespace_slot(delayed.namespace.as_str()) else {
                continue;
            };
            store.adopt(seen.stand.place, seen.stand.len);
            let held = Held {
                namespace,
                topics: delayed.topics,
                more_keys: delayed.more_keys,
                stand: Some(seen.stand),
                message: None,
            };
            engine.delayed.insert(delayed.due, delayed.sequence, held);
        }
        let next = &mut engine.delayed.next_sequence;
        *next = sequences.next.max(*next);
        Ok(())
    }
}

/// Puts the living into their queue.
fn fill(
    queue: &mut Queue,
    mut sequences: Sequences,
    now: Millis,
    clean: bool,
    store: &mut impl Store,
) -> Result<(), Corrupt> {
    let living = sequences.living().map_err(|Corrupt(text)| {
        Corrupt(format!(
            "queue '{}' ({}): {text}",
            queue.name, queue.incarnation
        ))
    })?;
    queue.next_sequence = sequences.next.max(1);
    for seen in living {
        let attempts = sequences.attempts.get(&seen.sequence);
        let mut flags = DURABLE;
        if !clean || sequences.was_redelivered(seen.sequence) {
            flags |= REDELIVERED;
        }
        if let Some(attempts) = attempts.filter(|one| one.attempts.all > 0) {
            flags |= ATTEMPTED;
            queue.attempts.insert(seen.sequence, attempts.attempts);
        }
        let entry = Entry {
            sequence: seen.sequence,
            stand: Some(seen.stand),
            body_len: seen.body_len,
            flags,
            level: queue.level_of(seen.priority),
            expiry: sequences.expiry(seen.sequence).unwrap_or(NEVER),
            message: None,
        };
        store.adopt(seen.stand.place, seen.stand.len);
        match attempts.map(|one| one.due).filter(|due| *due > now) {
            None => queue.ready.push(entry),
            Some(due) => queue.wait(due, entry),
        }
    }
    Ok(())
}
