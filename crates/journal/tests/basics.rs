//! The everyday path: append, seal, write, read back, reopen; on the simulated and the real disk.
#![allow(clippy::unwrap_used, clippy::panic)] // Also outside of test functions, for tests only.

mod support;

use bytes::Bytes;
use polybus_journal::{
    Durability, Error, Io as _, Journal, Lsn, MemoryIo, OpenMode, Position, SegmentKind,
};
use support::{TempFolder, append, commit, open, open_with, options, replayed, write_all};

#[test]
fn records_come_back_at_once_and_after_a_reopen() {
    let disk = MemoryIo::new();
    let mut opened = open(&disk);
    let mut expected = Vec::new();
    for n in 0..100_u64 {
        opened.appender.begin();
        let payload = vec![n as u8; n as usize * 37];
        let appended = append(&mut opened, n, &payload);
        assert_eq!(appended.lsn, Lsn(n + 1));
        expected.push((appended.lsn, appended.position, payload));
    }
    write_all(&mut opened);
    assert_eq!(opened.writer.durable_lsn(), Lsn(100));
    for (_, position, payload) in &expected {
        let read = opened.reader.read(*position, payload.len() as u32).unwrap();
        assert_eq!(read, payload);
    }
    drop(opened);

    let opened = open(&disk);
    assert_eq!(opened.recovery.last_lsn, Lsn(100));
    assert_eq!(opened.appender.next_lsn(), Lsn(101));
    assert_eq!(replayed(&opened), expected);
    let wanted: Vec<_> = expected
        .iter()
        .rev()
        .map(|(_, position, payload)| (*position, payload.len() as u32))
        .collect();
    let read = opened.reader.read_many(&wanted).unwrap();
    for (read, (_, _, payload)) in read.iter().zip(expected.iter().rev()) {
        assert_eq!(read, payload);
    }
}

#[test]
fn parts_and_shared_parts_are_one_payload() {
    let disk = MemoryIo::new();
    let mut opened = open(&disk);
    let large = Bytes::from(vec![7; 5000]);
    let small = Bytes::from_static(b"tail");
    opened.appender.begin();
    let mut wanted = Vec::new();
    let mut expected: Vec<Vec<u8>> = Vec::new();
    for shared in [Some(large.clone()), Some(small), None, Some(large), None] {
        for parts in [&[][..], &[&b"a"[..]], &[b"ab", b"cd"], &[b"x", b"", b"yz"]] {
            let mut whole = parts.concat();
            whole.extend_from_slice(shared.as_deref().unwrap_or_default());
            let appended = opened
                .appender
                .append(1, 2, 3, parts, shared.clone())
                .unwrap();
            assert_eq!(appended.len as usize, whole.len());
            wanted.push((appended.position, appended.len));
            expected.push(whole);
        }
    }
    write_all(&mut opened);
    assert_eq!(opened.reader.read_many(&wanted).unwrap(), expected);
    drop(opened);
    let payloads: Vec<_> = replayed(&open(&disk)).into_iter().map(|r| r.2).collect();
    assert_eq!(payloads, expected);
}

#[test]
fn groups_roll_over_segments_and_stay_whole() {
    let disk = MemoryIo::new();
    let mut opened = open(&disk);
    let mut frames = Vec::new();
    for n in 0..200 {
        opened.appender.begin();
        for part in 0..3 {
            append(&mut opened, n * 3 + part, &[1; 700]);
        }
        assert!(opened.appender.pending() > 0);
    }
    while let Some(frame) = opened.appender.seal() {
        assert_eq!(frame.records() % 3, 0, "a group was split");
        frames.push(frame);
    }
    assert_eq!(opened.appender.pending(), 0);
    for frame in frames {
        opened.writer.write(frame).unwrap();
    }
    let segments = opened.writer.segments();
    assert!(segments.len() > 3);
    for pair in segments.windows(2) {
        assert_eq!(pair[0].kind, SegmentKind::Journal);
        assert_eq!(pair[0].last_lsn.next(), pair[1].first_lsn);
        assert!(pair[0].complete);
    }
    let mut scanned = 0;
    for segment in &segments {
        let mut scan = opened.reader.scan(segment.number).unwrap();
        while let Some(record) = scan.next().unwrap() {
            scanned += 1;
            assert_eq!(record.lsn, Lsn(scanned));
            assert_eq!(record.position.segment, segment.number);
        }
    }
    assert_eq!(scanned, 600);
}

#[test]
fn a_segment_that_was_not_zeroed_is_left_for_one_that_is() {
    let disk = MemoryIo::new();
    let mut opened = open(&disk);
    let mut pieces = 0;
    let is_whole = opened.writer.prepare_spare_while(|| {
        pieces += 1;
        false
    });
    assert_eq!((is_whole.unwrap(), pieces), (false, 1), "given up");
    assert!(
        !disk
            .list()
            .unwrap()
            .iter()
            .any(|name| name.ends_with(".free"))
    );
    commit(&mut opened, &[b"in a file that grows"]);
    let grown = commit(&mut opened, &[b"still"])[0].position.segment;
    assert!(opened.writer.prepare_spare().unwrap());
    commit(&mut opened, &[b"where it ends is known only now"]);
    let zeroed = commit(&mut opened, &[b"in the next"])[0].position.segment;
    assert_ne!(grown, zeroed);
    assert!(opened.writer.prepare_spare().unwrap());
    commit(&mut opened, &[b"and it stays there"]);
    let last = commit(&mut opened, &[b"until it is full"])[0];
    assert_eq!(last.position.segment, zeroed);
    drop(opened);
    assert_eq!(replayed(&open(&disk)).len(), 6);
}

#[test]
fn a_real_folder_works_the_same() {
    let folder = TempFolder::new("basics");
    let mut opened = Journal::open(folder.io(), options()).unwrap();
    assert!(matches!(
        Journal::open(folder.io(), options()),
        Err(Error::Locked { .. })
    ));
    opened.recovery.accept().unwrap();
    assert!(opened.writer.prepare_spare().unwrap());
    for n in 0..300_u64 {
        opened.appender.begin();
        append(&mut opened, n, &vec![n as u8; 1000]);
        let shared = Bytes::from(vec![n as u8; 3000]);
        opened
            .appender
            .append(2, n, n, &[b"head"], Some(shared))
            .unwrap();
        if n % 7 == 0 {
            write_all(&mut opened);
        }
    }
    write_all(&mut opened);
    let expected_last = opened.appender.next_lsn().0 - 1;
    assert!(opened.writer.free_bytes().unwrap() > 0);
    opened
        .writer
        .write_snapshot(Lsn(10), |to| to.write_all(b"state"))
        .unwrap();
    drop(opened);
    let opened = Journal::open(folder.io(), options()).unwrap();
    assert_eq!(opened.recovery.last_lsn, Lsn(expected_last));
    let snapshot = opened.recovery.snapshot.clone().unwrap();
    assert_eq!(
        (snapshot.lsn, &snapshot.bytes[..]),
        (Lsn(10), &b"state"[..])
    );
    let records = replayed(&opened);
    assert_eq!(records.len() as u64, expected_last);
    for (_, position, payload) in records {
        let read = opened.reader.read(position, payload.len() as u32).unwrap();
        assert_eq!(read, payload);
    }
}

#[test]
fn an_interval_journal_is_durable_after_a_sync() {
    let disk = MemoryIo::new();
    let mut interval = options();
    interval.durability = Durability::Interval;
    let mut opened = open_with(&disk, interval);
    opened.appender.begin();
    append(&mut opened, 1, b"one");
    write_all(&mut opened);
    assert_eq!(opened.writer.durable_lsn(), Lsn(0));
    assert_eq!(opened.writer.written_lsn(), Lsn(1));
    assert_eq!(opened.writer.sync().unwrap(), Lsn(1));
    assert_eq!(opened.writer.durable_lsn(), Lsn(1));

    let mut none = options();
    none.durability = Durability::None;
    let mut opened = open_with(&MemoryIo::new(), none);
    opened.appender.begin();
    append(&mut opened, 1, b"one");
    write_all(&mut opened);
    assert_eq!(opened.writer.durable_lsn(), Lsn(1));
}

#[test]
fn positions_that_name_no_record_are_refused() {
    let disk = MemoryIo::new();
    let mut opened = open(&disk);
    opened.appender.begin();
    let appended = append(&mut opened, 1, b"hello");
    write_all(&mut opened);
    let Position { segment, offset } = appended.position;
    let read = |segment, offset, len| opened.reader.read(Position { segment, offset }, len);
    assert!(read(segment, offset, 5).is_ok());
    assert!(read(segment, offset, 4).unwrap_err().is_corrupt());
    assert!(read(segment, offset + 1, 5).unwrap_err().is_corrupt());
    assert!(matches!(read(0, 0, 5), Err(Error::NoSuchRecord { .. })));
    assert!(matches!(read(99, 9999, 5), Err(Error::NoSuchRecord { .. })));
    assert_eq!(
        Position::from_u64(appended.position.to_u64()),
        appended.position
    );
}

#[test]
fn a_read_waits_for_its_record_and_ends_with_the_appender() {
    let disk = MemoryIo::new();
    let mut opened = open(&disk);
    opened.appender.begin();
    let appended = append(&mut opened, 1, b"soon");
    let reader = opened.reader.clone();
    let waiting = std::thread::spawn(move || reader.read(appended.position, 4));
    std::thread::sleep(std::time::Duration::from_millis(20));
    write_all(&mut opened);
    assert_eq!(waiting.join().unwrap().unwrap(), &b"soon"[..]);

    opened.appender.begin();
    let never = append(&mut opened, 1, b"never");
    let reader = opened.reader.clone();
    let waiting = std::thread::spawn(move || reader.read(never.position, 5));
    drop(opened.appender);
    assert!(matches!(
        waiting.join().unwrap(),
        Err(Error::NotWritten { .. })
    ));
}

#[test]
fn what_a_segment_does_not_use_is_given_back_at_the_next_open() {
    let folder = TempFolder::new("room");
    for n in 0..20_u64 {
        let mut opened = Journal::open(folder.io(), options()).unwrap();
        let found = replayed(&opened);
        assert_eq!(found.len() as u64, n, "all that was written is there");
        opened.recovery.accept().unwrap();
        commit(&mut opened, &[&n.to_le_bytes()]);
    }
    let io = folder.io();
    let names = io.list().unwrap();
    let segments = names.iter().filter(|name| name.ends_with(".seg"));
    let lens = segments.map(|name| io.open(name, OpenMode::Existing).unwrap().len().unwrap());
    let taken: u64 = lens.sum();
    // A header and a frame each; the last one is whole.
    let most = 20 * 8192 + u64::from(options().segment_bytes);
    assert!(taken <= most, "20 opens took {taken} bytes");
}
