//! Disks that are broken on purpose: one says that writes are stable which are not, one flips a bit
//! in what it reads now and then.

use std::io::{IoSlice, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use polybus_journal::{Io, IoFile, MemoryIo, OpenMode};

/// Every so many reads one is wrong.
const READS_PER_FLIP: u64 = 60;

/// What is wrong with a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Defect {
    /// Its durable writes behind a file's head are not durable.
    Lies,
    /// It flips a bit in some of its reads.
    Decays,
}

/// A simulated disk with a defect.
pub(crate) struct BrokenDisk {
    pub(crate) disk: MemoryIo,
    pub(crate) defect: Defect,
    /// Reads so far.
    pub(crate) reads: Arc<AtomicU64>,
}

struct BrokenFile {
    file: Arc<dyn IoFile>,
    defect: Defect,
    reads: Arc<AtomicU64>,
}

impl Io for BrokenDisk {
    fn folder(&self) -> String {
        self.disk.folder()
    }

    fn lock(&self) -> Result<Box<dyn Send + Sync>> {
        self.disk.lock()
    }

    fn list(&self) -> Result<Vec<String>> {
        self.disk.list()
    }

    fn open(&self, name: &str, mode: OpenMode) -> Result<Arc<dyn IoFile>> {
        Ok(Arc::new(BrokenFile {
            file: self.disk.open(name, mode)?,
            defect: self.defect,
            reads: Arc::clone(&self.reads),
        }))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.disk.remove(name)
    }

    fn sync_folder(&self) -> Result<()> {
        self.disk.sync_folder()
    }

    fn free_bytes(&self) -> Result<u64> {
        self.disk.free_bytes()
    }
}

impl IoFile for BrokenFile {
    fn write_at(&self, parts: &mut [IoSlice<'_>], offset: u64, durable: bool) -> Result<()> {
        let lies = self.defect == Defect::Lies && offset > 0;
        self.file.write_at(parts, offset, durable && !lies)
    }

    fn shrink(&self, bytes: u64) -> Result<()> {
        self.file.shrink(bytes)
    }

    fn sync(&self) -> Result<()> {
        self.file.sync()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let read = self.file.read_at(buffer, offset)?;
        let number = self.reads.fetch_add(1, Ordering::Relaxed);
        if self.defect == Defect::Decays
            && number % READS_PER_FLIP == READS_PER_FLIP - 1
            && let Some(byte) = buffer.get_mut(read / 2).filter(|_| read > 0)
        {
            *byte ^= 1 << (number % 8);
        }
        Ok(read)
    }

    fn len(&self) -> Result<u64> {
        self.file.len()
    }
}
