//! Clerks: clients that each use one thing (transactions, keyed logs with a reader, groups that lease, a log that compacts, live subscribers) and keep their
//! own books of what they were promised.
//!
//! ```text
//! clerk --requests--> broker --events--> its books: may it be?  no: a violation (`invariants/`)
//! restart: the clerk looks at all there is, as many times as it takes, and holds that against its books
//! ```
//! Like the clients of logs they outlive broker and connections, and their randomness is their own. Each works with logs of its
//! own, asks one thing at a time and never sends again what it was not told of: so what may be is what was asked, and what must
//! be is what was answered.

mod keyed;
pub(crate) mod latest;
mod leases;
mod listeners;
pub(crate) mod packing;
pub(crate) mod transactions;

use std::sync::Arc;

use bytes::Bytes;
use polybus_model::{
    Body, Event, LogRequest, LogSettings, Message, MessageParts, Origin, PartitionName, Read,
    ReadRequest, Request, RunContent, Slice,
};

use crate::clock::SimClock;
use crate::random::Random;
use crate::shape::name;
use crate::violation::Verdict;

/// One of them.
pub(crate) trait Clerk {
    /// What it is called.
    fn name(&self) -> &'static str;

    /// What makes what it works with, each on its own.
    fn declarations(&mut self) -> Vec<Request>;

    /// What it asks first on a new connection.
    fn greets(&mut self) -> Vec<Request> {
        Vec::new()
    }

    /// The clock has moved.
    fn time_passed(&mut self) {}

    /// What it asks next; nothing while it waits for an answer.
    fn next(&mut self, random: &mut Random) -> Vec<Request>;

    /// What it is told. `may_refuse`: the disk is full or has failed.
    fn told(&mut self, event: Event, may_refuse: bool) -> Verdict;

    /// All that its requests brought about at once was told.
    fn turn_over(&mut self, _may_refuse: bool) -> Verdict {
        Ok(())
    }

    /// Its connection is gone, and with it the answers that it waits for.
    fn connection_gone(&mut self);

    /// After a restart: what it asks to see all there is, step by step; none when it has seen it.
    fn look(&mut self, step: usize) -> Option<Request>;

    /// It has seen all there is, with nothing under way.
    fn looked(&mut self) -> Verdict;
}

/// All clerks, and who moves them.
pub(crate) struct Clerks {
    pub(crate) random: Random,
    pub(crate) all: Vec<Box<dyn Clerk>>,
    /// They have what they work with.
    pub(crate) declared: bool,
}

impl Clerks {
    pub(crate) fn new(seed: u64, clock: &Arc<SimClock>) -> Self {
        Self {
            random: Random::new(seed ^ 0xc1e_c1e_c1e),
            all: vec![
                Box::new(transactions::Transactions::new()),
                Box::new(keyed::Keyed::new()),
                Box::new(leases::Leases::new()),
                Box::new(latest::Latest::new(Arc::clone(clock))),
                Box::new(listeners::Listeners::default()),
            ],
            declared: false,
        }
    }
}

/// A message with a number in its body.
fn numbered(topic: &str, key: &str, number: u64, random: &mut Random) -> Message {
    let mut body = number.to_le_bytes().to_vec();
    body.resize(random.between(8, 300) as usize, number as u8);
    Message::new(MessageParts {
        origin: Origin(9),
        topic: topic.as_bytes(),
        key: key.as_bytes(),
        properties: b"",
        body: Body::Copied(&body),
        durable: true,
        priority: None,
        ttl: None,
        deaths: None,
    })
}

/// The number in a message's body.
fn number_of(message: &Message) -> Option<u64> {
    let body = message.body();
    let number = body.first_chunk().map(|one| u64::from_le_bytes(*one))?;
    let is_whole = body.iter().skip(8).all(|byte| *byte == number as u8);
    is_whole.then_some(number)
}

/// The numbers in a slice, with their offsets; what ends a transaction has none.
fn numbers_in(slice: &Slice) -> Vec<(u64, Option<u64>)> {
    let runs = slice.runs.iter().filter(|run| run.ends.is_none());
    let numbers = runs.map(|run| match &run.content {
        RunContent::Message(message) => (run.offset, number_of(message)),
        RunContent::Packed { .. } => (run.offset, None),
    });
    numbers.collect()
}

fn partition(log: &str, partition: u32) -> PartitionName {
    PartitionName {
        log: name(log),
        partition,
    }
}

fn declare(log: &str, settings: LogSettings) -> LogRequest {
    LogRequest::Declare {
        name: name(log),
        settings,
        dry_run: false,
    }
}

/// Reads all of a partition.
fn read_all(at: PartitionName, committed: bool) -> LogRequest {
    const ALL: u32 = 32 << 20;
    LogRequest::Read(ReadRequest {
        reads: vec![Read {
            partition: at,
            id: None,
            offset: 0,
            bytes_max: ALL,
        }],
        bytes_max: ALL,
        bytes_min: 0,
        wait_ms: 0,
        committed,
    })
}

fn log(number: u64, request: LogRequest) -> Request {
    let request = Box::new(request);
    Request::Log { number, request }
}

fn bytes_of(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
