//! A frame in memory: built under the broker's lock, checksummed and written outside of it.
//!
//! ```text
//! inline  [ 72 bytes for the header | record header, payload | record header, small parts ]
//! shared                                                      ^ cut: a large part goes in here
//! ```
//!
//! `inline` holds everything but the large parts, which are kept by reference at their cuts. A
//! record has at most one, behind its inline bytes. Records never straddle frames.

use std::io::IoSlice;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::format::{
    BLOCK, FRAME_HEADER_BYTES, FrameHeader, RECORD_CRC_BYTES, RECORD_HEADER_BYTES, RecordHeader,
    SEGMENT_BYTES_MAX, crc_append, crc_seed, padded,
};

static ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];

/// A frame's bytes; reused for frame after frame.
#[derive(Default)]
pub(crate) struct FrameBuffer {
    inline: Vec<u8>,
    cuts: Vec<(usize, Bytes)>,
    shared_bytes: usize,
    count: u32,
}

impl FrameBuffer {
    /// Empties it, keeping its memory unless that has grown past `keep_bytes_max`.
    pub(crate) fn reset(&mut self, keep_bytes_max: usize) {
        self.inline.clear();
        self.cuts.clear();
        if self.inline.capacity() > keep_bytes_max {
            self.inline = Vec::new();
        }
        self.shared_bytes = 0;
        self.count = 0;
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The bytes of all records so far.
    pub(crate) fn body_len(&self) -> usize {
        self.inline.len().saturating_sub(FRAME_HEADER_BYTES) + self.shared_bytes
    }

    /// The bytes on disk, were it written now.
    pub(crate) fn disk_bytes(&self) -> u64 {
        padded((FRAME_HEADER_BYTES + self.body_len()) as u64)
    }

    /// Fails if one more record with a payload of that length would end where no position reaches,
    /// were the frame to begin at `base`.
    pub(crate) fn check_room(&self, base: u32, payload_bytes: usize) -> Result<()> {
        let head = FRAME_HEADER_BYTES + self.body_len() + RECORD_HEADER_BYTES;
        let bytes = u64::from(base) + head as u64 + payload_bytes as u64;
        match bytes > SEGMENT_BYTES_MAX {
            true => Err(Error::TooLarge {
                bytes,
                bytes_max: SEGMENT_BYTES_MAX,
            }),
            false => Ok(()),
        }
    }

    /// Adds a record, and says where in the frame its payload begins.
    pub(crate) fn push(
        &mut self,
        header: RecordHeader,
        parts: &[&[u8]],
        shared: Option<Bytes>,
    ) -> usize {
        if self.inline.is_empty() {
            self.inline.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
        }
        self.inline.extend_from_slice(&header.encode());
        let payload_at = self.inline.len() + self.shared_bytes;
        for part in parts {
            self.inline.extend_from_slice(part);
        }
        if let Some(shared) = shared {
            self.shared_bytes += shared.len();
            self.cuts.push((self.inline.len(), shared));
        }
        self.count += 1;
        payload_at
    }

    /// Fills in every record's CRC for a frame at `base`, then the frame's header.
    pub(crate) fn checksum(&mut self, mut header: FrameHeader, base: u32) {
        if self.inline.is_empty() {
            self.inline.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
        }
        let mut cuts = self.cuts.iter().peekable();
        let mut at = FRAME_HEADER_BYTES;
        let mut shared_before = 0;
        while let Some(record) = RecordHeader::decode(self.inline.get(at..).unwrap_or_default()) {
            let payload_at = at + RECORD_HEADER_BYTES;
            let mut end = payload_at + record.len as usize;
            let large = cuts.next_if(|(cut, _)| *cut <= end).map(|(_, large)| large);
            end -= large.map_or(0, Bytes::len);
            let seed = crc_seed(header.nonce, base + (payload_at + shared_before) as u32);
            let mut crc = crc_append(seed, &self.inline[at + RECORD_CRC_BYTES..end]);
            if let Some(large) = large {
                crc = crc_append(crc, large);
                shared_before += large.len();
            }
            self.inline[at..at + RECORD_CRC_BYTES].copy_from_slice(&crc.to_le_bytes());
            at = end;
        }
        header.body_crc = crc_seed(header.nonce, base);
        self.for_each_body_part(|part| header.body_crc = crc_append(header.body_crc, part));
        self.inline[..FRAME_HEADER_BYTES].copy_from_slice(&header.encode(base));
    }

    fn for_each_body_part<'a>(&'a self, mut visit: impl FnMut(&'a [u8])) {
        let mut at = FRAME_HEADER_BYTES;
        for (cut, large) in &self.cuts {
            visit(&self.inline[at..*cut]);
            visit(large);
            at = *cut;
        }
        visit(&self.inline[at..]);
    }

    /// What to write, padding included.
    pub(crate) fn io_slices(&self) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(2 * self.cuts.len() + 3);
        slices.push(IoSlice::new(&self.inline[..FRAME_HEADER_BYTES]));
        self.for_each_body_part(|part| {
            if !part.is_empty() {
                slices.push(IoSlice::new(part));
            }
        });
        let used = FRAME_HEADER_BYTES + self.body_len();
        let padding = self.disk_bytes() as usize - used;
        if padding > 0 {
            slices.push(IoSlice::new(&ZEROS[..padding]));
        }
        slices
    }
}

/// A frame that is complete and waits to be written by [`crate::Writer::write`].
#[must_use = "a frame that is not written holds up everything behind it"]
pub struct SealedFrame {
    pub(crate) buffer: FrameBuffer,
    pub(crate) segment: u32,
    /// Which record and frame its segment begins with.
    pub(crate) segment_first_lsn: u64,
    pub(crate) segment_first_frame: u64,
    pub(crate) offset: u32,
    /// `body_crc` and `committed_lsn` are filled in at the write.
    pub(crate) header: FrameHeader,
}

impl SealedFrame {
    /// The last record's number; for an empty frame the one before.
    #[must_use]
    pub fn last_lsn(&self) -> crate::Lsn {
        crate::Lsn(self.header.last_lsn())
    }

    /// How many records it holds.
    #[must_use]
    pub fn records(&self) -> u32 {
        self.header.count
    }

    /// The bytes that it takes on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.header.disk_bytes()
    }
}
