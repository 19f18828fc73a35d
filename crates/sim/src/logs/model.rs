//! What must be of partitions and groups, and what answers say of it.
//!
//! What always holds: whatever was confirmed or read is *sure*: no later reader, in this life of the broker or another, may
//! find something else at its offset.

use std::collections::BTreeMap;

use polybus_model::{
    AppendedRun, FoundOffset, GroupError, GroupOffset, LogError, LogSettings, Millis, Origin,
    PartitionName, Run, RunContent, Slice, Writer,
};

use super::{AUDITOR, LogWorld, PRODUCERS, Reading};
use crate::invariants::{
    group_offsets, log_answers, log_dense, log_durable, log_kept, log_once, log_order, log_start,
};
use crate::violation::Verdict;

/// Whose packing the runs have.
pub(super) const ORIGIN: Origin = Origin(9);

/// A run that was sent, once or again and again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentRun {
    pub(crate) partition: usize,
    pub(crate) producer: usize,
    /// How many its producer sent to the partition before it.
    pub(crate) place: usize,
    pub(crate) writer: Option<Writer>,
    pub(crate) count: u32,
    pub(crate) len: usize,
    /// When it was sent, by the earliest clock: that may jump back before it is sent again.
    pub(crate) sent_at: Millis,
    /// Where it is, once that is sure.
    pub(crate) offset: Option<u64>,
}

/// A partition.
#[derive(Clone, Debug)]
pub(crate) struct Partition {
    pub(crate) name: PartitionName,
    pub(crate) retention_bytes: Option<u64>,
    pub(crate) retention_ms: Option<Millis>,
    /// What is sure to be there, by offset.
    pub(crate) placed: BTreeMap<u64, usize>,
    /// The first offset, as was seen in this life of the broker.
    pub(crate) start: u64,
    /// It was confirmed that what is before is given up.
    pub(crate) start_sure: u64,
    /// It was asked to give up what is before.
    pub(crate) trim_asked: u64,
    /// What is before was confirmed, or shown to a reader.
    pub(crate) end_sure: u64,
}

/// The bytes of a run.
pub(super) fn body_of(number: usize, len: usize) -> Vec<u8> {
    let mut bytes = (number as u64).to_le_bytes().to_vec();
    bytes.resize(len.max(8), number as u8 ^ 0x5a);
    bytes
}

impl Partition {
    pub(super) fn new(name: PartitionName, settings: &LogSettings) -> Self {
        Self {
            name,
            retention_bytes: settings.retention_bytes,
            retention_ms: settings.retention_ms,
            placed: BTreeMap::new(),
            start: 0,
            start_sure: 0,
            trim_asked: 0,
            end_sure: 0,
        }
    }

    /// What was given up unconfirmed may be there again.
    pub(super) fn broker_gone(&mut self) {
        self.start = self.start_sure;
    }

    pub(crate) fn reading(&self, partition: usize, offset: u64) -> Reading {
        Reading {
            partition,
            offset,
            start: self.start,
            end: self.end_sure,
        }
    }
}

impl LogWorld {
    /// The answer to an append.
    pub(super) fn appended(
        &mut self,
        actor: usize,
        number: usize,
        result: Result<AppendedRun, LogError>,
    ) -> Verdict {
        let partition = self.runs[number].partition;
        let stream = &mut self.producers[actor].streams[partition];
        stream.on_the_way = stream.on_the_way.saturating_sub(1);
        match result {
            Ok(appended) => {
                stream.unanswered.retain(|one| *one != number);
                let run = &self.runs[number];
                log_start::check_told(&self.partitions[partition], run, appended.offset)?;
                self.place(number, appended.offset)
            }
            Err(LogError::Unavailable(_)) if self.may_refuse => {
                stream.resends = true;
                if self.runs[number].writer.is_none() {
                    stream.unanswered.retain(|one| *one != number);
                    stream.resends = false;
                }
                Ok(())
            }
            Err(LogError::OutOfSequence | LogError::UnknownProducer) if stream.resends => Ok(()),
            Err(error) => log_answers::refused(&self.partitions[partition], number, &error),
        }
    }

    /// A run is sure to be at an offset.
    fn place(&mut self, number: usize, offset: u64) -> Verdict {
        let run = self.runs[number];
        let partition = &mut self.partitions[run.partition];
        log_once::check(partition, number, &run, offset)?;
        log_dense::check_place(partition, &self.runs, number, offset)?;
        let stream = &self.producers[run.producer].streams[run.partition];
        log_order::check(partition, stream, &self.runs, number, offset)?;
        partition.placed.insert(offset, number);
        partition.end_sure = partition.end_sure.max(offset + u64::from(run.count));
        self.runs[number].offset = Some(offset);
        Ok(())
    }

    /// The answer to a read of one partition.
    pub(super) fn read(
        &mut self,
        actor: usize,
        reading: Reading,
        result: Result<Slice, LogError>,
    ) -> Verdict {
        let at = reading.partition;
        let (start, end) = match &result {
            Ok(slice) => (slice.start, slice.end),
            Err(LogError::OutOfRange { start, end }) => (*start, *end),
            Err(error) => return log_answers::refused(&self.partitions[at], 0, error),
        };
        let partition = &mut self.partitions[at];
        log_start::check_forward(partition, reading.start, start)?;
        log_durable::check_end(partition, reading.end, end)?;
        partition.start = partition.start.max(start);
        partition.end_sure = partition.end_sure.max(end);
        let (mut next, mut some) = (reading.offset, false);
        match result {
            // It lags behind what was given up.
            Err(_) => {
                log_durable::check_in_range(partition, reading.offset, start)?;
                next = start;
            }
            Ok(slice) => {
                for run in &slice.runs {
                    log_dense::check_next(&self.partitions[at], next, run, some)?;
                    next = run.offset + u64::from(run.count);
                    some = true;
                    self.found(at, run)?;
                }
                log_durable::check_within(&self.partitions[at], next, end.max(reading.offset))?;
            }
        }
        if actor == AUDITOR {
            self.looked = Some((next, end, some));
        } else if let Some(follower) = self.followers.get_mut(actor.wrapping_sub(PRODUCERS)) {
            follower.places[at] = follower.places[at].max(next);
        }
        Ok(())
    }

    /// A reader was given a run.
    fn found(&mut self, at: usize, run: &Run) -> Verdict {
        let bytes = match &run.content {
            RunContent::Packed { bytes, .. } => bytes.clone(),
            RunContent::Message(_) => bytes::Bytes::new(),
        };
        let number = bytes.first_chunk().map(|one| u64::from_le_bytes(*one));
        let known = number.filter(|number| {
            let sent = self.runs.get(*number as usize);
            sent.is_some_and(|sent| {
                sent.partition == at
                    && sent.count == run.count
                    && body_of(*number as usize, sent.len) == bytes
            })
        });
        match known {
            Some(number) => self.place(number as usize, run.offset),
            None => log_kept::changed(&self.partitions[at], run.offset, number),
        }
    }

    /// The answer to a trim.
    pub(super) fn trimmed(
        &mut self,
        at: usize,
        wanted: u64,
        found: Option<Result<Option<FoundOffset>, LogError>>,
    ) -> Verdict {
        let partition = &mut self.partitions[at];
        let start = match found {
            Some(Ok(Some(found))) => found.offset,
            Some(Err(error)) => return log_answers::refused(partition, 0, &error),
            _ => 0,
        };
        log_start::check_forward(partition, wanted, start)?;
        partition.start = partition.start.max(start);
        partition.start_sure = partition.start_sure.max(start);
        Ok(())
    }

    /// The answer to a commit.
    pub(super) fn committed(
        &mut self,
        follower: usize,
        offsets: Vec<(usize, u64)>,
        results: &[Result<(), GroupError>],
    ) -> Verdict {
        for ((partition, offset), result) in offsets.into_iter().zip(results) {
            if let Err(error) = result {
                return log_answers::unexpected(&(partition, offset), error, false);
            }
            let sure = self.followers[follower].sure.entry(partition).or_default();
            *sure = (*sure).max(offset);
        }
        Ok(())
    }

    /// What is remembered of a follower.
    pub(super) fn remembered(
        &mut self,
        follower: usize,
        known: &BTreeMap<usize, u64>,
        offsets: &[GroupOffset],
    ) -> Verdict {
        let follower = &mut self.followers[follower];
        for (at, partition) in self.partitions.iter().enumerate() {
            let found = offsets.iter().find(|one| one.partition == partition.name);
            let found = found.map_or(0, |one| one.offset);
            let sure = known.get(&at).copied().unwrap_or_default();
            let asked = follower.asked.get(&at).copied().unwrap_or_default();
            group_offsets::check(&follower.group, partition, found, sure..=asked)?;
            if found > 0 {
                let sure = follower.sure.entry(at).or_default();
                *sure = (*sure).max(found);
            }
        }
        Ok(())
    }

    /// All of a partition has been read after a restart: is what is gone rightly gone?
    pub(crate) fn check_gone(&self, at: usize, now_max: Millis) -> Verdict {
        log_start::check_gone(&self.partitions[at], &self.runs, now_max)
    }
}
