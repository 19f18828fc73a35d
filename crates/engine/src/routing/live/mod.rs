//! Which live subscribers a key reaches. Beside a topic's bindings, whatever its kind, stand the filters of those who listen
//! to it.
//!
//! ```text
//! topic -> [ cache of hot keys ] -> exact filters: a map of keys      -> listeners, and shares (of each, one member)
//!                                   open filters:  a trie of words
//! ```
//! Clients come and go with filters of their own all the time, so a change costs what its filter has words and leaves the
//! cache alone: an exact one takes away the one place of its key; of the open ones the last [`CHANGES_MAX`] are remembered,
//! and a place that is older asks whether any of them fits its key.
//!
//! What always holds: a listener stands in one list, at the place that it names; a share has members; a filter that nobody
//! has takes no memory.

mod reach;

use std::collections::VecDeque;

use ahash::RandomState;
use bytes::Bytes;
use polybus_model::{FilterWord, LiveFilter, SubscriberId};

use super::few::Few;
use super::hash::KeyedMap;
use super::pattern::{Leaf, Step, Trie};
use super::slab::Slab;
pub(crate) use reach::Found;
use reach::{Places, Reached};

/// With more changes than this behind it, a place is made anew.
const CHANGES_MAX: u64 = 32;
/// Who listens.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Listener {
    /// The session's slot in the engine.
    pub(crate) session: u32,
    /// The session's number for it.
    pub(crate) subscriber: SubscriberId,
    /// It gets what its own session publishes, too.
    pub(crate) echo: bool,
    /// Messages that it has had.
    pub(crate) had: u64,
    /// It ends when it has had so many.
    pub(crate) most: u64,
    /// About how many bytes of memory its filter takes.
    pub(crate) bytes: u32,
    topic: u32,
    /// Its place in the list it stands in.
    at: u32,
    home: Home,
}

/// A listener to be.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The session's slot in the engine.
    pub(crate) session: u32,
    /// The session's number for it.
    pub(crate) subscriber: SubscriberId,
    /// It gets what its own session publishes, too.
    pub(crate) echo: bool,
    /// Which keys it wants.
    pub(crate) filter: LiveFilter,
    /// Of those who share under one name, one gets each message.
    pub(crate) share: Option<Bytes>,
}

impl Wanted {
    /// About how many bytes of memory it takes to listen.
    pub(crate) fn memory_size(&self) -> usize {
        self.filter.memory_size() + 3 * self.share.as_ref().map_or(0, Bytes::len)
    }
}

/// Which list a listener stands in.
#[derive(Clone, PartialEq, Debug)]
enum Home {
    /// That of those who listen by this filter, each for itself.
    Alone(Box<LiveFilter>),
    /// That of this share's members.
    Shared(u32),
}

/// Those who share the messages of one filter under one name.
#[derive(Debug)]
struct Share {
    members: Few,
    /// Whose turn it is.
    turn: u32,
    /// The number of its name: of all shares of a name that a message reaches, one gets it.
    group: u64,
    /// Its place among the shares of its filter.
    at: u32,
    key: ShareKey,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct ShareKey {
    topic: u32,
    name: Bytes,
    filter: LiveFilter,
}

/// Who listens by one filter.
#[derive(Debug, Default)]
struct Spot {
    alone: Few,
    shares: Few,
}

impl Leaf for Spot {
    fn is_empty(&self) -> bool {
        self.alone.is_empty() && self.shares.is_empty()
    }
}

/// The filters of one topic.
#[derive(Debug)]
struct Filters {
    exact: KeyedMap<Box<[u8]>, Spot>,
    open: Trie<Spot>,
    /// How often the open ones have changed, and which they were, the latest last.
    version: u64,
    changed: VecDeque<LiveFilter>,
    listeners: usize,
}

impl Filters {
    fn new(hasher: &RandomState) -> Self {
        Self {
            exact: KeyedMap::with_hasher(hasher.clone()),
            open: Trie::new(hasher),
            version: 0,
            changed: VecDeque::new(),
            listeners: 0,
        }
    }

    /// Whether what a key reaches by open filters is the same as in an earlier version.
    fn is_same_since(&self, version: u64, key: &[u8]) -> bool {
        let behind = self.version - version;
        behind <= CHANGES_MAX
            && !self
                .changed
                .iter()
                .rev()
                .take(behind as usize)
                .any(|filter| filter.fits(key))
    }

    fn note_change(&mut self, filter: &LiveFilter) {
        self.version += 1;
        if self.changed.len() as u64 >= CHANGES_MAX {
            self.changed.pop_front();
        }
        self.changed.push_back(filter.clone());
    }
}

/// Who listens to the topics of one router.
#[derive(Debug)]
pub(crate) struct Live {
    hasher: RandomState,
    /// By the numbers of the topics.
    topics: Vec<Option<Box<Filters>>>,
    listeners: Slab<Listener>,
    shares: Slab<Share>,
    share_numbers: KeyedMap<ShareKey, u32>,
    /// The numbers of shares' names, and how many shares have them.
    groups: KeyedMap<Bytes, (u64, u32)>,
    groups_made: u64,
    places: Places,
    found: Reached,
    /// What the message that was routed last has reached on its way through topics.
    routed: Reached,
}

/// The steps of a filter: its rest is one word, and any number more.
fn steps(filter: &LiveFilter) -> impl Iterator<Item = Step<'_>> {
    filter.words().flat_map(|word| {
        let (step, more) = match word {
            FilterWord::Exact(word) => (Step::Word(word), None),
            FilterWord::AnyOne => (Step::One, None),
            FilterWord::Rest => (Step::One, Some(Step::Many)),
        };
        std::iter::once(step).chain(more)
    })
}

impl Live {
    pub(super) fn new(hasher: &RandomState) -> Self {
        Self {
            hasher: hasher.clone(),
            topics: Vec::new(),
            listeners: Slab::default(),
            shares: Slab::default(),
            share_numbers: KeyedMap::with_hasher(hasher.clone()),
            groups: KeyedMap::with_hasher(hasher.clone()),
            groups_made: 0,
            places: Places::default(),
            found: Reached::default(),
            routed: Reached::default(),
        }
    }

    /// Whether anyone listens to a topic.
    pub(super) fn is_heard(&self, topic: u32) -> bool {
        let filters = self.topics.get(topic as usize);
        filters.is_some_and(|one| one.as_ref().is_some_and(|one| one.listeners > 0))
    }

    pub(crate) fn listener_mut(&mut self, number: u32) -> Option<&mut Listener> {
        self.listeners.get_mut(number)
    }

    /// Which keys a listener wants.
    pub(crate) fn filter_of(&self, number: u32) -> Option<&LiveFilter> {
        match &self.listeners.get(number)?.home {
            Home::Alone(filter) => Some(filter),
            Home::Shared(share) => Some(&self.shares.get(*share)?.key.filter),
        }
    }

    /// A listener, which keys it wants, and the name under which it shares them.
    pub(crate) fn look_at(&self, number: u32) -> Option<(&Listener, &LiveFilter, Option<&Bytes>)> {
        let listener = self.listeners.get(number)?;
        let (filter, share) = match &listener.home {
            Home::Alone(filter) => (&**filter, None),
            Home::Shared(share) => {
                let key = &self.shares.get(*share)?.key;
                (&key.filter, Some(&key.name))
            }
        };
        Some((listener, filter, share))
    }

    /// Adds a listener to a topic; its number.
    pub(super) fn add(&mut self, topic: u32, wanted: Wanted) -> u32 {
        if topic as usize >= self.topics.len() {
            self.topics.resize_with(topic as usize + 1, || None);
        }
        let number = self.listeners.insert(Listener {
            session: wanted.session,
            subscriber: wanted.subscriber,
            echo: wanted.echo,
            had: 0,
            most: u64::MAX,
            bytes: wanted.memory_size() as u32,
            topic,
            at: 0,
            home: Home::Alone(Box::default()),
        });
        let (home, at) = match wanted.share {
            None => {
                let at = self.change(topic, &wanted.filter, |spot| spot.alone.push(number));
                (Home::Alone(Box::new(wanted.filter)), at)
            }
            Some(name) => {
                let key = ShareKey {
                    topic,
                    name,
                    filter: wanted.filter,
                };
                let share = match self.share_numbers.get(&key) {
                    Some(share) => *share,
                    None => self.add_share(key),
                };
                let share_mut = self.shares.get_mut(share);
                let at = share_mut.map(|share| share.members.push(number));
                (Home::Shared(share), at)
            }
        };
        if let Some(listener) = self.listeners.get_mut(number) {
            listener.home = home;
            listener.at = at.unwrap_or_default();
        }
        if let Some(filters) = self.filters_mut(topic) {
            filters.listeners += 1;
        }
        number
    }

    fn add_share(&mut self, key: ShareKey) -> u32 {
        let made = &mut self.groups_made;
        let (group, shares) = self.groups.entry(key.name.clone()).or_insert_with(|| {
            *made += 1;
            (*made, 0)
        });
        *shares += 1;
        let number = self.shares.insert(Share {
            members: Few::None,
            turn: 0,
            group: *group,
            at: 0,
            key: key.clone(),
        });
        let at = self.change(key.topic, &key.filter, |spot| spot.shares.push(number));
        if let Some(share) = self.shares.get_mut(number) {
            share.at = at.unwrap_or_default();
        }
        self.share_numbers.insert(key, number);
        number
    }

    /// Takes a listener away.
    pub(crate) fn remove(&mut self, number: u32) -> Option<Listener> {
        let listener = self.listeners.remove(number)?;
        let (topic, at) = (listener.topic, listener.at);
        let moved = match &listener.home {
            Home::Alone(filter) => self.change(topic, filter, |spot| spot.alone.remove(at)),
            Home::Shared(share) => {
                let members = self.shares.get_mut(*share).map(|share| &mut share.members);
                let moved = members.and_then(|members| members.remove(at));
                self.remove_share_if_empty(*share);
                Some(moved)
            }
        };
        if let Some(moved) = moved
            .flatten()
            .and_then(|moved| self.listeners.get_mut(moved))
        {
            moved.at = at;
        }
        if let Some(filters) = self.filters_mut(topic) {
            filters.listeners -= 1;
        }
        Some(listener)
    }

    /// A topic is gone, and those who listened to it with it.
    pub(super) fn remove_topic(&mut self, topic: u32) -> Vec<Listener> {
        let listens = self
            .filters_mut(topic)
            .is_some_and(|filters| filters.listeners > 0);
        let mut gone = Vec::new();
        if listens {
            let all = self.listeners.iter();
            let numbers: Vec<_> = all
                .filter(|(_, listener)| listener.topic == topic)
                .map(|(number, _)| number)
                .collect();
            gone.extend(numbers.into_iter().filter_map(|number| self.remove(number)));
        }
        if let Some(place) = self.topics.get_mut(topic as usize)
            && place.take().is_some()
        {
            // Its number will be another topic's, and versions begin anew.
            self.places.forget(topic);
        }
        gone
    }

    fn filters_mut(&mut self, topic: u32) -> Option<&mut Filters> {
        self.topics.get_mut(topic as usize)?.as_deref_mut()
    }

    /// Changes who listens by one filter.
    fn change<T>(
        &mut self,
        topic: u32,
        filter: &LiveFilter,
        change: impl FnOnce(&mut Spot) -> T,
    ) -> Option<T> {
        let filters = self.topics.get_mut(topic as usize)?;
        let filters = filters.get_or_insert_with(|| Box::new(Filters::new(&self.hasher)));
        let Some(key) = filter.as_key() else {
            filters.note_change(filter);
            return filters.open.change(steps(filter), change);
        };
        self.places.forget_key(&self.hasher, topic, key);
        let Some(spot) = filters.exact.get_mut(key) else {
            let mut spot = Spot::default();
            let changed = change(&mut spot);
            if !spot.is_empty() {
                filters.exact.insert(key.into(), spot);
            }
            return Some(changed);
        };
        let changed = change(spot);
        if spot.is_empty() {
            filters.exact.remove(key);
        }
        Some(changed)
    }

    fn remove_share_if_empty(&mut self, number: u32) {
        if self
            .shares
            .get(number)
            .is_none_or(|share| !share.members.is_empty())
        {
            return;
        }
        let Some(share) = self.shares.remove(number) else {
            return;
        };
        self.share_numbers.remove(&share.key);
        if let Some((_, shares)) = self.groups.get_mut(&share.key.name) {
            *shares -= 1;
            if *shares == 0 {
                self.groups.remove(&share.key.name);
            }
        }
        let ShareKey { topic, filter, .. } = &share.key;
        let moved = self.change(*topic, filter, |spot| spot.shares.remove(share.at));
        if let Some(moved) = moved.flatten().and_then(|moved| self.shares.get_mut(moved)) {
            moved.at = share.at;
        }
    }
}
