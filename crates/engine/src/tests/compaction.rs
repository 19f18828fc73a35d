//! Compaction through whole turns: what stays, what goes, when; with runs packed as text, of which only these tests know.

use bytes::Bytes;
use polybus_model::{
    CompactionSettings, LogError, LogSettings, Millis, NewRun, PackedRecord, PackedRun,
    RewrittenRun, RunCompactor, RunContent,
};

use super::desk::Desk;
use super::logs::{ORIGIN, bytes, read_of, run};
use super::recovering::History;
use crate::{Options, RunReaders};

/// `[t<producer>|][h<until>|]<position>:<key>=<value>;...`; no value is a tombstone, and no key none.
pub(super) const COMPACTOR: RunCompactor = RunCompactor { read, rewrite };

struct Text {
    packed: PackedRun,
    records: Vec<(u32, String, String)>,
}

fn parse(bytes: &Bytes) -> Option<Text> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (mut packed, mut records) = (PackedRun::default(), Vec::new());
    let mut parts: Vec<&str> = text.split('|').collect();
    let last = parts.pop()?;
    for part in parts {
        match part.split_at_checked(1)? {
            ("t", producer) => packed.transaction_of = Some(producer.parse().ok()?),
            ("h", until) => packed.tombstones_until = Some(until.parse().ok()?),
            _ => return None,
        }
    }
    for record in last.split(';') {
        let (position, record) = record.split_once(':')?;
        let (key, value) = record.split_once('=')?;
        records.push((position.parse().ok()?, key.to_owned(), value.to_owned()));
    }
    Some(Text { packed, records })
}

fn read(bytes: &Bytes, visit: &mut dyn FnMut(PackedRecord<'_>)) -> Option<PackedRun> {
    let text = parse(bytes)?;
    for (position, key, value) in &text.records {
        visit(PackedRecord {
            position: *position,
            key: Some(key.as_bytes()).filter(|key| !key.is_empty()),
            is_tombstone: value.is_empty(),
        });
    }
    Some(text.packed)
}

fn rewrite(
    bytes: &Bytes,
    keep: &mut dyn FnMut(u32) -> bool,
    until: Option<Millis>,
) -> Option<RewrittenRun> {
    let mut text = parse(bytes)?;
    text.records.retain(|(position, ..)| keep(*position));
    text.packed.tombstones_until = until.or(text.packed.tombstones_until);
    let mut out = String::new();
    if let Some(producer) = text.packed.transaction_of {
        out += &format!("t{producer}|");
    }
    if let Some(until) = text.packed.tombstones_until {
        out += &format!("h{until}|");
    }
    let records = text.records.iter();
    let records = records.map(|(position, key, value)| format!("{position}:{key}={value}"));
    out += &records.collect::<Vec<_>>().join(";");
    Some(RewrittenRun {
        bytes: out.into(),
        time_max: None,
    })
}

pub(super) fn options() -> Options {
    Options {
        run_readers: RunReaders::new().with_compactor(ORIGIN, COMPACTOR),
        log_sweep_ms: 1_000,
        ..Options::default()
    }
}

pub(super) fn settings() -> LogSettings {
    LogSettings {
        compacts: true,
        trims: false,
        compaction: CompactionSettings {
            dirty_permille: 0,
            tombstones_ms: 10_000,
            ..CompactionSettings::default()
        },
        ..LogSettings::default()
    }
}

/// A run of these records, all in a row.
pub(super) fn packed(records: &[(&str, &str)]) -> NewRun {
    let text = records.iter().enumerate();
    let text = text.map(|(at, (key, value))| format!("{at}:{key}={value}"));
    NewRun {
        keyed: true,
        ..run(&text.collect::<Vec<_>>().join(";"), records.len() as u32)
    }
}

pub(super) fn desk() -> Desk {
    let mut desk = Desk::with(options());
    desk.declare_log("l", settings()).unwrap();
    desk
}

impl Desk {
    /// All runs of the log's first partition from an offset on, with their offsets.
    pub(super) fn texts(&mut self, from: u64) -> Vec<(u64, String)> {
        let slice = self.read(read_of("l", 0, from)).unwrap();
        let runs = slice.runs.iter();
        runs.map(|run| (run.offset, bytes(&run.content))).collect()
    }
}

fn owned(texts: &[(u64, &str)]) -> Vec<(u64, String)> {
    let texts = texts.iter();
    texts
        .map(|(offset, text)| (*offset, (*text).to_owned()))
        .collect()
}

#[test]
fn the_latest_of_each_key_stays_and_the_last_run() {
    for log_resident_bytes_max in [0, 1 << 20] {
        let mut desk = Desk::with(Options {
            log_resident_bytes_max,
            ..options()
        });
        desk.declare_log("l", settings()).unwrap();
        desk.append("l", 0, packed(&[("a", "1"), ("b", "1"), ("c", "1")]))
            .unwrap();
        desk.append("l", 0, packed(&[("a", "2")])).unwrap();
        desk.append("l", 0, packed(&[("a", "3"), ("b", "3")]))
            .unwrap();
        desk.append("l", 0, packed(&[("a", "4"), ("a", "5")]))
            .unwrap();
        desk.wait(2_000);
        let left = owned(&[(0, "2:c=1"), (4, "0:a=3;1:b=3"), (6, "0:a=4;1:a=5")]);
        assert_eq!(desk.texts(0), left);
        assert_eq!(desk.texts(1), left, "the run that holds it");
        assert_eq!(desk.texts(3), left[1..], "the first behind the hole");
        assert_eq!(desk.shelf.live(), 3, "what went is released");
        (desk.engine, desk.shelf) = History::default().recover_with(&desk, false, options());
        desk.attach_all();
        assert_eq!(desk.texts(0), left);
    }
}

#[test]
fn tombstones_stay_for_their_time_from_when_they_were_looked_after() {
    let mut desk = desk();
    desk.append("l", 0, packed(&[("a", "1"), ("b", "")]))
        .unwrap();
    desk.append("l", 0, packed(&[("a", "")])).unwrap();
    desk.append("l", 0, packed(&[("x", "1")])).unwrap();
    desk.wait(2_000);
    let texts = desk.texts(0);
    let offsets: Vec<u64> = texts.iter().map(|(offset, _)| *offset).collect();
    assert_eq!(offsets, [0, 2, 3]);
    assert!(texts[0].1.starts_with('h') && texts[0].1.ends_with("|1:b="));
    assert!(texts[1].1.ends_with("|0:a="), "{texts:?}");
    desk.append("l", 0, packed(&[("x", "2")])).unwrap();
    desk.wait(2_000);
    assert_eq!(desk.texts(0).len(), 4, "too early");
    desk.wait(10_000);
    desk.append("l", 0, packed(&[("x", "3")])).unwrap();
    desk.wait(2_000);
    assert_eq!(desk.texts(0), owned(&[(4, "0:x=2"), (5, "0:x=3")]));
}

#[test]
fn what_is_young_stays() {
    let mut desk = Desk::with(options());
    let compaction = CompactionSettings {
        lag_ms_min: 60_000,
        ..settings().compaction
    };
    let settings = LogSettings {
        compaction,
        ..settings()
    };
    desk.declare_log("l", settings).unwrap();
    for value in ["1", "2", "3"] {
        desk.append("l", 0, packed(&[("a", value)])).unwrap();
        desk.wait(20_000);
    }
    assert_eq!(desk.texts(0).len(), 3);
    desk.wait(15_000);
    assert_eq!(
        desk.texts(0).len(),
        3,
        "one is old enough: none supersedes it"
    );
    desk.wait(30_000);
    assert_eq!(desk.texts(0), owned(&[(1, "0:a=2"), (2, "0:a=3")]));
}

#[test]
fn more_keys_than_fit_are_done_in_rounds() {
    let mut desk = Desk::with(Options {
        log_compaction_keys_max: 3,
        ..options()
    });
    desk.declare_log("l", settings()).unwrap();
    for value in ["1", "2"] {
        for key in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            desk.append("l", 0, packed(&[(key, value)])).unwrap();
        }
    }
    desk.wait(5_000);
    let left = desk.texts(0);
    let offsets: Vec<u64> = left.iter().map(|(offset, _)| *offset).collect();
    // The last run supersedes nothing, and stays.
    assert_eq!(offsets, [7, 8, 9, 10, 11, 12, 13, 14, 15]);
}

#[test]
fn where_only_holes_are_left_nothing_is_taken_up_again() {
    let mut desk = desk();
    for (key, value) in [("b", "1"), ("a", ""), ("x", "1")] {
        desk.append("l", 0, packed(&[(key, value)])).unwrap();
    }
    // Where it was looked after up to is in snapshots only: after each restart it is looked after anew.
    for ms in [2_000, 12_000, 2_000] {
        desk.wait(ms);
        (desk.engine, desk.shelf) = History::default().recover_with(&desk, false, options());
        desk.attach_all();
    }
    assert_eq!(desk.texts(0), owned(&[(0, "0:b=1"), (2, "0:x=1")]));
    let before = desk.now;
    for _ in 0..50 {
        desk.now = desk.engine.poll_timeout().unwrap();
        desk.wait(0);
    }
    let passed = desk.now - before;
    assert!(passed > 20_000, "50 times in {passed} ms");
}

#[test]
fn a_run_without_keys_is_not_taken() {
    let mut desk = desk();
    let refused = desk.append("l", 0, run("0:=1", 1));
    assert_eq!(refused, Err(LogError::KeysUnknown));
}

#[test]
fn what_cannot_be_read_stays() {
    let mut desk = desk();
    for text in ["?", "0:a=1", "0:a=2", "0:a=3"] {
        let keyed = NewRun {
            keyed: true,
            ..run(text, 1)
        };
        desk.append("l", 0, keyed).unwrap();
    }
    desk.wait(2_000);
    assert_eq!(
        desk.texts(0),
        owned(&[(0, "?"), (2, "0:a=2"), (3, "0:a=3")])
    );
    assert!(matches!(
        packed(&[("a", "1")]).content,
        RunContent::Packed { .. }
    ));
}
