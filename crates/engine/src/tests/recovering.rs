//! Random turns, a snapshot anywhere among them, an end after any of them: what is recovered is what was durable.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use polybus_model::{
    Attempts, Binding, DeadLetter, DelayedRetry, Destination, Event, LeaseId, Outcome, QueueKind,
    QueueSettings, Request, Returns, SessionId, Table, TopicKind, TopicSettings, Transaction,
};
use proptest::prelude::*;

use super::desk::{Desk, Shelf, Told, durable, message_with, name, publish, subscribe};
use crate::record::Range;
use crate::{Engine, Options, Place, Recovery, ReplayOrigin, Store, snapshot};

const QUEUES: [&str; 5] = ["plain", "quorum", "ttl", "priority", "transient"];

fn queue(at: usize) -> (&'static str, QueueSettings) {
    let name_of = QUEUES[at % QUEUES.len()];
    let mut settings = durable();
    match name_of {
        "quorum" => {
            settings.kind = QueueKind::Quorum;
            settings.delivery_limit = Some(2);
            settings.delayed_retry = Some(DelayedRetry {
                of: Returns::All,
                min: 20,
                max: 50,
            });
        }
        "ttl" => {
            settings.message_ttl = Some(40);
            settings.dead_letter = Some(DeadLetter {
                topic: name("t"),
                key: Some(Bytes::from_static(b"dead")),
            });
            settings.max_length = Some(6);
        }
        "priority" => settings.max_priority = Some(3),
        "transient" => settings.durable = false,
        _ => {}
    }
    (name_of, settings)
}

#[derive(Clone, Debug)]
enum Step {
    Declare(usize),
    Delete(usize),
    Topic(bool),
    DeleteTopic,
    Bind(usize),
    Unbind(usize),
    Publish {
        queue: usize,
        count: usize,
        durable: bool,
        priority: u8,
        by_topic: bool,
        delay: Option<u64>,
    },
    Transaction(usize),
    Subscribe(usize),
    Settle(usize, Outcome),
    CloseLane,
    Purge(usize),
    Wait(u64),
    Compact,
}

fn steps() -> impl Strategy<Value = Step> {
    let at = 0..QUEUES.len();
    let outcome = prop_oneof![
        Just(Outcome::Accept),
        any::<bool>().prop_map(|failed| Outcome::Release { failed }),
        Just(Outcome::Reject),
    ];
    prop_oneof![
        4 => at.clone().prop_map(Step::Declare),
        1 => at.clone().prop_map(Step::Delete),
        2 => any::<bool>().prop_map(Step::Topic),
        1 => Just(Step::DeleteTopic),
        4 => at.clone().prop_map(Step::Bind),
        1 => at.clone().prop_map(Step::Unbind),
        12 => (at.clone(), 1..4_usize, prop::bool::weighted(0.8), 0..5_u8, any::<bool>(), prop::option::of(1..60_u64))
            .prop_map(|(queue, count, durable, priority, by_topic, delay)| Step::Publish {
                queue, count, durable, priority, by_topic, delay,
            }),
        1 => at.clone().prop_map(Step::Transaction),
        3 => at.clone().prop_map(Step::Subscribe),
        8 => (any::<usize>(), outcome).prop_map(|(which, outcome)| Step::Settle(which, outcome)),
        1 => Just(Step::CloseLane),
        1 => at.prop_map(Step::Purge),
        3 => (1..50_u64).prop_map(Step::Wait),
        1 => Just(Step::Compact),
    ]
}

fn binding(at: usize) -> Box<Binding> {
    Box::new(Binding {
        source: name("t"),
        destination: Destination::Queue(name(QUEUES[at])),
        key: Bytes::new(),
        arguments: Table::new(),
    })
}

fn topic(delayed: bool) -> Request {
    Request::DeclareTopic {
        name: name("t"),
        settings: Some(Box::new(TopicSettings {
            kind: TopicKind::Fanout,
            delayed,
            durable: true,
            auto_delete: false,
            internal: false,
            alternate: None,
            arguments: Table::new(),
        })),
    }
}

fn run(desk: &mut Desk, held: &mut Vec<LeaseId>, number: usize, step: &Step) {
    let request = match step.clone() {
        Step::Declare(at) => {
            let (queue, settings) = queue(at);
            Request::DeclareQueue {
                name: name(queue),
                settings: Some(Box::new(settings)),
            }
        }
        Step::Delete(at) => Request::DeleteQueue {
            name: name(QUEUES[at]),
            if_unused: false,
            if_empty: false,
        },
        Step::Topic(delayed) => topic(delayed),
        Step::DeleteTopic => Request::DeleteTopic {
            name: name("t"),
            if_unused: false,
        },
        Step::Bind(at) => Request::Bind(binding(at)),
        Step::Unbind(at) => Request::Unbind(binding(at)),
        Step::Publish {
            queue,
            count,
            durable,
            priority,
            by_topic,
            delay,
        } => {
            let topic = if by_topic { "t" } else { "" };
            let requests = (0..count)
                .map(|_| {
                    let message = message_with(topic, QUEUES[queue], "body", |parts| {
                        parts.durable = durable;
                        parts.priority = Some(priority);
                    });
                    let mut one = publish(message);
                    one.delay = delay;
                    Request::Publish(one)
                })
                .collect();
            note(held, desk.batch(1, requests));
            return;
        }
        Step::Transaction(at) => Request::Transaction(Box::new(Transaction {
            publishes: vec![publish(message_with("", QUEUES[at], "tx", |_| {}))],
            settles: held
                .pop()
                .map(|lease| polybus_model::Settle {
                    leases: vec![lease],
                    outcome: Outcome::Accept,
                })
                .into_iter()
                .collect(),
        })),
        Step::Subscribe(at) => {
            let mut one = subscribe(QUEUES[at], number as u32);
            one.credit = Some(3);
            Request::Subscribe(Box::new(one))
        }
        Step::Settle(which, outcome) => {
            if held.is_empty() {
                return;
            }
            let leases = vec![held.swap_remove(which % held.len())];
            Request::Settle(polybus_model::Settle { leases, outcome })
        }
        Step::CloseLane => Request::CloseLane,
        Step::Purge(at) => Request::Purge {
            queue: name(QUEUES[at]),
        },
        Step::Wait(ms) => {
            note(held, desk.wait(ms));
            return;
        }
        Step::Compact => return,
    };
    note(held, desk.batch(1, vec![request]));
}

fn note(held: &mut Vec<LeaseId>, told: Told) {
    held.extend(told.into_iter().filter_map(|(_, event)| match event {
        Event::Delivery(delivery) => delivery.lease,
        _ => None,
    }));
}

/// What became of the records: the snapshot, and which records were copied or given up since.
#[derive(Default)]
pub(super) struct History {
    snapshot: Option<(usize, Vec<u8>)>,
    /// The snapshot is of a version before 0.4.
    pub(super) is_older: bool,
    cold: BTreeSet<usize>,
    retired: BTreeSet<usize>,
}

impl History {
    pub(super) fn snapshot(&mut self, desk: &Desk) {
        let mut bytes = Vec::new();
        desk.engine.snapshot(&mut bytes);
        self.snapshot = Some((desk.shelf.records.len(), bytes));
    }

    /// Copies what is alive of the records from before the snapshot, and gives those up.
    pub(super) fn compact(&mut self, desk: &mut Desk) {
        let Some((cut, _)) = self.snapshot else {
            return;
        };
        let old: Vec<_> = (0..cut)
            .chain(std::mem::take(&mut self.cold))
            .filter(|at| !self.retired.contains(at))
            .collect();
        for at in old {
            let (kind, from, payload) = desk.shelf.records[at].clone();
            let live = desk.engine.live_targets(from, &payload);
            if live > 0 {
                self.cold.insert(desk.shelf.records.len());
                let to = desk.shelf.append(kind, 0, 0, &[&payload], None, 0).place;
                desk.engine.relocate(&payload, from, to, &mut desk.shelf);
                assert_eq!(desk.engine.live_targets(to, &payload), live);
            }
            assert_eq!(desk.engine.live_targets(from, &payload), 0);
            self.retired.insert(at);
        }
    }

    pub(super) fn recover(&self, desk: &Desk, clean: bool) -> (Engine, Shelf) {
        self.recover_with(desk, clean, Options::default())
    }

    pub(super) fn recover_with(
        &self,
        desk: &Desk,
        clean: bool,
        options: Options,
    ) -> (Engine, Shelf) {
        let (cut, mut recovery) = match &self.snapshot {
            Some((cut, bytes)) => (*cut, Engine::restore(options, bytes).unwrap()),
            None => (0, Recovery::empty(options)),
        };
        if self.is_older {
            recovery.note_handed_on_at_append();
        }
        let records = &desk.shelf.records;
        for at in &self.cold {
            replay_known(&mut recovery, ReplayOrigin::Cold, &records[*at]);
        }
        for (at, record) in records.iter().enumerate() {
            if self.cold.contains(&at) || self.retired.contains(&at) {
                continue;
            }
            let (kind, place, payload) = record;
            match at < cut {
                true => replay_known(&mut recovery, ReplayOrigin::BeforeSnapshot, record),
                false => recovery
                    .replay(ReplayOrigin::AfterSnapshot, *kind, *place, payload)
                    .unwrap(),
            }
        }
        let mut shelf = Shelf {
            records: records.clone(),
            references: BTreeMap::new(),
        };
        let engine = recovery.finish(desk.now, clean, &mut shelf).unwrap();
        (engine, shelf)
    }
}

/// Shows a recovery the front of a record of which the snapshot knows what came, as an outline does. Every other time it is
/// shown all of it.
pub(super) fn replay_known(
    recovery: &mut Recovery,
    origin: ReplayOrigin,
    (kind, place, payload): &(u8, Place, Vec<u8>),
) {
    if place.0.get() % 2 == 0 {
        recovery.replay(origin, *kind, *place, payload).unwrap();
    } else if let Some(len) = crate::front(*kind, payload).unwrap() {
        let stand = (*place, payload.len() as u32);
        recovery
            .replay_front(origin, *kind, stand, &payload[..len])
            .unwrap();
    }
}

/// Live sequences, those delivered before, and attempts.
type Messages = (Vec<u64>, Vec<u64>, Vec<(u64, Attempts, u64)>);

/// The durable state, in a form that can be compared.
#[derive(PartialEq, Debug)]
struct Durable {
    definitions: Vec<Vec<u8>>,
    queues: BTreeMap<u64, Messages>,
    delayed: Vec<u64>,
}

fn all(ranges: &[Range]) -> Vec<u64> {
    ranges
        .iter()
        .flat_map(|range| range.first..range.first + u64::from(range.len))
        .collect()
}

fn durable_state(engine: &Engine, with_flags: bool) -> Durable {
    let mut bytes = Vec::new();
    engine.snapshot(&mut bytes);
    let state = snapshot::read(&bytes).unwrap();
    let mut definitions: Vec<_> = state.definitions.iter().map(|one| one.to_vec()).collect();
    definitions.sort();
    let queues = state.queues.iter().map(|queue| {
        let live = all(&queue.live);
        let redelivered = if with_flags {
            all(&queue.redelivered)
        } else {
            Vec::new()
        };
        let attempts = queue
            .attempts
            .iter()
            .filter(|one| live.contains(&one.sequence))
            .map(|one| (one.sequence, one.attempts, one.due))
            .collect();
        (queue.incarnation, (live, redelivered, attempts))
    });
    Durable {
        definitions,
        queues: queues.collect(),
        delayed: all(&state.delayed),
    }
}

pub(super) fn live(shelf: &Shelf) -> BTreeMap<Place, i64> {
    let mut live = shelf.references.clone();
    live.retain(|_, count| *count > 0);
    live
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_was_durable_is_recovered_from_any_snapshot(
        steps in prop::collection::vec(steps(), 1..60),
        cut in any::<prop::sample::Index>(),
        end in any::<prop::sample::Index>(),
    ) {
        let mut desk = Desk::new();
        let (mut held, mut history) = (Vec::new(), History::default());
        let (cut, end) = (cut.index(steps.len()), end.index(steps.len()));
        for (number, step) in steps.iter().enumerate() {
            match step {
                Step::Compact => history.compact(&mut desk),
                step => run(&mut desk, &mut held, number, step),
            }
            if number == cut {
                history.snapshot(&desk);
            }
            if number == end {
                break;
            }
        }
        let expected = durable_state(&desk.engine, false);
        let (engine, shelf) = history.recover(&desk, false);
        prop_assert_eq!(&durable_state(&engine, false), &expected);
        prop_assert_eq!(live(&shelf), live(&desk.shelf));

        // A clean end keeps which messages were delivered before.
        history.snapshot(&desk);
        let (engine, _) = history.recover(&desk, true);
        prop_assert_eq!(durable_state(&engine, true), durable_state(&desk.engine, true));
    }

    #[test]
    fn a_corrupt_record_is_an_error_and_never_a_panic(
        steps in prop::collection::vec(steps(), 1..20),
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let mut desk = Desk::new();
        let mut held = Vec::new();
        run(&mut desk, &mut held, 0, &Step::Declare(0));
        for (number, step) in steps.iter().enumerate() {
            run(&mut desk, &mut held, number + 1, step);
        }
        let mut bytes = Vec::new();
        desk.engine.snapshot(&mut bytes);
        damage(&mut bytes, at, byte, cut);
        let _ = Engine::restore(Options::default(), &bytes);
        let mut recovery = Recovery::empty(Options::default());
        let damaged = which.index(desk.shelf.records.len());
        for (number, (kind, place, payload)) in desk.shelf.records.iter().enumerate() {
            let mut payload = payload.clone();
            if number == damaged {
                damage(&mut payload, at, byte, cut);
                let _ = crate::record::decode_message(&payload);
                let _ = desk.engine.live_targets(*place, &payload);
            }
            if recovery.replay(ReplayOrigin::AfterSnapshot, *kind, *place, &payload).is_err() {
                return Ok(());
            }
        }
    }
}

fn damage(bytes: &mut Vec<u8>, at: prop::sample::Index, byte: u8, cut: bool) {
    let at = at.index(bytes.len());
    if cut {
        bytes.truncate(at);
    } else {
        bytes[at] = byte;
    }
}

#[test]
fn recovered_messages_are_loaded_and_delivered_in_order() {
    let mut desk = Desk::new();
    desk.declare("q", durable());
    desk.send("q", &["a", "b", "c", "d"]);
    let taken = desk.take(2, "q").unwrap();
    desk.settle(2, taken.lease.into_iter().collect(), Outcome::Accept);
    (desk.engine, desk.shelf) = History::default().recover(&desk, false);
    desk.engine.attach(SessionId(4), &name("/")).unwrap();
    let first = desk.take(4, "q").unwrap();
    assert!(first.redelivered);
    assert_eq!(first.message.body(), b"b");
    assert_eq!(desk.drain("q"), ["c", "d"]);
}

#[test]
fn what_is_journaled_only_to_leave_memory_does_not_survive() {
    let options = Options {
        resident_bytes_max: 10_000,
        ..Options::default()
    };
    let mut desk = Desk::with(options);
    desk.declare("q", durable());
    for _ in 0..2_000 {
        let transient = message_with("", "q", "transient", |parts| parts.durable = false);
        desk.batch(1, vec![Request::Publish(publish(transient))]);
    }
    desk.send("q", &["durable"]);
    assert!(desk.shelf.live() > 900);
    (desk.engine, desk.shelf) = History::default().recover(&desk, false);
    desk.engine.attach(SessionId(4), &name("/")).unwrap();
    assert_eq!(desk.drain("q"), ["durable"]);
    assert_eq!(desk.shelf.live(), 0);
}

#[test]
fn a_missing_message_is_corrupt_data() {
    let mut desk = Desk::new();
    desk.declare("q", durable());
    desk.send("q", &["a", "b", "c"]);
    let mut bytes = Vec::new();
    desk.engine.snapshot(&mut bytes);
    let mut recovery = Engine::restore(Options::default(), &bytes).unwrap();
    for (at, (kind, place, payload)) in desk.shelf.records.iter().enumerate() {
        if at != 2 {
            recovery
                .replay(ReplayOrigin::BeforeSnapshot, *kind, *place, payload)
                .unwrap();
        }
    }
    let error = recovery
        .finish(desk.now, false, &mut desk.shelf)
        .unwrap_err();
    assert!(
        error.to_string().contains("message 2 is missing"),
        "{error}"
    );
}
