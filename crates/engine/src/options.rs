//! What bounds an engine.

use polybus_model::{KeyedWriter, Millis, ReportKey};

use crate::{GroupOptions, HeaderReaders, RunReaders};

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
    /// At most so many live subscribers of one session,
    pub live_subscribers_max: usize,
    /// and of all together.
    pub live_subscribers_all_max: usize,
    /// At most so many bytes of memory, about, for the filters of one session's live subscribers,
    pub live_filter_bytes_max: usize,
    /// and for those of all together.
    pub live_filter_bytes_all_max: usize,
    /// A session with live subscribers is cut when more bytes than this are on the way to it.
    pub live_pending_max: usize,
    /// At most so many namespaces.
    pub namespaces_max: usize,
    /// At most so many partitions of one log.
    pub log_partitions_max: u32,
    /// At most so many partitions of all logs together.
    pub partitions_max: usize,
    /// At most so many bytes of logs' latest runs are kept in memory, beside those of messages in queues; the oldest go
    /// first, and are read back from the journal. As much again is what was read back for who reads on.
    pub log_resident_bytes_max: usize,
    /// At most so many reads wait for records; further ones are answered at once.
    pub log_waiters_max: usize,
    /// At most so many writers of one partition are remembered; the longest idle are forgotten first.
    pub log_producers_max: usize,
    /// At most so many producers with transactions are remembered; the longest idle are forgotten first.
    pub transactional_producers_max: usize,
    /// A producer with transactions that has used none for so long is forgotten, with its name.
    pub transactional_ids_idle_ms_max: Millis,
    /// How often logs are looked after for what is too old or too much, in milliseconds.
    pub log_sweep_ms: Millis,
    /// At most so many keys of a partition that is being compacted are in memory; what has more is done in several rounds.
    pub log_compaction_keys_max: usize,
    /// How long a consumer may hold a message where neither it nor the queue says; none: for ever.
    pub consumer_timeout: Option<Millis>,
    /// What bounds groups.
    pub groups: GroupOptions,
    /// How to read headers out of the property bytes of each protocol.
    pub header_readers: HeaderReaders,
    /// How to read messages out of what each protocol packs into runs of logs.
    pub run_readers: RunReaders,
    /// How to write on messages what a keyed log has to say of them.
    pub keyed_writer: KeyedWriter,
    /// Under which keys readers report of records; none: they do not.
    pub report_key: Option<ReportKey>,
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
            live_subscribers_max: 250_000,
            live_subscribers_all_max: 1_000_000,
            live_filter_bytes_max: 192 << 20,
            live_filter_bytes_all_max: 1 << 30,
            live_pending_max: 64 << 20,
            namespaces_max: 1_000,
            log_partitions_max: 10_000,
            partitions_max: 100_000,
            log_resident_bytes_max: 32 << 20,
            log_waiters_max: 100_000,
            log_producers_max: 1_000,
            transactional_producers_max: 10_000,
            transactional_ids_idle_ms_max: 7 * 24 * 3_600_000,
            log_sweep_ms: 30_000,
            // What fits into a table of 2^19 slots of 25 bytes.
            log_compaction_keys_max: 7 << 16,
            consumer_timeout: Some(30 * 60 * 1_000),
            groups: GroupOptions::default(),
            header_readers: HeaderReaders::new(),
            run_readers: RunReaders::new(),
            keyed_writer: KeyedWriter::default(),
            report_key: None,
            seed: 0,
        }
    }
}
