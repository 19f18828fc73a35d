//! Appending runs: the hot path.

use bytes::Bytes;
use polybus_model::{
    Append, AppendedRun, LogError, LogReply, LogSettings, Millis, NewRun, Run, RunContent, TailCrc,
};

use super::partition::{Entered, memory};
use super::producers::Check;
use super::record::{RunHead, put_run};
use super::{At, Caller};
use crate::record::{Stand, kind};
use crate::turn::Turn;
use crate::{Engine, Shared, Store};

/// Runs below so many bytes are copied: shared, they would keep all alive that was read together with them.
const COPIED_BYTES_MAX: usize = 4 * 1024;

impl Engine {
    pub(super) fn append_runs(
        &mut self,
        caller: Caller,
        appends: Vec<Append>,
        forbids: impl Fn(usize) -> bool,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let mut appended = false;
        let mut results = Vec::with_capacity(appends.len());
        for (at, append) in appends.into_iter().enumerate() {
            let result = if forbids(at) {
                Err(LogError::Forbidden)
            } else {
                self.append_to(caller.namespace, append, turn)
            };
            appended |= result.is_ok();
            results.push(result);
        }
        let max = self.options.log_resident_bytes_max;
        self.logs.bound_recent(max);
        // A run that comes again is confirmed when the first one is durable, too.
        let event = caller.event(LogReply::Appended(results));
        turn.gate(caller.session, event, appended);
    }

    fn append_to(
        &mut self,
        namespace: u32,
        append: Append,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<AppendedRun, LogError> {
        let name = &append.partition;
        let at = self.partition_of(namespace, name, append.id)?;
        let run = append.run;
        let log = self.logs.all.get_mut(&at.log);
        let log = log.ok_or(LogError::NotFound)?;
        let stamps = log.settings.stamps;
        let run_bytes_max = log.settings.run_bytes_max;
        let partition = log.partitions.get_mut(at.partition as usize);
        let partition = partition.ok_or(LogError::NotFound)?;
        check(&run, run_bytes_max, partition.next)?;
        check_content(&run, &log.settings, turn.now)?;
        if let Some(writer) = run.writer {
            if writer.transactional {
                self.logs.transactions.admit_writer(namespace, writer)?;
            }
            if let Check::Again(offset) = partition.producers.check(writer, run.count)? {
                return Ok(AppendedRun {
                    offset,
                    start: partition.start,
                    stamped: stamps.then_some(turn.now),
                });
            }
            if writer.transactional && !self.logs.transactions.has(writer.producer, at) {
                return Err(LogError::NoTransaction);
            }
        }
        if partition.keyed.is_some() {
            return self.append_keyed(namespace, at, &append.partition.log, run, turn);
        }
        let head = RunHead {
            log: at.log,
            partition: at.partition,
            offset: partition.next,
            count: run.count,
            at: turn.now,
            time: run.time_max,
            stamped: stamps,
            writer: run.writer,
            ends: None,
            message: matches!(run.content, RunContent::Message(_)),
        };
        let start = partition.start;
        if let Some(writer) = run.writer {
            let producers = &mut partition.producers;
            producers.note(writer, run.count, head.offset, turn.now);
            producers.bound(self.options.log_producers_max);
        }
        // What belongs to a transaction goes on when that is committed.
        let is_whole = head.transaction().is_none();
        if is_whole && self.has_readers_by_topic(namespace, &name.log) {
            self.hand_to_bindings(namespace, (at.log, &name.log), &run.content, turn);
        }
        self.append_run(&head, run.content, run.crc, turn);
        self.trim_by_size(at, turn);
        Ok(AppendedRun {
            offset: head.offset,
            start,
            stamped: stamps.then_some(turn.now),
        })
    }

    /// Journals a run, enters it in the index and keeps it in memory. `crc` is that of packed bytes, where it is known.
    pub(super) fn append_run(
        &mut self,
        head: &RunHead,
        content: RunContent,
        crc: Option<TailCrc>,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let at = At {
            log: head.log,
            partition: head.partition,
        };
        let content = owned(content);
        let buffer = &mut self.work.buffer;
        put_run(buffer, head, &content);
        let (inline, shared) = record_parts(&content, crc);
        let stored = turn.store.append(
            kind::RUN_APPENDED,
            head.log,
            head.offset,
            &[buffer, inline],
            shared,
            1,
        );
        let Some(partition) = self.logs.partition_mut(at) else {
            return;
        };
        partition.enter(Entered {
            offset: head.offset,
            count: head.count,
            time: head.time_max(),
            at: head.at,
            stand: Stand {
                place: stored.place,
                len: stored.len,
            },
        });
        partition.stable.note(head);
        let run = Run {
            offset: head.offset,
            count: head.count,
            time_max: head.time,
            stamped: head.stamped.then_some(head.at),
            transaction: head.transaction(),
            ends: head.ended(),
            content,
        };
        let bytes = memory(&run);
        partition.keep(run);
        let first = !std::mem::replace(&mut partition.touched, true);
        if first {
            self.logs.marks.touch(at);
        }
        self.logs.recent.kept(at, head.offset, bytes);
    }
}

/// Whether a log takes such a run.
pub(super) fn check(run: &NewRun, run_bytes_max: u32, next: u64) -> Result<(), LogError> {
    let bytes = match &run.content {
        RunContent::Packed { bytes, .. } => bytes.len(),
        RunContent::Message(message) => message.inline_bytes().len() + message.body().len(),
    };
    check_size(bytes, run.count, run_bytes_max, next)
}

/// Whether a log takes so many bytes, with so many records.
pub(super) fn check_size(
    bytes: usize,
    count: u32,
    run_bytes_max: u32,
    next: u64,
) -> Result<(), LogError> {
    if bytes > run_bytes_max as usize {
        return Err(LogError::TooLarge);
    }
    // Offsets are signed in some protocols.
    let ends_at = next.saturating_add(count.into());
    if count == 0 || ends_at > i64::MAX as u64 {
        let text = "a run needs at least one record, and offsets end with 63 bits";
        return Err(LogError::Unsupported(text.to_owned()));
    }
    Ok(())
}

/// Whether a log takes a run with such records.
fn check_content(run: &NewRun, settings: &LogSettings, now: Millis) -> Result<(), LogError> {
    let is_keyed = match &run.content {
        RunContent::Packed { .. } => run.keyed,
        RunContent::Message(message) => !message.key().is_empty(),
    };
    if settings.compacts && !is_keyed {
        return Err(LogError::KeysUnknown);
    }
    let is_future = |most| {
        run.time_max
            .is_some_and(|time| time > now.saturating_add(most))
    };
    let is_past = |most| {
        run.time_min
            .is_some_and(|time| time.saturating_add(most) < now)
    };
    let is_bad =
        settings.future_ms_max.is_some_and(is_future) || settings.past_ms_max.is_some_and(is_past);
    match is_bad && !settings.stamps {
        true => Err(LogError::BadTime),
        false => Ok(()),
    }
}

/// What follows the head of a run's record: what is copied, and what is shared. `crc` is that of packed bytes.
pub(super) fn record_parts(
    content: &RunContent,
    crc: Option<TailCrc>,
) -> (&[u8], Option<Shared<'_>>) {
    match content {
        RunContent::Packed { bytes, .. } => (&[], Some(Shared { bytes, crc })),
        RunContent::Message(message) => {
            let body = message.shared_body().map(Shared::from);
            (message.inline_bytes(), body)
        }
    }
}

/// Few bytes on their own.
pub(super) fn owned(content: RunContent) -> RunContent {
    match content {
        RunContent::Packed { origin, bytes } if bytes.len() < COPIED_BYTES_MAX => {
            let bytes = Bytes::copy_from_slice(&bytes);
            RunContent::Packed { origin, bytes }
        }
        other => other,
    }
}
