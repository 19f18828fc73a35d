//! What the broker runs with. One table ([`settings::SETTINGS`]) yields each setting's TOML key, environment variable,
//! flag, default, help and line in the reference; the later of these wins:
//!
//! ```text
//! default  <  polybus.toml: [amqp] listen  <  POLYBUS_AMQP_LISTEN  <  --amqp-listen
//! ```

mod layers;
mod nearest;
mod reference;
mod settings;
mod values;

pub(crate) use layers::{Origin, Resolved, Sources, resolve};
pub(crate) use reference::{as_json, as_table};
pub(crate) use settings::{SETTINGS, Setting};
pub(crate) use values::{Advertised, Durability, Format, Level, Listen, NatsTls, Place};
pub(crate) use values::{duration, duration_or_off, size_or_off};

use std::path::PathBuf;
use std::time::Duration;

use polybus_nats::PublicKey;

/// Every setting, parsed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Config {
    /// The data folder.
    pub(crate) data: PathBuf,
    /// When a publish is confirmed.
    pub(crate) durability: Durability,
    /// AMQP.
    pub(crate) amqp: Amqp,
    /// Kafka.
    pub(crate) kafka: Kafka,
    /// NATS.
    pub(crate) nats: Nats,
    /// TLS, for every protocol.
    pub(crate) tls: Tls,
    /// Bounds.
    pub(crate) limits: Limits,
    /// The log.
    pub(crate) log: Log,
    /// Where the command line reaches the broker; none: in the data folder.
    pub(crate) control_socket: Option<PathBuf>,
}

/// AMQP's settings.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Amqp {
    /// Where it listens.
    pub(crate) listen: Listen,
    /// Where it listens with TLS.
    pub(crate) tls_listen: Listen,
    /// The heartbeat it suggests; zero is none.
    pub(crate) heartbeat: Duration,
    /// The greatest frame.
    pub(crate) frame_max: u32,
    /// The most channels on a connection.
    pub(crate) channel_max: u16,
    /// How long a peer may take until its connection is open.
    pub(crate) handshake_timeout: Duration,
    /// The greatest message body.
    pub(crate) message_bytes_max: u64,
    /// How long a consumer may hold a message.
    pub(crate) consumer_timeout: Option<Duration>,
}

/// Kafka's settings.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Kafka {
    /// Where it listens.
    pub(crate) listen: Listen,
    /// Where it listens with TLS.
    pub(crate) tls_listen: Listen,
    /// Where clients are told to connect; none: where they are connected already.
    pub(crate) advertised: Option<Advertised>,
    /// The broker's number.
    pub(crate) node_id: i32,
    /// The namespace its clients are in.
    pub(crate) namespace: String,
    /// Clients have to log in.
    pub(crate) sasl: bool,
    /// The user of clients that do not log in; none: guest, from this machine, with its first password.
    pub(crate) anonymous: Option<String>,
    /// Topics are made when they are first asked for.
    pub(crate) auto_create: bool,
    /// How many partitions new topics get.
    pub(crate) partitions: u32,
    /// The greatest batch of records.
    pub(crate) message_bytes_max: u32,
    /// The greatest request.
    pub(crate) request_bytes_max: u32,
    /// How long a peer may take until it is let in.
    pub(crate) handshake_timeout: Duration,
    /// How long a connection may be silent.
    pub(crate) idle_timeout: Duration,
}

/// NATS' settings.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Nats {
    /// Where it listens.
    pub(crate) listen: Listen,
    /// The namespace its clients are in.
    pub(crate) namespace: String,
    /// What the server calls itself.
    pub(crate) server_name: String,
    /// Clients have to say who they are.
    pub(crate) auth: bool,
    /// The user of clients that do not say who they are; none: guest, from this machine, with its first password.
    pub(crate) anonymous: Option<String>,
    /// Where it listens for WebSockets,
    pub(crate) websocket_listen: Listen,
    /// and for those with TLS.
    pub(crate) websocket_tls_listen: Listen,
    /// Where it tells of itself over HTTP.
    pub(crate) monitoring_listen: Listen,
    /// What clients are to do about TLS.
    pub(crate) tls: NatsTls,
    /// Users and their tokens.
    pub(crate) tokens: Vec<(String, String)>,
    /// Users and their public keys.
    pub(crate) nkeys: Vec<(String, PublicKey)>,
    /// The greatest payload.
    pub(crate) payload_bytes_max: usize,
    /// The greatest line.
    pub(crate) line_bytes_max: usize,
    /// The most subscriptions of a connection.
    pub(crate) subscriptions_max: usize,
    /// Bytes that may wait for a client.
    pub(crate) pending_bytes_max: usize,
    /// How long a client may take to read some of what waits for it.
    pub(crate) write_deadline: Duration,
    /// A client that was silent for so long is asked for a sign of life.
    pub(crate) ping_interval: Duration,
    /// As many such questions stay without an answer.
    pub(crate) pings_max: u32,
    /// How long a client may take to say who it is.
    pub(crate) auth_timeout: Duration,
    /// Over how long clients are let go when the broker stops.
    pub(crate) lame_duck: Duration,
}

/// TLS' settings.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tls {
    /// The certificate chain, PEM.
    pub(crate) certificate: Option<PathBuf>,
    /// Its private key, PEM.
    pub(crate) key: Option<PathBuf>,
    /// Who signs clients' certificates, PEM.
    pub(crate) client_ca: Option<PathBuf>,
    /// Clients without a certificate are turned away.
    pub(crate) require_client_certificate: bool,
}

/// The bounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Limits {
    /// Connections at a time.
    pub(crate) connections: u64,
    /// Queues.
    pub(crate) queues: u64,
    /// Bytes of messages kept in memory.
    pub(crate) memory: u64,
    /// Free bytes on the data folder's disk below which publishes wait.
    pub(crate) disk_free_min: u64,
}

/// The log's settings.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Log {
    /// How much is told.
    pub(crate) level: Level,
    /// How it is written.
    pub(crate) format: Format,
}

impl Config {
    /// Where the command line reaches the broker.
    pub(crate) fn control_socket(&self) -> PathBuf {
        self.control_socket
            .clone()
            .unwrap_or_else(|| self.data.join("control.sock"))
    }
}
