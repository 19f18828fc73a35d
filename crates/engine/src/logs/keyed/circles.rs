//! Whether what a keyed log gives would come back to it, by those who follow it or by those who take its copies from a topic.
//!
//! ```text
//! log -> who follows it -> ..                         copies of it on a topic -> logs that take such keys -> ..
//! ```
//! What comes as a copy is copied on only where its key may be one that is copied there. What bindings add to this is not looked
//! at: copies of copies are counted.

use std::collections::{BTreeMap, BTreeSet};

use polybus_model::{KeyedError, KeyedSettings, LogError, Name};

use crate::Engine;

/// Ways that are looked at; with more, there is taken to be a circle.
const WAYS_MAX: usize = 20_000;

/// A log, and the one of which it has copies if it is these that are followed on their way. Both by their places in the list.
type Stop = (usize, Option<usize>);

/// The keyed logs of a namespace; the first is the one that is asked about.
struct Ways<'a> {
    logs: Vec<(&'a Name, &'a KeyedSettings)>,
    followers: BTreeMap<&'a Name, Vec<usize>>,
}

impl Engine {
    /// Whether a log can have rules by which nothing comes back to it.
    pub(in crate::logs) fn check_circles(
        &self,
        namespace: u32,
        name: &Name,
        rules: &KeyedSettings,
    ) -> Result<(), LogError> {
        let others = self.logs.all.values();
        let others = others.filter(|log| log.namespace == namespace && log.name != *name);
        let others = others.filter_map(|log| Some((&log.name, log.settings.keyed.as_deref()?)));
        let ways = Ways::new(std::iter::once((name, rules)).chain(others).collect());
        let circle = || LogError::from(KeyedError::Circle);
        let reached = ways.reached((0, None)).ok_or_else(circle)?;
        let own = reached.iter().filter(|(log, _)| *log == 0);
        for stop in own.copied().chain([(0, None)]) {
            if ways.reached(stop).is_none_or(|from| from.contains(&stop)) {
                return Err(circle());
            }
        }
        Ok(())
    }
}

impl<'a> Ways<'a> {
    fn new(logs: Vec<(&'a Name, &'a KeyedSettings)>) -> Self {
        let mut followers: BTreeMap<&Name, Vec<usize>> = BTreeMap::new();
        for (at, (_, rules)) in logs.iter().enumerate() {
            for followed in rules.follows.all() {
                followers.entry(&followed.log).or_default().push(at);
            }
        }
        Self { logs, followers }
    }

    /// Where what comes from a stop goes; none if that is too much to look at.
    fn reached(&self, from: Stop) -> Option<BTreeSet<Stop>> {
        let mut left = vec![from];
        let mut reached = BTreeSet::new();
        while let Some(stop) = left.pop() {
            for next in self.next(stop) {
                if reached.insert(next) {
                    left.push(next);
                }
            }
            if reached.len() > WAYS_MAX {
                return None;
            }
        }
        Some(reached)
    }

    fn next(&self, (log, via): Stop) -> Vec<Stop> {
        let Some((name, rules)) = self.logs.get(log) else {
            return Vec::new();
        };
        let followers = self.followers.get(name).into_iter().flatten();
        let mut next: Vec<Stop> = followers.map(|follower| (*follower, None)).collect();
        let Some(copies) = &rules.copies else {
            return next;
        };
        let came = via.and_then(|via| self.logs.get(via)?.1.copies.as_ref());
        let is_copied_on =
            |came: &polybus_model::Copies| came.renaming.may_give(&copies.renaming.keys);
        if rules.renames.is_none() && came.is_some_and(|came| !is_copied_on(came)) {
            return next;
        }
        let takers = self.logs.iter().enumerate();
        let takers = takers.filter(|(_, (_, rules))| {
            let takes = rules.takes.as_ref();
            let takes = takes.filter(|takes| takes.topic == copies.topic);
            takes.is_some_and(|takes| takes.keys.iter().any(|keys| copies.renaming.may_give(keys)))
        });
        next.extend(takers.map(|(taker, _)| (taker, Some(log))));
        next
    }
}
