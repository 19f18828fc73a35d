//! A connection's session: from the protocol header to the end.
//!
//! ```text
//!          header         start-ok              ok           tune-ok        open           ok
//! Header ----------> Start ------> Authenticate ---> Tune ----------> Open -----> Enter ------> Running
//!    |                 '-------------'-----------------'                '-----------'-------------' |  |
//!    | other version          | refused                                      | hard fault          |  | close
//!    v                        v                                              v                     |  v
//!   Done <-- 3 s or EOF -- Silent                          Closing <----------------------------- '  Done
//!    ^                                                        |
//!    '--- close-ok, EOF or time ------------------------------'
//! ```
//! Anything not drawn is a fault of the peer: before it has authenticated it is answered by silence, as RabbitMQ does, later
//! by `connection.close`. A fault of a channel closes the channel only.
//!
//! Once [`Session::is_done`] says so, the broker is to be told of the session's end before the last bytes are written: a
//! client that has its close-ok counts on its exclusive queues being gone.

mod channel;
mod closing;
mod confirms;
mod consumers;
mod consuming;
mod core;
mod dispatch;
mod handshake;
mod heartbeat;
mod publishing;
mod replies;
mod settling;
mod streams;
mod transaction;
mod unsettled;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::vec::Drain;

use bytes::{Buf, BytesMut};
use polybus_model::{Batch, Delivery, Error, Event, Lane, Millis, Reply};
use polybus_session::{Outbound, Peer, PeerSummary, Session};
use rustc_hash::FxHashMap;

use self::channel::{Channel, Left, Phase as ChannelPhase};
use self::core::Core;
use self::heartbeat::Heartbeat;
use crate::codec::{
    BasicPublish, ChannelOpen, ChannelOpenOk, ConnectionBlocked, ConnectionUnblocked, Encode,
    Frame, Frames, Method, write_heartbeat,
};
use crate::error::{Code, Fault, NO_METHOD};
use crate::sasl::Mechanism;
use crate::settings::Settings;

/// With so many bytes unwritten a peer's silence is not held against it.
const UNWRITTEN_MAX: usize = 1 << 20;

/// Where a connection is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Header,
    Start,
    Authenticate(Mechanism),
    Tune,
    Open,
    Enter,
    Running,
    /// `connection.close` is sent. Deaf after a frame that could not be read: where the next one starts is not known.
    Closing {
        until: Millis,
        deaf: bool,
    },
    /// Refused without a word.
    Silent {
        until: Millis,
    },
    Done,
}

/// A connection's session.
#[derive(Debug)]
pub(crate) struct Connection {
    core: Core,
    peer: Peer,
    phase: Phase,
    handshake_until: Millis,
    heartbeat: Heartbeat,
    channels: FxHashMap<u16, Channel>,
    client: Option<String>,
    label: Option<String>,
    /// Why the broker takes no publishes.
    blocked: Option<&'static str>,
    told_blocked: bool,
    /// A publish waits in the input until the broker takes it.
    is_paused: bool,
}

impl Connection {
    pub(crate) fn new(settings: Arc<Settings>, peer: Peer, now: Millis) -> Self {
        Self {
            handshake_until: now + settings.handshake_timeout_ms,
            core: Core::new(settings),
            peer,
            phase: Phase::Header,
            heartbeat: Heartbeat::default(),
            channels: FxHashMap::default(),
            client: None,
            label: None,
            blocked: None,
            told_blocked: false,
            is_paused: false,
        }
    }

    /// Takes the frames in `input` until one asks the broker something, or all of it; gives how many bytes that was.
    fn handle_frames(&mut self, input: &[u8], now: Millis) -> usize {
        let mut frames = Frames::new(input, self.core.frame_max);
        while !self.is_waiting() && self.phase != Phase::Done {
            if self.take_run(&mut frames) {
                continue;
            }
            let at = frames.consumed();
            match frames.next_frame() {
                Ok(None) => break,
                Ok(Some(frame)) if self.must_pause(&frame) => {
                    self.is_paused = true;
                    self.tell_blocked();
                    return at;
                }
                Ok(Some(frame)) => {
                    let bytes = input.get(at..frames.consumed()).unwrap_or_default();
                    self.handle_frame(frame, bytes, now);
                    frames.set_frame_max(self.core.frame_max);
                }
                Err(error) => {
                    let bytes = input.get(at..).map_or(&[][..], whole_frame);
                    self.handle_unreadable(&Fault::from_codec(error, bytes), now);
                    return input.len();
                }
            }
            if let Phase::Closing { deaf: true, .. } | Phase::Silent { .. } = self.phase {
                return input.len();
            }
        }
        frames.consumed()
    }

    /// Takes what comes by the million: see [`Channel::take_run`].
    #[inline]
    fn take_run(&mut self, frames: &mut Frames<'_>) -> bool {
        if self.phase != Phase::Running || self.blocked.is_some() {
            return false;
        }
        let channel = frames
            .next_channel()
            .and_then(|number| self.channels.get_mut(&number));
        channel.is_some_and(|channel| channel.take_run(&mut self.core, frames))
    }

    #[inline]
    fn handle_frame(&mut self, frame: Frame<'_>, bytes: &[u8], now: Millis) {
        let number = frame.channel();
        if number == 0 {
            let handled = match &frame {
                Frame::Method { method, .. } => self.handle_connection_method(method, bytes, now),
                Frame::Heartbeat { .. } => Ok(()),
                Frame::Header { .. } | Frame::Body { .. } => Err(Fault::unexpected_frame(bytes)),
            };
            if let Err(fault) = handled {
                self.fail_connection(&fault, now);
            }
            return;
        }
        if self.phase != Phase::Running {
            if !matches!(self.phase, Phase::Closing { .. }) {
                self.fail_connection(&Fault::unexpected_frame(bytes), now);
            }
            return;
        }
        let core = &mut self.core;
        let handled = match (self.channels.get_mut(&number), &frame) {
            (_, Frame::Heartbeat { .. }) => Err(Fault::unexpected_frame(bytes)),
            (Some(channel), Frame::Method { method, .. }) => match method {
                Method::ChannelCloseOk(_) if channel.phase == ChannelPhase::Closing => {
                    self.channels.remove(&number);
                    Ok(())
                }
                method => channel.handle_method(core, method),
            },
            (Some(channel), _) if channel.phase == ChannelPhase::Closing => Ok(()),
            (Some(channel), Frame::Header { header, .. }) => channel.handle_header(core, header),
            (Some(channel), Frame::Body { bytes, .. }) => channel.handle_body(core, bytes),
            (None, Frame::Method { method, .. }) => self.open_channel(number, method),
            (None, _) => Err(Fault::new(
                Code::UnexpectedFrame,
                NO_METHOD,
                "expected method frame, got non method frame instead",
            )),
        };
        if let Err(fault) = handled {
            self.fail(number, &fault, now);
        }
    }

    /// Whether this publish has to wait, and with it all that comes after it on the connection, as with RabbitMQ.
    #[inline]
    fn must_pause(&self, frame: &Frame<'_>) -> bool {
        self.blocked.is_some()
            && self.phase == Phase::Running
            && matches!(
                frame,
                Frame::Method {
                    method: Method::BasicPublish(_),
                    ..
                }
            )
    }

    fn open_channel(&mut self, number: u16, method: &Method<'_>) -> Result<(), Fault> {
        let Method::ChannelOpen(_) = method else {
            return Err(Fault::new(
                Code::ChannelError,
                method.id(),
                "expected 'channel.open'",
            ));
        };
        debug_assert_eq!(method.id(), ChannelOpen::ID);
        let (open, max) = (self.channels.len(), self.core.channel_max);
        if open >= usize::from(max) {
            return Err(Fault::new(
                Code::NotAllowed,
                NO_METHOD,
                format!(
                    "number of channels opened ({open}) has reached the negotiated channel_max ({max})"
                ),
            ));
        }
        self.channels.insert(number, Channel::new(number));
        self.core.send(number, &ChannelOpenOk {});
        Ok(())
    }

    fn handle_reply(&mut self, lane: Lane, result: Result<Reply, Box<Error>>, now: Millis) {
        self.core.awaited = self.core.awaited.saturating_sub(1);
        if !self.is_waiting() {
            // What the peer sent meanwhile was not listened to.
            self.heartbeat.heard(now);
        }
        if lane == Lane(0) {
            self.handle_connection_reply(result, now);
            return;
        }
        if self.phase != Phase::Running {
            return;
        }
        let Some(channel) = self.channels.get_mut(&lane.0) else {
            return;
        };
        let Some(pending) = channel.take_pending() else {
            return;
        };
        match channel.handle_reply(&mut self.core, pending, result) {
            Ok(Left::Channel) => {}
            Ok(Left::Nothing) => {
                self.channels.remove(&lane.0);
            }
            Err(fault) => self.fail(lane.0, &fault, now),
        }
    }

    fn handle_lane_event(&mut self, lane: Lane, event: Event, now: Millis) {
        if self.phase != Phase::Running {
            return;
        }
        let Some(channel) = self.channels.get_mut(&lane.0) else {
            return;
        };
        if let Event::Failed { error, .. } = event {
            let fault = Fault::from_broker(&error, BasicPublish::ID, &self.core.user);
            if fault.code.is_hard() {
                self.fail_connection(&fault, now);
            } else {
                channel.handle_failed(&mut self.core, &fault);
            }
            return;
        }
        channel.handle_event(&mut self.core, event);
    }

    /// Takes a delivery, and those of the same channel that are next in `rest`.
    fn handle_deliveries(&mut self, first: &Delivery, rest: &mut Drain<'_, Event>, now: Millis) {
        if self.phase != Phase::Running {
            return;
        }
        let staged_before = self.core.out.len();
        let Some(channel) = self.channels.get_mut(&first.lane.0) else {
            return;
        };
        if channel.phase == ChannelPhase::Closing {
            return;
        }
        channel.deliver(&mut self.core, first);
        while let Some(Event::Delivery(next)) = rest.as_slice().first()
            && next.lane == first.lane
        {
            channel.deliver(&mut self.core, next);
            rest.next();
        }
        self.note_sent(staged_before, now);
    }

    /// Tells a client that publishes, once, that it is not listened to.
    fn tell_blocked(&mut self) {
        let publishes = self.core.has_published || self.is_paused;
        let Some(reason) = self.blocked.filter(|_| publishes && !self.told_blocked) else {
            return;
        };
        self.told_blocked = true;
        if self.core.client.connection_blocked && self.phase == Phase::Running {
            self.core.send(0, &ConnectionBlocked { reason });
        }
    }

    fn handle_unblocked(&mut self, now: Millis) {
        self.blocked = None;
        self.is_paused = false;
        self.heartbeat.heard(now);
        let told = std::mem::take(&mut self.told_blocked);
        if told && self.core.client.connection_blocked && self.phase == Phase::Running {
            self.core.send(0, &ConnectionUnblocked {});
        }
    }

    /// Whether the peer's bytes are taken, so that its silence means something. With much unwritten, whoever drives the
    /// session does not read.
    fn is_listening(&self) -> bool {
        self.core.awaited == 0 && !self.is_paused && self.core.out.len() < UNWRITTEN_MAX
    }

    /// Notes whether something was staged since `staged_before`.
    fn note_sent(&mut self, staged_before: usize, now: Millis) {
        if self.core.out.len() > staged_before {
            self.heartbeat.sent(now);
        }
    }
}

/// The first frame of `bytes`, or what there is of it.
fn whole_frame(bytes: &[u8]) -> &[u8] {
    match bytes {
        [_, _, _, s3, s2, s1, s0, ..] => {
            let size = u32::from_be_bytes([*s3, *s2, *s1, *s0]) as usize;
            bytes.get(..size.saturating_add(8)).unwrap_or(bytes)
        }
        _ => bytes,
    }
}

impl Session for Connection {
    fn handle_input(&mut self, input: &mut BytesMut, now: Millis) {
        let staged_before = self.core.out.len();
        self.core.now = now;
        self.heartbeat.heard(now);
        if self.phase == Phase::Header {
            self.handle_header_bytes(input, now);
        }
        if self.phase != Phase::Header {
            let consumed = self.handle_frames(input, now);
            input.advance(consumed.min(input.len()));
        }
        if self.phase == Phase::Done {
            input.clear();
        }
        self.note_sent(staged_before, now);
    }

    fn handle_event(&mut self, event: Event, now: Millis) {
        let staged_before = self.core.out.len();
        self.core.now = now;
        match event {
            Event::Reply { lane, result } => self.handle_reply(lane, result, now),
            Event::Delivery(ref delivery) => {
                let lane = delivery.lane;
                self.handle_lane_event(lane, event, now);
            }
            Event::Confirmed { lane, .. }
            | Event::Refused { lane, .. }
            | Event::Returned { lane, .. }
            | Event::Failed { lane, .. }
            | Event::SubscriptionEnded { lane, .. }
            | Event::ConsumerTimeout { lane, .. } => self.handle_lane_event(lane, event, now),
            Event::Blocked { reason } => {
                self.blocked = Some(reason);
                self.tell_blocked();
            }
            Event::Unblocked => self.handle_unblocked(now),
            Event::Shutdown { reason } => {
                let fault = Fault::new(Code::ConnectionForced, NO_METHOD, reason);
                self.fail_connection(&fault, now);
            }
            Event::Log { number, reply } => {
                if let Some(channel) = self.channels.get_mut(&streams::channel_of(number)) {
                    channel.handle_log(&mut self.core, number, *reply);
                }
            }
            // It asks for none.
            Event::Group { .. }
            | Event::Access { .. }
            | Event::Live { .. }
            | Event::LiveMessage { .. }
            | Event::Records { .. }
            | Event::Unheard { .. }
            | Event::Stored { .. }
            | Event::LiveRefused { .. }
            | Event::LiveNotSubscribed { .. }
            | Event::TooSlow { .. } => {}
        }
        self.note_sent(staged_before, now);
    }

    fn handle_events(&mut self, events: &mut Vec<Event>, now: Millis) {
        let mut rest = events.drain(..);
        while let Some(event) = rest.next() {
            match event {
                Event::Delivery(first) => self.handle_deliveries(&first, &mut rest, now),
                other => self.handle_event(other, now),
            }
        }
    }

    fn handle_timeout(&mut self, now: Millis) {
        self.core.now = now;
        for channel in self.channels.values_mut() {
            channel.streams.end_pauses(now);
        }
        match self.phase {
            Phase::Closing { until, .. } | Phase::Silent { until } => {
                if now >= until {
                    self.phase = Phase::Done;
                }
            }
            Phase::Running => {
                if self.heartbeat.is_cut_due(now) {
                    if self.is_listening() {
                        // Without a word, as it seems to be gone.
                        self.phase = Phase::Done;
                        return;
                    }
                    self.heartbeat.heard(now);
                }
                if self.heartbeat.is_send_due(now) {
                    // Bytes that the peer does not take need no company.
                    if self.core.out.is_empty() {
                        write_heartbeat(self.core.out.staged());
                    }
                    self.heartbeat.sent(now);
                }
            }
            Phase::Done => {}
            _ => {
                if now >= self.handshake_until {
                    self.phase = Phase::Done;
                }
            }
        }
    }

    fn handle_eof(&mut self, _now: Millis) {
        self.phase = Phase::Done;
    }

    fn poll_requests(&mut self, batch: &mut Batch) {
        if self.core.has_streams && self.phase == Phase::Running {
            let staged_before = self.core.out.len();
            for channel in self.channels.values_mut() {
                channel.pump_streams(&mut self.core);
            }
            self.note_sent(staged_before, self.core.now);
        }
        if batch.requests.is_empty() {
            std::mem::swap(&mut batch.requests, &mut self.core.requests);
        } else {
            batch.requests.append(&mut self.core.requests);
        }
    }

    fn poll_timeout(&self) -> Option<Millis> {
        match self.phase {
            Phase::Closing { until, .. } | Phase::Silent { until } => Some(until),
            Phase::Running if self.core.has_streams => {
                let streams = self.channels.values();
                let streams = streams.filter_map(|channel| channel.streams.deadline());
                streams.chain(self.heartbeat.deadline()).min()
            }
            Phase::Running => self.heartbeat.deadline(),
            Phase::Done => None,
            _ => Some(self.handshake_until),
        }
    }

    fn outbound(&mut self) -> &mut Outbound {
        &mut self.core.out
    }

    fn is_waiting(&self) -> bool {
        let takes_requests = matches!(
            self.phase,
            Phase::Running | Phase::Authenticate(_) | Phase::Enter
        );
        takes_requests && (self.core.awaited > 0 || self.is_paused)
    }

    fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    fn summary(&self) -> PeerSummary {
        let core = &self.core;
        PeerSummary {
            protocol: "AMQP 0-9-1",
            user: Some(core.user.clone()).filter(|user| !user.is_empty()),
            namespace: Some(core.vhost.as_str().to_owned()).filter(|vhost| !vhost.is_empty()),
            lanes: self.channels.len(),
            client: self.client.clone(),
            label: self.label.clone(),
            state: match self.phase {
                Phase::Running if self.told_blocked => "blocked",
                Phase::Running => "running",
                Phase::Closing { .. } | Phase::Silent { .. } | Phase::Done => "closing",
                _ => "handshake",
            },
            ..PeerSummary::default()
        }
    }
}
