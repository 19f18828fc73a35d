//! Streams and their messages as the API tells them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use polybus_model::{KeyedState, LiveProperties, LogSummary, Message, Millis, Run, RunContent};
use serde_json::{Map, Value, json};

use super::{CONFIG, CREATED, StreamConfig, write_time};
use crate::ORIGIN;
use crate::mapping;
use polybus_session::Readers;

/// The time of what never was, as Go writes it.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// A stream's configuration, if the log is one.
pub(crate) fn config_of(log: &LogSummary) -> Option<StreamConfig> {
    let keyed = log.settings.keyed.is_some();
    let kept = argument(log, CONFIG).filter(|_| keyed)?;
    StreamConfig::kept(kept)
}

/// When a stream was made.
pub(crate) fn created_of(log: &LogSummary) -> Millis {
    let kept = argument(log, CREATED);
    kept.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn argument<'a>(log: &'a LogSummary, name: &str) -> Option<&'a str> {
    let found = log.settings.arguments.iter().find(|(one, _)| one == name);
    found.map(|(_, value)| value.as_str())
}

/// The name of a stream, if the log is one.
pub(crate) fn stream_name_of(log: &LogSummary) -> Option<(&str, StreamConfig)> {
    Some((log.name.as_str(), config_of(log)?))
}

/// A stream with its state; none if the log is no stream. `lists` says whether what the state lists was asked for.
pub(crate) fn stream_info(
    log: &LogSummary,
    state: &KeyedState,
    consumers: u64,
    now: Millis,
) -> Option<Map<String, Value>> {
    let config = config_of(log)?;
    let time = |time: Option<Millis>| time.map_or_else(|| NEVER.to_owned(), write_time);
    let mut told = json!({
        "messages": state.records,
        "bytes": state.bytes,
        "first_seq": if state.records == 0 && state.next == 0 { 0 } else { state.start + 1 },
        "first_ts": time(state.first_time),
        "last_seq": state.next,
        "last_ts": time(state.last_time),
        "consumer_count": consumers,
    });
    if let Value::Object(told) = &mut told {
        if state.keys > 0 {
            told.insert("num_subjects".into(), state.keys.into());
        }
        if state.removed > 0 {
            told.insert("num_deleted".into(), state.removed.into());
        }
        if !state.removed_offsets.is_empty() {
            let gone = state.removed_offsets.iter();
            let gone: Vec<u64> = gone.map(|offset| offset + 1).collect();
            told.insert("deleted".into(), gone.into());
        }
    }
    let mut info = Map::new();
    config.put_states(&mut info, &state.follows);
    info.insert("config".into(), config.told());
    info.insert("created".into(), write_time(created_of(log)).into());
    info.insert("state".into(), told);
    info.insert("ts".into(), write_time(now).into());
    Some(info)
}

/// The message in a run of a stream.
fn message_of(run: &Run) -> Option<&Message> {
    match &run.content {
        RunContent::Message(message) => Some(message),
        RunContent::Packed { .. } => None,
    }
}

/// A message's headers as NATS has them.
pub(crate) fn headers_of(message: &Message, others: &Readers) -> Vec<u8> {
    if message.origin() == ORIGIN {
        return LiveProperties::decoded(message.properties())
            .headers
            .to_vec();
    }
    mapping::properties(message, others).headers
}

/// A stored message as `STREAM.MSG.GET` tells it.
pub(crate) fn stored_message(run: &Run, others: &Readers) -> Option<Value> {
    let message = message_of(run)?;
    let headers = headers_of(message, others);
    let mut told = json!({
        "subject": String::from_utf8_lossy(message.key()),
        "seq": run.offset + 1,
        "time": write_time(run.time_max.unwrap_or(0)),
    });
    if let Value::Object(told) = &mut told {
        if !headers.is_empty() {
            told.insert("hdrs".into(), STANDARD.encode(headers).into());
        }
        if !message.body().is_empty() {
            told.insert("data".into(), STANDARD.encode(message.body()).into());
        }
    }
    Some(told)
}

/// A stored message as `DIRECT.GET` gives it: its headers with those that say where it stands and lines that say more, and its
/// body.
pub(crate) fn direct_headers<'a>(
    stream: &str,
    run: &'a Run,
    others: &Readers,
    more: &str,
) -> Option<(Vec<u8>, &'a [u8])> {
    let message = message_of(run)?;
    let own = headers_of(message, others);
    let mut headers = match own.strip_suffix(b"\r\n") {
        Some(own) if !own.is_empty() => own.to_vec(),
        _ => b"NATS/1.0\r\n".to_vec(),
    };
    let subject = String::from_utf8_lossy(message.key());
    let (sequence, time) = (run.offset + 1, write_time(run.time_max.unwrap_or(0)));
    let told = format!(
        "Nats-Stream: {stream}\r\nNats-Subject: {subject}\r\nNats-Sequence: {sequence}\r\nNats-Time-Stamp: {time}\r\n{more}\r\n"
    );
    headers.extend_from_slice(told.as_bytes());
    Some((headers, message.body()))
}
