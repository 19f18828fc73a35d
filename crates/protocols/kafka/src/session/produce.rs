//! Appending records. Every batch is checked before anything is asked; it is stored as it came.
//!
//! Only the log knows whether it compacts, and so takes no record without a key, and only a session looks inside a batch: the
//! log refuses what nobody has looked into, the session looks, and asks again; from then on it looks first.

use bytes::Bytes;
use polybus_model::{
    Append, AppendedRun, LogError, LogReply, LogRequest, Metered, NewRun, RunContent, TailCrc,
    Transactor, Writer,
};

use super::core::{Core, partition, wire_offset};
use super::known::with_names;
use super::pending::Step;
use crate::ORIGIN;
use crate::codec::messages::produce::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, ProduceRequest, ProduceResponse,
    TopicProduceData, TopicProduceResponse,
};
use crate::codec::{BatchHeader, Batches, Compression, Uuid};
use crate::error::{Code, of_log, text_of_log};
use crate::mapping::{keyless_records, wire_time};

/// From this version on topics are named by their ids.
const IDS_FROM: i16 = 13;
/// From this version on the broker adds the partitions of a transaction.
const ADDS_FROM: i16 = 12;
/// From this version on batches can be compressed with zstd.
const ZSTD_FROM: i16 = 7;

/// A refusal and what there is to say about it.
#[derive(Clone)]
struct Refusal {
    code: Code,
    text: Option<String>,
    /// The records that are the reason, counted from 0, with what is wrong with each.
    records: Vec<(i32, String)>,
}

impl Refusal {
    fn new(code: Code, text: Option<String>) -> Self {
        Self {
            code,
            text,
            records: Vec::new(),
        }
    }

    fn of_log(error: &LogError) -> Self {
        Self::new(of_log(error), text_of_log(error))
    }
}

/// One partition of the request: refused, or asked for.
struct Part {
    index: i32,
    refused: Option<Refusal>,
    /// Its batch.
    batch: Bytes,
}

/// One topic of the request.
struct Topic {
    name: String,
    id: Uuid,
    parts: Vec<Part>,
}

/// How the client is answered.
#[derive(Clone, Copy)]
struct How {
    /// At all.
    wants_answer: bool,
    /// It is not read for so long from now on.
    throttle_ms: i32,
}

/// Appends records.
pub(super) fn produce(core: &mut Core, request: ProduceRequest, version: i16) -> Step {
    let how = How {
        wants_answer: request.acks != 0,
        throttle_ms: core.meter(Metered::BytesIn, core.cost),
    };
    if version < IDS_FROM {
        return append(core, request, version, how);
    }
    let ids: Vec<Uuid> = request
        .topic_data
        .iter()
        .map(|topic| topic.topic_id)
        .collect();
    with_names(core, ids.into_iter(), move |core| {
        append(core, request, version, how)
    })
}

fn append(core: &mut Core, request: ProduceRequest, version: i16, how: How) -> Step {
    let refused = match request.acks {
        -1..=1 => None,
        _ => Some(Refusal::new(Code::INVALID_REQUIRED_ACKS, None)),
    };
    let mut appends = Vec::new();
    let topics: Vec<Topic> = request
        .topic_data
        .into_iter()
        .map(|topic| take_topic(core, topic, version, refused.as_ref(), &mut appends))
        .collect();
    if appends.is_empty() {
        return answer(topics, Vec::new(), how);
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
        match results.contains(&Err(LogError::KeysUnknown)) {
            true => look_and_append(core, topics, results, how),
            false => answer(topics, results, how),
        }
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
            batch: Bytes::new(),
        };
        if part.refused.is_some() {
            return part;
        }
        let Some(name) = &name else {
            part.refused = Some(Refusal::new(Code::UNKNOWN_TOPIC_ID, None));
            return part;
        };
        let Some(partition) = partition(name, data.index) else {
            part.refused = Some(Refusal::new(Code::UNKNOWN_TOPIC_OR_PARTITION, None));
            return part;
        };
        let run = new_run(data.records, version).and_then(|(header, batch)| {
            part.batch = batch.clone();
            if !core.known.wants_keys(name) {
                return Ok(run_of(&header, batch, false));
            }
            keyed_run(name, data.index, &header, batch)
        });
        match run {
            Ok(run) => appends.push(Append { partition, id, run }),
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

/// The batch of a partition's records: exactly one, and sound.
fn new_run(records: Option<Bytes>, version: i16) -> Result<(BatchHeader, Bytes), Refusal> {
    let invalid = |text: &str| Refusal::new(Code::INVALID_RECORD, Some(text.to_owned()));
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
            return Err(Refusal::new(code, Some(error.to_string())));
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
        let code = Code::UNSUPPORTED_COMPRESSION_TYPE;
        return Err(Refusal::new(code, Some(text)));
    }
    Ok((header, bytes))
}

fn run_of(header: &BatchHeader, bytes: Bytes, keyed: bool) -> NewRun {
    let time_min = header.base_timestamp.min(header.max_timestamp);
    NewRun {
        count: header.offsets(),
        time_max: u64::try_from(header.max_timestamp).ok(),
        time_min: u64::try_from(time_min).ok(),
        keyed,
        writer: writer(header),
        crc: Some(TailCrc {
            from: BatchHeader::CRC_FROM,
            crc: header.crc,
        }),
        content: RunContent::Packed {
            origin: ORIGIN,
            bytes,
        },
    }
}

/// The run of a batch for a topic that takes no record without a key.
fn keyed_run(
    topic: &str,
    index: i32,
    header: &BatchHeader,
    batch: Bytes,
) -> Result<NewRun, Refusal> {
    let keyless = keyless_records(header, &batch)
        .map_err(|text| Refusal::new(Code::INVALID_RECORD, Some(text)))?;
    if keyless.is_empty() {
        return Ok(run_of(header, batch, true));
    }
    let text = format!(
        "Compacted topic cannot accept message without key in topic partition {topic}-{index}."
    );
    Err(Refusal {
        code: Code::INVALID_RECORD,
        text: Some("One or more records have been rejected".to_owned()),
        records: keyless.into_iter().map(|at| (at, text.clone())).collect(),
    })
}

/// What became of each part that was not refused, in their order.
type Results = Vec<Result<AppendedRun, LogError>>;

/// Looks into the batches that a log refused because nobody had, and asks again for those that are as they have to be.
fn look_and_append(core: &mut Core, mut topics: Vec<Topic>, results: Results, how: How) -> Step {
    let mut appends = Vec::new();
    let mut again = Vec::new();
    let mut refused = results.into_iter();
    let mut results = Results::new();
    for topic in &mut topics {
        let id = core.known.log_id(&topic.id);
        for part in topic.parts.iter_mut().filter(|part| part.refused.is_none()) {
            let result = refused.next().unwrap_or(Err(LogError::NotFound));
            let is_unknown = result == Err(LogError::KeysUnknown);
            let Some(partition) = partition(&topic.name, part.index).filter(|_| is_unknown) else {
                results.push(result);
                continue;
            };
            core.known.remember_keyed(&topic.name);
            let looked = new_run(Some(part.batch.clone()), i16::MAX);
            let looked = looked
                .and_then(|(header, batch)| keyed_run(&topic.name, part.index, &header, batch));
            match looked {
                Ok(run) => {
                    appends.push(Append { partition, id, run });
                    again.push(results.len());
                    results.push(result);
                }
                Err(refusal) => part.refused = Some(refusal),
            }
        }
    }
    if appends.is_empty() {
        return answer(topics, results, how);
    }
    Step::log(LogRequest::Append(appends), move |_, reply| {
        let LogReply::Appended(appended) = reply else {
            return Step::misunderstood();
        };
        for (at, result) in again.into_iter().zip(appended) {
            if let Some(slot) = results.get_mut(at) {
                *slot = result;
            }
        }
        answer(topics, results, how)
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

fn answer(topics: Vec<Topic>, results: Results, how: How) -> Step {
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
                        .map_err(|error| Refusal::of_log(&error)),
                };
                if let Err(refusal) = &result {
                    let (code, text) = (refusal.code.0, refusal.text.as_deref());
                    let text = text.unwrap_or_default();
                    let line = format!("{}-{}: error {code} {text}", topic.name, part.index);
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
        Some(line) if !how.wants_answer => Step::Close(format!(
            "an append whose writer wants no answer failed: {line}"
        )),
        _ if !how.wants_answer => Step::Silent,
        _ => Step::answer(ProduceResponse {
            responses,
            throttle_time_ms: how.throttle_ms,
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
        Err(refusal) => PartitionProduceResponse {
            index,
            error_code: refusal.code.0,
            base_offset: -1,
            record_errors: refusal.records.into_iter().map(record_error).collect(),
            error_message: refusal.text,
            ..PartitionProduceResponse::default()
        },
    }
}

fn record_error((batch_index, text): (i32, String)) -> BatchIndexAndErrorMessage {
    BatchIndexAndErrorMessage {
        batch_index,
        batch_index_error_message: Some(text),
    }
}
