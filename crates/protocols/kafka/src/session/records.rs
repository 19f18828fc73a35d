//! Giving up records before an offset.

use polybus_model::{LogError, LogReply, LogRequest};

use super::core::{Core, partition, wire_offset};
use super::pending::Step;
use crate::codec::messages::delete_records::{
    DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult,
};
use crate::error::{Code, of_log};

/// The offset that stands for all records there are.
const ALL: i64 = -1;

/// Gives up records.
pub(super) fn delete(core: &mut Core, request: DeleteRecordsRequest, _version: i16) -> Step {
    let mut trims = Vec::new();
    let topics: Vec<_> = request
        .topics
        .into_iter()
        .map(|topic| {
            let parts = topic.partitions.into_iter().map(|part| {
                let before = match part.offset {
                    ALL => Ok(None),
                    offset => u64::try_from(offset).map(Some),
                };
                let code = match (partition(&topic.name, part.partition_index), before) {
                    (Some(partition), Ok(before)) => {
                        trims.push((partition, before));
                        None
                    }
                    (None, _) => Some(Code::UNKNOWN_TOPIC_OR_PARTITION),
                    (_, Err(_)) => Some(Code::OFFSET_OUT_OF_RANGE),
                };
                (part.partition_index, code)
            });
            let parts: Vec<_> = parts.collect();
            (topic.name, parts)
        })
        .collect();
    let requests = if trims.is_empty() {
        Vec::new()
    } else {
        vec![LogRequest::Trim(trims)]
    };
    Step::logs(core, requests, move |_, replies| {
        let mut results = replies.into_iter().flat_map(|reply| match reply {
            LogReply::Offsets(results) => results,
            _ => Vec::new(),
        });
        let topics = topics
            .into_iter()
            .map(|(name, parts)| DeleteRecordsTopicResult {
                name,
                partitions: parts
                    .into_iter()
                    .map(|(partition_index, code)| {
                        let result = match code {
                            Some(code) => Err(code),
                            None => results
                                .next()
                                .unwrap_or(Err(LogError::NotFound))
                                .map_err(|error| of_log(&error)),
                        };
                        DeleteRecordsPartitionResult {
                            partition_index,
                            low_watermark: match &result {
                                Ok(start) => {
                                    start.as_ref().map_or(-1, |start| wire_offset(start.offset))
                                }
                                Err(_) => -1,
                            },
                            error_code: result.err().unwrap_or(Code::NONE).0,
                        }
                    })
                    .collect(),
            });
        Step::answer(DeleteRecordsResponse {
            topics: topics.collect(),
            ..DeleteRecordsResponse::default()
        })
    })
}
