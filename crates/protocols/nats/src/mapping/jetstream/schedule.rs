//! Messages on schedules: what their headers ask for, and what the headers of their copies say.
//!
//! ```text
//! Nats-Schedule: @at TIME | @every DURATION | @hourly and its like | second minute hour day month weekday
//! ```
//! Calendars are of UTC.

use bytes::Bytes;
use polybus_model::{
    BadTerm, Calendar, LiveProperties, RecordTtl, Recurrence, RollUp, Schedule, ScheduleError,
    ScheduledNote, Scheduling, Terms,
};

use super::terms::{duration_ms, ttl};
use super::time::{parse as parse_time, write as write_time};
use crate::codec::{HEADER_LINE, Headers, is_literal};

const PREFIX: &[u8] = b"Nats-Schedule";
/// What a schedule says that is due again by the calendar, and in short.
const NAMED: [(&str, &str); 7] = [
    ("@yearly", "0 0 0 1 1 *"),
    ("@annually", "0 0 0 1 1 *"),
    ("@monthly", "0 0 0 1 * *"),
    ("@weekly", "0 0 0 * * 0"),
    ("@daily", "0 0 0 * * *"),
    ("@midnight", "0 0 0 * * *"),
    ("@hourly", "0 0 * * * *"),
];
const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// What the headers of a message say of its schedule.
#[derive(Default)]
pub(super) struct Asked<'a> {
    pattern: &'a [u8],
    zone: &'a [u8],
    ttl: Option<&'a [u8]>,
    target: &'a [u8],
    source: Option<&'a [u8]>,
    next: Option<&'a [u8]>,
    scheduler: Option<&'a [u8]>,
}

impl<'a> Asked<'a> {
    /// Takes a header; nothing of one that is about something else.
    pub(super) fn note(&mut self, name: &[u8], value: &'a [u8]) {
        match name.strip_prefix(PREFIX) {
            Some(b"r") => self.scheduler = Some(value),
            Some(b"-Next") => self.next = Some(value),
            Some(b"") => self.pattern = value,
            Some(b"-Time-Zone") => self.zone = value,
            Some(b"-TTL") => self.ttl = Some(value),
            Some(b"-Target") => self.target = value,
            Some(b"-Source") => self.source = Some(value),
            _ => {}
        }
    }

    /// Puts what was asked for into a message's terms: it takes the place of those before it under its subject.
    pub(super) fn enter(&self, terms: &mut Terms) {
        match (self.next, self.scheduler) {
            (Some(b"purge"), Some(scheduler)) if is_literal(scheduler) => {
                terms.ends_schedule = Some(Bytes::copy_from_slice(scheduler));
            }
            (None | Some(b""), None | Some(b"")) => {}
            _ => terms.bad = Some(BadTerm::Scheduler),
        }
        if self.pattern.is_empty() {
            return;
        }
        let scheduling = match self.schedule() {
            Ok(_) if terms.roll_up == Some(RollUp::All) => Scheduling::Bad(ScheduleError::RollUp),
            Ok(schedule) => Scheduling::Of(Box::new(schedule)),
            Err(error) => Scheduling::Bad(error),
        };
        terms.schedule = Some(scheduling);
        terms.roll_up.get_or_insert(RollUp::Key);
    }

    fn schedule(&self) -> Result<Schedule, ScheduleError> {
        let pattern = std::str::from_utf8(self.pattern).unwrap_or_default();
        let has_zone = match self.zone {
            b"" => false,
            b"UTC" | b"Etc/UTC" => true,
            _ => return Err(ScheduleError::Zone),
        };
        let recurrence = recurrence(pattern, has_zone);
        // One that is due at no time in years is none.
        let recurrence = recurrence.filter(|one| one.first(0).is_some());
        let recurrence = recurrence.ok_or(ScheduleError::Recurrence)?;
        let ttl = self.ttl.map(ttl);
        if ttl == Some(RecordTtl::For(0)) {
            return Err(ScheduleError::Ttl);
        }
        if !is_literal(self.target) {
            return Err(ScheduleError::Target);
        }
        if self
            .source
            .is_some_and(|source| !is_literal(source) || source == self.target)
        {
            return Err(ScheduleError::Source);
        }
        Ok(Schedule {
            recurrence,
            target: Bytes::copy_from_slice(self.target),
            source: self.source.map(Bytes::copy_from_slice),
            ttl,
        })
    }
}

/// When a message is due, of a pattern for which a time zone is named or not.
fn recurrence(pattern: &str, has_zone: bool) -> Option<Recurrence> {
    if let Some(time) = pattern.strip_prefix("@at ") {
        let time = parse_time(time).filter(|_| !has_zone);
        return time.map(Recurrence::Once);
    }
    if let Some(duration) = pattern.strip_prefix("@every ") {
        let ms = duration_ms(duration).filter(|ms| *ms >= 1_000 && !has_zone);
        return ms.map(Recurrence::Every);
    }
    let named = NAMED.iter().find(|(name, _)| *name == pattern);
    let pattern = named.map_or(pattern, |(_, fields)| fields);
    calendar(pattern).map(Recurrence::Calendar)
}

/// Six fields: numbers, names, ranges and steps.
fn calendar(pattern: &str) -> Option<Calendar> {
    let mut fields = pattern.split_ascii_whitespace();
    let mut next = |from, to, names| field(fields.next()?, (from, to), names);
    let (seconds, _) = next(0, 59, &[][..])?;
    let (minutes, _) = next(0, 59, &[])?;
    let (hours, _) = next(0, 23, &[])?;
    let (days, any_day) = next(1, 31, &[])?;
    let (months, _) = next(1, 12, &MONTHS)?;
    let (weekdays, any_weekday) = next(0, 6, &WEEKDAYS)?;
    if fields.next().is_some() {
        return None;
    }
    Some(Calendar {
        seconds,
        minutes,
        hours: u32::try_from(hours).ok()?,
        days: u32::try_from(days).ok()?,
        months: u16::try_from(months).ok()?,
        weekdays: u8::try_from(weekdays).ok()?,
        both_days: any_day || any_weekday,
    })
}

/// The wanted numbers of a field as bits, and whether it says that any is.
fn field(text: &str, bounds: (u32, u32), names: &[&str]) -> Option<(u64, bool)> {
    let (mut bits, mut is_any) = (0, false);
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<u32>().ok()?)),
            None => (part, None),
        };
        let number = |text: &str| {
            let named = names
                .iter()
                .position(|name| text.eq_ignore_ascii_case(name));
            match named {
                Some(at) => Some(at as u32 + bounds.0),
                None => text.parse::<u32>().ok(),
            }
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" || range == "?" => {
                is_any |= step.is_none_or(|step| step == 1);
                bounds
            }
            Some((from, to)) => (number(from)?, number(to)?),
            None => {
                let from = number(range)?;
                // A step goes on to the end.
                (from, if step.is_some() { bounds.1 } else { from })
            }
        };
        let step = step.unwrap_or(1);
        if from < bounds.0 || to > bounds.1 || from > to || step == 0 {
            return None;
        }
        for wanted in (from..=to).step_by(step as usize) {
            bits |= 1 << wanted;
        }
    }
    Some((bits, is_any))
}

/// The property bytes of a copy that a schedule made.
#[must_use]
pub fn copy_properties(properties: &[u8], note: &ScheduledNote<'_>) -> Vec<u8> {
    let mut headers = HEADER_LINE.to_vec();
    let mut push = |name: &[u8], value: &[u8]| {
        headers.extend_from_slice(b"\r\n");
        headers.extend_from_slice(name);
        headers.extend_from_slice(b": ");
        headers.extend_from_slice(value);
    };
    for (name, value) in Headers::new(LiveProperties::decoded(properties).headers) {
        let is_of_original = name.starts_with(PREFIX)
            || name.starts_with(b"Nats-Expected-")
            || matches!(
                name,
                b"Nats-Msg-Id" | b"Nats-TTL" | b"Nats-Rollup" | b"Nats-Scheduler"
            );
        if !is_of_original {
            push(name, value);
        }
    }
    push(b"Nats-Scheduler", note.key);
    let next = note.next.map(|next| write_time(next).replace(".000Z", "Z"));
    push(
        b"Nats-Schedule-Next",
        next.as_deref().unwrap_or("purge").as_bytes(),
    );
    match note.ttl {
        None => {}
        Some(RecordTtl::Never) => push(b"Nats-TTL", b"never"),
        Some(RecordTtl::For(ms)) => push(b"Nats-TTL", (ms / 1_000).to_string().as_bytes()),
    }
    headers.extend_from_slice(b"\r\n\r\n");
    LiveProperties {
        reply: b"",
        headers: &headers,
    }
    .encoded()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read() {
        let at = |pattern: &str, now: &str| {
            let first = recurrence(pattern, false)?.first(parse_time(now)?)?;
            Some(write_time(first).replace(".000Z", "Z"))
        };
        let now = "2026-02-27T13:59:30Z";
        for (pattern, first) in [
            ("@at 2026-03-01T00:00:00+01:00", "2026-02-28T23:00:00Z"),
            ("@every 1m30s", "2026-02-27T14:01:00Z"),
            ("@hourly", "2026-02-27T14:00:00Z"),
            ("@midnight", "2026-02-28T00:00:00Z"),
            ("@weekly", "2026-03-01T00:00:00Z"),
            ("*/15 * * * * *", "2026-02-27T13:59:45Z"),
            ("0 30 9-17/4 ? mar,Apr mon-fri", "2026-03-02T09:30:00Z"),
            ("0 0 0 5 * mon", "2026-03-02T00:00:00Z"),
            ("10/20 0 0 1 * *", "2026-03-01T00:00:10Z"),
        ] {
            assert_eq!(at(pattern, now).as_deref(), Some(first), "{pattern}");
        }
        for bad in [
            "",
            "@often",
            "@every 10ms",
            "@every x",
            "@at noon",
            "* * * * *",
            "60 * * * * *",
            "* * * 0 * *",
            "* * * * * 7",
            "5-1 * * * * *",
            "*/0 * * * * *",
            "a * * * * *",
            "* * * * * * *",
        ] {
            assert_eq!(recurrence(bad, false), None, "{bad}");
        }
        assert_eq!(recurrence("@every 5s", true), None);
    }

    #[test]
    fn a_copy_says_where_it_comes_from() {
        let own = LiveProperties {
            reply: b"r",
            headers: b"NATS/1.0\r\nNats-Schedule: @every 1s\r\nNats-Schedule-Target: t\r\nA: b\r\nNats-Rollup: sub\r\n\r\n",
        };
        let note = ScheduledNote {
            key: b"s",
            next: Some(1_700_000_000_000),
            ttl: Some(RecordTtl::For(5_000)),
        };
        let made = copy_properties(&own.encoded(), &note);
        let made = LiveProperties::decoded(&made);
        let expected = "NATS/1.0\r\nA: b\r\nNats-Scheduler: s\r\nNats-Schedule-Next: 2023-11-14T22:13:20Z\r\nNats-TTL: 5\r\n\r\n";
        assert_eq!(std::str::from_utf8(made.headers), Ok(expected));
        assert!(made.reply.is_empty());
    }
}
