//! The answer to a fetch, until its turn to be written comes.

use polybus_model::Name;
use polybus_session::Outbound;

use super::fetch_sessions::Told;
use super::pending::Body;
use crate::codec::{FetchHead, FetchWriter, FetchedPartition as Head, SentBatch, TopicRef, Uuid};
use crate::error::Code;

/// One partition's part.
#[derive(Debug)]
pub(super) struct FetchedPartition {
    pub(super) index: i32,
    pub(super) code: Code,
    pub(super) told: Told,
    /// Producers of aborted transactions and the first offset of each: for reads of what is committed.
    pub(super) aborted: Option<Vec<(i64, i64)>>,
    pub(super) batches: Vec<SentBatch>,
}

impl FetchedPartition {
    /// One that could not be read.
    pub(super) fn refused(index: i32, code: Code) -> Self {
        Self {
            index,
            code,
            told: Told {
                start: -1,
                end: -1,
                stable_end: -1,
            },
            aborted: None,
            batches: Vec::new(),
        }
    }
}

/// One topic's part.
#[derive(Debug)]
struct FetchedTopic {
    name: Option<Name>,
    id: Uuid,
    partitions: Vec<FetchedPartition>,
}

/// The whole answer.
#[derive(Debug)]
pub(super) struct Fetched {
    /// How long the client is not read from now on.
    pub(super) throttle_ms: i32,
    session: i32,
    topics: Vec<FetchedTopic>,
}

impl Fetched {
    pub(super) fn new(session: i32) -> Self {
        Self {
            throttle_ms: 0,
            session,
            topics: Vec::new(),
        }
    }

    /// Bytes of the records.
    pub(super) fn bytes(&self) -> usize {
        let parts = self.topics.iter().flat_map(|topic| &topic.partitions);
        let batches = parts.flat_map(|part| &part.batches);
        batches.map(|batch| batch.bytes.len()).sum()
    }

    /// Adds a partition, to the last topic if that is its own. A topic without a name goes by its id.
    pub(super) fn push(&mut self, name: Option<Name>, id: Uuid, part: FetchedPartition) {
        match self.topics.last_mut() {
            Some(last) if last.name == name && last.id == id => last.partitions.push(part),
            _ => self.topics.push(FetchedTopic {
                name,
                id,
                partitions: vec![part],
            }),
        }
    }
}

impl Body for Fetched {
    fn write(&self, out: &mut Outbound, version: i16, correlation: i32) {
        let head = FetchHead {
            throttle_time_ms: self.throttle_ms,
            session_id: self.session,
            topics: self.topics.len(),
            ..FetchHead::default()
        };
        let mut writer = FetchWriter::new(version, correlation, &head);
        for topic in &self.topics {
            let named = match &topic.name {
                Some(name) => TopicRef::Name(name.as_str()),
                None => TopicRef::Id(topic.id),
            };
            writer.topic(named, topic.partitions.len());
            for part in &topic.partitions {
                let head = Head {
                    index: part.index,
                    error_code: part.code.0,
                    high_watermark: part.told.end,
                    last_stable_offset: part.told.stable_end,
                    log_start_offset: part.told.start,
                    aborted: part.aborted.as_deref(),
                };
                writer.partition(&head, part.batches.iter().cloned());
            }
        }
        writer.finish(out);
    }

    fn hold_back(&mut self, throttle_ms: i32) {
        self.throttle_ms = self.throttle_ms.max(throttle_ms);
    }
}
