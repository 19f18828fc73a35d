//! A response that carries records: what is around them is staged, the batches are passed on by reference.
//!
//! ```text
//! heads:    [ response, topic, partition ][ partition ][ tagged fields ]
//! batches:                               ^ after so many bytes of heads, ...
//! ```
//! The size of the frame stands first and large records cannot be staged, so heads and batches are kept apart until all
//! of it is known.

use bytes::{BufMut, BytesMut};
use polybus_session::Outbound;

use super::batch::SentBatch;
use super::primitives::Writer;

#[derive(Debug)]
pub(super) struct Woven {
    heads: BytesMut,
    /// The batches, each with how much of the heads is before it.
    batches: Vec<(usize, SentBatch)>,
    batch_bytes: usize,
}

impl Woven {
    pub(super) fn new() -> Self {
        Self {
            heads: BytesMut::with_capacity(256),
            batches: Vec::new(),
            batch_bytes: 0,
        }
    }

    /// Writes what comes next of the heads.
    pub(super) fn writer(&mut self) -> Writer<'_> {
        Writer::new(&mut self.heads)
    }

    /// A partition's records: how many bytes, and its batches.
    pub(super) fn records(&mut self, batches: impl IntoIterator<Item = SentBatch>, flexible: bool) {
        let from = self.batches.len();
        self.batches
            .extend(batches.into_iter().map(|batch| (0, batch)));
        let added = self.batches.get_mut(from..).unwrap_or_default();
        let bytes = added.iter().map(|(_, batch)| batch.bytes.len()).sum();
        Writer::new(&mut self.heads).len(Some(bytes), flexible);
        for (at, _) in added {
            *at = self.heads.len();
        }
        self.batch_bytes += bytes;
    }

    /// How many bytes it has so far, with its records.
    pub(super) fn len_bytes(&self) -> usize {
        self.heads.len() + self.batch_bytes
    }

    /// Appends all of it as one frame.
    pub(super) fn finish(self, out: &mut Outbound) {
        out.staged().put_i32(self.len_bytes() as i32);
        let mut written = 0;
        for (at, batch) in &self.batches {
            let head = self.heads.get(written..*at).unwrap_or_default();
            out.staged().extend_from_slice(head);
            batch.write(out);
            written = *at;
        }
        let tail = self.heads.get(written..).unwrap_or_default();
        out.staged().extend_from_slice(tail);
    }
}
