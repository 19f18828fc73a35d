//! Where groups have come to in the logs they read.

use std::collections::BTreeMap;

use polybus_model::{GroupError, GroupOffset, GroupReply, GroupRequest, PartitionName};

use super::core::{Core, partition, wire_index, wire_offset};
use super::groups::membership;
use super::pending::{Answer, Ask, Step};
use crate::codec::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
};
use crate::codec::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
};
use crate::codec::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchResponse, OffsetFetchResponseGroup,
    OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use crate::error::{Code, of_group};

/// What became of the partitions of a request: the code of those that were asked for, in order.
pub(super) struct Codes {
    each: std::vec::IntoIter<Code>,
    whole: Option<Code>,
}

impl Codes {
    pub(super) fn new(result: Result<Vec<Result<(), GroupError>>, GroupError>) -> Self {
        let (each, whole) = match result {
            Ok(each) => (each, None),
            Err(error) => (Vec::new(), Some(of_group(&error))),
        };
        let codes = |one: Result<(), GroupError>| match one {
            Ok(()) => Code::NONE,
            // It is a log that it may not read: what concerns the group concerns the whole.
            Err(GroupError::Forbidden) => Code::TOPIC_AUTHORIZATION_FAILED,
            Err(error) => of_group(&error),
        };
        Self {
            each: each.into_iter().map(codes).collect::<Vec<_>>().into_iter(),
            whole,
        }
    }

    /// The code of the next partition; `refused` was not asked for at all.
    pub(super) fn next(&mut self, refused: Option<Code>) -> i16 {
        let code = refused
            .or(self.whole)
            .or_else(|| self.each.next())
            .unwrap_or(Code::UNKNOWN);
        code.0
    }
}

/// An offset as a client says it.
pub(super) struct Said {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) epoch: i32,
    pub(super) metadata: Option<String>,
}

/// Topics with their partitions, and of each whether its offset is one that can be asked for.
pub(super) type Sorted = Vec<(String, Vec<(i32, bool)>)>;

/// Sorts out which offsets can be asked for.
pub(super) fn sort_out<S>(said: impl Iterator<Item = (String, S)>) -> (Sorted, Vec<GroupOffset>)
where
    S: Iterator<Item = Said>,
{
    let mut offsets = Vec::new();
    let mut sort = |(name, partitions): (String, S)| {
        let partitions = partitions.map(|one| {
            let offset = partition(&name, one.partition).zip(u64::try_from(one.offset).ok());
            let is_asked = offset.is_some();
            offsets.extend(offset.map(|(partition, offset)| GroupOffset {
                partition,
                offset,
                epoch: u32::try_from(one.epoch).ok(),
                metadata: one.metadata.unwrap_or_default(),
            }));
            (one.partition, is_asked)
        });
        let partitions = partitions.collect();
        (name, partitions)
    };
    let topics = said.map(&mut sort).collect();
    (topics, offsets)
}

/// Remembers offsets.
pub(super) fn commit(_core: &mut Core, request: OffsetCommitRequest, _version: i16) -> Step {
    let membership = membership(
        request.group_id,
        request.generation_id_or_member_epoch,
        request.member_id,
        request.group_instance_id,
    );
    let (topics, offsets) = sort_out(request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|one| Said {
            partition: one.partition_index,
            offset: one.committed_offset,
            epoch: one.committed_leader_epoch,
            metadata: one.committed_metadata,
        });
        (topic.name, partitions)
    }));
    let ask = GroupRequest::Commit {
        membership,
        offsets,
        forbidden: Vec::new(),
    };
    Step::group(ask, move |_, reply| {
        let GroupReply::Committed(result) = reply else {
            return Step::misunderstood();
        };
        let mut codes = Codes::new(result);
        let topics = topics
            .into_iter()
            .map(|(name, partitions)| OffsetCommitResponseTopic {
                name,
                partitions: partitions
                    .into_iter()
                    .map(
                        |(partition_index, is_asked)| OffsetCommitResponsePartition {
                            partition_index,
                            error_code: codes
                                .next((!is_asked).then_some(Code::UNKNOWN_TOPIC_OR_PARTITION)),
                        },
                    )
                    .collect(),
                ..OffsetCommitResponseTopic::default()
            });
        Step::answer(OffsetCommitResponse {
            topics: topics.collect(),
            ..OffsetCommitResponse::default()
        })
    })
}

/// One group whose offsets are asked for.
struct Wanted {
    group: String,
    member: String,
    epoch: i32,
    /// None: all there are.
    topics: Option<Vec<(String, Vec<i32>)>>,
}

/// Tells remembered offsets.
pub(super) fn fetch(_core: &mut Core, request: OffsetFetchRequest, version: i16) -> Step {
    let is_single = version < 8;
    let wanted: Vec<Wanted> = if is_single {
        let topics = request.topics.map(|topics| {
            let topics = topics.into_iter();
            topics
                .map(|topic| (topic.name, topic.partition_indexes))
                .collect()
        });
        vec![Wanted {
            group: request.group_id,
            member: String::new(),
            epoch: -1,
            topics,
        }]
    } else {
        let groups = request.groups.into_iter();
        groups
            .map(|group| Wanted {
                group: group.group_id,
                member: group.member_id.unwrap_or_default(),
                epoch: group.member_epoch,
                topics: group.topics.map(|topics| {
                    let topics = topics.into_iter();
                    topics
                        .map(|topic| (topic.name, topic.partition_indexes))
                        .collect()
                }),
            })
            .collect()
    };
    let asks: Vec<Ask> = wanted
        .iter()
        .map(|one| {
            Ask::Group(GroupRequest::Offsets {
                membership: membership(one.group.clone(), one.epoch, one.member.clone(), None),
                partitions: one.topics.as_ref().map(|topics| asked(topics)),
                stable: request.require_stable,
            })
        })
        .collect();
    let answer = move |answers: Vec<Answer>| {
        let groups = wanted.into_iter().zip(answers).map(|(one, answer)| {
            let result = match answer {
                Answer::Group(GroupReply::Offsets(result)) => result,
                _ => Err(GroupError::Unavailable(String::new())),
            };
            told(one, result)
        });
        let mut groups: Vec<OffsetFetchResponseGroup> = groups.collect();
        if !is_single {
            return Step::answer(OffsetFetchResponse {
                groups,
                ..OffsetFetchResponse::default()
            });
        }
        Step::answer(
            groups
                .pop()
                .map(|group| single(group, version))
                .unwrap_or_default(),
        )
    };
    if asks.is_empty() {
        return answer(Vec::new());
    }
    Step::Ask(asks, Box::new(move |_, answers| answer(answers)))
}

fn asked(topics: &[(String, Vec<i32>)]) -> Vec<PartitionName> {
    let all = topics
        .iter()
        .flat_map(|(name, indexes)| indexes.iter().filter_map(|index| partition(name, *index)));
    all.collect()
}

/// What a group's offsets are, for those partitions that were asked for: -1 where there is none.
fn told(wanted: Wanted, result: Result<Vec<GroupOffset>, GroupError>) -> OffsetFetchResponseGroup {
    let mut response = OffsetFetchResponseGroup {
        group_id: wanted.group,
        ..OffsetFetchResponseGroup::default()
    };
    let mut code = Code::NONE.0;
    let offsets = match result {
        Ok(offsets) => offsets,
        // A group that is not there has no offsets.
        Err(GroupError::NotFound) => Vec::new(),
        Err(error) => {
            response.error_code = of_group(&error).0;
            code = response.error_code;
            // Clients wait for this one where it stands beside a partition only.
            if error == GroupError::Unstable && wanted.topics.is_some() {
                response.error_code = Code::NONE.0;
            }
            Vec::new()
        }
    };
    let mut known: BTreeMap<PartitionName, GroupOffset> = offsets
        .into_iter()
        .map(|offset| (offset.partition.clone(), offset))
        .collect();
    let Some(topics) = wanted.topics else {
        for (name, offset) in known {
            let line = line(
                wire_index(name.partition),
                Some(offset),
                response.error_code,
            );
            match response.topics.last_mut() {
                Some(last) if last.name == name.log.as_str() => last.partitions.push(line),
                _ => response.topics.push(OffsetFetchResponseTopics {
                    name: name.log.as_str().to_owned(),
                    partitions: vec![line],
                    ..OffsetFetchResponseTopics::default()
                }),
            }
        }
        return response;
    };
    response.topics = topics
        .into_iter()
        .map(|(name, indexes)| OffsetFetchResponseTopics {
            partitions: indexes
                .into_iter()
                .map(|index| {
                    let offset = partition(&name, index).and_then(|name| known.remove(&name));
                    line(index, offset, code)
                })
                .collect(),
            name,
            ..OffsetFetchResponseTopics::default()
        })
        .collect();
    response
}

fn line(index: i32, offset: Option<GroupOffset>, code: i16) -> OffsetFetchResponsePartitions {
    let mut line = OffsetFetchResponsePartitions {
        partition_index: index,
        committed_offset: -1,
        metadata: Some(String::new()),
        error_code: code,
        ..OffsetFetchResponsePartitions::default()
    };
    if let Some(offset) = offset {
        line.committed_offset = wire_offset(offset.offset);
        line.committed_leader_epoch = offset.epoch.map_or(-1, wire_index);
        line.metadata = Some(offset.metadata);
    }
    line
}

/// The same as older versions tell it. Before version 2 there was no code for the whole.
fn single(group: OffsetFetchResponseGroup, version: i16) -> OffsetFetchResponse {
    let error_code = if version >= 2 { group.error_code } else { 0 };
    let topics = group
        .topics
        .into_iter()
        .map(|topic| OffsetFetchResponseTopic {
            name: topic.name,
            partitions: topic
                .partitions
                .into_iter()
                .map(|line| OffsetFetchResponsePartition {
                    partition_index: line.partition_index,
                    committed_offset: line.committed_offset,
                    committed_leader_epoch: line.committed_leader_epoch,
                    metadata: line.metadata,
                    error_code: line.error_code,
                })
                .collect(),
        });
    OffsetFetchResponse {
        topics: topics.collect(),
        error_code,
        ..OffsetFetchResponse::default()
    }
}

/// Forgets offsets.
pub(super) fn delete(_core: &mut Core, request: OffsetDeleteRequest, _version: i16) -> Step {
    let topics: Vec<(String, Vec<i32>)> = request
        .topics
        .into_iter()
        .map(|topic| {
            let partitions = topic.partitions.into_iter();
            (
                topic.name,
                partitions.map(|one| one.partition_index).collect(),
            )
        })
        .collect();
    let ask = GroupRequest::ForgetOffsets {
        group: request.group_id,
        partitions: asked(&topics),
    };
    Step::group(ask, move |_, reply| {
        let GroupReply::Committed(result) = reply else {
            return Step::misunderstood();
        };
        if let Err(error) = &result {
            return Step::answer(OffsetDeleteResponse {
                error_code: of_group(error).0,
                ..OffsetDeleteResponse::default()
            });
        }
        let mut codes = Codes::new(result);
        let topics = topics
            .into_iter()
            .map(|(name, indexes)| OffsetDeleteResponseTopic {
                partitions: indexes
                    .into_iter()
                    .map(|partition_index| OffsetDeleteResponsePartition {
                        partition_index,
                        error_code: codes.next(
                            partition(&name, partition_index)
                                .is_none()
                                .then_some(Code::UNKNOWN_TOPIC_OR_PARTITION),
                        ),
                    })
                    .collect(),
                name,
            });
        Step::answer(OffsetDeleteResponse {
            topics: topics.collect(),
            ..OffsetDeleteResponse::default()
        })
    })
}
