//! Runs of a log as Kafka's record batches.
//!
//! What Kafka's clients wrote goes back as it came, with its place put in. A run that ends a transaction becomes a control
//! batch, a message of another protocol a batch of one record.

use bytes::Bytes;
use polybus_model::{Message, Run, RunContent};

use super::messages::headers;
use crate::HeadersOf;
use crate::ORIGIN;
use crate::codec::{BatchBuilder, Marker, RecordHeader, SentBatch};

/// The epoch of every partition's leader.
pub(crate) const LEADER_EPOCH: i32 = 0;

/// The batch of a run; none for what is nothing to Kafka (the packed records of another protocol).
pub(crate) fn batch_of_run(run: Run, headers_of: &HeadersOf) -> Option<SentBatch> {
    let base_offset = i64::try_from(run.offset).ok()?;
    let stamped = run.stamped.map(wire_time);
    let sent = |bytes: Bytes, stamped: Option<i64>| SentBatch {
        bytes,
        base_offset,
        leader_epoch: LEADER_EPOCH,
        stamped,
    };
    let time = stamped.or(run.time_max.map(wire_time));
    if let Some(ends) = run.ends {
        let marker = Marker {
            offset: base_offset,
            leader_epoch: LEADER_EPOCH,
            producer_id: i64::try_from(ends.producer).ok()?,
            producer_epoch: i16::try_from(ends.epoch).ok()?,
            committed: ends.committed,
            timestamp: time.unwrap_or(0),
        };
        return Some(sent(marker.to_batch(), None));
    }
    match run.content {
        RunContent::Packed { origin, bytes } => (origin == ORIGIN).then(|| sent(bytes, stamped)),
        RunContent::Message(message) => made(&message, base_offset, time.unwrap_or(-1), headers_of)
            .map(|bytes| sent(bytes, None)),
    }
}

pub(crate) fn wire_time(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// A message as a batch of one record.
fn made(message: &Message, base_offset: i64, time: i64, headers_of: &HeadersOf) -> Option<Bytes> {
    let key = Some(message.key()).filter(|key| !key.is_empty());
    let headers = headers(message, headers_of.as_ref());
    let headers: Vec<RecordHeader<'_>> = headers
        .iter()
        .map(|(name, value)| RecordHeader {
            name,
            value: value.as_deref(),
        })
        .collect();
    let mut builder = BatchBuilder::new();
    builder.push(time, key, Some(message.body()), headers.into_iter());
    builder.finish(base_offset, LEADER_EPOCH)
}
