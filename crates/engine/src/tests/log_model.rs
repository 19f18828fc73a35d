//! Random turns with logs, against a list of what each partition holds: always what was appended, in order, without what was
//! given up and removed, replaced where it was, also after an end at any point and with copies in cold places.

use polybus_model::{LogReply, LogRequest, LogSettings, NewRun, SessionId};
use proptest::prelude::*;

use super::desk::{Desk, Shelf, name};
use super::logs::{at, bytes, read_of, run, written};
use super::recovering::{History, live};
use crate::logs::remove::Rewritten;
use crate::record::Range;
use crate::{Engine, Options};

const PARTITIONS: u32 = 2;
/// Older ones go, so that retention has something to do.
const RETENTION_MS: u64 = 50_000;

#[derive(Clone, Debug)]
enum Step {
    Declare,
    Delete,
    Append {
        partition: u32,
        count: u32,
        len: usize,
        numbered: bool,
    },
    Again(u32),
    Trim(u32, u64),
    /// From so far behind the start, so many offsets; and so often.
    Remove(u32, u64, u32, u32),
    Replace(u32, prop::sample::Index, usize),
    Wait(u64),
    Snapshot,
    Compact,
    Restart,
}

fn steps() -> impl Strategy<Value = Step> {
    let partition = 0..PARTITIONS;
    prop_oneof![
        2 => Just(Step::Declare),
        1 => prop::bool::weighted(0.2).prop_map(|delete| if delete { Step::Delete } else { Step::Snapshot }),
        12 => (partition.clone(), 1..5_u32, 1..6_000_usize, any::<bool>())
            .prop_map(|(partition, count, len, numbered)| Step::Append { partition, count, len, numbered }),
        2 => partition.clone().prop_map(Step::Again),
        4 => (partition.clone(), 0..60_u64, 1..9_u32, 1..4_u32)
            .prop_map(|(partition, from, len, times)| Step::Remove(partition, from, len, times)),
        3 => (partition.clone(), any::<prop::sample::Index>(), 1..6_000_usize)
            .prop_map(|(partition, which, len)| Step::Replace(partition, which, len)),
        2 => (partition, 0..6_u64).prop_map(|(partition, by)| Step::Trim(partition, by)),
        2 => (1..40_000_u64).prop_map(Step::Wait),
        1 => Just(Step::Snapshot),
        2 => Just(Step::Compact),
        2 => Just(Step::Restart),
    ]
}

/// What a partition is to hold.
#[derive(Clone, Default, Debug)]
struct Held {
    start: u64,
    next: u64,
    /// Offset, count, body, time of the append.
    runs: Vec<(u64, u32, String, u64)>,
    sequence: u32,
    /// The last numbered run.
    last: Option<(NewRun, u64)>,
}

impl Held {
    fn living(&self) -> Vec<String> {
        let living = self
            .runs
            .iter()
            .filter(|one| one.0 + u64::from(one.1) > self.start);
        living.map(|one| one.2.clone()).collect()
    }
}

fn options() -> Options {
    Options {
        log_resident_bytes_max: 10_000,
        log_sweep_ms: 10_000,
        ..Options::default()
    }
}

struct World {
    desk: Desk,
    history: History,
    held: Option<Vec<Held>>,
    number: usize,
}

impl World {
    fn step(&mut self, step: &Step) {
        self.number += 1;
        match step {
            Step::Snapshot => self.history.snapshot(&self.desk),
            Step::Compact => self.history.compact(&mut self.desk),
            Step::Restart => self.restart(),
            Step::Wait(ms) => {
                self.desk.wait(*ms);
                self.follow_retention();
            }
            Step::Declare if self.held.is_none() => {
                let settings = LogSettings {
                    partitions: PARTITIONS,
                    retention_ms: Some(RETENTION_MS),
                    ..LogSettings::default()
                };
                self.desk.declare_log("l", settings).unwrap();
                self.held = Some(vec![Held::default(); PARTITIONS as usize]);
            }
            Step::Delete => {
                self.desk.log(LogRequest::Delete { name: name("l") });
                self.held = None;
            }
            Step::Append {
                partition,
                count,
                len,
                numbered,
            } => self.append(*partition, *count, *len, *numbered),
            Step::Again(partition) => self.again(*partition),
            Step::Trim(partition, by) => self.trim(*partition, *by),
            Step::Remove(partition, from, len, times) => {
                self.remove(*partition, *from, *len, *times);
            }
            Step::Replace(partition, which, len) => self.replace(*partition, *which, *len),
            Step::Declare => {}
        }
    }

    fn append(&mut self, partition: u32, count: u32, len: usize, numbered: bool) {
        let Some(held) = &mut self.held else { return };
        let held = &mut held[partition as usize];
        let body = format!("{}:{}", self.number, "x".repeat(len));
        let new = match numbered {
            true => written(&body, count, held.sequence),
            false => run(&body, count),
        };
        let appended = self.desk.append("l", partition, new.clone()).unwrap();
        assert_eq!(appended.offset, held.next);
        held.runs.push((held.next, count, body, self.desk.now));
        if numbered {
            held.last = Some((new, held.next));
            held.sequence += count;
        }
        held.next += u64::from(count);
    }

    fn again(&mut self, partition: u32) {
        let held = self.held.as_ref().map(|held| &held[partition as usize]);
        if let Some((new, offset)) = held.and_then(|held| held.last.clone()) {
            let again = self.desk.append("l", partition, new).unwrap();
            assert_eq!(again.offset, offset);
        }
    }

    fn trim(&mut self, partition: u32, by: u64) {
        let Some(held) = &mut self.held else { return };
        let held = &mut held[partition as usize];
        let to = (held.start + by).min(held.next);
        let trim = LogRequest::Trim(vec![(at("l", partition), Some(to))]);
        let LogReply::Offsets(found) = self.desk.log(trim) else {
            panic!("an offset");
        };
        held.start = found[0].as_ref().unwrap().as_ref().unwrap().offset;
        assert_eq!(held.start, to);
    }

    /// Removes ranges that may cut through runs, whose offsets stay then.
    fn remove(&mut self, partition: u32, from: u64, len: u32, times: u32) {
        let Some(held) = &mut self.held else { return };
        let held = &mut held[partition as usize];
        let ranges: Vec<Range> = (0..u64::from(times))
            .map(|at| Range {
                first: held.start + from + at * (u64::from(len) + 3),
                len,
            })
            .collect();
        let before = held.living().len();
        held.runs.retain(|(offset, count, ..)| {
            let end = offset + u64::from(*count);
            let goes = |range: &Range| range.first <= *offset && end <= range.end();
            !ranges.iter().any(goes)
        });
        let gone = before - held.living().len();
        let removed = self.desk.change_log("l", partition, |engine, at, turn| {
            engine.remove_runs(at, &ranges, turn)
        });
        assert!(removed == gone || held.start > 0 && removed >= gone);
    }

    fn replace(&mut self, partition: u32, which: prop::sample::Index, len: usize) {
        let Some(held) = &mut self.held else { return };
        let held = &mut held[partition as usize];
        let start = held.start;
        let is_alive = |one: &&mut (u64, u32, String, u64)| one.0 + u64::from(one.1) > start;
        let mut living: Vec<_> = held.runs.iter_mut().filter(is_alive).collect();
        if living.is_empty() {
            return;
        }
        let one = which.index(living.len());
        let one = &mut living[one];
        one.2 = format!("{}:{}", self.number, "y".repeat(len));
        let with = Rewritten {
            time_max: None,
            stamped: None,
            content: run(&one.2, 1).content,
        };
        let offset = one.0;
        let replaced = self.desk.change_log("l", partition, |engine, at, turn| {
            engine.replace_run(at, offset, with, turn)
        });
        assert!(replaced);
    }

    /// Retention gives up a prefix, and only what is old enough.
    fn follow_retention(&mut self) {
        for partition in 0..PARTITIONS {
            let Some(held) = &mut self.held else { return };
            let start = match self.desk.log(LogRequest::FindOffsets(vec![(
                at("l", partition),
                polybus_model::Place::Start,
            )])) {
                LogReply::Offsets(found) => found[0].as_ref().unwrap().as_ref().unwrap().offset,
                other => panic!("{other:?}"),
            };
            let held = &mut held[partition as usize];
            assert!(start >= held.start);
            let now = self.desk.now;
            let given_up = held
                .runs
                .iter()
                .filter(|one| one.0 < start && one.0 >= held.start);
            for one in given_up {
                assert!(one.3 + RETENTION_MS < now, "too young to go");
            }
            let overdue = held.runs.iter().filter(|one| one.0 >= start);
            for one in overdue {
                assert!(one.3 + RETENTION_MS + 20_000 >= now, "it should have gone");
            }
            held.start = start;
        }
    }

    /// What is there after an end at this moment: always the same as before.
    fn recovered(&self) -> (Engine, Shelf) {
        let mut expected = Vec::new();
        self.desk.engine.put_logs(&mut expected);
        self.desk.engine.put_holes(&mut expected);
        let (engine, shelf) = self.history.recover_with(&self.desk, false, options());
        let mut recovered = Vec::new();
        engine.put_logs(&mut recovered);
        engine.put_holes(&mut recovered);
        assert_eq!(recovered, expected);
        assert_eq!(live(&shelf), live(&self.desk.shelf));
        (engine, shelf)
    }

    fn restart(&mut self) {
        (self.desk.engine, self.desk.shelf) = self.recovered();
        for session in 1..=4 {
            let session = SessionId(session);
            self.desk.engine.attach(session, &name("/")).unwrap();
        }
    }

    fn check(&mut self) {
        let Some(held) = self.held.clone() else {
            return;
        };
        for (partition, held) in (0..).zip(&held) {
            let mut got = Vec::new();
            let mut next = held.start;
            loop {
                let slice = self.desk.read(read_of("l", partition, next)).unwrap();
                assert_eq!((slice.start, slice.end), (held.start, held.next));
                let Some(last) = slice.runs.last() else { break };
                next = last.offset + u64::from(last.count);
                got.extend(slice.runs.iter().map(|run| bytes(&run.content)));
            }
            let living = held
                .runs
                .iter()
                .filter(|one| one.0 + u64::from(one.1) > held.start);
            let last = living
                .last()
                .map_or(held.start, |one| one.0 + u64::from(one.1));
            assert_eq!(next, last);
            assert_eq!(got, held.living());
        }
        assert!(self.desk.engine.logs.recent_is_right());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_log_holds_what_was_appended(steps in prop::collection::vec(steps(), 1..60)) {
        let mut world = World {
            desk: Desk::with(options()),
            history: History::default(),
            held: None,
            number: 0,
        };
        world.step(&Step::Declare);
        for step in &steps {
            world.step(step);
            world.check();
            world.recovered();
        }
        world.step(&Step::Restart);
        world.check();
    }
}
