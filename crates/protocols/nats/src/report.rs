//! JetStream as `/jsz` tells of it: counts, and if that is wanted the streams with their consumers.

use polybus_model::{KeyedState, LogSummary, Millis, ReaderSummary};
use serde_json::{Map, Value, json};

use crate::mapping::jetstream::{consumer_info, stream_info, stream_name_of};

/// What is to be told beside the counts.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ReportWants {
    /// The streams, one by one.
    pub streams: bool,
    /// Their consumers.
    pub consumers: bool,
    /// Their settings.
    pub config: bool,
}

/// Counts over the logs that are streams, and what else is wanted.
#[must_use]
pub fn jetstream_report<'a>(
    logs: impl Iterator<Item = (&'a LogSummary, &'a KeyedState, &'a [ReaderSummary])>,
    wants: ReportWants,
    now: Millis,
) -> Map<String, Value> {
    let (mut streams, mut consumers, mut messages) = (0_u64, 0, 0);
    let (mut memory, mut storage) = (0, 0);
    let mut details = Vec::new();
    for (log, state, readers) in logs.filter(|(log, ..)| stream_name_of(log).is_some()) {
        streams += 1;
        consumers += readers.len() as u64;
        messages += state.records;
        match log.settings.durable {
            true => storage += state.bytes,
            false => memory += state.bytes,
        }
        if wants.streams || wants.consumers || wants.config {
            details.extend(stream_detail(log, state, readers, wants, now));
        }
    }
    let usage = json!({
        "memory": memory,
        "storage": storage,
        "reserved_memory": 0,
        "reserved_storage": 0,
        "streams": streams,
        "consumers": consumers,
        "messages": messages,
        "bytes": memory + storage,
        "accounts": 1,
        "total": 1,
    });
    let Value::Object(mut report) = usage else {
        return Map::new();
    };
    if !details.is_empty() {
        let account = json!({
            "name": "$G",
            "id": "$G",
            "memory": memory,
            "storage": storage,
            "stream_detail": details,
        });
        report.insert("account_details".into(), json!([account]));
    }
    report
}

fn stream_detail(
    log: &LogSummary,
    state: &KeyedState,
    readers: &[ReaderSummary],
    wants: ReportWants,
    now: Millis,
) -> Option<Value> {
    let mut info = stream_info(log, state, readers.len() as u64, now)?;
    info.insert("name".into(), log.name.as_str().into());
    info.remove("ts");
    if !wants.config {
        info.remove("config");
    }
    if wants.consumers {
        let told = readers.iter().filter_map(|one| consumer_info(one, now));
        let told = told.map(|mut one| {
            if !wants.config {
                one.remove("config");
            }
            Value::Object(one)
        });
        info.insert("consumer_detail".into(), told.collect());
    }
    Some(Value::Object(info))
}
