//! The groups of Kafka 4, whose work the broker shares out: members say with their signs of life what they read and hold, and
//! are told with the answers what they are to hold.
//!
//! ```text
//! heartbeat -> names of the ids it holds, leave to read what it names -> Beat -> ids of the names it is given -> answer
//! ```

use polybus_model::{
    Beat, BeatAnswer, GroupError, GroupRequest, LogError, Millis, Name, PartitionName,
    SharedMemberSummary, Sight, Standing,
};

use super::core::{Core, wire_index};
use super::groups::state_name;
use super::known::with_names;
use super::pending::Step;
use super::shared_descriptions::{self, Found, Ids, by_log, if_readable, look_up, names_of};
use crate::codec::Uuid;
use crate::codec::messages::consumer_group_describe::{
    Assignment as DescribedAssignment, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse,
    DescribedGroup, Member, TopicPartitions as DescribedPartitions,
};
use crate::codec::messages::consumer_group_heartbeat::{
    Assignment, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use crate::error::{Code, of_group, of_log, text_of_group};

/// The epoch of a member that leaves.
const LEAVES: i32 = -1;
/// The epoch of a member that leaves and will come back under its lasting name.
const PAUSES: i32 = -2;
/// From this version on members make their ids themselves.
const OWN_IDS_FROM: i16 = 1;
/// A member of this protocol, or of the classic one.
const MEMBER_OF_THIS_PROTOCOL: i8 = 1;
const MEMBER_OF_THE_CLASSIC: i8 = 0;

/// A sign of life.
pub(super) fn heartbeat(
    core: &mut Core,
    request: ConsumerGroupHeartbeatRequest,
    version: i16,
) -> Step {
    let owned = request.topic_partitions.iter().flatten();
    let ids: Vec<Uuid> = owned.map(|topic| topic.topic_id).collect();
    with_names(core, ids.into_iter(), move |core| {
        let epoch = request.member_epoch;
        let reads = request.subscribed_topic_names.as_deref().map(names_of);
        let beat = match beat(core, request, reads.clone(), version) {
            Ok(beat) => beat,
            Err(error) => return refused(&error),
        };
        if_readable(reads, unreadable, move || ask(beat, epoch))
    })
}

fn unreadable(error: &LogError) -> Step {
    Step::answer(ConsumerGroupHeartbeatResponse {
        error_code: of_log(error).0,
        ..ConsumerGroupHeartbeatResponse::default()
    })
}

/// What a member says by its epoch.
pub(super) fn standing(epoch: i32) -> Result<Standing, GroupError> {
    match epoch {
        0 => Ok(Standing::Joins),
        LEAVES => Ok(Standing::Leaves),
        PAUSES => Ok(Standing::Pauses),
        epoch => u32::try_from(epoch)
            .map(Standing::Works)
            .map_err(|_| GroupError::InvalidRequest(format!("there is no member epoch {epoch}"))),
    }
}

fn beat(
    core: &Core,
    request: ConsumerGroupHeartbeatRequest,
    reads: Option<Vec<Name>>,
    version: i16,
) -> Result<Beat, GroupError> {
    let standing = standing(request.member_epoch)?;
    let makes_id =
        version < OWN_IDS_FROM && standing == Standing::Joins && request.member_id.is_empty();
    let member = if makes_id {
        core.settings.random_id()
    } else {
        request.member_id
    };
    let owned = request.topic_partitions.map(|topics| {
        let held = topics.into_iter().flat_map(|topic| {
            // A log that is gone is not held any more.
            let log = core.known.name(&topic.topic_id).cloned();
            let indexes = topic.partitions.into_iter();
            indexes.filter_map(move |index| {
                Some(PartitionName {
                    log: log.clone()?,
                    partition: u32::try_from(index).ok()?,
                })
            })
        });
        held.collect()
    });
    Ok(Beat {
        group: request.group_id,
        member,
        instance: request.instance_id,
        client: core.client.clone(),
        host: format!("/{}", core.peer.remote.ip()),
        standing,
        rebalance_timeout_ms: Millis::try_from(request.rebalance_timeout_ms).ok(),
        reads,
        pattern: request.subscribed_topic_regex,
        sight: Sight::default(),
        assignor: request.server_assignor,
        owned,
    })
}

fn ask(beat: Beat, epoch: i32) -> Step {
    let request = GroupRequest::Beat(Box::new(beat));
    shared_descriptions::beat(request, refused, move |core, answer, ids| {
        Step::answer(told(core, answer, epoch, ids))
    })
}

fn refused(error: &GroupError) -> Step {
    Step::answer(ConsumerGroupHeartbeatResponse {
        error_code: of_group(error).0,
        error_message: text_of_group(error),
        ..ConsumerGroupHeartbeatResponse::default()
    })
}

fn told(core: &Core, answer: BeatAnswer, epoch: i32, ids: &Ids) -> ConsumerGroupHeartbeatResponse {
    let assignment = answer.assignment.map(|partitions| Assignment {
        topic_partitions: by_log(&partitions, ids)
            .into_iter()
            .map(|(_, id, partitions)| TopicPartitions {
                topic_id: core.known.topic_id(id),
                partitions,
            })
            .collect(),
    });
    ConsumerGroupHeartbeatResponse {
        member_id: Some(answer.member),
        member_epoch: answer.epoch.map_or(epoch, wire_index),
        heartbeat_interval_ms: i32::try_from(answer.interval_ms).unwrap_or(i32::MAX),
        assignment,
        ..ConsumerGroupHeartbeatResponse::default()
    }
}

/// Describes groups.
pub(super) fn describe(
    core: &mut Core,
    request: ConsumerGroupDescribeRequest,
    _version: i16,
) -> Step {
    let wants_operations = request.include_authorized_operations;
    let names = request.group_ids;
    let ask = GroupRequest::DescribeShared;
    look_up(core, names, wants_operations, ask, |core, found, ids| {
        let groups = found.into_iter().map(|one| described(core, one, ids));
        Step::answer(ConsumerGroupDescribeResponse {
            groups: groups.collect(),
            ..ConsumerGroupDescribeResponse::default()
        })
    })
}

fn described(core: &Core, found: Found, ids: &Ids) -> DescribedGroup {
    let Found { name, group, bits } = found;
    let group = match group {
        Ok(group) => group,
        Err(error) => {
            let not_found = || format!("Group {name} is not a consumer group.");
            return DescribedGroup {
                error_code: of_group(&error).0,
                error_message: match error {
                    GroupError::NotFound => Some(not_found()),
                    _ => text_of_group(&error),
                },
                group_id: name,
                ..DescribedGroup::default()
            };
        }
    };
    let members = group.members.into_iter();
    DescribedGroup {
        error_code: Code::NONE.0,
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
    let assignment = |partitions: &[PartitionName]| DescribedAssignment {
        topic_partitions: by_log(partitions, ids)
            .into_iter()
            .map(|(log, id, partitions)| DescribedPartitions {
                topic_id: core.known.topic_id(id),
                topic_name: log.as_str().to_owned(),
                partitions,
            })
            .collect(),
    };
    let reads = member.reads.iter().map(|name| name.as_str().to_owned());
    Member {
        subscribed_topic_names: reads.collect(),
        subscribed_topic_regex: member.pattern.clone(),
        assignment: assignment(&member.assigned),
        target_assignment: assignment(&member.target),
        member_id: member.member,
        instance_id: member.instance,
        member_epoch: member.epoch.map_or(PAUSES, wire_index),
        client_id: member.client,
        client_host: member.host,
        member_type: if member.is_guest {
            MEMBER_OF_THE_CLASSIC
        } else {
            MEMBER_OF_THIS_PROTOCOL
        },
        ..Member::default()
    }
}
