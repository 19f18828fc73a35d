//! The bytes on disk: see `docs/internals/journal-format.md`, which this module implements.
//!
//! ```text
//! segment = header block | frame | frame | ...        every frame starts on a 4 KiB boundary
//! frame   = frame header | record | record | ... | zeros up to the next boundary
//! record  = record header | payload
//! ```
//!
//! Every CRC is seeded with the segment's nonce and the offset, so bytes that are stale or in the
//! wrong place never pass, and nothing that is all zero is ever valid. Decoders take hostile
//! bytes and never panic.

mod frame;
mod joined_crc;
pub(crate) mod outline;
mod record;
mod segment;

pub(crate) use frame::{FrameHeader, padded};
pub(crate) use joined_crc::Sum;
pub(crate) use record::{RECORD_CRC_BYTES, RecordHeader};
pub(crate) use segment::SegmentHeader;

/// Frames and the segment's header are whole multiples of this, so that writing one can never
/// tear another.
pub(crate) const BLOCK: u32 = 4096;
/// The bytes of a frame's header.
pub(crate) const FRAME_HEADER_BYTES: usize = 72;
/// The bytes in front of each payload.
pub(crate) const RECORD_HEADER_BYTES: usize = 26;
/// The newest format of a folder that this program reads, and the one it writes.
pub(crate) const FORMAT_VERSION: u32 = 1;
/// No segment grows past this, so that every offset fits in 32 bits.
pub(crate) const SEGMENT_BYTES_MAX: u64 = u32::MAX as u64 - BLOCK as u64;

/// The CRC's start value for what lies at `offset` of the segment with this nonce.
pub(crate) fn crc_seed(nonce: u64, offset: u32) -> u32 {
    let mixed = mix(nonce ^ u64::from(offset).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    (mixed >> 32) as u32
}

/// Continues a CRC-32C.
pub(crate) fn crc_append(crc: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc, bytes)
}

/// A bijective scrambling of 64 bits (splitmix64's finisher).
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The nonce of a segment: unique for each file incarnation, since a number is used once per epoch.
pub(crate) fn segment_nonce(journal_id: u64, epoch: u64, segment: u32) -> u64 {
    mix(mix(journal_id ^ mix(epoch)) ^ u64::from(segment)) | 1
}

/// Reads little-endian fields off the front of a slice; `None` once the slice is too short.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(u8::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    pub(crate) fn slice(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    /// A number of which each byte holds seven bits, the lowest first, and says whether another follows.
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

/// Writes a number as [`Fields::varint`] reads it.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_length_come_back() {
        for bits in 0..64 {
            for value in [1_u64 << bits, u64::MAX >> bits, 0] {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                assert_eq!(Fields(&out).varint(), Some(value));
                assert_eq!(Fields(&out[1..]).varint().is_none(), out.len() == 1);
            }
        }
        assert_eq!(Fields(&[255; 9]).varint(), None);
        assert_eq!(Fields(&[255; 20]).varint(), None);
    }
}
