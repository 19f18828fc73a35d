//! The engine's recovery: what an engine wrote is read back to the same state; what was cut, mixed up or made up is refused or
//! comes to some state that works, never a panic.
//!
//! `requests to an engine, until 255 | damage to its snapshot and records` or, after a 1, `snapshot | records`
#![no_main]

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use polybus_engine::{
    Corrupt, Effects, Engine, Options, Place, Recovery, ReplayOrigin, Shared, Store, Stored, record,
};
use polybus_fuzz::Script;
use polybus_model::{
    Batch, Binding, Body, DeadLetter, DelayedRetry, Destination, Event, Lane, LeaseId, Message,
    MessageParts, Name, Origin, Outcome, Overflow, Publish, QueueKind, QueueSettings, Reply,
    Request, Returns, SessionId, Settle, Subscribe, SubscriberId, Table, TopicKind, TopicSettings,
    Value,
};

const SESSIONS: [u64; 2] = [1, 2];
const QUEUES: [&str; 4] = ["a", "b", "c", "d"];
const TOPICS: [&str; 3] = ["x", "y", "amq.topic"];
const RECORDS_MAX: usize = 300;

fuzz_target!(|data: &[u8]| {
    let mut script = Script(data);
    match script.u8() {
        1 => made_up(script),
        _ => written(script),
    }
});

/// Keeps all records and counts the references to them.
#[derive(Clone, Debug, Default)]
struct Shelf {
    records: Vec<(u8, Vec<u8>)>,
    references: BTreeMap<u64, i64>,
    /// References to what was made up may go wrong.
    is_lenient: bool,
}

impl Store for Shelf {
    fn append(
        &mut self,
        kind: u8,
        _: u64,
        _: u64,
        parts: &[&[u8]],
        shared: Option<Shared<'_>>,
        references: u32,
    ) -> Stored {
        let mut payload = parts.concat();
        payload.extend_from_slice(shared.map_or(&[], |shared| shared.bytes));
        let len = payload.len() as u32;
        self.records.push((kind, payload));
        let place = place(self.records.len() as u64);
        if references > 0 {
            self.references.insert(place.0.get(), references.into());
        }
        Stored { place, len }
    }

    fn adopt(&mut self, place: Place, _: u32) {
        *self.references.entry(place.0.get()).or_default() += 1;
    }

    fn release(&mut self, place: Place, _: u32) {
        let count = self.references.entry(place.0.get()).or_default();
        *count -= 1;
        assert!(self.is_lenient || *count >= 0, "released too often");
    }
}

fn place(number: u64) -> Place {
    Place(NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN))
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap_or_else(|_| Name::empty())
}

struct Desk {
    engine: Engine,
    shelf: Shelf,
    now: u64,
    leases: Vec<(u64, u16, LeaseId)>,
}

impl Desk {
    fn new(engine: Engine, shelf: Shelf, now: u64) -> Self {
        let mut desk = Self {
            engine,
            shelf,
            now,
            leases: Vec::new(),
        };
        for session in SESSIONS {
            let _ = desk.engine.attach(SessionId(session), &name("/"));
        }
        desk
    }

    fn ask(&mut self, session: u64, lane: u16, request: Request) {
        let mut batch = Batch {
            requests: vec![(Lane(lane), request)],
        };
        let mut out = Effects::default();
        let id = SessionId(session);
        self.engine
            .handle(id, &mut batch, self.now, &mut self.shelf, &mut out);
        self.take_in(out);
    }

    fn take_in(&mut self, out: Effects) {
        let gated = out.gated.into_iter().map(|one| (one.session, one.event));
        for (session, event) in out.events.into_iter().chain(gated) {
            let (lane, lease) = match &event {
                Event::Delivery(delivery) => (delivery.lane, delivery.lease),
                Event::Reply {
                    lane,
                    result: Ok(Reply::Taken(Some(taken))),
                } => (*lane, taken.lease),
                _ => continue,
            };
            self.leases
                .extend(lease.map(|lease| (session.0, lane.0, lease)));
        }
        for load in out.loads {
            let mut messages = Vec::new();
            for (sequence, place, _) in &load.items {
                let record = self.shelf.records.get(place.0.get() as usize - 1);
                let message = record.and_then(|(_, payload)| record::decode_message(payload).ok());
                messages.extend(message.map(|message| (*sequence, message)));
            }
            // What cannot be read is asked for again, for ever: a broker stops then.
            if messages.is_empty() && !load.items.is_empty() {
                continue;
            }
            let mut out = Effects::default();
            self.engine
                .handle_loaded(load.queue, messages, self.now, &mut self.shelf, &mut out);
            self.take_in(out);
        }
    }

    fn timeout(&mut self) {
        let mut out = Effects::default();
        self.engine
            .handle_timeout(self.now, &mut self.shelf, &mut out);
        self.take_in(out);
    }

    fn act(&mut self, script: &mut Script<'_>) {
        let session = *script.pick(&SESSIONS);
        let lane = u16::from(script.u8() % 2 + 1);
        let queue = name(script.pick(&QUEUES));
        let topic = name(script.pick(&TOPICS));
        match script.u8() % 16 {
            0 | 1 => {
                let settings = Some(Box::new(queue_settings(script)));
                self.ask(
                    session,
                    lane,
                    Request::DeclareQueue {
                        name: queue,
                        settings,
                    },
                );
            }
            2 => {
                let settings = Some(Box::new(topic_settings(script)));
                self.ask(
                    session,
                    lane,
                    Request::DeclareTopic {
                        name: topic,
                        settings,
                    },
                );
            }
            3 => {
                let destination = match script.flag() {
                    true => Destination::Queue(queue),
                    false => Destination::Topic(name(script.pick(&TOPICS))),
                };
                let binding = Box::new(Binding {
                    source: topic,
                    destination,
                    key: Bytes::from_static(script.pick(&[&b"a"[..], b"#", b"*.b", b"3"])),
                    arguments: Table::new(),
                });
                let request = match script.flag() {
                    true => Request::Bind(binding),
                    false => Request::Unbind(binding),
                };
                self.ask(session, lane, request);
            }
            4..8 => {
                let publish = publish(script, &topic, &queue);
                self.ask(session, lane, Request::Publish(publish));
            }
            8 => {
                let subscribe = Subscribe {
                    queue,
                    subscriber: SubscriberId(script.u8().into()),
                    tag: Bytes::new(),
                    auto_settle: script.flag(),
                    exclusive: false,
                    priority: 0,
                    credit: Some(u32::from(script.u8())).filter(|credit| *credit > 0),
                    consumer_timeout: None,
                    internal: false,
                    arguments: Table::new(),
                };
                self.ask(session, lane, Request::Subscribe(Box::new(subscribe)));
            }
            9 => {
                let auto_settle = script.flag();
                self.ask(session, lane, Request::Take { queue, auto_settle });
            }
            10 | 11 if !self.leases.is_empty() => {
                let at = usize::from(script.u8()) % self.leases.len();
                let (session, lane, lease) = self.leases.swap_remove(at);
                let outcome = match script.u8() % 4 {
                    0 => Outcome::Reject,
                    1 => Outcome::Release { failed: true },
                    2 => Outcome::Release { failed: false },
                    _ => Outcome::Accept,
                };
                let leases = vec![lease];
                self.ask(session, lane, Request::Settle(Settle { leases, outcome }));
            }
            12 => {
                self.now += u64::from(script.u16());
                self.timeout();
            }
            13 => match script.u8() % 4 {
                0 => self.ask(session, lane, Request::Purge { queue }),
                1 => {
                    let request = Request::DeleteQueue {
                        name: queue,
                        if_unused: script.flag(),
                        if_empty: script.flag(),
                    };
                    self.ask(session, lane, request);
                }
                2 => {
                    let if_unused = script.flag();
                    self.ask(
                        session,
                        lane,
                        Request::DeleteTopic {
                            name: topic,
                            if_unused,
                        },
                    );
                }
                _ => self.ask(session, lane, Request::CloseLane),
            },
            14 => {
                let other = name("other");
                match script.flag() {
                    true => drop(self.engine.add_namespace(&other, &mut self.shelf)),
                    false => {
                        let mut out = Effects::default();
                        let _ = self.engine.delete_namespace(
                            &other,
                            self.now,
                            &mut self.shelf,
                            &mut out,
                        );
                        self.take_in(out);
                    }
                }
            }
            _ => {
                let mut out = Effects::default();
                let id = SessionId(session);
                self.engine
                    .handle_detached(id, self.now, &mut self.shelf, &mut out);
                self.take_in(out);
                let _ = self.engine.attach(id, &name("/"));
            }
        }
    }

    /// Uses everything that is there.
    fn exercise(&mut self) {
        for queue in QUEUES {
            for _ in 0..3 {
                let queue = name(queue);
                let auto_settle = false;
                self.ask(1, 1, Request::Take { queue, auto_settle });
            }
        }
        for (session, lane, lease) in std::mem::take(&mut self.leases) {
            let (leases, outcome) = (vec![lease], Outcome::Reject);
            self.ask(session, lane, Request::Settle(Settle { leases, outcome }));
        }
        for _ in 0..4 {
            match self.engine.poll_timeout() {
                Some(due) => self.now = self.now.max(due),
                None => break,
            }
            self.timeout();
        }
        for queue in QUEUES {
            let _ = self.engine.peek("/", queue, 3);
            let queue = name(queue);
            self.ask(1, 1, Request::Purge { queue });
        }
    }

    /// What survives, as listings show it.
    fn durable_state(&self) -> (Vec<(Name, u64)>, usize) {
        let mut queues: Vec<_> = self
            .engine
            .queues("/")
            .into_iter()
            .filter(|queue| queue.settings.durable && !queue.settings.exclusive)
            .map(|queue| (queue.name, queue.settings.arguments.len() as u64))
            .collect();
        queues.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
        (queues, self.engine.namespaces().len())
    }
}

fn queue_settings(script: &mut Script<'_>) -> QueueSettings {
    let (shape, more) = (script.u8(), script.u8());
    let mut arguments = Table::new();
    arguments.push("shape", Value::I32(shape.into()));
    QueueSettings {
        kind: if shape & 1 == 1 {
            QueueKind::Quorum
        } else {
            QueueKind::Classic
        },
        durable: shape & 2 == 0,
        exclusive: shape & 12 == 12,
        auto_delete: shape & 48 == 48,
        message_ttl: (more & 1 == 1).then(|| script.u16().into()),
        expires: (more & 130 == 130).then_some(60_000),
        max_length: (more & 4 == 4).then(|| script.u8().into()),
        max_bytes: (more & 12 == 12).then_some(1_000),
        overflow: *script.pick(&[
            Overflow::DropHead,
            Overflow::RejectPublish,
            Overflow::RejectPublishDeadLetter,
        ]),
        dead_letter: (more & 16 == 16).then(|| DeadLetter {
            topic: name(script.pick(&["", "x", "amq.topic"])),
            key: script.flag().then(|| Bytes::from_static(b"b")),
        }),
        max_priority: (shape & 64 == 64).then_some(4),
        delivery_limit: (more & 32 == 32).then_some(2),
        delayed_retry: (more & 64 == 64).then_some(DelayedRetry {
            of: Returns::All,
            min: 10,
            max: 100,
        }),
        single_active: shape & 128 == 128,
        arguments,
        ..QueueSettings::default()
    }
}

fn topic_settings(script: &mut Script<'_>) -> TopicSettings {
    let shape = script.u8();
    TopicSettings {
        kind: *script.pick(&[
            TopicKind::Direct,
            TopicKind::Fanout,
            TopicKind::Pattern,
            TopicKind::Headers,
            TopicKind::ConsistentHash,
        ]),
        delayed: shape & 1 == 1,
        durable: shape & 2 == 0,
        auto_delete: shape & 4 == 4,
        internal: false,
        alternate: (shape & 8 == 8).then(|| name("x")),
        arguments: Table::new(),
    }
}

fn publish(script: &mut Script<'_>, topic: &Name, queue: &Name) -> Publish {
    let shape = script.u8();
    let body = vec![shape; if shape & 1 == 1 { 5_000 } else { 20 }];
    let (topic, key) = match shape & 2 {
        0 => ("", queue.as_str()),
        _ => (topic.as_str(), "a"),
    };
    let message = Message::new(MessageParts {
        origin: Origin(1),
        topic: topic.as_bytes(),
        key: key.as_bytes(),
        properties: b"",
        body: Body::Copied(&body),
        durable: shape & 4 == 0,
        priority: (shape & 8 == 8).then(|| script.u8()),
        ttl: (shape & 16 == 16).then(|| script.u16().into()),
        deaths: None,
    });
    Publish {
        message,
        more_keys: Vec::new(),
        mandatory: false,
        confirm: None,
        delay: (shape & 32 == 32).then(|| script.u16().into()),
    }
}

fn options() -> Options {
    Options {
        resident_bytes_max: 2_000,
        ..Options::default()
    }
}

/// Records of a real engine, damaged or not.
fn written(mut script: Script<'_>) {
    let mut desk = Desk::new(Engine::new(options()), Shelf::default(), 1_000);
    let (mut snapshot, mut taken_at) = (None, 0);
    while !script.is_over() && desk.shelf.records.len() < RECORDS_MAX {
        match script.u8() {
            255 => break,
            250..255 => {
                let mut bytes = Vec::new();
                desk.engine.snapshot(&mut bytes);
                (snapshot, taken_at) = (Some(bytes), desk.shelf.records.len());
            }
            _ => desk.act(&mut script),
        }
    }
    let mut records: Vec<_> = (1_u64..).zip(desk.shelf.records.clone()).collect();
    let is_damaged = !script.is_over();
    let clean = script.flag();
    while !script.is_over() {
        damage(&mut script, &mut records, &mut snapshot);
    }
    match recover(
        snapshot.as_deref(),
        taken_at as u64,
        &records,
        desk.now,
        clean,
    ) {
        Ok((engine, mut shelf)) => {
            shelf.is_lenient = is_damaged;
            shelf.records.clone_from(&desk.shelf.records);
            let mut again = Desk::new(engine, shelf, desk.now);
            if !is_damaged {
                assert_eq!(again.durable_state(), desk.durable_state());
                for (place, count) in &again.shelf.references {
                    let before = desk.shelf.references.get(place).copied();
                    assert!(*count <= before.unwrap_or_default(), "settled and back");
                }
            }
            again.exercise();
            let mut bytes = Vec::new();
            again.engine.snapshot(&mut bytes);
            assert!(
                Engine::restore(options(), &bytes).is_ok(),
                "its own snapshot"
            );
        }
        Err(Corrupt(text)) => assert!(is_damaged, "what was written is refused: {text}"),
    }
}

fn damage(
    script: &mut Script<'_>,
    records: &mut Vec<(u64, (u8, Vec<u8>))>,
    snapshot: &mut Option<Vec<u8>>,
) {
    let what = script.u8();
    let count = records.len();
    if count == 0 {
        return;
    }
    let (one, other) = (
        usize::from(script.u16()) % count,
        usize::from(script.u16()) % count,
    );
    let bytes = match (what & 128, snapshot) {
        (128, Some(bytes)) => bytes,
        _ => &mut records[one].1.1,
    };
    let at = usize::from(script.u16()) % bytes.len().max(1);
    match what % 8 {
        0 | 1 => drop(bytes.get_mut(at).map(|byte| *byte ^= script.u8())),
        2 => bytes.truncate(at),
        3 => {
            let with = script.bytes(1 + usize::from(what >> 4 & 7));
            let end = (at + with.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&with[..end - at]);
        }
        4 => drop(records.remove(one)),
        5 => records.swap(one, other),
        6 => {
            let copy = records[one].clone();
            records.insert(other, copy);
        }
        _ => {
            let len = script.u8().into();
            let with = script.bytes(len);
            let kind = with.first().copied().unwrap_or_default();
            records.insert(one, (1 + other as u64, (kind, with.to_vec())));
        }
    }
}

fn recover(
    snapshot: Option<&[u8]>,
    taken_at: u64,
    records: &[(u64, (u8, Vec<u8>))],
    now: u64,
    clean: bool,
) -> Result<(Engine, Shelf), Corrupt> {
    let mut recovery = match snapshot {
        Some(bytes) => Engine::restore(options(), bytes)?,
        None => Recovery::empty(options()),
    };
    for (at, (kind, payload)) in records {
        let origin = match snapshot {
            Some(_) if *at <= taken_at => ReplayOrigin::BeforeSnapshot,
            _ => ReplayOrigin::AfterSnapshot,
        };
        recovery.replay(origin, *kind, place(*at), payload)?;
    }
    let mut shelf = Shelf::default();
    let engine = recovery.finish(now, clean, &mut shelf)?;
    Ok((engine, shelf))
}

/// Bytes that no engine wrote.
fn made_up(mut script: Script<'_>) {
    let len = usize::from(script.u16());
    let now = script.u32().into();
    let snapshot = script.bytes(len).to_vec();
    let mut recovery = match Engine::restore(options(), &snapshot) {
        Ok(recovery) if len > 0 => recovery,
        _ => Recovery::empty(options()),
    };
    let mut shelf = Shelf {
        is_lenient: true,
        ..Shelf::default()
    };
    while !script.is_over() {
        let origin = *script.pick(&[
            ReplayOrigin::AfterSnapshot,
            ReplayOrigin::BeforeSnapshot,
            ReplayOrigin::Cold,
        ]);
        let len = usize::from(script.u8());
        let payload = script.bytes(len).to_vec();
        let kind = payload.first().copied().unwrap_or_default();
        let _ = record::decode_message(&payload);
        shelf.records.push((kind, payload.clone()));
        let at = place(shelf.records.len() as u64);
        if recovery.replay(origin, kind, at, &payload).is_err() {
            shelf.records.pop();
        }
    }
    let mut adopted = shelf.clone();
    if let Ok(engine) = recovery.finish(now, false, &mut adopted) {
        Desk::new(engine, adopted, now).exercise();
    }
}
