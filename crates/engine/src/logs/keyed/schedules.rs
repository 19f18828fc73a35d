//! Records that are copied to other keys when they are due.
//!
//! ```text
//! stored -> due set -> due: what is to be copied is in memory -> the copy is stored, and the record goes or is due again
//!                             else a load ------------------------^
//! ```
//! What always holds: only a record that is there is on a schedule; a copy and what becomes of its record are of one turn, so
//! that each is made once; while what is to be copied is being loaded the record is in no due set.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use polybus_model::{
    BadTerm, Body, KeyedError, KeyedSettings, LogError, Message, MessageParts, Millis, Run,
    RunContent, Schedule, ScheduleError, ScheduledNote, Scheduling, Terms,
};

use super::Keyed;
use super::schedule_record::{Scheduled, put_scheduled};
use crate::logs::At;
use crate::logs::partition::Found;
use crate::logs::read::{Hole, Wanted, unfilled};
use crate::turn::Turn;
use crate::{Engine, Store};

/// Copies that are made of one partition in one turn.
const COPIES_PER_TURN: usize = 64;

/// A partition's records that are on schedules.
#[derive(Debug, Default)]
pub(crate) struct Schedules {
    by_offset: BTreeMap<u64, (Millis, Arc<Schedule>)>,
    due: BTreeSet<(Millis, u64)>,
}

impl Schedules {
    /// A record is due then.
    pub(super) fn set(&mut self, offset: u64, due: Millis, schedule: Arc<Schedule>) {
        self.remove(offset);
        self.by_offset.insert(offset, (due, schedule));
        self.due.insert((due, offset));
    }

    pub(super) fn remove(&mut self, offset: u64) {
        if let Some((due, _)) = self.by_offset.remove(&offset) {
            self.due.remove(&(due, offset));
        }
    }

    /// All records before an offset are gone.
    pub(super) fn trim(&mut self, start: u64) {
        while let Some((offset, _)) = self.by_offset.first_key_value()
            && *offset < start
        {
            let offset = *offset;
            self.remove(offset);
        }
    }

    /// When the next one is due.
    pub(super) fn deadline(&self) -> Option<Millis> {
        self.due.first().map(|(due, _)| *due)
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (u64, Millis, &Schedule)> {
        let all = self.by_offset.iter();
        all.map(|(offset, (due, schedule))| (*offset, *due, &**schedule))
    }

    /// Takes one that is due.
    fn pop_due(&mut self, now: Millis) -> Option<u64> {
        let (due, offset) = self.due.first().copied()?;
        (due <= now).then(|| self.due.pop_first())?;
        Some(offset)
    }
}

/// A record that is due, and what is to be copied.
#[derive(Debug)]
pub(in crate::logs) struct Due {
    at: At,
    offset: u64,
    run: Run,
}

impl Due {
    pub(in crate::logs) fn fill(&mut self, run: Run) {
        self.run = run;
    }

    /// What is to be copied is there.
    pub(in crate::logs) fn post(self, engine: &mut Engine, turn: &mut Turn<'_, impl Store>) {
        engine.copy_due(self.at, self.offset, &self.run, turn);
    }

    /// It could not be read back: it is looked up again.
    pub(in crate::logs) fn again(self, engine: &mut Engine) {
        let partition = engine.logs.partition_mut(self.at);
        if let Some(keyed) = partition.and_then(|one| one.keyed.as_mut())
            && let Some((due, _)) = keyed.schedules.by_offset.get(&self.offset)
        {
            keyed.schedules.due.insert((*due, self.offset));
            engine.touch_keyed(self.at);
        }
    }
}

/// Whether a message can be on the schedule that its terms name.
pub(super) fn check(
    keyed: &Keyed,
    message: &Message,
    terms: &Terms,
    rules: &KeyedSettings,
) -> Result<(), LogError> {
    let fail = |error: ScheduleError| Err(KeyedError::Schedule(error).into());
    if let Some(key) = &terms.ends_schedule {
        let bad = || Err(KeyedError::BadTerm(BadTerm::Scheduler).into());
        if key == message.key() {
            return bad();
        }
        if !rules.schedules {
            return fail(ScheduleError::Off);
        }
        // Where there is nothing any more, nothing has to go.
        let last = keyed
            .keys
            .key(key)
            .and_then(|key| key.last_before(u64::MAX));
        if last.is_some_and(|last| !keyed.schedules.by_offset.contains_key(&last)) {
            return bad();
        }
    }
    let schedule = match &terms.schedule {
        None => return Ok(()),
        Some(_) if !rules.schedules => return fail(ScheduleError::Off),
        Some(Scheduling::Bad(error)) => return fail(*error),
        Some(Scheduling::Of(schedule)) => schedule,
    };
    let keys = rules.takes.iter().flat_map(|takes| &takes.keys);
    let is_taken = keys.into_iter().any(|keys| keys.fits(&schedule.target));
    if !is_taken || schedule.target == message.key() {
        return fail(ScheduleError::Target);
    }
    match schedule.ttl.is_some() && !rules.expires {
        true => Err(KeyedError::ExpiryDenied.into()),
        false => Ok(()),
    }
}

impl Engine {
    /// Puts a record that was stored on its schedule.
    pub(super) fn note_schedule(
        &mut self,
        at: At,
        offset: u64,
        terms: Option<&Terms>,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let schedule = terms.and_then(|terms| terms.schedule.as_ref());
        if let Some(Scheduling::Of(schedule)) = schedule
            && let Some(due) = schedule.recurrence.first(turn.now)
        {
            let schedule = Arc::new(Schedule::clone(schedule));
            self.set_schedule(at, offset, (due, schedule), turn);
        }
    }

    fn set_schedule(
        &mut self,
        at: At,
        offset: u64,
        (due, schedule): (Millis, Arc<Schedule>),
        turn: &mut Turn<'_, impl Store>,
    ) {
        let Some(log) = self.logs.all.get_mut(&at.log) else {
            return;
        };
        let durable = log.settings.durable;
        let partition = log.partitions.get_mut(at.partition as usize);
        let Some(keyed) = partition.and_then(|one| one.keyed.as_mut()) else {
            return;
        };
        if durable {
            let one = Scheduled {
                at,
                offset,
                due,
                schedule: Schedule::clone(&schedule),
            };
            put_scheduled(&mut self.work.buffer, &one);
            turn.append(&self.work.buffer, at.log);
        }
        keyed.schedules.set(offset, due, schedule);
        self.touch_keyed(at);
    }

    /// Makes the copies of a partition's records that are due.
    pub(super) fn copy_all_due(&mut self, at: At, turn: &mut Turn<'_, impl Store>) {
        for _ in 0..COPIES_PER_TURN {
            let partition = self.logs.partition_mut(at);
            let keyed = partition.and_then(|one| one.keyed.as_mut());
            let Some(offset) = keyed.and_then(|keyed| keyed.schedules.pop_due(turn.now)) else {
                return;
            };
            self.look_up_due(at, offset, turn);
        }
    }

    /// Looks up what is to be copied for a record that is due.
    fn look_up_due(&mut self, at: At, offset: u64, turn: &mut Turn<'_, impl Store>) {
        let Some(partition) = self.logs.partition(at) else {
            return;
        };
        let Some(keyed) = &partition.keyed else {
            return;
        };
        let schedule = keyed.schedules.by_offset.get(&offset);
        let source = schedule.and_then(|(_, schedule)| schedule.source.as_ref());
        let source = source.and_then(|key| keyed.keys.key(key)?.last_before(u64::MAX));
        let position = partition.position(source.unwrap_or(offset));
        let Some((_, found)) = partition.from(position).next() else {
            return;
        };
        let mut holes = Vec::new();
        let run = match found {
            Found::Recent(run) => run.clone(),
            Found::Away(indexed) => {
                let (part, run) = (0, 0);
                holes.push(Hole { part, run, indexed });
                unfilled(indexed)
            }
        };
        let wanted = Wanted::Due(Box::new(Due { at, offset, run }));
        self.answer(wanted, holes, turn);
    }

    /// Makes the copy that a record on a schedule is due for. One that the log refuses is left out.
    fn copy_due(&mut self, at: At, offset: u64, run: &Run, turn: &mut Turn<'_, impl Store>) {
        let partition = self.logs.partition(at);
        let keyed = partition.and_then(|one| one.keyed.as_ref());
        let due = keyed.and_then(|keyed| {
            let (due, schedule) = keyed.schedules.by_offset.get(&offset)?;
            Some((*due, Arc::clone(schedule), keyed.keys.key_of(offset)?))
        });
        let Some((due, schedule, key)) = due else {
            return;
        };
        let next = schedule.recurrence.next(due, turn.now);
        if let RunContent::Message(message) = &run.content {
            let note = ScheduledNote {
                key,
                next,
                ttl: schedule.ttl,
            };
            let copier = self.options.run_readers.copier(message.origin());
            let properties = match copier {
                Some(copier) => copier(message.properties(), &note),
                None => message.properties().to_vec(),
            };
            let copy = copy(message, &schedule.target, &properties);
            let terms = Terms {
                ttl: schedule.ttl,
                ..Terms::default()
            };
            // Nobody waits for an answer.
            let _ = self.store(at, &copy, Some(&terms), turn);
        }
        match next {
            Some(next) => self.set_schedule(at, offset, (next, schedule), turn),
            None => {
                self.remove_records(at, &[offset], turn);
            }
        }
    }
}

fn copy(message: &Message, key: &[u8], properties: &[u8]) -> Message {
    Message::new(MessageParts {
        origin: message.origin(),
        topic: message.topic(),
        key,
        properties,
        body: match message.shared_body() {
            Some(body) => Body::Shared(body.clone()),
            None => Body::Copied(message.body()),
        },
        durable: true,
        priority: message.priority(),
        ttl: None,
        deaths: None,
    })
}
