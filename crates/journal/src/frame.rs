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
    SEGMENT_BYTES_MAX, Sum, crc_append, crc_seed, padded,
};

static ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];

/// The end of a record's payload, kept by reference.
#[derive(Clone, Debug)]
pub struct Large {
    /// Its bytes.
    pub bytes: Bytes,
    /// From which of them on a CRC-32C is known, and it. It must be right: the record's is made of it.
    pub crc: Option<(usize, u32)>,
}

impl From<Bytes> for Large {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, crc: None }
    }
}

impl Large {
    /// Its checksum, for which only what is not under the known one is read.
    fn sum(&self) -> Sum {
        let (from, known) = match self.crc {
            Some((from, crc)) if from < self.bytes.len() => (from, crc),
            _ => (self.bytes.len(), 0),
        };
        let (head, tail) = self.bytes.split_at(from);
        debug_assert_eq!(known, crc_append(0, tail), "a known CRC must be right");
        let crc = Sum::new(known, tail.len()).behind(crc_append(0, head));
        Sum::new(crc, self.bytes.len())
    }
}

/// A large part, and where in the inline bytes it goes.
struct Cut {
    at: usize,
    large: Large,
    /// Taken when the frame is checksummed.
    sum: Option<Sum>,
}

/// A frame's bytes; reused for frame after frame.
#[derive(Default)]
pub(crate) struct FrameBuffer {
    inline: Vec<u8>,
    cuts: Vec<Cut>,
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
        shared: Option<Large>,
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
            self.shared_bytes += shared.bytes.len();
            self.cuts.push(Cut {
                at: self.inline.len(),
                large: shared,
                sum: None,
            });
        }
        self.count += 1;
        payload_at
    }

    /// Fills in every record's CRC for a frame at `base`, then the frame's header.
    pub(crate) fn checksum(&mut self, mut header: FrameHeader, base: u32) {
        if self.inline.is_empty() {
            self.inline.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
        }
        let mut cuts = self.cuts.iter_mut().peekable();
        let mut at = FRAME_HEADER_BYTES;
        let mut shared_before = 0;
        while let Some(record) = RecordHeader::decode(self.inline.get(at..).unwrap_or_default()) {
            let payload_at = at + RECORD_HEADER_BYTES;
            let mut end = payload_at + record.len as usize;
            let cut = cuts.next_if(|cut| cut.at <= end);
            end -= cut.as_ref().map_or(0, |cut| cut.large.bytes.len());
            let seed = crc_seed(header.nonce, base + (payload_at + shared_before) as u32);
            let mut crc = crc_append(seed, &self.inline[at + RECORD_CRC_BYTES..end]);
            if let Some(Cut { large, sum, .. }) = cut {
                // Read once, for the record's checksum and the frame's.
                crc = sum.insert(large.sum()).behind(crc);
                shared_before += large.bytes.len();
            }
            self.inline[at..at + RECORD_CRC_BYTES].copy_from_slice(&crc.to_le_bytes());
            at = end;
        }
        header.body_crc = self.body_crc(crc_seed(header.nonce, base));
        self.inline[..FRAME_HEADER_BYTES].copy_from_slice(&header.encode(base));
    }

    /// Continues a CRC over the records, whose own are filled in.
    fn body_crc(&self, mut crc: u32) -> u32 {
        let mut at = FRAME_HEADER_BYTES;
        for cut in &self.cuts {
            crc = crc_append(crc, &self.inline[at..cut.at]);
            crc = match cut.sum {
                Some(sum) => sum.behind(crc),
                None => crc_append(crc, &cut.large.bytes),
            };
            at = cut.at;
        }
        crc_append(crc, &self.inline[at..])
    }

    fn for_each_body_part<'a>(&'a self, mut visit: impl FnMut(&'a [u8])) {
        let mut at = FRAME_HEADER_BYTES;
        for cut in &self.cuts {
            visit(&self.inline[at..cut.at]);
            visit(&cut.large.bytes);
            at = cut.at;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of a frame of three records, the second with a large part of which that CRC is known.
    fn written(known: Option<usize>) -> Vec<u8> {
        let large: Vec<u8> = (0..70_000u32).map(|at| (at * 7) as u8).collect();
        let crc = known.map(|from| (from, crc_append(0, &large[from..])));
        let bytes = Bytes::from(large);
        let mut buffer = FrameBuffer::default();
        let mut push = |parts: &[&[u8]], shared: Option<Large>| {
            let inline: usize = parts.iter().map(|part| part.len()).sum();
            let len = inline + shared.as_ref().map_or(0, |large| large.bytes.len());
            let header = RecordHeader {
                kind: 1,
                len: len as u32,
                entity: 2,
                sequence: 3,
            };
            buffer.push(header, parts, shared);
        };
        push(&[b"first"], None);
        push(&[b"second", b" and"], Some(Large { bytes, crc }));
        push(&[b"third"], None);
        let header = FrameHeader {
            nonce: 9,
            epoch: 1,
            frame: 1,
            first_lsn: 1,
            count: buffer.count(),
            body_len: buffer.body_len() as u32,
            committed_lsn: 0,
            prev_link: 0,
            body_crc: 0,
        };
        buffer.checksum(header, BLOCK);
        let slices = buffer.io_slices();
        slices.iter().flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn a_known_crc_gives_the_frame_that_reading_all_of_it_gives() {
        let read = written(None);
        let header = FrameHeader::decode(&read, 9, BLOCK).unwrap();
        let body = &read[FRAME_HEADER_BYTES..][..header.body_len as usize];
        assert_eq!(header.body_crc, crc_append(crc_seed(9, BLOCK), body));
        for from in [0, 1, 21, 69_999, 70_000] {
            assert!(written(Some(from)) == read, "{from}");
        }
    }
}
