//! Share fetch responses as they are written on the hot path: the records are passed on by reference.

use polybus_session::Outbound;

use super::api::Api;
use super::batch::SentBatch;
use super::frame::write_response_header;
use super::messages::share_fetch::{PartitionData, ShareFetchResponse};
use super::primitives::Writer;
use super::woven::Woven;

/// The first version that says how long what is acquired is the member's.
const LEASE_FROM: i16 = 1;
/// All versions are flexible.
const FLEXIBLE: bool = true;
/// A struct ends with its tagged fields: none.
const NO_TAGS: u32 = 0;

/// Appends a response whose records are these batches: those of its first partition, of its second, and so on. What its
/// partitions have of records themselves is left out.
pub fn write_share_fetch(
    out: &mut Outbound,
    version: i16,
    correlation_id: i32,
    response: &ShareFetchResponse,
    batches: Vec<Vec<SentBatch>>,
) {
    let version = Api::ShareFetch.shape_near(version).version;
    let mut woven = Woven::new();
    let mut writer = woven.writer();
    write_response_header(&mut writer, Api::ShareFetch, version, correlation_id);
    writer.i32(response.throttle_time_ms);
    writer.i16(response.error_code);
    writer.str(response.error_message.as_deref(), FLEXIBLE);
    if version >= LEASE_FROM {
        writer.i32(response.acquisition_lock_timeout_ms);
    }
    writer.len(Some(response.responses.len()), FLEXIBLE);
    let mut batches = batches.into_iter();
    for topic in &response.responses {
        let mut writer = woven.writer();
        writer.raw(&topic.topic_id);
        writer.len(Some(topic.partitions.len()), FLEXIBLE);
        for partition in &topic.partitions {
            write_head(&mut woven.writer(), partition);
            woven.records(batches.next().unwrap_or_default(), FLEXIBLE);
            write_tail(&mut woven.writer(), partition);
        }
        woven.writer().uvarint(NO_TAGS);
    }
    let mut writer = woven.writer();
    writer.len(Some(response.node_endpoints.len()), FLEXIBLE);
    for node in &response.node_endpoints {
        writer.i32(node.node_id);
        writer.str(Some(&node.host), FLEXIBLE);
        writer.i32(node.port);
        writer.str(node.rack.as_deref(), FLEXIBLE);
        writer.uvarint(NO_TAGS);
    }
    writer.uvarint(NO_TAGS);
    woven.finish(out);
}

/// What stands before a partition's records.
fn write_head(writer: &mut Writer<'_>, partition: &PartitionData) {
    writer.i32(partition.partition_index);
    writer.i16(partition.error_code);
    writer.str(partition.error_message.as_deref(), FLEXIBLE);
    writer.i16(partition.acknowledge_error_code);
    writer.str(partition.acknowledge_error_message.as_deref(), FLEXIBLE);
    writer.i32(partition.current_leader.leader_id);
    writer.i32(partition.current_leader.leader_epoch);
    writer.uvarint(NO_TAGS);
}

/// What stands behind them.
fn write_tail(writer: &mut Writer<'_>, partition: &PartitionData) {
    writer.len(Some(partition.acquired_records.len()), FLEXIBLE);
    for acquired in &partition.acquired_records {
        writer.i64(acquired.first_offset);
        writer.i64(acquired.last_offset);
        writer.i16(acquired.delivery_count);
        writer.uvarint(NO_TAGS);
    }
    writer.uvarint(NO_TAGS);
}
