//! Users and their permissions, as they are kept: a change is one journal record, the whole a part of the snapshot. Both
//! are JSON, since they are few, and someone will want to read them one day.

use std::collections::BTreeMap;
use std::sync::Arc;

use polybus_model::Name;
use serde::{Deserialize, Serialize};

use super::{Patterns, Permissions};

/// One change to the catalog, as the journal holds it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Change {
    /// A user is made, or its password and tags are changed.
    PutUser {
        /// Its name.
        name: String,
        /// Its password's hash; none: it cannot log in by password.
        hash: Option<String>,
        /// Its tags (`administrator`, ...).
        tags: Vec<String>,
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
    /// A user may no longer enter a namespace.
    DeletePermissions {
        /// The user.
        user: String,
        /// The namespace.
        namespace: String,
    },
    /// A namespace is gone, and with it all permissions in it.
    DeleteNamespace {
        /// Its name.
        name: String,
    },
}

/// A user.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) hash: Option<String>,
    pub(crate) tags: Vec<String>,
    /// By namespace.
    pub(crate) permissions: BTreeMap<String, Patterns>,
}

/// All users. Its `generation` changes with every change, so that sessions know when to look again.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    users: BTreeMap<String, User>,
    generation: u64,
}

impl Catalog {
    /// What makes the first user of a fresh data folder: allowed everything in `/`.
    pub(crate) fn first_changes(name: &str, hash: String) -> [Change; 2] {
        [
            Change::PutUser {
                name: name.into(),
                hash: Some(hash),
                tags: vec!["administrator".into()],
            },
            Change::PutPermissions {
                user: name.into(),
                namespace: "/".into(),
                patterns: Patterns::all(),
            },
        ]
    }

    /// From a snapshot's bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        Ok(Self {
            users: serde_json::from_slice(bytes)?,
            generation: 1,
        })
    }

    /// For a snapshot.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&self.users)
    }

    /// Carries out a change.
    pub(crate) fn apply(&mut self, change: &Change) {
        self.generation += 1;
        match change.clone() {
            Change::PutUser { name, hash, tags } => {
                let user = self.users.entry(name).or_default();
                user.hash = hash;
                user.tags = tags;
            }
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
            Change::DeletePermissions { user, namespace } => {
                if let Some(user) = self.users.get_mut(&user) {
                    user.permissions.remove(&namespace);
                }
            }
            Change::DeleteNamespace { name } => {
                for user in self.users.values_mut() {
                    user.permissions.remove(&name);
                }
            }
        }
    }

    /// Changes with every change.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// A user.
    pub(crate) fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }

    /// All users by name.
    pub(crate) fn users(&self) -> impl Iterator<Item = (&String, &User)> {
        self.users.iter()
    }

    /// What a user may do in a namespace; none: not even enter it.
    pub(crate) fn permissions(&self, user: &str, namespace: &Name) -> Option<Arc<Permissions>> {
        let patterns = self.users.get(user)?.permissions.get(namespace.as_str())?;
        Permissions::new(patterns).ok().map(Arc::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_and_snapshot_give_the_same_catalog() {
        let mut catalog = Catalog::default();
        for change in Catalog::first_changes("guest", "hash".into()) {
            let bytes = serde_json::to_vec(&change).unwrap();
            catalog.apply(&serde_json::from_slice(&bytes).unwrap());
        }
        let root = Name::new("/").unwrap();
        let again = Catalog::from_bytes(&catalog.to_bytes().unwrap()).unwrap();
        assert!(again.permissions("guest", &root).unwrap().allows_all());
        assert!(
            again
                .permissions("guest", &Name::new("x").unwrap())
                .is_none()
        );
        assert!(again.permissions("nobody", &root).is_none());
        catalog.apply(&Change::DeleteNamespace { name: "/".into() });
        assert!(catalog.permissions("guest", &root).is_none());
        catalog.apply(&Change::DeleteUser {
            name: "guest".into(),
        });
        assert!(catalog.user("guest").is_none());
    }
}
