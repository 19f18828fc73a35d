//! A rule as the journal and the snapshot hold it: `["allow","topic","prefix","orders.","ada","*","read"]`. The words stay as
//! they are; whoever finds a word that is not here was written by a newer version.

use polybus_model::{Guarded, Operation, Rule};
use serde::{Deserialize, Serialize};

const GUARDED: [(Guarded, &str); 4] = [
    (Guarded::Topic, "topic"),
    (Guarded::Group, "group"),
    (Guarded::Cluster, "cluster"),
    (Guarded::Transaction, "transaction"),
];
const OPERATIONS: [(Operation, &str); 11] = [
    (Operation::All, "all"),
    (Operation::Read, "read"),
    (Operation::Write, "write"),
    (Operation::Create, "create"),
    (Operation::Delete, "delete"),
    (Operation::Alter, "alter"),
    (Operation::Describe, "describe"),
    (Operation::ClusterAction, "cluster-action"),
    (Operation::DescribeSettings, "describe-settings"),
    (Operation::AlterSettings, "alter-settings"),
    (Operation::IdempotentWrite, "idempotent-write"),
];
const ALLOWS: [(bool, &str); 2] = [(true, "allow"), (false, "deny")];
const PREFIX: [(bool, &str); 2] = [(true, "prefix"), (false, "name")];

/// A rule in words.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "[String; 7]", into = "[String; 7]")]
pub(crate) struct KeptRule(Rule);

impl From<Rule> for KeptRule {
    fn from(rule: Rule) -> Self {
        Self(rule)
    }
}

impl From<KeptRule> for Rule {
    fn from(kept: KeptRule) -> Self {
        kept.0
    }
}

fn word<T: PartialEq>(words: &[(T, &'static str)], thing: &T) -> String {
    let found = words.iter().find(|(known, _)| known == thing);
    found.map_or("", |(_, word)| *word).to_owned()
}

fn thing<T: Copy>(words: &[(T, &'static str)], word: &str) -> Result<T, String> {
    let found = words.iter().find(|(_, known)| *known == word);
    let found = found.map(|(thing, _)| *thing);
    found.ok_or_else(|| format!("a rule says '{word}', which this version does not know"))
}

impl From<KeptRule> for [String; 7] {
    fn from(KeptRule(rule): KeptRule) -> Self {
        [
            word(&ALLOWS, &rule.allows),
            word(&GUARDED, &rule.guarded),
            word(&PREFIX, &rule.is_prefix),
            rule.name,
            rule.user,
            rule.host,
            word(&OPERATIONS, &rule.operation),
        ]
    }
}

impl TryFrom<[String; 7]> for KeptRule {
    type Error = String;

    fn try_from(words: [String; 7]) -> Result<Self, String> {
        let [allows, guarded, prefix, name, user, host, operation] = words;
        Ok(Self(Rule {
            allows: thing(&ALLOWS, &allows)?,
            guarded: thing(&GUARDED, &guarded)?,
            is_prefix: thing(&PREFIX, &prefix)?,
            operation: thing(&OPERATIONS, &operation)?,
            name,
            user,
            host,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_kept_in_words() {
        let text = r#"["deny","transaction","prefix","orders.","ada","*","cluster-action"]"#;
        let kept: KeptRule = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&kept).unwrap(), text);
        let rule = Rule::from(kept);
        assert!(!rule.allows && rule.is_prefix && rule.operation == Operation::ClusterAction);
        let unknown = text.replace("deny", "perhaps");
        assert!(serde_json::from_str::<KeptRule>(&unknown).is_err());
    }
}
