//! Runs: records that were never handed out, handed out one after the other without looking anew for each.
//!
//! ```text
//! index of the log:  [r][r][ ][r][r]...     each that is wanted: in memory, or at the front of what was read back
//!                     |  |     |  |
//!                     v  v     v  v         listeners that were found once (for pulls: once while the key is the same)
//! letters of sessions, one block            then once for all: the window, the counts, the journal
//! ```
//! What always holds: a run ends where anything but the next record is to be decided or told; the steps of `feed` go on from
//! there, so a run need not be complete, only right.

use std::ops::Range;

use bytes::Bytes;
use polybus_model::{HandedRecord, Message, Millis, Notice, RunContent};

use super::feed::{FLOW_ASKED_BYTES, FLOW_BYTES_MAX, size};
use super::precedence::Work;
use super::{Reader, outlet};
use crate::groups::Window;
use crate::logs::keyed::Keys;
use crate::logs::partition::{Found as Place, Indexed, Partition};
use crate::routing::Found;
use crate::turn::Turn;
use crate::{Engine, Store};

/// What a run came to.
#[derive(Default)]
struct Handed {
    count: usize,
    /// The offsets, those that follow each other together.
    ranges: Vec<Range<u64>>,
    /// The append time of the last one.
    time: Millis,
    /// A listener is to be asked how far it has come.
    asks: bool,
}

impl Handed {
    fn note(&mut self, offset: u64, time: Millis) {
        self.count += 1;
        self.time = time;
        match self.ranges.last_mut() {
            Some(last) if last.end == offset => last.end = offset + 1,
            _ => self.ranges.push(offset..offset + 1),
        }
    }

    fn bounds(&self) -> Option<Range<u64>> {
        Some(self.ranges.first()?.start..self.ranges.last()?.end)
    }
}

impl Reader {
    /// Whether it hands out what is next as fast as it can, at this moment.
    fn is_free(&self, now: Millis) -> bool {
        let settings = &self.settings;
        let is_bound = settings.keeps_pace
            || settings.bits_per_second.is_some()
            || settings.paused_until.is_some_and(|until| until > now)
            || self.next_due.is_some_and(|due| due > now)
            || (self.flow.is_asked && self.flow.bytes > FLOW_BYTES_MAX)
            || self.must_pin();
        !is_bound
    }

    /// How many records that were never handed out it may hand out: none while it wants only the last ones of keys.
    fn room(&self, window: &Window) -> usize {
        let room = match (self.settles_at_once(), self.settings.leased_max) {
            _ if window.next() < self.origin.last_of_keys => 0,
            (false, Some(all)) => all.saturating_sub(window.unsettled()),
            _ => u64::MAX,
        };
        usize::try_from(room).unwrap_or(usize::MAX)
    }

    /// Whether the record of that size may go by what is left of the pull that is next, or to who is pushed to.
    fn has_room(&self, bytes: u64) -> bool {
        let pull = self.pulls.front();
        match &self.settings.push {
            Some(_) => true,
            None => {
                pull.is_some_and(|pull| pull.bytes_left.is_none_or(|left| pull.cost(bytes) <= left))
            }
        }
    }

    /// A record of that size went. True if the one who is pushed to is to be asked how far it has come.
    pub(super) fn count_handed(&mut self, bytes: u64) -> bool {
        let Some(push) = &self.settings.push else {
            self.pulls.count_handed(bytes);
            return false;
        };
        if push.flow_control {
            self.flow.bytes += bytes as usize;
        }
        push.flow_control && !self.flow.is_asked && self.flow.bytes >= FLOW_ASKED_BYTES
    }
}

/// A walk through the index of a log, past what its reader does not want.
struct Walk<'a> {
    partition: &'a Partition,
    keys: &'a Keys,
    records: Box<dyn Iterator<Item = (Indexed, Place<'a>)> + 'a>,
}

impl<'a> Walk<'a> {
    fn new(partition: &'a Partition, keys: &'a Keys, from: u64) -> Self {
        Self {
            partition,
            keys,
            records: Box::new(partition.from(partition.position(from))),
        }
    }

    /// The next record that is wanted, if it is durable and in memory or at the front of what was read back.
    fn next(&mut self, reader: &Reader) -> Option<(Indexed, Message)> {
        loop {
            let (indexed, place) = self.records.next()?;
            let offset = indexed.offset;
            if offset >= self.partition.end {
                return None;
            }
            match (place, reader.loaded.front()) {
                (Place::Recent(run), _) => {
                    let RunContent::Message(message) = &run.content else {
                        return None;
                    };
                    if reader.wants(message.key()) {
                        return Some((indexed, message.clone()));
                    }
                }
                (Place::Away(_), Some((at, message))) if *at == offset => {
                    return Some((indexed, message.clone()));
                }
                (Place::Away(_), _) => self.skip_unwanted(reader, offset)?,
            }
        }
    }

    /// Goes on from a record that was not read back: to the next one that is wanted, if it is not that.
    fn skip_unwanted(&mut self, reader: &Reader, offset: u64) -> Option<()> {
        if reader.settings.filters.is_empty() {
            return None;
        }
        let next = reader.next_wanted(self.keys, offset, self.partition.end)?;
        if next == offset {
            return None;
        }
        self.records = Box::new(self.partition.from(self.partition.position(next)));
        Some(())
    }
}

impl Engine {
    /// Hands out as many records as can go without more than a look at each, `most` at most. Gives how many.
    pub(super) fn hand_run(
        &mut self,
        number: u64,
        now: Millis,
        most: usize,
        turn: &mut Turn<'_, impl Store>,
    ) -> usize {
        let Some(handed) = self.gather_run(number, now, most) else {
            return 0;
        };
        let Some(range) = handed.bounds() else {
            return 0;
        };
        let Some(reader) = self.readers.all.get_mut(&number) else {
            return 0;
        };
        reader.delivered_at = Some(now);
        reader.pace = Some(handed.time);
        reader.pending.count = reader.pending.count.saturating_sub(handed.count as u64);
        reader.pending.floor = range.end;
        if let Some(push) = &reader.settings.push {
            reader.heartbeat_due = push.heartbeat_ms.map(|every| now.saturating_add(every));
        } else {
            reader.active(now);
        }
        let until = now.saturating_add(reader.lease_ms(1));
        let is_settled = reader.settles_at_once();
        let namespace = reader.namespace;
        self.windows.act(number, |window| {
            if is_settled {
                window.hand_out_settled(range.end);
                return;
            }
            for one in &handed.ranges {
                window.lend_fresh(one.clone(), until);
            }
        });
        if is_settled {
            self.forget_handed(number, range, turn);
        }
        self.fetch_ahead(number, turn);
        if handed.asks {
            self.ask_flow(number, turn);
        }
        if self.live.has_served() {
            self.send_records(namespace, turn);
        }
        handed.count
    }

    /// Puts the records of a run into the letters of those who get them.
    fn gather_run(&mut self, number: u64, now: Millis, most: usize) -> Option<Handed> {
        let Self {
            readers,
            windows,
            logs,
            namespaces,
            sessions,
            live,
            ..
        } = self;
        let (reader, window) = (readers.all.get_mut(&number)?, windows.get(number)?);
        let partition = logs.partition(reader.at)?;
        let keys = &partition.keyed.as_ref()?.keys;
        let router = &mut namespaces.get_mut(reader.namespace)?.router;
        let from = window.next();
        if !reader.is_free(now) || window.floor() < partition.start || window.is_any_ready() {
            return None;
        }
        let most = reader.room(window).min(most);
        let topic = router.live_topic(reader.settings.topic.as_str()).ok()?;
        let mut pending = reader.count_pending(keys, from, partition.end);
        let mut heard: Option<(Bytes, Found)> = None;
        let mut handed = Handed::default();
        let mut walk = Walk::new(partition, keys, from);
        while handed.count < most {
            let Some((indexed, message)) = walk.next(reader) else {
                break;
            };
            let offset = indexed.offset;
            let bytes = size(&message);
            if reader.settings.groups.is_some() {
                let leased = window.unsettled() + handed.count as u64;
                if !reader.elect(|| Work { pending, leased }) {
                    break;
                }
            }
            let Some(key) = reader.key_to_serve().filter(|_| reader.has_room(bytes)) else {
                break;
            };
            let found = match &heard {
                Some((known, found)) if known == key => *found,
                _ => {
                    let (found, _) = router.hear(topic, key);
                    heard = Some((key.clone(), found));
                    found
                }
            };
            let at = readers.handing.next();
            if !outlet::offer((at, &message), found, &mut router.live, live, sessions) {
                break;
            }
            reader.loaded.pop_front_if(|(at, _)| *at <= offset);
            reader.sequence += 1;
            if !reader.settles_at_once() {
                reader.handed.insert(offset, reader.sequence);
            }
            pending = pending.saturating_sub(1);
            let record = HandedRecord {
                message,
                offset,
                attempts: 1,
                sequence: reader.sequence,
                time: indexed.time,
                pending,
            };
            readers.handing.add(reader, record);
            handed.note(offset, indexed.time);
            handed.asks = reader.count_handed(bytes);
            if handed.asks || live.has_served() {
                break;
            }
        }
        Some(handed)
    }

    /// Asks the one who is pushed to how far it has come.
    pub(super) fn ask_flow(&mut self, number: u64, turn: &mut Turn<'_, impl Store>) {
        let Some(reader) = self.readers.all.get_mut(&number) else {
            return;
        };
        let Some(push) = &reader.settings.push else {
            return;
        };
        reader.flow.is_asked = true;
        let notice = Notice::FlowControl {
            log: reader.log.clone(),
            reader: reader.name.to_string(),
        };
        let (namespace, key) = (reader.namespace, push.key.clone());
        let topic = reader.settings.topic.clone();
        self.notify(namespace, &topic, &key, notice, turn);
    }
}
