//! Deadlines of groups. Whatever has one keeps what it is armed for beside itself, so that none is left behind; a deadline
//! that only moves later is moved when it rings, and a heartbeat costs no more than writing a number.

use std::collections::BTreeSet;

use polybus_model::Millis;

/// Whose deadline it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Timer {
    /// The group's number.
    pub(super) group: u64,
    pub(super) of: Of,
}

/// What is due.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Of {
    /// A member gives no sign of life.
    Member(u64),
    /// The same, where the broker shares out the work.
    Worker(u64),
    /// The same, in a group that leases.
    Leaser(u64),
    /// A member does not give back what it should.
    Revoke(u64),
    /// A member does not come back with its id.
    Expected(u64),
    /// Members do not join.
    Join,
    /// Members do not ask for their assignments.
    Sync,
    /// Nobody uses the group, or offsets of it.
    Idle,
}

/// All deadlines.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeSet<(Millis, Timer)>,
}

impl Timers {
    /// Makes it ring at that time at the latest.
    pub(super) fn arm(&mut self, armed: &mut Option<Millis>, at: Millis, timer: Timer) {
        if armed.is_none_or(|armed| at < armed) {
            self.disarm(armed, timer);
            *armed = Some(at);
            self.due.insert((at, timer));
        }
    }

    pub(super) fn disarm(&mut self, armed: &mut Option<Millis>, timer: Timer) {
        if let Some(at) = armed.take() {
            self.due.remove(&(at, timer));
        }
    }

    /// The next one.
    pub(super) fn deadline(&self) -> Option<Millis> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes the next one that is due.
    pub(super) fn pop(&mut self, now: Millis) -> Option<Timer> {
        if self.deadline()? > now {
            return None;
        }
        self.due.pop_first().map(|(_, timer)| timer)
    }

    /// Whether these are all.
    #[cfg(test)]
    pub(super) fn check(&self, all: &BTreeSet<(Millis, Timer)>) {
        assert_eq!(*all, self.due);
    }
}
