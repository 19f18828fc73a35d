//! What must be: a model of all messages and consumers, kept from the requests that went in and the events that came out.
//!
//! ```text
//! request --> what it must bring about (copies, leases, credit)
//! event ----> looked up here: may it be?  no: a violation of the invariant that says so (`invariants/`)
//! restart --> all that is on the broker is compared with all that must and may be there (`audit`)
//! ```
//! A *copy* is one message in one queue. Everything between two calls of [`Ledger::begin_turn`] is one turn of the broker.
//! What the broker does by a rule of a queue without telling anyone (expiry, a length limit) is only known as possible here;
//! everything else is known exactly, since the simulation runs in one thread.

pub(crate) mod audit;
mod copies;
pub(crate) mod events;
mod requests;
mod sessions;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use polybus_model::{LeaseId, Millis, Outcome, SessionId, SubscriberId};

use crate::shape::Shape;
pub(crate) use copies::{Copy, MessageInfo, State, body_of, id_of};
pub(crate) use requests::OUTCOMES;
pub(crate) use sessions::{Ask, SessionModel, SubscriberModel};

/// Who holds a lease.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder {
    pub(crate) copy: usize,
    pub(crate) session: SessionId,
    pub(crate) lane: polybus_model::Lane,
    /// None: taken, not delivered.
    pub(crate) subscriber: Option<SubscriberId>,
}

/// A delivery of this turn, for the checks at its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) copy: usize,
    pub(crate) queue: usize,
    pub(crate) session: SessionId,
    /// It had been ready before the turn began.
    pub(crate) was_ready: bool,
}

/// By falling level, then by age.
pub(crate) type ReadyKey = (Reverse<u8>, u64);

/// The model.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    pub(crate) shape: Arc<Shape>,
    pub(crate) now: Millis,
    /// The latest time there ever was: the clock may jump back.
    pub(crate) now_max: Millis,
    pub(crate) turn: u64,
    /// Bytes of deliveries that may be on the way to one session.
    pub(crate) window_bytes: usize,
    /// The broker has said or shown that all up to this turn is on disk.
    pub(crate) durable_turn: u64,
    /// The same, without the last frame that was written.
    pub(crate) durable_before: u64,
    pub(crate) messages: Vec<MessageInfo>,
    pub(crate) copies: Vec<Copy>,
    pub(crate) by_message: HashMap<(u64, usize), usize>,
    /// Ready copies at home, by queue.
    pub(crate) ready: Vec<BTreeMap<ReadyKey, usize>>,
    next_order: Vec<u64>,
    /// Something was published there since the last restart: only then are limits enforced.
    pub(crate) published_to: Vec<bool>,
    pub(crate) sessions: BTreeMap<SessionId, SessionModel>,
    pub(crate) leases: HashMap<LeaseId, Holder>,
    pub(crate) seen: Vec<Seen>,
    /// Publishes confirmed, and messages delivered, for reports.
    pub(crate) confirmed: u64,
    pub(crate) delivered: u64,
    /// The journal has refused something: nothing may be confirmed any more.
    pub(crate) failed: bool,
    /// Restarts without an orderly end.
    pub(crate) crashes: u64,
}

impl Ledger {
    pub(crate) fn new(shape: Arc<Shape>, window_bytes: usize, now: Millis) -> Self {
        let count = shape.queues.len();
        Self {
            shape,
            now,
            now_max: now,
            turn: 0,
            window_bytes,
            durable_turn: 0,
            durable_before: 0,
            messages: Vec::new(),
            copies: Vec::new(),
            by_message: HashMap::new(),
            ready: vec![BTreeMap::new(); count],
            next_order: vec![0; count],
            published_to: vec![false; count],
            sessions: BTreeMap::new(),
            leases: HashMap::new(),
            seen: Vec::new(),
            confirmed: 0,
            delivered: 0,
            failed: false,
            crashes: 0,
        }
    }

    /// Something is about to be asked of the broker.
    pub(crate) fn begin_turn(&mut self, now: Millis) {
        self.turn += 1;
        self.now = now;
        self.now_max = self.now_max.max(now);
        self.seen.clear();
    }

    /// All that was asked so far is on disk, as far as the broker says.
    pub(crate) fn note_durable(&mut self, turn: u64) {
        self.durable_turn = self.durable_turn.max(turn);
    }

    /// Ends a lease as its holder wants it.
    fn settle(&mut self, lease: LeaseId, session: SessionId, outcome: Outcome) {
        let Some(holder) = self.leases.get(&lease).copied() else {
            return;
        };
        if holder.session != session {
            return;
        }
        self.leases.remove(&lease);
        self.release_credit(&holder);
        match outcome {
            Outcome::Accept => self.end(holder.copy),
            Outcome::Release { failed } => self.give_back(holder.copy, failed),
            Outcome::Reject => self.bury(holder.copy),
        }
    }
}
