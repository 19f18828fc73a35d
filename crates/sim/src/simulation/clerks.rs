//! The steps of the clerks, and what they look at after a restart.

use polybus_model::{Batch, Event, Lane, Request};

use super::{Fault, Running, Simulation};
use crate::trace::{ShownLogEvent, ShownRequest};
use crate::violation::Verdict;

/// Of a hundred steps so many are followed by one of a clerk.
const STEPS_PERCENT: u64 = 40;
/// In so many of a hundred of these the broker looks after its logs instead.
const ROUNDS_PERCENT: u64 = 8;
/// It does so that often,
const ROUND_MS: u64 = 31_000;
/// in that many steps of compaction, with pauses between them.
const ROUND_STEPS: u32 = 5;
const ROUND_STEP_MS: u64 = 3;

impl Simulation {
    /// Something that a clerk does, perhaps.
    pub(super) fn clerk_step(&mut self, running: &mut Running) -> Verdict {
        let Some(clerks) = &mut self.clerks else {
            return Ok(());
        };
        if !clerks.random.chance(STEPS_PERCENT) {
            return Ok(());
        }
        if clerks.random.chance(ROUNDS_PERCENT) && !self.ledger.failed {
            return self.look_after_logs(running);
        }
        let at = clerks.random.index(clerks.all.len());
        let clerk = &mut clerks.all[at];
        if clerks.random.chance(3) {
            clerk.connection_gone();
            self.trace
                .note(format_args!("the clerk of {} dies", clerk.name()));
            self.begin();
            running.counters.remove(&at);
            return self.collect(running);
        }
        if !running.counters.contains_key(&at) && self.ledger.failed {
            return Ok(());
        }
        let requests = clerk.next(&mut clerks.random);
        self.ask_of_clerk(running, at, requests)
    }

    /// Time goes by until the broker looks after its logs, and it does.
    fn look_after_logs(&mut self, running: &mut Running) -> Verdict {
        self.clock.advance(ROUND_MS);
        for _ in 0..ROUND_STEPS {
            self.tell_clerks_time();
            self.timers(running)?;
            self.load_all(running)?;
            self.clock.advance(ROUND_STEP_MS);
        }
        Ok(())
    }

    /// The clock has moved.
    pub(super) fn tell_clerks_time(&mut self) {
        let clerks = self.clerks.iter_mut().flat_map(|clerks| &mut clerks.all);
        clerks.for_each(|clerk| clerk.time_passed());
    }

    /// Asks as a clerk, on its connection.
    fn ask_of_clerk(
        &mut self,
        running: &mut Running,
        at: usize,
        mut requests: Vec<Request>,
    ) -> Verdict {
        let Some(clerks) = self.clerks.as_mut().filter(|_| !requests.is_empty()) else {
            return Ok(());
        };
        if !running.counters.contains_key(&at) {
            requests.splice(0..0, clerks.all[at].greets());
            let counter = running.connect("clerk")?;
            running.counters.insert(at, counter);
        }
        let name = clerks.all[at].name();
        self.begin();
        for request in &requests {
            let shown = ShownRequest(request);
            self.trace.note(format_args!("{name}: {shown}"));
        }
        if let Some(tamper) = self.plan.tamper {
            requests
                .iter_mut()
                .for_each(|request| tamper.clerk_request(request));
        }
        let requests = requests.into_iter().map(|one| (Lane(1), one)).collect();
        if let Some(counter) = running.counters.get_mut(&at) {
            counter.submit(&mut Batch { requests });
        }
        self.collect(running)?;
        let may_refuse = self.may_refuse();
        let clerks = self.clerks.iter_mut().flat_map(|clerks| &mut clerks.all);
        clerks
            .skip(at)
            .take(1)
            .try_for_each(|clerk| clerk.turn_over(may_refuse))
    }

    /// Whether the broker may refuse what clerks ask.
    fn may_refuse(&self) -> bool {
        self.ledger.failed || matches!(self.fault, Fault::DiskFull(_))
    }

    /// Takes what clerks were told, and holds it against their books.
    pub(super) fn collect_clerks(&mut self, running: &mut Running) -> Verdict {
        let may_refuse = self.may_refuse();
        let Some(clerks) = &mut self.clerks else {
            return Ok(());
        };
        let mut events: Vec<Event> = Vec::new();
        for (at, counter) in &mut running.counters {
            counter.take_events(&mut events);
            let clerk = &mut clerks.all[*at];
            for mut event in events.drain(..) {
                let (name, shown) = (clerk.name(), ShownLogEvent(&event));
                self.trace.note(format_args!("  {name} <- {shown}"));
                if let Some(tamper) = self.plan.tamper {
                    tamper.clerk_event(&mut event);
                }
                clerk.told(event, may_refuse)?;
            }
        }
        Ok(())
    }

    /// The broker is gone.
    pub(super) fn clerks_lose_broker(&mut self) {
        let clerks = self.clerks.iter_mut().flat_map(|clerks| &mut clerks.all);
        clerks.for_each(|clerk| clerk.connection_gone());
    }

    /// After a restart: declares what clerks need the first time, and lets them look at all that there is.
    pub(super) fn look_at_clerks(&mut self, running: &mut Running) -> Verdict {
        let Some(clerks) = &mut self.clerks else {
            return Ok(());
        };
        let count = clerks.all.len();
        if !std::mem::replace(&mut clerks.declared, true) {
            for at in 0..count {
                for request in self.declarations_of(at) {
                    self.ask_of_clerk(running, at, vec![request])?;
                }
            }
            return self.settle_down(running);
        }
        // What is owed from before goes on with that.
        self.timers(running)?;
        for at in 0..count {
            let mut step = 0;
            while let Some(request) = self.look_of(at, step) {
                self.ask_of_clerk(running, at, vec![request])?;
                self.settle_down(running)?;
                step += 1;
            }
            if let Some(clerks) = &mut self.clerks {
                clerks.all[at].looked()?;
            }
        }
        Ok(())
    }

    fn look_of(&mut self, at: usize, step: usize) -> Option<Request> {
        self.clerks.as_mut()?.all[at].look(step)
    }

    fn declarations_of(&mut self, at: usize) -> Vec<Request> {
        let clerks = self.clerks.as_mut();
        clerks.map_or_else(Vec::new, |clerks| clerks.all[at].declarations())
    }

    /// Until nothing is under way.
    fn settle_down(&mut self, running: &mut Running) -> Verdict {
        self.load_all(running)?;
        self.commit_all(running)?;
        self.load_all(running)
    }
}
