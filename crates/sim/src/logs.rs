//! Clients of logs beside those of queues, on the same broker, disk and clock: they append, follow, trim and remember offsets.
//!
//! ```text
//! actors (clients) --request--> broker --event--> model: may it be?  no: a violation (`invariants/log_*`, `group_offsets`)
//! restart: every partition is read from its start to its end, every group is asked                 (`simulation/logs`)
//! ```
//! Actors outlive the broker and their connections, as applications do: what they were not told of they send again. Their
//! randomness is their own, so that a seed does the same with its queues for as long as nothing is asked of logs.

mod clients;
mod model;
mod shape;

use std::collections::BTreeMap;

use polybus_model::{Event, GroupReply, GroupRequest, LogReply, LogRequest, Millis, Request};

use crate::invariants::log_answers;
use crate::random::Random;
use crate::tamper::Tamper;
use crate::violation::Verdict;
pub(crate) use clients::{Follower, Producer, Stream};
pub(crate) use model::{Partition, SentRun};

/// Producers; the last one does not number its runs.
const PRODUCERS: usize = 3;
/// Followers; each is a group of its own.
const FOLLOWERS: usize = 2;
/// All who have a connection: producers, then followers, then the one who looks at everything.
pub(crate) const ACTORS: usize = PRODUCERS + FOLLOWERS + 1;
/// The one who looks.
pub(crate) const AUDITOR: usize = ACTORS - 1;

/// What an actor waits for.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    /// A producer's number.
    Producer,
    /// These runs, by their numbers.
    Append(Vec<usize>),
    /// Of each partition: where from, and what was known of it then.
    Read(Vec<Reading>),
    /// A partition's records before an offset are given up.
    Trim(usize, u64),
    /// A follower's place in partitions.
    Commit(Vec<(usize, u64)>),
    /// What is remembered of a follower; what had been confirmed then, by partition.
    Offsets(usize, BTreeMap<usize, u64>),
    /// A declaration.
    Declare,
}

/// A read of a partition, with what was known when it was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) partition: usize,
    pub(crate) offset: u64,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// All that the actors are and know.
pub(crate) struct LogWorld {
    pub(crate) random: Random,
    pub(crate) partitions: Vec<Partition>,
    pub(crate) runs: Vec<SentRun>,
    pub(crate) producers: Vec<Producer>,
    pub(crate) followers: Vec<Follower>,
    logs: Vec<LogRequest>,
    asked: BTreeMap<u64, (usize, Asked)>,
    next_number: u64,
    /// Numbers that producers were given.
    numbers: Vec<u64>,
    pub(crate) now: Millis,
    /// The disk is full or has failed: appends may be refused.
    pub(crate) may_refuse: bool,
    /// The broker was restarted.
    pub(crate) restarts: u64,
    /// The last read of the one who looks: up to where, the end, and whether there was anything.
    pub(crate) looked: Option<(u64, u64, bool)>,
}

impl LogWorld {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x106_106_106);
        let (logs, partitions) = shape::logs(&mut random);
        let count = partitions.len();
        Self {
            random,
            partitions,
            runs: Vec::new(),
            producers: (0..PRODUCERS).map(|at| Producer::new(at, count)).collect(),
            followers: (0..FOLLOWERS).map(|at| Follower::new(at, count)).collect(),
            logs,
            asked: BTreeMap::new(),
            next_number: 0,
            numbers: Vec::new(),
            now: 0,
            may_refuse: false,
            restarts: 0,
            looked: None,
        }
    }

    fn ask(&mut self, actor: usize, asked: Asked) -> u64 {
        self.next_number += 1;
        self.asked.insert(self.next_number, (actor, asked));
        self.next_number
    }

    fn log(&mut self, actor: usize, asked: Asked, request: LogRequest) -> Request {
        Request::Log {
            number: self.ask(actor, asked),
            request: Box::new(request),
        }
    }

    fn group(&mut self, actor: usize, asked: Asked, request: GroupRequest) -> Request {
        Request::Group {
            number: self.ask(actor, asked),
            request: Box::new(request),
        }
    }

    /// Whether an actor waits for something.
    pub(crate) fn waits(&self, actor: usize) -> bool {
        self.asked.values().any(|(one, _)| *one == actor)
    }

    /// What should have been answered and was not: reads may wait for records.
    pub(crate) fn unanswered(&self) -> Option<String> {
        let mut asked = self.asked.iter();
        let open = asked.find(|(_, (_, asked))| !matches!(asked, Asked::Read(_)));
        open.map(|(number, (actor, asked))| format!("{number} of client {actor}: {asked:?}"))
    }

    /// How many runs are in logs for sure.
    pub(crate) fn sure_runs(&self) -> u64 {
        let sure = self.runs.iter().filter(|run| run.offset.is_some());
        sure.count() as u64
    }

    /// What declares all logs, each on its own.
    pub(crate) fn declarations(&mut self) -> Vec<Request> {
        let logs = self.logs.clone();
        logs.into_iter()
            .map(|log| self.log(AUDITOR, Asked::Declare, log))
            .collect()
    }

    /// An actor's connection is gone, and with it the answers that it waits for.
    pub(crate) fn connection_gone(&mut self, actor: usize) {
        self.asked.retain(|_, (one, _)| *one != actor);
        if let Some(producer) = self.producers.get_mut(actor) {
            producer.connection_gone();
        }
    }

    /// The broker is gone.
    pub(crate) fn broker_gone(&mut self) {
        (0..ACTORS).for_each(|actor| self.connection_gone(actor));
        self.restarts += 1;
        self.partitions.iter_mut().for_each(Partition::broker_gone);
    }

    /// What an actor was told.
    pub(crate) fn note_event(&mut self, actor: usize, event: Event) -> Verdict {
        let (number, answer) = match event {
            Event::Log { number, reply } => (number, Ok(reply)),
            Event::Group { number, reply } => (number, Err(reply)),
            _ => return Ok(()),
        };
        let Some((of, asked)) = self.asked.remove(&number) else {
            return log_answers::unasked(actor, number);
        };
        if of != actor {
            return log_answers::unasked(actor, number);
        }
        match answer {
            Ok(reply) => self.note_log(actor, asked, *reply),
            Err(reply) => self.note_group(actor, asked, *reply),
        }
    }

    fn note_log(&mut self, actor: usize, asked: Asked, reply: LogReply) -> Verdict {
        match (asked, reply) {
            (Asked::Producer, LogReply::Producer(Ok((number, _)))) => {
                log_answers::check_producer(&self.numbers, number)?;
                self.numbers.push(number);
                if let Some(producer) = self.producers.get_mut(actor) {
                    producer.number = Some(number);
                }
                Ok(())
            }
            (Asked::Append(runs), LogReply::Appended(results)) => {
                log_answers::check_count(runs.len(), results.len())?;
                let mut results = runs.into_iter().zip(results);
                results.try_for_each(|(run, result)| self.appended(actor, run, result))
            }
            (Asked::Read(readings), LogReply::Read(slices)) => {
                log_answers::check_count(readings.len(), slices.len())?;
                let mut slices = readings.into_iter().zip(slices);
                slices.try_for_each(|(reading, slice)| self.read(actor, reading, slice))
            }
            (Asked::Trim(partition, wanted), LogReply::Offsets(found)) => {
                self.trimmed(partition, wanted, found.into_iter().next())
            }
            (Asked::Declare, LogReply::Logs(_)) => Ok(()),
            (asked, reply) => log_answers::unexpected(&asked, &reply, self.may_refuse),
        }
    }

    fn note_group(&mut self, actor: usize, asked: Asked, reply: GroupReply) -> Verdict {
        let follower = actor.wrapping_sub(PRODUCERS);
        match (asked, reply) {
            (Asked::Commit(offsets), GroupReply::Committed(Ok(results))) => {
                log_answers::check_count(offsets.len(), results.len())?;
                self.committed(follower, offsets, &results)
            }
            (Asked::Offsets(of, known), GroupReply::Offsets(Ok(offsets))) => {
                self.remembered(of, &known, &offsets)
            }
            (asked, reply) => log_answers::unexpected(&asked, &reply, self.may_refuse),
        }
    }
}

/// What the broker gets instead.
pub(crate) fn tamper_requests(tamper: Option<Tamper>, restarts: u64, requests: &mut [Request]) {
    let Some(tamper) = tamper else { return };
    if tamper == Tamper::ReorderedAppends {
        requests.reverse();
    }
    for request in requests {
        tamper.log_request(request, restarts);
    }
}
