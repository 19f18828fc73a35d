//! Brokers that speak NATS side by side: the same rounds against each in turn, and medians.
//!
//! ```text
//! for each workload:   start all;   warm each up;   A B C A B C ...;   stop all
//! ```
//! After the time that all may take no further round is begun, but each workload has one.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::peer;
use super::round::{prepare, round};
use super::work::Work;
use crate::compare::{Comparison, Row, Tell};
use crate::error::BenchError;
use crate::machine::load;
use crate::rounds::{Rounds, settle};
use crate::server::{Broker, Server};

/// How long each broker works before it is measured.
const WARM_UP: Duration = Duration::from_millis(500);

/// What it can do beside the workloads.
pub const SPECIAL: [(&str, &str); 1] = [(
    "startup",
    "an empty broker: ready in, memory and processor time when idle",
)];

/// What to compare.
#[derive(Clone, Debug)]
pub struct NatsPlan {
    /// The workloads.
    pub works: Vec<Work>,
    /// Also measure empty brokers.
    pub startup: bool,
    /// How often each.
    pub rounds: usize,
    /// How long to publish.
    pub duration: Duration,
    /// How long all of it may take.
    pub within: Duration,
    /// Polybus' binary.
    pub polybus: PathBuf,
    /// Where nats-server is, or is built.
    pub peer: PathBuf,
    /// Debian's nats-server, if it is not where its package puts it.
    pub debian: Option<PathBuf>,
    /// Where data folders are made.
    pub folder: PathBuf,
    /// Measure polybus alone.
    pub alone: bool,
}

/// All that was found.
#[derive(Clone, Debug, Serialize)]
pub struct NatsComparison {
    /// What is as in every comparison.
    pub base: Comparison,
    /// Why nats-server is not among the sides.
    pub absent: Option<String>,
}

/// Compares; `keep` is shown what there is after each workload.
///
/// # Errors
/// [`BenchError`] if a broker cannot be started.
pub fn compare(
    plan: &NatsPlan,
    tell: &mut Tell<'_>,
    keep: &mut dyn FnMut(&NatsComparison),
) -> Result<NatsComparison, BenchError> {
    let begin = Instant::now();
    let polybus = std::path::absolute(&plan.polybus).unwrap_or_default();
    let mut brokers = vec![Broker::PolybusNats(polybus)];
    for broker in &brokers {
        broker.expect_installed(&plan.polybus)?;
    }
    let absent = if plan.alone {
        Some("only polybus was asked for".to_owned())
    } else {
        match peer::find_or_build(&plan.peer) {
            Ok(peer) => {
                brokers.push(peer);
                brokers.extend(peer::debian(plan.debian.as_deref()));
                None
            }
            Err(why) => Some(why),
        }
    };
    if let Some(why) = &absent {
        tell(&format!("no nats-server: {why}"), None);
    }
    let mut found = NatsComparison {
        base: Comparison::begin(&brokers, &plan.folder, plan.rounds, plan.duration),
        absent,
    };
    if plan.startup {
        found.base.start_all(&brokers, &plan.folder, tell)?;
        keep(&found);
    }
    let ends_at = begin + plan.within;
    for work in &plan.works {
        let row = compare_one(plan, &brokers, work, ends_at, tell)?;
        found.base.rows.push(row);
        found.base.load_after = load();
        keep(&found);
    }
    Ok(found)
}

fn compare_one(
    plan: &NatsPlan,
    brokers: &[Broker],
    work: &Work,
    ends_at: Instant,
    tell: &mut Tell<'_>,
) -> Result<Row, BenchError> {
    let mut rounds = Rounds::new(work.name, &work.about, brokers.len(), plan.rounds);
    let mut servers = Vec::new();
    for (side, broker) in brokers.iter().enumerate() {
        let server = Server::start(broker, &plan.folder)?;
        let warm = prepare(&server, work).and_then(|()| round(&server, work, WARM_UP));
        if let Err(error) = warm {
            rounds.fail((side, broker.name()), &error, tell);
        }
        servers.push(server);
    }
    for number in 0..plan.rounds {
        if number > 0 && Instant::now() > ends_at {
            break;
        }
        for (side, server) in servers.iter().enumerate() {
            settle(&plan.folder)?;
            rounds.one((side, server.broker().name()), number, tell, |_, _| {
                round(server, work, plan.duration)
            });
        }
    }
    Ok(Row {
        target_ratio: work.target_ratio,
        ..rounds.row()
    })
}
