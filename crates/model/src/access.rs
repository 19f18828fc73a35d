//! Who may come in and what they may do, as sessions ask for it and change it: users' salted keys, and rules.

use std::fmt;

use bytes::Bytes;

use crate::{Quota, QuotaChange};

/// The hash function of a login by challenge and proof (SCRAM, RFC 5802).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum ScramHash {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl ScramHash {
    /// All that there are.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// The mechanism's name, as SASL has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// Bytes of one hash.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// What a client says to prove that it knows a password. Never printed.
#[derive(Clone)]
pub struct ScramProof {
    /// The user.
    pub user: String,
    /// The hash function.
    pub hash: ScramHash,
    /// All that was said before, as both sides sign it.
    pub said: Bytes,
    /// The client's proof.
    pub proof: Bytes,
}

impl fmt::Debug for ScramProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScramProof({:?}, {}, ..)", self.user, self.hash.name())
    }
}

/// A change of a user's keys.
#[derive(Clone)]
pub enum KeyChange {
    /// They are made of this salted password; a user that is not there yet is made, and may do nothing.
    Put {
        /// The user.
        user: String,
        /// The hash function.
        hash: ScramHash,
        /// How often it was hashed.
        iterations: u32,
        /// With what.
        salt: Bytes,
        /// What came of it.
        salted_password: Bytes,
    },
    /// They go.
    Delete {
        /// The user.
        user: String,
        /// The hash function.
        hash: ScramHash,
    },
}

impl KeyChange {
    /// Whose keys.
    #[must_use]
    pub fn user(&self) -> &str {
        match self {
            Self::Put { user, .. } | Self::Delete { user, .. } => user,
        }
    }

    /// Of which hash function.
    #[must_use]
    pub fn hash(&self) -> ScramHash {
        match self {
            Self::Put { hash, .. } | Self::Delete { hash, .. } => *hash,
        }
    }
}

impl fmt::Debug for KeyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "KeyChange({:?}, {}, ..)",
            self.user(),
            self.hash().name()
        )
    }
}

/// What can be done with a resource.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Operation {
    /// Any of them, in a rule.
    All,
    /// Take messages out, or work in a group.
    Read,
    /// Put messages in, or use a transaction's name.
    Write,
    /// Make it.
    Create,
    /// Delete it, or records of it.
    Delete,
    /// Change what it is.
    Alter,
    /// Know of it.
    Describe,
    /// What a broker does with others.
    ClusterAction,
    /// See its settings.
    DescribeSettings,
    /// Change its settings.
    AlterSettings,
    /// Write so that what is sent twice is recognised.
    IdempotentWrite,
}

impl Operation {
    /// All that there are.
    pub const EACH: [Self; 11] = [
        Self::All,
        Self::Read,
        Self::Write,
        Self::Create,
        Self::Delete,
        Self::Alter,
        Self::Describe,
        Self::ClusterAction,
        Self::DescribeSettings,
        Self::AlterSettings,
        Self::IdempotentWrite,
    ];
}

/// Some operations.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Operations(u16);

impl Operations {
    /// Whether an operation is among them.
    #[must_use]
    pub const fn contains(self, operation: Operation) -> bool {
        self.0 & 1 << operation as u16 != 0
    }

    /// Adds one.
    pub const fn insert(&mut self, operation: Operation) {
        self.0 |= 1 << operation as u16;
    }
}

impl FromIterator<Operation> for Operations {
    fn from_iter<I: IntoIterator<Item = Operation>>(all: I) -> Self {
        let mut operations = Self::default();
        all.into_iter().for_each(|one| operations.insert(one));
        operations
    }
}

/// A sort of things that rules are about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Guarded {
    /// Topics, and the logs behind them.
    Topic,
    /// Groups.
    Group,
    /// The broker as a whole; its name is [`CLUSTER`].
    Cluster,
    /// Names of producers' transactions.
    Transaction,
}

/// The broker's name as a resource.
pub const CLUSTER: &str = "kafka-cluster";

/// Stands for every name, user or host in a rule.
pub const EVERY: &str = "*";

/// Who may, or may not, do what from where.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Rule {
    /// To what sort of thing.
    pub guarded: Guarded,
    /// To which: its name, or how it begins; [`EVERY`] stands for each.
    pub name: String,
    /// The name is only the beginning of those that are meant.
    pub is_prefix: bool,
    /// Who, or [`EVERY`].
    pub user: String,
    /// From which address, or [`EVERY`].
    pub host: String,
    /// What.
    pub operation: Operation,
    /// May; else it may not, whatever else says that it may.
    pub allows: bool,
}

impl Rule {
    /// Whether it is about that resource.
    #[must_use]
    pub fn is_about(&self, guarded: Guarded, name: &str) -> bool {
        let is_named = match self.is_prefix {
            true => name.starts_with(&self.name),
            false => self.name == name || self.name == EVERY,
        };
        self.guarded == guarded && is_named
    }
}

/// How the name in a filter of rules is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameFilter {
    /// Rules that say just that name, as a name or as a beginning.
    Any,
    /// Rules that a resource of that name falls under.
    Match,
    /// Rules that say just that name, as a name.
    Literal,
    /// Rules that say just that name, as a beginning.
    Prefix,
}

/// Which rules are meant; what is not said does not matter.
#[derive(Clone, Debug)]
pub struct RuleFilter {
    /// About that sort of thing.
    pub guarded: Option<Guarded>,
    /// About that name.
    pub name: Option<String>,
    /// How the name is meant.
    pub names: NameFilter,
    /// Of that user.
    pub user: Option<String>,
    /// From that host.
    pub host: Option<String>,
    /// Of that operation.
    pub operation: Option<Operation>,
    /// Those that allow, or those that do not.
    pub allows: Option<bool>,
}

impl RuleFilter {
    /// Whether a rule is meant.
    #[must_use]
    pub fn takes(&self, rule: &Rule) -> bool {
        fn is<T: PartialEq>(wanted: Option<&T>, found: &T) -> bool {
            wanted.is_none_or(|wanted| wanted == found)
        }
        let is_sort = match self.names {
            NameFilter::Any | NameFilter::Match => true,
            NameFilter::Literal => !rule.is_prefix,
            NameFilter::Prefix => rule.is_prefix,
        };
        let is_named = match (&self.name, self.names) {
            (None, _) => true,
            (Some(name), NameFilter::Match) => rule.is_about(rule.guarded, name),
            (Some(name), _) => *name == rule.name,
        };
        is_sort
            && is_named
            && is(self.guarded.as_ref(), &rule.guarded)
            && is(self.user.as_ref(), &rule.user)
            && is(self.host.as_ref(), &rule.host)
            && is(self.operation.as_ref(), &rule.operation)
            && is(self.allows.as_ref(), &rule.allows)
    }
}

/// What a session asks about access.
#[derive(Clone, Debug)]
pub enum AccessRequest {
    /// What the session may do with these. Answers [`AccessReply::Allowed`].
    Allowed(Vec<(Guarded, String)>),
    /// Rules of the session's namespace. Answers [`AccessReply::Rules`], with one list.
    Rules(RuleFilter),
    /// Add rules; one that is there already is fine. Answers [`AccessReply::Changed`] when durable.
    AddRules(Vec<Rule>),
    /// Delete rules. Answers [`AccessReply::Rules`] with those that went, for each filter, when durable.
    DeleteRules(Vec<RuleFilter>),
    /// Who has keys: these users, or all that have any. Answers [`AccessReply::Keys`].
    Keys(Option<Vec<String>>),
    /// Change keys, user by user. Answers [`AccessReply::Changed`] when durable.
    ChangeKeys(Vec<KeyChange>),
    /// All quotas. Answers [`AccessReply::Quotas`].
    Quotas,
    /// Change quotas. Answers [`AccessReply::Changed`] when durable.
    ChangeQuotas(Vec<QuotaChange>),
}

/// A user, and the hash functions that it has keys of, with how often its password was hashed.
pub type UserKeys = (String, Result<Vec<(ScramHash, u32)>, AccessError>);

/// What a session is told about access.
#[derive(Clone, Debug)]
pub enum AccessReply {
    /// For each resource, in order.
    Allowed(Vec<Operations>),
    /// For each filter, in order.
    Rules(Vec<Vec<Rule>>),
    /// For each user, in order.
    Keys(Vec<UserKeys>),
    /// All that there are.
    Quotas(Vec<Quota>),
    /// For each change, in order.
    Changed(Vec<Result<(), AccessError>>),
    /// Nothing of it may be asked, or done.
    Refused(AccessError),
}

/// Why something about access could not be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AccessError {
    /// The session may not.
    Forbidden,
    /// There is no such user, or it has none of what was asked for.
    NotFound,
    /// It makes no sense; the text says why.
    Invalid(String),
    /// The broker cannot do it now; the text says why.
    Unavailable(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, is_prefix: bool) -> Rule {
        Rule {
            guarded: Guarded::Topic,
            name: name.into(),
            is_prefix,
            user: "ada".into(),
            host: EVERY.into(),
            operation: Operation::Read,
            allows: true,
        }
    }

    #[test]
    fn rules_are_about_names_and_beginnings() {
        let about = |rule: Rule, name| rule.is_about(Guarded::Topic, name);
        assert!(about(rule("a", false), "a") && !about(rule("a", false), "ab"));
        assert!(about(rule("a", true), "ab") && !about(rule("a", true), "b"));
        assert!(about(rule(EVERY, false), "b"));
        assert!(!rule("a", false).is_about(Guarded::Group, "a"));
    }

    #[test]
    fn filters_take_what_they_say() {
        let all = [rule("abc", false), rule("a", true), rule(EVERY, false)];
        let taken = |name: Option<&str>, names, user: Option<&str>| -> Vec<_> {
            let filter = RuleFilter {
                guarded: None,
                name: name.map(str::to_owned),
                names,
                user: user.map(str::to_owned),
                host: None,
                operation: None,
                allows: None,
            };
            all.iter().map(|rule| filter.takes(rule)).collect()
        };
        assert_eq!(taken(None, NameFilter::Any, None), [true, true, true]);
        assert_eq!(
            taken(Some("abc"), NameFilter::Match, None),
            [true, true, true]
        );
        assert_eq!(
            taken(Some("abc"), NameFilter::Any, None),
            [true, false, false]
        );
        assert_eq!(
            taken(Some("a"), NameFilter::Literal, None),
            [false, false, false]
        );
        assert_eq!(
            taken(Some("a"), NameFilter::Prefix, None),
            [false, true, false]
        );
        assert_eq!(
            taken(None, NameFilter::Any, Some("eve")),
            [false, false, false]
        );
    }

    #[test]
    fn operations_are_a_set() {
        let some: Operations = [Operation::Read, Operation::IdempotentWrite]
            .into_iter()
            .collect();
        let found = Operation::EACH
            .into_iter()
            .filter(|one| some.contains(*one));
        assert_eq!(found.count(), 2);
    }
}
