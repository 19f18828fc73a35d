//! A bench to test engines on: a store that keeps its records, and sessions that say what they want in one line.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use bytes::Bytes;
use polybus_model::{
    Batch, Body, Delivery, Event, Lane, LeaseId, Message, MessageParts, Millis, Name, Origin,
    Outcome, Publish, QueueSettings, Reply, Request, Run, SessionId, Settle, Subscribe,
    SubscriberId, Table,
};

use crate::{Effects, Engine, Options, Place, Shared, Store, Stored, record};

/// An engine that is due so often while its time stands still will always be: a broker would spin.
const AT_ONCE_MAX: usize = 10_000;

/// Keeps all records and counts the references to them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shelf {
    pub(crate) records: Vec<(u8, Place, Vec<u8>)>,
    pub(crate) references: BTreeMap<Place, i64>,
}

impl Shelf {
    pub(crate) fn read(&self, place: Place) -> &[u8] {
        &self.records[place.0.get() as usize - 1].2
    }

    pub(crate) fn live(&self) -> usize {
        self.references.values().filter(|count| **count > 0).count()
    }
}

impl Store for Shelf {
    fn append(
        &mut self,
        kind: u8,
        _queue: u64,
        _sequence: u64,
        parts: &[&[u8]],
        shared: Option<Shared<'_>>,
        references: u32,
    ) -> Stored {
        let mut payload = parts.concat();
        payload.extend_from_slice(shared.map_or(&[], |shared| shared.bytes));
        let place = Place(NonZeroU64::new(self.records.len() as u64 + 1).unwrap());
        let len = payload.len() as u32;
        self.records.push((kind, place, payload));
        if references > 0 {
            self.references.insert(place, references.into());
        }
        Stored { place, len }
    }

    fn adopt(&mut self, place: Place, len: u32) {
        assert_eq!(self.read(place).len(), len as usize);
        *self.references.entry(place).or_default() += 1;
    }

    fn release(&mut self, place: Place, len: u32) {
        assert_eq!(self.read(place).len(), len as usize);
        let count = self.references.get_mut(&place).expect("a known place");
        *count -= 1;
        assert!(*count >= 0, "released too often");
    }
}

pub(crate) struct Desk {
    pub(crate) engine: Engine,
    pub(crate) shelf: Shelf,
    pub(crate) now: Millis,
    /// Answer loads at once.
    pub(crate) loads: bool,
    owed: Vec<crate::Load>,
    pub(super) owed_runs: Vec<crate::LogLoad>,
    owed_compactions: Vec<crate::CompactionLoad>,
    /// All is durable at once; else when [`Desk::tell_durable`] says so.
    pub(crate) durable: bool,
    /// The last mark that is not yet durable.
    pub(crate) mark: Option<u64>,
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn message(topic: &str, key: &str, body: &str) -> Message {
    message_with(topic, key, body, |_| {})
}

pub(crate) fn message_with(
    topic: &str,
    key: &str,
    body: &str,
    change: impl FnOnce(&mut MessageParts<'_>),
) -> Message {
    let mut parts = MessageParts {
        origin: Origin(1),
        topic: topic.as_bytes(),
        key: key.as_bytes(),
        properties: b"",
        body: Body::Copied(body.as_bytes()),
        durable: true,
        priority: None,
        ttl: None,
        deaths: None,
    };
    change(&mut parts);
    Message::new(parts)
}

pub(crate) fn publish(message: Message) -> Publish {
    Publish {
        message,
        more_keys: Vec::new(),
        mandatory: false,
        confirm: None,
        delay: None,
    }
}

pub(crate) fn durable() -> QueueSettings {
    QueueSettings {
        durable: true,
        ..QueueSettings::default()
    }
}

pub(crate) fn subscribe(queue: &str, number: u32) -> Subscribe {
    Subscribe {
        queue: name(queue),
        subscriber: SubscriberId(number),
        tag: Bytes::new(),
        auto_settle: false,
        exclusive: false,
        priority: 0,
        credit: None,
        consumer_timeout: None,
        internal: false,
        arguments: Table::new(),
    }
}

pub(crate) fn body(delivery: &Delivery) -> String {
    String::from_utf8_lossy(delivery.message.body()).into_owned()
}

/// What a turn told, in order, gated events last.
pub(crate) type Told = Vec<(SessionId, Event)>;

pub(crate) fn deliveries(told: Told) -> Vec<Delivery> {
    told.into_iter()
        .filter_map(|(_, event)| match event {
            Event::Delivery(delivery) => Some(delivery),
            _ => None,
        })
        .collect()
}

pub(crate) fn bodies(told: Told) -> Vec<String> {
    deliveries(told).iter().map(body).collect()
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        let mut desk = Self {
            engine: Engine::new(options),
            shelf: Shelf::default(),
            now: 1_000,
            loads: true,
            owed: Vec::new(),
            owed_runs: Vec::new(),
            owed_compactions: Vec::new(),
            durable: true,
            mark: None,
        };
        desk.attach_all();
        desk
    }

    /// The sessions that tests use.
    pub(crate) fn attach_all(&mut self) {
        for session in 1..=4 {
            self.engine.attach(SessionId(session), &name("/")).unwrap();
        }
    }

    pub(super) fn told(&mut self, mut effects: Effects) -> Told {
        let mut told = std::mem::take(&mut effects.events);
        told.extend(
            effects
                .gated
                .into_iter()
                .map(|one| (one.session, one.event)),
        );
        self.owed.append(&mut effects.loads);
        self.owed_runs.append(&mut effects.log_loads);
        self.owed_compactions.append(&mut effects.compactions);
        self.mark = effects.durable.or(self.mark);
        if self.loads {
            told.extend(self.answer_owed());
        }
        if self.durable {
            told.extend(self.tell_durable());
        }
        told
    }

    /// All that was appended becomes durable.
    pub(crate) fn tell_durable(&mut self) -> Told {
        let Some(mark) = self.mark.take() else {
            return Vec::new();
        };
        let mut out = Effects::default();
        self.engine.handle_durable(mark, &mut self.shelf, &mut out);
        self.told(out)
    }

    /// Answers the loads that were not answered at once, and those that follow from them.
    pub(crate) fn answer_owed(&mut self) -> Told {
        let mut told = Vec::new();
        while !self.owed.is_empty()
            || !self.owed_runs.is_empty()
            || !self.owed_compactions.is_empty()
        {
            for load in std::mem::take(&mut self.owed_compactions) {
                let runs = self.read_runs(&load.items);
                let done = load.work.carry_out(runs);
                let mut out = Effects::default();
                let now = self.now;
                self.engine
                    .handle_compacted(load.number, done, now, &mut self.shelf, &mut out);
                told.extend(self.told(out));
            }
            for load in std::mem::take(&mut self.owed_runs) {
                let runs = self.read_runs(&load.items);
                let mut out = Effects::default();
                let now = self.now;
                self.engine
                    .handle_log_loaded(load.number, runs, now, &mut self.shelf, &mut out);
                told.extend(self.told(out));
            }
            for load in std::mem::take(&mut self.owed) {
                let messages = load
                    .items
                    .iter()
                    .map(|(sequence, place, len)| {
                        let payload = self.shelf.read(*place);
                        assert_eq!(payload.len(), *len as usize);
                        (*sequence, record::decode_message(payload).unwrap())
                    })
                    .collect();
                let mut out = Effects::default();
                let now = self.now;
                self.engine
                    .handle_loaded(load.queue, messages, now, &mut self.shelf, &mut out);
                told.extend(self.told(out));
            }
        }
        told
    }

    /// Answers the oldest read of a log that was not answered at once; false if there is none.
    pub(crate) fn answer_one_read(&mut self) -> bool {
        if self.owed_runs.is_empty() {
            return false;
        }
        let load = self.owed_runs.remove(0);
        let runs = self.read_runs(&load.items);
        let (mut out, now) = (Effects::default(), self.now);
        self.engine
            .handle_log_loaded(load.number, runs, now, &mut self.shelf, &mut out);
        self.told(out);
        true
    }

    /// The process ends, and another one has recovered that.
    pub(crate) fn crash(&mut self, (engine, shelf): (Engine, Shelf)) {
        (self.engine, self.shelf) = (engine, shelf);
        self.mark = None;
        self.owed.clear();
        self.owed_runs.clear();
        self.owed_compactions.clear();
        self.attach_all();
    }

    fn read_runs(&self, items: &[(Place, u32)]) -> Vec<Run> {
        let runs = items.iter().map(|(place, len)| {
            let payload = self.shelf.read(*place);
            assert_eq!(payload.len(), *len as usize);
            crate::decode_run(&Bytes::copy_from_slice(payload)).unwrap()
        });
        runs.collect()
    }

    /// A batch on lane 1 of a session.
    pub(crate) fn batch(&mut self, session: u64, requests: Vec<Request>) -> Told {
        self.batch_on(session, 1, requests)
    }

    pub(crate) fn batch_on(&mut self, session: u64, lane: u16, requests: Vec<Request>) -> Told {
        let requests = requests
            .into_iter()
            .map(|request| (Lane(lane), request))
            .collect();
        self.raw(session, Batch { requests })
    }

    pub(crate) fn raw(&mut self, session: u64, mut batch: Batch) -> Told {
        let mut out = Effects::default();
        self.engine.handle(
            SessionId(session),
            &mut batch,
            self.now,
            &mut self.shelf,
            &mut out,
        );
        self.told(out)
    }

    pub(crate) fn detach(&mut self, session: u64) -> Told {
        let mut out = Effects::default();
        self.engine
            .handle_detached(SessionId(session), self.now, &mut self.shelf, &mut out);
        self.told(out)
    }

    /// Lets time pass, with all that is due on the way.
    pub(crate) fn wait(&mut self, ms: Millis) -> Told {
        let until = self.now + ms;
        let mut told = Vec::new();
        let mut at_once = 0;
        while let Some(due) = self.engine.poll_timeout()
            && due <= until
        {
            at_once = if due > self.now { 0 } else { at_once + 1 };
            assert!(at_once < AT_ONCE_MAX, "it is due again and again at {due}");
            self.now = self.now.max(due);
            let mut out = Effects::default();
            self.engine
                .handle_timeout(self.now, &mut self.shelf, &mut out);
            told.extend(self.told(out));
        }
        self.now = until;
        told
    }

    pub(crate) fn declare(&mut self, queue: &str, settings: QueueSettings) {
        let request = Request::DeclareQueue {
            name: name(queue),
            settings: Some(Box::new(settings)),
        };
        let told = self.batch(1, vec![request]);
        assert!(
            matches!(told[..], [(_, Event::Reply { result: Ok(_), .. })]),
            "{told:?}"
        );
    }

    /// Publishes to a queue by its name.
    pub(crate) fn send(&mut self, queue: &str, bodies: &[&str]) -> Told {
        let requests = bodies
            .iter()
            .map(|body| Request::Publish(publish(message("", queue, body))))
            .collect();
        self.batch(1, requests)
    }

    pub(crate) fn subscribe(&mut self, session: u64, subscribe: Subscribe) -> Told {
        self.batch(session, vec![Request::Subscribe(Box::new(subscribe))])
    }

    pub(crate) fn settle(&mut self, session: u64, leases: Vec<LeaseId>, outcome: Outcome) -> Told {
        self.batch(session, vec![Request::Settle(Settle { leases, outcome })])
    }

    pub(crate) fn take(&mut self, session: u64, queue: &str) -> Option<polybus_model::Taken> {
        let request = Request::Take {
            queue: name(queue),
            auto_settle: false,
        };
        let told = self.batch(session, vec![request]);
        told.into_iter().find_map(|(_, event)| match event {
            Event::Reply {
                result: Ok(Reply::Taken(taken)),
                ..
            } => taken.map(|taken| *taken),
            _ => None,
        })
    }

    /// Takes all that is ready, settling it, and gives the bodies.
    pub(crate) fn drain(&mut self, queue: &str) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(taken) = self.take(4, queue) {
            all.push(String::from_utf8_lossy(taken.message.body()).into_owned());
            self.settle(4, taken.lease.into_iter().collect(), Outcome::Accept);
        }
        all
    }
}
