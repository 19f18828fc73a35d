//! Bytes on their way to a peer: small writes are staged together, large bodies are kept by reference, and the owner of
//! the socket writes them vectored.
//!
//! ```text
//! chunks: [ staged bytes ][ shared body ][ staged bytes ] ...   tail: BytesMut still being appended to
//! ```

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

/// Bodies at least this long are kept by reference; shorter ones are copied.
const SHARE_MIN: usize = 4 * 1024;

/// Bytes on their way to a peer.
#[derive(Debug, Default)]
pub struct Outbound {
    chunks: VecDeque<Bytes>,
    chunk_bytes: usize,
    tail: BytesMut,
    written: u64,
}

impl Outbound {
    /// Nothing to write.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Where small things are appended.
    pub fn staged(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    /// Appends a part of a large body, by reference if that pays.
    pub fn push_shared(&mut self, bytes: Bytes) {
        if bytes.len() < SHARE_MIN {
            self.tail.extend_from_slice(&bytes);
            return;
        }
        self.seal_tail();
        self.chunk_bytes += bytes.len();
        self.chunks.push_back(bytes);
    }

    /// Bytes not yet written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chunk_bytes + self.tail.len()
    }

    /// Bytes written, ever.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// True if all is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `slices` with what is next to write; gives how many were filled.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let parts = self
            .chunks
            .iter()
            .map(AsRef::as_ref)
            .chain([self.tail.as_ref()]);
        let mut filled = 0;
        for (slot, part) in slices
            .iter_mut()
            .zip(parts.filter(|part: &&[u8]| !part.is_empty()))
        {
            *slot = IoSlice::new(part);
            filled += 1;
        }
        filled
    }

    /// So many bytes were written.
    pub fn advance(&mut self, mut written: usize) {
        self.written += written as u64;
        while let Some(front) = self.chunks.front_mut() {
            if written < front.len() {
                front.advance(written);
                self.chunk_bytes -= written;
                return;
            }
            written -= front.len();
            self.chunk_bytes -= front.len();
            self.chunks.pop_front();
        }
        if written >= self.tail.len() {
            self.tail.clear();
        } else {
            self.tail.advance(written);
        }
    }

    fn seal_tail(&mut self) {
        if !self.tail.is_empty() {
            self.chunk_bytes += self.tail.len();
            self.chunks.push_back(self.tail.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drain(outbound: &mut Outbound, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !outbound.is_empty() {
            let mut slices = [IoSlice::new(&[]); 4];
            let filled = outbound.slices(&mut slices);
            let bytes: Vec<u8> = slices[..filled]
                .iter()
                .flat_map(|s| s.iter().copied())
                .take(step)
                .collect();
            all.extend_from_slice(&bytes);
            outbound.advance(bytes.len());
        }
        all
    }

    proptest! {
        #[test]
        fn writes_what_was_appended(parts in prop::collection::vec((any::<bool>(), 0usize..9000), 0..12), step in 1usize..10_000) {
            let mut outbound = Outbound::new();
            let mut expected = Vec::new();
            for (i, (shared, len)) in parts.into_iter().enumerate() {
                let bytes = vec![i as u8; len];
                expected.extend_from_slice(&bytes);
                if shared { outbound.push_shared(bytes.into()) } else { outbound.staged().extend_from_slice(&bytes) }
            }
            prop_assert_eq!(outbound.len(), expected.len());
            prop_assert_eq!(drain(&mut outbound, step), expected);
        }
    }
}
