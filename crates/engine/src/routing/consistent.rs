//! Consistent hashing by weight: of a topic's destinations one, the same for the same key, and more often the heavier ones.
//!
//! Weighted rendezvous hashing: every destination draws `-log2(u) / weight` with `u` from the hash of its name and the key,
//! and the least wins. A destination added takes keys from all others and moves none between them; one removed gives its
//! keys to all others. Weights may be any number, for they cost no memory. The logarithm is of whole numbers only, so that
//! every machine draws alike; among equal weights the greatest `u` wins without one.

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
        let mut best: Option<(u64, u32, Target)> = None;
        for (weight, members) in &self.groups {
            // Names may hash alike, if someone tries: then the greater target wins, whatever the order of the members.
            let draws = members.iter().map(|m| (mixed(m.hash ^ hash), m.target));
            let Some((draw, target)) = draws.max() else {
                continue;
            };
            if self.groups.len() == 1 {
                return Some(target);
            }
            let cost = negative_log2(draw);
            let is_better = best.is_none_or(|(best_cost, best_weight, _)| {
                u128::from(cost) * u128::from(best_weight)
                    < u128::from(best_cost) * u128::from(*weight)
            });
            if is_better {
                best = Some((cost, *weight, target));
            }
        }
        best.map(|(_, _, target)| target)
    }

    #[cfg(test)]
    pub(super) fn is_clean(&self) -> bool {
        self.by_target.is_empty() && self.groups.is_empty()
    }
}

/// `-log2(draw / 2^64)` with 40 bits after the point: one bit per squaring.
fn negative_log2(draw: u64) -> u64 {
    const FRACTION_BITS: u32 = 40;
    let draw = draw.max(1);
    let zeros = draw.leading_zeros();
    let mut mantissa = draw << zeros;
    let mut fraction = 0;
    for _ in 0..FRACTION_BITS {
        let square = (u128::from(mantissa) * u128::from(mantissa)) >> 63;
        fraction <<= 1;
        mantissa = if square >> 64 == 0 {
            square as u64
        } else {
            fraction |= 1;
            (square >> 1) as u64
        };
    }
    (u64::from(zeros + 1) << FRACTION_BITS) - fraction
}
