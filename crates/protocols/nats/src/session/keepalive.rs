//! Signs of life: a peer that is silent is asked, and one that takes nothing of what waits for it is given up.

use polybus_model::Millis;

use crate::settings::Settings;

/// What is to be done about a peer's silence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    Nothing,
    Ping,
    /// It has not answered.
    Stale,
    /// It does not read.
    Stuck,
}

/// When a peer was last heard and read.
#[derive(Debug)]
pub(super) struct Keepalive {
    interval: Millis,
    pings_max: u32,
    deadline: Millis,
    heard: Millis,
    /// When to look again.
    look: Millis,
    unanswered: u32,
    /// Bytes written when it was last looked at, and since when it is so many.
    written: u64,
    still_since: Option<Millis>,
}

impl Keepalive {
    pub(super) fn new(settings: &Settings, now: Millis) -> Self {
        Self {
            interval: settings.ping_interval_ms,
            pings_max: settings.pings_max,
            deadline: settings.write_deadline_ms,
            heard: now,
            look: now + settings.ping_interval_ms,
            unanswered: 0,
            written: 0,
            still_since: None,
        }
    }

    /// Something came.
    #[inline]
    pub(super) fn heard(&mut self, now: Millis) {
        self.heard = now;
    }

    /// It has answered.
    pub(super) fn answered(&mut self) {
        self.unanswered = 0;
    }

    /// Whether bytes wait for the peer, and how many it has taken so far.
    #[inline]
    pub(super) fn wrote(&mut self, is_waiting: bool, written: u64, now: Millis) {
        if !is_waiting {
            self.still_since = None;
        } else if self.still_since.is_none() || written != self.written {
            self.still_since = Some(now);
        }
        self.written = written;
    }

    /// When to look again.
    pub(super) fn next(&self) -> Millis {
        match self.still_since {
            Some(since) => self.look.min(since + self.deadline),
            None => self.look,
        }
    }

    /// What is to be done now.
    pub(super) fn look(&mut self, now: Millis) -> Due {
        if self
            .still_since
            .is_some_and(|since| since + self.deadline <= now)
        {
            return Due::Stuck;
        }
        if now < self.look {
            return Due::Nothing;
        }
        self.look = now + self.interval;
        if now < self.heard + self.interval {
            self.look = self.heard + self.interval;
            return Due::Nothing;
        }
        if self.unanswered >= self.pings_max {
            return Due::Stale;
        }
        self.unanswered += 1;
        Due::Ping
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn keepalive() -> Keepalive {
        let settings = Settings {
            ping_interval_ms: 100,
            pings_max: 2,
            write_deadline_ms: 50,
            ..Settings::new(1, Arc::new(|| 4))
        };
        Keepalive::new(&settings, 0)
    }

    #[test]
    fn the_silent_are_asked_and_then_given_up() {
        let mut keepalive = keepalive();
        keepalive.heard(30);
        assert_eq!(keepalive.look(100), Due::Nothing);
        assert_eq!((keepalive.next(), keepalive.look(130)), (130, Due::Ping));
        assert_eq!(keepalive.look(131), Due::Nothing);
        assert_eq!(keepalive.look(230), Due::Ping);
        keepalive.answered();
        assert_eq!(keepalive.look(330), Due::Ping);
        assert_eq!(keepalive.look(430), Due::Ping);
        assert_eq!(keepalive.look(530), Due::Stale);
    }

    #[test]
    fn who_reads_nothing_is_stuck() {
        let mut keepalive = keepalive();
        keepalive.wrote(true, 0, 10);
        assert_eq!((keepalive.next(), keepalive.look(59)), (60, Due::Nothing));
        keepalive.wrote(true, 1, 55);
        assert_eq!(keepalive.look(60), Due::Nothing);
        keepalive.wrote(true, 1, 80);
        assert_eq!(keepalive.look(105), Due::Stuck);
        keepalive.wrote(false, 9, 106);
        assert_eq!((keepalive.next(), keepalive.look(107)), (100, Due::Ping));
    }
}
