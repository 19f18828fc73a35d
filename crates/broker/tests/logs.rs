//! Logs on a disk that loses power at any point: what was confirmed or read is there again, where it was.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod power;

use std::collections::BTreeMap;

use bytes::Bytes;
use polybus_model::{
    Append, LogError, LogReply, LogRequest, NewRun, Origin, Read, ReadRequest, Run, RunContent,
    Writer,
};

use power::{Desk, Dice, partition};

const PARTITIONS: u32 = 2;
const ROUNDS: usize = 6;
const STEPS: u64 = 120;

/// A run that was sent, until it is confirmed.
#[derive(Clone)]
struct Sent {
    partition: u32,
    run: NewRun,
}

/// What must be there: by partition, what each offset's run is and how far reading goes.
#[derive(Default)]
struct Known {
    start: u64,
    /// Confirmed or read: by offset, count and bytes.
    runs: BTreeMap<u64, (u32, Bytes)>,
}

struct World {
    desk: Desk,
    dice: Dice,
    asked: BTreeMap<u64, Sent>,
    trims: BTreeMap<u64, (u32, u64)>,
    known: Vec<Known>,
    sequences: Vec<u32>,
    /// Of each partition the last runs with their offsets, as far as they were confirmed.
    last: Vec<Vec<(NewRun, Option<u64>)>>,
    bytes_of: u64,
}

fn packed(content: &RunContent) -> Bytes {
    match content {
        RunContent::Packed { bytes, .. } => bytes.clone(),
        RunContent::Message(_) => panic!("no messages were appended"),
    }
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            desk: Desk::new(PARTITIONS),
            dice: Dice(seed),
            asked: BTreeMap::new(),
            trims: BTreeMap::new(),
            known: (0..PARTITIONS).map(|_| Known::default()).collect(),
            sequences: vec![0; PARTITIONS as usize],
            last: vec![Vec::new(); PARTITIONS as usize],
            bytes_of: 0,
        }
    }

    fn append(&mut self, at: u32, run: NewRun) {
        let append = Append {
            partition: partition(at),
            id: None,
            run: run.clone(),
        };
        let number = self.desk.ask(LogRequest::Append(vec![append]));
        self.asked.insert(number, Sent { partition: at, run });
    }

    fn append_new(&mut self) {
        let at = self.dice.roll(PARTITIONS.into()) as u32;
        let count = self.dice.roll(4) as u32 + 1;
        self.bytes_of += 1;
        let mut bytes = self.bytes_of.to_le_bytes().to_vec();
        bytes.resize(8 + self.dice.roll(3_000) as usize, at as u8);
        let sequence = &mut self.sequences[at as usize];
        let run = NewRun {
            time_min: None,
            keyed: false,
            count,
            time_max: None,
            writer: Some(Writer {
                producer: 3,
                epoch: 0,
                sequence: *sequence,
                transactional: false,
            }),
            crc: None,
            content: RunContent::Packed {
                origin: Origin(9),
                bytes: bytes.into(),
            },
        };
        *sequence += count;
        self.last[at as usize].push((run.clone(), None));
        self.append(at, run);
    }

    /// Takes in what was told.
    fn take(&mut self) {
        for (number, reply) in self.desk.replies() {
            match reply {
                LogReply::Appended(results) => {
                    let sent = self.asked.remove(&number).unwrap();
                    let appended = results[0].as_ref().unwrap();
                    let at = sent.partition as usize;
                    let bytes = packed(&sent.run.content);
                    for (run, offset) in &mut self.last[at] {
                        if packed(&run.content) == bytes {
                            assert!(offset.is_none_or(|before| before == appended.offset));
                            *offset = Some(appended.offset);
                        }
                    }
                    self.saw(at, appended.offset, sent.run.count, bytes);
                }
                LogReply::Read(slices) => {
                    for (at, slice) in slices.into_iter().enumerate() {
                        if let Ok(slice) = slice {
                            slice.runs.iter().for_each(|run| self.saw_run(at, run));
                        }
                    }
                }
                LogReply::Offsets(_) => {
                    let (at, start) = self.trims.remove(&number).unwrap();
                    let known = &mut self.known[at as usize];
                    known.start = known.start.max(start);
                }
                _ => {}
            }
        }
    }

    fn saw_run(&mut self, at: usize, run: &Run) {
        self.saw(at, run.offset, run.count, packed(&run.content));
    }

    fn saw(&mut self, at: usize, offset: u64, count: u32, bytes: Bytes) {
        let before = self.known[at].runs.insert(offset, (count, bytes.clone()));
        assert!(before.is_none_or(|before| before == (count, bytes)));
    }

    fn read(&mut self, offsets: [u64; PARTITIONS as usize], wait_ms: u64) {
        let reads = (0..).zip(offsets).map(|(at, offset)| Read {
            partition: partition(at),
            id: None,
            offset,
            bytes_max: 4_000,
        });
        self.desk.ask(LogRequest::Read(ReadRequest {
            reads: reads.collect(),
            bytes_max: 6_000,
            bytes_min: 1,
            wait_ms,
            committed: false,
        }));
    }

    fn step(&mut self) {
        match self.dice.roll(12) {
            0..=4 => self.append_new(),
            5..=7 => drop(self.desk.steps.commit().unwrap()),
            8 => self.desk.steps.upkeep().unwrap(),
            9 => {
                let offsets = [0, 1].map(|at: usize| {
                    let known = &self.known[at];
                    let end = known.runs.last_key_value().map_or(0, |(offset, _)| *offset);
                    known.start + self.dice.roll(end.saturating_sub(known.start) + 1)
                });
                let wait_ms = self.dice.roll(2) * 1_000;
                self.read(offsets, wait_ms);
            }
            10 => self.desk.read_all(),
            _ => {
                let at = self.dice.roll(PARTITIONS.into()) as u32;
                let runs = &self.known[at as usize].runs;
                let to = runs.keys().rev().nth(8).copied().unwrap_or(0);
                let number = self
                    .desk
                    .ask(LogRequest::Trim(vec![(partition(at), Some(to))]));
                self.trims.insert(number, (at, to));
            }
        }
        self.take();
    }

    /// The power goes, and comes back.
    fn restart(&mut self) {
        self.desk.lose_power(&mut self.dice);
        self.asked.clear();
        // A trim that was not confirmed may have come to be all the same.
        let starts = self.starts();
        for (known, start) in self.known.iter_mut().zip(starts) {
            assert!(start >= known.start);
            known.start = start;
        }
        self.trims.clear();
        self.check();
        self.send_again();
    }

    fn starts(&mut self) -> Vec<u64> {
        let wanted = (0..PARTITIONS).map(|at| (partition(at), polybus_model::Place::Start));
        self.desk.ask(LogRequest::FindOffsets(wanted.collect()));
        let mut replies = self.desk.replies().into_iter();
        let starts = replies.find_map(|(_, reply)| match reply {
            LogReply::Offsets(found) => Some(found),
            _ => None,
        });
        let starts = starts.unwrap().into_iter();
        starts.map(|one| one.unwrap().unwrap().offset).collect()
    }

    /// Reads all there is: dense, and with all that was ever seen.
    fn check(&mut self) {
        for at in 0..PARTITIONS {
            let mut next = self.known[at as usize].start;
            let mut found = BTreeMap::new();
            loop {
                let slice = self.read_now(at, next);
                let Some(first) = slice.first() else { break };
                assert!(first.offset <= next && next < first.offset + u64::from(first.count));
                for run in slice {
                    assert!(run.offset <= next, "a gap");
                    next = run.offset + u64::from(run.count);
                    found.insert(run.offset, (run.count, packed(&run.content)));
                }
            }
            let known = &mut self.known[at as usize];
            let start = known.start;
            let living = known
                .runs
                .iter()
                .filter(|(offset, run)| **offset + u64::from(run.0) > start);
            for (offset, run) in living {
                assert_eq!(found.get(offset), Some(run), "partition {at}, {offset}");
            }
            known.runs = found;
        }
    }

    fn read_now(&mut self, at: u32, offset: u64) -> Vec<Run> {
        let read = Read {
            partition: partition(at),
            id: None,
            offset,
            bytes_max: 10_000,
        };
        self.desk.ask(LogRequest::Read(ReadRequest {
            reads: vec![read],
            bytes_max: 10_000,
            bytes_min: 0,
            wait_ms: 0,
            committed: false,
        }));
        self.desk.read_all();
        let mut replies = self.desk.replies().into_iter();
        let slice = replies.find_map(|(_, reply)| match reply {
            LogReply::Read(mut slices) => Some(slices.remove(0)),
            _ => None,
        });
        slice.unwrap().unwrap().runs
    }

    /// As a client does that was not told what became of its last runs.
    fn send_again(&mut self) {
        for at in 0..PARTITIONS {
            let last = std::mem::take(&mut self.last[at as usize]);
            let confirmed = last.iter().rposition(|(_, offset)| offset.is_some());
            let from = confirmed.unwrap_or(0).saturating_sub(2);
            for (run, offset) in &last[from..] {
                let append = Append {
                    partition: partition(at),
                    id: None,
                    run: run.clone(),
                };
                self.desk.ask(LogRequest::Append(vec![append]));
                self.desk.write_all();
                let Some((_, LogReply::Appended(results))) = self.desk.replies().pop() else {
                    panic!("appended");
                };
                match &results[0] {
                    Ok(appended) => {
                        assert!(offset.is_none_or(|before| before == appended.offset));
                        let bytes = packed(&run.content);
                        self.saw(at as usize, appended.offset, run.count, bytes.clone());
                    }
                    // More than five came behind it, all of which were kept though none was confirmed.
                    Err(LogError::OutOfSequence) => assert!(offset.is_none() || last.len() > 5),
                    Err(other) => panic!("{other:?}"),
                }
            }
        }
        self.check();
        // Of one sequence each, nothing was appended twice.
        for known in &self.known {
            let mut bodies: Vec<_> = known.runs.values().map(|run| run.1.clone()).collect();
            let all = bodies.len();
            bodies.sort();
            bodies.dedup();
            assert_eq!(bodies.len(), all, "appended twice");
        }
    }
}

#[test]
fn what_was_confirmed_or_read_outlives_any_end() {
    for seed in 0..40 {
        let mut world = World::new(seed);
        for _ in 0..ROUNDS {
            for _ in 0..world.dice.roll(STEPS) {
                world.step();
            }
            world.restart();
        }
    }
}

/// A read that waits is answered when what it waits for is durable, and not before.
#[test]
fn a_waiting_read_is_answered_with_the_commit() {
    let mut world = World::new(1);
    world.read([0, 0], 10_000);
    world.append_new();
    let early = world.desk.replies();
    assert!(early.is_empty(), "{early:?}");
    world.desk.steps.commit().unwrap();
    let replies = world.desk.replies().into_iter();
    let is_read: Vec<_> = replies
        .map(|(_, reply)| matches!(reply, LogReply::Read(_)))
        .collect();
    assert_eq!(is_read, [false, true]);
}
