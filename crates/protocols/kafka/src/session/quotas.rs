//! Telling and changing the quotas of users, clients and addresses: `kafka-configs --entity-type users`, `clients`, `ips`.
//!
//! ```text
//! [user ada, client-id default] producer_byte_rate=1000 -> QuotaOwner { user: Named("ada"), client: Default } BytesIn 1000
//! ```

use std::collections::BTreeMap;
use std::net::IpAddr;

use polybus_model::{AccessReply, AccessRequest, Metered, Quota, QuotaChange, QuotaOwner, Whose};

use super::core::Core;
use super::pending::Step;
use crate::codec::messages::alter_client_quotas::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, AlteredEntryData, EntityData, EntryData,
    OpData,
};
use crate::codec::messages::describe_client_quotas::{
    ComponentData, DescribeClientQuotasRequest, DescribeClientQuotasResponse,
    EntityData as ToldEntity, EntryData as ToldEntry, ValueData,
};
use crate::error::{Code, of_access, text_of_access};

const USER: &str = "user";
const CLIENT: &str = "client-id";
const HOST: &str = "ip";

/// The quotas by Kafka's names, and whether they are about addresses.
const KEYS: [(&str, Metered, bool); 5] = [
    ("producer_byte_rate", Metered::BytesIn, false),
    ("consumer_byte_rate", Metered::BytesOut, false),
    ("request_percentage", Metered::Time, false),
    ("controller_mutation_rate", Metered::Changes, false),
    ("connection_creation_rate", Metered::Connections, true),
];
/// The one of this name.
const EXACT: i8 = 0;
/// The default one.
const DEFAULT: i8 = 1;
/// Any.
const ANY: i8 = 2;

/// A refusal and what there is to say about it.
type Refusal = (Code, String);

fn invalid(text: impl Into<String>) -> Refusal {
    (Code::INVALID_REQUEST, text.into())
}

/// Tells quotas.
pub(super) fn describe(
    _core: &mut Core,
    request: DescribeClientQuotasRequest,
    _version: i16,
) -> Step {
    let refused = |code: Code, text| {
        Step::answer(DescribeClientQuotasResponse {
            error_code: code.0,
            error_message: text,
            ..DescribeClientQuotasResponse::default()
        })
    };
    if let Err((code, text)) = check_filter(&request.components) {
        return refused(code, Some(text));
    }
    Step::access(AccessRequest::Quotas, move |_, reply| {
        let quotas = match reply {
            AccessReply::Quotas(quotas) => quotas,
            AccessReply::Refused(error) => {
                return refused(of_access(&error), text_of_access(&error));
            }
            _ => return Step::misunderstood(),
        };
        let mut owners: BTreeMap<QuotaOwner, Vec<ValueData>> = BTreeMap::new();
        let is_meant = |one: &Quota| takes(&request.components, request.strict, &one.owner);
        for one in quotas.into_iter().filter(is_meant) {
            let values = owners.entry(one.owner).or_default();
            values.push(ValueData {
                key: key(one.metered).to_owned(),
                value: one.rate,
            });
        }
        let entries = owners.into_iter().map(|(owner, values)| ToldEntry {
            entity: told(&owner),
            values,
        });
        Step::answer(DescribeClientQuotasResponse {
            entries: Some(entries.collect()),
            ..DescribeClientQuotasResponse::default()
        })
    })
}

fn key(metered: Metered) -> &'static str {
    let found = KEYS.iter().find(|(_, known, _)| *known == metered);
    found.map_or("", |(name, ..)| name)
}

fn check_filter(components: &[ComponentData]) -> Result<(), Refusal> {
    for (at, one) in components.iter().enumerate() {
        let sort = one.entity_type.as_str();
        if ![USER, CLIENT, HOST].contains(&sort) {
            let code = match sort {
                "" => Code::INVALID_REQUEST,
                _ => Code::UNSUPPORTED_VERSION,
            };
            return Err((code, format!("Custom entity type '{sort}' not supported")));
        }
        let is_same = |other: &ComponentData| other.entity_type == sort;
        if components.iter().skip(at + 1).any(is_same) {
            let text = format!("Entity type {sort} cannot appear more than once in the filter");
            return Err(invalid(text));
        }
        let is_sound = match one.match_type {
            EXACT => one.match_value.is_some(),
            DEFAULT | ANY => one.match_value.is_none(),
            _ => false,
        };
        if !is_sound {
            let text = format!("Unexpected match type {} of {sort}", one.match_type);
            return Err(invalid(text));
        }
    }
    if components.len() > 1 && components.iter().any(|one| one.entity_type == HOST) {
        return Err(invalid(
            "Invalid entity filter component combination: an ip stands alone",
        ));
    }
    Ok(())
}

/// Whether a filter means an owner's quotas: each of its parts, and if it is strict no other.
fn takes(components: &[ComponentData], is_strict: bool, owner: &QuotaOwner) -> bool {
    let parts = parts(owner);
    let is_met = |component: &ComponentData| {
        let part = parts
            .iter()
            .find(|(sort, _)| *sort == component.entity_type);
        let whose = part.and_then(|(_, whose)| whose.as_ref());
        match (whose, component.match_type) {
            (Some(_), ANY) | (Some(Whose::Default), DEFAULT) => true,
            (Some(Whose::Named(name)), EXACT) => component.match_value.as_ref() == Some(name),
            _ => false,
        }
    };
    let count = parts.iter().filter(|(_, whose)| whose.is_some()).count();
    components.iter().all(is_met) && (!is_strict || count == components.len())
}

fn parts(owner: &QuotaOwner) -> [(&'static str, &Option<Whose>); 3] {
    [
        (USER, &owner.user),
        (CLIENT, &owner.client),
        (HOST, &owner.host),
    ]
}

fn told(owner: &QuotaOwner) -> Vec<ToldEntity> {
    let parts = parts(owner).into_iter();
    let told = parts.filter_map(|(sort, whose)| {
        Some(ToldEntity {
            entity_type: sort.to_owned(),
            entity_name: match whose.as_ref()? {
                Whose::Default => None,
                Whose::Named(name) => Some(name.clone()),
            },
        })
    });
    told.collect()
}

/// Changes quotas, of each owner all or nothing.
pub(super) fn alter(_core: &mut Core, request: AlterClientQuotasRequest, _version: i16) -> Step {
    let mut entries = Vec::with_capacity(request.entries.len());
    let mut changes = Vec::new();
    // The entries that the changes are of, in their order.
    let mut owners = Vec::new();
    for entry in request.entries {
        let planned = plan(&entry);
        let mut altered = AlteredEntryData {
            entity: entry.entity,
            ..AlteredEntryData::default()
        };
        match planned {
            Ok(planned) if !request.validate_only => {
                owners.extend(planned.iter().map(|_| entries.len()));
                changes.extend(planned);
            }
            Ok(_) => {}
            Err((code, text)) => refuse(&mut altered, code, Some(text)),
        }
        entries.push(altered);
    }
    // Whoever may not change quotas is told so even if there is nothing to change.
    Step::access(AccessRequest::ChangeQuotas(changes), move |_, reply| {
        match reply {
            AccessReply::Changed(results) => {
                for (at, result) in owners.into_iter().zip(results) {
                    if let (Some(entry), Err(error)) = (entries.get_mut(at), result) {
                        refuse(entry, of_access(&error), text_of_access(&error));
                    }
                }
            }
            AccessReply::Refused(error) => entries
                .iter_mut()
                .for_each(|entry| refuse(entry, of_access(&error), text_of_access(&error))),
            _ => return Step::misunderstood(),
        }
        Step::answer(AlterClientQuotasResponse {
            entries,
            ..AlterClientQuotasResponse::default()
        })
    })
}

fn refuse(entry: &mut AlteredEntryData, code: Code, text: Option<String>) {
    entry.error_code = code.0;
    entry.error_message = text;
}

fn plan(entry: &EntryData) -> Result<Vec<QuotaChange>, Refusal> {
    let owner = owner(&entry.entity)?;
    let mut changes: Vec<QuotaChange> = Vec::with_capacity(entry.ops.len());
    for op in &entry.ops {
        let change = change(&owner, op)?;
        if changes.iter().any(|known| known.metered == change.metered) {
            return Err(invalid(format!("Duplicate quota key {}", op.key)));
        }
        changes.push(change);
    }
    Ok(changes)
}

fn owner(entity: &[EntityData]) -> Result<QuotaOwner, Refusal> {
    let mut owner = QuotaOwner::default();
    for one in entity {
        let sort = one.entity_type.as_str();
        let part = match sort {
            USER => &mut owner.user,
            CLIENT => &mut owner.client,
            HOST => &mut owner.host,
            _ => {
                return Err(invalid(format!(
                    "Unhandled client quota entity type: {sort}"
                )));
            }
        };
        if one.entity_name.as_deref() == Some("") {
            return Err(invalid(format!("Empty {sort} not supported")));
        }
        let whose = match &one.entity_name {
            Some(name) => Whose::Named(name.clone()),
            None => Whose::Default,
        };
        if part.replace(whose).is_some() {
            return Err(invalid(format!("Duplicate entity type {sort}")));
        }
    }
    if let Some(Whose::Named(host)) = &owner.host
        && host.parse::<IpAddr>().is_err()
    {
        return Err(invalid(format!("{host} is not a valid IP address.")));
    }
    match (entity.len(), &owner.host) {
        (0, _) => Err(invalid("Invalid empty client quota entity")),
        (2.., Some(_)) => Err(invalid(
            "Invalid quota entity combination: an ip stands alone",
        )),
        _ => Ok(owner),
    }
}

fn change(owner: &QuotaOwner, op: &OpData) -> Result<QuotaChange, Refusal> {
    let key = &op.key;
    let of_host = owner.host.is_some();
    let known = KEYS
        .iter()
        .find(|(name, _, about_host)| name == key && *about_host == of_host);
    let Some((_, metered, _)) = known else {
        return Err(invalid(format!("Invalid configuration key {key}")));
    };
    let is_whole = matches!(
        metered,
        Metered::BytesIn | Metered::BytesOut | Metered::Connections
    );
    if !op.remove {
        // None at all is not greater than nothing either.
        if op.value.is_nan() || op.value <= 0.0 {
            return Err(invalid(format!("Quota {key} must be greater than 0")));
        }
        if op.value.is_infinite() {
            return Err(invalid(format!("Quota {key} must be a number")));
        }
        if is_whole && op.value.fract() > 0.0 {
            return Err(invalid(format!("{key} cannot be a fractional value.")));
        }
    }
    Ok(QuotaChange {
        owner: owner.clone(),
        metered: *metered,
        rate: (!op.remove).then_some(op.value),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(sort: &str, name: Option<&str>) -> EntityData {
        EntityData {
            entity_type: sort.to_owned(),
            entity_name: name.map(str::to_owned),
        }
    }

    fn planned(entity: Vec<EntityData>, key: &str, value: f64) -> Result<Vec<QuotaChange>, String> {
        let op = OpData {
            key: key.to_owned(),
            value,
            remove: false,
        };
        let entry = EntryData {
            entity,
            ops: vec![op],
        };
        plan(&entry).map_err(|(code, text)| {
            assert_eq!(code, Code::INVALID_REQUEST);
            text
        })
    }

    #[test]
    fn changes_are_read_or_refused() {
        let ada = || vec![entity(USER, Some("ada")), entity(CLIENT, None)];
        let host = || vec![entity(HOST, Some("10.0.0.1"))];
        let changes = planned(ada(), "producer_byte_rate", 1000.0).unwrap();
        assert_eq!(changes[0].owner.client, Some(Whose::Default));
        assert_eq!(changes[0].rate, Some(1000.0));
        assert!(planned(ada(), "request_percentage", 0.5).is_ok());
        assert!(planned(host(), "connection_creation_rate", 5.0).is_ok());
        let wrong = [
            planned(ada(), "producer_byte_rate", 0.5),
            planned(ada(), "producer_byte_rate", 0.0),
            planned(ada(), "producer_byte_rate", f64::NAN),
            planned(ada(), "request_percentage", f64::INFINITY),
            planned(ada(), "connection_creation_rate", 5.0),
            planned(host(), "producer_byte_rate", 5.0),
            planned(ada(), "SCRAM-SHA-256", 5.0),
            planned(vec![], "producer_byte_rate", 5.0),
            planned(vec![entity("group", None)], "producer_byte_rate", 5.0),
            planned(vec![entity(USER, Some(""))], "producer_byte_rate", 5.0),
            planned(vec![entity(USER, None); 2], "producer_byte_rate", 5.0),
            planned([ada(), host()].concat(), "connection_creation_rate", 5.0),
            planned(
                vec![entity(HOST, Some("x"))],
                "connection_creation_rate",
                5.0,
            ),
        ];
        assert!(wrong.iter().all(Result::is_err));
    }

    #[test]
    fn filters_take_what_they_say() {
        let component = |sort: &str, match_type, name: Option<&str>| ComponentData {
            entity_type: sort.to_owned(),
            match_type,
            match_value: name.map(str::to_owned),
        };
        let owner = owner(&[entity(USER, Some("ada")), entity(CLIENT, None)]).unwrap();
        let user = |match_type, name| component(USER, match_type, name);
        let takes = |components: &[ComponentData], is_strict| {
            check_filter(components).unwrap();
            takes(components, is_strict, &owner)
        };
        assert!(takes(&[], false) && !takes(&[], true));
        assert!(takes(&[user(ANY, None)], false) && !takes(&[user(ANY, None)], true));
        assert!(takes(&[user(EXACT, Some("ada"))], false));
        assert!(!takes(&[user(EXACT, Some("eve"))], false));
        assert!(!takes(&[user(DEFAULT, None)], false));
        let both = [user(EXACT, Some("ada")), component(CLIENT, DEFAULT, None)];
        assert!(takes(&both, true));
        assert!(!takes(&[component(HOST, ANY, None)], false));
        let wrong = [
            vec![component("group", ANY, None)],
            vec![user(EXACT, None)],
            vec![user(3, None)],
            vec![user(ANY, None), user(ANY, None)],
            vec![user(ANY, None), component(HOST, ANY, None)],
        ];
        assert!(wrong.iter().all(|one| check_filter(one).is_err()));
    }
}
