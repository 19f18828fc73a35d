//! A broker with an AMQP publisher and a consumer, in one thread: each step of a message's way is a function of its own, so
//! that it can be timed, and so that callgrind can tell what it costs. Used by `benches/way.rs` and `examples/instructions.rs`.

#![allow(dead_code, clippy::unwrap_used)] // Each of the two uses its own part of it.

mod disk;
mod live;

use std::sync::Arc;

use bytes::BytesMut;
use polybus_amqp091::codec::{
    BasicAck, BasicConsume, BasicPublish, ChannelOpen, ConfirmSelect, ConnectionOpen,
    ConnectionStartOk, ConnectionTuneOk, Content, ContentBody, Encode, PROTOCOL_HEADER, Properties,
    PropertiesRef, QueueDeclare, write_content, write_method,
};
use polybus_amqp091::{Amqp091, Settings};
use polybus_broker::{Broker, Clock, Connection, Options, Steps};
use polybus_model::{Batch, Event, Millis, Name, Reply, Request};
use polybus_session::{Outbound, Peer, Protocol as _, Session};

pub use disk::Void;
#[allow(unused_imports)] // As above.
pub use live::{BLOCK, LIVE_SHAPES, LiveShape, LiveWorld};

/// Messages that one read holds.
pub const BATCH: usize = 100;
const FRAME_MAX: u32 = 131_072;
const QUEUE: &str = "bench";

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub name: &'static str,
    pub body: usize,
    /// Persistent messages in a durable queue, confirmed.
    pub durable: bool,
    /// The consumer acknowledges: each delivery for itself, or all together; none if deliveries count as settled.
    pub acks: Acks,
    /// The consumer waits; otherwise everything is published first.
    pub waits: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acks {
    None,
    Each,
    Together,
}

pub const SHAPES: [Shape; 5] = [
    Shape {
        name: "durable-16b",
        body: 16,
        durable: true,
        acks: Acks::Each,
        waits: true,
    },
    Shape {
        name: "durable-16b-acked-together",
        body: 16,
        durable: true,
        acks: Acks::Together,
        waits: true,
    },
    Shape {
        name: "durable-1kib",
        body: 1024,
        durable: true,
        acks: Acks::Each,
        waits: true,
    },
    Shape {
        name: "transient-16b",
        body: 16,
        durable: false,
        acks: Acks::None,
        waits: true,
    },
    Shape {
        name: "durable-16b-backlog",
        body: 16,
        durable: true,
        acks: Acks::Each,
        waits: false,
    },
];

struct Still;

impl Clock for Still {
    fn now(&self) -> Millis {
        1_700_000_000_000
    }
}

/// A session and its place in the broker.
pub struct Link {
    pub session: Box<dyn Session>,
    pub connection: Connection,
    pub batch: Batch,
    pub events: Vec<Event>,
    input: BytesMut,
}

pub struct World {
    pub broker: Broker,
    pub steps: Steps,
    pub publisher: Link,
    pub consumer: Link,
    pub shape: Shape,
    publishes: Vec<u8>,
    acks: BytesMut,
    delivered: u64,
    acked: u64,
}

impl Link {
    fn open(broker: &Broker, steps: &Steps) -> Self {
        let address = ([127, 0, 0, 1], 5672).into();
        let peer = Peer {
            remote: address,
            local: address,
            tls: false,
            certificate_name: None,
        };
        let mut connection = broker.connect("amqp091", &peer).unwrap();
        steps
            .enter(&mut connection, &Name::new("/").unwrap())
            .unwrap();
        let mut link = Self {
            session: Amqp091::new(Settings::new(Arc::new(|| 7))).accept(peer, 0),
            connection,
            batch: Batch::default(),
            events: Vec::new(),
            input: BytesMut::new(),
        };
        link.shake_hands();
        link
    }

    fn shake_hands(&mut self) {
        let mut bytes = BytesMut::new();
        bytes.extend_from_slice(&PROTOCOL_HEADER);
        let start_ok = ConnectionStartOk {
            mechanism: "PLAIN",
            response: b"\0guest\0guest",
            locale: "en_US",
            ..ConnectionStartOk::default()
        };
        write_method(&mut bytes, 0, &start_ok);
        let tune_ok = ConnectionTuneOk {
            channel_max: 2047,
            frame_max: FRAME_MAX,
            heartbeat: 0,
        };
        write_method(&mut bytes, 0, &tune_ok);
        write_method(&mut bytes, 0, &ConnectionOpen { virtual_host: "/" });
        self.input.extend_from_slice(&bytes);
        // The connection is in its namespace already: a login takes a tenth of a second.
        while !self.input.is_empty() {
            self.session.handle_input(&mut self.input, 0);
            self.session.poll_requests(&mut self.batch);
            for (lane, request) in self.batch.requests.drain(..) {
                assert!(matches!(
                    request,
                    Request::Authenticate(_) | Request::Open { .. }
                ));
                let result = Ok(Reply::Done);
                self.session.handle_event(Event::Reply { lane, result }, 0);
            }
        }
        self.send(&ChannelOpen {});
        self.discard();
        assert!(!self.session.is_done());
    }

    fn send(&mut self, method: &impl Encode) {
        write_method(&mut self.input, 1, method);
        self.session.handle_input(&mut self.input, 0);
        self.session.poll_requests(&mut self.batch);
        self.connection.submit(&mut self.batch);
        self.hear();
    }

    /// As a read does, straight from the socket.
    pub fn read(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Bytes to requests.
    pub fn parse(&mut self) {
        self.session.handle_input(&mut self.input, 0);
        self.session.poll_requests(&mut self.batch);
        assert!(self.input.is_empty(), "the session waits");
    }

    /// Requests to the broker.
    pub fn submit(&mut self) {
        self.connection.submit(&mut self.batch);
    }

    /// Events to bytes; gives how many deliveries there were.
    pub fn hear(&mut self) -> usize {
        self.connection.take_events(&mut self.events);
        let is_delivery = |event: &&Event| matches!(event, Event::Delivery(_));
        let deliveries = self.events.iter().filter(is_delivery).count();
        self.session.handle_events(&mut self.events, 0);
        deliveries
    }

    /// As if the bytes had been written.
    pub fn discard(&mut self) -> usize {
        let outbound = self.session.outbound();
        let bytes = outbound.len();
        outbound.advance(bytes);
        bytes
    }
}

impl World {
    pub fn new(shape: Shape) -> Self {
        let options = Options {
            first_user: None,
            clock: Arc::new(Still),
            // Nobody tells the broker what was written.
            session_window_bytes: usize::MAX,
            ..Options::new("")
        };
        let (broker, steps) = Broker::open_stepwise(options, Arc::new(Void::default()), 1).unwrap();
        let mut world = Self {
            publisher: Link::open(&broker, &steps),
            consumer: Link::open(&broker, &steps),
            broker,
            steps,
            shape,
            publishes: publishes(shape),
            acks: BytesMut::new(),
            delivered: 0,
            acked: 0,
        };
        let declare = QueueDeclare {
            queue: QUEUE,
            durable: shape.durable,
            ..QueueDeclare::default()
        };
        world.publisher.send(&declare);
        world.settle_down();
        if shape.durable {
            world.publisher.send(&ConfirmSelect { nowait: false });
        }
        if shape.waits {
            world.step_8_subscribe();
        }
        world.settle_down();
        world
    }

    /// A consumer comes: what waits is delivered to its mailbox.
    #[inline(never)]
    pub fn step_8_subscribe(&mut self) {
        let consume = BasicConsume {
            queue: QUEUE,
            consumer_tag: "c",
            no_ack: self.shape.acks == Acks::None,
            ..BasicConsume::default()
        };
        let mut bytes = BytesMut::new();
        write_method(&mut bytes, 1, &consume);
        self.consumer.read(&bytes);
        self.consumer.parse();
        self.consumer.submit();
    }

    fn settle_down(&mut self) {
        while self.steps.commit().unwrap() {}
        for link in [&mut self.publisher, &mut self.consumer] {
            link.hear();
            link.discard();
        }
    }

    /// The publisher's bytes come.
    pub fn read(&mut self) {
        self.publisher.read(&self.publishes);
    }

    #[inline(never)]
    pub fn step_1_parse(&mut self) {
        self.publisher.parse();
    }

    /// Route, enqueue, stage for the journal, deliver.
    #[inline(never)]
    pub fn step_2_publish(&mut self) {
        self.publisher.submit();
    }

    /// Checksums and all else of a commit but the system call.
    #[inline(never)]
    pub fn step_3_commit(&mut self) {
        while self.steps.commit().unwrap() {}
    }

    #[inline(never)]
    pub fn step_4_confirm(&mut self) {
        self.publisher.hear();
        self.publisher.discard();
    }

    #[inline(never)]
    pub fn step_5_deliver(&mut self) -> usize {
        let deliveries = self.consumer.hear();
        assert!(deliveries == 0 || self.consumer.discard() > 0);
        self.delivered += deliveries as u64;
        deliveries
    }

    #[inline(never)]
    pub fn step_6_parse_acks(&mut self) {
        self.consumer.parse();
    }

    #[inline(never)]
    pub fn step_7_settle(&mut self) {
        self.consumer.submit();
    }

    /// The consumer's answers to the deliveries since the last time come.
    pub fn make_acks(&mut self) {
        self.acks.clear();
        let (first, last) = (self.acked + 1, self.delivered);
        self.acked = last;
        match self.shape.acks {
            Acks::None => {}
            Acks::Each => {
                for delivery_tag in first..=last {
                    let multiple = false;
                    let ack = BasicAck {
                        delivery_tag,
                        multiple,
                    };
                    write_method(&mut self.acks, 1, &ack);
                }
            }
            Acks::Together => {
                let (delivery_tag, multiple) = (last, true);
                let ack = BasicAck {
                    delivery_tag,
                    multiple,
                };
                write_method(&mut self.acks, 1, &ack);
            }
        }
        self.consumer.read(&self.acks);
    }

    /// A batch is published, confirmed, and as far as the consumer is there delivered and settled.
    pub fn round(&mut self) {
        self.read();
        self.step_1_parse();
        self.step_2_publish();
        self.step_3_commit();
        self.step_4_confirm();
        self.consume();
    }

    pub fn consume(&mut self) {
        self.step_5_deliver();
        if self.shape.acks != Acks::None && self.acked < self.delivered {
            self.make_acks();
            self.step_6_parse_acks();
            self.step_7_settle();
            // What was settled is written with the next publishes.
        }
    }

    pub fn delivered(&self) -> u64 {
        self.delivered
    }
}

fn publishes(shape: Shape) -> Vec<u8> {
    let mut properties = BytesMut::new();
    Properties {
        delivery_mode: Some(if shape.durable { 2 } else { 1 }),
        ..Properties::default()
    }
    .encode(&mut properties);
    let body = vec![b'x'; shape.body];
    let publish = BasicPublish {
        routing_key: QUEUE.into(),
        ..BasicPublish::default()
    };
    let mut outbound = Outbound::new();
    for _ in 0..BATCH {
        let content = Content {
            properties: PropertiesRef::new(&properties),
            body: ContentBody::Inline(&body),
        };
        write_content(&mut outbound, 1, FRAME_MAX, &publish, content);
    }
    outbound.staged().to_vec()
}
