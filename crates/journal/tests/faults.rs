//! Decay, full disks, failed syncs and recycled files.
#![allow(clippy::unwrap_used, clippy::panic)] // Also outside of test functions, for tests only.

mod support;

use std::sync::Arc;

use polybus_journal::{
    CrashMode, Durability, Error, Journal, Lsn, MemoryIo, Opened, Options, SegmentKind,
};
use support::{append, commit, open, open_with, options, replayed, try_replay, write_all};

fn try_open(disk: &MemoryIo) -> polybus_journal::Result<Opened> {
    let opened = Journal::open(Arc::new(disk.clone()), options())?;
    try_replay(&opened)?;
    opened.recovery.accept()?;
    Ok(opened)
}

/// A folder with everything in it: cold and journal segments, a snapshot.
fn full_disk(clean: bool) -> (MemoryIo, u64) {
    let disk = MemoryIo::new();
    let mut opened = open(&disk);
    let mut cold = opened.writer.cold_writer().unwrap();
    cold.append(1, 2, 3, &[b"cold"]).unwrap();
    cold.finish().unwrap();
    for n in 0..5_u8 {
        commit(&mut opened, &[&[n; 300], b"second"]);
    }
    opened
        .writer
        .write_snapshot(Lsn(4), |to| to.write_all(b"the state"))
        .unwrap();
    match clean {
        true => opened.writer.close().unwrap(),
        false => {
            let mark = opened.appender.seal_mark();
            assert_eq!(mark.records(), 0);
            opened.writer.write(mark).unwrap();
        }
    }
    (disk, 10)
}

/// Flips one bit in every byte of every file (in padding: every 97th).
fn flip_everywhere(clean: bool) {
    let (disk, last) = full_disk(clean);
    let names: Vec<String> = polybus_journal::Io::list(&disk).unwrap();
    assert_eq!(names.len(), 4, "{names:?}");
    let mut seen = 0;
    let mut harmless = 0;
    for name in &names {
        let bytes = disk.contents(name).unwrap();
        // A block's bytes behind its last that is not zero are padding.
        let is_padding = |at: usize| {
            let end = (at / 4096 * 4096 + 4096).min(bytes.len());
            bytes[at..end].iter().all(|byte| *byte == 0)
        };
        let mut at = 0;
        while at < bytes.len() {
            let copy = disk.fork();
            copy.flip_bit(name, at as u64, (at % 8) as u8).unwrap();
            let before = copy.contents("MANIFEST").unwrap();
            match try_open(&copy) {
                Err(Error::Corrupt { .. } | Error::NewerFormat { .. }) => {
                    seen += 1;
                    assert_eq!(copy.contents("MANIFEST").unwrap(), before, "evidence");
                }
                Err(error) => panic!("{name} at {at}: {error}"),
                Ok(opened) => {
                    harmless += 1;
                    assert_eq!(opened.recovery.last_lsn, Lsn(last), "{name} at {at}");
                    let records = replayed(&opened);
                    assert_eq!(records.len() as u64, last + 1, "{name} at {at}");
                    let padding = is_padding(at);
                    let mark = !clean && at as u64 >= 6 * 4096;
                    assert!(padding || mark, "{name} at {at} went unseen");
                }
            }
            at += if is_padding(at) { 97 } else { 1 };
        }
    }
    assert!(
        seen > 2000 && harmless > 50,
        "{seen} seen, {harmless} harmless"
    );
}

#[test]
fn decay_after_a_clean_close_is_seen_everywhere() {
    flip_everywhere(true);
}

#[test]
fn decay_after_a_crash_is_seen_before_the_last_mark() {
    flip_everywhere(false);
}

#[test]
fn decay_under_acknowledged_frames_is_not_taken_for_a_torn_tail() {
    let disk = MemoryIo::new();
    let mut opened = open(&disk);
    let first = commit(&mut opened, &[b"first"])[0];
    commit(&mut opened, &[b"second"]);
    commit(&mut opened, &[b"third"]);
    let offset = u64::from(first.position.offset);
    disk.flip_bit("0000000001.seg", offset, 0).unwrap();
    let read = opened.reader.read(first.position, 5).unwrap_err();
    assert!(read.is_corrupt());
    drop(opened);
    let before = disk.contents("MANIFEST").unwrap();
    let Err(Error::Corrupt { file, offset, what }) = try_open(&disk).map(drop) else {
        panic!("it must refuse");
    };
    assert_eq!((file.as_str(), offset), ("0000000001.seg", 4096), "{what}");
    assert_eq!(disk.contents("MANIFEST").unwrap(), before, "evidence");
}

/// No later frame tells, but the manifest and the snapshot do.
#[test]
fn a_tail_that_is_known_to_be_durable_is_never_cut() {
    let disk = MemoryIo::new();
    let mut opened = open(&disk);
    commit(&mut opened, &[b"first"]);
    commit(&mut opened, &[b"second"]);
    opened.writer.write_snapshot(Lsn(1), |_| Ok(())).unwrap();
    let mut wiped = disk.contents("0000000001.seg").unwrap();
    wiped[8192..].fill(0);
    disk.replace("0000000001.seg", wiped);
    drop(opened);
    let error = try_open(&disk).map(drop).unwrap_err();
    assert!(
        matches!(error, Error::Corrupt { offset: 8192, .. }),
        "{error}"
    );
    assert!(
        error.to_string().contains("record 2 was durable"),
        "{error}"
    );
}

#[test]
fn missing_files_are_seen() {
    let (disk, _) = full_disk(true);
    for name in ["MANIFEST", "SNAPSHOT", "0000000001.seg", "0000000002.seg"] {
        let copy = disk.fork();
        polybus_journal::Io::remove(&copy, name).unwrap();
        let error = try_open(&copy).map(drop).unwrap_err();
        assert!(error.is_corrupt(), "{name}: {error}");
    }
}

#[test]
fn a_full_disk_poisons_the_writer_and_loses_nothing() {
    let disk = MemoryIo::new();
    let mut opened = open(&disk);
    let mut acknowledged = 0;
    disk.set_capacity(Some(100_000));
    let error = loop {
        opened.appender.begin();
        append(&mut opened, 0, &[1; 5000]);
        let frame = opened.appender.seal().unwrap();
        match opened.writer.write(frame) {
            Ok(written) => acknowledged = written.durable_lsn.0,
            Err(error) => break error,
        }
    };
    assert!(error.is_no_space(), "{error}");
    assert!(acknowledged > 5);
    let refused = opened.appender.append(1, 2, 3, &[b"x"], None);
    assert!(matches!(refused, Err(Error::Poisoned { .. })));
    assert!(opened.writer.sync().is_err());
    assert_eq!(opened.writer.durable_lsn(), Lsn(acknowledged));
    drop(opened);
    disk.crash(CrashMode::LoseUnsynced, 0);
    disk.set_capacity(None);
    assert!(open(&disk).recovery.last_lsn >= Lsn(acknowledged));
}

#[test]
fn a_full_disk_can_be_drained_by_releases() {
    let disk = MemoryIo::new();
    let mut opened = open(&disk);
    for n in 0..40_u8 {
        commit(&mut opened, &[&[n; 8000]]);
    }
    assert!(opened.writer.prepare_spare().unwrap());
    let used = (1 << 40) - opened.writer.free_bytes().unwrap();
    disk.set_capacity(Some(used));
    assert_eq!(opened.writer.free_bytes().unwrap(), 0);
    let snapshot = opened
        .writer
        .write_snapshot(Lsn(5), |to| to.write_all(&[0; 100_000]));
    assert!(snapshot.unwrap_err().is_no_space());
    let mut cold = opened.writer.cold_writer();
    assert!(cold.as_mut().is_err_and(|error| error.is_no_space()));
    opened.writer.health().unwrap();
    // The spare file makes room for the manifest.
    let oldest = opened.writer.segments()[0].number;
    opened.writer.release(oldest).unwrap();
    opened.writer.health().unwrap();
    drop(opened);
    disk.set_capacity(None);
    let opened = open(&disk);
    assert_eq!(opened.recovery.last_lsn, Lsn(40));
    assert!(opened.writer.segments().iter().all(|s| s.number != oldest));
}

#[test]
fn after_a_failed_sync_nothing_is_durable_any_more() {
    for durability in [Durability::Fsync, Durability::Interval] {
        let disk = MemoryIo::new();
        let interval = Options {
            durability,
            ..options()
        };
        let mut opened = open_with(&disk, interval.clone());
        commit(&mut opened, &[b"kept"]);
        opened.writer.sync().unwrap();
        opened.appender.begin();
        append(&mut opened, 0, b"lost");
        let next = opened.appender.seal().unwrap();
        opened.appender.begin();
        append(&mut opened, 0, b"later");
        let later = opened.appender.seal().unwrap();
        disk.fail_sync(0);
        let failed = opened
            .writer
            .write(next)
            .and_then(|_| opened.writer.sync().map(drop));
        assert!(failed.is_err());
        // The disk now says that all is well, and must not be believed.
        assert!(matches!(
            opened.writer.write(later),
            Err(Error::Poisoned { .. })
        ));
        assert!(opened.writer.sync().is_err());
        assert_eq!(opened.writer.durable_lsn(), Lsn(1));
        drop(opened);
        // The cache still shows the lost frame; recovery reads past it.
        disk.crash(CrashMode::Process, 0);
        let opened = open_with(&disk, interval);
        assert_eq!(opened.recovery.last_lsn, Lsn(1));
    }
}

#[test]
fn recycled_segments_never_bring_old_frames_back() {
    let disk = MemoryIo::new();
    let mut opened = open(&disk);
    for round in 0..6_u8 {
        // Full frames of the same shape each time, so that old ones lie where new ones are due.
        for n in 0..16_u8 {
            commit(&mut opened, &[&[round * 16 + n; 3900]]);
        }
        let complete: Vec<u32> = opened
            .writer
            .segments()
            .iter()
            .filter(|segment| segment.complete)
            .map(|segment| segment.number)
            .collect();
        for number in complete {
            opened.writer.release(number).unwrap();
        }
    }
    let last = opened.appender.next_lsn().0 - 1;
    let records = opened.writer.segments().last().unwrap().first_lsn.0;
    drop(opened);
    let names = polybus_journal::Io::list(&disk).unwrap();
    assert!(
        names.iter().any(|name| name.ends_with(".free")),
        "{names:?}"
    );
    let mut opened = open(&disk);
    assert_eq!(opened.recovery.last_lsn, Lsn(last));
    let replayed_first = replayed(&opened)[0].0.0;
    assert_eq!(replayed_first, records);
    // A new segment in a recycled file, torn in its first frame: nothing old shows.
    commit(&mut opened, &[b"in a recycled file"]);
    drop(opened);
    assert_eq!(open(&disk).recovery.last_lsn, Lsn(last + 1));
}

#[test]
fn a_released_segment_cannot_be_read_and_its_number_is_not_used_again() {
    let disk = MemoryIo::new();
    let mut opened = open(&disk);
    let first = commit(&mut opened, &[&[1; 500]])[0];
    for n in 0..60_u8 {
        commit(&mut opened, &[&[n; 3000]]);
    }
    let segments = opened.writer.segments();
    assert!(matches!(
        opened.writer.release(segments[1].number),
        Err(Error::InUse { .. })
    ));
    let current = segments.last().unwrap().number;
    assert!(matches!(
        opened.writer.release(current),
        Err(Error::InUse { .. })
    ));
    opened.writer.release(segments[0].number).unwrap();
    let gone = opened.reader.read(first.position, 500);
    assert!(matches!(gone, Err(Error::Released { segment: 1 })));
    assert!(matches!(
        opened.writer.release(segments[0].number),
        Err(Error::Released { .. })
    ));
    for n in 0..60_u8 {
        commit(&mut opened, &[&[n; 3000]]);
    }
    let numbers: Vec<u32> = opened.writer.segments().iter().map(|s| s.number).collect();
    assert!(!numbers.contains(&segments[0].number));
    assert!(opened.reader.read(first.position, 500).is_err());
}

#[test]
fn all_segments_released_and_the_numbers_go_on() {
    let disk = MemoryIo::new();
    let mut opened = open(&disk);
    for n in 0..30_u8 {
        commit(&mut opened, &[&[n; 3000]]);
    }
    opened.writer.close().unwrap();
    drop(opened);
    let opened = open(&disk);
    for segment in opened.writer.segments() {
        opened.writer.release(segment.number).unwrap();
    }
    drop(opened);
    let opened = open(&disk);
    assert_eq!(opened.recovery.last_lsn, Lsn(30));
    assert!(replayed(&opened).is_empty());
}

#[test]
fn cold_segments_hold_what_was_copied() {
    let disk = MemoryIo::new();
    let mut opened = open(&disk);
    for n in 0..30_u8 {
        commit(&mut opened, &[&[n; 3000]]);
    }
    let oldest = opened.writer.segments()[0];
    let mut scan = opened.reader.scan(oldest.number).unwrap();
    let mut cold = opened.writer.cold_writer().unwrap();
    let mut moved = Vec::new();
    while let Some(record) = scan.next().unwrap() {
        let position = cold
            .append(record.kind, record.entity, record.lsn.0, &[record.payload])
            .unwrap();
        moved.push((position, record.payload.to_vec()));
    }
    assert!(cold.bytes() > 3000);
    let abandoned = opened.writer.cold_writer().unwrap();
    drop(abandoned);
    let info = cold.finish_and_release(&[oldest.number]).unwrap();
    assert_eq!(info.kind, SegmentKind::Cold);
    disk.crash(CrashMode::LoseUnsynced, 0);
    let opened = open(&disk);
    for (position, payload) in &moved {
        let read = opened.reader.read(*position, payload.len() as u32).unwrap();
        assert_eq!(read, payload);
    }
    let mut cold_records = Vec::new();
    let mut journal = 0;
    opened
        .recovery
        .replay(|record| match record.segment_kind {
            SegmentKind::Cold => {
                assert_eq!((record.lsn, journal), (Lsn::NONE, 0), "cold comes first");
                cold_records.push((record.position, record.payload.to_vec()));
            }
            SegmentKind::Journal => journal += 1,
        })
        .unwrap();
    assert_eq!(cold_records, moved);
    assert_eq!(journal + moved.len(), 30);
    let mut after = 0;
    opened
        .recovery
        .replay_after(Lsn(25), |record| {
            after += 1;
            assert_eq!(record.lsn, Lsn(25 + after));
        })
        .unwrap();
    assert_eq!(after, 5);
    opened.writer.release(info.number).unwrap();
    assert!(opened.reader.read(moved[0].0, 3000).is_err());
}

#[test]
fn a_snapshot_is_the_old_or_the_new_one() {
    for writes in 0..6 {
        for seed in 0..10 {
            let disk = MemoryIo::new();
            let mut opened = open(&disk);
            commit(&mut opened, &[b"a", b"b"]);
            let early = opened.writer.write_snapshot(Lsn(3), |_| Ok(()));
            assert!(matches!(early, Err(Error::NotDurable { .. })));
            let old = opened
                .writer
                .write_snapshot(Lsn(1), |to| to.write_all(&[1; 700_000]));
            old.unwrap();
            disk.lose_power(writes);
            let new = opened.writer.write_snapshot(Lsn(2), |to| {
                (0..700).try_for_each(|_| to.write_all(&[2; 1000]))
            });
            disk.crash(CrashMode::Tear, seed);
            let snapshot = open(&disk).recovery.snapshot.unwrap();
            assert!(new.is_err() || snapshot.lsn == Lsn(2));
            assert_eq!(snapshot.bytes, vec![snapshot.lsn.0 as u8; 700_000]);
        }
    }
}

/// A snapshot may not hold what a power cut can still take: it syncs first.
#[test]
fn a_snapshot_makes_its_records_durable() {
    for durability in [Durability::Interval, Durability::None] {
        let disk = MemoryIo::new();
        let lazy = Options {
            durability,
            ..options()
        };
        let mut opened = open_with(&disk, lazy.clone());
        commit(&mut opened, &[b"a"]);
        opened.writer.write_snapshot(Lsn(1), |_| Ok(())).unwrap();
        commit(&mut opened, &[b"b"]);
        disk.crash(CrashMode::LoseUnsynced, 0);
        let opened = open_with(&disk, lazy);
        assert_eq!(opened.recovery.last_lsn, Lsn(1));
        assert_eq!(opened.recovery.snapshot.unwrap().lsn, Lsn(1));
    }
}

#[test]
fn a_failing_snapshot_leaves_the_old_one() {
    let disk = MemoryIo::new();
    let mut opened = open(&disk);
    commit(&mut opened, &[b"a"]);
    let write = |to: &mut dyn std::io::Write| to.write_all(b"old");
    opened.writer.write_snapshot(Lsn(1), write).unwrap();
    let failed = opened.writer.write_snapshot(Lsn(1), |to| {
        to.write_all(b"half")?;
        Err(std::io::Error::other("no more"))
    });
    assert!(failed.is_err());
    opened.writer.health().unwrap();
    drop(opened);
    assert_eq!(open(&disk).recovery.snapshot.unwrap().bytes, &b"old"[..]);
}

#[test]
fn writers_in_several_threads_agree() {
    let disk = MemoryIo::new();
    let opened = open(&disk);
    let appender = std::sync::Mutex::new(opened.appender);
    let total = 2000;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut durable = Lsn(0);
                loop {
                    let frame = {
                        let mut appender = appender.lock().unwrap();
                        if appender.next_lsn().0 > total {
                            return;
                        }
                        appender.begin();
                        appender.append(1, 2, 3, &[&[7; 200]], None).unwrap();
                        appender.seal().unwrap()
                    };
                    let written = opened.writer.write(frame).unwrap();
                    assert!(written.durable_lsn >= durable);
                    durable = written.durable_lsn;
                }
            });
        }
    });
    assert_eq!(opened.writer.durable_lsn(), Lsn(total));
    disk.mark_slow_writes(Some(2));
    let mut again = Opened {
        appender: appender.into_inner().unwrap(),
        ..opened
    };
    commit(&mut again, &[b"a"]);
    commit(&mut again, &[b"b"]);
    write_all(&mut again);
    assert!(disk.slow_writes() >= 1 && disk.syncs() > total);
    drop(again);
    disk.crash(CrashMode::LoseUnsynced, 0);
    assert_eq!(replayed(&open(&disk)).len() as u64, total + 2);
}

/// A spare file of one run must not be taken for a segment of the next.
#[test]
fn spare_files_and_segments_never_share_a_name() {
    let disk = MemoryIo::new();
    let mut seen = std::collections::BTreeSet::new();
    for round in 0..6_u8 {
        let mut opened = open(&disk);
        while opened.writer.prepare_spare().unwrap() {}
        for n in 0..40_u8 {
            commit(&mut opened, &[&[round ^ n; 3900]]);
        }
        let segments = opened.writer.segments();
        for segment in &segments[..segments.len() - 1] {
            assert!(seen.insert(segment.number), "{} again", segment.number);
            opened.writer.release(segment.number).unwrap();
        }
    }
    assert_eq!(open(&disk).recovery.last_lsn, Lsn(240));
}

#[test]
fn anything_in_the_files_is_refused_or_read_right() {
    let (disk, _) = full_disk(false);
    let whole = replayed(&open(&disk.fork()));
    let names: Vec<String> = polybus_journal::Io::list(&disk).unwrap();
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % below
    };
    for _ in 0..1500 {
        let copy = disk.fork();
        let name = &names[random(names.len())];
        let mut bytes = copy.contents(name).unwrap();
        let (from, to) = (random(bytes.len()), random(bytes.len()));
        match random(4) {
            0 => bytes.truncate(from),
            1 => bytes[from.min(to)..from.max(to)].fill(random(256) as u8),
            2 => bytes.copy_within(from.min(to)..from.max(to), 0),
            _ => bytes.rotate_left(from / 4096 * 4096),
        }
        copy.replace(name, bytes);
        if let Ok(opened) = try_open(&copy) {
            let records = replayed(&opened);
            assert!(whole.starts_with(&records), "{name}");
        }
    }
}
