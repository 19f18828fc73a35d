//! Files that are replaced as a whole: the manifest, the snapshot and outlines.
//!
//! ```text
//! write NAME.tmp -> sync it -> rename it over NAME -> sync the folder
//! ```
//!
//! A crash leaves the old file or the new one. Until the rename, a failure changed nothing; from
//! the rename on, it is unknown which of the two the disk has, and [`Failure::Unknown`] says so.

use std::io::{ErrorKind, IoSlice, Write};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::crc_append;
use crate::io::{Io, IoFile, OpenMode};

const BUFFER_BYTES: usize = 256 << 10;

/// Why a file was not replaced.
pub(crate) enum Failure {
    /// The old file is still in force.
    Unchanged(Error),
    /// The disk may have either.
    Unknown(Error),
}

pub(crate) fn tmp_name(name: &str) -> String {
    format!("{name}.tmp")
}

/// A file that is being written, with a running CRC; it has no effect until [`Draft::publish`].
pub(crate) struct Draft {
    io: Arc<dyn Io>,
    name: String,
    file: Arc<dyn IoFile>,
    buffer: Vec<u8>,
    written: u64,
    crc: u32,
}

impl Draft {
    pub(crate) fn new(io: &Arc<dyn Io>, name: &str, crc_start: u32) -> Result<Self> {
        let tmp = tmp_name(name);
        let file = io
            .open(&tmp, OpenMode::Create)
            .map_err(|error| Error::io("creating", &tmp, error))?;
        Ok(Self {
            io: Arc::clone(io),
            name: name.to_owned(),
            file,
            buffer: Vec::new(),
            written: 0,
            crc: crc_start,
        })
    }

    /// The bytes so far.
    pub(crate) fn len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// The CRC of the bytes so far.
    pub(crate) fn crc(&self) -> u32 {
        crc_append(self.crc, &self.buffer)
    }

    fn write_out(&mut self) -> std::io::Result<()> {
        let mut parts = [IoSlice::new(&self.buffer)];
        self.file.write_at(&mut parts, self.written, false)?;
        self.crc = crc_append(self.crc, &self.buffer);
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn finish_tmp(&mut self) -> Result<()> {
        let tmp = tmp_name(&self.name);
        self.write_out()
            .map_err(|error| Error::io("writing", &tmp, error))?;
        self.file
            .sync()
            .map_err(|error| Error::io("syncing", &tmp, error))
    }

    /// Throws the draft away.
    pub(crate) fn discard(self) {
        // A left-over draft is harmless, and the next open removes it.
        let _ = self.io.remove(&tmp_name(&self.name));
    }

    /// Puts the file in the place of the old one, durably.
    pub(crate) fn publish(mut self) -> std::result::Result<(), Failure> {
        if let Err(error) = self.finish_tmp() {
            self.discard();
            return Err(Failure::Unchanged(error));
        }
        self.io
            .rename(&tmp_name(&self.name), &self.name)
            .and_then(|()| self.io.sync_folder())
            .map_err(|error| Failure::Unknown(Error::io("replacing", &self.name, error)))
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES && !self.buffer.is_empty() {
            self.write_out()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Replaces a whole file by these bytes.
pub(crate) fn replace(
    io: &Arc<dyn Io>,
    name: &'static str,
    bytes: &[u8],
) -> std::result::Result<(), Failure> {
    let mut draft = Draft::new(io, name, 0).map_err(Failure::Unchanged)?;
    match draft.write_all(bytes) {
        Ok(()) => draft.publish(),
        Err(error) => {
            draft.discard();
            Err(Failure::Unchanged(Error::io("writing", name, error)))
        }
    }
}

/// A whole file's bytes, or `None` when there is no such file.
pub(crate) fn read(io: &Arc<dyn Io>, name: &str, mode: OpenMode) -> Result<Option<Vec<u8>>> {
    let failed = |error| Error::io("reading", name, error);
    let file = match io.open(name, mode) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let len = file.len().map_err(failed)?;
    let mut blocks = crate::blocks::Blocks::new(len as usize);
    let read = file.read_at(blocks.spare(), 0).map_err(failed)?;
    blocks.filled(read);
    Ok(Some(blocks.bytes().to_vec()))
}
