//! Messages that are kept to be copied to another key later, once or again and again.
//!
//! ```text
//! message on its schedule -> a record as any; when it is due: a copy under the target key, in the same log
//!                            once: the record goes with that        else: it is due again
//! ```

use bytes::Bytes;

use crate::{Calendar, Millis, RecordTtl};

/// When a message is due.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Recurrence {
    /// Then.
    Once(Millis),
    /// Always so long after the last time, in milliseconds.
    Every(Millis),
    /// By the calendar.
    Calendar(Calendar),
}

impl Recurrence {
    /// When a message is due first that is appended now; none: never.
    #[must_use]
    pub fn first(&self, now: Millis) -> Option<Millis> {
        match self {
            Self::Once(due) => Some(*due),
            Self::Every(ms) => Some(whole_second(now).saturating_add(*ms)),
            Self::Calendar(calendar) => calendar.next_after(now),
        }
    }

    /// When a message is due again that was due at that time. What was missed is not made up for.
    #[must_use]
    pub fn next(&self, due: Millis, now: Millis) -> Option<Millis> {
        if matches!(self, Self::Once(_)) {
            return None;
        }
        let next = self.first(due)?;
        match next < now {
            true => self.first(whole_second(now)),
            false => Some(next),
        }
    }
}

fn whole_second(time: Millis) -> Millis {
    time.saturating_add(500) / 1_000 * 1_000
}

/// What is to become of a message, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Schedule {
    /// When.
    pub recurrence: Recurrence,
    /// The key of the copy: one that the log takes, and not the message's own.
    pub target: Bytes,
    /// The last message of this key is copied, if there is one, and not the message itself.
    pub source: Option<Bytes>,
    /// How long a copy stays.
    pub ttl: Option<RecordTtl>,
}

/// A schedule that a publisher asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Scheduling {
    /// This one.
    Of(Box<Schedule>),
    /// One that cannot be.
    Bad(ScheduleError),
}

/// Why there is no such schedule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScheduleError {
    /// The log has none.
    Off,
    /// It is never due, or it is not said in a known way when.
    Recurrence,
    /// The time zone is not known.
    Zone,
    /// The log does not take the key of the copy, or it is the message's own.
    Target,
    /// The key of what is to be copied can be none.
    Source,
    /// The copy's time to live cannot be.
    Ttl,
    /// The message takes the place of all others, not only of those of its key.
    RollUp,
}

/// What a copy says of where it comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScheduledNote<'a> {
    /// The key of the message on its schedule.
    pub key: &'a [u8],
    /// When the next copy is made; none: this was the last.
    pub next: Option<Millis>,
    /// How long it stays.
    pub ttl: Option<RecordTtl>,
}

/// Writes the property bytes of a copy: from those of what is copied, and what the copy says. What a protocol gives.
pub type ScheduledProperties = fn(&[u8], &ScheduledNote<'_>) -> Vec<u8>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_missed_is_not_made_up_for() {
        let every = Recurrence::Every(5_000);
        assert_eq!(every.first(10_400), Some(15_000));
        assert_eq!(every.next(15_000, 15_100), Some(20_000));
        assert_eq!(every.next(15_000, 99_900), Some(105_000));
        let once = Recurrence::Once(7);
        assert_eq!((once.first(10), once.next(7, 10)), (Some(7), None));
    }
}
