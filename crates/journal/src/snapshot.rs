//! `SNAPSHOT`: the caller's state at an LSN, replaced as a whole.
//!
//! The journal segments that it makes superfluous stay until they are released. The manifest
//! notes the snapshot's LSN, so that a lost or older file is seen.

use std::io::Write;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::format::{FORMAT_VERSION, Fields, crc_append};
use crate::io::{Io, OpenMode};
use crate::position::Lsn;
use crate::whole_file::{self, Draft, Failure};
use crate::writer::Writer;

pub(crate) const NAME: &str = "SNAPSHOT";
const MAGIC: [u8; 8] = *b"PBUSSNAP";
const HEAD_BYTES: usize = 32;
const TRAILER_BYTES: usize = 12;
const CRC_START: u32 = 0x736e_6170;

/// The caller's state, as of an LSN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Everything up to this record is in it.
    pub lsn: Lsn,
    /// What the caller wrote.
    pub bytes: Bytes,
}

impl Writer {
    /// Replaces the snapshot by one that holds the state at `lsn`, which `write` writes.
    ///
    /// # Errors
    /// `NotDurable` when `lsn` is past what is durable. A full disk or an error of `write` leaves
    /// the old snapshot in force.
    pub fn write_snapshot(
        &self,
        lsn: Lsn,
        write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
    ) -> Result<()> {
        let shared = &self.shared;
        shared.progress.check()?;
        if lsn.0 > shared.progress.stable_lsn() {
            self.sync()?;
        }
        let durable = shared.progress.stable_lsn();
        if lsn.0 > durable {
            return Err(Error::NotDurable {
                lsn,
                durable: Lsn(durable),
            });
        }
        // Not the catalogue's lock: a large snapshot must not hold up a new segment.
        let _turn = shared
            .snapshot_turn
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut draft = Draft::new(&shared.io, NAME, CRC_START)?;
        let result = write_head(&mut draft, lsn)
            .and_then(|()| write(&mut draft))
            .and_then(|()| write_trailer(&mut draft));
        if let Err(error) = result {
            draft.discard();
            return Err(Error::io("writing", NAME, error));
        }
        match draft.publish() {
            Ok(()) => {}
            Err(Failure::Unchanged(error)) => return Err(error),
            Err(Failure::Unknown(error)) => return shared.guard(Err(error)),
        }
        let mut catalogue = shared.catalogue();
        let mut manifest = shared.refreshed(&catalogue.manifest);
        manifest.snapshot_lsn = lsn.0;
        shared.store(&mut catalogue, manifest)
    }
}

fn write_head(draft: &mut Draft, lsn: Lsn) -> std::io::Result<()> {
    draft.write_all(&MAGIC)?;
    draft.write_all(&FORMAT_VERSION.to_le_bytes())?;
    draft.write_all(&[0; 4])?;
    draft.write_all(&lsn.0.to_le_bytes())?;
    draft.write_all(&[0; 8])
}

fn write_trailer(draft: &mut Draft) -> std::io::Result<()> {
    let body_len = draft.len() - HEAD_BYTES as u64;
    draft.write_all(&body_len.to_le_bytes())?;
    draft.write_all(&draft.crc().to_le_bytes())
}

/// The folder's snapshot, or `None` in a folder without one.
pub(crate) fn load(io: &Arc<dyn Io>) -> Result<Option<Snapshot>> {
    whole_file::read(io, NAME, OpenMode::Uncached)?
        .map(decode)
        .transpose()
}

fn decode(bytes: Vec<u8>) -> Result<Snapshot> {
    let mut fields = Fields(&bytes);
    if fields.take::<8>() != Some(MAGIC) {
        let what = "it does not begin as a snapshot does";
        return Err(Error::corrupt(NAME, 0, what));
    }
    let version = fields.u32().unwrap_or_default();
    if version > FORMAT_VERSION {
        return Err(Error::NewerFormat {
            file: NAME.to_owned(),
            found: version,
            supported: FORMAT_VERSION,
        });
    }
    let _reserved = fields.u32();
    let lsn = fields.u64().unwrap_or_default();
    let sound = bytes.split_last_chunk::<4>().is_some_and(|(covered, crc)| {
        version == FORMAT_VERSION
            && covered.len() + 4 >= HEAD_BYTES + TRAILER_BYTES
            && u32::from_le_bytes(*crc) == crc_append(CRC_START, covered)
    });
    if !sound {
        return Err(Error::corrupt(NAME, 0, "its checksum is wrong"));
    }
    let body = HEAD_BYTES..bytes.len() - TRAILER_BYTES;
    Ok(Snapshot {
        lsn: Lsn(lsn),
        bytes: Bytes::from(bytes).slice(body),
    })
}
