//! The records that an engine journals, byte by byte. Numbers are little-endian; a name is a length byte and UTF-8, a
//! text a u32 and UTF-8; an option is 0, or 1 and a u64. Every payload starts with its kind and the version of its format, so that old records
//! stay readable; what does not fit is [`Corrupt`], never a panic.
//!
//! | kind | payload after `kind u8, version u8` |
//! |---|---|
//! | 1 publish | targets u32, each: queue u64, sequence u64, flags u8 (1 transient, 2 expires), [expiry u64]; message |
//! | 2 delayed | sequence u64, due u64, namespace name, topics u32 and names, keys, message |
//! | 3 settle | queue u64 (0: the delayed), ranges u32, each: first u64, length u32 |
//! | 4 attempts | queue u64, count u32, each: sequence u64, failed u32, all u32, due u64 (0: not waiting) |
//! | 5, 6 namespace added, deleted | name |
//! | 7 topic declared | namespace name, name, settings |
//! | 8 topic deleted | namespace name, name |
//! | 9 queue declared | namespace name, incarnation u64, name, settings |
//! | 10 queue deleted | incarnation u64 |
//! | 11, 12 bound, unbound | namespace name, binding |
//! | 13 to 18 | of logs: see `logs/record.rs` |
//! | 19 to 22 | of transactions: see `logs/transaction_record.rs` |
//! | 23, 24 | of single runs of logs: see `logs/record.rs` |
//! | 26 to 28 | of what transactions owe: see `logs/owed/record.rs` |
//! | 32 offsets committed | namespace name, group text, offsets u32, each: log name, partition u32, offset u64, epoch option, time u64, remark text |
//! | 33 offsets forgotten | namespace name, group text, partitions u32, each: log name, partition u32 |
//! | 34 group changed | namespace name, group text, generation u32, flag u8 and, if 1, protocol type text, empty since option |
//! | 35 group deleted | namespace name, group text |
//! | 36 window opened, or closed | window u64, flag u8 and, if 1 (opened), namespace name, group text, log u64, partition u32, floor u64 |
//! | 37 window settled | window u64, ranges u32, each: first u64, end u64 |
//! | 38 window returned | window u64, spans u32, each: first u64, end u64, attempts u32, state u8 (0 ready, 1 waiting, 2 attempts used up, 3 rejected), if waiting due u64 |
//! | 39 group configured | namespace name, group text, beginning u8 (0 start, 1 end, 2 age and u64), lease ms u64, committed u8, attempts option, unsettled u32, dead letter flag u8 and, if 1, name, arguments u32, each: name text, value text |
//! | 48 reader declared | reader u64 (its window), namespace name, log u64, partition u32, name text, created u64, first u64, last of keys u64, settings as in `groups/readers/record.rs` |
//! | 49 reader deleted | reader u64 |
//! | 50 reader counted | reader u64, sequence u64, delivered option, settled option |
//! | 57 reader's manners | reader u64, sampled percent u8, flag u8 and, if 1, precedence u8 (0 overflow, 1 pinned and ms u64, 2 ranked), groups u32, each: name text; behind the declaration that it adds to |
//! | 40, 54 | of keyed logs: see `logs/keyed/record.rs` |
//!
//! The message is written as in `record/message.rs`, settings and bindings as in `record/settings.rs`. A transient target
//! is in the journal only to be out of memory: recovery passes it over.

pub(crate) mod codec;
pub(crate) mod filter;
pub(crate) mod message;
mod plain;
pub(crate) mod settings;

use std::fmt;

use polybus_model::{Attempts, Message, Millis};

use crate::Place;
use crate::logs::{
    At,
    record::{revision, run_head},
};
use codec::{Bounded, Put};
use message::Glance;

/// The kinds. Those from 64 on are free for the broker.
pub(crate) mod kind {
    pub(crate) const PUBLISH: u8 = 1;
    pub(crate) const DELAYED: u8 = 2;
    pub(crate) const SETTLE: u8 = 3;
    pub(crate) const ATTEMPTS: u8 = 4;
    pub(crate) const NAMESPACE_ADDED: u8 = 5;
    pub(crate) const NAMESPACE_DELETED: u8 = 6;
    pub(crate) const TOPIC_DECLARED: u8 = 7;
    pub(crate) const TOPIC_DELETED: u8 = 8;
    pub(crate) const QUEUE_DECLARED: u8 = 9;
    pub(crate) const QUEUE_DELETED: u8 = 10;
    pub(crate) const BOUND: u8 = 11;
    pub(crate) const UNBOUND: u8 = 12;
    // 13 to 18: logs, see `logs/record.rs`.
    pub(crate) const LOG_DECLARED: u8 = 13;
    pub(crate) const LOG_ALTERED: u8 = 14;
    pub(crate) const LOG_DELETED: u8 = 15;
    pub(crate) const RUN_APPENDED: u8 = 16;
    pub(crate) const LOG_TRIMMED: u8 = 17;
    pub(crate) const PRODUCERS_RESERVED: u8 = 18;
    // 19 to 22: transactions, see `logs/transaction_record.rs`.
    pub(crate) const TRANSACTIONAL_PRODUCER: u8 = 19;
    pub(crate) const TRANSACTION_PARTITIONS: u8 = 20;
    pub(crate) const TRANSACTION_OFFSETS: u8 = 21;
    pub(crate) const PRODUCER_FORGOTTEN: u8 = 22;
    // 23 to 25: what becomes of single runs, see `logs/record.rs`.
    pub(crate) const RUNS_REMOVED: u8 = 23;
    pub(crate) const RUN_REPLACED: u8 = 24;
    // 26 to 28: what transactions owe, see `logs/owed/record.rs`.
    pub(crate) const TRANSACTION_OWED: u8 = 26;
    pub(crate) const TRANSACTION_PAID: u8 = 27;
    pub(crate) const TRANSACTIONS_HANDED: u8 = 28;
    pub(crate) const OFFSETS_COMMITTED: u8 = 32;
    pub(crate) const OFFSETS_FORGOTTEN: u8 = 33;
    pub(crate) const GROUP_CHANGED: u8 = 34;
    pub(crate) const GROUP_DELETED: u8 = 35;
    // Of groups that lease, see `groups/leased/record.rs`.
    // 48 to 50: readers, see `groups/readers/record.rs`.
    pub(crate) const READER_DECLARED: u8 = 48;
    pub(crate) const READER_DELETED: u8 = 49;
    pub(crate) const READER_COUNTED: u8 = 50;
    pub(crate) const READER_MANNERS: u8 = 57;
    pub(crate) const WINDOW_OPENED: u8 = 36;
    pub(crate) const WINDOW_SETTLED: u8 = 37;
    pub(crate) const WINDOW_RETURNED: u8 = 38;
    // 40 to 47: keyed logs, see `logs/keyed/record.rs`.
    pub(crate) const MESSAGE_ID: u8 = 40;
    pub(crate) const FOLLOWED: u8 = 51;
    pub(crate) const RECORD_SCHEDULED: u8 = 54;
    pub(crate) const GROUP_CONFIGURED: u8 = 39;
}

const VERSION: u8 = 1;
const TRANSIENT: u8 = 1;
const EXPIRES: u8 = 2;

/// The incarnation that stands for the messages waiting in delayed topics.
pub(crate) const DELAYED_QUEUE: u64 = 0;

/// A record or snapshot that cannot be what an engine wrote.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Corrupt(pub String);

impl Corrupt {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Corrupt {}

/// One queue that a published message goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Target {
    pub(crate) queue: u64,
    pub(crate) sequence: u64,
    pub(crate) transient: bool,
    pub(crate) expiry: Option<Millis>,
}

impl Target {
    fn flags(&self) -> u8 {
        let transient = if self.transient { TRANSIENT } else { 0 };
        transient | self.expiry.map_or(0, |_| EXPIRES)
    }
}

/// Starts a payload.
pub(crate) fn begin(out: &mut Vec<u8>, kind: u8) {
    out.clear();
    out.extend_from_slice(&[kind, VERSION]);
}

/// Checks the start of a payload and gives its kind.
pub(crate) fn open<'a>(payload: &'a [u8]) -> Result<(u8, Bounded<'a>), Corrupt> {
    let mut from = Bounded::new(payload);
    let kind = from.u8()?;
    match from.u8()? {
        VERSION => Ok((kind, from)),
        other => Err(Corrupt(format!(
            "a record of version {other}; this program reads version {VERSION}"
        ))),
    }
}

/// Writes a publish record up to where the message's bytes follow.
pub(crate) fn put_publish(out: &mut Vec<u8>, targets: &[Target], message: &Message) {
    if !plain::put(out, targets, message) {
        put_publish_in_parts(out, targets, message);
    }
}

fn put_publish_in_parts(out: &mut Vec<u8>, targets: &[Target], message: &Message) {
    begin(out, kind::PUBLISH);
    out.put_u32(targets.len() as u32);
    for target in targets {
        out.put_u64(target.queue);
        out.put_u64(target.sequence);
        out.put_u8(target.flags());
        if let Some(expiry) = target.expiry {
            out.put_u64(expiry);
        }
    }
    message::put_head(out, message);
}

/// Reads the targets of a publish record into `targets`; the message follows in `from`.
pub(crate) fn targets(from: &mut Bounded<'_>, targets: &mut Vec<Target>) -> Result<(), Corrupt> {
    targets.clear();
    let count = from.u32()?;
    for _ in 0..count {
        let (queue, sequence, flags) = (from.u64()?, from.u64()?, from.u8()?);
        if flags & !(TRANSIENT | EXPIRES) != 0 {
            return Err(Corrupt::new("unknown flags of a target"));
        }
        targets.push(Target {
            queue,
            sequence,
            transient: flags & TRANSIENT != 0,
            expiry: (flags & EXPIRES != 0).then(|| from.u64()).transpose()?,
        });
    }
    Ok(())
}

/// Looks at the message at the end of a publish or delayed record.
pub(crate) fn glance(from: &mut Bounded<'_>) -> Result<Glance, Corrupt> {
    message::glance(from)
}

/// The message in a record that [`crate::Load`] names.
///
/// # Errors
/// The payload is no such record.
pub fn decode_message(payload: &[u8]) -> Result<Message, Corrupt> {
    let (kind, mut from) = open(payload)?;
    match kind {
        kind::PUBLISH => {
            let mut ignored = Vec::new();
            targets(&mut from, &mut ignored)?;
        }
        kind::DELAYED => {
            delayed(&mut from)?;
        }
        other => return Err(Corrupt(format!("a record of kind {other} has no message"))),
    }
    message::message(&mut from)
}

/// What a delayed record says before its message.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Delayed {
    pub(crate) sequence: u64,
    pub(crate) due: Millis,
    pub(crate) namespace: polybus_model::Name,
    pub(crate) topics: Vec<polybus_model::Name>,
    pub(crate) more_keys: Vec<bytes::Bytes>,
}

/// Writes a delayed record up to where the message's bytes follow.
pub(crate) fn put_delayed(out: &mut Vec<u8>, delayed: &Delayed, message: &Message) {
    begin(out, kind::DELAYED);
    out.put_u64(delayed.sequence);
    out.put_u64(delayed.due);
    out.put_name(&delayed.namespace);
    out.put_u32(delayed.topics.len() as u32);
    for topic in &delayed.topics {
        out.put_name(topic);
    }
    settings::put_keys(out, &delayed.more_keys);
    message::put_head(out, message);
}

/// Reads a delayed record; the message follows in `from`.
pub(crate) fn delayed(from: &mut Bounded<'_>) -> Result<Delayed, Corrupt> {
    let (sequence, due, namespace) = (from.u64()?, from.u64()?, from.name()?);
    let mut topics = Vec::new();
    for _ in 0..from.u32()? {
        topics.push(from.name()?);
    }
    Ok(Delayed {
        sequence,
        due,
        namespace,
        topics,
        more_keys: settings::keys(from)?,
    })
}

/// Consecutive sequences: the first and how many.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Range {
    pub(crate) first: u64,
    pub(crate) len: u32,
}

impl Range {
    /// The first sequence behind it.
    pub(crate) fn end(self) -> u64 {
        self.first.saturating_add(self.len.into())
    }
}

/// Writes a settle record.
pub(crate) fn put_settle(out: &mut Vec<u8>, queue: u64, ranges: &[Range]) {
    begin(out, kind::SETTLE);
    out.put_u64(queue);
    put_ranges(out, ranges);
}

pub(crate) fn put_ranges(out: &mut Vec<u8>, ranges: &[Range]) {
    out.put_u32(ranges.len() as u32);
    for range in ranges {
        out.put_u64(range.first);
        out.put_u32(range.len);
    }
}

pub(crate) fn ranges(from: &mut Bounded<'_>) -> Result<Vec<Range>, Corrupt> {
    let mut ranges = Vec::new();
    for _ in 0..from.u32()? {
        ranges.push(Range {
            first: from.u64()?,
            len: from.u32()?,
        });
    }
    Ok(ranges)
}

/// How often a message came back, and until when it waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Returned {
    pub(crate) sequence: u64,
    pub(crate) attempts: Attempts,
    pub(crate) due: Millis,
}

/// Writes an attempts record.
pub(crate) fn put_attempts(out: &mut Vec<u8>, queue: u64, attempts: &[Returned]) {
    begin(out, kind::ATTEMPTS);
    out.put_u64(queue);
    put_attempt_list(out, attempts);
}

pub(crate) fn put_attempt_list(out: &mut Vec<u8>, attempts: &[Returned]) {
    out.put_u32(attempts.len() as u32);
    for one in attempts {
        out.put_u64(one.sequence);
        out.put_u32(one.attempts.failed);
        out.put_u32(one.attempts.all);
        out.put_u64(one.due);
    }
}

pub(crate) fn attempt_list(from: &mut Bounded<'_>) -> Result<Vec<Returned>, Corrupt> {
    let mut attempts = Vec::new();
    for _ in 0..from.u32()? {
        attempts.push(Returned {
            sequence: from.u64()?,
            attempts: Attempts {
                failed: from.u32()?,
                all: from.u32()?,
            },
            due: from.u64()?,
        });
    }
    Ok(attempts)
}

/// What a record that holds a message stands for, so that [`crate::Engine`] can say who points at it.
pub(crate) enum Holder {
    /// Queue entries.
    Targets(Vec<Target>),
    /// A message waiting in a delayed topic.
    Delayed(u64),
    /// A run of a log, with its offset.
    Run(At, u64),
}

/// Who points at a record with a message.
pub(crate) fn holder(payload: &[u8]) -> Option<Holder> {
    let (kind, mut from) = open(payload).ok()?;
    match kind {
        kind::PUBLISH => {
            let mut list = Vec::new();
            targets(&mut from, &mut list).ok()?;
            Some(Holder::Targets(list))
        }
        kind::DELAYED => from.u64().ok().map(Holder::Delayed),
        kind::RUN_APPENDED | kind::RUN_REPLACED => {
            revision(kind, &mut from).ok()?;
            let head = run_head(&mut from).ok()?;
            let at = At {
                log: head.log,
                partition: head.partition,
            };
            Some(Holder::Run(at, head.offset))
        }
        _ => None,
    }
}

/// Where a record stands and how long it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stand {
    pub(crate) place: Place,
    pub(crate) len: u32,
}
