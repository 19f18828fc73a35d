//! Consumes: fetches of 1 MiB, one after the other, whose batches are walked by their heads.
//!
//! What always holds: each batch begins where the one before it ended, has as many records as were sent in one, and the CRC
//! that it was sent with.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use polybus_kafka::codec::messages::fetch::{FetchPartition, FetchTopic};
use polybus_kafka::codec::messages::{FetchRequest, FetchResponse};

use super::load::Load;
use super::wire::Wire;
use crate::clock::Clock;
use crate::error::BenchError;

/// The newest version that names topics.
const FETCH_VERSION: i16 = 12;

/// As Kafka's own client asks of a partition (max.partition.fetch.bytes).
const FETCH_BYTES: i32 = 1 << 20;

/// How long a broker may wait for something to answer with.
const WAIT_MS: i32 = 500;

/// Nothing new for this long is an error.
const STALL_MAX: Duration = Duration::from_secs(30);

/// What was consumed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Consumed {
    /// Records.
    pub(crate) records: u64,
    /// When the first fetch was sent.
    pub(crate) begin_ns: u64,
    /// When the last record came.
    pub(crate) end_ns: u64,
}

/// Reads a topic from its beginning until `goal` records have come; `see` is told of each batch's partition, base offset and
/// arrival.
pub(crate) fn consume(
    wire: &mut Wire,
    load: &Load,
    goal: &AtomicU64,
    clock: Clock,
    mut see: impl FnMut(usize, i64, u64),
) -> Result<Consumed, BenchError> {
    let mut next: Vec<i64> = vec![0; load.partitions];
    let begin_ns = clock.now_ns();
    let mut consumed = Consumed {
        begin_ns,
        end_ns: begin_ns,
        ..Consumed::default()
    };
    let mut progressed = Instant::now();
    while consumed.records < goal.load(Ordering::Acquire) {
        let response: FetchResponse = wire.call(FETCH_VERSION, &request(load, &next))?;
        let now_ns = clock.now_ns();
        let before = consumed.records;
        for topic in &response.responses {
            for partition in &topic.partitions {
                if partition.error_code != 0 {
                    let what = format!("fetching from partition {}", partition.partition_index);
                    return Err(BenchError::Closed(partition.error_code as u16, what));
                }
                let index = usize::try_from(partition.partition_index).unwrap_or(usize::MAX);
                let (Some(next), Some(records)) = (next.get_mut(index), &partition.records) else {
                    continue;
                };
                for batch in records.chunks(load.batch_bytes) {
                    if !is_whole(batch, *next, load)? {
                        break;
                    }
                    see(index, *next, now_ns);
                    *next += load.records as i64;
                    consumed.records += load.records;
                }
            }
        }
        if consumed.records > before {
            consumed.end_ns = now_ns;
            progressed = Instant::now();
        } else if progressed.elapsed() > STALL_MAX {
            return Err(BenchError::Timeout(format!(
                "{} records have come, and no more",
                consumed.records
            )));
        }
    }
    Ok(consumed)
}

fn request(load: &Load, next: &[i64]) -> FetchRequest {
    let partition = |(index, offset): (usize, &i64)| FetchPartition {
        partition: index as i32,
        fetch_offset: *offset,
        partition_max_bytes: FETCH_BYTES,
        ..FetchPartition::default()
    };
    FetchRequest {
        max_wait_ms: WAIT_MS,
        min_bytes: 1,
        max_bytes: FETCH_BYTES,
        topics: vec![FetchTopic {
            topic: load.topic.clone(),
            partitions: next.iter().enumerate().map(partition).collect(),
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}

/// Is it all of the batch that comes next? A broker may cut the last one of an answer off.
fn is_whole(batch: &[u8], offset: i64, load: &Load) -> Result<bool, BenchError> {
    if batch.len() < load.batch_bytes {
        return Ok(false);
    }
    let base = batch.first_chunk().map(|base| i64::from_be_bytes(*base));
    let field = |at: usize| batch.get(at..).and_then(|rest| rest.first_chunk::<4>());
    let number = |at: usize| field(at).map(|bytes| i32::from_be_bytes(*bytes));
    // Behind the length are 12 bytes less than all of it; the last record's offset is one less than there are records.
    let is_right = base == Some(offset)
        && number(8) == Some(load.batch_bytes as i32 - 12)
        && field(17) == Some(&load.crc)
        && number(23) == Some(load.records as i32 - 1);
    if is_right {
        return Ok(true);
    }
    Err(BenchError::Wrong(format!(
        "at offset {offset} came the batch of offset {base:?}, CRC {:x?}; sent was CRC {:x?}",
        field(17),
        load.crc
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_in_the_wrong_place_is_found() {
        let load = Load::new("t", 1, 10, 200).unwrap();
        let made = &load.requests[0].bytes;
        // The batch is in the request, behind its heads and before its three tags.
        let at = made.len() - load.batch_bytes - 3;
        let mut batch = made[at..at + load.batch_bytes].to_vec();
        assert!(is_whole(&batch, 0, &load).unwrap());
        assert!(!is_whole(&batch[..100], 0, &load).unwrap());
        assert!(is_whole(&batch, 7, &load).is_err());
        batch[18] ^= 1;
        assert!(is_whole(&batch, 0, &load).is_err());
    }
}
