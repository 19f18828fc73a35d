//! Transactions on a disk that loses power at any point: a reader of what is committed sees all of one or nothing, once, and
//! all of those whose commit was confirmed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod power;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use polybus_model::{
    Append, LogReply, LogRequest, NewRun, Origin, Read, ReadRequest, RunContent, Slice,
    TransactionalProducer, Transactor, Writer,
};

use power::{Desk, Dice, partition};

const PARTITIONS: u32 = 2;
const ROUNDS: u64 = 5;
const TRANSACTIONS: u64 = 8;

/// What a transaction wrote: its number, and how many runs.
type Wrote = (u64, u64);

struct World {
    desk: Desk,
    dice: Dice,
    next_transaction: u64,
    /// Those whose commit was asked for, by the number of the request.
    asked: BTreeMap<u64, Wrote>,
    /// Those that may be there: all whose commit was asked for.
    possible: BTreeMap<u64, u64>,
    confirmed: BTreeSet<u64>,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            desk: Desk::new(PARTITIONS),
            dice: Dice(seed),
            next_transaction: 0,
            asked: BTreeMap::new(),
            possible: BTreeMap::new(),
            confirmed: BTreeSet::new(),
        }
    }

    /// Asks, and waits for the answer.
    fn answer(&mut self, request: LogRequest) -> LogReply {
        let asked = self.desk.ask(request);
        self.desk.write_all();
        self.desk.read_all();
        let replies = self.take();
        let reply = replies.into_iter().find(|(number, _)| *number == asked);
        reply.unwrap().1
    }

    fn take(&mut self) -> Vec<(u64, LogReply)> {
        let replies = self.desk.replies();
        for (number, reply) in &replies {
            if let Some((transaction, _)) = self.asked.remove(number) {
                assert!(matches!(reply, LogReply::Producer(Ok(_))), "{reply:?}");
                self.confirmed.insert(transaction);
            }
        }
        replies
    }

    fn producer(&mut self) -> Transactor {
        let open = LogRequest::OpenProducer {
            transactional: Some(TransactionalProducer {
                name: "t".into(),
                timeout_ms: 600_000,
            }),
            current: None,
        };
        match self.answer(open) {
            LogReply::Producer(Ok((producer, epoch))) => Transactor {
                name: "t".into(),
                producer,
                epoch,
            },
            other => panic!("{other:?}"),
        }
    }

    /// One transaction, as its requests come, with commits of the disk at any point of it.
    fn transact(&mut self, who: &Transactor, sequences: &mut [u32]) {
        self.next_transaction += 1;
        let transaction = self.next_transaction;
        let runs = self.dice.roll(4) + 1;
        self.desk.ask(LogRequest::AddPartitions {
            transactor: who.clone(),
            partitions: (0..PARTITIONS).map(partition).collect(),
        });
        for _ in 0..runs {
            let at = self.dice.roll(PARTITIONS.into()) as usize;
            let mut bytes = transaction.to_le_bytes().to_vec();
            bytes.resize(8 + self.dice.roll(2_000) as usize, 1);
            let run = NewRun {
                time_min: None,
                keyed: false,
                count: 1,
                time_max: None,
                writer: Some(Writer {
                    producer: who.producer,
                    epoch: who.epoch,
                    sequence: sequences[at],
                    transactional: true,
                }),
                crc: None,
                content: RunContent::Packed {
                    origin: Origin(9),
                    bytes: bytes.into(),
                },
            };
            sequences[at] += 1;
            let partition = partition(at as u32);
            self.desk.ask(LogRequest::Append(vec![Append {
                partition,
                id: None,
                run,
            }]));
            self.maybe();
        }
        let committed = self.dice.roll(3) > 0;
        let number = self.desk.ask(LogRequest::End {
            transactor: who.clone(),
            committed,
            renew: false,
        });
        if committed {
            self.asked.insert(number, (transaction, runs));
            self.possible.insert(transaction, runs);
        }
        self.maybe();
    }

    fn maybe(&mut self) {
        match self.dice.roll(4) {
            0 => drop(self.desk.steps.commit().unwrap()),
            1 if self.dice.roll(4) == 0 => self.desk.steps.upkeep().unwrap(),
            _ => {}
        }
        self.take();
    }

    fn restart(&mut self) {
        self.desk.lose_power(&mut self.dice);
        self.asked.clear();
    }

    /// All that a reader of what is committed makes of a partition.
    fn committed(&mut self, at: u32) -> Vec<u64> {
        let mut seen = Vec::new();
        let mut offset = 0;
        loop {
            let slice = self.slice(at, offset);
            let Some(last) = slice.runs.last() else {
                assert_eq!(offset, slice.stable_end);
                return seen;
            };
            offset = last.offset + u64::from(last.count);
            // One producer: an aborted transaction goes from its first offset to its end.
            let mut aborted = slice.aborted.clone();
            let mut skips = false;
            for run in &slice.runs {
                if aborted.first().is_some_and(|one| one.1 <= run.offset) {
                    aborted.remove(0);
                    skips = true;
                }
                if run.ends.is_some() {
                    skips = false;
                } else if !skips {
                    seen.push(number(&run.content));
                }
            }
        }
    }

    fn slice(&mut self, at: u32, offset: u64) -> Slice {
        let read = Read {
            partition: partition(at),
            id: None,
            offset,
            bytes_max: 3_000,
        };
        let reply = self.answer(LogRequest::Read(ReadRequest {
            reads: vec![read],
            bytes_max: 3_000,
            bytes_min: 0,
            wait_ms: 0,
            committed: true,
        }));
        match reply {
            LogReply::Read(mut slices) => slices.remove(0).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn check(&mut self) {
        // Partitions are read one after the other: nothing must become durable in between.
        self.desk.write_all();
        self.take();
        let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
        for at in 0..PARTITIONS {
            for transaction in self.committed(at) {
                *seen.entry(transaction).or_default() += 1;
            }
        }
        for (transaction, runs) in &seen {
            assert_eq!(self.possible.get(transaction), Some(runs), "{transaction}");
        }
        for transaction in &self.confirmed {
            assert!(seen.contains_key(transaction), "{transaction} is lost");
        }
        // What was there once is there for good.
        self.confirmed.extend(seen.into_keys());
    }
}

fn number(content: &RunContent) -> u64 {
    let bytes: &Bytes = match content {
        RunContent::Packed { bytes, .. } => bytes,
        RunContent::Message(_) => panic!("no messages were appended"),
    };
    let first = bytes.first_chunk::<8>().unwrap();
    u64::from_le_bytes(*first)
}

#[test]
fn readers_see_all_of_a_transaction_or_nothing_whenever_the_power_goes() {
    for seed in 0..60 {
        let mut world = World::new(seed);
        for _ in 0..ROUNDS {
            let who = world.producer();
            let mut sequences = [0; PARTITIONS as usize];
            for _ in 0..world.dice.roll(TRANSACTIONS) {
                world.transact(&who, &mut sequences);
                if world.dice.roll(4) == 0 {
                    world.check();
                }
            }
            world.restart();
            world.check();
        }
    }
}
