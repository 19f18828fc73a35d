//! The patterns by which members say what they read: each is matched against the names of the logs once for all members that
//! have it, and again when logs have come or gone.
//!
//! What always holds: `all` has a pattern as long as a member does.

use std::collections::{BTreeMap, BTreeSet};

use polybus_model::{GroupError, Name, Sight};
use regex_lite::{Regex, RegexBuilder};

use crate::groups::Logs;

/// The longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 1024;
/// What a pattern may come to, in bytes: matching takes as long as it is large.
const COMPILED_BYTES_MAX: usize = 64 << 10;
/// How deep groups may be nested in one.
const DEPTH_MAX: u32 = 32;

/// One of them.
#[derive(Debug)]
struct Pattern {
    regex: Regex,
    members: usize,
    /// The names that it fits.
    names: BTreeSet<Name>,
    /// The version of the logs, and of what may be known of them, at which that was found.
    found_at: Option<(u64, u64)>,
}

/// All of a group.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    all: BTreeMap<Box<str>, Pattern>,
}

/// Reads a pattern: a whole name has to fit it.
pub(super) fn compile(text: &str) -> Result<Regex, GroupError> {
    let invalid = |why: String| {
        let text =
            format!("SubscribedTopicRegex `{text}` is not a valid regular expression: {why}");
        GroupError::InvalidPattern(text)
    };
    if text.len() > PATTERN_BYTES_MAX {
        let why = format!("it has more than {PATTERN_BYTES_MAX} bytes");
        return Err(GroupError::InvalidPattern(why));
    }
    let build = |text: &str| {
        let mut builder = RegexBuilder::new(text);
        builder.size_limit(COMPILED_BYTES_MAX).nest_limit(DEPTH_MAX);
        builder.build().map_err(|error| invalid(error.to_string()))
    };
    // By itself first: what is put around it shall not make sense of what makes none.
    build(text)?;
    build(&format!("^(?:{text})$"))
}

impl Patterns {
    /// A member has this pattern from now on.
    pub(super) fn add(&mut self, text: &str, regex: Regex) {
        let pattern = self.all.entry(text.into()).or_insert_with(|| Pattern {
            regex,
            members: 0,
            names: BTreeSet::new(),
            found_at: None,
        });
        pattern.members += 1;
    }

    /// A member has it no more.
    pub(super) fn remove(&mut self, text: &str) {
        if let Some(pattern) = self.all.get_mut(text) {
            pattern.members -= 1;
            if pattern.members == 0 {
                self.all.remove(text);
            }
        }
    }

    /// The names that a pattern fits, as they were last looked at.
    pub(super) fn names(&self, text: &str) -> impl Iterator<Item = &Name> {
        self.all
            .get(text)
            .into_iter()
            .flat_map(|pattern| &pattern.names)
    }

    /// Matches a pattern anew if logs have come or gone since, or what may be known of them has changed; true if other names fit
    /// it now.
    pub(super) fn look(&mut self, text: &str, sight: &Sight, logs: &Logs<'_>) -> bool {
        let Some(pattern) = self.all.get_mut(text) else {
            return false;
        };
        let now = Some((logs.version, sight.version()));
        if pattern.found_at == now {
            return false;
        }
        pattern.found_at = now;
        let fits =
            |name: &Name| pattern.regex.is_match(name.as_str()) && sight.shows(name.as_str());
        let names = (logs.names)().into_iter().filter(fits).collect();
        let has_changed = pattern.names != names;
        pattern.names = names;
        has_changed
    }

    /// Whether these members have these patterns, and no others.
    #[cfg(test)]
    pub(super) fn check<'a>(&self, of_members: impl Iterator<Item = &'a str>) {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        of_members.for_each(|text| *counts.entry(text).or_default() += 1);
        let kept = self.all.iter().map(|(text, one)| (&**text, one.members));
        assert_eq!(kept.collect::<BTreeMap<_, _>>(), counts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_name_has_to_fit() {
        let fits = |pattern: &str, name: &str| compile(pattern).unwrap().is_match(name);
        assert!(fits("orders.*", "orders.eu") && !fits("orders", "orders.eu"));
        assert!(fits("a|ab", "ab") && !fits("a|ab", "abc") && !fits("b", "ab"));
        assert!(fits("(?i)ORDERS", "orders"));
    }

    #[test]
    fn patterns_that_cannot_be_used_are_refused() {
        let long = "a".repeat(PATTERN_BYTES_MAX + 1);
        let deep = format!("{}a{}", "(".repeat(100), ")".repeat(100));
        let wrong = ["([", "a)|(b", "(a{1000}){1000}", "(a)\\1", &long, &deep];
        for text in wrong {
            assert!(
                matches!(compile(text), Err(GroupError::InvalidPattern(_))),
                "{text}"
            );
        }
    }
}
