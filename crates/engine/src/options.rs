//! What bounds an engine.

use polybus_model::Millis;

use crate::{GroupOptions, HeaderReaders};

/// An engine's bounds. The same options and inputs give the same effects.
#[derive(Clone, Debug)]
pub struct Options {
    /// Above so many bytes of messages in memory, queues with a backlog keep new ones in the journal only.
    pub resident_bytes_max: usize,
    /// Deliveries to a session stop while so many bytes of them are not yet [`polybus_model::Request::Drained`].
    pub session_window_bytes: usize,
    /// At most so many queues in all namespaces together.
    pub queues_max: usize,
    /// At most so many topics in one namespace.
    pub topics_max: usize,
    /// At most so many bindings in one namespace.
    pub bindings_max: usize,
    /// At most so many subscribers of one session.
    pub subscribers_max: usize,
    /// At most so many namespaces.
    pub namespaces_max: usize,
    /// How long a consumer may hold a message where neither it nor the queue says; none: for ever.
    pub consumer_timeout: Option<Millis>,
    /// What bounds groups.
    pub groups: GroupOptions,
    /// How to read headers out of the property bytes of each protocol.
    pub header_readers: HeaderReaders,
    /// Keys the hash tables of names that peers choose.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            resident_bytes_max: 128 << 20,
            session_window_bytes: 1 << 20,
            queues_max: 100_000,
            topics_max: 100_000,
            bindings_max: 1_000_000,
            subscribers_max: 65_536,
            namespaces_max: 1_000,
            consumer_timeout: Some(30 * 60 * 1_000),
            groups: GroupOptions::default(),
            header_readers: HeaderReaders::new(),
            seed: 0,
        }
    }
}
