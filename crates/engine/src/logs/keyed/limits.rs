//! What goes by itself: past the limits by number and size at the end of each turn that touched a partition, for its age when
//! its time comes. Limits are exact after each turn; times are kept to [`TIME_STEP_MS`].
//!
//! What always holds: a keyed partition's start is its first record that is there and durable (or its end); a partition in
//! which something is to go for its age has a deadline.

use polybus_model::{FilterWord, LiveFilter, Millis};

use super::Keyed;
use super::size::{counted_bytes, run_bytes};
use crate::logs::At;
use crate::turn::Turn;
use crate::{Engine, Store};

/// Deadlines are rounded up to this, so that what goes one by one goes together.
const TIME_STEP_MS: Millis = 100;
/// Records that go for their age in one turn, and partitions looked after in one.
const RECORDS_PER_TURN: usize = 16 * 1024;
const PARTITIONS_PER_TURN: usize = 256;
/// Records without an age limit that are passed over for the next deadline; past so many it is looked again a while later.
const LASTING_PASSED: usize = 64;
const LOOK_AGAIN_MS: Millis = 1_000;

impl Engine {
    /// A keyed partition changed: it is looked after at the end of the turn.
    pub(in crate::logs) fn touch_keyed(&mut self, at: At) {
        let partition = self.logs.partition_mut(at);
        if let Some(keyed) = partition.and_then(|one| one.keyed.as_mut())
            && !std::mem::replace(&mut keyed.touched, true)
        {
            self.logs.keyed.touched.push(at);
        }
    }

    /// Looks after the keyed partitions that this turn changed.
    pub(crate) fn look_after_keyed(&mut self, turn: &mut Turn<'_, impl Store>) {
        while let Some(at) = self.logs.keyed.touched.pop() {
            self.keep_limits(at, turn);
            let partition = self.logs.partition_mut(at);
            if let Some(keyed) = partition.and_then(|one| one.keyed.as_mut()) {
                keyed.touched = false;
            }
            self.arm_keyed(at);
        }
        // What the limits took touched them again.
        let touched = &mut self.logs.keyed.touched;
        touched.clear();
    }

    fn keep_limits(&mut self, at: At, turn: &mut Turn<'_, impl Store>) {
        let Some(log) = self.logs.all.get_mut(&at.log) else {
            return;
        };
        let settings = &log.settings;
        let Some(rules) = settings.keyed.as_deref() else {
            return;
        };
        let (records_max, bytes_max) = (rules.records_max, settings.retention_bytes);
        let window = rules.duplicates_ms;
        let Some(partition) = log.partitions.get_mut(at.partition as usize) else {
            return;
        };
        let records = partition.keyed.as_ref().map_or(0, |one| one.keys.records());
        let bytes = counted_bytes(partition, records);
        let mut excess_bytes = bytes_max.map_or(0, |max| bytes.saturating_sub(max));
        let next = partition.next;
        let mut first = 0;
        for (run, _) in partition.from(0) {
            if excess_bytes == 0 {
                break;
            }
            excess_bytes = excess_bytes.saturating_sub(run_bytes(run.len.into()));
            first = run.end();
        }
        let Some(keyed) = &mut partition.keyed else {
            return;
        };
        keyed.duplicates.expire(turn.now.saturating_sub(window));
        let excess = records_max.map_or(0, |max| keyed.keys.records().saturating_sub(max));
        if excess > 0 {
            let stays = keyed.keys.offsets_from(0).nth(excess as usize);
            first = first.max(stays.unwrap_or(next));
        }
        if first > 0 {
            self.cut_before(at, first, turn);
        }
        self.move_start(at, turn);
    }

    /// Of keys with more records than they may have by now, the oldest go.
    pub(in crate::logs) fn keep_key_limit(&mut self, at: At, turn: &mut Turn<'_, impl Store>) {
        let Some(log) = self.logs.all.get(&at.log) else {
            return;
        };
        let max = log
            .settings
            .keyed
            .as_deref()
            .and_then(|rules| rules.key_records_max);
        let partition = log.partitions.get(at.partition as usize);
        let (Some(max), Some(keyed)) = (max, partition.and_then(|one| one.keyed.as_ref())) else {
            return;
        };
        let all = LiveFilter::new([FilterWord::Rest]);
        let full = keyed.keys.matching(&all).filter(|key| key.count() > max);
        let gone = full.flat_map(|key| key.offsets().take((key.count() - max) as usize));
        let mut gone: Vec<u64> = gone.collect();
        gone.sort_unstable();
        self.remove_records(at, &gone, turn);
    }

    /// All records before an offset go.
    pub(super) fn cut_before(
        &mut self,
        at: At,
        first: u64,
        turn: &mut Turn<'_, impl Store>,
    ) -> usize {
        let records = |engine: &Self| {
            let partition = engine.logs.partition(at);
            partition.map_or((0, 0), |one| {
                let keyed = one.keyed.as_ref();
                (one.end, keyed.map_or(0, |keyed| keyed.keys.records()))
            })
        };
        let (end, had) = records(self);
        // What is not durable cannot be before the start: it goes record by record.
        self.give_up(at, first.min(end), usize::MAX, turn);
        if first > end {
            self.remove_between(at, (end, first), turn);
        }
        had.saturating_sub(records(self).1) as usize
    }

    /// Moves a partition's start to its first record that is there.
    fn move_start(&mut self, at: At, turn: &mut Turn<'_, impl Store>) {
        let Some(partition) = self.logs.partition(at) else {
            return;
        };
        let Some(keyed) = &partition.keyed else {
            return;
        };
        let first = keyed.keys.first().unwrap_or(partition.next);
        let first = first.min(partition.end);
        if first > partition.start {
            self.give_up(at, first, usize::MAX, turn);
        }
    }

    /// Sets the time at which a partition is to be looked after.
    pub(in crate::logs) fn arm_keyed(&mut self, at: At) {
        let Some(log) = self.logs.all.get_mut(&at.log) else {
            return;
        };
        let Some(rules) = log.settings.keyed.as_deref() else {
            return;
        };
        let (age, window) = (log.settings.retention_ms, rules.duplicates_ms);
        let Some(partition) = log.partitions.get_mut(at.partition as usize) else {
            return;
        };
        let by_age = age.and_then(|age| {
            let keyed = partition.keyed.as_ref()?;
            let mut passed = 0;
            for (run, _) in partition.from(0) {
                if !keyed.lasting.contains(&run.offset) {
                    return Some(run.latest.saturating_add(age));
                }
                passed += 1;
                if passed == LASTING_PASSED {
                    return Some(run.latest.saturating_add(age).saturating_add(LOOK_AGAIN_MS));
                }
            }
            None
        });
        let Some(keyed) = &mut partition.keyed else {
            return;
        };
        let by_itself = keyed.expiries.first().map(|(due, _)| *due);
        let known = keyed.duplicates.oldest();
        let known = known.map(|at| at.saturating_add(window).saturating_add(1));
        let held = keyed.batches.deadline();
        let due = [by_age, by_itself, known, held, keyed.schedules.deadline()]
            .into_iter()
            .flatten()
            .min();
        let due = due.map(|due| due.div_ceil(TIME_STEP_MS).saturating_mul(TIME_STEP_MS));
        let armed = std::mem::replace(&mut keyed.armed, due);
        if armed != due {
            let work = &mut self.logs.keyed.due;
            armed.map(|armed| work.remove(&(armed, at)));
            due.map(|due| work.insert((due, at)));
        }
    }

    /// Gives up what is too old by now.
    pub(crate) fn expire_keyed(&mut self, turn: &mut Turn<'_, impl Store>) {
        for _ in 0..PARTITIONS_PER_TURN {
            let Some((due, at)) = self.logs.keyed.due.first().copied() else {
                return;
            };
            if due > turn.now {
                return;
            }
            self.logs.keyed.due.pop_first();
            let age = self
                .logs
                .all
                .get(&at.log)
                .and_then(|log| log.settings.retention_ms);
            let Some(partition) = self.logs.partition_mut(at) else {
                continue;
            };
            let oldest = age.and_then(|age| turn.now.checked_sub(age));
            let old = partition.from(0).map(|(run, _)| run);
            let old = old.take_while(|run| oldest.is_some_and(|oldest| run.latest <= oldest));
            let mut gone: Vec<u64> = old.map(|run| run.offset).take(RECORDS_PER_TURN).collect();
            let Some(keyed) = &mut partition.keyed else {
                continue;
            };
            keyed.armed = None;
            gone.retain(|offset| !keyed.lasting.contains(offset));
            keyed.pop_expired(turn.now, &mut gone);
            gone.sort_unstable();
            gone.dedup();
            let ended = self.ending_keys(at, &gone);
            self.remove_records(at, &gone, turn);
            self.mark_ended(at, &ended, turn);
            self.expire_batches(at, turn.now);
            self.copy_all_due(at, turn);
            self.touch_keyed(at);
        }
    }

    /// A log is gone: nothing of it is to be looked after.
    pub(in crate::logs) fn disarm_keyed(&mut self, log: u64) {
        self.logs.keyed.due.retain(|(_, at)| at.log != log);
        self.logs.keyed.touched.retain(|at| at.log != log);
        self.logs.keyed.held.retain(|(_, at), _| at.log != log);
    }
}

impl Keyed {
    /// Takes the records whose own time is over.
    fn pop_expired(&mut self, now: Millis, gone: &mut Vec<u64>) {
        while gone.len() < RECORDS_PER_TURN
            && let Some((due, offset)) = self.expiries.first().copied()
            && due <= now
        {
            self.expiries.pop_first();
            if self.keys.key_of(offset).is_some() {
                gone.push(offset);
            }
        }
    }
}
