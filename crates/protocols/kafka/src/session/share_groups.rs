//! Share groups: their members' signs of life, what tools ask about them, and where they stand in their partitions.

use polybus_model::{
    Beat, GroupError, GroupReply, GroupRequest, LogError, Name, PartitionName, SharedMemberSummary,
    SharedSummary, Sight, Standing, WindowSummary,
};

use super::consumer_groups::standing;
use super::core::{Core, keep_first, partition, wire_index, wire_offset};
use super::groups::state_name;
use super::pending::{Answer, Ask, Step};
use super::shared_descriptions::{self, Ids, by_log, if_readable, look_up, names_of, with_ids};
use crate::codec::messages::alter_share_group_offsets::{
    AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsResponse, ResponsePartition as Altered,
    ResponseTopic as AlteredTopic,
};
use crate::codec::messages::delete_share_group_offsets::{
    DeleteShareGroupOffsetsRequest, DeleteShareGroupOffsetsResponse, ResponseTopic as DeletedTopic,
};
use crate::codec::messages::describe_share_group_offsets::{
    DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsResponse, RequestGroup,
    ResponseGroup, ResponsePartition, ResponseTopic,
};
use crate::codec::messages::share_group_describe::{
    Assignment as DescribedAssignment, DescribedGroup, Member, ShareGroupDescribeRequest,
    ShareGroupDescribeResponse, TopicPartitions as DescribedPartitions,
};
use crate::codec::messages::share_group_heartbeat::{
    Assignment, ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse, TopicPartitions,
};
use crate::error::{Code, of_group, of_log, text_of_group};
use crate::mapping::LEADER_EPOCH;

/// An offset that there is none of yet.
const NO_OFFSET: i64 = -1;

/// A sign of life.
pub(super) fn heartbeat(
    core: &mut Core,
    request: ShareGroupHeartbeatRequest,
    _version: i16,
) -> Step {
    let epoch = request.member_epoch;
    let standing = match standing(epoch) {
        Ok(standing) if standing != Standing::Pauses => standing,
        _ => {
            return refused(&GroupError::InvalidRequest(format!(
                "there is no member epoch {epoch}"
            )));
        }
    };
    let reads = request.subscribed_topic_names.as_deref().map(names_of);
    let beat = Beat {
        group: request.group_id,
        member: request.member_id,
        instance: None,
        client: core.client.clone(),
        host: format!("/{}", core.peer.remote.ip()),
        standing,
        rebalance_timeout_ms: None,
        reads: reads.clone(),
        pattern: None,
        sight: Sight::default(),
        assignor: None,
        owned: None,
    };
    if_readable(reads, unreadable, move || attend(beat, epoch))
}

fn unreadable(error: &LogError) -> Step {
    Step::answer(ShareGroupHeartbeatResponse {
        error_code: of_log(error).0,
        ..ShareGroupHeartbeatResponse::default()
    })
}

fn attend(beat: Beat, epoch: i32) -> Step {
    let request = GroupRequest::Attend(Box::new(beat));
    shared_descriptions::beat(request, refused, move |core, answer, ids| {
        let assignment = answer.assignment.map(|partitions| Assignment {
            topic_partitions: by_log(&partitions, ids)
                .into_iter()
                .map(|(_, id, partitions)| TopicPartitions {
                    topic_id: core.known.topic_id(id),
                    partitions,
                })
                .collect(),
        });
        Step::answer(ShareGroupHeartbeatResponse {
            member_id: Some(answer.member),
            member_epoch: answer.epoch.map_or(epoch, wire_index),
            heartbeat_interval_ms: i32::try_from(answer.interval_ms).unwrap_or(i32::MAX),
            assignment,
            ..ShareGroupHeartbeatResponse::default()
        })
    })
}

fn refused(error: &GroupError) -> Step {
    Step::answer(ShareGroupHeartbeatResponse {
        error_code: of_group(error).0,
        error_message: text_of_group(error),
        ..ShareGroupHeartbeatResponse::default()
    })
}

/// Describes groups.
pub(super) fn describe(core: &mut Core, request: ShareGroupDescribeRequest, _version: i16) -> Step {
    let wants_operations = request.include_authorized_operations;
    let names = request.group_ids;
    let ask = GroupRequest::DescribeLeasing;
    look_up(core, names, wants_operations, ask, |core, found, ids| {
        let groups = found.into_iter().map(|one| match one.group {
            Ok(group) => described(core, group, one.bits, ids),
            Err(error) => DescribedGroup {
                error_code: of_group(&error).0,
                error_message: text_of_missing(&one.name, &error),
                group_id: one.name,
                ..DescribedGroup::default()
            },
        });
        Step::answer(ShareGroupDescribeResponse {
            groups: groups.collect(),
            ..ShareGroupDescribeResponse::default()
        })
    })
}

fn text_of_missing(name: &str, error: &GroupError) -> Option<String> {
    match error {
        GroupError::NotFound => Some(format!("Group {name} not found.")),
        other => text_of_group(other),
    }
}

fn described(core: &Core, group: SharedSummary, bits: i32, ids: &Ids) -> DescribedGroup {
    let members = group.members.into_iter();
    DescribedGroup {
        group_id: group.group,
        group_state: state_name(group.state).to_owned(),
        group_epoch: wire_index(group.epoch),
        assignment_epoch: wire_index(group.assigned_epoch),
        assignor_name: group.assignor,
        members: members.map(|one| member(core, one, ids)).collect(),
        authorized_operations: bits,
        ..DescribedGroup::default()
    }
}

fn member(core: &Core, member: SharedMemberSummary, ids: &Ids) -> Member {
    let partitions = by_log(&member.assigned, ids).into_iter();
    let partitions = partitions.map(|(log, id, partitions)| DescribedPartitions {
        topic_id: core.known.topic_id(id),
        topic_name: log.as_str().to_owned(),
        partitions,
    });
    let topic_partitions = partitions.collect();
    let reads = member.reads.iter().map(|name| name.as_str().to_owned());
    Member {
        subscribed_topic_names: reads.collect(),
        assignment: DescribedAssignment { topic_partitions },
        member_id: member.member,
        member_epoch: member.epoch.map_or(0, wire_index),
        client_id: member.client,
        client_host: member.host,
        ..Member::default()
    }
}

/// Says where groups stand.
pub(super) fn describe_offsets(
    _core: &mut Core,
    request: DescribeShareGroupOffsetsRequest,
    _version: i16,
) -> Step {
    let mut groups = request.groups;
    keep_first(&mut groups, |one| one.group_id.clone());
    if groups.is_empty() {
        return Step::answer(DescribeShareGroupOffsetsResponse::default());
    }
    let asks = groups.iter().map(|group| {
        Ask::Group(GroupRequest::Windows {
            group: group.group_id.clone(),
            partitions: None,
        })
    });
    let asks = asks.collect();
    let then = move |core: &mut Core, answers: Vec<Answer>| {
        let found = answers.into_iter().map(|answer| match answer {
            Answer::Group(GroupReply::Windows(found)) => found,
            _ => Err(GroupError::NotFound),
        });
        let groups = groups.into_iter().zip(found);
        let groups = groups.map(|(group, found)| stands(core, group, found));
        Step::answer(DescribeShareGroupOffsetsResponse {
            groups: groups.collect(),
            ..DescribeShareGroupOffsetsResponse::default()
        })
    };
    Step::Ask(asks, Box::new(then))
}

fn stands(
    core: &Core,
    group: RequestGroup,
    found: Result<Vec<WindowSummary>, GroupError>,
) -> ResponseGroup {
    let windows = match found {
        Ok(windows) => windows,
        Err(error) => {
            return ResponseGroup {
                error_code: of_group(&error).0,
                error_message: text_of_missing(&group.group_id, &error),
                group_id: group.group_id,
                ..ResponseGroup::default()
            };
        }
    };
    let topics = match group.topics {
        Some(topics) => topics
            .into_iter()
            .map(|topic| {
                let of_it = |one: &&WindowSummary| one.partition.log.as_str() == topic.topic_name;
                let windows: Vec<_> = windows.iter().filter(of_it).collect();
                let indexes = topic.partitions.iter();
                let partitions = indexes.map(|index| {
                    let mut windows = windows.iter();
                    let window = windows.find(|one| wire_index(one.partition.partition) == *index);
                    stand(*index, window.copied())
                });
                ResponseTopic {
                    topic_id: windows
                        .first()
                        .map_or_else(Default::default, |one| core.known.topic_id(one.log)),
                    partitions: partitions.collect(),
                    topic_name: topic.topic_name,
                }
            })
            .collect(),
        None => windows
            .chunk_by(|one, next| one.log == next.log)
            .filter_map(|windows| {
                let first = windows.first()?;
                let partitions = windows.iter();
                let partitions =
                    partitions.map(|one| stand(wire_index(one.partition.partition), Some(one)));
                Some(ResponseTopic {
                    topic_name: first.partition.log.as_str().to_owned(),
                    topic_id: core.known.topic_id(first.log),
                    partitions: partitions.collect(),
                })
            })
            .collect(),
    };
    ResponseGroup {
        group_id: group.group_id,
        topics,
        ..ResponseGroup::default()
    }
}

fn stand(index: i32, window: Option<&WindowSummary>) -> ResponsePartition {
    ResponsePartition {
        partition_index: index,
        start_offset: window.map_or(NO_OFFSET, |one| wire_offset(one.floor)),
        leader_epoch: LEADER_EPOCH,
        lag: window.map_or(NO_OFFSET, |one| wire_offset(one.lag)),
        ..ResponsePartition::default()
    }
}

/// Lets a group begin anew at offsets.
pub(super) fn alter_offsets(
    core: &mut Core,
    request: AlterShareGroupOffsetsRequest,
    _version: i16,
) -> Step {
    let names = request.topics.iter();
    let names = names.filter_map(|topic| Name::new(&topic.topic_name).ok());
    with_ids(core, names.collect(), move |core, ids| {
        let mut to: Vec<(PartitionName, u64)> = Vec::new();
        for topic in &request.topics {
            for one in &topic.partitions {
                let offset = u64::try_from(one.start_offset);
                if let (Some(at), Ok(offset)) =
                    (partition(&topic.topic_name, one.partition_index), offset)
                {
                    to.push((at, offset));
                }
            }
        }
        let mut topics = Vec::new();
        for topic in request.topics {
            let id = Name::new(&topic.topic_name).ok();
            let id = id.and_then(|name| ids.get(&name).copied());
            topics.push(AlteredTopic {
                topic_id: id.map_or_else(Default::default, |id| core.known.topic_id(id)),
                partitions: topic
                    .partitions
                    .iter()
                    .map(|one| Altered {
                        partition_index: one.partition_index,
                        error_code: Code::UNKNOWN_TOPIC_OR_PARTITION.0,
                        ..Altered::default()
                    })
                    .collect(),
                topic_name: topic.topic_name,
            });
        }
        let (group, asked) = (request.group_id, to.clone());
        Step::group(GroupRequest::MoveWindows { group, to }, move |_, reply| {
            let GroupReply::Committed(result) = reply else {
                return Step::misunderstood();
            };
            Step::answer(altered(topics, &asked, result))
        })
    })
}

fn altered(
    mut topics: Vec<AlteredTopic>,
    asked: &[(PartitionName, u64)],
    result: Result<Vec<Result<(), GroupError>>, GroupError>,
) -> AlterShareGroupOffsetsResponse {
    let each = match result {
        Ok(each) => each,
        Err(error) => {
            return AlterShareGroupOffsetsResponse {
                error_code: of_group(&error).0,
                error_message: text_of_group(&error),
                ..AlterShareGroupOffsetsResponse::default()
            };
        }
    };
    for ((at, _), one) in asked.iter().zip(each) {
        let topic = topics
            .iter_mut()
            .find(|topic| topic.topic_name == at.log.as_str());
        let partitions = topic.into_iter().flat_map(|topic| &mut topic.partitions);
        for part in partitions.filter(|part| part.partition_index == wire_index(at.partition)) {
            part.error_code = one.as_ref().map_or_else(of_group, |()| Code::NONE).0;
        }
    }
    AlterShareGroupOffsetsResponse {
        responses: topics,
        ..AlterShareGroupOffsetsResponse::default()
    }
}

/// Forgets where a group stands.
pub(super) fn delete_offsets(
    core: &mut Core,
    request: DeleteShareGroupOffsetsRequest,
    _version: i16,
) -> Step {
    let names = request.topics.into_iter();
    let names = names.filter_map(|topic| Name::new(&topic.topic_name).ok());
    let logs: Vec<Name> = names.collect();
    with_ids(core, logs.clone(), move |core, ids| {
        let known = |log: &Name| {
            let id = ids.get(log);
            id.map_or_else(Default::default, |id| core.known.topic_id(*id))
        };
        let topics: Vec<_> = logs.iter().map(|log| (log.clone(), known(log))).collect();
        let group = request.group_id;
        Step::group(
            GroupRequest::CloseWindows { group, logs },
            move |_, reply| {
                let GroupReply::Committed(result) = reply else {
                    return Step::misunderstood();
                };
                let each = match result {
                    Ok(each) => each,
                    Err(error) => {
                        return Step::answer(DeleteShareGroupOffsetsResponse {
                            error_code: of_group(&error).0,
                            error_message: text_of_group(&error),
                            ..DeleteShareGroupOffsetsResponse::default()
                        });
                    }
                };
                let responses = topics.into_iter().zip(each);
                let responses = responses.map(|((log, topic_id), one)| DeletedTopic {
                    topic_name: log.as_str().to_owned(),
                    topic_id,
                    error_code: one.map_or_else(|error| of_group(&error), |()| Code::NONE).0,
                    ..DeletedTopic::default()
                });
                Step::answer(DeleteShareGroupOffsetsResponse {
                    responses: responses.collect(),
                    ..DeleteShareGroupOffsetsResponse::default()
                })
            },
        )
    })
}
