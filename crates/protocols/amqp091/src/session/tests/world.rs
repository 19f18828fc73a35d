//! A client, a session and a broker, in one place and one thread, with a clock that is set by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::BytesMut;
use polybus_model::{Batch, Event, Millis, Table, Value};
use polybus_session::{Peer, Protocol, Session};

use super::broker::Broker;
use crate::codec::*;
use crate::{Amqp091, Settings};

/// Capabilities and the rest of what a client says of itself.
pub(super) fn client_properties() -> Table {
    let mut capabilities = Table::new();
    for name in [
        "consumer_cancel_notify",
        "connection.blocked",
        "authentication_failure_close",
    ] {
        capabilities.push(name, Value::Bool(true));
    }
    let mut properties = Table::new();
    properties.push("product", Value::text("tests"));
    properties.push("version", Value::text("1"));
    properties.push("capabilities", Value::Table(capabilities));
    properties
}

pub(super) struct World {
    pub(super) session: Box<dyn Session>,
    pub(super) broker: Broker,
    pub(super) now: Millis,
    input: BytesMut,
    /// The bytes that the client got and has not looked at.
    got: Vec<u8>,
    /// Bytes are given to the session in pieces of this size.
    pub(super) piece: usize,
    /// The session is given events one by one.
    pub(super) one_by_one: bool,
    /// Requests are left lying.
    pub(super) broker_sleeps: bool,
}

pub(super) fn settings() -> Settings {
    let random = AtomicU64::new(0);
    Settings::new(Arc::new(move || {
        let step = random.fetch_add(1, Ordering::Relaxed);
        step.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }))
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(settings())
    }

    pub(super) fn with(settings: Settings) -> Self {
        Self::of_peer(settings, None)
    }

    pub(super) fn of_peer(settings: Settings, certificate_name: Option<String>) -> Self {
        let address = ([127, 0, 0, 1], 5672).into();
        let peer = Peer {
            remote: address,
            local: address,
            tls: certificate_name.is_some(),
            certificate_name,
        };
        Self {
            session: Amqp091::new(settings).accept(peer, 0),
            broker: Broker::default(),
            now: 0,
            input: BytesMut::new(),
            got: Vec::new(),
            piece: usize::MAX,
            one_by_one: false,
            broker_sleeps: false,
        }
    }

    /// A world with an open connection.
    pub(super) fn open() -> Self {
        let mut world = Self::new();
        world.shake_hands(131_072, 60);
        world
    }

    /// A world with an open connection and channel 1.
    pub(super) fn with_channel() -> Self {
        let mut world = Self::open();
        world.send(1, &ChannelOpen {});
        assert_eq!(world.take(), ["1 channel.open_ok"]);
        world
    }

    pub(super) fn shake_hands(&mut self, frame_max: u32, heartbeat: u16) {
        self.push(&PROTOCOL_HEADER);
        assert_eq!(self.take_names(), ["0 connection.start"]);
        self.start_ok("PLAIN", b"\0guest\0guest");
        assert_eq!(self.take_names(), ["0 connection.tune"]);
        let tune = ConnectionTuneOk {
            channel_max: 2047,
            frame_max,
            heartbeat,
        };
        self.send(0, &tune);
        self.send(0, &ConnectionOpen { virtual_host: "/" });
        assert_eq!(self.take_names(), ["0 connection.open_ok"]);
    }

    pub(super) fn start_ok(&mut self, mechanism: &str, response: &[u8]) {
        let properties = encode_table(&client_properties());
        let start_ok = ConnectionStartOk {
            client_properties: TableRef::new(&properties),
            mechanism,
            response,
            locale: "en_US",
        };
        self.send(0, &start_ok);
    }

    /// Gives the session bytes, and goes on until nothing moves.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(self.piece) {
            self.input.extend_from_slice(piece);
            self.turn();
        }
    }

    pub(super) fn turn(&mut self) {
        loop {
            let before = self.input.len();
            if !self.session.is_waiting() && !self.session.is_done() && !self.input.is_empty() {
                self.session.handle_input(&mut self.input, self.now);
            }
            let mut batch = Batch::default();
            if !self.broker_sleeps {
                self.session.poll_requests(&mut batch);
            }
            let asked = !batch.requests.is_empty();
            let mut events = self.broker.handle(batch);
            if self.one_by_one {
                for event in events {
                    self.session.handle_event(event, self.now);
                }
            } else {
                self.session.handle_events(&mut events, self.now);
            }
            self.write();
            if !asked && (self.input.len() == before || self.session.is_waiting()) {
                return;
            }
        }
    }

    fn write(&mut self) {
        let out = self.session.outbound();
        while !out.is_empty() {
            let mut slices = [std::io::IoSlice::new(&[]); 8];
            let filled = out.slices(&mut slices);
            let bytes: Vec<u8> = slices[..filled].iter().flat_map(|s| s.to_vec()).collect();
            out.advance(bytes.len());
            self.got.extend_from_slice(&bytes);
        }
    }

    pub(super) fn event(&mut self, event: Event) {
        self.session.handle_event(event, self.now);
        self.turn();
    }

    /// Goes to that time, by way of all the timeouts before it.
    pub(super) fn wait_until(&mut self, time: Millis) {
        while let Some(timeout) = self.session.poll_timeout().filter(|t| *t <= time) {
            self.now = self.now.max(timeout);
            self.session.handle_timeout(self.now);
            self.write();
        }
        self.now = time;
    }

    pub(super) fn send(&mut self, channel: u16, method: &impl Encode) {
        let mut bytes = BytesMut::new();
        write_method(&mut bytes, channel, method);
        self.push(&bytes);
    }

    pub(super) fn publish(&mut self, channel: u16, exchange: &str, key: &str, body: &[u8]) {
        self.publish_with(channel, exchange, key, false, &Properties::default(), body);
    }

    pub(super) fn publish_with(
        &mut self,
        channel: u16,
        exchange: &str,
        key: &str,
        mandatory: bool,
        properties: &Properties<'_>,
        body: &[u8],
    ) {
        self.push(&published(
            channel, exchange, key, mandatory, properties, body,
        ));
    }

    pub(super) fn declare(&mut self, channel: u16, queue: &str) {
        self.send(channel, &declare(queue));
        assert!(self.take()[0].contains("queue.declare_ok"));
    }

    pub(super) fn consume(&mut self, channel: u16, queue: &str, tag: &str, no_ack: bool) {
        let consume = BasicConsume {
            queue,
            consumer_tag: tag,
            no_ack,
            ..BasicConsume::default()
        };
        self.send(channel, &consume);
    }

    /// The bytes that the client got since it last looked.
    pub(super) fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.got)
    }

    /// What the client got since it last looked, in words.
    pub(super) fn take(&mut self) -> Vec<String> {
        let bytes = self.take_bytes();
        let mut frames = Frames::new(&bytes, 0);
        let mut said = Vec::new();
        while let Ok(Some(frame)) = frames.next_frame() {
            said.push(worded(&frame));
        }
        assert_eq!(
            frames.consumed(),
            bytes.len(),
            "unreadable bytes from the session"
        );
        said
    }

    /// The same, without the fields.
    pub(super) fn take_names(&mut self) -> Vec<String> {
        self.take()
            .iter()
            .map(|said| said.splitn(3, ' ').take(2).collect::<Vec<_>>().join(" "))
            .collect()
    }
}

pub(super) fn declare(queue: &str) -> QueueDeclare<'_> {
    QueueDeclare {
        queue,
        ..QueueDeclare::default()
    }
}

pub(super) fn published(
    channel: u16,
    exchange: &str,
    key: &str,
    mandatory: bool,
    properties: &Properties<'_>,
    body: &[u8],
) -> BytesMut {
    let mut raw = BytesMut::new();
    properties.encode(&mut raw);
    let mut bytes = BytesMut::new();
    let publish = BasicPublish {
        exchange: exchange.into(),
        routing_key: key.into(),
        mandatory,
        immediate: false,
    };
    write_method(&mut bytes, channel, &publish);
    write_header(
        &mut bytes,
        channel,
        body.len() as u64,
        PropertiesRef::new(&raw),
    );
    write_body(&mut bytes, channel, body, 131_072);
    bytes
}

/// `1 queue.declare_ok { queue: "q", ... }`, `1 header 3 {}`, `1 body abc`.
fn worded(frame: &Frame<'_>) -> String {
    match frame {
        Frame::Method { channel, method } => {
            let debug = format!("{method:?}");
            let name = method.id();
            match method {
                Method::ConnectionClose(ConnectionClose {
                    reply_code,
                    reply_text,
                    class_id,
                    method_id,
                })
                | Method::ChannelClose(ChannelClose {
                    reply_code,
                    reply_text,
                    class_id,
                    method_id,
                }) => {
                    format!("{channel} {name} {reply_code} {reply_text} ({class_id},{method_id})")
                }
                _ => {
                    let fields = debug
                        .find('{')
                        .map_or("", |at| debug[at..].trim_end_matches(')'));
                    format!("{channel} {name} {fields}").trim_end().to_owned()
                }
            }
        }
        Frame::Header { channel, header } => {
            let headers = header.properties.headers().unwrap_or_default();
            format!("{channel} header {} {headers:?}", header.body_size)
        }
        Frame::Body { channel, bytes } => {
            format!("{channel} body {}", String::from_utf8_lossy(bytes))
        }
        Frame::Heartbeat { channel } => format!("{channel} heartbeat"),
    }
}
