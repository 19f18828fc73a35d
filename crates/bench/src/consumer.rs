//! Consumers: connections whose deliveries are walked frame by frame, checked and counted.
//!
//! A queue is consumed on a channel of its own, so that a frame's head says whose it is.

use polybus_amqp091::codec::{BasicDeliver, FRAME_END, FrameKind};

use crate::clock::{Clock, ns};
use crate::error::BenchError;
use crate::histogram::Histogram;
use crate::ledger::QueueLedger;
use crate::link::{Link, READ_TURN, Target, hung_up, method_of, refuse_close};
use crate::publisher::readable;
use crate::ring::Stamp;
use crate::run::Shared;
use crate::topology::queue_name;
use crate::walker::{Filled, RawFrame};
use crate::workload::{Settling, Workload};
use std::time::Duration;

/// Nothing for this long, although messages are missing, is an error.
const STALL: Duration = Duration::from_secs(30);

/// What comes after the last message within this time is one too many.
const AFTERMATH: Duration = Duration::from_millis(30);

/// A consumer of one queue.
#[derive(Debug)]
struct Subscription {
    ledger: QueueLedger,
    tag: u64,
    /// Bytes of the body to come.
    left: u64,
    is_fresh: bool,
    /// The last delivery that one ack shall settle with all before it.
    unsettled: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Consumer {
    link: Link,
    /// By channel, the first being 1.
    subscriptions: Vec<Subscription>,
    acks: Vec<u8>,
    settling: Settling,
    has_times: bool,
}

/// What the consumers of one thread did.
#[derive(Debug, Default)]
pub(crate) struct Consumed {
    pub(crate) ledgers: Vec<QueueLedger>,
    /// From sent to delivered.
    pub(crate) latency: Histogram,
    pub(crate) last_ns: u64,
    /// Kept open until the run is over.
    links: Vec<Link>,
}

/// Counts of one read.
struct Tally<'a> {
    now_ns: u64,
    delivered: u64,
    latency: &'a mut Histogram,
}

impl Consumer {
    pub(crate) fn open(
        target: &Target,
        workload: &Workload,
        index: u32,
    ) -> Result<Self, BenchError> {
        let mut link = Link::open(target, 0)?;
        let mut subscriptions = Vec::new();
        for queue in workload.share(index, workload.consumers) {
            let channel = channel_of(subscriptions.len())?;
            link.open_channel(channel)?;
            if let Settling::Each { prefetch } | Settling::Multiple { prefetch } = workload.settling
            {
                link.limit_unsettled(channel, prefetch)?;
            }
            subscriptions.push(Subscription {
                ledger: QueueLedger::new(workload, queue),
                tag: 0,
                left: 0,
                is_fresh: false,
                unsettled: None,
            });
        }
        Ok(Self {
            link,
            subscriptions,
            acks: Vec::new(),
            settling: workload.settling,
            has_times: workload.body_bytes >= 16,
        })
    }

    /// Notes a message that was taken by hand before.
    pub(crate) fn note_taken(&mut self, queue: u32, body: &[u8]) -> Result<(), BenchError> {
        for subscription in &mut self.subscriptions {
            if subscription.ledger.queue() == queue {
                subscription.ledger.delivered(body)?;
            }
        }
        Ok(())
    }

    fn start(&mut self) -> Result<(), BenchError> {
        let no_ack = self.settling == Settling::Auto;
        for index in 0..self.subscriptions.len() {
            if let Some(subscription) = self.subscriptions.get(index) {
                let queue = queue_name(subscription.ledger.queue());
                self.link
                    .start_consumer(channel_of(index)?, &queue, no_ack)?;
            }
        }
        Ok(())
    }

    /// Reads once and takes the deliveries. True if there was anything.
    fn receive(
        &mut self,
        may_wait: bool,
        tally: &mut Tally<'_>,
        clock: Clock,
    ) -> Result<bool, BenchError> {
        let filled = self.link.walker.fill(&self.link.socket, may_wait);
        match filled.map_err(BenchError::io("reading deliveries"))? {
            Filled::Bytes => {}
            Filled::Nothing => return Ok(false),
            Filled::End => return Err(hung_up()),
        }
        tally.now_ns = clock.now_ns();
        self.walk(tally)?;
        self.settle()?;
        Ok(true)
    }

    fn walk(&mut self, tally: &mut Tally<'_>) -> Result<(), BenchError> {
        let Self {
            link: Link { walker, .. },
            subscriptions,
            acks,
            settling,
            has_times,
        } = self;
        while let Some(frame) = walker.next_frame()? {
            let channel = usize::from(frame.channel);
            let Some(subscription) = channel
                .checked_sub(1)
                .and_then(|index| subscriptions.get_mut(index))
            else {
                if frame.kind == FrameKind::Method as u8 {
                    refuse_close(frame.payload)?;
                }
                continue;
            };
            if !subscription.take(&frame, tally, *has_times)? {
                continue;
            }
            tally.delivered += 1;
            match settling {
                Settling::Auto => {}
                Settling::Each { .. } => push_ack(acks, frame.channel, subscription.tag, false),
                Settling::Multiple { .. } => subscription.unsettled = Some(subscription.tag),
            }
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<(), BenchError> {
        if let Settling::Multiple { .. } = self.settling {
            for (index, subscription) in self.subscriptions.iter_mut().enumerate() {
                if let Some(tag) = subscription.unsettled.take() {
                    push_ack(&mut self.acks, channel_of(index)?, tag, true);
                }
            }
        }
        if !self.acks.is_empty() {
            self.link.write(&self.acks)?;
            self.acks.clear();
        }
        Ok(())
    }
}

impl Subscription {
    /// Takes a frame. True if it ends a message.
    #[inline]
    fn take(
        &mut self,
        frame: &RawFrame<'_>,
        tally: &mut Tally<'_>,
        has_times: bool,
    ) -> Result<bool, BenchError> {
        let payload = frame.payload;
        if frame.kind == FrameKind::Body as u8 {
            if self.is_fresh {
                self.is_fresh = false;
                self.ledger.delivered(payload)?;
                if has_times && let Some(sent_ns) = Stamp::read_sent_ns(payload) {
                    tally.latency.record(tally.now_ns.saturating_sub(sent_ns));
                }
            }
            let size = payload.len() as u64;
            self.left = self.left.checked_sub(size).ok_or_else(too_long)?;
            return Ok(self.left == 0);
        }
        if frame.kind == FrameKind::Header as u8 {
            let size = payload.get(4..12).and_then(|size| size.try_into().ok());
            self.left = u64::from_be_bytes(size.ok_or_else(too_short)?);
            self.is_fresh = true;
            if self.left == 0 {
                self.ledger.delivered(&[])?;
                return Ok(true);
            }
            return Ok(false);
        }
        if frame.kind == FrameKind::Method as u8 {
            if method_of(payload)? != BasicDeliver::ID {
                refuse_close(payload)?;
                return Ok(false);
            }
            let tag_len = payload.get(4).copied().unwrap_or(0);
            let at = 5 + usize::from(tag_len);
            let tag = payload.get(at..at + 8).and_then(|tag| tag.try_into().ok());
            self.tag = u64::from_be_bytes(tag.ok_or_else(too_short)?);
        }
        Ok(false)
    }
}

fn too_short() -> BenchError {
    BenchError::Protocol("a frame is too short".into())
}

fn too_long() -> BenchError {
    BenchError::Protocol("a body is longer than its header says".into())
}

fn channel_of(index: usize) -> Result<u16, BenchError> {
    u16::try_from(index + 1).map_err(|_| BenchError::Usage("too many queues for a consumer".into()))
}

fn push_ack(out: &mut Vec<u8>, channel: u16, tag: u64, multiple: bool) {
    let [c1, c0] = channel.to_be_bytes();
    out.extend_from_slice(&[1, c1, c0, 0, 0, 0, 13, 0, 60, 0, 80]);
    out.extend_from_slice(&tag.to_be_bytes());
    out.extend_from_slice(&[multiple.into(), FRAME_END]);
}

/// Consumes until all the run's messages have come.
pub(crate) fn consume(
    mut group: Vec<Consumer>,
    clock: Clock,
    shared: &Shared,
) -> Result<Consumed, BenchError> {
    for consumer in &mut group {
        consumer.start()?;
    }
    let mut consumed = Consumed::default();
    let mut quiet_since_ns = clock.now_ns();
    while !shared.is_aborted() {
        let delivered = receive_any(&mut group, READ_TURN, &mut consumed, clock)?;
        shared.count_consumed(delivered);
        if delivered > 0 {
            quiet_since_ns = consumed.last_ns;
        }
        if shared.is_all_consumed() {
            break;
        }
        let quiet_ns = clock.now_ns().saturating_sub(quiet_since_ns);
        if shared.is_goal_known() && quiet_ns > ns(STALL) {
            return Err(BenchError::Wrong(format!(
                "nothing more comes, and of {} messages only {} came",
                shared.goal(),
                shared.consumed(),
            )));
        }
        if !shared.is_goal_known() {
            quiet_since_ns = clock.now_ns();
        }
    }
    let last_ns = consumed.last_ns;
    let surplus = receive_any(&mut group, AFTERMATH, &mut consumed, clock)?;
    shared.count_consumed(surplus);
    consumed.last_ns = last_ns;
    for consumer in group {
        let ledgers = consumer.subscriptions.into_iter();
        consumed.ledgers.extend(ledgers.map(|of| of.ledger));
        consumed.links.push(consumer.link);
    }
    Ok(consumed)
}

/// Waits for deliveries and takes them; gives how many.
fn receive_any(
    group: &mut [Consumer],
    wait: Duration,
    consumed: &mut Consumed,
    clock: Clock,
) -> Result<u64, BenchError> {
    let mut tally = Tally {
        now_ns: 0,
        delivered: 0,
        latency: &mut consumed.latency,
    };
    if let [only] = group
        && wait == READ_TURN
    {
        only.receive(true, &mut tally, clock)?;
    } else {
        for index in readable(group.iter().map(|consumer| &consumer.link), wait)? {
            if let Some(consumer) = group.get_mut(index) {
                consumer.receive(false, &mut tally, clock)?;
            }
        }
    }
    let Tally {
        now_ns, delivered, ..
    } = tally;
    if delivered > 0 {
        consumed.last_ns = now_ns;
    }
    Ok(delivered)
}
