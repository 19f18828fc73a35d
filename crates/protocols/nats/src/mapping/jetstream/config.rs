//! A stream's configuration: JSON, and the settings of a log.
//!
//! The text that a client gave, with what it left open filled in, is kept with the log ([`CONFIG`]) and told again.

mod gathering;
mod limits;
mod subjects;
mod update;

use polybus_model::{
    FollowState, Keeps, KeyedSettings, LogSettings, Millis, Name, Takes, WhenFull,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::derived::{self, Derived, Republish, SubjectTransform};
use super::origins::{StreamSource, check_mirror, check_sources, follows, put_states};
use super::{ApiError, ConsumerConfig, read_json};
use crate::TOPIC;
use crate::session::filter;

/// The argument of a log that holds its stream's configuration,
pub(crate) const CONFIG: &str = "nats.config";
/// and the one that says when it was made.
pub(crate) const CREATED: &str = "nats.created";

const NS_PER_MS: i64 = 1_000_000;
/// Ages and windows are at least so long.
const TIME_NS_MIN: i64 = 100 * NS_PER_MS;
/// Delete markers stay for so long at least.
const MARKER_NS_MIN: i64 = 1_000 * NS_PER_MS;
const DUPLICATES_NS: i64 = 120_000 * NS_PER_MS;
pub(super) const NAME_LEN_MAX: usize = 255;
/// What the names of metadata begin with that the server says.
const OWN_METADATA: &str = "_nats.";
pub(super) const DESCRIPTION_LEN_MAX: usize = 4 * 1024;
pub(super) const METADATA_LEN_MAX: usize = 128 * 1024;
/// The largest message where a stream does not say.
const MESSAGE_BYTES_MAX: u32 = 64 << 20;

/// What a stream is asked to be. Times are in nanoseconds; -1 stands for no limit.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StreamConfig {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) subjects: Vec<String>,
    retention: Retention,
    max_consumers: i64,
    max_msgs: i64,
    max_bytes: i64,
    max_age: i64,
    max_msgs_per_subject: i64,
    max_msg_size: i64,
    discard: Discard,
    #[serde(skip_serializing_if = "is_false")]
    discard_new_per_subject: bool,
    storage: Storage,
    num_replicas: i64,
    #[serde(skip_serializing_if = "is_false")]
    no_ack: bool,
    #[serde(skip_serializing_if = "is_zero")]
    duplicate_window: i64,
    compression: Compression,
    pub(crate) allow_direct: bool,
    mirror_direct: bool,
    sealed: bool,
    deny_delete: bool,
    deny_purge: bool,
    allow_rollup_hdrs: bool,
    consumer_limits: limits::ConsumerLimits,
    allow_msg_ttl: bool,
    #[serde(skip_serializing_if = "is_zero")]
    subject_delete_marker_ttl: i64,
    #[serde(skip_serializing_if = "is_zero")]
    first_seq: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    mirror: Option<StreamSource>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sources: Vec<StreamSource>,
    #[serde(skip_serializing_if = "is_false")]
    allow_msg_counter: bool,
    #[serde(skip_serializing_if = "is_false")]
    allow_atomic: bool,
    #[serde(skip_serializing_if = "is_false")]
    allow_msg_schedules: bool,
    #[serde(skip_serializing_if = "PersistMode::is_default")]
    persist_mode: PersistMode,
    #[serde(skip_serializing_if = "Option::is_none")]
    placement: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject_transform: Option<SubjectTransform>,
    #[serde(skip_serializing_if = "Option::is_none")]
    republish: Option<Republish>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    metadata: Map<String, Value>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Retention {
    Limits,
    Interest,
    Workqueue,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Discard {
    Old,
    New,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Storage {
    File,
    Memory,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Compression {
    None,
    S2,
}

/// When a message counts as stored. Here each is on disk before it is acknowledged, whatever is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PersistMode {
    #[serde(alias = "")]
    Default,
    Async,
}

impl PersistMode {
    const fn is_default(&self) -> bool {
        matches!(self, Self::Default)
    }
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            description: String::new(),
            subjects: Vec::new(),
            retention: Retention::Limits,
            max_consumers: -1,
            max_msgs: -1,
            max_bytes: -1,
            max_age: 0,
            max_msgs_per_subject: -1,
            max_msg_size: -1,
            discard: Discard::Old,
            discard_new_per_subject: false,
            storage: Storage::File,
            num_replicas: 1,
            no_ack: false,
            duplicate_window: 0,
            compression: Compression::None,
            allow_direct: false,
            mirror_direct: false,
            sealed: false,
            deny_delete: false,
            deny_purge: false,
            allow_rollup_hdrs: false,
            consumer_limits: limits::ConsumerLimits::default(),
            allow_msg_ttl: false,
            subject_delete_marker_ttl: 0,
            first_seq: 0,
            mirror: None,
            sources: Vec::new(),
            allow_msg_counter: false,
            allow_atomic: false,
            allow_msg_schedules: false,
            persist_mode: PersistMode::Default,
            placement: None,
            subject_transform: None,
            republish: None,
            metadata: Map::new(),
            others: Map::new(),
        }
    }
}

/// What a stream of another kind would need, and what is told of it.
const UNSUPPORTED: &[(&str, &str)] = &[("allow_batched", "batched publishes are not supported")];
/// What is said beside a configuration, and says nothing of the stream.
const PASSED_OVER: &[&str] = &["pedantic", "template_owner"];
/// Replicas that a stream can be asked to have.
const REPLICAS_MAX: i64 = 5;

pub(super) fn is_false(value: &bool) -> bool {
    !value
}

pub(super) fn is_zero(value: &i64) -> bool {
    *value == 0
}

impl StreamConfig {
    /// Reads what a client asks for of the stream of that name, and fills in what it leaves open.
    pub(crate) fn read(body: &[u8], name: &str) -> Result<Self, ApiError> {
        let mut config: Self = read_json(body)?;
        if config.name != name {
            return Err(ApiError::stream_mismatch());
        }
        config.fill_in();
        config.check()?;
        Ok(config)
    }

    /// Reads what was kept with a log.
    pub(crate) fn kept(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// As it is kept and told.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    fn fill_in(&mut self) {
        for limit in [
            &mut self.max_consumers,
            &mut self.max_msgs,
            &mut self.max_bytes,
            &mut self.max_msgs_per_subject,
            &mut self.max_msg_size,
        ] {
            if *limit <= 0 {
                *limit = -1;
            }
        }
        if self.allow_msg_schedules && !self.allow_rollup_hdrs {
            // A schedule takes the place of the one before it under its subject.
            (self.allow_rollup_hdrs, self.deny_purge) = (true, false);
        }
        if self.num_replicas == 0 {
            self.num_replicas = 1;
        }
        let is_follower = self.mirror.is_some() || !self.sources.is_empty();
        if self.duplicate_window == 0 && !is_follower {
            self.duplicate_window = match self.max_age {
                age if age > 0 => age.min(DUPLICATES_NS),
                _ => DUPLICATES_NS,
            };
        }
        if self.subject_delete_marker_ttl > 0 {
            (self.allow_msg_ttl, self.allow_rollup_hdrs) = (true, true);
            self.deny_purge = false;
        }
        if self.subjects.is_empty() && !is_follower {
            self.subjects.push(self.name.clone());
        }
        if let Some(republish) = &mut self.republish {
            republish.fill_in(self.subject_transform.as_ref(), &self.subjects);
        }
        self.placement = self
            .placement
            .take()
            .filter(|placement| !placement.is_empty());
        // What this server says of streams is not theirs.
        self.metadata
            .retain(|key, _| !key.starts_with(OWN_METADATA));
        self.others.retain(|name, value| {
            let is_meant = !matches!(value, Value::Bool(false));
            is_meant && !PASSED_OVER.contains(&name.as_str())
        });
    }

    fn check(&self) -> Result<(), ApiError> {
        let refused = |text: &str| Err(ApiError::invalid_config(text));
        if !is_asset_name(&self.name) {
            return refused("stream name is required and can not contain '.', '*', '>', '\\', '/'");
        }
        if self.name.len() > NAME_LEN_MAX {
            return Err(ApiError::long_name());
        }
        if self.description.len() > DESCRIPTION_LEN_MAX {
            return refused("stream description is too long, maximum allowed is 4096");
        }
        let texts = self.metadata.iter();
        let len: usize = texts
            .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
            .sum();
        if len > METADATA_LEN_MAX {
            return refused("stream metadata exceeds maximum size of 131072 bytes");
        }
        if self.num_replicas < 0 {
            return Err(ApiError::new(
                400,
                10133,
                "replicas count cannot be negative",
            ));
        }
        if self.num_replicas > REPLICAS_MAX {
            return refused("maximum replicas is 5");
        }
        if self.num_replicas != 1 {
            let text = "replicas > 1 not supported in non-clustered mode";
            return Err(ApiError::new(500, 10074, text));
        }
        if self.max_age < 0 {
            return refused("max age can not be negative");
        }
        if self.max_age != 0 && self.max_age < TIME_NS_MIN {
            return refused("max age needs to be >= 100ms");
        }
        if self.duplicate_window < 0 {
            return refused("duplicates window can not be negative");
        }
        if self.max_age != 0 && self.duplicate_window > self.max_age {
            return refused("duplicates window can not be larger then max age");
        }
        if self.duplicate_window != 0 && self.duplicate_window < TIME_NS_MIN {
            return refused("duplicates window needs to be >= 100ms");
        }
        if self.deny_purge && self.allow_rollup_hdrs {
            return refused("roll-ups require the purge permission");
        }
        self.check_gathering()?;
        if self.discard_new_per_subject && self.discard != Discard::New {
            return refused("discard new per subject requires discard new policy to be set");
        }
        if self.discard_new_per_subject && self.max_msgs_per_subject <= 0 {
            return refused("discard new per subject requires max msgs per subject > 0");
        }
        if let Some(other) = self.others.keys().next() {
            let known = UNSUPPORTED.iter().find(|(name, _)| name == other);
            return match known {
                Some((_, text)) => refused(text),
                None => Err(ApiError::unknown_field(other)),
            };
        }
        self.check_persisting()?;
        self.check_markers()?;
        if let Some(mirror) = &self.mirror {
            if self.first_seq != 0 {
                let text = "stream mirrors can not have first sequence configured";
                return Err(ApiError::new(400, 10143, text));
            }
            check_mirror(mirror, &self.subjects, &self.sources)?;
        }
        check_sources(&self.sources)?;
        self.check_subjects()?;
        derived::check(self.derived(), &self.subjects)
    }

    fn derived(&self) -> Derived<'_> {
        Derived {
            transform: self.subject_transform.as_ref(),
            republish: self.republish.as_ref(),
        }
    }

    fn check_persisting(&self) -> Result<(), ApiError> {
        let refused = |text: &str| Err(ApiError::invalid_config(text));
        if self
            .placement
            .as_ref()
            .is_some_and(|one| one.contains_key("preferred"))
        {
            return refused("preferred server not permitted in placement");
        }
        match self.persist_mode {
            PersistMode::Default => Ok(()),
            PersistMode::Async if self.storage != Storage::File => {
                refused("async persist mode is only supported on file storage")
            }
            PersistMode::Async if self.allow_atomic => {
                refused("async persist mode is not supported with atomic batch publish")
            }
            PersistMode::Async => Ok(()),
        }
    }

    fn check_markers(&self) -> Result<(), ApiError> {
        let refused = |text: &str| Err(ApiError::invalid_config(text));
        match self.subject_delete_marker_ttl {
            0 => Ok(()),
            ..0 => refused("subject delete marker TTL must not be negative"),
            1..MARKER_NS_MIN => refused("subject delete marker TTL must be at least 1 second"),
            _ if self.mirror.is_some() => refused("subject delete markers forbidden on mirrors"),
            _ => Ok(()),
        }
    }

    /// Whether a consumer suits the stream.
    pub(crate) fn check_consumer(&self, consumer: &ConsumerConfig) -> Result<(), ApiError> {
        let refused = |number: u16, text: &str| Err(ApiError::new(400, number, text));
        let streams: Vec<_> = self
            .subjects
            .iter()
            .map(|one| filter(one.as_bytes()))
            .collect();
        // What is transformed, or comes from elsewhere, may have any subject.
        let is_open =
            self.subject_transform.is_some() || self.mirror.is_some() || !self.sources.is_empty();
        // As nats-server: several are not looked at.
        let is_open = is_open || consumer.subjects().count() > 1;
        for subject in consumer.subjects() {
            let wanted = filter(subject.as_bytes());
            if !is_open && !streams.iter().any(|one| one.overlaps(&wanted)) {
                let text = "consumer filter subject is not a valid subset of the interest subjects";
                return refused(10093, text);
            }
        }
        self.check_limits(consumer)?;
        if self.retention == Retention::Workqueue {
            if !consumer.acknowledges_each() {
                return refused(10098, "workqueue stream requires explicit ack");
            }
            if !consumer.begins_first() {
                return refused(10101, "consumer must be deliver all on workqueue stream");
            }
        }
        Ok(())
    }

    /// Adds how far the stream is with its mirror or sources to what is told of it.
    pub(super) fn put_states(&self, told: &mut Map<String, Value>, states: &[FollowState]) {
        put_states(told, self.mirror.as_ref(), &self.sources, states);
    }

    /// The settings of the log that it is.
    pub(crate) fn settings(&self, created: Millis) -> LogSettings {
        let positive = |number: i64| u64::try_from(number).ok().filter(|number| *number > 0);
        let ms = |ns: i64| u64::try_from(ns / NS_PER_MS).unwrap_or_default();
        let keys = self
            .subjects
            .iter()
            .map(|subject| filter(subject.as_bytes()));
        LogSettings {
            partitions: 1,
            retention_ms: positive(self.max_age).map(|_| ms(self.max_age).max(1)),
            retention_bytes: positive(self.max_bytes),
            run_bytes_max: MESSAGE_BYTES_MAX,
            durable: self.storage == Storage::File,
            keyed: Some(Box::new(KeyedSettings {
                records_max: positive(self.max_msgs),
                key_records_max: positive(self.max_msgs_per_subject),
                message_bytes_max: positive(self.max_msg_size),
                when_full: match (self.discard, self.discard_new_per_subject) {
                    (Discard::Old, _) => WhenFull::DropOldest,
                    (Discard::New, false) => WhenFull::Refuse,
                    (Discard::New, true) => WhenFull::RefuseKey,
                },
                keeps: match self.retention {
                    Retention::Limits => Keeps::All,
                    Retention::Interest => Keeps::Wanted,
                    Retention::Workqueue => Keeps::Unsettled,
                },
                // A constant that is short enough.
                takes: Name::new(TOPIC).ok().map(|topic| Takes {
                    topic,
                    keys: keys.collect(),
                }),
                duplicates_ms: ms(self.duplicate_window),
                expires: self.allow_msg_ttl,
                marker_ms: positive(self.subject_delete_marker_ttl)
                    .map(|_| ms(self.subject_delete_marker_ttl)),
                follows: follows(self.mirror.as_ref(), &self.sources),
                first: positive(self.first_seq).map_or(0, |first| first - 1),
                sealed: self.sealed,
                denies_removal: self.deny_delete,
                denies_purge: self.deny_purge,
                rolls_up: self.allow_rollup_hdrs,
                silent: self.no_ack,
                tallies: self.allow_msg_counter,
                batches: self.allow_atomic,
                schedules: self.allow_msg_schedules,
                ..self.derived().settings()
            })),
            arguments: vec![
                (CONFIG.to_owned(), self.text()),
                (CREATED.to_owned(), created.to_string()),
            ],
            ..LogSettings::default()
        }
    }
}

/// Whether a stream can have that name.
pub(super) fn is_asset_name(name: &str) -> bool {
    let is_sound = |c: char| !c.is_whitespace() && !c.is_control() && !".*>\\/".contains(c);
    !name.is_empty() && name.chars().all(is_sound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_open_is_filled_in() {
        let config = StreamConfig::read(
            br#"{"name":"S","max_age":null,"subjects":["a.*"],"pedantic":true}"#,
            "S",
        )
        .unwrap();
        assert_eq!(
            (config.max_msgs, config.duplicate_window),
            (-1, DUPLICATES_NS)
        );
        assert_eq!(StreamConfig::kept(&config.text()).as_ref(), Some(&config));
        let settings = config.settings(5);
        let keyed = settings.keyed.unwrap();
        assert_eq!(keyed.takes.unwrap().keys, [filter(b"a.*")]);
        assert_eq!(settings.retention_ms, None);
        let named = StreamConfig::read(br#"{"name":"S"}"#, "S").unwrap();
        assert_eq!(named.subjects, ["S"]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (json, number) in [
            (&br#"{"name":"a.b"}"#[..], 10056),
            (b"{", 10025),
            (br#"{"name":"S","new_thing":0}"#, 10025),
            (br#"{"name":"S","num_replicas":-1}"#, 10133),
            (br#"{"name":"S","subjects":[">"]}"#, 10052),
            (br#"{"name":"S","max_age":5}"#, 10052),
            (br#"{"name":"S","subjects":["a.*","a.b"]}"#, 10052),
            (br#"{"name":"S","subjects":["$JS.API.x"]}"#, 10052),
            (br#"{"name":"S","num_replicas":3}"#, 10074),
            (
                br#"{"name":"S","mirror":{"name":"T","external":{"api":"x"}}}"#,
                10052,
            ),
            (
                br#"{"name":"S","subjects":["a"],"mirror":{"name":"T"}}"#,
                10034,
            ),
            (br#"{"name":"S","mirror":{"name":"T"},"first_seq":5}"#, 10143),
            (br#"{"name":"S","sources":[{"name":"a.b"}]}"#, 10141),
            (
                br#"{"name":"S","sources":[{"name":"A"},{"name":"A"}]}"#,
                10140,
            ),
            (
                br#"{"name":"S","sources":[{"name":"A","subject_transforms":[{"src":"a.*","dest":"$2"}]}]}"#,
                10146,
            ),
            (
                br#"{"name":"S","subject_delete_marker_ttl":5000000}"#,
                10052,
            ),
            (
                br#"{"name":"S","subject_transform":{"src":"a b","dest":"c"}}"#,
                10155,
            ),
            (
                br#"{"name":"S","subject_transform":{"src":"a","dest":"$1"}}"#,
                10156,
            ),
            (br#"{"name":"S","republish":{"src":"a","dest":"S"}}"#, 10052),
            (
                br#"{"name":"S","republish":{"src":"a","dest":"b.$1"}}"#,
                10052,
            ),
            (br#"{"name":"S","retention":"odd"}"#, 10025),
        ] {
            assert_eq!(StreamConfig::read(json, "S").unwrap_err().number, number);
        }
    }
}
