//! NATS as nats-server speaks it, so that its clients run unchanged.
//!
//! ```text
//! bytes -> codec -> session -> model::Request::{PublishLive, SubscribeLive, ...}
//!                   mapping (headers)
//! bytes <- codec <- session <- model::Event::{Live, LiveMessage, ...}
//! ```
//! Subjects are keys of the pattern topic [`TOPIC`]. What one read held of publishes is one block that nobody copies until it is
//! written to whoever listens. Nothing here does input or output, reads a clock or knows the engine.

pub mod codec;
mod error;
mod mapping;
mod nkey;
mod report;
mod session;
mod settings;
mod totals;
mod watch;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use polybus_model::{FilterWord, LiveFilter, Millis, Origin};
use polybus_session::{Claim, Peer, Protocol, Session};

pub use mapping::jetstream::{KEYED_WRITER, report_key};
pub use mapping::{copy_properties, read_headers, read_property};
pub use nkey::PublicKey;
pub use report::{ReportWants, jetstream_report};
pub use settings::{Random, Settings, Upgrade, Verify};
pub use totals::{Gone, Totals};

/// The mark of messages that carry NATS' headers and reply.
pub const ORIGIN: Origin = Origin(3);
/// The topic whose keys are the subjects.
pub const TOPIC: &str = "amq.topic";
/// The version of NATS whose features clients may count on.
pub const VERSION: &str = "2.12.0";

/// NATS.
#[derive(Clone, Debug)]
pub struct Nats {
    settings: Arc<Settings>,
    server_id: Arc<str>,
    api: Arc<ApiCounts>,
}

impl Nats {
    /// The protocol with these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            server_id: server_id(settings.identity).into(),
            settings: Arc::new(settings),
            api: Arc::default(),
        }
    }
}

/// A filter as a subject; one that no client could have asked for is not quite what it says.
#[must_use]
pub fn subject_of(filter: &LiveFilter) -> String {
    let words = filter.words().map(|word| match word {
        FilterWord::Exact(word) => String::from_utf8_lossy(word),
        FilterWord::AnyOne => "*".into(),
        FilterWord::Rest => ">".into(),
    });
    words.collect::<Vec<_>>().join(".")
}

/// A subject as the broker filters by it; none if it is no subject.
#[must_use]
pub fn filter_of(subject: &[u8]) -> Option<LiveFilter> {
    codec::is_valid(subject).then(|| session::filter(subject))
}

/// The server's id as clients see it, of a data folder with this number.
#[must_use]
pub fn server_id(identity: u64) -> String {
    let mut bytes = [0; 32];
    for (place, byte) in bytes.iter_mut().zip(identity.to_le_bytes()) {
        *place = byte;
    }
    nkey::server_id(&bytes)
}

/// A time as NATS' documents have it: RFC 3339 in UTC.
#[must_use]
pub fn time_text(at: Millis) -> String {
    mapping::jetstream::time::write(at)
}

/// Requests of the API that were answered, on all connections together, and who listens to them.
#[derive(Debug, Default)]
struct ApiCounts {
    all: AtomicU64,
    failed: AtomicU64,
    watched: Arc<watch::Watched>,
}

impl Protocol for Nats {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn claims(&self, _first: &[u8]) -> Claim {
        // The server speaks first: whoever has come to this port is taken for a client.
        Claim::Yes
    }

    fn accept(&self, peer: Peer, now: Millis) -> Box<dyn Session> {
        let client = self.settings.totals.connected();
        let settings = Arc::clone(&self.settings);
        Box::new(session::Connection::new(
            settings,
            &self.server_id,
            client,
            peer,
            now,
            Arc::clone(&self.api),
        ))
    }
}
