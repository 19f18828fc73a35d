//! What requests about groups need: whoever works in a group, or looks at it, may read from a resource of its name; whoever
//! deletes it or its offsets may configure it; an offset is remembered of logs that the session may read. Names of groups are no secret within a namespace. What is not allowed is replaced
//! by its answer: a request about groups never fails its lane.

use polybus_model::{
    GroupError, GroupOffset, GroupReply, GroupRequest, Guarded, Operation, ReaderError,
    ReaderReply, ReaderRequest,
};

use super::Grants;

/// Replaces a request, or what of it is not allowed, by its refusal.
pub(super) fn refuse_forbidden(request: &mut GroupRequest, grants: &Grants) {
    use GroupError::Forbidden;
    let may = |operation, group: &str| grants.allows(operation, Guarded::Group, group);
    let reads = |group: &str| may(Operation::Read, group);
    let describes = |group: &str| may(Operation::Describe, group);
    let writes = |name: &str| grants.allows(Operation::Write, Guarded::Transaction, name);
    let refusal = match request {
        GroupRequest::Join(join) if !reads(&join.group) => GroupReply::Joined(Err(Forbidden)),
        GroupRequest::Sync { membership, .. } if !reads(&membership.group) => {
            GroupReply::Synced(Err(Forbidden))
        }
        GroupRequest::Beat(beat) | GroupRequest::Attend(beat) if !reads(&beat.group) => {
            GroupReply::Beat(Err(Forbidden))
        }
        GroupRequest::Lease(lease) if !reads(&lease.group) => GroupReply::Leased(Err(Forbidden)),
        GroupRequest::Lease(lease) => {
            for part in &mut lease.parts {
                let log = part.partition.log.as_str();
                part.forbidden = !grants.allows(Operation::Read, Guarded::Topic, log);
            }
            return;
        }
        GroupRequest::Windows { group, .. } if !reads(group) => GroupReply::Windows(Err(Forbidden)),
        GroupRequest::MoveWindows { group, .. } | GroupRequest::CloseWindows { group, .. }
            if !may(Operation::Delete, group) =>
        {
            GroupReply::Committed(Err(Forbidden))
        }
        GroupRequest::Configure { group, .. } if !may(Operation::AlterSettings, group) => {
            GroupReply::Done(Err(Forbidden))
        }
        GroupRequest::Heartbeat(membership) if !reads(&membership.group) => {
            GroupReply::Done(Err(Forbidden))
        }
        GroupRequest::Leave { group, .. } if !reads(group) => GroupReply::Left(Err(Forbidden)),
        GroupRequest::Commit { membership, .. } if !reads(&membership.group) => {
            GroupReply::Committed(Err(Forbidden))
        }
        GroupRequest::CommitInTransaction {
            transactor,
            membership,
            ..
        } if !reads(&membership.group) || !writes(&transactor.name) => {
            GroupReply::Committed(Err(Forbidden))
        }
        GroupRequest::Commit {
            offsets, forbidden, ..
        }
        | GroupRequest::CommitInTransaction {
            offsets, forbidden, ..
        } => {
            let reads_log = |one: &GroupOffset| {
                grants.allows(Operation::Read, Guarded::Topic, one.partition.log.as_str())
            };
            let each = (0..).zip(offsets);
            let hidden = each.filter(|(_, one)| !reads_log(one)).map(|(at, _)| at);
            *forbidden = hidden.collect();
            return;
        }
        GroupRequest::Offsets { membership, .. } if !describes(&membership.group) => {
            GroupReply::Offsets(Err(Forbidden))
        }
        GroupRequest::ForgetOffsets { group, .. } if !may(Operation::Delete, group) => {
            GroupReply::Committed(Err(Forbidden))
        }
        GroupRequest::Describe(names)
        | GroupRequest::DescribeShared(names)
        | GroupRequest::DescribeLeasing(names) => {
            return refuse_each(names, describes);
        }
        GroupRequest::Settings(names) => {
            return refuse_each(names, |group| may(Operation::DescribeSettings, group));
        }
        GroupRequest::Delete(names) => {
            return refuse_each(names, |group| may(Operation::Delete, group));
        }
        GroupRequest::Reader(request) => match refused_reader(request, grants) {
            Some(reply) => GroupReply::Reader(reply),
            None => return,
        },
        GroupRequest::Join(_)
        | GroupRequest::Sync { .. }
        | GroupRequest::Beat(_)
        | GroupRequest::Attend(_)
        | GroupRequest::Windows { .. }
        | GroupRequest::MoveWindows { .. }
        | GroupRequest::CloseWindows { .. }
        | GroupRequest::Configure { .. }
        | GroupRequest::Heartbeat(_)
        | GroupRequest::Leave { .. }
        | GroupRequest::Offsets { .. }
        | GroupRequest::ForgetOffsets { .. }
        | GroupRequest::List
        | GroupRequest::Refused(_) => return,
    };
    *request = GroupRequest::Refused(Box::new(refusal));
}

/// The refusal of a request about readers: whoever has to do with one reads its log; whoever lets it send dead letters writes to
/// their topic.
fn refused_reader(request: &ReaderRequest, grants: &Grants) -> Option<ReaderReply> {
    use ReaderError::Forbidden;
    use ReaderRequest::{Declare, Delete, Describe, Flow, List, Pause, Pull, Settle};
    let (Declare { log, .. }
    | Delete { log, .. }
    | Describe { log, .. }
    | List { log }
    | Pull { log, .. }
    | Settle { log, .. }
    | Flow { log, .. }
    | Pause { log, .. }) = request;
    let mut may = grants.allows(Operation::Read, Guarded::Topic, log.as_str());
    if let Declare { settings, .. } = request
        && let Some(topic) = &settings.dead_letters
    {
        may &= grants.allows(Operation::Write, Guarded::Topic, topic.as_str());
    }
    if may {
        return None;
    }
    Some(match request {
        Declare { .. } | Describe { .. } | Pause { .. } => ReaderReply::Reader(Err(Forbidden)),
        List { .. } => ReaderReply::Readers(Err(Forbidden)),
        Delete { .. } | Pull { .. } | Settle { .. } | Flow { .. } => {
            ReaderReply::Done(Err(Forbidden))
        }
    })
}

fn refuse_each(names: &mut [Result<String, GroupError>], may: impl Fn(&str) -> bool) {
    for name in names {
        if name.as_ref().is_ok_and(|name| !may(name)) {
            *name = Err(GroupError::Forbidden);
        }
    }
}

#[cfg(test)]
mod tests {
    use polybus_model::{Batch, Lane, Membership, Name, Request};

    use super::*;
    use crate::access::{Patterns, Permissions, refuse_forbidden as refuse_batch};

    fn asked(request: GroupRequest) -> GroupRequest {
        let permissions = Permissions::new(&Patterns {
            configure: "^mine$".into(),
            write: String::new(),
            read: "^(mine|ours)$".into(),
        })
        .unwrap();
        let request = Request::Group {
            number: 1,
            request: Box::new(request),
        };
        let mut batch = Batch {
            requests: vec![(Lane(1), request)],
        };
        let grants = Grants::new(permissions, false, [].iter(), "ada", "h");
        refuse_batch(&mut batch, &grants, &Name::new("/").unwrap());
        match batch.requests.pop() {
            Some((_, Request::Group { number: 1, request })) => *request,
            other => panic!("{other:?}"),
        }
    }

    fn heartbeat(group: &str) -> GroupRequest {
        GroupRequest::Heartbeat(Membership {
            group: group.into(),
            generation: None,
            member: String::new(),
            instance: None,
        })
    }

    #[test]
    fn working_in_a_group_needs_to_read_it() {
        assert!(matches!(
            asked(heartbeat("ours")),
            GroupRequest::Heartbeat(_)
        ));
        match asked(heartbeat("theirs")) {
            GroupRequest::Refused(reply) => assert!(matches!(
                *reply,
                GroupReply::Done(Err(GroupError::Forbidden))
            )),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn offsets_are_remembered_of_logs_that_may_be_read() {
        let offset = |log: &str| GroupOffset {
            partition: polybus_model::PartitionName {
                log: Name::new(log).unwrap(),
                partition: 0,
            },
            offset: 1,
            epoch: None,
            metadata: String::new(),
        };
        let commit = GroupRequest::Commit {
            membership: Membership {
                group: "ours".into(),
                generation: None,
                member: String::new(),
                instance: None,
            },
            offsets: ["mine", "theirs", "ours"].map(offset).to_vec(),
            forbidden: Vec::new(),
        };
        match asked(commit) {
            GroupRequest::Commit { forbidden, .. } => assert_eq!(forbidden, [1]),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn groups_are_refused_one_by_one() {
        let names = || vec![Ok("mine".into()), Ok("ours".into()), Ok("theirs".into())];
        let ok = |request| match request {
            GroupRequest::Describe(names) | GroupRequest::Delete(names) => {
                names.iter().map(Result::is_ok).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(
            ok(asked(GroupRequest::Describe(names()))),
            [true, true, false]
        );
        assert_eq!(
            ok(asked(GroupRequest::Delete(names()))),
            [true, false, false]
        );
    }
}
