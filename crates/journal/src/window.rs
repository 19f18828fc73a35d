//! A file read from its start to its end in large reads of whole blocks: what of it is in memory, and more when that is asked
//! for. What was read stays until something behind it is asked for that is not there.

use std::sync::Arc;

use crate::blocks::Blocks;
use crate::error::{Error, Result};
use crate::format::BLOCK;
use crate::io::IoFile;

const CHUNK_BYTES: usize = 2 << 20;

pub(crate) struct Window {
    file: Arc<dyn IoFile>,
    name: String,
    len: u64,
    chunk: Blocks,
    chunk_offset: u64,
    at_end: bool,
}

impl Window {
    /// Of a file, of which nothing is read yet.
    pub(crate) fn new(file: Arc<dyn IoFile>, name: &str) -> Result<Self> {
        let len = file
            .len()
            .map_err(|error| Error::io("reading", name, error))?;
        Ok(Self {
            file,
            name: name.to_owned(),
            len,
            chunk: Blocks::new(0),
            chunk_offset: 0,
            at_end: false,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Nothing behind `end` is read.
    pub(crate) fn end_at(&mut self, end: u64) {
        self.len = self.len.min(end);
    }

    /// The file's bytes from `offset` on, which is a whole number of blocks: `len` of them, or fewer at its end.
    pub(crate) fn load(&mut self, offset: u64, len: usize) -> Result<&[u8]> {
        let held = self.chunk.bytes().len() as u64;
        let inside = offset >= self.chunk_offset && offset <= self.chunk_offset + held;
        let from = if inside {
            offset - self.chunk_offset
        } else {
            held
        };
        if !inside || (from + len as u64 > held && !self.at_end) {
            let left = self.len.saturating_sub(offset) as usize;
            let room = CHUNK_BYTES
                .min(left)
                .max(len)
                .next_multiple_of(BLOCK as usize);
            self.chunk.keep_from(from as usize, room);
            self.chunk_offset = offset;
            self.at_end = false;
            let at = offset + self.chunk.bytes().len() as u64;
            let spare = self.chunk.spare();
            let wanted = spare.len();
            let read = self
                .file
                .read_at(spare, at)
                .map_err(|error| Error::io("reading", &self.name, error))?;
            self.chunk.filled(read);
            self.at_end = read < wanted;
        }
        let bytes = self.held(offset);
        Ok(bytes.get(..len).unwrap_or(bytes))
    }

    /// What is in memory from `offset` on.
    pub(crate) fn held(&self, offset: u64) -> &[u8] {
        let start = offset.saturating_sub(self.chunk_offset) as usize;
        self.chunk.bytes().get(start..).unwrap_or_default()
    }

    /// Drops what was read: it is read anew.
    pub(crate) fn forget(&mut self) {
        self.chunk.keep_from(usize::MAX, 0);
        self.at_end = false;
    }
}
