//! A consumer's configuration: JSON, and the settings of a reader.
//!
//! The text that a client gave, with what it left open filled in, is kept with the reader ([`CONSUMER`]) and told again. What is
//! wrong with one is said as nats-server says it: clients know the numbers.

mod priority;

use bytes::Bytes;
use polybus_model::{
    Acknowledging, Millis, Name, PullLimits, Push, ReaderSettings, ReaderStart, ReaderSummary,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use priority::Priority;
pub(crate) use priority::check_group_name;

use super::config::{DESCRIPTION_LEN_MAX, METADATA_LEN_MAX, is_asset_name, is_false, is_zero};
use super::{ApiError, NO_TIME, parse_time, write_time};
use crate::TOPIC;
use crate::codec::{is_literal, is_valid};
use crate::session::filter;

/// The argument of a reader that holds its consumer's configuration.
pub(crate) const CONSUMER: &str = "nats.consumer";
/// In a consumer's metadata: the topic that its dead letters go to.
const DEAD_LETTER_TOPIC: &str = "polybus.dead-letter-topic";

const NS_PER_MS: i64 = 1_000_000;
const ACK_WAIT_NS: i64 = 30_000 * NS_PER_MS;
const INACTIVE_NS: i64 = 5_000 * NS_PER_MS;
const HEARTBEAT_NS_MIN: i64 = 100 * NS_PER_MS;
const ACK_PENDING: i64 = 1_000;
const WAITING: i64 = 512;

/// What a consumer is asked to be. Times are in nanoseconds.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ConsumerConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) durable_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    deliver_policy: Deliver,
    #[serde(skip_serializing_if = "is_nothing")]
    opt_start_seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    opt_start_time: Option<String>,
    ack_policy: Ack,
    #[serde(skip_serializing_if = "is_zero")]
    ack_wait: i64,
    #[serde(skip_serializing_if = "is_zero")]
    max_deliver: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    backoff: Vec<i64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) filter_subject: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) filter_subjects: Vec<String>,
    replay_policy: Replay,
    #[serde(skip_serializing_if = "is_nothing")]
    rate_limit_bps: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    sample_freq: String,
    #[serde(skip_serializing_if = "is_zero")]
    max_waiting: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) max_ack_pending: i64,
    #[serde(skip_serializing_if = "is_false")]
    flow_control: bool,
    #[serde(skip_serializing_if = "is_false")]
    headers_only: bool,
    #[serde(skip_serializing_if = "is_zero")]
    max_batch: i64,
    #[serde(skip_serializing_if = "is_zero")]
    max_expires: i64,
    #[serde(skip_serializing_if = "is_zero")]
    max_bytes: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) deliver_subject: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    deliver_group: String,
    #[serde(skip_serializing_if = "is_zero")]
    idle_heartbeat: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) inactive_threshold: i64,
    num_replicas: i64,
    #[serde(skip_serializing_if = "is_false")]
    mem_storage: bool,
    #[serde(skip_serializing_if = "Map::is_empty")]
    metadata: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pause_until: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    priority_groups: Vec<String>,
    #[serde(skip_serializing_if = "priority::is_none")]
    priority_policy: Priority,
    #[serde(skip_serializing_if = "is_zero")]
    priority_timeout: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Deliver {
    #[default]
    All,
    Last,
    New,
    ByStartSequence,
    ByStartTime,
    LastPerSubject,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ack {
    #[default]
    None,
    All,
    Explicit,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Replay {
    #[default]
    Instant,
    Original,
}

fn is_nothing(value: &u64) -> bool {
    *value == 0
}

impl ConsumerConfig {
    /// Reads what was kept with a reader.
    pub(crate) fn kept(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Fills in what was left open.
    pub(crate) fn fill_in(&mut self) {
        for limit in [
            &mut self.max_waiting,
            &mut self.max_batch,
            &mut self.max_expires,
            &mut self.max_bytes,
            &mut self.idle_heartbeat,
            &mut self.inactive_threshold,
        ] {
            *limit = (*limit).max(0);
        }
        self.pause_until.take_if(|until| until == NO_TIME);
        if self.max_deliver <= 0 {
            self.max_deliver = -1;
        }
        self.max_ack_pending = self.max_ack_pending.max(-1);
        if self.deliver_subject.is_empty() && self.max_waiting == 0 {
            self.max_waiting = WAITING;
        }
        if self.ack_wait == 0 && self.ack_policy != Ack::None {
            self.ack_wait = ACK_WAIT_NS;
        }
        if let Some(first) = self.backoff.first() {
            self.ack_wait = *first;
        }
        if self.max_ack_pending == 0 && self.ack_policy != Ack::None {
            self.max_ack_pending = ACK_PENDING;
        }
        if self.durable_name.is_empty() && self.inactive_threshold == 0 {
            self.inactive_threshold = INACTIVE_NS;
        }
        self.fill_in_priority();
    }

    /// What is wrong with it by itself.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        let refused = |number: u16, text: &str| Err(ApiError::new(400, number, text));
        for name in [&self.name, &self.durable_name] {
            if !name.is_empty() && !is_asset_name(name) {
                let text = "consumer name can not contain '.', '*', '>', '\\', '/'";
                return Err(ApiError::invalid_config(text));
            }
        }
        if self.num_replicas > 1 {
            let text = "consumer config replica count exceeds parent stream";
            return refused(10126, text);
        }
        if self.backoff.iter().any(|one| *one < 0) {
            return refused(10184, "consumer backoff needs to be positive");
        }
        if self.ack_wait < 0 {
            return refused(10183, "consumer ack wait needs to be positive");
        }
        if self.max_deliver != -1 && self.backoff.len() as i64 > self.max_deliver {
            let text = "max deliver is required to be > length of backoff values";
            return refused(10116, text);
        }
        if self.description.len() > DESCRIPTION_LEN_MAX {
            let text = "consumer description is too long, maximum allowed is 4096";
            return refused(10107, text);
        }
        if self.metadata_len() > METADATA_LEN_MAX {
            return refused(10135, "consumer metadata exceeds maximum size of 128KB");
        }
        if !self.durable_name.is_empty() && !self.name.is_empty() && self.name != self.durable_name
        {
            let text = "Consumer Durable and Name have to be equal if both are provided";
            return refused(10132, text);
        }
        self.check_delivery()?;
        self.sampled_percent()?;
        self.check_filters()?;
        self.check_priority()?;
        self.check_start()
    }

    /// Of how many in a hundred acknowledgements it is told how long they took.
    fn sampled_percent(&self) -> Result<u8, ApiError> {
        if self.sample_freq.is_empty() {
            return Ok(0);
        }
        let text = self.sample_freq.strip_suffix('%');
        let read = text.unwrap_or(&self.sample_freq).parse::<i64>();
        let percent = read.map_err(|error| {
            let text = format!("failed to parse consumer sampling configuration: {error}");
            ApiError::new(400, 10095, text)
        });
        Ok(percent?.clamp(0, 100) as u8)
    }

    fn metadata_len(&self) -> usize {
        let texts = self.metadata.iter();
        texts
            .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
            .sum()
    }

    fn check_delivery(&self) -> Result<(), ApiError> {
        let refused = |number: u16, text: &str| Err(ApiError::new(400, number, text));
        if self.deliver_subject.is_empty() {
            if self.rate_limit_bps > 0 {
                return refused(10086, "consumer in pull mode can not have rate limit set");
            }
            if self.idle_heartbeat > 0 {
                let text = "consumer idle heartbeat requires a push based consumer";
                return refused(10088, text);
            }
            if self.flow_control {
                let text = "consumer flow control requires a push based consumer";
                return refused(10089, text);
            }
            if self.max_expires != 0 && self.max_expires < NS_PER_MS {
                let text = "consumer max request expires needs to be >= 1ms";
                return refused(10115, text);
            }
            return Ok(());
        }
        if !is_valid(self.deliver_subject.as_bytes()) {
            return refused(10112, "invalid push consumer deliver subject");
        }
        if !is_literal(self.deliver_subject.as_bytes()) {
            return refused(10079, "consumer deliver subject has wildcards");
        }
        if self.max_waiting != 0 {
            return refused(10080, "consumer in push mode can not set max waiting");
        }
        if self.max_ack_pending > 0 && self.ack_policy == Ack::None {
            let text = "consumer requires ack policy for max ack pending";
            return refused(10082, text);
        }
        if self.idle_heartbeat > 0 && self.idle_heartbeat < HEARTBEAT_NS_MIN {
            return refused(10083, "consumer idle heartbeat needs to be >= 100ms");
        }
        if self.flow_control && self.idle_heartbeat == 0 {
            return refused(10108, "consumer with flow control also needs heartbeats");
        }
        Ok(())
    }

    fn check_filters(&self) -> Result<(), ApiError> {
        let refused = |number: u16, text: &str| Err(ApiError::new(400, number, text));
        if !self.filter_subject.is_empty() && !self.filter_subjects.is_empty() {
            let text = "consumer cannot have both FilterSubject and FilterSubjects specified";
            return refused(10136, text);
        }
        if self.filter_subjects.iter().any(String::is_empty) {
            return refused(10139, "consumer filter in FilterSubjects cannot be empty");
        }
        let subjects: Vec<&str> = self.subjects().collect();
        for (at, subject) in subjects.iter().enumerate() {
            if !is_valid(subject.as_bytes()) {
                return Err(ApiError::invalid_config("invalid subject"));
            }
            let ours = filter(subject.as_bytes());
            let before = subjects.get(..at).unwrap_or_default();
            let overlaps = before.iter().any(|one| {
                let other = filter(one.as_bytes());
                ours.covers(&other) || other.covers(&ours)
            });
            if overlaps {
                return refused(10138, "consumer subject filters cannot overlap");
            }
        }
        Ok(())
    }

    fn check_start(&self) -> Result<(), ApiError> {
        let refused = |text: String| Err(ApiError::new(400, 10094, text));
        let (policy, wants_sequence, wants_time) = match self.deliver_policy {
            Deliver::All => ("all", false, false),
            Deliver::Last => ("last", false, false),
            Deliver::LastPerSubject => ("last per subject", false, false),
            Deliver::New => ("new", false, false),
            Deliver::ByStartSequence => ("by start sequence", true, false),
            Deliver::ByStartTime => ("by start time", false, true),
        };
        let clash = |what: &str| {
            format!(
                "consumer delivery policy is deliver {policy}, but optional start {what} is also set"
            )
        };
        let missing = |what: &str| {
            format!("consumer delivery policy is deliver {policy}, but optional {what} is not set")
        };
        if wants_sequence && self.opt_start_seq == 0 {
            return refused(missing("start sequence"));
        }
        if wants_time && self.opt_start_time.is_none() {
            return refused(missing("start time"));
        }
        if !wants_sequence && self.opt_start_seq > 0 {
            return refused(clash("sequence"));
        }
        if !wants_time && self.opt_start_time.is_some() {
            return refused(clash("time"));
        }
        if self.deliver_policy == Deliver::LastPerSubject && self.subjects().next().is_none() {
            return refused(missing("filter subject"));
        }
        Ok(())
    }

    /// Whether each message is acknowledged for itself.
    pub(super) fn acknowledges_each(&self) -> bool {
        self.ack_policy == Ack::Explicit
    }

    /// Whether it begins with the first message there is.
    pub(super) fn begins_first(&self) -> bool {
        self.deliver_policy == Deliver::All
    }

    /// The subjects that it wants; none: all.
    pub(super) fn subjects(&self) -> impl Iterator<Item = &str> {
        let one = Some(self.filter_subject.as_str()).filter(|one| !one.is_empty());
        let many = self.filter_subjects.iter().map(String::as_str);
        one.into_iter().chain(many)
    }

    /// The settings of the reader that it is, of a log that survives a restart or not.
    pub(crate) fn settings(&self, log_is_durable: bool) -> Result<ReaderSettings, ApiError> {
        let positive = |number: i64| u64::try_from(number).ok().filter(|number| *number > 0);
        let short = |number: i64| positive(number).and_then(|one| u32::try_from(one).ok());
        let ms = |ns: i64| u64::try_from(ns / NS_PER_MS).unwrap_or_default();
        let time = |text: &str| match text {
            // Before all there is.
            NO_TIME => Ok(0),
            text => parse_time(text).ok_or_else(ApiError::bad_request),
        };
        let name = |text: &str| Name::new(text).map_err(|_| ApiError::bad_request());
        let start = match self.deliver_policy {
            Deliver::All => ReaderStart::First,
            Deliver::Last => ReaderStart::Last,
            Deliver::New => ReaderStart::Next,
            Deliver::LastPerSubject => ReaderStart::LastOfEachKey,
            Deliver::ByStartSequence => ReaderStart::Offset(self.opt_start_seq.saturating_sub(1)),
            Deliver::ByStartTime => {
                ReaderStart::Time(time(self.opt_start_time.as_deref().unwrap_or_default())?)
            }
        };
        let dead_letters = self.metadata.get(DEAD_LETTER_TOPIC);
        let dead_letters = dead_letters.and_then(Value::as_str).map(name).transpose()?;
        let push = (!self.deliver_subject.is_empty()).then(|| Push {
            key: Bytes::copy_from_slice(self.deliver_subject.as_bytes()),
            heartbeat_ms: positive(self.idle_heartbeat).map(|_| ms(self.idle_heartbeat)),
            flow_control: self.flow_control,
        });
        Ok(ReaderSettings {
            topic: name(TOPIC)?,
            push,
            pulls: PullLimits {
                waiting_max: short(self.max_waiting),
                records_max: short(self.max_batch),
                bytes_max: positive(self.max_bytes),
                wait_ms_max: positive(self.max_expires).map(|_| ms(self.max_expires)),
            },
            groups: self.groups(),
            sampled_percent: self.sampled_percent().unwrap_or(0),
            start,
            filters: self.subjects().map(|one| filter(one.as_bytes())).collect(),
            acknowledging: match self.ack_policy {
                Ack::None => Acknowledging::Never,
                Ack::All => Acknowledging::Through,
                Ack::Explicit => Acknowledging::Each,
            },
            lease_ms: ms(self.ack_wait).max(1),
            leases_ms: self.backoff.iter().map(|one| ms(*one).max(1)).collect(),
            attempts_max: short(self.max_deliver),
            leased_max: positive(self.max_ack_pending),
            keeps_pace: self.replay_policy == Replay::Original,
            headers_only: self.headers_only,
            bits_per_second: Some(self.rate_limit_bps).filter(|rate| *rate > 0),
            idle_ms: positive(self.inactive_threshold).map(|_| ms(self.inactive_threshold)),
            paused_until: self.pause_until.as_deref().map(time).transpose()?,
            durable: log_is_durable && !self.durable_name.is_empty() && !self.mem_storage,
            dead_letters,
            arguments: vec![(CONSUMER.to_owned(), self.text())],
        })
    }
}

/// A consumer's configuration, if the reader is one.
pub(crate) fn config_of(reader: &ReaderSummary) -> Option<ConsumerConfig> {
    let arguments = reader.settings.arguments.iter();
    let (_, kept) = arguments.clone().find(|(name, _)| name == CONSUMER)?;
    ConsumerConfig::kept(kept)
}

/// A consumer with its state; none if the reader is no consumer.
pub(crate) fn consumer_info(reader: &ReaderSummary, now: Millis) -> Option<Map<String, Value>> {
    let mut config = config_of(reader)?;
    if config.name.is_empty() {
        config.name = reader.name.clone();
    }
    let paused_for = reader.settings.paused_until.filter(|until| *until > now);
    config.pause_until = paused_for.map(write_time);
    let progress = |one: polybus_model::Progress| {
        let mut told = json!({ "consumer_seq": one.sequence, "stream_seq": one.offset });
        if let (Some(time), Value::Object(told)) = (one.time, &mut told) {
            told.insert("last_active".into(), write_time(time).into());
        }
        told
    };
    let mut told = json!({
        "stream_name": reader.log.as_str(),
        "name": reader.name,
        "created": write_time(reader.created),
        "config": serde_json::to_value(&config).unwrap_or_default(),
        "delivered": progress(reader.delivered),
        "ack_floor": progress(reader.settled),
        "num_ack_pending": reader.leased,
        "num_redelivered": reader.again,
        "num_waiting": reader.waiting,
        "num_pending": reader.pending,
        "ts": write_time(now),
    });
    let Value::Object(map) = &mut told else {
        return None;
    };
    if reader.is_heard {
        map.insert("push_bound".into(), true.into());
    }
    if let Some(states) = priority::group_states(reader) {
        map.insert("priority_groups".into(), states);
    }
    if let Some(until) = paused_for {
        map.insert("paused".into(), true.into());
        let left = (until - now).saturating_mul(NS_PER_MS as u64);
        map.insert("pause_remaining".into(), left.into());
    }
    Some(std::mem::take(map))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A configuration as it is used, or the number of the error.
    pub(super) fn read(text: &str) -> Result<ConsumerConfig, u16> {
        let mut config: ConsumerConfig = serde_json::from_str(text).unwrap();
        config.fill_in();
        config
            .check()
            .map(|()| config)
            .map_err(|error| error.number)
    }

    #[test]
    fn what_is_left_open_is_filled_in() {
        let config = read(r#"{"durable_name":"d","ack_policy":"explicit"}"#).unwrap();
        let settings = config.settings(true).unwrap();
        assert_eq!(settings.lease_ms, 30_000);
        assert_eq!(settings.leased_max, Some(1_000));
        assert_eq!(settings.pulls.waiting_max, Some(512));
        assert_eq!((settings.attempts_max, settings.idle_ms), (None, None));
        assert!(settings.durable && settings.push.is_none());
        assert_eq!(ConsumerConfig::kept(&config.text()), Some(config));
        let unpaused = read(r#"{"pause_until":"0001-01-01T00:00:00Z"}"#).unwrap();
        assert_eq!(unpaused.settings(true).unwrap().paused_until, None);
        let ephemeral = read("{}").unwrap().settings(true).unwrap();
        let early = r#"{"deliver_policy":"by_start_time","opt_start_time":"0001-01-01T00:00:00Z"}"#;
        let early = read(early).unwrap().settings(true).unwrap();
        assert_eq!(early.start, ReaderStart::Time(0));
        assert!(!ephemeral.durable);
        assert_eq!(ephemeral.idle_ms, Some(5_000));
    }

    #[test]
    fn what_is_wrong_has_its_number() {
        for (text, number) in [
            (r#"{"sample_freq":"often"}"#, 10095),
            (r#"{"name":"a.b"}"#, 10052),
            (r#"{"deliver_subject":"a.*"}"#, 10079),
            (r#"{"flow_control":true}"#, 10089),
            (r#"{"idle_heartbeat":1}"#, 10088),
            (r#"{"deliver_subject":"a","idle_heartbeat":1000}"#, 10083),
            (r#"{"deliver_subject":"a","flow_control":true}"#, 10108),
            (r#"{"filter_subject":"a","filter_subjects":["b"]}"#, 10136),
            (r#"{"filter_subjects":["a.*","a.b"]}"#, 10138),
            (r#"{"filter_subjects":[""]}"#, 10139),
            (r#"{"deliver_policy":"by_start_sequence"}"#, 10094),
            (r#"{"opt_start_seq":4}"#, 10094),
            (r#"{"max_deliver":1,"backoff":[1,2]}"#, 10116),
            (r#"{"name":"a","durable_name":"b"}"#, 10132),
        ] {
            assert_eq!(read(text).unwrap_err(), number, "{text}");
        }
    }
}
