//! Priority groups: who of those that pull from a consumer comes first.

use polybus_model::{Precedence, PullGroups, ReaderSummary};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ConsumerConfig, NS_PER_MS};
use crate::mapping::jetstream::{ApiError, NO_TIME, write_time};

/// How long a client stays pinned that does not pull, if nothing else is said.
const PINNED_NS: i64 = 120_000 * NS_PER_MS;
/// The longest name of a group.
const NAME_LEN_MAX: usize = 16;

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Priority {
    #[default]
    None,
    Overflow,
    PinnedClient,
    Prioritized,
}

pub(super) fn is_none(priority: &Priority) -> bool {
    *priority == Priority::None
}

/// Whether a group may have that name.
fn is_group_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"/_=-".contains(&byte);
    !name.is_empty() && name.len() <= NAME_LEN_MAX && name.bytes().all(fits)
}

/// What is wrong with the name of a group.
pub(crate) fn check_group_name(name: &str) -> Result<(), ApiError> {
    if is_group_name(name) {
        return Ok(());
    }
    let text = "Valid priority group name must match A-Z, a-z, 0-9, -_/=)+ and may not exceed 16 characters";
    Err(ApiError::new(400, 10162, text))
}

impl ConsumerConfig {
    /// Fills in what was left open.
    pub(super) fn fill_in_priority(&mut self) {
        self.priority_timeout = self.priority_timeout.max(0);
        if self.priority_policy == Priority::PinnedClient && self.priority_timeout == 0 {
            self.priority_timeout = PINNED_NS;
        }
    }

    /// What is wrong with its priority groups.
    pub(super) fn check_priority(&self) -> Result<(), ApiError> {
        let refused = |number: u16, text: &str| Err(ApiError::new(400, number, text));
        if self.priority_policy == Priority::None {
            if !self.priority_groups.is_empty() {
                let text = "consumer can not have priority groups when policy is none";
                return refused(10196, text);
            }
            if self.priority_timeout > 0 {
                let text = "PinnedTTL cannot be set when PriorityPolicy is none";
                return refused(10197, text);
            }
            return Ok(());
        }
        if !self.deliver_subject.is_empty() {
            let text = "priority groups can not be used with push consumers";
            return refused(10178, text);
        }
        if self.priority_groups.is_empty() {
            let text = "Setting PriorityPolicy requires at least one PriorityGroup to be set";
            return refused(10159, text);
        }
        for name in &self.priority_groups {
            if name.is_empty() {
                return refused(10161, "Group name cannot be an empty string");
            }
            check_group_name(name)?;
        }
        Ok(())
    }

    /// The groups of those who pull.
    pub(super) fn groups(&self) -> Option<Box<PullGroups>> {
        let precedence = match self.priority_policy {
            Priority::None => return None,
            Priority::Overflow => Precedence::Overflow,
            Priority::PinnedClient => {
                let keep = self.priority_timeout / NS_PER_MS;
                Precedence::Pinned(u64::try_from(keep).unwrap_or_default().max(1))
            }
            Priority::Prioritized => Precedence::Ranked,
        };
        let names = self.priority_groups.clone();
        Some(Box::new(PullGroups { names, precedence }))
    }
}

/// Who is pinned, as a consumer's state tells it: as with nats-server, one for all groups, told of the first.
pub(super) fn group_states(reader: &ReaderSummary) -> Option<Value> {
    let first = reader.settings.groups.as_ref()?.names.first()?;
    let mut told = json!({ "group": first, "pinned_ts": NO_TIME });
    if let Some(pinned) = &reader.pinned {
        told["pinned_client_id"] = pinned.pin.as_str().into();
        told["pinned_ts"] = write_time(pinned.since).into();
    }
    Some(json!([told]))
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;

    #[test]
    fn groups_are_read() {
        let text = r#"{"priority_policy":"pinned_client","priority_groups":["A","b/c"]}"#;
        let config = read(text).unwrap();
        let groups = config.groups().unwrap();
        assert_eq!(groups.precedence, Precedence::Pinned(120_000));
        assert_eq!(groups.names, ["A", "b/c"]);
        assert_eq!(ConsumerConfig::kept(&config.text()), Some(config));
        let short = r#"{"priority_policy":"pinned_client","priority_groups":["A"],"priority_timeout":1000000000}"#;
        let groups = read(short).unwrap().groups().unwrap();
        assert_eq!(groups.precedence, Precedence::Pinned(1_000));
        assert_eq!(
            read(r#"{"priority_policy":"none"}"#).unwrap().groups(),
            None
        );
    }

    #[test]
    fn what_is_wrong_has_its_number() {
        for (text, number) in [
            (r#"{"priority_groups":["A"]}"#, 10196),
            (r#"{"priority_timeout":1}"#, 10197),
            (r#"{"priority_policy":"overflow"}"#, 10159),
            (
                r#"{"priority_policy":"overflow","priority_groups":[""]}"#,
                10161,
            ),
            (
                r#"{"priority_policy":"overflow","priority_groups":["a b"]}"#,
                10162,
            ),
            (
                r#"{"priority_policy":"overflow","priority_groups":["abcdefghijklmnopq"]}"#,
                10162,
            ),
            (
                r#"{"priority_policy":"prioritized","priority_groups":["A"],"deliver_subject":"d"}"#,
                10178,
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), number, "{text}");
        }
    }
}
