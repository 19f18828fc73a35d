//! The hash of routing's tables. Names, keys and headers come from peers who may choose them to collide, yet the engine
//! has no randomness of its own: it is given a seed. `ahash` is fast and keeps all four of its keys in the hasher itself,
//! so that they can come from that seed alone (foldhash takes its secrets only from a process-wide place, and with fixed
//! ones its collisions are public).
//!
//! What comes out of a table in its own order is never shown: the order may differ from one processor to another.

use std::collections::HashMap;

use ahash::RandomState;

/// A map keyed by what peers choose.
pub(crate) type KeyedMap<K, V> = HashMap<K, V, RandomState>;

/// The keyed hash that a seed gives.
pub(crate) fn keyed(seed: u64) -> RandomState {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed(state)
    };
    RandomState::with_seeds(next(), next(), next(), next())
}

/// Spreads a number over all 64 bits (the finish of splitmix64): a bijection.
pub(super) const fn mixed(number: u64) -> u64 {
    let a = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let b = (a ^ (a >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    b ^ (b >> 31)
}

/// A hash that is the same for ever and everywhere, for consistent hashing: eight bytes at a time, little-endian.
pub(super) fn stable_hash(bytes: &[u8]) -> u64 {
    let mut hash = mixed(bytes.len() as u64 ^ 0x706F_6C79_6275_7321);
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        hash = mixed(hash.rotate_left(23) ^ u64::from_le_bytes(word));
    }
    hash
}
