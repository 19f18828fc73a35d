//! Between topics and logs: what is published to a topic that has a log is appended to it, and what is appended to a log whose
//! topic has bindings goes where they lead.
//!
//! ```text
//! publish to topic `orders` -> appended to log `orders`, one message a run -> the bindings, as ever
//! append to log `orders`    -> opaque; only if topic `orders` has bindings: RunReaders -> messages -> the bindings
//! ```
//! What always holds: a message is in the log once, whichever way it came.

use bytes::Bytes;
use polybus_model::{Message, Name, NewRun, Origin, RunContent};

use super::At;
use super::record::RunHead;
use crate::routing::RouteMode;
use crate::turn::Turn;
use crate::{Engine, Store};

/// Reads the messages out of a run as its protocol packs it, for a topic of that name, to the end of a list.
pub type RunReader = fn(&Name, &Bytes, &mut Vec<Message>);

/// The readers of all protocols that append packed runs. Plain functions: the same bytes give the same messages.
#[derive(Clone, Default)]
pub struct RunReaders(Vec<(Origin, RunReader)>);

impl RunReaders {
    /// No readers: what is appended packed stays in its log.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds (or replaces) a protocol's reader.
    #[must_use]
    pub fn with(mut self, origin: Origin, reader: RunReader) -> Self {
        self.0.retain(|(known, _)| *known != origin);
        self.0.push((origin, reader));
        self
    }

    fn read(&self, topic: &Name, content: &RunContent, messages: &mut Vec<Message>) {
        match content {
            RunContent::Message(message) => messages.push(message.clone()),
            RunContent::Packed { origin, bytes } => {
                if let Some((_, reader)) = self.0.iter().find(|(known, _)| known == origin) {
                    reader(topic, bytes, messages);
                }
            }
        }
    }
}

impl std::fmt::Debug for RunReaders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(origin, _)| origin))
            .finish()
    }
}

/// What became of a message in the log of its topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Logged {
    /// Its topic has no log.
    NoLog,
    /// It was appended.
    Appended,
    /// The log does not take it.
    Refused,
}

impl Engine {
    /// A message was published to a topic: appends it to the topic's log, if it has one.
    pub(crate) fn log_published(
        &mut self,
        namespace: u32,
        topic: &[u8],
        message: &Message,
        turn: &mut Turn<'_, impl Store>,
    ) -> Logged {
        let Some(found) = self.namespaces.get(namespace) else {
            return Logged::NoLog;
        };
        if found.logs.is_empty() {
            return Logged::NoLog;
        }
        let name = std::str::from_utf8(topic).unwrap_or_default();
        let Some(id) = found.logs.get(name).copied() else {
            return Logged::NoLog;
        };
        let Some(log) = self.logs.all.get_mut(&id) else {
            return Logged::NoLog;
        };
        let number = log.partition_for(message.key());
        let Some(partition) = log.partitions.get(number as usize) else {
            return Logged::NoLog;
        };
        let run = NewRun {
            count: 1,
            time_max: Some(turn.now),
            writer: None,
            content: RunContent::Message(message.clone()),
        };
        let (next, settings) = (partition.next, &log.settings);
        let keyless = settings.compacts && message.key().is_empty();
        if keyless || super::append::check(&run, settings.run_bytes_max, next).is_err() {
            return Logged::Refused;
        }
        let head = RunHead {
            log: id,
            partition: number,
            offset: next,
            count: 1,
            at: turn.now,
            time: run.time_max,
            stamped: settings.stamps,
            writer: None,
            ends: None,
            message: true,
        };
        self.append_run(&head, run.content, turn);
        let at = At {
            log: id,
            partition: number,
        };
        self.trim_by_size(at, turn);
        self.logs.bound_recent(self.options.log_resident_bytes_max);
        Logged::Appended
    }

    /// Whether anything is bound to the topic in front of a log.
    pub(super) fn has_readers_by_topic(&self, namespace: u32, log: &Name) -> bool {
        self.namespaces
            .get(namespace)
            .is_some_and(|one| one.router.has_bindings_as_source(log.as_str()))
    }

    /// Hands what was appended to a log to the bindings of its topic.
    pub(super) fn hand_to_bindings(
        &mut self,
        namespace: u32,
        log: &Name,
        content: &RunContent,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let mut messages = Vec::new();
        self.options.run_readers.read(log, content, &mut messages);
        let mode = RouteMode {
            by_client: false,
            delay: false,
        };
        let mut slots = std::mem::take(&mut self.work.slots);
        for message in &messages {
            let readers = &self.options.header_readers;
            let routed = self.namespaces.get_mut(namespace).map(|one| {
                let topic = log.as_str().as_bytes();
                one.router
                    .route(topic, message, &[], mode, readers, &mut slots)
            });
            if matches!(routed, Some(Ok(_))) && !slots.is_empty() {
                self.enqueue(message, &slots, turn);
            }
        }
        self.work.slots = slots;
    }
}

/// Which of a log's partitions a key goes to: as Kafka's own clients choose, so that both agree on it.
pub(super) fn partition_of(key: &[u8], partitions: u32) -> u32 {
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
