//! Live subscribers: publishers that write rings, subscribers that compare what comes with what has to.
//!
//! ```text
//! publisher: how far are its subscribers? -> as much of the ring as the window has room for -> one write
//! subscriber: read -> (the line that is expected | any line) -> its stamp is the next of its publisher -> tell how far
//! ```
//! The last message of a publisher tells how many came before it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::line::{Said, next};
use super::ring::{FRESH, Ring, Stamp};
use super::wire::Wire;
use super::work::{SUBSCRIPTIONS, Subjects, Work};
use crate::clock::{Clock, ns};
use crate::error::BenchError;

/// How far a publisher may be ahead of a subscriber, in bytes; all publishers of a subscriber share it.
const WINDOW_BYTES: usize = 4 << 20;

/// How long a publisher waits for room.
const WAIT: Duration = Duration::from_micros(30);

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Exchanged {
    pub(crate) published: u64,
    pub(crate) consumed: u64,
    pub(crate) begin_ns: u64,
    pub(crate) published_ns: u64,
    pub(crate) consumed_ns: u64,
}

/// How far everyone is.
#[derive(Debug)]
struct Flow {
    /// By subscriber and publisher.
    taken: Vec<Vec<AtomicU64>>,
    is_aborted: AtomicBool,
}

impl Work {
    fn subject(&self, publisher: usize, index: usize) -> String {
        match self.subjects {
            Subjects::One => "bench.core".into(),
            Subjects::Pairs => format!("bench.core.{publisher}"),
            Subjects::Wildcard => format!("bench.{:02}.core.{publisher}", index % 100),
            // Spread over the subscriptions.
            Subjects::Routed => format!("w{:05}.0000000000.x.y", index % 1000 * 97),
            Subjects::RoutedFresh => format!("w{:05}.{FRESH}.x.y", index % 1000 * 97),
        }
    }

    /// The subscriptions of a subscriber.
    fn filters(&self, subscriber: usize) -> Vec<String> {
        match self.subjects {
            Subjects::One => vec!["bench.core".into()],
            Subjects::Pairs => vec![format!("bench.core.{subscriber}")],
            Subjects::Wildcard => vec!["bench.*.core.>".into()],
            Subjects::Routed | Subjects::RoutedFresh => (0..SUBSCRIPTIONS)
                .map(|index| format!("w{index:05}.*.x.>"))
                .collect(),
        }
    }

    /// Whether a subscriber gets what a publisher sends.
    fn is_heard(&self, publisher: usize, subscriber: usize) -> bool {
        self.subjects != Subjects::Pairs || publisher == subscriber
    }
}

/// Publishes for so long, until all has come.
pub(crate) fn exchange(
    address: &str,
    work: &Work,
    duration: Duration,
) -> Result<Exchanged, BenchError> {
    let mut subscribers = Vec::new();
    for subscriber in 0..work.subscribers {
        let mut wire = Wire::open(address)?;
        subscribe(&mut wire, &work.filters(subscriber))?;
        subscribers.push(wire);
    }
    let publishers = (0..work.publishers).map(|_| Wire::open(address));
    let publishers = publishers.collect::<Result<Vec<_>, _>>()?;
    let zeros = || (0..work.publishers).map(|_| AtomicU64::new(0)).collect();
    let flow = Flow {
        taken: (0..work.subscribers).map(|_| zeros()).collect(),
        is_aborted: AtomicBool::new(false),
    };
    let clock = Clock::start();
    let begin_ns = clock.now_ns();
    let until_ns = begin_ns + ns(duration);
    let ended = || BenchError::Protocol("a thread ended early".into());
    let mut all = Exchanged {
        begin_ns,
        ..Exchanged::default()
    };
    std::thread::scope(|scope| {
        let flow = &flow;
        let hands: Vec<_> = publishers
            .iter()
            .enumerate()
            .map(|(me, wire)| {
                scope
                    .spawn(move || guarded(flow, || publish(wire, work, me, flow, until_ns, clock)))
            })
            .collect();
        let ears: Vec<_> = subscribers
            .iter_mut()
            .enumerate()
            .map(|(me, wire)| {
                scope.spawn(move || guarded(flow, || receive(wire, work, me, flow, clock)))
            })
            .collect();
        let mut first_error = None;
        for hand in hands {
            match hand.join().unwrap_or_else(|_| Err(ended())) {
                Ok((count, at_ns)) => {
                    all.published += count;
                    all.published_ns = all.published_ns.max(at_ns);
                }
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        for ear in ears {
            match ear.join().unwrap_or_else(|_| Err(ended())) {
                Ok((count, at_ns)) => {
                    all.consumed += count;
                    all.consumed_ns = all.consumed_ns.max(at_ns);
                }
                // What a subscriber says tells more than that a publisher gave up.
                Err(error) => first_error = Some(error),
            }
        }
        first_error.map_or(Ok(()), Err)
    })?;
    Ok(all)
}

fn subscribe(wire: &mut Wire, filters: &[String]) -> Result<(), BenchError> {
    let mut sid = 0;
    for filters in filters.chunks(1000) {
        let lines = filters.iter().map(|filter| {
            sid += 1;
            format!("SUB {filter} {sid}\r\n")
        });
        let lines: String = lines.collect();
        wire.send(lines.as_bytes())?;
    }
    wire.settle()
}

/// One that fails does not let the others wait for it.
fn guarded<T>(flow: &Flow, work: impl FnOnce() -> Result<T, BenchError>) -> Result<T, BenchError> {
    let done = work();
    if done.is_err() {
        flow.is_aborted.store(true, Ordering::Release);
    }
    done
}

fn publish(
    wire: &Wire,
    work: &Work,
    me: usize,
    flow: &Flow,
    until_ns: u64,
    clock: Clock,
) -> Result<(u64, u64), BenchError> {
    let publisher = me as u16;
    let address = |index| work.subject(me, index);
    let mut ring = Ring::new(publisher, work.body_bytes, usize::MAX, address)?;
    let each = ring.stamped(0, 1).len();
    let sharers = match work.subjects {
        Subjects::Pairs => 1,
        _ => work.publishers,
    };
    let window = (WINDOW_BYTES / each / sharers).max(ring.len()) as u64;
    let hearers: Vec<&AtomicU64> = (flow.taken.iter().enumerate())
        .filter(|(subscriber, _)| work.is_heard(me, *subscriber))
        .filter_map(|(_, taken)| taken.get(me))
        .collect();
    let mut sent = 0;
    while clock.now_ns() < until_ns {
        let taken = hearers.iter().map(|taken| taken.load(Ordering::Acquire));
        let room = window - (sent - taken.min().unwrap_or(sent));
        if room < ring.len() as u64 {
            if flow.is_aborted.load(Ordering::Acquire) {
                break;
            }
            std::thread::sleep(WAIT);
            continue;
        }
        let count = ring.len();
        wire.send(ring.stamped(sent, count))?;
        sent += count as u64;
    }
    wire.send(ring.last(sent))?;
    Ok((sent, clock.now_ns()))
}

fn receive(
    wire: &mut Wire,
    work: &Work,
    me: usize,
    flow: &Flow,
    clock: Clock,
) -> Result<(u64, u64), BenchError> {
    let mut lanes = Lanes {
        next: vec![0; work.publishers],
        open: (0..work.publishers)
            .filter(|publisher| work.is_heard(*publisher, me))
            .count(),
    };
    let filters = work.filters(me);
    // With one subject of one name all lines are the same.
    let line = match (work.subjects, filters.first()) {
        (Subjects::One | Subjects::Pairs, Some(subject)) => {
            format!("MSG {subject} 1 {}\r\n", work.body_bytes).into_bytes()
        }
        _ => Vec::new(),
    };
    loop {
        let taken = lanes.take_all(wire.unread(), &line, work.body_bytes)?;
        let all = flow.taken.get(me).into_iter().flatten();
        for (taken, next) in all.zip(&lanes.next) {
            taken.store(*next, Ordering::Release);
        }
        wire.take(taken);
        if lanes.open == 0 {
            return Ok((lanes.next.iter().sum(), clock.now_ns()));
        }
        if flow.is_aborted.load(Ordering::Acquire) {
            return Err(BenchError::Protocol("a publisher could not go on".into()));
        }
        wire.fill()?;
    }
}

/// What comes next of each publisher.
struct Lanes {
    next: Vec<u64>,
    /// How many of them go on.
    open: usize,
}

impl Lanes {
    /// Takes all messages that are there; how many bytes that were.
    fn take_all(
        &mut self,
        bytes: &[u8],
        line: &[u8],
        body_bytes: usize,
    ) -> Result<usize, BenchError> {
        let mut rest = bytes;
        loop {
            if !line.is_empty()
                && let Some(after) = rest.strip_prefix(line)
                && let Some((body, after)) = after.split_at_checked(body_bytes + 2)
            {
                self.take(body)?;
                rest = after;
                continue;
            }
            let Some((said, length)) = next(rest)? else {
                return Ok(bytes.len() - rest.len());
            };
            if let Said::Message(message) = said {
                self.take(message.body)?;
            }
            rest = rest.get(length..).unwrap_or_default();
        }
    }

    #[inline]
    fn take(&mut self, body: &[u8]) -> Result<(), BenchError> {
        let lane = Stamp::read(body)
            .and_then(|stamp| Some((stamp, self.next.get_mut(usize::from(stamp.publisher))?)));
        match lane {
            Some((stamp, next)) if stamp.number == *next && stamp.is_last => self.open -= 1,
            Some((stamp, next)) if stamp.number == *next => *next += 1,
            Some((stamp, next)) => {
                let (number, next) = (stamp.number, *next);
                let what = format!("message {number} came where {next} belongs");
                return Err(BenchError::Wrong(what));
            }
            None => return Err(BenchError::Wrong("a message that nobody sent".into())),
        }
        Ok(())
    }
}
