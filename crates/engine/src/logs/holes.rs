//! Where a partition has no runs any more between its start and its end, and how a snapshot says so.
//!
//! ```text
//! section = partitions u32, each: log u64 | partition u32 | holes u32, each: distance | length
//! ```
//! The distance is from the end of the hole before (at first from 0); both are written with 7 bits a byte, lowest first, the
//! 8th set where more follow: most holes take two bytes. What always holds: holes of a snapshot rise and do not meet.

use std::ops::Range;

use super::At;
use crate::Engine;
use crate::record::Corrupt;
use crate::record::codec::{Bounded, Put};

/// Offsets from one up to another.
pub(super) type Span = Range<u64>;

/// Spans of offsets; asked only when all are in and merged.
#[derive(Debug, Default)]
pub(super) struct Holes(Vec<Span>);

impl Holes {
    pub(super) fn add(&mut self, span: Span) {
        match self.0.last_mut() {
            Some(last) if last.end == span.start => last.end = span.end,
            _ => self.0.push(span),
        }
    }

    /// Puts them in order and joins those that meet.
    pub(super) fn merge(&mut self) {
        self.0.sort_unstable_by_key(|span| span.start);
        self.0.dedup_by(|next, kept| {
            let meets = next.start <= kept.end;
            if meets {
                kept.end = kept.end.max(next.end);
            }
            meets
        });
    }

    /// Whether all of a span is in a hole.
    pub(super) fn cover(&self, span: &Span) -> bool {
        let at = self.0.partition_point(|one| one.end <= span.start);
        let found = self.0.get(at);
        found.is_some_and(|one| one.start <= span.start && span.end <= one.end)
    }

    /// Where the last one ends.
    pub(super) fn end(&self) -> u64 {
        self.0.last().map_or(0, |span| span.end)
    }
}

impl Engine {
    /// Writes the section of a snapshot that is about holes; nothing if there are none.
    pub(crate) fn put_holes(&self, out: &mut Vec<u8>) {
        let durable = self.logs.all.values().filter(|log| log.settings.durable);
        let partitions = durable.flat_map(|log| {
            let partitions = log.partitions.iter().zip(0_u32..);
            partitions.map(|(partition, number)| (log.id.0, number, partition.holes()))
        });
        let partitions: Vec<_> = partitions.filter(|(.., holes)| !holes.is_empty()).collect();
        if partitions.is_empty() {
            return;
        }
        out.put_u32(partitions.len() as u32);
        for (log, partition, holes) in partitions {
            out.put_u64(log);
            out.put_u32(partition);
            out.put_u32(holes.len() as u32);
            let mut before = 0;
            for hole in holes {
                put_number(out, hole.start - before);
                put_number(out, hole.end - hole.start);
                before = hole.end;
            }
        }
    }
}

/// Reads the section of a snapshot that is about holes.
pub(super) fn read_holes(section: &[u8], mut hole: impl FnMut(At, Span)) -> Result<(), Corrupt> {
    let from = &mut Bounded::new(section);
    for _ in 0..from.u32()? {
        let at = At {
            log: from.u64()?,
            partition: from.u32()?,
        };
        let mut before = 0_u64;
        for _ in 0..from.u32()? {
            let start = before.checked_add(number(from)?);
            let start = start.ok_or_else(|| Corrupt::new("a hole of a log is past all offsets"))?;
            let end = start.checked_add(number(from)?);
            before = end.ok_or_else(|| Corrupt::new("a hole of a log is past all offsets"))?;
            hole(at, start..before);
        }
    }
    match from.is_empty() {
        true => Ok(()),
        false => Err(Corrupt::new(
            "a snapshot's holes are followed by other bytes",
        )),
    }
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

fn number(from: &mut Bounded<'_>) -> Result<u64, Corrupt> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = from.u8()?;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            break;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Corrupt::new("a number of a snapshot's holes is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_back() {
        for wanted in [0, 1, 127, 128, 300, 1 << 32, u64::MAX >> 1, u64::MAX] {
            let mut out = Vec::new();
            put_number(&mut out, wanted);
            assert_eq!(number(&mut Bounded::new(&out)), Ok(wanted));
        }
        assert!(number(&mut Bounded::new(&[0xff; 10])).is_err());
        assert!(number(&mut Bounded::new(&[0x80; 3])).is_err());
    }

    #[test]
    fn holes_join_where_they_meet() {
        let mut holes = Holes::default();
        for span in [5..7, 7..9, 0..2, 1..3, 20..21] {
            holes.add(span);
        }
        holes.merge();
        assert_eq!(holes.0, [0..3, 5..9, 20..21]);
        let covered = [0..3, 2..3, 5..9, 3..5, 2..4, 9..10, 21..22].map(|span| holes.cover(&span));
        assert_eq!(covered, [true, true, true, false, false, false, false]);
        assert_eq!(holes.end(), 21);
    }
}
