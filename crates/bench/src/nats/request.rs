//! Questions with one in flight on each connection: to a service on a connection of its own, or to JetStream.
//!
//! ```text
//! asker i: PUB subject _INBOX.bench.i.N ...   -> answer on _INBOX.bench.i.N -> the next
//! ```
//! Each question has an inbox that was never used, as clients do it. One asker waits in its read; more are watched together.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use super::line::{Said, next, number};
use super::ring::{FRESH, Ring};
use super::wire::{Wire, shut};
use crate::clock::{Clock, ns};
use crate::error::BenchError;
use crate::histogram::Histogram;

/// How long all may be silent.
const SILENT_MAX_S: i64 = 20;

const SERVICE: &str = "bench.service";

/// What was asked and answered.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) answered: u64,
    pub(crate) begin_ns: u64,
    pub(crate) end_ns: u64,
    pub(crate) latencies: Histogram,
}

/// Looks at an answer.
pub(crate) type Check<'a> = dyn Fn(&[u8]) -> Result<(), BenchError> + 'a;

struct Asker {
    wire: Wire,
    ring: Ring,
    asked: u64,
    sent_ns: u64,
    is_waiting: bool,
}

/// Asks a service of our own, which sends back what it gets.
pub(crate) fn ask_service(
    address: &str,
    askers: usize,
    body_bytes: usize,
    duration: Duration,
) -> Result<Asked, BenchError> {
    let mut service = Wire::open(address)?;
    service.send(format!("SUB {SERVICE} 1\r\n").as_bytes())?;
    service.settle()?;
    let hand = service.hand()?;
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| match serve(&mut service) {
            Err(_) if is_over.load(Ordering::Acquire) => Ok(()),
            other => other,
        });
        let check = |body: &[u8]| match body.len() == body_bytes {
            true => Ok(()),
            false => Err(BenchError::Wrong("an answer that nobody gave".into())),
        };
        let asked = ask(address, SERVICE, askers, body_bytes, duration, &check);
        is_over.store(true, Ordering::Release);
        shut(&hand);
        let served = serving.join();
        let asked = asked?;
        served.unwrap_or_else(|_| Err(BenchError::Protocol("the service ended early".into())))?;
        Ok(asked)
    })
}

fn serve(wire: &mut Wire) -> Result<(), BenchError> {
    let mut out = Vec::new();
    loop {
        let mut taken = 0;
        while let Some((said, length)) = next(wire.unread().get(taken..).unwrap_or_default())? {
            match said {
                Said::Message(message) => {
                    out.extend_from_slice(b"PUB ");
                    out.extend_from_slice(message.reply);
                    out.extend_from_slice(format!(" {}\r\n", message.body.len()).as_bytes());
                    out.extend_from_slice(message.body);
                    out.extend_from_slice(b"\r\n");
                }
                Said::Ping => out.extend_from_slice(b"PONG\r\n"),
                Said::Pong | Said::Other => {}
            }
            taken += length;
        }
        wire.take(taken);
        if !out.is_empty() {
            wire.send(&out)?;
            out.clear();
        }
        wire.fill()?;
    }
}

/// Asks on so many connections, as fast as answers come.
pub(crate) fn ask(
    address: &str,
    subject: &str,
    askers: usize,
    body_bytes: usize,
    duration: Duration,
    check: &Check<'_>,
) -> Result<Asked, BenchError> {
    let open = |index: usize| -> Result<Asker, BenchError> {
        let mut wire = Wire::open(address)?;
        wire.send(format!("SUB _INBOX.bench.{index}.* 1\r\n").as_bytes())?;
        wire.settle()?;
        let to = |_| format!("{subject} _INBOX.bench.{index}.{FRESH}");
        Ok(Asker {
            ring: Ring::new(0, body_bytes, 1, to)?,
            wire,
            asked: 0,
            sent_ns: 0,
            is_waiting: false,
        })
    };
    let mut askers = (0..askers).map(open).collect::<Result<Vec<_>, _>>()?;
    let clock = Clock::start();
    let mut asked = Asked {
        begin_ns: clock.now_ns(),
        ..Asked::default()
    };
    let until_ns = asked.begin_ns + ns(duration);
    match askers.as_mut_slice() {
        [one] => {
            one.ask(clock)?;
            while one.is_waiting {
                one.wire.fill()?;
                one.hear(&mut asked, until_ns, clock, check)?;
            }
        }
        many => ask_together(many, &mut asked, until_ns, clock, check)?,
    }
    asked.end_ns = clock.now_ns();
    Ok(asked)
}

fn ask_together(
    askers: &mut [Asker],
    asked: &mut Asked,
    until_ns: u64,
    clock: Clock,
    check: &Check<'_>,
) -> Result<(), BenchError> {
    let failed = |error: rustix::io::Errno| BenchError::Io("watching sockets".into(), error.into());
    let watch = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(failed)?;
    for (index, asker) in askers.iter_mut().enumerate() {
        let socket = asker.wire.socket();
        socket
            .set_nonblocking(true)
            .map_err(BenchError::io("setting up a socket"))?;
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&watch, socket, data, epoll::EventFlags::IN).map_err(failed)?;
        asker.ask(clock)?;
    }
    let mut waiting = askers.len();
    let mut events = Vec::with_capacity(askers.len());
    let timeout = Timespec {
        tv_sec: SILENT_MAX_S,
        tv_nsec: 0,
    };
    while waiting > 0 {
        epoll::wait(&watch, spare_capacity(&mut events), Some(&timeout)).map_err(failed)?;
        if events.is_empty() {
            let what = format!("{waiting} questions are without an answer");
            return Err(BenchError::Timeout(what));
        }
        for event in events.drain(..) {
            let index = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
            let Some(asker) = askers.get_mut(index) else {
                continue;
            };
            if asker.wire.fill_if_there()? && asker.is_waiting {
                asker.hear(asked, until_ns, clock, check)?;
                waiting -= usize::from(!asker.is_waiting);
            }
        }
    }
    Ok(())
}

impl Asker {
    fn ask(&mut self, clock: Clock) -> Result<(), BenchError> {
        self.sent_ns = clock.now_ns();
        self.wire.send(self.ring.stamped(self.asked, 1))?;
        self.asked += 1;
        self.is_waiting = true;
        Ok(())
    }

    /// Takes its answer, if that has come, and asks again while there is time.
    fn hear(
        &mut self,
        asked: &mut Asked,
        until_ns: u64,
        clock: Clock,
        check: &Check<'_>,
    ) -> Result<(), BenchError> {
        while let Some((said, length)) = next(self.wire.unread())? {
            let is_answer = match said {
                Said::Message(message) => {
                    let digits = message.subject.rsplit(|byte| *byte == b'.').next();
                    if digits.and_then(number) != Some(self.asked as usize - 1) {
                        return Err(BenchError::Wrong("an answer to another question".into()));
                    }
                    if message.body.is_empty() {
                        let why = String::from_utf8_lossy(message.headers);
                        return Err(BenchError::Protocol(format!("no answer: {}", why.trim())));
                    }
                    check(message.body)?;
                    true
                }
                _ => false,
            };
            self.wire.take(length);
            if is_answer {
                let now_ns = clock.now_ns();
                asked.latencies.record(now_ns.saturating_sub(self.sent_ns));
                asked.answered += 1;
                self.is_waiting = false;
                if now_ns < until_ns {
                    self.ask(clock)?;
                }
            }
        }
        Ok(())
    }
}
