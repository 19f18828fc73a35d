//! A connection and its slow paths: handshake, declarations, one message taken by hand.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use polybus_amqp091::codec::{
    BasicConsume, BasicGet, BasicGetEmpty, BasicGetOk, BasicQos, BasicQosOk, ChannelOpen,
    ChannelOpenOk, ConfirmSelect, ConfirmSelectOk, ConnectionClose, ConnectionCloseOk,
    ConnectionOpen, ConnectionOpenOk, ConnectionStart, ConnectionStartOk, ConnectionTune,
    ConnectionTuneOk, Encode, ExchangeDeclare, ExchangeDeclareOk, ExchangeDelete, ExchangeDeleteOk,
    FrameKind, Method, MethodId, PROTOCOL_HEADER, QueueBind, QueueBindOk, QueueDeclare,
    QueueDeclareOk, QueueDelete, QueueDeleteOk, TableRef, encode_table, write_method,
};
use polybus_model::Table;

use crate::error::BenchError;
use crate::walker::{Filled, Walker};

/// How long a server may take for an answer. RabbitMQ needs seconds to delete a queue of a million.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// A read gives up after this, so that its thread can look around.
pub(crate) const READ_TURN: Duration = Duration::from_millis(100);

/// A write that cannot go on for this long is an error.
const WRITE_WITHIN: Duration = Duration::from_secs(120);

/// Where a broker is and who knocks.
#[derive(Clone, Debug)]
pub struct Target {
    /// HOST:PORT.
    pub address: String,
    /// The user.
    pub user: String,
    /// Its password.
    pub password: String,
    /// The virtual host.
    pub virtual_host: String,
}

impl Target {
    /// `guest` in `/`.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            user: "guest".into(),
            password: "guest".into(),
            virtual_host: "/".into(),
        }
    }
}

/// An open connection.
#[derive(Debug)]
pub struct Link {
    pub(crate) socket: TcpStream,
    pub(crate) walker: Walker,
    pub(crate) frame_max: u32,
    out: BytesMut,
}

impl Link {
    /// Connects and shakes hands.
    ///
    /// # Errors
    /// [`BenchError`] if there is no broker or it refuses.
    pub fn open(target: &Target, heartbeat_s: u16) -> Result<Self, BenchError> {
        Self::open_with(target, heartbeat_s, Walker::new())
    }

    pub(crate) fn open_with(
        target: &Target,
        heartbeat_s: u16,
        walker: Walker,
    ) -> Result<Self, BenchError> {
        let socket = TcpStream::connect(&target.address)
            .map_err(|error| BenchError::Unreachable(target.address.clone(), error))?;
        let set = |socket: &TcpStream| {
            socket.set_nodelay(true)?;
            socket.set_read_timeout(Some(READ_TURN))?;
            socket.set_write_timeout(Some(WRITE_WITHIN))
        };
        set(&socket).map_err(BenchError::io("setting up a socket"))?;
        let mut link = Self {
            socket,
            walker,
            frame_max: 0,
            out: BytesMut::new(),
        };
        link.write(&PROTOCOL_HEADER)?;
        link.expect(ConnectionStart::ID, |_| ())?;
        let response = format!("\0{}\0{}", target.user, target.password);
        link.send(
            0,
            &ConnectionStartOk {
                client_properties: TableRef::default(),
                mechanism: "PLAIN",
                response: response.as_bytes(),
                locale: "en_US",
            },
        )?;
        let tune = link.expect(ConnectionTune::ID, |method| match method {
            Method::ConnectionTune(tune) => tune,
            _ => ConnectionTune::default(),
        })?;
        link.frame_max = match tune.frame_max {
            0 => 131_072,
            most => most.min(131_072),
        };
        let heartbeat = heartbeat_s;
        let channel_max = tune.channel_max;
        let frame_max = link.frame_max;
        link.send(
            0,
            &ConnectionTuneOk {
                channel_max,
                frame_max,
                heartbeat,
            },
        )?;
        let virtual_host = target.virtual_host.as_str();
        link.call(0, &ConnectionOpen { virtual_host }, ConnectionOpenOk::ID)?;
        Ok(link)
    }

    /// Opens a channel.
    ///
    /// # Errors
    /// [`BenchError`] if the broker refuses.
    pub fn open_channel(&mut self, channel: u16) -> Result<(), BenchError> {
        self.call(channel, &ChannelOpen {}, ChannelOpenOk::ID)
    }

    pub(crate) fn limit_send_buffer(&self, bytes: usize) -> Result<(), BenchError> {
        rustix::net::sockopt::set_socket_send_buffer_size(&self.socket, bytes)
            .map_err(|error| BenchError::Io("setting up a socket".into(), error.into()))
    }

    pub(crate) fn select_confirms(&mut self, channel: u16) -> Result<(), BenchError> {
        self.call(
            channel,
            &ConfirmSelect { nowait: false },
            ConfirmSelectOk::ID,
        )
    }

    pub(crate) fn limit_unsettled(
        &mut self,
        channel: u16,
        prefetch_count: u16,
    ) -> Result<(), BenchError> {
        let qos = BasicQos {
            prefetch_count,
            ..BasicQos::default()
        };
        self.call(channel, &qos, BasicQosOk::ID)
    }

    /// Asks for a consumer and does not wait: what answers it may be deliveries already.
    pub(crate) fn start_consumer(
        &mut self,
        channel: u16,
        queue: &str,
        no_ack: bool,
    ) -> Result<(), BenchError> {
        let consume = BasicConsume {
            queue,
            consumer_tag: "c",
            no_ack,
            ..BasicConsume::default()
        };
        self.send(channel, &consume)
    }

    pub(crate) fn declare_exchange(
        &mut self,
        exchange: &str,
        kind: &str,
        durable: bool,
    ) -> Result<(), BenchError> {
        let declare = ExchangeDeclare {
            exchange,
            kind,
            durable,
            ..ExchangeDeclare::default()
        };
        self.call(1, &declare, ExchangeDeclareOk::ID)
    }

    pub(crate) fn delete_exchange(&mut self, exchange: &str) -> Result<(), BenchError> {
        let delete = ExchangeDelete {
            exchange,
            ..ExchangeDelete::default()
        };
        self.call(1, &delete, ExchangeDeleteOk::ID)
    }

    /// Declares a queue; gives how many messages it has.
    pub(crate) fn declare_queue(
        &mut self,
        queue: &str,
        durable: bool,
        arguments: &Table,
    ) -> Result<u32, BenchError> {
        let arguments = encode_table(arguments);
        let declare = QueueDeclare {
            queue,
            durable,
            arguments: TableRef::new(&arguments),
            ..QueueDeclare::default()
        };
        self.send(1, &declare)?;
        self.expect(QueueDeclareOk::ID, |method| match method {
            Method::QueueDeclareOk(declared) => declared.message_count,
            _ => 0,
        })
    }

    pub(crate) fn delete_queue(&mut self, queue: &str) -> Result<(), BenchError> {
        let delete = QueueDelete {
            queue,
            ..QueueDelete::default()
        };
        self.call(1, &delete, QueueDeleteOk::ID)
    }

    /// Binds a queue; `wait` for the answer, or rely on a later one: they come in order.
    pub(crate) fn bind(
        &mut self,
        queue: &str,
        exchange: &str,
        routing_key: &str,
        arguments: &Table,
        wait: bool,
    ) -> Result<(), BenchError> {
        let arguments = encode_table(arguments);
        let bind = QueueBind {
            queue,
            exchange,
            routing_key,
            nowait: !wait,
            arguments: TableRef::new(&arguments),
        };
        if wait {
            self.call(1, &bind, QueueBindOk::ID)
        } else {
            self.send(1, &bind)
        }
    }

    /// Takes one message for good; gives the first bytes of its body.
    pub(crate) fn take(&mut self, queue: &str) -> Result<Option<Vec<u8>>, BenchError> {
        let get = BasicGet {
            queue,
            no_ack: true,
        };
        self.send(1, &get)?;
        let deadline = Instant::now() + ANSWER_WITHIN;
        let mut left = None;
        let mut body = Vec::new();
        loop {
            while let Some(frame) = self.walker.next_frame()? {
                if frame.kind == FrameKind::Method as u8 {
                    match method_of(frame.payload)? {
                        BasicGetEmpty::ID => return Ok(None),
                        BasicGetOk::ID => {}
                        _ => refuse_close(frame.payload)?,
                    }
                } else if frame.kind == FrameKind::Header as u8 {
                    let size = frame
                        .payload
                        .get(4..12)
                        .and_then(|size| size.try_into().ok());
                    left = size.map(|size| u64::from_be_bytes(size) as usize);
                } else if frame.kind == FrameKind::Body as u8 {
                    body.extend_from_slice(frame.payload);
                }
                if left.is_some_and(|size| body.len() >= size) {
                    return Ok(Some(body));
                }
            }
            self.fill_until(deadline, "a get")?;
        }
    }

    /// Says goodbye and waits for the answer, so that the server has let go of all.
    pub(crate) fn close(mut self) -> Result<(), BenchError> {
        let close = ConnectionClose {
            reply_code: 200,
            reply_text: "done",
            ..ConnectionClose::default()
        };
        self.call(0, &close, ConnectionCloseOk::ID)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), BenchError> {
        self.socket
            .write_all(bytes)
            .map_err(BenchError::io("writing to the server"))
    }

    pub(crate) fn call(
        &mut self,
        channel: u16,
        method: &impl Encode,
        answer: MethodId,
    ) -> Result<(), BenchError> {
        self.send(channel, method)?;
        self.expect(answer, |_| ())
    }

    pub(crate) fn send(&mut self, channel: u16, method: &impl Encode) -> Result<(), BenchError> {
        self.out.clear();
        write_method(&mut self.out, channel, method);
        self.socket
            .write_all(&self.out)
            .map_err(BenchError::io("writing to the server"))
    }

    fn expect<T>(
        &mut self,
        answer: MethodId,
        read: impl FnOnce(Method<'_>) -> T,
    ) -> Result<T, BenchError> {
        let deadline = Instant::now() + ANSWER_WITHIN;
        loop {
            while let Some(frame) = self.walker.next_frame()? {
                if frame.kind != FrameKind::Method as u8 {
                    continue;
                }
                if method_of(frame.payload)? == answer {
                    let method = Method::parse(frame.payload)
                        .map_err(|error| BenchError::Protocol(error.to_string()))?;
                    return Ok(read(method));
                }
                refuse_close(frame.payload)?;
            }
            self.fill_until(deadline, &answer.to_string())?;
        }
    }

    fn fill_until(&mut self, deadline: Instant, what: &str) -> Result<(), BenchError> {
        let filled = self.walker.fill(&self.socket, true);
        match filled.map_err(BenchError::io("reading from the server"))? {
            Filled::Bytes => Ok(()),
            Filled::End => Err(hung_up()),
            Filled::Nothing if Instant::now() < deadline => Ok(()),
            Filled::Nothing => Err(BenchError::Timeout(format!("no answer: {what}"))),
        }
    }
}

pub(crate) fn hung_up() -> BenchError {
    BenchError::Protocol("it hung up".into())
}

pub(crate) fn method_of(payload: &[u8]) -> Result<MethodId, BenchError> {
    match payload.first_chunk() {
        Some(&[c1, c0, m1, m0]) => Ok(MethodId::new(
            u16::from_be_bytes([c1, c0]),
            u16::from_be_bytes([m1, m0]),
        )),
        None => Err(BenchError::Protocol("a method frame without method".into())),
    }
}

/// What else may come: a close is an error, the rest (blocked, consume-ok) is of no interest.
pub(crate) fn refuse_close(payload: &[u8]) -> Result<(), BenchError> {
    match Method::parse(payload).map_err(|error| BenchError::Protocol(error.to_string()))? {
        Method::ConnectionClose(close) => Err(BenchError::Closed(
            close.reply_code,
            close.reply_text.to_string(),
        )),
        Method::ChannelClose(close) => Err(BenchError::Closed(
            close.reply_code,
            close.reply_text.to_string(),
        )),
        Method::BasicCancel(_) => Err(BenchError::Protocol("it cancelled a consumer".into())),
        _ => Ok(()),
    }
}
