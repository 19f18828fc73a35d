//! Bindings by header fields.
//!
//! Every binding stands in an index of fields: one that wants `all` of its fields under the rarest of them, one that wants
//! `any` under each. A message looks up its own fields, and only the bindings found there are tested in full (which also
//! sorts out fields whose hashes collide). So the cost is that of the message's fields, not of the bindings.

use ahash::RandomState;
use polybus_model::Binding;

use super::hash::KeyedMap;
use super::plain::{Fields, Plain, hash_field};
use super::targets::Hit;

#[derive(Debug)]
struct Rule {
    hit: Hit,
    /// One field is enough.
    any: bool,
    /// The fields, and their values if those matter.
    wants: Vec<(String, Option<Plain>)>,
    /// Where it stands in the index.
    indexed: Vec<u64>,
}

/// The header bindings of one topic.
#[derive(Debug)]
pub(super) struct HeaderRules {
    hasher: RandomState,
    /// By the binding's place in its topic.
    rules: Vec<Option<Rule>>,
    index: KeyedMap<u64, Vec<u32>>,
    /// Those that want `all` of nothing: they match every message.
    always: Vec<u32>,
}

/// How a binding's `x-match` reads: one field is enough; fields starting with `x-` count.
fn mode(binding: &Binding) -> (bool, bool) {
    let mode = binding.arguments.lookup("x-match");
    match mode.and_then(polybus_model::Value::as_str) {
        Some("any") => (true, false),
        Some("any-with-x") => (true, true),
        Some("all-with-x") => (false, true),
        _ => (false, false),
    }
}

impl Rule {
    fn new(binding: &Binding, hit: Hit) -> Self {
        let (any, with_x) = mode(binding);
        let arguments = binding.arguments.iter();
        let wants = arguments
            .filter(|(name, _)| *name != "x-match" && (with_x || !name.starts_with("x-")))
            .map(|(name, value)| {
                let value = Some(Plain::new(value.clone())).filter(|v| *v != Plain::Void);
                (name.to_owned(), value)
            })
            .collect();
        Self {
            hit,
            any,
            wants,
            indexed: Vec::new(),
        }
    }

    fn matches(&self, fields: &Fields) -> bool {
        let mut wants = self.wants.iter();
        let is_met = |(name, want): &(String, Option<Plain>)| match (fields.lookup(name), want) {
            (Some(field), Some(want)) => field == want,
            (field, _) => field.is_some(),
        };
        if self.any {
            wants.any(is_met)
        } else {
            wants.all(is_met)
        }
    }
}

impl HeaderRules {
    pub(super) fn new(hasher: &RandomState) -> Self {
        Self {
            hasher: hasher.clone(),
            rules: Vec::new(),
            index: KeyedMap::with_hasher(hasher.clone()),
            always: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, place: u32, binding: &Binding, hit: Hit) {
        let mut rule = Rule::new(binding, hit);
        rule.indexed = self.fields_to_index(&rule);
        for hash in &rule.indexed {
            self.index.entry(*hash).or_default().push(place);
        }
        if rule.wants.is_empty() && !rule.any {
            self.always.push(place);
        }
        let at = place as usize;
        if at >= self.rules.len() {
            self.rules.resize_with(at + 1, || None);
        }
        if let Some(empty) = self.rules.get_mut(at) {
            *empty = Some(rule);
        }
    }

    /// The hashes to find a rule by: all of its fields, or the one that the fewest rules stand under (a mere presence,
    /// which most messages meet, only where there is no value).
    fn fields_to_index(&self, rule: &Rule) -> Vec<u64> {
        let hashes = rule.wants.iter().map(|(name, want)| {
            let hash = hash_field(&self.hasher, name, want.as_ref());
            (want.is_none(), hash)
        });
        if rule.any {
            let mut hashes: Vec<_> = hashes.map(|(_, hash)| hash).collect();
            hashes.sort_unstable();
            hashes.dedup();
            return hashes;
        }
        let rarest = hashes.min_by_key(|(presence, hash)| {
            let crowd = self.index.get(hash).map_or(0, Vec::len);
            (*presence, crowd)
        });
        rarest.into_iter().map(|(_, hash)| hash).collect()
    }

    pub(super) fn remove(&mut self, place: u32) {
        let Some(rule) = self.rules.get_mut(place as usize).and_then(Option::take) else {
            return;
        };
        for hash in rule.indexed {
            if let Some(places) = self.index.get_mut(&hash) {
                if let Some(at) = places.iter().position(|p| *p == place) {
                    places.swap_remove(at);
                }
                if places.is_empty() {
                    self.index.remove(&hash);
                }
            }
        }
        self.always.retain(|p| *p != place);
    }

    /// Adds what a message with those headers matches to `hits`, in the order of the bindings.
    pub(super) fn collect(&self, fields: &Fields, hits: &mut Vec<Hit>) {
        let from = hits.len();
        let mut found = |places: &[u32]| {
            for place in places {
                if let Some(Some(rule)) = self.rules.get(*place as usize)
                    && rule.matches(fields)
                {
                    hits.push(rule.hit);
                }
            }
        };
        found(&self.always);
        if !self.index.is_empty() {
            for (name, value) in fields.iter() {
                for want in [Some(value), None] {
                    let hash = hash_field(&self.hasher, name, want);
                    if let Some(places) = self.index.get(&hash) {
                        found(places);
                    }
                }
            }
        }
        if let Some(hits) = hits.get_mut(from..) {
            hits.sort_unstable();
        }
    }

    /// How many rules the most crowded field of the index has, for tests of the choice of fields.
    #[cfg(test)]
    pub(super) fn crowd_max(&self) -> usize {
        self.index.values().map(Vec::len).max().unwrap_or(0)
    }

    #[cfg(test)]
    pub(super) fn is_clean(&self) -> bool {
        self.index.is_empty() && self.always.is_empty() && self.rules.iter().all(Option::is_none)
    }
}
