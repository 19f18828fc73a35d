//! Records that come with their offsets: those of a log that is the copy of another, and the first of a log that does not
//! begin at 0. Offsets between that have no record here are a hole, as if their records had been removed.

use polybus_model::{
    Follows, LogError, Message, Millis, NewRun, PartitionName, RestoredRecord, RunContent,
};

use super::Expiry;
use super::store::room;
use crate::logs::append::check;
use crate::logs::record::{RunHead, put_trimmed};
use crate::logs::{At, Caller};
use crate::record::Range;
use crate::turn::Turn;
use crate::{Engine, Store};

/// No hole is longer: it would take too many ranges to say.
const HOLE_LEN_MAX: u64 = 1 << 40;

impl Engine {
    /// Puts records back into a log that takes nothing else.
    pub(in crate::logs) fn restore_records(
        &mut self,
        caller: Caller,
        name: &PartitionName,
        records: &[RestoredRecord],
        next: Option<u64>,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<(), LogError> {
        let at = self.partition_at(caller.namespace, name)?;
        let rules = self.rules(at)?;
        if !rules.sealed || rules.follows != Follows::Nobody {
            let text = "records are put back into a sealed log only, that follows nobody";
            return Err(LogError::Unsupported(text.to_owned()));
        }
        for one in records {
            self.store_copy(at, (one.offset, one.time), &one.message, turn)?;
        }
        self.logs.bound_recent(self.options.log_resident_bytes_max);
        match next {
            Some(next) => self.leave_hole(at, next, turn),
            None => Ok(()),
        }
    }

    /// Appends a message with an offset and the time of its append elsewhere; false if it has it already.
    pub(super) fn store_copy(
        &mut self,
        at: At,
        (offset, time): (u64, Millis),
        message: &Message,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<bool, LogError> {
        let log = self.logs.all.get(&at.log).ok_or(LogError::NotFound)?;
        let rules = log.settings.keyed.as_deref().ok_or(LogError::NotFound)?;
        let partition = log.partitions.first().ok_or(LogError::NotFound)?;
        let run = NewRun {
            time_min: None,
            keyed: true,
            count: 1,
            time_max: Some(time),
            writer: None,
            content: RunContent::Message(message.clone()),
            crc: None,
        };
        check(&run, log.settings.run_bytes_max, offset)?;
        if offset < partition.next {
            return Ok(false);
        }
        let gives = room(partition, message, rules, log.settings.retention_bytes)?;
        let head = RunHead {
            log: at.log,
            partition: at.partition,
            offset,
            count: 1,
            at: turn.now,
            time: run.time_max,
            stamped: false,
            writer: None,
            ends: None,
            message: true,
        };
        let expiry = Expiry::of(message.ttl().filter(|_| rules.expires), time);
        self.leave_hole(at, offset, turn)?;
        self.append_run(&head, run.content, None, turn);
        let partition = self.logs.partition_mut(at);
        let mut before = None;
        if let Some(keyed) = partition.and_then(|one| one.keyed.as_mut()) {
            before = keyed
                .keys
                .key(message.key())
                .and_then(|key| key.last_before(offset));
            let entered = (message.key(), message.marks().ends_key);
            keyed.enter(offset, entered, time, expiry);
        }
        self.owe_copy(at, (offset, before), message, time);
        if let Some(oldest) = gives.oldest_of_key {
            self.remove_records(at, &[oldest], turn);
        }
        self.drop_if_unwanted(at, offset, turn);
        self.touch_keyed(at);
        Ok(true)
    }

    /// The next record gets this offset, whatever is there.
    pub(in crate::logs) fn leave_hole(
        &mut self,
        at: At,
        offset: u64,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<(), LogError> {
        let log = self.logs.all.get_mut(&at.log).ok_or(LogError::NotFound)?;
        let durable = log.settings.durable;
        let partition = log.partitions.get_mut(at.partition as usize);
        let partition = partition.ok_or(LogError::NotFound)?;
        let next = partition.next;
        if offset <= next {
            return Ok(());
        }
        if partition.start == next {
            // Nothing is there, so nothing has to be left out.
            partition.begin_at(offset);
            if durable {
                put_trimmed(&mut self.work.buffer, at.log, at.partition, offset);
                turn.append(&self.work.buffer, at.log);
            }
            return Ok(());
        }
        if offset - next > HOLE_LEN_MAX {
            let text = "the offsets that are left out are too many".to_owned();
            return Err(LogError::Unsupported(text));
        }
        partition.next = offset;
        if !std::mem::replace(&mut partition.touched, true) {
            self.logs.marks.touch(at);
        }
        let mut first = next;
        while first < offset {
            let len = u32::try_from(offset - first).unwrap_or(u32::MAX);
            self.logs.removed.push((at, Range { first, len }));
            first += u64::from(len);
        }
        Ok(())
    }
}
