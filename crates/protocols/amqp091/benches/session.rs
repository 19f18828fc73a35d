//! What a session costs: figures are per message, of a read or a run of events that holds a hundred.
//!
//! `cargo bench -p polybus-amqp091 --bench session`

#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;

use bytes::BytesMut;
use divan::Bencher;
use divan::counter::ItemsCount;
use polybus_amqp091::codec::{
    BasicAck, BasicConsume, BasicPublish, ChannelOpen, ConfirmSelect, ConnectionOpen,
    ConnectionStartOk, ConnectionTuneOk, Content, ContentBody, Encode, PROTOCOL_HEADER, Properties,
    PropertiesRef, QueueDeclare, write_content, write_method,
};
use polybus_amqp091::{Amqp091, ORIGIN, Settings};
use polybus_model::{
    Batch, Body, Delivery, Event, Lane, LeaseId, Message, MessageParts, Name, Reply, Request,
    SubscriberId,
};
use polybus_session::{Outbound, Peer, Protocol as _, Session};

const MESSAGES: usize = 100;
const FRAME_MAX: u32 = 131_072;

fn main() {
    divan::main();
}

/// A session with an open channel, and the least of a broker.
struct World {
    session: Box<dyn Session>,
    input: BytesMut,
    batch: Batch,
    subscriber: SubscriberId,
    delivered: u64,
}

impl World {
    fn new() -> Self {
        let address = ([127, 0, 0, 1], 5672).into();
        let peer = Peer {
            remote: address,
            local: address,
            tls: false,
            certificate_name: None,
        };
        let mut world = Self {
            session: Amqp091::new(Settings::new(Arc::new(|| 7))).accept(peer, 0),
            input: BytesMut::new(),
            batch: Batch::default(),
            subscriber: SubscriberId(0),
            delivered: 0,
        };
        world.input.extend_from_slice(&PROTOCOL_HEADER);
        let start_ok = ConnectionStartOk {
            mechanism: "PLAIN",
            response: b"\0guest\0guest",
            locale: "en_US",
            ..ConnectionStartOk::default()
        };
        world.send(0, &start_ok);
        let tune_ok = ConnectionTuneOk {
            channel_max: 2047,
            frame_max: FRAME_MAX,
            heartbeat: 0,
        };
        world.send(0, &tune_ok);
        world.send(0, &ConnectionOpen { virtual_host: "/" });
        world.send(1, &ChannelOpen {});
        let queue = "bench";
        let declare = QueueDeclare {
            queue,
            ..QueueDeclare::default()
        };
        world.send(1, &declare);
        world.send(1, &ConfirmSelect { nowait: false });
        let consume = BasicConsume {
            queue,
            ..BasicConsume::default()
        };
        world.send(1, &consume);
        assert!(!world.session.is_done() && world.input.is_empty());
        world
    }

    fn send(&mut self, channel: u16, method: &impl Encode) {
        write_method(&mut self.input, channel, method);
        while !self.input.is_empty() {
            self.session.handle_input(&mut self.input, 0);
            self.session.poll_requests(&mut self.batch);
            for (lane, request) in self.batch.requests.drain(..) {
                let result = Ok(match request {
                    Request::DeclareQueue { name, .. } => Reply::Queue {
                        name,
                        messages: 0,
                        consumers: 0,
                    },
                    Request::Subscribe(subscribe) => {
                        self.subscriber = subscribe.subscriber;
                        Reply::Done
                    }
                    _ => Reply::Done,
                });
                self.session.handle_event(Event::Reply { lane, result }, 0);
            }
        }
        self.discard();
    }

    fn discard(&mut self) {
        let outbound = self.session.outbound();
        outbound.advance(outbound.len());
    }

    fn parse(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.session.handle_input(&mut self.input, 0);
        self.session.poll_requests(&mut self.batch);
    }

    fn deliver(&mut self, messages: &[Message]) {
        for message in messages {
            self.delivered += 1;
            let delivery = Delivery {
                lane: Lane(1),
                subscriber: self.subscriber,
                lease: Some(LeaseId {
                    queue: 1,
                    slot: self.delivered as u32,
                    stamp: 0,
                }),
                message: message.clone(),
                redelivered: false,
                attempts: None,
            };
            self.session.handle_event(Event::Delivery(delivery), 0);
        }
    }
}

fn properties() -> BytesMut {
    let mut out = BytesMut::new();
    Properties {
        delivery_mode: Some(2),
        ..Properties::default()
    }
    .encode(&mut out);
    out
}

fn message(body: usize) -> Message {
    Message::new(MessageParts {
        origin: ORIGIN,
        topic: Name::empty().as_str().as_bytes(),
        key: b"bench",
        properties: &properties(),
        body: Body::Copied(&vec![b'x'; body]),
        durable: true,
        priority: None,
        ttl: None,
        deaths: None,
    })
}

/// Bytes to requests.
#[divan::bench(args = [16, 1024], sample_count = 200, sample_size = 20)]
fn publish(bencher: Bencher<'_, '_>, body: usize) {
    let (properties, body) = (properties(), vec![b'x'; body]);
    let method = BasicPublish {
        routing_key: "bench".into(),
        ..BasicPublish::default()
    };
    let mut outbound = Outbound::new();
    for _ in 0..MESSAGES {
        let content = Content {
            properties: PropertiesRef::new(&properties),
            body: ContentBody::Inline(&body),
        };
        write_content(&mut outbound, 1, FRAME_MAX, &method, content);
    }
    let bytes = outbound.staged().to_vec();
    let mut world = World::new();
    let (mut through, mut seen) = (0, 0);
    bencher.counter(ItemsCount::new(MESSAGES)).bench_local(|| {
        world.parse(&bytes);
        seen += world.batch.requests.len();
        world.batch.requests.clear();
        through += MESSAGES as u64;
        let lane = Lane(1);
        world
            .session
            .handle_event(Event::Confirmed { lane, through }, 0);
        world.discard();
    });
    assert_eq!(seen as u64, through);
}

/// Deliveries to bytes, and acknowledgements to requests.
#[divan::bench(args = [16, 1024], sample_count = 200, sample_size = 1)]
fn deliver(bencher: Bencher<'_, '_>, body: usize) {
    let messages = vec![message(body); MESSAGES];
    let world = std::cell::RefCell::new(World::new());
    bencher
        .counter(ItemsCount::new(MESSAGES))
        .with_inputs(|| {
            let mut world = world.borrow_mut();
            let (delivery_tag, multiple) = (0, true);
            if world.delivered > 0 {
                let ack = BasicAck {
                    delivery_tag,
                    multiple,
                };
                let mut bytes = BytesMut::new();
                write_method(&mut bytes, 1, &ack);
                world.parse(&bytes);
                world.batch.requests.clear();
            }
        })
        .bench_local_values(|()| {
            let mut world = world.borrow_mut();
            world.deliver(&messages);
            world.discard();
        });
}

/// Each for itself.
#[divan::bench(sample_count = 200, sample_size = 1)]
fn ack_each(bencher: Bencher<'_, '_>) {
    let messages = vec![message(16); MESSAGES];
    let world = std::cell::RefCell::new(World::new());
    bencher
        .counter(ItemsCount::new(MESSAGES))
        .with_inputs(|| {
            let mut world = world.borrow_mut();
            let first = world.delivered + 1;
            world.deliver(&messages);
            world.discard();
            world.batch.requests.clear();
            let mut bytes = BytesMut::new();
            for delivery_tag in first..=world.delivered {
                let multiple = false;
                let ack = BasicAck {
                    delivery_tag,
                    multiple,
                };
                write_method(&mut bytes, 1, &ack);
            }
            bytes
        })
        .bench_local_values(|bytes| {
            let mut world = world.borrow_mut();
            world.parse(&bytes);
            assert_eq!(world.batch.requests.len(), 1);
        });
}
