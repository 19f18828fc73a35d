//! A folder that version 1 of the format wrote, kept as files: it must open for ever, and as long
//! as version 1 is written, exactly these bytes must come out.
#![allow(clippy::unwrap_used)] // Also outside of test functions, for tests only.

mod support;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use polybus_journal::{Io, Journal, Lsn, MemoryIo, SegmentKind};
use support::{open, options, write_all};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1")
}

/// A cold segment, two journal segments, a large shared part, a mark and a snapshot.
fn written_now() -> MemoryIo {
    let disk = MemoryIo::new();
    let mut opened = open(&disk);
    let mut cold = opened.writer.cold_writer().unwrap();
    cold.append(9, 8, 7, &[b"cold ", b"record"]).unwrap();
    cold.finish().unwrap();
    for n in 1..=3_u8 {
        opened.appender.begin();
        let shared = Bytes::from(vec![n; 2100]);
        let (entity, sequence) = (u64::from(n), u64::MAX - u64::from(n));
        opened
            .appender
            .append(n, entity, sequence, &[b"head"], Some(shared))
            .unwrap();
        opened.appender.append(n, entity, 0, &[], None).unwrap();
        write_all(&mut opened);
    }
    let mark = opened.appender.seal_mark();
    opened.writer.write(mark).unwrap();
    opened
        .writer
        .write_snapshot(Lsn(4), |to| to.write_all(b"state at 4"))
        .unwrap();
    drop(opened);
    let mut opened = open(&disk);
    opened.appender.begin();
    opened.appender.append(4, 4, 4, &[b"last"], None).unwrap();
    write_all(&mut opened);
    opened.writer.close().unwrap();
    disk
}

fn kept() -> MemoryIo {
    let disk = MemoryIo::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        disk.replace(&name, std::fs::read(entry.path()).unwrap());
    }
    disk
}

#[test]
fn version_1_opens() {
    let opened = Journal::open(Arc::new(kept()), options()).unwrap();
    assert_eq!(opened.recovery.last_lsn, Lsn(7));
    let snapshot = opened.recovery.snapshot.clone().unwrap();
    assert_eq!(snapshot.lsn, Lsn(4));
    assert_eq!(snapshot.bytes, &b"state at 4"[..]);
    let mut seen = Vec::new();
    opened
        .recovery
        .replay(|record| {
            let cold = record.segment_kind == SegmentKind::Cold;
            let ids = (record.kind, record.entity, record.sequence);
            seen.push((cold, record.lsn.0, ids, record.payload.to_vec()));
        })
        .unwrap();
    let mut expected = vec![(true, 0, (9, 8, 7), b"cold record".to_vec())];
    for n in 1..=3_u8 {
        let entity = u64::from(n);
        let mut payload = b"head".to_vec();
        payload.extend(vec![n; 2100]);
        expected.push((
            false,
            2 * entity - 1,
            (n, entity, u64::MAX - entity),
            payload,
        ));
        expected.push((false, 2 * entity, (n, entity, 0), Vec::new()));
    }
    expected.push((false, 7, (4, 4, 4), b"last".to_vec()));
    assert_eq!(seen, expected);
}

#[test]
fn version_1_is_still_written_the_same() {
    let (now, kept) = (written_now(), kept());
    assert_eq!(now.list().unwrap(), kept.list().unwrap());
    for name in now.list().unwrap() {
        let same = now.contents(&name).unwrap() == kept.contents(&name).unwrap();
        assert!(
            same,
            "{name} differs: a new format needs a new version and fixture"
        );
    }
}

/// Writes the fixture of a new version; change `folder` first, and keep the old one.
#[test]
#[ignore = "only for a new version of the format"]
fn write_the_fixture() {
    let disk = written_now();
    std::fs::create_dir_all(folder()).unwrap();
    for name in disk.list().unwrap() {
        std::fs::write(folder().join(&name), disk.contents(&name).unwrap()).unwrap();
    }
}
