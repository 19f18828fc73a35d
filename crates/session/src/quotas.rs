//! Quotas in force: what each client may do in a second, and what it has done. One for the whole broker, shared by all sessions
//! that are held to it; the broker says what the quotas are, the sessions say what they do and are told how long to be silent.
//!
//! A quota is a bucket that fills at its rate and holds ten seconds of it. What is done is taken out at once, below nothing if it
//! has to be: whoever did it is silent until the bucket is no longer in debt. So a burst is let through, and the mean is the quota.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use polybus_model::{Metered, Millis, Quota, QuotaOwner, Whose};

/// Seconds of its rate that a bucket holds.
const BURST_S: f64 = 10.0;
/// So many buckets at most; clients beyond them share theirs.
const BUCKETS_MAX: usize = 10_000;

/// Who does something.
#[derive(Clone, Copy, Debug)]
pub struct Spender<'a> {
    /// Its user.
    pub user: &'a str,
    /// What it calls itself.
    pub client: &'a str,
    /// The address it comes from.
    pub host: &'a str,
}

/// The quotas in force; clones are handles to the same.
#[derive(Clone, Debug, Default)]
pub struct Quotas(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// What there are any about, a bit for each: nothing else is looked at where there are none.
    about: AtomicU8,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rates: BTreeMap<(Metered, QuotaOwner), f64>,
    buckets: HashMap<Holder, Bucket>,
}

/// Who has a bucket: its user, name and address, as far as the quota says something about them.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Holder {
    metered: Metered,
    names: [String; 3],
}

#[derive(Debug)]
struct Bucket {
    rate: f64,
    level: f64,
    filled_at: Millis,
}

impl Quotas {
    /// These are the quotas now.
    pub fn replace(&self, quotas: impl IntoIterator<Item = Quota>) {
        let mut state = self.lock();
        let rates = quotas.into_iter();
        state.rates = rates
            .map(|one| ((one.metered, one.owner), one.rate))
            .collect();
        if state.rates.is_empty() {
            state.buckets.clear();
        }
        let about = state.rates.keys().fold(0, |all, (one, _)| all | bit(*one));
        self.0.about.store(about, Ordering::Relaxed);
    }

    /// Whether there is any quota about this.
    #[must_use]
    pub fn are_about(&self, metered: Metered) -> bool {
        self.0.about.load(Ordering::Relaxed) & bit(metered) != 0
    }

    /// Takes so much out of a client's bucket, or puts it back if it is less than nothing; gives how long it has to be silent,
    /// in milliseconds.
    #[must_use]
    pub fn spend(
        &self,
        metered: Metered,
        spender: Spender<'_>,
        amount: f64,
        now: Millis,
    ) -> Millis {
        if !self.are_about(metered) {
            return 0;
        }
        let mut state = self.lock();
        let Some((rate, holder)) = state.find(metered, spender) else {
            return 0;
        };
        state.bucket(holder, rate, now).spend(amount)
    }

    /// What a client may do in a second.
    #[must_use]
    pub fn rate(&self, metered: Metered, spender: Spender<'_>) -> Option<f64> {
        if !self.are_about(metered) {
            return None;
        }
        let found = self.lock().find(metered, spender);
        found.map(|(rate, _)| rate)
    }

    /// What a client can do before it has to be silent, if it was silent long enough.
    #[must_use]
    pub fn burst(&self, metered: Metered, spender: Spender<'_>) -> Option<f64> {
        self.rate(metered, spender).map(|rate| rate * BURST_S)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What is in there is whole between any two statements.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bit that stands for it.
fn bit(metered: Metered) -> u8 {
    match metered {
        Metered::BytesIn => 1,
        Metered::BytesOut => 2,
        Metered::Time => 4,
        Metered::Connections => 8,
        Metered::Changes => 16,
    }
}

impl State {
    /// The quota that counts for a client, and whose bucket it is: the one that says most about it, users before names.
    fn find(&self, metered: Metered, spender: Spender<'_>) -> Option<(f64, Holder)> {
        let Spender { user, client, host } = spender;
        let named = |name: &str| Some(Whose::Named(name.to_owned()));
        let default = Some(Whose::Default);
        let both = [
            (named(user), named(client)),
            (named(user), default.clone()),
            (named(user), None),
            (default.clone(), named(client)),
            (default.clone(), default.clone()),
            (default.clone(), None),
            (None, named(client)),
            (None, default.clone()),
        ];
        let clients = both.into_iter().map(|(user, client)| (user, client, None));
        let hosts = [named(host), default].map(|host| (None, None, host));
        clients
            .chain(hosts)
            .find_map(|(of_user, of_client, of_host)| {
                let names = [(&of_user, user), (&of_client, client), (&of_host, host)];
                let names = names.map(|(whose, name)| match whose {
                    Some(_) => name.to_owned(),
                    None => String::new(),
                });
                let owner = QuotaOwner {
                    user: of_user,
                    client: of_client,
                    host: of_host,
                };
                let rate = *self.rates.get(&(metered, owner))?;
                Some((rate, Holder { metered, names }))
            })
    }

    /// Somebody's bucket, filled up to now.
    fn bucket(&mut self, mut holder: Holder, rate: f64, now: Millis) -> &mut Bucket {
        let is_full = |bucket: &Bucket| bucket.level_at(now) >= bucket.rate * BURST_S;
        if self.buckets.len() >= BUCKETS_MAX && !self.buckets.contains_key(&holder) {
            self.buckets.retain(|_, bucket| !is_full(bucket));
            if self.buckets.len() >= BUCKETS_MAX {
                holder.names = Default::default();
            }
        }
        let bucket = self.buckets.entry(holder).or_insert_with(|| Bucket {
            rate,
            level: rate * BURST_S,
            filled_at: now,
        });
        bucket.level = bucket.level_at(now).min(rate * BURST_S);
        bucket.rate = rate;
        bucket.filled_at = now;
        bucket
    }
}

impl Bucket {
    fn level_at(&self, now: Millis) -> f64 {
        let passed_s = now.saturating_sub(self.filled_at) as f64 / 1000.0;
        (self.level + self.rate * passed_s).min(self.rate * BURST_S)
    }

    fn spend(&mut self, amount: f64) -> Millis {
        self.level = (self.level - amount).min(self.rate * BURST_S);
        if self.level >= 0.0 {
            return 0;
        }
        // A cast of a number that is too large, or none, gives the nearest there is.
        (-self.level / self.rate * 1000.0).ceil() as Millis
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(user: Option<Whose>, client: Option<Whose>) -> QuotaOwner {
        QuotaOwner {
            user,
            client,
            host: None,
        }
    }

    fn named(name: &str) -> Option<Whose> {
        Some(Whose::Named(name.to_owned()))
    }

    fn quota(owner: QuotaOwner, rate: f64) -> Quota {
        Quota {
            owner,
            metered: Metered::BytesIn,
            rate,
        }
    }

    fn who<'a>(user: &'a str, client: &'a str) -> Spender<'a> {
        Spender {
            user,
            client,
            host: "10.0.0.1",
        }
    }

    #[test]
    fn the_quota_that_says_most_counts() {
        let default = || Some(Whose::Default);
        let all = [
            (named("ada"), named("c")),
            (named("ada"), default()),
            (named("ada"), None),
            (default(), named("c")),
            (default(), default()),
            (default(), None),
            (None, named("c")),
            (None, default()),
        ];
        let all = all.map(|(user, client)| owner(user, client));
        let rate = |left: usize, user, client| {
            let quotas = Quotas::default();
            let rates = all.iter().cloned().zip(1..).skip(left);
            quotas.replace(rates.map(|(owner, rate)| quota(owner, f64::from(rate))));
            quotas.rate(Metered::BytesIn, who(user, client))
        };
        let of_ada: Vec<_> = (0..9).map(|left| rate(left, "ada", "c")).collect();
        let expected = [1, 2, 3, 4, 5, 6, 7, 8].map(|rate| Some(f64::from(rate)));
        assert_eq!(of_ada, [&expected[..], &[None]].concat());
        assert_eq!(rate(0, "eve", "x"), Some(5.0));
        assert_eq!(rate(5, "eve", "x"), Some(6.0));
        assert_eq!(rate(6, "eve", "x"), Some(8.0));
    }

    #[test]
    fn a_burst_is_let_through_and_then_the_mean_holds() {
        let quotas = Quotas::default();
        let spend = |user, amount, now| {
            let spender = who(user, "c");
            quotas.spend(Metered::BytesIn, spender, amount, now)
        };
        assert_eq!(spend("ada", 1e9, 0), 0);
        quotas.replace([quota(owner(Some(Whose::Default), None), 100.0)]);
        assert_eq!(spend("ada", 1000.0, 0), 0);
        assert_eq!(spend("ada", 150.0, 0), 1500);
        assert_eq!(spend("ada", 50.0, 1500), 500);
        // Each has a bucket of its own, and it holds ten seconds.
        assert_eq!(spend("eve", 1000.0, 1500), 0);
        assert_eq!(spend("ada", 1001.0, 1_000_000), 10);
        // What is put back fills it, and no more than fills it.
        assert_eq!(spend("ada", -5000.0, 1_000_000), 0);
        assert_eq!(spend("ada", 1001.0, 1_000_000), 10);
        // Where there is one about one thing there is none about another.
        assert!(quotas.are_about(Metered::BytesIn) && !quotas.are_about(Metered::Time));
        quotas.replace([]);
        assert_eq!(spend("ada", 1e9, 0), 0);
    }

    #[test]
    fn clients_beyond_the_bound_share_a_bucket() {
        let quotas = Quotas::default();
        quotas.replace([quota(owner(None, Some(Whose::Default)), 1.0)]);
        for number in 0..BUCKETS_MAX {
            let name = number.to_string();
            assert_eq!(
                quotas.spend(Metered::BytesIn, who("u", &name), 11.0, 0),
                1000
            );
        }
        assert_eq!(quotas.spend(Metered::BytesIn, who("u", "x"), 11.0, 0), 1000);
        assert_eq!(quotas.spend(Metered::BytesIn, who("u", "y"), 1.0, 0), 2000);
        // Those that are quiet make room.
        assert_eq!(
            quotas.spend(Metered::BytesIn, who("u", "z"), 11.0, 20_000),
            1000
        );
    }
}
