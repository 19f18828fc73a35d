//! The records of what is owed, and back from them.
//!
//! | kind | payload after `kind u8, version u8` |
//! |---|---|
//! | 26 owed | log u64, partition u32, offset of the transaction's end u64, producer u64, first offset that is owed u64 |
//! | 27 paid | log u64, partition u32, offset of the transaction's end u64, up to which offset u64: from the end on, all of it |
//! | 28 handed on | partitions u32, each: log u64, partition u32, up to which offset the records of transactions were handed on u64 |
//!
//! ```text
//! section of a snapshot = debts u32, each: as in record 26
//! section of a snapshot about what was handed on = as in record 28
//! ```

use std::collections::BTreeMap;

use super::handed::RecoveredHanded;
use super::{Debt, Key};
use crate::Engine;
use crate::logs::At;
use crate::record::codec::{Bounded, Put};
use crate::record::{Corrupt, begin, kind};

/// Writes that a transaction owes its records.
pub(super) fn put_owed(out: &mut Vec<u8>, key: Key, debt: Debt) {
    begin(out, kind::TRANSACTION_OWED);
    put_debt(out, key, debt);
}

/// Writes up to where that is paid.
pub(super) fn put_paid(out: &mut Vec<u8>, key: Key, until: u64) {
    begin(out, kind::TRANSACTION_PAID);
    put_key(out, key);
    out.put_u64(until);
}

fn put_debt(out: &mut Vec<u8>, key: Key, debt: Debt) {
    put_key(out, key);
    out.put_u64(debt.producer);
    out.put_u64(debt.next);
}

fn put_key(out: &mut Vec<u8>, (at, end): Key) {
    out.put_u64(at.log);
    out.put_u32(at.partition);
    out.put_u64(end);
}

fn key(from: &mut Bounded<'_>) -> Result<Key, Corrupt> {
    let at = At {
        log: from.u64()?,
        partition: from.u32()?,
    };
    Ok((at, from.u64()?))
}

impl Engine {
    /// Writes the section of a snapshot that is about what transactions owe; nothing if nothing is owed.
    pub(crate) fn put_debts(&self, out: &mut Vec<u8>) {
        let owed = self.logs.owed.all.iter();
        let owed = owed.filter(|((at, _), _)| self.logs.is_durable(at.log));
        let owed: Vec<_> = owed.collect();
        if owed.is_empty() {
            return;
        }
        out.put_u32(owed.len() as u32);
        for (key, debt) in owed {
            put_debt(out, *key, *debt);
        }
    }
}

/// What is owed, while it is being recovered.
#[derive(Debug, Default)]
pub(in crate::logs) struct RecoveredDebts {
    all: BTreeMap<Key, Debt>,
    handed: RecoveredHanded,
}

impl RecoveredDebts {
    /// Reads the section of a snapshot.
    pub(in crate::logs) fn read(&mut self, section: &[u8]) -> Result<(), Corrupt> {
        let from = &mut Bounded::new(section);
        for _ in 0..from.u32()? {
            self.add(from)?;
        }
        match from.is_empty() {
            true => Ok(()),
            false => Err(Corrupt::new(
                "a snapshot's debts of transactions are followed by other bytes",
            )),
        }
    }

    /// Reads the section of a snapshot about what was handed on.
    pub(in crate::logs) fn read_handed(&mut self, section: &[u8]) -> Result<(), Corrupt> {
        self.handed = RecoveredHanded::of_snapshot(section)?;
        Ok(())
    }

    /// The snapshot is of a version that handed on what it appended.
    pub(in crate::logs) fn note_older(&mut self) {
        self.handed.note_older();
    }

    fn add(&mut self, from: &mut Bounded<'_>) -> Result<(), Corrupt> {
        let key = key(from)?;
        let (producer, next) = (from.u64()?, from.u64()?);
        let debt = Debt {
            producer,
            next,
            is_old: true,
        };
        self.all.insert(key, debt);
        Ok(())
    }

    /// Takes a record; false if it is none of a debt.
    pub(in crate::logs) fn replay(
        &mut self,
        kind: u8,
        from: &mut Bounded<'_>,
    ) -> Result<bool, Corrupt> {
        match kind {
            kind::TRANSACTION_OWED => self.add(from)?,
            kind::TRANSACTION_PAID => {
                let (key, until) = (key(from)?, from.u64()?);
                if until >= key.1 {
                    self.all.remove(&key);
                } else if let Some(debt) = self.all.get_mut(&key) {
                    debt.next = until;
                }
            }
            kind::TRANSACTIONS_HANDED => self.handed.replay(from)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The log is gone.
    pub(in crate::logs) fn forget_log(&mut self, log: u64) {
        self.all.retain(|(at, _), _| at.log != log);
    }

    /// Gives them to an engine, which has its logs already and pays them on.
    pub(in crate::logs) fn finish(self, engine: &mut Engine) {
        for (key, debt) in self.all {
            let (at, end) = key;
            let partition = engine.logs.partition(at);
            if partition.is_some_and(|partition| partition.end > end) {
                engine.logs.owed.add(key, debt);
                engine.logs.owed.resumes = true;
            }
        }
        self.handed.finish(engine);
    }
}
