//! Appending a message to a keyed log on its publisher's terms.

use polybus_model::{
    KeyedError, KeyedSettings, LastOfKey, LogError, Marks, Measure, Message, Millis, RecordTtl,
    RollUp, RunContent, StoredMore, StoredRecord, Terms, WhenFull, WriteTallied,
};

use super::copies::renamed;
use super::record::{MessageId, put_message_id};
use super::size::{counted_bytes, message_bytes, run_bytes};
use super::tallies::Summed;
use super::{Expiry, schedules, tallies};
use crate::logs::At;
use crate::logs::append::check_size;
use crate::logs::partition::Partition;
use crate::logs::record::RunHead;
use crate::record::Range;
use crate::turn::Turn;
use crate::{Engine, Store};

/// What goes with the message that is appended.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Gives {
    /// Its key's oldest record, since the key has as many as it may.
    pub(super) oldest_of_key: Option<u64>,
}

impl Engine {
    /// Appends a message to a partition of a keyed log, unless it is there already.
    pub(crate) fn store(
        &mut self,
        at: At,
        message: &Message,
        terms: Option<&Terms>,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<StoredRecord, LogError> {
        let log = self.logs.all.get(&at.log).ok_or(LogError::NotFound)?;
        let rules = log.settings.keyed.as_deref().ok_or(LogError::NotFound)?;
        let partition = log.partitions.get(at.partition as usize);
        let next = partition.map_or(0, |partition| partition.next);
        let renamed = renamed(message, rules, next)?;
        self.store_as_named(at, renamed.as_ref().unwrap_or(message), terms, turn)
    }

    /// Appends a message under the key that it has.
    pub(super) fn store_as_named(
        &mut self,
        at: At,
        message: &Message,
        terms: Option<&Terms>,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<StoredRecord, LogError> {
        let log = self.logs.all.get_mut(&at.log).ok_or(LogError::NotFound)?;
        let keyed_settings = log.settings.keyed.as_deref();
        let rules = keyed_settings.ok_or(LogError::NotFound)?;
        let name = log.name.clone();
        let partition = log.partitions.get(at.partition as usize);
        let partition = partition.ok_or(LogError::NotFound)?;
        if rules.sealed {
            return Err(KeyedError::Sealed.into());
        }
        if rules.follows.is_copy() {
            return Err(KeyedError::IsCopy.into());
        }
        if let Some(terms) = terms {
            let since = turn.now.saturating_sub(rules.duplicates_ms);
            match known(partition, terms, since, name.as_str())? {
                Some(offset) if rules.duplicates_ms > 0 => {
                    return Ok(StoredRecord {
                        log: name,
                        offset,
                        duplicate: true,
                        more: None,
                    });
                }
                _ => check_terms(partition, message, terms, rules, partition.next)?,
            }
        }
        let summed = tallies::sum(partition, message, terms, rules)?;
        let write = self.options.keyed_writer.tallied;
        let message = with_sum(as_termed(message, terms, rules), summed.as_ref(), write);
        let measured = self.options.keyed_writer.measured;
        let most = log.settings.run_bytes_max;
        fits(&message, rules, measured, most, partition.next)?;
        let gives = room(partition, &message, rules, log.settings.retention_bytes)?;
        let before = last_of(partition, message.key());
        let expires = rules.expires;
        let head = head_of(at, partition.next, log.settings.stamps, turn.now);
        self.append_run(&head, RunContent::Message(message.clone()), None, turn);
        let ttl = message.ttl().filter(|_| expires);
        self.note_stored(
            at,
            head.offset,
            &message,
            Expiry::of(ttl, turn.now),
            terms,
            turn,
        );
        self.owe_copy(at, (head.offset, before), &message, turn.now);
        self.note_sum(at, head.offset, summed.as_ref());
        self.note_schedule(at, head.offset, terms, turn);
        if let Some(offset) = gives.oldest_of_key {
            self.remove_records(at, &[offset], turn);
        }
        if let Some(terms) = terms {
            self.replace_by(at, head.offset, message.key(), terms, turn);
        }
        self.drop_if_unwanted(at, head.offset, turn);
        self.touch_keyed(at);
        self.logs.bound_recent(self.options.log_resident_bytes_max);
        Ok(StoredRecord {
            log: name,
            offset: head.offset,
            duplicate: false,
            more: summed.map(|summed| Box::new(StoredMore::Sum(summed.sum))),
        })
    }

    /// Enters the number that a message's key has come to.
    fn note_sum(&mut self, at: At, offset: u64, summed: Option<&Summed>) {
        let partition = self.logs.partition_mut(at);
        if let (Some(keyed), Some(summed)) = (partition.and_then(|one| one.keyed.as_mut()), summed)
        {
            keyed.note_sum(offset, summed);
        }
    }

    /// Enters a message that was appended under its key and its id.
    fn note_stored(
        &mut self,
        at: At,
        offset: u64,
        message: &Message,
        expiry: Expiry,
        terms: Option<&Terms>,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let log = self.logs.all.get_mut(&at.log);
        let Some(log) = log else { return };
        let durable = log.settings.durable;
        let partition = log.partitions.get_mut(at.partition as usize);
        let Some(keyed) = partition.and_then(|one| one.keyed.as_mut()) else {
            return;
        };
        let entered = (message.key(), message.marks().ends_key);
        keyed.enter(offset, entered, turn.now, expiry);
        let Some(id) = terms.and_then(|terms| terms.id.as_ref()) else {
            return;
        };
        keyed.duplicates.note(id, offset, turn.now);
        if durable {
            let one = MessageId {
                at,
                offset,
                time: turn.now,
                id,
            };
            put_message_id(&mut self.work.buffer, &one);
            turn.append(&self.work.buffer, at.log);
        }
    }

    /// What a message takes the place of, or ends, goes.
    pub(super) fn replace_by(
        &mut self,
        at: At,
        offset: u64,
        key: &[u8],
        terms: &Terms,
        turn: &mut Turn<'_, impl Store>,
    ) {
        if let Some(what) = &terms.roll_up {
            self.roll_up(at, offset, key, what, turn);
        }
        if let Some(key) = &terms.ends_schedule {
            self.roll_up(at, offset, key, &RollUp::Key, turn);
        }
    }

    fn roll_up(
        &mut self,
        at: At,
        offset: u64,
        key: &[u8],
        what: &RollUp,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let before: Vec<u64> = match what {
            RollUp::Unreadable(_) => return,
            RollUp::All => {
                let range = (0, offset);
                self.remove_between(at, range, turn);
                return;
            }
            RollUp::Key => {
                let keyed = self.logs.partition(at).and_then(|one| one.keyed.as_ref());
                let key = keyed.and_then(|keyed| keyed.keys.key(key));
                let records = key.into_iter().flat_map(|key| key.offsets());
                records.filter(|one| *one < offset).collect()
            }
            RollUp::Keys(keys) => {
                let records = self.offsets_matching(at, Some(keys)).into_iter();
                records.filter(|one| *one < offset).collect()
            }
        };
        self.remove_records(at, &before, turn);
    }

    /// Removes the records from one offset up to another.
    pub(super) fn remove_between(
        &mut self,
        at: At,
        (from, to): (u64, u64),
        turn: &mut Turn<'_, impl Store>,
    ) -> usize {
        let keyed = self.logs.partition(at).and_then(|one| one.keyed.as_ref());
        let offsets = keyed
            .into_iter()
            .flat_map(|one| one.keys.offsets_from(from));
        let offsets: Vec<u64> = offsets.take_while(|offset| *offset < to).collect();
        self.remove_records(at, &offsets, turn)
    }

    /// Removes single records; gives how many there were.
    pub(crate) fn remove_records(
        &mut self,
        at: At,
        offsets: &[u64],
        turn: &mut Turn<'_, impl Store>,
    ) -> usize {
        let mut ranges = Vec::with_capacity(offsets.len().min(1_024));
        for offset in offsets {
            match ranges.last_mut() {
                Some(Range { first, len }) if *first + u64::from(*len) == *offset => *len += 1,
                _ => ranges.push(Range {
                    first: *offset,
                    len: 1,
                }),
            }
        }
        let removed = self.remove_runs(at, &ranges, turn);
        self.touch_keyed(at);
        removed
    }
}

/// The head of the record of a message that is appended now.
fn head_of(at: At, offset: u64, stamped: bool, now: Millis) -> RunHead {
    RunHead {
        log: at.log,
        partition: at.partition,
        offset,
        count: 1,
        at: now,
        time: Some(now),
        stamped,
        writer: None,
        ends: None,
        message: true,
    }
}

/// Whether the message is there already, and it is this log's at all.
pub(super) fn known(
    partition: &Partition,
    terms: &Terms,
    since: u64,
    name: &str,
) -> Result<Option<u64>, LogError> {
    if terms
        .log
        .as_ref()
        .is_some_and(|log| &log[..] != name.as_bytes())
    {
        return Err(KeyedError::OtherLog.into());
    }
    let (Some(id), Some(keyed)) = (&terms.id, &partition.keyed) else {
        return Ok(None);
    };
    Ok(keyed.duplicates.find(id, since))
}

/// Whether a log takes a message of that size.
pub(super) fn fits(
    message: &Message,
    rules: &KeyedSettings,
    measured: Option<Measure>,
    run_bytes_max: u32,
    next: u64,
) -> Result<(), LogError> {
    let bytes = message.inline_bytes().len() + message.shared_body().map_or(0, bytes::Bytes::len);
    check_size(bytes, 1, run_bytes_max, next)?;
    let is_too_large = |max| {
        let len = measured.map_or(message.body().len() as u64, |measure| measure(message));
        len > max
    };
    match rules.message_bytes_max.is_some_and(is_too_large) {
        true => Err(LogError::TooLarge),
        false => Ok(()),
    }
}

/// Whether a message's terms hold, if it gets the offset `next`.
pub(super) fn check_terms(
    partition: &Partition,
    message: &Message,
    terms: &Terms,
    rules: &KeyedSettings,
    next: u64,
) -> Result<(), LogError> {
    let Some(keyed) = &partition.keyed else {
        return Err(LogError::NotFound);
    };
    if terms.ttl.is_some() && !rules.expires {
        return Err(KeyedError::ExpiryDenied.into());
    }
    if terms.ttl == Some(RecordTtl::For(0)) {
        return Err(KeyedError::Terms("a time to live of nothing".to_owned()).into());
    }
    if let Some(LastOfKey { key, offset }) = &terms.last_of_key {
        let last = match key {
            Some(filter) => keyed.keys.last_matching(filter, u64::MAX),
            None => last_of(partition, message.key()),
        };
        if last != *offset {
            return Err(KeyedError::LastOfKey(last).into());
        }
    }
    if let Some(offset) = terms.offset
        && offset != next
    {
        return Err(KeyedError::Offset(next).into());
    }
    if let Some(id) = &terms.last_id {
        let last = keyed.duplicates.last_id(partition.next.checked_sub(1));
        if last.unwrap_or_default() != &id[..] {
            let last = last.map(bytes::Bytes::copy_from_slice);
            return Err(KeyedError::LastId(last).into());
        }
    }
    schedules::check(keyed, message, terms, rules)?;
    if let Some(bad) = terms.bad {
        return Err(KeyedError::BadTerm(bad).into());
    }
    match &terms.roll_up {
        Some(_) if !rules.rolls_up || rules.denies_purge => Err(KeyedError::RollUpDenied.into()),
        Some(RollUp::Unreadable(what)) => Err(KeyedError::RollUpUnreadable(what.clone()).into()),
        _ => Ok(()),
    }
}

/// The offset of a key's last record.
fn last_of(partition: &Partition, key: &[u8]) -> Option<u64> {
    let keys = &partition.keyed.as_ref()?.keys;
    keys.key(key)?.last_before(u64::MAX)
}

/// Whether a log takes one more message, and what goes for it at once.
pub(super) fn room(
    partition: &Partition,
    message: &Message,
    rules: &KeyedSettings,
    bytes_max: Option<u64>,
) -> Result<Gives, LogError> {
    let Some(keyed) = &partition.keyed else {
        return Err(LogError::NotFound);
    };
    let key = keyed.keys.key(message.key());
    let full = |key_max| key.is_some_and(|key| key.count() >= key_max);
    let mut gives = Gives::default();
    if rules.key_records_max.is_some_and(full) {
        if rules.when_full == WhenFull::RefuseKey {
            return Err(KeyedError::KeyRecordsMax.into());
        }
        gives.oldest_of_key = keyed.keys.oldest(message.key());
    }
    if rules.when_full == WhenFull::DropOldest {
        return Ok(gives);
    }
    let replaces = gives.oldest_of_key.is_some();
    let records_full = rules
        .records_max
        .is_some_and(|max| keyed.keys.records() >= max);
    if records_full && !replaces {
        return Err(KeyedError::RecordsMax.into());
    }
    let stands = gives
        .oldest_of_key
        .and_then(|offset| partition.stand(offset));
    let freed = stands.map_or(0, |stand| run_bytes(stand.len.into()));
    let held = counted_bytes(partition, keyed.keys.records());
    let bytes = held.saturating_sub(freed) + message_bytes(message);
    if bytes_max.is_some_and(|max| bytes > max) {
        return Err(KeyedError::BytesMax.into());
    }
    Ok(gives)
}

/// The message as its terms have it: with a time to live, and with the mark of one that ends its key. Where what ends a key
/// stays for a while, nothing of the key goes before that: else what says so would be missed.
fn as_termed(message: &Message, terms: Option<&Terms>, rules: &KeyedSettings) -> Message {
    let Some(terms) = terms else {
        return message.clone();
    };
    let least = match rules.key_records_max {
        Some(1) => 0,
        _ => rules.marker_ms.unwrap_or(0),
    };
    let message = match terms.ttl {
        None => message.clone(),
        Some(RecordTtl::Never) => message.with_ttl(Some(u64::MAX)),
        Some(RecordTtl::For(ttl)) => message.with_ttl(Some(ttl.max(least))),
    };
    match terms.ends_key {
        true => message.with_marks(Marks {
            ends_key: true,
            ..message.marks()
        }),
        false => message,
    }
}

/// The message with the number that its key has come to for a body, and what of it comes from other logs.
fn with_sum(message: Message, summed: Option<&Summed>, write: Option<WriteTallied>) -> Message {
    let Some(summed) = summed else {
        return message;
    };
    let message = match (&summed.parts, write) {
        (Some(parts), Some(write)) => write(&message, &summed.added, parts),
        _ => message,
    };
    message.with_body(summed.sum.body())
}
