//! How what was handed out ends, and what its log gives up then.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use polybus_model::{
    Acknowledging, Death, DeathReason, Keeps, Message, Millis, Name, ReaderOutcome, Reported,
};

use super::Reader;
use super::fetch::Fetched;
use crate::groups::{Failure, Settlement};
use crate::letters::add_death;
use crate::logs::At;
use crate::turn::Turn;
use crate::{Engine, Store};

impl Engine {
    /// A session settles a record, or lets its lease begin anew.
    pub(super) fn settle_record(
        &mut self,
        number: u64,
        offset: u64,
        outcome: ReaderOutcome,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let Some(reader) = self.readers.all.get_mut(&number) else {
            return;
        };
        let Some(window) = self.windows.get(number) else {
            return;
        };
        if offset >= window.next() {
            return;
        }
        let through = reader.settings.acknowledging == Acknowledging::Through;
        let attempts = window.attempts(offset);
        let only = offset..offset.saturating_add(1);
        match outcome {
            ReaderOutcome::Accept => {
                let lease = reader.lease_ms(attempts);
                let until = window.leased_until(offset);
                let floor = window.floor();
                if let Some(until) = until.filter(|_| reader.samples(offset)) {
                    let took = turn.now.saturating_sub(until.saturating_sub(lease));
                    self.report(number, (offset, attempts), Reported::Settled(took), turn);
                }
                let range = match through {
                    true => floor..only.end,
                    false => only,
                };
                self.settle_window(number, range, Settlement::Accept, turn);
            }
            ReaderOutcome::Release(delay) => {
                let due = (delay > 0).then(|| turn.now.saturating_add(delay));
                let release = Settlement::Release { counted: true, due };
                let released = self
                    .windows
                    .act(number, |window| window.settle(only, None, release));
                if released.unwrap_or(0) > 0 {
                    self.report(number, (offset, attempts), Reported::Released, turn);
                }
            }
            ReaderOutcome::Extend => {
                let until = turn.now.saturating_add(reader.lease_ms(attempts));
                self.windows
                    .act(number, |window| window.extend(only, None, until));
            }
            ReaderOutcome::Reject(why) => {
                let rejected = self.windows.act(number, |window| {
                    window.settle(only, None, Settlement::Reject)
                });
                if rejected.unwrap_or(0) > 0 {
                    self.report(number, (offset, attempts), Reported::Rejected(why), turn);
                }
                self.bury_failed(number, turn);
            }
        }
        self.readers.touch(number);
    }

    /// Settles records of a reader for good.
    pub(super) fn settle_window(
        &mut self,
        number: u64,
        range: Range<u64>,
        settlement: Settlement,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let settled = self.windows.act(number, |window| {
            window.settle(range.clone(), None, settlement)
        });
        if settled.unwrap_or(0) > 0 {
            self.forget_handed(number, range, turn);
        }
    }

    pub(super) fn forget_handed(
        &mut self,
        number: u64,
        range: Range<u64>,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let Some(reader) = self.readers.all.get_mut(&number) else {
            return;
        };
        reader.settled_at = Some(turn.now);
        if reader.settings.durable && !reader.is_news {
            reader.is_news = true;
            self.readers.news.push(number);
        }
        let at = reader.at;
        if reader.settles_at_once() && self.keeps(at) == Keeps::All {
            return;
        }
        let Some(reader) = self.readers.all.get_mut(&number) else {
            return;
        };
        let mut offsets: Vec<u64> = reader
            .handed
            .range(range.clone())
            .map(|(at, _)| *at)
            .collect();
        for offset in &offsets {
            reader.handed.remove(offset);
        }
        if reader.settles_at_once() {
            offsets = range.collect();
        }
        match self.keeps(at) {
            Keeps::All => return,
            Keeps::Unsettled => {}
            Keeps::Wanted => offsets.retain(|offset| !self.is_wanted(at, *offset)),
        }
        if !offsets.is_empty() {
            self.remove_records(at, &offsets, turn);
        }
    }

    /// What failed for good goes where the reader says, and is settled.
    pub(crate) fn bury_failed(&mut self, number: u64, turn: &mut Turn<'_, impl Store>) {
        loop {
            let failed = self
                .windows
                .act(number, |window| window.take_failed())
                .flatten();
            let Some((lent, failure)) = failed else {
                return;
            };
            for offset in lent.first..lent.end {
                if !self.bury_record(number, offset, failure, turn) {
                    let rest = offset..lent.end;
                    self.windows.act(number, |window| window.fail_again(rest));
                    return;
                }
                if failure == Failure::Exhausted {
                    self.report(number, (offset, lent.attempts), Reported::Exhausted, turn);
                }
                let one = offset..offset + 1;
                self.windows.act(number, |window| window.bury(one.clone()));
                self.forget_handed(number, one, turn);
            }
        }
    }

    /// Sends a record that failed where the reader says. False if it has to be read back first.
    fn bury_record(
        &mut self,
        number: u64,
        offset: u64,
        failure: Failure,
        turn: &mut Turn<'_, impl Store>,
    ) -> bool {
        let Some(reader) = self.readers.all.get(&number) else {
            return true;
        };
        let Some(topic) = reader.settings.dead_letters.clone() else {
            return true;
        };
        let (namespace, log) = (reader.namespace, reader.log.clone());
        let reason = match failure {
            Failure::Exhausted => DeathReason::DeliveryLimit,
            Failure::Rejected => DeathReason::Rejected,
        };
        match self.fetch(number, offset, turn) {
            Fetched::Here(message, _) => {
                let letter = dead_letter(&message, &log, &topic, reason, turn.now);
                self.post(namespace, &letter, &[], turn);
                true
            }
            Fetched::Gone => true,
            Fetched::Coming => false,
        }
    }

    /// Until when a log's records stay.
    pub(super) fn keeps(&self, at: At) -> Keeps {
        let log = self.logs.all.get(&at.log);
        let rules = log.and_then(|log| log.settings.keyed.as_deref());
        rules.map_or(Keeps::All, |rules| rules.keeps)
    }

    /// Whether a reader is yet to settle a record.
    pub(crate) fn is_wanted(&self, at: At, offset: u64) -> bool {
        let keyed = self.logs.partition(at).and_then(|one| one.keyed.as_ref());
        let Some(key) = keyed.and_then(|keyed| keyed.keys.key_of(offset)) else {
            return false;
        };
        let waits = |reader: &Reader| {
            let window = self.windows.get(reader.number);
            reader.wants(key) && window.is_some_and(|window| !window.is_settled(offset))
        };
        let of_log = self.readers.of_log(at.log);
        let mut readers = of_log.filter_map(|number| self.readers.all.get(&number));
        readers.any(waits)
    }

    /// A record was appended to a log that keeps what is wanted: if nobody wants it, it goes at once.
    pub(crate) fn drop_if_unwanted(
        &mut self,
        at: At,
        offset: u64,
        turn: &mut Turn<'_, impl Store>,
    ) {
        if self.keeps(at) == Keeps::Wanted && !self.is_wanted(at, offset) {
            self.remove_records(at, &[offset], turn);
        }
    }
}

/// The dead letter made of a record: its history grows by one death, in the log that it was read from.
fn dead_letter(
    message: &Message,
    log: &Name,
    topic: &Name,
    reason: DeathReason,
    now: Millis,
) -> Message {
    let death = Death {
        reason,
        queue: log.clone(),
        topic: Name::new(&String::from_utf8_lossy(message.topic()))
            .unwrap_or_else(|_| Name::empty()),
        keys: vec![Bytes::copy_from_slice(message.key())],
        time: now,
        count: 1,
        original_ttl: message.ttl(),
    };
    let deaths = add_death(message.deaths().map(|deaths| deaths.as_slice()), death);
    message.redirected(topic, None, Arc::new(deaths))
}
