//! The records of transactions, and back from them.
//!
//! | kind | payload after `kind u8, version u8` |
//! |---|---|
//! | 19 transactional producer | namespace name, name text, number u64, epoch u16, timeout u64, used u64, ended u8 (0 none, 1 aborted, 2 committed), flag u8 and, if 1, number and epoch before: u64, u16. Nothing of it is open. |
//! | 20 partitions added | number u64, open since u64, count u32, each: log u64, partition u32 |
//! | 21 group added | number u64, open since u64, group text, offsets as in record 32 |
//! | 22 producer forgotten | number u64 |
//!
//! ```text
//! section of a snapshot = producers u32, each: its records 19, 20, 21 with their lengths, then a length of 0
//!                         partitions u32, each: log u64, partition u32, what is open and aborted (stable.rs)
//! ```
//! Where transactions began and ended in partitions is in the records of the runs.

use std::collections::BTreeMap;

use polybus_model::Name;

use super::At;
use super::stable::Stable;
use super::transactions::{Open, PendingOffsets, Transactional};
use crate::Engine;
use crate::groups::{offsets, put_offset_list, text};
use crate::record::codec::{Bounded, Put};
use crate::record::{Corrupt, begin, kind, open};

/// Writes a producer's state.
pub(super) fn put_state(out: &mut Vec<u8>, namespace: &Name, number: u64, one: &Transactional) {
    begin(out, kind::TRANSACTIONAL_PRODUCER);
    out.put_name(namespace);
    out.put_bytes(one.name.as_bytes());
    out.put_u64(number);
    out.put_u16(one.epoch);
    out.put_u64(one.timeout_ms);
    out.put_u64(one.used);
    out.put_u8(one.ended.map_or(0, |committed| 1 + u8::from(committed)));
    out.put_u8(one.before.is_some().into());
    if let Some((number, epoch)) = one.before {
        out.put_u64(number);
        out.put_u16(epoch);
    }
}

/// Writes that partitions are part of a transaction.
pub(super) fn put_partitions(out: &mut Vec<u8>, number: u64, since: u64, added: &[At]) {
    begin(out, kind::TRANSACTION_PARTITIONS);
    out.put_u64(number);
    out.put_u64(since);
    out.put_u32(added.len() as u32);
    for at in added {
        out.put_u64(at.log);
        out.put_u32(at.partition);
    }
}

/// Writes that offsets of a group are part of a transaction.
pub(super) fn put_pending(
    out: &mut Vec<u8>,
    number: u64,
    since: u64,
    group: &str,
    pending: &PendingOffsets,
) {
    begin(out, kind::TRANSACTION_OFFSETS);
    out.put_u64(number);
    out.put_u64(since);
    out.put_bytes(group.as_bytes());
    let pending: Vec<_> = pending.iter().collect();
    put_offset_list(out, &pending);
}

/// Writes that a producer's number is not used any more.
pub(super) fn put_forgotten(out: &mut Vec<u8>, number: u64) {
    begin(out, kind::PRODUCER_FORGOTTEN);
    out.put_u64(number);
}

impl Engine {
    /// Writes the section of a snapshot that is about transactions.
    pub(crate) fn put_transactions(&self, out: &mut Vec<u8>) {
        let mut buffer = Vec::new();
        let transactions = &self.logs.transactions;
        out.put_u32(transactions.len() as u32);
        for (number, one) in transactions.iter() {
            put_state(
                &mut buffer,
                &self.namespace_name(one.namespace),
                number,
                one,
            );
            out.put_bytes(&buffer);
            if let Some(open) = &one.open {
                let partitions: Vec<At> = open.partitions.iter().copied().collect();
                put_partitions(&mut buffer, number, open.since, &partitions);
                out.put_bytes(&buffer);
                for (group, pending) in &open.offsets {
                    put_pending(&mut buffer, number, open.since, group, pending);
                    out.put_bytes(&buffer);
                }
            }
            out.put_bytes(&[]);
        }
        let durable = self.logs.all.values().filter(|log| log.settings.durable);
        let partitions = durable.flat_map(|log| {
            let partitions = log.partitions.iter().zip(0_u32..);
            partitions.map(|(partition, number)| (log.id.0, number, &partition.stable))
        });
        let partitions = partitions.filter(|(.., stable)| !stable.is_empty());
        let partitions: Vec<_> = partitions.collect();
        out.put_u32(partitions.len() as u32);
        for (log, partition, stable) in partitions {
            out.put_u64(log);
            out.put_u32(partition);
            stable.put(out);
        }
    }
}

/// Producers with transactions while they are being recovered, with the names of their namespaces.
#[derive(Debug, Default)]
pub(super) struct RecoveredTransactions {
    all: BTreeMap<u64, (Name, Transactional)>,
}

impl RecoveredTransactions {
    /// Reads the section of a snapshot; gives what is open and aborted in each partition to `stable`.
    pub(super) fn of_snapshot(
        section: &[u8],
        mut stable: impl FnMut(At, Stable),
    ) -> Result<Self, Corrupt> {
        let from = &mut Bounded::new(section);
        let mut recovered = Self::default();
        for _ in 0..from.u32()? {
            loop {
                let payload = from.bytes()?;
                if payload.is_empty() {
                    break;
                }
                let (kind, mut record) = open(payload)?;
                recovered.replay(kind, &mut record)?;
            }
        }
        for _ in 0..from.u32()? {
            let at = at(from)?;
            stable(at, Stable::read(from)?);
        }
        if from.is_empty() {
            Ok(recovered)
        } else {
            let text = "a snapshot's transactions are followed by other bytes";
            Err(Corrupt::new(text))
        }
    }

    /// Takes a record of a transaction.
    pub(super) fn replay(&mut self, kind: u8, from: &mut Bounded<'_>) -> Result<(), Corrupt> {
        match kind {
            kind::TRANSACTIONAL_PRODUCER => {
                let (namespace, number, one) = state(from)?;
                self.all.insert(number, (namespace, one));
            }
            kind::TRANSACTION_PARTITIONS => {
                let (number, since, count) = (from.u64()?, from.u64()?, from.u32()?);
                for _ in 0..count {
                    let at = at(from)?;
                    if let Some(open) = self.open(number, since) {
                        open.partitions.insert(at);
                    }
                }
            }
            kind::TRANSACTION_OFFSETS => {
                let (number, since) = (from.u64()?, from.u64()?);
                let (group, pending) = (text(from)?, offsets(from)?);
                if let Some(open) = self.open(number, since) {
                    open.offsets.entry(group).or_default().extend(pending);
                }
            }
            kind::PRODUCER_FORGOTTEN => {
                self.all.remove(&from.u64()?);
            }
            other => {
                let text = format!("a record of kind {other} is none of a transaction");
                return Err(Corrupt(text));
            }
        }
        Ok(())
    }

    fn open(&mut self, number: u64, since: u64) -> Option<&mut Open> {
        let (_, one) = self.all.get_mut(&number)?;
        Some(one.open.get_or_insert_with(|| Open::new(since)))
    }

    /// A namespace is gone, with its producers.
    pub(super) fn forget_namespace(&mut self, namespace: &str) {
        self.all.retain(|_, (name, _)| name.as_str() != namespace);
    }

    /// Gives them to an engine.
    pub(super) fn finish(self, engine: &mut Engine) {
        for (number, (namespace, mut one)) in self.all {
            if let Some(slot) = engine.namespace_slot(namespace.as_str()) {
                one.namespace = slot;
                engine.logs.transactions.insert(number, one);
            }
        }
    }
}

fn at(from: &mut Bounded<'_>) -> Result<At, Corrupt> {
    Ok(At {
        log: from.u64()?,
        partition: from.u32()?,
    })
}

fn state(from: &mut Bounded<'_>) -> Result<(Name, u64, Transactional), Corrupt> {
    let (namespace, name, number) = (from.name()?, text(from)?, from.u64()?);
    let (epoch, timeout_ms, used) = (from.u16()?, from.u64()?, from.u64()?);
    let ended = match from.u8()? {
        0 => None,
        1 => Some(false),
        2 => Some(true),
        other => return Err(Corrupt(format!("a transaction that ended by {other}"))),
    };
    let before = match from.bool()? {
        true => Some((from.u64()?, from.u16()?)),
        false => None,
    };
    let one = Transactional {
        namespace: 0,
        name,
        epoch,
        timeout_ms,
        used,
        ended,
        before,
        open: None,
    };
    Ok((namespace, number, one))
}
