//! The records of keyed logs, and their section of a snapshot.
//!
//! | kind | payload after `kind u8, version u8` |
//! |---|---|
//! | 40 message's id | log u64, partition u32, offset u64, appended at u64, id |
//! | 51 followed | log u64, partition u32, positions: count u32, each: origin u32 (its place in the settings), log u64, offset u64 |
//!
//! ```text
//! section 40 = partitions u32, each: log u64 | partition u32 | ids (duplicates.rs)
//! section 51 = partitions u32, each as a record 51
//! ```
//! Keys and times to live are in the records of the messages themselves.

use polybus_model::Millis;

use super::Duplicates;
use crate::Engine;
use crate::logs::At;
use crate::record::codec::{Bounded, Put};
use crate::record::{Corrupt, begin, kind};

/// A message's id, as its record says it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageId<'a> {
    pub(crate) at: At,
    pub(crate) offset: u64,
    pub(crate) time: Millis,
    pub(crate) id: &'a [u8],
}

pub(super) fn put_message_id(out: &mut Vec<u8>, one: &MessageId<'_>) {
    begin(out, kind::MESSAGE_ID);
    out.put_u64(one.at.log);
    out.put_u32(one.at.partition);
    out.put_u64(one.offset);
    out.put_u64(one.time);
    out.put_bytes(one.id);
}

pub(crate) fn message_id<'a>(from: &mut Bounded<'a>) -> Result<MessageId<'a>, Corrupt> {
    let at = At {
        log: from.u64()?,
        partition: from.u32()?,
    };
    Ok(MessageId {
        at,
        offset: from.u64()?,
        time: from.u64()?,
        id: from.bytes()?,
    })
}

/// How far a partition is with those that it follows, as a record says it.
#[derive(Clone, Debug)]
pub(crate) struct FollowedRecord {
    pub(crate) at: At,
    /// Each: its place in the settings, the log that it was, up to where it was taken.
    pub(crate) positions: Vec<(u32, u64, u64)>,
}

pub(super) fn put_followed(out: &mut Vec<u8>, one: &FollowedRecord) {
    begin(out, kind::FOLLOWED);
    put_positions(out, one);
}

fn put_positions(out: &mut Vec<u8>, one: &FollowedRecord) {
    out.put_u64(one.at.log);
    out.put_u32(one.at.partition);
    out.put_u32(one.positions.len() as u32);
    for (origin, log, offset) in &one.positions {
        out.put_u32(*origin);
        out.put_u64(*log);
        out.put_u64(*offset);
    }
}

pub(crate) fn followed(from: &mut Bounded<'_>) -> Result<FollowedRecord, Corrupt> {
    let at = At {
        log: from.u64()?,
        partition: from.u32()?,
    };
    let mut positions = Vec::new();
    for _ in 0..from.u32()? {
        positions.push((from.u32()?, from.u64()?, from.u64()?));
    }
    Ok(FollowedRecord { at, positions })
}

impl Engine {
    /// Writes the section of a snapshot that says how far followers are; nothing if there are none.
    pub(crate) fn put_followed(&self, out: &mut Vec<u8>) {
        let durable = self.logs.all.values().filter(|log| log.settings.durable);
        let known = durable.filter_map(|log| {
            let rules = log.settings.keyed.as_deref()?;
            let keyed = log.partitions.first()?.keyed.as_ref()?;
            let positions = keyed.positions();
            let at = At {
                log: log.id.0,
                partition: 0,
            };
            let has_any = !rules.follows.is_copy() && !positions.is_empty();
            has_any.then_some(FollowedRecord { at, positions })
        });
        let known: Vec<_> = known.collect();
        if known.is_empty() {
            return;
        }
        out.put_u32(known.len() as u32);
        for one in &known {
            put_positions(out, one);
        }
    }

    /// Writes the section of a snapshot that is about keyed logs.
    pub(crate) fn put_keyed(&self, out: &mut Vec<u8>) {
        let durable = self.logs.all.values().filter(|log| log.settings.durable);
        let partitions = durable.flat_map(|log| {
            let partitions = log.partitions.iter().zip(0_u32..);
            partitions.filter_map(|(one, number)| Some((log.id.0, number, one.keyed.as_ref()?)))
        });
        let partitions: Vec<_> = partitions.collect();
        out.put_u32(partitions.len() as u32);
        for (log, partition, keyed) in partitions {
            out.put_u64(log);
            out.put_u32(partition);
            keyed.duplicates.put(out);
        }
    }
}

/// Reads the section of a snapshot that is about keyed logs.
pub(crate) fn read_keyed(
    section: &[u8],
    mut each: impl FnMut(At, Duplicates),
) -> Result<(), Corrupt> {
    let from = &mut Bounded::new(section);
    for _ in 0..from.u32()? {
        let at = At {
            log: from.u64()?,
            partition: from.u32()?,
        };
        each(at, Duplicates::read(from)?);
    }
    if from.is_empty() {
        Ok(())
    } else {
        Err(Corrupt::new(
            "a snapshot's keyed logs are followed by other bytes",
        ))
    }
}

/// Reads the section of a snapshot that says how far followers are.
pub(crate) fn read_followed(
    section: &[u8],
    mut each: impl FnMut(FollowedRecord),
) -> Result<(), Corrupt> {
    let from = &mut Bounded::new(section);
    for _ in 0..from.u32()? {
        each(followed(from)?);
    }
    if from.is_empty() {
        Ok(())
    } else {
        Err(Corrupt::new(
            "a snapshot's followers are followed by other bytes",
        ))
    }
}
