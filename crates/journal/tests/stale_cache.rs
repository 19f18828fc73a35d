//! A page cache that shows something else than the disk has: what is read back is what the disk has.
#![allow(clippy::unwrap_used)] // Also outside of test functions, for tests only.

mod support;

use std::io::{IoSlice, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use polybus_journal::{Io, IoFile, Journal, MemoryIo, OpenMode};
use support::{commit, options};

/// A disk whose cache is wrong while the flag is set.
struct StaleCache {
    disk: MemoryIo,
    is_stale: Arc<AtomicBool>,
}

struct CachedFile {
    file: Arc<dyn IoFile>,
    is_stale: Arc<AtomicBool>,
}

impl Io for StaleCache {
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
        let file = self.disk.open(name, mode)?;
        if mode == OpenMode::Uncached {
            return Ok(file);
        }
        let is_stale = Arc::clone(&self.is_stale);
        Ok(Arc::new(CachedFile { file, is_stale }))
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

impl IoFile for CachedFile {
    fn write_at(&self, parts: &mut [IoSlice<'_>], offset: u64, durable: bool) -> Result<()> {
        self.file.write_at(parts, offset, durable)
    }

    fn sync(&self) -> Result<()> {
        self.file.sync()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let read = self.file.read_at(buffer, offset)?;
        if self.is_stale.load(Ordering::Relaxed) {
            buffer.fill(0);
        }
        Ok(read)
    }

    fn len(&self) -> Result<u64> {
        self.file.len()
    }
}

#[test]
fn what_the_cache_has_wrong_is_read_from_the_disk() {
    let disk = MemoryIo::new();
    let is_stale = Arc::new(AtomicBool::new(false));
    let io = StaleCache {
        disk: disk.clone(),
        is_stale: Arc::clone(&is_stale),
    };
    let mut opened = Journal::open(Arc::new(io), options()).unwrap();
    opened.recovery.accept().unwrap();
    let long = vec![7; 9000];
    let appended = commit(&mut opened, &[b"short", &long, b"last"]);
    is_stale.store(true, Ordering::Relaxed);
    let places: Vec<_> = appended.iter().map(|one| (one.position, one.len)).collect();
    let payloads = opened.reader.read_many(&places).unwrap();
    assert!(payloads == [b"short".as_slice(), &long, b"last"]);
    // Nothing helps against what is wrong on the disk as well.
    let offset = u64::from(appended[1].position.offset);
    disk.flip_bit("0000000001.seg", offset, 0).unwrap();
    let error = opened.reader.read(places[1].0, places[1].1).unwrap_err();
    assert!(error.is_corrupt());
}
