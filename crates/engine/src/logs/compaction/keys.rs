//! Keys of records by hashes of 128 bits, with the latest offset of each: two keys that are taken for one would lose a record,
//! which at this width does not happen.

use std::hash::{DefaultHasher, Hasher};

use rustc_hash::FxHashMap;

/// What stands for a key.
pub(super) type KeyHash = (u64, u64);

/// The hash of a key: SipHash twice, with fixed keys, so that the same records give the same effects.
pub(super) fn hash_of(key: &[u8]) -> KeyHash {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(salt);
        hasher.write(key);
        hasher.finish()
    };
    (half(0), half(1))
}

/// The latest offset of each key.
#[derive(Debug, Default)]
pub(super) struct Keys {
    latest: FxHashMap<KeyHash, u64>,
}

impl Keys {
    pub(super) fn len(&self) -> usize {
        self.latest.len()
    }

    /// A record has this key; those are noted in the order of their offsets.
    pub(super) fn note(&mut self, key: KeyHash, offset: u64) {
        self.latest.insert(key, offset);
    }

    /// Whether a later record has the key of this one.
    pub(super) fn supersede(&self, key: KeyHash, offset: u64) -> bool {
        self.latest.get(&key).is_some_and(|latest| *latest > offset)
    }
}
