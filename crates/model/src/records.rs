//! Records that a reader of a log hands to live subscribers together.
//!
//! What one turn hands out is one block, shared by all sessions that get some of it; which of its records go to which
//! subscriber stands beside it ([`crate::Event::Records`]), as with what was published live.

use std::sync::Arc;

use crate::{Message, Millis, Name};

/// Records of one log that one reader hands out.
#[derive(Clone, Debug)]
pub struct RecordBlock {
    /// The log.
    pub log: Name,
    /// The reader.
    pub reader: Arc<str>,
    /// Only headers are to be shown.
    pub headers_only: bool,
    /// Nothing is to be settled.
    pub is_settled: bool,
    /// The pin of the one who gets all.
    pub pin: Option<Arc<str>>,
    /// The records, in the order in which they were handed out.
    pub records: Vec<HandedRecord>,
}

/// A record that was handed out.
#[derive(Clone, Debug)]
pub struct HandedRecord {
    /// What it holds.
    pub message: Message,
    /// Its offset.
    pub offset: u64,
    /// How often it was handed out, this time included.
    pub attempts: u32,
    /// The number of this delivery among the reader's.
    pub sequence: u64,
    /// When it was appended.
    pub time: Millis,
    /// Records that the reader wants and never handed out.
    pub pending: u64,
}
