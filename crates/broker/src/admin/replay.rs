//! Replay: records of a log, chosen, copied into a topic or a queue. One call is one step of bounded size; the caller goes on
//! where a step ended, and can do so after an interruption.
//!
//! What always holds: what a step copied is on disk when it answers; key, properties and body of a copy are those of the
//! record; nothing that a transaction has not committed is copied.

use polybus_engine::{HeaderReaders, Put};
use polybus_model::{
    Batch, Event, Lane, LogError, LogReply, LogRequest, Message, Name, PartitionName, Place,
    Publish, Read, ReadRequest, Request, Run, Slice, Value,
};
use regex_lite::Regex;
use serde::{Deserialize, Serialize};

use super::visitor::Visitor;
use super::{Failure, Result, named, told};
use crate::broker::Broker;

/// Bytes that a step reads; the first run comes even if it is larger.
const STEP_BYTES: u32 = 1 << 20;

/// Where a replay begins or ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// The first record there is.
    First,
    /// Behind the last record that is committed.
    End,
    /// An offset.
    Offset(u64),
    /// The first record of that time or later, in milliseconds since the Unix epoch.
    Time(u64),
}

/// Where copies go.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// To a topic, which routes them by their keys and headers.
    Topic(String),
    /// Into this queue.
    Queue(String),
}

/// Which records are copied.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Selection {
    /// Those whose key this regular expression finds something in.
    pub key: Option<String>,
    /// Those with this header, of this value as text.
    pub header: Option<(String, String)>,
}

/// Offsets of a partition: from, and up to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Range {
    /// The partition.
    pub partition: u32,
    /// The first offset.
    pub from: u64,
    /// The first offset that is not meant.
    pub until: u64,
}

/// A step of a replay.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Replay {
    /// The log.
    pub log: String,
    /// What is left to copy.
    pub range: Range,
    /// Which of it.
    pub selection: Selection,
    /// Where to.
    pub to: Target,
    /// Copy nothing, only count.
    pub dry_run: bool,
    /// Records that are copied at most.
    pub records_max: u32,
}

/// What a step came to.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Replayed {
    /// Where to go on.
    pub next: u64,
    /// Records looked at.
    pub read: u64,
    /// Records copied, or that would be.
    pub copied: u64,
    /// The bytes of their bodies.
    pub bytes: u64,
    /// Of those, records that the topic led nowhere.
    pub unrouted: u64,
}

impl Broker {
    /// The offsets that two bounds mean in a log's partitions, or in one of them.
    ///
    /// # Errors
    /// There is no such log or partition.
    pub fn replay_ranges(
        &self,
        namespace: &str,
        log: &str,
        partition: Option<u32>,
        bounds: (Bound, Bound),
    ) -> Result<Vec<Range>> {
        let mut visitor = Visitor::enter(self, namespace)?;
        let name = named(log)?;
        let which = polybus_model::WhichLogs::Named(vec![name.clone()]);
        let LogReply::Logs(found) = visitor.ask_log(LogRequest::List(which))? else {
            return Ok(Vec::new());
        };
        let Some(Ok(found)) = found.first() else {
            return Err(Failure(format!("there is no log '{log}'")));
        };
        let count = found.settings.partitions;
        if let Some(partition) = partition.filter(|one| *one >= count) {
            let text =
                format!("log '{log}' has {count} partitions, from 0: there is no {partition}");
            return Err(Failure(text));
        }
        let partitions = partition.map_or(0..count, |one| one..one + 1);
        let mut ranges = Vec::new();
        for partition in partitions {
            let of = PartitionName {
                log: name.clone(),
                partition,
            };
            let [start, end] = [Place::Start, Place::StableEnd];
            let start = visitor.find(&of, start)?.unwrap_or(0);
            let end = visitor.find(&of, end)?.unwrap_or(start);
            let mut offset = |bound| match bound {
                Bound::First => Ok(start),
                Bound::End => Ok(end),
                Bound::Offset(offset) => Ok(offset.clamp(start, end)),
                Bound::Time(time) => {
                    let found = visitor.find(&of, Place::Time(time))?;
                    Ok(found.unwrap_or(end).min(end))
                }
            };
            ranges.push(Range {
                partition,
                from: offset(bounds.0)?,
                until: offset(bounds.1)?,
            });
        }
        Ok(ranges)
    }

    /// Copies some of a range, and says where to go on. Blocks until the copies are on disk.
    ///
    /// # Errors
    /// There is no such log, topic or queue; a copy was refused; the disk has no room. What was copied before is, then, in
    /// its place as well: the step is to be repeated as a whole.
    pub fn replay(&self, namespace: &str, step: &Replay) -> Result<Replayed> {
        if !step.dry_run && self.0.is_out_of_room() {
            return Err(Failure("the disk has no room for copies".into()));
        }
        let chooser = Chooser::new(&step.selection)?;
        let mut visitor = Visitor::enter(self, namespace)?;
        let mut replayed = Replayed {
            next: step.range.from,
            ..Replayed::default()
        };
        let mut copies = Vec::new();
        let slice = visitor.read(&named(&step.log)?, step.range)?;
        let behind = slice.stable_end.min(step.range.until);
        self.choose(slice, step, &chooser, &mut copies, &mut replayed)?;
        // Nothing more is there to be read: what was given up, or the end.
        if replayed.read == 0 {
            replayed.next = replayed.next.max(behind);
        }
        replayed.copied = copies.len() as u64;
        replayed.bytes = copies.iter().map(|one| one.body().len() as u64).sum();
        if !step.dry_run && !copies.is_empty() {
            replayed.unrouted = match &step.to {
                Target::Topic(topic) => visitor.publish_all(&named(topic)?, &copies)?,
                Target::Queue(queue) => {
                    self.put_all(namespace, &named(queue)?, &copies)?;
                    0
                }
            };
        }
        Ok(replayed)
    }

    /// Adds the chosen records of a slice to `copies`, and says in `replayed` how far it went.
    fn choose(
        &self,
        slice: Slice,
        step: &Replay,
        chooser: &Chooser,
        copies: &mut Vec<Message>,
        replayed: &mut Replayed,
    ) -> Result<()> {
        let log = named(&step.log)?;
        let readers = &self.0.options.header_readers;
        let mut messages = Vec::new();
        let runs = slice.runs.last().map(Run::end);
        for run in slice.into_records() {
            messages.clear();
            let reader = &self.0.options.run_readers;
            reader.read(&log, &run.content, &mut messages);
            for (at, message) in messages.drain(..) {
                let offset = run.offset.saturating_add(at.into());
                if offset < step.range.from {
                    continue;
                }
                if offset >= step.range.until || copies.len() >= step.records_max as usize {
                    return Ok(());
                }
                replayed.read += 1;
                replayed.next = offset + 1;
                if chooser.wants(&message, readers) {
                    copies.push(message);
                }
            }
        }
        // Behind the last record there may be ends of transactions.
        if let Some(end) = runs {
            replayed.next = replayed.next.max(end).min(step.range.until);
        }
        Ok(())
    }

    /// Puts messages into a queue, as they are.
    fn put_all(&self, namespace: &str, queue: &Name, messages: &[Message]) -> Result<()> {
        let namespace = named(namespace)?;
        self.durably(|inner| {
            let now = inner.clock.now();
            let put = inner.shard.turn(|engine, staging, _, out| {
                engine.put_into_queue((&namespace, queue), messages, now, staging, out)
            });
            match put {
                Put::All => Ok(()),
                Put::NoQueue => Err(super::no_queue(namespace.as_str(), queue.as_str())),
                Put::Refused => Err(Failure(format!("queue '{queue}' is full and refuses more"))),
            }
        })
    }
}

/// A selection, ready to choose.
struct Chooser {
    key: Option<Regex>,
    header: Option<(String, String)>,
}

impl Chooser {
    fn new(selection: &Selection) -> Result<Self> {
        let key = selection.key.as_deref().map(Regex::new).transpose();
        Ok(Self {
            key: key.map_err(|error| Failure(format!("the pattern of the key: {error}")))?,
            header: selection.header.clone(),
        })
    }

    fn wants(&self, message: &Message, readers: &HeaderReaders) -> bool {
        let has_key = self.key.as_ref().is_none_or(|key| {
            let text = String::from_utf8_lossy(message.key());
            key.is_match(&text)
        });
        has_key
            && self.header.as_ref().is_none_or(|(name, wanted)| {
                let headers = readers.headers(message);
                headers
                    .lookup(name)
                    .is_some_and(|value| is_text(value, wanted))
            })
    }
}

/// Whether a header's value is this text.
fn is_text(value: &Value, text: &str) -> bool {
    match (value, value.as_str(), value.as_i64()) {
        (Value::Bool(value), ..) => value.to_string() == text,
        (_, Some(value), _) => value == text,
        (_, _, Some(number)) => number.to_string() == text,
        _ => false,
    }
}

impl Visitor {
    fn find(&mut self, of: &PartitionName, place: Place) -> Result<Option<u64>> {
        let request = LogRequest::FindOffsets(vec![(of.clone(), place)]);
        match self.ask_log(request)? {
            LogReply::Offsets(mut found) => match found.pop() {
                Some(Ok(found)) => Ok(found.map(|found| found.offset)),
                Some(Err(error)) => Err(log_failure(&of.log, &error)),
                None => Ok(None),
            },
            _ => Ok(None),
        }
    }

    fn read(&mut self, log: &Name, range: Range) -> Result<Slice> {
        let read = |offset| Read {
            partition: PartitionName {
                log: log.clone(),
                partition: range.partition,
            },
            id: None,
            offset,
            bytes_max: STEP_BYTES,
        };
        let mut from = range.from;
        loop {
            let request = ReadRequest {
                reads: vec![read(from)],
                bytes_max: STEP_BYTES,
                bytes_min: 0,
                wait_ms: 0,
                committed: true,
            };
            let LogReply::Read(mut slices) = self.ask_log(LogRequest::Read(request))? else {
                return Ok(Slice::default());
            };
            match slices.pop() {
                Some(Ok(slice)) => return Ok(slice),
                // What was there is given up by now.
                Some(Err(LogError::OutOfRange { start, .. })) if start > from => from = start,
                Some(Err(error)) => return Err(log_failure(log, &error)),
                None => return Ok(Slice::default()),
            }
        }
    }

    /// Publishes messages to a topic, and waits for their confirms; says how many led nowhere.
    fn publish_all(&mut self, topic: &Name, messages: &[Message]) -> Result<u64> {
        let publishes = messages.iter().zip(1..).map(|(message, number)| {
            let publish = Publish {
                message: message.readdressed(topic),
                more_keys: Vec::new(),
                mandatory: true,
                confirm: Some(number),
                delay: None,
            };
            (Lane(0), Request::Publish(publish))
        });
        self.submit_all(&mut Batch {
            requests: publishes.collect(),
        });
        let (mut unrouted, mut refused) = (0, 0);
        loop {
            match self.next_event()? {
                Event::Confirmed { through, .. } if through == messages.len() as u64 => break,
                Event::Returned { .. } => unrouted += 1,
                Event::Refused { number, .. } => {
                    refused += 1;
                    if number == messages.len() as u64 {
                        break;
                    }
                }
                Event::Failed { error, .. } => return Err(told(error)),
                _ => {}
            }
        }
        if refused > 0 {
            let text = format!("{refused} copies were refused by a full queue or a log");
            return Err(Failure(text));
        }
        Ok(unrouted)
    }
}

fn log_failure(log: &Name, error: &LogError) -> Failure {
    Failure(match error {
        LogError::NotFound => format!("there is no log '{log}' with that partition"),
        other => format!("log '{log}' cannot be read: {other:?}"),
    })
}
