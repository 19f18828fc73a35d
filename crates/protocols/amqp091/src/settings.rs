//! What the operator can set, and the bounds that keep a peer's share of memory finite.

use std::fmt;
use std::sync::Arc;

use polybus_model::{Message, Millis, Name, RunContent};
use polybus_session::Readers;

/// Gives random numbers: for names that nobody shall guess. The simulation gives a seeded one.
pub type Random = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Reads the messages of a run of a log, of that name, to the end of a list: each with its offset within the run.
pub type MessagesOf = Arc<dyn Fn(&Name, &RunContent, &mut Vec<(u32, Message)>) + Send + Sync>;

/// The settings of AMQP 0-9-1.
#[derive(Clone)]
pub struct Settings {
    /// The largest frame offered, in bytes; clients may ask for less, down to 4,096.
    pub frame_max: u32,
    /// Channels offered per connection.
    pub channel_max: u16,
    /// The heartbeat offered, in seconds; 0 for none.
    pub heartbeat_s: u16,
    /// How long a connection may take until it is open.
    pub handshake_timeout_ms: Millis,
    /// The largest message body, in bytes.
    pub message_size_max: u64,
    /// The product that clients are told. Kombu (Celery) takes any other broker than `RabbitMQ` for one whose
    /// `basic.qos` follows the specification instead of RabbitMQ's reading, so this is what it has to say.
    pub product: String,
    /// The version that clients are told, as RabbitMQ's: some look for features by it.
    pub version: String,
    /// What this really is, told as the platform.
    pub platform: String,
    /// The name of this node, told as the cluster's name.
    pub node: String,
    /// EXTERNAL is offered to peers whose certificate gives a name.
    pub external: bool,
    /// Consumers of a channel.
    pub consumers_per_channel_max: usize,
    /// Deliveries of a channel that wait to be settled.
    pub unsettled_per_channel_max: usize,
    /// Bytes of bodies that a connection has sent parts of.
    pub assembling_bytes_max: usize,
    /// Bytes that a transaction may hold.
    pub transaction_bytes_max: usize,
    /// Reads what other protocols' messages carry.
    pub readers: Readers,
    /// Reads what other protocols packed into logs.
    pub messages_of: MessagesOf,
    /// Random numbers.
    pub random: Random,
}

impl Settings {
    /// The usual settings.
    #[must_use]
    pub fn new(random: Random) -> Self {
        Self {
            frame_max: 131_072,
            channel_max: 2047,
            heartbeat_s: 60,
            handshake_timeout_ms: 10_000,
            message_size_max: 128 * 1024 * 1024,
            product: "RabbitMQ".to_owned(),
            version: "4.2.0".to_owned(),
            platform: concat!("Polybus ", env!("CARGO_PKG_VERSION")).to_owned(),
            node: "polybus@localhost".to_owned(),
            external: true,
            consumers_per_channel_max: 8 * 1024,
            unsettled_per_channel_max: 1_000_000,
            assembling_bytes_max: 256 * 1024 * 1024,
            transaction_bytes_max: 256 * 1024 * 1024,
            readers: Readers::default(),
            messages_of: Arc::new(|_, content, messages| {
                if let RunContent::Message(message) = content {
                    messages.push((0, message.clone()));
                }
            }),
            random,
        }
    }

    /// `prefix` and 22 random characters of URL-safe base64.
    pub(crate) fn random_name(&self, prefix: &str) -> String {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut bits = u128::from((self.random)()) << 64 | u128::from((self.random)());
        let mut name = String::with_capacity(prefix.len() + 22);
        name.push_str(prefix);
        for _ in 0..22 {
            let index = (bits & 63) as usize;
            name.push(ALPHABET.get(index).map_or('A', |byte| char::from(*byte)));
            bits >>= 6;
        }
        name
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("frame_max", &self.frame_max)
            .field("channel_max", &self.channel_max)
            .field("heartbeat_s", &self.heartbeat_s)
            .finish_non_exhaustive()
    }
}
