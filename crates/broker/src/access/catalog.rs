//! Users and their permissions, as they are kept: a change is one journal record, the whole a part of the snapshot. Both
//! are JSON, since they are few, and someone will want to read them one day.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use polybus_engine::Store as _;
use polybus_model::{Metered, Name, Quota, QuotaChange, QuotaOwner, Rule, ScramHash};
use serde::{Deserialize, Serialize};

use super::kept_quota::KeptQuota;
use super::kept_rule::KeptRule;
use super::passwords::PasswordError;
use super::{Grants, KeptKeyRules, Passwords, Patterns, Permissions, ScramKeys};
use crate::broker::CATALOG_RECORD;
use crate::staging::Staging;

/// One change to the catalog, as the journal holds it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum Change {
    /// A user is made, or its password and tags are changed.
    PutUser {
        /// Its name.
        name: String,
        /// Its password's hash; none: it cannot log in by password.
        hash: Option<String>,
        /// Its tags (`administrator`, ...).
        tags: Vec<String>,
        /// Its password's salted keys.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        keys: Vec<ScramKeys>,
    },
    /// A user goes, with its permissions.
    DeleteUser {
        /// Its name.
        name: String,
    },
    /// A user may do that in a namespace.
    PutPermissions {
        /// The user.
        user: String,
        /// The namespace.
        namespace: String,
        /// What.
        patterns: Patterns,
    },
    /// Which keys a user may publish to and subscribe to in a namespace; nothing said takes the rules away.
    PutKeyRules {
        /// The user.
        user: String,
        /// The namespace.
        namespace: String,
        /// The rules.
        rules: KeptKeyRules,
    },
    /// A user may no longer enter a namespace.
    DeletePermissions {
        /// The user.
        user: String,
        /// The namespace.
        namespace: String,
    },
    /// What the salts of users are made of that are not there. Nobody else knows it.
    PutSecret {
        /// Random bytes.
        secret: Vec<u8>,
    },
    /// A rule of a namespace.
    PutRule {
        /// The namespace.
        namespace: String,
        /// The rule.
        rule: KeptRule,
    },
    /// A rule goes.
    DeleteRule {
        /// The namespace.
        namespace: String,
        /// The rule.
        rule: KeptRule,
    },
    /// A quota is that, or is no more.
    PutQuota {
        /// The quota.
        quota: KeptQuota,
    },
    /// A namespace is gone, and with it all permissions in it.
    DeleteNamespace {
        /// Its name.
        name: String,
    },
}

impl Change {
    /// A user becomes what this one is, but for its permissions.
    pub(crate) fn put_user(name: &str, user: User) -> Self {
        Self::PutUser {
            name: name.to_owned(),
            hash: user.hash,
            tags: user.tags,
            keys: user.keys,
        }
    }
}

/// The tag of whoever may look at users and what they may do, and change it.
const ADMINISTRATOR: &str = "administrator";

/// A user.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) hash: Option<String>,
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    /// One for each hash function, or for none: its password was set before there were any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) keys: Vec<ScramKeys>,
    /// By namespace.
    #[serde(default)]
    pub(crate) permissions: BTreeMap<String, Patterns>,
    /// By namespace, where there are any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) key_rules: BTreeMap<String, KeptKeyRules>,
}

impl User {
    /// With what a password comes to; without one it can only come with a certificate.
    pub(crate) fn new(password: Option<&str>) -> Result<Self, PasswordError> {
        let mut user = Self::default();
        if let Some(password) = password {
            user.set_password(password)?;
        }
        Ok(user)
    }

    /// Gives it another password.
    pub(crate) fn set_password(&mut self, password: &str) -> Result<(), PasswordError> {
        self.hash = Some(Passwords::hash(password)?);
        self.keys = ScramKeys::of_password(password).map_err(PasswordError::Hash)?;
        Ok(())
    }

    /// Whether it may look at users and change them.
    pub(crate) fn is_administrator(&self) -> bool {
        self.tags.iter().any(|tag| tag == ADMINISTRATOR)
    }

    /// Whether a user can have that name.
    pub(crate) fn check_name(name: &str) -> Result<(), String> {
        if (1..=Name::MAX).contains(&name.len()) {
            return Ok(());
        }
        Err(format!("a user's name has 1 to {} bytes", Name::MAX))
    }
}

/// What a snapshot holds beside the users.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Rest {
    secret: Vec<u8>,
    rules: BTreeMap<String, Vec<KeptRule>>,
    /// None before 0.4.
    quotas: Option<Vec<KeptQuota>>,
}

/// A snapshot's bytes: the users and the rest; before 0.3 the users alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Kept {
    Whole(BTreeMap<String, User>, Rest),
    Users(BTreeMap<String, User>),
}

/// All users. Its `generation` changes with every change, so that sessions know when to look again.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    users: BTreeMap<String, User>,
    secret: Vec<u8>,
    /// By namespace.
    rules: BTreeMap<String, BTreeSet<Rule>>,
    quotas: BTreeMap<(QuotaOwner, Metered), f64>,
    /// Its snapshot was taken by a version before 0.4.
    is_older: bool,
    generation: u64,
}

impl Catalog {
    /// What makes the first user of a fresh data folder: allowed everything in `/`.
    pub(crate) fn first_changes(name: &str, user: User) -> [Change; 2] {
        let tags = vec![ADMINISTRATOR.to_owned()];
        [
            Change::put_user(name, User { tags, ..user }),
            Change::PutPermissions {
                user: name.into(),
                namespace: "/".into(),
                patterns: Patterns::all(),
            },
        ]
    }

    /// From a snapshot's bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let (users, rest) = match serde_json::from_slice(bytes)? {
            Kept::Whole(users, rest) => (users, rest),
            Kept::Users(users) => (users, Rest::default()),
        };
        let is_older = rest.quotas.is_none();
        let quotas = rest.quotas.into_iter().flatten().map(QuotaChange::from);
        let quotas = quotas.filter_map(|one| Some(((one.owner, one.metered), one.rate?)));
        Ok(Self {
            quotas: quotas.collect(),
            is_older,
            users,
            secret: rest.secret,
            rules: rest
                .rules
                .into_iter()
                .map(|(namespace, rules)| (namespace, rules.into_iter().map(Rule::from).collect()))
                .collect(),
            generation: 1,
        })
    }

    /// Whether its snapshot was taken by a version before 0.4, which knew no quotas.
    pub(crate) fn is_older(&self) -> bool {
        self.is_older
    }

    /// For a snapshot.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let rules = self.rules.iter().map(|(namespace, rules)| {
            let kept = rules.iter().cloned().map(KeptRule::from);
            (namespace.clone(), kept.collect())
        });
        let rest = Rest {
            secret: self.secret.clone(),
            rules: rules.collect(),
            quotas: Some(self.quotas().map(KeptQuota::from).collect()),
        };
        serde_json::to_vec(&(&self.users, rest))
    }

    /// Carries out changes and keeps them: all or none.
    pub(crate) fn stage(
        &mut self,
        staging: &mut Staging,
        changes: &[Change],
    ) -> Result<(), serde_json::Error> {
        let records: Result<Vec<_>, _> = changes.iter().map(serde_json::to_vec).collect();
        for (change, record) in changes.iter().zip(records?) {
            staging.append(CATALOG_RECORD, 0, 0, &[&record], None, 0);
            self.apply(change);
        }
        Ok(())
    }

    /// Carries out a change.
    pub(crate) fn apply(&mut self, change: &Change) {
        self.generation += 1;
        match change.clone() {
            Change::PutUser {
                name,
                hash,
                tags,
                keys,
            } => {
                let user = self.users.entry(name).or_default();
                user.hash = hash;
                user.tags = tags;
                user.keys = keys;
            }
            Change::PutSecret { secret } => self.secret = secret,
            Change::DeleteUser { name } => {
                self.users.remove(&name);
            }
            Change::PutPermissions {
                user,
                namespace,
                patterns,
            } => {
                if let Some(user) = self.users.get_mut(&user) {
                    user.permissions.insert(namespace, patterns);
                }
            }
            Change::PutKeyRules {
                user,
                namespace,
                rules,
            } => {
                if let Some(user) = self.users.get_mut(&user) {
                    user.key_rules.insert(namespace, rules);
                    user.key_rules.retain(|_, rules| !rules.is_empty());
                }
            }
            Change::DeletePermissions { user, namespace } => {
                if let Some(user) = self.users.get_mut(&user) {
                    user.permissions.remove(&namespace);
                    user.key_rules.remove(&namespace);
                }
            }
            Change::PutRule { namespace, rule } => {
                let rules = self.rules.entry(namespace).or_default();
                rules.insert(rule.into());
            }
            Change::DeleteRule { namespace, rule } => {
                if let Some(rules) = self.rules.get_mut(&namespace) {
                    rules.remove(&rule.into());
                }
            }
            Change::PutQuota { quota } => {
                let change = QuotaChange::from(quota);
                let at = (change.owner, change.metered);
                match change.rate {
                    Some(rate) => self.quotas.insert(at, rate),
                    None => self.quotas.remove(&at),
                };
            }
            Change::DeleteNamespace { name } => {
                self.rules.remove(&name);
                for user in self.users.values_mut() {
                    user.permissions.remove(&name);
                    user.key_rules.remove(&name);
                }
            }
        }
    }

    /// Changes with every change.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// What the salts of users are made of that are not there; empty if there is none yet.
    pub(crate) fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// A user's keys, or what looks like them.
    pub(crate) fn keys(&self, user: &str, hash: ScramHash) -> ScramKeys {
        let mut known = self.users.get(user).into_iter().flat_map(|user| &user.keys);
        let found = known.find(|keys| keys.hash == hash).cloned();
        found.unwrap_or_else(|| ScramKeys::of_nobody(hash, &self.secret, user))
    }

    /// A user.
    pub(crate) fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }

    /// All users by name.
    pub(crate) fn users(&self) -> impl Iterator<Item = (&String, &User)> {
        self.users.iter()
    }

    /// A namespace's rules.
    pub(crate) fn rules(&self, namespace: &str) -> impl Iterator<Item = &Rule> {
        self.rules.get(namespace).into_iter().flatten()
    }

    /// All quotas.
    pub(crate) fn quotas(&self) -> impl Iterator<Item = Quota> {
        self.quotas.iter().map(|((owner, metered), rate)| Quota {
            owner: owner.clone(),
            metered: *metered,
            rate: *rate,
        })
    }

    /// What a user may do in a namespace from an address; none: not even enter it.
    pub(crate) fn grants(&self, name: &str, namespace: &Name, host: &str) -> Option<Arc<Grants>> {
        let user = self.users.get(name)?;
        let patterns = user.permissions.get(namespace.as_str())?;
        let permissions = Permissions::new(patterns).ok()?;
        let rules = self.rules(namespace.as_str());
        let is_administrator = user.is_administrator();
        let grants = Grants::new(permissions, is_administrator, rules, name, host);
        Some(Arc::new(grants))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_and_snapshot_give_the_same_catalog() {
        let mut catalog = Catalog::default();
        for change in Catalog::first_changes("guest", User::new(Some("guest")).unwrap()) {
            let bytes = serde_json::to_vec(&change).unwrap();
            catalog.apply(&serde_json::from_slice(&bytes).unwrap());
        }
        let root = Name::new("/").unwrap();
        catalog.apply(&Change::PutSecret { secret: vec![1] });
        let again = Catalog::from_bytes(&catalog.to_bytes().unwrap()).unwrap();
        assert_eq!(again.secret(), [1]);
        assert_eq!(again.user("guest").unwrap().keys.len(), 2);
        assert!(again.user("guest").unwrap().is_administrator());
        assert!(!again.is_older());
        assert!(again.grants("guest", &root, "h").unwrap().allows_all());
        assert!(
            again
                .grants("guest", &Name::new("x").unwrap(), "h")
                .is_none()
        );
        assert!(again.grants("nobody", &root, "h").is_none());
        catalog.apply(&Change::DeleteNamespace { name: "/".into() });
        assert!(catalog.grants("guest", &root, "h").is_none());
        catalog.apply(&Change::DeleteUser {
            name: "guest".into(),
        });
        assert!(catalog.user("guest").is_none());
    }

    #[test]
    fn a_snapshot_of_0_3_is_known() {
        let kept =
            br#"[{"ada":{"hash":"h","tags":[],"permissions":{}}},{"secret":[1],"rules":{}}]"#;
        assert!(Catalog::from_bytes(kept).unwrap().is_older());
    }

    #[test]
    fn a_snapshot_and_a_record_of_0_2_are_read() {
        let users = br#"{"ada":{"hash":"h","tags":[],"permissions":{}}}"#;
        let mut catalog = Catalog::from_bytes(users).unwrap();
        assert!(catalog.user("ada").unwrap().keys.is_empty());
        let record = br#"{"PutUser":{"name":"eve","hash":null,"tags":["monitoring"]}}"#;
        catalog.apply(&serde_json::from_slice(record).unwrap());
        assert!(!catalog.user("eve").unwrap().is_administrator());
    }
}
