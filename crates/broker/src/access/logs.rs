//! What of a request about logs a session may do: writing needs `write`, reading `read`, looking offsets up to know of the log,
//! defining and trimming to create, alter or delete it; whoever brings a group's offsets into a transaction needs to `read` the
//! group, and to `write` under the transaction's name; a listing shows the logs that the session may know of. What it may not do
//! is refused partition by partition, and the rest is carried out.

use polybus_model::{
    Guarded, LogError, LogId, LogReply, LogRequest, LogSettings, Name, Operation, PartitionName,
    Place, Purge, WhichLogs,
};

use super::Grants;

/// The logs that there are, as far as what a request needs depends on them.
pub(crate) trait Logs {
    /// The names of all of them.
    fn names(&self) -> Vec<Name>;
    /// The names of those with these ids.
    fn named(&self, ids: &[LogId]) -> Vec<Option<Name>>;
    /// How many partitions one has.
    fn partitions(&self, name: &Name) -> Option<u32>;
}

/// The answer to a request that the session may not make at all.
pub(crate) fn refuse_whole(request: &LogRequest, grants: &Grants) -> Option<LogReply> {
    let may = |name: &str| grants.allows(Operation::Write, Guarded::Transaction, name);
    match request {
        LogRequest::OpenProducer {
            transactional: Some(producer),
            ..
        } if !may(&producer.name) => Some(LogReply::Producer(Err(LogError::Forbidden))),
        LogRequest::End { transactor, .. } if !may(&transactor.name) => {
            Some(LogReply::Producer(Err(LogError::Forbidden)))
        }
        LogRequest::AddPartitions { transactor, .. } if !may(&transactor.name) => {
            Some(LogReply::Added(Err(LogError::Forbidden)))
        }
        LogRequest::AddGroup { transactor, .. } if !may(&transactor.name) => {
            Some(LogReply::Done(Err(LogError::Forbidden)))
        }
        _ => None,
    }
}

/// Marks the parts of a request that the session may not make.
pub(crate) fn refuse_parts(request: &mut LogRequest, grants: &Grants, logs: &impl Logs) {
    if let LogRequest::List(which @ WhichLogs::All) | LogRequest::Sizes(which @ WhichLogs::All) =
        request
    {
        let mut names = logs.names();
        names.retain(|name| may(grants, Operation::Describe, name));
        *which = WhichLogs::Named(names);
        return;
    }
    let forbidden = forbidden(request, grants, logs);
    if !forbidden.is_empty() {
        let asked = std::mem::replace(request, LogRequest::Append(Vec::new()));
        *request = LogRequest::Partly {
            request: Box::new(asked),
            forbidden,
        };
    }
}

fn may(grants: &Grants, operation: Operation, name: &Name) -> bool {
    grants.allows(operation, Guarded::Topic, name.as_str())
}

/// Whoever lets a log take from others, or tell listeners of what it has, has to be allowed to read those and publish there.
fn may_follow(grants: &Grants, settings: &LogSettings) -> bool {
    let Some(rules) = settings.keyed.as_deref() else {
        return true;
    };
    let mut followed = rules.follows.all().iter();
    let mut copies = rules.copies.iter();
    followed.all(|one| may(grants, Operation::Read, &one.log))
        && copies.all(|one| may(grants, Operation::Write, &one.topic))
}

/// The parts that the session may not make.
fn forbidden(request: &LogRequest, grants: &Grants, logs: &impl Logs) -> Vec<u32> {
    let may = |operation, name: &Name| may(grants, operation, name);
    let on = |operation| move |one: &PartitionName| may(operation, &one.log);
    let one = |operation, name: &Name| refused(std::slice::from_ref(name), |n| may(operation, n));
    match request {
        LogRequest::Append(appends) => refused(appends, |one| on(Operation::Write)(&one.partition)),
        LogRequest::Read(request) => {
            refused(&request.reads, |one| on(Operation::Read)(&one.partition))
        }
        LogRequest::FindOffsets(wanted) => refused(wanted, |(partition, place)| {
            let operation = match place {
                // Its bytes come with it.
                Place::Record(_) => Operation::Read,
                _ => Operation::Describe,
            };
            may(operation, &partition.log)
        }),
        LogRequest::Pick(pick) => {
            refused(std::slice::from_ref(&pick.partition), on(Operation::Read))
        }
        LogRequest::ListKeys(list) => {
            refused(std::slice::from_ref(&list.partition), on(Operation::Read))
        }
        LogRequest::Store { log, .. } => one(Operation::Write, log),
        LogRequest::State { partition, .. } => {
            refused(std::slice::from_ref(partition), on(Operation::Read))
        }
        LogRequest::Remove { partition, .. } | LogRequest::Purge(Purge { partition, .. }) => {
            refused(std::slice::from_ref(partition), on(Operation::Delete))
        }
        LogRequest::Restore { partition, .. } => {
            refused(std::slice::from_ref(partition), on(Operation::Create))
        }
        LogRequest::Trim(wanted) => refused(wanted, |one| on(Operation::Delete)(&one.0)),
        LogRequest::List(WhichLogs::Named(names)) | LogRequest::Sizes(WhichLogs::Named(names)) => {
            refused(names, |name| may(Operation::Describe, name))
        }
        LogRequest::List(WhichLogs::Configured(names))
        | LogRequest::Sizes(WhichLogs::Configured(names)) => {
            refused(names, |name| may(Operation::DescribeSettings, name))
        }
        LogRequest::List(WhichLogs::WithIds(ids)) | LogRequest::Sizes(WhichLogs::WithIds(ids)) => {
            let is_hidden =
                |name: &Option<Name>| name.as_ref().is_some_and(|n| !may(Operation::Describe, n));
            refused(&logs.named(ids), |name| !is_hidden(name))
        }
        LogRequest::Declare { name, settings, .. } => match may_follow(grants, settings) {
            true => one(Operation::Create, name),
            false => vec![0],
        },
        LogRequest::Delete { name } => one(Operation::Delete, name),
        LogRequest::Alter { name, settings, .. } => {
            let is_same = logs.partitions(name) == Some(settings.partitions);
            let operation = match is_same {
                true => Operation::AlterSettings,
                false => Operation::Alter,
            };
            match may_follow(grants, settings) {
                true => one(operation, name),
                false => vec![0],
            }
        }
        LogRequest::AddPartitions { partitions, .. } => refused(partitions, on(Operation::Write)),
        LogRequest::Writers(partitions) => refused(partitions, on(Operation::Read)),
        LogRequest::AddGroup { group, .. } => refused(std::slice::from_ref(group), |group| {
            grants.allows(Operation::Read, Guarded::Group, group)
        }),
        LogRequest::OpenProducer { .. }
        | LogRequest::End { .. }
        | LogRequest::Transactions(_)
        | LogRequest::Partly { .. }
        | LogRequest::List(WhichLogs::All)
        | LogRequest::Sizes(WhichLogs::All) => Vec::new(),
    }
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
    use crate::access::{Patterns, Permissions};

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    struct Known;

    const KNOWN: [&str; 4] = ["mine", "written", "read", "hidden"];

    impl Logs for Known {
        fn names(&self) -> Vec<Name> {
            KNOWN.map(name).to_vec()
        }

        fn named(&self, ids: &[LogId]) -> Vec<Option<Name>> {
            let at = |id: &LogId| KNOWN.get(usize::try_from(id.0).unwrap() - 1);
            ids.iter().map(|id| at(id).copied().map(name)).collect()
        }

        fn partitions(&self, _name: &Name) -> Option<u32> {
            Some(1)
        }
    }

    fn grants() -> Grants {
        let permissions = Permissions::new(&Patterns {
            configure: "^mine$".into(),
            write: "^written$".into(),
            read: "^read$".into(),
        });
        Grants::new(permissions.unwrap(), false, [].iter(), "ada", "h")
    }

    fn asked(mut request: LogRequest) -> (LogRequest, Vec<u32>) {
        refuse_parts(&mut request, &grants(), &Known);
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
        let wanted = partitions.clone().map(|one| (one, Place::End));
        let (_, forbidden) = asked(LogRequest::FindOffsets(wanted.to_vec()));
        assert!(forbidden.is_empty());
        let (_, forbidden) = asked(LogRequest::Writers(partitions.to_vec()));
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
