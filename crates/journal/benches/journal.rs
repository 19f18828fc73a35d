//! What the journal costs but the disk: figures are per record. `cargo bench -p polybus-journal --bench journal`

#![allow(missing_docs, clippy::unwrap_used)]

use std::io::{IoSlice, Result};
use std::sync::Arc;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use polybus_journal::{Io, IoFile, Journal, MemoryIo, OpenMode, Opened, Options};

const GROUP: u64 = 100;
const REPLAYED: u64 = 100_000;

fn main() {
    divan::main();
}

/// A disk that forgets what is written to segments.
struct Void(MemoryIo);

struct VoidFile(Arc<dyn IoFile>);

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
        Ok(match name.ends_with(".seg") {
            true => Arc::new(VoidFile(file)),
            false => file,
        })
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

fn open() -> Opened {
    Journal::open(Arc::new(Void(MemoryIo::new())), Options::default()).unwrap()
}

fn append(opened: &mut Opened, payload: &[u8]) {
    opened.appender.begin();
    // As the engine does: what it made, and the message's bytes.
    let (head, rest) = payload.split_at(50.min(payload.len()));
    for sequence in 0..GROUP {
        opened
            .appender
            .append(1, 2, sequence, &[head, rest], None)
            .unwrap();
    }
}

/// Under the shard's lock.
#[divan::bench(args = [70, 1080], sample_count = 100, sample_size = 1)]
fn append_group(bencher: Bencher<'_, '_>, payload: usize) {
    let payload = vec![7; payload];
    let opened = std::cell::RefCell::new(open());
    bencher
        .counter(ItemsCount::new(GROUP))
        .with_inputs(|| {
            let mut opened = opened.borrow_mut();
            while let Some(frame) = opened.appender.seal() {
                opened.writer.write(frame).unwrap();
            }
        })
        .bench_local_values(|()| append(&mut opened.borrow_mut(), &payload));
}

/// Outside of it: checksums, and all else of a write but the system call.
#[divan::bench(args = [(70, 1), (70, 10), (1080, 1)], sample_count = 200, sample_size = 1)]
fn seal_and_write(bencher: Bencher<'_, '_>, (payload, groups): (usize, u64)) {
    let payload = vec![7; payload];
    let opened = std::cell::RefCell::new(open());
    bencher
        .counter(ItemsCount::new(GROUP * groups))
        .with_inputs(|| {
            for _ in 0..groups {
                append(&mut opened.borrow_mut(), &payload);
            }
        })
        .bench_local_values(|()| {
            let mut opened = opened.borrow_mut();
            while let Some(frame) = opened.appender.seal() {
                opened.writer.write(frame).unwrap();
            }
        });
}

#[divan::bench(args = [70, 1080], sample_count = 10, sample_size = 1)]
fn replay(bencher: Bencher<'_, '_>, payload: usize) {
    let disk = MemoryIo::new();
    let mut opened = Journal::open(Arc::new(disk.clone()), Options::default()).unwrap();
    let bytes = vec![7; payload];
    for _ in 0..REPLAYED / GROUP {
        append(&mut opened, &bytes);
        while opened.appender.pending() > 1 << 20 {
            let frame = opened.appender.seal().unwrap();
            opened.writer.write(frame).unwrap();
        }
    }
    while let Some(frame) = opened.appender.seal() {
        opened.writer.write(frame).unwrap();
    }
    opened.writer.close().unwrap();
    drop(opened);
    bencher
        .counter(ItemsCount::new(REPLAYED))
        .counter(BytesCount::new(REPLAYED * (payload as u64 + 26)))
        .bench_local(|| {
            let opened = Journal::open(Arc::new(disk.clone()), Options::default()).unwrap();
            let mut seen = 0;
            opened.recovery.replay(|_| seen += 1).unwrap();
            assert_eq!(seen, REPLAYED);
        });
}
