//! What a stream lets its consumers have at most.

use serde::{Deserialize, Serialize};

use super::{StreamConfig, is_zero};
use crate::mapping::jetstream::{ApiError, ConsumerConfig};

const NS_PER_S: i64 = 1_000_000_000;
const NS_PER_MS: i64 = 1_000_000;

/// Limits for the consumers of a stream; 0 stands for none.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ConsumerLimits {
    #[serde(skip_serializing_if = "is_zero")]
    inactive_threshold: i64,
    #[serde(skip_serializing_if = "is_zero")]
    max_ack_pending: i64,
}

impl StreamConfig {
    /// What a consumer leaves open is as the stream has it at most.
    pub(crate) fn fill_in_consumer(&self, consumer: &mut ConsumerConfig) {
        let limits = self.consumer_limits;
        if consumer.max_ack_pending == 0 {
            consumer.max_ack_pending = limits.max_ack_pending.max(0);
        }
        if consumer.inactive_threshold == 0 {
            consumer.inactive_threshold = limits.inactive_threshold.max(0);
        }
    }

    /// Whether a consumer keeps to the stream's limits.
    pub(super) fn check_limits(&self, consumer: &ConsumerConfig) -> Result<(), ApiError> {
        let limits = self.consumer_limits;
        let refused = |number: u16, what: &str, most: String| {
            let text = format!("consumer {what} exceeds system limit of {most}");
            Err(ApiError::new(400, number, text))
        };
        if limits.max_ack_pending > 0 && consumer.max_ack_pending > limits.max_ack_pending {
            let most = limits.max_ack_pending.to_string();
            return refused(10121, "max ack pending", most);
        }
        if limits.inactive_threshold > 0 && consumer.inactive_threshold > limits.inactive_threshold
        {
            let most = duration(limits.inactive_threshold);
            return refused(10153, "inactive threshold", most);
        }
        Ok(())
    }

    /// Whether its consumers have to keep to other limits than before.
    pub(crate) fn limits_more_than(&self, before: &Self) -> bool {
        let (now, was) = (self.consumer_limits, before.consumer_limits);
        let differs = |now: i64, was: i64| now > 0 && now != was;
        differs(now.inactive_threshold, was.inactive_threshold)
            || differs(now.max_ack_pending, was.max_ack_pending)
    }

    /// Whether the consumers that there are keep to the limits.
    pub(crate) fn check_all<'a>(
        &self,
        consumers: impl Iterator<Item = (&'a str, ConsumerConfig)>,
    ) -> Result<(), ApiError> {
        let over = consumers.filter(|(_, one)| self.check_limits(one).is_err());
        let names: Vec<&str> = over.map(|(name, _)| name).collect();
        if names.is_empty() {
            return Ok(());
        }
        let text = format!("change to limits violates consumers: {}", names.join(", "));
        Err(ApiError::new(500, 10069, text))
    }
}

/// Nanoseconds as Go writes a duration, down to milliseconds.
fn duration(ns: i64) -> String {
    match ns % NS_PER_S {
        0 => format!("{}s", ns / NS_PER_S),
        _ => format!("{}ms", ns / NS_PER_MS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consumers_keep_to_the_limits_of_their_stream() {
        let text = r#"{"name":"S","consumer_limits":{"max_ack_pending":10,"inactive_threshold":2000000000}}"#;
        let stream: StreamConfig = serde_json::from_str(text).unwrap();
        let consumer = |text: &str| {
            let mut read: ConsumerConfig = serde_json::from_str(text).unwrap();
            stream.fill_in_consumer(&mut read);
            read.fill_in();
            read
        };
        let open = consumer(r#"{"ack_policy":"explicit"}"#);
        assert_eq!(
            (open.max_ack_pending, open.inactive_threshold),
            (10, 2_000_000_000)
        );
        assert_eq!(stream.check_limits(&open), Ok(()));
        let much = consumer(r#"{"ack_policy":"explicit","max_ack_pending":11}"#);
        assert_eq!(stream.check_limits(&much).unwrap_err().number, 10121);
        let long = consumer(r#"{"inactive_threshold":3000000000}"#);
        let refused = stream.check_limits(&long).unwrap_err();
        assert!(refused.number == 10153 && refused.text.ends_with("of 2s"));
        let all = [("a", open), ("b", much), ("c", long)];
        let refused = stream.check_all(all.into_iter()).unwrap_err();
        assert!(refused.text.ends_with("consumers: b, c"));
        let free = StreamConfig::default();
        assert!(stream.limits_more_than(&free) && !free.limits_more_than(&stream));
    }
}
