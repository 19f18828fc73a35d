//! Which topics there are. Every partition's leader is this broker, in epoch 0.

use polybus_model::{Guarded, LogError, LogReply, LogRequest, LogSummary, Name, WhichLogs};

use super::cluster::cluster_id;
use super::core::{Core, keep_first, wire_index};
use super::known::NO_ID;
use super::operations::{with_bits, with_bits_of_cluster};
use super::pending::Step;
use crate::codec::Uuid;
use crate::codec::messages::describe_topic_partitions::{
    DescribeTopicPartitionsCursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use crate::codec::messages::metadata::{
    MetadataRequest, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
    MetadataResponseTopic,
};
use crate::error::{Code, of_log};
use crate::mapping::{is_topic_name, new_settings};

/// Partitions in one answer to DescribeTopicPartitions.
const DESCRIBED_MAX: usize = 2000;

/// What was asked for, beside which topics.
#[derive(Clone, Copy)]
struct Asked {
    cluster_operations: bool,
    topic_operations: bool,
}

/// One topic of the answer.
struct Found {
    name: Option<String>,
    id: Uuid,
    log: Result<LogSummary, Code>,
}

/// All topics, or those asked for; those that are missing are made if that is wanted.
pub(super) fn metadata(core: &mut Core, request: MetadataRequest, version: i16) -> Step {
    let asked = Asked {
        cluster_operations: request.include_cluster_authorized_operations,
        topic_operations: request.include_topic_authorized_operations,
    };
    let topics = match request.topics {
        // Before there was null, none meant all.
        Some(topics) if !(version == 0 && topics.is_empty()) => topics,
        _ => {
            return Step::log(LogRequest::List(WhichLogs::All), move |core, reply| {
                let LogReply::Logs(logs) = reply else {
                    return Step::misunderstood();
                };
                let found = logs.into_iter().flatten().map(|log| found(core, log));
                let found = found.collect();
                answer(core, asked, found)
            });
        }
    };
    let may_make = core.settings.auto_create && request.allow_auto_topic_creation;
    let mut wanted: Vec<(Option<String>, Uuid)> = topics
        .into_iter()
        // Java's admin client sends an empty name beside an id.
        .map(|topic| {
            (
                topic.name.filter(|_| topic.topic_id == NO_ID),
                topic.topic_id,
            )
        })
        .collect();
    keep_first(&mut wanted, Clone::clone);
    if wanted.is_empty() {
        return answer(core, asked, Vec::new());
    }
    let requests = wanted
        .iter()
        .map(|(name, id)| LogRequest::List(which(core, name.as_deref(), id)))
        .collect();
    Step::logs(core, requests, move |core, replies| {
        let mut found = Vec::with_capacity(wanted.len());
        let mut missing = Vec::new();
        for ((name, id), reply) in wanted.into_iter().zip(replies) {
            let one = look_up(core, name, id, reply);
            let is_missing = matches!(&one, Found { name: Some(_), log: Err(code), .. } if *code == Code::UNKNOWN_TOPIC_OR_PARTITION);
            if is_missing && may_make {
                missing.push(found.len());
            }
            found.push(one);
        }
        make(core, asked, found, missing)
    })
}

fn which(core: &Core, name: Option<&str>, id: &Uuid) -> WhichLogs {
    match name {
        Some(name) => WhichLogs::Named(Name::new(name).into_iter().collect()),
        None => WhichLogs::WithIds(core.known.log_id(id).into_iter().collect()),
    }
}

fn found(core: &mut Core, log: LogSummary) -> Found {
    core.known.remember(log.id, &log.name);
    Found {
        name: Some(log.name.as_str().to_owned()),
        id: core.known.topic_id(log.id),
        log: Ok(log),
    }
}

fn look_up(core: &mut Core, name: Option<String>, id: Uuid, reply: LogReply) -> Found {
    let logs = match reply {
        LogReply::Logs(logs) => logs,
        _ => Vec::new(),
    };
    let code = match logs.into_iter().next() {
        Some(Ok(log)) => return found(core, log),
        None | Some(Err(LogError::NotFound)) => match &name {
            None => Code::UNKNOWN_TOPIC_ID,
            Some(name) if !is_topic_name(name) => Code::INVALID_TOPIC,
            Some(_) => Code::UNKNOWN_TOPIC_OR_PARTITION,
        },
        Some(Err(error)) => of_log(&error),
    };
    if let Some(name) = &name {
        core.known.forget(name);
    }
    let id = if name.is_some() { NO_ID } else { id };
    Found {
        name,
        id,
        log: Err(code),
    }
}

/// Makes the topics that are missing, then answers.
fn make(core: &mut Core, asked: Asked, mut all: Vec<Found>, missing: Vec<usize>) -> Step {
    let requests = missing
        .iter()
        .filter_map(|at| all.get(*at)?.name.as_deref())
        .filter_map(|name| {
            Some(LogRequest::Declare {
                name: Name::new(name).ok()?,
                settings: new_settings(&core.settings, None),
                dry_run: false,
            })
        })
        .collect();
    Step::logs(core, requests, move |core, replies| {
        for (at, reply) in missing.into_iter().zip(replies) {
            let LogReply::Logs(logs) = reply else {
                continue;
            };
            let Some(slot) = all.get_mut(at) else {
                continue;
            };
            match logs.into_iter().next() {
                Some(Ok(log)) => *slot = found(core, log),
                // Another client made it meanwhile: the client asks again, as it does while a leader is elected.
                Some(Err(LogError::Exists)) => slot.log = Err(Code::LEADER_NOT_AVAILABLE),
                Some(Err(error)) => slot.log = Err(of_log(&error)),
                None => {}
            }
        }
        answer(core, asked, all)
    })
}

/// Answers, with what may be done if that is asked for.
fn answer(core: &mut Core, asked: Asked, topics: Vec<Found>) -> Step {
    let names = names_of(&topics);
    with_bits(
        core,
        asked.topic_operations,
        Guarded::Topic,
        &names,
        move |core, bits| {
            with_bits_of_cluster(core, asked.cluster_operations, |core, cluster_bits| {
                tell(core, topics, bits, cluster_bits)
            })
        },
    )
}

fn names_of(topics: &[Found]) -> Vec<String> {
    let names = topics.iter().map(|topic| topic.name.clone());
    names.map(Option::unwrap_or_default).collect()
}

fn tell(core: &Core, topics: Vec<Found>, bits: Vec<i32>, cluster_bits: i32) -> Step {
    let node_id = core.settings.node_id;
    let topics = topics.into_iter().zip(bits);
    let topics = topics.map(|(topic, bits)| MetadataResponseTopic {
        error_code: topic.log.as_ref().err().map_or(0, |code| code.0),
        name: topic.name,
        topic_id: topic.id,
        partitions: match &topic.log {
            Ok(log) => (0..log.settings.partitions)
                .map(|number| MetadataResponsePartition {
                    partition_index: wire_index(number),
                    leader_id: node_id,
                    leader_epoch: 0,
                    replica_nodes: vec![node_id],
                    isr_nodes: vec![node_id],
                    ..MetadataResponsePartition::default()
                })
                .collect(),
            Err(_) => Vec::new(),
        },
        topic_authorized_operations: bits,
        ..MetadataResponseTopic::default()
    });
    Step::answer(MetadataResponse {
        brokers: vec![MetadataResponseBroker {
            node_id,
            host: core.host(),
            port: core.port(),
            rack: None,
        }],
        cluster_id: Some(cluster_id(core.settings.identity)),
        controller_id: node_id,
        topics: topics.collect(),
        cluster_authorized_operations: cluster_bits,
        ..MetadataResponse::default()
    })
}

/// The partitions of topics, page by page, the topics by their names.
pub(super) fn describe_partitions(
    core: &mut Core,
    request: DescribeTopicPartitionsRequest,
    _version: i16,
) -> Step {
    let limit = usize::try_from(request.response_partition_limit).unwrap_or(1);
    let limit = limit.clamp(1, DESCRIBED_MAX);
    let mut names: Vec<String> = request.topics.into_iter().map(|topic| topic.name).collect();
    names.sort_unstable();
    names.dedup();
    let is_all = names.is_empty();
    let from = request.cursor.map_or((String::new(), 0), |cursor| {
        (
            cursor.topic_name,
            u32::try_from(cursor.partition_index).unwrap_or(0),
        )
    });
    names.retain(|name| *name >= from.0);
    let requests = if is_all {
        vec![LogRequest::List(WhichLogs::All)]
    } else {
        names
            .iter()
            .map(|name| LogRequest::List(which(core, Some(name), &NO_ID)))
            .collect()
    };
    Step::logs(core, requests, move |core, replies| {
        let mut topics: Vec<Found> = if is_all {
            let logs = replies.into_iter().flat_map(|reply| match reply {
                LogReply::Logs(logs) => logs,
                _ => Vec::new(),
            });
            logs.flatten().map(|log| found(core, log)).collect()
        } else {
            let pairs = names.into_iter().zip(replies);
            pairs
                .map(|(name, reply)| look_up(core, Some(name), NO_ID, reply))
                .collect()
        };
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        topics.retain(|topic| topic.name.as_deref() >= Some(&from.0));
        let named = names_of(&topics);
        with_bits(core, true, Guarded::Topic, &named, move |core, bits| {
            page(core, topics, bits, &from, limit)
        })
    })
}

fn page(
    core: &Core,
    topics: Vec<Found>,
    bits: Vec<i32>,
    from: &(String, u32),
    limit: usize,
) -> Step {
    let node_id = core.settings.node_id;
    let mut response = DescribeTopicPartitionsResponse::default();
    let mut room = limit;
    for (topic, bits) in topics.into_iter().zip(bits) {
        let name = topic.name.unwrap_or_default();
        let first = if name == from.0 { from.1 } else { 0 };
        let count = topic.log.as_ref().map_or(0, |log| log.settings.partitions);
        let left = count.saturating_sub(first) as usize;
        if room == 0 && left > 0 {
            response.next_cursor = Some(DescribeTopicPartitionsCursor {
                topic_name: name,
                partition_index: wire_index(first),
            });
            break;
        }
        let take = left.min(room);
        room -= take;
        let partitions = (first..count).take(take);
        response.topics.push(DescribeTopicPartitionsResponseTopic {
            error_code: topic.log.as_ref().err().map_or(0, |code| code.0),
            name: Some(name.clone()),
            topic_id: topic.id,
            partitions: partitions
                .map(|number| DescribeTopicPartitionsResponsePartition {
                    partition_index: wire_index(number),
                    leader_id: node_id,
                    leader_epoch: 0,
                    replica_nodes: vec![node_id],
                    isr_nodes: vec![node_id],
                    // May be null by the protocol; Java's admin client does not take null.
                    eligible_leader_replicas: Some(Vec::new()),
                    last_known_elr: Some(Vec::new()),
                    ..DescribeTopicPartitionsResponsePartition::default()
                })
                .collect(),
            topic_authorized_operations: bits,
            ..DescribeTopicPartitionsResponseTopic::default()
        });
        if take < left {
            response.next_cursor = Some(DescribeTopicPartitionsCursor {
                topic_name: name,
                partition_index: wire_index(first.saturating_add(take as u32)),
            });
            break;
        }
    }
    Step::answer(response)
}
