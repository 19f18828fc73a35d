//! Messages that are appended together or not at all.
//!
//! ```text
//! part 1 .. part n -> held in memory -> the last part -> every check of every part -> all appended, in one turn
//!                       no part for HELD_MS -> forgotten       one fails -> none is, and the batch is forgotten
//! ```
//! What always holds: parts come without a gap; what is held for a session is bounded; what a batch appends is in one frame of
//! the journal, since a turn is. A batch that is not complete does not survive a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use polybus_model::{
    BatchCommit, BatchError, BatchPart, KeyedError, KeyedSettings, LogError, Measure, Message,
    Millis, RollUp, SessionId, StoredMore, StoredRecord, Terms, WhenFull,
};

use super::copies::renamed;
use super::size::{counted_bytes, message_bytes};
use super::store::{check_terms, fits, known};
use super::tallies;
use crate::logs::At;
use crate::logs::log::Log;
use crate::turn::Turn;
use crate::{Engine, Store};

/// Messages of a batch,
const PARTS_MAX: u32 = 1_000;
/// batches of a partition that are not complete,
const OPEN_MAX: usize = 50;
/// how long one waits for its next message, in milliseconds,
const HELD_MS: Millis = 10_000;
/// bytes that are held for a session,
const HELD_BYTES_MAX: usize = 64 << 20;
/// and the bytes of a batch's name.
const ID_LEN_MAX: usize = 64;

/// A message of a batch, and on what terms it came.
type Part = (Message, Arc<Terms>);

#[derive(Debug)]
struct Open {
    /// Who began it.
    session: SessionId,
    parts: Vec<Part>,
    bytes: usize,
    until: Millis,
}

impl Open {
    /// Why its next message cannot be this one, if so many bytes are held with it.
    fn fault(&self, part: &BatchPart, held_bytes: usize) -> Option<BatchError> {
        let ends_empty = part.commit == Some(BatchCommit::Before) && self.parts.is_empty();
        if part.commit == Some(BatchCommit::Unreadable) {
            return Some(BatchError::BadCommit);
        }
        if part.number != Some(self.parts.len() as u64 + 1) || ends_empty {
            return Some(BatchError::Incomplete);
        }
        if part.len() > u64::from(PARTS_MAX) {
            return Some(BatchError::TooLarge(PARTS_MAX));
        }
        (held_bytes > HELD_BYTES_MAX).then_some(BatchError::TooMany)
    }
}

/// The batches of a partition that are not complete.
#[derive(Debug, Default)]
pub(super) struct Batches {
    open: BTreeMap<Bytes, Open>,
}

impl Batches {
    /// When the next one is forgotten.
    pub(super) fn deadline(&self) -> Option<Millis> {
        self.open.values().map(|open| open.until).min()
    }

    /// The batch of a part, begun if this is its first; refused if it is neither.
    fn find_or_begin(&mut self, part: &BatchPart, session: SessionId) -> Result<(), BatchError> {
        if self.open.contains_key(&part.id) {
            return Ok(());
        }
        match part.number {
            Some(1) if self.open.len() < OPEN_MAX => {}
            Some(1) => return Err(BatchError::TooMany),
            Some(_) if part.len() > u64::from(PARTS_MAX) => {
                return Err(BatchError::TooLarge(PARTS_MAX));
            }
            _ => return Err(BatchError::Incomplete),
        }
        let open = Open {
            session,
            parts: Vec::new(),
            bytes: 0,
            until: 0,
        };
        self.open.insert(part.id.clone(), open);
        Ok(())
    }
}

/// What a part says of its batch.
trait Length {
    /// How many messages the batch has with it.
    fn len(&self) -> u64;
}

impl Length for BatchPart {
    fn len(&self) -> u64 {
        let number = self.number.unwrap_or(0);
        match self.commit {
            Some(BatchCommit::Before) => number.saturating_sub(1),
            _ => number,
        }
    }
}

impl Engine {
    /// Takes a message of a batch.
    pub(super) fn store_part(
        &mut self,
        at: At,
        message: &Message,
        (terms, part): (&Arc<Terms>, &BatchPart),
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<StoredRecord, LogError> {
        let fail = |error: BatchError| Err(LogError::from(KeyedError::Batch(error)));
        let log = self.logs.all.get_mut(&at.log).ok_or(LogError::NotFound)?;
        let rules = log.settings.keyed.as_deref().ok_or(LogError::NotFound)?;
        check_part(part, rules)?;
        let name = log.name.clone();
        let partition = log.partitions.get_mut(at.partition as usize);
        let keyed = partition.and_then(|one| one.keyed.as_mut());
        let batches = &mut keyed.ok_or(LogError::NotFound)?.batches;
        let began = batches.find_or_begin(part, self.work.publisher);
        let open = batches.open.get_mut(&part.id);
        let Some(open) = open.filter(|_| began.is_ok()) else {
            return fail(began.err().unwrap_or(BatchError::Incomplete));
        };
        let bytes = message.memory_size() + size_of::<Part>();
        let sessions = (
            open.session,
            At {
                log: 0,
                partition: 0,
            },
        )..=(open.session, At::LAST);
        let held = self.logs.keyed.held.range(sessions).map(|(_, one)| one);
        let fault = open.fault(part, held.sum::<usize>() + bytes);
        if fault.is_none() && part.commit != Some(BatchCommit::Before) {
            open.parts.push((message.clone(), Arc::clone(terms)));
        }
        if part.commit.is_none() && fault.is_none() {
            open.bytes += bytes;
            open.until = turn.now.saturating_add(HELD_MS);
            *self.logs.keyed.held.entry((open.session, at)).or_default() += bytes;
            self.touch_keyed(at);
            return Ok(StoredRecord {
                log: name,
                offset: 0,
                duplicate: false,
                more: Some(Box::new(StoredMore::Held)),
            });
        }
        let parts = self.end_batch(at, &part.id);
        match fault {
            Some(fault) => fail(fault),
            None => self.append_batch(at, parts, turn),
        }
    }

    /// A batch is over, in whatever way; gives its messages.
    fn end_batch(&mut self, at: At, id: &Bytes) -> Vec<Part> {
        let partition = self.logs.partition_mut(at);
        let keyed = partition.and_then(|one| one.keyed.as_mut());
        let Some(open) = keyed.and_then(|keyed| keyed.batches.open.remove(id)) else {
            return Vec::new();
        };
        let held = &mut self.logs.keyed.held;
        if let Some(bytes) = held.get_mut(&(open.session, at)) {
            *bytes = bytes.saturating_sub(open.bytes);
            if *bytes == 0 {
                held.remove(&(open.session, at));
            }
        }
        self.touch_keyed(at);
        open.parts
    }

    /// Batches that have waited too long are forgotten.
    pub(super) fn expire_batches(&mut self, at: At, now: Millis) {
        let partition = self.logs.partition(at);
        let keyed = partition.and_then(|one| one.keyed.as_ref());
        let open = keyed.into_iter().flat_map(|keyed| &keyed.batches.open);
        let over = open.filter(|(_, open)| open.until <= now);
        let over: Vec<Bytes> = over.map(|(id, _)| id.clone()).collect();
        for id in over {
            self.end_batch(at, &id);
        }
    }

    /// Appends the messages of a batch, all of them or none.
    fn append_batch(
        &mut self,
        at: At,
        parts: Vec<Part>,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<StoredRecord, LogError> {
        let log = self.logs.all.get(&at.log).ok_or(LogError::NotFound)?;
        let measured = self.options.keyed_writer.measured;
        check_batch(log, at, &parts, measured, turn.now)?;
        let messages = parts.len() as u32;
        let mut last = Err(KeyedError::Batch(BatchError::Incomplete).into());
        for (message, terms) in parts {
            // What they expect was checked before the first one was appended.
            let terms = Terms {
                offset: None,
                last_of_key: None,
                ..Terms::clone(&terms)
            };
            last = Ok(self.store(at, &message, Some(&terms), turn)?);
        }
        last.map(|stored: StoredRecord| {
            let sum = match stored.more.as_deref() {
                Some(StoredMore::Sum(sum)) => Some(sum.clone()),
                _ => None,
            };
            StoredRecord {
                more: Some(Box::new(StoredMore::Batch { messages, sum })),
                ..stored
            }
        })
    }
}

/// Whether a log takes messages of such batches at all.
fn check_part(part: &BatchPart, rules: &KeyedSettings) -> Result<(), LogError> {
    let fail = |error: BatchError| Err(KeyedError::Batch(error).into());
    if rules.sealed {
        return Err(KeyedError::Sealed.into());
    }
    if !rules.batches {
        return fail(BatchError::Off);
    }
    if part.id.len() > ID_LEN_MAX {
        return fail(BatchError::BadId);
    }
    match part.number {
        None => fail(BatchError::NoNumber),
        Some(_) => Ok(()),
    }
}

/// What the messages of a batch before one have come to.
#[derive(Default)]
struct Before<'a> {
    keys: BTreeMap<&'a [u8], u64>,
    ids: BTreeSet<&'a [u8]>,
    messages: u64,
    bytes: u64,
}

/// Whether all messages of a batch are taken.
fn check_batch(
    log: &Log,
    at: At,
    parts: &[Part],
    measured: Option<Measure>,
    now: Millis,
) -> Result<(), LogError> {
    let settings = &log.settings;
    let rules = settings.keyed.as_deref().ok_or(LogError::NotFound)?;
    let partition = log.partitions.get(at.partition as usize);
    let partition = partition.ok_or(LogError::NotFound)?;
    let since = now.saturating_sub(rules.duplicates_ms);
    let mut before = Before::default();
    let others = parts.iter().zip(partition.next..);
    let others = others.map(|((message, _), next)| renamed(message, rules, next));
    let others = others.collect::<Result<Vec<_>, _>>()?;
    for ((message, terms), renamed) in parts.iter().zip(&others) {
        let message = renamed.as_ref().unwrap_or(message);
        before.check(message, terms)?;
        let is_known = known(partition, terms, since, log.name.as_str())?.is_some();
        if is_known && rules.duplicates_ms > 0 {
            return Err(KeyedError::Batch(BatchError::Duplicate).into());
        }
        let next = partition.next.saturating_add(before.messages);
        check_terms(partition, message, terms, rules, next)?;
        tallies::sum(partition, message, Some(terms), rules)?;
        fits(message, rules, measured, settings.run_bytes_max, next)?;
        before.enter(message, terms);
        let keyed = partition.keyed.as_ref().ok_or(LogError::NotFound)?;
        before.check_room(
            rules,
            keyed.keys.records(),
            keyed.keys.key(message.key()).map_or(0, |key| key.count()),
            before.keys.get(message.key()).copied().unwrap_or(0),
            counted_bytes(partition, keyed.keys.records()),
            settings.retention_bytes,
        )?;
    }
    Ok(())
}

impl<'a> Before<'a> {
    /// Whether a message makes sense behind those.
    fn check(&self, message: &Message, terms: &Terms) -> Result<(), LogError> {
        let fail = |error: BatchError| Err(LogError::from(KeyedError::Batch(error)));
        if terms.last_id.is_some() {
            return fail(BatchError::LastId);
        }
        if terms
            .id
            .as_ref()
            .is_some_and(|id| self.ids.contains(&id[..]))
        {
            return fail(BatchError::Duplicate);
        }
        let is_written = terms
            .last_of_key
            .as_ref()
            .is_some_and(|last| match &last.key {
                None => self.keys.contains_key(message.key()),
                Some(filter) => self.keys.keys().any(|key| filter.fits(key)),
            });
        if is_written {
            return fail(BatchError::KeyWritten);
        }
        let is_late = match &terms.roll_up {
            Some(RollUp::All) => self.messages > 0,
            Some(RollUp::Key) => self.keys.contains_key(message.key()),
            Some(RollUp::Keys(keys)) => self.keys.keys().any(|key| keys.fits(key)),
            Some(RollUp::Unreadable(_)) | None => false,
        };
        match is_late {
            true => Err(KeyedError::RollUpDenied.into()),
            false => Ok(()),
        }
    }

    fn enter(&mut self, message: &'a Message, terms: &'a Terms) {
        *self.keys.entry(message.key()).or_default() += 1;
        self.ids.extend(terms.id.as_deref());
        self.messages += 1;
        self.bytes += message_bytes(message);
    }

    /// Whether a log that refuses what is too much takes them. What would go for them is not counted.
    fn check_room(
        &self,
        rules: &KeyedSettings,
        records: u64,
        of_key: u64,
        more_of_key: u64,
        bytes: u64,
        bytes_max: Option<u64>,
    ) -> Result<(), LogError> {
        if rules.when_full == WhenFull::DropOldest {
            return Ok(());
        }
        let is_over = |max: Option<u64>, is: u64| max.is_some_and(|max| is > max);
        if rules.when_full == WhenFull::RefuseKey
            && is_over(rules.key_records_max, of_key + more_of_key)
        {
            return Err(KeyedError::KeyRecordsMax.into());
        }
        if is_over(rules.records_max, records + self.messages) {
            return Err(KeyedError::RecordsMax.into());
        }
        if is_over(bytes_max, bytes + self.bytes) {
            return Err(KeyedError::BytesMax.into());
        }
        Ok(())
    }
}
