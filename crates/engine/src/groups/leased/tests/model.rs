//! A window and, beside it, every record by itself.

use std::collections::BTreeMap;

use polybus_model::{Lent, Millis, Name};
use proptest::prelude::*;

use super::super::record;
use super::super::recovery::RecoveredWindows;
use super::super::{Failure, Settlement, Window};
use crate::logs::At;

const RECORDS: u64 = 40;
const ATTEMPTS_MAX: u32 = 3;
const AT: At = At {
    log: 1,
    partition: 0,
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Model {
    Ready(u32),
    Waiting(u32, Millis),
    Leased(u32, u64, Millis),
    Failed(u32, Failure),
    Settled,
}

#[derive(Clone, Debug)]
enum Step {
    Lend(u64, u64, u64, Millis),
    PassOver(u64, u64),
    Settle(u64, u64, Option<u64>, Settlement),
    Extend(u64, u64, u64, Millis),
    Leave(u64, bool),
    Trim(u64),
    Wait(Millis),
    Bury,
    /// The end of a turn; and then a failure, from the journal or from a snapshot.
    Journal,
    Restart(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let offset = || 0..RECORDS;
    let len = || 0..8_u64;
    let holder = || 0..3_u64;
    let settlement = prop_oneof![
        3 => Just(Settlement::Accept),
        1 => Just(Settlement::Reject),
        2 => (any::<bool>(), proptest::option::of(0..60_u64))
            .prop_map(|(counted, due)| Settlement::Release { counted, due }),
    ];
    prop_oneof![
        6 => (offset(), len(), holder(), 1..40_u64).prop_map(|(a, b, c, d)| Step::Lend(a, b, c, d)),
        1 => (offset(), len()).prop_map(|(a, b)| Step::PassOver(a, b)),
        6 => (offset(), len(), proptest::option::of(holder()), settlement)
            .prop_map(|(a, b, c, d)| Step::Settle(a, b, c, d)),
        1 => (offset(), len(), holder(), 1..40_u64).prop_map(|(a, b, c, d)| Step::Extend(a, b, c, d)),
        1 => (holder(), any::<bool>()).prop_map(|(a, b)| Step::Leave(a, b)),
        1 => (0..RECORDS / 4).prop_map(Step::Trim),
        4 => (0..20_u64).prop_map(Step::Wait),
        2 => Just(Step::Bury),
        6 => Just(Step::Journal),
        2 => any::<bool>().prop_map(Step::Restart),
    ]
}

struct World {
    now: Millis,
    window: Window,
    /// Those below `next`.
    records: BTreeMap<u64, Model>,
    next: u64,
    journal: Vec<Vec<u8>>,
    /// What the journal knew at the end of the last turn.
    durable: (BTreeMap<u64, Model>, u64),
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            now: 1,
            window: Window::new(0),
            records: BTreeMap::new(),
            next: 0,
            journal: Vec::new(),
            durable: (BTreeMap::new(), 0),
        };
        world.window.set_attempts_max(Some(ATTEMPTS_MAX));
        let mut buffer = Vec::new();
        record::put_opened(&mut buffer, 1, &Name::new("/").unwrap(), "g", AT, 0);
        world.journal.push(buffer);
        world
    }

    fn model(&mut self, offset: u64) -> &mut Model {
        self.records.entry(offset).or_insert(Model::Ready(0))
    }

    /// Records up to there have been handed out, or passed over.
    fn reach(&mut self, first: u64, end: u64) {
        if end > self.next {
            for offset in self.next..first {
                self.records.insert(offset, Model::Settled);
            }
            self.next = end;
        }
    }

    fn give_back(&mut self, offset: u64, counted: bool, due: Option<Millis>) {
        let model = self.model(offset);
        let attempts = match *model {
            Model::Leased(attempts, ..) if !counted => attempts - 1,
            Model::Leased(attempts, ..) | Model::Ready(attempts) | Model::Waiting(attempts, _) => {
                attempts
            }
            other => panic!("{other:?} does not come back"),
        };
        *model = match due {
            _ if counted && attempts >= ATTEMPTS_MAX => Model::Failed(attempts, Failure::Exhausted),
            Some(due) => Model::Waiting(attempts, due),
            None => Model::Ready(attempts),
        };
    }

    fn apply(&mut self, step: &Step) {
        let now = self.now;
        match *step {
            Step::Lend(first, len, holder, lasts) => self.lend(first, first + len, holder, lasts),
            Step::PassOver(first, len) => {
                let end = first + len;
                self.window.pass_over(first..end);
                for offset in first..end {
                    if offset < self.next && matches!(self.model(offset), Model::Ready(_)) {
                        *self.model(offset) = Model::Settled;
                    }
                }
                if first <= self.next && end > self.next {
                    self.reach(end, end);
                }
            }
            Step::Settle(first, len, holder, settlement) => {
                let settlement = match settlement {
                    Settlement::Release { counted, due } => Settlement::Release {
                        counted,
                        due: due.map(|due| due + now),
                    },
                    other => other,
                };
                self.settle(first..first + len, holder, settlement);
            }
            Step::Extend(first, len, holder, lasts) => {
                let count = self
                    .window
                    .extend(first..first + len, Some(holder), now + lasts);
                let mut expected = 0;
                for offset in first..(first + len).min(self.next) {
                    if let Model::Leased(_, by, until) = self.model(offset)
                        && *by == holder
                    {
                        *until = now + lasts;
                        expected += 1;
                    }
                }
                assert_eq!(count, expected);
            }
            Step::Leave(holder, counted) => {
                self.window.release_all(holder, counted);
                for offset in 0..self.next {
                    if matches!(self.model(offset), Model::Leased(_, by, _) if *by == holder) {
                        self.give_back(offset, counted, None);
                    }
                }
            }
            Step::Trim(start) => {
                self.window.trim(start);
                for offset in 0..start {
                    self.records.insert(offset, Model::Settled);
                }
                self.next = self.next.max(start);
            }
            Step::Wait(ms) => {
                self.now += ms;
                self.window.tick(self.now);
                self.tick();
            }
            Step::Bury => {
                while let Some((lent, failure)) = self.window.take_failed() {
                    self.window.bury(lent.first..lent.end);
                    for offset in lent.first..lent.end {
                        assert_eq!(*self.model(offset), Model::Failed(lent.attempts, failure));
                        *self.model(offset) = Model::Settled;
                    }
                }
                assert!(
                    !self
                        .records
                        .values()
                        .any(|one| matches!(one, Model::Failed(..)))
                );
            }
            Step::Journal => self.journal(),
            Step::Restart(from_snapshot) => self.restart(from_snapshot),
        }
    }

    fn lend(&mut self, first: u64, end: u64, holder: u64, lasts: Millis) {
        let until = self.now + lasts;
        let mut lent: Vec<Lent> = Vec::new();
        self.window.lend(first..end, holder, until, &mut lent);
        let mut got: Vec<_> = lent
            .iter()
            .flat_map(|one| (one.first..one.end).map(|offset| (offset, one.attempts)))
            .collect();
        if first < end {
            self.reach(first, end);
        }
        for offset in first..end {
            if let Model::Ready(attempts) = *self.model(offset) {
                *self.model(offset) = Model::Leased(attempts + 1, holder, until);
                assert_eq!(got.remove(0), (offset, attempts + 1));
            }
        }
        assert!(got.is_empty());
    }

    fn settle(&mut self, range: std::ops::Range<u64>, holder: Option<u64>, how: Settlement) {
        let mut its = range.clone().map(|offset| {
            let model = self.records.get(&offset);
            matches!((model, holder), (Some(Model::Leased(_, by, _)), Some(one)) if *by == one)
        });
        if let Some(holder) = holder {
            let all_its = its.all(|one| one);
            assert_eq!(self.window.holds(range.clone(), holder), all_its);
        }
        let count = self.window.settle(range.clone(), holder, how);
        let mut expected = 0;
        for offset in range.start..range.end.min(self.next) {
            let may = match (*self.model(offset), holder) {
                (Model::Leased(_, by, _), Some(holder)) => by == holder,
                (Model::Leased(..), None) => true,
                (Model::Ready(attempts) | Model::Waiting(attempts, _), None) => attempts > 0,
                _ => false,
            };
            if !may {
                continue;
            }
            expected += 1;
            match how {
                Settlement::Accept => *self.model(offset) = Model::Settled,
                Settlement::Release { counted, due } => self.give_back(offset, counted, due),
                Settlement::Reject => {
                    let model = self.model(offset);
                    if let Model::Leased(attempts, ..)
                    | Model::Ready(attempts)
                    | Model::Waiting(attempts, _) = *model
                    {
                        *model = Model::Failed(attempts, Failure::Rejected);
                    }
                }
            }
        }
        assert_eq!(count, expected);
    }

    fn tick(&mut self) {
        let now = self.now;
        for offset in 0..self.next {
            match *self.model(offset) {
                Model::Leased(_, _, until) if until <= now => {
                    self.give_back(offset, true, None);
                }
                Model::Waiting(attempts, due) if due <= now => {
                    *self.model(offset) = Model::Ready(attempts);
                }
                _ => {}
            }
        }
    }

    fn journal(&mut self) {
        let mut buffer = Vec::new();
        if record::put_settled(&mut buffer, 1, &mut self.window) {
            self.journal.push(buffer.clone());
        }
        if record::put_returned(&mut buffer, 1, &mut self.window) {
            self.journal.push(buffer);
        }
        self.durable = (self.records.clone(), self.next);
    }

    fn restart(&mut self, from_snapshot: bool) {
        if from_snapshot {
            self.journal();
            self.journal.clear();
            let name = Name::new("/").unwrap();
            let opened = (&name, "g", AT);
            let mut buffer = Vec::new();
            let journal = &mut self.journal;
            record::put_window(&mut buffer, 1, opened, &self.window, &mut |one| {
                journal.push(one.to_vec());
            });
        }
        let mut recovered = RecoveredWindows::default();
        for payload in &self.journal {
            let (kind, mut from) = crate::record::open(payload).unwrap();
            assert!(recovered.apply(kind, &mut from).unwrap());
        }
        self.window = recovered.only();
        self.window.set_attempts_max(Some(ATTEMPTS_MAX));
        self.window.tick(self.now);
        let (records, next) = self.durable.clone();
        (self.records, self.next) = (records, next);
        for model in self.records.values_mut() {
            if let Model::Leased(attempts, ..) = *model {
                *model = Model::Ready(attempts - 1);
            }
        }
        self.tick();
        // What was handed out and never settled is as good as fresh.
        assert!(self.window.next() <= self.next);
        for offset in self.window.next()..self.next {
            assert_eq!(*self.model(offset), Model::Ready(0), "at {offset}");
            self.records.remove(&offset);
        }
        self.next = self.window.next();
    }

    /// The window says of every record what the model says.
    fn compare(&mut self) {
        self.window.check();
        assert_eq!(self.window.next(), self.next);
        let mut unsettled = Vec::new();
        for offset in 0..self.next {
            if *self.model(offset) != Model::Settled {
                unsettled.push(offset);
            }
        }
        assert_eq!(self.window.unsettled(), unsettled.len() as u64);
        let floor = unsettled.first().copied().unwrap_or(self.next);
        assert_eq!(self.window.floor(), floor);
        let mut from = 0;
        for offset in 0..self.next {
            if let Model::Ready(attempts) = *self.model(offset) {
                let found = self.window.candidate(from);
                assert_eq!((found.first, found.attempts), (offset, attempts));
                from = offset + 1;
            }
        }
        assert_eq!(self.window.candidate(from).end, u64::MAX);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_window_is_what_its_records_are(steps in proptest::collection::vec(step(), 0..120)) {
        let mut world = World::new();
        for step in &steps {
            world.apply(step);
            world.compare();
        }
    }
}
