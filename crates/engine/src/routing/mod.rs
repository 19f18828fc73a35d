//! Where a message goes: one namespace's topics and bindings, and the names of its queues and logs.
//!
//! ```text
//! topic -> matcher (of its kind) -> targets -> reach -> slots of queues, ids of logs
//!             direct      a map of keys                    (each at most once)
//!             fanout      a list
//!             pattern     a trie of words, before it a cache of hot keys
//!             headers     rules, found by their rarest field
//!             consistent  shares by weight
//! ```
//! What always holds: every binding stands in its topic's matcher, in its topic's map of identities and in its
//! destination's list of incoming bindings, and in all three at the same time; so nothing here scans all bindings but a
//! listing. Routing allocates nothing once its buffers have grown. The same calls give the same answers.

mod cache;
mod consistent;
mod few;
pub(crate) mod hash;
mod headers;
mod listing;
mod live;
mod logs;
mod pattern;
mod plain;
mod readers;
mod route;
mod slab;
mod targets;
#[cfg(test)]
mod tests;
mod topic;
mod validate;

pub(crate) use live::{Found, Listener, Live, Wanted};
pub use readers::{HeaderReader, HeaderReaders, PropertyReader};
pub(crate) use validate::{validate_binding, validate_topic};

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};

use ahash::RandomState;
use bytes::Bytes;
use polybus_model::{Binding, Destination, Name, TopicSettings};
use rustc_hash::FxHashMap;

use cache::KeyCache;
use hash::KeyedMap;
use slab::Slab;
use targets::{Hit, Kind, Reach, Target};
use topic::{BindingId, BindingRef, Bound, Topic};

/// A name that can be looked up by bytes of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
struct NameKey(Name);

impl Hash for NameKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_str().as_bytes().hash(state);
    }
}

impl Borrow<[u8]> for NameKey {
    fn borrow(&self) -> &[u8] {
        self.0.as_str().as_bytes()
    }
}

#[derive(Debug)]
struct Queue {
    name: Name,
    slot: u32,
    /// The bindings that lead here.
    incoming: Vec<BindingRef>,
}

/// A log, as bindings lead to it.
#[derive(Debug)]
struct Log {
    name: Name,
    id: u64,
    /// The bindings that lead here.
    incoming: Vec<BindingRef>,
}

/// One namespace's topics and bindings, and the names of its queues and logs.
#[derive(Debug)]
pub(crate) struct Router {
    hasher: RandomState,
    /// Counts the changes: a binding's rank and a topic's version are the number of theirs.
    changes: u64,
    topics: Slab<Topic>,
    topic_numbers: KeyedMap<NameKey, u32>,
    queues: Slab<Queue>,
    queue_numbers: KeyedMap<NameKey, u32>,
    /// The queues' numbers by their slots. The engine numbers slots itself: no peer can make them collide.
    slots: FxHashMap<u32, u32>,
    logs: Slab<Log>,
    log_numbers: KeyedMap<NameKey, u32>,
    reach: Reach,
    cache: KeyCache,
    hits: Vec<Hit>,
    delayed_at: Vec<Name>,
    /// Who listens to topics.
    pub(crate) live: Live,
}

/// What went with a topic, a binding or a queue.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Removed {
    /// The bindings, in the order they went.
    pub(crate) bindings: Vec<Binding>,
    /// The topics, in the order they went (those of `auto_delete` among them).
    pub(crate) topics: Vec<Name>,
    /// Those who listened to them: their sessions' slots, and the sessions' numbers for them.
    pub(crate) listeners: Vec<Listener>,
}

impl RouteMode {
    /// A client publishes.
    pub(crate) const CLIENT: Self = Self {
        by_client: true,
        delay: false,
        live: true,
    };
    /// The broker itself does.
    pub(crate) const BROKER: Self = Self {
        by_client: false,
        ..Self::CLIENT
    };
}

/// Why a binding cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BindError {
    /// There is no such source topic.
    NoSource,
    /// There is no such destination.
    NoDestination,
}

/// Why a message is not routed at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RouteError {
    /// There is no such topic.
    NotFound,
    /// The topic is internal and a client published to it.
    Internal,
}

/// What sort of publish it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RouteMode {
    /// A client publishes: internal topics refuse it. False for dead letters and for what waited in a delayed topic.
    pub(crate) by_client: bool,
    /// The message has a delay to serve: it stops at delayed topics. False routes through them.
    pub(crate) delay: bool,
    /// Those who listen to the topic it is published to get it. False if they have it already.
    pub(crate) live: bool,
}

/// How a message was routed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Routed {
    /// It stopped at one or more delayed topics: [`Router::delayed_at`] names them until the next call.
    pub(crate) delayed: bool,
    /// It reached logs: [`Router::logs_reached`] names them until the next call.
    pub(crate) logged: bool,
}

impl Router {
    /// An empty router. The seed keys its hash tables, against peers that choose names and keys to collide.
    pub(crate) fn new(seed: u64) -> Self {
        let hasher = hash::keyed(seed);
        Self {
            changes: 0,
            topics: Slab::default(),
            topic_numbers: KeyedMap::with_hasher(hasher.clone()),
            queues: Slab::default(),
            queue_numbers: KeyedMap::with_hasher(hasher.clone()),
            slots: FxHashMap::default(),
            logs: Slab::default(),
            log_numbers: KeyedMap::with_hasher(hasher.clone()),
            reach: Reach::default(),
            cache: KeyCache::new(&hasher),
            hits: Vec::new(),
            delayed_at: Vec::new(),
            live: Live::new(&hasher),
            hasher,
        }
    }

    fn next_change(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }

    fn topic_numbered(&self, name: &str) -> Option<(u32, &Topic)> {
        let number = *self.topic_numbers.get(name.as_bytes())?;
        Some((number, self.topics.get(number)?))
    }

    fn queue_numbered(&self, name: &str) -> Option<(u32, &Queue)> {
        let number = *self.queue_numbers.get(name.as_bytes())?;
        Some((number, self.queues.get(number)?))
    }

    /// A queue exists: the default topic routes to it, and bindings can lead to it. `slot` is what [`Router::route`] gives.
    /// A queue of that name that is known already keeps its bindings and gets the slot.
    pub(crate) fn queue_declared(&mut self, name: &Name, slot: u32) {
        let known = self.queue_numbers.get(name.as_str().as_bytes()).copied();
        let number = if let Some(number) = known {
            if let Some(queue) = self.queues.get_mut(number) {
                self.slots.remove(&queue.slot);
                queue.slot = slot;
            }
            number
        } else {
            let number = self.queues.insert(Queue {
                name: name.clone(),
                slot,
                incoming: Vec::new(),
            });
            self.queue_numbers.insert(NameKey(name.clone()), number);
            number
        };
        let other = self.slots.insert(slot, number);
        debug_assert_eq!(other, None, "a slot belongs to one queue");
        self.reach.note_queue(number, slot);
    }

    /// The slot of the queue with that name.
    pub(crate) fn queue_slot(&self, name: &str) -> Option<u32> {
        Some(self.queue_numbered(name)?.1.slot)
    }

    /// A queue is gone: its bindings go, and topics of `auto_delete` that lost their last binding as a source.
    pub(crate) fn remove_queue(&mut self, slot: u32) -> Removed {
        let mut removal = Removal::default();
        let number = self.slots.remove(&slot);
        let incoming = number
            .and_then(|number| self.queues.get_mut(number))
            .map(|queue| std::mem::take(&mut queue.incoming));
        for at in incoming.into_iter().flatten() {
            self.remove_binding(at, &mut removal);
        }
        if let Some(queue) = number.and_then(|number| self.queues.remove(number)) {
            self.queue_numbers.remove(queue.name.as_str().as_bytes());
        }
        self.finish(removal)
    }

    /// Declares a topic; false if there is one of that name already (it stays as it is) or the name is empty.
    pub(crate) fn declare_topic(&mut self, name: &Name, settings: TopicSettings) -> bool {
        if name.is_empty() || self.topic(name.as_str()).is_some() {
            return false;
        }
        let version = self.next_change();
        let topic = Topic::new(name, settings, version, &self.hasher);
        let number = self.topics.insert(topic);
        self.topic_numbers.insert(NameKey(name.clone()), number);
        self.reach.note_topic(number);
        self.put_in_front(name, Some(number));
        true
    }

    /// A topic's settings.
    pub(crate) fn topic(&self, name: &str) -> Option<&TopicSettings> {
        self.topic_numbered(name).map(|(_, topic)| &topic.settings)
    }

    /// Deletes a topic with all its bindings; none if there is none. The removed topics name it first.
    pub(crate) fn delete_topic(&mut self, name: &str) -> Option<Removed> {
        let (number, _) = self.topic_numbered(name)?;
        let mut removal = Removal::default();
        self.remove_topic(number, &mut removal);
        Some(self.finish(removal))
    }

    /// True if the topic has a binding as a source (it is "in use").
    pub(crate) fn has_bindings_as_source(&self, name: &str) -> bool {
        self.topic_numbered(name)
            .is_some_and(|(_, topic)| topic.bound.len() > 0)
    }

    /// True if anything that reaches the topic goes on from there.
    pub(crate) fn leads_on_from(&self, name: &str) -> bool {
        self.topic_numbered(name)
            .is_some_and(|(number, topic)| topic.bound.len() > 0 || self.live.is_heard(number))
    }

    /// The target of a destination, with its name as it is kept here.
    fn target(&self, destination: &Destination) -> Option<(Target, Destination)> {
        Some(match destination {
            Destination::Queue(name) => {
                let (number, queue) = self.queue_numbered(name.as_str())?;
                (
                    Target::queue(number),
                    Destination::Queue(queue.name.clone()),
                )
            }
            Destination::Topic(name) => {
                let (number, topic) = self.topic_numbered(name.as_str())?;
                (
                    Target::topic(number),
                    Destination::Topic(topic.name.clone()),
                )
            }
            Destination::Log(name) => {
                let (number, log) = self.log_numbered(name.as_str())?;
                (Target::log(number), Destination::Log(log.name.clone()))
            }
        })
    }

    fn incoming(&mut self, target: Target) -> Option<&mut Vec<BindingRef>> {
        match target.kind() {
            Kind::Queue(number) => Some(&mut self.queues.get_mut(number)?.incoming),
            Kind::Topic(number) => Some(&mut self.topics.get_mut(number)?.incoming),
            Kind::Log(number) => Some(&mut self.logs.get_mut(number)?.incoming),
        }
    }

    /// Makes a binding; false if there is the same already.
    pub(crate) fn bind(&mut self, binding: &Binding) -> Result<bool, BindError> {
        let source = self.topic_numbered(binding.source.as_str());
        let (number, topic) = source.ok_or(BindError::NoSource)?;
        let destination = self.target(&binding.destination);
        let (target, destination) = destination.ok_or(BindError::NoDestination)?;
        let id = BindingId {
            target,
            // A copy: the peer's bytes may be part of a large buffer.
            key: Bytes::copy_from_slice(&binding.key),
            arguments: plain::identity(&binding.arguments),
        };
        if topic.places.contains_key(&id) {
            return Ok(false);
        }
        let binding = Binding {
            source: topic.name.clone(),
            destination,
            key: id.key.clone(),
            arguments: binding.arguments.clone(),
        };
        let rank = self.next_change();
        let incoming_at = self.incoming(target).map_or(0, |list| list.len() as u32);
        let place = self.topics.get_mut(number).map(|topic| {
            topic.add(Bound {
                binding,
                id,
                hit: Hit { rank, target },
                incoming_at,
            })
        });
        if let (Some(place), Some(incoming)) = (place, self.incoming(target)) {
            incoming.push(BindingRef {
                topic: number,
                place,
            });
        }
        Ok(true)
    }

    /// Takes a binding away; none if there is no such binding.
    pub(crate) fn unbind(&mut self, binding: &Binding) -> Option<Removed> {
        let (number, topic) = self.topic_numbered(binding.source.as_str())?;
        let id = BindingId {
            target: self.target(&binding.destination)?.0,
            key: binding.key.clone(),
            arguments: plain::identity(&binding.arguments),
        };
        let place = *topic.places.get(&id)?;
        let mut removal = Removal::default();
        let at = BindingRef {
            topic: number,
            place,
        };
        self.remove_binding(at, &mut removal);
        Some(self.finish(removal))
    }

    /// Takes one binding out of all three places it stands in.
    fn remove_binding(&mut self, at: BindingRef, removal: &mut Removal) {
        let version = self.next_change();
        let Some(topic) = self.topics.get_mut(at.topic) else {
            return;
        };
        let Some(bound) = topic.remove(at.place, version) else {
            return;
        };
        if topic.settings.auto_delete && topic.bound.len() == 0 {
            removal.orphans.push(at.topic);
        }
        removal.removed.bindings.push(bound.binding);
        self.unlink(bound.hit.target, bound.incoming_at, at);
    }

    /// Takes a binding out of its destination's list, where the last one takes its place. (The list may be taken away
    /// already, with its destination.)
    fn unlink(&mut self, target: Target, incoming_at: u32, at: BindingRef) {
        let Some(incoming) = self.incoming(target) else {
            return;
        };
        if incoming.get(incoming_at as usize) != Some(&at) {
            debug_assert!(
                incoming.is_empty(),
                "a binding is in its destination's list"
            );
            return;
        }
        incoming.swap_remove(incoming_at as usize);
        if let Some(moved) = incoming.get(incoming_at as usize).copied()
            && let Some(topic) = self.topics.get_mut(moved.topic)
            && let Some(bound) = topic.bound.get_mut(moved.place)
        {
            bound.incoming_at = incoming_at;
        }
    }

    /// Takes a topic away, first the bindings that start at it, then those that lead to it.
    fn remove_topic(&mut self, number: u32, removal: &mut Removal) {
        let Some(topic) = self.topics.get_mut(number) else {
            return;
        };
        // It goes now: it is not to become an orphan besides.
        topic.settings.auto_delete = false;
        removal.removed.topics.push(topic.name.clone());
        let mut places: Vec<_> = topic
            .bound
            .iter()
            .map(|(place, bound)| (bound.hit.rank, place))
            .collect();
        places.sort_unstable();
        for (_, place) in places {
            let at = BindingRef {
                topic: number,
                place,
            };
            self.remove_binding(at, removal);
        }
        let incoming = self.topics.get_mut(number);
        let incoming = incoming.map(|topic| std::mem::take(&mut topic.incoming));
        for at in incoming.into_iter().flatten() {
            self.remove_binding(at, removal);
        }
        if let Some(topic) = self.topics.remove(number) {
            self.topic_numbers.remove(topic.name.as_str().as_bytes());
            self.put_in_front(&topic.name, None);
        }
        let gone = self.live.remove_topic(number);
        removal.removed.listeners.extend(gone);
    }

    /// Removes the topics that lost their last binding, and those that lose it by that, and so on.
    fn finish(&mut self, mut removal: Removal) -> Removed {
        while let Some(orphan) = removal.orphans.pop() {
            self.remove_topic(orphan, &mut removal);
        }
        removal.removed
    }
}

/// A removal under way.
#[derive(Debug, Default)]
struct Removal {
    removed: Removed,
    /// Topics of `auto_delete` without bindings, still to go.
    orphans: Vec<u32>,
}
