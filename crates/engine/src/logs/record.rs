//! The records of logs, byte by byte (see `crate::record` for what all records share).
//!
//! | kind | payload after `kind u8, version u8` |
//! |---|---|
//! | 13 log declared | namespace name, log u64, name, made_topic u8, settings |
//! | 14 log altered | log u64, settings |
//! | 15 log deleted | log u64 |
//! | 16 run appended | log u64, partition u32, offset u64, count u32, appended at u64, flags u8, [time u64], [writer], content |
//! | 17 log trimmed | log u64, partition u32, start u64 |
//! | 18 producers reserved | the first number that is free u64 |
//! | 23 runs removed | log u64, partition u32, ranges u32, each: first u64, length u32 |
//! | 24 run replaced | revision u64, then as in 16: of the records of a run the one with the highest revision counts |
//!
//! ```text
//! flags of a run: 1 it has a time, 2 stamped, 4 it has a writer, 8 the writer's transaction, 16 a message,
//!                 32 it ends a transaction, 64 by a commit
//! writer   = producer u64 | epoch u16 | sequence u32
//! content  = origin u8 and bytes | message as in record/message.rs | nothing where it ends a transaction
//! settings = partitions u32 | flags u8 (1 trims, 2 compacts, 4 stamps, 8 durable, 16 keyed, 32 more) |
//!            retention_ms option | retention_bytes option | run_bytes_max u32 | [more] |
//!            arguments u32, each: name, value | [keyed: keyed/settings.rs]
//! more     = lag_ms_min u64 | lag_ms_max option | dirty_permille u32 | tombstones_ms u64 | past_ms_max option |
//!            future_ms_max option; where it is not said it is as in `LogSettings::default`
//! ```

use bytes::Bytes;
use polybus_model::{
    CompactionSettings, Ends, LogSettings, Millis, Name, Origin, Run, RunContent, Writer,
};

use super::At;
use super::keyed;
use crate::record::codec::{Bounded, Put};
use crate::record::settings::{flags, put_flags};
use crate::record::{Corrupt, Range, begin, kind, message, open, put_ranges};

/// No log has more partitions.
pub(super) const PARTITIONS_MAX: u32 = 1_000_000;

const TIMED: u8 = 1;
const STAMPED: u8 = 2;
const WRITTEN: u8 = 4;
const TRANSACTIONAL: u8 = 8;
const MESSAGE: u8 = 16;
const ENDS: u8 = 32;
const COMMITTED: u8 = 64;

/// What a run's record says before its content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunHead {
    pub(crate) log: u64,
    pub(crate) partition: u32,
    pub(crate) offset: u64,
    pub(crate) count: u32,
    pub(crate) at: Millis,
    pub(crate) time: Option<Millis>,
    pub(crate) stamped: bool,
    pub(crate) writer: Option<Writer>,
    pub(crate) ends: Option<bool>,
    pub(crate) message: bool,
}

impl RunHead {
    /// The latest time of its records.
    pub(crate) fn time_max(&self) -> Option<Millis> {
        if self.stamped {
            Some(self.at)
        } else {
            self.time
        }
    }

    /// To whose transaction its records belong.
    pub(crate) fn transaction(&self) -> Option<u64> {
        let writer = self.writer.filter(|writer| writer.transactional)?;
        self.ends.is_none().then_some(writer.producer)
    }

    /// Of which transaction it is the end.
    pub(crate) fn ended(&self) -> Option<Ends> {
        let (committed, writer) = (self.ends?, self.writer?);
        Some(Ends {
            producer: writer.producer,
            epoch: writer.epoch,
            committed,
        })
    }
}

/// Writes a run's record up to where the content's bytes follow.
pub(crate) fn put_run(out: &mut Vec<u8>, head: &RunHead, content: &RunContent) {
    begin(out, kind::RUN_APPENDED);
    put_run_head(out, head, content);
}

/// Writes the record of a run that takes the place of another, up to where the content's bytes follow.
pub(super) fn put_replaced(out: &mut Vec<u8>, revision: u64, head: &RunHead, content: &RunContent) {
    begin(out, kind::RUN_REPLACED);
    out.put_u64(revision);
    put_run_head(out, head, content);
}

fn put_run_head(out: &mut Vec<u8>, head: &RunHead, content: &RunContent) {
    out.put_u64(head.log);
    out.put_u32(head.partition);
    out.put_u64(head.offset);
    out.put_u32(head.count);
    out.put_u64(head.at);
    let set = |flag, is| if is { flag } else { 0 };
    out.put_u8(
        set(TIMED, head.time.is_some())
            | set(STAMPED, head.stamped)
            | set(WRITTEN, head.writer.is_some())
            | set(
                TRANSACTIONAL,
                head.writer.is_some_and(|one| one.transactional),
            )
            | set(MESSAGE, head.message)
            | set(ENDS, head.ends.is_some())
            | set(COMMITTED, head.ends == Some(true)),
    );
    if let Some(time) = head.time {
        out.put_u64(time);
    }
    if let Some(writer) = head.writer {
        out.put_u64(writer.producer);
        out.put_u16(writer.epoch);
        out.put_u32(writer.sequence);
    }
    match content {
        RunContent::Message(message) => message::put_head(out, message),
        RunContent::Packed { origin, .. } => out.put_u8(origin.0),
    }
}

/// Reads the revision of a run's record of that kind; none if it is no such record.
pub(crate) fn revision(kind: u8, from: &mut Bounded<'_>) -> Result<Option<u64>, Corrupt> {
    match kind {
        kind::RUN_APPENDED => Ok(Some(0)),
        kind::RUN_REPLACED => from.u64().map(Some),
        _ => Ok(None),
    }
}

/// Reads a run's record up to its content, behind its revision.
pub(crate) fn run_head(from: &mut Bounded<'_>) -> Result<RunHead, Corrupt> {
    let (log, partition, offset) = (from.u64()?, from.u32()?, from.u64()?);
    let (count, at, flags) = (from.u32()?, from.u64()?, from.u8()?);
    if flags & 128 != 0 {
        return Err(Corrupt::new("unknown flags of a run"));
    }
    let has = |flag| flags & flag != 0;
    let time = has(TIMED).then(|| from.u64()).transpose()?;
    let writer = if has(WRITTEN) {
        Some(Writer {
            producer: from.u64()?,
            epoch: from.u16()?,
            sequence: from.u32()?,
            transactional: has(TRANSACTIONAL),
        })
    } else {
        None
    };
    Ok(RunHead {
        log,
        partition,
        offset,
        count,
        at,
        time,
        stamped: has(STAMPED),
        writer,
        ends: has(ENDS).then(|| has(COMMITTED)),
        message: has(MESSAGE),
    })
}

/// The run in a record that [`crate::LogLoad`] names; its bytes are shared with the record's.
///
/// # Errors
/// The payload is no such record.
pub fn decode_run(payload: &Bytes) -> Result<Run, Corrupt> {
    let (found, mut from) = open(payload)?;
    if revision(found, &mut from)?.is_none() {
        return Err(Corrupt(format!("a record of kind {found} holds no run")));
    }
    let head = run_head(&mut from)?;
    let content = if head.message {
        RunContent::Message(message::message(&mut from)?)
    } else {
        let origin = Origin(from.u8()?);
        let bytes = payload.slice(payload.len() - from.len()..);
        RunContent::Packed { origin, bytes }
    };
    Ok(Run {
        offset: head.offset,
        count: head.count,
        time_max: head.time,
        stamped: head.stamped.then_some(head.at),
        transaction: head.transaction(),
        ends: head.ended(),
        content,
    })
}

/// A log as its record declares it.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    pub(crate) namespace: Name,
    pub(crate) log: u64,
    pub(crate) name: Name,
    /// The declaration made the topic of its name.
    pub(crate) made_topic: bool,
    pub(crate) settings: LogSettings,
}

/// Writes what a declaration says, without the start of a record.
pub(crate) fn put_declared(out: &mut Vec<u8>, declared: &Declared) {
    out.put_name(&declared.namespace);
    out.put_u64(declared.log);
    out.put_name(&declared.name);
    out.put_u8(declared.made_topic.into());
    put_settings(out, &declared.settings);
}

pub(crate) fn declared(from: &mut Bounded<'_>) -> Result<Declared, Corrupt> {
    Ok(Declared {
        namespace: from.name()?,
        log: from.u64()?,
        name: from.name()?,
        made_topic: from.bool()?,
        settings: settings(from)?,
    })
}

pub(crate) fn put_settings(out: &mut Vec<u8>, settings: &LogSettings) {
    out.put_u32(settings.partitions);
    let flags = [
        settings.trims,
        settings.compacts,
        settings.stamps,
        settings.durable,
        settings.keyed.is_some(),
        says_more(settings),
    ];
    put_flags(out, flags);
    out.put_option(settings.retention_ms);
    out.put_option(settings.retention_bytes);
    out.put_u32(settings.run_bytes_max);
    if says_more(settings) {
        put_more(out, settings);
    }
    out.put_u32(settings.arguments.len() as u32);
    for (name, value) in &settings.arguments {
        out.put_bytes(name.as_bytes());
        out.put_bytes(value.as_bytes());
    }
    if let Some(keyed) = &settings.keyed {
        keyed::put_settings(out, keyed);
    }
}

/// Whether a log was given anything that settings did not know at first.
fn says_more(settings: &LogSettings) -> bool {
    settings.compaction != CompactionSettings::default()
        || settings.past_ms_max.is_some()
        || settings.future_ms_max.is_some()
}

fn put_more(out: &mut Vec<u8>, settings: &LogSettings) {
    let compaction = settings.compaction;
    out.put_u64(compaction.lag_ms_min);
    out.put_option(compaction.lag_ms_max);
    out.put_u32(compaction.dirty_permille);
    out.put_u64(compaction.tombstones_ms);
    out.put_option(settings.past_ms_max);
    out.put_option(settings.future_ms_max);
}

fn more(from: &mut Bounded<'_>, settings: &mut LogSettings) -> Result<(), Corrupt> {
    settings.compaction = CompactionSettings {
        lag_ms_min: from.u64()?,
        lag_ms_max: from.option()?,
        dirty_permille: from.u32()?,
        tombstones_ms: from.u64()?,
    };
    (settings.past_ms_max, settings.future_ms_max) = (from.option()?, from.option()?);
    Ok(())
}

pub(crate) fn settings(from: &mut Bounded<'_>) -> Result<LogSettings, Corrupt> {
    let partitions = from.u32()?;
    if partitions > PARTITIONS_MAX {
        return Err(Corrupt(format!("a log of {partitions} partitions")));
    }
    let [trims, compacts, stamps, durable, keyed, says_more] = flags(from)?;
    let (retention_ms, retention_bytes) = (from.option()?, from.option()?);
    let run_bytes_max = from.u32()?;
    let mut settings = LogSettings {
        partitions,
        retention_ms,
        retention_bytes,
        trims,
        compacts,
        run_bytes_max,
        stamps,
        durable,
        ..LogSettings::default()
    };
    if says_more {
        more(from, &mut settings)?;
    }
    for _ in 0..from.u32()? {
        settings.arguments.push((text(from)?, text(from)?));
    }
    if keyed {
        settings.keyed = Some(Box::new(keyed::read_settings(from)?));
    }
    Ok(settings)
}

fn text(from: &mut Bounded<'_>) -> Result<String, Corrupt> {
    let text = std::str::from_utf8(from.bytes()?);
    text.map(str::to_owned)
        .map_err(|_| Corrupt::new("an argument of a log is not UTF-8"))
}

/// Writes a log's alteration.
pub(crate) fn put_altered(out: &mut Vec<u8>, log: u64, settings: &LogSettings) {
    begin(out, kind::LOG_ALTERED);
    out.put_u64(log);
    put_settings(out, settings);
}

/// Writes that a partition begins later now.
pub(crate) fn put_trimmed(out: &mut Vec<u8>, log: u64, partition: u32, start: u64) {
    begin(out, kind::LOG_TRIMMED);
    out.put_u64(log);
    out.put_u32(partition);
    out.put_u64(start);
}

/// Writes that runs of a partition were removed.
pub(super) fn put_removed(out: &mut Vec<u8>, at: At, ranges: &[Range]) {
    begin(out, kind::RUNS_REMOVED);
    out.put_u64(at.log);
    out.put_u32(at.partition);
    put_ranges(out, ranges);
}

/// Writes that numbers of producers below this may be in use.
pub(crate) fn put_reserved(out: &mut Vec<u8>, first_free: u64) {
    begin(out, kind::PRODUCERS_RESERVED);
    out.put_u64(first_free);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> RunHead {
        RunHead {
            log: 1,
            partition: 2,
            offset: 3,
            count: 4,
            at: 5,
            time: Some(6),
            stamped: true,
            writer: Some(Writer {
                producer: 7,
                epoch: 8,
                sequence: 9,
                transactional: true,
            }),
            ends: None,
            message: false,
        }
    }

    #[test]
    fn a_run_is_read_back_and_shares_the_record() {
        let content = RunContent::Packed {
            origin: Origin(3),
            bytes: Bytes::from_static(b"packed"),
        };
        let mut out = Vec::new();
        put_run(&mut out, &head(), &content);
        out.extend_from_slice(b"packed");
        let payload = Bytes::from(out);
        let run = decode_run(&payload).unwrap();
        assert_eq!((run.offset, run.count, run.time_max), (3, 4, Some(6)));
        assert_eq!(run.stamped, Some(5));
        let RunContent::Packed { origin, bytes } = run.content else {
            panic!("it was packed");
        };
        assert_eq!((origin, &bytes[..]), (Origin(3), &b"packed"[..]));
        for len in 0..payload.len() - 6 {
            assert!(decode_run(&payload.slice(..len)).is_err(), "{len}");
        }
    }

    #[test]
    fn settings_are_read_back() {
        let settings_of = LogSettings {
            retention_bytes: Some(9),
            past_ms_max: Some(8),
            arguments: vec![("retention.ms".into(), "5".into())],
            ..LogSettings::default()
        };
        let mut out = Vec::new();
        put_settings(&mut out, &settings_of);
        assert_eq!(settings(&mut Bounded::new(&out)).unwrap(), settings_of);
        for len in 0..out.len() {
            assert!(settings(&mut Bounded::new(&out[..len])).is_err(), "{len}");
        }
    }
}
