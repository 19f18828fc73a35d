//! What sessions ask about access: looked up at once, or changed in a turn of its own and answered when that is durable.

use std::collections::{BTreeMap, BTreeSet};

use polybus_engine::Gated;
use polybus_model::{
    AccessError, AccessReply, AccessRequest, CLUSTER, Event, Guarded, KeyChange, Name, Operation,
    QuotaChange, Rule, RuleFilter, SessionId, UserKeys, Whose,
};

use super::scram::ScramKeys;
use super::{Catalog, Change, Grants, Patterns, User};
use crate::broker::Inner;
use crate::mailbox::Mailbox;

/// Who asks.
pub(crate) struct Asker<'a> {
    pub(crate) session: SessionId,
    pub(crate) mailbox: &'a Mailbox,
    /// The namespace it is in: a user that it makes may enter that.
    pub(crate) namespace: &'a str,
    pub(crate) grants: &'a Grants,
}

/// Rules of one namespace, at most.
const RULES_MAX: usize = 10_000;
/// Quotas, at most.
const QUOTAS_MAX: usize = 10_000;

/// Answers a request.
pub(crate) fn answer(broker: &Inner, asker: &Asker<'_>, number: u64, request: AccessRequest) {
    let needed = match request {
        AccessRequest::Allowed(_) => None,
        AccessRequest::Keys(_) | AccessRequest::Rules(_) => Some(Operation::Describe),
        AccessRequest::Quotas => Some(Operation::DescribeSettings),
        AccessRequest::ChangeQuotas(_) => Some(Operation::AlterSettings),
        AccessRequest::ChangeKeys(_)
        | AccessRequest::AddRules(_)
        | AccessRequest::DeleteRules(_) => Some(Operation::Alter),
    };
    if needed.is_some_and(|operation| !asker.grants.administers(operation)) {
        return tell(asker, number, AccessReply::Refused(AccessError::Forbidden));
    }
    let namespace = asker.namespace;
    match request {
        AccessRequest::Allowed(resources) => {
            let each = resources.iter();
            let each = each.map(|(guarded, name)| asker.grants.operations(*guarded, name));
            tell(asker, number, AccessReply::Allowed(each.collect()));
        }
        AccessRequest::Rules(filter) => {
            let found = matching(&broker.shard.look().catalog, namespace, &filter);
            tell(asker, number, AccessReply::Rules(vec![found]));
        }
        AccessRequest::AddRules(rules) => change(broker, asker, number, |catalog| {
            let (results, changes) = new_rules(catalog, namespace, rules);
            (AccessReply::Changed(results), changes)
        }),
        AccessRequest::DeleteRules(filters) => change(broker, asker, number, |catalog| {
            let found = filters.iter();
            let found = found.map(|filter| matching(catalog, namespace, filter));
            let found: Vec<_> = found.collect();
            let gone: BTreeSet<&Rule> = found.iter().flatten().collect();
            let changes = gone.into_iter().map(|rule| Change::DeleteRule {
                namespace: namespace.to_owned(),
                rule: rule.clone().into(),
            });
            let changes = changes.collect();
            (AccessReply::Rules(found), changes)
        }),
        AccessRequest::Keys(users) => {
            let found = keys(&broker.shard.look().catalog, users);
            tell(asker, number, AccessReply::Keys(found));
        }
        AccessRequest::ChangeKeys(changes) => change(broker, asker, number, |catalog| {
            let (results, changes) = key_changes(catalog, asker.namespace, &changes);
            (AccessReply::Changed(results), changes)
        }),
        AccessRequest::Quotas => {
            let all = broker.shard.look().catalog.quotas().collect();
            tell(asker, number, AccessReply::Quotas(all));
        }
        AccessRequest::ChangeQuotas(changes) => change(broker, asker, number, |catalog| {
            let (results, changes) = quota_changes(catalog, changes);
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

fn matching(catalog: &Catalog, namespace: &str, filter: &RuleFilter) -> Vec<Rule> {
    let rules = catalog.rules(namespace);
    rules.filter(|rule| filter.takes(rule)).cloned().collect()
}

fn new_rules(
    catalog: &Catalog,
    namespace: &str,
    rules: Vec<Rule>,
) -> (Vec<Result<(), AccessError>>, Vec<Change>) {
    let mut room = RULES_MAX.saturating_sub(catalog.rules(namespace).count());
    let mut changes = Vec::new();
    let results = rules.into_iter().map(|rule| {
        check_rule(&rule).map_err(AccessError::Invalid)?;
        if catalog.rules(namespace).any(|known| *known == rule) {
            return Ok(());
        }
        room = room.checked_sub(1).ok_or_else(|| {
            AccessError::Unavailable(format!("a namespace has {RULES_MAX} rules at most"))
        })?;
        changes.push(Change::PutRule {
            namespace: namespace.to_owned(),
            rule: rule.into(),
        });
        Ok(())
    });
    (results.collect(), changes)
}

fn check_rule(rule: &Rule) -> Result<(), String> {
    let texts = [
        ("name", &rule.name),
        ("user", &rule.user),
        ("host", &rule.host),
    ];
    for (what, text) in texts {
        if !(1..=Name::MAX).contains(&text.len()) {
            return Err(format!("the {what} in a rule has 1 to {} bytes", Name::MAX));
        }
    }
    if rule.guarded == Guarded::Cluster && (rule.name != CLUSTER || rule.is_prefix) {
        return Err(format!("the name of the cluster in a rule is {CLUSTER}"));
    }
    Ok(())
}

fn quota_changes(
    catalog: &Catalog,
    asked: Vec<QuotaChange>,
) -> (Vec<Result<(), AccessError>>, Vec<Change>) {
    let mut room = QUOTAS_MAX.saturating_sub(catalog.quotas().count());
    let mut changes = Vec::new();
    let results = asked.into_iter().map(|one| {
        let names = [&one.owner.user, &one.owner.client, &one.owner.host];
        let is_long = |whose: &&Option<Whose>| match whose {
            Some(Whose::Named(name)) => name.len() > Name::MAX,
            _ => false,
        };
        if names.iter().any(is_long) {
            let text = format!("a name in a quota has {} bytes at most", Name::MAX);
            return Err(AccessError::Invalid(text));
        }
        if one.rate.is_some() {
            room = room.checked_sub(1).ok_or_else(|| {
                AccessError::Unavailable(format!("there are {QUOTAS_MAX} quotas at most"))
            })?;
        }
        changes.push(Change::PutQuota { quota: one.into() });
        Ok(())
    });
    (results.collect(), changes)
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
        let root = Name::new("/").unwrap();
        assert!(!catalog.grants("ada", &root, "h").unwrap().allows_all());
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

    #[test]
    fn rules_are_checked_and_kept_once() {
        let mut catalog = Catalog::default();
        let rule = Rule {
            guarded: Guarded::Topic,
            name: "t".into(),
            is_prefix: false,
            user: "ada".into(),
            host: "*".into(),
            operation: Operation::Read,
            allows: true,
        };
        let nameless = Rule {
            name: String::new(),
            ..rule.clone()
        };
        let cluster = Rule {
            guarded: Guarded::Cluster,
            ..rule.clone()
        };
        let all = vec![rule.clone(), nameless, cluster, rule.clone()];
        let (results, changes) = new_rules(&catalog, "/", all);
        let is_ok: Vec<_> = results.iter().map(Result::is_ok).collect();
        assert_eq!(is_ok, [true, false, false, true]);
        changes.iter().for_each(|change| catalog.apply(change));
        let again = Catalog::from_bytes(&catalog.to_bytes().unwrap()).unwrap();
        assert_eq!(again.rules("/").collect::<Vec<_>>(), [&rule]);
        assert_eq!(again.rules("other").count(), 0);
        let (_, changes) = new_rules(&catalog, "/", vec![rule]);
        assert!(changes.is_empty());
    }
}
