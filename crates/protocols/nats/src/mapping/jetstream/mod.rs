//! JetStream's words for logs: streams' settings and states, times, errors, what a publisher demands and is told.

mod advisory;
mod archive;
mod audit;
mod config;
mod consumer;
mod delivery;
mod derived;
mod error;
mod marking;
mod origins;
mod schedule;
mod state;
mod terms;
pub(crate) mod time;
mod transform;

pub(crate) use advisory::advisory;
pub use advisory::report_key;
pub(crate) use archive::{ArchiveReader, ArchiveWriter};
pub(crate) use audit::Advisory;
pub(crate) use config::{CONFIG, CREATED, StreamConfig};
pub(crate) use consumer::{ConsumerConfig, check_group_name, config_of, consumer_info};
pub(crate) use delivery::{
    ACK, FLOW, ack_bytes, ack_prefix, copy_headers, headers_alone, pinned_headers, reply_of,
    status_of, write_ack,
};
pub(crate) use error::ApiError;
pub use marking::KEYED_WRITER;
pub use schedule::copy_properties;
pub(crate) use state::{
    created_of, direct_headers, headers_of, stored_message, stream_info, stream_name_of,
};
pub(crate) use terms::{pub_ack, terms};
pub(crate) use time::{NO_TIME, parse as parse_time, write as write_time};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// What the API's answers are typed as.
const TYPE_PREFIX: &str = "io.nats.jetstream.api.v1.";

/// An answer of the API: its type, and what it says.
pub(crate) fn response(kind: &str, says: Value) -> Vec<u8> {
    let mut answer = Map::new();
    let kind = format!("{TYPE_PREFIX}{kind}_response");
    answer.insert("type".to_owned(), Value::String(kind));
    if let Value::Object(says) = says {
        answer.extend(says);
    }
    Value::Object(answer).to_string().into_bytes()
}

/// Reads JSON of a client; no body, and nothing said aloud (`null`, which async-nats sends to STREAM.INFO), stand for what is
/// not said.
pub(crate) fn read_json<T: Default + DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    if body.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    let invalid = |error| ApiError::invalid_json(&error);
    let mut json: Value = serde_json::from_slice(body).map_err(invalid)?;
    if json.is_null() {
        return Ok(T::default());
    }
    let mut open = vec![&mut json];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(fields) => {
                fields.retain(|_, value| !value.is_null());
                open.extend(fields.values_mut());
            }
            Value::Array(values) => open.extend(values),
            _ => {}
        }
    }
    serde_json::from_value(json).map_err(invalid)
}
