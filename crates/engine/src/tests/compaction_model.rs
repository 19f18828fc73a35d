//! Random turns with a log that compacts, against the list of all that was written: whoever reads what is committed from the
//! start comes to the same latest value of each key, at any time, after an end at any point, and while a transaction is open.

use std::collections::{BTreeMap, BTreeSet};

use polybus_model::{LogReply, LogRequest, NewRun, Transactor};
use proptest::prelude::*;

use super::compaction::{options, packed, settings};
use super::desk::{Desk, name};
use super::logs::{at, bytes, read_of};
use super::recovering::History;
use super::transactions::transactional;
use crate::Options;

const KEYS: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Clone, Debug)]
enum Step {
    /// Keys, and which of them are tombstones.
    Append(Vec<(usize, bool)>),
    AppendIn(usize, usize),
    End(usize, bool),
    Wait(u64),
    Trim(u64),
    Snapshot,
    Compact,
    Restart,
}

fn steps() -> impl Strategy<Value = Step> {
    let key = 0..KEYS.len();
    let records = prop::collection::vec((key.clone(), prop::bool::weighted(0.2)), 1..5);
    prop_oneof![
        8 => records.prop_map(Step::Append),
        4 => (0..2_usize, key).prop_map(|(who, key)| Step::AppendIn(who, key)),
        3 => (0..2_usize, any::<bool>()).prop_map(|(who, committed)| Step::End(who, committed)),
        4 => (1..9_000_u64).prop_map(Step::Wait),
        1 => (0..4_u64).prop_map(Step::Trim),
        1 => Just(Step::Snapshot),
        1 => Just(Step::Compact),
        2 => Just(Step::Restart),
    ]
}

/// What was written at an offset: key, value, and in whose transaction.
type Written = (String, String, Option<usize>);

struct World {
    desk: Desk,
    history: History,
    producers: Vec<(Transactor, u32, BTreeSet<u64>)>,
    written: BTreeMap<u64, Written>,
    aborted: BTreeSet<u64>,
    start: u64,
    number: usize,
    options: Options,
}

impl World {
    fn new(options: Options) -> Self {
        let mut desk = Desk::with(options.clone());
        desk.declare_log("l", settings()).unwrap();
        let producers = ["p", "q"].map(|one| (desk.open(one, None).unwrap(), 0, BTreeSet::new()));
        Self {
            desk,
            history: History::default(),
            producers: producers.into(),
            written: BTreeMap::new(),
            aborted: BTreeSet::new(),
            start: 0,
            number: 0,
            options,
        }
    }

    fn step(&mut self, step: &Step) {
        self.number += 1;
        match step {
            Step::Append(records) => {
                let value = self.number.to_string();
                let value = |gone: bool| if gone { "" } else { value.as_str() };
                let records = records.iter().map(|(key, gone)| (KEYS[*key], value(*gone)));
                let records: Vec<_> = records.collect();
                let appended = self.desk.append("l", 0, packed(&records)).unwrap();
                for (offset, (key, value)) in (appended.offset..).zip(records) {
                    let one = (key.to_owned(), value.to_owned(), None);
                    self.written.insert(offset, one);
                }
            }
            Step::AppendIn(who, key) => self.append_in(*who, KEYS[*key]),
            Step::End(who, committed) => self.end(*who, *committed),
            Step::Wait(ms) => {
                self.desk.wait(*ms);
                self.follow_timeouts();
            }
            Step::Trim(by) => self.trim(*by),
            Step::Snapshot => self.history.snapshot(&self.desk),
            Step::Compact => self.history.compact(&mut self.desk),
            Step::Restart => {
                let recovered = self
                    .history
                    .recover_with(&self.desk, false, self.options.clone());
                (self.desk.engine, self.desk.shelf) = recovered;
                self.desk.attach_all();
            }
        }
    }

    fn append_in(&mut self, who: usize, key: &str) {
        let (producer, sequence, offsets) = &mut self.producers[who];
        self.desk.add(producer, &[0]).unwrap();
        let value = self.number.to_string();
        let text = format!("t{}|0:{key}={value}", producer.producer);
        let new = NewRun {
            keyed: true,
            ..transactional(producer, *sequence, &text)
        };
        let appended = self.desk.append("l", 0, new).unwrap();
        *sequence += 1;
        offsets.insert(appended.offset);
        let one = (key.to_owned(), value, Some(who));
        self.written.insert(appended.offset, one);
    }

    fn end(&mut self, who: usize, committed: bool) {
        let (producer, _, offsets) = &mut self.producers[who];
        if offsets.is_empty() {
            return;
        }
        let end = LogRequest::End {
            transactor: producer.clone(),
            committed,
            renew: false,
        };
        let LogReply::Producer(Ok(_)) = self.desk.log(end) else {
            panic!("it ends");
        };
        self.settle(who, committed);
    }

    fn settle(&mut self, who: usize, committed: bool) {
        let offsets = std::mem::take(&mut self.producers[who].2);
        for offset in offsets {
            match committed {
                true => self.written.get_mut(&offset).unwrap().2 = None,
                false => drop(self.aborted.insert(offset)),
            }
        }
    }

    /// What is open for too long is aborted, and its producer has to begin anew.
    fn follow_timeouts(&mut self) {
        for who in 0..self.producers.len() {
            let name = self.producers[who].0.name.clone();
            let LogReply::Transactions(found) = self
                .desk
                .log(LogRequest::Transactions(Some(vec![name.clone()])))
            else {
                panic!("a transaction");
            };
            let epoch = found[0].as_ref().unwrap().transactor.epoch;
            if epoch != self.producers[who].0.epoch {
                self.settle(who, false);
                self.producers[who].0 = self.desk.open(&name, None).unwrap();
                self.producers[who].1 = 0;
            }
        }
    }

    fn trim(&mut self, by: u64) {
        let end = self.written.keys().last().map_or(0, |last| last + 1);
        let to = (self.start + by).min(end);
        let open = self.producers.iter().flat_map(|one| one.2.first());
        // What is trimmed out of an open transaction would complicate this model only.
        let to = open.fold(to, |to, first| to.min(*first));
        self.desk
            .log(LogRequest::Trim(vec![(at("l", 0), Some(to))]));
        self.start = self.start.max(to);
    }

    /// Reads all that is committed, as a client does, and checks every record. Gives those not aborted, with their offsets.
    fn read(&mut self) -> Vec<(u64, String, String)> {
        let mut next = self.start;
        let mut got = Vec::new();
        loop {
            let mut request = read_of("l", 0, next);
            request.committed = true;
            request.reads[0].bytes_max = 60;
            let slice = self.desk.read(request).unwrap();
            let mut aborting = BTreeSet::new();
            let mut aborted = slice.aborted.clone();
            let Some(last) = slice.runs.last() else { break };
            next = last.offset + u64::from(last.count);
            for run in &slice.runs {
                let (begun, later) = aborted.into_iter().partition(|one| one.1 <= run.offset);
                let begun: Vec<(u64, u64)> = begun;
                aborting.extend(begun.into_iter().map(|one| one.0));
                aborted = later;
                if let Some(ends) = run.ends {
                    aborting.remove(&ends.producer);
                    continue;
                }
                let text = bytes(&run.content);
                let parts: Vec<&str> = text.split('|').collect();
                let producer = parts.iter().find_map(|part| part.strip_prefix('t'));
                let is_aborted =
                    producer.is_some_and(|one| aborting.contains(&one.parse().unwrap()));
                for record in parts.last().unwrap().split(';') {
                    let (position, record) = record.split_once(':').unwrap();
                    let (key, value) = record.split_once('=').unwrap();
                    let offset = run.offset + position.parse::<u64>().unwrap();
                    let written = &self.written[&offset];
                    assert_eq!((&written.0[..], &written.1[..]), (key, value));
                    assert_eq!(is_aborted, self.aborted.contains(&offset), "{offset}");
                    if !is_aborted && offset >= self.start {
                        got.push((offset, key.to_owned(), value.to_owned()));
                    }
                }
            }
        }
        assert!(got.is_sorted());
        got
    }

    fn check(&mut self) {
        let got = self.read();
        let open = self.producers.iter().flat_map(|one| one.2.first());
        let stable = open.min().copied().unwrap_or(u64::MAX);
        let mut latest = BTreeMap::new();
        for (offset, (key, value, _)) in self.written.range(self.start..stable) {
            if !self.aborted.contains(offset) {
                latest.insert(key.clone(), value.clone());
            }
        }
        latest.retain(|_, value| !value.is_empty());
        let mut read = BTreeMap::new();
        for (_, key, value) in got {
            read.insert(key, value);
        }
        read.retain(|_, value| !value.is_empty());
        assert_eq!(read, latest);
    }

    /// When nothing is open and time goes by, what is superseded is gone, but for what the last run supersedes.
    fn check_at_rest(&mut self) {
        for who in 0..self.producers.len() {
            self.end(who, false);
        }
        for _ in 0..2 {
            self.step(&Step::Append(vec![(0, false)]));
            self.desk.wait(25_000);
        }
        let mut seen = BTreeSet::new();
        let got = self.read();
        let (_, before_last) = got.split_last().unwrap();
        for (offset, key, _) in before_last {
            assert!(seen.insert(key.clone()), "{key} is at {offset} again");
        }
        self.check();
        let LogReply::Sizes(sizes) =
            self.desk
                .log(LogRequest::Sizes(polybus_model::WhichLogs::Named(vec![
                    name("l"),
                ])))
        else {
            panic!("sizes");
        };
        assert!(sizes[0].1[0] < 1_000, "{sizes:?}");
    }
}

fn run(steps: &[Step], resident: usize, keys_max: usize) {
    let mut world = World::new(Options {
        log_resident_bytes_max: resident,
        log_compaction_keys_max: keys_max,
        ..options()
    });
    for step in steps {
        world.step(step);
        world.check();
    }
    world.check_at_rest();
    world.step(&Step::Restart);
    world.check();
}

/// Behind the run that goes last there is nothing up to an open transaction; it is all looked after anew, with room for one
/// key: this was taken up again and again, without end.
#[test]
fn a_round_that_finds_no_runs_is_over() {
    let steps = [
        Step::Append(vec![(0, true)]),
        Step::Wait(2_407),
        Step::AppendIn(0, 0),
        Step::Wait(7_001),
        Step::AppendIn(0, 0),
        Step::Restart,
        Step::Wait(3_002),
        Step::Restart,
        Step::Wait(1_004),
    ];
    run(&steps, 0, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn readers_come_to_the_latest_of_each_key(
        steps in prop::collection::vec(steps(), 1..60),
        resident in prop::sample::select(vec![0, 300, 1 << 20]),
        keys_max in prop::sample::select(vec![1, 2, 1_000]),
    ) {
        run(&steps, resident, keys_max);
    }
}
