//! One round of a workload against one broker, and its figures.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::consumer::{Consumed, consume};
use super::load::Load;
use super::producer::{Enough, Produced, Schedule, produce, produce_paced};
use super::topic;
use super::wire::Wire;
use super::work::{Kind, Work};
use crate::clock::{Clock, seconds_between};
use crate::cost::{Cost, costing};
use crate::error::BenchError;
use crate::histogram::Histogram;
use crate::run::Figures;
use crate::server::Server;

/// From the start of a scheduled run to its first request.
const RUN_UP_NS: u64 = 20_000_000;

/// What is in a broker for rounds that only read.
#[derive(Debug)]
pub(crate) struct Filled {
    load: Load,
    records: u64,
}

impl Work {
    fn load(&self, topic: &str) -> Result<Load, BenchError> {
        Load::new(topic, self.partitions, self.value_bytes, self.batch_bytes)
    }
}

/// Fills a topic with what is to be read.
pub(crate) fn fill(server: &Server, work: &Work) -> Result<Filled, BenchError> {
    let load = work.load("filled")?;
    let mut wire = open_with_topic(server, &load)?;
    let enough = Enough {
        duration: Duration::from_secs(60),
        records: work.bytes / load.batch_bytes as u64 * load.records,
    };
    let produced = produce(&mut wire, &load, enough, Clock::start())?;
    let records = produced.records;
    Ok(Filled { load, records })
}

/// Reads what it was filled with.
pub(crate) fn read(
    server: &Server,
    work: &Work,
    filled: &Filled,
) -> Result<(Figures, f64), BenchError> {
    let mut wire = Wire::open(&server.target().address)?;
    topic::ends(&mut wire, &filled.load.topic, filled.load.partitions)?;
    let goal = AtomicU64::new(filled.records);
    let (consumed, cost) = costing(server.pid(), || {
        consume(&mut wire, &filled.load, &goal, Clock::start(), |_, _, _| ())
    })?;
    if consumed.records != filled.records {
        return Err(BenchError::Wrong(format!(
            "{} records came of {}",
            consumed.records, filled.records
        )));
    }
    let mut figures = figures(work, &Produced::default(), &cost, consumed.records);
    put_consumed(&mut figures, &consumed);
    Ok((figures, cost.others))
}

/// Produces to a topic of its own, which is taken away afterwards.
pub(crate) fn round(
    server: &Server,
    work: &Work,
    topic: &str,
    duration: Duration,
) -> Result<(Figures, f64), BenchError> {
    let load = work.load(topic)?;
    let mut wire = open_with_topic(server, &load)?;
    let done = match work.kind {
        Kind::EndToEnd => end_to_end(server, work, &load, &mut wire, duration),
        _ => produce_only(server, work, &load, &mut wire, duration),
    };
    // A run that failed says more than that its topic cannot be deleted.
    let done = done?;
    topic::delete(&mut wire, topic)?;
    Ok(done)
}

fn open_with_topic(server: &Server, load: &Load) -> Result<Wire, BenchError> {
    let mut wire = Wire::open(&server.target().address)?;
    topic::create(
        &mut wire,
        std::slice::from_ref(&load.topic),
        load.partitions,
    )?;
    topic::ends(&mut wire, &load.topic, load.partitions)?;
    Ok(wire)
}

fn produce_only(
    server: &Server,
    work: &Work,
    load: &Load,
    wire: &mut Wire,
    duration: Duration,
) -> Result<(Figures, f64), BenchError> {
    let enough = Enough {
        duration,
        records: work.bytes / work.value_bytes as u64,
    };
    let (produced, cost) = costing(server.pid(), || produce(wire, load, enough, Clock::start()))?;
    let ends = topic::ends(wire, &load.topic, load.partitions)?;
    if ends != produced.ends {
        return Err(BenchError::Wrong(format!(
            "partitions end at {ends:?}; confirmed was to {:?}",
            produced.ends
        )));
    }
    let figures = figures(work, &produced, &cost, produced.records);
    Ok((figures, cost.others))
}

fn end_to_end(
    server: &Server,
    work: &Work,
    load: &Load,
    wire: &mut Wire,
    duration: Duration,
) -> Result<(Figures, f64), BenchError> {
    let every_ns = (load.records * 1_000_000_000 / work.rate_per_s.max(1)).max(1);
    let count = (duration.as_nanos() as u64 / every_ns).max(1);
    let clock = Clock::start();
    let schedule = Schedule {
        begin_ns: clock.now_ns() + RUN_UP_NS,
        every_ns,
        count,
    };
    let goal = AtomicU64::new(count * load.records);
    let mut reading = Wire::open(&server.target().address)?;
    let ((produced, consumed, deliveries), cost) = costing(server.pid(), || {
        std::thread::scope(|scope| {
            let consuming = scope.spawn(|| {
                let mut deliveries = Histogram::default();
                let see = |_, base: i64, now_ns: u64| {
                    let due_ns = schedule.due_ns(base as u64 / load.records);
                    deliveries.record(now_ns.saturating_sub(due_ns));
                };
                consume(&mut reading, load, &goal, clock, see).map(|done| (done, deliveries))
            });
            let produced = produce_paced(wire, load, schedule, clock);
            if produced.is_err() {
                // Nothing more will come.
                goal.store(0, Ordering::Release);
            }
            let consumed = consuming.join();
            let (consumed, deliveries) = consumed
                .unwrap_or_else(|_| Err(BenchError::Protocol("a thread ended early".into())))?;
            Ok((produced?, consumed, deliveries))
        })
    })?;
    let mut figures = figures(work, &produced, &cost, produced.records);
    put_consumed(&mut figures, &consumed);
    figures.delivery = deliveries.latency();
    Ok((figures, cost.others))
}

fn figures(work: &Work, produced: &Produced, cost: &Cost, records: u64) -> Figures {
    let each = records.max(1) as f64;
    let wall_s = seconds_between(produced.begin_ns, produced.end_ns);
    Figures {
        workload: work.name.into(),
        published: produced.records,
        published_per_s: produced.records as f64 / wall_s,
        confirm: produced.confirms.latency(),
        server_cpu_us: Some(cost.server_cpu_s * 1e6 / each),
        server_cpu_percent: Some(cost.server_cpu_s * 100.0 / cost.wall_s),
        resident_mib: Some(cost.resident_mib),
        client_cpu_us: cost.own_cpu_s * 1e6 / each,
        ..Figures::default()
    }
}

fn put_consumed(figures: &mut Figures, consumed: &Consumed) {
    let wall_s = seconds_between(consumed.begin_ns, consumed.end_ns);
    figures.consumed = consumed.records;
    figures.consumed_per_s = consumed.records as f64 / wall_s;
}
