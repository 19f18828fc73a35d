//! A publisher and live subscribers over NATS, in one thread: each step of a live message's way is a function of its own.

use std::sync::Arc;

use bytes::BytesMut;
use polybus_broker::{Broker, Connection, Options, Steps};
use polybus_model::{Batch, Event, Lane, Name, Reply, Request};
use polybus_nats::{Nats, Settings};
use polybus_session::{Peer, Protocol as _, Session};

use super::{Still, Void};

/// Messages that one read holds: a fast publisher's fill it.
pub const BLOCK: usize = 1_000;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct LiveShape {
    pub name: &'static str,
    pub body: usize,
    pub subscribers: usize,
    /// What they subscribe to.
    pub filter: &'static str,
    /// How many subjects are published to in turn.
    pub subjects: usize,
}

pub const LIVE_SHAPES: [LiveShape; 4] = [
    LiveShape {
        name: "live-16b",
        body: 16,
        subscribers: 1,
        filter: "bench.0",
        subjects: 1,
    },
    LiveShape {
        name: "live-128b",
        body: 128,
        subscribers: 1,
        filter: "bench.0",
        subjects: 1,
    },
    LiveShape {
        name: "live-16b-to-4",
        body: 16,
        subscribers: 4,
        filter: "bench.0",
        subjects: 1,
    },
    LiveShape {
        name: "live-16b-wildcard",
        body: 16,
        subscribers: 1,
        filter: "bench.*",
        subjects: 100,
    },
];

/// A session and its place in the broker.
struct Client {
    session: Box<dyn Session>,
    connection: Connection,
    batch: Batch,
    events: Vec<Event>,
    input: BytesMut,
}

impl Client {
    fn open(broker: &Broker, steps: &Steps, nats: &Nats) -> Self {
        let address = ([127, 0, 0, 1], 4222).into();
        let peer = Peer {
            remote: address,
            local: address,
            tls: false,
            certificate_name: None,
        };
        let mut connection = broker.connect("nats", &peer).unwrap();
        steps
            .enter(&mut connection, &Name::new("/").unwrap())
            .unwrap();
        let mut client = Self {
            session: nats.accept(peer, 0),
            connection,
            batch: Batch::default(),
            events: Vec::new(),
            input: BytesMut::new(),
        };
        client.read(b"CONNECT {\"verbose\":false}\r\nPING\r\n");
        // The connection is in its namespace already: a login takes a tenth of a second.
        while !client.input.is_empty() {
            client.parse();
            for (lane, request) in client.batch.requests.drain(..) {
                let is_login = matches!(request, Request::Authenticate(_) | Request::Open { .. });
                assert!(is_login, "{request:?}");
                let result = Ok(Reply::Done);
                client
                    .session
                    .handle_event(Event::Reply { lane, result }, 0);
            }
        }
        client.discard();
        client
    }

    fn read(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    fn parse(&mut self) {
        self.session.handle_input(&mut self.input, 0);
        self.session.poll_requests(&mut self.batch);
    }

    fn submit(&mut self) {
        self.connection.submit(&mut self.batch);
    }

    /// Events to bytes; how many deliveries there were.
    fn hear(&mut self) -> usize {
        self.connection.take_events(&mut self.events);
        let heard = self.events.iter().map(|event| match event {
            Event::Live { targets, bytes, .. } => (targets.len(), *bytes),
            _ => (0, 0),
        });
        let (count, bytes) = heard.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
        self.session.handle_events(&mut self.events, 0);
        let drained = Request::Drained { bytes };
        self.batch.requests.push((Lane(0), drained));
        count
    }

    /// As if the bytes had been written.
    fn discard(&mut self) {
        let outbound = self.session.outbound();
        let bytes = outbound.len();
        outbound.advance(bytes);
    }
}

pub struct LiveWorld {
    _broker: Broker,
    _steps: Steps,
    publisher: Client,
    subscribers: Vec<Client>,
    publishes: Vec<u8>,
    delivered: u64,
}

impl LiveWorld {
    pub fn new(shape: LiveShape) -> Self {
        let options = Options {
            first_user: None,
            clock: Arc::new(Still),
            ..Options::new("")
        };
        let (broker, steps) = Broker::open_stepwise(options, Arc::new(Void::default()), 1).unwrap();
        let nats = Nats::new(Settings::new(1, Arc::new(|| 7)));
        let publisher = Client::open(&broker, &steps, &nats);
        let mut subscribers = Vec::new();
        for _ in 0..shape.subscribers {
            let mut client = Client::open(&broker, &steps, &nats);
            client.read(format!("SUB {} 1\r\n", shape.filter).as_bytes());
            client.parse();
            client.submit();
            subscribers.push(client);
        }
        let body = "x".repeat(shape.body);
        let publish = |number| {
            let subject = number % shape.subjects;
            format!("PUB bench.{subject} {}\r\n{body}\r\n", shape.body)
        };
        Self {
            publishes: (0..BLOCK).map(publish).collect::<String>().into_bytes(),
            _broker: broker,
            _steps: steps,
            publisher,
            subscribers,
            delivered: 0,
        }
    }

    #[inline(never)]
    pub fn step_1_parse(&mut self) {
        self.publisher.parse();
    }

    #[inline(never)]
    pub fn step_2_publish(&mut self) {
        self.publisher.submit();
    }

    #[inline(never)]
    pub fn step_5_deliver(&mut self) {
        for subscriber in &mut self.subscribers {
            self.delivered += subscriber.hear() as u64;
        }
    }

    #[inline(never)]
    pub fn step_6_drain(&mut self) {
        for subscriber in &mut self.subscribers {
            subscriber.discard();
            subscriber.submit();
        }
    }

    /// What one read holds is published, delivered and written.
    pub fn round(&mut self) {
        self.publisher.read(&self.publishes);
        self.step_1_parse();
        self.step_2_publish();
        self.step_5_deliver();
        self.step_6_drain();
    }

    pub fn delivered(&self) -> u64 {
        self.delivered
    }
}
