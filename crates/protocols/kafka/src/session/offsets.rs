//! Looking offsets up: by place, by time, and by the epoch of a leader.

use bytes::Bytes;
use polybus_model::{FoundOffset, LogError, LogReply, LogRequest, Place, Run, RunContent};

use super::core::{Core, partition, wire_offset};
use super::pending::Step;
use crate::ORIGIN;
use crate::codec::messages::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use crate::codec::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    OffsetForLeaderTopicResult,
};
use crate::codec::{BatchHeader, Records, read_records};
use crate::error::{Code, of_log};
use crate::mapping::{LEADER_EPOCH, wire_time};

/// Times that stand for places.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const LATEST_TIME: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
/// What reads committed records only.
const READ_COMMITTED: i8 = 1;
/// A run is decompressed up to so many bytes to find a record in it; in a larger one the first is told.
const DECOMPRESSED_MAX: usize = 64 << 20;
/// All runs of one request together are decompressed up to so many bytes; in the others the first record is told.
const DECOMPRESSED_ALL_MAX: usize = 256 << 20;

/// One partition of the request.
struct Part {
    index: i32,
    /// What is looked for, as the wire has it.
    time: i64,
    /// What is not looked for at all: the answer.
    settled: Option<Code>,
}

/// Looks offsets up.
pub(super) fn list_offsets(core: &mut Core, request: ListOffsetsRequest, _version: i16) -> Step {
    let is_committed = request.isolation_level == READ_COMMITTED;
    let mut asked = Vec::new();
    let topics: Vec<(String, Vec<Part>)> = request
        .topics
        .into_iter()
        .map(|topic| {
            let parts = topic.partitions.into_iter().map(|part| {
                let place = match part.timestamp {
                    LATEST if is_committed => Some(Place::StableEnd),
                    LATEST => Some(Place::End),
                    EARLIEST | EARLIEST_LOCAL => Some(Place::Start),
                    LATEST_TIME => Some(Place::LatestTime),
                    // Nothing is kept elsewhere, so there is no last offset there.
                    time => u64::try_from(time).ok().map(Place::Time),
                };
                let name = partition(&topic.name, part.partition_index);
                let settled = match (name, place) {
                    (None, _) => Some(Code::UNKNOWN_TOPIC_OR_PARTITION),
                    _ if part.current_leader_epoch > LEADER_EPOCH => {
                        Some(Code::UNKNOWN_LEADER_EPOCH)
                    }
                    (_, None) => Some(Code::NONE),
                    (Some(name), Some(place)) => {
                        asked.push((name, place));
                        None
                    }
                };
                Part {
                    index: part.partition_index,
                    time: part.timestamp,
                    settled,
                }
            });
            let parts = parts.collect();
            (topic.name, parts)
        })
        .collect();
    find(core, asked, move |found| {
        let mut left = DECOMPRESSED_ALL_MAX;
        let topics = topics
            .into_iter()
            .map(|(name, parts)| ListOffsetsTopicResponse {
                partitions: parts
                    .into_iter()
                    .map(|part| told(&part, found, &mut left))
                    .collect(),
                name,
            });
        Step::answer(ListOffsetsResponse {
            topics: topics.collect(),
            ..ListOffsetsResponse::default()
        })
    })
}

type Found = Result<Option<FoundOffset>, LogError>;

/// Asks for the offsets, if there is any to ask for; gives what was found one by one.
fn find(
    core: &mut Core,
    asked: Vec<(polybus_model::PartitionName, Place)>,
    then: impl FnOnce(&mut dyn Iterator<Item = Found>) -> Step + Send + 'static,
) -> Step {
    let requests = if asked.is_empty() {
        Vec::new()
    } else {
        vec![LogRequest::FindOffsets(asked)]
    };
    Step::logs(core, requests, move |_, replies| {
        let found: Vec<Found> = replies
            .into_iter()
            .flat_map(|reply| match reply {
                LogReply::Offsets(found) => found,
                _ => Vec::new(),
            })
            .collect();
        then(&mut found.into_iter())
    })
}

fn told(
    part: &Part,
    found: &mut dyn Iterator<Item = Found>,
    left: &mut usize,
) -> ListOffsetsPartitionResponse {
    let mut response = ListOffsetsPartitionResponse {
        partition_index: part.index,
        ..ListOffsetsPartitionResponse::default()
    };
    if let Some(code) = part.settled {
        response.error_code = code.0;
        return response;
    }
    match found.next().unwrap_or(Err(LogError::NotFound)) {
        Err(error) => response.error_code = of_log(&error).0,
        Ok(None) => {}
        Ok(Some(found)) => {
            let (offset, time) = match &found.run {
                Some(run) => within(run, part.time, left),
                None => (wire_offset(found.offset), -1),
            };
            response.offset = offset;
            response.timestamp = if part.time >= 0 || part.time == LATEST_TIME {
                time
            } else {
                -1
            };
            response.leader_epoch = LEADER_EPOCH;
        }
    }
    response
}

/// The record in a run that is meant: the first whose time is this or later, or for the latest time the first that has it.
fn within(run: &Run, time: i64, left: &mut usize) -> (i64, i64) {
    let run_time = run.time_max.map_or(-1, wire_time);
    let first = (wire_offset(run.offset), run_time);
    if let Some(stamped) = run.stamped {
        return (wire_offset(run.offset), wire_time(stamped));
    }
    let RunContent::Packed { origin, bytes } = &run.content else {
        return first;
    };
    if *origin != ORIGIN {
        return first;
    }
    let wanted = if time == LATEST_TIME { run_time } else { time };
    record_at(bytes, run.offset, wanted, left).unwrap_or(first)
}

fn record_at(bytes: &Bytes, offset: u64, wanted: i64, left: &mut usize) -> Option<(i64, i64)> {
    let mut header = BatchHeader::parse(bytes).ok()?;
    header.base_offset = wire_offset(offset);
    let limit = DECOMPRESSED_MAX.min(*left);
    let records = read_records(&header, bytes, limit);
    // What turns out to be too large has cost as much as what is not.
    *left -= records.as_ref().map_or(limit, Bytes::len).min(*left);
    let records = records.ok()?;
    Records::new(&header, &records)
        .map_while(Result::ok)
        .find(|record| record.timestamp >= wanted)
        .map(|record| (record.offset, record.timestamp))
}

/// Where the one leader's epoch ends: at the end of the log.
pub(super) fn for_leader_epoch(
    core: &mut Core,
    request: OffsetForLeaderEpochRequest,
    _version: i16,
) -> Step {
    let mut asked = Vec::new();
    let topics: Vec<_> = request
        .topics
        .into_iter()
        .map(|topic| {
            let parts = topic.partitions.into_iter().map(|part| {
                let settled = match partition(&topic.topic, part.partition) {
                    None => Some(Code::UNKNOWN_TOPIC_OR_PARTITION),
                    Some(_) if part.current_leader_epoch > LEADER_EPOCH => {
                        Some(Code::UNKNOWN_LEADER_EPOCH)
                    }
                    Some(_) if part.leader_epoch > LEADER_EPOCH => Some(Code::NONE),
                    Some(name) => {
                        asked.push((name, Place::End));
                        None
                    }
                };
                (part.partition, settled)
            });
            let parts: Vec<_> = parts.collect();
            (topic.topic, parts)
        })
        .collect();
    find(core, asked, move |found| {
        let topics = topics
            .into_iter()
            .map(|(topic, parts)| OffsetForLeaderTopicResult {
                partitions: parts
                    .into_iter()
                    .map(|(partition, settled)| end_of_epoch(partition, settled, found))
                    .collect(),
                topic,
            });
        Step::answer(OffsetForLeaderEpochResponse {
            topics: topics.collect(),
            ..OffsetForLeaderEpochResponse::default()
        })
    })
}

fn end_of_epoch(
    partition: i32,
    settled: Option<Code>,
    found: &mut dyn Iterator<Item = Found>,
) -> EpochEndOffset {
    let mut end = EpochEndOffset {
        partition,
        ..EpochEndOffset::default()
    };
    if let Some(code) = settled {
        end.error_code = code.0;
        return end;
    }
    match found.next().unwrap_or(Err(LogError::NotFound)) {
        Err(error) => end.error_code = of_log(&error).0,
        Ok(None) => {}
        Ok(Some(found)) => {
            end.leader_epoch = LEADER_EPOCH;
            end.end_offset = wire_offset(found.offset);
        }
    }
    end
}
