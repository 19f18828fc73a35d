//! One run: epochs between restarts, each with its fault, and at the end everything is taken out and compared.

mod clerks;
mod faults;
mod logs;
mod outlines;
mod restart;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use polybus_broker::{Broker, Clock, Connection, Steps, admin};
use polybus_journal::MemoryIo;
use polybus_model::{Batch, Event, Lane, SessionId};
use polybus_session::Peer;

use crate::clerks::Clerks;
use crate::client::Client;
use crate::clock::SimClock;
use crate::invariants::{confirms, counts, healthy, memory, order, progress};
use crate::ledger::Ledger;
use crate::logs::LogWorld;
use crate::random::Random;
use crate::shape::{Shape, name};
use crate::tamper::Tamper;
use crate::trace::{ShownEvent, ShownRequest, Trace};
use crate::violation::{Verdict, Violation};
use faults::Fault;

/// Clients at a time.
const CLIENTS_MAX: usize = 4;
/// Steps that are taken after the journal has failed, to see that nothing is confirmed any more.
const STEPS_AFTER_FAILURE: u64 = 12;
/// Runs that are read back in a row.
const LOADS_MAX: u32 = 5_000;
/// Rounds of taking everything out, at the end.
const DRAIN_ROUNDS: u32 = 2_000;

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// Restarts.
    pub restarts: u64,
    /// Steps between them, at most.
    pub steps_max: u64,
    /// There are logs and their clients, too.
    pub logs: bool,
    /// Print what happens.
    pub prints: bool,
    /// A bug to put in.
    pub tamper: Option<Tamper>,
}

impl Plan {
    /// The usual plan for a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            restarts: 3,
            steps_max: 160,
            logs: true,
            prints: false,
            tamper: None,
        }
    }
}

/// What a run without a violation came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The hash of everything that happened.
    pub trace_hash: u64,
    /// Steps taken.
    pub steps: u64,
    /// Messages published.
    pub published: u64,
    /// Publishes confirmed.
    pub confirmed: u64,
    /// Deliveries.
    pub delivered: u64,
    /// Runs that are in logs for sure.
    pub runs: u64,
    /// Restarts without an orderly end.
    pub crashes: u64,
    /// Outlines of segments that restarts found.
    pub outlines: u64,
}

/// A violation, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The seed that shows it.
    pub seed: u64,
    /// The step at which it was seen.
    pub step: u64,
    /// What is wrong.
    pub violation: Violation,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {} step {}: {}",
            self.seed, self.step, self.violation
        )
    }
}

impl std::error::Error for Failure {}

/// Runs a plan.
///
/// # Errors
/// An invariant did not hold.
pub fn run(plan: &Plan) -> Result<Outcome, Failure> {
    let mut simulation = Simulation::new(plan);
    match simulation.run() {
        Ok(()) => Ok(Outcome {
            trace_hash: simulation.trace.hash(),
            steps: simulation.step,
            published: simulation.ledger.messages.len() as u64,
            confirmed: simulation.ledger.confirmed,
            delivered: simulation.ledger.delivered,
            runs: simulation.logs.as_ref().map_or(0, LogWorld::sure_runs),
            crashes: simulation.ledger.crashes,
            outlines: simulation.outlines,
        }),
        Err(violation) => Err(Failure {
            seed: plan.seed,
            step: simulation.step,
            violation,
        }),
    }
}

/// What a broker of this run is opened with.
#[derive(Clone, Copy, Debug)]
struct Knobs {
    segment_bytes: u32,
    resident_bytes_max: usize,
    window_bytes: usize,
    disk_free_min_bytes: u64,
}

/// A broker that runs.
struct Running {
    broker: Broker,
    steps: Steps,
    clients: Vec<Client>,
    /// Connections of clients of logs, by their numbers.
    desks: BTreeMap<usize, Connection>,
    /// Connections of clerks, by their numbers.
    counters: BTreeMap<usize, Connection>,
}

impl Running {
    /// A session of its own, in the namespace that there is.
    fn connect(&self, protocol: &'static str) -> Result<Connection, Violation> {
        let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let peer = Peer {
            remote: nowhere,
            local: nowhere,
            tls: false,
            certificate_name: None,
        };
        let mut connection = self
            .broker
            .connect(protocol, &peer)
            .map_err(|error| healthy::failed("connecting", &error.to_string()))?;
        self.steps
            .enter(&mut connection, &name("/"))
            .map_err(|error| healthy::failed("entering", &error.to_string()))?;
        Ok(connection)
    }
}

/// A run.
struct Simulation {
    plan: Plan,
    random: Random,
    clock: Arc<SimClock>,
    disk: MemoryIo,
    shape: Arc<Shape>,
    knobs: Knobs,
    ledger: Ledger,
    logs: Option<LogWorld>,
    clerks: Option<Clerks>,
    trace: Trace,
    step: u64,
    /// The broker has asked not to publish.
    blocked: bool,
    /// It refuses publishes.
    refusing: bool,
    fault: Fault,
    /// Reads of a broken disk.
    reads: Arc<AtomicU64>,
    /// Outlines that were there at restarts, and what they were.
    outlines: u64,
    kept_outlines: outlines::Kept,
}

impl Simulation {
    fn new(plan: &Plan) -> Self {
        let mut random = Random::new(plan.seed);
        let shape = Arc::new(Shape::new(&mut random));
        let knobs = Knobs {
            segment_bytes: *random
                .pick(&[16 << 10, 32 << 10, 64 << 10])
                .unwrap_or(&(32 << 10)),
            resident_bytes_max: *random
                .pick(&[1 << 10, 16 << 10, 16 << 20])
                .unwrap_or(&(16 << 20)),
            window_bytes: *random.pick(&[600, 8 << 10, 1 << 20]).unwrap_or(&(1 << 20)),
            disk_free_min_bytes: 192 << 10,
        };
        let clock = Arc::new(SimClock::default());
        let mut trace = Trace::new(plan.prints);
        trace.note(format_args!("{knobs:?}"));
        for queue in &shape.queues {
            trace.note(format_args!("{}: {:?}", queue.name, queue.settings));
        }
        Self {
            ledger: Ledger::new(Arc::clone(&shape), knobs.window_bytes, clock.now()),
            logs: plan.logs.then(|| LogWorld::new(plan.seed)),
            clerks: plan.logs.then(|| Clerks::new(plan.seed, &clock)),
            plan: plan.clone(),
            random,
            clock,
            disk: MemoryIo::new(),
            shape,
            knobs,
            trace,
            step: 0,
            blocked: false,
            refusing: false,
            fault: Fault::None,
            reads: Arc::default(),
            outlines: 0,
            kept_outlines: outlines::Kept::new(),
        }
    }

    fn run(&mut self) -> Verdict {
        for epoch in 0..=self.plan.restarts {
            let mut running = self.start()?;
            if epoch == self.plan.restarts {
                return self.drain(&mut running);
            }
            self.arm();
            let steps = self.random.between(20, self.plan.steps_max);
            for _ in 0..steps {
                self.take_step(&mut running)?;
                if self.ledger.failed {
                    break;
                }
            }
            if self.ledger.failed {
                for _ in 0..STEPS_AFTER_FAILURE {
                    self.take_step(&mut running)?;
                }
            }
            self.stop(running)?;
        }
        Ok(())
    }

    fn take_step(&mut self, running: &mut Running) -> Verdict {
        self.step += 1;
        self.pass_time();
        match self.random.below(100) {
            0..=3 => self.client_comes(running)?,
            4 => self.client_dies(running)?,
            5..=19 => self.commit(running).map(drop)?,
            20..=24 => self.load(running).map(drop)?,
            25..=29 => self.timers(running)?,
            30..=35 => self.upkeep(running)?,
            36..=37 => self.quiet(running)?,
            38..=59 => self.client_reads(running),
            _ => self.client_submits(running)?,
        }
        if self.step.is_multiple_of(8) {
            self.look(running)?;
        }
        self.log_step(running)?;
        self.clerk_step(running)
    }

    fn pass_time(&mut self) {
        match self.random.below(400) {
            0 => self.clock.advance(45 * 60 * 1_000),
            1 => self.clock.set_back(45 * 60 * 1_000),
            2..=20 => self.clock.advance(self.random.below(500)),
            _ => self.clock.advance(self.random.below(10)),
        }
        self.tell_clerks_time();
    }

    fn begin(&mut self) {
        self.ledger.begin_turn(self.clock.now());
    }

    fn client_comes(&mut self, running: &mut Running) -> Verdict {
        if running.clients.len() >= CLIENTS_MAX || self.ledger.failed {
            return Ok(());
        }
        self.begin();
        let client = self.connect(running)?;
        self.trace.note(format_args!("{:?} comes", client.id));
        running.clients.push(client);
        self.collect(running)
    }

    fn connect(&mut self, running: &mut Running) -> Result<Client, Violation> {
        let connection = running.connect("simulation")?;
        let client = Client::new(connection, &mut self.random);
        self.ledger.session_came(client.id);
        Ok(client)
    }

    fn client_dies(&mut self, running: &mut Running) -> Verdict {
        if running.clients.is_empty() {
            return Ok(());
        }
        self.begin();
        let client = running
            .clients
            .swap_remove(self.random.index(running.clients.len()));
        self.trace.note(format_args!("{:?} dies", client.id));
        self.ledger.session_gone(client.id);
        drop(client);
        self.collect(running)
    }

    fn client_reads(&mut self, running: &mut Running) {
        let count = self.random.between(1, 20) as usize;
        let at = self.random.index(running.clients.len());
        if let Some(client) = running.clients.get_mut(at) {
            client.read(count);
        }
    }

    fn client_submits(&mut self, running: &mut Running) -> Verdict {
        let at = self.random.index(running.clients.len());
        self.look_at_disk(running);
        let Some(client) = running.clients.get_mut(at) else {
            return Ok(());
        };
        let blocked = self.blocked;
        // The ledger numbers messages as they are made, and notes them in the turn that publishes them.
        self.ledger.begin_turn(self.clock.now());
        let batch = client.next_batch(&mut self.random, &self.shape, &mut self.ledger, blocked);
        self.submit(running, at, batch)
    }

    /// Whether the broker takes publishes.
    fn look_at_disk(&mut self, running: &Running) {
        if matches!(self.fault, Fault::DiskFull(_)) {
            let status = running.broker.status();
            self.blocked = status.blocked;
            self.refusing = status.refusing;
        }
    }

    /// Submits in the turn that has begun.
    fn submit(&mut self, running: &mut Running, at: usize, mut batch: Batch) -> Verdict {
        let Some(client) = running.clients.get_mut(at) else {
            return Ok(());
        };
        if batch.requests.is_empty() {
            return Ok(());
        }
        for (lane, request) in &batch.requests {
            self.trace.note(format_args!(
                "{:?} {lane:?} {}",
                client.id,
                ShownRequest(request)
            ));
        }
        self.ledger.note_requests(client.id, &batch, self.refusing);
        if let Some(tamper) = self.plan.tamper {
            tamper.requests(&mut batch);
        }
        client.connection.submit(&mut batch);
        self.collect(running)
    }

    /// Takes all events, and holds them against the ledger.
    fn collect(&mut self, running: &mut Running) -> Verdict {
        let mut events: Vec<(SessionId, Event)> = Vec::new();
        for client in &mut running.clients {
            let mut came = Vec::new();
            client.connection.take_events(&mut came);
            events.extend(came.into_iter().map(|event| (client.id, event)));
        }
        for (id, event) in &events {
            self.trace
                .note(format_args!("  {id:?} <- {}", ShownEvent(event)));
        }
        if let Some(tamper) = self.plan.tamper {
            tamper.events(&mut events);
        }
        self.ledger.note_events(&events)?;
        order::check_turn(&mut self.ledger)?;
        for (id, event) in events {
            if let Some(client) = running.clients.iter_mut().find(|client| client.id == id) {
                client.inbox.push_back(event);
            }
        }
        self.collect_logs(running)?;
        self.collect_clerks(running)
    }

    /// A step of the broker has failed: it must be for a reason.
    fn failed(&mut self, step: &str, reason: &str) -> Verdict {
        self.trace.note(format_args!("{step} failed: {reason}"));
        if self.fault == Fault::None {
            return Err(healthy::failed(step, reason));
        }
        self.ledger.failed = true;
        Ok(())
    }

    /// Writes one frame. False if there is nothing to write (any more).
    fn commit(&mut self, running: &mut Running) -> Result<bool, Violation> {
        self.begin();
        let durable = self.ledger.durable_turn;
        let result = running.steps.commit();
        if result == Ok(true) {
            self.ledger.durable_before = durable;
        }
        self.trace.note(format_args!("commit {result:?}"));
        let written = match result {
            Ok(written) => written,
            Err(reason) => {
                self.failed("a commit", &reason)?;
                false
            }
        };
        self.collect(running)?;
        if !written && !self.ledger.failed {
            self.ledger.note_durable(self.ledger.turn - 1);
        }
        Ok(written)
    }

    /// Writes all there is. (To read a record back it must be written: in a broker with threads the reader waits.)
    fn commit_all(&mut self, running: &mut Running) -> Verdict {
        while !self.ledger.failed && self.commit(running)? {}
        Ok(())
    }

    /// Reads one run back. True if there was one.
    fn load(&mut self, running: &mut Running) -> Result<bool, Violation> {
        self.commit_all(running)?;
        if self.ledger.failed {
            return Ok(false);
        }
        self.begin();
        let result = running.steps.load();
        self.trace.note(format_args!("load {result:?}"));
        let loaded = match result {
            Ok(loaded) => loaded,
            Err(reason) => {
                self.failed("a load", &reason)?;
                false
            }
        };
        self.collect(running)?;
        Ok(loaded)
    }

    /// Reads back all that is wanted.
    fn load_all(&mut self, running: &mut Running) -> Verdict {
        for _ in 0..LOADS_MAX {
            if self.ledger.failed || !self.load(running)? {
                return Ok(());
            }
        }
        progress::loads_again_and_again()
    }

    fn timers(&mut self, running: &mut Running) -> Verdict {
        self.begin();
        self.trace
            .note(format_args!("timers at {}", self.clock.now()));
        running.steps.timers();
        self.collect(running)
    }

    fn upkeep(&mut self, running: &mut Running) -> Verdict {
        self.begin();
        let result = running.steps.upkeep();
        self.trace.note(format_args!("upkeep {result:?}"));
        // It writes frames before it does what may have failed: their confirms are good.
        self.collect(running)?;
        match result {
            Ok(()) => Ok(()),
            Err(reason) => self.failed("the upkeep", &reason),
        }
    }

    /// Lets everything finish, and checks what must hold then.
    fn quiet(&mut self, running: &mut Running) -> Verdict {
        self.load_all(running)?;
        self.commit_all(running)?;
        if self.ledger.failed {
            return Ok(());
        }
        confirms::check_quiet(&self.ledger)?;
        self.check_logs_quiet()?;
        let listed = self.look(running)?;
        progress::check_quiet(&self.ledger, &listed)
    }

    /// Compares the broker's listing with the model.
    fn look(&mut self, running: &Running) -> Result<Vec<admin::Queue>, Violation> {
        let listed = running
            .broker
            .queues("/")
            .map_err(|error| healthy::failed("listing", &error.to_string()))?;
        for queue in &listed {
            self.trace.note(format_args!(
                "  {}: {} ready, {} held, {} waiting",
                queue.name, queue.ready, queue.unacknowledged, queue.waiting
            ));
        }
        counts::check(&self.ledger, &listed)?;
        memory::check(&listed, self.knobs.resident_bytes_max)?;
        Ok(listed)
    }

    /// The end: takes everything out.
    fn drain(&mut self, running: &mut Running) -> Verdict {
        self.trace.note(format_args!("draining"));
        self.begin();
        let mut client = self.connect(running)?;
        let batches = client.subscribe_all(&self.shape);
        running.clients.push(client);
        for batch in batches {
            self.begin();
            self.submit(running, 0, batch)?;
        }
        for round in 0..DRAIN_ROUNDS {
            self.step += 1;
            self.quiet(running)?;
            let listed = self.look(running)?;
            let left: u64 = listed
                .iter()
                .map(|queue| queue.ready + queue.waiting + queue.unacknowledged)
                .sum();
            if left == 0 {
                return Ok(());
            }
            // A retry may be due only after the clock has made up for what it was set back.
            self.clock.advance(if round < 200 { 20 } else { 60_000 });
            self.tell_clerks_time();
            self.timers(running)?;
            if let Some(client) = running.clients.first_mut() {
                client.read(usize::MAX);
                let batch = client.accept_all();
                self.begin();
                self.submit(running, 0, batch)?;
            }
        }
        Err(Violation::new(
            progress::NAME,
            "the queues cannot be emptied".to_owned(),
        ))
    }

    /// Declares everything, on a lane of its own.
    fn declare(&mut self, running: &mut Running) -> Verdict {
        self.begin();
        let client = self.connect(running)?;
        let id = client.id;
        running.clients.push(client);
        // What is there already needs no commit to be declared again.
        let commits = self.ledger.messages.is_empty() || self.random.chance(50);
        for request in self.shape.declarations() {
            self.begin();
            let batch = Batch {
                requests: vec![(Lane(0), request)],
            };
            self.submit(running, 0, batch)?;
            if commits {
                self.commit_all(running)?;
            }
        }
        self.begin();
        running.clients.clear();
        self.ledger.session_gone(id);
        self.collect(running)
    }
}
