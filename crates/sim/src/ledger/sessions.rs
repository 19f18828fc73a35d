//! Sessions, lanes, subscribers and their credit.

use std::collections::{BTreeMap, VecDeque};

use polybus_model::{Lane, LeaseId, SessionId, SubscriberId};

use super::{Holder, Ledger};

/// A session.
#[derive(Clone, Debug, Default)]
pub(crate) struct SessionModel {
    /// Bytes delivered and not yet drained.
    pub(crate) outstanding: usize,
    pub(crate) lanes: BTreeMap<Lane, LaneModel>,
    pub(crate) subscribers: BTreeMap<SubscriberId, SubscriberModel>,
}

/// A lane.
#[derive(Clone, Debug)]
pub(crate) struct LaneModel {
    pub(crate) limit: Option<u32>,
    pub(crate) held: u32,
    pub(crate) active: bool,
    /// The request that waits for its answer.
    pub(crate) ask: Option<Ask>,
    /// Numbers that wait for their confirm.
    pub(crate) unconfirmed: VecDeque<Unconfirmed>,
    pub(crate) last_confirmed: u64,
}

/// A publish that waits for its confirm.
#[derive(Clone, Debug)]
pub(crate) struct Unconfirmed {
    pub(crate) number: u64,
    pub(crate) turn: u64,
    pub(crate) copies: Vec<usize>,
}

impl Default for LaneModel {
    fn default() -> Self {
        Self {
            limit: None,
            held: 0,
            active: true,
            ask: None,
            unconfirmed: VecDeque::new(),
            last_confirmed: 0,
        }
    }
}

/// A request that waits for its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ask {
    /// One message of that queue.
    Take {
        queue: usize,
        auto_settle: bool,
    },
    /// A transaction of that turn; with something to be durable, or not.
    Transaction {
        turn: u64,
        durable: bool,
    },
    /// A subscription.
    Subscribe {
        /// It is refused: a quorum queue, and a lane with a limit.
        refused: bool,
    },
    /// A purge of that queue.
    Purge {
        queue: usize,
    },
    Other,
}

/// A subscriber.
#[derive(Clone, Debug)]
pub(crate) struct SubscriberModel {
    pub(crate) lane: Lane,
    pub(crate) queue: usize,
    pub(crate) auto_settle: bool,
    pub(crate) credit: Option<u32>,
    pub(crate) held: u32,
}

impl SubscriberModel {
    pub(crate) fn has_credit(&self) -> bool {
        self.auto_settle || self.credit.is_none_or(|credit| self.held < credit)
    }
}

impl LaneModel {
    pub(crate) fn has_credit(&self, auto_settle: bool) -> bool {
        self.active && (auto_settle || self.limit.is_none_or(|limit| self.held < limit))
    }
}

impl Ledger {
    /// A session came.
    pub(crate) fn session_came(&mut self, id: SessionId) {
        self.sessions.insert(id, SessionModel::default());
    }

    /// A session is gone: what it held goes back.
    pub(crate) fn session_gone(&mut self, id: SessionId) {
        self.return_leases(|holder| holder.session == id);
        self.sessions.remove(&id);
    }

    /// A lane ends.
    pub(super) fn lane_gone(&mut self, id: SessionId, lane: Lane) {
        self.return_leases(|holder| holder.session == id && holder.lane == lane);
        if let Some(session) = self.sessions.get_mut(&id) {
            session
                .subscribers
                .retain(|_, subscriber| subscriber.lane != lane);
            if let Some(lane) = session.lanes.get_mut(&lane) {
                lane.held = 0;
                lane.limit = None;
                lane.active = true;
            }
        }
    }

    fn return_leases(&mut self, which: impl Fn(&Holder) -> bool) {
        let mut ended: Vec<(LeaseId, usize)> = self
            .leases
            .iter()
            .filter(|(_, holder)| which(holder))
            .map(|(lease, holder)| (*lease, holder.copy))
            .collect();
        ended.sort_unstable_by_key(|(_, copy)| *copy);
        for (lease, copy) in ended {
            self.leases.remove(&lease);
            self.give_back(copy, true);
        }
    }

    /// A holder holds one less.
    pub(super) fn release_credit(&mut self, holder: &Holder) {
        let Some(subscriber) = holder.subscriber else {
            return;
        };
        let Some(session) = self.sessions.get_mut(&holder.session) else {
            return;
        };
        if let Some(subscriber) = session.subscribers.get_mut(&subscriber) {
            subscriber.held = subscriber.held.saturating_sub(1);
        }
        if let Some(lane) = session.lanes.get_mut(&holder.lane) {
            lane.held = lane.held.saturating_sub(1);
        }
    }

    pub(crate) fn lane(&mut self, id: SessionId, lane: Lane) -> &mut LaneModel {
        self.sessions
            .entry(id)
            .or_default()
            .lanes
            .entry(lane)
            .or_default()
    }
}
