//! A publisher to a keyed log, which names its messages, and a reader of it whose records are settled one by one.
//!
//! ```text
//! publisher --ids--> log "kv" --reader "r"--> pulls: handed out, settled, and the settlement waited for
//! ```

use std::collections::{BTreeMap, BTreeSet};

use polybus_model::{
    Acknowledging, Declaring, Event, FilterWord, GroupReply, GroupRequest, HandedRecord,
    KeyedSettings, LiveFilter, LogReply, LogRequest, LogSettings, Pull, PullLimits, ReaderOutcome,
    ReaderReply, ReaderRequest, ReaderSettings, ReaderStart, Request, SubscribeLive, SubscriberId,
    Terms,
};

use super::{Clerk, bytes_of, declare, log, number_of, numbered, numbers_in, partition, read_all};
use crate::invariants::{clerk_answers, keyed_kept, reader_settled};
use crate::random::Random;
use crate::shape::name;
use crate::violation::Verdict;

const LOG: &str = "kv";
const READER: &str = "r";
const INBOX: &str = "kv-inbox";
const KEYS: [&str; 3] = ["kv.a", "kv.b", "kv.c"];
/// Longer than a run lasts, clock jumps and all.
const DUPLICATES_MS: u64 = 100 * 24 * 3_600_000;

enum Asked {
    Store(u64),
    Settle(u64),
    Pull,
    Look,
    Reader,
}

/// The clerk.
pub(super) struct Keyed {
    asked: BTreeMap<u64, Asked>,
    next_number: u64,
    next_message: u64,
    /// Messages whose fate is not known, and that may be sent again.
    unsure: BTreeSet<u64>,
    /// Where messages are that are sure to be there.
    sure: BTreeMap<u64, u64>,
    /// Offsets that were handed out and not settled yet.
    held: Vec<u64>,
    /// Offsets that were settled, and that this was confirmed of.
    settled: BTreeSet<u64>,
    seen: Vec<(u64, u64)>,
    drained: usize,
}

impl Keyed {
    pub(super) fn new() -> Self {
        Self {
            asked: BTreeMap::new(),
            next_number: 0,
            next_message: 0,
            unsure: BTreeSet::new(),
            sure: BTreeMap::new(),
            held: Vec::new(),
            settled: BTreeSet::new(),
            seen: Vec::new(),
            drained: 0,
        }
    }

    fn number(&mut self, asked: Asked) -> u64 {
        self.next_number += 1;
        self.asked.insert(self.next_number, asked);
        self.next_number
    }

    fn reader(&mut self, asked: Asked, request: ReaderRequest) -> Request {
        Request::Group {
            number: self.number(asked),
            request: Box::new(GroupRequest::Reader(Box::new(request))),
        }
    }

    /// A message, again where it is not known whether it is there.
    fn store(&mut self, random: &mut Random) -> Request {
        let again = random.chance(70).then(|| self.unsure.first().copied());
        // Now and then one that is known to be there: it must be found again.
        let known = random.chance(15).then(|| {
            let known: Vec<u64> = self.sure.keys().copied().collect();
            random.pick(&known).copied()
        });
        let message = again.flatten().or(known.flatten()).unwrap_or_else(|| {
            self.next_message += 1;
            self.next_message
        });
        if !self.sure.contains_key(&message) {
            self.unsure.insert(message);
        }
        let key = KEYS[message as usize % KEYS.len()];
        // The same each time, whoever sends it.
        let body = numbered(LOG, key, message, &mut Random::new(message));
        let terms = Terms {
            id: Some(bytes_of(&format!("id{message}"))),
            ..Terms::default()
        };
        let request = LogRequest::Store {
            log: name(LOG),
            message: body,
            terms: Box::new(terms),
        };
        log(self.number(Asked::Store(message)), request)
    }

    fn pull(&mut self, random: &mut Random) -> Request {
        let pull = Pull {
            key: bytes_of(INBOX),
            records: random.between(1, 5) as u32,
            bytes_max: None,
            each_bytes: 0,
            wait_ms: Some(random.between(0, 300)),
            no_wait: random.chance(50),
            heartbeat_ms: None,
            standing: None,
        };
        let request = ReaderRequest::Pull {
            topic: name("amq.topic"),
            log: name(LOG),
            name: READER.to_owned(),
            pull,
        };
        self.reader(Asked::Pull, request)
    }

    fn settle(&mut self, random: &mut Random) -> Option<Request> {
        let at = random.index(self.held.len());
        let offset = *self.held.get(at)?;
        self.held.swap_remove(at);
        let outcome = match random.chance(75) {
            true => ReaderOutcome::Accept,
            false => ReaderOutcome::Release(random.below(20)),
        };
        let asked = match outcome {
            ReaderOutcome::Accept => Asked::Settle(offset),
            _ => Asked::Pull,
        };
        let request = ReaderRequest::Settle {
            log: name(LOG),
            name: READER.to_owned(),
            offset,
            outcome,
            is_awaited: true,
        };
        Some(self.reader(asked, request))
    }

    fn note(&mut self, asked: Asked, reply: LogReply, may_refuse: bool) -> Verdict {
        match (asked, reply) {
            (Asked::Store(message), LogReply::Stored(Ok(stored))) => {
                let known = self.sure.get(&message).copied();
                keyed_kept::check_stored(message, known, &stored)?;
                self.unsure.remove(&message);
                self.sure.insert(message, stored.offset);
                Ok(())
            }
            (Asked::Look, LogReply::Read(mut slices)) => {
                let Some(Ok(slice)) = slices.pop() else {
                    return clerk_answers::unexpected(LOG, &"no slice", may_refuse);
                };
                self.seen.clear();
                for (offset, number) in numbers_in(&slice) {
                    let sent = number.filter(|number| *number <= self.next_message);
                    self.seen
                        .push((offset, keyed_kept::check_sent(offset, sent)?));
                }
                Ok(())
            }
            (_, reply) => clerk_answers::unexpected(LOG, &reply, may_refuse),
        }
    }

    /// A record was handed out.
    fn handed(&mut self, one: &HandedRecord) -> Verdict {
        let sure = number_of(&one.message).and_then(|number| self.sure.get(&number).copied());
        reader_settled::check(one.offset, sure, &self.settled)?;
        if !self.held.contains(&one.offset) {
            self.held.push(one.offset);
        }
        Ok(())
    }

    fn note_reader(&mut self, asked: Asked, reply: ReaderReply, may_refuse: bool) -> Verdict {
        match (asked, reply) {
            (Asked::Settle(offset), ReaderReply::Done(Ok(()))) => {
                self.settled.insert(offset);
                Ok(())
            }
            (Asked::Pull, ReaderReply::Done(Ok(())))
            | (Asked::Reader, ReaderReply::Reader(Ok(_))) => Ok(()),
            (_, reply) => clerk_answers::unexpected(LOG, &reply, may_refuse),
        }
    }
}

impl Clerk for Keyed {
    fn name(&self) -> &'static str {
        "keyed"
    }

    fn declarations(&mut self) -> Vec<Request> {
        let settings = LogSettings {
            keyed: Some(Box::new(KeyedSettings {
                duplicates_ms: DUPLICATES_MS,
                ..KeyedSettings::default()
            })),
            ..LogSettings::default()
        };
        let declare_reader = ReaderRequest::Declare {
            log: name(LOG),
            name: READER.to_owned(),
            settings: Box::new(reader_settings()),
            declaring: Declaring::Any,
        };
        vec![
            log(0, declare(LOG, settings)),
            self.reader(Asked::Reader, declare_reader),
        ]
    }

    fn greets(&mut self) -> Vec<Request> {
        vec![Request::SubscribeLive(Box::new(SubscribeLive {
            subscriber: SubscriberId(1),
            topic: name("amq.topic"),
            filter: LiveFilter::new([FilterWord::Exact(INBOX.as_bytes())]),
            share: None,
            echo: true,
        }))]
    }

    fn next(&mut self, random: &mut Random) -> Vec<Request> {
        let mut requests = Vec::new();
        let bytes = std::mem::take(&mut self.drained);
        if bytes > 0 {
            requests.push(Request::Drained { bytes });
        }
        let is_storing = |asked: &Asked| matches!(asked, Asked::Store(_));
        match random.below(10) {
            0..=3 if !self.asked.values().any(is_storing) => requests.push(self.store(random)),
            4..=6 => requests.push(self.pull(random)),
            _ => requests.extend(self.settle(random)),
        }
        requests
    }

    fn told(&mut self, event: Event, may_refuse: bool) -> Verdict {
        match event {
            Event::Log { number: 0, .. } => Ok(()),
            Event::Log { number, reply } => match self.asked.remove(&number) {
                Some(asked) => self.note(asked, *reply, may_refuse),
                None => clerk_answers::unasked(self.name(), number),
            },
            Event::Group { number, reply } => match (self.asked.remove(&number), *reply) {
                (Some(asked), GroupReply::Reader(reply)) => {
                    self.note_reader(asked, reply, may_refuse)
                }
                _ => clerk_answers::unasked(self.name(), number),
            },
            Event::LiveMessage { message, .. } => {
                self.drained += message.memory_size();
                Ok(())
            }
            Event::Records {
                block,
                targets,
                bytes,
            } => {
                self.drained += bytes;
                let mut records = targets.iter();
                records.try_for_each(|(at, _)| match block.records.get(*at as usize) {
                    Some(one) => self.handed(one),
                    None => Ok(()),
                })
            }
            _ => Ok(()),
        }
    }

    fn connection_gone(&mut self) {
        self.asked.clear();
        self.held.clear();
        self.drained = 0;
    }

    fn look(&mut self, step: usize) -> Option<Request> {
        let read = read_all(partition(LOG, 0), false);
        (step == 0).then(|| log(self.number(Asked::Look), read))
    }

    fn looked(&mut self) -> Verdict {
        keyed_kept::check(&self.sure, &self.seen)
    }
}

fn reader_settings() -> ReaderSettings {
    ReaderSettings {
        topic: name("amq.topic"),
        push: None,
        pulls: PullLimits::default(),
        groups: None,
        sampled_percent: 0,
        start: ReaderStart::First,
        filters: Vec::new(),
        acknowledging: Acknowledging::Each,
        lease_ms: 200,
        leases_ms: Vec::new(),
        attempts_max: None,
        leased_max: Some(20),
        keeps_pace: false,
        headers_only: false,
        bits_per_second: None,
        idle_ms: None,
        paused_until: None,
        durable: true,
        dead_letters: None,
        arguments: Vec::new(),
    }
}
