//! What a queue costs: figures are per message, in batches of a hundred. `cargo bench -p polybus-engine --bench queue`

#![allow(missing_docs)]

use std::hint::black_box;
use std::num::NonZeroU64;

use bytes::Bytes;
use divan::Bencher;
use divan::counter::ItemsCount;
use polybus_engine::{
    Effects, Engine, Options, Place, Recovery, ReplayOrigin, Shared, Store, Stored,
};
use polybus_model::{
    Batch, Body, Event, Lane, LeaseId, Message, MessageParts, Name, Origin, Outcome, Publish,
    QueueSettings, Request, SessionId, Settle, Subscribe, SubscriberId, Table,
};

const BATCH: usize = 100;
const RECOVERED: usize = 100_000;
const SESSION: SessionId = SessionId(1);
const NOW: u64 = 1_700_000_000_000;

fn main() {
    divan::main();
}

/// Counts, and keeps records where they are wanted.
#[derive(Clone, Default)]
struct Shelf {
    next: u64,
    keeps: bool,
    records: Vec<(u8, Vec<u8>)>,
}

impl Store for Shelf {
    fn append(
        &mut self,
        kind: u8,
        _: u64,
        _: u64,
        parts: &[&[u8]],
        shared: Option<Shared<'_>>,
        _: u32,
    ) -> Stored {
        self.next += 1;
        let len = parts.iter().map(|part| part.len()).sum::<usize>()
            + shared.map_or(0, |shared| shared.bytes.len());
        if self.keeps {
            self.records.push((kind, parts.concat()));
        }
        Stored {
            place: place(self.next),
            len: len as u32,
        }
    }

    fn adopt(&mut self, _: Place, _: u32) {}

    fn release(&mut self, _: Place, _: u32) {}
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
    out: Effects,
    batch: Batch,
    leases: Vec<LeaseId>,
    message: Message,
}

impl Desk {
    fn new() -> Self {
        let mut engine = Engine::new(Options {
            session_window_bytes: usize::MAX,
            ..Options::default()
        });
        let _ = engine.attach(SESSION, &name("/"));
        let mut desk = Self {
            engine,
            shelf: Shelf::default(),
            out: Effects::default(),
            batch: Batch::default(),
            leases: Vec::new(),
            message: Message::new(MessageParts {
                origin: Origin(1),
                topic: b"",
                key: b"bench",
                properties: &[0x10, 0, 2],
                body: Body::Copied(&[b'x'; 16]),
                durable: true,
                priority: None,
                ttl: None,
                deaths: None,
            }),
        };
        desk.ask(Request::DeclareQueue {
            name: name("bench"),
            settings: Some(Box::new(QueueSettings {
                durable: true,
                ..QueueSettings::default()
            })),
        });
        desk
    }

    fn ask(&mut self, request: Request) {
        self.batch.requests.push((Lane(1), request));
        self.turn();
    }

    fn turn(&mut self) {
        let Self {
            engine,
            shelf,
            out,
            batch,
            leases,
            ..
        } = self;
        engine.handle(SESSION, batch, NOW, shelf, out);
        for (_, event) in out.events.drain(..) {
            if let Event::Delivery(delivery) = event {
                leases.extend(delivery.lease);
            }
        }
        black_box(out.gated.len());
        out.gated.clear();
    }

    fn subscribe(&mut self) {
        self.ask(Request::Subscribe(Box::new(Subscribe {
            queue: name("bench"),
            subscriber: SubscriberId(1),
            tag: Bytes::new(),
            auto_settle: false,
            exclusive: false,
            priority: 0,
            credit: None,
            consumer_timeout: None,
            internal: false,
            arguments: Table::new(),
        })));
    }

    fn publish(&mut self) {
        for number in 0..BATCH as u64 {
            let publish = Publish {
                message: self.message.clone(),
                more_keys: Vec::new(),
                mandatory: false,
                confirm: Some(number),
                delay: None,
            };
            self.batch
                .requests
                .push((Lane(1), Request::Publish(publish)));
        }
        self.turn();
    }

    fn settle(&mut self) {
        let leases = std::mem::take(&mut self.leases);
        let outcome = Outcome::Accept;
        self.ask(Request::Settle(Settle { leases, outcome }));
    }
}

/// To a consumer that waits.
#[divan::bench(sample_count = 100, sample_size = 20)]
fn publish_deliver_settle(bencher: Bencher<'_, '_>) {
    let mut desk = Desk::new();
    desk.subscribe();
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        desk.publish();
        desk.settle();
    });
}

#[divan::bench(sample_count = 100, sample_size = 20)]
fn publish_to_backlog(bencher: Bencher<'_, '_>) {
    let mut desk = Desk::new();
    bencher
        .counter(ItemsCount::new(BATCH))
        .bench_local(|| desk.publish());
}

/// A consumer comes to 10,000 that wait, and settles them.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn drain_backlog(bencher: Bencher<'_, '_>) {
    bencher
        .counter(ItemsCount::new(100 * BATCH))
        .with_inputs(|| {
            let mut desk = Desk::new();
            for _ in 0..100 {
                desk.publish();
            }
            desk
        })
        .bench_local_values(|mut desk| {
            desk.subscribe();
            assert_eq!(desk.leases.len(), 100 * BATCH);
            desk.settle();
            desk
        });
}

/// The records of 100,000 waiting messages become a queue again.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn recover(bencher: Bencher<'_, '_>) {
    let mut desk = Desk::new();
    desk.shelf.keeps = true;
    // The declaration was before: it is made again for the shelf.
    desk.ask(Request::DeleteQueue {
        name: name("bench"),
        if_unused: false,
        if_empty: false,
    });
    desk.ask(Request::DeclareQueue {
        name: name("bench"),
        settings: Some(Box::new(QueueSettings {
            durable: true,
            ..QueueSettings::default()
        })),
    });
    for _ in 0..RECOVERED / BATCH {
        desk.publish();
    }
    let records = std::mem::take(&mut desk.shelf.records);
    bencher.counter(ItemsCount::new(RECOVERED)).bench_local(|| {
        let mut recovery = Recovery::empty(Options::default());
        for (at, (kind, payload)) in (1..).zip(&records) {
            let taken = recovery.replay(ReplayOrigin::AfterSnapshot, *kind, place(at), payload);
            assert!(taken.is_ok());
        }
        let engine = recovery.finish(NOW, false, &mut Shelf::default());
        let ready = engine.map_or(0, |engine| engine.queues("/").iter().map(|q| q.ready).sum());
        assert_eq!(ready, RECOVERED as u64);
    });
}
