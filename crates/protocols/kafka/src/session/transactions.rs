//! Transactions: partitions and groups become part of a producer's, and it ends; and what there is to be seen of them.
//!
//! Newer clients leave it to the broker to add what they write to: then the session asks for that in the same breath.

use polybus_model::{
    CLUSTER, GroupError, GroupReply, GroupRequest, Guarded, LogError, LogReply, LogRequest, Millis,
    Operation, TransactionState as State, TransactionSummary, Transactor,
};

use super::core::{Core, partition, wire_index, wire_offset};
use super::group_offsets::{Codes, Said, Sorted, sort_out};
use super::groups::membership;
use super::pending::{Answer, Ask, Step};
use crate::codec::messages::add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use crate::codec::messages::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    AddPartitionsToTxnTopicResult,
};
use crate::codec::messages::describe_transactions::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, TopicData, TransactionState,
};
use crate::codec::messages::end_txn::{EndTxnRequest, EndTxnResponse};
use crate::codec::messages::list_transactions::{
    ListTransactionsRequest, ListTransactionsResponse, TransactionState as ListedTransaction,
};
use crate::codec::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
};
use crate::codec::messages::write_txn_markers::{
    WritableTxnMarker, WritableTxnMarkerPartitionResult, WritableTxnMarkerResult,
    WritableTxnMarkerTopicResult, WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};
use crate::error::{Code, of_log};
use crate::mapping::wire_time;

/// From this version on an end gives the producer its next epoch.
const RENEWS_FROM: i16 = 5;
/// From this version on a group need not be added before its offsets come.
const ADDS_GROUP_FROM: i16 = 5;
/// From this version on a producer that was fenced is told so in a word of its own.
const FENCED_FROM: i16 = 2;
/// The states of transactions by Kafka's names.
const STATES: [(State, &str); 4] = [
    (State::Empty, "Empty"),
    (State::Open, "Ongoing"),
    (State::Committed, "CompleteCommit"),
    (State::Aborted, "CompleteAbort"),
];
/// The states that a transaction is never seen in here: it ends at once.
const OTHER_STATES: [&str; 3] = ["PrepareCommit", "PrepareAbort", "PrepareEpochFence"];

fn transactor(name: String, producer: i64, epoch: i16) -> Option<Transactor> {
    Some(Transactor {
        name,
        producer: u64::try_from(producer).ok()?,
        epoch: u16::try_from(epoch).ok()?,
    })
}

/// What a failure with a transaction as a whole is called.
fn code_of(error: &LogError, version: i16) -> Code {
    match error {
        LogError::Fenced if version >= FENCED_FROM => Code::PRODUCER_FENCED,
        LogError::UnknownProducer => Code::INVALID_PRODUCER_ID_MAPPING,
        LogError::Forbidden => Code::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        LogError::Unavailable(_) => Code::COORDINATOR_NOT_AVAILABLE,
        other => of_log(other),
    }
}

/// Adds partitions to a transaction.
pub(super) fn add_partitions(
    _core: &mut Core,
    request: AddPartitionsToTxnRequest,
    version: i16,
) -> Step {
    let topics = request.v3_and_below_topics;
    let topics: Vec<(String, Vec<i32>)> = topics
        .into_iter()
        .map(|topic| (topic.name, topic.partitions))
        .collect();
    let all = topics.iter().flat_map(|(name, indexes)| {
        let indexes = indexes.iter();
        indexes.map(move |index| partition(name, *index))
    });
    let all: Vec<_> = all.collect();
    let transactor = transactor(
        request.v3_and_below_transactional_id,
        request.v3_and_below_producer_id,
        request.v3_and_below_producer_epoch,
    );
    let Some(transactor) = transactor else {
        let refused = std::iter::repeat_n(Code::INVALID_PRODUCER_ID_MAPPING, all.len());
        return added(topics, refused);
    };
    let is_asked: Vec<bool> = all.iter().map(Option::is_some).collect();
    let ask = LogRequest::AddPartitions {
        transactor,
        partitions: all.into_iter().flatten().collect(),
    };
    Step::log(ask, move |_, reply| {
        let LogReply::Added(result) = reply else {
            return Step::misunderstood();
        };
        let (whole, results) = match result {
            Ok(results) => (None, results),
            Err(error) => (Some(code_of(&error, version)), Vec::new()),
        };
        let mut results = results.into_iter();
        let codes = is_asked.into_iter().map(move |is_asked| {
            let code = whole.or_else(|| (!is_asked).then_some(Code::UNKNOWN_TOPIC_OR_PARTITION));
            code.unwrap_or_else(|| match results.next() {
                Some(Ok(())) => Code::NONE,
                Some(Err(error)) => of_log(&error),
                None => Code::UNKNOWN,
            })
        });
        added(topics, codes)
    })
}

/// All were added, or none: then those that could have been are said not to have been tried.
fn added(topics: Vec<(String, Vec<i32>)>, codes: impl Iterator<Item = Code>) -> Step {
    let codes: Vec<Code> = codes.collect();
    let are_all = codes.iter().all(|code| code.is_none());
    let mut codes = codes.into_iter().map(|code| match code {
        Code::NONE if !are_all => Code::OPERATION_NOT_ATTEMPTED,
        code => code,
    });
    let results = topics
        .into_iter()
        .map(|(name, indexes)| AddPartitionsToTxnTopicResult {
            name,
            results_by_partition: indexes
                .into_iter()
                .zip(codes.by_ref())
                .map(
                    |(partition_index, code)| AddPartitionsToTxnPartitionResult {
                        partition_index,
                        partition_error_code: code.0,
                    },
                )
                .collect(),
        });
    Step::answer(AddPartitionsToTxnResponse {
        results_by_topic_v3_and_below: results.collect(),
        ..AddPartitionsToTxnResponse::default()
    })
}

/// Adds a group's offsets to a transaction.
pub(super) fn add_group(_core: &mut Core, request: AddOffsetsToTxnRequest, version: i16) -> Step {
    let answer = |code: Code| {
        Step::answer(AddOffsetsToTxnResponse {
            error_code: code.0,
            ..AddOffsetsToTxnResponse::default()
        })
    };
    let name = request.transactional_id;
    let Some(transactor) = transactor(name, request.producer_id, request.producer_epoch) else {
        return answer(Code::INVALID_PRODUCER_ID_MAPPING);
    };
    let ask = LogRequest::AddGroup {
        transactor,
        group: request.group_id,
    };
    Step::log(ask, move |_, reply| match reply {
        LogReply::Done(Ok(())) => answer(Code::NONE),
        LogReply::Done(Err(LogError::Forbidden)) => answer(Code::GROUP_AUTHORIZATION_FAILED),
        LogReply::Done(Err(error)) => answer(code_of(&error, version)),
        _ => Step::misunderstood(),
    })
}

/// Keeps a group's offsets for the end of a transaction.
pub(super) fn commit_offsets(
    _core: &mut Core,
    request: TxnOffsetCommitRequest,
    version: i16,
) -> Step {
    let (topics, offsets) = sort_out(request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|one| Said {
            partition: one.partition_index,
            offset: one.committed_offset,
            epoch: one.committed_leader_epoch,
            metadata: one.committed_metadata,
        });
        (topic.name, partitions)
    }));
    let name = request.transactional_id;
    let Some(transactor) = transactor(name, request.producer_id, request.producer_epoch) else {
        return kept(topics, Err(GroupError::UnknownProducer));
    };
    let membership = membership(
        request.group_id,
        request.generation_id,
        request.member_id,
        request.group_instance_id,
    );
    let mut asks = Vec::new();
    if version >= ADDS_GROUP_FROM {
        asks.push(Ask::Log(LogRequest::AddGroup {
            transactor: transactor.clone(),
            group: membership.group.clone(),
        }));
    }
    asks.push(Ask::Group(GroupRequest::CommitInTransaction {
        transactor,
        membership,
        offsets,
        forbidden: Vec::new(),
    }));
    Step::Ask(
        asks,
        Box::new(move |_, mut answers| match answers.pop() {
            Some(Answer::Group(GroupReply::Committed(result))) => kept(topics, result),
            _ => Step::misunderstood(),
        }),
    )
}

fn kept(topics: Sorted, result: Result<Vec<Result<(), GroupError>>, GroupError>) -> Step {
    let mut codes = Codes::new(result);
    let topics = topics
        .into_iter()
        .map(|(name, partitions)| TxnOffsetCommitResponseTopic {
            name,
            partitions: partitions
                .into_iter()
                .map(
                    |(partition_index, is_asked)| TxnOffsetCommitResponsePartition {
                        partition_index,
                        error_code: codes
                            .next((!is_asked).then_some(Code::UNKNOWN_TOPIC_OR_PARTITION)),
                    },
                )
                .collect(),
        });
    Step::answer(TxnOffsetCommitResponse {
        topics: topics.collect(),
        ..TxnOffsetCommitResponse::default()
    })
}

/// Commits or aborts.
pub(super) fn end(_core: &mut Core, request: EndTxnRequest, version: i16) -> Step {
    let refused = |code: Code| {
        Step::answer(EndTxnResponse {
            error_code: code.0,
            ..EndTxnResponse::default()
        })
    };
    let name = request.transactional_id;
    let Some(transactor) = transactor(name, request.producer_id, request.producer_epoch) else {
        return refused(Code::INVALID_PRODUCER_ID_MAPPING);
    };
    let ask = LogRequest::End {
        transactor,
        committed: request.committed,
        renew: version >= RENEWS_FROM,
    };
    Step::log(ask, move |_, reply| match reply {
        LogReply::Producer(Ok((number, epoch))) => Step::answer(EndTxnResponse {
            producer_id: wire_offset(number),
            producer_epoch: i16::try_from(epoch).unwrap_or(i16::MAX),
            ..EndTxnResponse::default()
        }),
        LogReply::Producer(Err(error)) => refused(code_of(&error, version)),
        _ => Step::misunderstood(),
    })
}

fn state_name(state: State) -> &'static str {
    let named = STATES.iter().find(|(known, _)| *known == state);
    named.map_or("", |(_, name)| *name)
}

fn resources<'a>(names: impl Iterator<Item = &'a String>) -> Vec<(Guarded, String)> {
    names
        .map(|name| (Guarded::Transaction, name.clone()))
        .collect()
}

/// Lists producers with transactions.
pub(super) fn list(core: &mut Core, request: ListTransactionsRequest, _version: i16) -> Step {
    let now = core.now;
    Step::log(LogRequest::Transactions(None), move |_, reply| {
        let LogReply::Transactions(found) = reply else {
            return Step::misunderstood();
        };
        let is_known = |name: &String| {
            let seen = STATES.iter().map(|(_, known)| *known);
            seen.chain(OTHER_STATES).any(|known| known == name)
        };
        let found = found.into_iter().flatten();
        let listed = found.filter(|one| is_listed(one, &request, now));
        let states = listed.map(|one| ListedTransaction {
            transaction_state: state_name(one.state).to_owned(),
            producer_id: wire_offset(one.transactor.producer),
            transactional_id: one.transactor.name,
        });
        let transaction_states: Vec<_> = states.collect();
        let mut unknown_state_filters = request.state_filters;
        unknown_state_filters.retain(|name| !is_known(name));
        let names = transaction_states.iter().map(|one| &one.transactional_id);
        Step::allowed(resources(names), |_, may| {
            let listed = transaction_states.into_iter().zip(may);
            let listed = listed.filter(|(_, may)| may.contains(Operation::Describe));
            Step::answer(ListTransactionsResponse {
                unknown_state_filters,
                transaction_states: listed.map(|(one, _)| one).collect(),
                ..ListTransactionsResponse::default()
            })
        })
    })
}

fn is_listed(one: &TransactionSummary, request: &ListTransactionsRequest, now: Millis) -> bool {
    let states = &request.state_filters;
    let numbers = &request.producer_id_filters;
    let lasts = |least: u64| {
        let since = one.since.unwrap_or(now);
        now.saturating_sub(since) > least
    };
    (states.is_empty() || states.iter().any(|name| name == state_name(one.state)))
        && (numbers.is_empty() || numbers.contains(&wire_offset(one.transactor.producer)))
        && u64::try_from(request.duration_filter).map_or(true, lasts)
}

/// Describes producers with transactions.
pub(super) fn describe(
    _core: &mut Core,
    request: DescribeTransactionsRequest,
    _version: i16,
) -> Step {
    let names = request.transactional_ids;
    let ask = LogRequest::Transactions(Some(names.clone()));
    Step::log(ask, move |_, reply| {
        let LogReply::Transactions(found) = reply else {
            return Step::misunderstood();
        };
        Step::allowed(resources(names.iter()), |_, may| {
            let refused = |transactional_id, code: Code| TransactionState {
                error_code: code.0,
                transactional_id,
                ..TransactionState::default()
            };
            let each = names.into_iter().zip(found).zip(may);
            let states = each.map(|((name, found), may)| match found {
                _ if !may.contains(Operation::Describe) => {
                    refused(name, Code::TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
                }
                Ok(one) => described(one),
                Err(_) => refused(name, Code::TRANSACTIONAL_ID_NOT_FOUND),
            });
            Step::answer(DescribeTransactionsResponse {
                transaction_states: states.collect(),
                ..DescribeTransactionsResponse::default()
            })
        })
    })
}

fn described(one: TransactionSummary) -> TransactionState {
    let mut topics: Vec<TopicData> = Vec::new();
    for at in one.partitions {
        let index = wire_index(at.partition);
        match topics.last_mut() {
            Some(last) if last.topic == at.log.as_str() => last.partitions.push(index),
            _ => topics.push(TopicData {
                topic: at.log.as_str().to_owned(),
                partitions: vec![index],
            }),
        }
    }
    TransactionState {
        transactional_id: one.transactor.name,
        transaction_state: state_name(one.state).to_owned(),
        transaction_timeout_ms: i32::try_from(one.timeout_ms).unwrap_or(i32::MAX),
        transaction_start_time_ms: one.since.map_or(-1, wire_time),
        producer_id: wire_offset(one.transactor.producer),
        producer_epoch: i16::try_from(one.transactor.epoch).unwrap_or(i16::MAX),
        topics,
        ..TransactionState::default()
    }
}

/// Ends transactions that their producers left open, as an administrator asks for it: the whole transaction is aborted, not
/// the one partition that is named.
pub(super) fn abort(_core: &mut Core, request: WriteTxnMarkersRequest, _version: i16) -> Step {
    let cluster = vec![(Guarded::Cluster, CLUSTER.to_owned())];
    Step::allowed(cluster, move |_, may| {
        let may = may.first().is_some_and(|may| {
            may.contains(Operation::ClusterAction) || may.contains(Operation::Alter)
        });
        if !may {
            return marked(request.markers, |_| Code::CLUSTER_AUTHORIZATION_FAILED);
        }
        Step::log(LogRequest::Transactions(None), move |core, reply| {
            let LogReply::Transactions(found) = reply else {
                return Step::misunderstood();
            };
            let open = found.into_iter().flatten();
            let open: Vec<Transactor> = open
                .filter(|one| one.state == State::Open)
                .map(|one| one.transactor)
                .collect();
            let is_meant = |marker: &WritableTxnMarker, one: &Transactor| {
                !marker.transaction_result
                    && wire_offset(one.producer) == marker.producer_id
                    && i16::try_from(one.epoch) == Ok(marker.producer_epoch)
            };
            let ends = request.markers.iter().map(|marker| {
                let found = open.iter().find(|one| is_meant(marker, one));
                found.cloned()
            });
            let ends: Vec<Option<Transactor>> = ends.collect();
            let asks = ends.iter().flatten().map(|transactor| LogRequest::End {
                transactor: transactor.clone(),
                committed: false,
                renew: false,
            });
            let asks = asks.collect();
            Step::logs(core, asks, move |_, replies| {
                let mut replies = replies.into_iter();
                let codes = ends.iter().map(|end| match end {
                    // It is over, or was never: there is nothing to write.
                    None => Code::INVALID_TXN_STATE,
                    Some(_) => match replies.next() {
                        Some(LogReply::Producer(Ok(_))) => Code::NONE,
                        Some(LogReply::Producer(Err(error))) => of_log(&error),
                        _ => Code::UNKNOWN,
                    },
                });
                let codes: Vec<Code> = codes.collect();
                marked(request.markers, |at| {
                    codes.get(at).copied().unwrap_or(Code::UNKNOWN)
                })
            })
        })
    })
}

fn marked(markers: Vec<WritableTxnMarker>, code: impl Fn(usize) -> Code) -> Step {
    let markers = markers.into_iter().enumerate().map(|(at, marker)| {
        let partition = |partition_index| WritableTxnMarkerPartitionResult {
            partition_index,
            error_code: code(at).0,
        };
        let topics = marker.topics.into_iter();
        WritableTxnMarkerResult {
            producer_id: marker.producer_id,
            topics: topics
                .map(|topic| WritableTxnMarkerTopicResult {
                    name: topic.name,
                    partitions: topic.partition_indexes.into_iter().map(partition).collect(),
                })
                .collect(),
        }
    });
    Step::answer(WriteTxnMarkersResponse {
        markers: markers.collect(),
    })
}
