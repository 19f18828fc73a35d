//! What is produced, made beforehand: batches, and the requests that carry them.
//!
//! All batches of a load are the same bytes, so that one that comes back can be compared by its length and its CRC.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use polybus_kafka::codec::messages::ProduceRequest;
use polybus_kafka::codec::messages::produce::{PartitionProduceData, TopicProduceData};
use polybus_kafka::codec::{BatchBuilder, BatchHeader, write_request};

use super::wire::CLIENT_ID;
use crate::error::BenchError;

/// The version of Produce: the newest that names topics, which most clients use.
pub(crate) const PRODUCE_VERSION: i16 = 9;

/// A request carries no more than this, as those of Kafka's own client (max.request.size).
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// Room for what stands around the batches in a request.
const REQUEST_HEAD_BYTES: usize = 1024;

/// What is produced.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// The topic.
    pub(crate) topic: String,
    /// How many partitions it has.
    pub(crate) partitions: usize,
    /// Records in a batch.
    pub(crate) records: u64,
    /// A batch's bytes.
    pub(crate) batch_bytes: usize,
    /// A batch's CRC.
    pub(crate) crc: [u8; 4],
    /// The requests, to be sent in turn.
    pub(crate) requests: Vec<Made>,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    /// All of it.
    pub(crate) bytes: Bytes,
    /// How many records it carries.
    pub(crate) records: u64,
}

impl Load {
    /// Batches of at most that size, of records with values of that size; each request carries as many partitions' batches as
    /// fit.
    pub(crate) fn new(
        topic: &str,
        partitions: usize,
        value_bytes: usize,
        batch_bytes_max: usize,
    ) -> Result<Self, BenchError> {
        let batch = batch(value_bytes, batch_bytes_max)?;
        let header = BatchHeader::parse(&batch)
            .map_err(|error| BenchError::Usage(format!("no such batch can be: {error}")))?;
        let records = u64::from(header.offsets());
        let crc = batch.get(17..).and_then(|rest| rest.first_chunk());
        let each = ((REQUEST_BYTES_MAX - REQUEST_HEAD_BYTES) / batch.len()).max(1);
        let all: Vec<usize> = (0..partitions).collect();
        let requests = all.chunks(each).map(|partitions| Made {
            bytes: request(topic, partitions, &batch),
            records: records * partitions.len() as u64,
        });
        Ok(Self {
            topic: topic.to_owned(),
            partitions,
            records,
            batch_bytes: batch.len(),
            crc: crc.copied().unwrap_or_default(),
            requests: requests.collect(),
        })
    }
}

fn batch(value_bytes: usize, bytes_max: usize) -> Result<Bytes, BenchError> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ms = since.map_or(0, |since| since.as_millis() as i64);
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut value = vec![0; value_bytes];
    let mut builder = BatchBuilder::new();
    // A record's own fields take up to 16 bytes beside its value.
    while builder.len_bytes() + value_bytes + 16 <= bytes_max {
        for byte in &mut value {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            *byte = seed as u8;
        }
        builder.push(now_ms, None, Some(&value), [].into_iter());
    }
    let batch = builder.finish(0, -1);
    batch.ok_or_else(|| BenchError::Usage("a batch has to hold a record".into()))
}

fn request(topic: &str, partitions: &[usize], batch: &Bytes) -> Bytes {
    let partition = |index: &usize| PartitionProduceData {
        index: *index as i32,
        records: Some(batch.clone()),
    };
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            name: topic.to_owned(),
            partition_data: partitions.iter().map(partition).collect(),
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    };
    let mut out = BytesMut::new();
    write_request(&mut out, PRODUCE_VERSION, 0, Some(CLIENT_ID), &request);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_as_great_as_asked_and_requests_carry_what_fits() {
        for (value_bytes, batch_bytes, partitions, requests) in [
            (100, 16 << 10, 1, 1),
            (100, 16 << 10, 16, 1),
            (1024, 1 << 20, 1, 1),
            (1024, 1 << 20, 16, 16),
        ] {
            let load = Load::new("t", partitions, value_bytes, batch_bytes).unwrap();
            assert!(load.batch_bytes <= batch_bytes);
            assert!(load.batch_bytes + value_bytes + 16 > batch_bytes);
            assert_eq!(load.requests.len(), requests);
            let records: u64 = load.requests.iter().map(|made| made.records).sum();
            assert_eq!(records, load.records * partitions as u64);
        }
    }
}
