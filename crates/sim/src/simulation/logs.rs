//! The steps of the clients of logs, and what is looked at after a restart.

use polybus_broker::Clock as _;
use polybus_model::{Batch, Event, Lane, Request};

use super::{Fault, Running, Simulation};
use crate::invariants::{healthy, log_answers, log_dense, log_kept};
use crate::logs::{ACTORS, AUDITOR, LogWorld, tamper_requests};
use crate::trace::{ShownLogEvent, ShownRequest};
use crate::violation::{Verdict, Violation};

/// Of a hundred steps so many are followed by one of a client of logs.
const STEPS_PERCENT: u64 = 45;
/// Bytes that are read at once by the one who looks.
const LOOK_BYTES: u32 = 6_000;

impl Simulation {
    /// Something that a client of logs does, perhaps.
    pub(super) fn log_step(&mut self, running: &mut Running) -> Verdict {
        let Some(world) = &mut self.logs else {
            return Ok(());
        };
        world.now = self.clock.now();
        if !world.random.chance(STEPS_PERCENT) {
            return Ok(());
        }
        let actor = world.random.index(ACTORS);
        if world.random.chance(3) {
            world.connection_gone(actor);
            self.trace.note(format_args!("client {actor} of logs dies"));
            self.begin();
            running.desks.remove(&actor);
            return self.collect(running);
        }
        if !running.desks.contains_key(&actor) && self.ledger.failed {
            return Ok(());
        }
        let world = self.world()?;
        let requests = world.next_requests(actor);
        self.ask_of_logs(running, actor, requests)
    }

    fn world(&mut self) -> Result<&mut LogWorld, Violation> {
        let missing = || healthy::failed("the simulation", "there are no logs");
        self.logs.as_mut().ok_or_else(missing)
    }

    fn ask_of_logs(
        &mut self,
        running: &mut Running,
        actor: usize,
        mut requests: Vec<Request>,
    ) -> Verdict {
        if requests.is_empty() {
            return Ok(());
        }
        self.begin();
        if !running.desks.contains_key(&actor) {
            let desk = running.connect("logs")?;
            running.desks.insert(actor, desk);
        }
        for request in &requests {
            let shown = ShownRequest(request);
            self.trace.note(format_args!("client {actor}: {shown}"));
        }
        let (tamper, restarts) = (self.plan.tamper, self.world()?.restarts);
        tamper_requests(tamper, restarts, &mut requests);
        let requests = requests.into_iter().map(|one| (Lane(1), one)).collect();
        if let Some(desk) = running.desks.get_mut(&actor) {
            desk.submit(&mut Batch { requests });
        }
        self.collect(running)
    }

    /// Takes what clients of logs were told, and holds it against what they know.
    pub(super) fn collect_logs(&mut self, running: &mut Running) -> Verdict {
        let Some(world) = &mut self.logs else {
            return Ok(());
        };
        world.may_refuse = self.ledger.failed || matches!(self.fault, Fault::DiskFull(_));
        let mut events: Vec<Event> = Vec::new();
        for (actor, desk) in &mut running.desks {
            desk.take_events(&mut events);
            for mut event in events.drain(..) {
                let shown = ShownLogEvent(&event);
                self.trace.note(format_args!("  client {actor} <- {shown}"));
                if let Some(tamper) = self.plan.tamper {
                    tamper.log_event(&mut event);
                }
                world.note_event(*actor, event)?;
            }
        }
        Ok(())
    }

    /// All is written and read: nobody waits any more but for records to come.
    pub(super) fn check_logs_quiet(&self) -> Verdict {
        match self.logs.as_ref().and_then(LogWorld::unanswered) {
            Some(asked) => log_answers::unanswered(asked),
            None => Ok(()),
        }
    }

    /// After a restart: declares the logs the first time, and reads all that there is.
    pub(super) fn look_at_logs(&mut self, running: &mut Running) -> Verdict {
        let Some(world) = &mut self.logs else {
            return Ok(());
        };
        let count = world.partitions.len();
        let followers = world.followers.len();
        if world.restarts == 0 {
            let requests = world.declarations();
            self.ask_of_logs(running, AUDITOR, requests)?;
            return self.finish_logs(running);
        }
        for at in 0..count {
            self.look_at_partition(running, at)?;
        }
        for follower in 0..followers {
            let request = self.world()?.recall(follower, AUDITOR);
            self.ask_of_logs(running, AUDITOR, vec![request])?;
            self.finish_logs(running)?;
        }
        Ok(())
    }

    fn look_at_partition(&mut self, running: &mut Running, at: usize) -> Verdict {
        let sure = self.world()?.partitions[at].clone();
        let (mut next, mut first) = (sure.start_sure, true);
        loop {
            let world = self.world()?;
            let mut reading = sure.reading(at, next);
            reading.end = 0;
            let request = world.read_request(AUDITOR, vec![reading], LOOK_BYTES, 0);
            world.looked = None;
            self.ask_of_logs(running, AUDITOR, vec![request])?;
            self.finish_logs(running)?;
            let world = self.world()?;
            let Some((reached, end, some)) = world.looked else {
                return log_answers::unanswered("a look at a partition");
            };
            log_kept::check_end(&sure, end)?;
            if reached >= end {
                break;
            }
            // The first look may only have been told where the start is.
            log_dense::check_goes_on(&sure, next, end, some || (first && reached > next))?;
            (next, first) = (reached, false);
        }
        let now_max = self.ledger.now_max;
        self.world()?.check_gone(at, now_max)
    }

    /// Until the one who looks has its answers.
    fn finish_logs(&mut self, running: &mut Running) -> Verdict {
        self.load_all(running)?;
        self.commit_all(running)
    }
}
