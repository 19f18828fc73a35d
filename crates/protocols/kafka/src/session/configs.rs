//! Telling the settings of topics, groups and of the broker, by Kafka's names, with where each comes from.

use polybus_model::{
    CLUSTER, GroupError, GroupReply, GroupRequest, GroupSettings, Guarded, LogError, LogReply,
    LogRequest, LogSettings, LogSummary, Name, Operation, WhichLogs,
};

use super::core::{Core, keep_first};
use super::pending::Step;
use crate::Settings;
use crate::codec::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
    DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};
use crate::error::{
    Code, of_group as code_of_group, of_log as code_of_log, text_of_group, text_of_log,
};
use crate::mapping::{GROUP_SETTINGS, SETTINGS, Setting, Sort};

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
    _core: &mut Core,
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
    Step::allowed(
        vec![(Guarded::Cluster, CLUSTER.to_owned())],
        move |core, may| {
            let may_broker = may
                .iter()
                .all(|may| may.contains(Operation::DescribeSettings));
            Step::logs(core, topics, move |core, replies| {
                with_group_settings(core, groups, move |core, groups| {
                    let (mut replies, mut groups) = (replies.into_iter(), groups.into_iter());
                    let results = request.resources.into_iter().map(|resource| {
                        let configs = match resource.resource_type {
                            TOPIC => summary(replies.next())
                                .map(|log| of_log(&core.settings, &log.settings)),
                            BROKER if !may_broker => Err(not_of_broker()),
                            BROKER => broker(core, &resource.resource_name)
                                .map(|()| of_broker(&core.settings)),
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
        },
    )
}

fn not_of_broker() -> Refusal {
    let text = "Cluster authorization failed.".to_owned();
    (Code::CLUSTER_AUTHORIZATION_FAILED, text)
}

/// What was found of a group's settings.
pub(super) fn of_found(
    found: Option<Result<GroupSettings, GroupError>>,
) -> Result<GroupSettings, Refusal> {
    let found = found.unwrap_or(Err(GroupError::NotFound));
    found.map_err(|error| {
        let text = text_of_group(&error).unwrap_or_default();
        (code_of_group(&error), text)
    })
}

/// A refusal and what there is to say about it.
pub(super) type Refusal = (Code, String);

pub(super) fn which(name: &str) -> LogRequest {
    LogRequest::List(WhichLogs::Configured(Name::new(name).into_iter().collect()))
}

pub(super) fn summary(reply: Option<LogReply>) -> Result<LogSummary, Refusal> {
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

pub(super) fn unsupported(sort: i8) -> Refusal {
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

/// Looks up how groups lease, then goes on.
pub(super) fn with_group_settings(
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
