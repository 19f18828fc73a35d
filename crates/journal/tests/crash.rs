//! Crashes: torn tails at every sector, frames written out of order, and a model check with
//! random work, faults and seeds. What was acknowledged is there; nothing is invented; a group is
//! whole or absent.
#![allow(clippy::unwrap_used, clippy::panic)] // Also outside of test functions, for tests only.

mod support;

use polybus_journal::{CrashMode, Durability, Journal, Lsn, MemoryIo, Options, SealedFrame};
use proptest::prelude::*;
use support::{append, commit, open, open_with, options, replayed, write_all, youngest};

/// Each of the last frame's sectors is zeroed in turn, then every one after a point is.
#[test]
fn a_torn_tail_is_cut_at_every_sector() {
    let disk = MemoryIo::new();
    let mut opened = open(&disk);
    commit(&mut opened, &[b"first", b"second"]);
    let tail = vec![9; 9000];
    let position = commit(&mut opened, &[&tail])[0].position;
    let file = youngest(&opened);
    drop(opened);
    let whole = disk.contents(&file).unwrap();
    let start = (position.offset as usize / 4096) * 4096;
    let used = position.offset as usize - start + tail.len();
    for sector in 0..used.div_ceil(512) {
        for rest in [false, true] {
            let from = start + sector * 512;
            let to = if rest { whole.len() } else { from + 512 };
            let mut torn = whole.clone();
            torn[from..to].fill(0);
            let copy = disk.fork();
            copy.replace(&file, torn);
            let mut opened = open(&copy);
            assert_eq!(opened.recovery.last_lsn, Lsn(2), "sector {sector}");
            assert_eq!(replayed(&opened).len(), 2);
            // The cut stays made: new records follow it, and the next recovery agrees.
            commit(&mut opened, &[b"third again"]);
            drop(opened);
            let records = replayed(&open(&copy));
            assert_eq!(records.last().unwrap().0, Lsn(3));
            assert_eq!(records.last().unwrap().2, b"third again");
        }
    }
}

#[test]
fn a_file_cut_short_is_a_torn_tail_too() {
    let disk = MemoryIo::new();
    let mut opened = open(&disk);
    commit(&mut opened, &[b"first"]);
    let position = commit(&mut opened, &[&[1; 6000]])[0].position;
    let file = youngest(&opened);
    drop(opened);
    let whole = disk.contents(&file).unwrap();
    let start = (position.offset as usize / 4096) * 4096;
    for len in (start..whole.len()).step_by(331) {
        let copy = disk.fork();
        copy.replace(&file, whole[..len].to_vec());
        assert_eq!(open(&copy).recovery.last_lsn, Lsn(1), "cut at {len}");
    }
}

fn frames(opened: &mut polybus_journal::Opened, count: u64) -> Vec<SealedFrame> {
    (0..count)
        .map(|n| {
            opened.appender.begin();
            append(opened, n, &[n as u8; 600]);
            opened.appender.seal().unwrap()
        })
        .collect()
}

#[test]
fn frames_that_overtake_others_do_not_count() {
    let disk = MemoryIo::new();
    let mut opened = open(&disk);
    commit(&mut opened, &[b"zero"]);
    let mut frames = frames(&mut opened, 3).into_iter();
    let (one, two, three) = (frames.next(), frames.next(), frames.next());
    opened.writer.write(three.unwrap()).unwrap();
    let written = opened.writer.write(two.unwrap()).unwrap();
    assert_eq!((written.last_lsn, written.durable_lsn), (Lsn(3), Lsn(1)));

    let crashed = disk.fork();
    let recovered = open(&crashed);
    assert_eq!(recovered.recovery.last_lsn, Lsn(1));
    let torn = recovered.recovery.torn.clone().unwrap();
    assert_eq!((torn.file.as_str(), torn.offset), ("0000000001.seg", 8192));
    assert_eq!(replayed(&recovered).len(), 1);

    opened.writer.write(one.unwrap()).unwrap();
    assert_eq!(opened.writer.durable_lsn(), Lsn(4));
    drop(opened);
    assert_eq!(open(&disk).recovery.last_lsn, Lsn(4));
}

/// One frame is missing anywhere, while all others (of three segments) are there.
#[test]
fn segments_that_overtake_others_do_not_count() {
    for missing in 0..40 {
        let disk = MemoryIo::new();
        let mut opened = open(&disk);
        let mut frames = frames(&mut opened, 40);
        let late = frames.remove(missing as usize);
        for frame in frames.into_iter().rev() {
            opened.writer.write(frame).unwrap();
        }
        assert_eq!(opened.writer.durable_lsn(), Lsn(missing));
        let crashed = disk.fork();
        let mut recovered = open(&crashed);
        assert_eq!(recovered.recovery.last_lsn, Lsn(missing));
        commit(&mut recovered, &[b"instead"]);
        drop(recovered);
        let records = replayed(&open(&crashed));
        assert_eq!(records.len() as u64, missing + 1);
        assert_eq!(records.last().unwrap().2, b"instead");
        opened.writer.write(late).unwrap();
        assert_eq!(opened.writer.durable_lsn(), Lsn(40));
        drop(opened);
        assert_eq!(replayed(&open(&disk)).len(), 40);
    }
}

#[test]
fn an_interval_journal_loses_only_what_was_not_synced() {
    for seed in 0..50 {
        let disk = MemoryIo::new();
        let interval = Options {
            durability: Durability::Interval,
            ..options()
        };
        let mut opened = open_with(&disk, interval.clone());
        for n in 0..20_u8 {
            commit(&mut opened, &[&[n; 3000]]);
            if n == 11 {
                opened.writer.sync().unwrap();
            }
        }
        assert_eq!(opened.writer.durable_lsn(), Lsn(12));
        disk.crash(CrashMode::Tear, seed);
        let recovered = open_with(&disk, interval);
        let last = recovered.recovery.last_lsn;
        assert!((12..=20).contains(&last.0), "seed {seed}: {last}");
        assert_eq!(replayed(&recovered).len() as u64, last.0);
    }
}

#[test]
fn a_crash_while_opening_is_harmless() {
    for writes in 0..12 {
        for seed in 0..8 {
            let disk = MemoryIo::new();
            let mut opened = open(&disk);
            for n in 0..30_u8 {
                commit(&mut opened, &[&[n; 3000]]);
            }
            drop(opened);
            disk.lose_power(writes);
            let first = Journal::open(std::sync::Arc::new(disk.clone()), options());
            if let Ok(mut opened) = first
                && opened.recovery.accept().is_ok()
            {
                opened.appender.begin();
                append(&mut opened, 0, b"never acknowledged");
                let _ = opened.writer.write(opened.appender.seal().unwrap());
            }
            disk.crash(CrashMode::Tear, seed);
            let recovered = open(&disk);
            assert!(recovered.recovery.last_lsn >= Lsn(30));
            assert!(replayed(&recovered).len() >= 30);
        }
    }
}

/// One step of the model check.
#[derive(Clone, Debug)]
enum Step {
    Group(Vec<u16>),
    /// Seals this many frames, and writes them rotated by that.
    Commit(usize, usize),
    Sync,
    Spare,
    Snapshot,
    ReleaseOldest,
    LosePower(u64),
    FailSync(u64),
    Crash(CrashMode, u64),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let mode = prop_oneof![
        Just(CrashMode::Process),
        Just(CrashMode::LoseUnsynced),
        Just(CrashMode::Tear)
    ];
    prop_oneof![
        12 => prop::collection::vec(0..6000_u16, 1..5).prop_map(Step::Group),
        10 => (1..5_usize, 0..4_usize).prop_map(|(n, by)| Step::Commit(n, by)),
        2 => Just(Step::Sync),
        1 => Just(Step::Spare),
        1 => Just(Step::Snapshot),
        2 => Just(Step::ReleaseOldest),
        1 => (0..6_u64).prop_map(Step::LosePower),
        1 => (0..6_u64).prop_map(Step::FailSync),
        3 => (mode, any::<u64>()).prop_map(|(mode, seed)| Step::Crash(mode, seed)),
        1 => Just(Step::Close),
    ]
}

/// What the journal must hold: everything that was appended since the last crash, by group.
struct Model {
    disk: MemoryIo,
    options: Options,
    opened: polybus_journal::Opened,
    /// Every record, by LSN from `first` on: its group and its bytes.
    records: Vec<(u64, Vec<u8>)>,
    first: u64,
    groups: u64,
    stable: u64,
    snapshot: u64,
}

fn payload(lsn: u64, len: u16) -> Vec<u8> {
    (0..u64::from(len)).map(|n| (lsn * 31 + n) as u8).collect()
}

impl Model {
    fn new(durability: Durability) -> Self {
        let disk = MemoryIo::new();
        let options = Options {
            durability,
            ..options()
        };
        Self {
            opened: open_with(&disk, options.clone()),
            disk,
            options,
            records: Vec::new(),
            first: 1,
            groups: 0,
            stable: 0,
            snapshot: 0,
        }
    }

    /// What must survive the power: in a journal that never syncs, only what a sync was for.
    fn note_durable(&mut self) {
        if self.options.durability != Durability::None {
            self.stable = self.stable.max(self.opened.writer.durable_lsn().0);
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Group(lens) => self.group(&lens),
            Step::Commit(count, by) => self.commit(count, by),
            Step::Sync => {
                if let Ok(lsn) = self.opened.writer.sync() {
                    self.stable = self.stable.max(lsn.0);
                }
            }
            Step::Spare => drop(self.opened.writer.prepare_spare()),
            Step::Snapshot => {
                let lsn = self.opened.writer.durable_lsn();
                let state = lsn.0.to_le_bytes();
                let result = self
                    .opened
                    .writer
                    .write_snapshot(lsn, |to| to.write_all(&state));
                if result.is_ok() {
                    self.stable = self.stable.max(lsn.0);
                    self.snapshot = self.snapshot.max(lsn.0);
                }
            }
            Step::ReleaseOldest => self.release_oldest(),
            Step::LosePower(after) => self.disk.lose_power(after),
            Step::FailSync(after) => self.disk.fail_sync(after),
            Step::Crash(mode, seed) => self.crash(mode, seed),
            Step::Close => {
                // Only what was written is closed over.
                let written = self.opened.writer.written_lsn();
                if self.opened.writer.close().is_ok() {
                    self.stable = self.stable.max(written.0);
                }
                self.note_durable();
                self.crash(CrashMode::Process, 0);
            }
        }
    }

    fn group(&mut self, lens: &[u16]) {
        self.opened.appender.begin();
        self.groups += 1;
        for len in lens {
            let lsn = self.opened.appender.next_lsn().0;
            let bytes = payload(lsn, *len);
            let (head, rest) = bytes.split_at(bytes.len() / 2);
            let rest = bytes::Bytes::copy_from_slice(rest);
            let appended = self.opened.appender.append(1, 2, lsn, &[head], Some(rest));
            match appended {
                Ok(appended) => {
                    assert_eq!(appended.lsn.0, lsn);
                    self.records.push((self.groups, bytes));
                }
                Err(_) => {
                    assert!(self.opened.writer.health().is_err());
                    return;
                }
            }
        }
    }

    fn commit(&mut self, count: usize, by: usize) {
        let mut frames = Vec::new();
        for _ in 0..count {
            frames.extend(self.opened.appender.seal());
        }
        let by = by % frames.len().max(1);
        frames.rotate_left(by);
        let mut failed = false;
        for frame in frames {
            let before = self.opened.writer.durable_lsn();
            match self.opened.writer.write(frame) {
                Ok(written) => {
                    assert!(!failed);
                    assert!(written.durable_lsn >= before);
                }
                Err(_) => {
                    failed = true;
                    assert_eq!(self.opened.writer.durable_lsn(), before);
                }
            }
        }
        self.note_durable();
    }

    fn release_oldest(&mut self) {
        let segments = self.opened.writer.segments();
        if let Some(oldest) = segments.first()
            && oldest.last_lsn.0 <= self.snapshot
            && self.opened.writer.release(oldest.number).is_ok()
        {
            let gone = (oldest.last_lsn.0 + 1).saturating_sub(self.first);
            self.records.drain(..gone as usize);
            self.first += gone;
        }
    }

    /// Crashes, recovers, and compares; then goes on from what was recovered.
    fn crash(&mut self, mode: CrashMode, seed: u64) {
        self.disk.crash(mode, seed);
        self.opened = open_with(&self.disk, self.options.clone());
        let last = self.opened.recovery.last_lsn.0;
        assert!(last >= self.stable, "{last} < {} was durable", self.stable);
        let snapshot = self.opened.recovery.snapshot.as_ref();
        let snapshot_lsn = snapshot.map_or(0, |snapshot| snapshot.lsn.0);
        assert!(snapshot_lsn >= self.snapshot && snapshot_lsn <= last);
        if let Some(snapshot) = snapshot {
            assert_eq!(snapshot.bytes[..], snapshot_lsn.to_le_bytes());
        }
        let replayed = replayed(&self.opened);
        // A release that did not return may still have happened.
        let first = replayed.first().map_or(last + 1, |record| record.0.0);
        assert!(first >= self.first || self.first > last);
        self.records.truncate((last + 1 - self.first) as usize);
        let skipped = (first - self.first) as usize;
        assert_eq!(replayed.len(), self.records.len() - skipped);
        for (index, (lsn, position, bytes)) in replayed.iter().enumerate() {
            assert_eq!(lsn.0, first + index as u64);
            assert_eq!(*bytes, self.records[skipped + index].1, "record {lsn}");
            let read = self.opened.reader.read(*position, bytes.len() as u32);
            assert_eq!(read.unwrap(), bytes);
        }
        self.records.drain(..skipped);
        self.first = first;
        self.stable = last;
        self.snapshot = snapshot_lsn;
    }
}

fn check(durability: Durability, steps: Vec<Step>) {
    let mut model = Model::new(durability);
    let mut group_ends = Vec::new();
    for step in steps {
        let crash = matches!(step, Step::Crash(..) | Step::Close);
        if crash {
            group_ends = group_sizes(&model);
        }
        model.run(step);
        if crash {
            // Groups are all or nothing: each that is left has all its records.
            for (group, size) in group_sizes(&model) {
                let before = group_ends.iter().find(|(known, _)| *known == group);
                let released_into = model.records.first().map(|record| record.0) == Some(group);
                assert!(released_into || before.is_none_or(|(_, known)| *known == size));
            }
        }
    }
    model.run(Step::Crash(CrashMode::Tear, 1));
}

fn group_sizes(model: &Model) -> Vec<(u64, usize)> {
    let mut sizes: Vec<(u64, usize)> = Vec::new();
    for (group, _) in &model.records {
        match sizes.last_mut() {
            Some((last, size)) if last == group => *size += 1,
            _ => sizes.push((*group, 1)),
        }
    }
    sizes
}

/// Few by default, to be quick; `PROPTEST_CASES` asks for more.
fn cases() -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|cases| cases.parse().ok()).unwrap_or(150)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn fsync_keeps_all_that_was_acknowledged(steps in prop::collection::vec(step(), 1..80)) {
        check(Durability::Fsync, steps);
    }

    #[test]
    fn interval_keeps_all_that_was_synced(steps in prop::collection::vec(step(), 1..80)) {
        check(Durability::Interval, steps);
    }

    #[test]
    fn none_never_invents_anything(steps in prop::collection::vec(step(), 1..80)) {
        check(Durability::None, steps);
    }
}

#[test]
fn the_same_seed_gives_the_same_disk() {
    let run = || {
        let disk = MemoryIo::new();
        let mut opened = open(&disk);
        for n in 0..10_u8 {
            commit(&mut opened, &[&[n; 2000]]);
        }
        opened.appender.begin();
        append(&mut opened, 1, &[5; 8000]);
        disk.lose_power(0);
        let _ = opened.writer.write(opened.appender.seal().unwrap());
        disk.crash(CrashMode::Tear, 7);
        let mut opened = open(&disk);
        write_all(&mut opened);
        disk.contents("0000000001.seg").unwrap()
    };
    assert!(run() == run());
}
