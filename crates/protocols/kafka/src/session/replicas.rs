//! What tools ask about replicas and leaders. Every partition has one replica, which is its leader and stays where it is.

use std::collections::BTreeMap;

use polybus_model::{CLUSTER, Guarded, LogReply, LogRequest, Name, Operation, WhichLogs};

use super::core::Core;
use super::pending::Step;
use crate::codec::messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartition,
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use crate::codec::messages::elect_leaders::{
    ElectLeadersRequest, ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
};
use crate::codec::messages::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};
use crate::error::Code;

/// How many partitions topics have.
type Counts = BTreeMap<String, u32>;

/// Goes on if the session may do that with the cluster.
fn if_allowed(
    operation: Operation,
    refused: impl FnOnce() -> Step + Send + 'static,
    then: impl FnOnce(&mut Core) -> Step + Send + 'static,
) -> Step {
    let cluster = vec![(Guarded::Cluster, CLUSTER.to_owned())];
    Step::allowed(cluster, move |core, may| {
        if may.first().is_some_and(|may| may.contains(operation)) {
            then(core)
        } else {
            refused()
        }
    })
}

/// Looks up how many partitions topics have, then goes on.
fn with_counts(
    mut names: Vec<String>,
    then: impl FnOnce(&mut Core, &Counts) -> Step + Send + 'static,
) -> Step {
    names.sort_unstable();
    names.dedup();
    let names = names.iter().filter_map(|name| Name::new(name).ok());
    let request = LogRequest::List(WhichLogs::Named(names.collect()));
    Step::log(request, move |core, reply| {
        let LogReply::Logs(logs) = reply else {
            return Step::misunderstood();
        };
        let found = logs.into_iter().flatten();
        let counts = found.map(|log| (log.name.as_str().to_owned(), log.settings.partitions));
        then(core, &counts.collect())
    })
}

fn is_there(counts: &Counts, topic: &str, index: i32) -> bool {
    let count = counts.get(topic).copied().unwrap_or(0);
    u32::try_from(index).is_ok_and(|index| index < count)
}

/// Elects leaders: all are elected.
pub(super) fn elect(_core: &mut Core, request: ElectLeadersRequest, _version: i16) -> Step {
    let refused = || {
        Step::answer(ElectLeadersResponse {
            error_code: Code::CLUSTER_AUTHORIZATION_FAILED.0,
            ..ElectLeadersResponse::default()
        })
    };
    if_allowed(Operation::Alter, refused, move |_| {
        // All of them: only what was elected would be told.
        let Some(topics) = request.topic_partitions else {
            return Step::answer(ElectLeadersResponse::default());
        };
        let names = topics.iter().map(|topic| topic.topic.clone()).collect();
        with_counts(names, move |_, counts| {
            let results = topics.into_iter().map(|topic| ReplicaElectionResult {
                partition_result: topic
                    .partitions
                    .into_iter()
                    .map(|partition_id| {
                        let (code, text) = match is_there(counts, &topic.topic, partition_id) {
                            true => (
                                Code::ELECTION_NOT_NEEDED,
                                "Leader election not needed for topic partition.",
                            ),
                            false => (Code::UNKNOWN_TOPIC_OR_PARTITION, "No such topic-partition."),
                        };
                        PartitionResult {
                            partition_id,
                            error_code: code.0,
                            error_message: Some(text.to_owned()),
                        }
                    })
                    .collect(),
                topic: topic.topic,
            });
            Step::answer(ElectLeadersResponse {
                replica_election_results: results.collect(),
                ..ElectLeadersResponse::default()
            })
        })
    })
}

/// Tells what is moved: nothing ever is.
pub(super) fn list_moves(
    _core: &mut Core,
    _request: ListPartitionReassignmentsRequest,
    _version: i16,
) -> Step {
    let answer = |code: Code| {
        Step::answer(ListPartitionReassignmentsResponse {
            error_code: code.0,
            ..ListPartitionReassignmentsResponse::default()
        })
    };
    let refused = move || answer(Code::CLUSTER_AUTHORIZATION_FAILED);
    if_allowed(Operation::Describe, refused, move |_| answer(Code::NONE))
}

/// Moves partitions: to where they are.
pub(super) fn move_partitions(
    _core: &mut Core,
    request: AlterPartitionReassignmentsRequest,
    _version: i16,
) -> Step {
    let refused = || {
        Step::answer(AlterPartitionReassignmentsResponse {
            error_code: Code::CLUSTER_AUTHORIZATION_FAILED.0,
            ..AlterPartitionReassignmentsResponse::default()
        })
    };
    if_allowed(Operation::Alter, refused, move |_| {
        let names = request.topics.iter().map(|topic| topic.name.clone());
        with_counts(names.collect(), move |core, counts| {
            let node_id = core.settings.node_id;
            let responses = request.topics.into_iter().map(|topic| {
                let partitions = topic.partitions.into_iter();
                ReassignableTopicResponse {
                    partitions: partitions
                        .map(|one| {
                            moved(one, node_id, |index| is_there(counts, &topic.name, index))
                        })
                        .collect(),
                    name: topic.name.clone(),
                }
            });
            Step::answer(AlterPartitionReassignmentsResponse {
                responses: responses.collect(),
                ..AlterPartitionReassignmentsResponse::default()
            })
        })
    })
}

fn moved(
    one: ReassignablePartition,
    node_id: i32,
    is_there: impl Fn(i32) -> bool,
) -> ReassignablePartitionResponse {
    let (code, text) = match one.replicas.as_deref() {
        _ if !is_there(one.partition_index) => (
            Code::UNKNOWN_TOPIC_OR_PARTITION,
            Some("The topic or partition does not exist."),
        ),
        None => (
            Code::NO_REASSIGNMENT_IN_PROGRESS,
            Some("No partition reassignment is in progress."),
        ),
        Some([only]) if *only == node_id => (Code::NONE, None),
        Some(_) => (
            Code::INVALID_REPLICA_ASSIGNMENT,
            Some("There is one broker, and each partition has one replica, there."),
        ),
    };
    ReassignablePartitionResponse {
        partition_index: one.partition_index,
        error_code: code.0,
        error_message: text.map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_stay_where_they_are() {
        let code = |index, replicas: Option<&[i32]>| {
            let one = ReassignablePartition {
                partition_index: index,
                replicas: replicas.map(<[i32]>::to_vec),
            };
            Code(moved(one, 1, |index| index == 0).error_code)
        };
        assert_eq!(code(0, Some(&[1])), Code::NONE);
        assert_eq!(code(0, Some(&[2])), Code::INVALID_REPLICA_ASSIGNMENT);
        assert_eq!(code(0, Some(&[1, 2])), Code::INVALID_REPLICA_ASSIGNMENT);
        assert_eq!(code(0, None), Code::NO_REASSIGNMENT_IN_PROGRESS);
        assert_eq!(code(1, Some(&[1])), Code::UNKNOWN_TOPIC_OR_PARTITION);
    }
}
