//! Appending records. Every batch is checked before anything is asked; it is stored as it came.

use bytes::Bytes;
use polybus_model::{
    Append, AppendedRun, LogError, LogReply, LogRequest, NewRun, RunContent, Transactor, Writer,
};

use super::core::{Core, partition, wire_offset};
use super::known::with_names;
use super::pending::Step;
use crate::ORIGIN;
use crate::codec::messages::produce::{
    PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
    TopicProduceResponse,
};
use crate::codec::{BatchHeader, Batches, Compression, Uuid};
use crate::error::{Code, of_log, text_of_log};
use crate::mapping::wire_time;

/// From this version on topics are named by their ids.
const IDS_FROM: i16 = 13;
/// From this version on the broker adds the partitions of a transaction.
const ADDS_FROM: i16 = 12;
/// From this version on batches can be compressed with zstd.
const ZSTD_FROM: i16 = 7;

/// A refusal and what there is to say about it.
type Refusal = (Code, Option<String>);

/// One partition of the request: refused, or asked for.
struct Part {
    index: i32,
    refused: Option<Refusal>,
}

/// One topic of the request.
struct Topic {
    name: String,
    id: Uuid,
    parts: Vec<Part>,
}

/// Appends records.
pub(super) fn produce(core: &mut Core, request: ProduceRequest, version: i16) -> Step {
    if version < IDS_FROM {
        return append(core, request, version);
    }
    let ids: Vec<Uuid> = request
        .topic_data
        .iter()
        .map(|topic| topic.topic_id)
        .collect();
    with_names(core, ids.into_iter(), move |core| {
        append(core, request, version)
    })
}

fn append(core: &mut Core, request: ProduceRequest, version: i16) -> Step {
    let refused = match request.acks {
        -1..=1 => None,
        _ => Some((Code::INVALID_REQUIRED_ACKS, None)),
    };
    let wants_answer = request.acks != 0;
    let mut appends = Vec::new();
    let topics: Vec<Topic> = request
        .topic_data
        .into_iter()
        .map(|topic| take_topic(core, topic, version, refused.as_ref(), &mut appends))
        .collect();
    if appends.is_empty() {
        return answer(topics, Vec::new(), wants_answer);
    }
    let mut asks = Vec::new();
    if let Some(name) = request.transactional_id
        && version >= ADDS_FROM
    {
        asks.extend(addition(name, &appends));
    }
    asks.push(LogRequest::Append(appends));
    // A client that wants no answer is told of a failure by the end of its connection.
    Step::logs(core, asks, move |core, mut replies| {
        let Some(LogReply::Appended(results)) = replies.pop() else {
            return Step::misunderstood();
        };
        let is_gone =
            |one: &Result<_, _>| matches!(one, Err(LogError::NotFound | LogError::Replaced));
        if results.iter().any(is_gone) {
            topics
                .iter()
                .for_each(|topic| core.known.forget(&topic.name));
        }
        answer(topics, results, wants_answer)
    })
}

/// Makes the partitions that are written to part of their writer's transaction. If that fails, so does the append.
fn addition(name: String, appends: &[Append]) -> Option<LogRequest> {
    let writer = appends.iter().find_map(|one| one.run.writer)?;
    let partitions = appends.iter().map(|one| one.partition.clone());
    writer.transactional.then(|| LogRequest::AddPartitions {
        transactor: Transactor {
            name,
            producer: writer.producer,
            epoch: writer.epoch,
        },
        partitions: partitions.collect(),
    })
}

fn take_topic(
    core: &Core,
    topic: TopicProduceData,
    version: i16,
    refused: Option<&Refusal>,
    appends: &mut Vec<Append>,
) -> Topic {
    let name = match core.known.name(&topic.topic_id) {
        Some(name) if version >= IDS_FROM => Some(name.as_str().to_owned()),
        _ => (version < IDS_FROM).then_some(topic.name),
    };
    // Before there were ids they were all zero, and no log's.
    let id = core.known.log_id(&topic.topic_id);
    let parts = topic.partition_data.into_iter().map(|data| {
        let mut part = Part {
            index: data.index,
            refused: refused.cloned(),
        };
        if part.refused.is_some() {
            return part;
        }
        let Some(name) = &name else {
            part.refused = Some((Code::UNKNOWN_TOPIC_ID, None));
            return part;
        };
        let Some(partition) = partition(name, data.index) else {
            part.refused = Some((Code::UNKNOWN_TOPIC_OR_PARTITION, None));
            return part;
        };
        match new_run(data.records, version) {
            Ok(run) => {
                appends.push(Append { partition, id, run });
            }
            Err(refusal) => part.refused = Some(refusal),
        }
        part
    });
    Topic {
        parts: parts.collect(),
        name: name.clone().unwrap_or_default(),
        id: topic.topic_id,
    }
}

/// The run of a partition's records: exactly one batch, and sound.
fn new_run(records: Option<Bytes>, version: i16) -> Result<NewRun, Refusal> {
    let invalid = |text: &str| (Code::INVALID_RECORD, Some(text.to_owned()));
    let mut batches = Batches::new(records.unwrap_or_default());
    let (header, bytes) = match batches.next() {
        None => {
            return Err(invalid(
                "a partition's records are one record batch, and none came",
            ));
        }
        Some(Err(error)) => {
            let code = if error.is_damage() {
                Code::CORRUPT_MESSAGE
            } else {
                Code::INVALID_RECORD
            };
            return Err((code, Some(error.to_string())));
        }
        Some(Ok(batch)) => batch,
    };
    if batches.next().is_some() {
        return Err(invalid(
            "a partition's records are one record batch, and several came",
        ));
    }
    if header.compression == Compression::Zstd && version < ZSTD_FROM {
        let text = "zstd wants version 7 of Produce".to_owned();
        return Err((Code::UNSUPPORTED_COMPRESSION_TYPE, Some(text)));
    }
    Ok(NewRun {
        count: header.offsets(),
        time_max: u64::try_from(header.max_timestamp).ok(),
        writer: writer(&header),
        content: RunContent::Packed {
            origin: ORIGIN,
            bytes,
        },
    })
}

fn writer(header: &BatchHeader) -> Option<Writer> {
    Some(Writer {
        producer: u64::try_from(header.producer_id).ok()?,
        epoch: u16::try_from(header.producer_epoch).ok()?,
        sequence: u32::try_from(header.base_sequence).ok()?,
        transactional: header.is_transactional(),
    })
}

fn answer(
    topics: Vec<Topic>,
    results: Vec<Result<AppendedRun, LogError>>,
    wants_answer: bool,
) -> Step {
    let mut results = results.into_iter();
    let mut failed = None;
    let responses: Vec<TopicProduceResponse> = topics
        .into_iter()
        .map(|topic| {
            let partitions = topic.parts.into_iter().map(|part| {
                let result = match part.refused {
                    Some(refusal) => Err(refusal),
                    None => results
                        .next()
                        .unwrap_or(Err(LogError::NotFound))
                        .or_else(seen_before)
                        .map_err(|error| (of_log(&error), text_of_log(&error))),
                };
                if let Err((code, text)) = &result {
                    let text = text.clone().unwrap_or_default();
                    let line = format!("{}-{}: error {} {text}", topic.name, part.index, code.0);
                    failed.get_or_insert(line);
                }
                partition_response(part.index, result)
            });
            TopicProduceResponse {
                partition_responses: partitions.collect(),
                name: topic.name,
                topic_id: topic.id,
            }
        })
        .collect();
    match failed {
        Some(line) if !wants_answer => Step::Close(format!(
            "an append whose writer wants no answer failed: {line}"
        )),
        _ if !wants_answer => Step::Silent,
        _ => Step::answer(ProduceResponse {
            responses,
            ..ProduceResponse::default()
        }),
    }
}

/// What was appended before is appended: its first offset is told again where it is still known.
fn seen_before(error: LogError) -> Result<AppendedRun, LogError> {
    match error {
        LogError::Duplicate {
            offset: Some(offset),
        } => Ok(AppendedRun {
            offset,
            start: 0,
            stamped: None,
        }),
        other => Err(other),
    }
}

fn partition_response(
    index: i32,
    result: Result<AppendedRun, Refusal>,
) -> PartitionProduceResponse {
    match result {
        Ok(run) => PartitionProduceResponse {
            index,
            base_offset: wire_offset(run.offset),
            log_append_time_ms: run.stamped.map_or(-1, wire_time),
            log_start_offset: wire_offset(run.start),
            ..PartitionProduceResponse::default()
        },
        Err((code, text)) => PartitionProduceResponse {
            index,
            error_code: code.0,
            base_offset: -1,
            error_message: text,
            ..PartitionProduceResponse::default()
        },
    }
}
