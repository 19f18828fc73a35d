//! Fetch responses as they are written on the hot path: what is around the records is staged, the records are passed on by
//! reference. [`super::messages::FetchResponse`] is the same as a struct.
//!
//! ```text
//! FetchWriter::new -> topic -> partition, partition, ... -> topic -> ... -> finish(Outbound)
//! ```

use polybus_session::Outbound;

use super::api::Api;
use super::batch::SentBatch;
use super::frame::write_response_header;
use super::primitives::Uuid;
use super::produce::TopicRef;
use super::woven::Woven;

/// The first version with an error for the whole and a session.
const SESSION_FROM: i16 = 7;
const LOG_START_FROM: i16 = 5;
const REPLICA_FROM: i16 = 11;
const BY_ID_FROM: i16 = 13;
/// No other replica is preferred.
const NO_REPLICA: i32 = -1;

/// What stands before the topics of a response.
#[derive(Clone, Copy, Default, Debug)]
pub struct FetchHead {
    /// How long the client was held back, in milliseconds.
    pub throttle_time_ms: i32,
    /// What went wrong with the whole of it; 0 for nothing.
    pub error_code: i16,
    /// The fetch session; 0 for none.
    pub session_id: i32,
    /// How many topics follow.
    pub topics: usize,
}

/// What stands before the records of a partition.
#[derive(Clone, Copy, Debug)]
pub struct FetchedPartition<'a> {
    /// Its number.
    pub index: i32,
    /// What went wrong with it; 0 for nothing.
    pub error_code: i16,
    /// The first offset that is not yet durable.
    pub high_watermark: i64,
    /// The first offset that belongs to an open transaction, or the high watermark.
    pub last_stable_offset: i64,
    /// The first offset.
    pub log_start_offset: i64,
    /// Producers, and the first offsets of their aborted transactions, where only what is committed was asked for.
    pub aborted: Option<&'a [(i64, i64)]>,
}

/// Writes one fetch response.
#[derive(Debug)]
pub struct FetchWriter {
    version: i16,
    flexible: bool,
    woven: Woven,
    topics_left: usize,
    partitions_left: usize,
}

impl FetchWriter {
    /// Begins the response to a request. The version is one that Fetch has.
    #[must_use]
    pub fn new(version: i16, correlation_id: i32, head: &FetchHead) -> Self {
        let shape = Api::Fetch.shape_near(version);
        let (version, flexible) = (shape.version, shape.flexible);
        let mut woven = Woven::new();
        let mut writer = woven.writer();
        write_response_header(&mut writer, Api::Fetch, version, correlation_id);
        writer.i32(head.throttle_time_ms);
        if version >= SESSION_FROM {
            writer.i16(head.error_code);
            writer.i32(head.session_id);
        }
        writer.len(Some(head.topics), flexible);
        let mut response = Self {
            version,
            flexible,
            woven,
            topics_left: head.topics,
            partitions_left: 0,
        };
        if head.topics == 0 {
            response.end_struct();
        }
        response
    }

    /// Begins the next topic, which as many calls of [`Self::partition`] follow as are told. It is named as the version names
    /// it; the other way of naming is left out.
    pub fn topic(&mut self, topic: TopicRef<'_>, partitions: usize) {
        let flexible = self.flexible;
        let mut writer = self.woven.writer();
        match topic {
            TopicRef::Name(name) if self.version < BY_ID_FROM => writer.str(Some(name), flexible),
            TopicRef::Id(id) if self.version >= BY_ID_FROM => writer.raw(&id),
            TopicRef::Id(_) => writer.str(Some(""), flexible),
            TopicRef::Name(_) => writer.raw(&Uuid::default()),
        }
        writer.len(Some(partitions), flexible);
        self.partitions_left = partitions;
        if partitions == 0 {
            self.end_topic();
        }
    }

    /// Writes the next partition of the topic, with its batches.
    pub fn partition(
        &mut self,
        partition: &FetchedPartition<'_>,
        batches: impl IntoIterator<Item = SentBatch>,
    ) {
        self.partition_head(partition);
        self.woven.records(batches, self.flexible);
        self.end_struct();
        self.partitions_left = self.partitions_left.saturating_sub(1);
        if self.partitions_left == 0 {
            self.end_topic();
        }
    }

    fn partition_head(&mut self, partition: &FetchedPartition<'_>) {
        let flexible = self.flexible;
        let mut writer = self.woven.writer();
        writer.i32(partition.index);
        writer.i16(partition.error_code);
        writer.i64(partition.high_watermark);
        writer.i64(partition.last_stable_offset);
        if self.version >= LOG_START_FROM {
            writer.i64(partition.log_start_offset);
        }
        writer.len(partition.aborted.map(<[_]>::len), flexible);
        for (producer, first_offset) in partition.aborted.unwrap_or_default() {
            writer.i64(*producer);
            writer.i64(*first_offset);
            if flexible {
                writer.uvarint(0);
            }
        }
        if self.version >= REPLICA_FROM {
            writer.i32(NO_REPLICA);
        }
    }

    /// How many bytes the response has so far, with its records.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.woven.len_bytes()
    }

    /// Appends the response, once all that was told has followed.
    pub fn finish(self, out: &mut Outbound) {
        self.woven.finish(out);
    }

    fn end_topic(&mut self) {
        self.end_struct();
        self.topics_left = self.topics_left.saturating_sub(1);
        if self.topics_left == 0 {
            self.end_struct();
        }
    }

    /// A struct of a flexible version ends with its tagged fields: none.
    fn end_struct(&mut self) {
        if self.flexible {
            self.woven.writer().uvarint(0);
        }
    }
}
