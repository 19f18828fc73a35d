//! One reader: what it was declared with, how far it has come, and who waits for it.
//!
//! What always holds: `handed` are records that are not settled, each with the number of its first delivery; what `pending`
//! counts lies behind the window's `next`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use polybus_model::{
    Acknowledging, LiveFilter, Message, Millis, Name, Progress, ReaderSettings, ReaderSummary,
};

use super::precedence::Pin;
use super::pulls::Pulls;
use crate::groups::Window;
use crate::logs::At;
use crate::logs::keyed::Keys;

/// A reader.
#[derive(Debug)]
pub(crate) struct Reader {
    /// Its window's number, and so its own.
    pub(super) number: u64,
    /// Its namespace's slot.
    pub(super) namespace: u32,
    pub(super) at: At,
    pub(super) log: Name,
    pub(super) name: Arc<str>,
    pub(super) settings: ReaderSettings,
    pub(super) created: Millis,
    /// Where it started, and up to where it wants the last record of each key only.
    pub(super) origin: Origin,
    /// The number of the last delivery, and when that was.
    pub(super) sequence: u64,
    pub(super) delivered_at: Option<Millis>,
    /// It began anew in this process.
    pub(super) was_reset: bool,
    /// When the last record was settled.
    pub(super) settled_at: Option<Millis>,
    pub(super) handed: BTreeMap<u64, u64>,
    pub(super) pulls: Pulls,
    /// Who of those that pull gets all.
    pub(super) pin: Option<Pin>,
    /// The records that the reader wants before `origin.last_of_keys`, and did not yet hand out.
    pub(super) selected: VecDeque<u64>,
    /// What was read back, in order.
    pub(super) loaded: VecDeque<(u64, Message)>,
    /// Records are on their way from the disk.
    pub(super) is_loading: bool,
    pub(super) pending: Pending,
    pub(super) flow: Flow,
    /// Somebody listens to its key.
    pub(super) is_heard: bool,
    /// Since when nobody listens or asks.
    pub(super) idle_since: Option<Millis>,
    pub(super) heartbeat_due: Option<Millis>,
    /// With a pace to keep or a rate: nothing goes out before.
    pub(super) next_due: Option<Millis>,
    /// The append time of the last record handed out at its pace.
    pub(super) pace: Option<Millis>,
    pub(super) armed: Option<Millis>,
    pub(super) touched: bool,
    /// It is to be touched when its log has more.
    pub(super) awaits_more: bool,
    /// The journal is to be told how far it has come.
    pub(super) is_news: bool,
}

/// Where a reader starts.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Origin {
    /// The first offset.
    pub(crate) first: u64,
    /// Before this only the last record of each key is wanted.
    pub(crate) last_of_keys: u64,
}

/// Records that a reader wants and never handed out.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Pending {
    pub(super) count: u64,
    /// Those before this are counted.
    pub(super) through: u64,
    /// What lies before this was handed out or passed.
    pub(super) floor: u64,
    /// Some of them may be gone: they are to be counted anew.
    pub(super) is_stale: bool,
}

/// What a listener that answers for how far it has come has not yet answered for.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Flow {
    pub(super) bytes: usize,
    pub(super) is_asked: bool,
}

impl Reader {
    /// Whether it wants records of that key.
    pub(super) fn wants(&self, key: &[u8]) -> bool {
        wants(&self.settings.filters, key)
    }

    /// Whether deliveries are settled as they are made.
    pub(super) fn settles_at_once(&self) -> bool {
        self.settings.acknowledging == Acknowledging::Never
    }

    /// The key of those who get the next record, if anybody wants one.
    pub(super) fn key_to_serve(&self) -> Option<&Bytes> {
        match &self.settings.push {
            Some(push) => Some(&push.key),
            None => self.pulls.front().map(|pull| &pull.key),
        }
    }

    /// How long a delivery is leased, which is that record's so-many-eth.
    pub(super) fn lease_ms(&self, attempts: u32) -> Millis {
        let of_attempt = attempts.saturating_sub(1) as usize;
        let leases = &self.settings.leases_ms;
        let lease = leases.get(of_attempt).or(leases.last());
        lease.copied().unwrap_or(self.settings.lease_ms)
    }

    /// Whether it is told how long a record took to be settled: so many of a hundred deliveries, evenly.
    pub(super) fn samples(&self, offset: u64) -> bool {
        let percent = u64::from(self.settings.sampled_percent);
        if percent == 0 {
            return false;
        }
        let Some(sequence) = self.handed.get(&offset) else {
            return false;
        };
        let before = |sequence: u64| sequence.saturating_mul(percent) / 100;
        before(*sequence) > before(sequence.saturating_sub(1))
    }

    /// The first record at or behind an offset, and before `end`, that it wants.
    pub(super) fn next_wanted(&self, keys: &Keys, from: u64, end: u64) -> Option<u64> {
        if from < self.origin.last_of_keys {
            let at = self.selected.partition_point(|offset| *offset < from);
            let mut rest = self.selected.range(at..).copied();
            if let Some(found) = rest.find(|offset| keys.key_of(*offset).is_some()) {
                return Some(found).filter(|offset| *offset < end);
            }
        }
        let from = from.max(self.origin.last_of_keys);
        let found = match &*self.settings.filters {
            [] => keys.next_from(from),
            filters => {
                let each = filters.iter();
                each.filter_map(|one| keys.next_matching(one, from)).min()
            }
        };
        found.filter(|offset| *offset < end)
    }

    /// Brings the count of what is yet to be handed out up to date.
    pub(super) fn count_pending(&mut self, keys: &Keys, next: u64, end: u64) -> u64 {
        if self.pending.is_stale || self.pending.through < next {
            self.pending = Pending {
                count: 0,
                through: next,
                floor: next,
                is_stale: false,
            };
        }
        let mut count = self.pending.count;
        let selected_end = self.origin.last_of_keys;
        if self.pending.through < selected_end {
            let from = self.pending.through;
            let wanted = self.selected.iter().filter(|at| **at >= from && **at < end);
            count += wanted.filter(|at| keys.key_of(**at).is_some()).count() as u64;
        }
        let from = self.pending.through.max(selected_end);
        count += keys.count_wanted(from, end, &self.settings.filters);
        self.pending = Pending {
            count,
            through: end.max(next),
            floor: next,
            is_stale: false,
        };
        count
    }

    /// The last records of the keys that it wants, before an offset.
    pub(super) fn select_last_of_keys(&mut self, keys: &Keys, from: u64) {
        let end = self.origin.last_of_keys;
        let all = [LiveFilter::new([polybus_model::FilterWord::Rest])];
        let filters = match &*self.settings.filters {
            [] => &all,
            filters => filters,
        };
        let last = filters.iter().flat_map(|filter| {
            let keys = keys.matching(filter);
            keys.filter_map(|one| one.last_before(end))
        });
        let mut selected: Vec<u64> = last.filter(|offset| *offset >= from).collect();
        selected.sort_unstable();
        selected.dedup();
        self.selected = selected.into();
    }

    /// As listings show it.
    pub(super) fn summary(&self, window: &Window, pending: u64) -> ReaderSummary {
        let again = window.tried_again();
        let has_begun = self.sequence > 0 || self.was_reset;
        let settled_sequence = match self.handed.values().min() {
            Some(first) => first.saturating_sub(1),
            None => self.sequence,
        };
        ReaderSummary {
            log: self.log.clone(),
            name: self.name.to_string(),
            settings: self.settings.clone(),
            created: self.created,
            delivered: Progress {
                sequence: self.sequence,
                offset: if has_begun { window.next() } else { 0 },
                time: self.delivered_at,
            },
            settled: Progress {
                sequence: settled_sequence,
                offset: if has_begun { window.floor() } else { 0 },
                time: self.settled_at,
            },
            leased: window.unsettled(),
            again,
            waiting: self.pulls.len() as u32,
            pending,
            is_heard: self.is_heard,
            pinned: self.pinned(),
        }
    }
}

/// Whether one of the filters lets a key through; without any, all do.
pub(super) fn wants(filters: &[LiveFilter], key: &[u8]) -> bool {
    filters.is_empty() || filters.iter().any(|filter| filter.fits(key))
}

impl Reader {
    /// Somebody listens to its key, or nobody does.
    pub(super) fn hears(&mut self, is_heard: bool, now: Millis) {
        if is_heard == self.is_heard {
            return;
        }
        self.is_heard = is_heard;
        self.idle_since = (!is_heard).then_some(now);
        let push = self.settings.push.as_ref();
        let every = push.and_then(|push| push.heartbeat_ms);
        self.heartbeat_due = every
            .filter(|_| is_heard)
            .map(|every| now.saturating_add(every));
        if !is_heard {
            self.flow = Flow::default();
        }
    }

    /// Somebody asked it.
    pub(super) fn active(&mut self, now: Millis) {
        if self.settings.push.is_none() {
            self.idle_since = Some(now);
            self.look_whether_idle(now);
        }
    }

    /// While pulls wait it is not idle.
    pub(super) fn look_whether_idle(&mut self, now: Millis) {
        if self.settings.push.is_none() {
            let since = self.idle_since.unwrap_or(now);
            self.idle_since = self.pulls.is_empty().then_some(since);
        }
    }

    /// When it goes since nobody has use for it.
    pub(super) fn idle_deadline(&self) -> Option<Millis> {
        let since = self.idle_since?;
        let keep = self.settings.idle_ms?;
        Some(since.saturating_add(keep))
    }

    /// When something of it is due.
    pub(super) fn deadline(&self) -> Option<Millis> {
        let due = [
            self.idle_deadline(),
            self.pulls.deadline(),
            self.heartbeat_due,
            self.next_due,
            self.settings.paused_until,
            self.pin_deadline(),
        ];
        due.into_iter().flatten().min()
    }
}
