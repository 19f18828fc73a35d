//! A disk that forgets what is written to segments: it costs nothing, so that what is measured is the broker.

use std::io::{IoSlice, Result};
use std::sync::Arc;

use polybus_journal::{Io, IoFile, MemoryIo, OpenMode};

/// The disk.
#[derive(Clone, Default)]
pub struct Void(MemoryIo);

impl Io for Void {
    fn folder(&self) -> String {
        self.0.folder()
    }

    fn lock(&self) -> Result<Box<dyn Send + Sync>> {
        self.0.lock()
    }

    fn list(&self) -> Result<Vec<String>> {
        self.0.list()
    }

    fn open(&self, name: &str, mode: OpenMode) -> Result<Arc<dyn IoFile>> {
        let file = self.0.open(name, mode)?;
        if name.ends_with(".seg") {
            return Ok(Arc::new(VoidFile(file)));
        }
        Ok(file)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.0.remove(name)
    }

    fn sync_folder(&self) -> Result<()> {
        self.0.sync_folder()
    }

    fn free_bytes(&self) -> Result<u64> {
        self.0.free_bytes()
    }
}

struct VoidFile(Arc<dyn IoFile>);

impl IoFile for VoidFile {
    fn write_at(&self, parts: &mut [IoSlice<'_>], offset: u64, durable: bool) -> Result<()> {
        match offset {
            0 => self.0.write_at(parts, offset, durable),
            _ => Ok(()),
        }
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn len(&self) -> Result<u64> {
        self.0.len()
    }
}
