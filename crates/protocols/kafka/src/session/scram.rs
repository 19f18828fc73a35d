//! Who has salted keys, and changing them: `kafka-configs --entity-type users`.

use std::collections::BTreeMap;

use polybus_model::{AccessError, AccessReply, AccessRequest, KeyChange, ScramHash};

use super::core::{Core, keep_first};
use super::pending::Step;
use crate::codec::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse,
    AlterUserScramCredentialsResult, ScramCredentialUpsertion,
};
use crate::codec::messages::describe_user_scram_credentials::{
    CredentialInfo, DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
    DescribeUserScramCredentialsResult,
};
use crate::error::{Code, of_access, text_of_access};

/// The hash functions by Kafka's numbers.
const HASHES: [(i8, ScramHash); 2] = [(1, ScramHash::Sha256), (2, ScramHash::Sha512)];

fn hash(mechanism: i8) -> Option<ScramHash> {
    let found = HASHES.iter().find(|(number, _)| *number == mechanism);
    found.map(|(_, hash)| *hash)
}

fn mechanism(hash: ScramHash) -> i8 {
    let found = HASHES.iter().find(|(_, known)| *known == hash);
    found.map_or(0, |(number, _)| *number)
}

/// Tells who has keys.
pub(super) fn describe(
    _core: &mut Core,
    request: DescribeUserScramCredentialsRequest,
    _version: i16,
) -> Step {
    // None at all is all of them, as null is.
    let names = request.users.filter(|users| !users.is_empty());
    let names = names.map(|users| {
        let mut names: Vec<String> = users.into_iter().map(|user| user.name).collect();
        keep_first(&mut names, Clone::clone);
        names
    });
    Step::access(AccessRequest::Keys(names), |_, reply| {
        let refused = |error: &AccessError| DescribeUserScramCredentialsResponse {
            error_code: of_access(error).0,
            error_message: text_of_access(error),
            ..DescribeUserScramCredentialsResponse::default()
        };
        let users = match reply {
            AccessReply::Keys(users) => users,
            AccessReply::Refused(error) => return Step::answer(refused(&error)),
            _ => return Step::misunderstood(),
        };
        let results = users.into_iter().map(|(user, keys)| {
            let error = keys.as_ref().err();
            let text = "Attempt to describe a user credential that does not exist";
            DescribeUserScramCredentialsResult {
                error_code: error.map_or(Code::NONE, of_access).0,
                error_message: error.map(|_| format!("{text}: {user}")),
                credential_infos: keys
                    .unwrap_or_default()
                    .into_iter()
                    .map(|(hash, iterations)| CredentialInfo {
                        mechanism: mechanism(hash),
                        iterations: i32::try_from(iterations).unwrap_or(i32::MAX),
                    })
                    .collect(),
                user,
            }
        });
        Step::answer(DescribeUserScramCredentialsResponse {
            results: results.collect(),
            ..DescribeUserScramCredentialsResponse::default()
        })
    })
}

/// What came of a user's changes.
type Outcome = Result<(), (Code, Option<String>)>;

/// Changes keys.
pub(super) fn alter(
    _core: &mut Core,
    request: AlterUserScramCredentialsRequest,
    _version: i16,
) -> Step {
    let mut outcomes: BTreeMap<String, Outcome> = BTreeMap::new();
    let mut changes: Vec<KeyChange> = Vec::new();
    let deletions = request.deletions.into_iter().map(|one| {
        let hash = hash(one.mechanism).ok_or(Code::UNSUPPORTED_SASL_MECHANISM);
        let user = one.name.clone();
        (one.name, hash.map(|hash| KeyChange::Delete { user, hash }))
    });
    let puts = request
        .upsertions
        .into_iter()
        .map(|one| (one.name.clone(), put(one)));
    for (user, change) in deletions.chain(puts) {
        let outcome = outcomes.entry(user).or_insert(Ok(()));
        match change {
            Err(code) => *outcome = Err((code, None)),
            Ok(change) => {
                let is_same =
                    |one: &KeyChange| one.user() == change.user() && one.hash() == change.hash();
                if changes.iter().any(is_same) {
                    *outcome = Err((Code::DUPLICATE_RESOURCE, None));
                }
                changes.push(change);
            }
        }
    }
    changes.retain(|change| matches!(outcomes.get(change.user()), Some(Ok(()))));
    let users: Vec<String> = changes.iter().map(|one| one.user().to_owned()).collect();
    Step::access(AccessRequest::ChangeKeys(changes), move |_, reply| {
        match reply {
            AccessReply::Changed(results) => {
                for (user, result) in users.into_iter().zip(results) {
                    if let (Some(outcome), Err(error)) = (outcomes.get_mut(&user), result) {
                        *outcome = Err(unacceptable(&error));
                    }
                }
            }
            AccessReply::Refused(error) => {
                let refusal = || Err((of_access(&error), text_of_access(&error)));
                outcomes
                    .values_mut()
                    .for_each(|outcome| *outcome = refusal());
            }
            _ => return Step::misunderstood(),
        }
        let results = outcomes.into_iter().map(|(user, outcome)| {
            let (code, error_message) = outcome.err().unwrap_or((Code::NONE, None));
            AlterUserScramCredentialsResult {
                user,
                error_code: code.0,
                error_message,
            }
        });
        Step::answer(AlterUserScramCredentialsResponse {
            results: results.collect(),
            ..AlterUserScramCredentialsResponse::default()
        })
    })
}

fn put(one: ScramCredentialUpsertion) -> Result<KeyChange, Code> {
    Ok(KeyChange::Put {
        hash: hash(one.mechanism).ok_or(Code::UNSUPPORTED_SASL_MECHANISM)?,
        iterations: u32::try_from(one.iterations).map_err(|_| Code::UNACCEPTABLE_CREDENTIAL)?,
        user: one.name,
        salt: one.salt,
        salted_password: one.salted_password,
    })
}

fn unacceptable(error: &AccessError) -> (Code, Option<String>) {
    match error {
        AccessError::Invalid(text) => (Code::UNACCEPTABLE_CREDENTIAL, Some(text.clone())),
        AccessError::NotFound => (
            Code::RESOURCE_NOT_FOUND,
            Some("Attempt to delete a user credential that does not exist".to_owned()),
        ),
        other => (of_access(other), text_of_access(other)),
    }
}
