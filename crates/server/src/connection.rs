//! One connection: owns a socket, drives a session, asks the broker. One task, one state, no channel between.
//!
//! ```text
//!            hear (broker's events)      read (one)              write (one, vectored)
//! broker ---------------------> session <---------- socket <------------------ outbound
//!    ^----- submit (one batch) ----'
//! ```
//! A turn does each once and repeats while anything moves; then the task sleeps until the socket, the broker, the timer or
//! the stop wakes it. It does not read while the session waits for an answer, too much is unwritten, or the broker has no room.

mod drains;
mod reading;
mod sniff;
pub(crate) mod waking;

pub(crate) use sniff::sniff;

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use polybus_model::{Batch, Event, Lane, Millis, Request};
use polybus_session::Session;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep};

use crate::clock::Clock;
use crate::link::Link;
use crate::stop::Slot;
use drains::Drains;
use reading::Input;
use waking::Waking;

/// With more unwritten than this, nothing is read. More than the broker's window of deliveries, so that a slow consumer alone
/// does not silence its acknowledgements.
const OUTBOUND_BYTES_MAX: usize = 2 << 20;
/// Slices in one write.
const SLICES_MAX: usize = 64;
/// Turns before other tasks get theirs.
const TURNS_MAX: usize = 16;
/// The least time between two summaries for listings.
const SUMMARY_MS: Millis = 250;
/// How long a peer may take to read what it is told at the end.
const CLOSING_MS: Millis = 5_000;
/// Buffers with room for more than this are dropped when a connection is quiet.
const QUIET_CAPACITY: usize = 64;

/// Why a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The session was done and all was written.
    Done,
    /// The session was done for this reason, which its protocol has no words for; all was written.
    Fault(String),
    /// The peer did not get through the handshake in time.
    HandshakeTimeout,
    /// The peer did not read the last bytes in time.
    ClosingTimeout,
    /// The socket failed.
    Lost(io::Error),
}

/// What a turn came to.
enum Turn {
    /// Something moved: another may find more.
    Moved,
    /// Nothing did.
    Still,
    /// It was the last.
    Over(End),
}

/// A connection's state.
pub(crate) struct Driver<S, L> {
    socket: S,
    session: Box<dyn Session>,
    /// None once the broker was told of the end.
    link: Option<L>,
    slot: Slot,
    clock: Clock,
    input: Input,
    batch: Batch,
    events: Vec<Event>,
    drains: Drains,
    timer: Option<Pin<Box<Sleep>>>,
    /// What the timer is set to.
    armed: Option<Millis>,
    /// No session timeout is handled before this: two never come within one millisecond.
    timeout_floor: Millis,
    handshake_until: Option<Millis>,
    closing_until: Option<Millis>,
    summary_next: Millis,
    /// Since when the session has not been told what time its turns take; none if it does not want to know, or between turns.
    untold_since: Option<Instant>,
    waking: Waking,
    flags: Flags,
}

#[derive(Debug, Default)]
struct Flags {
    /// The input is to be parsed again though nothing was read.
    has_unparsed: bool,
    is_eof: bool,
    eof_told: bool,
    stop_told: bool,
    is_unflushed: bool,
    is_summary_stale: bool,
    /// The socket is not read since the broker has no room.
    is_deaf: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin, L: Link> Driver<S, L> {
    /// A driver for a session whose first bytes were already read. `handshake_until` is when its handshake must be over.
    pub(crate) fn new(
        socket: S,
        session: Box<dyn Session>,
        link: L,
        slot: Slot,
        clock: Clock,
        first: BytesMut,
        handshake_until: Millis,
    ) -> Self {
        Self {
            socket,
            session,
            link: Some(link),
            slot,
            clock,
            flags: Flags {
                has_unparsed: !first.is_empty(),
                is_summary_stale: true,
                ..Flags::default()
            },
            input: Input::new(first),
            batch: Batch::default(),
            events: Vec::new(),
            drains: Drains::default(),
            timer: None,
            armed: None,
            timeout_floor: 0,
            handshake_until: Some(handshake_until),
            closing_until: None,
            summary_next: 0,
            untold_since: None,
            waking: Waking::default(),
        }
    }

    /// Runs until the end. The session's place in the broker is given up before its last bytes are written: a client that has
    /// them counts on what was its alone being gone.
    pub(crate) async fn run(mut self) -> End {
        let end = std::future::poll_fn(|context| self.poll(context)).await;
        let Self {
            socket, link, slot, ..
        } = self;
        // Where the end came otherwise: by a lost socket, or too late.
        drop(link);
        if matches!(end, End::Done | End::Fault(_)) {
            linger(socket).await;
        }
        drop(slot);
        end
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<End> {
        if !self.flags.stop_told && self.slot.is_stopping(context) {
            self.flags.stop_told = true;
            let reason = "the broker is stopping".to_owned();
            let now = self.clock.now();
            self.session.handle_event(Event::Shutdown { reason }, now);
        }
        waking::note_run();
        for _ in 0..TURNS_MAX {
            match self.turn(context) {
                Ok(Turn::Moved) => {}
                Ok(Turn::Still) if self.poll_events(context).is_ready() => {}
                Ok(Turn::Still) => return Poll::Pending,
                Ok(Turn::Over(end)) => return Poll::Ready(end),
                Err(error) => return Poll::Ready(End::Lost(error)),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn turn(&mut self, context: &mut Context<'_>) -> io::Result<Turn> {
        let now = self.clock.now();
        self.untold_since = self.session.wants_time_spent().then(Instant::now);
        self.hear(now);
        let was_waiting = self.session.is_waiting();
        let has_read = self.read(context, now)?;
        let has_parsed = self.converse(now);
        self.leave();
        let has_written = self.write(context)?;
        self.tell_time_spent(now);
        if let Some(end) = self.end(now) {
            return Ok(Turn::Over(end));
        }
        // What was parsed without a read is a move too, and so is the end of a wait (a login that was answered at once): until
        // the socket is asked in vain, it wakes nobody.
        let may_go_on = was_waiting && !self.session.is_waiting();
        let has_moved =
            has_read || has_parsed || has_written || may_go_on || self.tick(context, now);
        Ok(if has_moved { Turn::Moved } else { Turn::Still })
    }

    /// Gives the session what the broker has to tell.
    fn hear(&mut self, now: Millis) {
        if let Some(link) = &mut self.link {
            link.take_events(&mut self.events);
        }
        if self.events.is_empty() {
            return;
        }
        self.flags.is_summary_stale = true;
        let was_waiting = self.session.is_waiting();
        let delivered = self
            .events
            .iter()
            .map(|event| match event {
                Event::Delivery(delivery) => delivery.message.memory_size(),
                Event::Live { bytes, .. } | Event::Records { bytes, .. } => *bytes,
                Event::LiveMessage { message, .. } => message.memory_size(),
                _ => 0,
            })
            .sum();
        self.session.handle_events(&mut self.events, now);
        if delivered > 0 {
            self.drains
                .delivered(delivered, self.session.outbound().len());
        }
        self.flags.has_unparsed |= was_waiting && self.input.len() > 0;
    }

    /// Reads once, if there is room for what comes of it. True if there was something.
    fn read(&mut self, context: &mut Context<'_>, now: Millis) -> io::Result<bool> {
        let may_read = !self.flags.is_eof
            && !self.flags.has_unparsed
            && !self.session.is_waiting()
            && !self.session.is_done()
            && self.has_room();
        let session = &mut self.session;
        if !may_read {
            return Ok(false);
        }
        if !self.link.as_ref().is_some_and(Link::may_read) {
            self.flags.is_deaf = true;
            return Ok(false);
        }
        if std::mem::take(&mut self.flags.is_deaf) {
            // The peer's silence was not its own.
            self.input.parse(|input| take_input(session, input, now));
            return Ok(true);
        }
        let parse = |input: &mut BytesMut| take_input(session, input, now);
        match self.input.poll_read(&mut self.socket, context, parse) {
            Poll::Pending => Ok(false),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(read)) => {
                waking::note_read(read);
                self.flags.is_eof = read == 0;
                self.flags.is_summary_stale = true;
                Ok(true)
            }
        }
    }

    /// Whether there is room for what comes of more input.
    fn has_room(&mut self) -> bool {
        self.session.outbound().len() < OUTBOUND_BYTES_MAX
    }

    /// Session and broker talk until both are quiet. True if something that had been read before was parsed.
    fn converse(&mut self, now: Millis) -> bool {
        let mut has_parsed = false;
        loop {
            // A peer that does not read its answers is not asked for more: nor is what it sent ahead.
            if self.flags.has_unparsed && !self.session.is_waiting() && self.has_room() {
                self.flags.has_unparsed = false;
                has_parsed = true;
                if !self.session.is_done() {
                    let session = &mut self.session;
                    self.input.parse(|input| take_input(session, input, now));
                }
            }
            self.session.poll_requests(&mut self.batch);
            if let Some(bytes) = self.drains.report() {
                self.batch
                    .requests
                    .push((Lane(0), Request::Drained { bytes }));
            }
            if self.batch.requests.is_empty() {
                // What stands before the end of the input counts; so the end is told last.
                let is_all_heard = !self.flags.has_unparsed && !self.session.is_waiting();
                if self.flags.is_eof && !self.flags.eof_told && is_all_heard {
                    self.flags.eof_told = true;
                    self.session.handle_eof(now);
                    continue;
                }
                return has_parsed;
            }
            match &mut self.link {
                Some(link) => link.submit(&mut self.batch),
                None => self.batch.requests.clear(),
            }
            // Before the answers, so that they can say what comes of it.
            self.tell_time_spent(now);
            self.hear(now);
        }
    }

    /// Tells the session what time its turn has taken since it was told last, if it wants to know.
    fn tell_time_spent(&mut self, now: Millis) {
        if let Some(since) = &mut self.untold_since {
            let spent = since.elapsed();
            *since += spent;
            self.session.handle_time_spent(spent, now);
        }
    }

    /// Tells the broker of the session's end, once that is certain.
    fn leave(&mut self) {
        if self.session.is_done() || self.flags.eof_told {
            self.link = None;
        }
    }

    /// Ready when the broker has something to tell.
    fn poll_events(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.link {
            Some(link) => {
                let waker = self.waking.waker(context.waker());
                link.poll_events(&mut Context::from_waker(waker))
            }
            None => Poll::Pending,
        }
    }

    /// Writes once. True if something was written.
    fn write(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        let outbound = self.session.outbound();
        if outbound.is_empty() {
            if self.flags.is_unflushed && Pin::new(&mut self.socket).poll_flush(context)?.is_ready()
            {
                self.flags.is_unflushed = false;
            }
            return Ok(false);
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let filled = outbound.slices(&mut slices);
        let slices = slices.get(..filled).unwrap_or_default();
        match Pin::new(&mut self.socket).poll_write_vectored(context, slices)? {
            Poll::Pending => Ok(false),
            Poll::Ready(0) => Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(written) => {
                outbound.advance(written);
                self.drains.wrote(written);
                self.flags.is_unflushed = true;
                Ok(true)
            }
        }
    }

    /// Whether this is the end.
    fn end(&mut self, now: Millis) -> Option<End> {
        let is_over = self.session.is_done() || self.flags.eof_told;
        if is_over && self.session.outbound().is_empty() && !self.flags.is_unflushed {
            return Some(self.session.fault().map_or(End::Done, End::Fault));
        }
        if is_over && self.closing_until.is_none() {
            self.closing_until = Some(now + CLOSING_MS);
        }
        if self.closing_until.is_some_and(|until| until <= now) {
            return Some(End::ClosingTimeout);
        }
        if self.handshake_until.is_some_and(|until| until <= now) {
            self.handshake_until = None;
            if self.session.summary().state == "handshake" {
                return Some(End::HandshakeTimeout);
            }
        }
        None
    }

    /// Does what is due and sets the timer to what is due next. True if something was.
    fn tick(&mut self, context: &mut Context<'_>, now: Millis) -> bool {
        if self.flags.is_summary_stale && self.summary_next <= now {
            self.flags.is_summary_stale = false;
            self.summary_next = now + SUMMARY_MS;
            if let Some(link) = &mut self.link {
                link.update_summary(self.session.summary());
            }
            self.release();
        }
        let timeout = self
            .session
            .poll_timeout()
            .map(|at| at.max(self.timeout_floor));
        if timeout.is_some_and(|at| at <= now) {
            self.timeout_floor = now + 1;
            if self.flags.is_deaf && !self.session.is_waiting() {
                // A peer is not to be missed that nobody listens to.
                let session = &mut self.session;
                self.input.parse(|input| take_input(session, input, now));
            }
            let was_waiting = self.session.is_waiting();
            self.session.handle_timeout(now);
            self.flags.has_unparsed |= was_waiting && self.input.len() > 0;
            return true;
        }
        let summary = self.flags.is_summary_stale.then_some(self.summary_next);
        let due = [timeout, summary, self.handshake_until, self.closing_until];
        let Some(due) = due.into_iter().flatten().min() else {
            return false;
        };
        // A timer that is set too early does no harm: it is set anew when it fires. So it is seldom touched.
        if self.armed.is_some_and(|armed| now < armed && armed <= due) {
            return false;
        }
        let at = self.clock.instant(due);
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        timer.as_mut().reset(at);
        self.armed = Some(due);
        timer.as_mut().poll(context).is_ready()
    }

    /// Gives memory back that a quiet connection does not need.
    fn release(&mut self) {
        if self.batch.requests.is_empty() && self.batch.requests.capacity() > QUIET_CAPACITY {
            self.batch.requests = Vec::new();
        }
        if self.events.is_empty() && self.events.capacity() > QUIET_CAPACITY {
            self.events = Vec::new();
        }
        let outbound = self.session.outbound();
        if outbound.is_empty() {
            *outbound.staged() = BytesMut::new();
        }
    }
}

/// Has the session take what it can; gives how many bytes it needs to go on.
fn take_input(session: &mut Box<dyn Session>, input: &mut BytesMut, now: Millis) -> usize {
    session.handle_input(input, now);
    session.wanted_bytes()
}

/// Closes so that the peer can read the last bytes: a socket with unread input is reset by the kernel, and a reset takes what
/// the peer has not read yet. So: say that nothing more comes, then take what still comes, for a while.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut socket: S) {
    let drain = async {
        if socket.shutdown().await.is_ok() {
            let mut bin = [0; 4096];
            while matches!(socket.read(&mut bin).await, Ok(1..)) {}
        }
    };
    drop(tokio::time::timeout(Duration::from_secs(2), pin!(drain)).await);
}

#[cfg(test)]
mod tests;
