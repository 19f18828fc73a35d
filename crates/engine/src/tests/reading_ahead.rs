//! Logs that are read one part after the other: what comes next is loaded before it is asked for.

use polybus_model::{LogReply, LogRequest, LogSettings, ReadRequest, Slice};

use super::desk::{Desk, Told};
use super::logs::{bytes, read_of, replies, run};
use crate::Options;

const MEMORY_MAX: usize = 8_000;

/// A log of 40 runs of 2 records, of which memory holds the last few.
fn desk() -> Desk {
    let mut desk = Desk::with(Options {
        log_resident_bytes_max: MEMORY_MAX,
        ..Options::default()
    });
    desk.declare_log("l", LogSettings::default()).unwrap();
    for at in 0..40 {
        desk.append("l", 0, run(&body(at), 2)).unwrap();
    }
    desk.loads = false;
    desk
}

fn body(at: u64) -> String {
    format!("{at} {}", "x".repeat(500))
}

/// Two runs from an offset on.
fn two(offset: u64) -> ReadRequest {
    let mut request = read_of("l", 0, offset);
    request.bytes_max = 1_200;
    request
}

fn slice(told: Told) -> Option<Slice> {
    match replies(told).pop()? {
        (_, LogReply::Read(mut slices)) => Some(slices.remove(0).unwrap()),
        other => panic!("{other:?}"),
    }
}

fn bodies(slice: &Slice) -> Vec<String> {
    slice.runs.iter().map(|run| bytes(&run.content)).collect()
}

impl Desk {
    fn read_two(&mut self, offset: u64) -> Told {
        self.ask(2, offset, LogRequest::Read(two(offset)))
    }

    /// A read that has to wait for the disk.
    fn read_two_slowly(&mut self, offset: u64) -> Slice {
        assert!(self.read_two(offset).is_empty());
        slice(self.answer_owed()).unwrap()
    }
}

#[test]
fn the_third_read_finds_what_it_asks_for() {
    let mut desk = desk();
    assert_eq!(bodies(&desk.read_two_slowly(0)), [body(0), body(1)]);
    assert_eq!(
        desk.engine.logs.ahead_bytes(),
        0,
        "nobody knows that it goes on"
    );
    assert_eq!(bodies(&desk.read_two_slowly(4)), [body(2), body(3)]);
    let mut next = 8;
    while next < 56 {
        let ahead = desk.engine.logs.ahead_bytes();
        assert!(ahead > 0 && ahead <= MEMORY_MAX as u64, "{ahead}");
        let slice = slice(desk.read_two(next)).expect("it is here already");
        let at = next / 2;
        assert_eq!(bodies(&slice), [body(at), body(at + 1)]);
        desk.answer_owed();
        next += 4;
    }
    // What nobody reads goes.
    desk.wait(10_000);
    assert_eq!(desk.engine.logs.ahead_bytes(), 0);
}

#[test]
fn a_read_of_what_is_on_its_way_waits_for_it() {
    let mut desk = desk();
    desk.read_two_slowly(0);
    assert!(desk.read_two(4).is_empty());
    let loads = desk.owed_runs.len();
    assert!(loads > 1, "its own and the next");
    assert!(desk.read_two(8).is_empty());
    assert_eq!(desk.owed_runs.len(), loads, "no load of its own");
    let told = replies(desk.answer_owed());
    let numbers: Vec<u64> = told.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [4, 8]);

    // Whoever has gone gets no answer, and nothing of it stays.
    let mut next = 12;
    while slice(desk.read_two(next)).is_some() {
        next += 4;
    }
    desk.detach(2);
    assert!(desk.answer_owed().is_empty());
    desk.wait(10_000);
    assert_eq!(desk.engine.logs.ahead_bytes(), 0);
}

#[test]
fn readers_share_the_room_evenly() {
    let mut desk = desk();
    // Eight places, read on three times each.
    for round in 0..3 {
        for place in 0..8 {
            desk.read_two(place * 6 + round * 2);
            desk.answer_owed();
            assert!(desk.engine.logs.ahead_bytes() <= MEMORY_MAX as u64);
        }
    }
}

#[test]
fn what_was_moved_or_removed_meanwhile_is_not_told() {
    let mut desk = desk();
    desk.read_two_slowly(0);
    desk.read_two_slowly(4);
    let trim = LogRequest::Trim(vec![(super::logs::at("l", 0), Some(10))]);
    desk.log(trim);
    let slice = slice(desk.read_two(10)).unwrap();
    assert_eq!(slice.start, 10);
    assert_eq!(bodies(&slice)[0], body(5));
    // A load that brings nothing is made again by whoever waits for it.
    let numbers: Vec<u64> = desk.owed_runs.iter().map(|load| load.number).collect();
    desk.owed_runs.clear();
    for number in numbers {
        let mut out = crate::Effects::default();
        let now = desk.now;
        desk.engine
            .handle_log_loaded(number, Vec::new(), now, &mut desk.shelf, &mut out);
        assert!(desk.told(out).is_empty());
    }
    let mut next = 14;
    while next < 60 {
        let told = desk.read_two(next);
        let told = match told.is_empty() {
            true => desk.answer_owed(),
            false => told,
        };
        let slice = self::slice(told).unwrap();
        assert_eq!(bodies(&slice)[0], body(next / 2));
        next += 2 * slice.runs.len() as u64;
    }
}
