//! Three regular expressions over resource names.

use regex_lite::Regex;
use serde::{Deserialize, Serialize};

use super::Action;

/// The patterns as text. An empty one matches nothing, as RabbitMQ has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Patterns {
    pub(crate) configure: String,
    pub(crate) write: String,
    pub(crate) read: String,
}

impl Patterns {
    /// Everything is allowed.
    pub(crate) fn all() -> Self {
        Self {
            configure: ".*".into(),
            write: ".*".into(),
            read: ".*".into(),
        }
    }

    /// Nothing is allowed.
    pub(crate) fn none() -> Self {
        Self {
            configure: String::new(),
            write: String::new(),
            read: String::new(),
        }
    }
}

/// The patterns, ready to match.
#[derive(Clone, Debug)]
pub(crate) struct Permissions {
    configure: Matcher,
    write: Matcher,
    read: Matcher,
}

#[derive(Clone, Debug)]
enum Matcher {
    All,
    None,
    Pattern(Regex),
}

impl Matcher {
    fn new(pattern: &str) -> Result<Self, String> {
        match pattern {
            "" | "^$" => Ok(Self::None),
            ".*" | "^.*$" => Ok(Self::All),
            _ => Regex::new(pattern).map(Self::Pattern).map_err(|error| {
                format!("the pattern '{pattern}' is not a regular expression: {error}")
            }),
        }
    }
}

impl Permissions {
    /// Compiles the patterns.
    pub(crate) fn new(patterns: &Patterns) -> Result<Self, String> {
        Ok(Self {
            configure: Matcher::new(&patterns.configure)?,
            write: Matcher::new(&patterns.write)?,
            read: Matcher::new(&patterns.read)?,
        })
    }

    /// Nothing is allowed.
    pub(crate) fn none() -> Self {
        Self {
            configure: Matcher::None,
            write: Matcher::None,
            read: Matcher::None,
        }
    }

    /// Whether that may be done to a resource of that name.
    pub(crate) fn allows(&self, action: Action, name: &str) -> bool {
        let matcher = match action {
            Action::Configure => &self.configure,
            Action::Write => &self.write,
            Action::Read => &self.read,
        };
        match matcher {
            Matcher::All => true,
            Matcher::None => false,
            Matcher::Pattern(pattern) => pattern.is_match(name),
        }
    }

    /// Whether there is any name that may be written to.
    pub(crate) fn writes_any(&self) -> bool {
        !matches!(self.write, Matcher::None)
    }

    /// True if nothing can be refused, so that nothing need be asked.
    pub(crate) fn allows_all(&self) -> bool {
        matches!(
            (&self.configure, &self.write, &self.read),
            (Matcher::All, Matcher::All, Matcher::All)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_rabbitmq_has_them() {
        let patterns = Patterns {
            configure: String::new(),
            write: "^(a|b)\\.".into(),
            read: ".*".into(),
        };
        let permissions = Permissions::new(&patterns).unwrap();
        assert!(!permissions.allows(Action::Configure, ""));
        assert!(permissions.allows(Action::Write, "a.x"));
        assert!(!permissions.allows(Action::Write, "c.a.x"));
        assert!(permissions.allows(Action::Read, "anything"));
        assert!(
            Permissions::new(&Patterns {
                read: "(".into(),
                ..patterns
            })
            .is_err()
        );
    }
}
