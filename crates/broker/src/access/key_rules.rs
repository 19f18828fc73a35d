//! A user's rules about keys, as the journal, the snapshot and the administrator have them.

use polybus_model::{Answers, KeyPatterns, KeyRules, Millis};
use serde::{Deserialize, Serialize};

/// Rules about the keys of live topics (subjects), in a namespace. Nothing said: all are allowed.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct KeptKeyRules {
    /// What it may publish to; none: all but what is denied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish_allow: Option<Vec<String>>,
    /// What it may not publish to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub publish_deny: Vec<String>,
    /// What it may subscribe to; none: all but what is denied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscribe_allow: Option<Vec<String>>,
    /// What it may not subscribe to, and is not handed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subscribe_deny: Vec<String>,
    /// It may answer what it was handed: how often, and for how many milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<(u32, Millis)>,
}

impl KeptKeyRules {
    /// Whether anything is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// All patterns.
    pub fn patterns(&self) -> impl Iterator<Item = &String> {
        let allowed = self.publish_allow.iter().chain(&self.subscribe_allow);
        let denied = self.publish_deny.iter().chain(&self.subscribe_deny);
        allowed.flatten().chain(denied)
    }

    /// For sessions. Whoever may answer may not publish anywhere else that is not said.
    pub(crate) fn rules(&self) -> KeyRules {
        let nothing = self.answers.map(|_| Vec::new());
        KeyRules {
            publish: KeyPatterns {
                allow: self.publish_allow.clone().or(nothing),
                deny: self.publish_deny.clone(),
            },
            subscribe: KeyPatterns {
                allow: self.subscribe_allow.clone(),
                deny: self.subscribe_deny.clone(),
            },
            answers: self.answers.map(|(count_max, within_ms)| Answers {
                count_max,
                within_ms,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_allowed_unless_only_answers_are() {
        let none = KeptKeyRules::default();
        assert!(none.is_empty() && none.rules().publish.allow.is_none());
        let text = r#"{"subscribe_allow":["a.>"],"answers":[1,2000]}"#;
        let kept: KeptKeyRules = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&kept).unwrap(), text);
        let rules = kept.rules();
        assert_eq!(rules.publish.allow, Some(Vec::new()));
        assert_eq!(rules.subscribe.allow, Some(vec!["a.>".to_owned()]));
    }
}
