//! Outlines: what a replay shows with them is what it shows without, whatever becomes of their files.

#![allow(clippy::unwrap_used)] // Also outside of test functions, for tests only.

mod support;

use std::sync::Arc;

use polybus_journal::{
    CrashMode, Error, Io, Journal, Lsn, MemoryIo, OpenMode, Opened, Replayed, SegmentKind,
};
use support::{append, open, options, write_all};

const VERSION: u32 = 1;
/// What the tests keep of a record of kind 1; of others nothing is of use.
const KEPT: usize = 8;

fn front(kind: u8, payload: &[u8]) -> Option<usize> {
    (kind == 1).then_some(KEPT.min(payload.len()))
}

fn payload(number: u64) -> Vec<u8> {
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(8 + (number as usize * 131) % 1500, number as u8);
    payload
}

/// A journal of some segments, all but the last covered by a snapshot, with a cold one.
fn filled(disk: &MemoryIo) -> Opened {
    let mut opened = open(disk);
    for number in 0..400 {
        opened.appender.begin();
        append(&mut opened, number, &payload(number));
        if number % 3 == 0 {
            let other = opened.appender.append(2, 0, 0, &[b"of no use"], None);
            other.unwrap();
        }
        if number % 5 == 0 {
            write_all(&mut opened);
        }
    }
    write_all(&mut opened);
    let lsn = opened.writer.durable_lsn();
    opened
        .writer
        .write_snapshot(lsn, |out| out.write_all(b"state"))
        .unwrap();
    let mut cold = opened.writer.cold_writer().unwrap();
    for number in 0..100 {
        cold.append(1, 2, number, &[&payload(number)]).unwrap();
    }
    cold.finish().unwrap();
    opened
}

/// Outlines all that can be; says which.
fn outline(opened: &Opened) -> Vec<u32> {
    let mut outlined = Vec::new();
    for segment in opened.writer.segments() {
        let write = |number| opened.writer.write_outline(number, VERSION, front, || true);
        if write(segment.number).unwrap() {
            outlined.push(segment.number);
        }
    }
    outlined
}

type Fronts = Vec<(Lsn, u64, u32, bool, Vec<u8>)>;

fn reopen(disk: &MemoryIo) -> Opened {
    Journal::open(Arc::new(disk.clone()), options()).unwrap()
}

/// What a replay shows of kind 1, cut to what is kept.
fn fronts(opened: &Opened, version: u32) -> (Replayed, Fronts) {
    let mut fronts = Vec::new();
    let replayed = opened.recovery.replay_fronts(version, |front| {
        if front.kind == 1 {
            let kept = front.bytes.get(..KEPT).unwrap_or(front.bytes).to_vec();
            let is_cold = front.segment_kind == SegmentKind::Cold;
            let place = front.position.to_u64();
            fronts.push((front.lsn, place, front.len, is_cold, kept));
        }
    });
    (replayed.unwrap(), fronts)
}

fn names(disk: &MemoryIo) -> Vec<String> {
    let mut names = disk.list().unwrap();
    names.retain(|name| name.contains("outline"));
    names.sort();
    names
}

/// A disk with outlines, whose journal is closed; what a replay without them shows.
fn disk_with_outlines() -> (MemoryIo, Fronts, usize) {
    let disk = MemoryIo::new();
    let opened = filled(&disk);
    drop(opened);
    disk.crash(CrashMode::LoseUnsynced, 0);
    let reopened = open(&disk);
    let (_, expected) = fronts(&reopened, VERSION);
    assert_eq!(expected.len(), 500);
    let outlined = outline(&reopened);
    assert!(outlined.len() > 3, "{outlined:?}");
    assert_eq!(names(&disk).len(), outlined.len());
    (disk, expected, outlined.len())
}

#[test]
fn a_replay_of_outlines_shows_the_same_and_reads_no_segment() {
    let (disk, expected, outlined) = disk_with_outlines();
    disk.crash(CrashMode::LoseUnsynced, 0);
    // Damage that no start looks for: it is found when the record is read.
    let first = expected.iter().find(|front| !front.3).unwrap();
    let position = polybus_journal::Position::from_u64(first.1);
    let file = format!("{:010}.seg", position.segment);
    let mut bytes = disk.contents(&file).unwrap();
    bytes[position.offset as usize + first.2 as usize - 1] ^= 1;
    disk.replace(&file, bytes);
    let opened = reopen(&disk);
    let (replayed, shown) = fronts(&opened, VERSION);
    assert_eq!(replayed.outlined, outlined);
    assert_eq!((replayed.whole, replayed.flaws.len()), (0, 0));
    assert_eq!(shown, expected);
    for (at, (_, place, len, _, kept)) in shown.iter().enumerate() {
        let position = polybus_journal::Position::from_u64(*place);
        match opened.reader.read(position, *len) {
            Ok(payload) => assert_eq!(&payload[..kept.len()], kept),
            Err(Error::Corrupt { file: found, .. }) => {
                assert_eq!(found, file);
                assert_eq!(shown[at].1, first.1);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn whatever_is_wrong_with_an_outline_the_segment_is_read_instead() {
    let (disk, expected, outlined) = disk_with_outlines();
    let name = names(&disk).remove(1);
    let sound = disk.contents(&name).unwrap();
    let mut wrong: Vec<Vec<u8>> = (0..sound.len())
        .step_by(37)
        .map(|at| {
            let mut bytes = sound.clone();
            bytes[at] ^= 1 << (at % 8);
            bytes
        })
        .collect();
    let cuts = (0..sound.len()).step_by(53);
    wrong.extend(cuts.map(|len| sound[..len].to_vec()));
    let other = names(&disk).remove(0);
    wrong.push(disk.contents(&other).unwrap());
    for bytes in wrong {
        disk.replace(&name, bytes);
        let opened = reopen(&disk);
        let (replayed, shown) = fronts(&opened, VERSION);
        assert_eq!((replayed.outlined, replayed.whole), (outlined - 1, 1));
        assert_eq!(replayed.flaws.len(), 1);
        assert_eq!(replayed.flaws[0].file, name);
        assert!(shown == expected, "{:?}", replayed.flaws);
    }
    // Of no use, it is written again.
    let opened = reopen(&disk);
    fronts(&opened, VERSION);
    opened.recovery.accept().unwrap();
    let missing = opened.writer.segments();
    let missing: Vec<_> = missing.iter().filter(|one| !one.outlined).collect();
    assert_eq!(missing.len(), 1);
    let write = opened
        .writer
        .write_outline(missing[0].number, VERSION, front, || true);
    assert!(write.unwrap());
    assert_eq!(disk.contents(&name).unwrap(), sound);
}

#[test]
fn an_outline_of_another_version_is_of_no_use() {
    let (disk, expected, outlined) = disk_with_outlines();
    let (replayed, shown) = fronts(&reopen(&disk), VERSION + 1);
    assert_eq!((replayed.outlined, replayed.whole), (0, outlined));
    assert_eq!(shown, expected);
}

#[test]
fn what_no_snapshot_covers_gets_no_outline_and_needs_none() {
    let disk = MemoryIo::new();
    let mut opened = open(&disk);
    for number in 0..200 {
        opened.appender.begin();
        append(&mut opened, number, &payload(number));
        write_all(&mut opened);
    }
    assert!(opened.writer.segments().len() > 2);
    assert_eq!(outline(&opened), Vec::<u32>::new());
    assert_eq!(names(&disk), Vec::<String>::new());
}

#[test]
fn an_outline_goes_with_its_segment() {
    let (disk, ..) = disk_with_outlines();
    let opened = open(&disk);
    let before = names(&disk);
    let oldest = opened.writer.segments()[0].number;
    opened.writer.release(oldest).unwrap();
    assert_eq!(names(&disk), before[1..]);
    // As an older program would release it: it knows no outline.
    let stays = disk.contents(&before[1]).unwrap();
    opened.writer.release(oldest + 1).unwrap();
    disk.replace(&before[1], stays);
    disk.replace("0000000003.outline.tmp", vec![1, 2, 3]);
    drop(opened);
    let opened = open(&disk);
    assert_eq!(names(&disk), before[2..]);
    drop(opened);
}

#[test]
fn a_long_outline_is_void_and_not_tried_again() {
    let disk = MemoryIo::new();
    let opened = filled(&disk);
    drop(opened);
    let opened = open(&disk);
    let all = |_: u8, payload: &[u8]| Some(payload.len());
    let number = opened.writer.segments()[0].number;
    assert!(
        opened
            .writer
            .write_outline(number, VERSION, all, || true)
            .unwrap()
    );
    let name = names(&disk).remove(0);
    assert_eq!(disk.contents(&name).unwrap().len(), 64 + 12 + 8);
    drop(opened);
    let opened = reopen(&disk);
    let (replayed, shown) = fronts(&opened, VERSION);
    assert_eq!((replayed.outlined, replayed.flaws.len()), (0, 0));
    assert_eq!(shown.len(), 500);
    assert!(opened.writer.segments()[0].outlined);
}

#[test]
fn it_may_be_given_up_and_a_full_disk_leaves_nothing() {
    let disk = MemoryIo::new();
    let mut opened = open(&disk);
    opened.appender.begin();
    for number in 0..10_000 {
        append(&mut opened, number, b"short");
    }
    write_all(&mut opened);
    let lsn = opened.writer.durable_lsn();
    opened.writer.write_snapshot(lsn, |_| Ok(())).unwrap();
    drop(opened);
    let opened = open(&disk);
    let number = opened.writer.segments()[0].number;
    let write = |go_on| {
        opened
            .writer
            .write_outline(number, VERSION, front, move || go_on)
    };
    assert!(!write(false).unwrap());
    assert_eq!(names(&disk), Vec::<String>::new());
    disk.set_capacity(Some(0));
    assert!(write(true).unwrap_err().is_no_space());
    assert_eq!(names(&disk), Vec::<String>::new());
    disk.set_capacity(None);
    assert!(write(true).unwrap());
}

#[test]
fn a_crash_while_it_is_written_leaves_a_segment_without_one_or_with_a_sound_one() {
    for seed in 0..60 {
        let disk = MemoryIo::new();
        drop(filled(&disk));
        let opened = open(&disk);
        let (_, expected) = fronts(&opened, VERSION);
        let mut left = seed % 7;
        for segment in opened.writer.segments() {
            if left == 0 {
                // The write got as far as the rename, or part of the draft.
                let whole = disk.contents(&names(&disk).pop().unwrap_or_default());
                let torn = whole.unwrap_or_default();
                let torn = torn.get(..torn.len() * seed / 60).unwrap_or_default();
                let draft = format!("{:010}.outline.tmp", segment.number);
                let file = disk.open(&draft, OpenMode::Create).unwrap();
                let mut parts = [std::io::IoSlice::new(torn)];
                file.write_at(&mut parts, 0, false).unwrap();
                break;
            }
            left -= 1;
            opened
                .writer
                .write_outline(segment.number, VERSION, front, || true)
                .unwrap();
        }
        drop(opened);
        disk.crash(CrashMode::Tear, seed as u64);
        let opened = reopen(&disk);
        let (replayed, shown) = fronts(&opened, VERSION);
        assert_eq!(replayed.flaws, Vec::new(), "seed {seed}");
        assert!(shown == expected, "seed {seed}");
        opened.recovery.accept().unwrap();
        assert!(!names(&disk).iter().any(|name| name.ends_with("tmp")));
    }
}
