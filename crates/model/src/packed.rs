//! How the records in a packed run are told apart without knowing the packing: what a protocol gives, so that a log can keep
//! only the latest record of each key.

use bytes::Bytes;

use crate::Millis;

/// A record of a packed run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PackedRecord<'a> {
    /// Its offset, from that of the run.
    pub position: u32,
    /// Its key, if it has one.
    pub key: Option<&'a [u8]>,
    /// It says that there is nothing under its key any more.
    pub is_tombstone: bool,
}

/// What a packed run says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PackedRun {
    /// The producer of whose transaction it is part.
    pub transaction_of: Option<u64>,
    /// From this time on its tombstones may go.
    pub tombstones_until: Option<Millis>,
}

/// A packed run that was written anew.
#[derive(Clone, Debug)]
pub struct RewrittenRun {
    /// Its bytes.
    pub bytes: Bytes,
    /// The latest time of the records that are left.
    pub time_max: Option<Millis>,
}

/// Shows the records of a packed run one by one. None if it cannot be read whole: then nothing of it may go.
pub type ReadPacked = fn(&Bytes, &mut dyn FnMut(PackedRecord<'_>)) -> Option<PackedRun>;

/// Writes a packed run anew with those records only that are to be kept, by their positions (at least one), and with the time
/// from which on its tombstones may go, if one is given. What is left keeps its offsets, and the run takes as many as before.
pub type RewritePacked =
    fn(&Bytes, &mut dyn FnMut(u32) -> bool, Option<Millis>) -> Option<RewrittenRun>;

/// What a protocol gives so that its packed runs can be compacted. Plain functions: the same bytes give the same.
#[derive(Clone, Copy, Debug)]
pub struct RunCompactor {
    /// Shows its records.
    pub read: ReadPacked,
    /// Writes it anew.
    pub rewrite: RewritePacked,
}
