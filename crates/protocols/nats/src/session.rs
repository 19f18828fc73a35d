//! One connection: its operations to requests, the broker's events to messages.
//!
//! ```text
//! Fresh --CONNECT, or anything else where nobody has to say who it is--> Proving --> Entering --> Running --> Done
//! ```
//! The server speaks first (INFO). Until the broker has let the client in, what it sends ahead waits. A run of publishes becomes
//! one block without a copy; what is no publish ends the run, so that the order is kept. What the broker refuses is told
//! (`-ERR`) and goes on; what cannot be read ends the connection.
//!
//! `PONG` comes after all that was delivered because of what stood before its `PING`: see [`Connection::settle`].

mod delivering;
mod jetstream;
mod keepalive;
mod login;
mod permissions;
mod publishing;
mod records;
mod subscribing;
mod subscriptions;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::{Buf, BytesMut};
use polybus_model::{Batch, Event, Lane, Millis, Name, Request};
use polybus_session::{Outbound, Peer, PeerSummary, Session, Traffic};

use self::keepalive::{Due, Keepalive};
use self::subscriptions::Subscriptions;
pub(crate) use self::subscriptions::filter;
use crate::codec::{
    Connect, Info, Limits, Operation, Operations, write_error, write_info, write_ok, write_ping,
    write_pong,
};
use crate::error::{Fault, publish_denied};
use crate::settings::{Settings, Upgrade};
use crate::totals::Gone;
use crate::{ApiCounts, TOPIC};

/// With so many bytes unwritten a peer's silence is not held against it.
const UNWRITTEN_MAX: usize = 1 << 20;

/// Where a connection is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Nobody is known to be on the other side.
    Fresh,
    /// The broker looks at who it is.
    Proving,
    /// It is known, and on its way into the namespace.
    Entering,
    Running,
    Done,
}

/// A connection's session.
#[derive(Debug)]
pub(crate) struct Connection {
    settings: Arc<Settings>,
    peer: Peer,
    info: Info,
    phase: Phase,
    connect: Connect,
    has_connected: bool,
    out: Outbound,
    requests: Vec<(Lane, Request)>,
    /// Requests are with the broker whose events have not all been heard.
    is_asking: bool,
    /// PONGs that are owed once those are.
    pongs: u32,
    topic: Name,
    subscriptions: Subscriptions,
    /// How many messages the last block had: the next is likely to have as many.
    block_len: usize,
    jetstream: jetstream::JetStream,
    /// What its user may publish and subscribe to, if not everything.
    permissions: Option<Box<permissions::Permissions>>,
    keepalive: Keepalive,
    auth_until: Millis,
    /// When it is let go, once the broker stops.
    leave_at: Option<Millis>,
    traffic: Traffic,
    user: Option<String>,
    /// Why it is done, for the operator.
    fault: Option<String>,
    connected_at: Millis,
    /// When it was last told anything.
    last_at: Millis,
}

impl Connection {
    pub(crate) fn new(
        settings: Arc<Settings>,
        server_id: &str,
        client_id: u64,
        peer: Peer,
        now: Millis,
        api: Arc<ApiCounts>,
    ) -> Self {
        let info = login::info(&settings, server_id, client_id, &peer);
        let mut out = Outbound::new();
        write_info(out.staged(), &info);
        Self {
            keepalive: Keepalive::new(&settings, now),
            auth_until: now + settings.auth_timeout_ms,
            // A constant that is short enough.
            topic: Name::new(TOPIC).unwrap_or_else(|_| Name::empty()),
            settings,
            peer,
            info,
            phase: Phase::Fresh,
            connect: Connect::default(),
            has_connected: false,
            out,
            requests: Vec::new(),
            is_asking: false,
            pongs: 0,
            subscriptions: Subscriptions::default(),
            block_len: 1,
            jetstream: jetstream::JetStream::new(api),
            permissions: None,
            leave_at: None,
            traffic: Traffic::default(),
            user: None,
            fault: None,
            connected_at: now,
            last_at: now,
        }
    }

    /// What this peer may send now.
    fn limits(&self) -> Limits {
        Limits {
            line_bytes_max: self.settings.line_bytes_max,
            payload_bytes_max: self.settings.payload_bytes_max,
        }
    }

    /// Takes one operation that is no publish in a run; false if there is none that can be taken now.
    fn take_operation(&mut self, input: &mut BytesMut, now: Millis) -> Result<bool, Fault> {
        if self.phase == Phase::Fresh && !self.may_begin_with(input.first().copied())? {
            return Ok(false);
        }
        let mut operations = Operations::new(input, self.limits());
        let Some(operation) = operations.next_operation()? else {
            return Ok(false);
        };
        let consumed = operations.consumed();
        match operation {
            Operation::Connect(json) => {
                let connect = Connect::parse(json).ok_or(Fault::UnknownOperation)?;
                self.handle_connect(connect, now)?;
            }
            Operation::Subscribe {
                subject,
                queue,
                sid,
            } => self.subscribe(subject, queue, sid),
            Operation::Unsubscribe { sid, max } => self.unsubscribe(sid, max),
            Operation::Ping => self.handle_ping(),
            Operation::Pong => self.keepalive.answered(),
            Operation::Nothing => {}
            Operation::Error(text) => {
                let text = String::from_utf8_lossy(text).into_owned();
                self.finish(Some(format!("the client gives up: {text}")));
            }
            // Only a run takes publishes: one that it has left is for the broker, or one that this client may not make.
            Operation::Publish(publication, has_headers) => {
                if has_headers && !self.connect.headers {
                    return Err(Fault::HeadersNotSupported);
                }
                self.handle_asked(input, &publication, now);
            }
        }
        input.advance(consumed);
        Ok(true)
    }

    fn handle_ping(&mut self) {
        if self.requests.is_empty() && !self.is_asking {
            write_pong(self.out.staged());
        } else {
            self.pongs += 1;
        }
    }

    /// The events of all that was asked so far have been heard.
    fn settle(&mut self) {
        self.subscriptions.settle();
        for _ in 0..std::mem::take(&mut self.pongs) {
            write_pong(self.out.staged());
        }
    }

    /// What counts times is told the time.
    fn tell_time(&mut self, now: Millis) {
        self.last_at = now;
        if let Some(permissions) = &mut self.permissions {
            permissions.now = now;
        }
    }

    /// Whether the client may publish there; if not, it is told.
    fn may_publish(&mut self, subject: &[u8]) -> bool {
        let Some(permissions) = &mut self.permissions else {
            return true;
        };
        let may = permissions.may_publish(subject);
        if !may {
            self.complain(&publish_denied(subject));
        }
        may
    }

    /// Confirms an operation to a client that wants that.
    fn confirm(&mut self) {
        if self.connect.verbose {
            write_ok(self.out.staged());
        }
    }

    /// Tells of something that is no reason to part.
    fn complain(&mut self, text: &str) {
        write_error(self.out.staged(), text);
    }

    /// Parts, with words.
    fn fail(&mut self, fault: &Fault) {
        self.complain(fault.text());
        let who = match &self.connect.name {
            Some(name) => format!(" (client '{}')", name.escape_default()),
            None => String::new(),
        };
        self.finish(Some(format!("{}{who}", fault.text())));
    }

    fn finish(&mut self, fault: Option<String>) {
        if self.phase != Phase::Done {
            self.phase = Phase::Done;
            self.fault = fault;
        }
    }

    /// The broker stops: clients go elsewhere, not all in one instant.
    fn begin_to_leave(&mut self, now: Millis) {
        if self.phase != Phase::Running || self.settings.lame_duck_ms == 0 {
            self.finish(None);
            return;
        }
        if self.leave_at.is_none() {
            self.leave_at = Some(now + (self.settings.random)() % self.settings.lame_duck_ms);
            self.info.is_leaving = true;
            if self.connect.protocol >= 1 {
                write_info(self.out.staged(), &self.info);
            }
        }
    }

    /// Notes what waits for the peer, which may be more than it shall.
    fn note_unwritten(&mut self, now: Millis) {
        let waiting = self.out.len();
        self.keepalive.wrote(waiting > 0, self.out.written(), now);
        if waiting > self.settings.pending_bytes_max {
            self.give_up();
        }
    }

    /// The client does not keep up.
    fn give_up(&mut self) {
        if !self.is_done() {
            self.settings.totals.was_slow();
            self.fail(&Fault::TooSlow);
        }
    }

    fn take_event(&mut self, event: Event, now: Millis) {
        match event {
            Event::Live { block, targets, .. } => self.deliver_block(&block, &targets),
            Event::LiveMessage {
                subscriber,
                message,
                note,
            } => self.deliver_message(subscriber, &message, note.as_ref()),
            Event::Records { block, targets, .. } => self.deliver_records(&block, &targets),
            Event::Unheard { block, items } => self.tell_unheard(&block, &items),
            Event::Stored { block, stored } => self.tell_stored(&block, &stored),
            Event::Log { number, reply } => self.handle_log_reply(number, *reply, now),
            Event::Group { number, reply } => self.handle_group_reply(number, *reply, now),
            Event::LiveRefused {
                block,
                items,
                error,
            } => self.tell_refused(&block, &items, &error),
            Event::LiveNotSubscribed { subscriber, error } => {
                self.tell_not_subscribed(subscriber, &error);
            }
            Event::SubscriptionEnded { subscriber, .. } => self.subscriptions.end(subscriber),
            Event::TooSlow { .. } => self.give_up(),
            Event::Reply { result, .. } => {
                if let Err(fault) = self.handle_login_reply(result, now) {
                    self.fail(&fault);
                }
            }
            Event::Failed { error, .. } => self.complain(&error.to_string()),
            Event::Shutdown { .. } => self.begin_to_leave(now),
            _ => {}
        }
    }
}

impl Session for Connection {
    fn handle_input(&mut self, input: &mut BytesMut, now: Millis) {
        self.tell_time(now);
        self.keepalive.heard(now);
        while !self.is_waiting() && !self.is_done() {
            self.take_run(input);
            match self.take_operation(input, now) {
                Ok(true) => {}
                Ok(false) => break,
                Err(fault) => self.fail(&fault),
            }
        }
    }

    fn handle_event(&mut self, event: Event, now: Millis) {
        self.tell_time(now);
        self.take_event(event, now);
        self.note_unwritten(now);
    }

    fn handle_events(&mut self, events: &mut Vec<Event>, now: Millis) {
        self.tell_time(now);
        for event in events.drain(..) {
            if self.is_done() {
                continue;
            }
            self.take_event(event, now);
        }
        self.note_unwritten(now);
    }

    fn handle_timeout(&mut self, now: Millis) {
        self.last_at = now;
        if self.leave_at.is_some_and(|at| at <= now) {
            self.finish(None);
        } else if self.phase == Phase::Fresh && self.auth_until <= now {
            match self.settings.auth_required || self.info.tls_required {
                true => self.fail(&Fault::AuthenticationTimeout),
                false => self.begin_anonymous(),
            }
        } else if self.phase == Phase::Running {
            self.note_unwritten(now);
            if self.out.len() >= UNWRITTEN_MAX {
                // Whoever drives the session does not read then: the silence is not the peer's own.
                self.keepalive.heard(now);
            }
            match self.keepalive.look(now) {
                Due::Nothing => {}
                Due::Ping => write_ping(self.out.staged()),
                Due::Stale => self.fail(&Fault::Stale),
                Due::Stuck => self.give_up(),
            }
        }
    }

    fn handle_eof(&mut self, now: Millis) {
        self.last_at = now;
        self.finish(None);
    }

    fn handle_secured(&mut self, certificate_name: Option<String>) {
        self.peer.tls = true;
        self.peer.certificate_name = certificate_name;
    }

    fn poll_requests(&mut self, batch: &mut Batch) {
        if std::mem::take(&mut self.is_asking) {
            self.settle();
        }
        self.flush_answers();
        self.is_asking = !self.requests.is_empty();
        batch.requests.append(&mut self.requests);
    }

    fn poll_timeout(&self) -> Option<Millis> {
        match self.phase {
            Phase::Fresh => Some(self.auth_until),
            Phase::Running => Some(
                self.keepalive
                    .next()
                    .min(self.leave_at.unwrap_or(Millis::MAX)),
            ),
            Phase::Proving | Phase::Entering | Phase::Done => None,
        }
    }

    fn outbound(&mut self) -> &mut Outbound {
        &mut self.out
    }

    fn is_waiting(&self) -> bool {
        matches!(self.phase, Phase::Proving | Phase::Entering)
    }

    fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    fn fault(&self) -> Option<String> {
        self.fault.clone()
    }

    fn summary(&self) -> PeerSummary {
        let software = match (&self.connect.lang, &self.connect.version) {
            (Some(lang), Some(version)) => Some(format!("{lang} {version}")),
            (lang, version) => lang.clone().or_else(|| version.clone()),
        };
        PeerSummary {
            protocol: "NATS",
            user: self.user.clone(),
            namespace: (self.phase == Phase::Running).then(|| self.settings.namespace.clone()),
            lanes: 0,
            client: software,
            label: self.connect.name.clone(),
            state: match self.phase {
                Phase::Fresh | Phase::Proving | Phase::Entering => "handshake",
                Phase::Running => "running",
                Phase::Done => "closing",
            },
            number: self.info.client_id,
            traffic: Traffic {
                subscriptions: self.subscriptions.len() as u64,
                pending: self.out.len() as u64,
                ..self.traffic
            },
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let gone = Gone {
            summary: self.summary(),
            remote: self.peer.remote,
            is_encrypted: self.peer.tls,
            connected_at: self.connected_at,
            gone_at: self.last_at,
            reason: self.fault.take(),
        };
        self.settings.totals.left(gone);
    }
}

/// Whether a peer that is not encrypted has to be.
fn must_encrypt(settings: &Settings, peer: &Peer) -> bool {
    settings.upgrade == Upgrade::Required && !peer.tls
}
