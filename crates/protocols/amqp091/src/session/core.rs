//! What a connection and all its channels share: the way out to the peer, the way to the broker, and who the client is.

use std::sync::Arc;

use bytes::BytesMut;
use polybus_model::{Attempts, Lane, LeaseId, Message, Millis, Name, Outcome, Request, Settle};
use polybus_session::Outbound;

use crate::codec::{
    BasicDeliver, Content, ContentBody, Encode, FRAME_MAX_MIN, write_content, write_delivery,
    write_method,
};
use crate::mapping::delivery::{self, Foreigners, LogPlace};
use crate::settings::Settings;

/// What the client said it understands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Capabilities {
    pub(super) consumer_cancel_notify: bool,
    pub(super) connection_blocked: bool,
    pub(super) authentication_failure_close: bool,
}

#[derive(Debug)]
pub(super) struct Core {
    pub(super) settings: Arc<Settings>,
    pub(super) out: Outbound,
    pub(super) requests: Vec<(Lane, Request)>,
    /// Requests whose answers are still to come.
    pub(super) awaited: usize,
    pub(super) user: String,
    pub(super) vhost: Name,
    pub(super) frame_max: u32,
    pub(super) channel_max: u16,
    pub(super) client: Capabilities,
    /// Bytes of bodies whose rest is still to come, over all channels.
    pub(super) assembling: usize,
    /// The client has published on this connection.
    pub(super) has_published: bool,
    /// A channel has, or had, a consumer of a stream.
    pub(super) has_streams: bool,
    /// Consumers of streams so far.
    pub(super) generations: u32,
    /// When the session was last told the time.
    pub(super) now: Millis,
    scratch: BytesMut,
    placed: BytesMut,
}

impl Core {
    pub(super) fn new(settings: Arc<Settings>) -> Self {
        Self {
            channel_max: settings.channel_max,
            settings,
            out: Outbound::new(),
            requests: Vec::new(),
            awaited: 0,
            user: String::new(),
            vhost: Name::empty(),
            // RabbitMQ's limit before tuning, which leaves room for long tokens.
            frame_max: 2 * FRAME_MAX_MIN,
            client: Capabilities::default(),
            assembling: 0,
            has_published: false,
            has_streams: false,
            generations: 0,
            now: 0,
            scratch: BytesMut::new(),
            placed: BytesMut::new(),
        }
    }

    /// Stages a method for the peer.
    pub(super) fn send(&mut self, channel: u16, method: &impl Encode) {
        write_method(self.out.staged(), channel, method);
    }

    /// Asks the broker something that it answers.
    pub(super) fn ask(&mut self, lane: Lane, request: Request) {
        debug_assert!(request.answers());
        self.awaited += 1;
        self.requests.push((lane, request));
    }

    /// Tells the broker something that it does not answer.
    #[inline]
    pub(super) fn tell(&mut self, lane: Lane, request: Request) {
        debug_assert!(!request.answers());
        self.requests.push((lane, request));
    }

    /// Settles leases, together with those just before if they end alike; otherwise there is `room` for so many at first.
    #[inline]
    pub(super) fn settle(
        &mut self,
        lane: Lane,
        outcome: Outcome,
        room: usize,
        leases: impl IntoIterator<Item = LeaseId>,
    ) {
        if let Some((last_lane, Request::Settle(last))) = self.requests.last_mut()
            && *last_lane == lane
            && last.outcome == outcome
        {
            last.leases.extend(leases);
            return;
        }
        let mut all = Vec::with_capacity(room);
        all.extend(leases);
        if !all.is_empty() {
            let leases = all;
            self.tell(lane, Request::Settle(Settle { leases, outcome }));
        }
    }

    /// Stages a method with a message as its content.
    pub(super) fn send_message(
        &mut self,
        channel: u16,
        method: &impl Encode,
        message: &Message,
        attempts: Option<Attempts>,
    ) {
        let foreigners = Foreigners {
            readers: &self.settings.readers,
            frame_max: self.frame_max,
        };
        let content = content(message, attempts, foreigners, &mut self.scratch);
        write_content(&mut self.out, channel, self.frame_max, method, content);
    }

    /// Stages a delivery of a message.
    #[inline]
    pub(super) fn send_delivery(
        &mut self,
        channel: u16,
        method: &BasicDeliver<'_>,
        message: &Message,
        attempts: Option<Attempts>,
    ) {
        let foreigners = Foreigners {
            readers: &self.settings.readers,
            frame_max: self.frame_max,
        };
        let content = content(message, attempts, foreigners, &mut self.scratch);
        write_delivery(&mut self.out, channel, self.frame_max, method, content);
    }

    /// Stages a delivery of a message that was read from a log.
    pub(super) fn send_read(
        &mut self,
        channel: u16,
        method: &BasicDeliver<'_>,
        message: &Message,
        place: LogPlace,
    ) {
        let foreigners = Foreigners {
            readers: &self.settings.readers,
            frame_max: self.frame_max,
        };
        let read = content(message, None, foreigners, &mut self.scratch);
        let content = Content {
            properties: delivery::placed(read.properties, place, &mut self.placed),
            body: read.body,
        };
        write_delivery(&mut self.out, channel, self.frame_max, method, content);
    }
}

#[inline]
fn content<'a>(
    message: &'a Message,
    attempts: Option<Attempts>,
    foreigners: Foreigners<'_>,
    scratch: &'a mut BytesMut,
) -> Content<'a> {
    Content {
        properties: delivery::properties(message, attempts, foreigners, scratch),
        body: match message.shared_body() {
            Some(bytes) => ContentBody::Shared(bytes),
            None => ContentBody::Inline(message.body()),
        },
    }
}
