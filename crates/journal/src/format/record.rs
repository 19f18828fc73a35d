//! A record's header: 26 bytes in front of its payload.
//!
//! It has a CRC of its own, so that one record can be read and checked without its frame; a scan
//! checks the frame's CRC instead and skips these.

use super::{Fields, RECORD_HEADER_BYTES, crc_append, crc_seed};

const MARKER: u8 = 0xb5;
/// The record's CRC comes first and covers all that follows it.
pub(crate) const RECORD_CRC_BYTES: usize = 4;

/// What stands in front of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) kind: u8,
    pub(crate) len: u32,
    pub(crate) entity: u64,
    pub(crate) sequence: u64,
}

impl RecordHeader {
    /// The header with its CRC still zero: the write fills that in.
    pub(crate) fn encode(&self) -> [u8; RECORD_HEADER_BYTES] {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        bytes[4] = MARKER;
        bytes[5] = self.kind;
        bytes[6..10].copy_from_slice(&self.len.to_le_bytes());
        bytes[10..18].copy_from_slice(&self.entity.to_le_bytes());
        bytes[18..26].copy_from_slice(&self.sequence.to_le_bytes());
        bytes
    }

    /// The header at the front of `bytes`, without checking its CRC.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<RECORD_HEADER_BYTES>()?;
        let mut fields = Fields(&bytes[RECORD_CRC_BYTES..]);
        if fields.u8()? != MARKER {
            return None;
        }
        Some(Self {
            kind: fields.u8()?,
            len: fields.u32()?,
            entity: fields.u64()?,
            sequence: fields.u64()?,
        })
    }

    /// Whether `bytes`, a header and its whole payload, are this record at this place.
    pub(crate) fn verify(bytes: &[u8], nonce: u64, payload_offset: u32) -> Option<Self> {
        let header = Self::decode(bytes)?;
        let (crc, covered) = bytes.split_first_chunk::<RECORD_CRC_BYTES>()?;
        let sound = bytes.len() == RECORD_HEADER_BYTES + header.len as usize
            && u32::from_le_bytes(*crc) == crc_append(crc_seed(nonce, payload_offset), covered);
        sound.then_some(header)
    }
}
