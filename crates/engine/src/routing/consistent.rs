//! Consistent hashing by weight: of a topic's destinations one, the same for the same key, and more often the heavier ones.
//!
//! Weighted rendezvous hashing: every destination draws `-ln(u) / weight` with `u` from the hash of its name and the key,
//! and the least wins. A destination added takes keys from all others and moves none between them; one removed gives its
//! keys to all others. Weights may be any number, for they cost no memory. Among equal weights the greatest `u` wins without
//! a logarithm; there is one per different weight, made of operations that IEEE 754 fixes to the bit (a machine's own `ln`
//! is not), so that every machine draws alike.

use std::f64::consts::{FRAC_1_SQRT_2, LN_2};

use ahash::RandomState;
use polybus_model::{Binding, Destination, TopicSettings, Value};

use super::hash::{KeyedMap, mixed, stable_hash};
use super::targets::{Hit, Target};

/// What of a message is hashed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum HashOn {
    Key,
    Header(String),
    Property(String),
}

impl HashOn {
    pub(super) fn of(settings: &TopicSettings) -> Self {
        let argument = |name| settings.arguments.lookup(name).and_then(Value::as_str);
        if let Some(header) = argument("hash-header") {
            Self::Header(header.to_owned())
        } else if let Some(property) = argument("hash-property") {
            Self::Property(property.to_owned())
        } else {
            Self::Key
        }
    }
}

#[derive(Debug)]
struct Member {
    hash: u64,
    target: Target,
}

#[derive(Clone, Copy, Debug)]
struct Share {
    rank: u64,
    weight: u32,
    hash: u64,
}

/// The weighted destinations of one topic.
#[derive(Debug)]
pub(super) struct Shares {
    pub(super) on: HashOn,
    /// A destination's bindings, the eldest first: that one's weight is in force, as in RabbitMQ.
    by_target: KeyedMap<Target, Vec<Share>>,
    /// Members of equal weight, by weight, rising.
    groups: Vec<(u32, Vec<Member>)>,
}

/// A binding's weight: the number that its key says, cut to 32 bits.
fn weight(key: &[u8]) -> u32 {
    let digits = key.strip_prefix(b"+").unwrap_or(key);
    let weight = digits.iter().fold(0_u32, |weight, digit| {
        let digit = u32::from(digit.saturating_sub(b'0'));
        weight.saturating_mul(10).saturating_add(digit)
    });
    weight.max(1)
}

impl Shares {
    pub(super) fn new(settings: &TopicSettings, hasher: &RandomState) -> Self {
        Self {
            on: HashOn::of(settings),
            by_target: KeyedMap::with_hasher(hasher.clone()),
            groups: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, binding: &Binding, hit: Hit) {
        let hash = match &binding.destination {
            Destination::Queue(name) => stable_hash(name.as_str().as_bytes()),
            Destination::Topic(name) => mixed(!stable_hash(name.as_str().as_bytes())),
            Destination::Log(name) => mixed(stable_hash(name.as_str().as_bytes())),
        };
        let share = Share {
            rank: hit.rank,
            weight: weight(&binding.key),
            hash,
        };
        let shares = self.by_target.entry(hit.target).or_default();
        shares.push(share);
        if shares.len() == 1 {
            self.join(hit.target, share);
        }
    }

    pub(super) fn remove(&mut self, hit: Hit) {
        let Some(shares) = self.by_target.get_mut(&hit.target) else {
            return;
        };
        let Some(at) = shares.iter().position(|share| share.rank == hit.rank) else {
            return;
        };
        let gone = shares.remove(at);
        let heir = shares.first().copied();
        if heir.is_none() {
            self.by_target.remove(&hit.target);
        }
        if at == 0 {
            self.leave(hit.target, gone.weight);
            if let Some(heir) = heir {
                self.join(hit.target, heir);
            }
        }
    }

    fn join(&mut self, target: Target, share: Share) {
        let member = Member {
            hash: share.hash,
            target,
        };
        let group = self.groups.binary_search_by_key(&share.weight, |g| g.0);
        match group {
            Ok(at) => {
                if let Some((_, members)) = self.groups.get_mut(at) {
                    members.push(member);
                }
            }
            Err(at) => self.groups.insert(at, (share.weight, vec![member])),
        }
    }

    fn leave(&mut self, target: Target, weight: u32) {
        let Ok(at) = self.groups.binary_search_by_key(&weight, |g| g.0) else {
            return;
        };
        if let Some((_, members)) = self.groups.get_mut(at) {
            members.retain(|member| member.target != target);
            if members.is_empty() {
                self.groups.remove(at);
            }
        }
    }

    /// The destination for what is hashed.
    pub(super) fn pick(&self, hashed: &[u8]) -> Option<Target> {
        let hash = stable_hash(hashed);
        let mut best: Option<(f64, f64, Target)> = None;
        for (weight, members) in &self.groups {
            // Names may hash alike, if someone tries: then the greater target wins, whatever the order of the members.
            let draws = members.iter().map(|m| (mixed(m.hash ^ hash), m.target));
            let Some((draw, target)) = draws.max() else {
                continue;
            };
            if self.groups.len() == 1 {
                return Some(target);
            }
            let (cost, weight) = (negative_ln(draw), f64::from(*weight));
            let is_better = best
                .is_none_or(|(best_cost, best_weight, _)| cost * best_weight < best_cost * weight);
            if is_better {
                best = Some((cost, weight, target));
            }
        }
        best.map(|(_, _, target)| target)
    }

    #[cfg(test)]
    pub(super) fn is_clean(&self) -> bool {
        self.by_target.is_empty() && self.groups.is_empty()
    }
}

const TWO_TO_64: f64 = 18_446_744_073_709_551_616.0;

/// `-ln(draw / 2^64)`, to about 13 digits: the series of the inverse hyperbolic tangent, for a mantissa around one.
fn negative_ln(draw: u64) -> f64 {
    let draw = draw.max(1);
    let mut halvings = draw.leading_zeros();
    let mut mantissa = (draw << halvings) as f64 / TWO_TO_64;
    if mantissa < FRAC_1_SQRT_2 {
        mantissa *= 2.0;
        halvings += 1;
    }
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let mut series = 0.0;
    for odd in [15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        series = series * square + 1.0 / odd;
    }
    f64::from(halvings) * LN_2 - 2.0 * s * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_one() {
        let spread = (0..10_000_u64).map(mixed);
        let small = (0..64).map(|shift| u64::MAX >> shift);
        for draw in spread.chain(small).chain([0, 1, 2, u64::MAX - (1 << 40)]) {
            let exact = 64.0 * LN_2 - (draw.max(1) as f64).ln();
            let error = (negative_ln(draw) - exact).abs();
            assert!(error < 1e-12, "{draw}: {error}");
        }
        assert!(negative_ln(u64::MAX) >= 0.0);
        assert!(negative_ln(u64::MAX - (1 << 20)) > 0.0);
    }
}
