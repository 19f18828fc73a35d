//! Keyed logs: records that are single messages, found by their keys, and the rules that such a log keeps.
//!
//! ```text
//! message, terms -> known by its id? -> terms hold? -> room? -> appended -> what its key, its roll-up has too many goes
//!                                                                                                    (store)
//!                -> the end of the turn: what the log has too many goes, the start moves             (limits)
//! others grew    -> what they have is taken                                                    (follow, fetch, placing)
//! part of a batch-> held -> its last part: all are checked, then all appended in the one turn      (batches)
//! what adds      -> the number that its key has come to becomes its body                           (tallies)
//! on a schedule  -> when it is due: a copy under another key                                     (schedules)
//! durable        -> copies are published: to those who listen, queues, other logs            (copies, circles)
//! time           -> what is too old goes, each record for its own time to live                       (limits)
//! look-ups       -> by key, pattern and offset, in memory: which record; its bytes as any log's     (find, keys)
//! removal, purge -> single records go                                                             (purge)
//! ```
//! What always holds: a partition of a keyed log has an index of keys that names the same records as its index of runs; every
//! run in it holds one message. What a keyed log knows beside its runs (ids) has records of its own.

mod batches;
mod circles;
mod copies;
mod duplicates;
mod fetch;
mod find;
pub(in crate::logs) mod follow;
mod keys;
mod limits;
mod markers;
mod more;
mod pick;
mod placing;
mod purge;
pub(super) mod record;
pub(super) mod recovery;
mod requests;
pub(super) mod schedule_record;
pub(super) mod schedules;
mod settings;
mod size;
mod store;
mod takes;
mod tallies;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use polybus_model::{Millis, SessionId, Tally, TallyParts};

use super::At;
use batches::Batches;
use copies::Owed;
pub(crate) use duplicates::Duplicates;
use follow::Following;
pub(crate) use keys::Keys;
use schedules::Schedules;
pub(crate) use settings::{put as put_settings, read as read_settings};
pub(in crate::logs) use takes::takes;

/// What a partition of a keyed log knows of its records.
#[derive(Debug, Default)]
pub(crate) struct Keyed {
    pub(crate) keys: Keys,
    pub(crate) duplicates: Duplicates,
    /// When records go by themselves, those that say so: time and offset.
    pub(crate) expiries: BTreeSet<(Millis, u64)>,
    /// The records that outlive the age limit.
    pub(crate) lasting: BTreeSet<u64>,
    /// What number the keys of records had come to with them, in a log that adds.
    sums: BTreeMap<u64, Tally>,
    /// What of these comes from other logs.
    parts: BTreeMap<u64, Arc<TallyParts>>,
    /// Batches that are not complete.
    batches: Batches,
    /// Records that are copied later.
    pub(crate) schedules: Schedules,
    /// When the last one came.
    last_time: Option<Millis>,
    /// Records of which copies are to be sent when they are durable.
    owed: VecDeque<Owed>,
    /// Records that say that there is nothing more of their keys.
    markers: BTreeSet<u64>,
    /// Whom it follows, in the order of its settings.
    following: Vec<Following>,
    /// The deadline that it stands under.
    armed: Option<Millis>,
    /// It is to be looked after at the end of the turn.
    touched: bool,
}

impl Keyed {
    /// A record is there.
    pub(crate) fn enter(
        &mut self,
        offset: u64,
        (key, ends_key): (&[u8], bool),
        time: Millis,
        expiry: Expiry,
    ) {
        self.last_time = Some(time);
        self.keys.enter(offset, key);
        if ends_key {
            self.markers.insert(offset);
        }
        match expiry {
            Expiry::ByAge => {}
            Expiry::Never => {
                self.lasting.insert(offset);
            }
            Expiry::At(due) => {
                self.expiries.insert((due, offset));
            }
        }
    }

    /// All records before an offset are gone.
    pub(super) fn trim(&mut self, start: u64) {
        self.keys.trim(start);
        self.schedules.trim(start);
        if self.lasting.first().is_some_and(|first| *first < start) {
            self.lasting = self.lasting.split_off(&start);
        }
        if self.markers.first().is_some_and(|first| *first < start) {
            self.markers = self.markers.split_off(&start);
        }
        if self
            .sums
            .first_key_value()
            .is_some_and(|(first, _)| *first < start)
        {
            self.sums = self.sums.split_off(&start);
            self.parts = self.parts.split_off(&start);
        }
    }

    /// A record is gone.
    pub(super) fn remove(&mut self, offset: u64) {
        self.keys.remove(offset);
        self.lasting.remove(&offset);
        self.markers.remove(&offset);
        self.sums.remove(&offset);
        self.parts.remove(&offset);
        self.schedules.remove(offset);
    }
}

/// When a record goes by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Expiry {
    /// When the log's limit by age says so.
    ByAge,
    /// Not for its age.
    Never,
    /// Then.
    At(Millis),
}

impl Expiry {
    /// Of a message with that time to live, appended then, in a log where such times count.
    pub(crate) fn of(ttl: Option<Millis>, at: Millis) -> Self {
        match ttl {
            None => Self::ByAge,
            Some(Millis::MAX) => Self::Never,
            Some(ttl) => Self::At(at.saturating_add(ttl)),
        }
    }
}

/// The keyed partitions that are to be looked after.
#[derive(Debug, Default)]
pub(super) struct KeyedWork {
    /// At the end of this turn.
    touched: Vec<At>,
    /// By their deadlines.
    due: BTreeSet<(Millis, At)>,
    /// Bytes of messages whose batches are not complete, by who began these.
    held: BTreeMap<(SessionId, At), usize>,
}

impl KeyedWork {
    pub(super) fn deadline(&self) -> Option<Millis> {
        self.due.first().map(|(due, _)| *due)
    }
}
