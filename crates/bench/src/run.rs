//! One run of one workload, and what it found.
//!
//! ```text
//! together:   consumers ============================ until all has come
//!             publishers ==== until the time is up, confirmed
//! drain:      publishers ==== confirmed | first get | consumers ==== until all has come
//! ```
//! Rates are over whole phases: published is what was confirmed (or written, without confirms) by the time it was; consumed
//! is all that came, by the time the last came. So a broker cannot look fast by leaving a backlog.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::clock::{Clock, seconds_between};
use crate::consumer::{Consumed, Consumer, consume};
use crate::error::BenchError;
use crate::histogram::{Histogram, Latency};
use crate::idle;
use crate::ledger;
use crate::link::{Link, Target};
use crate::process::Tree;
use crate::publisher::{Published, Publisher, publish};
use crate::topology::{queue_name, set_up, tear_down};
use crate::workload::{Shape, Workload};

/// How often threads are looked after.
const TICK: Duration = Duration::from_millis(10);

/// How often memory is looked at and progress told.
const SAMPLE: Duration = Duration::from_millis(100);

/// How a run is done.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// How long to publish, unless the workload says how many.
    pub duration: Duration,
    /// The server, to measure what it costs.
    pub server_pid: Option<u32>,
    /// Threads that publish, and as many that consume.
    pub threads: usize,
}

impl Default for RunOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            duration: Duration::from_secs(5),
            server_pid: None,
            threads: (cores / 4).max(1),
        }
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What it does.
    pub phase: &'static str,
    /// Since it began.
    pub elapsed: Duration,
    /// Messages published so far.
    pub published: u64,
    /// Messages consumed so far.
    pub consumed: u64,
    /// How much of the run is done, from 0 to 1.
    pub done: f64,
}

/// What a run found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    /// The workload.
    pub workload: String,
    /// How many messages were published.
    pub published: u64,
    /// How many were consumed: with several queues for a message, the copies.
    pub consumed: u64,
    /// Published (and confirmed) a second.
    pub published_per_s: f64,
    /// Consumed a second.
    pub consumed_per_s: f64,
    /// From a publish to its confirm.
    pub confirm: Option<Latency>,
    /// From a publish to its delivery.
    pub delivery: Option<Latency>,
    /// The server's processor time for each message published or, if those are more, consumed.
    pub server_cpu_us: Option<f64>,
    /// The server's processor time as a share of one core.
    pub server_cpu_percent: Option<f64>,
    /// The server's greatest resident memory.
    pub resident_mib: Option<f64>,
    /// The same with all messages waiting.
    pub resident_waiting_mib: Option<f64>,
    /// A first message taken by hand with all waiting.
    pub first_get_ms: Option<f64>,
    /// This process' own time for each message: that the client is not the limit.
    pub client_cpu_us: f64,
}

/// What a run's threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    published: AtomicU64,
    consumed: AtomicU64,
    /// How many are to be consumed; the greatest number while that is not known.
    goal: AtomicU64,
    aborted: AtomicBool,
}

impl Shared {
    const fn new() -> Self {
        Self {
            published: AtomicU64::new(0),
            consumed: AtomicU64::new(0),
            goal: AtomicU64::new(u64::MAX),
            aborted: AtomicBool::new(false),
        }
    }

    pub(crate) fn count_published(&self, count: u64) {
        self.published.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn count_consumed(&self, count: u64) {
        self.consumed.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn consumed(&self) -> u64 {
        self.consumed.load(Ordering::Relaxed)
    }

    pub(crate) fn goal(&self) -> u64 {
        self.goal.load(Ordering::Relaxed)
    }

    pub(crate) fn is_goal_known(&self) -> bool {
        self.goal() != u64::MAX
    }

    pub(crate) fn is_all_consumed(&self) -> bool {
        self.consumed() >= self.goal()
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.aborted.load(Ordering::Relaxed)
    }

    fn abort(&self) {
        self.aborted.store(true, Ordering::Relaxed);
    }
}

/// Looks after the server and tells how far it is, while threads work.
struct Watch<'a> {
    shared: &'a Shared,
    workload: &'a Workload,
    duration: Duration,
    tree: Option<Tree>,
    begin: Instant,
    sampled: Instant,
    peak_bytes: u64,
    progress: &'a mut dyn FnMut(&Progress),
}

impl Watch<'_> {
    fn sample(&mut self, phase: &'static str) -> u64 {
        self.sampled = Instant::now();
        let resident = self.tree.as_ref().map_or(0, Tree::resident_bytes);
        self.peak_bytes = self.peak_bytes.max(resident);
        let mut progress = Progress {
            phase,
            elapsed: self.begin.elapsed(),
            published: self.shared.published.load(Ordering::Relaxed),
            consumed: self.shared.consumed(),
            done: 0.0,
        };
        progress.done = share_done(self.workload, self.duration, &progress);
        (self.progress)(&progress);
        resident
    }

    fn join<T>(
        &mut self,
        phase: &'static str,
        threads: Vec<ScopedJoinHandle<'_, Result<T, BenchError>>>,
    ) -> Result<Vec<T>, BenchError> {
        while threads.iter().any(|thread| !thread.is_finished()) && !self.shared.is_aborted() {
            std::thread::sleep(TICK);
            if self.sampled.elapsed() >= SAMPLE {
                self.sample(phase);
            }
        }
        let mut done = Vec::new();
        let mut failure = None;
        for thread in threads {
            match thread.join() {
                Ok(Ok(outcome)) => done.push(outcome),
                Ok(Err(error)) => failure = failure.or(Some(error)),
                Err(_) => failure = Some(BenchError::Protocol("a thread ended early".into())),
            }
        }
        match failure {
            Some(error) => {
                self.shared.abort();
                Err(error)
            }
            None => Ok(done),
        }
    }
}

/// Of publishing that is its time, or its messages; what is drained afterwards counts as the other half.
fn share_done(workload: &Workload, duration: Duration, progress: &Progress) -> f64 {
    let share = |part: f64, of: f64| (part / of.max(1e-9)).clamp(0.0, 1.0);
    let published = match (progress.phase, workload.messages) {
        ("opening", _) => 0.0,
        ("waiting" | "consuming" | "done", _) => 1.0,
        (_, Some(messages)) => share(progress.published as f64, messages as f64),
        (_, None) => share(progress.elapsed.as_secs_f64(), duration.as_secs_f64()),
    };
    if workload.shape == Shape::Together || workload.consumers == 0 {
        return published;
    }
    let all = progress.published * workload.copies();
    let consumed = if progress.phase == "consuming" {
        share(progress.consumed as f64, all as f64)
    } else {
        f64::from(u8::from(progress.phase == "done"))
    };
    f64::midpoint(published, consumed)
}

/// What the threads of a run brought.
#[derive(Default)]
struct Outcome {
    begin_ns: u64,
    drain_ns: u64,
    published: Vec<Published>,
    consumed: Vec<Consumed>,
    waiting_bytes: Option<u64>,
    first_get: Option<Duration>,
}

/// Does a run: makes what it needs on the broker, publishes, consumes, checks that nothing was lost, doubled or reordered,
/// and takes all away again.
///
/// # Errors
/// [`BenchError`] if the broker cannot be reached, fails, or got messages wrong.
pub fn run(
    target: &Target,
    workload: &Workload,
    options: &RunOptions,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Figures, BenchError> {
    if u16::try_from(workload.publishers).is_err() {
        return Err(BenchError::Usage("too many publishers".into()));
    }
    if workload.publishers == 0 && workload.idle_connections == 0 {
        return Err(BenchError::Usage("a workload without connections".into()));
    }
    set_up(target, workload)?;
    let shared = Shared::new();
    let mut idle_links = idle::open(target, workload.idle_connections)?;
    let mut watch = Watch {
        shared: &shared,
        workload,
        duration: options.duration,
        tree: options.server_pid.map(Tree::of),
        begin: Instant::now(),
        sampled: Instant::now(),
        peak_bytes: 0,
        progress,
    };
    watch.sample("opening");
    let own = Tree::alone(std::process::id());
    let cpu = |tree: &Option<Tree>| tree.as_ref().map(Tree::cpu);
    let (server_before, own_before) = (cpu(&watch.tree), own.cpu());
    let stop_idle = AtomicBool::new(false);
    let outcome = std::thread::scope(|scope| {
        let keeper = scope.spawn(|| idle::keep(&mut idle_links, &stop_idle));
        let outcome = if workload.publishers == 0 {
            only_idle(options, &mut watch)
        } else {
            work(target, workload, options, &shared, &mut watch)
        };
        stop_idle.store(true, Ordering::Relaxed);
        let kept = keeper.join();
        let outcome = outcome?;
        match kept {
            Ok(kept) => kept.map(|()| outcome),
            Err(_) => Err(BenchError::Protocol("a thread ended early".into())),
        }
    })?;
    let wall = watch.begin.elapsed();
    watch.sample("done");
    let server_cpu = cpu(&watch.tree)
        .zip(server_before)
        .map(|(after, before)| after.saturating_sub(before));
    let own_cpu = own.cpu().saturating_sub(own_before);
    let peak_bytes = watch.tree.as_ref().map(|_| watch.peak_bytes);
    let mut figures = check_and_count(workload, &outcome)?;
    let messages = figures.published.max(figures.consumed).max(1) as f64;
    if workload.publishers > 0 {
        figures.server_cpu_us = server_cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / messages);
        figures.client_cpu_us = own_cpu.as_secs_f64() * 1e6 / messages;
    }
    figures.server_cpu_percent =
        server_cpu.map(|cpu| cpu.as_secs_f64() * 100.0 / wall.as_secs_f64());
    figures.resident_mib = peak_bytes.map(mib);
    drop((outcome, idle_links));
    tear_down(target, workload)?;
    Ok(figures)
}

/// Publishes all of the workload's messages and leaves them where they are.
pub(crate) fn publish_only(
    target: &Target,
    workload: &Workload,
    options: &RunOptions,
    progress: &mut dyn FnMut(&Progress),
) -> Result<(), BenchError> {
    let shared = Shared::new();
    let mut watch = Watch {
        shared: &shared,
        workload,
        duration: options.duration,
        tree: None,
        begin: Instant::now(),
        sampled: Instant::now(),
        peak_bytes: 0,
        progress,
    };
    work(target, workload, options, &shared, &mut watch).map(drop)
}

fn only_idle(options: &RunOptions, watch: &mut Watch<'_>) -> Result<Outcome, BenchError> {
    let end = Instant::now() + options.duration;
    while Instant::now() < end {
        std::thread::sleep(SAMPLE);
        watch.sample("idling");
    }
    Ok(Outcome::default())
}

fn work(
    target: &Target,
    workload: &Workload,
    options: &RunOptions,
    shared: &Shared,
    watch: &mut Watch<'_>,
) -> Result<Outcome, BenchError> {
    let mut consumers = (0..workload.consumers)
        .map(|index| Consumer::open(target, workload, index))
        .collect::<Result<Vec<_>, _>>()?;
    let publishers = (0..workload.publishers)
        .map(|index| Publisher::open(target, workload, index as u16))
        .collect::<Result<Vec<_>, _>>()?;
    let clock = Clock::start();
    let mut outcome = Outcome {
        begin_ns: clock.now_ns(),
        ..Outcome::default()
    };
    let begin_ns = outcome.begin_ns;
    let end_ns = match workload.messages {
        Some(_) => u64::MAX,
        None => begin_ns + options.duration.as_nanos() as u64,
    };
    std::thread::scope(|scope| {
        let start_consumers = |consumers: Vec<Consumer>| -> Vec<_> {
            deal(consumers, options.threads)
                .into_iter()
                .map(|group| scope.spawn(move || aborting(shared, consume(group, clock, shared))))
                .collect()
        };
        let mut consuming = Vec::new();
        if workload.shape == Shape::Together {
            consuming = start_consumers(std::mem::take(&mut consumers));
        }
        let publishing: Vec<_> = deal(publishers, options.threads)
            .into_iter()
            .map(|group| {
                scope.spawn(move || {
                    aborting(shared, publish(group, begin_ns, end_ns, clock, shared))
                })
            })
            .collect();
        let published = watch.join("publishing", publishing);
        let (published, failure) = match published {
            Ok(published) => (published, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        outcome.published = published;
        if failure.is_none() {
            let sent = outcome.published.iter().flat_map(|by| &by.sent);
            let sent: u64 = sent.flat_map(|(_, numbers)| numbers).sum();
            shared
                .goal
                .store(sent * workload.copies(), Ordering::Relaxed);
            if workload.shape == Shape::PublishThenDrain {
                outcome.waiting_bytes = watch.tree.is_some().then(|| watch.sample("waiting"));
                if sent > 0 && workload.queues == 1 && workload.consumers == 1 {
                    outcome.first_get = Some(first_get(target, &mut consumers, shared)?);
                }
                outcome.drain_ns = clock.now_ns();
                consuming = start_consumers(std::mem::take(&mut consumers));
            }
        }
        let consumed = watch.join("consuming", consuming);
        match (failure, consumed) {
            // A consumer that found the broker at fault explains more than a publisher that then stopped.
            (Some(_), Err(error @ BenchError::Wrong(_))) | (None, Err(error)) => Err(error),
            (Some(error), _) => Err(error),
            (None, Ok(consumed)) => {
                outcome.consumed = consumed;
                Ok(())
            }
        }
    })?;
    Ok(outcome)
}

/// If it failed, the other threads need not go on.
fn aborting<T>(shared: &Shared, result: Result<T, BenchError>) -> Result<T, BenchError> {
    if result.is_err() {
        shared.abort();
    }
    result
}

fn first_get(
    target: &Target,
    consumers: &mut [Consumer],
    shared: &Shared,
) -> Result<Duration, BenchError> {
    let mut link = Link::open(target, 0)?;
    link.open_channel(1)?;
    let begin = Instant::now();
    let body = link.take(&queue_name(0))?;
    let took = begin.elapsed();
    let Some(body) = body else {
        return Err(BenchError::Wrong(
            "the queue is empty, and all was confirmed".into(),
        ));
    };
    for consumer in consumers {
        consumer.note_taken(0, &body)?;
    }
    shared.count_consumed(1);
    link.close()?;
    Ok(took)
}

/// Deals items out to at most so many groups.
fn deal<T>(items: Vec<T>, groups: usize) -> Vec<Vec<T>> {
    let groups = groups.max(1).min(items.len());
    let mut dealt: Vec<Vec<T>> = (0..groups).map(|_| Vec::new()).collect();
    for (index, item) in items.into_iter().enumerate() {
        if let Some(group) = dealt.get_mut(index % groups) {
            group.push(item);
        }
    }
    dealt
}

fn check_and_count(workload: &Workload, outcome: &Outcome) -> Result<Figures, BenchError> {
    let mut figures = Figures {
        workload: workload.name.clone(),
        resident_waiting_mib: outcome.waiting_bytes.map(mib),
        first_get_ms: outcome.first_get.map(|took| took.as_secs_f64() * 1e3),
        ..Figures::default()
    };
    let mut by_publisher: Vec<_> = outcome.published.iter().flat_map(|by| &by.sent).collect();
    by_publisher.sort_by_key(|(index, _)| *index);
    let sent: Vec<_> = by_publisher
        .into_iter()
        .map(|(_, numbers)| numbers.clone())
        .collect();
    let ledgers: Vec<_> = outcome
        .consumed
        .iter()
        .flat_map(|by| by.ledgers.iter().cloned())
        .collect();
    if workload.publishers == 0 {
        return Ok(figures);
    }
    if workload.consumers > 0 {
        ledger::check(workload, &sent, &ledgers)?;
    }
    figures.published = sent.iter().flatten().sum();
    let ended_ns = outcome.published.iter().map(|by| by.ended_ns).max();
    let published_s = seconds_between(outcome.begin_ns, ended_ns.unwrap_or(0));
    figures.published_per_s = figures.published as f64 / published_s;
    let mut confirm = Histogram::default();
    for by in &outcome.published {
        confirm.merge(&by.latency);
    }
    figures.confirm = confirm.latency();
    if workload.consumers > 0 {
        figures.consumed = figures.published * workload.copies();
        let last_ns = outcome.consumed.iter().map(|by| by.last_ns).max();
        let begin_ns = outcome.begin_ns.max(outcome.drain_ns);
        let consumed_s = seconds_between(begin_ns, last_ns.unwrap_or(0));
        figures.consumed_per_s = figures.consumed as f64 / consumed_s;
    }
    if workload.shape == Shape::Together {
        let mut delivery = Histogram::default();
        for by in &outcome.consumed {
            delivery.merge(&by.latency);
        }
        figures.delivery = delivery.latency();
    }
    Ok(figures)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_is_half_done_when_all_is_published() {
        let workload = Workload {
            shape: Shape::PublishThenDrain,
            messages: Some(100),
            ..Workload::default()
        };
        let done = |phase, published, consumed| {
            let progress = Progress {
                phase,
                elapsed: Duration::from_secs(1),
                published,
                consumed,
                done: 0.0,
            };
            share_done(&workload, Duration::from_secs(5), &progress)
        };
        assert_eq!(done("opening", 0, 0), 0.0);
        assert_eq!(done("publishing", 50, 0), 0.25);
        assert_eq!(done("waiting", 100, 0), 0.5);
        assert_eq!(done("consuming", 100, 50), 0.75);
        assert_eq!(done("done", 100, 100), 1.0);
    }
}
