//! One connection: frames to requests, requests to the broker, answers back in the order of the requests.
//!
//! ```text
//! Fresh --SaslHandshake--> Chosen --SaslAuthenticate--> (Salting --> Challenged -->) Proving --> Entering --> Running --> Done
//!   '-- anything else, where nobody has to log in ------^
//! ```
//! Whoever is not let in may ask for the versions and log in, in small frames, and nothing else. What the protocol has no
//! words for ends the connection with a line in the log, as Kafka does it.

mod acls;
mod changes;
mod cluster;
mod config_changes;
mod config_resources;
mod configs;
mod consumer_groups;
mod core;
mod dispatch;
mod fetch;
mod fetch_sessions;
mod fetched;
mod group_offsets;
mod groups;
mod known;
mod log_dirs;
mod login;
mod metadata;
mod offsets;
mod operations;
mod pending;
mod produce;
mod producers;
mod quotas;
mod records;
mod replicas;
mod scram;
mod share_fetch;
mod share_groups;
mod share_sessions;
mod shared_descriptions;
mod subscriptions;
mod throttle;
mod topics;
mod transactions;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use polybus_model::{Batch, Error, Event, Metered, Millis, Reply};
use polybus_session::scram::Scram;
use polybus_session::{Outbound, Peer, PeerSummary, Session};

use self::core::Core;
use crate::codec::messages::{ApiVersionsRequest, ApiVersionsResponse};
use crate::codec::{Api, CodecError, Message, Reader, RequestHeader, frame_bytes, split_frame};
use crate::error::Code;
use crate::settings::Settings;
use login::{Login, Mechanism};
use pending::{Answer, Pending, Step, Tag};

/// Where a connection is in its life.
#[derive(Debug)]
enum Phase {
    /// Nobody is known to be on the other side.
    Fresh,
    /// A SASL mechanism is chosen.
    Chosen {
        mechanism: Mechanism,
        /// Its bytes come without requests around them.
        is_raw: bool,
    },
    /// The broker is asked with what its password is salted.
    Salting(Login, Scram),
    /// It was told, and is to prove that it knows the password.
    Challenged {
        scram: Scram,
        /// Its bytes come without requests around them.
        is_raw: bool,
    },
    /// The broker looks at who it is.
    Proving(Login),
    /// It is known, and on its way into the namespace; there it is told these bytes.
    Entering(Login, Bytes),
    Running,
    Done,
}

/// A connection's session.
#[derive(Debug)]
pub(crate) struct Connection {
    core: Core,
    phase: Phase,
    pending: Pending,
    /// It has asked for the versions.
    has_spoken: bool,
    handshake_until: Millis,
    idle_until: Millis,
    user: Option<String>,
    software: Option<String>,
    /// Why it is done.
    fault: Option<String>,
    /// The bytes of the frame that is not all there; 0 while its length is not.
    wanted: usize,
}

impl Connection {
    pub(crate) fn new(settings: Arc<Settings>, peer: Peer, now: Millis) -> Self {
        let handshake_until = now + settings.handshake_timeout_ms;
        let idle_until = now + settings.idle_timeout_ms;
        let mut core = Core::new(settings, peer, now);
        core.meter_connection();
        Self {
            handshake_until,
            idle_until,
            core,
            phase: Phase::Fresh,
            pending: Pending::default(),
            has_spoken: false,
            user: None,
            software: None,
            fault: None,
            wanted: 0,
        }
    }

    /// Takes one frame; false if there is none, or it cannot be taken now.
    fn take_frame(&mut self, input: &mut BytesMut) -> Result<bool, String> {
        let is_anonymous = matches!(self.phase, Phase::Fresh) && !self.must_log_in();
        if is_anonymous && begins_with_other_than_handshake(input) {
            self.begin_anonymous();
            return Ok(false);
        }
        let settings = &self.core.settings;
        let limit = match self.phase {
            Phase::Running => settings.request_bytes_max,
            _ => settings.first_request_bytes_max,
        };
        self.wanted = frame_bytes(input, limit).map_err(|error| error.to_string())?;
        let frame = split_frame(input, limit).map_err(|error| error.to_string())?;
        let Some(frame) = frame else {
            return Ok(false);
        };
        self.wanted = 0;
        self.core.throttle.has_worked = true;
        let is_raw = match self.phase {
            Phase::Chosen { is_raw, .. } | Phase::Challenged { is_raw, .. } => is_raw,
            _ => false,
        };
        if is_raw {
            self.begin_raw(&frame)?;
        } else {
            self.handle_request(frame)?;
        }
        Ok(true)
    }

    fn handle_request(&mut self, frame: Bytes) -> Result<(), String> {
        let mut reader = Reader::new(&frame);
        let unreadable =
            |error: CodecError| format!("a request's header could not be read: {error}");
        let header = RequestHeader::decode(&mut reader).map_err(unreadable)?;
        let client = header.client_id.as_deref().unwrap_or_default();
        if client != self.core.client {
            client.clone_into(&mut self.core.client);
        }
        let Some(api) = header.api() else {
            return Err(format!(
                "it asked for API {}, which is not spoken here",
                header.api_key
            ));
        };
        self.core.cost = frame.len();
        let step = match api {
            Api::ApiVersions => self.api_versions(&header, &mut reader),
            Api::SaslHandshake | Api::SaslAuthenticate => {
                self.handle_login(api, &header, &mut reader)
            }
            _ if !matches!(self.phase, Phase::Running) => {
                let name = api.name();
                return Err(format!(
                    "it asked for {name} before it had logged in (kafka.sasl)"
                ));
            }
            _ => dispatch::dispatch(&mut self.core, api, header.version, &mut reader),
        };
        let (name, version) = (api.name(), header.version);
        let step = step
            .ok_or_else(|| {
                format!("it asked for version {version} of {name}, which is not spoken here")
            })?
            .map_err(|error| {
                format!("its request {name}, version {version}, could not be read: {error}")
            })?;
        self.push(api, &header, step)
    }

    fn push(&mut self, api: Api, header: &RequestHeader, step: Step) -> Result<(), String> {
        let tag = Tag {
            api,
            version: header.version,
            correlation: header.correlation_id,
            bytes: self.core.cost,
        };
        self.pending.push(&mut self.core, tag, step)
    }

    /// What is spoken. Whoever asks in a version that nobody knows is told in the oldest one.
    fn api_versions(
        &mut self,
        header: &RequestHeader,
        reader: &mut Reader<'_>,
    ) -> Option<Result<Step, CodecError>> {
        self.has_spoken = true;
        if !dispatch::is_spoken_handshake(Api::ApiVersions, header.version) {
            let response = dispatch::api_versions(Code::UNSUPPORTED_VERSION);
            return Some(Ok(Step::answer(InOldest(response))));
        }
        let request = match ApiVersionsRequest::decode(reader, header.version) {
            Ok(request) => request,
            Err(error) => return Some(Err(error)),
        };
        if !request.client_software_name.is_empty() {
            self.software = Some(format!(
                "{} {}",
                request.client_software_name, request.client_software_version
            ));
        }
        Some(Ok(Step::answer(dispatch::api_versions(Code::NONE))))
    }

    fn handle_answer(&mut self, number: u64, answer: Answer) {
        self.core.throttle.has_worked = true;
        let handled = self.pending.handle_answer(&mut self.core, number, answer);
        self.end_on_fault(handled);
    }

    fn end_on_fault(&mut self, handled: Result<(), String>) {
        if let Err(reason) = handled {
            self.fault.get_or_insert(reason);
            self.phase = Phase::Done;
        }
    }

    fn handle_reply(&mut self, result: Result<Reply, Box<Error>>) {
        let handled = self.handle_login_reply(result);
        self.end_on_fault(handled);
    }

    /// Whether the handshake is over, as far as time goes: a client that need not log in may take its time.
    fn is_let_in(&self) -> bool {
        match self.phase {
            Phase::Running => true,
            Phase::Fresh => self.has_spoken && !self.must_log_in(),
            _ => false,
        }
    }

    /// Whether it has to log in: who shows a certificate has proven who it is.
    fn must_log_in(&self) -> bool {
        self.core.settings.sasl_required && self.core.peer.certificate_name.is_none()
    }

    fn is_full(&self) -> bool {
        let settings = &self.core.settings;
        self.pending.len() >= settings.pending_max
            || self.pending.bytes() >= settings.pending_bytes_max
    }
}

/// An answer in version 0, whatever the question's was.
struct InOldest(ApiVersionsResponse);

impl pending::Body for InOldest {
    fn write(&self, out: &mut Outbound, _version: i16, correlation: i32) {
        self.0.write(out, 0, correlation);
    }

    fn hold_back(&mut self, throttle_ms: i32) {
        Message::hold_back(&mut self.0, throttle_ms);
    }
}

/// True if the frame at the front is of an API that only those let in can use.
fn begins_with_other_than_handshake(input: &[u8]) -> bool {
    match input {
        [_, _, _, _, high, low, ..] => !dispatch::is_handshake(i16::from_be_bytes([*high, *low])),
        _ => false,
    }
}

impl Session for Connection {
    fn handle_input(&mut self, input: &mut BytesMut, now: Millis) {
        self.core.now = now;
        self.wanted = 0;
        self.idle_until = now + self.core.settings.idle_timeout_ms;
        while !self.is_waiting() && !self.is_done() {
            match self.take_frame(input) {
                Ok(true) => {}
                Ok(false) => break,
                Err(reason) => self.end_on_fault(Err(reason)),
            }
        }
        if self.is_done() {
            input.clear();
        }
    }

    fn wanted_bytes(&self) -> usize {
        self.wanted
    }

    fn handle_event(&mut self, event: Event, now: Millis) {
        if self.is_done() {
            return;
        }
        self.core.now = now;
        self.idle_until = now + self.core.settings.idle_timeout_ms;
        match event {
            Event::Log { number, reply } => self.handle_answer(number, Answer::Log(*reply)),
            Event::Group { number, reply } => self.handle_answer(number, Answer::Group(*reply)),
            Event::Access { number, reply } => self.handle_answer(number, Answer::Access(*reply)),
            Event::Reply { result, .. } => self.handle_reply(result),
            Event::Shutdown { .. } => self.phase = Phase::Done,
            // It asks for none of these; and what the broker does not take is said in the answers.
            Event::Delivery(_)
            | Event::Confirmed { .. }
            | Event::Refused { .. }
            | Event::Returned { .. }
            | Event::Failed { .. }
            | Event::SubscriptionEnded { .. }
            | Event::ConsumerTimeout { .. }
            | Event::Blocked { .. }
            | Event::Unblocked
            | Event::Live { .. }
            | Event::LiveMessage { .. }
            | Event::Records { .. }
            | Event::Unheard { .. }
            | Event::Stored { .. }
            | Event::LiveRefused { .. }
            | Event::LiveNotSubscribed { .. }
            | Event::TooSlow { .. } => {}
        }
    }

    fn wants_time_spent(&self) -> bool {
        matches!(self.phase, Phase::Running) && self.core.settings.quotas.are_about(Metered::Time)
    }

    fn handle_time_spent(&mut self, spent: Duration, now: Millis) {
        self.core.now = now;
        self.core.meter_time(spent);
    }

    fn handle_timeout(&mut self, now: Millis) {
        self.core.throttle.handle_timeout(now);
        if !self.is_let_in() {
            if now >= self.handshake_until {
                self.phase = Phase::Done;
            }
        } else if now >= self.idle_until {
            if self.pending.len() > 0 || self.core.throttle.until().is_some() {
                // It waits for an answer, or has to be silent: it is not idle.
                self.idle_until = now + self.core.settings.idle_timeout_ms;
            } else {
                self.phase = Phase::Done;
            }
        }
    }

    fn handle_eof(&mut self, _now: Millis) {
        self.phase = Phase::Done;
    }

    fn poll_requests(&mut self, batch: &mut Batch) {
        if batch.requests.is_empty() {
            std::mem::swap(&mut batch.requests, &mut self.core.requests);
        } else {
            batch.requests.append(&mut self.core.requests);
        }
    }

    fn poll_timeout(&self) -> Option<Millis> {
        match self.phase {
            Phase::Done => None,
            _ => {
                let until = if self.is_let_in() {
                    self.idle_until
                } else {
                    self.handshake_until
                };
                let throttled_until = self.core.throttle.until();
                Some(throttled_until.map_or(until, |throttled| throttled.min(until)))
            }
        }
    }

    fn outbound(&mut self) -> &mut Outbound {
        &mut self.core.out
    }

    fn is_waiting(&self) -> bool {
        match self.phase {
            Phase::Salting(..) | Phase::Proving(_) | Phase::Entering(..) => true,
            Phase::Done => false,
            _ => self.is_full() || self.core.throttle.until().is_some(),
        }
    }

    fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }

    fn fault(&self) -> Option<String> {
        self.fault.clone()
    }

    fn summary(&self) -> PeerSummary {
        PeerSummary {
            protocol: "Kafka",
            user: self.user.clone(),
            namespace: matches!(self.phase, Phase::Running)
                .then(|| self.core.settings.namespace.clone()),
            lanes: 0,
            client: self.software.clone(),
            label: Some(self.core.client.clone()).filter(|client| !client.is_empty()),
            state: match self.phase {
                Phase::Done => "closing",
                _ if self.is_let_in() => "running",
                _ => "handshake",
            },
            ..PeerSummary::default()
        }
    }
}

#[cfg(test)]
mod tests;
