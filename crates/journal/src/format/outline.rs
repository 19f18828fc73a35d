//! An outline's bytes: a head that says of which segment, then blocks of fronts, then a block without any, which ends it.
//!
//! ```text
//! head | block | block | ... | last block
//! block = body length | fronts | CRC | body          front = where the record is, from the one before | kind | its first bytes
//! ```
//! Every CRC is seeded with what comes of the segment's nonce and with the offset. Decoders take hostile bytes and never
//! panic; a front that passes lies inside the segment and behind the one before it.

use super::{
    BLOCK, FORMAT_VERSION, Fields, RECORD_HEADER_BYTES, crc_append, crc_seed, mix, put_varint,
};

const MAGIC: [u8; 8] = *b"PBUSOUTL";
/// The bytes of the head.
pub(crate) const OUTLINE_HEAD_BYTES: usize = 64;
/// The bytes in front of a block's body.
pub(crate) const OUTLINE_BLOCK_HEADER_BYTES: usize = 12;
/// A block is closed once its body is as long.
pub(crate) const OUTLINE_BLOCK_BYTES: usize = 256 << 10;
/// No more of one record is kept.
pub(crate) const FRONT_BYTES_MAX: usize = 1 << 20;
/// No body is longer: that of a block that one front took past its size.
const BODY_BYTES_MAX: usize = OUTLINE_BLOCK_BYTES + FRONT_BYTES_MAX + 64;
/// The body of the last block: how many fronts there are.
pub(crate) const OUTLINE_TOTAL_BYTES: usize = 8;
const CRC_AT: usize = OUTLINE_HEAD_BYTES - 4;

/// Of which segment an outline is, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutlineHead {
    pub(crate) number: u32,
    pub(crate) nonce: u64,
    pub(crate) end: u32,
    pub(crate) last_lsn: u64,
    pub(crate) last_frame: u64,
    /// The caller's, of what it keeps.
    pub(crate) version: u32,
    /// It holds nothing: the segment is to be read.
    pub(crate) is_void: bool,
}

impl OutlineHead {
    pub(crate) fn encode(&self) -> [u8; OUTLINE_HEAD_BYTES] {
        let mut bytes = [0; OUTLINE_HEAD_BYTES];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.nonce.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.end.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.version.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.last_lsn.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.last_frame.to_le_bytes());
        bytes[48] = u8::from(self.is_void);
        // Bytes 49..60 are reserved and zero.
        let crc = crc_append(outline_seed(self.nonce, 0), &bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<OUTLINE_HEAD_BYTES>()?;
        let mut fields = Fields(bytes);
        if fields.take::<8>()? != MAGIC || fields.u32()? != FORMAT_VERSION {
            return None;
        }
        let (number, nonce) = (fields.u32()?, fields.u64()?);
        let (end, version) = (fields.u32()?, fields.u32()?);
        let (last_lsn, last_frame) = (fields.u64()?, fields.u64()?);
        let is_void = match fields.u8()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let crc = u32::from_le_bytes(*bytes.last_chunk::<4>()?);
        let sound = crc == crc_append(outline_seed(nonce, 0), &bytes[..CRC_AT]);
        sound.then_some(Self {
            number,
            nonce,
            end,
            last_lsn,
            last_frame,
            version,
            is_void,
        })
    }
}

/// The CRC's start value for what lies at `offset` of the outline of the segment with this nonce. Not that of the segment's
/// own bytes: none of them passes for an outline's.
fn outline_seed(nonce: u64, offset: u32) -> u32 {
    crc_seed(mix(nonce), offset)
}

/// The header of a block with this body at `offset`.
pub(crate) fn block_header(
    nonce: u64,
    offset: u32,
    count: u32,
    body: &[u8],
) -> [u8; OUTLINE_BLOCK_HEADER_BYTES] {
    let mut bytes = [0; OUTLINE_BLOCK_HEADER_BYTES];
    bytes[0..4].copy_from_slice(&(body.len() as u32).to_le_bytes());
    bytes[4..8].copy_from_slice(&count.to_le_bytes());
    let crc = crc_append(outline_seed(nonce, offset), &bytes[..8]);
    bytes[8..].copy_from_slice(&crc_append(crc, body).to_le_bytes());
    bytes
}

/// A block's header: how long its body is and how many fronts it holds. Nothing is known to be right before its body has
/// been seen too; but it is never longer than it may be.
pub(crate) fn read_block_header(bytes: &[u8]) -> Option<(usize, u32)> {
    let mut fields = Fields(bytes);
    let len = fields.u32()? as usize;
    (len <= BODY_BYTES_MAX).then_some((len, fields.u32()?))
}

/// Whether this is the header of this body, at `offset`.
pub(crate) fn is_block_sound(header: &[u8], body: &[u8], nonce: u64, offset: u32) -> bool {
    let Some((_, count)) = read_block_header(header) else {
        return false;
    };
    header.get(..OUTLINE_BLOCK_HEADER_BYTES)
        == Some(block_header(nonce, offset, count, body).as_slice())
}

/// Where the record before was: fronts say where theirs are from there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trail {
    pub(crate) lsn: u64,
    /// Where its payload ended.
    pub(crate) end: u32,
}

impl Trail {
    /// In front of a segment's first record.
    pub(crate) fn new(first_lsn: u64) -> Self {
        Self {
            lsn: first_lsn.saturating_sub(1),
            end: BLOCK,
        }
    }
}

/// A record's front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrontAt<'a> {
    /// Always that of the segment's start in a cold one.
    pub(crate) lsn: u64,
    /// Where its payload begins, and how long all of it is.
    pub(crate) offset: u32,
    pub(crate) len: u32,
    pub(crate) kind: u8,
    pub(crate) bytes: &'a [u8],
}

impl<'a> FrontAt<'a> {
    pub(crate) fn put(&self, out: &mut Vec<u8>, trail: &mut Trail) {
        put_varint(out, self.lsn - trail.lsn);
        put_varint(out, u64::from(self.offset - trail.end));
        put_varint(out, u64::from(self.len));
        put_varint(out, self.bytes.len() as u64);
        out.push(self.kind);
        out.extend_from_slice(self.bytes);
        *trail = Trail {
            lsn: self.lsn,
            end: self.offset + self.len,
        };
    }

    /// The next front, which lies in a segment with that end.
    pub(crate) fn read(fields: &mut Fields<'a>, trail: &mut Trail, end: u32) -> Option<Self> {
        let lsn = trail.lsn.checked_add(fields.varint()?)?;
        let step = u32::try_from(fields.varint()?).ok()?;
        let offset = trail.end.checked_add(step)?;
        let len = u32::try_from(fields.varint()?).ok()?;
        let kept = usize::try_from(fields.varint()?).ok()?;
        let kind = fields.u8()?;
        let bytes = fields.slice(kept)?;
        let behind = offset.checked_add(len)?;
        let fits = step >= RECORD_HEADER_BYTES as u32 && behind <= end && kept <= len as usize;
        *trail = Trail { lsn, end: behind };
        fits.then_some(Self {
            lsn,
            offset,
            len,
            kind,
            bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_comes_back_and_any_damage_is_seen() {
        let head = OutlineHead {
            number: 7,
            nonce: 99,
            end: 8192,
            last_lsn: 40,
            last_frame: 3,
            version: 2,
            is_void: false,
        };
        let bytes = head.encode();
        assert_eq!(OutlineHead::decode(&bytes), Some(head));
        assert_eq!(OutlineHead::decode(&bytes[..63]), None);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(OutlineHead::decode(&bad), None, "bit {bit}");
        }
    }

    #[test]
    fn fronts_come_back_and_none_lies_outside() {
        let front = |lsn, offset, len, bytes| FrontAt {
            lsn,
            offset,
            len,
            kind: 9,
            bytes,
        };
        let fronts = [
            front(5, 4200, 300, &b"abc"[..]),
            front(6, 4526, 0, b""),
            front(900, 1 << 20, 1 << 20, b"front"),
        ];
        let mut out = Vec::new();
        let mut trail = Trail::new(5);
        for one in &fronts {
            one.put(&mut out, &mut trail);
        }
        let read = |bytes: &[u8], end| {
            let mut fields = Fields(bytes);
            let mut trail = Trail::new(5);
            let mut read = 0;
            while let Some(one) = FrontAt::read(&mut fields, &mut trail, end) {
                assert_eq!(one, fronts[read]);
                read += 1;
            }
            read
        };
        assert_eq!(read(&out, 2 << 20), 3);
        assert_eq!(read(&out, (2 << 20) - 1), 2);
        for len in 0..out.len() {
            assert!(read(&out[..len], 2 << 20) < 3, "{len}");
        }
        // Nearer to the one before than a record's header is long.
        assert_eq!(read(&[1, 25, 0, 0, 9], 2 << 20), 0);
        assert_eq!(read(&[255; 40], 2 << 20), 0);
    }

    #[test]
    fn a_block_belongs_to_its_place() {
        let header = block_header(5, 64, 2, b"body");
        assert_eq!(read_block_header(&header), Some((4, 2)));
        assert!(is_block_sound(&header, b"body", 5, 64));
        assert!(!is_block_sound(&header, b"bodz", 5, 64));
        assert!(!is_block_sound(&header, b"body", 5, 65));
        assert!(!is_block_sound(&header, b"body", 6, 64));
        assert_eq!(read_block_header(&[255; 12]), None);
    }
}
