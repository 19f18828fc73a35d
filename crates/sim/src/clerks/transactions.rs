//! Producers with transactions, whoever reads what is committed, and a log that is bound to theirs.
//!
//! ```text
//! a, b --transactions--> log "tx", 2 partitions --bound--> log "arrived"
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;
use polybus_model::{
    Append, Binding, Destination, Event, LogReply, LogRequest, LogSettings, NewRun, Request,
    RunContent, Slice, Table, TransactionalProducer, Transactor, Writer,
};

use super::{Clerk, declare, log, numbered, numbers_in, partition, read_all};
use crate::invariants::{clerk_answers, transactions_arrive, transactions_whole};
use crate::random::Random;
use crate::shape::name;
use crate::violation::Verdict;

const LOG: &str = "tx";
const ARRIVED: &str = "arrived";
const PARTITIONS: u32 = 2;
const PRODUCERS: [&str; 2] = ["a", "b"];
/// Longer than the clock jumps at once in most runs, so that some transactions end by their time.
const TIMEOUT_MS: u64 = 60 * 60_000;

/// How a transaction has ended, or will.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// Nobody has asked for its commit: it can only be aborted.
    Unasked,
    /// Its commit was asked for, and may or may not have been carried out.
    Asked,
    /// All of it is there for ever.
    Committed,
    /// Nothing of it ever is.
    Aborted,
}

/// A transaction: its records by partition, in order.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) records: Vec<(u32, u64)>,
    pub(crate) fate: Fate,
}

#[derive(Default)]
struct Producer {
    who: Option<Transactor>,
    open: Option<usize>,
    sequences: [u32; PARTITIONS as usize],
}

enum Asked {
    Open(usize),
    Add(usize),
    Append(usize, usize, u64),
    End(usize, Option<usize>, bool),
    Read(u32),
    Arrived,
}

/// The clerk.
pub(super) struct Transactions {
    producers: [Producer; PRODUCERS.len()],
    all: Vec<Transaction>,
    /// The transaction of each record.
    of_record: BTreeMap<u64, usize>,
    asked: BTreeMap<u64, Asked>,
    next_number: u64,
    next_record: u64,
    /// What was seen by the last look at each partition, and of what arrived.
    seen: [Vec<u64>; PARTITIONS as usize],
    arrived: Vec<u64>,
}

impl Transactions {
    pub(super) fn new() -> Self {
        Self {
            producers: Default::default(),
            all: Vec::new(),
            of_record: BTreeMap::new(),
            asked: BTreeMap::new(),
            next_number: 0,
            next_record: 0,
            seen: Default::default(),
            arrived: Vec::new(),
        }
    }

    fn ask(&mut self, asked: Asked, request: LogRequest) -> Request {
        self.next_number += 1;
        self.asked.insert(self.next_number, asked);
        log(self.next_number, request)
    }

    fn open(&mut self, at: usize) -> Request {
        let request = LogRequest::OpenProducer {
            transactional: Some(TransactionalProducer {
                name: PRODUCERS[at].to_owned(),
                timeout_ms: TIMEOUT_MS,
            }),
            current: None,
        };
        self.ask(Asked::Open(at), request)
    }

    /// Adds what it writes to, and writes.
    fn write(&mut self, at: usize, who: &Transactor, random: &mut Random) -> Vec<Request> {
        let open = *self.producers[at].open.get_or_insert_with(|| {
            self.all.push(Transaction {
                records: Vec::new(),
                fate: Fate::Unasked,
            });
            self.all.len() - 1
        });
        let mut requests = vec![self.ask(
            Asked::Add(at),
            LogRequest::AddPartitions {
                transactor: who.clone(),
                partitions: (0..PARTITIONS).map(|one| partition(LOG, one)).collect(),
            },
        )];
        for _ in 0..random.between(1, 3) {
            let to = random.below(PARTITIONS.into()) as u32;
            let number = self.next_record;
            self.next_record += 1;
            self.of_record.insert(number, open);
            self.all[open].records.push((to, number));
            let sequence = &mut self.producers[at].sequences[to as usize];
            let writer = Writer {
                producer: who.producer,
                epoch: who.epoch,
                sequence: *sequence,
                transactional: true,
            };
            *sequence += 1;
            let append = Append {
                partition: partition(LOG, to),
                id: None,
                run: NewRun {
                    count: 1,
                    time_max: None,
                    time_min: None,
                    keyed: false,
                    crc: None,
                    writer: Some(writer),
                    content: RunContent::Message(numbered(LOG, "", number, random)),
                },
            };
            let asked = Asked::Append(at, open, number);
            requests.push(self.ask(asked, LogRequest::Append(vec![append])));
        }
        requests
    }

    fn end(&mut self, at: usize, who: Transactor, random: &mut Random) -> Request {
        let committed = random.chance(65);
        let open = self.producers[at].open.take();
        if let Some(open) = open.filter(|_| committed) {
            self.all[open].fate = Fate::Asked;
        }
        let request = LogRequest::End {
            transactor: who,
            committed,
            renew: random.chance(40),
        };
        self.ask(Asked::End(at, open, committed), request)
    }

    /// What is open of a producer will never be asked to be committed.
    fn give_up(&mut self, at: usize) {
        let producer = &mut self.producers[at];
        producer.who = None;
        producer.sequences = Default::default();
        if let Some(open) = producer.open.take() {
            self.all[open].fate = Fate::Aborted;
        }
    }

    fn note(&mut self, asked: Asked, reply: LogReply, may_refuse: bool) -> Verdict {
        match (asked, reply) {
            (Asked::Open(at), LogReply::Producer(Ok((producer, epoch)))) => {
                self.give_up(at);
                self.producers[at].who = Some(Transactor {
                    name: PRODUCERS[at].to_owned(),
                    producer,
                    epoch,
                });
            }
            (Asked::Add(_), LogReply::Added(Ok(_))) => {}
            (Asked::Add(at), LogReply::Added(Err(_))) => self.give_up(at),
            (Asked::Append(at, transaction, number), LogReply::Appended(mut results)) => {
                if !matches!(results.pop(), Some(Ok(_))) {
                    // Its time was over, or there is no room: it is not there.
                    self.all[transaction].records.retain(|one| one.1 != number);
                    self.give_up(at);
                }
            }
            (Asked::End(at, ended, committed), LogReply::Producer(result)) => {
                let fate = match result.is_ok() && committed {
                    true => Fate::Committed,
                    false => Fate::Aborted,
                };
                if let Some(ended) = ended {
                    self.all[ended].fate = fate;
                }
                match (result, &mut self.producers[at]) {
                    (Ok((producer, epoch)), one) => {
                        let epochs = one
                            .who
                            .as_mut()
                            .map(|who| (&mut who.producer, &mut who.epoch));
                        if let Some((known, last)) = epochs
                            && (*known, *last) != (producer, epoch)
                        {
                            (*known, *last) = (producer, epoch);
                            one.sequences = Default::default();
                        }
                    }
                    (Err(_), _) => self.give_up(at),
                }
            }
            (Asked::Read(at), LogReply::Read(mut slices)) => {
                let Some(Ok(slice)) = slices.pop() else {
                    return clerk_answers::unexpected("tx", &"no slice", may_refuse);
                };
                self.seen[at as usize] = self.visible(&slice)?;
            }
            (Asked::Arrived, LogReply::Read(mut slices)) => {
                let Some(Ok(slice)) = slices.pop() else {
                    return clerk_answers::unexpected("tx", &"no slice", may_refuse);
                };
                self.arrived = self.came(&slice)?;
            }
            (_, reply) => return clerk_answers::unexpected("tx", &reply, may_refuse),
        }
        Ok(())
    }

    /// What of a partition a reader of what is committed sees: what it sees of a transaction is durable.
    fn visible(&mut self, slice: &Slice) -> Result<Vec<u64>, crate::Violation> {
        let mut aborted = slice.aborted.clone();
        let mut seen = slice.clone();
        seen.runs.retain(|run| {
            if let Some(ends) = run.ends {
                let over = aborted.iter().position(|one| {
                    one.0 == ends.producer && one.1 < run.offset && !ends.committed
                });
                over.map(|over| aborted.remove(over));
                return false;
            }
            let is_aborted =
                |one: &(u64, u64)| run.transaction == Some(one.0) && one.1 <= run.offset;
            !aborted.iter().any(is_aborted)
        });
        self.sure(&seen)
    }

    /// What arrived where the log is bound to.
    fn came(&mut self, slice: &Slice) -> Result<Vec<u64>, crate::Violation> {
        let numbers = self.sure(slice)?;
        transactions_arrive::check_once(&numbers)?;
        transactions_arrive::check_order(&numbers, &self.all, &self.of_record)?;
        Ok(numbers)
    }

    /// The numbers of a slice: all are of transactions whose commit was asked for, which is sure now.
    fn sure(&mut self, slice: &Slice) -> Result<Vec<u64>, crate::Violation> {
        let mut numbers = Vec::new();
        for (offset, number) in numbers_in(slice) {
            let of = number.and_then(|number| self.of_record.get(&number));
            let found = of.and_then(|of| self.all.get_mut(*of));
            let transaction = transactions_whole::check_seen(offset, number, found)?;
            transaction.fate = Fate::Committed;
            numbers.extend(number);
        }
        Ok(numbers)
    }
}

impl Clerk for Transactions {
    fn name(&self) -> &'static str {
        "transactions"
    }

    fn declarations(&mut self) -> Vec<Request> {
        let settings = LogSettings {
            partitions: PARTITIONS,
            ..LogSettings::default()
        };
        let binding = Binding {
            source: name(LOG),
            destination: Destination::Topic(name(ARRIVED)),
            key: Bytes::new(),
            arguments: Table::new(),
        };
        vec![
            log(0, declare(LOG, settings)),
            log(0, declare(ARRIVED, LogSettings::default())),
            Request::Bind(Box::new(binding)),
        ]
    }

    fn next(&mut self, random: &mut Random) -> Vec<Request> {
        if !self.asked.is_empty() {
            return Vec::new();
        }
        let at = random.index(PRODUCERS.len());
        match (self.producers[at].who.clone(), random.below(10)) {
            (_, 0) => {
                let at = random.below(PARTITIONS.into()) as u32;
                let read = read_all(partition(LOG, at), true);
                vec![self.ask(Asked::Read(at), read)]
            }
            (_, 1) => {
                let read = read_all(partition(ARRIVED, 0), false);
                vec![self.ask(Asked::Arrived, read)]
            }
            (None, _) => vec![self.open(at)],
            (Some(who), 2..=6) => self.write(at, &who, random),
            (Some(who), _) => vec![self.end(at, who, random)],
        }
    }

    fn told(&mut self, event: Event, may_refuse: bool) -> Verdict {
        match event {
            // What was declared.
            Event::Log { number: 0, .. } => Ok(()),
            Event::Log { number, reply } => match self.asked.remove(&number) {
                Some(asked) => self.note(asked, *reply, may_refuse),
                None => clerk_answers::unasked(self.name(), number),
            },
            _ => Ok(()),
        }
    }

    fn connection_gone(&mut self) {
        self.asked.clear();
        (0..PRODUCERS.len()).for_each(|at| self.give_up(at));
    }

    fn look(&mut self, step: usize) -> Option<Request> {
        let (producers, partitions) = (PRODUCERS.len(), PARTITIONS as usize);
        if step < producers {
            return Some(self.open(step));
        }
        let step = step - producers;
        if step < partitions {
            let at = step as u32;
            return Some(self.ask(Asked::Read(at), read_all(partition(LOG, at), true)));
        }
        let read = read_all(partition(ARRIVED, 0), false);
        (step == partitions).then(|| self.ask(Asked::Arrived, read))
    }

    fn looked(&mut self) -> Verdict {
        for transaction in &mut self.all {
            // What was asked and is not there never will be.
            if transaction.fate == Fate::Asked {
                transaction.fate = Fate::Aborted;
            }
            transactions_whole::check(transaction, |partition| &self.seen[partition as usize])?;
            transactions_arrive::check_all(transaction, &self.arrived)?;
        }
        Ok(())
    }
}
