//! Reading compressed records: for readers that are not Kafka's, whose own decompress for themselves, and for compaction,
//! which compresses what it leaves in the same way.
//!
//! What comes out is bounded by the reader's limit, and what is reserved before by what went in: a bomb is refused.

use std::io::{Read, Write};

use bytes::Bytes;

use super::error::CodecError;

/// How a batch's records are compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    /// Not.
    None,
    /// gzip.
    Gzip,
    /// snappy: one block, or blocks as Java's library frames them.
    Snappy,
    /// lz4's frames.
    Lz4,
    /// zstd.
    Zstd,
}

/// What Java's snappy library writes first: its name, and two versions behind it.
const XERIAL_MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
const XERIAL_HEADER_BYTES: usize = 16;
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;
const GZIP_LEVEL: flate2::Compression = flate2::Compression::new(6);
/// snappy's densest element makes 64 bytes of 3.
const SNAPPY_RATIO_MAX: usize = 64;
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// What a zstd decoder should be ready to reserve, by its RFC; encoders of records stay far below.
const ZSTD_WINDOW_BYTES_MAX: u64 = 8 * 1024 * 1024;

impl Compression {
    /// The compression of this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The records' bytes, if they are no more than the limit.
    pub fn decompress(self, bytes: &Bytes, limit_bytes: usize) -> Result<Bytes, CodecError> {
        let plain = match self {
            Self::None if bytes.len() <= limit_bytes => return Ok(bytes.clone()),
            Self::None => return Err(CodecError::TooMuch),
            Self::Gzip => read_all(flate2::read::MultiGzDecoder::new(&bytes[..]), limit_bytes)?,
            Self::Snappy => snappy(bytes, limit_bytes)?,
            Self::Lz4 => read_all(lz4_flex::frame::FrameDecoder::new(&bytes[..]), limit_bytes)?,
            Self::Zstd => zstd(bytes, limit_bytes)?,
        };
        Ok(plain.into())
    }
}

impl Compression {
    /// The bytes compressed; they are held against what comes out again, so that a fault of a codec loses nothing. Not
    /// above the limit, and none if it fails.
    pub fn compress(self, plain: &[u8], limit_bytes: usize) -> Option<Bytes> {
        let compressed = match self {
            Self::None => return Some(Bytes::copy_from_slice(plain)),
            Self::Gzip => {
                let mut out = flate2::write::GzEncoder::new(Vec::new(), GZIP_LEVEL);
                out.write_all(plain).ok()?;
                out.finish().ok()?
            }
            Self::Snappy => xerial(plain)?,
            Self::Lz4 => {
                let mut out = lz4_flex::frame::FrameEncoder::new(Vec::new());
                out.write_all(plain).ok()?;
                out.finish().ok()?
            }
            Self::Zstd => ruzstd::encoding::compress_to_vec(
                plain,
                ruzstd::encoding::CompressionLevel::Fastest,
            ),
        };
        let compressed = Bytes::from(compressed);
        let again = self.decompress(&compressed, limit_bytes).ok()?;
        (again == plain).then_some(compressed)
    }
}

/// snappy as Java's library frames it.
fn xerial(plain: &[u8]) -> Option<Vec<u8>> {
    let mut out = XERIAL_MAGIC.to_vec();
    // The version, and the oldest one that can read it.
    out.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
    let mut encoder = snap::raw::Encoder::new();
    for block in plain.chunks(XERIAL_BLOCK_BYTES) {
        let block = encoder.compress_vec(block).ok()?;
        out.extend_from_slice(&u32::try_from(block.len()).ok()?.to_be_bytes());
        out.extend_from_slice(&block);
    }
    Some(out)
}

/// Reads to the end, or fails after one byte more than the limit.
fn read_all(reader: impl Read, limit_bytes: usize) -> Result<Vec<u8>, CodecError> {
    let mut plain = Vec::new();
    reader
        .take(limit_bytes as u64 + 1)
        .read_to_end(&mut plain)
        .map_err(|_| CodecError::Compressed)?;
    if plain.len() > limit_bytes {
        return Err(CodecError::TooMuch);
    }
    Ok(plain)
}

fn snappy(bytes: &[u8], limit_bytes: usize) -> Result<Vec<u8>, CodecError> {
    let mut plain = Vec::new();
    if !bytes.starts_with(&XERIAL_MAGIC) {
        snappy_block(bytes, limit_bytes, &mut plain)?;
        return Ok(plain);
    }
    let mut rest = bytes
        .get(XERIAL_HEADER_BYTES..)
        .ok_or(CodecError::Compressed)?;
    while !rest.is_empty() {
        let (len, behind) = rest.split_first_chunk().ok_or(CodecError::Compressed)?;
        let (block, behind) = behind
            .split_at_checked(u32::from_be_bytes(*len) as usize)
            .ok_or(CodecError::Compressed)?;
        snappy_block(block, limit_bytes, &mut plain)?;
        rest = behind;
    }
    Ok(plain)
}

/// Appends what a block holds. The block tells how much that is; a block that tells more than it could make is refused
/// before anything is reserved by it.
fn snappy_block(block: &[u8], limit_bytes: usize, plain: &mut Vec<u8>) -> Result<(), CodecError> {
    let len = snap::raw::decompress_len(block).map_err(|_| CodecError::Compressed)?;
    if len > block.len().saturating_mul(SNAPPY_RATIO_MAX) {
        return Err(CodecError::Compressed);
    }
    let from = plain.len();
    let to = from.saturating_add(len);
    if to > limit_bytes {
        return Err(CodecError::TooMuch);
    }
    plain.resize(to, 0);
    let room = plain.get_mut(from..).unwrap_or_default();
    snap::raw::Decoder::new()
        .decompress(block, room)
        .map_err(|_| CodecError::Compressed)?;
    Ok(())
}

fn zstd(bytes: &[u8], limit_bytes: usize) -> Result<Vec<u8>, CodecError> {
    // The decoder reserves the window that the frame asks for.
    if zstd_window_bytes(bytes).is_none_or(|window| window > ZSTD_WINDOW_BYTES_MAX) {
        return Err(CodecError::Compressed);
    }
    let decoder =
        ruzstd::decoding::StreamingDecoder::new(bytes).map_err(|_| CodecError::Compressed)?;
    read_all(decoder, limit_bytes)
}

/// How many bytes a zstd frame wants to look back; none if it is no frame.
fn zstd_window_bytes(bytes: &[u8]) -> Option<u64> {
    let (magic, rest) = bytes.split_first_chunk::<4>()?;
    let (descriptor, rest) = rest.split_first()?;
    if *magic != ZSTD_MAGIC {
        return None;
    }
    let single_segment = descriptor & 0x20 != 0;
    if !single_segment {
        let window = rest.first()?;
        let base = 1u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    // All of the content is the window, and its size stands behind the dictionary's number.
    let dictionary_bytes = [0, 1, 2, 4].get(usize::from(descriptor & 3))?;
    let size = rest.get(*dictionary_bytes..)?;
    match descriptor >> 6 {
        0 => size.first().map(|size| (*size).into()),
        1 => size
            .first_chunk()
            .map(|size| u64::from(u16::from_le_bytes(*size)) + 256),
        2 => size
            .first_chunk()
            .map(|size| u32::from_le_bytes(*size).into()),
        _ => size.first_chunk().map(|size| u64::from_le_bytes(*size)),
    }
}
