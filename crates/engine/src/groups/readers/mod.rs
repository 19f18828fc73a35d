//! Readers: groups that read a partition of a keyed log record by record, lease each, and hand it to live subscribers.
//!
//! ```text
//! declare, delete, describe, pause           (define); begin anew (reset)
//! pull -> waits among the pulls of its reader (pulls)
//! records became durable, a pull came, somebody listens, a lease broke off, a peer drained
//!      -> touched -> at the end of the turn: fed, while there is somebody to hand to     (feed)
//!           which record: the window's next ready one, or the next one that is wanted    (reader, leased)
//!           its message: from memory, or read back ahead of time                        (fetch)
//!           to whom of those that pull, where some come before others                    (precedence)
//!           to whom: the listeners of the pull's key, or of the reader's own             (outlet)
//!           many like it: all of that at once                                            (run)
//! settle -> the window; what its log keeps only until then goes                         (settle)
//!           what comes of it but an acceptance is told to who listens for that           (report)
//! snapshot + records -> the same readers                                                (record, recovery)
//! ```
//! What always holds: a reader has a window, and is known by that window's number; one with a deadline is in `due` once; one
//! that was touched is fed before the turn ends; a reader of a log that is gone is gone.

mod define;
mod feed;
mod fetch;
mod outlet;
mod precedence;
mod pulls;
mod reader;
mod record;
mod recovery;
mod report;
mod reset;
mod run;
mod settle;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use polybus_model::{
    Event, GroupReply, LiveFilter, Millis, Name, Notice, ReaderReply, ReaderRequest,
};
use rustc_hash::FxHashMap;

use crate::logs::At;
use crate::turn::{Asker, Turn};
use crate::{Engine, Store};
pub(crate) use reader::Reader;
pub(crate) use recovery::RecoveredReaders;

/// Readers that are looked after for their deadlines in one turn; the rest follows in the next.
const TIMERS_PER_TURN: usize = 1_024;

/// The mark of a reader's window among those of other groups, which are named by their clients.
const WINDOW_MARK: char = '\u{0}';

/// All readers.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    all: FxHashMap<u64, Reader>,
    /// Their numbers by log and name.
    names: BTreeMap<u64, BTreeMap<std::sync::Arc<str>, u64>>,
    /// Those that push, by namespace and key.
    pushes: BTreeMap<(u32, Bytes), Vec<u64>>,
    /// By their deadlines.
    due: BTreeSet<(Millis, u64)>,
    touched: Vec<u64>,
    /// Those that have handed out all there is while somebody wants more, by log.
    waiting: FxHashMap<u64, Vec<u64>>,
    handing: outlet::Handing,
    /// Those that wait until a session has room, by its slot.
    parked: BTreeMap<u32, Vec<u64>>,
    /// Loads under way, and whose they are.
    loads: FxHashMap<u64, fetch::Fetching>,
    /// Those of which the journal is to be told.
    news: Vec<u64>,
    buffer: Vec<u8>,
    told: Vec<(Bytes, Notice)>,
}

impl Readers {
    /// When one is to be looked after.
    pub(crate) fn deadline(&self) -> Option<Millis> {
        self.due.first().map(|(due, _)| *due)
    }

    fn find(&self, log: u64, name: &str) -> Option<u64> {
        self.names.get(&log)?.get(name).copied()
    }

    fn of_log(&self, log: u64) -> impl Iterator<Item = u64> {
        let names = self.names.get(&log).into_iter().flatten();
        names.map(|(_, number)| *number)
    }

    /// Whether a window is a reader's.
    pub(crate) fn has(&self, window: u64) -> bool {
        self.all.contains_key(&window)
    }

    /// A window is a reader's: it is fed if there is more to hand out. False if it is another group's.
    pub(crate) fn stir(&mut self, window: u64) -> bool {
        let is_readers = self.all.contains_key(&window);
        if is_readers {
            self.touch(window);
        }
        is_readers
    }

    /// Puts a reader on the turn's work list.
    fn touch(&mut self, number: u64) {
        if let Some(reader) = self.all.get_mut(&number)
            && !reader.touched
        {
            reader.touched = true;
            self.touched.push(number);
        }
    }

    /// A partition has more durable records.
    pub(crate) fn log_grew(&mut self, at: At) {
        let Some(mut waiting) = self.waiting.remove(&at.log) else {
            return;
        };
        for number in waiting.drain(..) {
            if let Some(reader) = self.all.get_mut(&number)
                && std::mem::take(&mut reader.awaits_more)
            {
                self.touch(number);
            }
        }
    }

    /// A reader has nothing to hand out, to somebody who wants it.
    fn await_more(&mut self, number: u64) {
        if let Some(reader) = self.all.get_mut(&number)
            && !std::mem::replace(&mut reader.awaits_more, true)
        {
            let waiting = self.waiting.entry(reader.at.log).or_default();
            waiting.push(number);
        }
    }

    /// Records of a log are gone, the last of them at this offset.
    pub(crate) fn records_went(&mut self, at: At, last: u64) {
        let numbers: Vec<u64> = self.of_log(at.log).collect();
        for number in numbers {
            if let Some(reader) = self.all.get_mut(&number) {
                // What lies before was counted as handed out.
                reader.pending.is_stale |= last >= reader.pending.floor;
            }
        }
    }

    /// Others listen to keys that this filter lets through than before.
    pub(crate) fn listening_changed(&mut self, namespace: u32, filter: &LiveFilter) {
        if self.pushes.is_empty() {
            return;
        }
        let numbers: Vec<u64> = match filter.as_key() {
            Some(key) => {
                let key = (namespace, Bytes::copy_from_slice(key));
                self.pushes
                    .get(&key)
                    .into_iter()
                    .flatten()
                    .copied()
                    .collect()
            }
            None => {
                let all = self.pushes.iter();
                let fit = all.filter(|((of, key), _)| *of == namespace && filter.fits(key));
                fit.flat_map(|(_, numbers)| numbers).copied().collect()
            }
        };
        for number in numbers {
            self.touch(number);
        }
    }

    /// One that listens to keys that this filter lets through is about to leave.
    pub(crate) fn listener_leaves(&mut self, namespace: u32, filter: Option<&LiveFilter>) {
        if let Some(filter) = filter {
            self.listening_changed(namespace, filter);
        }
    }

    /// A session has room again.
    pub(crate) fn unpark(&mut self, session: u32) {
        for number in self.parked.remove(&session).unwrap_or_default() {
            self.touch(number);
        }
    }

    fn insert(&mut self, reader: Reader) {
        let number = reader.number;
        let names = self.names.entry(reader.at.log).or_default();
        names.insert(reader.name.clone(), number);
        if let Some(push) = &reader.settings.push {
            let key = (reader.namespace, push.key.clone());
            self.pushes.entry(key).or_default().push(number);
        }
        self.all.insert(number, reader);
    }

    fn remove(&mut self, number: u64) -> Option<Reader> {
        let reader = self.all.remove(&number)?;
        if let Some(names) = self.names.get_mut(&reader.at.log) {
            names.remove(&reader.name);
            if names.is_empty() {
                self.names.remove(&reader.at.log);
            }
        }
        self.forget_push(&reader);
        if reader.awaits_more
            && let Some(waiting) = self.waiting.get_mut(&reader.at.log)
        {
            waiting.retain(|one| *one != number);
        }
        if let Some(armed) = reader.armed {
            self.due.remove(&(armed, number));
        }
        Some(reader)
    }

    fn forget_push(&mut self, reader: &Reader) {
        let Some(push) = &reader.settings.push else {
            return;
        };
        let key = (reader.namespace, push.key.clone());
        if let Some(numbers) = self.pushes.get_mut(&key) {
            numbers.retain(|one| *one != reader.number);
            if numbers.is_empty() {
                self.pushes.remove(&key);
            }
        }
    }

    /// Sets a reader's timer.
    fn arm(&mut self, number: u64) {
        let Some(reader) = self.all.get_mut(&number) else {
            return;
        };
        let deadline = reader.deadline();
        if deadline == reader.armed {
            return;
        }
        if let Some(armed) = reader.armed.take() {
            self.due.remove(&(armed, number));
        }
        if let Some(deadline) = deadline {
            reader.armed = Some(deadline);
            self.due.insert((deadline, number));
        }
    }
}

impl Engine {
    /// Carries out what a session asks of readers.
    pub(crate) fn reader_request(
        &mut self,
        asker: Asker,
        number: u64,
        request: ReaderRequest,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let (reply, changed) = match request {
            ReaderRequest::Declare {
                log,
                name,
                settings,
                declaring,
            } => {
                let result = self.declare_reader(asker, &log, &name, *settings, declaring, turn);
                (ReaderReply::Reader(result.map(Box::new)), true)
            }
            ReaderRequest::Delete { log, name } => {
                let result = self.delete_reader_by_name(asker, &log, &name, turn);
                (ReaderReply::Done(result), true)
            }
            ReaderRequest::Describe { log, name } => {
                let found = self.reader_named(asker.namespace, &log, &name);
                let result = found.and_then(|number| self.describe_reader(number));
                (ReaderReply::Reader(result.map(Box::new)), false)
            }
            ReaderRequest::List { log } => {
                let result = self.list_readers(asker.namespace, &log);
                (ReaderReply::Readers(result), false)
            }
            ReaderRequest::Count => {
                let all = self.readers.all.values();
                let own = all.filter(|one| one.namespace == asker.namespace);
                (ReaderReply::Count(own.count() as u64), false)
            }
            ReaderRequest::Pause { log, name, until } => {
                let result = self.pause_reader(asker, &log, &name, until, turn);
                (ReaderReply::Reader(result.map(Box::new)), true)
            }
            ReaderRequest::Reset { log, name, to } => {
                let result = self.reset_reader(asker, (&log, &name), to, turn);
                (ReaderReply::Reader(result.map(Box::new)), true)
            }
            ReaderRequest::Unpin { log, name, group } => {
                let found = self.reader_named(asker.namespace, &log, &name);
                let result = found.and_then(|number| self.unpin_group(number, &group, turn));
                (ReaderReply::Done(result), false)
            }
            ReaderRequest::Pull {
                log,
                name,
                topic,
                pull,
            } => {
                match self.reader_named(asker.namespace, &log, &name) {
                    Ok(number) => self.pull(number, &pull, turn),
                    Err(_) => {
                        let notice = Notice::NoReader;
                        self.notify(asker.namespace, &topic, &pull.key, notice, turn);
                    }
                }
                return;
            }
            ReaderRequest::Settle {
                log,
                name,
                offset,
                outcome,
                is_awaited,
            } => {
                let found = self.reader_named(asker.namespace, &log, &name);
                let result = found.map(|number| self.settle_record(number, offset, outcome, turn));
                (ReaderReply::Done(result), is_awaited)
            }
            ReaderRequest::Flow { log, name } => {
                let found = self.reader_named(asker.namespace, &log, &name);
                let result = found.map(|number| self.flow_answered(number));
                (ReaderReply::Done(result), false)
            }
        };
        let reply = Box::new(GroupReply::Reader(reply));
        turn.gate(asker.id, Event::Group { number, reply }, changed);
    }

    /// Hands out what there is to whom is there, until no reader has anything left to do.
    pub(crate) fn feed_readers(&mut self, turn: &mut Turn<'_, impl Store>) {
        while let Some(number) = self.readers.touched.pop() {
            if let Some(reader) = self.readers.all.get_mut(&number) {
                reader.touched = false;
                self.feed(number, turn);
                let now = self.time(turn);
                if let Some(reader) = self.readers.all.get_mut(&number) {
                    reader.look_whether_idle(now);
                }
                self.readers.arm(number);
            }
        }
    }

    /// Does what is due of readers.
    pub(crate) fn handle_reader_timeouts(&mut self, turn: &mut Turn<'_, impl Store>) {
        for _ in 0..TIMERS_PER_TURN {
            let Some(&(due, number)) = self.readers.due.first() else {
                return;
            };
            if due > turn.now {
                return;
            }
            self.readers.due.pop_first();
            if let Some(reader) = self.readers.all.get_mut(&number) {
                reader.armed = None;
                self.ring_reader(number, turn);
            }
        }
    }

    /// The end of a turn: the journal is told how far readers have counted.
    pub(crate) fn journal_readers(&mut self, turn: &mut Turn<'_, impl Store>) {
        let mut news = std::mem::take(&mut self.readers.news);
        for number in news.drain(..) {
            if let Some(reader) = self.readers.all.get_mut(&number)
                && std::mem::take(&mut reader.is_news)
            {
                record::put_counted(&mut self.readers.buffer, reader);
                turn.append(&self.readers.buffer, 0);
            }
        }
        self.readers.news = news;
    }

    /// A log is gone, and its readers with it: the record that says so speaks for them.
    pub(crate) fn forget_readers_of(&mut self, log: u64, turn: &mut Turn<'_, impl Store>) {
        let numbers: Vec<u64> = self.readers.of_log(log).collect();
        for number in numbers {
            self.drop_reader(number, turn);
        }
    }

    /// The namespace's log of that name, and the reader of it.
    fn reader_named(
        &self,
        namespace: u32,
        log: &Name,
        name: &str,
    ) -> Result<u64, polybus_model::ReaderError> {
        let log = self.log_id(namespace, log);
        let log = log.ok_or(polybus_model::ReaderError::NoLog)?;
        let found = self.readers.find(log, name);
        found.ok_or(polybus_model::ReaderError::NotFound)
    }
}
