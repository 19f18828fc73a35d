//! JetStream: publishes that are acknowledged, and streams read by a consumer.
//!
//! ```text
//! window: writer: PUB js.bench _INBOX.js.N ... while fewer than the window are unacknowledged   reader: N, N+1, ... in order
//! push:   SUB inbox, a consumer that delivers there, until the last
//! pull:   two requests of 1,000 stand; another as soon as one is used up
//! ```

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::line::{Message, Said, next, number};
use super::request::{Asked, ask};
use super::ring::{FRESH, Ring, Stamp};
use super::wire::{Wire, shut, write_all};
use super::work::{Kind, Work};
use crate::clock::{Clock, ns};
use crate::error::BenchError;

/// The stream, and what it takes.
const STREAM: &str = "BENCH";
const SUBJECT: &str = "js.bench";

/// How many messages a request for the next ones asks for.
const BATCH: u64 = 1000;

/// How long such a request stands.
const EXPIRES_NS: u64 = 20_000_000_000;

/// Where a consumer delivers to.
const INBOX: &str = "_INBOX.read";

/// How long the broker may take to know of the last acknowledgement.
const SETTLED_WITHIN_NS: u64 = 5_000_000_000;

/// Makes the stream.
pub(crate) fn make(address: &str) -> Result<Wire, BenchError> {
    let mut wire = Wire::open(address)?;
    let config = json!({
        "name": STREAM, "subjects": [SUBJECT], "retention": "limits", "storage": "file", "discard": "old",
        "max_consumers": -1, "max_msgs": -1, "max_bytes": -1, "max_age": 0, "max_msg_size": -1, "num_replicas": 1,
    });
    wire.ask(&format!("STREAM.CREATE.{STREAM}"), &config)?;
    Ok(wire)
}

/// Takes it away.
pub(crate) fn delete(wire: &mut Wire) -> Result<(), BenchError> {
    wire.ask(&format!("STREAM.DELETE.{STREAM}"), &Value::Null)
        .map(|_| ())
}

/// How many messages it holds.
pub(crate) fn held(wire: &mut Wire) -> Result<u64, BenchError> {
    let info = wire.ask(&format!("STREAM.INFO.{STREAM}"), &Value::Null)?;
    let messages = info.pointer("/state/messages").and_then(Value::as_u64);
    messages.ok_or_else(|| BenchError::Protocol(format!("STREAM.INFO is answered by {info}")))
}

/// Publishes to it for so long, or so many.
pub(crate) fn publish(
    address: &str,
    work: &Work,
    duration: Duration,
    messages_max: u64,
) -> Result<Asked, BenchError> {
    if work.window == 1 {
        let check = |body: &[u8]| sequence(body).map(|_| ());
        return ask(
            address,
            SUBJECT,
            work.publishers,
            work.body_bytes,
            duration,
            &check,
        );
    }
    publish_ahead(address, work, duration, messages_max)
}

/// The number that a PubAck tells.
fn sequence(body: &[u8]) -> Result<usize, BenchError> {
    const KEY: &[u8] = b"\"seq\":";
    let wrong = || {
        let text = String::from_utf8_lossy(body);
        BenchError::Protocol(format!("a publish is answered by {text}"))
    };
    let at = body.windows(KEY.len()).position(|window| window == KEY);
    let digits = at.and_then(|at| body.get(at + KEY.len()..));
    let digits = digits.map(|text| text.trim_ascii_start());
    let digits = digits.and_then(|text| {
        let end = text.iter().position(|byte| !byte.is_ascii_digit())?;
        text.get(..end)
    });
    digits.and_then(number).ok_or_else(wrong)
}

/// What writer and reader know of each other.
struct Ahead {
    acked: AtomicU64,
    is_over: AtomicBool,
    /// When each of a window was sent.
    sent_ns: Vec<AtomicU64>,
}

impl Ahead {
    fn sent_at(&self, number: u64) -> Option<&AtomicU64> {
        let index = number.checked_rem(self.sent_ns.len() as u64)?;
        self.sent_ns.get(usize::try_from(index).ok()?)
    }
}

fn publish_ahead(
    address: &str,
    work: &Work,
    duration: Duration,
    messages_max: u64,
) -> Result<Asked, BenchError> {
    let mut wire = Wire::open(address)?;
    wire.send(b"SUB _INBOX.js.* 1\r\n")?;
    wire.settle()?;
    let hand = wire.hand()?;
    // An eighth of the window at a time.
    let to = |_| format!("{SUBJECT} _INBOX.js.{FRESH}");
    let mut ring = Ring::new(0, work.body_bytes, work.window.div_ceil(8), to)?;
    let step = ring.len() as u64;
    let ahead = Ahead {
        acked: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
        sent_ns: (0..work.window).map(|_| AtomicU64::new(0)).collect(),
    };
    let clock = Clock::start();
    let mut asked = Asked {
        begin_ns: clock.now_ns(),
        ..Asked::default()
    };
    let until_ns = asked.begin_ns + ns(duration);
    std::thread::scope(|scope| {
        let ahead = &ahead;
        let window = work.window as u64;
        let writing = scope.spawn(move || {
            let mut sent = 0;
            while sent < messages_max && clock.now_ns() < until_ns {
                let room = window - (sent - ahead.acked.load(Ordering::Acquire));
                let count = step.min(messages_max - sent);
                if room < count {
                    if ahead.is_over.load(Ordering::Acquire) {
                        break;
                    }
                    std::thread::park_timeout(Duration::from_millis(1));
                    continue;
                }
                let now_ns = clock.now_ns();
                for number in sent..sent + count {
                    if let Some(place) = ahead.sent_at(number) {
                        place.store(now_ns, Ordering::Release);
                    }
                }
                write_all(&hand, ring.stamped(sent, count as usize))?;
                sent += count;
            }
            // The reader learns how many there are by this one's answer.
            write_all(&hand, b"PING\r\n")?;
            Ok(sent)
        });
        let heard = hear_acks(&mut wire, ahead, &mut asked, clock, &writing);
        ahead.is_over.store(true, Ordering::Release);
        if heard.is_err() {
            shut(wire.socket());
        }
        let sent = writing.join();
        heard?;
        let sent: Result<u64, BenchError> =
            sent.unwrap_or_else(|_| Err(BenchError::Protocol("a thread ended early".into())));
        let sent = sent?;
        while asked.answered < sent {
            take_acks(&mut wire, ahead, &mut asked, clock)?;
            if asked.answered < sent {
                wire.fill()?;
            }
        }
        Ok(())
    })?;
    asked.end_ns = clock.now_ns();
    Ok(asked)
}

/// Until the writer's last word is answered.
fn hear_acks<T>(
    wire: &mut Wire,
    ahead: &Ahead,
    asked: &mut Asked,
    clock: Clock,
    writing: &std::thread::ScopedJoinHandle<'_, T>,
) -> Result<(), BenchError> {
    loop {
        if take_acks(wire, ahead, asked, clock)? {
            return Ok(());
        }
        writing.thread().unpark();
        wire.fill()?;
    }
}

/// Takes all that are there; whether a PONG came among them.
fn take_acks(
    wire: &mut Wire,
    ahead: &Ahead,
    asked: &mut Asked,
    clock: Clock,
) -> Result<bool, BenchError> {
    let now_ns = clock.now_ns();
    let (mut taken, mut has_pong) = (0, false);
    while let Some((said, length)) = next(wire.unread().get(taken..).unwrap_or_default())? {
        match said {
            Said::Message(message) => {
                let expected = asked.answered;
                let told = message.subject.rsplit(|byte| *byte == b'.').next();
                let told = told.and_then(number).map(|number| number as u64);
                let sequence = sequence(message.body)? as u64;
                if told != Some(expected) || sequence != expected + 1 {
                    return Err(BenchError::Wrong(format!(
                        "publish {told:?} is told to be {sequence} where {expected} is due"
                    )));
                }
                if let Some(sent) = ahead.sent_at(expected) {
                    let sent_ns = sent.load(Ordering::Acquire);
                    asked.latencies.record(now_ns.saturating_sub(sent_ns));
                }
                asked.answered += 1;
            }
            Said::Pong => has_pong = true,
            Said::Ping | Said::Other => {}
        }
        taken += length;
    }
    wire.take(taken);
    ahead.acked.store(asked.answered, Ordering::Release);
    Ok(has_pong)
}

/// Reads all of it once; from when to when.
pub(crate) fn read(address: &str, work: &Work) -> Result<(u64, u64), BenchError> {
    let mut wire = Wire::open(address)?;
    wire.send(format!("SUB {INBOX} 1\r\n").as_bytes())?;
    wire.settle()?;
    let clock = Clock::start();
    let begin_ns = clock.now_ns();
    let mut config = json!({
        "deliver_policy": "all", "replay_policy": "instant", "max_deliver": -1,
        "ack_policy": if work.is_acked { "explicit" } else { "none" },
    });
    if let Some(config) = config.as_object_mut() {
        match work.kind {
            Kind::StreamPush => config.insert("deliver_subject".into(), INBOX.into()),
            _ => config.insert("max_ack_pending".into(), json!(20 * BATCH)),
        };
    }
    let request = json!({"stream_name": STREAM, "config": config});
    // From a connection of its own: what is pushed may come before the answer.
    let mut asking = Wire::open(address)?;
    let made = asking.ask(&format!("CONSUMER.CREATE.{STREAM}"), &request)?;
    let name = made.get("name").and_then(Value::as_str).unwrap_or_default();
    let mut reading = Reading {
        next: 0,
        asked: 0,
        pull: (work.kind == Kind::StreamPull).then(|| pull_request(name)),
        is_acked: work.is_acked,
        out: Vec::new(),
    };
    while reading.next < work.messages {
        reading.ask(work.messages);
        if !reading.out.is_empty() {
            wire.send(&reading.out)?;
            reading.out.clear();
        }
        wire.fill()?;
        let taken = reading.take_all(wire.unread())?;
        wire.take(taken);
    }
    wire.send(&reading.out)?;
    if work.is_acked {
        wait_settled(&mut asking, name, clock)?;
    }
    let end_ns = clock.now_ns();
    asking.ask(&format!("CONSUMER.DELETE.{STREAM}.{name}"), &Value::Null)?;
    Ok((begin_ns, end_ns))
}

fn pull_request(name: &str) -> Vec<u8> {
    let body = json!({"batch": BATCH, "expires": EXPIRES_NS}).to_string();
    let length = body.len();
    format!("PUB $JS.API.CONSUMER.MSG.NEXT.{STREAM}.{name} {INBOX} {length}\r\n{body}\r\n")
        .into_bytes()
}

fn wait_settled(wire: &mut Wire, name: &str, clock: Clock) -> Result<(), BenchError> {
    let until_ns = clock.now_ns() + SETTLED_WITHIN_NS;
    loop {
        let info = wire.ask(&format!("CONSUMER.INFO.{STREAM}.{name}"), &Value::Null)?;
        match info.get("num_ack_pending").and_then(Value::as_u64) {
            Some(0) => return Ok(()),
            pending if clock.now_ns() > until_ns => {
                let what = format!("{pending:?} messages are still not acknowledged");
                return Err(BenchError::Timeout(what));
            }
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// How far a reader is.
struct Reading {
    next: u64,
    /// How many were asked for.
    asked: u64,
    /// How to ask for more, if it has to.
    pull: Option<Vec<u8>>,
    is_acked: bool,
    out: Vec<u8>,
}

impl Reading {
    /// Asks for more while fewer than two batches are on their way.
    fn ask(&mut self, messages: u64) {
        let Some(pull) = &self.pull else {
            return;
        };
        while self.asked < messages && self.asked < self.next + 2 * BATCH {
            self.out.extend_from_slice(pull);
            self.asked += BATCH;
        }
    }

    fn take_all(&mut self, bytes: &[u8]) -> Result<usize, BenchError> {
        let mut taken = 0;
        while let Some((said, length)) = next(bytes.get(taken..).unwrap_or_default())? {
            match said {
                Said::Message(message) => self.take(&message)?,
                Said::Ping => self.out.extend_from_slice(b"PONG\r\n"),
                Said::Pong | Said::Other => {}
            }
            taken += length;
        }
        Ok(taken)
    }

    fn take(&mut self, message: &Message<'_>) -> Result<(), BenchError> {
        if message.body.is_empty() {
            let status = String::from_utf8_lossy(message.headers);
            return Err(BenchError::Protocol(format!(
                "instead of a message {} comes",
                status.trim()
            )));
        }
        let number = Stamp::read(message.body).map(|stamp| stamp.number);
        if number != Some(self.next) {
            let next = self.next;
            return Err(BenchError::Wrong(format!(
                "message {number:?} came where {next} belongs"
            )));
        }
        self.next += 1;
        if self.is_acked {
            self.out.extend_from_slice(b"PUB ");
            self.out.extend_from_slice(message.reply);
            self.out.extend_from_slice(b" 4\r\n+ACK\r\n");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publishs_number_is_found_in_its_answer() {
        assert_eq!(sequence(br#"{"stream":"S", "seq":12}"#).unwrap(), 12);
        assert_eq!(sequence(br#"{"seq": 7,"stream":"S"}"#).unwrap(), 7);
        assert!(sequence(br#"{"error":{"code":503}}"#).is_err());
    }

    #[test]
    fn two_batches_are_asked_for() {
        let mut reading = Reading {
            next: 0,
            asked: 0,
            pull: Some(b"p".to_vec()),
            is_acked: false,
            out: Vec::new(),
        };
        reading.ask(10 * BATCH);
        assert_eq!(reading.out, b"pp");
        reading.next = 1;
        reading.ask(10 * BATCH);
        assert_eq!(reading.out, b"ppp");
    }
}
