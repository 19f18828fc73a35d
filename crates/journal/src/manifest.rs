//! `MANIFEST`: which segments are live, and the epoch. It is the authority: a segment that it does
//! not list holds nothing that was acknowledged.
//!
//! A *sealed* entry names its exact end, so that a scan of it must reach that end; only unsealed
//! ones (the youngest) may have a torn tail. The file is small and replaced as a whole.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{FORMAT_VERSION, Fields, crc_append};
use crate::io::{Io, OpenMode};
use crate::segment::SegmentKind;
use crate::whole_file;

pub(crate) const NAME: &str = "MANIFEST";
const MAGIC: [u8; 8] = *b"PBUSMANI";
const HEAD_BYTES: usize = 64;
const ENTRY_BYTES: usize = 64;
const CRC_START: u32 = 0x6d61_6e69;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) journal_id: u64,
    pub(crate) epoch: u64,
    /// No segment with this number or a higher one was ever listed.
    pub(crate) next_segment: u32,
    /// Everything up to here was stable when this manifest was written.
    pub(crate) stable_lsn: u64,
    /// The last snapshot that was finished.
    pub(crate) snapshot_lsn: u64,
    pub(crate) entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) number: u32,
    pub(crate) kind: SegmentKind,
    pub(crate) nonce: u64,
    pub(crate) epoch: u64,
    pub(crate) first_lsn: u64,
    pub(crate) first_frame: u64,
    pub(crate) sealed: Option<Sealed>,
}

/// Where a sealed segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) end: u32,
    pub(crate) last_lsn: u64,
    pub(crate) last_frame: u64,
}

impl Manifest {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.entries.len() * ENTRY_BYTES + 4);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&(self.entries.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.journal_id.to_le_bytes());
        bytes.extend_from_slice(&self.epoch.to_le_bytes());
        bytes.extend_from_slice(&self.stable_lsn.to_le_bytes());
        bytes.extend_from_slice(&self.snapshot_lsn.to_le_bytes());
        bytes.extend_from_slice(&self.next_segment.to_le_bytes());
        bytes.resize(HEAD_BYTES, 0);
        for entry in &self.entries {
            entry.encode(&mut bytes);
        }
        let crc = crc_append(CRC_START, &bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let damaged = |offset: u64, what: &str| Error::corrupt(NAME, offset, what);
        let mut fields = Fields(bytes);
        if fields.take::<8>() != Some(MAGIC) {
            return Err(damaged(0, "it does not begin as a manifest does"));
        }
        let version = fields
            .u32()
            .ok_or_else(|| damaged(8, "it ends too early"))?;
        if version > FORMAT_VERSION {
            return Err(Error::NewerFormat {
                file: NAME.to_owned(),
                found: version,
                supported: FORMAT_VERSION,
            });
        }
        let sound = bytes.split_last_chunk::<4>().filter(|(covered, crc)| {
            version == FORMAT_VERSION && u32::from_le_bytes(**crc) == crc_append(CRC_START, covered)
        });
        let Some((covered, _)) = sound else {
            return Err(damaged(0, "its checksum is wrong"));
        };
        Self::decode_fields(covered).ok_or_else(|| damaged(8, "its entries make no sense"))
    }

    fn decode_fields(covered: &[u8]) -> Option<Self> {
        let (head, entries) = covered.split_at_checked(HEAD_BYTES)?;
        let mut fields = Fields(head.get(12..)?);
        let count = fields.u32()? as usize;
        let mut manifest = Self {
            journal_id: fields.u64()?,
            epoch: fields.u64()?,
            stable_lsn: fields.u64()?,
            snapshot_lsn: fields.u64()?,
            next_segment: fields.u32()?,
            entries: Vec::new(),
        };
        if Some(entries.len()) != count.checked_mul(ENTRY_BYTES) {
            return None;
        }
        for entry in entries.chunks_exact(ENTRY_BYTES) {
            manifest.entries.push(Entry::decode(entry)?);
        }
        Some(manifest)
    }

    /// The folder's manifest, or `None` in a folder without one.
    pub(crate) fn load(io: &Arc<dyn Io>) -> Result<Option<Self>> {
        whole_file::read(io, NAME, OpenMode::Uncached)?
            .map(|bytes| Self::decode(&bytes))
            .transpose()
    }

    /// Adds a segment, in the order of the numbers.
    pub(crate) fn insert(&mut self, entry: Entry) {
        let at = self.entries.partition_point(|e| e.number < entry.number);
        self.entries.insert(at, entry);
    }

    pub(crate) fn store(&self, io: &Arc<dyn Io>) -> std::result::Result<(), whole_file::Failure> {
        whole_file::replace(io, NAME, &self.encode())
    }
}

impl Entry {
    fn encode(&self, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        let sealed = self.sealed.unwrap_or(Sealed {
            end: 0,
            last_lsn: 0,
            last_frame: 0,
        });
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&sealed.end.to_le_bytes());
        bytes.extend_from_slice(&self.nonce.to_le_bytes());
        bytes.extend_from_slice(&self.epoch.to_le_bytes());
        bytes.extend_from_slice(&self.first_lsn.to_le_bytes());
        bytes.extend_from_slice(&self.first_frame.to_le_bytes());
        bytes.extend_from_slice(&sealed.last_lsn.to_le_bytes());
        bytes.extend_from_slice(&sealed.last_frame.to_le_bytes());
        bytes.push(self.kind.to_byte());
        bytes.push(u8::from(self.sealed.is_some()));
        bytes.resize(start + ENTRY_BYTES, 0);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let number = fields.u32()?;
        let end = fields.u32()?;
        let nonce = fields.u64()?;
        let epoch = fields.u64()?;
        let first_lsn = fields.u64()?;
        let first_frame = fields.u64()?;
        let last_lsn = fields.u64()?;
        let last_frame = fields.u64()?;
        let kind = SegmentKind::from_byte(fields.u8()?)?;
        let sealed = match fields.u8()? {
            0 => None,
            1 => Some(Sealed {
                end,
                last_lsn,
                last_frame,
            }),
            _ => return None,
        };
        // Numbers this large never come about; refused, no sum of two can overflow.
        let mut numbers = [first_lsn, first_frame, last_lsn, last_frame, epoch].into_iter();
        if number == 0 || first_lsn == 0 || first_frame == 0 || numbers.any(|n| n >> 62 != 0) {
            return None;
        }
        Some(Self {
            number,
            kind,
            nonce,
            epoch,
            first_lsn,
            first_frame,
            sealed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Manifest {
        let entry = |number, sealed| Entry {
            number,
            kind: SegmentKind::Journal,
            nonce: 9,
            epoch: 2,
            first_lsn: 11,
            first_frame: 1,
            sealed,
        };
        Manifest {
            journal_id: 5,
            epoch: 2,
            next_segment: 8,
            stable_lsn: 40,
            snapshot_lsn: 30,
            entries: vec![
                entry(
                    6,
                    Some(Sealed {
                        end: 8192,
                        last_lsn: 40,
                        last_frame: 3,
                    }),
                ),
                entry(7, None),
            ],
        }
    }

    #[test]
    fn it_comes_back_and_any_damage_is_seen() {
        let manifest = example();
        let bytes = manifest.encode();
        assert_eq!(Manifest::decode(&bytes).unwrap(), manifest);
        for len in 0..bytes.len() {
            assert!(Manifest::decode(&bytes[..len]).is_err(), "cut at {len}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::decode(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_newer_format_says_so() {
        let mut bytes = example().encode();
        bytes[8] = 2;
        let error = Manifest::decode(&bytes).unwrap_err();
        assert!(matches!(error, Error::NewerFormat { found: 2, .. }));
        assert!(error.to_string().contains("newer program"));
    }
}
