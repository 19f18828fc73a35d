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

/// A run that is coming or here.
#[derive(Debug)]
struct Kept {
    place: Place,
    bytes: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Coming(u64),
    Here { run: Box<Run>, since: Millis },
}

/// Who waits for a load.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) caller: Caller,
    pub(super) asked: Asked,
    pub(super) due: Millis,
}

/// A load under way.
#[derive(Debug)]
struct Loading {
    at: At,
    offsets: Vec<u64>,
    followers: Vec<Follower>,
}

/// All that was read ahead.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// Where reads are expected, with the time of the one before, the oldest first.
    expected: VecDeque<(At, u64, Millis)>,
    runs: BTreeMap<(At, u64), Kept>,
    /// What they take.
    bytes: u64,
    loads: FxHashMap<u64, Loading>,
    /// When to look for what nobody read.
    tidy_at: Option<Millis>,
}

impl Ahead {
    pub(super) fn deadline(&self) -> Option<Millis> {
        self.tidy_at
    }

    /// Lets someone wait for a load.
    pub(super) fn follow(&mut self, load: u64, follower: Follower) {
        if let Some(loading) = self.loads.get_mut(&load) {
            loading.followers.push(follower);
        }
    }

    fn kept(&self, at: At, run: &Indexed) -> Option<&Kept> {
        let kept = self.runs.get(&(at, run.offset));
        kept.filter(|kept| kept.place == run.place)
    }

    /// A part was read: it need not stay, and what is behind it is expected to be read next. Says whether it was expected.
    fn pass(&mut self, read: &Stretch, now: Millis) -> bool {
        let passed = (read.at, read.from)..(read.at, read.behind);
        while let Some((key, _)) = self.runs.range(passed.clone()).next() {
            let key = *key;
            self.let_go(key);
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

    fn let_go(&mut self, key: (At, u64)) {
        if let Some(kept) = self.runs.remove(&key) {
            self.bytes -= kept.bytes;
        }
    }

    /// What a load for someone whose answers are of that size is to bring.
    fn unit(&self, answer_bytes: u64, max: u64) -> u64 {
        let readers = self.expected.len().max(1) as u64;
        let share = (max / (UNITS * readers)).clamp(UNIT_BYTES_MIN, UNIT_BYTES_MAX);
        answer_bytes.max(ANSWER_BYTES_MIN).min(share)
    }

    /// What to load behind an offset of a partition: the runs of one or two loads.
    fn plan(&self, partition: &Partition, read: &Stretch, max: u64) -> Vec<Vec<Indexed>> {
        let unit = self.unit(read.bytes, max);
        let (mut planned, mut bytes, mut covered) = (Vec::new(), 0, 0);
        let mut room = max.saturating_sub(self.bytes);
        let mut load: Vec<Indexed> = Vec::new();
        for (run, found) in partition.from(partition.position(read.behind)) {
            if matches!(found, Found::Recent(_)) || run.end() > partition.end {
                break;
            }
            let len = u64::from(run.len) + RUN_OVERHEAD_BYTES;
            if self.kept(read.at, &run).is_some() {
                covered += len;
                continue;
            }
            if load.is_empty() && covered + unit / 2 > UNITS * unit {
                break;
            }
            if bytes + len > unit && !load.is_empty() {
                covered += bytes;
                bytes = 0;
                planned.push(std::mem::take(&mut load));
                if covered + unit / 2 > UNITS * unit {
                    break;
                }
            }
            if len > room {
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
        for run in runs {
            self.let_go((at, run.offset));
            let bytes = u64::from(run.len) + RUN_OVERHEAD_BYTES;
            self.bytes += bytes;
            let kept = Kept {
                place: run.place,
                bytes,
                state: State::Coming(number),
            };
            self.runs.insert((at, run.offset), kept);
        }
        let loading = Loading {
            at,
            offsets: runs.iter().map(|run| run.offset).collect(),
            followers: Vec::new(),
        };
        self.loads.insert(number, loading);
    }

    /// A load has come; with nothing, if something of it was moved. Gives who waited for it; none if it is none of these.
    fn loaded(&mut self, number: u64, runs: &mut Vec<Run>, now: Millis) -> Option<Vec<Follower>> {
        let loading = self.loads.remove(&number)?;
        let is_whole = runs.len() == loading.offsets.len();
        let mut runs = runs.drain(..);
        for offset in loading.offsets {
            let key = (loading.at, offset);
            let run = runs.next();
            let Some(kept) = self.runs.get_mut(&key) else {
                continue;
            };
            if !matches!(kept.state, State::Coming(load) if load == number) {
                continue;
            }
            match run.filter(|_| is_whole) {
                Some(run) => {
                    let run = Box::new(run);
                    kept.state = State::Here { run, since: now };
                }
                None => self.let_go(key),
            }
        }
        Some(loading.followers)
    }

    /// Lets go of what nobody read for long.
    fn tidy(&mut self, now: Millis) {
        if self.tidy_at.is_none_or(|at| at > now) {
            return;
        }
        let is_over = |since: Millis| since.saturating_add(IDLE_MS) <= now;
        self.expected.retain(|(.., since)| !is_over(*since));
        let mut freed = 0;
        self.runs.retain(|_, kept| {
            let stays = !matches!(kept.state, State::Here { since, .. } if is_over(since));
            freed += if stays { 0 } else { kept.bytes };
            stays
        });
        self.bytes -= freed;
        let is_empty = self.runs.is_empty() && self.expected.is_empty();
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
        match self.ahead.kept(at, run).map(|kept| &kept.state) {
            Some(State::Here { run, .. }) => Sought::Ahead(run),
            Some(State::Coming(load)) => Sought::Coming(*load),
            None => Sought::Away,
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
