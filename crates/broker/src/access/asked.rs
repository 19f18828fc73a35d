//! What sessions ask about access: looked up at once, or changed in a turn of its own and answered when that is durable.

use std::collections::BTreeMap;

use polybus_engine::Gated;
use polybus_model::{
    AccessError, AccessReply, AccessRequest, Event, KeyChange, SessionId, UserKeys,
};

use super::scram::ScramKeys;
use super::{Catalog, Change, Patterns, User};
use crate::broker::Inner;
use crate::mailbox::Mailbox;

/// Who asks.
pub(crate) struct Asker<'a> {
    pub(crate) session: SessionId,
    pub(crate) mailbox: &'a Mailbox,
    /// The namespace it is in: a user that it makes may enter that.
    pub(crate) namespace: &'a str,
    /// It may look at users and change them.
    pub(crate) is_administrator: bool,
}

/// Answers a request.
pub(crate) fn answer(broker: &Inner, asker: &Asker<'_>, number: u64, request: AccessRequest) {
    if !asker.is_administrator {
        return tell(asker, number, AccessReply::Refused(AccessError::Forbidden));
    }
    match request {
        AccessRequest::Keys(users) => {
            let found = keys(&broker.shard.look().catalog, users);
            tell(asker, number, AccessReply::Keys(found));
        }
        AccessRequest::ChangeKeys(changes) => change(broker, asker, number, |catalog| {
            let (results, changes) = key_changes(catalog, asker.namespace, &changes);
            (AccessReply::Changed(results), changes)
        }),
    }
}

fn tell(asker: &Asker<'_>, number: u64, reply: AccessReply) {
    let reply = Box::new(reply);
    asker.mailbox.push(Event::Access { number, reply });
}

/// Carries out what changes come of a look at the catalog, all in one frame, and answers when that is durable.
fn change(
    broker: &Inner,
    asker: &Asker<'_>,
    number: u64,
    plan: impl FnOnce(&Catalog) -> (AccessReply, Vec<Change>),
) {
    broker.shard.turn(|_, staging, catalog, effects| {
        let (reply, changes) = plan(catalog);
        let needs_sync = !changes.is_empty();
        let reply = match broker.stage_changes(staging, catalog, &changes) {
            Ok(()) => reply,
            Err(reason) => AccessReply::Refused(AccessError::Unavailable(reason)),
        };
        let reply = Box::new(reply);
        effects.gated.push(Gated {
            session: asker.session,
            event: Event::Access { number, reply },
            needs_sync,
        });
    });
}

fn keys(catalog: &Catalog, users: Option<Vec<String>>) -> Vec<UserKeys> {
    let of = |user: &User| -> Vec<_> {
        let keys = user.keys.iter();
        keys.map(|keys| (keys.hash, keys.iterations)).collect()
    };
    let Some(users) = users else {
        let all = catalog.users().filter(|(_, user)| !user.keys.is_empty());
        return all
            .map(|(name, user)| (name.clone(), Ok(of(user))))
            .collect();
    };
    let found = users.into_iter().map(|name| {
        let found = catalog.user(&name).map(of).filter(|keys| !keys.is_empty());
        (name, found.ok_or(AccessError::NotFound))
    });
    found.collect()
}

/// What changes of users' keys come to: all of a user's, or none.
fn key_changes(
    catalog: &Catalog,
    namespace: &str,
    asked: &[KeyChange],
) -> (Vec<Result<(), AccessError>>, Vec<Change>) {
    let mut users: BTreeMap<&str, Result<User, AccessError>> = BTreeMap::new();
    for one in asked {
        let known = || Ok(catalog.user(one.user()).cloned().unwrap_or_default());
        let slot = users.entry(one.user()).or_insert_with(known);
        let failed = match slot {
            Ok(user) => change_keys(user, one).err(),
            Err(_) => None,
        };
        if let Some(error) = failed {
            *slot = Err(error);
        }
    }
    let results = asked.iter().map(|one| match users.get(one.user()) {
        Some(Err(error)) => Err(error.clone()),
        _ => Ok(()),
    });
    let results = results.collect();
    let mut changes = Vec::new();
    for (name, user) in users {
        let Ok(user) = user else { continue };
        let is_new = catalog.user(name).is_none();
        changes.push(Change::put_user(name, user));
        if is_new {
            changes.push(Change::PutPermissions {
                user: name.to_owned(),
                namespace: namespace.to_owned(),
                patterns: Patterns::none(),
            });
        }
    }
    (results, changes)
}

fn change_keys(user: &mut User, change: &KeyChange) -> Result<(), AccessError> {
    let before = user.keys.len();
    user.keys.retain(|keys| keys.hash != change.hash());
    match change {
        KeyChange::Put {
            user: name,
            hash,
            iterations,
            salt,
            salted_password,
        } => {
            User::check_name(name).map_err(AccessError::Invalid)?;
            let keys = ScramKeys::of_salted(*hash, *iterations, salt, salted_password);
            user.keys.push(keys.map_err(AccessError::Invalid)?);
            user.keys.sort_by_key(|keys| keys.hash);
            Ok(())
        }
        KeyChange::Delete { .. } if user.keys.len() < before => Ok(()),
        KeyChange::Delete { .. } => Err(AccessError::NotFound),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use polybus_model::ScramHash;

    use super::*;

    fn put(user: &str, iterations: u32) -> KeyChange {
        KeyChange::Put {
            user: user.into(),
            hash: ScramHash::Sha256,
            iterations,
            salt: Bytes::from_static(b"salt"),
            salted_password: vec![7; 32].into(),
        }
    }

    fn delete(user: &str) -> KeyChange {
        KeyChange::Delete {
            user: user.into(),
            hash: ScramHash::Sha256,
        }
    }

    #[test]
    fn keys_make_a_user_and_go_alone() {
        let mut catalog = Catalog::default();
        let (results, changes) = key_changes(
            &catalog,
            "/",
            &[put("ada", 4096), put("eve", 1), delete("bob")],
        );
        assert_eq!(results[0], Ok(()));
        assert!(matches!(results[1], Err(AccessError::Invalid(_))));
        assert_eq!(results[2], Err(AccessError::NotFound));
        changes.iter().for_each(|change| catalog.apply(change));
        assert_eq!(catalog.users().count(), 1);
        let root = polybus_model::Name::new("/").unwrap();
        assert!(!catalog.permissions("ada", &root).unwrap().allows_all());
        let found = keys(&catalog, None);
        assert_eq!(
            found,
            [("ada".to_owned(), Ok(vec![(ScramHash::Sha256, 4096)]))]
        );
        let (_, changes) = key_changes(&catalog, "/", &[delete("ada")]);
        changes.iter().for_each(|change| catalog.apply(change));
        assert!(catalog.user("ada").is_some());
        let found = keys(&catalog, Some(vec!["ada".into()]));
        assert_eq!(found[0].1, Err(AccessError::NotFound));
    }
}
