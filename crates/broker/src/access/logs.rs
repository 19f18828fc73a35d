//! What of a request about logs a session may do: writing needs `write`, reading and looking offsets up `read`, defining and
//! trimming `configure`; whoever brings a group's offsets into a transaction needs to `read` the group, and names of
//! transactions are no secret within a namespace; a listing shows the logs of which it may do any of these. What it may not do is refused partition by
//! partition, and the rest is carried out.

use std::collections::HashSet;

use polybus_model::{LogId, LogRequest, Name, PartitionName, Purge, WhichLogs};

use super::{Action, Permissions};

/// Marks the parts of a request that the session may not make. `logs` tells which logs there are.
pub(crate) fn refuse_parts(
    request: &mut LogRequest,
    permissions: &Permissions,
    logs: impl Fn() -> Vec<(LogId, Name)>,
) {
    if permissions.allows_all() {
        return;
    }
    if let LogRequest::List(which @ WhichLogs::All) | LogRequest::Sizes(which @ WhichLogs::All) =
        request
    {
        let seen = logs().into_iter().map(|(_, name)| name);
        *which = WhichLogs::Named(seen.filter(|name| sees(permissions, name)).collect());
        return;
    }
    let forbidden = forbidden(request, permissions, logs);
    if !forbidden.is_empty() {
        let asked = std::mem::replace(request, LogRequest::Append(Vec::new()));
        *request = LogRequest::Partly {
            request: Box::new(asked),
            forbidden,
        };
    }
}

/// The parts that the session may not make.
fn forbidden(
    request: &LogRequest,
    permissions: &Permissions,
    logs: impl Fn() -> Vec<(LogId, Name)>,
) -> Vec<u32> {
    let may = |action, name: &Name| permissions.allows(action, name.as_str());
    let on = |action| move |one: &PartitionName| may(action, &one.log);
    match request {
        LogRequest::Append(appends) => refused(appends, |one| on(Action::Write)(&one.partition)),
        LogRequest::Read(request) => {
            refused(&request.reads, |one| on(Action::Read)(&one.partition))
        }
        LogRequest::FindOffsets(wanted) => refused(wanted, |one| on(Action::Read)(&one.0)),
        LogRequest::Store { log, .. } => {
            refused(std::slice::from_ref(log), |log| may(Action::Write, log))
        }
        LogRequest::State { partition, .. } => {
            refused(std::slice::from_ref(partition), on(Action::Read))
        }
        LogRequest::Remove { partition, .. } | LogRequest::Purge(Purge { partition, .. }) => {
            refused(std::slice::from_ref(partition), on(Action::Configure))
        }
        LogRequest::Trim(wanted) => refused(wanted, |one| on(Action::Configure)(&one.0)),
        LogRequest::List(WhichLogs::Named(names)) | LogRequest::Sizes(WhichLogs::Named(names)) => {
            refused(names, |name| sees(permissions, name))
        }
        LogRequest::List(WhichLogs::WithIds(ids)) | LogRequest::Sizes(WhichLogs::WithIds(ids)) => {
            let hidden = logs()
                .into_iter()
                .filter(|(_, name)| !sees(permissions, name));
            let hidden: HashSet<LogId> = hidden.map(|(id, _)| id).collect();
            refused(ids, |id| !hidden.contains(id))
        }
        LogRequest::Declare { name, .. }
        | LogRequest::Alter { name, .. }
        | LogRequest::Delete { name } => refused(std::slice::from_ref(name), |name| {
            may(Action::Configure, name)
        }),
        LogRequest::AddPartitions { partitions, .. } => refused(partitions, on(Action::Write)),
        LogRequest::Writers(partitions) => refused(partitions, on(Action::Read)),
        LogRequest::AddGroup { group, .. } => refused(std::slice::from_ref(group), |group| {
            permissions.allows(Action::Read, group)
        }),
        LogRequest::OpenProducer { .. }
        | LogRequest::End { .. }
        | LogRequest::Transactions(_)
        | LogRequest::Partly { .. }
        | LogRequest::List(WhichLogs::All)
        | LogRequest::Sizes(WhichLogs::All) => Vec::new(),
    }
}

/// Whether a listing shows a log.
fn sees(permissions: &Permissions, name: &Name) -> bool {
    [Action::Read, Action::Write, Action::Configure]
        .into_iter()
        .any(|action| permissions.allows(action, name.as_str()))
}

fn refused<T>(parts: &[T], may: impl Fn(&T) -> bool) -> Vec<u32> {
    let parts = (0_u32..).zip(parts);
    parts
        .filter(|(_, part)| !may(part))
        .map(|(at, _)| at)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Patterns;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn permissions() -> Permissions {
        Permissions::new(&Patterns {
            configure: "^mine$".into(),
            write: "^written$".into(),
            read: "^read$".into(),
        })
        .unwrap()
    }

    fn asked(mut request: LogRequest) -> (LogRequest, Vec<u32>) {
        let names = ["mine", "written", "read", "hidden"];
        let logs = || (1..).map(LogId).zip(names.map(name)).collect();
        refuse_parts(&mut request, &permissions(), logs);
        match request {
            LogRequest::Partly { request, forbidden } => (*request, forbidden),
            request => (request, Vec::new()),
        }
    }

    #[test]
    fn each_part_is_asked_for_itself() {
        let partitions = ["mine", "written", "read"].map(|log| PartitionName {
            log: name(log),
            partition: 0,
        });
        let wanted = partitions
            .clone()
            .map(|one| (one, polybus_model::Place::End));
        let (_, forbidden) = asked(LogRequest::FindOffsets(wanted.to_vec()));
        assert_eq!(forbidden, [0, 1]);
        let (_, forbidden) = asked(LogRequest::Trim(partitions.map(|one| (one, None)).to_vec()));
        assert_eq!(forbidden, [1, 2]);
        let (_, forbidden) = asked(LogRequest::Delete {
            name: name("hidden"),
        });
        assert_eq!(forbidden, [0]);
    }

    #[test]
    fn a_listing_shows_what_may_be_used() {
        let (all, _) = asked(LogRequest::List(WhichLogs::All));
        let shown = ["mine", "written", "read"].map(name).to_vec();
        assert!(matches!(all, LogRequest::List(WhichLogs::Named(names)) if names == shown));
        let ids = vec![LogId(4), LogId(1), LogId(9)];
        let (_, forbidden) = asked(LogRequest::List(WhichLogs::WithIds(ids)));
        assert_eq!(forbidden, [0]);
    }
}
