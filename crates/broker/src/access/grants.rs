//! What one session may do: its user's permissions in the namespace, and the namespace's rules about it. A rule that denies
//! counts before all else, but for administrators; a rule that allows adds to the permissions.
//!
//! ```text
//! denied by a rule? -- yes, and no administrator --> no
//!        '-- allowed by the permissions, or by a rule? --> yes
//! ```
//! For the permissions to read, write and know of things the patterns are asked as they always were; a name of a transaction may
//! be used by whoever may write anything.

use polybus_model::{CLUSTER, EVERY, Guarded, Operation, Operations, Rule};

use super::{Action, Permissions};

/// A session's permissions and rules.
#[derive(Clone, Debug)]
pub(crate) struct Grants {
    permissions: Permissions,
    /// Those about its user and its host.
    rules: Vec<Rule>,
    is_administrator: bool,
}

impl Grants {
    /// Of a user at an address, of all the rules of its namespace.
    pub(crate) fn new<'a>(
        permissions: Permissions,
        is_administrator: bool,
        rules: impl Iterator<Item = &'a Rule>,
        user: &str,
        host: &str,
    ) -> Self {
        let is = |wanted: &str, found: &str| found == EVERY || found == wanted;
        let rules = rules.filter(|rule| is(user, &rule.user) && is(host, &rule.host));
        Self {
            permissions,
            rules: rules.cloned().collect(),
            is_administrator,
        }
    }

    /// Everything is allowed: the administrator's own.
    pub(crate) fn all(permissions: Permissions) -> Self {
        Self {
            permissions,
            rules: Vec::new(),
            is_administrator: true,
        }
    }

    /// Nothing is allowed.
    pub(crate) fn none() -> Self {
        Self {
            permissions: Permissions::none(),
            rules: Vec::new(),
            is_administrator: false,
        }
    }

    /// True if nothing about messages can be refused, so that nothing need be asked.
    pub(crate) fn allows_all(&self) -> bool {
        self.permissions.allows_all()
            && (self.is_administrator || self.rules.iter().all(|rule| rule.allows))
    }

    /// Whether that may be done to a queue or topic as other protocols have them: a topic falls under the rules too.
    pub(crate) fn allows_action(&self, action: Action, is_topic: bool, name: &str) -> bool {
        let operation = match action {
            Action::Configure => Operation::Alter,
            Action::Write => Operation::Write,
            Action::Read => Operation::Read,
        };
        match is_topic {
            true => self.allows(operation, Guarded::Topic, name),
            false => self.permissions.allows(action, name),
        }
    }

    /// Whether that may be done.
    pub(crate) fn allows(&self, operation: Operation, guarded: Guarded, name: &str) -> bool {
        !self.denies(operation, guarded, name)
            && (self.permits(operation, guarded, name)
                || self.rules_allow(operation, guarded, name))
    }

    /// Whether it may look after the broker: an administrator, or whom a rule says so.
    pub(crate) fn administers(&self, operation: Operation) -> bool {
        self.is_administrator
            || !self.denies(operation, Guarded::Cluster, CLUSTER)
                && self.rules_allow(operation, Guarded::Cluster, CLUSTER)
    }

    /// All that may be done.
    pub(crate) fn operations(&self, guarded: Guarded, name: &str) -> Operations {
        let each = Operation::EACH.into_iter();
        let each = each.filter(|one| *one != Operation::All);
        each.filter(|one| self.allows(*one, guarded, name))
            .collect()
    }

    fn denies(&self, operation: Operation, guarded: Guarded, name: &str) -> bool {
        let is_meant = |rule: &Rule| {
            !rule.allows
                && matches!(rule.operation, found if found == operation || found == Operation::All)
                && rule.is_about(guarded, name)
        };
        !self.is_administrator && self.rules.iter().any(is_meant)
    }

    fn rules_allow(&self, operation: Operation, guarded: Guarded, name: &str) -> bool {
        let is_meant = |rule: &Rule| {
            rule.allows && implies(rule.operation, operation) && rule.is_about(guarded, name)
        };
        let in_cluster = operation == Operation::Create && guarded == Guarded::Topic;
        self.rules.iter().any(is_meant)
            || in_cluster && self.rules_allow(operation, Guarded::Cluster, CLUSTER)
    }

    fn permits(&self, operation: Operation, guarded: Guarded, name: &str) -> bool {
        let may = |action| self.permissions.allows(action, name);
        let each = [Action::Read, Action::Write, Action::Configure];
        match (guarded, operation) {
            (Guarded::Topic | Guarded::Group, Operation::Read) => may(Action::Read),
            (Guarded::Topic | Guarded::Group, Operation::Write) => may(Action::Write),
            (Guarded::Topic, Operation::Describe | Operation::DescribeSettings) => {
                each.into_iter().any(may)
            }
            (Guarded::Group, Operation::Describe | Operation::DescribeSettings) => {
                may(Action::Read)
            }
            (
                Guarded::Topic | Guarded::Group,
                Operation::Create | Operation::Delete | Operation::Alter | Operation::AlterSettings,
            ) => may(Action::Configure),
            (Guarded::Transaction, _) => self.permissions.writes_any(),
            (
                Guarded::Cluster,
                Operation::Describe | Operation::DescribeSettings | Operation::IdempotentWrite,
            ) => true,
            (Guarded::Cluster, _) => self.is_administrator,
            (Guarded::Topic | Guarded::Group, _) => false,
        }
    }
}

/// Whether who is allowed the one is allowed the other.
fn implies(allowed: Operation, asked: Operation) -> bool {
    use Operation::{All, Alter, AlterSettings, Delete, Describe, DescribeSettings, Read, Write};
    allowed == asked
        || allowed == All
        || match asked {
            Describe => matches!(allowed, Read | Write | Delete | Alter),
            DescribeSettings => allowed == AlterSettings,
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Patterns;

    fn rule(user: &str, name: &str, operation: Operation, allows: bool) -> Rule {
        Rule {
            guarded: Guarded::Topic,
            name: name.into(),
            is_prefix: false,
            user: user.into(),
            host: EVERY.into(),
            operation,
            allows,
        }
    }

    fn grants(patterns: &Patterns, is_administrator: bool, rules: &[Rule]) -> Grants {
        let permissions = Permissions::new(patterns).unwrap();
        Grants::new(
            permissions,
            is_administrator,
            rules.iter(),
            "ada",
            "10.0.0.1",
        )
    }

    #[test]
    fn rules_allow_what_permissions_do_not() {
        let here = Rule {
            host: "10.0.0.1".into(),
            ..rule("ada", "here", Operation::Write, true)
        };
        let there = Rule {
            name: "there".into(),
            host: "10.0.0.2".into(),
            ..here.clone()
        };
        let rules = [
            here,
            there,
            rule(EVERY, "everyone", Operation::All, true),
            rule("eve", "hers", Operation::All, true),
        ];
        let grants = grants(&Patterns::none(), false, &rules);
        let may = |operation, name| grants.allows(operation, Guarded::Topic, name);
        assert!(may(Operation::Write, "here") && may(Operation::Describe, "here"));
        assert!(!may(Operation::Read, "here") && !may(Operation::DescribeSettings, "here"));
        assert!(may(Operation::Read, "everyone") && may(Operation::Alter, "everyone"));
        assert!(!may(Operation::Write, "there") && !may(Operation::Read, "hers"));
        assert!(!grants.allows(Operation::Write, Guarded::Transaction, "t"));
        assert!(!grants.allows(Operation::Read, Guarded::Group, "everyone"));
        assert!(grants.allows_action(Action::Write, true, "here"));
        assert!(!grants.allows_action(Action::Write, false, "here"));
    }

    #[test]
    fn rules_deny_what_permissions_allow_but_not_to_administrators() {
        let rules = [rule("ada", "t", Operation::Write, false)];
        let user = grants(&Patterns::all(), false, &rules);
        assert!(!user.allows_all() && !user.allows(Operation::Write, Guarded::Topic, "t"));
        assert!(user.allows(Operation::Read, Guarded::Topic, "t"));
        let administrator = grants(&Patterns::all(), true, &rules);
        assert!(administrator.allows_all());
        assert!(administrator.allows(Operation::Write, Guarded::Topic, "t"));
    }

    #[test]
    fn looking_after_the_broker_takes_a_tag_or_a_rule() {
        let user = grants(&Patterns::all(), false, &[]);
        assert!(user.allows_all() && !user.administers(Operation::Alter));
        let may = Rule {
            guarded: Guarded::Cluster,
            ..rule("ada", CLUSTER, Operation::Alter, true)
        };
        let user = grants(&Patterns::none(), false, &[may]);
        assert!(user.administers(Operation::Alter) && user.administers(Operation::Describe));
        assert!(!user.administers(Operation::AlterSettings));
        let create = Rule {
            guarded: Guarded::Cluster,
            ..rule("ada", CLUSTER, Operation::Create, true)
        };
        let user = grants(&Patterns::none(), false, &[create]);
        assert!(user.allows(Operation::Create, Guarded::Topic, "any"));
        assert!(
            user.operations(Guarded::Topic, "any")
                .contains(Operation::Create)
        );
    }
}
