//! What may be asked for of a stream only when it is made, or only later, and what a stream must go on being.

use serde_json::{Map, Value};

use super::{Discard, Retention, StreamConfig};
use crate::mapping::jetstream::ApiError;

/// The level of the API that is spoken here: what came with nats-server 2.12.
const API_LEVEL: &str = "2";

impl StreamConfig {
    /// Whether there may be a new stream like that.
    pub(crate) fn check_new(&self) -> Result<(), ApiError> {
        let refused = |text: &str| Err(ApiError::invalid_config(text));
        if self.sealed {
            return refused("stream configuration for create can not be sealed");
        }
        match self.mirror_direct && self.mirror.is_none() {
            true => refused("stream has no mirror but does have mirror direct"),
            false => Ok(()),
        }
    }

    /// The streams that are looked at before it is made: its mirror, and its sources if messages have a largest size.
    pub(crate) fn origins(&self) -> Vec<String> {
        let mirror = self.mirror.iter().map(|one| one.name().to_owned());
        let sources = self.sources.iter().map(|one| one.name().to_owned());
        match self.max_msg_size > 0 {
            true => mirror.chain(sources).collect(),
            false => mirror.collect(),
        }
    }

    /// Takes what follows from one of those being like that.
    pub(crate) fn note_origin(&mut self, origin: &Self) -> Result<(), ApiError> {
        let is_smaller = self.max_msg_size > 0
            && origin.max_msg_size > 0
            && self.max_msg_size < origin.max_msg_size;
        if self.mirror.is_some() {
            self.mirror_direct = origin.allow_direct;
        }
        let (number, text) = match self.mirror.is_some() {
            true => (10030, "stream mirror must have max message size >= source"),
            false => (10046, "stream source must have max message size >= target"),
        };
        match is_smaller {
            true => Err(ApiError::new(400, number, text)),
            false => Ok(()),
        }
    }

    /// Takes what follows from what the stream was before; fails if it cannot be otherwise.
    pub(crate) fn check_update(&mut self, before: &Self) -> Result<(), ApiError> {
        let refused = |text: &str| Err(ApiError::invalid_config(text));
        if self.name != before.name {
            return refused("stream configuration name must match original");
        }
        if self.storage != before.storage {
            return refused("stream configuration update can not change storage type");
        }
        if self.retention != before.retention
            && (self.retention == Retention::Workqueue || before.retention == Retention::Workqueue)
        {
            return refused(
                "stream configuration update can not change retention policy to/from workqueue",
            );
        }
        if before.sealed && !self.sealed {
            return refused("stream configuration update can not unseal a sealed stream");
        }
        if before.deny_delete && !self.deny_delete {
            return refused("stream configuration update can not cancel deny message deletes");
        }
        if before.deny_purge && !self.deny_purge {
            return refused("stream configuration update can not cancel deny purge");
        }
        if self.mirror.is_some() && self.mirror != before.mirror {
            let text = "stream mirror configuration can not be updated";
            return Err(ApiError::new(400, 10055, text));
        }
        if before.allow_msg_ttl && !self.allow_msg_ttl {
            return refused("message TTL status can not be disabled");
        }
        if before.allow_msg_counter != self.allow_msg_counter {
            return refused("stream configuration update can not change message counter setting");
        }
        if before.allow_msg_schedules && !self.allow_msg_schedules {
            return refused("message schedules can not be disabled");
        }
        if before.persist_mode != self.persist_mode {
            return refused("stream configuration update can not change persist mode");
        }
        if self.sealed {
            (self.max_age, self.discard) = (0, Discard::New);
            (self.deny_delete, self.deny_purge) = (true, true);
            self.allow_rollup_hdrs = false;
        }
        Ok(())
    }

    /// The configuration as it is told: with what it asks of the API, and what is spoken here.
    pub(crate) fn told(&self) -> Value {
        let mut told = serde_json::to_value(self).unwrap_or_default();
        let needs = match () {
            () if self.allow_msg_counter
                || self.allow_atomic
                || self.allow_msg_schedules
                || !self.persist_mode.is_default() =>
            {
                "2"
            }
            () if self.allow_msg_ttl || self.subject_delete_marker_ttl > 0 => "1",
            () => "0",
        };
        if let Value::Object(told) = &mut told {
            let metadata = told.entry("metadata").or_insert_with(|| Map::new().into());
            if let Value::Object(metadata) = metadata {
                metadata.insert("_nats.req.level".into(), needs.into());
                metadata.insert("_nats.level".into(), API_LEVEL.into());
                metadata.insert("_nats.ver".into(), crate::VERSION.into());
            }
        }
        told
    }
}
