//! What a partition remembers of its writers, so that an append that comes again is recognised and one that got lost on
//! the way is noticed.
//!
//! What always holds: of a producer the last [`REMEMBERED`] runs are known, newest last, all of its present epoch.

use std::collections::BTreeMap;

use polybus_model::{LogError, Millis, Writer, WriterSummary};

use crate::record::Corrupt;
use crate::record::codec::{Bounded, Put};

/// Runs of a producer that are remembered: clients have at most so many on the way at a time.
const REMEMBERED: usize = 5;
/// A producer that wrote nothing for so long is forgotten.
pub(super) const IDLE_MS_MAX: Millis = 24 * 3_600_000;
/// Sequences count up to this and go on with 0.
const SEQUENCE_MAX: u32 = i32::MAX as u32;

/// A run that was appended.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Written {
    sequence: u32,
    count: u32,
    offset: u64,
}

/// One producer.
#[derive(Clone, Debug)]
struct Producer {
    epoch: u16,
    /// How many of `last` there are.
    known: u8,
    used: Millis,
    last: [Written; REMEMBERED],
}

/// What is to become of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Check {
    /// It is the next one.
    Next,
    /// It was appended before, at this offset.
    Again(u64),
}

/// The producers of one partition by their numbers.
#[derive(Clone, Default, Debug)]
pub(crate) struct Producers {
    known: BTreeMap<u64, Producer>,
}

impl Producer {
    fn new(epoch: u16) -> Self {
        Self {
            epoch,
            known: 0,
            used: 0,
            last: [Written::default(); REMEMBERED],
        }
    }

    fn runs(&self) -> &[Written] {
        self.last.get(..self.known.into()).unwrap_or_default()
    }

    /// The sequence that is to come.
    fn expected(&self) -> u32 {
        self.runs()
            .last()
            .map_or(0, |last| wrapped(last.sequence, last.count))
    }

    fn push(&mut self, written: Written) {
        if usize::from(self.known) == REMEMBERED {
            self.last.rotate_left(1);
            self.known -= 1;
        }
        if let Some(free) = self.last.get_mut(usize::from(self.known)) {
            *free = written;
            self.known += 1;
        }
    }
}

/// The sequence `count` behind another.
fn wrapped(sequence: u32, count: u32) -> u32 {
    sequence.wrapping_add(count) & SEQUENCE_MAX
}

impl Producers {
    /// Whether a run may be appended.
    pub(super) fn check(&self, writer: Writer, count: u32) -> Result<Check, LogError> {
        if writer.sequence > SEQUENCE_MAX {
            return Err(LogError::OutOfSequence);
        }
        // One that is not known may have been forgotten: it goes on where it is.
        let Some(producer) = self.known.get(&writer.producer) else {
            return Ok(Check::Next);
        };
        if writer.epoch < producer.epoch {
            return Err(LogError::Fenced);
        }
        if writer.epoch > producer.epoch {
            return match writer.sequence {
                0 => Ok(Check::Next),
                _ => Err(LogError::OutOfSequence),
            };
        }
        let same = |one: &&Written| one.sequence == writer.sequence && one.count == count;
        if let Some(written) = producer.runs().iter().find(same) {
            return Ok(Check::Again(written.offset));
        }
        if writer.sequence == producer.expected() {
            Ok(Check::Next)
        } else {
            Err(LogError::OutOfSequence)
        }
    }

    /// A run was appended.
    pub(super) fn note(&mut self, writer: Writer, count: u32, offset: u64, now: Millis) {
        let producer = self.at_epoch(writer.producer, writer.epoch);
        producer.used = now;
        producer.push(Written {
            sequence: writer.sequence,
            count,
            offset,
        });
    }

    /// Who is known.
    pub(super) fn summaries(&self) -> Vec<WriterSummary> {
        let known = self.known.iter().map(|(number, one)| WriterSummary {
            producer: *number,
            epoch: one.epoch,
            sequence: one
                .runs()
                .last()
                .map(|last| wrapped(last.sequence, last.count.saturating_sub(1))),
            time: one.used,
            open_since: None,
        });
        known.collect()
    }

    fn at_epoch(&mut self, number: u64, epoch: u16) -> &mut Producer {
        let producer = self
            .known
            .entry(number)
            .or_insert_with(|| Producer::new(epoch));
        if producer.epoch != epoch {
            *producer = Producer::new(epoch);
        }
        producer
    }

    /// Forgets the longest idle ones while there are more than `max`.
    pub(super) fn bound(&mut self, max: usize) {
        while self.known.len() > max {
            let oldest = self.known.iter().min_by_key(|(_, one)| one.used);
            let Some(oldest) = oldest.map(|(number, _)| *number) else {
                return;
            };
            self.known.remove(&oldest);
        }
    }

    /// Forgets those that wrote nothing for long.
    pub(super) fn expire(&mut self, now: Millis) {
        self.known
            .retain(|_, one| one.used.saturating_add(IDLE_MS_MAX) > now);
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.put_u32(self.known.len() as u32);
        for (number, producer) in &self.known {
            out.put_u64(*number);
            out.put_u16(producer.epoch);
            out.put_u64(producer.used);
            out.put_u8(producer.known);
            for run in producer.runs() {
                out.put_u32(run.sequence);
                out.put_u32(run.count);
                out.put_u64(run.offset);
            }
        }
    }

    pub(super) fn read(from: &mut Bounded<'_>) -> Result<Self, Corrupt> {
        let mut known = BTreeMap::new();
        for _ in 0..from.u32()? {
            let number = from.u64()?;
            let mut producer = Producer::new(from.u16()?);
            producer.used = from.u64()?;
            for _ in 0..from.u8()? {
                producer.push(Written {
                    sequence: from.u32()?,
                    count: from.u32()?,
                    offset: from.u64()?,
                });
            }
            known.insert(number, producer);
        }
        Ok(Self { known })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(epoch: u16, sequence: u32) -> Writer {
        Writer {
            producer: 7,
            epoch,
            sequence,
            transactional: false,
        }
    }

    #[test]
    fn what_comes_again_is_known_and_what_is_missing_noticed() {
        let mut producers = Producers::default();
        assert_eq!(producers.check(writer(0, 3), 1), Ok(Check::Next));
        for at in 0..7 {
            assert_eq!(producers.check(writer(0, at * 10), 10), Ok(Check::Next));
            producers.note(writer(0, at * 10), 10, u64::from(at) * 10, 1);
        }
        assert_eq!(producers.check(writer(0, 20), 10), Ok(Check::Again(20)));
        assert_eq!(producers.check(writer(0, 60), 10), Ok(Check::Again(60)));
        for unknown in [10, 65, 71] {
            let checked = producers.check(writer(0, unknown), 10);
            assert_eq!(checked, Err(LogError::OutOfSequence), "{unknown}");
        }
        assert_eq!(
            producers.check(writer(1, 70), 1),
            Err(LogError::OutOfSequence)
        );
        assert_eq!(producers.check(writer(1, 0), 1), Ok(Check::Next));
        producers.note(writer(1, 0), 1, 70, 1);
        assert_eq!(producers.check(writer(0, 70), 1), Err(LogError::Fenced));
    }

    #[test]
    fn sequences_go_on_with_0_behind_the_last() {
        let mut producers = Producers::default();
        producers.note(writer(0, SEQUENCE_MAX - 1), 2, 5, 1);
        assert_eq!(producers.check(writer(0, 0), 1), Ok(Check::Next));
        producers.note(writer(0, SEQUENCE_MAX - 1), 5, 5, 1);
        assert_eq!(producers.check(writer(0, 3), 1), Ok(Check::Next));
    }

    #[test]
    fn the_longest_idle_are_forgotten() {
        let mut producers = Producers::default();
        for number in 0..4 {
            let writer = Writer {
                producer: number,
                ..writer(0, 0)
            };
            producers.note(writer, 1, 0, 10 - number);
        }
        producers.bound(3);
        assert_eq!(
            producers.known.keys().copied().collect::<Vec<_>>(),
            [0, 1, 2]
        );
        producers.expire(IDLE_MS_MAX + 9);
        assert_eq!(producers.known.keys().copied().collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn they_are_read_back() {
        let mut producers = Producers::default();
        for at in 0..6 {
            producers.note(writer(3, at), 1, at.into(), 9);
        }
        let mut bytes = Vec::new();
        producers.put(&mut bytes);
        let again = Producers::read(&mut Bounded::new(&bytes)).unwrap();
        assert_eq!(again.check(writer(3, 5), 1), Ok(Check::Again(5)));
        assert_eq!(again.check(writer(3, 6), 1), Ok(Check::Next));
        for len in 0..bytes.len() {
            assert!(Producers::read(&mut Bounded::new(&bytes[..len])).is_err());
        }
    }
}
