//! Groups whose work the broker shares out, whether by partitions or record by record: what both have in common.

use std::collections::BTreeMap;

use polybus_model::{
    BeatAnswer, GroupError, GroupReply, GroupRequest, Guarded, LogError, LogId, LogReply,
    LogRequest, Name, PartitionName, SharedSummary, WhichLogs,
};

use super::core::{Core, keep_first, wire_index};
use super::operations::with_bits;
use super::pending::Step;

/// Logs by their names, as they are now.
pub(super) type Ids = BTreeMap<Name, LogId>;

/// A group that was asked for, what was found, and what may be done with it.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) group: Result<SharedSummary, GroupError>,
    pub(super) bits: i32,
}

/// The names of what a member reads; what cannot be a topic's name is none that it could ever get.
pub(super) fn names_of(texts: &[String]) -> Vec<Name> {
    let names = texts.iter().map(|text| Name::new(text));
    names.filter_map(Result::ok).collect()
}

/// Goes on unless one of the logs must not be read.
pub(super) fn if_readable(
    logs: Option<Vec<Name>>,
    refused: fn(&LogError) -> Step,
    then: impl FnOnce() -> Step + Send + 'static,
) -> Step {
    let Some(logs) = logs.filter(|logs| !logs.is_empty()) else {
        return then();
    };
    let request = LogRequest::List(WhichLogs::Named(logs));
    Step::log(request, move |_, reply| match reply {
        LogReply::Logs(logs) if logs.contains(&Err(LogError::Forbidden)) => {
            refused(&LogError::Forbidden)
        }
        LogReply::Logs(_) => then(),
        _ => Step::misunderstood(),
    })
}

/// Asks for a member's sign of life, and goes on with what it is told and the ids of the logs that it is given.
pub(super) fn beat(
    request: GroupRequest,
    refused: fn(&GroupError) -> Step,
    then: impl FnOnce(&Core, BeatAnswer, &Ids) -> Step + Send + 'static,
) -> Step {
    Step::group(request, move |core, reply| {
        let GroupReply::Beat(result) = reply else {
            return Step::misunderstood();
        };
        let answer = match result {
            Ok(answer) => answer,
            Err(error) => return refused(&error),
        };
        let logs = answer.assignment.iter().flatten();
        let logs = logs.map(|one| one.log.clone()).collect();
        with_ids(core, logs, move |core, ids| then(core, answer, ids))
    })
}

/// Looks groups up, each once, and goes on with what was found and the ids of their logs.
pub(super) fn look_up(
    core: &mut Core,
    mut names: Vec<String>,
    wants_operations: bool,
    request: fn(Vec<Result<String, GroupError>>) -> GroupRequest,
    then: impl FnOnce(&Core, Vec<Found>, &Ids) -> Step + Send + 'static,
) -> Step {
    keep_first(&mut names, Clone::clone);
    let of = names.clone();
    with_bits(
        core,
        wants_operations,
        Guarded::Group,
        &of,
        move |_, bits| {
            let asked = names.iter().cloned().map(Ok).collect();
            Step::group(request(asked), move |core, reply| {
                let GroupReply::SharedDescribed(groups) = reply else {
                    return Step::misunderstood();
                };
                let members = groups.iter().flatten().flat_map(|group| &group.members);
                let partitions = members.flat_map(|one| one.assigned.iter().chain(&one.target));
                let logs = partitions.map(|one| one.log.clone()).collect();
                let found = names.into_iter().zip(groups).zip(bits);
                let found = found.map(|((name, group), bits)| Found { name, group, bits });
                let found = found.collect();
                with_ids(core, logs, move |core, ids| then(core, found, ids))
            })
        },
    )
}

/// Partitions that stand in the order of their logs' names; those of logs that are not there any more are left out.
pub(super) fn by_log<'a>(
    partitions: &'a [PartitionName],
    ids: &Ids,
) -> Vec<(&'a Name, LogId, Vec<i32>)> {
    let runs = partitions.chunk_by(|one, next| one.log == next.log);
    runs.filter_map(|run| {
        let log = &run.first()?.log;
        let indexes = run.iter().map(|one| wire_index(one.partition)).collect();
        Some((log, *ids.get(log)?, indexes))
    })
    .collect()
}

/// Looks up the ids of logs, then goes on.
pub(super) fn with_ids(
    core: &mut Core,
    mut names: Vec<Name>,
    then: impl FnOnce(&mut Core, &Ids) -> Step + Send + 'static,
) -> Step {
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return then(core, &Ids::new());
    }
    let request = LogRequest::List(WhichLogs::Named(names));
    Step::log(request, move |core, reply| {
        let LogReply::Logs(logs) = reply else {
            return Step::misunderstood();
        };
        let found = logs.into_iter().flatten();
        let ids: Ids = found.map(|log| (log.name, log.id)).collect();
        then(core, &ids)
    })
}
