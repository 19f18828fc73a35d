//! A segment's first block: which segment this file is. It makes a file readable on its own.

use super::{BLOCK, FORMAT_VERSION, Fields, crc_append, crc_seed};
use crate::segment::SegmentKind;

const MAGIC: [u8; 8] = *b"PBUSSEGM";
const BYTES: usize = 56;
const CRC_AT: usize = BYTES - 4;

/// What a segment's file says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) kind: SegmentKind,
    pub(crate) number: u32,
    pub(crate) nonce: u64,
    pub(crate) epoch: u64,
    pub(crate) first_lsn: u64,
    pub(crate) first_frame: u64,
}

impl SegmentHeader {
    /// The whole first block.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BLOCK as usize);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.nonce.to_le_bytes());
        bytes.extend_from_slice(&self.epoch.to_le_bytes());
        bytes.extend_from_slice(&self.first_lsn.to_le_bytes());
        bytes.extend_from_slice(&self.first_frame.to_le_bytes());
        bytes.push(self.kind.to_byte());
        bytes.resize(CRC_AT, 0);
        let crc = crc_append(crc_seed(self.nonce, 0), &bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.resize(BLOCK as usize, 0);
        bytes
    }

    /// The header in a segment's first block.
    pub(crate) fn decode(block: &[u8]) -> Option<Self> {
        let bytes = block.first_chunk::<BYTES>()?;
        let mut fields = Fields(bytes);
        if fields.take::<8>()? != MAGIC || fields.u32()? != FORMAT_VERSION {
            return None;
        }
        let number = fields.u32()?;
        let nonce = fields.u64()?;
        let epoch = fields.u64()?;
        let first_lsn = fields.u64()?;
        let first_frame = fields.u64()?;
        let kind = SegmentKind::from_byte(fields.u8()?)?;
        let crc = u32::from_le_bytes(*bytes.last_chunk::<4>()?);
        let sound = crc == crc_append(crc_seed(nonce, 0), &bytes[..CRC_AT]);
        sound.then_some(Self {
            kind,
            number,
            nonce,
            epoch,
            first_lsn,
            first_frame,
        })
    }
}
