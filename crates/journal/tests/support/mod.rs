//! What the tests share: small options, quick appends, a temporary folder.
#![allow(dead_code)] // Every test file uses its own part of it.
#![allow(clippy::unwrap_used)] // Outside of test functions, but only for tests.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use polybus_journal::{Appended, FileIo, Io, Journal, Lsn, MemoryIo, Opened, Options, Position};

/// Small segments and frames, so that little data makes many of them.
pub(crate) fn options() -> Options {
    Options {
        segment_bytes: 64 << 10,
        frame_bytes_max: 16 << 10,
        shared_bytes_min: 2 << 10,
        seed: Some(42),
        ..Options::default()
    }
}

pub(crate) fn open_with(disk: &MemoryIo, options: Options) -> Opened {
    let opened = Journal::open(Arc::new(disk.clone()), options).unwrap();
    opened.recovery.accept().unwrap();
    opened
}

pub(crate) fn open(disk: &MemoryIo) -> Opened {
    open_with(disk, options())
}

pub(crate) fn append(opened: &mut Opened, sequence: u64, payload: &[u8]) -> Appended {
    opened
        .appender
        .append(1, 2, sequence, &[payload], None)
        .unwrap()
}

/// One group, written and durable.
pub(crate) fn commit(opened: &mut Opened, payloads: &[&[u8]]) -> Vec<Appended> {
    opened.appender.begin();
    let appended = payloads.iter().map(|p| append(opened, 0, p)).collect();
    write_all(opened);
    appended
}

pub(crate) fn write_all(opened: &mut Opened) {
    while let Some(frame) = opened.appender.seal() {
        opened.writer.write(frame).unwrap();
    }
}

pub(crate) type Replayed = Vec<(Lsn, Position, Vec<u8>)>;

pub(crate) fn try_replay(opened: &Opened) -> polybus_journal::Result<Replayed> {
    let mut records = Vec::new();
    opened.recovery.replay(|record| {
        records.push((record.lsn, record.position, record.payload.to_vec()));
    })?;
    Ok(records)
}

pub(crate) fn replayed(opened: &Opened) -> Replayed {
    try_replay(opened).unwrap()
}

/// The number of the youngest segment with records, and its file.
pub(crate) fn youngest(opened: &Opened) -> String {
    let segments = opened.writer.segments();
    format!("{:010}.seg", segments.last().unwrap().number)
}

/// A folder that is gone after the test.
pub(crate) struct TempFolder(PathBuf);

static NEXT: AtomicU32 = AtomicU32::new(0);

impl TempFolder {
    pub(crate) fn new(name: &str) -> Self {
        let unique = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = format!("polybus-journal-{name}-{}-{unique}", std::process::id());
        let path = std::env::temp_dir().join(folder);
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    pub(crate) fn io(&self) -> Arc<dyn Io> {
        Arc::new(FileIo::new(&self.0).unwrap())
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
