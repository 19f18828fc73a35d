//! Live subscribers that come and go, and who publishes to them.
//!
//! ```text
//! published by keys --> topic "amq.topic" --> listeners of patterns: each hears it, and of those that share one does
//! ```
//! All are of one session, so what a turn publishes is with its listeners when the turn is over.

use std::collections::BTreeMap;

use polybus_model::{Event, FilterWord, LiveFilter, Publish, Request, SubscribeLive, SubscriberId};

use super::{Clerk, bytes_of, number_of, numbered};
use crate::invariants::live_heard::{self, Expected, Listener};
use crate::random::Random;
use crate::shape::name;
use crate::violation::Verdict;

const TOPIC: &str = "amq.topic";
const KEYS: [&str; 4] = ["news.a", "news.b", "news.a.x", "said.x"];
/// What one may listen to, and which of the keys it takes.
const PATTERNS: [(&str, [bool; KEYS.len()]); 4] = [
    ("news.a", [true, false, false, false]),
    ("news.*", [true, true, false, false]),
    ("news.>", [true, true, true, false]),
    ("said.*", [false, false, false, true]),
];
const LISTENERS_MAX: usize = 6;

/// The clerk.
#[derive(Default)]
pub(super) struct Listeners {
    next_subscriber: u32,
    next_message: u64,
    /// Those that are there, by their numbers.
    all: BTreeMap<u32, Listener>,
    expected: Expected,
    drained: usize,
    /// The session is about to be cut, or a request of it failed and took those behind it along: who listens is not known.
    is_over: bool,
}

impl Listeners {
    fn listen(&mut self, random: &mut Random) -> Request {
        let pattern = random.index(PATTERNS.len());
        let (text, _) = PATTERNS[pattern];
        let words = text.split('.').map(|word| match word {
            "*" => FilterWord::AnyOne,
            ">" => FilterWord::Rest,
            word => FilterWord::Exact(word.as_bytes()),
        });
        let shares = random.chance(40);
        self.next_subscriber += 1;
        let listener = Listener { pattern, shares };
        self.all.insert(self.next_subscriber, listener);
        Request::SubscribeLive(Box::new(SubscribeLive {
            subscriber: SubscriberId(self.next_subscriber),
            topic: name(TOPIC),
            filter: LiveFilter::new(words),
            share: shares.then(|| bytes_of(text)),
            echo: true,
        }))
    }

    fn leave(&mut self, random: &mut Random) -> Option<Request> {
        let numbers: Vec<u32> = self.all.keys().copied().collect();
        let subscriber = *random.pick(&numbers)?;
        self.all.remove(&subscriber);
        Some(Request::UnsubscribeLive {
            subscriber: SubscriberId(subscriber),
            after: None,
        })
    }

    fn publish(&mut self, random: &mut Random) -> Request {
        let key = random.index(KEYS.len());
        self.next_message += 1;
        let takes = |one: &Listener| PATTERNS[one.pattern].1[key];
        self.expected.publish(self.next_message, &self.all, takes);
        Request::Publish(Publish {
            message: numbered(TOPIC, KEYS[key], self.next_message, random),
            more_keys: Vec::new(),
            mandatory: false,
            confirm: None,
            delay: None,
        })
    }

    fn forget(&mut self) {
        self.all.clear();
        self.expected = Expected::default();
        self.drained = 0;
        self.is_over = false;
    }
}

impl Clerk for Listeners {
    fn name(&self) -> &'static str {
        "listeners"
    }

    fn declarations(&mut self) -> Vec<Request> {
        Vec::new()
    }

    fn next(&mut self, random: &mut Random) -> Vec<Request> {
        let mut requests = Vec::new();
        if self.is_over {
            return requests;
        }
        let bytes = std::mem::take(&mut self.drained);
        if bytes > 0 {
            requests.push(Request::Drained { bytes });
        }
        for _ in 0..random.between(1, 6) {
            match random.below(10) {
                0..=2 if self.all.len() < LISTENERS_MAX => requests.push(self.listen(random)),
                3 => requests.extend(self.leave(random)),
                _ => requests.push(self.publish(random)),
            }
        }
        requests
    }

    fn told(&mut self, event: Event, _may_refuse: bool) -> Verdict {
        match event {
            _ if self.is_over => Ok(()),
            Event::LiveMessage {
                subscriber,
                message,
                ..
            } => {
                self.drained += message.memory_size();
                self.expected.heard(subscriber.0, number_of(&message))
            }
            Event::TooSlow { .. } | Event::Failed { .. } | Event::Shutdown { .. } => {
                self.is_over = true;
                Ok(())
            }
            Event::LiveNotSubscribed { subscriber, .. } => live_heard::not_subscribed(subscriber),
            _ => Ok(()),
        }
    }

    fn turn_over(&mut self, may_refuse: bool) -> Verdict {
        let is_sure = !self.is_over && !may_refuse;
        self.expected.check_all_heard(is_sure)
    }

    fn connection_gone(&mut self) {
        self.forget();
    }

    fn look(&mut self, _step: usize) -> Option<Request> {
        None
    }

    fn looked(&mut self) -> Verdict {
        Ok(())
    }
}
