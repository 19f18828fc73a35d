//! Where the engine's records go: the broker stages them in its journal. Part of the engine's inputs and outputs, so the
//! same turns give the same records.

use std::num::NonZeroU64;

use bytes::Bytes;
use polybus_model::TailCrc;

/// Where a record stands, as the broker numbers places. Opaque to the engine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Place(pub NonZeroU64);

/// A record staged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stored {
    /// Where it will be readable.
    pub place: Place,
    /// Its payload's length in bytes.
    pub len: u32,
}

/// Bytes that a record ends with, kept by reference.
#[derive(Clone, Copy, Debug)]
pub struct Shared<'a> {
    /// The bytes.
    pub bytes: &'a Bytes,
    /// What is known of their checksum.
    pub crc: Option<TailCrc>,
}

impl<'a> From<&'a Bytes> for Shared<'a> {
    fn from(bytes: &'a Bytes) -> Self {
        Self { bytes, crc: None }
    }
}

/// What the engine needs of a journal. All records of one turn (one call of a `handle_*` method) form one atomic group.
pub trait Store {
    /// Stages a record; its payload is `parts` and then `shared`, joined. `references` says how many queue entries will
    /// point to it: its segment stays until as many [`Store::release`] calls came.
    fn append(
        &mut self,
        kind: u8,
        queue: u64,
        sequence: u64,
        parts: &[&[u8]],
        shared: Option<Shared<'_>>,
        references: u32,
    ) -> Stored;

    /// One more queue entry points to the record there (at recovery, and when a record was moved).
    fn adopt(&mut self, place: Place, len: u32);

    /// One queue entry no longer points to the record there. The record must stay readable until this turn is durable: what
    /// says that the entry is gone is a record of the same turn.
    fn release(&mut self, place: Place, len: u32);
}
