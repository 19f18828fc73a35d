//! Random requests against a queue so simple that it is plainly right: each delivery must be the head, go to one of the
//! highest priority that has credit, and none may be left undone.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use polybus_model::{
    Attempts, Delivery, Event, Kind, LeaseId, Outcome, QueueKind, QueueSettings, Reply, Request,
    SessionId, SubscriberId, Taken,
};
use proptest::prelude::*;

use super::desk::{Desk, Told, durable, message_with, name, publish, subscribe};

#[derive(Clone, Debug)]
enum Step {
    Publish(Vec<Option<u8>>),
    Subscribe {
        session: u64,
        priority: i32,
        credit: Option<u32>,
        auto_settle: bool,
    },
    Unsubscribe(usize),
    Settle(Vec<usize>, Outcome),
    Take {
        session: u64,
        auto_settle: bool,
    },
    LaneCredit(u64, Option<u32>),
    Flow(u64, bool),
    CloseLane(u64),
    Detach(u64),
    Purge,
}

fn steps() -> impl Strategy<Value = Step> {
    let session = 1..=3_u64;
    let outcome = prop_oneof![
        3 => Just(Outcome::Accept),
        2 => any::<bool>().prop_map(|failed| Outcome::Release { failed }),
        1 => Just(Outcome::Reject),
    ];
    prop_oneof![
        8 => prop::collection::vec(prop::option::of(0..6_u8), 1..5).prop_map(Step::Publish),
        3 => (session.clone(), 0..3_i32, prop::option::of(1..4_u32), prop::bool::weighted(0.2))
            .prop_map(|(session, priority, credit, auto_settle)| Step::Subscribe {
                session, priority, credit, auto_settle,
            }),
        1 => any::<usize>().prop_map(Step::Unsubscribe),
        8 => (prop::collection::vec(any::<usize>(), 1..4), outcome)
            .prop_map(|(which, outcome)| Step::Settle(which, outcome)),
        2 => (session.clone(), any::<bool>())
            .prop_map(|(session, auto_settle)| Step::Take { session, auto_settle }),
        1 => (session.clone(), prop::option::of(1..5_u32))
            .prop_map(|(session, limit)| Step::LaneCredit(session, limit)),
        1 => (session.clone(), any::<bool>()).prop_map(|(session, on)| Step::Flow(session, on)),
        1 => session.clone().prop_map(Step::CloseLane),
        1 => session.prop_map(Step::Detach),
        1 => Just(Step::Purge),
    ]
}

fn settings() -> impl Strategy<Value = QueueSettings> {
    (
        any::<bool>(),
        prop::option::of(1..4_u8),
        prop::option::of(1..12_u64),
    )
        .prop_map(|(quorum, max_priority, max_length)| QueueSettings {
            kind: if quorum {
                QueueKind::Quorum
            } else {
                QueueKind::Classic
            },
            delivery_limit: quorum.then_some(1),
            max_priority: max_priority.filter(|_| !quorum),
            max_length,
            ..durable()
        })
}

type Key = (Reverse<u8>, u64);

#[derive(Clone, Copy, PartialEq, Debug)]
struct Plain {
    redelivered: bool,
    attempts: Attempts,
}

struct PlainConsumer {
    priority: i32,
    credit: Option<u32>,
    held: u32,
    auto_settle: bool,
}

#[derive(Clone, Copy)]
struct PlainLane {
    limit: Option<u32>,
    active: bool,
    held: u32,
}

const OPEN: PlainLane = PlainLane {
    limit: None,
    active: true,
    held: 0,
};

struct PlainLease {
    id: LeaseId,
    session: u64,
    subscriber: Option<u32>,
    counted: bool,
    key: Key,
    message: Plain,
}

struct Model {
    settings: QueueSettings,
    next: u64,
    ready: BTreeMap<Key, Plain>,
    consumers: BTreeMap<(u64, u32), PlainConsumer>,
    lanes: BTreeMap<u64, PlainLane>,
    leases: Vec<PlainLease>,
}

impl Model {
    fn lane(&mut self, session: u64) -> &mut PlainLane {
        self.lanes.entry(session).or_insert(OPEN)
    }

    fn can_take(&self, (session, consumer): (u64, &PlainConsumer)) -> bool {
        let lane = self.lanes.get(&session).copied().unwrap_or(OPEN);
        let free = lane.limit.is_none_or(|limit| lane.held < limit)
            && consumer.credit.is_none_or(|credit| consumer.held < credit);
        lane.active && (consumer.auto_settle || free)
    }

    fn priority_due(&self) -> Option<i32> {
        self.consumers
            .iter()
            .filter(|((session, _), consumer)| self.can_take((*session, consumer)))
            .map(|(_, consumer)| consumer.priority)
            .max()
    }

    fn pop(&mut self, body: &[u8]) -> (Key, Plain) {
        let (key, message) = self.ready.pop_first().expect("a delivery of nothing");
        assert_eq!(body, key.1.to_string().as_bytes(), "not the head");
        (key, message)
    }

    fn attempts(&self, message: Plain) -> Option<Attempts> {
        let counted = self.settings.kind == QueueKind::Quorum && message.attempts.all > 0;
        counted.then_some(message.attempts)
    }

    fn deliver(&mut self, session: u64, delivery: &Delivery) {
        let due = self.priority_due().expect("nobody could take it");
        let (key, message) = self.pop(delivery.message.body());
        assert_eq!(delivery.redelivered, message.redelivered);
        assert_eq!(delivery.attempts, self.attempts(message));
        let number = delivery.subscriber.0;
        let at = (session, number);
        let consumer = &self.consumers[&at];
        assert_eq!(consumer.priority, due);
        assert!(self.can_take((session, consumer)));
        let consumer = self.consumers.get_mut(&at).unwrap();
        assert_eq!(delivery.lease.is_none(), consumer.auto_settle);
        if let Some(id) = delivery.lease {
            consumer.held += 1;
            self.lane(session).held += 1;
            self.leases.push(PlainLease {
                id,
                session,
                subscriber: Some(number),
                counted: true,
                key,
                message,
            });
        }
    }

    fn taken(&mut self, session: u64, taken: &Taken) {
        let (key, message) = self.pop(taken.message.body());
        assert_eq!(taken.redelivered, message.redelivered);
        assert_eq!(taken.attempts, self.attempts(message));
        assert_eq!(taken.remaining, self.ready.len() as u64);
        if let Some(id) = taken.lease {
            self.leases.push(PlainLease {
                id,
                session,
                subscriber: None,
                counted: false,
                key,
                message,
            });
        }
    }

    fn give_back(&mut self, key: Key, mut message: Plain, failed: bool) {
        message.redelivered = true;
        if let Some(limit) = self.settings.delivery_limit {
            message.attempts.all += 1;
            message.attempts.failed += u32::from(failed);
            if u64::from(message.attempts.failed) > limit {
                return;
            }
        }
        self.ready.insert(key, message);
    }

    fn settle(&mut self, which: usize, outcome: Outcome) {
        let lease = self.leases.remove(which);
        if let Some(subscriber) = lease.subscriber
            && let Some(consumer) = self.consumers.get_mut(&(lease.session, subscriber))
        {
            consumer.held -= 1;
        }
        self.lane(lease.session).held -= u32::from(lease.counted);
        if let Outcome::Release { failed } = outcome {
            self.give_back(lease.key, lease.message, failed);
        }
    }

    fn close(&mut self, session: u64) {
        self.consumers.retain(|(owner, _), _| *owner != session);
        let (gone, kept) = std::mem::take(&mut self.leases)
            .into_iter()
            .partition(|lease| lease.session == session);
        self.leases = kept;
        let gone: Vec<PlainLease> = gone;
        for lease in gone {
            self.give_back(lease.key, lease.message, true);
        }
        self.lanes.remove(&session);
    }

    fn level(&self, priority: Option<u8>) -> u8 {
        match (self.settings.kind, self.settings.max_priority) {
            (QueueKind::Quorum, _) => priority.unwrap_or(4).min(31),
            (_, Some(max)) => priority.unwrap_or(0).min(max),
            _ => 0,
        }
    }

    /// Checks what a step told, message by message.
    fn check(&mut self, told: &Told) {
        for (SessionId(session), event) in told {
            match event {
                Event::Delivery(delivery) => self.deliver(*session, delivery),
                Event::Reply {
                    result: Ok(Reply::Taken(Some(taken))),
                    ..
                } => self.taken(*session, taken),
                Event::Reply {
                    result: Ok(Reply::Taken(None)),
                    ..
                } => assert!(self.ready.is_empty()),
                Event::Reply { result, .. } => assert!(result.is_ok(), "{result:?}"),
                other => panic!("{other:?}"),
            }
        }
        assert!(
            self.ready.is_empty() || self.priority_due().is_none(),
            "left undone"
        );
        while let Some(max) = self.settings.max_length
            && self.ready.len() as u64 > max
        {
            self.ready.pop_first();
        }
    }

    fn compare(&self, desk: &Desk) {
        let queue = &desk.engine.queues("/")[0];
        assert_eq!(queue.ready, self.ready.len() as u64);
        assert_eq!(queue.leased, self.leases.len() as u64);
        assert_eq!(queue.consumers, self.consumers.len() as u64);
        assert_eq!(desk.shelf.live(), self.ready.len() + self.leases.len());
        let peeked = desk.engine.peek("/", "q", usize::MAX).unwrap();
        let bodies: Vec<_> = peeked
            .iter()
            .map(|one| String::from_utf8(one.message.as_ref().unwrap().body().to_vec()).unwrap())
            .collect();
        let expected: Vec<_> = self.ready.keys().map(|key| key.1.to_string()).collect();
        assert_eq!(bodies, expected);
    }
}

fn run(desk: &mut Desk, model: &mut Model, number: u32, step: Step) -> Told {
    match step {
        Step::Publish(priorities) => {
            let mut requests = Vec::new();
            for priority in priorities {
                let sequence = model.next;
                model.next += 1;
                let key = (Reverse(model.level(priority)), sequence);
                let plain = Plain {
                    redelivered: false,
                    attempts: Attempts::default(),
                };
                model.ready.insert(key, plain);
                let message = message_with("", "q", &sequence.to_string(), |parts| {
                    parts.priority = priority;
                });
                requests.push(Request::Publish(publish(message)));
            }
            desk.batch(4, requests)
        }
        Step::Subscribe {
            session,
            priority,
            credit,
            auto_settle,
        } => {
            let mut one = subscribe("q", number);
            one.priority = priority;
            one.credit = credit;
            one.auto_settle = auto_settle;
            let limited = model.lane(session).limit.is_some();
            if limited && model.settings.kind == QueueKind::Quorum {
                let told = desk.subscribe(session, one);
                let [
                    (
                        _,
                        Event::Reply {
                            result: Err(error), ..
                        },
                    ),
                ] = &told[..]
                else {
                    panic!("{told:?}");
                };
                assert!(matches!(error.kind, Kind::Unsupported(_)));
                return Vec::new();
            }
            let consumer = PlainConsumer {
                priority,
                credit,
                held: 0,
                auto_settle,
            };
            model.consumers.insert((session, number), consumer);
            desk.subscribe(session, one)
        }
        Step::Unsubscribe(which) => {
            let Some(at) = pick(which, model.consumers.len()) else {
                return Vec::new();
            };
            let (session, number) = *model.consumers.keys().nth(at).unwrap();
            model.consumers.remove(&(session, number));
            let subscriber = SubscriberId(number);
            desk.batch(session, vec![Request::Unsubscribe { subscriber }])
        }
        Step::Settle(which, outcome) => {
            let Some(first) = pick(which[0], model.leases.len()) else {
                return Vec::new();
            };
            let session = model.leases[first].session;
            let mut leases = Vec::new();
            for which in which {
                let Some(at) = pick(which, model.leases.len()) else {
                    break;
                };
                if model.leases[at].session == session {
                    leases.push(model.leases[at].id);
                    model.settle(at, outcome);
                }
            }
            // Settled twice, the second time in vain.
            leases.extend(leases.clone());
            desk.settle(session, leases, outcome)
        }
        Step::Take {
            session,
            auto_settle,
        } => {
            let queue = name("q");
            desk.batch(session, vec![Request::Take { queue, auto_settle }])
        }
        Step::LaneCredit(session, limit) => {
            model.lane(session).limit = limit;
            desk.batch(session, vec![Request::LaneCredit { limit }])
        }
        Step::Flow(session, active) => {
            model.lane(session).active = active;
            desk.batch(session, vec![Request::Flow { active }])
        }
        Step::CloseLane(session) => {
            model.close(session);
            desk.batch(session, vec![Request::CloseLane])
        }
        Step::Detach(session) => {
            model.close(session);
            let told = desk.detach(session);
            desk.engine.attach(SessionId(session), &name("/")).unwrap();
            told
        }
        Step::Purge => {
            model.ready.clear();
            desk.batch(4, vec![Request::Purge { queue: name("q") }])
        }
    }
}

fn pick(which: usize, len: usize) -> Option<usize> {
    (len > 0).then(|| which % len)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_queue_does_what_its_model_does(
        settings in settings(),
        steps in prop::collection::vec(steps(), 1..80),
    ) {
        let mut desk = Desk::new();
        let mut declared = settings.clone();
        declared.expires = None;
        desk.declare("q", declared);
        let mut model = Model {
            settings,
            next: 0,
            ready: BTreeMap::new(),
            consumers: BTreeMap::new(),
            lanes: BTreeMap::new(),
            leases: Vec::new(),
        };
        for (number, step) in steps.into_iter().enumerate() {
            let told = run(&mut desk, &mut model, number as u32, step);
            model.check(&told);
            model.compare(&desk);
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_effects(
        settings in settings(),
        steps in prop::collection::vec(steps(), 1..60),
    ) {
        let once = || {
            let mut desk = Desk::new();
            desk.declare("q", settings.clone());
            let mut model = Model {
                settings: settings.clone(),
                next: 0,
                ready: BTreeMap::new(),
                consumers: BTreeMap::new(),
                lanes: BTreeMap::new(),
                leases: Vec::new(),
            };
            let mut log = String::new();
            for (number, step) in steps.iter().cloned().enumerate() {
                let told = run(&mut desk, &mut model, number as u32, step);
                model.check(&told);
                log.push_str(&format!("{told:?}\n"));
            }
            let mut snapshot = Vec::new();
            desk.engine.snapshot(&mut snapshot);
            (log, desk.shelf.records, snapshot)
        };
        prop_assert_eq!(once(), once());
    }
}
