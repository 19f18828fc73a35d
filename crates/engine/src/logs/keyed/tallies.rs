//! Messages that add: each has the number for a body that its key has come to with it.
//!
//! What always holds: in a log that adds, every record's number is known by its offset, in memory.

use std::sync::Arc;

use bytes::Bytes;
use polybus_model::{
    Addition, KeyedError, KeyedSettings, LogError, Message, Tally, TallyError, TallyParts, Terms,
};

use super::Keyed;
use crate::logs::partition::Partition;

/// Numbers of other logs that one key's is made of, at most.
const PARTS_MAX: usize = 1_024;

/// What a message makes of the number that its key has come to.
#[derive(Debug)]
pub(super) struct Summed {
    pub(super) sum: Tally,
    pub(super) added: Tally,
    /// What of it comes from other logs.
    pub(super) parts: Option<Arc<TallyParts>>,
}

/// What a message makes of the number that its key has come to; none if it does not add, and need not.
pub(super) fn sum(
    partition: &Partition,
    message: &Message,
    terms: Option<&Terms>,
    rules: &KeyedSettings,
) -> Result<Option<Summed>, LogError> {
    let fail = |error: TallyError| Err(KeyedError::Tally(error).into());
    let adds = terms.and_then(|terms| Some((terms, terms.adds.as_ref()?)));
    let (terms, addition) = match adds {
        None if rules.tallies => return fail(TallyError::Missing),
        None => return Ok(None),
        Some((_, Addition::Unreadable)) => return fail(TallyError::Unreadable),
        Some(_) if !rules.tallies => return fail(TallyError::Off),
        Some(adds) => adds,
    };
    if !message.body().is_empty() {
        return fail(TallyError::Body);
    }
    let expects = terms.log.is_some()
        || terms.offset.is_some()
        || terms.last_of_key.is_some()
        || terms.last_id.is_some();
    if expects || terms.roll_up.is_some() {
        return fail(TallyError::Unreadable);
    }
    let keyed = partition.keyed.as_ref().ok_or(LogError::NotFound)?;
    let summed = keyed.add(message.key(), addition);
    summed
        .map(Some)
        .map_err(|error| KeyedError::Tally(error).into())
}

impl Keyed {
    fn add(&self, key: &[u8], addition: &Addition) -> Result<Summed, TallyError> {
        let last = self.keys.key(key).and_then(|key| key.last_before(u64::MAX));
        let before = match last {
            Some(last) => Some(self.sums.get(&last).ok_or(TallyError::Broken)?),
            None => None,
        };
        let mut parts = last.and_then(|last| self.parts.get(&last)).cloned();
        let added = match addition {
            Addition::Of(added) => added.clone(),
            Addition::Unreadable => return Err(TallyError::Unreadable),
            Addition::From(part) => {
                let mut all = parts.as_deref().cloned().unwrap_or_default();
                let of_log = all.entry(part.log.clone()).or_default();
                let had = of_log.insert(part.key.clone(), part.value.clone());
                if all.values().map(|of_log| of_log.len()).sum::<usize>() > PARTS_MAX {
                    return Err(TallyError::Broken);
                }
                parts = Some(Arc::new(all));
                match had {
                    Some(had) => part.value.minus(&had),
                    None => part.value.clone(),
                }
            }
        };
        Ok(Summed {
            sum: before.map_or_else(|| added.clone(), |before| before.plus(&added)),
            added,
            parts,
        })
    }

    /// Enters what a record's key has come to.
    pub(super) fn note_sum(&mut self, offset: u64, summed: &Summed) {
        self.sums.insert(offset, summed.sum.clone());
        if let Some(parts) = &summed.parts {
            self.parts.insert(offset, Arc::clone(parts));
        }
    }
}

/// What another log's record has come to, for one that adds it up.
pub(super) fn from_other(log: &polybus_model::Name, message: &Message) -> Addition {
    let value = Tally::of_body(message.body());
    value.map_or(Addition::Unreadable, |value| {
        Addition::From(Box::new(polybus_model::TallyPart {
            log: Bytes::copy_from_slice(log.as_str().as_bytes()),
            key: Bytes::copy_from_slice(message.key()),
            value,
        }))
    })
}
