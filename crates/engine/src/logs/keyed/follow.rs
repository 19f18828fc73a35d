//! Following: a keyed log takes what comes to others, as far as that is durable.
//!
//! ```text
//! an origin grew, was made; settings changed; a load came -> touched -> at the end of the turn, for each origin:
//!      from the position on: the next record that is wanted -> in memory, or read back ahead -> its key here
//!         a copy: under its own offset, what was left out a hole    several: behind what is there, marked with its origin
//!      -> the new position, journaled with what was appended
//! ```
//! What always holds: a record is taken once, also over a crash, for the position is in the same turn as the record (a copy's
//! position is its own end); a turn takes a slice, the next goes on; nobody follows itself, by whatever way (circles).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use polybus_model::{
    CopiedFrom, FollowFrom, FollowState, Followed, Follows, KeyedError, LogError, Message, Millis,
    Name, Terms,
};
use rustc_hash::FxHashMap;

use super::fetch::{Fetched, Fetching};
use super::record::{FollowedRecord, put_followed};
use super::{Keyed, tallies};
use crate::logs::At;
use crate::logs::partition::Partition;
use crate::turn::Turn;
use crate::{Engine, Store};

/// Records that one origin gives in one turn, and their bytes; the rest follows in the next.
const RECORDS_PER_TURN: usize = 256;
const BYTES_PER_TURN: u64 = 1 << 20;
/// With more than this on its way to the disk a follower waits.
const UNDURABLE_BYTES_MAX: u64 = 8 << 20;
/// A follower that is full is looked after again so much later.
const FULL_RETRY_MS: Millis = 1_000;

/// An origin of a log.
#[derive(Debug)]
pub(crate) struct Following {
    what: Arc<Followed>,
    /// The id of the log that it was, and up to where it was taken.
    position: Option<(u64, u64)>,
    pub(super) loaded: VecDeque<(u64, Message)>,
    pub(super) loading: Option<u64>,
    /// The log is full: when it is tried again.
    full_until: Option<Millis>,
}

impl Following {
    fn new(what: &Followed, position: Option<(u64, u64)>) -> Self {
        Self {
            what: Arc::new(what.clone()),
            position,
            loaded: VecDeque::new(),
            loading: None,
            full_until: None,
        }
    }
}

/// Who follows whom.
#[derive(Debug, Default)]
pub(crate) struct FollowWork {
    /// The followers of logs, by namespace and name.
    followers: BTreeMap<(u32, Name), Vec<u64>>,
    pub(super) touched: BTreeSet<u64>,
    due: Option<Millis>,
    pub(super) loads: FxHashMap<u64, Fetching>,
}

impl FollowWork {
    pub(in crate::logs) fn deadline(&self) -> Option<Millis> {
        self.due
    }

    fn ring_at(&mut self, at: Millis) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }
}

/// What a look at an origin came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Looked {
    /// There is no more for now.
    Done,
    /// There is more, at that time.
    More(Millis),
}

impl Engine {
    /// A log was declared, altered or recovered: it follows whom its settings name. What it followed before in the same way
    /// it goes on with.
    pub(in crate::logs) fn follow_as_set(&mut self, id: u64, now: Millis) {
        let Some(log) = self.logs.all.get_mut(&id) else {
            return;
        };
        let (namespace, name) = (log.namespace, log.name.clone());
        let follows = match log.settings.keyed.as_deref() {
            Some(rules) => rules.follows.all().to_vec(),
            None => Vec::new(),
        };
        let work = &mut self.logs.following;
        work.loads.retain(|_, load| load.at.log != id);
        work.forget(id);
        for one in &follows {
            let key = (namespace, one.log.clone());
            work.followers.entry(key).or_default().push(id);
        }
        let partition = log.partitions.first_mut();
        if let Some(keyed) = partition.and_then(|one| one.keyed.as_mut()) {
            let before = std::mem::take(&mut keyed.following);
            let position = |what: &Followed| {
                let known = before.iter().find(|one| *one.what == *what);
                known.and_then(|one| one.position)
            };
            let all = follows.iter().map(|one| Following::new(one, position(one)));
            keyed.following = all.collect();
            if !follows.is_empty() {
                work.touched.insert(id);
                work.ring_at(now);
            }
        }
        self.origin_changed(namespace, &name, now);
    }

    /// A recovered log was so far with one that it follows.
    pub(in crate::logs) fn set_followed(&mut self, id: u64, origin: u32, log: u64, offset: u64) {
        let at = At {
            log: id,
            partition: 0,
        };
        if let Some(following) = self.following(at, origin as usize) {
            following.position = Some((log, offset));
        }
    }

    /// What an altered log knows of whom it follows is said anew.
    pub(in crate::logs) fn journal_positions(&mut self, at: At, turn: &mut Turn<'_, impl Store>) {
        let Some(log) = self.logs.all.get(&at.log) else {
            return;
        };
        let Some(keyed) = log.partitions.first().and_then(|one| one.keyed.as_ref()) else {
            return;
        };
        let is_copy = log.settings.keyed.as_deref();
        let is_copy = is_copy.is_some_and(|rules| rules.follows.is_copy());
        let positions = keyed.positions();
        if positions.is_empty() || is_copy || !log.settings.durable {
            return;
        }
        put_followed(&mut self.work.buffer, &FollowedRecord { at, positions });
        turn.append(&self.work.buffer, at.log);
    }

    /// A log is there, or is another one: its followers look.
    fn origin_changed(&mut self, namespace: u32, name: &Name, now: Millis) {
        let work = &mut self.logs.following;
        let followers = work.followers.get(&(namespace, name.clone()));
        let followers = followers.cloned().unwrap_or_default();
        if !followers.is_empty() {
            work.touched.extend(followers);
            work.ring_at(now);
        }
    }

    /// More of a log is durable: its followers look, and it does itself.
    pub(in crate::logs) fn origin_grew(&mut self, at: At) {
        if self.logs.following.followers.is_empty() {
            return;
        }
        let Some(log) = self.logs.all.get(&at.log) else {
            return;
        };
        let work = &mut self.logs.following;
        if let Some(followers) = work.followers.get(&(log.namespace, log.name.clone())) {
            work.touched.extend(followers);
        }
        let rules = log.settings.keyed.as_deref();
        if rules.is_some_and(|rules| rules.follows != Follows::Nobody) {
            work.touched.insert(at.log);
        }
    }

    /// The end of a turn: followers take a slice of what there is for them.
    pub(crate) fn feed_followers(&mut self, turn: &mut Turn<'_, impl Store>) {
        if self.logs.following.touched.is_empty() {
            self.logs.following.due = None;
            return;
        }
        // Some turns are given no time; what is appended has one.
        turn.now = self.time(turn);
        let touched = std::mem::take(&mut self.logs.following.touched);
        self.logs.following.due = None;
        for id in touched {
            if let Looked::More(at) = self.feed_follower(id, turn) {
                let work = &mut self.logs.following;
                work.touched.insert(id);
                work.ring_at(at);
            }
        }
        self.logs.bound_recent(self.options.log_resident_bytes_max);
    }

    fn feed_follower(&mut self, id: u64, turn: &mut Turn<'_, impl Store>) -> Looked {
        let at = At {
            log: id,
            partition: 0,
        };
        let partition = self.logs.partition(at);
        let Some(count) = partition.and_then(|one| Some(one.keyed.as_ref()?.following.len()))
        else {
            return Looked::Done;
        };
        let mut positions = Vec::new();
        let mut next: Option<Millis> = None;
        for origin in 0..count {
            let before = self.position(at, origin);
            let looked = self.feed_from(at, origin, turn);
            let after = self.position(at, origin);
            if let Some((log, offset)) = after.filter(|_| before != after) {
                positions.push((origin as u32, log, offset));
            }
            if let Looked::More(time) = looked {
                next = Some(next.map_or(time, |next| next.min(time)));
            }
        }
        let log = self.logs.all.get(&id);
        let keeps_positions = log.is_some_and(|log| {
            let rules = log.settings.keyed.as_deref();
            log.settings.durable && rules.is_some_and(|rules| !rules.follows.is_copy())
        });
        if keeps_positions && !positions.is_empty() {
            put_followed(&mut self.work.buffer, &FollowedRecord { at, positions });
            turn.append(&self.work.buffer, id);
        }
        next.map_or(Looked::Done, Looked::More)
    }

    fn position(&self, at: At, origin: usize) -> Option<(u64, u64)> {
        let keyed = self.logs.partition(at)?.keyed.as_ref()?;
        keyed.following.get(origin)?.position
    }

    pub(super) fn following(&mut self, at: At, origin: usize) -> Option<&mut Following> {
        let keyed = self.logs.partition_mut(at)?.keyed.as_mut()?;
        keyed.following.get_mut(origin)
    }

    /// Takes a slice from one origin.
    fn feed_from(&mut self, at: At, origin: usize, turn: &mut Turn<'_, impl Store>) -> Looked {
        let Some((source, what)) = self.begin_to_follow(at, origin) else {
            return Looked::Done;
        };
        let mut bytes = 0;
        for _ in 0..RECORDS_PER_TURN {
            let partition = self.logs.partition(at);
            let undurable = partition.map_or(0, Partition::undurable_bytes);
            let full_until = self.following(at, origin).and_then(|one| one.full_until);
            if let Some(until) = full_until.filter(|until| *until > turn.now) {
                return Looked::More(until);
            }
            if undurable > UNDURABLE_BYTES_MAX || bytes > BYTES_PER_TURN {
                // Its own growth wakes it.
                let is_slow = undurable > UNDURABLE_BYTES_MAX;
                return if is_slow {
                    Looked::Done
                } else {
                    Looked::More(turn.now)
                };
            }
            let Some((log, from)) = self.position(at, origin) else {
                return Looked::Done;
            };
            let Some((offset, end)) = self.next_followed(source, &what, from) else {
                return Looked::Done;
            };
            let Some(offset) = offset else {
                // What nobody wants is passed over.
                self.move_on(at, origin, (log, end.max(from)));
                return Looked::Done;
            };
            let Fetched::Here(message, time) =
                self.fetch_followed((at, origin), source, offset, &what, turn)
            else {
                return Looked::Done;
            };
            bytes += message.memory_size() as u64;
            let taken = self.take_followed(at, (&what, offset, time), &message, turn);
            if let Err(error) = taken
                && is_full(&error)
            {
                let until = turn.now.saturating_add(FULL_RETRY_MS);
                if let Some(following) = self.following(at, origin) {
                    following.full_until = Some(until);
                    following.loaded.push_front((offset, message));
                }
                return Looked::More(until);
            }
            // What it cannot take for another reason it will never take.
            self.move_on(at, origin, (log, offset.saturating_add(1)));
        }
        Looked::More(turn.now)
    }

    fn move_on(&mut self, at: At, origin: usize, position: (u64, u64)) {
        if let Some(following) = self.following(at, origin) {
            following.position = Some(position);
            following.full_until = None;
        }
    }

    /// Where an origin is, and from where on it is followed; none if it is not there.
    fn begin_to_follow(&mut self, at: At, origin: usize) -> Option<(At, Arc<Followed>)> {
        let follower = self.logs.all.get(&at.log)?;
        let namespace = follower.namespace;
        let is_copy = follower.settings.keyed.as_ref()?.follows.is_copy();
        let partition = follower.partitions.first()?;
        let (is_new, next) = (partition.next == 0, partition.next);
        let following = partition.keyed.as_ref()?.following.get(origin)?;
        let (what, position) = (Arc::clone(&following.what), following.position);
        let id = self.log_id(namespace, &what.log)?;
        let source = At {
            log: id,
            partition: 0,
        };
        let origins = self.logs.partition(source)?;
        origins.keyed.as_ref()?;
        let first = match what.from {
            FollowFrom::Start => origins.start,
            FollowFrom::Offset(offset) => offset,
            FollowFrom::Time(time) => origins.offset_at(time),
        };
        let begun = match position {
            Some((known, offset)) if known == id && !is_copy => (id, offset),
            // One that is made again is followed from its start on.
            Some(_) if !is_copy => (id, origins.start),
            Some((known, offset)) if known == id => (id, offset.max(next)),
            // What a copy has of its origin is what is before its own end.
            _ if is_copy && !is_new => (id, next),
            _ => (id, first),
        };
        if position != Some(begun) {
            let following = self.following(at, origin)?;
            following.position = Some(begun);
            following.loaded.clear();
        }
        Some((source, what))
    }

    /// The next record that is wanted of an origin, if there is one that is durable, and where those end.
    fn next_followed(&self, source: At, what: &Followed, from: u64) -> Option<(Option<u64>, u64)> {
        let partition = self.logs.partition(source)?;
        let keys = &partition.keyed.as_ref()?.keys;
        let found = match what.renamings.is_empty() {
            true => keys.next_from(from),
            false => {
                let rules = what.renamings.iter();
                let next = rules.filter_map(|rule| keys.next_matching(&rule.keys, from));
                next.min()
            }
        };
        Some((
            found.filter(|offset| *offset < partition.end),
            partition.end,
        ))
    }

    /// Appends a record of an origin.
    fn take_followed(
        &mut self,
        at: At,
        (what, offset, time): (&Followed, u64, Millis),
        message: &Message,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<(), LogError> {
        let Some(key) = what.key_of(message.key(), offset) else {
            return Ok(());
        };
        let log = self.logs.all.get(&at.log).ok_or(LogError::NotFound)?;
        let rules = log.settings.keyed.as_deref().ok_or(LogError::NotFound)?;
        let renamed = (key != message.key()).then(|| message.with_key(&key));
        let copy = renamed.as_ref().unwrap_or(message);
        let read = self.options.keyed_writer.terms;
        let demanded = read.and_then(|read| read(message)).unwrap_or_default();
        if rules.follows.is_copy() {
            if self.store_copy(at, (offset, time), copy, turn)? {
                self.replace_by(at, offset, &key, &demanded, turn);
            }
            return Ok(());
        }
        let is_adding = rules.tallies;
        let from = CopiedFrom {
            log: &what.log,
            offset,
            key: message.key(),
            label: &what.label,
        };
        let marked = self
            .options
            .keyed_writer
            .copied
            .map(|write| write(copy, &from));
        let mut terms = Terms {
            id: demanded.id.clone(),
            ..Terms::default()
        };
        let mut marked = marked.unwrap_or_else(|| copy.clone());
        if is_adding {
            terms.adds = Some(tallies::from_other(&what.log, message));
            marked = marked.with_body(Bytes::new());
        }
        let stored = self.store(at, &marked, Some(&terms), turn)?;
        if !stored.duplicate {
            self.replace_by(at, stored.offset, &key, &demanded, turn);
        }
        Ok(())
    }

    /// How far a log is with whom it follows.
    pub(super) fn follow_states(&self, at: At) -> Vec<FollowState> {
        let Some(log) = self.logs.all.get(&at.log) else {
            return Vec::new();
        };
        let keyed = log.partitions.first().and_then(|one| one.keyed.as_ref());
        let all = keyed.into_iter().flat_map(|keyed| &keyed.following);
        let states = all.map(|one| {
            let id = self.log_id(log.namespace, &one.what.log);
            let source = id.map(|log| At { log, partition: 0 });
            let source = source.and_then(|source| self.logs.partition(source));
            let keys = source.and_then(|source| Some((source, &source.keyed.as_ref()?.keys)));
            let lag = keys.map_or(0, |(source, keys)| {
                let from = match one.position {
                    Some((known, offset)) if Some(known) == id => offset,
                    _ => source.start,
                };
                keys.count_wanted(from, source.end, &one.what.filters())
            });
            FollowState {
                log: one.what.log.clone(),
                is_there: keys.is_some(),
                lag,
            }
        });
        states.collect()
    }

    /// A log is gone: it follows nobody. Its followers wait for another of its name.
    pub(in crate::logs) fn forget_follower(&mut self, log: u64) {
        let work = &mut self.logs.following;
        work.loads.retain(|_, load| load.at.log != log);
        work.touched.remove(&log);
        work.forget(log);
    }
}

impl FollowWork {
    fn forget(&mut self, follower: u64) {
        self.followers.retain(|_, followers| {
            followers.retain(|one| *one != follower);
            !followers.is_empty()
        });
    }
}

impl Keyed {
    /// How far it is with each that it follows.
    pub(super) fn positions(&self) -> Vec<(u32, u64, u64)> {
        let all = (0_u32..).zip(&self.following);
        let known = all.filter_map(|(at, one)| {
            let (log, offset) = one.position?;
            Some((at, log, offset))
        });
        known.collect()
    }
}

/// Whether there will be room later.
fn is_full(error: &LogError) -> bool {
    matches!(error, LogError::Keyed(error)
        if matches!(**error, KeyedError::RecordsMax | KeyedError::BytesMax | KeyedError::Sealed))
}
