//! One round of a workload against one broker, and its figures.

use std::time::Duration;

use super::core::{Exchanged, exchange};
use super::request::{Asked, ask_service};
use super::stream;
use super::wire::Wire;
use super::work::{Kind, Work};
use crate::clock::seconds_between;
use crate::cost::{Cost, costing};
use crate::error::BenchError;
use crate::run::Figures;
use crate::server::Server;

/// How long a stream that is read may take to be filled.
const FILL_WITHIN: Duration = Duration::from_secs(120);

/// How many publishes are on their way while a stream is filled.
const FILL_WINDOW: usize = 4096;

/// Makes what the rounds of a workload need, and keep.
pub(crate) fn prepare(server: &Server, work: &Work) -> Result<(), BenchError> {
    if !matches!(work.kind, Kind::StreamPush | Kind::StreamPull) {
        return Ok(());
    }
    let address = server.target().address;
    let mut wire = stream::make(&address)?;
    let filling = Work {
        window: FILL_WINDOW,
        ..work.clone()
    };
    stream::publish(&address, &filling, FILL_WITHIN, work.messages)?;
    expect_held(&mut wire, work.messages)
}

fn expect_held(wire: &mut Wire, wanted: u64) -> Result<(), BenchError> {
    let held = stream::held(wire)?;
    if held != wanted {
        let what = format!("a stream holds {held} messages of {wanted} that were acknowledged");
        return Err(BenchError::Wrong(what));
    }
    Ok(())
}

/// A round; also how many processors others kept busy.
pub(crate) fn round(
    server: &Server,
    work: &Work,
    duration: Duration,
) -> Result<(Figures, f64), BenchError> {
    let address = server.target().address;
    match work.kind {
        Kind::Core => {
            let (done, cost) = costing(server.pid(), || exchange(&address, work, duration))?;
            Ok((exchanged(work, &done, &cost), cost.others))
        }
        Kind::Request => {
            let (done, cost) = costing(server.pid(), || {
                ask_service(&address, work.publishers, work.body_bytes, duration)
            })?;
            Ok((asked(work, &done, &cost), cost.others))
        }
        Kind::StreamPublish => {
            let mut wire = stream::make(&address)?;
            let (done, cost) = costing(server.pid(), || {
                stream::publish(&address, work, duration, u64::MAX)
            })?;
            expect_held(&mut wire, done.answered)?;
            stream::delete(&mut wire)?;
            Ok((asked(work, &done, &cost), cost.others))
        }
        Kind::StreamPush | Kind::StreamPull => {
            let ((begin_ns, end_ns), cost) =
                costing(server.pid(), || stream::read(&address, work))?;
            let figures = Figures {
                consumed: work.messages,
                consumed_per_s: work.messages as f64 / seconds_between(begin_ns, end_ns),
                ..costs(work, &cost, work.messages)
            };
            Ok((figures, cost.others))
        }
    }
}

fn exchanged(work: &Work, done: &Exchanged, cost: &Cost) -> Figures {
    let per_s = |count: u64, end_ns| count as f64 / seconds_between(done.begin_ns, end_ns);
    Figures {
        published: done.published,
        published_per_s: per_s(done.published, done.published_ns),
        consumed: done.consumed,
        consumed_per_s: per_s(done.consumed, done.consumed_ns),
        ..costs(work, cost, done.published.max(done.consumed))
    }
}

fn asked(work: &Work, done: &Asked, cost: &Cost) -> Figures {
    Figures {
        published: done.answered,
        published_per_s: done.answered as f64 / seconds_between(done.begin_ns, done.end_ns),
        confirm: done.latencies.latency(),
        ..costs(work, cost, done.answered)
    }
}

fn costs(work: &Work, cost: &Cost, messages: u64) -> Figures {
    let each = messages.max(1) as f64;
    Figures {
        workload: work.name.into(),
        server_cpu_us: Some(cost.server_cpu_s * 1e6 / each),
        server_cpu_percent: Some(cost.server_cpu_s * 100.0 / cost.wall_s),
        resident_mib: Some(cost.resident_mib),
        client_cpu_us: cost.own_cpu_s * 1e6 / each,
        ..Figures::default()
    }
}
