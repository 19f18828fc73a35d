//! A publisher to a log that keeps only the latest record of each key, and whoever reads it from the start.
//!
//! ```text
//! runs of 1 to 6 records of 8 keys, many of them tombstones --> log "latest", which compacts
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use polybus_broker::Clock;
use polybus_model::{
    Append, CompactionSettings, Event, LogReply, LogRequest, LogSettings, Millis, NewRun, Request,
    RunContent, Slice,
};

use super::packing::{ORIGIN, Packed, pack, unpack};
use super::{Clerk, declare, log, partition, read_all};
use crate::clock::SimClock;
use crate::invariants::{clerk_answers, compacted};
use crate::random::Random;
use crate::violation::Verdict;

pub(crate) const LOG: &str = "latest";
const KEYS: u64 = 8;
/// Less than the clock jumps at once.
pub(crate) const TOMBSTONES_MS: Millis = 20 * 60_000;

enum Asked {
    Append(Vec<u64>),
    Read,
}

/// A record that was sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) key: u8,
    pub(crate) is_tombstone: bool,
    /// Where it is, once that is sure.
    pub(crate) offset: Option<u64>,
    /// The earliest that the clock has said since it was sent: what is promised of it counts from there at the earliest.
    pub(crate) since: Millis,
}

/// The clerk.
pub(super) struct Latest {
    clock: Arc<SimClock>,
    now_max: Millis,
    asked: BTreeMap<u64, Asked>,
    next_number: u64,
    /// By their numbers, which rise in the order of the log.
    sent: BTreeMap<u64, Sent>,
    /// What the last look has shown: offset and record.
    seen: Vec<(u64, Packed)>,
}

impl Latest {
    pub(super) fn new(clock: Arc<SimClock>) -> Self {
        Self {
            clock,
            now_max: 0,
            asked: BTreeMap::new(),
            next_number: 0,
            sent: BTreeMap::new(),
            seen: Vec::new(),
        }
    }

    fn ask(&mut self, asked: Asked, request: LogRequest) -> Request {
        self.next_number += 1;
        self.asked.insert(self.next_number, asked);
        log(self.next_number, request)
    }

    fn append(&mut self, random: &mut Random) -> Request {
        let first = self.sent.last_key_value().map_or(1, |(last, _)| last + 1);
        let since = self.clock.now();
        let records = (first..=first + random.below(6)).zip(0_u32..);
        let records = records.map(|(number, position)| {
            let (key, is_tombstone) = (random.below(KEYS) as u8, random.chance(40));
            let one = Sent {
                key,
                is_tombstone,
                offset: None,
                since,
            };
            self.sent.insert(number, one);
            Packed {
                position,
                key,
                number,
                is_tombstone,
            }
        });
        let records: Vec<Packed> = records.collect();
        let append = Append {
            partition: partition(LOG, 0),
            id: None,
            run: NewRun {
                count: records.len() as u32,
                time_max: None,
                time_min: None,
                keyed: true,
                crc: None,
                writer: None,
                content: RunContent::Packed {
                    origin: ORIGIN,
                    bytes: pack(&records, None),
                },
            },
        };
        let numbers = records.iter().map(|one| one.number).collect();
        self.ask(Asked::Append(numbers), LogRequest::Append(vec![append]))
    }

    fn read(&mut self) -> Request {
        self.ask(Asked::Read, read_all(partition(LOG, 0), false))
    }

    /// What there is, read from the start.
    fn shown(&mut self, slice: &Slice) -> Verdict {
        self.seen.clear();
        for run in &slice.runs {
            let RunContent::Packed { bytes, .. } = &run.content else {
                return compacted::unreadable(run.offset);
            };
            let Some((records, _)) = unpack(bytes) else {
                return compacted::unreadable(run.offset);
            };
            let records = records.into_iter();
            let placed = records.map(|one| (run.offset + u64::from(one.position), one));
            self.seen.extend(placed);
        }
        compacted::check_seen(&self.seen, &mut self.sent)?;
        compacted::check_latest(&self.seen, &self.sent, self.now_max)
    }
}

impl Clerk for Latest {
    fn name(&self) -> &'static str {
        "latest"
    }

    fn declarations(&mut self) -> Vec<Request> {
        let settings = LogSettings {
            compacts: true,
            trims: false,
            compaction: CompactionSettings {
                dirty_permille: 0,
                tombstones_ms: TOMBSTONES_MS,
                ..CompactionSettings::default()
            },
            ..LogSettings::default()
        };
        vec![log(0, declare(LOG, settings))]
    }

    fn time_passed(&mut self) {
        let now = self.clock.now();
        self.now_max = self.now_max.max(now);
        let tombstones = self.sent.values_mut().filter(|one| one.is_tombstone);
        tombstones.for_each(|one| one.since = one.since.min(now));
    }

    fn next(&mut self, random: &mut Random) -> Vec<Request> {
        match random.below(10) {
            _ if !self.asked.is_empty() => Vec::new(),
            0..=2 => vec![self.read()],
            _ => vec![self.append(random)],
        }
    }

    fn told(&mut self, event: Event, may_refuse: bool) -> Verdict {
        let Event::Log { number, reply } = event else {
            return Ok(());
        };
        if number == 0 {
            return Ok(());
        }
        match (self.asked.remove(&number), *reply) {
            (Some(Asked::Append(numbers)), LogReply::Appended(mut results)) => {
                let Some(Ok(appended)) = results.pop() else {
                    return clerk_answers::unexpected(LOG, &"no offset", may_refuse);
                };
                compacted::check_appended(&numbers, appended.offset, &mut self.sent)
            }
            (Some(Asked::Read), LogReply::Read(mut slices)) => match slices.pop() {
                Some(Ok(slice)) => self.shown(&slice),
                _ => clerk_answers::unexpected(LOG, &"no slice", may_refuse),
            },
            (Some(_), reply) => clerk_answers::unexpected(LOG, &reply, may_refuse),
            (None, _) => clerk_answers::unasked(self.name(), number),
        }
    }

    fn connection_gone(&mut self) {
        self.asked.clear();
    }

    fn look(&mut self, step: usize) -> Option<Request> {
        (step == 0).then(|| self.read())
    }

    fn looked(&mut self) -> Verdict {
        // What was not answered and is not there never will be.
        self.sent.retain(|_, one| one.offset.is_some());
        Ok(())
    }
}
