//! What committed transactions owe to the bindings of their logs' topics.
//!
//! ```text
//! append in a transaction -> nothing is handed on
//! abort                   -> nothing is owed
//! commit -> owed (a record, in the turn of the ends) -> the end is durable -> paid, slice by slice:
//!           load what is not in memory -> in one turn: messages to where the bindings lead, and a record of how far  (pay)
//! restart -> what is owed is paid on                                                             (record, LogRecovery)
//! ```
//! Why not in the turn of the commit: who gets a message from a queue or listens has it at once, and a commit that is lost with
//! its frame may yet become an abort. Only a log whose topic leads on when the transaction is committed owes anything.
//!
//! What a version before 0.4 had handed on at the append is not owed (`handed`).
//!
//! What always holds: what transactions owe of one partition is paid in the order of their ends, and one slice at a time in
//! all; how far it is paid is journaled in the turn that pays, so a crash loses nothing and doubles nothing. Retention and
//! compaction leave what is owed, and what may come to be; what is removed by request, or with its log, is owed no more.

mod handed;
mod pay;
mod record;

use std::collections::{BTreeMap, VecDeque};

use super::{At, Logs};
use crate::turn::Turn;
use crate::{Engine, Store};
use handed::Handed;
pub(super) use pay::Payment;
pub(super) use record::RecoveredDebts;

/// A partition, and the offset of the end of a transaction in it.
pub(super) type Key = (At, u64);

/// What is owed of one transaction in one partition: the records from `next` on, up to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Debt {
    producer: u64,
    next: u64,
    /// It was owed before a restart already: a crash may have taken a turn that paid of it after its messages were with consumers.
    is_old: bool,
}

/// All that is owed.
#[derive(Debug, Default)]
pub(super) struct Owed {
    all: BTreeMap<Key, Debt>,
    /// In the order of the commits; some may be in `all` no more.
    order: VecDeque<Key>,
    /// What is being loaded.
    paying: Option<Key>,
    /// There is a recovered debt that nothing has set going yet, or something to be marked.
    resumes: bool,
    /// What an older version has handed on already, where such a transaction is open,
    handed: Handed,
    /// and that this is to be journaled.
    marks: bool,
}

impl Owed {
    /// Whether what was recovered is to be paid on.
    pub(super) fn resumes(&self) -> bool {
        self.resumes
    }

    /// The first offset that is owed of a partition.
    pub(super) fn first(&self, at: At) -> Option<u64> {
        let of_it = self.all.range((at, 0)..=(at, u64::MAX));
        of_it.map(|(_, debt)| debt.next).min()
    }

    /// The log is gone.
    pub(super) fn forget_log(&mut self, log: u64) {
        self.all.retain(|(at, _), _| at.log != log);
        self.handed.retain(|at, _| at.log != log);
    }

    fn add(&mut self, key: Key, debt: Debt) {
        self.all.insert(key, debt);
        self.order.push_back(key);
    }
}

impl Logs {
    /// Whether a log survives a restart.
    fn is_durable(&self, log: u64) -> bool {
        let log = self.all.get(&log);
        log.is_some_and(|log| log.settings.durable)
    }
}

impl Engine {
    /// A transaction with records from `first` on was committed in a partition by the end at `end`.
    pub(super) fn owe(
        &mut self,
        at: At,
        producer: u64,
        (first, end): (u64, u64),
        turn: &mut Turn<'_, impl Store>,
    ) {
        let next = self.logs.owed.owed_from(at, first);
        if next >= end || !self.leads_on(at.log) {
            return;
        }
        let debt = Debt {
            producer,
            next,
            is_old: false,
        };
        self.logs.owed.add((at, end), debt);
        if self.logs.is_durable(at.log) {
            record::put_owed(&mut self.work.buffer, (at, end), debt);
            turn.append(&self.work.buffer, at.log);
        }
    }

    /// Whether the topic in front of a log leads on from there.
    fn leads_on(&self, log: u64) -> bool {
        let log = self.logs.all.get(&log);
        log.is_some_and(|log| self.has_readers_by_topic(log.namespace, &log.name))
    }

    /// What of a partition is before this was handed to the bindings of its log's topic, or never will be: that is for
    /// retention to take.
    pub(super) fn handed_on_to(&self, at: At) -> u64 {
        let owed = self.logs.owed.first(at).unwrap_or(u64::MAX);
        let Some(partition) = self.logs.partition(at) else {
            return owed;
        };
        let stable = partition.stable.stable_end(partition.end);
        match stable < partition.end && self.leads_on(at.log) {
            true => owed.min(stable),
            false => owed,
        }
    }
}
