//! AMQP 0-9-1: a session takes any bytes, cut anywhere, and any events of its broker. It ends by itself, asks the broker only
//! what makes sense, and everything it says can be read by a client.
//!
//! `how it begins u8 | pieces u8 | steps` or, where the first byte is even, the client's bytes as they are.
#![no_main]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{BufMut, BytesMut};
use libfuzzer_sys::fuzz_target;
use polybus_amqp091::codec::*;
use polybus_amqp091::{Amqp091, Settings};
use polybus_fuzz::Script;
use polybus_fuzz::broker::Broker;
use polybus_model::{Batch, Event, Lane, Millis, SubscriberId};
use polybus_session::{Peer, Protocol, Session};

/// The client's methods: class and number.
const METHODS: [(u16, u16); 40] = [
    (10, 11),
    (10, 20),
    (10, 21),
    (10, 31),
    (10, 40),
    (10, 50),
    (10, 51),
    (10, 60),
    (10, 61),
    (10, 70),
    (10, 71),
    (20, 10),
    (20, 10),
    (20, 20),
    (20, 40),
    (20, 41),
    (30, 10),
    (40, 10),
    (40, 20),
    (40, 30),
    (40, 40),
    (50, 10),
    (50, 20),
    (50, 30),
    (50, 40),
    (50, 50),
    (60, 10),
    (60, 20),
    (60, 30),
    (60, 40),
    (60, 70),
    (60, 80),
    (60, 90),
    (60, 100),
    (60, 110),
    (60, 120),
    (85, 10),
    (90, 10),
    (90, 20),
    (90, 30),
];

fuzz_target!(|data: &[u8]| {
    let mut script = Script(data);
    let (begin, pieces) = (script.u8(), script.u8());
    let mut world = World::new(pieces, begin & 4 == 4);
    if begin & 2 == 2 {
        world.shake_hands();
    }
    if begin & 1 == 0 {
        world.push(script.0);
    } else {
        while !script.is_over() {
            world.step(&mut script);
        }
    }
    world.end();
});

struct World {
    session: Box<dyn Session>,
    broker: Broker,
    listener: Listener,
    now: Millis,
    input: BytesMut,
    /// Decides where the input is cut; 0 cuts nowhere.
    pieces: u8,
    /// The broker's events wait.
    is_slow: bool,
    /// The session's requests wait.
    sleeps: bool,
    is_eof: bool,
}

impl World {
    fn new(pieces: u8, is_small: bool) -> Self {
        let random = AtomicU64::new(0);
        let mut settings = Settings::new(Arc::new(move || {
            random
                .fetch_add(1, Ordering::Relaxed)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        }));
        if is_small {
            settings.message_size_max = 3_000;
            settings.consumers_per_channel_max = 3;
            settings.unsettled_per_channel_max = 8;
            settings.assembling_bytes_max = 4_000;
            settings.transaction_bytes_max = 2_000;
            settings.channel_max = 3;
        }
        let address = ([127, 0, 0, 1], 5672).into();
        let peer = Peer {
            remote: address,
            local: address,
            tls: pieces & 128 == 128,
            certificate_name: (pieces & 128 == 128).then(|| "client".to_owned()),
        };
        Self {
            session: Amqp091::new(settings).accept(peer, 0),
            broker: Broker::default(),
            listener: Listener::default(),
            now: 0,
            input: BytesMut::new(),
            pieces: pieces & 127,
            is_slow: false,
            sleeps: false,
            is_eof: false,
        }
    }

    fn shake_hands(&mut self) {
        self.push(&PROTOCOL_HEADER);
        let mut bytes = BytesMut::new();
        let start_ok = ConnectionStartOk {
            mechanism: "PLAIN",
            response: b"\0guest\0guest",
            locale: "en_US",
            ..ConnectionStartOk::default()
        };
        write_method(&mut bytes, 0, &start_ok);
        let tune_ok = ConnectionTuneOk {
            channel_max: 2047,
            frame_max: 4096,
            heartbeat: 10,
        };
        write_method(&mut bytes, 0, &tune_ok);
        write_method(&mut bytes, 0, &ConnectionOpen { virtual_host: "/" });
        for channel in 1..3 {
            write_method(&mut bytes, channel, &ChannelOpen {});
        }
        self.push(&bytes);
    }

    fn step(&mut self, script: &mut Script<'_>) {
        let mut bytes = BytesMut::new();
        let what = script.u8();
        let channel = u16::from(what >> 6 & 3);
        match what & 31 {
            0..6 => {
                let (class, method) = *script.pick(&METHODS);
                let len = script.u8().into();
                let payload = script.bytes(len);
                bytes.put_u16(class);
                bytes.put_u16(method);
                bytes.extend_from_slice(payload);
                bytes = frame(1, channel, &bytes);
            }
            6..9 => publish(script, channel, &mut bytes),
            9 => {
                let (kind, len) = (script.u8(), script.u8().into());
                bytes = frame(kind, script.u16(), script.bytes(len));
            }
            10 => {
                let len = script.u8().into();
                bytes.extend_from_slice(script.bytes(len));
            }
            11 | 12 => settle(script, channel, &mut bytes),
            13 | 14 => consume(script, channel, &mut bytes),
            15 => {
                let queue = *script.pick(&["", "q", "amq.rabbitmq.reply-to"]);
                let no_ack = script.flag();
                write_method(&mut bytes, channel, &BasicGet { queue, no_ack });
            }
            16 => match script.u8() % 5 {
                0 => write_method(
                    &mut bytes,
                    channel,
                    &ConfirmSelect {
                        nowait: script.flag(),
                    },
                ),
                1 => write_method(&mut bytes, channel, &TxSelect {}),
                2 => write_method(&mut bytes, channel, &TxCommit {}),
                3 => write_method(&mut bytes, channel, &TxRollback {}),
                _ => write_method(
                    &mut bytes,
                    channel,
                    &ChannelFlow {
                        active: script.flag(),
                    },
                ),
            },
            17 => match script.u8() % 4 {
                0 => write_method(&mut bytes, channel, &ChannelOpen {}),
                1 => write_method(&mut bytes, channel, &ChannelCloseOk {}),
                2 => write_method(&mut bytes, channel, &ConnectionCloseOk {}),
                _ => write_method(&mut bytes, channel, &ChannelClose::default()),
            },
            18 => {
                let queue = *script.pick(&["", "q", "r"]);
                let nowait = script.flag();
                let declare = QueueDeclare {
                    queue,
                    nowait,
                    exclusive: script.flag(),
                    ..QueueDeclare::default()
                };
                write_method(&mut bytes, channel, &declare);
            }
            19 => {
                let prefetch_count = script.u8().into();
                let global = script.flag();
                let qos = BasicQos {
                    prefetch_size: 0,
                    prefetch_count,
                    global,
                };
                write_method(&mut bytes, channel, &qos);
            }
            20 => {
                let len = usize::from(script.u8() % 8);
                let moods = script.bytes(len);
                self.broker.mood = moods.iter().copied().collect();
            }
            21 => self.is_slow = !self.is_slow,
            22 => self.sleeps = !self.sleeps,
            23 => {
                let event = event(script, channel);
                self.broker.events.push_back(event);
            }
            24 => {
                self.now += u64::from(script.u16());
                self.pass();
            }
            25 => write_heartbeat(&mut bytes),
            26 => self.is_eof = script.u8() == 7,
            _ => {}
        }
        self.push(&bytes);
    }

    fn push(&mut self, mut bytes: &[u8]) {
        if self.pieces == 0 {
            self.input.extend_from_slice(bytes);
            self.turn();
            return;
        }
        let mut size = usize::from(self.pieces);
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(size.min(bytes.len()));
            self.input.extend_from_slice(piece);
            self.turn();
            bytes = rest;
            size = size * 5 % 131 + 1;
        }
    }

    fn turn(&mut self) {
        for _ in 0..100_000 {
            let before = self.input.len();
            let session = &mut self.session;
            if !session.is_waiting() && !session.is_done() && before > 0 {
                session.handle_input(&mut self.input, self.now);
            }
            let mut batch = Batch::default();
            if !self.sleeps {
                session.poll_requests(&mut batch);
            }
            let asked = !batch.requests.is_empty();
            self.broker.handle(batch);
            let mut heard = false;
            while !self.is_slow
                && let Some(event) = self.broker.events.pop_front()
            {
                heard = true;
                self.session.handle_event(event, self.now);
            }
            self.write();
            let stuck = self.input.len() == before || self.session.is_waiting();
            if !asked && !heard && stuck {
                return;
            }
        }
        panic!("it goes on for ever");
    }

    fn write(&mut self) {
        let out = self.session.outbound();
        let mut bytes = Vec::new();
        while !out.is_empty() {
            let mut slices = [std::io::IoSlice::new(&[]); 4];
            let filled = out.slices(&mut slices);
            let part: Vec<u8> = slices[..filled].iter().flat_map(|s| s.to_vec()).collect();
            assert!(!part.is_empty(), "something to write, and nothing there");
            out.advance(part.len());
            bytes.extend_from_slice(&part);
        }
        self.listener.hear(&bytes);
    }

    /// Handles the timeouts until now.
    fn pass(&mut self) {
        for _ in 0..1_000 {
            let due = self.session.poll_timeout();
            if due.is_none_or(|due| due > self.now) || self.session.is_done() {
                self.write();
                return;
            }
            self.session.handle_timeout(self.now);
            // As the server does: two never come within one millisecond.
            self.now += 1;
            self.turn();
        }
        panic!("timeouts for ever");
    }

    fn end(&mut self) {
        (self.is_slow, self.sleeps) = (false, false);
        self.turn();
        let summary = self.session.summary();
        assert_eq!(summary.protocol, "AMQP 0-9-1");
        if !self.is_eof {
            // A client that says nothing more: time ends what may end.
            self.now += 5_000;
            self.pass();
        }
        if !self.session.is_waiting() {
            self.session.handle_eof(self.now);
            self.turn();
            assert!(self.session.is_done(), "the peer has gone: {summary:?}");
        }
    }
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> BytesMut {
    let mut bytes = BytesMut::new();
    bytes.put_u8(kind);
    bytes.put_u16(channel);
    bytes.put_u32(payload.len() as u32);
    bytes.extend_from_slice(payload);
    bytes.put_u8(FRAME_END);
    bytes
}

fn publish(script: &mut Script<'_>, channel: u16, bytes: &mut BytesMut) {
    let shape = script.u8();
    let publish = BasicPublish {
        exchange: (*script.pick(&["", "x", "amq.topic"])).into(),
        routing_key: (*script.pick(&["q", "!", "amq.rabbitmq.reply-to", "other"])).into(),
        mandatory: shape & 1 == 1,
        immediate: shape & 7 == 7,
    };
    write_method(bytes, channel, &publish);
    let mut properties = BytesMut::new();
    if shape & 8 == 8 {
        let len = usize::from(script.u8());
        properties.extend_from_slice(script.bytes(len));
    } else {
        Properties {
            delivery_mode: Some(1 + (shape >> 4 & 1)),
            reply_to: (shape & 32 == 32).then_some(b"amq.rabbitmq.reply-to"),
            ..Properties::default()
        }
        .encode(&mut properties);
    }
    let body = vec![shape; usize::from(script.u16() % 9_000)];
    let promised = body.len() as u64 + u64::from(shape >= 250);
    write_header(bytes, channel, promised, PropertiesRef::new(&properties));
    write_body(bytes, channel, &body, 4_096);
}

fn settle(script: &mut Script<'_>, channel: u16, bytes: &mut BytesMut) {
    let (how, delivery_tag) = (script.u8(), u64::from(script.u8() % 24));
    let (multiple, requeue) = (how & 4 == 4, how & 8 == 8);
    match how % 4 {
        0 | 1 => write_method(
            bytes,
            channel,
            &BasicAck {
                delivery_tag,
                multiple,
            },
        ),
        2 => write_method(
            bytes,
            channel,
            &BasicReject {
                delivery_tag,
                requeue,
            },
        ),
        _ => write_method(
            bytes,
            channel,
            &BasicNack {
                delivery_tag,
                multiple,
                requeue,
            },
        ),
    }
}

fn consume(script: &mut Script<'_>, channel: u16, bytes: &mut BytesMut) {
    let shape = script.u8();
    let consumer_tag = *script.pick(&["", "a", "b", "c"]);
    if shape & 48 == 48 {
        let nowait = shape & 4 == 4;
        write_method(
            bytes,
            channel,
            &BasicCancel {
                consumer_tag,
                nowait,
            },
        );
        return;
    }
    let consume = BasicConsume {
        queue: *script.pick(&["q", "", "amq.rabbitmq.reply-to"]),
        consumer_tag,
        no_local: false,
        no_ack: shape & 1 == 1,
        exclusive: shape & 2 == 2,
        nowait: shape & 4 == 4,
        ..BasicConsume::default()
    };
    write_method(bytes, channel, &consume);
}

fn event(script: &mut Script<'_>, channel: u16) -> Event {
    let lane = Lane(channel);
    match script.u8() % 6 {
        0 => Event::Blocked {
            reason: "low on disk",
        },
        1 => Event::Unblocked,
        2 => Event::SubscriptionEnded {
            lane,
            subscriber: SubscriberId(script.u8().into()),
        },
        3 => Event::ConsumerTimeout {
            lane,
            timeout: 1_000,
        },
        4 if script.u8() == 9 => Event::Shutdown {
            reason: "it stops".to_owned(),
        },
        _ => Event::Unblocked,
    }
}

/// The client's side: reads all that the session says.
#[derive(Default)]
struct Listener {
    has_heard: bool,
    is_closed: bool,
    channels: BTreeMap<u16, Heard>,
}

#[derive(Default)]
struct Heard {
    /// A header is to come, then so many bytes.
    awaits_header: bool,
    awaits_bytes: u64,
    delivered: u64,
    acked: u64,
    nacked: u64,
    is_closed: bool,
}

impl Listener {
    fn hear(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let refusal = !self.has_heard && bytes.starts_with(b"AMQP");
        self.has_heard = true;
        let bytes = if refusal { &bytes[8..] } else { bytes };
        let mut frames = Frames::new(bytes, 0);
        loop {
            match frames.next_frame() {
                Ok(Some(frame)) => self.hear_frame(&frame),
                Ok(None) => break,
                Err(error) => panic!("the client cannot read it: {error:?}"),
            }
        }
        assert_eq!(frames.consumed(), bytes.len(), "half a frame");
    }

    fn hear_frame(&mut self, frame: &Frame<'_>) {
        let number = frame.channel();
        if number > 0 {
            assert!(!self.is_closed, "after connection.close: {frame:?}");
        }
        let channel = self.channels.entry(number).or_default();
        match frame {
            Frame::Method { method, .. } => {
                assert!(
                    !channel.awaits_header && channel.awaits_bytes == 0,
                    "a method inside of a content"
                );
                match method {
                    Method::ConnectionClose(_) => self.is_closed = true,
                    Method::ChannelOpenOk(_) => *channel = Heard::default(),
                    Method::ChannelClose(_) => channel.is_closed = true,
                    Method::ChannelCloseOk(_) => {}
                    _ => assert!(!channel.is_closed, "after channel.close: {frame:?}"),
                }
                match method {
                    Method::BasicDeliver(BasicDeliver { delivery_tag, .. })
                    | Method::BasicGetOk(BasicGetOk { delivery_tag, .. }) => {
                        assert_eq!(*delivery_tag, channel.delivered + 1);
                        channel.delivered += 1;
                        channel.awaits_header = true;
                    }
                    Method::BasicReturn(_) => channel.awaits_header = true,
                    Method::BasicAck(ack) => {
                        assert!(ack.delivery_tag > channel.acked, "confirmed twice");
                        channel.acked = ack.delivery_tag;
                    }
                    Method::BasicNack(nack) => {
                        assert!(nack.delivery_tag > channel.nacked, "refused twice");
                        channel.nacked = nack.delivery_tag;
                    }
                    _ => {}
                }
            }
            Frame::Header { header, .. } => {
                assert!(channel.awaits_header, "a header without a method");
                channel.awaits_header = false;
                channel.awaits_bytes = header.body_size;
                assert!(header.properties.check().is_ok(), "unreadable properties");
            }
            Frame::Body { bytes, .. } => {
                let left = channel.awaits_bytes.checked_sub(bytes.len() as u64);
                channel.awaits_bytes = left.expect("a longer body than was said");
            }
            Frame::Heartbeat { channel } => assert_eq!(*channel, 0),
        }
    }
}
