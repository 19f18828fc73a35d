//! What the operator can set, and the bounds that keep a peer's share of memory finite.

use std::fmt;
use std::sync::Arc;

use polybus_model::{Message, Millis, Table};
use polybus_session::Quotas;

/// Gives random numbers: for names that nobody shall guess. The simulation gives a seeded one.
pub type Random = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Reads the headers of a message of any protocol.
pub type HeadersOf = Arc<dyn Fn(&Message) -> Table + Send + Sync>;

/// The settings of Kafka.
#[derive(Clone)]
pub struct Settings {
    /// The data folder's own number: the cluster's id and the topics' are made of it.
    pub identity: u64,
    /// The host that clients are told to connect to; none: the address they came by.
    pub advertised_host: Option<String>,
    /// The port that clients are told to connect to; none: the one they came by.
    pub advertised_port: Option<u16>,
    /// The broker's number.
    pub node_id: i32,
    /// The namespace whose logs clients meet.
    pub namespace: String,
    /// Clients have to log in.
    pub sasl_required: bool,
    /// The user of clients that do not log in; none: guest with its first password, from this machine.
    pub anonymous: Option<String>,
    /// Topics are made when they are first asked for.
    pub auto_create: bool,
    /// How many partitions new topics get where their maker does not say.
    pub partitions: u32,
    /// The greatest batch of records that a topic takes if it does not say otherwise, in bytes.
    pub message_bytes_max: u32,
    /// The greatest request, in bytes.
    pub request_bytes_max: u32,
    /// The greatest request of a peer that is not let in yet, in bytes.
    pub first_request_bytes_max: u32,
    /// Bytes of one answer's records, whatever the client asks for.
    pub fetch_bytes_max: u32,
    /// Requests of one connection that wait for their answers; past it nothing is read.
    pub pending_max: usize,
    /// Bytes that the answers a connection waits for may come to; past it nothing is read.
    pub pending_bytes_max: usize,
    /// Fetch sessions of one connection.
    pub fetch_sessions_max: usize,
    /// Partitions of one fetch session.
    pub fetch_session_partitions_max: usize,
    /// How long a connection may take until it is let in.
    pub handshake_timeout_ms: Millis,
    /// How long a connection may be silent.
    pub idle_timeout_ms: Millis,
    /// Reads the headers of other protocols' messages.
    pub headers_of: HeadersOf,
    /// The quotas that clients are held to.
    pub quotas: Quotas,
    /// Random numbers.
    pub random: Random,
}

impl Settings {
    /// The usual settings, for a data folder with this number.
    #[must_use]
    pub fn new(identity: u64, random: Random) -> Self {
        Self {
            identity,
            advertised_host: None,
            advertised_port: None,
            node_id: 1,
            namespace: "/".to_owned(),
            sasl_required: false,
            anonymous: None,
            auto_create: true,
            partitions: 1,
            message_bytes_max: 1024 * 1024 + 12,
            request_bytes_max: 100 << 20,
            first_request_bytes_max: 64 << 10,
            fetch_bytes_max: 55 << 20,
            pending_max: 256,
            pending_bytes_max: 64 << 20,
            fetch_sessions_max: 16,
            fetch_session_partitions_max: 10_000,
            handshake_timeout_ms: 10_000,
            idle_timeout_ms: 10 * 60_000,
            headers_of: Arc::new(|_| Table::new()),
            quotas: Quotas::default(),
            random,
        }
    }

    /// A random id, as the clients' own look: a UUID in hexadecimal.
    pub(crate) fn random_id(&self) -> String {
        let (high, low) = ((self.random)(), (self.random)());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            low >> 48 & 0x3fff | 0x8000,
            low & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("node_id", &self.node_id)
            .field("namespace", &self.namespace)
            .field("sasl_required", &self.sasl_required)
            .finish_non_exhaustive()
    }
}
