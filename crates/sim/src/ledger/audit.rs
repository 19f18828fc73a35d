//! After a restart: all that is on the broker, held against all that must and may be there.
//!
//! The journal is one sequence of turns, so what came back must be what some number of whole turns left behind: at least
//! all those that were durable. `reached` is the latest turn that is proven by what was found; whatever an earlier turn
//! did must have been done.

use super::{Ledger, State};
use crate::invariants::{
    confirmed_kept, nothing_invented, order, redelivered, settled_gone, whole_turns,
};
use crate::shape::DEAD;
use crate::violation::Verdict;

/// A message found in a queue.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) body: Vec<u8>,
    pub(crate) body_len: usize,
    pub(crate) redelivered: bool,
    /// The queue that it died in.
    pub(crate) from: Option<String>,
}

/// What a queue was found to hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    pub(crate) ready: Vec<Found>,
    /// Messages that wait for a retry: they cannot be looked at.
    pub(crate) waiting: u64,
}

impl Ledger {
    /// The broker was restarted: nobody is connected, what was not durable is gone.
    pub(crate) fn restarted(&mut self, clean: bool) {
        if clean {
            self.durable_turn = self.turn;
        } else {
            self.crashes += 1;
        }
        self.leases.clear();
        self.published_to.fill(false);
        self.sessions.clear();
        self.failed = false;
        for at in 0..self.copies.len() {
            let copy = &mut self.copies[at];
            if !clean {
                copy.crashed = true;
            }
            match copy.state {
                // It may have died unseen, or its death may be undone.
                State::Ready | State::Waiting(_) | State::Leased(_)
                    if !copy.durable_home && !copy.durable_dead =>
                {
                    self.set_state(at, State::Never);
                }
                State::Leased(_) => self.set_state(at, State::Ready),
                _ => {}
            }
        }
    }

    /// Compares, and takes what was found for the truth.
    pub(crate) fn audit(&mut self, contents: &[Contents]) -> Verdict {
        let mut found: Vec<Option<bool>> = vec![None; self.copies.len()];
        for (queue, contents) in contents.iter().enumerate() {
            let mut last = None;
            for one in &contents.ready {
                let copy = nothing_invented::find_found(self, queue, one)?;
                nothing_invented::check_once(self, copy, &mut found, queue == DEAD)?;
                nothing_invented::check_survivor(self, copy, queue == DEAD)?;
                redelivered::check_found(self, copy, queue, one)?;
                if queue != DEAD {
                    order::check_found(self, copy, &mut last)?;
                }
            }
        }
        let reached = self.reached(&found, contents);
        settled_gone::check_found(self, &found, reached)?;
        let mut slack: Vec<u64> = contents.iter().map(|one| one.waiting).collect();
        for (at, found) in found.into_iter().enumerate() {
            match found {
                Some(dead) => self.take_found(at, dead),
                None => self.take_missing(at, reached, &mut slack)?,
            }
        }
        Ok(())
    }

    /// The latest turn of which something was found to be done.
    fn reached(&self, found: &[Option<bool>], contents: &[Contents]) -> u64 {
        let mut reached = self.durable_turn;
        for (copy, found) in self.copies.iter().zip(found) {
            if found.is_some() {
                reached = reached.max(copy.published);
            }
            if *found == Some(true) {
                reached = reached.max(copy.died.unwrap_or(0));
            }
        }
        loop {
            let before = reached;
            for (copy, found) in self.copies.iter().zip(found) {
                // Of one that only its home keeps, nothing is left among the dead.
                let kept = copy.durable_home && (copy.durable_dead || !copy.dead);
                // It may be there all the same, where one cannot look.
                let hidden = contents.get(copy.home).is_some_and(|home| home.waiting > 0);
                let missing = found.is_none() && kept && !hidden && copy.published <= reached;
                if let State::Over(turn) = copy.state
                    && missing
                    && !self.may_be_gone(copy)
                {
                    reached = reached.max(turn);
                }
            }
            if reached == before {
                return reached;
            }
        }
    }

    fn take_found(&mut self, at: usize, dead: bool) {
        let copy = &mut self.copies[at];
        if dead && !copy.dead {
            copy.died = None;
            copy.delivered_home = copy.delivered;
            copy.delivered = false;
        }
        if !dead && copy.dead {
            copy.delivered = copy.delivered_home;
        }
        copy.dead = dead;
        copy.unsure = false;
        copy.unfounded = false;
        copy.since = self.turn;
        self.set_state(at, State::Ready);
    }

    fn take_missing(&mut self, at: usize, reached: u64, slack: &mut [u64]) -> Verdict {
        let copy = &self.copies[at];
        let home = copy.home;
        let undone = match copy.state {
            State::Over(turn) => turn > self.durable_turn,
            State::Never | State::Dropped => false,
            State::Ready | State::Waiting(_) | State::Leased(_) => true,
        };
        if !undone {
            return Ok(());
        }
        let ended = matches!(copy.state, State::Over(_));
        // A message that only its home keeps (a quorum queue) is not kept as a dead letter.
        let died = !copy.durable_dead && (copy.dead || self.may_be_gone(copy));
        let letters = self.queue_shape(home).has_letters();
        let dropped = died || (self.may_be_gone(copy) && !letters);
        // What was not durable in an earlier crash is not made so by what was written since.
        let never = copy.published > reached || !copy.durable_home || copy.unfounded;
        let retries = self.queue_shape(home).settings.delayed_retry.is_some();
        let may_wait = retries && copy.durable_home && slack[home] > 0;
        if may_wait {
            slack[home] -= u64::from(!never && !dropped && !ended);
            let copy = &mut self.copies[at];
            copy.unsure = true;
            copy.unfounded = never || ended;
            copy.dead = false;
            self.set_state(at, State::Waiting(0));
        } else if ended {
            return Ok(());
        } else if never {
            self.set_state(at, State::Never);
        } else if dropped {
            self.set_state(at, State::Dropped);
        } else if copy.published <= self.durable_turn {
            return confirmed_kept::missing(self, at);
        } else {
            return whole_turns::missing(self, at, reached);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use polybus_model::{DeadLetter, DelayedRetry, QueueKind, QueueSettings, Returns};

    use super::*;
    use crate::ledger::{MessageInfo, body_of};
    use crate::random::Random;
    use crate::shape::{QueueShape, Shape, name};

    const HOME: usize = 1;
    const BODY_BYTES: usize = 20;

    /// Of a run whose only queue lets what comes back wait, where nobody can look.
    fn ledger() -> Ledger {
        let mut shape = Shape::new(&mut Random::new(1));
        shape.queues.truncate(1);
        shape.queues.push(QueueShape {
            name: name("q1"),
            settings: QueueSettings {
                kind: QueueKind::Quorum,
                durable: true,
                dead_letter: Some(DeadLetter {
                    topic: name("letters"),
                    key: None,
                }),
                delayed_retry: Some(DelayedRetry {
                    of: Returns::All,
                    min: 20,
                    max: 30,
                }),
                ..QueueSettings::default()
            },
        });
        Ledger::new(Arc::new(shape), 1 << 20, 0)
    }

    /// In a turn of its own.
    fn publish(ledger: &mut Ledger) -> usize {
        ledger.begin_turn(0);
        let message = ledger.add_message(MessageInfo {
            body_len: BODY_BYTES,
            durable: true,
            priority: None,
            ttl: None,
        });
        ledger.add_copy(message, HOME)
    }

    /// A crash, and what is there then.
    fn crash(ledger: &mut Ledger, ready: &[usize], waiting: u64) -> Verdict {
        ledger.restarted(false);
        ledger.begin_turn(0);
        let found = |at: &usize| Found {
            body: body_of(ledger.copies[*at].message, BODY_BYTES),
            body_len: BODY_BYTES,
            redelivered: true,
            from: None,
        };
        let ready = ready.iter().map(found).collect();
        ledger.audit(&[Contents::default(), Contents { ready, waiting }])
    }

    /// Of three messages the second surely waits, and of the two others one: the first, whose end may be undone, or the
    /// last, whose publish was not durable.
    fn after_a_crash() -> (Ledger, [usize; 3]) {
        let mut ledger = ledger();
        let ended = publish(&mut ledger);
        let surely = publish(&mut ledger);
        ledger.give_back(surely, false);
        ledger.note_durable(ledger.turn);
        let late = publish(&mut ledger);
        ledger.end(ended);
        crash(&mut ledger, &[], 2).unwrap();
        ledger.note_durable(ledger.turn);
        (ledger, [ended, surely, late])
    }

    #[test]
    fn what_was_not_durable_in_one_crash_is_not_expected_after_the_next() {
        for perhaps in [0, 2] {
            let (mut ledger, all) = after_a_crash();
            crash(&mut ledger, &[], 2).unwrap();
            let mut found = [all[1], all[perhaps]];
            found.sort_unstable();
            crash(&mut ledger, &found, 0).unwrap();
            assert!(!ledger.copies[all[2 - perhaps]].is_alive(), "{perhaps}");
        }
    }

    #[test]
    fn what_was_seen_since_is_expected_again() {
        for perhaps in [0, 2] {
            let (mut ledger, all) = after_a_crash();
            let mut found = [all[1], all[perhaps]];
            found.sort_unstable();
            crash(&mut ledger, &found, 0).unwrap();
            let gone = crash(&mut ledger, &[all[1]], 0).unwrap_err();
            assert_eq!(gone.invariant, confirmed_kept::NAME, "{perhaps}");
            let (mut ledger, all) = after_a_crash();
            let gone = crash(&mut ledger, &[all[perhaps]], 0).unwrap_err();
            assert_eq!(gone.invariant, confirmed_kept::NAME, "{perhaps}");
        }
    }
}
