//! What does not go with counters, batches and schedules.

use serde_json::Value;

use super::{Discard, Retention, StreamConfig};
use crate::mapping::jetstream::ApiError;

impl StreamConfig {
    /// Whether the stream can have what it is asked to have of them.
    pub(super) fn check_gathering(&self) -> Result<(), ApiError> {
        let refused = |text: &str| Err(ApiError::invalid_config(text));
        let batched = self.others.get("allow_batched").and_then(Value::as_bool);
        let mirrors = [
            (self.allow_msg_counter, 10173, "calculate counters"),
            (self.allow_msg_schedules, 10186, "schedule messages"),
            (self.allow_atomic, 10198, "use atomic publishing"),
            (batched == Some(true), 10209, "use batch publishing"),
        ];
        let in_mirror = mirrors.into_iter().find(|(is_set, ..)| *is_set);
        if let (Some(_), Some((_, number, what))) = (&self.mirror, in_mirror) {
            let text = format!("stream mirrors can not also {what}");
            return Err(ApiError::new(400, number, text));
        }
        if !self.sources.is_empty() && self.allow_msg_schedules {
            let text = "stream source can not also schedule messages";
            return Err(ApiError::new(400, 10187, text));
        }
        if self.allow_msg_schedules && self.discard == Discard::New {
            return refused("message scheduling cannot use discard new");
        }
        if !self.allow_msg_counter {
            return Ok(());
        }
        if self.discard == Discard::New {
            return refused("counter stream cannot use discard new");
        }
        if self.allow_msg_ttl {
            return refused("counter stream cannot use message TTLs");
        }
        if self.allow_msg_schedules {
            return refused("counter stream cannot use message schedules");
        }
        match self.retention {
            Retention::Limits => Ok(()),
            _ => refused("counter stream can only use limits retention"),
        }
    }
}
