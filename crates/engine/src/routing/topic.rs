//! A topic with its bindings, and the index of them that its kind routes by.

use ahash::RandomState;
use bytes::Bytes;
use polybus_model::{Binding, Name, TopicKind, TopicSettings};

use super::consistent::Shares;
use super::hash::KeyedMap;
use super::headers::HeaderRules;
use super::pattern::{Trie, steps};
use super::slab::Slab;
use super::targets::{Hit, Target, Targets};

/// Where a binding is found: its source topic, and its place there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct BindingRef {
    pub(super) topic: u32,
    pub(super) place: u32,
}

/// What makes a binding another than the topic's others.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct BindingId {
    pub(super) target: Target,
    pub(super) key: Bytes,
    /// See [`super::plain::identity`].
    pub(super) arguments: Box<[u8]>,
}

/// A binding, as its source topic keeps it.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) binding: Binding,
    pub(super) id: BindingId,
    pub(super) hit: Hit,
    /// Where it stands in its destination's list of incoming bindings.
    pub(super) incoming_at: u32,
}

/// What a topic routes by.
#[derive(Debug)]
pub(super) enum Matcher {
    Direct(KeyedMap<Bytes, Targets>),
    Fanout(Targets),
    Pattern(Box<Trie<Targets>>),
    Headers(Box<HeaderRules>),
    ConsistentHash(Box<Shares>),
}

/// A topic.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: Name,
    pub(super) settings: TopicSettings,
    /// Another one after every change of its bindings, and never the same as another topic's.
    pub(super) version: u64,
    pub(super) bound: Slab<Bound>,
    pub(super) places: KeyedMap<BindingId, u32>,
    /// The bindings that lead here.
    pub(super) incoming: Vec<BindingRef>,
    pub(super) matcher: Matcher,
    /// The number of the log that it is in front of.
    pub(super) log: Option<u32>,
}

impl Topic {
    pub(super) fn new(
        name: &Name,
        settings: TopicSettings,
        version: u64,
        hasher: &RandomState,
    ) -> Self {
        let matcher = match settings.kind {
            TopicKind::Direct => Matcher::Direct(KeyedMap::with_hasher(hasher.clone())),
            TopicKind::Fanout => Matcher::Fanout(Targets::default()),
            TopicKind::Pattern => Matcher::Pattern(Box::new(Trie::new(hasher))),
            TopicKind::Headers => Matcher::Headers(Box::new(HeaderRules::new(hasher))),
            TopicKind::ConsistentHash => {
                Matcher::ConsistentHash(Box::new(Shares::new(&settings, hasher)))
            }
        };
        Self {
            name: name.clone(),
            settings,
            version,
            bound: Slab::default(),
            places: KeyedMap::with_hasher(hasher.clone()),
            incoming: Vec::new(),
            matcher,
            log: None,
        }
    }

    /// Adds a binding that is not there yet; its place.
    pub(super) fn add(&mut self, bound: Bound) -> u32 {
        let hit = bound.hit;
        let id = bound.id.clone();
        self.version = hit.rank;
        let place = self.bound.insert(bound);
        self.places.insert(id, place);
        if let Some(Bound { binding, .. }) = self.bound.get(place) {
            match &mut self.matcher {
                Matcher::Direct(keys) => keys.entry(binding.key.clone()).or_default().push(hit),
                Matcher::Fanout(targets) => targets.push(hit),
                Matcher::Pattern(trie) => {
                    trie.change(steps(&binding.key), |targets| targets.push(hit));
                }
                Matcher::Headers(rules) => rules.add(place, binding, hit),
                Matcher::ConsistentHash(shares) => shares.add(binding, hit),
            }
        }
        place
    }

    /// Takes the binding at a place away; `version` is the topic's next.
    pub(super) fn remove(&mut self, place: u32, version: u64) -> Option<Bound> {
        let bound = self.bound.remove(place)?;
        self.version = version;
        self.places.remove(&bound.id);
        let Bound { binding, hit, .. } = &bound;
        match &mut self.matcher {
            Matcher::Direct(keys) => {
                if let Some(targets) = keys.get_mut(&binding.key) {
                    targets.remove(hit.rank);
                    if targets.is_empty() {
                        keys.remove(&binding.key);
                    }
                }
            }
            Matcher::Fanout(targets) => targets.remove(hit.rank),
            Matcher::Pattern(trie) => {
                trie.change(steps(&binding.key), |targets| targets.remove(hit.rank));
            }
            Matcher::Headers(rules) => rules.remove(place),
            Matcher::ConsistentHash(shares) => shares.remove(*hit),
        }
        Some(bound)
    }

    /// Whether what is published to it with that key may go anywhere but to live subscribers.
    pub(super) fn leads_on(&mut self, key: &[u8]) -> bool {
        let settings = &self.settings;
        settings.delayed
            || settings.alternate.is_some()
            || match &mut self.matcher {
                Matcher::Direct(keys) => keys.contains_key(key),
                Matcher::Pattern(trie) => !trie.is_empty() && trie.matches(key).next().is_some(),
                Matcher::Fanout(_) | Matcher::Headers(_) | Matcher::ConsistentHash(_) => {
                    self.bound.len() > 0
                }
            }
    }

    /// Its bindings in the order in which they were made.
    pub(super) fn in_order(&self) -> Vec<&Bound> {
        let mut bound: Vec<_> = self.bound.iter().map(|(_, bound)| bound).collect();
        bound.sort_unstable_by_key(|bound| bound.hit.rank);
        bound
    }
}
