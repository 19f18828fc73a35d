//! Rules, which Kafka calls ACLs: `kafka-acls`.

use polybus_model::{
    AccessError, AccessReply, AccessRequest, EVERY, Guarded, NameFilter, Operation, Rule,
    RuleFilter,
};

use super::core::Core;
use super::pending::Step;
use crate::codec::messages::create_acls::{
    AclCreation, AclCreationResult, CreateAclsRequest, CreateAclsResponse,
};
use crate::codec::messages::delete_acls::{
    DeleteAclsFilter, DeleteAclsFilterResult, DeleteAclsMatchingAcl, DeleteAclsRequest,
    DeleteAclsResponse,
};
use crate::codec::messages::describe_acls::{
    AclDescription, DescribeAclsRequest, DescribeAclsResource, DescribeAclsResponse,
};
use crate::error::{Code, of_access, text_of_access};

/// Stands for each in a filter, of every sort of number.
const ANY: i8 = 1;
/// Patterns of names, by Kafka's numbers.
const MATCH: i8 = 2;
const LITERAL: i8 = 3;
const PREFIXED: i8 = 4;
/// Sorts of resources, by Kafka's numbers.
const GUARDED: [(i8, Guarded); 4] = [
    (2, Guarded::Topic),
    (3, Guarded::Group),
    (4, Guarded::Cluster),
    (5, Guarded::Transaction),
];
/// Operations, by Kafka's numbers.
pub(super) const OPERATIONS: [(i8, Operation); 11] = [
    (2, Operation::All),
    (3, Operation::Read),
    (4, Operation::Write),
    (5, Operation::Create),
    (6, Operation::Delete),
    (7, Operation::Alter),
    (8, Operation::Describe),
    (9, Operation::ClusterAction),
    (10, Operation::DescribeSettings),
    (11, Operation::AlterSettings),
    (12, Operation::IdempotentWrite),
];
/// Whether it is allowed, by Kafka's numbers.
const ALLOWS: [(i8, bool); 2] = [(2, false), (3, true)];
/// The one sort of principals.
const USER: &str = "User:";

/// Why a request cannot be read as rules.
type Fault = (Code, String);

fn invalid(text: impl Into<String>) -> Fault {
    (Code::INVALID_REQUEST, text.into())
}

fn of_number<T: Copy>(all: &[(i8, T)], number: i8, what: &str) -> Result<T, Fault> {
    let found = all.iter().find(|(known, _)| *known == number);
    let found = found.map(|(_, thing)| *thing);
    found.ok_or_else(|| invalid(format!("there are no rules here about {what} {number}")))
}

fn number<T: PartialEq>(all: &[(i8, T)], thing: &T) -> i8 {
    let found = all.iter().find(|(_, known)| known == thing);
    found.map_or(0, |(number, _)| *number)
}

fn user_of(principal: &str) -> Result<String, Fault> {
    let user = principal.strip_prefix(USER).filter(|user| !user.is_empty());
    let user = user.map(str::to_owned);
    user.ok_or_else(|| invalid("Invalid principal: it is not User: and a name"))
}

fn principal(rule: &Rule) -> String {
    format!("{USER}{}", rule.user)
}

fn pattern(rule: &Rule) -> i8 {
    if rule.is_prefix { PREFIXED } else { LITERAL }
}

/// A filter as both requests that have one say it.
struct Filter {
    sort: i8,
    name: Option<String>,
    pattern: i8,
    principal: Option<String>,
    host: Option<String>,
    operation: i8,
    permission: i8,
}

impl Filter {
    fn read(self) -> Result<RuleFilter, Fault> {
        fn any<T: Copy>(all: &[(i8, T)], number: i8, what: &str) -> Result<Option<T>, Fault> {
            match number {
                ANY => Ok(None),
                _ => of_number(all, number, what).map(Some),
            }
        }
        Ok(RuleFilter {
            guarded: any(&GUARDED, self.sort, "resource type")?,
            name: self.name,
            names: match self.pattern {
                ANY => NameFilter::Any,
                MATCH => NameFilter::Match,
                LITERAL => NameFilter::Literal,
                PREFIXED => NameFilter::Prefix,
                other => return Err(invalid(format!("there is no pattern type {other}"))),
            },
            // What is no user's name is nobody's.
            user: self
                .principal
                .map(|principal| user_of(&principal).unwrap_or_default()),
            host: self.host,
            operation: any(&OPERATIONS, self.operation, "operation")?,
            allows: any(&ALLOWS, self.permission, "permission type")?,
        })
    }
}

/// Lists rules.
pub(super) fn describe(_core: &mut Core, request: DescribeAclsRequest, _version: i16) -> Step {
    let refused = |code: Code, text: Option<String>| {
        Step::answer(DescribeAclsResponse {
            error_code: code.0,
            error_message: text,
            ..DescribeAclsResponse::default()
        })
    };
    let filter = Filter {
        sort: request.resource_type_filter,
        name: request.resource_name_filter,
        pattern: request.pattern_type_filter,
        principal: request.principal_filter,
        host: request.host_filter,
        operation: request.operation,
        permission: request.permission_type,
    };
    let filter = match filter.read() {
        Ok(filter) => filter,
        Err((code, text)) => return refused(code, Some(text)),
    };
    Step::access(AccessRequest::Rules(filter), move |_, reply| {
        let rules = match reply {
            AccessReply::Rules(rules) => rules.into_iter().flatten(),
            AccessReply::Refused(error) => {
                return refused(of_access(&error), text_of_access(&error));
            }
            _ => return Step::misunderstood(),
        };
        // They come in order: those about one resource stand together.
        let mut resources: Vec<DescribeAclsResource> = Vec::new();
        for rule in rules {
            let acl = AclDescription {
                principal: principal(&rule),
                operation: number(&OPERATIONS, &rule.operation),
                permission_type: number(&ALLOWS, &rule.allows),
                host: rule.host.clone(),
            };
            let (sort, pattern) = (number(&GUARDED, &rule.guarded), pattern(&rule));
            let is_same = |last: &&mut DescribeAclsResource| {
                (last.resource_type, last.pattern_type) == (sort, pattern)
                    && last.resource_name == rule.name
            };
            match resources.last_mut().filter(is_same) {
                Some(last) => last.acls.push(acl),
                None => resources.push(DescribeAclsResource {
                    resource_type: sort,
                    resource_name: rule.name,
                    pattern_type: pattern,
                    acls: vec![acl],
                }),
            }
        }
        Step::answer(DescribeAclsResponse {
            resources,
            ..DescribeAclsResponse::default()
        })
    })
}

/// Adds rules.
pub(super) fn create(_core: &mut Core, request: CreateAclsRequest, _version: i16) -> Step {
    let rules = request.creations.into_iter().map(rule);
    let mut outcomes: Vec<Result<(), Fault>> = Vec::new();
    let mut asked = Vec::new();
    for rule in rules {
        outcomes.push(rule.map(|rule| asked.push(rule)));
    }
    Step::access(AccessRequest::AddRules(asked), move |_, reply| {
        let fault =
            |error: &AccessError| (of_access(error), text_of_access(error).unwrap_or_default());
        match reply {
            AccessReply::Changed(results) => {
                let asked = outcomes.iter_mut().filter(|outcome| outcome.is_ok());
                for (outcome, result) in asked.zip(results) {
                    *outcome = result.map_err(|error| fault(&error));
                }
            }
            AccessReply::Refused(error) => {
                outcomes
                    .iter_mut()
                    .for_each(|outcome| *outcome = Err(fault(&error)));
            }
            _ => return Step::misunderstood(),
        }
        let results = outcomes.into_iter().map(|outcome| match outcome {
            Ok(()) => AclCreationResult::default(),
            Err((code, text)) => AclCreationResult {
                error_code: code.0,
                error_message: Some(text),
            },
        });
        Step::answer(CreateAclsResponse {
            results: results.collect(),
            ..CreateAclsResponse::default()
        })
    })
}

fn rule(one: AclCreation) -> Result<Rule, Fault> {
    let is_prefix = match one.resource_pattern_type {
        LITERAL => false,
        PREFIXED => true,
        other => return Err(invalid(format!("a rule has no pattern type {other}"))),
    };
    let name = one.resource_name;
    if name.is_empty() {
        return Err(invalid("Invalid empty resource name"));
    }
    Ok(Rule {
        guarded: of_number(&GUARDED, one.resource_type, "resource type")?,
        is_prefix: is_prefix && name != EVERY,
        name,
        user: user_of(&one.principal)?,
        host: one.host,
        operation: of_number(&OPERATIONS, one.operation, "operation")?,
        allows: of_number(&ALLOWS, one.permission_type, "permission type")?,
    })
}

/// Deletes rules.
pub(super) fn delete(_core: &mut Core, request: DeleteAclsRequest, _version: i16) -> Step {
    let filters = request.filters.into_iter().map(|one: DeleteAclsFilter| {
        let filter = Filter {
            sort: one.resource_type_filter,
            name: one.resource_name_filter,
            pattern: one.pattern_type_filter,
            principal: one.principal_filter,
            host: one.host_filter,
            operation: one.operation,
            permission: one.permission_type,
        };
        filter.read()
    });
    let mut asked = Vec::new();
    let faults: Vec<Option<Fault>> = filters
        .map(|filter| filter.map(|filter| asked.push(filter)).err())
        .collect();
    Step::access(AccessRequest::DeleteRules(asked), move |_, reply| {
        let (mut gone, refusal) = match reply {
            AccessReply::Rules(gone) => (gone.into_iter(), None),
            AccessReply::Refused(error) => (Vec::new().into_iter(), Some(error)),
            _ => return Step::misunderstood(),
        };
        let fault = refusal.map(|error| {
            (
                of_access(&error),
                text_of_access(&error).unwrap_or_default(),
            )
        });
        let results = faults
            .into_iter()
            .map(|own| match own.or_else(|| fault.clone()) {
                Some((code, text)) => DeleteAclsFilterResult {
                    error_code: code.0,
                    error_message: Some(text),
                    ..DeleteAclsFilterResult::default()
                },
                None => DeleteAclsFilterResult {
                    matching_acls: gone
                        .next()
                        .unwrap_or_default()
                        .into_iter()
                        .map(deleted)
                        .collect(),
                    ..DeleteAclsFilterResult::default()
                },
            });
        Step::answer(DeleteAclsResponse {
            filter_results: results.collect(),
            ..DeleteAclsResponse::default()
        })
    })
}

fn deleted(rule: Rule) -> DeleteAclsMatchingAcl {
    DeleteAclsMatchingAcl {
        resource_type: number(&GUARDED, &rule.guarded),
        pattern_type: pattern(&rule),
        principal: principal(&rule),
        operation: number(&OPERATIONS, &rule.operation),
        permission_type: number(&ALLOWS, &rule.allows),
        resource_name: rule.name,
        host: rule.host,
        ..DeleteAclsMatchingAcl::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn creations_are_read_or_refused() {
        let creation = AclCreation {
            resource_type: 2,
            resource_name: "t".into(),
            resource_pattern_type: PREFIXED,
            principal: "User:ada".into(),
            host: "*".into(),
            operation: 3,
            permission_type: 3,
        };
        let read = rule(creation.clone()).unwrap();
        assert!(read.is_prefix && read.allows && read.operation == Operation::Read);
        assert_eq!(principal(&read), "User:ada");
        let wrong: [fn(&mut AclCreation); 7] = [
            |one| one.resource_type = 6,
            |one| one.resource_name.clear(),
            |one| one.resource_pattern_type = ANY,
            |one| one.principal = "Group:x".into(),
            |one| one.principal = "User:".into(),
            |one| one.operation = ANY,
            |one| one.permission_type = ANY,
        ];
        for spoil in wrong {
            let mut spoilt = creation.clone();
            spoil(&mut spoilt);
            assert_eq!(rule(spoilt).unwrap_err().0, Code::INVALID_REQUEST);
        }
    }
}
