//! The end of an epoch and the start of the next: crash or orderly stop, perhaps a flipped bit, and the audit of what is
//! there.

use std::collections::BTreeMap;
use std::sync::Arc;

use polybus_broker::{Broker, Durability, OpenError, Options, Steps};
use polybus_journal::{CrashMode, Io, MemoryIo};

use super::{Fault, Running, Simulation};
use crate::clerks::packing;
use crate::disk::{BrokenDisk, Defect};
use crate::invariants::{damage, healthy, opens};
use crate::ledger::audit::{Contents, Found};
use crate::tamper::Tamper;
use crate::violation::{Verdict, Violation};

impl Simulation {
    /// Opens the folder, declares what is missing, and compares.
    pub(super) fn start(&mut self) -> Result<Running, Violation> {
        self.trace.note(format_args!("opening"));
        let (broker, steps) = self
            .open(&self.disk)
            .map_err(|error| opens::refused(&error))?;
        let mut running = Running {
            broker,
            steps,
            clients: Vec::new(),
            desks: BTreeMap::new(),
            counters: BTreeMap::new(),
        };
        self.blocked = false;
        self.refusing = false;
        self.fault = Fault::None;
        let contents = contents(&running.broker, &self.shape.clone())?;
        self.trace_contents(&contents);
        self.ledger
            .begin_turn(polybus_broker::Clock::now(&*self.clock));
        self.ledger.audit(&contents)?;
        self.look_at_logs(&mut running)?;
        self.look_at_clerks(&mut running)?;
        self.declare(&mut running)?;
        self.look(&running)?;
        Ok(running)
    }

    fn open(&self, disk: &MemoryIo) -> Result<(Broker, Steps), OpenError> {
        let io: Arc<dyn Io> = match self.plan.tamper {
            Some(Tamper::LyingDisk) => self.broken(disk, Defect::Lies),
            Some(Tamper::DecayingDisk) => self.broken(disk, Defect::Decays),
            _ => Arc::new(disk.clone()),
        };
        let durability = match self.plan.tamper {
            Some(Tamper::ConfirmBeforeSync) => Durability::None,
            _ => Durability::Fsync,
        };
        let options = Options {
            durability,
            segment_bytes: self.knobs.segment_bytes,
            resident_bytes_max: self.knobs.resident_bytes_max,
            session_window_bytes: self.knobs.window_bytes,
            disk_free_min_bytes: self.knobs.disk_free_min_bytes,
            first_user: None,
            clock: self.clock.clone(),
            run_readers: packing::readers(),
            ..Options::new("simulated")
        };
        Broker::open_stepwise(options, io, self.plan.seed)
    }

    fn broken(&self, disk: &MemoryIo, defect: Defect) -> Arc<dyn Io> {
        Arc::new(BrokenDisk {
            disk: disk.clone(),
            defect,
            reads: Arc::clone(&self.reads),
        })
    }

    /// Ends an epoch.
    pub(super) fn stop(&mut self, running: Running) -> Verdict {
        let failed = self.ledger.failed;
        self.ledger
            .begin_turn(polybus_broker::Clock::now(&*self.clock));
        if !failed && self.fault == Fault::None && self.random.chance(25) {
            self.trace.note(format_args!("an orderly stop"));
            running
                .broker
                .shutdown()
                .map_err(|reason| healthy::failed("the shutdown", &reason))?;
            drop(running);
            self.ledger.restarted(true);
            self.disk.crash(CrashMode::Process, 0);
        } else {
            let mode = match self.random.below(4) {
                0 => CrashMode::LoseUnsynced,
                1 | 2 => CrashMode::Tear,
                _ => CrashMode::Process,
            };
            let seed = self.random.next();
            self.trace.note(format_args!("crash: {mode:?}"));
            self.disk.crash(mode, seed);
            drop(running);
            self.ledger.restarted(false);
        }
        self.disk.set_capacity(None);
        if let Some(world) = &mut self.logs {
            world.broker_gone();
        }
        self.clerks_lose_broker();
        if self.random.chance(30) {
            self.flip_a_bit()?;
        }
        self.spoil_outlines();
        Ok(())
    }

    /// On a copy of the disk: a flipped bit is noticed when it matters.
    fn flip_a_bit(&mut self) -> Verdict {
        let copy = self.disk.fork();
        let files = copy.list().unwrap_or_default();
        let Some(file) = self.random.pick(&files).cloned() else {
            return Ok(());
        };
        let len = copy.contents(&file).map_or(0, |bytes| bytes.len() as u64);
        let (offset, bit) = (self.random.below(len), self.random.below(8) as u8);
        if copy.flip_bit(&file, offset, bit).is_err() {
            return Ok(());
        }
        self.trace.note(format_args!(
            "on a copy, bit {bit} of {file} at {offset} flips"
        ));
        let Ok((broker, _steps)) = self.open(&copy) else {
            return Ok(());
        };
        let Ok(contents) = contents(&broker, &self.shape) else {
            return Ok(());
        };
        let mut ledger = self.ledger.clone();
        // The very last frame cannot be told from a torn one.
        ledger.durable_turn = ledger.durable_before;
        ledger
            .audit(&contents)
            .map_err(|found| damage::unnoticed(&file, offset, &found))
    }

    fn trace_contents(&mut self, contents: &[Contents]) {
        for (queue, contents) in self.shape.clone().queues.iter().zip(contents) {
            let ready: Vec<_> = contents
                .ready
                .iter()
                .map(|one| crate::ledger::id_of(&one.body))
                .collect();
            self.trace.note(format_args!(
                "  {} holds {ready:?} and {} waiting",
                queue.name, contents.waiting
            ));
        }
    }
}

/// What every queue holds.
fn contents(broker: &Broker, shape: &crate::shape::Shape) -> Result<Vec<Contents>, Violation> {
    let failed = |reason: polybus_broker::admin::Failure| healthy::failed("looking", &reason.0);
    let listed = broker.queues("/").map_err(failed)?;
    let mut all = Vec::new();
    for queue in &shape.queues {
        let Some(listed) = listed.iter().find(|one| one.name == queue.name.as_str()) else {
            all.push(Contents::default());
            continue;
        };
        let peeked = broker
            .peek("/", queue.name.as_str(), usize::MAX)
            .map_err(failed)?;
        let ready = peeked
            .into_iter()
            .map(|one| Found {
                body_len: one.body_bytes,
                body: one.body.into_bytes(),
                redelivered: one.redelivered,
                from: one
                    .deaths
                    .last()
                    .and_then(|line| line.split(" (").next())
                    .map(str::to_owned),
            })
            .collect();
        all.push(Contents {
            ready,
            waiting: listed.waiting,
        });
    }
    Ok(all)
}
