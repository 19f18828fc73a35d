//! What producers and followers do next: chance, within what real clients do. A producer that numbers its runs has at most
//! five on the way to a partition, sends again what it was not told of, in order, and nothing new before that is answered.

use std::collections::{BTreeMap, VecDeque};

use polybus_model::{
    Append, GroupOffset, GroupRequest, LogRequest, Membership, NewRun, Read, ReadRequest, Request,
    RunContent, Writer,
};

use super::model::{ORIGIN, SentRun, body_of};
use super::{AUDITOR, Asked, LogWorld, PRODUCERS, Reading};

/// Runs that a producer has on the way to a partition.
const UNANSWERED_MAX: usize = 5;

/// A producer's side of a partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stream {
    /// All its runs, in order.
    pub(crate) sent: Vec<usize>,
    /// Those that it was not told of yet.
    pub(crate) unanswered: VecDeque<usize>,
    /// Answers that it waits for.
    pub(crate) on_the_way: usize,
    /// It was not told of some, and never will be.
    pub(crate) resends: bool,
    next_sequence: u32,
}

/// A producer.
#[derive(Clone, Debug)]
pub(crate) struct Producer {
    /// It numbers its runs.
    pub(crate) idempotent: bool,
    pub(crate) number: Option<u64>,
    pub(crate) streams: Vec<Stream>,
}

impl Producer {
    pub(super) fn new(at: usize, partitions: usize) -> Self {
        Self {
            idempotent: at + 1 < PRODUCERS,
            number: None,
            streams: vec![Stream::default(); partitions],
        }
    }

    pub(super) fn connection_gone(&mut self) {
        for stream in &mut self.streams {
            stream.on_the_way = 0;
            stream.resends = !stream.unanswered.is_empty();
            if !self.idempotent {
                stream.unanswered.clear();
                stream.resends = false;
            }
        }
    }
}

/// A follower, and the group that it alone makes.
#[derive(Clone, Debug)]
pub(crate) struct Follower {
    pub(crate) group: String,
    /// Where it reads on.
    pub(crate) places: Vec<u64>,
    /// What the broker has said is remembered.
    pub(crate) sure: BTreeMap<usize, u64>,
    /// What it asked to be remembered, at most.
    pub(crate) asked: BTreeMap<usize, u64>,
}

impl Follower {
    pub(super) fn new(at: usize, partitions: usize) -> Self {
        Self {
            group: format!("group{at}"),
            places: vec![0; partitions],
            sure: BTreeMap::new(),
            asked: BTreeMap::new(),
        }
    }

    pub(super) fn membership(&self) -> Membership {
        Membership {
            group: self.group.clone(),
            generation: None,
            member: String::new(),
            instance: None,
        }
    }
}

impl LogWorld {
    /// What an actor asks next.
    pub(crate) fn next_requests(&mut self, actor: usize) -> Vec<Request> {
        if actor < PRODUCERS {
            return self.produce(actor);
        }
        if actor == AUDITOR {
            return self.give_up().into_iter().collect();
        }
        match self.random.below(10) {
            0..=5 if !self.waits(actor) => vec![self.follow(actor)],
            6 | 7 => self.remember(actor).into_iter().collect(),
            8 => vec![self.recall(actor - PRODUCERS, actor)],
            _ => Vec::new(),
        }
    }

    fn produce(&mut self, actor: usize) -> Vec<Request> {
        let producer = &self.producers[actor];
        if producer.idempotent && producer.number.is_none() {
            let request = LogRequest::OpenProducer {
                transactional: None,
                current: None,
            };
            return match self.waits(actor) {
                true => Vec::new(),
                false => vec![self.log(actor, Asked::Producer, request)],
            };
        }
        let mut runs = Vec::new();
        for _ in 0..self.random.between(1, 3) {
            let partition = self.random.index(self.partitions.len());
            let impatient = self.random.chance(5);
            let stream = &self.producers[actor].streams[partition];
            if stream.resends && stream.on_the_way == 0 {
                runs.extend(stream.unanswered.iter().copied());
                self.producers[actor].streams[partition].resends = false;
            } else if impatient && self.producers[actor].idempotent && !stream.resends {
                runs.extend(stream.unanswered.iter().copied());
            } else if !stream.resends && stream.unanswered.len() < UNANSWERED_MAX {
                runs.push(self.make_run(actor, partition));
            }
            if !runs.is_empty() && self.random.chance(50) {
                break;
            }
        }
        if runs.is_empty() {
            return Vec::new();
        }
        // One request names a partition once.
        let mut requests = Vec::new();
        while !runs.is_empty() {
            let (mut now, mut later, mut named) = (Vec::new(), Vec::new(), Vec::new());
            for run in runs {
                let partition = self.runs[run].partition;
                if named.contains(&partition) {
                    later.push(run);
                } else {
                    named.push(partition);
                    now.push(run);
                }
            }
            runs = later;
            requests.push(self.append(actor, now));
        }
        requests
    }

    fn make_run(&mut self, actor: usize, partition: usize) -> usize {
        let count = self.random.between(1, 4) as u32;
        let len = match self.random.below(30) {
            0 => self.random.between(5_000, 20_000),
            1..=4 => self.random.between(500, 4_500),
            _ => self.random.between(12, 200),
        };
        let number = self.runs.len();
        let now = self.now;
        let producer = &mut self.producers[actor];
        let stream = &mut producer.streams[partition];
        let writer = producer.number.filter(|_| producer.idempotent);
        let writer = writer.map(|producer| Writer {
            producer,
            epoch: 0,
            sequence: stream.next_sequence,
            transactional: false,
        });
        stream.next_sequence += count;
        let place = stream.sent.len();
        stream.sent.push(number);
        stream.unanswered.push_back(number);
        self.runs.push(SentRun {
            partition,
            producer: actor,
            place,
            writer,
            count,
            len: len as usize,
            sent_at: now,
            offset: None,
        });
        number
    }

    fn append(&mut self, actor: usize, runs: Vec<usize>) -> Request {
        let appends = runs.iter().map(|number| {
            let run = &self.runs[*number];
            Append {
                partition: self.partitions[run.partition].name.clone(),
                id: None,
                run: NewRun {
                    time_min: None,
                    keyed: false,
                    count: run.count,
                    time_max: None,
                    writer: run.writer,
                    crc: None,
                    content: RunContent::Packed {
                        origin: ORIGIN,
                        bytes: body_of(*number, run.len).into(),
                    },
                },
            }
        });
        let appends = appends.collect();
        for run in &runs {
            let run = &mut self.runs[*run];
            run.sent_at = run.sent_at.min(self.now);
            let partition = run.partition;
            self.producers[actor].streams[partition].on_the_way += 1;
        }
        self.log(actor, Asked::Append(runs), LogRequest::Append(appends))
    }

    fn follow(&mut self, actor: usize) -> Request {
        let mut readings = Vec::new();
        for partition in 0..self.partitions.len() {
            if self.random.chance(60) {
                // A reader that starts anew sees what the others saw.
                let offset = match self.random.chance(10) {
                    true => self.partitions[partition].start,
                    false => self.followers[actor - PRODUCERS].places[partition],
                };
                readings.push(self.partitions[partition].reading(partition, offset));
            }
        }
        let (bytes_max, wait_ms) = (
            *self.random.pick(&[1, 700, 8_000, 1 << 20]).unwrap_or(&1),
            *self.random.pick(&[0, 0, 30, 300]).unwrap_or(&0),
        );
        self.read_request(actor, readings, bytes_max, wait_ms)
    }

    pub(crate) fn read_request(
        &mut self,
        actor: usize,
        readings: Vec<Reading>,
        bytes_max: u32,
        wait_ms: u64,
    ) -> Request {
        let reads = readings.iter().map(|one| Read {
            partition: self.partitions[one.partition].name.clone(),
            id: None,
            offset: one.offset,
            bytes_max,
        });
        let request = ReadRequest {
            reads: reads.collect(),
            bytes_max: bytes_max.saturating_mul(2),
            bytes_min: 1,
            wait_ms,
            committed: false,
        };
        self.log(actor, Asked::Read(readings), LogRequest::Read(request))
    }

    fn remember(&mut self, actor: usize) -> Option<Request> {
        let follower = &mut self.followers[actor - PRODUCERS];
        let mut offsets = Vec::new();
        for (partition, place) in follower.places.iter().enumerate() {
            if *place > 0 && self.random.chance(70) {
                let asked = follower.asked.entry(partition).or_default();
                *asked = (*asked).max(*place);
                offsets.push((partition, *asked));
            }
        }
        if offsets.is_empty() {
            return None;
        }
        let named = offsets.iter().map(|(partition, offset)| GroupOffset {
            partition: self.partitions[*partition].name.clone(),
            offset: *offset,
            epoch: None,
            metadata: String::new(),
        });
        let request = GroupRequest::Commit {
            membership: follower.membership(),
            offsets: named.collect(),
            forbidden: Vec::new(),
        };
        Some(self.group(actor, Asked::Commit(offsets), request))
    }

    /// Asks for what is remembered of a follower.
    pub(crate) fn recall(&mut self, follower: usize, actor: usize) -> Request {
        let one = &self.followers[follower];
        let known = one.sure.clone();
        let request = GroupRequest::Offsets {
            membership: one.membership(),
            partitions: None,
            stable: false,
        };
        self.group(actor, Asked::Offsets(follower, known), request)
    }

    /// Gives up some of a partition, now and then.
    fn give_up(&mut self) -> Option<Request> {
        let at = self.random.index(self.partitions.len());
        if !self.random.chance(30) {
            return None;
        }
        let partition = &mut self.partitions[at];
        let (start, end) = (partition.start, partition.end_sure);
        let wanted = self.random.between(start, end.max(start));
        if wanted > end {
            return None;
        }
        partition.trim_asked = partition.trim_asked.max(wanted);
        let request = LogRequest::Trim(vec![(partition.name.clone(), Some(wanted))]);
        Some(self.log(AUDITOR, Asked::Trim(at, wanted), request))
    }
}
