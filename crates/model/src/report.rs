//! What readers of logs report of single records and of those who pull them, to whoever listens for it at that moment.
//!
//! Under which key of a reader's topic a report is told is a matter of the protocol whose clients listen for it
//! ([`ReportKey`]); nothing is kept, and nothing is done where nobody listens.

use std::sync::Arc;

use bytes::Bytes;

use crate::{Millis, Name, Unpinned};

/// What became of a record that was handed out, or of those who pull.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reported {
    /// It was handed out as often as it may be, and not settled.
    Exhausted,
    /// It was refused for good; the text says why.
    Rejected(String),
    /// It was given back, to be handed out again.
    Released,
    /// It was settled so many milliseconds after it was handed out the last time: of those that are looked at
    /// ([`crate::ReaderSettings::sampled_percent`]).
    Settled(Millis),
    /// From now on one puller gets all: its group, and its pin.
    Pinned(String, Arc<str>),
    /// It does no longer.
    Unpinned(String, Unpinned),
}

/// A reader's report. Without a record that it is about, the record's numbers are 0.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReaderReport {
    /// The log.
    pub log: Name,
    /// The reader.
    pub reader: Arc<str>,
    /// The record's offset.
    pub offset: u64,
    /// The number of its first delivery among the reader's; 0 if it is not known any more.
    pub sequence: u64,
    /// How often it was handed out.
    pub attempts: u32,
    /// When it came to this.
    pub time: Millis,
    /// What became of it.
    pub what: Reported,
}

/// The key under which a report is told. A plain function: the same report gives the same key.
pub type ReportKey = fn(&ReaderReport) -> Bytes;
