//! What every protocol shares: a session is a state machine without input or output. Bytes, events and the time go in;
//! requests, bytes and a deadline come out. Whoever owns the socket (the server, the simulation, a test) drives it:
//!
//! ```text
//! loop {
//!     session.handle_input(&mut read_buffer, now)     parses until a request that answers, or all of it
//!     session.poll_requests(&mut batch)               -> the broker, as one batch
//!     session.handle_events(&mut events, now)         all that the broker has to tell
//!     socket.write_vectored(session.outbound())       one write per turn
//! }
//! ```
//! A session never blocks, never reads a clock, and treats every byte as hostile.

mod outbound;
mod peer;
mod quotas;
mod readers;
pub mod scram;

pub use outbound::Outbound;
pub use peer::{Peer, PeerSummary, Traffic};
pub use quotas::{Quotas, Spender};
pub use readers::Readers;

use std::time::Duration;

use bytes::BytesMut;
use polybus_model::{Batch, Event, Millis};

/// A protocol the server can speak on a port. Several may share one: the first bytes decide.
pub trait Protocol: Send + Sync {
    /// Its name, for logs and listings: `amqp091`.
    fn name(&self) -> &'static str;

    /// Whether a connection that starts with these bytes is this protocol's.
    fn claims(&self, first: &[u8]) -> Claim;

    /// Starts a session for a new connection.
    fn accept(&self, peer: Peer, now: Millis) -> Box<dyn Session>;
}

/// Whether a connection's first bytes are a protocol's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Claim {
    /// They are.
    Yes,
    /// They cannot be.
    No,
    /// Too few to tell.
    NeedMore,
}

/// One connection's conversation.
pub trait Session: Send {
    /// Takes bytes from the front of `input` and turns them into requests and outbound bytes. Stops early, leaving the
    /// rest, while it waits for the answer to a request ([`Session::is_waiting`]) or when it is done; the driver calls it
    /// again after the events that end the wait.
    fn handle_input(&mut self, input: &mut BytesMut, now: Millis);

    /// How many bytes of input it needs before it can go on, those that wait included: the length of the frame that they
    /// begin, where it is known and the peer may send it. 0 where it is not. Whoever reads makes room for it.
    fn wanted_bytes(&self) -> usize {
        0
    }

    /// Takes one event of the broker.
    fn handle_event(&mut self, event: Event, now: Millis);

    /// Takes events of the broker, in order, and leaves none. It is the same as one by one, and cheaper where a session makes
    /// it so for those that come in runs.
    fn handle_events(&mut self, events: &mut Vec<Event>, now: Millis) {
        for event in events.drain(..) {
            self.handle_event(event, now);
        }
    }

    /// The time that [`Session::poll_timeout`] named has come (or later).
    fn handle_timeout(&mut self, now: Millis);

    /// Whether it is to be told what time its turns take ([`Session::handle_time_spent`]).
    fn wants_time_spent(&self) -> bool {
        false
    }

    /// Its turns have taken so much time since it was told last: reading, what the broker did with its requests, writing.
    fn handle_time_spent(&mut self, _spent: Duration, _now: Millis) {}

    /// The peer's side is closed: no further input comes.
    fn handle_eof(&mut self, now: Millis);

    /// The connection is encrypted from here on, with this name in the peer's verified certificate: for protocols that begin in
    /// plain text.
    fn handle_secured(&mut self, _certificate_name: Option<String>) {}

    /// Moves what is to be asked of the broker to the end of `batch`.
    fn poll_requests(&mut self, batch: &mut Batch);

    /// When to call [`Session::handle_timeout`] at the latest.
    fn poll_timeout(&self) -> Option<Millis>;

    /// The bytes for the peer.
    fn outbound(&mut self) -> &mut Outbound;

    /// True while it waits for a reply and takes no input.
    fn is_waiting(&self) -> bool;

    /// True when the connection is to be closed once the outbound bytes are written.
    fn is_done(&self) -> bool;

    /// Why it is done, where the protocol has no words to tell the peer: for the operator's log.
    fn fault(&self) -> Option<String> {
        None
    }

    /// What listings show of it.
    fn summary(&self) -> PeerSummary;
}
