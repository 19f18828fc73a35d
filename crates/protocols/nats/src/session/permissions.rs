//! Which subjects the user may publish and subscribe to, as nats-server has it: what is allowed, of that what is denied, and
//! answers to what it was handed.
//!
//! What always holds: a client without such rules pays nothing for them; the replies that may be answered are bounded.

use std::collections::HashMap;

use polybus_model::{Answers, KeyPatterns, KeyRules, LiveFilter, Millis};

use super::filter;
use crate::codec::is_valid;

/// Replies that are waited for; past them those whose time is over are forgotten, and new ones are not noted.
const REPLIES_MAX: usize = 4_096;

/// The rules of a client's user.
#[derive(Debug)]
pub(super) struct Permissions {
    publish: Lists,
    subscribe: Lists,
    answers: Option<Answers>,
    /// Replies that may be answered: how often they were, and since when.
    replies: HashMap<Vec<u8>, (u32, Millis)>,
    /// The time of what is looked at.
    pub(super) now: Millis,
}

#[derive(Debug)]
struct Lists {
    allow: Option<Vec<LiveFilter>>,
    deny: Vec<LiveFilter>,
}

impl Lists {
    fn new(patterns: &KeyPatterns) -> Self {
        let read = |texts: &Vec<String>| {
            let valid = texts.iter().filter(|text| is_valid(text.as_bytes()));
            valid.map(|text| filter(text.as_bytes())).collect()
        };
        Self {
            allow: patterns.allow.as_ref().map(read),
            deny: read(&patterns.deny),
        }
    }

    /// Whether a subject is allowed.
    fn allows(&self, subject: &[u8]) -> bool {
        let is_allowed = match &self.allow {
            None => true,
            Some(allow) => allow.iter().any(|one| one.fits(subject)),
        };
        is_allowed && !self.denies(subject)
    }

    fn denies(&self, subject: &[u8]) -> bool {
        self.deny.iter().any(|one| one.fits(subject))
    }

    /// Whether all subjects are allowed that a filter lets through, or only some of them are denied.
    fn allows_filter(&self, wanted: &LiveFilter) -> bool {
        let is_allowed = match &self.allow {
            None => true,
            Some(allow) => allow.iter().any(|one| one.covers(wanted)),
        };
        is_allowed && !self.deny.iter().any(|one| one.covers(wanted))
    }
}

impl Permissions {
    pub(super) fn new(rules: &KeyRules, now: Millis) -> Self {
        Self {
            publish: Lists::new(&rules.publish),
            subscribe: Lists::new(&rules.subscribe),
            answers: rules.answers,
            replies: HashMap::new(),
            now,
        }
    }

    /// Whether the client may publish to a subject. An answer that it may give is counted.
    pub(super) fn may_publish(&mut self, subject: &[u8]) -> bool {
        if self.publish.allows(subject) {
            return true;
        }
        let Some(answers) = self.answers else {
            return false;
        };
        let Some((count, since)) = self.replies.get_mut(subject) else {
            return false;
        };
        *count += 1;
        let is_late = self.now.saturating_sub(*since) > answers.within_ms;
        let (is_last, is_over) = (*count >= answers.count_max, *count > answers.count_max);
        if is_late || is_last {
            self.replies.remove(subject);
        }
        !is_late && !is_over
    }

    /// Whether the client may subscribe to what a filter lets through.
    pub(super) fn may_subscribe(&self, wanted: &LiveFilter) -> bool {
        self.subscribe.allows_filter(wanted)
    }

    /// Whether a message is handed to the client: one of a wider subscription may be denied.
    pub(super) fn may_hear(&self, subject: &[u8]) -> bool {
        !self.subscribe.denies(subject)
    }

    /// The client is handed a message with that reply.
    pub(super) fn note_reply(&mut self, reply: &[u8]) {
        let Some(answers) = self.answers else {
            return;
        };
        if reply.is_empty() {
            return;
        }
        if self.replies.len() >= REPLIES_MAX {
            let now = self.now;
            let is_open = |since: Millis| now.saturating_sub(since) <= answers.within_ms;
            self.replies.retain(|_, (_, since)| is_open(*since));
        }
        if self.replies.len() < REPLIES_MAX {
            self.replies.insert(reply.to_vec(), (0, self.now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(allow: Option<&[&str]>, deny: &[&str]) -> KeyPatterns {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        KeyPatterns {
            allow: allow.map(owned),
            deny: owned(deny),
        }
    }

    #[test]
    fn what_is_allowed_and_not_denied() {
        let rules = KeyRules {
            publish: patterns(Some(&["a.*", "b.>"]), &["b.secret.>"]),
            subscribe: patterns(Some(&["a.>", "_INBOX.>"]), &["a.secret"]),
            answers: None,
        };
        let mut permissions = Permissions::new(&rules, 0);
        for (subject, may) in [
            ("a.x", true),
            ("a.x.y", false),
            ("b.x.y", true),
            ("b.secret.x", false),
            ("c", false),
        ] {
            assert_eq!(
                permissions.may_publish(subject.as_bytes()),
                may,
                "{subject}"
            );
        }
        for (wanted, may) in [
            ("a.x", true),
            ("a.*", true),
            ("a.>", true),
            (">", false),
            ("a.secret", false),
            ("_INBOX.x.*", true),
        ] {
            let filter = filter(wanted.as_bytes());
            assert_eq!(permissions.may_subscribe(&filter), may, "{wanted}");
        }
        assert!(permissions.may_hear(b"a.x") && !permissions.may_hear(b"a.secret"));
    }

    #[test]
    fn answers_are_counted_and_end() {
        let rules = KeyRules {
            publish: patterns(Some(&[]), &[]),
            answers: Some(Answers {
                count_max: 2,
                within_ms: 100,
            }),
            ..KeyRules::default()
        };
        let mut permissions = Permissions::new(&rules, 0);
        assert!(!permissions.may_publish(b"r"));
        permissions.note_reply(b"r");
        assert!(permissions.may_publish(b"r") && permissions.may_publish(b"r"));
        assert!(!permissions.may_publish(b"r"));
        permissions.note_reply(b"late");
        permissions.now = 101;
        assert!(!permissions.may_publish(b"late"));
        for reply in 0..2 * REPLIES_MAX {
            permissions.note_reply(reply.to_string().as_bytes());
        }
        assert_eq!(permissions.replies.len(), REPLIES_MAX);
    }
}
