//! The settings of topics and of the broker, by Kafka's names, with where each comes from.

use std::collections::BTreeMap;

use polybus_model::{
    GroupError, GroupReply, GroupRequest, GroupSettings, LogError, LogReply, LogRequest,
    LogSettings, LogSummary, Name, WhichLogs,
};

use super::core::{Core, keep_first};
use super::pending::{Answer, Ask, Step};
use crate::Settings;
use crate::codec::messages::alter_configs::{
    AlterConfigsRequest, AlterConfigsResourceResponse, AlterConfigsResponse,
};
use crate::codec::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
    DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};
use crate::codec::messages::incremental_alter_configs::{
    AlterConfigsResourceResponse as SomeResponse, AlterableConfig, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};
use crate::error::{
    Code, of_group as code_of_group, of_log as code_of_log, text_of_group, text_of_log,
};
use crate::mapping::{GROUP_SETTINGS, SETTINGS, Setting, Sort, apply, group_settings, setting};

/// Sorts of resources, by Kafka's numbers.
pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;
pub(super) const GROUP: i8 = 32;

/// Where a value comes from, by Kafka's numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source {
    Topic = 1,
    StaticBroker = 4,
    Default = 5,
    Group = 8,
}

/// One setting as it is in force.
pub(super) struct Config {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) source: Source,
    sort: Sort,
    /// What it would be without the topic's own, and where that comes from.
    fallback: (String, Source),
    read_only: bool,
}

/// The settings of a log, all of them.
pub(super) fn of_log(broker: &Settings, log: &LogSettings) -> Vec<Config> {
    let own = |name: &str| {
        let given = log.arguments.iter().find(|(given, _)| given == name);
        given.map(|(_, value)| value.clone())
    };
    let of_model = |name: &str| match name {
        // A log that another protocol declared says it otherwise.
        "retention.ms" => Some(
            log.retention_ms
                .map_or("-1".to_owned(), |ms| ms.to_string()),
        ),
        "retention.bytes" => Some(
            log.retention_bytes
                .map_or("-1".to_owned(), |b| b.to_string()),
        ),
        _ => None,
    };
    SETTINGS
        .iter()
        .map(|setting| {
            let fallback = setting.default_value(broker);
            let own = own(setting.name)
                .or_else(|| of_model(setting.name).filter(|value| *value != fallback));
            let origin = match setting.name {
                "max.message.bytes" if fallback != "1048588" => Source::StaticBroker,
                _ => Source::Default,
            };
            Config {
                name: setting.name,
                source: if own.is_some() { Source::Topic } else { origin },
                value: own.unwrap_or_else(|| fallback.clone()),
                sort: setting.sort,
                fallback: (fallback, origin),
                read_only: false,
            }
        })
        .collect()
}

/// The settings of a group that leases.
fn of_group(group: &GroupSettings) -> Vec<Config> {
    let own = |name: &str| {
        let mut given = group.arguments.iter();
        given
            .find(|(given, _)| given == name)
            .map(|one| one.1.clone())
    };
    let config = |setting: &Setting| {
        let fallback = setting.plain_default().to_owned();
        let own = own(setting.name);
        Config {
            name: setting.name,
            source: if own.is_some() {
                Source::Group
            } else {
                Source::Default
            },
            value: own.unwrap_or_else(|| fallback.clone()),
            sort: setting.sort,
            fallback: (fallback, Source::Default),
            read_only: false,
        }
    };
    GROUP_SETTINGS.iter().map(config).collect()
}

/// The broker's settings that clients and tools look at.
fn of_broker(broker: &Settings) -> Vec<Config> {
    let row = |name, sort, value: String| Config {
        name,
        value: value.clone(),
        source: Source::StaticBroker,
        sort,
        fallback: (value, Source::StaticBroker),
        read_only: true,
    };
    vec![
        row(
            "auto.create.topics.enable",
            Sort::Boolean,
            broker.auto_create.to_string(),
        ),
        row("broker.id", Sort::Int, broker.node_id.to_string()),
        row("compression.type", Sort::Text, "producer".to_owned()),
        row(
            "connections.max.idle.ms",
            Sort::Long,
            broker.idle_timeout_ms.to_string(),
        ),
        row("default.replication.factor", Sort::Int, "1".to_owned()),
        row("delete.topic.enable", Sort::Boolean, "true".to_owned()),
        row(
            "fetch.max.bytes",
            Sort::Int,
            broker.fetch_bytes_max.to_string(),
        ),
        row("log.cleanup.policy", Sort::List, "delete".to_owned()),
        row(
            "log.message.timestamp.type",
            Sort::Text,
            "CreateTime".to_owned(),
        ),
        row("log.retention.bytes", Sort::Long, "-1".to_owned()),
        row("log.retention.ms", Sort::Long, "604800000".to_owned()),
        row(
            "message.max.bytes",
            Sort::Int,
            broker.message_bytes_max.to_string(),
        ),
        row("min.insync.replicas", Sort::Int, "1".to_owned()),
        row("node.id", Sort::Int, broker.node_id.to_string()),
        row("num.partitions", Sort::Int, broker.partitions.to_string()),
        row(
            "offsets.topic.replication.factor",
            Sort::Int,
            "1".to_owned(),
        ),
        row(
            "socket.request.max.bytes",
            Sort::Int,
            broker.request_bytes_max.to_string(),
        ),
        row(
            "transaction.state.log.replication.factor",
            Sort::Int,
            "1".to_owned(),
        ),
    ]
}

/// Shows settings.
pub(super) fn describe(
    core: &mut Core,
    mut request: DescribeConfigsRequest,
    _version: i16,
) -> Step {
    keep_first(&mut request.resources, |one| {
        (one.resource_type, one.resource_name.clone())
    });
    let topics = request
        .resources
        .iter()
        .filter(|resource| resource.resource_type == TOPIC)
        .map(|resource| which(&resource.resource_name))
        .collect();
    let is_group = |one: &&DescribeConfigsResource| one.resource_type == GROUP;
    let groups = request.resources.iter().filter(is_group);
    let groups = groups.map(|one| one.resource_name.clone()).collect();
    Step::logs(core, topics, move |core, replies| {
        with_group_settings(core, groups, move |core, groups| {
            let (mut replies, mut groups) = (replies.into_iter(), groups.into_iter());
            let results = request.resources.into_iter().map(|resource| {
                let configs = match resource.resource_type {
                    TOPIC => {
                        summary(replies.next()).map(|log| of_log(&core.settings, &log.settings))
                    }
                    BROKER => {
                        broker(core, &resource.resource_name).map(|()| of_broker(&core.settings))
                    }
                    GROUP => of_found(groups.next()).map(|group| of_group(&group)),
                    other => Err(unsupported(other)),
                };
                described(resource, configs, request.include_synonyms)
            });
            Step::answer(DescribeConfigsResponse {
                results: results.collect(),
                ..DescribeConfigsResponse::default()
            })
        })
    })
}

/// What was found of a group's settings.
fn of_found(found: Option<Result<GroupSettings, GroupError>>) -> Result<GroupSettings, Refusal> {
    let found = found.unwrap_or(Err(GroupError::NotFound));
    found.map_err(|error| {
        let text = text_of_group(&error).unwrap_or_default();
        (code_of_group(&error), text)
    })
}

type Refusal = (Code, String);

fn which(name: &str) -> LogRequest {
    LogRequest::List(WhichLogs::Named(Name::new(name).into_iter().collect()))
}

fn summary(reply: Option<LogReply>) -> Result<LogSummary, Refusal> {
    let first = match reply {
        Some(LogReply::Logs(logs)) => logs.into_iter().next(),
        _ => None,
    };
    match first {
        Some(Ok(log)) => Ok(log),
        Some(Err(error)) if error != LogError::NotFound => {
            Err((code_of_log(&error), text_of_log(&error).unwrap_or_default()))
        }
        _ => Err((
            Code::UNKNOWN_TOPIC_OR_PARTITION,
            "This server does not host this topic-partition.".to_owned(),
        )),
    }
}

/// Whether this is the broker of that number; an empty one means all brokers.
fn broker(core: &Core, name: &str) -> Result<(), Refusal> {
    let node_id = core.settings.node_id;
    if name.is_empty() || name.parse() == Ok(node_id) {
        return Ok(());
    }
    let text =
        format!("Unexpected broker id, expected {node_id} or empty string, but received {name}");
    Err((Code::INVALID_REQUEST, text))
}

fn unsupported(sort: i8) -> Refusal {
    (
        Code::INVALID_REQUEST,
        format!("Unsupported resource type: {sort}"),
    )
}

fn described(
    resource: DescribeConfigsResource,
    configs: Result<Vec<Config>, Refusal>,
    synonyms: bool,
) -> DescribeConfigsResult {
    let mut result = DescribeConfigsResult {
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
        ..DescribeConfigsResult::default()
    };
    let configs = match configs {
        Ok(configs) => configs,
        Err((code, text)) => {
            result.error_code = code.0;
            result.error_message = Some(text);
            return result;
        }
    };
    let keys = resource.configuration_keys.filter(|keys| !keys.is_empty());
    let is_wanted = |config: &Config| match &keys {
        Some(keys) => keys.iter().any(|key| key == config.name),
        None => true,
    };
    result.configs = configs
        .into_iter()
        .filter(is_wanted)
        .map(|config| shown(config, synonyms))
        .collect();
    result
}

fn shown(config: Config, synonyms: bool) -> DescribeConfigsResourceResult {
    let synonym = |value: &str, source: Source| DescribeConfigsSynonym {
        name: config.name.to_owned(),
        value: Some(value.to_owned()),
        source: source as i8,
    };
    let mut all = Vec::new();
    if synonyms {
        if matches!(config.source, Source::Topic | Source::Group) {
            all.push(synonym(&config.value, config.source));
        }
        all.push(synonym(&config.fallback.0, config.fallback.1));
    }
    DescribeConfigsResourceResult {
        name: config.name.to_owned(),
        value: Some(config.value),
        read_only: config.read_only,
        config_source: config.source as i8,
        is_sensitive: false,
        synonyms: all,
        config_type: config.sort as i8,
        documentation: None,
    }
}

/// A topic's own settings: names and values.
type Own = Vec<(String, String)>;

/// How a topic's own settings are made of those it has.
type Changes = Box<dyn FnOnce(Own) -> Result<Own, String> + Send>;

/// A resource whose settings are to be changed.
struct Change {
    sort: i8,
    name: String,
    change: Changes,
}

/// Replaces all of a topic's own settings.
pub(super) fn alter(core: &mut Core, request: AlterConfigsRequest, _version: i16) -> Step {
    let changes = request
        .resources
        .into_iter()
        .map(|resource| Change {
            sort: resource.resource_type,
            name: resource.resource_name,
            change: Box::new(move |_| {
                let configs = resource.configs.into_iter();
                configs
                    .map(|config| match config.value {
                        Some(value) => Ok((config.name, value)),
                        None => Err(null_value(&config.name)),
                    })
                    .collect()
            }),
        })
        .collect();
    alter_all(core, changes, request.validate_only, |results| {
        let responses =
            results
                .into_iter()
                .map(|(sort, name, (code, text))| AlterConfigsResourceResponse {
                    error_code: code.0,
                    error_message: text,
                    resource_type: sort,
                    resource_name: name,
                });
        Step::answer(AlterConfigsResponse {
            responses: responses.collect(),
            ..AlterConfigsResponse::default()
        })
    })
}

/// Changes some of a topic's own settings.
pub(super) fn alter_some(
    core: &mut Core,
    request: IncrementalAlterConfigsRequest,
    _version: i16,
) -> Step {
    let changes = request
        .resources
        .into_iter()
        .map(|resource| Change {
            sort: resource.resource_type,
            name: resource.resource_name,
            change: Box::new(move |own| changed(own, resource.configs)),
        })
        .collect();
    alter_all(core, changes, request.validate_only, |results| {
        let responses = results
            .into_iter()
            .map(|(sort, name, (code, text))| SomeResponse {
                error_code: code.0,
                error_message: text,
                resource_type: sort,
                resource_name: name,
            });
        Step::answer(IncrementalAlterConfigsResponse {
            responses: responses.collect(),
            ..IncrementalAlterConfigsResponse::default()
        })
    })
}

fn null_value(name: &str) -> String {
    format!("Null value not supported for : {name}")
}

/// Sets, deletes, appends to and takes away from settings.
fn changed(own: Own, changes: Vec<AlterableConfig>) -> Result<Own, String> {
    const SET: i8 = 0;
    const DELETE: i8 = 1;
    const APPEND: i8 = 2;
    const SUBTRACT: i8 = 3;
    let mut own: BTreeMap<String, String> = own.into_iter().collect();
    for change in changes {
        let name = change.name;
        if change.config_operation == DELETE {
            own.remove(&name);
            continue;
        }
        let value = change.value.ok_or_else(|| null_value(&name))?;
        if change.config_operation == SET {
            own.insert(name, value);
            continue;
        }
        let known = setting(&name).ok_or_else(|| format!("Unknown topic config name: {name}"))?;
        if known.sort != Sort::List {
            return Err(format!(
                "Can't APPEND or SUBTRACT to key {name} because its type is not LIST."
            ));
        }
        let before = own
            .remove(&name)
            .unwrap_or_else(|| known.plain_default().to_owned());
        let mut parts: Vec<&str> = list(&before).collect();
        match change.config_operation {
            APPEND => {
                parts.extend(list(&value).filter(|part| !list(&before).any(|had| had == *part)))
            }
            SUBTRACT => parts.retain(|part| !list(&value).any(|gone| gone == *part)),
            other => return Err(format!("Unknown operation {other} on {name}")),
        }
        own.insert(name, parts.join(","));
    }
    Ok(own.into_iter().collect())
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

/// What became of each resource.
type Outcomes = Vec<(i8, String, (Code, Option<String>))>;

fn alter_all(
    core: &mut Core,
    changes: Vec<Change>,
    dry_run: bool,
    answer: fn(Outcomes) -> Step,
) -> Step {
    let lists = changes
        .iter()
        .filter(|change| change.sort == TOPIC)
        .map(|change| which(&change.name))
        .collect();
    let is_group = |one: &&Change| one.sort == GROUP;
    let groups = changes.iter().filter(is_group);
    let groups = groups.map(|one| one.name.clone()).collect();
    Step::logs(core, lists, move |core, replies| {
        with_group_settings(core, groups, move |core, groups| {
            let (mut replies, mut groups) = (replies.into_iter(), groups.into_iter());
            let mut outcomes = Outcomes::with_capacity(changes.len());
            let mut asks = Vec::new();
            for change in changes {
                let altered = match change.sort {
                    TOPIC => summary(replies.next()).and_then(|log| {
                        alter_log(core, log, change.change, dry_run).map(Some)
                    }),
                    GROUP => of_found(groups.next()).and_then(|group| {
                        let altered = alter_group(&change.name, group, change.change)?;
                        Ok((!dry_run).then_some(altered))
                    }),
                    BROKER => Err((
                        Code::INVALID_REQUEST,
                        "the broker's settings are those it was started with; `polybus config` shows where each comes from".to_owned(),
                    )),
                    other => Err(unsupported(other)),
                };
                let outcome = match altered {
                    Ok(ask) => {
                        asks.extend(ask.map(|ask| (outcomes.len(), ask)));
                        (Code::NONE, None)
                    }
                    Err((code, text)) => (code, Some(text)),
                };
                outcomes.push((change.sort, change.name, outcome));
            }
            carry_out(asks, outcomes, answer)
        })
    })
}

/// What is to be asked so that a log has its settings changed.
fn alter_log(core: &Core, log: LogSummary, change: Changes, dry_run: bool) -> Result<Ask, Refusal> {
    let mut settings = log.settings;
    let own = std::mem::take(&mut settings.arguments);
    change(own)
        .and_then(|own| apply(&mut settings, &core.settings, own))
        .map_err(|text| (Code::INVALID_CONFIG, text))?;
    Ok(Ask::Log(LogRequest::Alter {
        name: log.name,
        settings,
        dry_run,
    }))
}

/// The same for a group.
fn alter_group(name: &str, group: GroupSettings, change: Changes) -> Result<Ask, Refusal> {
    let settings = change(group.arguments).and_then(group_settings);
    let settings = settings.map_err(|text| (Code::INVALID_CONFIG, text))?;
    Ok(Ask::Group(GroupRequest::Configure {
        group: name.to_owned(),
        settings: Box::new(settings),
    }))
}

/// Asks all of it, then answers with what became of each.
fn carry_out(
    asks: Vec<(usize, Ask)>,
    mut outcomes: Outcomes,
    answer: fn(Outcomes) -> Step,
) -> Step {
    if asks.is_empty() {
        return answer(outcomes);
    }
    let (asked, asks): (Vec<usize>, Vec<Ask>) = asks.into_iter().unzip();
    let then = move |_: &mut Core, answers: Vec<Answer>| {
        for (at, reply) in asked.into_iter().zip(answers) {
            let failure = match reply {
                Answer::Log(LogReply::Logs(logs)) => {
                    let error = logs.into_iter().find_map(Result::err);
                    error.map(|error| (code_of_log(&error), text_of_log(&error)))
                }
                Answer::Group(GroupReply::Done(Err(error))) => {
                    Some((code_of_group(&error), text_of_group(&error)))
                }
                _ => None,
            };
            if let (Some(slot), Some(failure)) = (outcomes.get_mut(at), failure) {
                slot.2 = failure;
            }
        }
        answer(outcomes)
    };
    Step::Ask(asks, Box::new(then))
}

/// Looks up how groups lease, then goes on.
fn with_group_settings(
    core: &mut Core,
    names: Vec<String>,
    then: impl FnOnce(&mut Core, Vec<Result<GroupSettings, GroupError>>) -> Step + Send + 'static,
) -> Step {
    if names.is_empty() {
        return then(core, Vec::new());
    }
    let names = names.into_iter().map(Ok).collect();
    Step::group(GroupRequest::Settings(names), move |core, reply| {
        let GroupReply::Settings(found) = reply else {
            return Step::misunderstood();
        };
        then(core, found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str, config_operation: i8, value: &str) -> AlterableConfig {
        AlterableConfig {
            name: name.to_owned(),
            config_operation,
            value: Some(value.to_owned()),
        }
    }

    #[test]
    fn settings_are_set_deleted_appended_to_and_taken_from() {
        let own = vec![("retention.ms".to_owned(), "5".to_owned())];
        let changes = vec![
            change("retention.ms", 1, ""),
            change("max.message.bytes", 0, "7"),
            change("cleanup.policy", 2, "compact"),
        ];
        let own = changed(own, changes).unwrap();
        let shown: Vec<_> = own.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(
            shown,
            ["cleanup.policy=delete,compact", "max.message.bytes=7"]
        );
        let own = changed(own, vec![change("cleanup.policy", 3, "delete")]).unwrap();
        assert_eq!(own[0].1, "compact");
        assert!(changed(own, vec![change("retention.ms", 2, "1")]).is_err());
    }
}
