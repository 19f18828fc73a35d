//! Random transactions of several producers, with restarts, snapshots and time, against what each of them is to leave: all of
//! what was committed, in order, and nothing else; and the offset of the last commit.

use std::collections::BTreeMap;

use polybus_model::{LogError, LogSettings, SessionId, Transactor};
use proptest::prelude::*;

use super::desk::{Desk, name};
use super::recovering::History;
use super::transactions::TIMEOUT_MS;

const PARTITIONS: u32 = 2;
const NAMES: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
enum Step {
    Open(usize),
    Put(usize, u32),
    Stand(usize, u64),
    End(usize, bool, bool),
    Wait(u64),
    Snapshot,
    Restart,
}

fn steps() -> impl Strategy<Value = Step> {
    let who = 0..NAMES.len();
    prop_oneof![
        2 => who.clone().prop_map(Step::Open),
        12 => (who.clone(), 0..PARTITIONS).prop_map(|(who, partition)| Step::Put(who, partition)),
        3 => (who.clone(), 0..1000_u64).prop_map(|(who, offset)| Step::Stand(who, offset)),
        6 => (who, prop::bool::weighted(0.6), any::<bool>())
            .prop_map(|(who, committed, renew)| Step::End(who, committed, renew)),
        1 => (1..TIMEOUT_MS).prop_map(Step::Wait),
        1 => Just(Step::Snapshot),
        2 => Just(Step::Restart),
    ]
}

/// What a producer has open.
#[derive(Default, Debug)]
struct Open {
    since: u64,
    wrote: Vec<(u32, u64, String)>,
    stands: Option<u64>,
}

#[derive(Default)]
struct Held {
    who: Option<Transactor>,
    sequences: BTreeMap<u32, u32>,
    open: Option<Open>,
}

struct World {
    desk: Desk,
    history: History,
    producers: [Held; NAMES.len()],
    /// What is committed, by partition and offset.
    committed: BTreeMap<(u32, u64), String>,
    stands: Option<u64>,
    written: u32,
}

impl World {
    fn new() -> Self {
        let mut desk = Desk::new();
        let settings = LogSettings {
            partitions: PARTITIONS,
            ..LogSettings::default()
        };
        desk.declare_log("l", settings).unwrap();
        Self {
            desk,
            history: History::default(),
            producers: Default::default(),
            committed: BTreeMap::new(),
            stands: None,
            written: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Open(at) => {
                let who = self.desk.open(NAMES[*at], None).unwrap();
                self.producers[*at] = Held {
                    who: Some(who),
                    ..Held::default()
                };
            }
            Step::Put(at, partition) => self.put(*at, *partition),
            Step::Stand(at, offset) => {
                let now = self.desk.now;
                let held = &mut self.producers[*at];
                let Some(who) = held.who.clone() else { return };
                self.desk.add_group(&who).unwrap();
                self.desk.stand(&who, *offset).unwrap();
                open(held, now).stands = Some(*offset);
            }
            Step::End(at, committed, renew) => self.end(*at, *committed, *renew),
            Step::Wait(ms) => self.wait(*ms),
            Step::Snapshot => self.history.snapshot(&self.desk),
            Step::Restart => {
                let (engine, shelf) = self.history.recover(&self.desk, false);
                (self.desk.engine, self.desk.shelf) = (engine, shelf);
                self.desk.engine.attach(SessionId(1), &name("/")).unwrap();
            }
        }
    }

    fn put(&mut self, at: usize, partition: u32) {
        let now = self.desk.now;
        let held = &mut self.producers[at];
        let Some(who) = held.who.clone() else { return };
        self.desk.add(&who, &[partition]).unwrap();
        self.written += 1;
        let text = self.written.to_string();
        let sequence = held.sequences.entry(partition).or_default();
        let body = format!("{}:{text}", who.producer);
        let appended = self.desk.put(&who, partition, *sequence, &body).unwrap();
        *sequence += 1;
        let wrote = (partition, appended.offset, text);
        open(held, now).wrote.push(wrote);
    }

    fn end(&mut self, at: usize, committed: bool, renew: bool) {
        let held = &mut self.producers[at];
        let Some(who) = held.who.clone() else { return };
        let open = held.open.take();
        let ended = self.desk.end(&who, committed, renew);
        if open.is_none() {
            if renew && committed {
                assert_eq!(ended, Err(LogError::NoTransaction));
            }
        } else {
            ended.clone().unwrap();
        }
        if let Ok((producer, epoch)) = ended {
            if epoch != who.epoch {
                held.sequences.clear();
            }
            held.who = Some(Transactor {
                producer,
                epoch,
                ..who
            });
        }
        if let Some(open) = open.filter(|_| committed) {
            for (partition, offset, text) in open.wrote {
                self.committed.insert((partition, offset), text);
            }
            self.stands = open.stands.or(self.stands);
        }
    }

    fn wait(&mut self, ms: u64) {
        self.desk.wait(ms);
        let now = self.desk.now;
        for held in &mut self.producers {
            if held
                .open
                .as_ref()
                .is_some_and(|one| one.since + TIMEOUT_MS <= now)
            {
                let who = held.who.take().unwrap();
                assert_eq!(self.desk.end(&who, true, false), Err(LogError::Fenced));
                *held = Held::default();
            }
        }
    }

    fn check(&mut self) {
        for partition in 0..PARTITIONS {
            let slice = self.desk.committed_slice(partition, 0);
            let open = self.producers.iter().filter_map(|held| held.open.as_ref());
            let wrote = open.flat_map(|open| &open.wrote);
            let first = wrote
                .filter(|one| one.0 == partition)
                .map(|one| one.1)
                .min();
            assert_eq!(slice.stable_end, first.unwrap_or(slice.end));
            let seen = (partition, 0)..(partition, slice.stable_end);
            let wanted: Vec<String> = self
                .committed
                .range(seen)
                .map(|one| one.1.clone())
                .collect();
            assert_eq!(self.desk.committed(partition), wanted);
        }
        let pending = self.producers.iter().any(|held| {
            let open = held.open.as_ref();
            open.is_some_and(|open| open.stands.is_some())
        });
        assert_eq!(self.desk.stands(true).is_err(), pending);
        assert_eq!(self.desk.stands(false), Ok(self.stands));
    }
}

fn open(held: &mut Held, now: u64) -> &mut Open {
    held.open.get_or_insert_with(|| Open {
        since: now,
        ..Open::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn readers_see_what_was_committed_and_nothing_else(steps in prop::collection::vec(steps(), 1..60)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
            world.check();
        }
    }
}
