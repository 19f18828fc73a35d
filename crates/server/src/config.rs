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
pub(crate) use values::{Durability, Format, Level, Listen, Place};

use std::path::PathBuf;
use std::time::Duration;

/// Every setting, parsed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Config {
    /// The data folder.
    pub(crate) data: PathBuf,
    /// When a publish is confirmed.
    pub(crate) durability: Durability,
    /// AMQP.
    pub(crate) amqp: Amqp,
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
