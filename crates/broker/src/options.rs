//! How a broker is opened.

use std::path::PathBuf;
use std::sync::Arc;

use polybus_engine::{HeaderReaders, RunReaders};
use polybus_model::{KeyedWriter, Millis, ReportKey};

use crate::clock::{SharedClock, SystemClock};

pub use polybus_journal::Durability;

/// What a broker is opened with. [`Options::new`] has the defaults of a server.
#[derive(Clone)]
pub struct Options {
    /// The folder with its data; made if it is not there.
    pub data: PathBuf,
    /// When something counts as durable.
    pub durability: Durability,
    /// At `interval` durability, the time between syncs in milliseconds.
    pub sync_interval_ms: Millis,
    /// Bytes of messages kept in memory; past them bodies are read back from the journal.
    pub resident_bytes_max: usize,
    /// Bytes of deliveries on the way to one session.
    pub session_window_bytes: usize,
    /// Bytes on the way to a session with live subscribers past which it is cut.
    pub live_pending_bytes_max: usize,
    /// Queues that may exist.
    pub queues_max: usize,
    /// Connections that may be open.
    pub connections_max: usize,
    /// A journal segment's nominal size. Small ones let a simulation see them roll, go and be copied together.
    pub segment_bytes: u32,
    /// Below so many free bytes on the disk no publish is taken.
    pub disk_free_min_bytes: u64,
    /// How long a consumer may hold a message, unless its queue says otherwise.
    pub consumer_timeout_ms: Option<Millis>,
    /// The user that a fresh folder starts with, as name and password; allowed everything in `/`.
    pub first_user: Option<(String, String)>,
    /// How to read the headers of each protocol's messages.
    pub header_readers: HeaderReaders,
    /// How to read messages out of what each protocol packs into runs of logs.
    pub run_readers: RunReaders,
    /// How to write on messages what a keyed log has to say of them.
    pub keyed_writer: KeyedWriter,
    /// Under which keys readers report of records; none: they do not.
    pub report_key: Option<ReportKey>,
    /// The clock.
    pub clock: SharedClock,
    /// Threads that write the journal; 2 to 4.
    pub committers: usize,
}

impl Options {
    /// A server's defaults for that folder.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            durability: Durability::Fsync,
            sync_interval_ms: 100,
            resident_bytes_max: 128 << 20,
            session_window_bytes: 1 << 20,
            live_pending_bytes_max: 64 << 20,
            queues_max: 100_000,
            connections_max: 100_000,
            segment_bytes: polybus_journal::Options::default().segment_bytes,
            disk_free_min_bytes: 256 << 20,
            consumer_timeout_ms: Some(30 * 60 * 1000),
            first_user: Some(("guest".into(), "guest".into())),
            header_readers: HeaderReaders::default(),
            run_readers: RunReaders::default(),
            keyed_writer: KeyedWriter::default(),
            report_key: None,
            clock: Arc::new(SystemClock),
            committers: 2,
        }
    }
}
