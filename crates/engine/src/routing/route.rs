//! The way of one message: from topic to topic, through bindings and alternates, to queues and logs.
//!
//! A topic in front of a log leads to the log as well, and whatever reaches the log reaches the topic.
//!
//! Topics are taken in the order in which they are reached, each once, so cycles end. A topic whose bindings match nothing
//! hands the message to its alternate; a binding that matches counts even if nothing lies behind it.

use bytes::Bytes;
use polybus_model::Message;

use super::cache::KeyCache;
use super::consistent::HashOn;
use super::plain::Fields;
use super::readers::HeaderReaders;
use super::targets::{Hit, Reach, Target};
use super::topic::{Matcher, Topic};
use super::{Found, RouteError, RouteMode, Routed, Router, Wanted};

/// What a message is matched by, read at most once.
struct Ask<'a> {
    message: &'a Message,
    more_keys: &'a [Bytes],
    readers: &'a HeaderReaders,
    fields: Option<Fields>,
}

impl Ask<'_> {
    fn keys(&self) -> impl Iterator<Item = &[u8]> {
        let more = self.more_keys.iter().map(|key| &**key);
        std::iter::once(self.message.key()).chain(more)
    }

    fn fields(&mut self) -> &Fields {
        self.fields
            .get_or_insert_with(|| Fields::new(self.readers.headers(self.message)))
    }
}

impl Router {
    /// Finds the queues that a message goes to: `out` is cleared and gets each queue's slot at most once, in the order of
    /// the bindings. The logs are in [`Router::logs_reached`]. Nothing in `out` and neither `delayed` nor `logged` means
    /// unroutable.
    pub(crate) fn route(
        &mut self,
        topic: &[u8],
        message: &Message,
        more_keys: &[Bytes],
        mode: RouteMode,
        readers: &HeaderReaders,
        out: &mut Vec<u32>,
    ) -> Result<Routed, RouteError> {
        out.clear();
        self.delayed_at.clear();
        let mut ask = Ask {
            message,
            more_keys,
            readers,
            fields: None,
        };
        self.reach.begin();
        self.live.begin();
        let mut start = u32::MAX;
        if topic.is_empty() {
            for key in ask.keys() {
                if let Some(queue) = self.queue_numbers.get(key) {
                    self.reach.add(Target::queue(*queue), out);
                } else if let Some(log) = self.log_numbers.get(key) {
                    self.reach.reach_log(*log);
                }
            }
        } else {
            let Some(&number) = self.topic_numbers.get(topic) else {
                return Err(RouteError::NotFound);
            };
            start = number;
            if mode.by_client && self.topics.get(start).is_some_and(|t| t.settings.internal) {
                return Err(RouteError::Internal);
            }
            self.reach.visit(start);
        }
        while let Some(number) = self.reach.next_topic() {
            let Some(topic) = self.topics.get_mut(number) else {
                continue;
            };
            if topic.settings.delayed && mode.delay {
                self.delayed_at.push(topic.name.clone());
                continue;
            }
            if let Some(log) = topic.log {
                self.reach.reach_log(log);
            }
            let mut walk = Walk {
                reach: &mut self.reach,
                cache: &mut self.cache,
                hits: &mut self.hits,
                out,
            };
            let mut matched = walk.through(topic, &mut ask);
            if mode.live || number != start {
                for key in ask.keys() {
                    matched |= self.live.pass(number, topic, key);
                }
            }
            if !matched
                && let Some(alternate) = &topic.settings.alternate
                && let Some(number) = self.topic_numbers.get(alternate.as_str().as_bytes())
            {
                self.reach.visit(*number);
            }
        }
        self.live.finish(1 + more_keys.len());
        Ok(Routed {
            delayed: !self.delayed_at.is_empty(),
            logged: !self.reach.logs_reached().is_empty(),
        })
    }

    /// The number of a topic that a client publishes to.
    pub(crate) fn live_topic(&self, name: &str) -> Result<u32, RouteError> {
        match self.topic_numbered(name) {
            Some((_, topic)) if topic.settings.internal => Err(RouteError::Internal),
            Some((number, _)) => Ok(number),
            None => Err(RouteError::NotFound),
        }
    }

    /// Finds who listens to a topic for a key; whether the message may lead on beside that.
    #[inline]
    pub(crate) fn hear(&mut self, number: u32, key: &[u8]) -> (Found, bool) {
        match self.topics.get_mut(number) {
            Some(topic) => {
                let (found, leads_on) = self.live.find(number, topic, key);
                (found, leads_on || topic.log.is_some())
            }
            None => (Found::Nobody, false),
        }
    }

    /// Adds a listener to a topic; its number, if there is such a topic.
    pub(crate) fn listen(&mut self, topic: &str, wanted: Wanted) -> Option<u32> {
        let (topic, _) = self.topic_numbered(topic)?;
        Some(self.live.add(topic, wanted))
    }

    /// The delayed topics that the last routed message stopped at. When its delay is over, route it to each of them with
    /// a mode of neither `by_client` nor `delay`.
    pub(crate) fn delayed_at(&self) -> &[polybus_model::Name] {
        &self.delayed_at
    }
}

/// Where a walk puts what it finds.
struct Walk<'a> {
    reach: &'a mut Reach,
    cache: &'a mut KeyCache,
    hits: &'a mut Vec<Hit>,
    out: &'a mut Vec<u32>,
}

impl Walk<'_> {
    /// Goes through one topic; true if any binding matched.
    fn through(&mut self, topic: &mut Topic, ask: &mut Ask<'_>) -> bool {
        match &mut topic.matcher {
            Matcher::Direct(by_key) => {
                let mut any = false;
                for key in ask.keys() {
                    if let Some(targets) = by_key.get(key) {
                        any |= self.reach.add_all(targets.iter(), self.out);
                    }
                }
                any
            }
            Matcher::Fanout(targets) => self.reach.add_all(targets.iter(), self.out),
            Matcher::Pattern(trie) => {
                let mut any = false;
                for key in ask.keys() {
                    let (hash, found) = self.cache.find(topic.version, key);
                    if let Some(targets) = found {
                        any |= self.reach.add_all(targets.iter().copied(), self.out);
                    } else {
                        self.hits.clear();
                        trie.collect(key, self.hits);
                        self.cache.offer(hash, topic.version, key, self.hits);
                        any |= self.take_hits();
                    }
                }
                any
            }
            Matcher::Headers(rules) => {
                self.hits.clear();
                rules.collect(ask.fields(), self.hits);
                self.take_hits()
            }
            Matcher::ConsistentHash(shares) => {
                let target = match &shares.on {
                    HashOn::Key => shares.pick(ask.message.key()),
                    HashOn::Header(name) => {
                        let value = ask.fields().lookup(name);
                        let hashed = value.map(super::plain::Plain::stable_bytes);
                        shares.pick(&hashed.unwrap_or_default())
                    }
                    HashOn::Property(name) => {
                        let value = ask.readers.property(ask.message, name);
                        shares.pick(&value.unwrap_or_default())
                    }
                };
                self.reach.add_all(target.into_iter(), self.out)
            }
        }
    }

    fn take_hits(&mut self) -> bool {
        let targets = self.hits.iter().map(|hit| hit.target);
        self.reach.add_all(targets, self.out)
    }
}
