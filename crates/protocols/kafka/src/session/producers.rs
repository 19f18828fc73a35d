//! Numbers for producers, so that what they send twice is recognised; and who writes.

use polybus_model::{LogError, LogReply, LogRequest, TransactionalProducer, WriterSummary};

use super::core::{Core, partition, wire_offset};
use super::pending::Step;
use crate::codec::messages::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState,
    TopicResponse,
};
use crate::codec::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use crate::error::{Code, of_log};
use crate::mapping::wire_time;

/// A transaction may be open for so long at most, in milliseconds.
const TIMEOUT_MS_MAX: u64 = 15 * 60_000;
/// From this version on a producer that was fenced is told so in a word of its own.
const FENCED_FROM: i16 = 4;

/// Gives a number.
pub(super) fn init(_core: &mut Core, request: InitProducerIdRequest, version: i16) -> Step {
    let refused = |code: Code| {
        Step::answer(InitProducerIdResponse {
            error_code: code.0,
            ..InitProducerIdResponse::default()
        })
    };
    let transactional = match request.transactional_id {
        None => None,
        Some(name) if name.is_empty() => return refused(Code::INVALID_REQUEST),
        Some(name) => {
            let Ok(timeout_ms @ 1..=TIMEOUT_MS_MAX) = u64::try_from(request.transaction_timeout_ms)
            else {
                return refused(Code::INVALID_TRANSACTION_TIMEOUT);
            };
            Some(TransactionalProducer { name, timeout_ms })
        }
    };
    let current = u64::try_from(request.producer_id)
        .ok()
        .zip(u16::try_from(request.producer_epoch).ok());
    let ask = LogRequest::OpenProducer {
        transactional,
        current,
    };
    Step::log(ask, move |_, reply| {
        let LogReply::Producer(producer) = reply else {
            return Step::misunderstood();
        };
        match producer {
            Ok((number, epoch)) => Step::answer(InitProducerIdResponse {
                producer_id: wire_offset(number),
                producer_epoch: i16::try_from(epoch).unwrap_or(i16::MAX),
                ..InitProducerIdResponse::default()
            }),
            Err(error) => refused(match error {
                LogError::Fenced if version >= FENCED_FROM => Code::PRODUCER_FENCED,
                LogError::UnknownProducer => Code::INVALID_PRODUCER_ID_MAPPING,
                LogError::Forbidden => Code::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
                LogError::Unsupported(_) => Code::INVALID_REQUEST,
                LogError::Unavailable(_) => Code::COORDINATOR_NOT_AVAILABLE,
                other => of_log(&other),
            }),
        }
    })
}

/// Tells who writes to partitions.
pub(super) fn describe(core: &mut Core, request: DescribeProducersRequest, _version: i16) -> Step {
    let mut asked = Vec::new();
    let topics: Vec<(String, Vec<(i32, bool)>)> = request
        .topics
        .into_iter()
        .map(|topic| {
            let indexes = topic.partition_indexes.into_iter().map(|index| {
                let name = partition(&topic.name, index);
                let is_asked = name.is_some();
                asked.extend(name);
                (index, is_asked)
            });
            let indexes = indexes.collect();
            (topic.name, indexes)
        })
        .collect();
    Step::logs(core, vec![LogRequest::Writers(asked)], move |_, replies| {
        let Some(LogReply::Writers(found)) = replies.into_iter().next() else {
            return Step::misunderstood();
        };
        let mut found = found.into_iter();
        let topics = topics.into_iter().map(|(name, indexes)| TopicResponse {
            name,
            partitions: indexes
                .into_iter()
                .map(|(index, is_asked)| {
                    let writers = is_asked.then(|| found.next()).flatten();
                    described(index, writers.unwrap_or(Err(LogError::NotFound)))
                })
                .collect(),
        });
        Step::answer(DescribeProducersResponse {
            topics: topics.collect(),
            ..DescribeProducersResponse::default()
        })
    })
}

fn described(
    partition_index: i32,
    writers: Result<Vec<WriterSummary>, LogError>,
) -> PartitionResponse {
    let (code, writers) = match writers {
        Ok(writers) => (Code::NONE, writers),
        Err(error) => (of_log(&error), Vec::new()),
    };
    let producers = writers.into_iter().map(|one| ProducerState {
        producer_id: wire_offset(one.producer),
        producer_epoch: one.epoch.into(),
        last_sequence: one
            .sequence
            .and_then(|sequence| i32::try_from(sequence).ok())
            .unwrap_or(-1),
        last_timestamp: wire_time(one.time),
        current_txn_start_offset: one.open_since.map_or(-1, wire_offset),
        ..ProducerState::default()
    });
    PartitionResponse {
        partition_index,
        error_code: code.0,
        active_producers: producers.collect(),
        ..PartitionResponse::default()
    }
}
