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

/// The refusal of a request about readers: whoever has to do with one reads its log; whoever lets it push, or send dead letters,
/// writes to the topic that gets them, as if each were published there.
fn refused_reader(request: &ReaderRequest, grants: &Grants) -> Option<ReaderReply> {
    use ReaderError::Forbidden;
    use ReaderRequest::{
        Count, Declare, Delete, Describe, Flow, List, Pause, Pull, Reset, Settle, Unpin,
    };
    let (Declare { log, .. }
    | Delete { log, .. }
    | Describe { log, .. }
    | List { log }
    | Pull { log, .. }
    | Settle { log, .. }
    | Flow { log, .. }
    | Unpin { log, .. }
    | Reset { log, .. }
    | Pause { log, .. }) = request
    else {
        return None;
    };
    let mut may = grants.allows(Operation::Read, Guarded::Topic, log.as_str());
    if let Declare { settings, .. } = request {
        let pushes = settings.push.as_ref().map(|_| &settings.topic);
        let topics = pushes.into_iter().chain(&settings.dead_letters);
        for topic in topics {
            may &= grants.allows(Operation::Write, Guarded::Topic, topic.as_str());
        }
    }
    if may {
        return None;
    }
    Some(match request {
        Declare { .. } | Describe { .. } | Pause { .. } | Reset { .. } => {
            ReaderReply::Reader(Err(Forbidden))
        }
        List { .. } => ReaderReply::Readers(Err(Forbidden)),
        Delete { .. } | Pull { .. } | Settle { .. } | Flow { .. } | Unpin { .. } | Count => {
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
    use bytes::Bytes;
    use polybus_model::{
        Acknowledging, Batch, Declaring, Lane, Membership, Name, PullLimits, Push, ReaderSettings,
        ReaderStart, Request,
    };

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
    fn a_reader_pushes_where_its_owner_may_publish() {
        let declare = |write: &str, push: Option<Push>, dead_letters: Option<&str>| {
            let settings = ReaderSettings {
                push,
                dead_letters: dead_letters.map(|name| Name::new(name).unwrap()),
                ..settings()
            };
            let permissions = Permissions::new(&Patterns {
                configure: String::new(),
                write: write.into(),
                read: "^log$".into(),
            });
            let grants = Grants::new(permissions.unwrap(), false, [].iter(), "ada", "h");
            let request = ReaderRequest::Declare {
                log: Name::new("log").unwrap(),
                name: "r".into(),
                settings: Box::new(settings),
                declaring: Declaring::Any,
            };
            refused_reader(&request, &grants).is_none()
        };
        let push = || {
            Some(Push {
                key: Bytes::from_static(b"any.key"),
                heartbeat_ms: None,
                flow_control: false,
            })
        };
        assert!(declare("", None, None));
        assert!(!declare("", push(), None));
        assert!(declare("^live$", push(), None));
        assert!(!declare("^live$", push(), Some("dead")));
        assert!(declare("^(live|dead)$", push(), Some("dead")));
    }

    fn settings() -> ReaderSettings {
        ReaderSettings {
            topic: Name::new("live").unwrap(),
            push: None,
            pulls: PullLimits::default(),
            groups: None,
            sampled_percent: 0,
            start: ReaderStart::First,
            filters: Vec::new(),
            acknowledging: Acknowledging::Each,
            lease_ms: 1_000,
            leases_ms: Vec::new(),
            attempts_max: None,
            leased_max: None,
            keeps_pace: false,
            headers_only: false,
            bits_per_second: None,
            idle_ms: None,
            paused_until: None,
            durable: true,
            dead_letters: None,
            arguments: Vec::new(),
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
