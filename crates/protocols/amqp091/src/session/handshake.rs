//! From the protocol header to an open connection, and the methods of channel 0.

use std::fmt::Write;

use bytes::{Buf, BytesMut};
use polybus_model::{Error, Kind, Lane, Millis, Reply, Request, Table, Value};

use super::core::Capabilities;
use super::{Connection, Phase};
use crate::codec::{
    ConnectionOpen, ConnectionOpenOk, ConnectionStart, ConnectionStartOk, ConnectionTune,
    ConnectionTuneOk, ConnectionUpdateSecretOk, Encode, FRAME_MAX_MIN, Method, Opening,
    PROTOCOL_HEADER, TableRef, encode_table,
};
use crate::error::{Code, Fault, NO_METHOD};
use crate::mapping::name;
use crate::sasl::Mechanism;

/// What clients are told that the broker can do, in RabbitMQ's order.
const CAPABILITIES: &[&str] = &[
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
];

/// What a client says of itself is cut at so many bytes for listings.
const LABEL_MAX: usize = 128;

impl Connection {
    /// Takes the eight bytes that open a connection.
    pub(super) fn handle_header_bytes(&mut self, input: &mut BytesMut, now: Millis) {
        match Opening::detect(input) {
            Opening::NeedMore => {}
            Opening::Amqp091 => {
                input.advance(Opening::LEN.min(input.len()));
                self.send_start();
                self.phase = Phase::Start;
            }
            Opening::Amqp10(_) | Opening::OtherVersion | Opening::Other => {
                self.core.out.staged().extend_from_slice(&PROTOCOL_HEADER);
                self.phase = Phase::Done;
                debug_assert!(now <= self.handshake_until || self.core.awaited == 0);
            }
        }
    }

    fn offers_external(&self) -> bool {
        self.core.settings.external && self.peer.certificate_name.is_some()
    }

    fn send_start(&mut self) {
        let settings = &self.core.settings;
        let mut capabilities = Table::new();
        for capability in CAPABILITIES {
            capabilities.push(capability, Value::Bool(true));
        }
        let mut properties = Table::new();
        properties.push("capabilities", Value::Table(capabilities));
        for (property, text) in [
            ("cluster_name", settings.node.as_str()),
            ("copyright", "The Polybus authors"),
            ("information", "Licensed under the Apache License 2.0"),
            ("platform", settings.platform.as_str()),
            ("product", settings.product.as_str()),
            ("version", settings.version.as_str()),
        ] {
            properties.push(property, Value::text(text));
        }
        let properties = encode_table(&properties);
        let mechanisms: &[u8] = if self.offers_external() {
            b"PLAIN AMQPLAIN EXTERNAL"
        } else {
            b"PLAIN AMQPLAIN"
        };
        let start = ConnectionStart {
            version_major: 0,
            version_minor: 9,
            server_properties: TableRef::new(&properties),
            mechanisms,
            locales: b"en_US",
        };
        self.core.send(0, &start);
    }

    /// Takes a method on channel 0.
    pub(super) fn handle_connection_method(
        &mut self,
        method: &Method<'_>,
        bytes: &[u8],
        now: Millis,
    ) -> Result<(), Fault> {
        match (self.phase, method) {
            (Phase::Closing { .. }, Method::ConnectionCloseOk(_)) => {
                self.phase = Phase::Done;
                Ok(())
            }
            (_, Method::ConnectionClose(_)) => {
                self.handle_close();
                Ok(())
            }
            (Phase::Closing { .. }, _) => Ok(()),
            (Phase::Start, Method::ConnectionStartOk(start)) => {
                self.handle_start_ok(start, now);
                Ok(())
            }
            (Phase::Tune, Method::ConnectionTuneOk(tune)) => self.handle_tune_ok(*tune, now),
            (Phase::Open, Method::ConnectionOpen(open)) => {
                self.phase = Phase::Enter;
                self.core.vhost = name(open.virtual_host);
                let namespace = self.core.vhost.clone();
                self.core.ask(Lane(0), Request::Open { namespace });
                Ok(())
            }
            (Phase::Running, Method::ConnectionUpdateSecret(_)) => {
                // Passwords do not run out here, so there is nothing to renew.
                self.core.send(0, &ConnectionUpdateSecretOk {});
                Ok(())
            }
            (Phase::Running, _) => Err(Fault::new(
                Code::ChannelError,
                method.id(),
                "unexpected method in connection state running",
            )),
            _ => Err(Fault::unexpected_frame(bytes)),
        }
    }

    fn handle_start_ok(&mut self, start: &ConnectionStartOk<'_>, now: Millis) {
        self.note_client(start.client_properties);
        let certificate = self
            .peer
            .certificate_name
            .as_deref()
            .filter(|_| self.offers_external());
        let login = Mechanism::named(start.mechanism).and_then(|mechanism| {
            let (user, credentials) = mechanism.credentials(start.response, certificate)?;
            Some((mechanism, user, credentials))
        });
        let Some((mechanism, user, credentials)) = login else {
            self.fall_silent(now);
            return;
        };
        self.core.user = user;
        self.phase = Phase::Authenticate(mechanism);
        self.core.ask(Lane(0), Request::Authenticate(credentials));
    }

    /// Keeps what the client says of itself.
    fn note_client(&mut self, properties: TableRef<'_>) {
        let text = |field: &[u8]| {
            let text = properties.lookup(field)?.as_text()?;
            let text = text.get(..LABEL_MAX).unwrap_or(text);
            Some(String::from_utf8_lossy(text).into_owned())
        };
        self.label = text(b"connection_name");
        self.client = text(b"product").map(|mut product| {
            if let Some(version) = text(b"version") {
                let _ = write!(product, " {version}");
            }
            product
        });
        let capabilities = properties
            .lookup(b"capabilities")
            .and_then(|value| value.as_table())
            .unwrap_or_default();
        let can = |field: &[u8]| {
            capabilities
                .lookup(field)
                .and_then(|value| value.as_bool())
                .unwrap_or(false)
        };
        self.core.client = Capabilities {
            consumer_cancel_notify: can(b"consumer_cancel_notify"),
            connection_blocked: can(b"connection.blocked"),
            authentication_failure_close: can(b"authentication_failure_close"),
        };
    }

    /// The client may lower what is offered; 0 takes it as it is.
    fn handle_tune_ok(&mut self, tune: ConnectionTuneOk, now: Millis) -> Result<(), Fault> {
        let (frame_max, channel_max) =
            (self.core.settings.frame_max, self.core.settings.channel_max);
        let agreed_frame_max = match tune.frame_max {
            0 => frame_max,
            agreed if agreed >= FRAME_MAX_MIN && agreed <= frame_max => agreed,
            _ => {
                return Err(Fault::new(
                    Code::NotAllowed,
                    ConnectionTune::ID,
                    "frame_max",
                ));
            }
        };
        let agreed_channel_max = match tune.channel_max {
            0 => channel_max,
            agreed if agreed <= channel_max => agreed,
            _ => {
                return Err(Fault::new(
                    Code::NotAllowed,
                    ConnectionTune::ID,
                    "channel_max",
                ));
            }
        };
        self.core.frame_max = agreed_frame_max;
        self.core.channel_max = agreed_channel_max;
        self.heartbeat.start(tune.heartbeat, now);
        self.phase = Phase::Open;
        Ok(())
    }

    /// Takes the answer to Authenticate or Open.
    pub(super) fn handle_connection_reply(
        &mut self,
        result: Result<Reply, Box<Error>>,
        now: Millis,
    ) {
        match (self.phase, result) {
            (Phase::Authenticate(_), Ok(_)) => {
                let settings = &self.core.settings;
                let tune = ConnectionTune {
                    channel_max: settings.channel_max,
                    frame_max: settings.frame_max,
                    heartbeat: settings.heartbeat_s,
                };
                self.core.send(0, &tune);
                self.phase = Phase::Tune;
            }
            (Phase::Authenticate(mechanism), Err(error)) => {
                let fault = match error.kind {
                    Kind::Unavailable(_) | Kind::LimitReached(_) => {
                        Fault::from_broker(&error, NO_METHOD, &self.core.user)
                    }
                    _ => Fault::new(
                        Code::AccessRefused,
                        NO_METHOD,
                        format!(
                            "Login was refused using authentication mechanism {}. For details see the broker logfile.",
                            mechanism.name()
                        ),
                    ),
                };
                self.refuse_login(&fault, now);
            }
            (Phase::Enter, Ok(_)) => {
                self.core.send(0, &ConnectionOpenOk {});
                self.phase = Phase::Running;
                self.heartbeat.heard(now);
            }
            (Phase::Enter, Err(error)) => {
                let fault = if let Kind::AccessRefused(_) = error.kind {
                    let (vhost, user) = (&self.core.vhost, &self.core.user);
                    let text = format!("access to vhost '{vhost}' refused for user '{user}'");
                    Fault::new(Code::NotAllowed, ConnectionOpen::ID, text)
                } else {
                    Fault::from_broker(&error, ConnectionOpen::ID, &self.core.user)
                };
                // Whatever the code says, without a virtual host there is no connection.
                self.fail_connection(&fault, now);
            }
            _ => {}
        }
    }
}
