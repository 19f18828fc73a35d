//! From a key to those who listen: what hot keys reach is remembered, what others reach is looked for; then each is offered
//! the message.

use ahash::RandomState;

use super::{Filters, Listener, Live, Share, Spot};
use crate::routing::slab::Slab;
use crate::routing::topic::Topic;

/// Keys that are remembered.
const PLACES: usize = 8192;
/// The bytes of all of them.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// A longer list costs so much to go along that finding it does not count.
const LIST_MAX: usize = 4096;
/// A longer key would push out too many others.
const KEY_BYTES_MAX: usize = 1024;
/// So many members of a share are asked for one message before it is lost on it: more decline only where one session is
/// nearly all of it and does not want its own messages.
const ASKED_MAX: u32 = 1024;

/// What a key reaches, until the next look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// What the cache says in this place.
    Cached(u32),
    /// What was gathered.
    Gathered,
    /// Nobody.
    Nobody,
}

/// Numbers of listeners and of shares, these by their names.
#[derive(Debug, Default)]
pub(super) struct Reached {
    alone: Vec<u32>,
    shares: Vec<u32>,
}

impl Reached {
    pub(super) fn clear(&mut self) {
        self.alone.clear();
        self.shares.clear();
    }

    fn add(&mut self, spot: &Spot) {
        self.alone.extend_from_slice(spot.alone.as_slice());
        self.shares.extend_from_slice(spot.shares.as_slice());
    }

    fn gather(&mut self, filters: &mut Filters, key: &[u8], shares: &Slab<Share>) {
        self.clear();
        if let Some(spot) = filters.exact.get(key) {
            self.add(spot);
        }
        if !filters.open.is_empty() {
            for spot in filters.open.matches(key) {
                self.add(spot);
            }
        }
        self.sort_shares(shares);
    }

    fn sort_shares(&mut self, shares: &Slab<Share>) {
        if self.shares.len() > 1 {
            let group = |number: &u32| shares.get(*number).map_or(0, |share| share.group);
            self.shares
                .sort_unstable_by_key(|number| (group(number), *number));
        }
    }
}

/// A hot key, and what it reaches.
#[derive(Clone, Debug, Default)]
struct Place {
    is_valid: bool,
    /// The message may go elsewhere, too.
    leads_on: bool,
    topic: u32,
    /// The version of the topic's open filters,
    version: u64,
    /// and that of its bindings.
    bindings: u64,
    key: Box<[u8]>,
    alone: Box<[u32]>,
    shares: Box<[u32]>,
    /// The hash of the key that missed here last.
    challenger: u64,
}

impl Place {
    fn is_of(&self, topic: u32, key: &[u8]) -> bool {
        self.is_valid && self.topic == topic && *self.key == *key
    }

    fn size(&self) -> usize {
        self.key.len() + 4 * (self.alone.len() + self.shares.len())
    }
}

/// Remembered keys. A key has one place, which is taken over only by a key that misses there twice with no other miss
/// between: keys seen once cost no allocation and push out nobody.
#[derive(Debug, Default)]
pub(super) struct Places {
    places: Vec<Place>,
    bytes: usize,
}

impl Places {
    /// A key of a topic reaches others now.
    pub(super) fn forget_key(&mut self, hasher: &RandomState, topic: u32, key: &[u8]) {
        if self.places.is_empty() {
            return;
        }
        let at = hasher.hash_one((topic, key)) as usize % PLACES;
        if let Some(place) = self.places.get_mut(at)
            && place.is_of(topic, key)
        {
            place.is_valid = false;
        }
    }

    /// All keys of a topic do.
    pub(super) fn forget(&mut self, topic: u32) {
        for place in &mut self.places {
            place.is_valid &= place.topic != topic;
        }
    }

    fn offer(&mut self, hash: u64, made: impl FnOnce() -> Place) {
        if self.places.is_empty() {
            self.places.resize(PLACES, Place::default());
        }
        let Some(place) = self.places.get_mut(hash as usize % PLACES) else {
            return;
        };
        if place.challenger != hash {
            place.challenger = hash;
            return;
        }
        self.bytes = self.bytes.saturating_sub(place.size());
        *place = made();
        self.bytes += place.size();
        if self.bytes > BYTES_MAX {
            self.places.fill(Place::default());
            self.bytes = 0;
        }
    }
}

impl Live {
    /// Finds what a key reaches in a topic; whether it may lead on beside that.
    #[inline]
    pub(in crate::routing) fn find(
        &mut self,
        number: u32,
        topic: &mut Topic,
        key: &[u8],
    ) -> (Found, bool) {
        let Some(Some(filters)) = self.topics.get_mut(number as usize) else {
            return (Found::Nobody, topic.leads_on(key));
        };
        let hash = self.hasher.hash_one((number, key));
        let at = hash as usize % PLACES;
        if let Some(place) = self.places.places.get_mut(at)
            && place.is_of(number, key)
            && place.bindings == topic.version
            && (place.version == filters.version || filters.is_same_since(place.version, key))
        {
            place.version = filters.version;
            return (Found::Cached(at as u32), place.leads_on);
        }
        self.found.gather(filters, key, &self.shares);
        let leads_on = topic.leads_on(key);
        let Reached { alone, shares } = &self.found;
        if alone.len() + shares.len() <= LIST_MAX && key.len() <= KEY_BYTES_MAX {
            self.places.offer(hash, || Place {
                is_valid: true,
                leads_on,
                topic: number,
                version: filters.version,
                bindings: topic.version,
                key: key.into(),
                alone: alone.as_slice().into(),
                shares: shares.as_slice().into(),
                challenger: hash,
            });
        }
        (Found::Gathered, leads_on)
    }

    /// Forgets what the message before has reached on its way.
    pub(in crate::routing) fn begin(&mut self) {
        self.routed.clear();
    }

    /// A message on its way reaches those who listen to a topic; true if there is one.
    pub(in crate::routing) fn pass(&mut self, number: u32, topic: &mut Topic, key: &[u8]) -> bool {
        if !self.is_heard(number) {
            return false;
        }
        let (found, _) = self.find(number, topic, key);
        let (alone, shares) = lists(found, &self.places, &self.found);
        self.routed.alone.extend_from_slice(alone);
        self.routed.shares.extend_from_slice(shares);
        !alone.is_empty() || !shares.is_empty()
    }

    /// The message has gone its way. One that went by several keys has reached some more than once.
    pub(in crate::routing) fn finish(&mut self, keys: usize) {
        if keys > 1 {
            self.routed.alone.sort_unstable();
            self.routed.alone.dedup();
            self.routed.sort_shares(&self.shares);
            self.routed.shares.dedup();
        }
    }

    /// Offers a message to all that were found; those that have the number of a name share: one of them that takes it gets
    /// it. True if someone took it.
    #[inline]
    pub(crate) fn offer(
        &mut self,
        found: Found,
        take: impl FnMut(u32, &mut Listener) -> bool,
    ) -> bool {
        let (alone, shares) = lists(found, &self.places, &self.found);
        offer(alone, shares, &mut self.listeners, &mut self.shares, take)
    }

    /// Whether the message that was routed last has reached anyone who listens.
    #[inline]
    pub(crate) fn has_reached(&self) -> bool {
        !self.routed.alone.is_empty() || !self.routed.shares.is_empty()
    }

    /// Offers the message that was routed last to all that it has reached.
    pub(crate) fn offer_routed(&mut self, take: impl FnMut(u32, &mut Listener) -> bool) -> bool {
        let Reached { alone, shares } = &self.routed;
        offer(alone, shares, &mut self.listeners, &mut self.shares, take)
    }
}

#[inline]
fn lists<'a>(found: Found, places: &'a Places, gathered: &'a Reached) -> (&'a [u32], &'a [u32]) {
    match found {
        Found::Cached(at) => match places.places.get(at as usize) {
            Some(place) => (&place.alone, &place.shares),
            None => (&[], &[]),
        },
        Found::Gathered => (&gathered.alone, &gathered.shares),
        Found::Nobody => (&[], &[]),
    }
}

#[inline]
fn offer(
    alone: &[u32],
    mut by_name: &[u32],
    listeners: &mut Slab<Listener>,
    shares: &mut Slab<Share>,
    mut take: impl FnMut(u32, &mut Listener) -> bool,
) -> bool {
    let mut taken = false;
    for number in alone {
        if let Some(listener) = listeners.get_mut(*number) {
            taken |= take(*number, listener);
        }
    }
    while let Some(first) = by_name.first() {
        let group = |number: &u32| shares.get(*number).map(|share| share.group);
        let of_first = group(first);
        let len = by_name
            .iter()
            .take_while(|one| group(one) == of_first)
            .count();
        let (together, rest) = by_name.split_at_checked(len.max(1)).unwrap_or_default();
        taken |= offer_shared(together, listeners, shares, &mut take);
        by_name = rest;
    }
    taken
}

/// Offers a message to the members of shares of one name in turn, until one takes it.
fn offer_shared(
    together: &[u32],
    listeners: &mut Slab<Listener>,
    shares: &mut Slab<Share>,
    take: &mut impl FnMut(u32, &mut Listener) -> bool,
) -> bool {
    let members = |shares: &Slab<Share>, number: &u32| {
        shares
            .get(*number)
            .map_or(0, |share| share.members.as_slice().len() as u32)
    };
    let all: u32 = together.iter().map(|number| members(shares, number)).sum();
    let Some(turn) = together
        .first()
        .and_then(|first| Some(shares.get(*first)?.turn))
    else {
        return false;
    };
    for step in 0..all.min(ASKED_MAX) {
        let mut at = turn.wrapping_add(step) % all;
        let share = together.iter().find(|number| {
            let len = members(shares, number);
            let is_here = at < len;
            at -= if is_here { 0 } else { len };
            is_here
        });
        let member = share
            .and_then(|number| shares.get(*number))
            .and_then(|share| share.members.as_slice().get(at as usize));
        if let Some(number) = member.copied()
            && let Some(listener) = listeners.get_mut(number)
            && take(number, listener)
        {
            if let Some(first) = together.first().and_then(|first| shares.get_mut(*first)) {
                first.turn = (turn.wrapping_add(step) % all).wrapping_add(1);
            }
            return true;
        }
    }
    false
}
