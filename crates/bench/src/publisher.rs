//! Publishers: connections that write prebuilt frames as fast as their window lets them, or on a fixed schedule.
//!
//! ```text
//! window: [ unconfirmed ........ | room ]   write when an eighth of it is free: many at a time, and never empty
//! rate:   due(now) = (now - begin) / interval;  a publish counts as sent when it was due, not when it got out
//! ```
//! One thread serves one connection (then it blocks in its socket) or several (then it polls).

use std::os::fd::AsFd;
use std::time::Duration;

use polybus_amqp091::codec::{BasicAck, BasicNack, FrameKind};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::clock::{Clock, ns, seconds_between};
use crate::confirms::Confirms;
use crate::error::BenchError;
use crate::histogram::Histogram;
use crate::link::{Link, READ_TURN, Target, hung_up, method_of, refuse_close};
use crate::ring::Ring;
use crate::run::Shared;
use crate::walker::Filled;
use crate::workload::Workload;

/// Without confirms so many bytes are written at a time.
const WRITE_BYTES: usize = 64 * 1024;

/// What waits in the socket of a publisher without confirms is neither published nor delayed by the broker's choice: keep it
/// small, or a slow broker is busy with it long after the time is up.
const SEND_BUFFER: usize = 256 * 1024;

/// No confirm for this long is an error.
const STALL: Duration = Duration::from_secs(60);

/// When publishes are due.
#[derive(Clone, Copy, Debug)]
struct Pace {
    interval_ns: f64,
    begin_ns: f64,
}

impl Pace {
    fn due_ns(self, number: u64) -> u64 {
        (self.begin_ns + self.interval_ns * number as f64) as u64
    }

    fn due_until(self, now_ns: u64) -> u64 {
        ((now_ns as f64 - self.begin_ns) / self.interval_ns).max(0.0) as u64
    }
}

#[derive(Debug)]
pub(crate) struct Publisher {
    link: Link,
    ring: Ring,
    confirms: Option<Confirms>,
    burst: u64,
    write_most: usize,
    quota: u64,
    sent: u64,
    pace: Option<Pace>,
    index: u16,
}

/// What the publishers of one thread did.
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// Each publisher's index and counts by lane.
    pub(crate) sent: Vec<(u16, Vec<u64>)>,
    pub(crate) latency: Histogram,
    pub(crate) ended_ns: u64,
    /// Kept open until the run is over: the transient messages of a closed connection may be on their way still.
    links: Vec<Link>,
}

impl Publisher {
    pub(crate) fn open(
        target: &Target,
        workload: &Workload,
        index: u16,
    ) -> Result<Self, BenchError> {
        let mut link = Link::open(target, 0)?;
        link.open_channel(1)?;
        link.limit_send_buffer(SEND_BUFFER)?;
        if workload.window.is_some() {
            link.select_confirms(1)?;
        }
        let ring = Ring::new(workload, index, link.frame_max);
        let publishers = u64::from(workload.publishers.max(1));
        let mine = |all: u64| all / publishers + u64::from(u64::from(index) < all % publishers);
        let pace = workload.rate_per_s.map(|rate| {
            let interval_ns = 1e9 * publishers as f64 / rate.max(1) as f64;
            Pace {
                interval_ns,
                begin_ns: interval_ns * f64::from(index) / publishers as f64,
            }
        });
        Ok(Self {
            write_most: (WRITE_BYTES / ring.message_bytes().max(1)).max(1),
            confirms: workload.window.map(Confirms::new),
            burst: match (workload.window, pace) {
                (Some(window), None) => u64::from(window / 8).max(1),
                _ => 1,
            },
            quota: workload.messages.map_or(u64::MAX, mine),
            sent: 0,
            link,
            ring,
            pace,
            index,
        })
    }

    fn in_flight(&self) -> u64 {
        self.confirms.as_ref().map_or(0, Confirms::in_flight)
    }

    /// How many may be written now.
    fn allowed(&self, now_ns: u64) -> u64 {
        let left = self.quota - self.sent;
        let room = match &self.confirms {
            Some(confirms) => confirms.room(),
            None => self.write_most as u64,
        };
        let due = match self.pace {
            Some(pace) => pace.due_until(now_ns).saturating_sub(self.sent),
            None => u64::MAX,
        };
        let allowed = left.min(room).min(due);
        if allowed < self.burst.min(left) {
            0
        } else {
            allowed
        }
    }

    fn send(&mut self, mut count: u64, now_ns: u64, shared: &Shared) -> Result<(), BenchError> {
        while count > 0 {
            let first = self.sent;
            let pace = self.pace;
            let at_ns = |index: usize| match pace {
                Some(pace) => pace.due_ns(first + index as u64).max(1),
                None => now_ns,
            };
            let (written, bytes) = self.ring.next_run(count as usize, at_ns);
            self.link.write(bytes)?;
            if let Some(confirms) = &mut self.confirms {
                for index in 0..written {
                    confirms.sent(at_ns(index));
                }
            } else {
                shared.count_published(written as u64);
            }
            self.sent += written as u64;
            count = count.saturating_sub((written as u64).max(1));
        }
        Ok(())
    }

    /// Reads once and takes the confirms. True if there were any.
    fn receive(
        &mut self,
        may_wait: bool,
        clock: Clock,
        shared: &Shared,
    ) -> Result<bool, BenchError> {
        let filled = self.link.walker.fill(&self.link.socket, may_wait);
        match filled.map_err(BenchError::io("reading confirms"))? {
            Filled::Bytes => {}
            Filled::Nothing => return Ok(false),
            Filled::End => return Err(hung_up()),
        }
        let now_ns = clock.now_ns();
        let mut fresh = 0;
        while let Some(frame) = self.link.walker.next_frame()? {
            if frame.kind != FrameKind::Method as u8 {
                continue;
            }
            match (method_of(frame.payload)?, &mut self.confirms) {
                (BasicAck::ID, Some(confirms)) => {
                    let Some(&[t7, t6, t5, t4, t3, t2, t1, t0, multiple]) =
                        frame.payload.get(4..).and_then(<[u8]>::first_chunk)
                    else {
                        return Err(BenchError::Protocol("an ack without tag".into()));
                    };
                    let tag = u64::from_be_bytes([t7, t6, t5, t4, t3, t2, t1, t0]);
                    fresh += confirms.confirm(tag, multiple & 1 == 1, now_ns)?;
                }
                (BasicNack::ID, _) => {
                    return Err(BenchError::Wrong("the server refused a publish".into()));
                }
                _ => refuse_close(frame.payload)?,
            }
        }
        shared.count_published(fresh);
        Ok(fresh > 0)
    }
}

/// Publishes until `end_ns`, or until all quotas are filled, and until all is confirmed.
pub(crate) fn publish(
    mut group: Vec<Publisher>,
    begin_ns: u64,
    end_ns: u64,
    clock: Clock,
    shared: &Shared,
) -> Result<Published, BenchError> {
    for publisher in &mut group {
        if let Some(pace) = &mut publisher.pace {
            pace.begin_ns += begin_ns as f64;
        }
    }
    let mut progress_ns = clock.now_ns();
    let mut turns = 0_u64;
    loop {
        let now_ns = clock.now_ns();
        let is_over = now_ns >= end_ns || shared.is_aborted();
        let mut is_busy = false;
        let mut has_written = false;
        for publisher in &mut group {
            let allowed = if is_over {
                0
            } else {
                publisher.allowed(now_ns)
            };
            if allowed > 0 {
                publisher.send(allowed, now_ns, shared)?;
                has_written = true;
            }
            let is_done = is_over || publisher.sent == publisher.quota;
            is_busy |= !is_done || publisher.in_flight() > 0;
        }
        if !is_busy || shared.is_aborted() {
            break;
        }
        turns += 1;
        let is_free_running = has_written && group.iter().all(|p| p.confirms.is_none());
        if is_free_running && !turns.is_multiple_of(64) {
            continue;
        }
        if receive_any(&mut group, is_free_running, is_over, now_ns, clock, shared)? || has_written
        {
            progress_ns = now_ns;
        } else if now_ns.saturating_sub(progress_ns) > ns(STALL) {
            let waited = seconds_between(progress_ns, now_ns);
            return Err(BenchError::Timeout(format!("no confirm for {waited:.0} s")));
        }
    }
    let mut published = Published {
        ended_ns: clock.now_ns(),
        ..Published::default()
    };
    for publisher in group {
        if let Some(confirms) = &publisher.confirms {
            published.latency.merge(&confirms.histogram);
        }
        let numbers = publisher.ring.into_numbers();
        published.sent.push((publisher.index, numbers));
        published.links.push(publisher.link);
    }
    Ok(published)
}

/// Waits for confirms, or until the next publish is due, and takes them.
fn receive_any(
    group: &mut [Publisher],
    is_free_running: bool,
    is_over: bool,
    now_ns: u64,
    clock: Clock,
    shared: &Shared,
) -> Result<bool, BenchError> {
    if let [only] = group
        && (is_free_running || only.pace.is_none())
    {
        return only.receive(!is_free_running, clock, shared);
    }
    let next_ns = group
        .iter()
        .filter_map(|publisher| Some(publisher.pace?.due_ns(publisher.sent + 1)))
        .min()
        .filter(|_| !is_over);
    let wait = match next_ns {
        _ if is_free_running => Duration::ZERO,
        // A full window may keep what is due from being sent: then there is nothing to hurry for.
        Some(next_ns) if next_ns <= now_ns => Duration::from_micros(200),
        Some(next_ns) => Duration::from_nanos(next_ns - now_ns).min(READ_TURN),
        None => READ_TURN,
    };
    let mut any = false;
    for index in readable(group.iter().map(|publisher| &publisher.link), wait)? {
        if let Some(publisher) = group.get_mut(index) {
            any |= publisher.receive(false, clock, shared)?;
        }
    }
    Ok(any)
}

/// Which links have something to read, after waiting at most so long.
pub(crate) fn readable<'a>(
    links: impl Iterator<Item = &'a Link>,
    wait: Duration,
) -> Result<Vec<usize>, BenchError> {
    let mut polled: Vec<_> = links
        .map(|link| PollFd::from_borrowed_fd(link.socket.as_fd(), PollFlags::IN))
        .collect();
    let wait = Timespec {
        tv_sec: wait.as_secs() as i64,
        tv_nsec: wait.subsec_nanos().into(),
    };
    match rustix::event::poll(&mut polled, Some(&wait)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(BenchError::Io("polling".into(), error.into())),
    }
    let is_readable = |polled: &PollFd<'_>| !polled.revents().is_empty();
    Ok(polled
        .iter()
        .enumerate()
        .filter(|(_, polled)| is_readable(polled))
        .map(|(index, _)| index)
        .collect())
}
