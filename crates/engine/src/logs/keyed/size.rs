//! How large the records of a keyed log count: a little less than they take in the journal, as those count who set such limits.

use polybus_model::Message;

use crate::logs::partition::Partition;

/// What a message's record takes beside topic, key, properties and body.
const RECORD_OVERHEAD_BYTES: u64 = 56;
/// What of a record does not count: its overhead and the name of a topic of the usual length, but for 30 bytes.
const UNCOUNTED_BYTES: u64 = 35;

/// What the record of a message counts.
pub(super) fn message_bytes(message: &Message) -> u64 {
    let shared = message.shared_body().map_or(0, bytes::Bytes::len);
    let taken = (message.inline_bytes().len() + shared) as u64 + RECORD_OVERHEAD_BYTES;
    run_bytes(taken)
}

/// What a record counts that takes so many bytes.
pub(super) fn run_bytes(taken: u64) -> u64 {
    taken.saturating_sub(UNCOUNTED_BYTES)
}

/// What a partition's records count, if it has so many.
pub(super) fn counted_bytes(partition: &Partition, records: u64) -> u64 {
    let uncounted = records.saturating_mul(UNCOUNTED_BYTES);
    partition.bytes.saturating_sub(uncounted)
}
