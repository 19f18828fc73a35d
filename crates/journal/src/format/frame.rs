//! A frame's header: 72 bytes, inside one 512-byte sector, so that a disk writes it whole or not.
//!
//! `prev_link` chains frames without waiting for each other: a frame's *link* is a CRC over what
//! is known when it is sealed (not the body's CRC or the watermark, which are filled in at the
//! write, by several threads at once).

use super::{BLOCK, FORMAT_VERSION, FRAME_HEADER_BYTES, Fields, crc_append, crc_seed};

const MAGIC: [u8; 4] = *b"PBFr";
const CRC_AT: usize = FRAME_HEADER_BYTES - 4;

/// What a frame says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) nonce: u64,
    pub(crate) epoch: u64,
    pub(crate) frame: u64,
    pub(crate) first_lsn: u64,
    pub(crate) count: u32,
    pub(crate) body_len: u32,
    pub(crate) committed_lsn: u64,
    pub(crate) prev_link: u32,
    pub(crate) body_crc: u32,
}

impl FrameHeader {
    pub(crate) fn encode(&self, offset: u32) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.nonce.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.frame.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.first_lsn.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.count.to_le_bytes());
        bytes[44..48].copy_from_slice(&self.body_len.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.committed_lsn.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.prev_link.to_le_bytes());
        bytes[60..64].copy_from_slice(&self.body_crc.to_le_bytes());
        // Bytes 64..68 are reserved and zero.
        let crc = crc_append(crc_seed(self.nonce, offset), &bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header at `offset` of the segment with this nonce, or `None` if there is none.
    pub(crate) fn decode(bytes: &[u8], nonce: u64, offset: u32) -> Option<Self> {
        let bytes = bytes.first_chunk::<FRAME_HEADER_BYTES>()?;
        if bytes[0..4] != MAGIC {
            return None;
        }
        let mut fields = Fields(&bytes[4..]);
        let version = fields.u32()?;
        let header = Self {
            nonce: fields.u64()?,
            epoch: fields.u64()?,
            frame: fields.u64()?,
            first_lsn: fields.u64()?,
            count: fields.u32()?,
            body_len: fields.u32()?,
            committed_lsn: fields.u64()?,
            prev_link: fields.u32()?,
            body_crc: fields.u32()?,
        };
        let _reserved = fields.u32()?;
        let crc = fields.u32()?;
        let sound = version == FORMAT_VERSION
            && header.nonce == nonce
            && crc == crc_append(crc_seed(nonce, offset), &bytes[..CRC_AT]);
        sound.then_some(header)
    }

    /// What the next frame's `prev_link` holds.
    pub(crate) fn link(&self, offset: u32) -> u32 {
        let mut bytes = [0; 44];
        bytes[0..8].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.frame.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first_lsn.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.count.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.body_len.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.prev_link.to_le_bytes());
        bytes[36..44].copy_from_slice(&self.nonce.to_le_bytes());
        crc_append(crc_seed(self.nonce, offset), &bytes)
    }

    /// The bytes this frame takes on disk.
    pub(crate) fn disk_bytes(&self) -> u64 {
        padded(u64::from(self.body_len) + FRAME_HEADER_BYTES as u64)
    }

    /// The last record's number; for an empty frame the one before.
    pub(crate) fn last_lsn(&self) -> u64 {
        self.first_lsn
            .saturating_add(u64::from(self.count))
            .saturating_sub(1)
    }
}

/// Rounds up to whole blocks.
pub(crate) fn padded(bytes: u64) -> u64 {
    bytes.next_multiple_of(u64::from(BLOCK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_flipped_bit_or_wrong_place_is_refused() {
        let header = FrameHeader {
            nonce: 77,
            epoch: 3,
            frame: 9,
            first_lsn: 100,
            count: 4,
            body_len: 4000,
            committed_lsn: 99,
            prev_link: 5,
            body_crc: 6,
        };
        let bytes = header.encode(8192);
        assert_eq!(FrameHeader::decode(&bytes, 77, 8192), Some(header));
        assert_eq!(FrameHeader::decode(&bytes, 77, 4096), None);
        assert_eq!(FrameHeader::decode(&bytes, 78, 8192), None);
        assert_eq!(FrameHeader::decode(&bytes[..71], 77, 8192), None);
        for bit in 0..FRAME_HEADER_BYTES * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FrameHeader::decode(&bad, 77, 8192), None, "bit {bit}");
        }
        assert_eq!(header.disk_bytes(), 4096);
        assert_eq!(header.last_lsn(), 103);
    }
}
