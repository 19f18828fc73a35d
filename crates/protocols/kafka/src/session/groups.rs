//! The classic groups: members join, the leader shares the work out, all say that they live.

use polybus_model::{
    Assignor, GroupError, GroupReply, GroupRequest, GroupState, GroupSummary, Guarded, Join,
    Leaver, Membership, Millis, Operation, Sharing,
};

use super::core::{Core, keep_first};
use super::operations::with_bits;
use super::pending::Step;
use super::subscriptions::{assignment, share, subscription};
use crate::codec::messages::delete_groups::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse,
};
use crate::codec::messages::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use crate::codec::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use crate::codec::messages::join_group::{
    JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember,
};
use crate::codec::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberResponse};
use crate::codec::messages::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};
use crate::codec::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};
use crate::error::{Code, of_group};

/// From this version on a member without an id is told one first.
const ID_FIRST_FROM: i16 = 4;
/// From this version on what a response does not say is null.
const JOIN_NULL_FROM: i16 = 7;
/// From this version on a leader that came back may be told to leave the assignments as they are.
const SKIP_FROM: i16 = 9;
/// The type of the groups whose members say which topics they read.
const CONSUMER: &str = "consumer";

/// Who a member says it is.
pub(super) fn membership(
    group: String,
    generation: i32,
    member: String,
    instance: Option<String>,
) -> Membership {
    Membership {
        group,
        generation: u32::try_from(generation).ok(),
        member,
        instance,
    }
}

/// Joins a group; answered when all its members have.
pub(super) fn join(core: &mut Core, request: JoinGroupRequest, version: i16) -> Step {
    let session_timeout_ms = millis(request.session_timeout_ms);
    let new_member = format!("{}-{}", core.client, core.settings.random_id());
    let is_new = request.member_id.is_empty();
    let member = (!is_new).then(|| request.member_id.clone());
    let says_what_it_reads = request.protocol_type == CONSUMER;
    let subscription = says_what_it_reads
        .then(|| subscription(&request.protocols))
        .flatten();
    let (reads, owned) =
        subscription.map_or((None, Vec::new()), |one| (Some(one.reads), one.owned));
    let join = Join {
        group: request.group_id,
        member,
        new_member,
        // A member with a lasting name is known by that.
        id_first: version >= ID_FIRST_FROM && request.group_instance_id.is_none(),
        instance: request.group_instance_id,
        client: core.client.clone(),
        host: format!("/{}", core.peer.remote.ip()),
        session_timeout_ms,
        can_skip_assignment: version >= SKIP_FROM,
        reads,
        owned,
        rebalance_timeout_ms: if version == 0 {
            session_timeout_ms
        } else {
            millis(request.rebalance_timeout_ms)
        },
        protocol_type: request.protocol_type,
        assignors: request
            .protocols
            .into_iter()
            .map(|protocol| Assignor {
                name: protocol.name,
                metadata: protocol.metadata,
            })
            .collect(),
    };
    let member_id = request.member_id;
    Step::group(GroupRequest::Join(join), move |_, reply| {
        let GroupReply::Joined(joined) = reply else {
            return Step::misunderstood();
        };
        Step::answer(match joined {
            Ok(joined) => JoinGroupResponse {
                generation_id: wire_generation(joined.generation),
                protocol_type: Some(joined.protocol_type),
                protocol_name: Some(joined.assignor),
                leader: joined.leader,
                skip_assignment: joined.skip_assignment,
                member_id: joined.member,
                members: joined
                    .members
                    .into_iter()
                    .map(
                        |(member_id, group_instance_id, metadata)| JoinGroupResponseMember {
                            member_id,
                            group_instance_id,
                            metadata,
                        },
                    )
                    .collect(),
                ..JoinGroupResponse::default()
            },
            Err(error) => JoinGroupResponse {
                error_code: of_group(&error).0,
                protocol_name: (version < JOIN_NULL_FROM).then(String::new),
                member_id: match error {
                    GroupError::MemberIdRequired(id) => id,
                    _ => member_id,
                },
                ..JoinGroupResponse::default()
            },
        })
    })
}

fn millis(ms: i32) -> Millis {
    Millis::try_from(ms).unwrap_or(0)
}

fn wire_generation(generation: u32) -> i32 {
    i32::try_from(generation).unwrap_or(i32::MAX)
}

/// Brings the leader's assignments, or asks for one's own.
pub(super) fn sync(_core: &mut Core, request: SyncGroupRequest, _version: i16) -> Step {
    let assignments = request.assignments.iter();
    let shares = match request.protocol_type.as_deref() {
        // Older clients do not say what sort of group it is; what cannot be read is nothing.
        None | Some(CONSUMER) => assignments.map(|one| share(&one.assignment)).collect(),
        _ => Vec::new(),
    };
    let ask = GroupRequest::Sync {
        shares,
        membership: membership(
            request.group_id,
            request.generation_id,
            request.member_id,
            request.group_instance_id,
        ),
        protocol_type: request.protocol_type,
        assignor: request.protocol_name,
        assignments: request
            .assignments
            .into_iter()
            .map(|one| (one.member_id, one.assignment))
            .collect(),
    };
    Step::group(ask, |_, reply| {
        let synced = match reply {
            GroupReply::Synced(synced) => synced,
            GroupReply::SyncedByBroker { assignor, share } => {
                Ok((CONSUMER.to_owned(), assignor, assignment(&share)))
            }
            _ => return Step::misunderstood(),
        };
        Step::answer(match synced {
            Ok((protocol_type, assignor, assignment)) => SyncGroupResponse {
                protocol_type: Some(protocol_type),
                protocol_name: Some(assignor),
                assignment,
                ..SyncGroupResponse::default()
            },
            Err(error) => SyncGroupResponse {
                error_code: of_group(&error).0,
                ..SyncGroupResponse::default()
            },
        })
    })
}

/// A sign of life.
pub(super) fn heartbeat(_core: &mut Core, request: HeartbeatRequest, _version: i16) -> Step {
    let membership = membership(
        request.group_id,
        request.generation_id,
        request.member_id,
        request.group_instance_id,
    );
    Step::group(GroupRequest::Heartbeat(membership), |_, reply| {
        let GroupReply::Done(done) = reply else {
            return Step::misunderstood();
        };
        Step::answer(HeartbeatResponse {
            error_code: done
                .map_or_else(|error| of_group(&error), |()| Code::NONE)
                .0,
            ..HeartbeatResponse::default()
        })
    })
}

/// Leaves.
pub(super) fn leave(_core: &mut Core, request: LeaveGroupRequest, version: i16) -> Step {
    let is_single = version < 3;
    let leavers: Vec<Leaver> = if is_single {
        vec![Leaver {
            member: request.member_id,
            instance: None,
        }]
    } else {
        let members = request.members.into_iter();
        members
            .map(|member| Leaver {
                member: member.member_id,
                instance: member.group_instance_id,
            })
            .collect()
    };
    let ask = GroupRequest::Leave {
        group: request.group_id,
        leavers: leavers.clone(),
    };
    Step::group(ask, move |_, reply| {
        let GroupReply::Left(left) = reply else {
            return Step::misunderstood();
        };
        let mut response = LeaveGroupResponse::default();
        match left {
            Err(error) => response.error_code = of_group(&error).0,
            Ok(each) => {
                let codes = each
                    .into_iter()
                    .map(|one| one.map_or_else(|error| of_group(&error), |()| Code::NONE).0);
                if is_single {
                    response.error_code = codes.into_iter().next().unwrap_or(0);
                } else {
                    let members = leavers.into_iter().zip(codes);
                    response.members = members
                        .map(|(leaver, error_code)| MemberResponse {
                            member_id: leaver.member,
                            group_instance_id: leaver.instance,
                            error_code,
                        })
                        .collect();
                }
            }
        }
        Step::answer(response)
    })
}

/// A state by Kafka's name for it.
pub(super) fn state_name(state: GroupState) -> &'static str {
    match state {
        GroupState::Empty => "Empty",
        GroupState::Joining => "PreparingRebalance",
        GroupState::Assigning => "CompletingRebalance",
        GroupState::Reconciling => "Reconciling",
        GroupState::Stable => "Stable",
        GroupState::Gone => "Dead",
    }
}

fn type_name(group: &GroupSummary) -> &'static str {
    match group.sharing {
        Sharing::ByMembers => "classic",
        Sharing::ByBroker => "consumer",
        Sharing::Leased => "share",
    }
}

/// Lists groups.
pub(super) fn list(_core: &mut Core, request: ListGroupsRequest, _version: i16) -> Step {
    Step::group(GroupRequest::List, move |_, reply| {
        let GroupReply::Groups(groups) = reply else {
            return Step::misunderstood();
        };
        let is_wanted = |filter: &[String], name: &str| {
            filter.is_empty() || filter.iter().any(|one| one.eq_ignore_ascii_case(name))
        };
        let groups = groups
            .into_iter()
            .filter(|group: &GroupSummary| {
                is_wanted(&request.states_filter, state_name(group.state))
                    && is_wanted(&request.types_filter, type_name(group))
            })
            .map(|group| ListedGroup {
                group_type: type_name(&group).to_owned(),
                group_id: group.group,
                protocol_type: match group.sharing {
                    Sharing::Leased => "share".to_owned(),
                    _ => group.protocol_type,
                },
                group_state: state_name(group.state).to_owned(),
            });
        let groups: Vec<_> = groups.collect();
        let names = groups.iter();
        let names = names.map(|group| (Guarded::Group, group.group_id.clone()));
        Step::allowed(names.collect(), |_, may| {
            let groups = groups.into_iter().zip(may);
            let groups = groups.filter(|(_, may)| may.contains(Operation::Describe));
            Step::answer(ListGroupsResponse {
                groups: groups.map(|(group, _)| group).collect(),
                ..ListGroupsResponse::default()
            })
        })
    })
}

/// Describes groups.
pub(super) fn describe(core: &mut Core, request: DescribeGroupsRequest, version: i16) -> Step {
    let mut names = request.groups;
    keep_first(&mut names, Clone::clone);
    let is_asked = request.include_authorized_operations;
    let of = names.clone();
    with_bits(core, is_asked, Guarded::Group, &of, move |_, bits| {
        describe_with(names, bits, version)
    })
}

fn describe_with(names: Vec<String>, bits: Vec<i32>, version: i16) -> Step {
    let asked = names.iter().cloned().map(Ok).collect();
    Step::group(GroupRequest::Describe(asked), move |_, reply| {
        let GroupReply::Described(groups) = reply else {
            return Step::misunderstood();
        };
        let groups =
            names
                .into_iter()
                .zip(groups)
                .zip(bits)
                .map(|((name, group), bits)| match group {
                    Ok(group) => described(group, bits, version),
                    Err(error) => DescribedGroup {
                        error_code: of_group(&error).0,
                        group_id: name,
                        ..DescribedGroup::default()
                    },
                });
        Step::answer(DescribeGroupsResponse {
            groups: groups.collect(),
            ..DescribeGroupsResponse::default()
        })
    })
}

fn described(group: GroupSummary, operations: i32, version: i16) -> DescribedGroup {
    // Since version 6 a group that is not there is an error; before it was dead.
    let is_missing = version >= 6 && group.state == GroupState::Gone;
    let (error_code, error_message) = if is_missing {
        let text = format!("Group {} not found.", group.group);
        (Code::GROUP_ID_NOT_FOUND.0, Some(text))
    } else {
        (Code::NONE.0, None)
    };
    let is_stable = group.state == GroupState::Stable;
    DescribedGroup {
        error_code,
        error_message,
        group_id: group.group,
        group_state: state_name(group.state).to_owned(),
        protocol_type: group.protocol_type,
        protocol_data: if is_stable {
            group.assignor
        } else {
            String::new()
        },
        members: group
            .members
            .into_iter()
            .map(|member| DescribedGroupMember {
                member_id: member.member,
                group_instance_id: member.instance,
                client_id: member.client,
                client_host: member.host,
                member_metadata: member.metadata,
                member_assignment: member.assignment,
            })
            .collect(),
        authorized_operations: operations,
    }
}

/// Deletes groups.
pub(super) fn delete(_core: &mut Core, request: DeleteGroupsRequest, _version: i16) -> Step {
    let names = request.groups_names;
    let asked = names.iter().cloned().map(Ok).collect();
    Step::group(GroupRequest::Delete(asked), move |_, reply| {
        let GroupReply::Deleted(each) = reply else {
            return Step::misunderstood();
        };
        let results = names
            .into_iter()
            .zip(each)
            .map(|(group_id, one)| DeletableGroupResult {
                group_id,
                error_code: one.map_or_else(|error| of_group(&error), |()| Code::NONE).0,
            });
        Step::answer(DeleteGroupsResponse {
            results: results.collect(),
            ..DeleteGroupsResponse::default()
        })
    })
}
