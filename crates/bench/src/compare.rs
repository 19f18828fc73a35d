//! Brokers side by side: the same runs against each in turn, and medians.
//!
//! ```text
//! for each workload:   start A, start B;   A B A B A B ...;   stop both
//! ```
//! Both are up while one is measured, and the other has nothing to do; each workload begins with fresh ones, so that none pays
//! for what came before. A round is alternated, so that a busy moment of the machine does not hit one side alone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::cost::costing;
use crate::error::BenchError;
use crate::histogram::Latency;
use crate::link::Link;
use crate::machine::{Machine, load};
use crate::process::Tree;
use crate::rounds::Rounds;
use crate::run::{Figures, Progress, RunOptions, run};
use crate::server::{Broker, Server};
use crate::topology::{queue_name, set_up};
use crate::workload::{Shape, Workload};

/// What a comparison can do beside the workloads.
pub const SPECIAL: [(&str, &str); 2] = [
    (
        "startup",
        "an empty broker: ready in, memory and processor time when idle",
    ),
    (
        "recovery-1m",
        "killed with 1 million durable messages waiting: until the first can be had again",
    ),
];

/// How long an idle broker is watched.
const IDLE_WATCH: Duration = Duration::from_secs(5);

/// What to compare.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The workloads.
    pub workloads: Vec<Workload>,
    /// Also measure an empty broker.
    pub startup: bool,
    /// Also measure recovery.
    pub recovery: bool,
    /// How often each.
    pub rounds: usize,
    /// How long to publish.
    pub duration: Duration,
    /// Polybus' binary.
    pub polybus: PathBuf,
    /// Where data folders are made.
    pub folder: PathBuf,
    /// Measure polybus alone.
    pub alone: bool,
}

/// One side.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// The broker.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What its confirms promise.
    pub durability: String,
}

/// A workload's figures.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The workload.
    pub workload: String,
    /// What it is.
    pub about: String,
    /// How many times the peer's rate is aimed at.
    pub target_ratio: Option<f64>,
    /// Medians, by side.
    pub medians: Vec<Figures>,
    /// All rounds, by side.
    pub rounds: Vec<Vec<Figures>>,
    /// Why a side has no figures.
    pub failures: Vec<Option<String>>,
    /// Processors kept busy by others than broker and client, on average.
    pub other_load: f64,
}

/// An empty broker.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Startup {
    /// From the start until a connection was open.
    pub ready_ms: f64,
    /// Memory some seconds later.
    pub resident_mib: f64,
    /// Processor time while idle, as a share of one core.
    pub cpu_percent: f64,
}

/// A broker that was killed.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Recovery {
    /// How many messages were waiting.
    pub messages: u64,
    /// From the start until a connection was open.
    pub ready_ms: f64,
    /// From the start until the first message was taken.
    pub first_message_ms: f64,
    /// Memory then.
    pub resident_mib: f64,
}

/// All that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Where.
    pub machine: Machine,
    /// Load of the machine when it began.
    pub load_before: f64,
    /// Load of the machine when it was done.
    pub load_after: f64,
    /// Who; the first is polybus.
    pub sides: Vec<Side>,
    /// How often each was run.
    pub rounds: usize,
    /// How long was published.
    pub seconds: f64,
    /// What was found.
    pub rows: Vec<Row>,
    /// Empty brokers, by side.
    pub startup: Vec<Startup>,
    /// Killed brokers, by side.
    pub recovery: Vec<Recovery>,
}

impl Comparison {
    /// Nothing is found yet.
    pub(crate) fn begin(
        brokers: &[Broker],
        folder: &Path,
        rounds: usize,
        duration: Duration,
    ) -> Self {
        let side = |broker: &Broker| Side {
            name: broker.name().into(),
            version: broker.version(),
            durability: broker.durability().into(),
        };
        Self {
            machine: Machine::look(folder),
            load_before: load(),
            load_after: 0.0,
            sides: brokers.iter().map(side).collect(),
            rounds,
            seconds: duration.as_secs_f64(),
            rows: Vec::new(),
            startup: Vec::new(),
            recovery: Vec::new(),
        }
    }

    /// Measures each broker empty.
    ///
    /// # Errors
    /// [`BenchError`] if one cannot be started.
    pub(crate) fn start_all(
        &mut self,
        brokers: &[Broker],
        folder: &Path,
        tell: &mut Tell<'_>,
    ) -> Result<(), BenchError> {
        for broker in brokers {
            tell(&format!("{}: startup", broker.name()), None);
            self.startup.push(startup(broker, folder, self.rounds)?);
        }
        Ok(())
    }

    /// Half of what the slowest side managed at a workload that was measured before: a rate that every side can keep up with.
    pub(crate) fn half_of_slowest(&self, workload: &str, rate: fn(&Figures) -> f64) -> Option<u64> {
        let row = self.rows.iter().find(|row| row.workload == workload)?;
        let rates = row.medians.iter().map(rate);
        let slowest = rates
            .filter(|rate| *rate > 0.0)
            .fold(f64::INFINITY, f64::min);
        slowest
            .is_finite()
            .then_some(((slowest / 2.0) as u64).max(1))
    }
}

/// Tells what is being done, and how far a run is.
pub type Tell<'a> = dyn FnMut(&str, Option<&Progress>) + 'a;

/// Compares; `keep` is shown what there is after each workload, since all of them take long. A side that fails a workload has no figures for it, and the failure is told; the others go on.
///
/// # Errors
/// [`BenchError`] if a broker cannot be started.
pub fn compare(
    plan: &Plan,
    tell: &mut Tell<'_>,
    keep: &mut dyn FnMut(&Comparison),
) -> Result<Comparison, BenchError> {
    let polybus = Broker::Polybus(std::path::absolute(&plan.polybus).unwrap_or_default());
    polybus.expect_installed(&plan.polybus)?;
    let mut brokers = vec![polybus];
    if !plan.alone && Broker::RabbitMq.is_installed() {
        brokers.push(Broker::RabbitMq);
    } else {
        tell("no RabbitMQ: measuring polybus alone", None);
    }
    let mut comparison = Comparison::begin(&brokers, &plan.folder, plan.rounds, plan.duration);
    if plan.startup {
        comparison.start_all(&brokers, &plan.folder, tell)?;
    }
    for workload in &plan.workloads {
        let mut workload = workload.clone();
        if workload.name == "latency" {
            let rate = comparison.half_of_slowest("ack-16b", |figures| figures.consumed_per_s);
            suit_rate(&mut workload, rate);
        }
        let row = compare_one(plan, &brokers, &workload, tell)?;
        comparison.rows.push(row);
        comparison.load_after = load();
        keep(&comparison);
    }
    if plan.recovery {
        for broker in &brokers {
            tell(&format!("{}: recovery", broker.name()), None);
            comparison.recovery.push(recovery(broker, plan, tell)?);
        }
    }
    comparison.load_after = load();
    Ok(comparison)
}

/// On a schedule, if the same work was measured without one before.
fn suit_rate(workload: &mut Workload, rate: Option<u64>) {
    if let Some(rate) = rate {
        workload.rate_per_s = Some(rate);
        workload.about = format!("durable 16 B at a fixed {rate} messages/s, acknowledged");
    }
}

fn compare_one(
    plan: &Plan,
    brokers: &[Broker],
    workload: &Workload,
    tell: &mut Tell<'_>,
) -> Result<Row, BenchError> {
    let servers = brokers
        .iter()
        .map(|broker| Server::start(broker, &plan.folder))
        .collect::<Result<Vec<_>, _>>()?;
    let mut rounds = Rounds::new(&workload.name, &workload.about, brokers.len(), plan.rounds);
    for number in 0..plan.rounds {
        for (side, server) in servers.iter().enumerate() {
            rounds.one(
                (side, server.broker().name()),
                number,
                tell,
                |what, tell| {
                    let options = RunOptions {
                        duration: plan.duration,
                        server_pid: Some(server.pid()),
                        ..RunOptions::default()
                    };
                    let (figures, cost) = costing(server.pid(), || {
                        run(&server.target(), workload, &options, &mut |progress| {
                            tell(what, Some(progress));
                        })
                    })?;
                    Ok((figures, cost.others))
                },
            );
        }
    }
    Ok(Row {
        target_ratio: workload.target_ratio,
        ..rounds.row()
    })
}

fn startup(broker: &Broker, folder: &Path, rounds: usize) -> Result<Startup, BenchError> {
    let mut all = Vec::new();
    for _ in 0..rounds.min(3) {
        let server = Server::start(broker, folder)?;
        std::thread::sleep(Duration::from_secs(1));
        let tree = Tree::of(server.pid());
        let before = tree.cpu();
        std::thread::sleep(IDLE_WATCH);
        let spent = tree.cpu().saturating_sub(before);
        all.push(Startup {
            ready_ms: server.ready_in.as_secs_f64() * 1e3,
            resident_mib: tree.resident_bytes() as f64 / (1024.0 * 1024.0),
            cpu_percent: spent.as_secs_f64() * 100.0 / IDLE_WATCH.as_secs_f64(),
        });
    }
    let of = |field: fn(&Startup) -> f64| median(all.iter().map(field)).unwrap_or(0.0);
    Ok(Startup {
        ready_ms: of(|startup| startup.ready_ms),
        resident_mib: of(|startup| startup.resident_mib),
        cpu_percent: of(|startup| startup.cpu_percent),
    })
}

fn recovery(broker: &Broker, plan: &Plan, tell: &mut Tell<'_>) -> Result<Recovery, BenchError> {
    let messages = 1_000_000;
    let workload = Workload {
        name: "recovery-1m".into(),
        shape: Shape::PublishThenDrain,
        messages: Some(messages),
        consumers: 0,
        ..Workload::default()
    };
    let server = Server::start(broker, &plan.folder)?;
    set_up(&server.target(), &workload)?;
    let options = RunOptions::default();
    crate::run::publish_only(&server.target(), &workload, &options, &mut |progress| {
        tell("recovery-1m", Some(progress));
    })?;
    let begin = std::time::Instant::now();
    let server = server.crash_and_restart()?;
    let mut link = Link::open(&server.target(), 0)?;
    link.open_channel(1)?;
    let first = link.take(&queue_name(0))?;
    let first_message_ms = begin.elapsed().as_secs_f64() * 1e3;
    let left = link.declare_queue(&queue_name(0), true, &workload.queue_arguments)?;
    if first.is_none() || u64::from(left) + 1 != messages {
        return Err(BenchError::Wrong(format!(
            "of {messages} confirmed messages {left} are left after a crash, and one was taken"
        )));
    }
    Ok(Recovery {
        messages,
        ready_ms: server.ready_in.as_secs_f64() * 1e3,
        first_message_ms,
        resident_mib: Tree::of(server.pid()).resident_bytes() as f64 / (1024.0 * 1024.0),
    })
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    if values.len().is_multiple_of(2) {
        let lower = *values.get(values.len() / 2 - 1)?;
        return Some(f64::midpoint(lower, upper));
    }
    Some(upper)
}

/// The median of each figure by itself.
pub(crate) fn median_of(workload: &str, rounds: &[Figures]) -> Figures {
    let of = |field: fn(&Figures) -> f64| median(rounds.iter().map(field)).unwrap_or(0.0);
    let maybe = |field: fn(&Figures) -> Option<f64>| median(rounds.iter().filter_map(field));
    let latency = |field: fn(&Figures) -> Option<Latency>| {
        let each = |part: fn(&Latency) -> f64| {
            median(
                rounds
                    .iter()
                    .filter_map(field)
                    .map(|latency| part(&latency)),
            )
        };
        Some(Latency {
            p50_us: each(|of| of.p50_us)?,
            p99_us: each(|of| of.p99_us)?,
            p999_us: each(|of| of.p999_us)?,
            max_us: each(|of| of.max_us)?,
        })
    };
    Figures {
        workload: workload.into(),
        published: of(|f| f.published as f64) as u64,
        consumed: of(|f| f.consumed as f64) as u64,
        published_per_s: of(|f| f.published_per_s),
        consumed_per_s: of(|f| f.consumed_per_s),
        confirm: latency(|f| f.confirm),
        delivery: latency(|f| f.delivery),
        server_cpu_us: maybe(|f| f.server_cpu_us),
        server_cpu_percent: maybe(|f| f.server_cpu_percent),
        resident_mib: maybe(|f| f.resident_mib),
        resident_waiting_mib: maybe(|f| f.resident_waiting_mib),
        first_get_ms: maybe(|f| f.first_get_ms),
        client_cpu_us: of(|f| f.client_cpu_us),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0].into_iter()), Some(2.5));
        assert_eq!(median(std::iter::empty()), None);
    }
}
