//! Making topics, deleting them, and giving them more partitions.

use std::collections::{HashMap, HashSet};

use polybus_model::{
    LogError, LogReply, LogRequest, LogSettings, LogSummary, Metered, Name, WhichLogs,
};

use super::changes::Changes;
use super::configs;
use super::core::{Core, wire_index};
use super::known::{NO_ID, with_names};
use super::pending::Step;
use crate::codec::Uuid;
use crate::codec::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
    CreatePartitionsTopicResult,
};
use crate::codec::messages::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest,
    CreateTopicsResponse,
};
use crate::codec::messages::delete_topics::{
    DeletableTopicResult, DeleteTopicsRequest, DeleteTopicsResponse,
};
use crate::error::{Code, of_log, text_of_log};
use crate::mapping::{apply, is_topic_name, new_settings};

/// From these versions on clients know that they can be refused for their quota.
const CREATE_REFUSED_FROM: i16 = 6;
const DELETE_REFUSED_FROM: i16 = 5;
const GROW_REFUSED_FROM: i16 = 3;

/// A refusal and what there is to say about it.
type Refusal = (Code, String);

/// Makes topics.
pub(super) fn create(core: &mut Core, request: CreateTopicsRequest, version: i16) -> Step {
    let mut changes = Changes::of(version >= CREATE_REFUSED_FROM);
    let dry_run = request.validate_only;
    let mut seen = HashSet::new();
    let mut doubled = HashSet::new();
    for topic in &request.topics {
        if !seen.insert(topic.name.clone()) {
            doubled.insert(topic.name.clone());
        }
    }
    let mut results = Vec::with_capacity(request.topics.len());
    let mut requests = Vec::new();
    let mut asked = Vec::new();
    for topic in request.topics {
        let wanted = if doubled.contains(&topic.name) {
            if !seen.remove(&topic.name) {
                continue;
            }
            Err((Code::INVALID_REQUEST, "Duplicate topic name.".to_owned()))
        } else {
            declaration(core, &topic)
        };
        let taken = wanted.and_then(|(name, settings)| {
            let partitions = if dry_run { 0 } else { settings.partitions };
            changes.take(core, partitions)?;
            Ok((name, settings, partitions))
        });
        match taken {
            Err((code, text)) => results.push(refused(topic.name, code, Some(text))),
            Ok((name, settings, partitions)) => {
                asked.push((results.len(), partitions));
                results.push(refused(topic.name, Code::UNKNOWN, None));
                requests.push(LogRequest::Declare {
                    name,
                    settings,
                    dry_run,
                });
            }
        }
    }
    Step::logs(core, requests, move |core, replies| {
        for ((at, partitions), reply) in asked.into_iter().zip(replies) {
            let (Some(slot), LogReply::Logs(logs)) = (results.get_mut(at), reply) else {
                continue;
            };
            let name = std::mem::take(&mut slot.name);
            let made = logs.into_iter().next();
            if !matches!(made, Some(Ok(_))) {
                changes.give_back(core, partitions);
            }
            *slot = match made {
                Some(Ok(log)) => created(core, name, &log, dry_run),
                Some(Err(LogError::Exists)) => {
                    let text = format!("Topic '{name}' already exists.");
                    refused(name, Code::TOPIC_ALREADY_EXISTS, Some(text))
                }
                Some(Err(error)) => refused(name, of_log(&error), text_of_log(&error)),
                None => refused(name, Code::UNKNOWN, None),
            };
        }
        Step::answer(CreateTopicsResponse {
            throttle_time_ms: changes.end(core),
            topics: results,
        })
    })
}

fn refused(name: String, code: Code, text: Option<String>) -> CreatableTopicResult {
    CreatableTopicResult {
        name,
        error_code: code.0,
        error_message: text,
        ..CreatableTopicResult::default()
    }
}

fn created(core: &mut Core, name: String, log: &LogSummary, dry_run: bool) -> CreatableTopicResult {
    if !dry_run {
        core.known.remember(log.id, &log.name);
    }
    let configs = configs::of_log(&core.settings, &log.settings);
    CreatableTopicResult {
        name,
        topic_id: if dry_run {
            NO_ID
        } else {
            core.known.topic_id(log.id)
        },
        num_partitions: wire_index(log.settings.partitions),
        replication_factor: 1,
        configs: Some(
            configs
                .into_iter()
                .map(|config| CreatableTopicConfigs {
                    name: config.name.to_owned(),
                    value: Some(config.value),
                    read_only: false,
                    config_source: config.source as i8,
                    is_sensitive: false,
                })
                .collect(),
        ),
        ..CreatableTopicResult::default()
    }
}

/// What a topic is to be declared with.
fn declaration(core: &Core, topic: &CreatableTopic) -> Result<(Name, LogSettings), Refusal> {
    let invalid = || {
        let text = format!(
            "Topic name is invalid: '{}' is not 1 to 249 letters, digits, '.', '_' and '-'",
            topic.name
        );
        (Code::INVALID_TOPIC, text)
    };
    let name = Name::new(&topic.name).map_err(|_| invalid())?;
    if !is_topic_name(&topic.name) {
        return Err(invalid());
    }
    let partitions = if topic.assignments.is_empty() {
        if !matches!(topic.replication_factor, -1 | 1) {
            return Err((
                Code::INVALID_REPLICATION_FACTOR,
                replication_text(topic.replication_factor),
            ));
        }
        match topic.num_partitions {
            -1 => None,
            count => Some(u32::try_from(count).ok().filter(|count| *count > 0).ok_or_else(|| {
                (Code::INVALID_PARTITIONS, "Number of partitions must be larger than 0, or -1 to use the default value.".to_owned())
            })?),
        }
    } else {
        Some(assigned(core, topic)?)
    };
    let mut settings = new_settings(&core.settings, partitions);
    let mut arguments = Vec::with_capacity(topic.configs.len());
    for config in &topic.configs {
        let Some(value) = &config.value else {
            let text = format!(
                "Null value not supported for topic configs: {}",
                config.name
            );
            return Err((Code::INVALID_CONFIG, text));
        };
        arguments.push((config.name.clone(), value.clone()));
    }
    apply(&mut settings, &core.settings, arguments).map_err(|text| (Code::INVALID_CONFIG, text))?;
    Ok((name, settings))
}

fn replication_text(factor: i16) -> String {
    if factor <= 0 {
        return "Replication factor must be larger than 0, or -1 to use the default value."
            .to_owned();
    }
    format!(
        "Unable to replicate the partition {factor} time(s): The target replication factor of {factor} cannot be reached \
         because only 1 broker(s) are registered."
    )
}

/// How many partitions a manual assignment comes to: each has to be on this broker, and they are numbered from 0.
fn assigned(core: &Core, topic: &CreatableTopic) -> Result<u32, Refusal> {
    if topic.replication_factor != -1 || topic.num_partitions != -1 {
        let text = "A manual partition assignment was specified, but the number of partitions or the replication factor was not set to -1.";
        return Err((Code::INVALID_REQUEST, text.to_owned()));
    }
    let invalid = |text: &str| Err((Code::INVALID_REPLICA_ASSIGNMENT, text.to_owned()));
    let mut numbers: Vec<i32> = topic
        .assignments
        .iter()
        .map(|one| one.partition_index)
        .collect();
    numbers.sort_unstable();
    if !numbers
        .iter()
        .zip(0..)
        .all(|(number, expected)| *number == expected)
    {
        return invalid("partitions should be a consecutive 0-based integer sequence");
    }
    if topic
        .assignments
        .iter()
        .any(|one| one.broker_ids != [core.settings.node_id])
    {
        return invalid("The manual partition assignment includes a broker that is not there.");
    }
    u32::try_from(numbers.len()).or_else(|_| invalid("too many partitions"))
}

/// Deletes topics, by name or id.
pub(super) fn delete(core: &mut Core, request: DeleteTopicsRequest, version: i16) -> Step {
    let changes = Changes::of(version >= DELETE_REFUSED_FROM);
    if version < 6 {
        let topics = request.topic_names.into_iter();
        let topics = topics.map(|name| (Some(name), NO_ID)).collect();
        return delete_all(core, topics, changes);
    }
    let topics: Vec<_> = request
        .topics
        .into_iter()
        .map(|topic| (topic.name, topic.topic_id))
        .collect();
    let nameless: Vec<_> = topics
        .iter()
        .filter(|(name, _)| name.is_none())
        .map(|(_, id)| *id)
        .collect();
    with_names(core, nameless.into_iter(), move |core| {
        delete_all(core, topics, changes)
    })
}

fn delete_all(core: &mut Core, topics: Vec<(Option<String>, Uuid)>, changes: Changes) -> Step {
    let mut results = Vec::with_capacity(topics.len());
    let mut asked = Vec::new();
    let mut times = HashMap::new();
    for topic in &topics {
        *times.entry(topic.clone()).or_insert(0) += 1;
    }
    for (name, id) in topics {
        match times.remove(&(name.clone(), id)) {
            // It was answered where it was named first.
            None => continue,
            Some(1) => {}
            Some(_) => {
                results.push(doubled(name, id));
                continue;
            }
        }
        let known = core.known.name(&id).map(|name| name.as_str().to_owned());
        let mut result = DeletableTopicResult {
            name: name.clone().or(known),
            topic_id: id,
            error_code: Code::UNKNOWN_TOPIC_OR_PARTITION.0,
            ..DeletableTopicResult::default()
        };
        match result.name.as_deref().map(Name::new) {
            Some(Ok(name)) => {
                core.known.forget(name.as_str());
                asked.push((results.len(), name));
            }
            Some(Err(_)) => {}
            None => result.error_code = Code::UNKNOWN_TOPIC_ID.0,
        }
        results.push(result);
    }
    if !core.settings.quotas.are_about(Metered::Changes) || asked.is_empty() {
        let asked = asked.into_iter().map(|(at, name)| (at, name, 0)).collect();
        return delete_asked(core, results, asked, changes);
    }
    let names = asked.iter().map(|(_, name)| name.clone()).collect();
    Step::log(
        LogRequest::List(WhichLogs::Named(names)),
        move |core, reply| {
            let LogReply::Logs(logs) = reply else {
                return Step::misunderstood();
            };
            delete_counted(core, results, asked, &logs, changes)
        },
    )
}

/// Deletes what the client's quota lets it.
fn delete_counted(
    core: &mut Core,
    mut results: Vec<DeletableTopicResult>,
    asked: Vec<(usize, Name)>,
    logs: &[Result<LogSummary, LogError>],
    mut changes: Changes,
) -> Step {
    let mut let_through = Vec::with_capacity(asked.len());
    for ((at, name), log) in asked.into_iter().zip(logs) {
        // What is not there is told so when it is to be deleted.
        let partitions = log.as_ref().map_or(0, |log| log.settings.partitions);
        match changes.take(core, partitions) {
            Ok(()) => let_through.push((at, name, partitions)),
            Err((code, text)) => {
                if let Some(slot) = results.get_mut(at) {
                    slot.error_code = code.0;
                    slot.error_message = Some(text);
                }
            }
        }
    }
    delete_asked(core, results, let_through, changes)
}

/// Deletes topics, each with its place in the answer and the partitions that were taken for it.
fn delete_asked(
    core: &mut Core,
    mut results: Vec<DeletableTopicResult>,
    asked: Vec<(usize, Name, u32)>,
    mut changes: Changes,
) -> Step {
    let deletion = |(_, name, _): &(usize, Name, u32)| LogRequest::Delete { name: name.clone() };
    let requests = asked.iter().map(deletion).collect();
    Step::logs(core, requests, move |core, replies| {
        for ((at, _, partitions), reply) in asked.into_iter().zip(replies) {
            let (Some(slot), LogReply::Logs(logs)) = (results.get_mut(at), reply) else {
                continue;
            };
            match logs.into_iter().next() {
                Some(Ok(log)) => {
                    slot.error_code = Code::NONE.0;
                    slot.topic_id = core.known.topic_id(log.id);
                }
                Some(Err(error)) => {
                    changes.give_back(core, partitions);
                    slot.error_code = of_log(&error).0;
                    slot.error_message = text_of_log(&error);
                }
                None => {}
            }
        }
        Step::answer(DeleteTopicsResponse {
            throttle_time_ms: changes.end(core),
            responses: results,
        })
    })
}

/// What is named twice is not touched, and told once.
fn doubled(name: Option<String>, topic_id: Uuid) -> DeletableTopicResult {
    let what = if name.is_some() { "name" } else { "id" };
    DeletableTopicResult {
        name,
        topic_id,
        error_code: Code::INVALID_REQUEST.0,
        error_message: Some(format!("Duplicate topic {what}.")),
    }
}

/// Gives topics more partitions.
pub(super) fn create_partitions(
    core: &mut Core,
    request: CreatePartitionsRequest,
    version: i16,
) -> Step {
    let mut changes = Changes::of(version >= GROW_REFUSED_FROM);
    let dry_run = request.validate_only;
    let lists = request.topics.iter().map(|topic| {
        LogRequest::List(WhichLogs::Named(
            Name::new(&topic.name).into_iter().collect(),
        ))
    });
    let lists = lists.collect();
    Step::logs(core, lists, move |core, replies| {
        let mut results = Vec::new();
        let mut requests = Vec::new();
        let mut asked = Vec::new();
        for (topic, reply) in request.topics.into_iter().zip(replies) {
            let mut result = CreatePartitionsTopicResult {
                name: topic.name.clone(),
                ..CreatePartitionsTopicResult::default()
            };
            let taken = more(core, &topic, reply).and_then(|more| {
                let partitions = if dry_run { 0 } else { more.added };
                changes.take(core, partitions)?;
                Ok((more, partitions))
            });
            match taken {
                Ok((more, partitions)) => {
                    asked.push((results.len(), partitions));
                    requests.push(LogRequest::Alter {
                        name: more.name,
                        settings: more.settings,
                        dry_run,
                    });
                }
                Err((code, text)) => {
                    result.error_code = code.0;
                    result.error_message = Some(text);
                }
            }
            results.push(result);
        }
        Step::logs(core, requests, move |core, replies| {
            for ((at, partitions), reply) in asked.into_iter().zip(replies) {
                let (Some(slot), LogReply::Logs(logs)) = (results.get_mut(at), reply) else {
                    continue;
                };
                if let Some(Err(error)) = logs.into_iter().next() {
                    changes.give_back(core, partitions);
                    slot.error_code = of_log(&error).0;
                    slot.error_message = text_of_log(&error);
                }
            }
            Step::answer(CreatePartitionsResponse {
                throttle_time_ms: changes.end(core),
                results,
            })
        })
    })
}

/// A topic that is to have more partitions.
struct More {
    name: Name,
    settings: LogSettings,
    added: u32,
}

fn more(core: &Core, topic: &CreatePartitionsTopic, reply: LogReply) -> Result<More, Refusal> {
    let LogReply::Logs(logs) = reply else {
        return Err((Code::UNKNOWN, String::new()));
    };
    let log = match logs.into_iter().next() {
        Some(Ok(log)) => log,
        Some(Err(error)) if error != LogError::NotFound => {
            return Err((of_log(&error), text_of_log(&error).unwrap_or_default()));
        }
        _ => {
            let text = "This server does not host this topic-partition.".to_owned();
            return Err((Code::UNKNOWN_TOPIC_OR_PARTITION, text));
        }
    };
    let now = log.settings.partitions;
    let wanted = u32::try_from(topic.count).unwrap_or(0);
    if wanted <= now {
        let text = format!(
            "The topic {} currently has {now} partition(s); {} would not be an increase.",
            topic.name, topic.count
        );
        return Err((Code::INVALID_PARTITIONS, text));
    }
    if let Some(assignments) = &topic.assignments {
        let fits = assignments.len() == (wanted - now) as usize
            && assignments
                .iter()
                .all(|one| one.broker_ids == [core.settings.node_id]);
        if !fits {
            let text =
                "The assignment is not one broker, this one, for each new partition.".to_owned();
            return Err((Code::INVALID_REPLICA_ASSIGNMENT, text));
        }
    }
    let mut settings = log.settings;
    settings.partitions = wanted;
    Ok(More {
        name: log.name,
        settings,
        added: wanted - now,
    })
}
