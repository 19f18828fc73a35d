//! Paying: the next slice of the oldest debt is read, and handed to the bindings.

use polybus_model::Run;

use super::{Debt, Key, record};
use crate::logs::partition::{Found, Partition};
use crate::logs::read::{Hole, Wanted, unfilled};
use crate::turn::Turn;
use crate::{Engine, Store};

/// What one turn hands on at most; the first run goes even if it is larger.
const SLICE_BYTES_MAX: u64 = 1 << 20;
const SLICE_RECORDS_MAX: u64 = 4_096;
/// Runs that are looked at for one slice.
const SLICE_RUNS_MAX: usize = 4_096;

/// A slice of what a transaction owes, on its way.
#[derive(Debug)]
pub(in crate::logs) struct Payment {
    key: Key,
    debt: Debt,
    /// Up to where it goes.
    until: u64,
    /// Those that are read back may be of others.
    runs: Vec<Run>,
}

impl Engine {
    /// Pays what was recovered on, once.
    pub(crate) fn resume_paying(&mut self, turn: &mut Turn<'_, impl Store>) {
        if std::mem::take(&mut self.logs.owed.resumes) {
            self.journal_handed(turn);
            self.pay_owed(turn);
        }
    }

    /// Sees to it that what is owed is paid, as far as its ends are durable.
    pub(in crate::logs) fn pay_owed(&mut self, turn: &mut Turn<'_, impl Store>) {
        while self.logs.owed.paying.is_none()
            && let Some(&key) = self.logs.owed.order.front()
        {
            let (at, end) = key;
            let debt = self.logs.owed.all.get(&key).copied();
            let Some((debt, partition)) = debt.zip(self.logs.partition(at)) else {
                self.logs.owed.order.pop_front();
                continue;
            };
            if partition.end <= end {
                return;
            }
            let (payment, holes) = next_slice(partition, key, debt);
            if payment.runs.is_empty() || !self.leads_on(at.log) {
                let until = match payment.runs.is_empty() {
                    true => payment.until,
                    false => end,
                };
                self.note_paid(key, until, turn);
                continue;
            }
            self.logs.owed.paying = Some(key);
            // Even where nothing has to be read back: so each slice is a turn of its own.
            self.load(Wanted::Owed(Box::new(payment)), holes, turn);
        }
    }

    /// A debt is paid up to there.
    fn note_paid(&mut self, key: Key, until: u64, turn: &mut Turn<'_, impl Store>) {
        let (at, end) = key;
        let owed = &mut self.logs.owed;
        if until >= end {
            owed.all.remove(&key);
        } else if let Some(debt) = owed.all.get_mut(&key) {
            debt.next = until;
        }
        if self.logs.is_durable(at.log) {
            record::put_paid(&mut self.work.buffer, key, until);
            turn.append(&self.work.buffer, at.log);
        }
    }
}

impl Payment {
    pub(in crate::logs) fn fill(&mut self, run: usize, with: Run) {
        if let Some(unfilled) = self.runs.get_mut(run) {
            *unfilled = with;
        }
    }

    /// All of it is there.
    pub(in crate::logs) fn hand_on(self, engine: &mut Engine, turn: &mut Turn<'_, impl Store>) {
        engine.logs.owed.paying = None;
        let (at, _) = self.key;
        let log = engine.logs.all.get(&at.log);
        let log = log.map(|log| (log.namespace, log.name.clone()));
        // It may have gone with its log meanwhile.
        let owed = engine.logs.owed.all.get(&self.key);
        if let (Some((namespace, log)), Some(_)) = (log, owed) {
            let is_its = |run: &&Run| run.transaction == Some(self.debt.producer);
            engine.work.redelivered = self.debt.is_old;
            for run in self.runs.iter().filter(is_its) {
                engine.hand_to_bindings(namespace, (at.log, &log), &run.content, turn);
            }
            engine.work.redelivered = false;
            engine.note_paid(self.key, self.until, turn);
        }
        engine.pay_owed(turn);
    }

    /// It could not be read back: it is looked up again.
    pub(in crate::logs) fn again(engine: &mut Engine, turn: &mut Turn<'_, impl Store>) {
        engine.logs.owed.paying = None;
        engine.pay_owed(turn);
    }
}

/// The next runs that are owed, and which of them have to be read back; none if all is paid up to where it goes.
fn next_slice(partition: &Partition, key: Key, debt: Debt) -> (Payment, Vec<Hole>) {
    let (_, end) = key;
    let mut payment = Payment {
        key,
        debt,
        until: end,
        runs: Vec::new(),
    };
    let (mut holes, mut bytes, mut records) = (Vec::new(), 0, 0);
    let runs = partition.from(partition.position(debt.next));
    for (seen, (indexed, found)) in runs.enumerate() {
        if indexed.offset >= end {
            break;
        }
        bytes += u64::from(indexed.len);
        records += u64::from(indexed.count);
        let fits = bytes <= SLICE_BYTES_MAX && records <= SLICE_RECORDS_MAX;
        if seen >= SLICE_RUNS_MAX || !(fits || payment.runs.is_empty()) {
            payment.until = indexed.offset;
            break;
        }
        match found {
            Found::Recent(run) if run.transaction == Some(debt.producer) => {
                payment.runs.push(run.clone());
            }
            Found::Recent(_) => {
                bytes -= u64::from(indexed.len);
                records -= u64::from(indexed.count);
            }
            Found::Away(indexed) => {
                let (part, run) = (0, payment.runs.len());
                holes.push(Hole { part, run, indexed });
                payment.runs.push(unfilled(indexed));
            }
        }
    }
    (payment, holes)
}
