//! What the journal knows of windows. Layouts are in the crate's `record.rs`.

use std::ops::Range;

use polybus_model::Name;

use super::span::{Failure, Span, State};
use super::window::{Window, merge};
use crate::logs::At;
use crate::record::codec::{Bounded, Put};
use crate::record::{Corrupt, begin, kind};

const READY: u8 = 0;
const WAITING: u8 = 1;
const EXHAUSTED: u8 = 2;
const REJECTED: u8 = 3;

/// A window as it was opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Opened {
    pub(super) namespace: Name,
    pub(super) group: String,
    pub(super) at: At,
    pub(super) floor: u64,
}

pub(super) fn put_opened(
    out: &mut Vec<u8>,
    number: u64,
    namespace: &Name,
    group: &str,
    at: At,
    floor: u64,
) {
    begin(out, kind::WINDOW_OPENED);
    out.put_u64(number);
    out.put_u8(1);
    out.put_name(namespace);
    out.put_bytes(group.as_bytes());
    out.put_u64(at.log);
    out.put_u32(at.partition);
    out.put_u64(floor);
}

pub(super) fn put_closed(out: &mut Vec<u8>, number: u64) {
    begin(out, kind::WINDOW_OPENED);
    out.put_u64(number);
    out.put_u8(0);
}

/// None if it was closed.
pub(super) fn opened(from: &mut Bounded<'_>) -> Result<Option<Opened>, Corrupt> {
    if !from.bool()? {
        return Ok(None);
    }
    Ok(Some(Opened {
        namespace: from.name()?,
        group: crate::groups::text(from)?,
        at: At {
            log: from.u64()?,
            partition: from.u32()?,
        },
        floor: from.u64()?,
    }))
}

/// Writes what was settled since the last time; false if there is nothing to write.
pub(super) fn put_settled(out: &mut Vec<u8>, number: u64, window: &mut Window) -> bool {
    let mut settled = std::mem::take(&mut window.settled);
    window.is_news = false;
    merge(&mut settled);
    put_ranges(out, number, &settled);
    let any = !settled.is_empty();
    settled.clear();
    window.settled = settled;
    any
}

fn put_ranges(out: &mut Vec<u8>, number: u64, ranges: &[Range<u64>]) {
    begin(out, kind::WINDOW_SETTLED);
    out.put_u64(number);
    out.put_u32(ranges.len() as u32);
    for range in ranges {
        out.put_u64(range.start);
        out.put_u64(range.end);
    }
}

fn range(from: &mut Bounded<'_>) -> Result<Range<u64>, Corrupt> {
    let range = from.u64()?..from.u64()?;
    if range.is_empty() {
        return Err(Corrupt::new("a window's range ends before it begins"));
    }
    Ok(range)
}

pub(super) fn ranges(from: &mut Bounded<'_>) -> Result<Vec<Range<u64>>, Corrupt> {
    let mut ranges = Vec::new();
    for _ in 0..from.u32()? {
        ranges.push(range(from)?);
    }
    Ok(ranges)
}

/// Writes what came back since the last time, as it is now; false if there is nothing to write.
pub(super) fn put_returned(out: &mut Vec<u8>, number: u64, window: &mut Window) -> bool {
    let mut returned = std::mem::take(&mut window.returned);
    merge(&mut returned);
    let within = returned.iter().map(|range| window.within(range.clone()));
    let any = put_spans(out, number, within.flatten());
    returned.clear();
    window.returned = returned;
    any
}

/// Writes spans as they would be if all leases broke off; those that were never tried are left out.
fn put_spans(out: &mut Vec<u8>, number: u64, spans: impl Iterator<Item = (u64, Span)>) -> bool {
    begin(out, kind::WINDOW_RETURNED);
    out.put_u64(number);
    let count_at = out.len();
    out.put_u32(0);
    let mut count = 0_u32;
    for (first, span) in spans {
        let (attempts, state, due) = match span.state {
            State::Ready => (span.attempts, READY, None),
            State::Leased { .. } => (span.attempts.saturating_sub(1), READY, None),
            State::Waiting { due } => (span.attempts, WAITING, Some(due)),
            State::Failed(failure) | State::Burying(failure) => match failure {
                Failure::Exhausted => (span.attempts, EXHAUSTED, None),
                Failure::Rejected => (span.attempts, REJECTED, None),
            },
        };
        if attempts == 0 && state == READY {
            continue;
        }
        count += 1;
        out.put_u64(first);
        out.put_u64(span.end);
        out.put_u32(attempts);
        out.put_u8(state);
        if let Some(due) = due {
            out.put_u64(due);
        }
    }
    if let Some(place) = out.get_mut(count_at..count_at + 4) {
        place.copy_from_slice(&count.to_le_bytes());
    }
    count > 0
}

pub(super) fn spans(from: &mut Bounded<'_>) -> Result<Vec<(u64, Span)>, Corrupt> {
    let mut spans = Vec::new();
    for _ in 0..from.u32()? {
        let (range, attempts) = (range(from)?, from.u32()?);
        let state = match from.u8()? {
            READY => State::Ready,
            WAITING => State::Waiting { due: from.u64()? },
            EXHAUSTED => State::Failed(Failure::Exhausted),
            REJECTED => State::Failed(Failure::Rejected),
            other => return Err(Corrupt(format!("a window's record is in state {other}"))),
        };
        let span = Span {
            end: range.end,
            attempts,
            state,
        };
        spans.push((range.start, span));
    }
    Ok(spans)
}

/// A window as the records that would make it.
pub(super) fn put_window(
    buffer: &mut Vec<u8>,
    number: u64,
    opened: (&Name, &str, At),
    window: &Window,
    put: &mut dyn FnMut(&[u8]),
) {
    let (namespace, group, at) = opened;
    put_opened(buffer, number, namespace, group, at, window.floor());
    put(buffer);
    let mut settled = Vec::new();
    let mut behind = window.floor();
    for (first, span) in window.iter() {
        if behind < first {
            settled.push(behind..first);
        }
        behind = span.end;
    }
    if behind < window.next() {
        settled.push(behind..window.next());
    }
    if !settled.is_empty() {
        put_ranges(buffer, number, &settled);
        put(buffer);
    }
    if put_spans(buffer, number, window.iter()) {
        put(buffer);
    }
}
