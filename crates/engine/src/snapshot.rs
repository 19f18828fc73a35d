//! The durable state at one moment, compact: definitions as the records that made them, and of each queue which sequences
//! are alive, as ranges. The messages themselves stay in the journal.
//!
//! ```text
//! version u8 | next incarnation u64 | next delayed sequence u64
//! definitions: (length u32, record)*, then a length of 0
//! queues u32, each: incarnation u64 | next sequence u64 | live ranges | redelivered ranges | attempts
//! delayed: live ranges
//! sections (from version 2 on), to the end: tag u8 | length u32 | bytes;
//!   tag 1: logs (logs/recovery.rs), 2: transactions (logs/transaction_record.rs), 23: holes of logs (logs/holes.rs),
//!   24: compaction of logs (logs/compaction/mod.rs), 26: what transactions owe (logs/owed/record.rs), 41: what of them was handed on (the same),
//!   40: keyed logs (logs/keyed/record.rs), 51: followers (the same)
//! ```

use polybus_model::{Attempts, Binding, Destination};

use crate::Engine;
use crate::engine::merge_ranges;
use crate::namespace::{Namespace, is_predeclared};
use crate::queue::Queue;
use crate::queue::entry::{ATTEMPTED, DURABLE, Entry, REDELIVERED};
use crate::queues::put_queue_declared;
use crate::record::codec::{Bounded, Put};
use crate::record::{self, Corrupt, Range, Returned, kind};
use crate::topics::{put_binding, put_topic_declared};

const VERSION: u8 = 2;
/// Without sections.
const VERSION_1: u8 = 1;
const LOGS: u8 = 1;
const TRANSACTIONS: u8 = 2;
const HOLES: u8 = 23;
const KEYED: u8 = 40;
const FOLLOWED: u8 = 51;
const COMPACTION: u8 = 24;
const SCHEDULES: u8 = 54;
const DEBTS: u8 = 26;
const HANDED: u8 = 41;

/// What a snapshot says of one queue.
#[derive(Debug, Default)]
pub(crate) struct QueueState {
    pub(crate) incarnation: u64,
    pub(crate) next_sequence: u64,
    pub(crate) live: Vec<Range>,
    pub(crate) redelivered: Vec<Range>,
    pub(crate) attempts: Vec<Returned>,
}

/// A snapshot, read.
#[derive(Debug)]
pub(crate) struct Snapshot<'a> {
    pub(crate) next_incarnation: u64,
    pub(crate) next_delayed: u64,
    pub(crate) definitions: Vec<&'a [u8]>,
    pub(crate) queues: Vec<QueueState>,
    pub(crate) delayed: Vec<Range>,
    pub(crate) logs: Option<&'a [u8]>,
    pub(crate) transactions: Option<&'a [u8]>,
    pub(crate) holes: Option<&'a [u8]>,
    pub(crate) keyed: Option<&'a [u8]>,
    pub(crate) followed: Option<&'a [u8]>,
    pub(crate) compaction: Option<&'a [u8]>,
    pub(crate) schedules: Option<&'a [u8]>,
    pub(crate) debts: Option<&'a [u8]>,
    pub(crate) handed: Option<&'a [u8]>,
}

impl Engine {
    /// Writes the durable state as it is at this moment to the end of `out`.
    pub fn snapshot(&self, out: &mut Vec<u8>) {
        out.put_u8(VERSION);
        out.put_u64(self.next_incarnation);
        out.put_u64(self.delayed.next_sequence);
        self.put_definitions(out);
        let persistent: Vec<_> = self
            .queues
            .iter()
            .map(|(_, queue)| queue)
            .filter(|queue| queue.persistent)
            .collect();
        out.put_u32(persistent.len() as u32);
        for queue in persistent {
            put_queue_state(out, queue);
        }
        let mut delayed = Vec::new();
        for (_, sequence, held) in self.delayed.iter() {
            if held.stand.is_some() {
                add(&mut delayed, sequence);
            }
        }
        merge_ranges(&mut delayed);
        record::put_ranges(out, &delayed);
        put_section(out, LOGS, |out| self.put_logs(out));
        put_section(out, TRANSACTIONS, |out| self.put_transactions(out));
        put_section(out, HOLES, |out| self.put_holes(out));
        put_section(out, KEYED, |out| self.put_keyed(out));
        put_section(out, FOLLOWED, |out| self.put_followed(out));
        put_section(out, COMPACTION, |out| self.put_compaction(out));
        if self.has_schedules() {
            put_section(out, SCHEDULES, |out| self.put_schedules(out));
        }
        put_section(out, DEBTS, |out| self.put_debts(out));
        put_section(out, HANDED, |out| self.put_handed(out));
    }

    fn put_definitions(&self, out: &mut Vec<u8>) {
        let mut buffer = Vec::new();
        let mut put = |buffer: &[u8]| out.put_bytes(buffer);
        for (slot, namespace) in self.namespaces.iter() {
            record::begin(&mut buffer, kind::NAMESPACE_ADDED);
            buffer.put_name(&namespace.name);
            put(&buffer);
            for (name, settings) in namespace.router.topics() {
                if settings.durable && !is_predeclared(name.as_str()) {
                    put_topic_declared(&mut buffer, &namespace.name, name, settings);
                    put(&buffer);
                }
            }
            for (_, queue) in self.queues.iter() {
                if queue.persistent && queue.namespace == slot {
                    put_queue_declared(&mut buffer, &namespace.name, queue);
                    put(&buffer);
                }
            }
            for binding in namespace.router.bindings() {
                if self.is_durable(namespace, binding) {
                    put_binding(&mut buffer, kind::BOUND, &namespace.name, binding);
                    put(&buffer);
                }
            }
            self.groups
                .put_definitions(slot, &namespace.name, &mut buffer, &mut put);
            self.windows
                .put_definitions(slot, &namespace.name, &mut buffer, &mut put);
            self.put_readers(slot, &namespace.name, &mut put);
        }
        put(&[]);
    }

    /// Whether both ends of a binding survive a restart.
    fn is_durable(&self, namespace: &Namespace, binding: &Binding) -> bool {
        let durable_topic = |name: &str| {
            let settings = namespace.router.topic(name);
            settings.is_some_and(|settings| settings.durable)
        };
        durable_topic(binding.source.as_str())
            && match &binding.destination {
                Destination::Topic(name) => durable_topic(name.as_str()),
                Destination::Queue(name) => namespace
                    .router
                    .queue_slot(name.as_str())
                    .and_then(|slot| self.queues.get(slot))
                    .is_some_and(|queue| queue.persistent),
                Destination::Log(name) => self.is_durable_log(namespace, name),
            }
    }
}

/// Writes a section, if there is anything in it.
fn put_section(out: &mut Vec<u8>, tag: u8, put: impl FnOnce(&mut Vec<u8>)) {
    let mut section = Vec::new();
    put(&mut section);
    if !section.is_empty() {
        out.put_u8(tag);
        out.put_bytes(&section);
    }
}

/// Adds a sequence to the end of a list of ranges.
pub(crate) fn add(ranges: &mut Vec<Range>, sequence: u64) {
    match ranges.last_mut() {
        Some(last) if last.end() == sequence && last.len < u32::MAX => last.len += 1,
        _ => ranges.push(Range {
            first: sequence,
            len: 1,
        }),
    }
}

fn put_queue_state(out: &mut Vec<u8>, queue: &Queue) {
    let (mut live, mut redelivered) = (Vec::new(), Vec::new());
    let mut note = |sequence: u64, flags: u8| {
        if flags & DURABLE != 0 {
            add(&mut live, sequence);
            if flags & REDELIVERED != 0 {
                add(&mut redelivered, sequence);
            }
        }
    };
    for (sequence, flags) in queue.ready.sequences() {
        note(sequence, flags);
    }
    for (_, lease) in queue.leases.iter() {
        note(lease.entry.sequence, lease.entry.flags | REDELIVERED);
    }
    let dying = queue.dying.iter().map(|(entry, _)| entry);
    for entry in queue.waiting.values().chain(dying) {
        note(entry.sequence, entry.flags);
    }
    merge_ranges(&mut live);
    merge_ranges(&mut redelivered);
    out.put_u64(queue.incarnation);
    out.put_u64(queue.next_sequence);
    record::put_ranges(out, &live);
    record::put_ranges(out, &redelivered);
    record::put_attempt_list(out, &attempts(queue));
}

fn attempts(queue: &Queue) -> Vec<Returned> {
    let mut due_of: Vec<(u64, u64)> = queue
        .waiting
        .iter()
        .filter(|(_, entry)| entry.has(DURABLE))
        .map(|((due, sequence), _)| (*sequence, *due))
        .collect();
    due_of.sort_unstable();
    let due = |sequence| {
        due_of
            .binary_search_by_key(&sequence, |one| one.0)
            .ok()
            .and_then(|at| due_of.get(at))
            .map_or(0, |one| one.1)
    };
    let mut all: Vec<_> = queue
        .attempts
        .iter()
        .map(|(sequence, attempts)| Returned {
            sequence: *sequence,
            attempts: *attempts,
            due: due(*sequence),
        })
        .collect();
    let unattempted = |entry: &&Entry| entry.has(DURABLE) && !entry.has(ATTEMPTED);
    all.extend(
        queue
            .waiting
            .values()
            .filter(unattempted)
            .map(|entry| Returned {
                sequence: entry.sequence,
                attempts: Attempts::default(),
                due: due(entry.sequence),
            }),
    );
    all.sort_unstable_by_key(|one| one.sequence);
    all
}

/// Reads a snapshot.
pub(crate) fn read(bytes: &[u8]) -> Result<Snapshot<'_>, Corrupt> {
    let mut from = Bounded::new(bytes);
    let version = from.u8()?;
    if !(VERSION_1..=VERSION).contains(&version) {
        return Err(Corrupt(format!(
            "a snapshot of version {version}; this program reads versions up to {VERSION}"
        )));
    }
    let (next_incarnation, next_delayed) = (from.u64()?, from.u64()?);
    let mut definitions = Vec::new();
    loop {
        let definition = from.bytes()?;
        if definition.is_empty() {
            break;
        }
        definitions.push(definition);
    }
    let mut queues = Vec::new();
    for _ in 0..from.u32()? {
        queues.push(QueueState {
            incarnation: from.u64()?,
            next_sequence: from.u64()?,
            live: record::ranges(&mut from)?,
            redelivered: record::ranges(&mut from)?,
            attempts: record::attempt_list(&mut from)?,
        });
    }
    let delayed = record::ranges(&mut from)?;
    let (mut logs, mut transactions, mut followed) = (None, None, None);
    let (mut schedules, mut handed) = (None, None);
    let (mut holes, mut compaction, mut keyed, mut debts) = (None, None, None, None);
    while version > VERSION_1 && !from.is_empty() {
        match (from.u8()?, from.bytes()?) {
            (LOGS, section) => logs = Some(section),
            (TRANSACTIONS, section) => transactions = Some(section),
            (HOLES, section) => holes = Some(section),
            (KEYED, section) => keyed = Some(section),
            (FOLLOWED, section) => followed = Some(section),
            (COMPACTION, section) => compaction = Some(section),
            (SCHEDULES, section) => schedules = Some(section),
            (DEBTS, section) => debts = Some(section),
            (HANDED, section) => handed = Some(section),
            (other, _) => return Err(Corrupt(format!("a snapshot has a section {other}"))),
        }
    }
    if !from.is_empty() {
        return Err(Corrupt::new("a snapshot is followed by other bytes"));
    }
    Ok(Snapshot {
        next_incarnation,
        next_delayed,
        definitions,
        queues,
        delayed,
        logs,
        transactions,
        holes,
        keyed,
        followed,
        schedules,
        compaction,
        debts,
        handed,
    })
}
