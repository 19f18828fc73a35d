//! Between topics and logs: what reaches a log by any way is appended to it, and what is appended to a log whose topic has
//! bindings goes where they lead.
//!
//! ```text
//! publish -> routing: queues, and logs (bound, or behind a topic on the way) -> appended to each, one message a run
//! append to log `orders`    -> opaque; only if topic `orders` has bindings: RunReaders -> messages -> the bindings
//! ```
//! What always holds: a message is in the log once, whichever way it came.

use bytes::Bytes;
use polybus_model::{
    AppendedRun, LogError, Message, Name, NewRun, Origin, RunCompactor, RunContent,
    ScheduledProperties,
};

use super::At;
use super::record::RunHead;
use crate::publish::Placed;
use crate::routing::RouteMode;
use crate::turn::Turn;
use crate::{Engine, Store};

/// Reads the messages out of a run as its protocol packs it, for a topic of that name, to the end of a list: each with its
/// offset within the run.
pub type RunReader = fn(&Name, &Bytes, &mut Vec<(u32, Message)>);

/// The readers of all protocols that append packed runs. Plain functions: the same bytes give the same messages.
#[derive(Clone, Default)]
pub struct RunReaders {
    readers: Vec<(Origin, RunReader)>,
    compactors: Vec<(Origin, RunCompactor)>,
    copiers: Vec<(Origin, ScheduledProperties)>,
}

impl RunReaders {
    /// No readers: what is appended packed stays in its log.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            readers: Vec::new(),
            compactors: Vec::new(),
            copiers: Vec::new(),
        }
    }

    /// Adds (or replaces) a protocol's reader.
    #[must_use]
    pub fn with(mut self, origin: Origin, reader: RunReader) -> Self {
        self.readers.retain(|(known, _)| *known != origin);
        self.readers.push((origin, reader));
        self
    }

    /// Adds (or replaces) how a protocol's runs are compacted; those of others stay as they are.
    #[must_use]
    pub fn with_compactor(mut self, origin: Origin, compactor: RunCompactor) -> Self {
        self.compactors.retain(|(known, _)| *known != origin);
        self.compactors.push((origin, compactor));
        self
    }

    /// Adds (or replaces) what a protocol writes into copies of its messages; those of others stay as they are.
    #[must_use]
    pub fn with_copier(mut self, origin: Origin, copier: ScheduledProperties) -> Self {
        self.copiers.retain(|(known, _)| *known != origin);
        self.copiers.push((origin, copier));
        self
    }

    pub(super) fn copier(&self, origin: Origin) -> Option<ScheduledProperties> {
        let found = self.copiers.iter().find(|(known, _)| *known == origin);
        found.map(|(_, copier)| *copier)
    }

    pub(super) fn compactor(&self, origin: Origin) -> Option<RunCompactor> {
        let found = self.compactors.iter().find(|(known, _)| *known == origin);
        found.map(|(_, compactor)| *compactor)
    }

    /// Reads the messages of a run, for a topic of that name, to the end of a list: each with its offset within the run.
    pub fn read(&self, topic: &Name, content: &RunContent, messages: &mut Vec<(u32, Message)>) {
        match content {
            RunContent::Message(message) => messages.push((0, message.clone())),
            RunContent::Packed { origin, bytes } => {
                if let Some((_, reader)) = self.readers.iter().find(|(known, _)| known == origin) {
                    reader(topic, bytes, messages);
                }
            }
        }
    }
}

impl std::fmt::Debug for RunReaders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.readers.iter().map(|(origin, _)| origin))
            .finish()
    }
}

impl Engine {
    /// A message was routed, and reached logs: appends it to each.
    pub(crate) fn append_routed(
        &mut self,
        namespace: u32,
        message: &Message,
        turn: &mut Turn<'_, impl Store>,
    ) -> Placed {
        let mut logs = std::mem::take(&mut self.work.logs);
        logs.clear();
        if let Some(found) = self.namespaces.get(namespace) {
            logs.extend_from_slice(found.router.logs_reached());
        }
        let placed = self.append_to_logs(&logs, message, turn);
        self.work.logs = logs;
        placed
    }

    /// Appends a message to logs, by their ids.
    pub(crate) fn append_to_logs(
        &mut self,
        logs: &[u64],
        message: &Message,
        turn: &mut Turn<'_, impl Store>,
    ) -> Placed {
        let mut placed = Placed::default();
        for log in logs {
            let result = self.append_message(*log, message, turn);
            placed.journaled |= result.is_ok();
            placed.refused |= result.is_err();
        }
        self.logs.bound_recent(self.options.log_resident_bytes_max);
        placed
    }

    /// Appends a message to a log, as a run of its own.
    fn append_message(
        &mut self,
        id: u64,
        message: &Message,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<AppendedRun, LogError> {
        let log = self.logs.all.get_mut(&id).ok_or(LogError::NotFound)?;
        let number = log.partition_for(message.key());
        let partition = log.partitions.get(number as usize);
        let partition = partition.ok_or(LogError::NotFound)?;
        let run = NewRun {
            count: 1,
            time_max: Some(turn.now),
            time_min: None,
            keyed: !message.key().is_empty(),
            writer: None,
            crc: None,
            content: RunContent::Message(message.clone()),
        };
        let (next, start, settings) = (partition.next, partition.start, &log.settings);
        if settings.keyed.is_some() {
            let at = At {
                log: id,
                partition: number,
            };
            return self.store_routed(at, message, turn);
        }
        let stamps = settings.stamps;
        if settings.compacts && message.key().is_empty() {
            let text = "a log that compacts takes no record without a key";
            return Err(LogError::Unsupported(text.to_owned()));
        }
        super::append::check(&run, settings.run_bytes_max, next)?;
        let head = RunHead {
            log: id,
            partition: number,
            offset: next,
            count: 1,
            at: turn.now,
            time: run.time_max,
            stamped: stamps,
            writer: None,
            ends: None,
            message: true,
        };
        self.append_run(&head, run.content, None, turn);
        let at = At {
            log: id,
            partition: number,
        };
        self.trim_by_size(at, turn);
        Ok(AppendedRun {
            offset: next,
            start,
            stamped: stamps.then_some(turn.now),
        })
    }

    /// Whether anything is bound to the topic in front of a log.
    pub(super) fn has_readers_by_topic(&self, namespace: u32, log: &Name) -> bool {
        self.namespaces
            .get(namespace)
            .is_some_and(|one| one.router.leads_on_from(log.as_str()))
    }

    /// Hands what was appended to a log to the bindings of its topic: to queues, and to other logs.
    pub(super) fn hand_to_bindings(
        &mut self,
        namespace: u32,
        (id, log): (u64, &Name),
        content: &RunContent,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let mut messages = Vec::new();
        self.options.run_readers.read(log, content, &mut messages);
        let mode = RouteMode::BROKER;
        let mut slots = std::mem::take(&mut self.work.slots);
        for (_, message) in &messages {
            let readers = &self.options.header_readers;
            let routed = self.namespaces.get_mut(namespace).map(|one| {
                let topic = log.as_str().as_bytes();
                one.router
                    .route(topic, message, &[], mode, readers, &mut slots)
            });
            let Some(Ok(routed)) = routed else {
                continue;
            };
            self.tell_listeners(namespace, message, turn);
            if routed.logged {
                let others = self.other_logs_reached(namespace, id);
                self.append_to_logs(&others, message, turn);
            }
            if !slots.is_empty() {
                self.enqueue(message, &slots, turn);
            }
        }
        self.work.slots = slots;
    }

    /// The logs that the last routed message reached, but for the one that it comes from.
    fn other_logs_reached(&self, namespace: u32, from: u64) -> Vec<u64> {
        let reached = self.namespaces.get(namespace);
        let reached = reached.map(|one| one.router.logs_reached());
        let others = reached.into_iter().flatten().filter(|log| **log != from);
        others.copied().collect()
    }
}

/// Which of a log's partitions a key goes to: as Kafka's own clients choose, so that both agree on it.
pub(crate) fn partition_of(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & i32::MAX as u32) % partitions.max(1)
}

/// The 32-bit MurmurHash2 with Kafka's seed.
fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_B28C;
    const M: u32 = 0x5BD1_E995;
    let mut hash = SEED ^ bytes.len() as u32;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (at, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's own test of its hash.
    #[test]
    fn keys_hash_as_in_kafka() {
        let vectors: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ];
        for (key, hash) in vectors {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
        assert_eq!(partition_of(b"abc", 7), 479_470_107 % 7);
    }
}
