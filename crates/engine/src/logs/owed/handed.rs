//! What was handed on when it was appended: before 0.4 the records of transactions went to the bindings at once.
//!
//! ```text
//! a folder that was last written by such a version -> opened: up to where each partition with open transactions is (record 28)
//! commit                                           -> only what is behind that is owed
//! ```
//! The record is written when the folder is opened for the first time, whether anything is open or not: from then on commits owe.

use std::collections::BTreeMap;

use super::super::partition::Partition;
use super::{At, Owed};
use crate::record::codec::{Bounded, Put};
use crate::record::{Corrupt, begin, kind};
use crate::turn::Turn;
use crate::{Engine, Store};

/// Up to where the records of transactions were handed on, by partition.
pub(super) type Handed = BTreeMap<At, u64>;

/// What is known of it while a folder is recovered.
#[derive(Debug, Default)]
pub(super) struct RecoveredHanded {
    handed: Handed,
    /// The snapshot is of a version that handed on what it appended.
    is_older: bool,
    /// The folder was opened by a later one since then.
    is_marked: bool,
}

fn put(out: &mut Vec<u8>, handed: &[(At, u64)]) {
    out.put_u32(handed.len() as u32);
    for (at, until) in handed {
        out.put_u64(at.log);
        out.put_u32(at.partition);
        out.put_u64(*until);
    }
}

fn read(from: &mut Bounded<'_>) -> Result<Handed, Corrupt> {
    let mut handed = Handed::new();
    for _ in 0..from.u32()? {
        let at = At {
            log: from.u64()?,
            partition: from.u32()?,
        };
        handed.insert(at, from.u64()?);
    }
    Ok(handed)
}

/// Whether a transaction may be open that has records before `until`.
fn matters(partition: &Partition, until: u64) -> bool {
    partition.stable.stable_end(u64::MAX) < until
}

impl Owed {
    /// Where begins what the end of a transaction that began at `first` owes.
    pub(super) fn owed_from(&self, at: At, first: u64) -> u64 {
        self.handed
            .get(&at)
            .map_or(first, |until| first.max(*until))
    }
}

impl Engine {
    /// Journals up to where the records of transactions were handed on, if that was found out when the folder was opened.
    pub(super) fn journal_handed(&mut self, turn: &mut Turn<'_, impl Store>) {
        if std::mem::take(&mut self.logs.owed.marks) {
            let handed = self.durable_handed();
            begin(&mut self.work.buffer, kind::TRANSACTIONS_HANDED);
            put(&mut self.work.buffer, &handed);
            turn.append(&self.work.buffer, 0);
        }
    }

    /// Writes the section of a snapshot that says so; nothing where no such transaction is open any more.
    pub(crate) fn put_handed(&self, out: &mut Vec<u8>) {
        let handed = self.durable_handed();
        if !handed.is_empty() {
            put(out, &handed);
        }
    }

    fn durable_handed(&self) -> Vec<(At, u64)> {
        let handed = self.logs.owed.handed.iter();
        let matter = handed.filter(|(at, until)| {
            let partition = self.logs.partition(**at);
            self.logs.is_durable(at.log) && partition.is_some_and(|one| matters(one, **until))
        });
        matter.map(|(at, until)| (*at, *until)).collect()
    }
}

impl RecoveredHanded {
    /// Reads the section of a snapshot.
    pub(super) fn of_snapshot(section: &[u8]) -> Result<Self, Corrupt> {
        let from = &mut Bounded::new(section);
        let handed = read(from)?;
        match from.is_empty() {
            true => Ok(Self {
                handed,
                ..Self::default()
            }),
            false => Err(Corrupt::new(
                "what a snapshot says was handed on is followed by other bytes",
            )),
        }
    }

    /// The snapshot is of a version that handed on what it appended.
    pub(super) fn note_older(&mut self) {
        self.is_older = true;
    }

    pub(super) fn replay(&mut self, from: &mut Bounded<'_>) -> Result<(), Corrupt> {
        self.handed = read(from)?;
        self.is_marked = true;
        Ok(())
    }

    /// Gives it to an engine, which has its logs already.
    pub(super) fn finish(mut self, engine: &mut Engine) {
        let is_first = self.is_older && !self.is_marked;
        if is_first {
            let all = engine.logs.all.values();
            let partitions = all.flat_map(|log| {
                let partitions = log.partitions.iter().zip(0_u32..);
                partitions.map(|(one, partition)| {
                    let log = log.id.0;
                    (At { log, partition }, one.next)
                })
            });
            self.handed = partitions.collect();
        }
        let logs = &engine.logs;
        self.handed
            .retain(|at, until| logs.partition(*at).is_some_and(|one| matters(one, *until)));
        let owed = &mut engine.logs.owed;
        owed.handed = self.handed;
        owed.marks = is_first;
        owed.resumes |= is_first;
    }
}
