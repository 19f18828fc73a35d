//! What the operator can set, and the bounds that keep a peer's share of memory finite.

use std::fmt;
use std::sync::Arc;

use polybus_model::Millis;
use polybus_session::Readers;

use crate::nkey::PublicKey;
use crate::totals::Totals;

/// Gives random numbers: for what nobody shall guess. The simulation gives a seeded one.
pub type Random = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Whether a message was signed with the private half of a public key (Ed25519): key, message, signature.
pub type Verify = Arc<dyn Fn(&[u8; 32], &[u8], &[u8]) -> bool + Send + Sync>;

/// What clients that meet the server in plain text are to do about TLS.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Upgrade {
    /// There is none.
    #[default]
    None,
    /// They may speak it from INFO on.
    Offered,
    /// They have to.
    Required,
}

/// The settings of NATS.
#[derive(Clone)]
pub struct Settings {
    /// The data folder's own number: the server's id is made of it.
    pub identity: u64,
    /// What the server calls itself.
    pub server_name: String,
    /// The namespace whose subjects clients meet.
    pub namespace: String,
    /// Clients have to say who they are.
    pub auth_required: bool,
    /// The user of clients that do not say who they are; none: guest with its first password, from this machine.
    pub anonymous: Option<String>,
    /// Users by their tokens: `(user, token)`.
    pub tokens: Vec<(String, String)>,
    /// Users by their public keys.
    pub nkeys: Vec<(String, PublicKey)>,
    /// Clients whose TLS certificate names a user need say no more.
    pub certificates: bool,
    /// Clients that show no certificate are turned away.
    pub certificates_required: bool,
    /// What clients that meet the server in plain text are to do about TLS.
    pub upgrade: Upgrade,
    /// The greatest payload, its headers counted, in bytes.
    pub payload_bytes_max: usize,
    /// The greatest line, in bytes.
    pub line_bytes_max: usize,
    /// The most subscriptions of a connection.
    pub subscriptions_max: usize,
    /// Bytes that may wait for a client; past them it is cut off.
    pub pending_bytes_max: usize,
    /// How long a client may take to read some of what waits for it.
    pub write_deadline_ms: Millis,
    /// A client that was silent for so long is asked for a sign of life.
    pub ping_interval_ms: Millis,
    /// As many such questions stay without an answer at most.
    pub pings_max: u32,
    /// How long a client may take to say who it is.
    pub auth_timeout_ms: Millis,
    /// Over how long the clients are let go when the broker stops.
    pub lame_duck_ms: Millis,
    /// Reads what other protocols' messages carry.
    pub readers: Readers,
    /// Checks signatures.
    pub verify: Verify,
    /// What is counted over all connections.
    pub totals: Arc<Totals>,
    /// Random numbers.
    pub random: Random,
}

impl Settings {
    /// The usual settings, for a data folder with this number.
    #[must_use]
    pub fn new(identity: u64, random: Random) -> Self {
        Self {
            identity,
            server_name: "polybus".to_owned(),
            namespace: "/".to_owned(),
            auth_required: false,
            anonymous: None,
            tokens: Vec::new(),
            nkeys: Vec::new(),
            certificates: false,
            certificates_required: false,
            upgrade: Upgrade::None,
            payload_bytes_max: 1 << 20,
            line_bytes_max: 4096,
            subscriptions_max: 200_000,
            pending_bytes_max: 64 << 20,
            write_deadline_ms: 10_000,
            ping_interval_ms: 120_000,
            pings_max: 2,
            auth_timeout_ms: 5_000,
            lame_duck_ms: 1_000,
            readers: Readers::default(),
            totals: Arc::default(),
            verify: Arc::new(|_, _, _| false),
            random,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("server_name", &self.server_name)
            .field("namespace", &self.namespace)
            .field("auth_required", &self.auth_required)
            .finish_non_exhaustive()
    }
}
