//! Remembers what hot keys match in pattern topics. One cache for the whole router, of a fixed number of places and a
//! fixed number of bytes, so that neither many topics nor many keys make it grow.
//!
//! A key has one place. It is taken over only by a key that misses there twice with no other miss between, so that keys
//! seen once (as of a peer that makes every key another) neither cost an allocation nor push out the hot ones. Entries carry
//! the version of their topic, which every change of its bindings makes another one; no version is ever used twice.

use ahash::RandomState;

use super::targets::{Hit, Target};

const PLACES: usize = 4096;
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// A longer list costs so much to go along that finding it does not count.
const TARGETS_MAX: usize = 4096;
/// A longer key would push out too many others (AMQP's end at 255).
const KEY_BYTES_MAX: usize = 1024;

#[derive(Clone, Debug, Default)]
struct Place {
    version: u64,
    key: Box<[u8]>,
    targets: Box<[Target]>,
    /// The hash of the key that missed here last.
    challenger: u64,
}

impl Place {
    fn size(&self) -> usize {
        self.key.len() + size_of_val::<[Target]>(&self.targets)
    }
}

/// Keys and what they match.
#[derive(Debug)]
pub(super) struct KeyCache {
    hasher: RandomState,
    places: Vec<Place>,
    bytes: usize,
}

impl KeyCache {
    pub(super) fn new(hasher: &RandomState) -> Self {
        Self {
            hasher: hasher.clone(),
            places: Vec::new(),
            bytes: 0,
        }
    }

    /// What the key matches in the topic of that version.
    #[inline]
    pub(super) fn find(&self, version: u64, key: &[u8]) -> (u64, Option<&[Target]>) {
        let hash = self.hasher.hash_one((version, key));
        let found = self
            .places
            .get(hash as usize % PLACES)
            .filter(|place| place.version == version && *place.key == *key)
            .map(|place| &*place.targets);
        (hash, found)
    }

    /// Offers what a key that was not found matches.
    pub(super) fn offer(&mut self, hash: u64, version: u64, key: &[u8], hits: &[Hit]) {
        if hits.len() > TARGETS_MAX || key.len() > KEY_BYTES_MAX {
            return;
        }
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
        *place = Place {
            version,
            key: key.into(),
            targets: hits.iter().map(|hit| hit.target).collect(),
            challenger: hash,
        };
        self.bytes += place.size();
        if self.bytes > BYTES_MAX {
            self.places.fill(Place::default());
            self.bytes = 0;
        }
    }

    /// The bytes it holds, for tests of the bound.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
