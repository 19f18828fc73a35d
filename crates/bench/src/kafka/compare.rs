//! Brokers that speak Kafka side by side: the same rounds against each in turn, and medians.
//!
//! ```text
//! for each workload:   start all;   warm each up;   A B C A B C ...;   stop all
//! ```
//! What is not synced by a broker is synced by us between the rounds, so that none pays for what another left to the system.
//! After the time that all may take no further round is begun, but each workload has one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise};
use serde::Serialize;

use super::peer::Jars;
use super::round::{Filled, fill, read, round};
use super::topic;
use super::wire::Wire;
use super::work::{Kind, RATE_FROM, Work};
use crate::compare::{Comparison, Row, Tell};
use crate::cost::resident_mib;
use crate::error::BenchError;
use crate::machine::load;
use crate::rounds::{Rounds, settle};
use crate::server::{Broker, Server};

/// How long each broker works before it is measured: Java compiles while it runs.
const WARM_UP: Duration = Duration::from_secs(2);

/// How often the slow ones are repeated.
const COLD_ROUNDS_MAX: usize = 3;

/// Topics of the many partitions.
const MANY_TOPICS: usize = 100;

/// How long until they have to be answered for after a restart.
const MANY_WITHIN: Duration = Duration::from_secs(90);

/// What it can do beside the workloads.
pub const SPECIAL: [(&str, &str); 2] = [
    (
        "startup",
        "an empty broker: ready in, memory and processor time when idle",
    ),
    (
        "partitions-10000",
        "10,000 partitions: created in, ready in after a restart, memory",
    ),
];

/// What to compare.
#[derive(Clone, Debug)]
pub struct KafkaPlan {
    /// The workloads.
    pub works: Vec<Work>,
    /// Also measure empty brokers.
    pub startup: bool,
    /// Also measure 10,000 partitions.
    pub partitions: bool,
    /// How often each.
    pub rounds: usize,
    /// How long to produce.
    pub duration: Duration,
    /// How long all of it may take.
    pub within: Duration,
    /// Polybus' binary.
    pub polybus: PathBuf,
    /// Kafka's jars.
    pub jars: PathBuf,
    /// Where data folders are made.
    pub folder: PathBuf,
    /// Measure polybus alone.
    pub alone: bool,
}

/// A broker with 10,000 partitions.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ManyPartitions {
    /// Until all were made and had a leader.
    pub created_ms: f64,
    /// From the start of a broker that has them until it answered for all.
    pub ready_ms: f64,
    /// Memory then.
    pub resident_mib: f64,
    /// Why there are no figures.
    pub failure: Option<String>,
}

/// All that was found.
#[derive(Clone, Debug, Serialize)]
pub struct KafkaComparison {
    /// What is as in every comparison.
    pub base: Comparison,
    /// Why Kafka is not among the sides.
    pub absent: Option<String>,
    /// Many partitions, by side.
    pub partitions: Vec<ManyPartitions>,
}

/// Compares; `keep` is shown what there is after each workload.
///
/// # Errors
/// [`BenchError`] if a broker cannot be started.
pub fn compare(
    plan: &KafkaPlan,
    tell: &mut Tell<'_>,
    keep: &mut dyn FnMut(&KafkaComparison),
) -> Result<KafkaComparison, BenchError> {
    let begin = Instant::now();
    let binary = std::path::absolute(&plan.polybus).unwrap_or_default();
    let polybus = |is_unsynced| Broker::PolybusKafka {
        binary: binary.clone(),
        is_unsynced,
    };
    let mut brokers = vec![polybus(false), polybus(true)];
    for broker in &brokers {
        broker.expect_installed(&plan.polybus)?;
    }
    let absent = if plan.alone {
        Some("only polybus was asked for".to_owned())
    } else {
        match Jars::find_or_fetch(&plan.jars) {
            Ok(jars) => {
                brokers.push(Broker::Kafka(jars));
                None
            }
            Err(why) => Some(why),
        }
    };
    if let Some(why) = &absent {
        tell(&format!("no Kafka: {why}"), None);
    }
    let mut found = empty(plan, &brokers, absent);
    if plan.startup {
        found.base.start_all(&brokers, &plan.folder, tell)?;
        keep(&found);
    }
    let ends_at = begin + plan.within;
    for work in &plan.works {
        let work = suited(work, &found.base);
        let row = match work.kind {
            Kind::Consume | Kind::ConsumeCold => reading(plan, &brokers, &work, ends_at, tell)?,
            Kind::Produce | Kind::EndToEnd => producing(plan, &brokers, &work, ends_at, tell)?,
        };
        found.base.rows.push(row);
        found.base.load_after = load();
        keep(&found);
    }
    if plan.partitions {
        for broker in &brokers {
            tell(&format!("{}: 10,000 partitions", broker.name()), None);
            let many = many_partitions(broker, plan);
            let many = many.unwrap_or_else(|error| ManyPartitions {
                failure: Some(error.to_string()),
                ..ManyPartitions::default()
            });
            found.partitions.push(many);
            keep(&found);
        }
    }
    found.base.load_after = load();
    keep(&found);
    Ok(found)
}

fn empty(plan: &KafkaPlan, brokers: &[Broker], absent: Option<String>) -> KafkaComparison {
    KafkaComparison {
        base: Comparison::begin(brokers, &plan.folder, plan.rounds, plan.duration),
        absent,
        partitions: Vec::new(),
    }
}

/// On a schedule, if that was measured without one before.
fn suited(work: &Work, before: &Comparison) -> Work {
    let work = work.clone();
    match before.half_of_slowest(RATE_FROM, |figures| figures.published_per_s) {
        Some(rate) if work.kind == Kind::EndToEnd => work.at(rate),
        _ => work,
    }
}

fn producing(
    plan: &KafkaPlan,
    brokers: &[Broker],
    work: &Work,
    ends_at: Instant,
    tell: &mut Tell<'_>,
) -> Result<Row, BenchError> {
    let mut rounds = Rounds::new(work.name, &work.about, brokers.len(), plan.rounds);
    let mut servers = Vec::new();
    for (side, broker) in brokers.iter().enumerate() {
        let server = Server::start(broker, &plan.folder)?;
        if let Err(error) = round(&server, work, "warm-up", WARM_UP) {
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
                round(server, work, &format!("bench-{number}"), plan.duration)
            });
        }
    }
    Ok(rounds.row())
}

fn reading(
    plan: &KafkaPlan,
    brokers: &[Broker],
    work: &Work,
    ends_at: Instant,
    tell: &mut Tell<'_>,
) -> Result<Row, BenchError> {
    let is_cold = work.kind == Kind::ConsumeCold;
    let most = if is_cold { COLD_ROUNDS_MAX } else { usize::MAX };
    let count = plan.rounds.min(most);
    let mut rounds = Rounds::new(work.name, &work.about, brokers.len(), count);
    let mut servers: Vec<Option<(Server, Filled)>> = Vec::new();
    for (side, broker) in brokers.iter().enumerate() {
        let server = Server::start(broker, &plan.folder)?;
        let filled = fill(&server, work).and_then(|filled| {
            // Read once to warm up.
            read(&server, work, &filled).map(|_| filled)
        });
        if let Err(error) = &filled {
            rounds.fail((side, broker.name()), error, tell);
        }
        servers.push(filled.ok().map(|filled| (server, filled)));
    }
    for number in 0..count {
        if number > 0 && Instant::now() > ends_at {
            break;
        }
        for ((side, broker), place) in brokers.iter().enumerate().zip(&mut servers) {
            settle(&plan.folder)?;
            let Some((mut server, filled)) = place.take() else {
                continue;
            };
            if is_cold {
                server = server.stop_and_restart(forget)?;
            }
            rounds.one((side, broker.name()), number, tell, |_, _| {
                read(&server, work, &filled)
            });
            *place = Some((server, filled));
        }
    }
    Ok(rounds.row())
}

/// Lets the system forget what it has of the files below a folder.
fn forget(folder: &Path) -> Result<(), BenchError> {
    let at = |path: &Path| format!("forgetting {}", path.display());
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(BenchError::io(at(&folder)))? {
            let path = entry.map_err(BenchError::io(at(&folder)))?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let file = File::open(&path).map_err(BenchError::io(at(&path)))?;
            file.sync_all().map_err(BenchError::io(at(&path)))?;
            fadvise(&file, 0, None, Advice::DontNeed)
                .map_err(|error| BenchError::Io(at(&path), error.into()))?;
        }
    }
    Ok(())
}

fn many_partitions(broker: &Broker, plan: &KafkaPlan) -> Result<ManyPartitions, BenchError> {
    let each = 10_000 / MANY_TOPICS;
    let server = Server::start(broker, &plan.folder)?;
    let mut wire = Wire::open(&server.target().address)?;
    let begin = Instant::now();
    let names: Vec<String> = (0..MANY_TOPICS).map(|index| format!("t{index}")).collect();
    for names in names.chunks(10) {
        topic::create(&mut wire, names, each)?;
    }
    topic::wait_led(&mut wire, MANY_TOPICS * each, MANY_WITHIN)?;
    let created_ms = begin.elapsed().as_secs_f64() * 1e3;
    drop(wire);
    // That it takes until the port answers is part of it.
    let server = server.stop_and_restart(|_| Ok(()))?;
    let answering = Instant::now();
    let mut wire = Wire::open(&server.target().address)?;
    topic::wait_led(&mut wire, MANY_TOPICS * each, MANY_WITHIN)?;
    let ready = server.ready_in + answering.elapsed();
    Ok(ManyPartitions {
        created_ms,
        ready_ms: ready.as_secs_f64() * 1e3,
        resident_mib: resident_mib(server.pid()),
        failure: None,
    })
}
