//! A channel: a lane of the session, with all that RabbitMQ keeps per channel.
//!
//! ```text
//!              channel.open                     fault (channel.close sent, lane asked to end)
//! (not there) -------------> Open ------------------------------------------------> Closing
//!      ^                      |                                                        |
//!      '----------------------'  channel.close, its lane ended, close-ok sent          |
//!      '-------------------------------------------------------------------------------'  close-ok came
//! ```
//! While a request's answer is pending no frame of the connection is taken, so at most one request per channel is pending,
//! besides those that a fault overtook (`stale`). A closing channel ignores everything but `close` and `close-ok`.

use polybus_model::{Event, Lane, Name, Request, SubscriberId};

use super::confirms::Confirms;
use super::consumers::Consumers;
use super::core::Core;
use super::publishing::Incoming;
use super::replies::Pending;
use super::streams::Streams;
use super::transaction::Tx;
use super::unsettled::Unsettled;
use crate::codec::{ChannelClose, ChannelCloseOk, Frames, Method, MethodId};
use crate::error::{Code, Fault, NO_METHOD};

/// How publishes and settlements are taken.
#[derive(Debug)]
pub(super) enum Mode {
    Plain,
    Confirm(Confirms),
    Tx(Box<Tx>),
}

/// Where a channel is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    Open,
    Closing,
}

/// What is left of a channel after something was handled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Left {
    Channel,
    Nothing,
}

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) number: u16,
    pub(super) lane: Lane,
    pub(super) phase: Phase,
    pub(super) pending: Option<Pending>,
    /// Answers still to come that nobody waits for any more.
    stale: usize,
    pub(super) incoming: Incoming,
    pub(super) mode: Mode,
    pub(super) consumers: Consumers,
    pub(super) unsettled: Unsettled,
    pub(super) streams: Streams,
    /// The tag of the last delivery.
    pub(super) last_tag: u64,
    /// The queue that an empty name means.
    pub(super) last_queue: Option<Name>,
    /// The credit of consumers to come.
    pub(super) prefetch: Option<u32>,
    /// A limit over all consumers is in force.
    pub(super) has_lane_credit: bool,
}

impl Channel {
    pub(super) fn new(number: u16) -> Self {
        Self {
            number,
            lane: Lane(number),
            phase: Phase::Open,
            pending: None,
            stale: 0,
            incoming: Incoming::default(),
            mode: Mode::Plain,
            consumers: Consumers::default(),
            unsettled: Unsettled::default(),
            streams: Streams::default(),
            last_tag: 0,
            last_queue: None,
            prefetch: None,
            has_lane_credit: false,
        }
    }

    /// Asks the broker, and remembers what to do with the answer.
    pub(super) fn ask(&mut self, core: &mut Core, request: Request, pending: Pending) {
        core.ask(self.lane, request);
        self.pending = Some(pending);
    }

    /// Takes a method of a channel that is open.
    pub(super) fn handle_method(
        &mut self,
        core: &mut Core,
        method: &Method<'_>,
    ) -> Result<(), Fault> {
        if self.phase == Phase::Closing {
            if let Method::ChannelClose(_) = method {
                core.send(self.number, &ChannelCloseOk {});
            }
            return Ok(());
        }
        self.incoming.expects_method()?;
        match method {
            Method::BasicPublish(publish) => self.begin_publish(core, publish),
            Method::BasicAck(ack) => self.handle_ack(core, ack),
            Method::BasicNack(nack) => self.handle_nack(core, nack),
            Method::BasicReject(reject) => self.handle_reject(core, reject),
            Method::ChannelClose(_) => {
                self.drop_held(core);
                self.ask(core, Request::CloseLane, Pending::ClosedByPeer);
                Ok(())
            }
            other => self.dispatch(core, other),
        }
    }

    /// Takes the publishes and acks that are next in `frames`, as long as all of each is there and nothing is wrong with it;
    /// false if there is none such. What is not taken is taken frame by frame, which finds what is wrong.
    #[inline]
    pub(super) fn take_run(&mut self, core: &mut Core, frames: &mut Frames<'_>) -> bool {
        let takes = self.phase == Phase::Open
            && self.incoming.is_idle()
            && !matches!(self.mode, Mode::Tx(_));
        if !takes {
            return false;
        }
        let before = frames.consumed();
        while self.take_whole(core, frames) {}
        self.take_acks(core, frames);
        frames.consumed() > before
    }

    /// What comes in parts or waits for a commit is gone.
    fn drop_held(&mut self, core: &mut Core) {
        self.incoming.abandon(core);
        if let Mode::Tx(_) = self.mode {
            self.mode = Mode::Plain;
        }
    }

    /// Tells the peer that the channel is closed and why, and gives back all it holds.
    pub(super) fn close(&mut self, core: &mut Core, fault: &Fault) {
        if self.phase == Phase::Closing {
            return;
        }
        if self.pending.take().is_some() {
            self.stale += 1;
        }
        let close = ChannelClose {
            reply_code: fault.code.number(),
            reply_text: &fault.text,
            class_id: fault.method.class,
            method_id: fault.method.method,
        };
        core.send(self.number, &close);
        self.phase = Phase::Closing;
        self.drop_held(core);
        self.consumers.clear();
        self.streams.clear();
        self.unsettled.take_all(|_, _| {});
        self.ask(core, Request::CloseLane, Pending::ClosedByUs);
    }

    /// The broker failed a request without an answer, and dropped those of its batch that came after it.
    pub(super) fn handle_failed(&mut self, core: &mut Core, fault: &Fault) {
        if self.phase == Phase::Closing {
            // The end of the lane was among them, unless it is not sent yet.
            let is_unsent = |(lane, request): &(Lane, Request)| {
                *lane == self.lane && matches!(request, Request::CloseLane)
            };
            if self.pending.is_some() && !core.requests.iter().any(is_unsent) {
                core.requests.push((self.lane, Request::CloseLane));
            }
            return;
        }
        let dropped = self.pending.take();
        if dropped.is_some() {
            core.awaited = core.awaited.saturating_sub(1);
        }
        self.close(core, fault);
        if let Some(Pending::ClosedByPeer) = dropped {
            // Both closed it at once; each answers the other.
            core.send(self.number, &ChannelCloseOk {});
        }
    }

    /// The answer that is due, if someone still waits for it.
    pub(super) fn take_pending(&mut self) -> Option<Pending> {
        if self.stale > 0 {
            self.stale -= 1;
            return None;
        }
        self.pending.take()
    }

    /// Takes an event other than a reply.
    #[inline]
    pub(super) fn handle_event(&mut self, core: &mut Core, event: Event) {
        if self.phase == Phase::Closing {
            return;
        }
        match event {
            Event::Delivery(delivery) => self.deliver(core, &delivery),
            Event::Confirmed { through, .. } => {
                if let Mode::Confirm(confirms) = &mut self.mode {
                    confirms.handle_confirmed(through, self.number, core);
                }
            }
            Event::Refused { number, .. } => {
                if let Mode::Confirm(confirms) = &mut self.mode {
                    confirms.handle_refused(number, self.number, core);
                }
            }
            Event::Returned { message, .. } => self.give_back(core, &message),
            Event::SubscriptionEnded { subscriber, .. } => self.end_consumer(core, subscriber),
            Event::ConsumerTimeout { timeout, .. } => {
                let number = self.number;
                let text = format!(
                    "delivery acknowledgement on channel {number} timed out. Timeout value used: {timeout} ms. This \
                     timeout value can be configured, see consumers doc guide to learn more"
                );
                self.close(core, &Fault::precondition(NO_METHOD, text));
            }
            Event::Reply { .. }
            | Event::Failed { .. }
            | Event::Blocked { .. }
            | Event::Unblocked
            | Event::Log { .. }
            | Event::Group { .. }
            | Event::Live { .. }
            | Event::LiveMessage { .. }
            | Event::Records { .. }
            | Event::Unheard { .. }
            | Event::Stored { .. }
            | Event::LiveRefused { .. }
            | Event::LiveNotSubscribed { .. }
            | Event::TooSlow { .. }
            | Event::Access { .. }
            | Event::Shutdown { .. } => {}
        }
    }

    /// The broker's number for the consumer in that place.
    pub(super) fn subscriber(&self, place: u16) -> SubscriberId {
        SubscriberId(u32::from(self.number) << 16 | u32::from(place))
    }

    /// The queue that a name means: the last declared one if it is empty.
    pub(super) fn queue_meant(&self, name: &str, method: MethodId) -> Result<Name, Fault> {
        if !name.is_empty() {
            return Ok(crate::mapping::name(name));
        }
        self.last_queue
            .clone()
            .ok_or_else(|| Fault::new(Code::NotFound, method, "no previously declared queue"))
    }
}
