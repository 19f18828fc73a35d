//! Users and what they may do.

use super::{Failure, Permission, Result, User};
use crate::access::{Change, Patterns, Permissions, User as KnownUser};
use crate::broker::Broker;
use polybus_model::Event;

impl Broker {
    /// The users, by name.
    #[must_use]
    pub fn users(&self) -> Vec<User> {
        let state = self.0.shard.look();
        let users = state.catalog.users();
        users
            .map(|(name, user)| User {
                name: name.clone(),
                tags: user.tags.clone(),
                has_password: user.hash.is_some(),
            })
            .collect()
    }

    /// Adds a user; without a password it can only come with a certificate.
    ///
    /// # Errors
    /// It is there already, or its password is too long.
    pub fn add_user(&self, name: &str, password: Option<&str>, tags: &[String]) -> Result<()> {
        if self.0.shard.look().catalog.user(name).is_some() {
            return Err(Failure(format!(
                "the user '{name}' exists already; change its password with `polybus users passwd`"
            )));
        }
        let user = KnownUser::new(password).map_err(unhashed)?;
        let tags = tags.to_vec();
        self.put_user(name, KnownUser { tags, ..user })
    }

    /// Changes a user's password.
    ///
    /// # Errors
    /// There is no such user, or the password is too long.
    pub fn change_password(&self, name: &str, password: &str) -> Result<()> {
        let mut user = self.known_user(name)?;
        user.set_password(password).map_err(unhashed)?;
        self.put_user(name, user)
    }

    /// Changes a user's tags.
    ///
    /// # Errors
    /// There is no such user.
    pub fn change_tags(&self, name: &str, tags: &[String]) -> Result<()> {
        let user = self.known_user(name)?;
        let tags = tags.to_vec();
        self.put_user(name, KnownUser { tags, ..user })
    }

    /// Deletes a user and its permissions; its connections are closed.
    ///
    /// # Errors
    /// There is no such user.
    pub fn delete_user(&self, name: &str) -> Result<()> {
        self.known_user(name)?;
        self.durably(|inner| {
            inner
                .change_catalog(&Change::DeleteUser {
                    name: name.to_owned(),
                })
                .map_err(Failure)
        })?;
        self.end_sessions_of(name, &format!("the user '{name}' is deleted"));
        Ok(())
    }

    /// All permissions, by user and namespace.
    #[must_use]
    pub fn permissions(&self) -> Vec<Permission> {
        let state = self.0.shard.look();
        let all = state.catalog.users().flat_map(|(name, user)| {
            user.permissions
                .iter()
                .map(move |(namespace, patterns)| Permission {
                    user: name.clone(),
                    namespace: namespace.clone(),
                    configure: patterns.configure.clone(),
                    write: patterns.write.clone(),
                    read: patterns.read.clone(),
                    subjects: user.key_rules.get(namespace).cloned().unwrap_or_default(),
                })
        });
        all.collect()
    }

    /// Says what a user may do in a namespace.
    ///
    /// # Errors
    /// There is no such user or namespace, or a pattern is no regular expression.
    pub fn set_permission(&self, permission: &Permission) -> Result<()> {
        self.known_user(&permission.user)?;
        self.inspect(&permission.namespace, |_| ())?;
        let patterns = Patterns {
            configure: permission.configure.clone(),
            write: permission.write.clone(),
            read: permission.read.clone(),
        };
        Permissions::new(&patterns).map_err(Failure)?;
        let (user, namespace) = (permission.user.clone(), permission.namespace.clone());
        let before = self.known_user(&user)?.key_rules.remove(&namespace);
        let has_changed = before.unwrap_or_default() != permission.subjects;
        let change = Change::PutPermissions {
            user: user.clone(),
            namespace: namespace.clone(),
            patterns,
        };
        let rules = Change::PutKeyRules {
            user: user.clone(),
            namespace,
            rules: permission.subjects.clone(),
        };
        self.durably(|inner| {
            inner.change_catalog(&change).map_err(Failure)?;
            match has_changed {
                true => inner.change_catalog(&rules).map_err(Failure),
                false => Ok(()),
            }
        })?;
        if has_changed {
            // Sessions know the rules from when they came.
            let reason = "what the user may publish and subscribe to has changed";
            self.end_sessions_of(&user, reason);
        }
        Ok(())
    }

    fn end_sessions_of(&self, name: &str, reason: &str) {
        for entry in self.0.connections() {
            if entry.user.lock().as_deref() == Some(name) {
                entry.mailbox.push(Event::Shutdown {
                    reason: reason.to_owned(),
                });
            }
        }
    }

    /// Takes a user's permissions in a namespace away.
    ///
    /// # Errors
    /// It has none there.
    pub fn clear_permission(&self, user: &str, namespace: &str) -> Result<()> {
        if !self.known_user(user)?.permissions.contains_key(namespace) {
            return Err(Failure(format!(
                "the user '{user}' has no permissions in namespace '{namespace}'"
            )));
        }
        let change = Change::DeletePermissions {
            user: user.to_owned(),
            namespace: namespace.to_owned(),
        };
        self.durably(|inner| inner.change_catalog(&change).map_err(Failure))
    }

    fn known_user(&self, name: &str) -> Result<KnownUser> {
        let found = self.0.shard.look().catalog.user(name).cloned();
        found.ok_or_else(|| Failure(format!("there is no user '{name}'")))
    }

    fn put_user(&self, name: &str, user: KnownUser) -> Result<()> {
        KnownUser::check_name(name).map_err(Failure)?;
        let change = Change::put_user(name, user);
        self.durably(|inner| inner.change_catalog(&change).map_err(Failure))
    }
}

fn unhashed(error: impl std::fmt::Display) -> Failure {
    Failure(error.to_string())
}
