//! Runs that were read back before they are asked for: whoever reads one part after the other need not wait for the disk.
//!
//! ```text
//! an answer by way of the disk -> where it ends, the next read is expected
//! a read from there            -> what comes behind it is loaded, two units at most      coming
//! loaded                       -> it stays for the read that it is for                   here
//! that read                    -> gets it at once, and the next unit is loaded meanwhile
//! ```
//! What always holds: what is coming and what is here takes `log_resident_bytes_max` bytes at most, shared evenly by those who
//! read on; it is let go when it was read, or when nobody read it for a while. A run that was moved or replaced meanwhile
//! has another place by then, and is not found here.

use std::collections::{BTreeMap, VecDeque};

use polybus_model::{Millis, Run};
use rustc_hash::FxHashMap;

use super::partition::{Found, Indexed, Partition};
use super::waiting::Asked;
use super::{At, Caller, Logs};
use crate::effects::LogLoad;
use crate::turn::Turn;
use crate::{Engine, Place, Store};

/// What one load brings: as much as an answer, in these bounds.
const UNIT_BYTES_MAX: u64 = 1 << 20;
const UNIT_BYTES_MIN: u64 = if cfg!(test) { 64 } else { 64 << 10 };
/// An answer of less counts as one of so much: a disk is slow to start.
const ANSWER_BYTES_MIN: u64 = if cfg!(test) { 64 } else { 256 << 10 };
/// So many units are coming or here for one reader.
const UNITS: u64 = 2;
/// What a run takes beside its bytes.
const RUN_OVERHEAD_BYTES: u64 = 160;
/// Places where a read is expected, of all readers.
const EXPECTED_MAX: usize = 64;
/// What nobody reads for so long goes.
const IDLE_MS: Millis = 2_000;

/// A part of an answer that comes from the disk, now or before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) at: At,
    pub(super) from: u64,
    pub(super) behind: u64,
    pub(super) bytes: u64,
    /// Some of it was here.
    pub(super) was_here: bool,
}

/// Where a run is.
pub(super) enum Sought<'a> {
    /// Among the latest, in memory.
    Recent(&'a Run),
    /// It was read back ahead of time.
    Ahead(&'a Run),
    /// It is on its way, with that load.
    Coming(u64),
    /// It has to be read back.
    Away,
}

/// Who waits for a load.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) caller: Caller,
    pub(super) asked: Asked,
    pub(super) due: Millis,
}

/// A run of a unit, as the index knew it when it was asked for.
#[derive(Clone, Copy, Debug)]
struct Item {
    offset: u64,
    place: Place,
    bytes: u64,
}

/// What one load brings: runs of a partition that follow each other.
#[derive(Debug)]
struct Unit {
    number: u64,
    /// The offset behind the last of them.
    behind: u64,
    items: VecDeque<Item>,
    bytes: u64,
    /// One for each item, or none yet.
    runs: VecDeque<Run>,
    /// When they came; none: they are on their way.
    since: Option<Millis>,
    followers: Vec<Follower>,
}

impl Unit {
    /// Where a run is among its own, if it still stands where it did.
    fn find(&self, run: &Indexed) -> Option<usize> {
        let at = self.items.partition_point(|item| item.offset < run.offset);
        let item = self.items.get(at)?;
        (item.offset == run.offset && item.place == run.place).then_some(at)
    }

    /// Lets go of the runs before an offset; gives their bytes.
    fn pass(&mut self, behind: u64) -> u64 {
        let passed = self.items.partition_point(|item| item.offset < behind);
        self.runs.drain(..passed.min(self.runs.len()));
        let freed = self.items.drain(..passed).map(|item| item.bytes).sum();
        self.bytes -= freed;
        freed
    }
}

/// All that was read ahead.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// Where reads are expected, with the time of the one before, the oldest first.
    expected: VecDeque<(At, u64, Millis)>,
    /// What is coming or here, by the offset of its first run; those of a partition do not overlap.
    units: BTreeMap<(At, u64), Unit>,
    /// What they take.
    bytes: u64,
    /// The units that are coming, by the numbers of their loads.
    loads: FxHashMap<u64, (At, u64)>,
    /// When to look for what nobody read.
    tidy_at: Option<Millis>,
}

impl Ahead {
    pub(super) fn deadline(&self) -> Option<Millis> {
        self.tidy_at
    }

    /// Lets someone wait for a load.
    pub(super) fn follow(&mut self, load: u64, follower: Follower) {
        let unit = self.loads.get(&load);
        if let Some(unit) = unit.and_then(|key| self.units.get_mut(key)) {
            unit.followers.push(follower);
        }
    }

    /// The unit with an offset.
    fn unit(&self, at: At, offset: u64) -> Option<&Unit> {
        let before = self.units.range((at, 0)..=(at, offset));
        let (_, unit) = before.last()?;
        (unit.behind > offset).then_some(unit)
    }

    /// A part was read: it need not stay, and what is behind it is expected to be read next. Says whether it was expected.
    fn pass(&mut self, read: &Stretch, now: Millis) -> bool {
        let reached = self.units.range_mut((read.at, 0)..(read.at, read.behind));
        let mut passed = Vec::new();
        for (key, unit) in reached {
            // Somebody may wait for what is coming.
            if unit.behind > read.from && unit.since.is_some() {
                self.bytes -= unit.pass(read.behind);
                passed.extend(unit.items.is_empty().then_some(*key));
            }
        }
        for key in passed {
            self.units.remove(&key);
        }
        let is_it = |one: &(At, u64, Millis)| (one.0, one.1) == (read.at, read.from);
        let found = self.expected.iter().position(is_it);
        if let Some(found) = found {
            self.expected.remove(found);
        } else if self.expected.len() >= EXPECTED_MAX {
            self.expected.pop_front();
        }
        self.expected.push_back((read.at, read.behind, now));
        self.tidy_at.get_or_insert(now.saturating_add(IDLE_MS));
        found.is_some() || read.was_here
    }

    /// What a load for someone whose answers are of that size is to bring.
    fn unit_bytes(&self, answer_bytes: u64, max: u64) -> u64 {
        let readers = self.expected.len().max(1) as u64;
        let share = (max / (UNITS * readers)).clamp(UNIT_BYTES_MIN, UNIT_BYTES_MAX);
        answer_bytes.max(ANSWER_BYTES_MIN).min(share)
    }

    /// What to load behind a part of a partition: the runs of one or two loads.
    fn plan(&self, partition: &Partition, read: &Stretch, max: u64) -> Vec<Vec<Indexed>> {
        let unit = self.unit_bytes(read.bytes, max);
        let (mut covered, mut next) = (0, read.behind);
        let first = |next| partition.from(partition.position(next)).next();
        while let Some((run, _)) = first(next)
            && let Some(unit) = self.unit(read.at, run.offset)
        {
            covered += unit.bytes;
            next = unit.behind;
        }
        let mut planned = Vec::new();
        let mut room = max.saturating_sub(self.bytes);
        let (mut load, mut bytes): (Vec<Indexed>, _) = (Vec::new(), 0);
        for (run, found) in partition.from(partition.position(next)) {
            let is_over = matches!(found, Found::Recent(_)) || run.end() > partition.end;
            let len = u64::from(run.len) + RUN_OVERHEAD_BYTES;
            // What somebody else has loaded already begins here.
            if is_over || len > room || self.unit(read.at, run.offset).is_some() {
                break;
            }
            if bytes + len > unit && !load.is_empty() {
                covered += bytes;
                bytes = 0;
                planned.push(std::mem::take(&mut load));
            }
            if load.is_empty() && covered + unit / 2 > UNITS * unit {
                break;
            }
            room -= len;
            bytes += len;
            load.push(run);
        }
        planned.extend(Some(load).filter(|load| !load.is_empty()));
        planned
    }

    /// A load was asked for.
    fn begin(&mut self, number: u64, at: At, runs: &[Indexed]) {
        let (Some(first), Some(last)) = (runs.first(), runs.last()) else {
            return;
        };
        let items = runs.iter().map(|run| Item {
            offset: run.offset,
            place: run.place,
            bytes: u64::from(run.len) + RUN_OVERHEAD_BYTES,
        });
        let items: VecDeque<Item> = items.collect();
        let bytes = items.iter().map(|item| item.bytes).sum();
        let unit = Unit {
            number,
            behind: last.end(),
            items,
            bytes,
            runs: VecDeque::new(),
            since: None,
            followers: Vec::new(),
        };
        self.bytes += bytes;
        self.loads.insert(number, (at, first.offset));
        self.units.insert((at, first.offset), unit);
    }

    /// A load has come; with nothing, if something of it was moved. Gives who waited for it; none if it is none of these.
    fn loaded(&mut self, number: u64, runs: &mut Vec<Run>, now: Millis) -> Option<Vec<Follower>> {
        let key = self.loads.remove(&number)?;
        let unit = self.units.get_mut(&key)?;
        let followers = std::mem::take(&mut unit.followers);
        if runs.len() == unit.items.len() {
            unit.runs = runs.drain(..).collect();
            unit.since = Some(now);
        } else if let Some(unit) = self.units.remove(&key) {
            self.bytes -= unit.bytes;
        }
        Some(followers)
    }

    /// Lets go of what nobody read for long.
    fn tidy(&mut self, now: Millis) {
        if self.tidy_at.is_none_or(|at| at > now) {
            return;
        }
        let is_over = |since: Millis| since.saturating_add(IDLE_MS) <= now;
        self.expected.retain(|(.., since)| !is_over(*since));
        let mut freed = 0;
        self.units.retain(|_, unit| {
            let goes = unit.since.is_some_and(is_over);
            freed += if goes { unit.bytes } else { 0 };
            !goes
        });
        self.bytes -= freed;
        let is_empty = self.units.is_empty() && self.expected.is_empty();
        self.tidy_at = (!is_empty).then_some(now.saturating_add(IDLE_MS));
    }
}

impl Logs {
    /// Bytes of runs that were read ahead, or are on their way.
    #[cfg(test)]
    pub(crate) fn ahead_bytes(&self) -> u64 {
        self.ahead.bytes
    }

    /// Where a run of the index is.
    pub(super) fn seek<'a>(&'a self, at: At, run: &Indexed, found: Found<'a>) -> Sought<'a> {
        if let Found::Recent(run) = found {
            return Sought::Recent(run);
        }
        let Some(unit) = self.ahead.unit(at, run.offset) else {
            return Sought::Away;
        };
        match unit.find(run) {
            None => Sought::Away,
            Some(_) if unit.since.is_none() => Sought::Coming(unit.number),
            Some(at) => unit.runs.get(at).map_or(Sought::Away, Sought::Ahead),
        }
    }
}

impl Engine {
    /// Parts of logs were read by way of the disk: what comes behind them is loaded, if they were read one after the other.
    pub(super) fn read_on(&mut self, read: &[Stretch], turn: &mut Turn<'_, impl Store>) {
        let max = self.options.log_resident_bytes_max as u64;
        for read in read {
            let logs = &mut self.logs;
            if !logs.ahead.pass(read, turn.now) {
                continue;
            }
            let Some(partition) = logs.partition(read.at) else {
                continue;
            };
            for runs in logs.ahead.plan(partition, read, max) {
                let number = self.logs.loadings.number();
                self.logs.ahead.begin(number, read.at, &runs);
                let items = runs.iter().map(|run| (run.place, run.len)).collect();
                turn.out.log_loads.push(LogLoad { number, items });
            }
        }
    }

    /// What was to be read ahead has come. False if the load is none of these.
    pub(super) fn ahead_loaded(
        &mut self,
        number: u64,
        runs: &mut Vec<Run>,
        turn: &mut Turn<'_, impl Store>,
    ) -> bool {
        let Some(followers) = self.logs.ahead.loaded(number, runs, turn.now) else {
            return false;
        };
        for Follower { caller, asked, due } in followers {
            if self.session_slots.contains_key(&caller.session) {
                self.ask_again(caller, asked, due, turn);
            }
        }
        true
    }

    /// Lets go of what was read ahead for nobody.
    pub(crate) fn tidy_ahead(&mut self, now: Millis) {
        self.logs.ahead.tidy(now);
    }
}
