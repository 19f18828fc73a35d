//! Pulls that wait for records, in the order in which they came.
//!
//! What always holds: where pulls have ranks (`precedence`), they wait in the order of these.
//!
//! A pull ends when it has had all the records that it asked for, or as many bytes, or its time is over, or nobody listens to
//! its key any more.

use std::collections::VecDeque;

use bytes::Bytes;
use polybus_model::{Millis, Notice, Pull, PullLimits, PullStanding};

/// Pulls of one reader that wait at a time, if it says nothing else.
const WAITING_MAX: u32 = 512;
/// and whatever it says.
const WAITING_BOUND: u32 = 16 * 1024;

/// A pull that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) key: Bytes,
    /// Records that it may still have.
    pub(super) left: u32,
    /// Bytes likewise.
    pub(super) bytes_left: Option<u64>,
    each_bytes: u64,
    /// It has had some.
    pub(super) has_had: bool,
    pub(super) no_wait: bool,
    pub(super) due: Option<Millis>,
    heartbeat_ms: Option<Millis>,
    heartbeat_due: Option<Millis>,
    /// The lower, the sooner.
    rank: u32,
    pub(super) standing: Option<Box<PullStanding>>,
}

impl Waiting {
    /// What a record of that size counts for it.
    pub(super) fn cost(&self, bytes: u64) -> u64 {
        bytes.saturating_add(self.each_bytes)
    }

    fn deadline(&self) -> Option<Millis> {
        [self.due, self.heartbeat_due].into_iter().flatten().min()
    }

    /// What it is told at its end if its time is over.
    pub(super) fn expired(&self) -> Notice {
        Notice::Expired {
            records: self.left,
            bytes: self.bytes_left.unwrap_or(0),
        }
    }
}

/// What is to be told to the listeners of a pull's key.
pub(super) type Told = (Bytes, Notice);

/// The pulls of one reader.
#[derive(Debug, Default)]
pub(super) struct Pulls {
    waiting: VecDeque<Waiting>,
    /// Ranks are looked at.
    pub(super) is_ranked: bool,
}

impl Pulls {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The next one to be served.
    pub(super) fn front(&self) -> Option<&Waiting> {
        self.waiting.front()
    }

    pub(super) fn front_mut(&mut self) -> Option<&mut Waiting> {
        self.waiting.front_mut()
    }

    /// Puts one behind those of its rank.
    fn put(&mut self, one: Waiting) {
        let behind = self.waiting.iter().rev();
        let later = behind.take_while(|other| other.rank > one.rank).count();
        self.waiting.insert(self.waiting.len() - later, one);
    }

    /// Brings the first one that fits to the front. False if none does.
    pub(super) fn bring_forward(&mut self, fits: impl FnMut(&Waiting) -> bool) -> bool {
        let found = self.waiting.iter().position(fits);
        if let Some(at) = found.filter(|at| *at > 0)
            && let Some(one) = self.waiting.remove(at)
        {
            self.waiting.push_front(one);
        }
        found.is_some()
    }

    /// Keeps those that the caller says.
    pub(super) fn retain(&mut self, keeps: impl FnMut(&Waiting) -> bool) {
        self.waiting.retain(keeps);
    }

    /// The first one has had a record of that size: if that was all it ends, else the others come before it.
    pub(super) fn count_handed(&mut self, bytes: u64) {
        let Some(pull) = self.waiting.front_mut() else {
            return;
        };
        pull.has_had = true;
        pull.left = pull.left.saturating_sub(1);
        let cost = pull.cost(bytes);
        if let Some(left) = &mut pull.bytes_left {
            *left = left.saturating_sub(cost);
        }
        if pull.left == 0 || pull.bytes_left == Some(0) {
            self.waiting.pop_front();
        } else if self.waiting.len() > 1
            && let Some(pull) = self.waiting.pop_front()
        {
            self.put(pull);
        }
    }

    /// The first one waits no longer.
    pub(super) fn end_front(&mut self) -> Option<Waiting> {
        self.waiting.pop_front()
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        self.waiting.iter().filter_map(Waiting::deadline).min()
    }

    /// Lets a pull wait, of which `pending` records could be served now. What is to be said instead, if it cannot.
    pub(super) fn add(
        &mut self,
        pull: &Pull,
        limits: &PullLimits,
        pending: u64,
        now: Millis,
    ) -> Result<(), Option<Notice>> {
        if let Some(most) = limits.records_max.filter(|most| pull.records > *most) {
            return Err(Some(Notice::RecordsExceeded(most)));
        }
        let wait = pull.wait_ms.unwrap_or(0);
        if let Some(most) = limits.wait_ms_max.filter(|most| wait > *most) {
            return Err(Some(Notice::WaitExceeded(most)));
        }
        let bytes = pull.bytes_max.unwrap_or(0);
        if let Some(most) = limits.bytes_max.filter(|most| bytes > *most) {
            return Err(Some(Notice::BytesExceeded(most)));
        }
        if pull.no_wait {
            if pending == 0 && pull.wait_ms.is_none() {
                return Err(Some(Notice::Empty));
            }
            let asked: u64 = self.waiting.iter().map(|one| u64::from(one.left)).sum();
            if pending > 0 && pending < asked {
                return Err(Some(Notice::Pending));
            }
        }
        if self.waiting.len()
            >= limits.waiting_max.unwrap_or(WAITING_MAX).min(WAITING_BOUND) as usize
        {
            // One that hears a heartbeat is to notice that it hears none, and not to ask again at once.
            return Err(pull.heartbeat_ms.is_none().then_some(Notice::TooManyPulls));
        }
        let standing = pull.standing.clone();
        let rank = standing.as_ref().filter(|_| self.is_ranked);
        self.put(Waiting {
            key: Bytes::copy_from_slice(&pull.key),
            left: pull.records.max(1),
            bytes_left: pull.bytes_max,
            each_bytes: pull.each_bytes.into(),
            has_had: false,
            no_wait: pull.no_wait,
            due: pull.wait_ms.map(|wait| now.saturating_add(wait)),
            heartbeat_ms: pull.heartbeat_ms,
            heartbeat_due: pull.heartbeat_ms.map(|every| now.saturating_add(every)),
            rank: rank.map_or(0, |one| one.rank),
            standing,
        });
        Ok(())
    }

    /// Ends those whose time is over; gives what is to be told, and whose heartbeat is due.
    pub(super) fn tick(&mut self, now: Millis, told: &mut Vec<Told>, beats: &mut Vec<Bytes>) {
        self.waiting.retain_mut(|one| {
            if one.due.is_some_and(|due| due <= now) {
                told.push((one.key.clone(), one.expired()));
                return false;
            }
            if let (Some(due), Some(every)) = (one.heartbeat_due, one.heartbeat_ms)
                && due <= now
            {
                one.heartbeat_due = Some(now.saturating_add(every));
                beats.push(one.key.clone());
            }
            true
        });
    }

    /// There are no more records: ends those that do not wait for them.
    pub(super) fn end_of_records(&mut self, told: &mut Vec<Told>) {
        self.waiting.retain(|one| {
            let ends = one.no_wait && (one.due.is_none() || one.has_had);
            if ends {
                told.push((one.key.clone(), Notice::Empty));
            }
            !ends
        });
    }

    /// Ends those that nobody listens for any more.
    pub(super) fn end_unheard(&mut self, mut is_heard: impl FnMut(&[u8]) -> bool) {
        self.waiting.retain(|one| is_heard(&one.key));
    }

    /// Ends all, with what they are told.
    pub(super) fn end_all(&mut self, notice: &Notice, told: &mut Vec<Told>) {
        let all = self.waiting.drain(..);
        told.extend(all.map(|one| (one.key, notice.clone())));
    }
}
