//! Who is connected: sessions, their lanes, and what each is waiting for.

use polybus_model::{Lane, Millis, SessionId, SubscriberId};
use rustc_hash::FxHashMap;

/// A consumer that waits for its lane's or session's credit. Stale if the number differs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConsumerRef {
    pub(crate) queue: u32,
    pub(crate) consumer: u32,
    pub(crate) number: u64,
}

/// A session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) namespace: u32,
    pub(crate) lanes: FxHashMap<Lane, u32>,
    /// Bytes of deliveries not yet written to the peer.
    pub(crate) outstanding: usize,
    /// Deliveries stop at so many.
    window: usize,
    /// Those that wait for the window to open.
    pub(crate) parked: Vec<ConsumerRef>,
    /// Incarnations of its exclusive queues.
    pub(crate) owned: Vec<u64>,
    pub(crate) subscribers: FxHashMap<SubscriberId, ConsumerRef>,
    /// The router's numbers of its live subscribers.
    pub(crate) listeners: FxHashMap<SubscriberId, u32>,
    /// About what their filters take in memory.
    pub(crate) listening_bytes: usize,
    /// Its listeners are on their way out, and hear nothing any more: it did not keep up and was told that this is its end,
    /// or is gone.
    pub(crate) is_cut: bool,
    /// It is gone: its slot is free when its last listener is.
    pub(crate) is_gone: bool,
    /// It is not to be read until then, unless it is let go before.
    pub(crate) held_until: Option<Millis>,
    /// The slots of those who are held for it.
    pub(crate) holding: Vec<u32>,
}

impl Session {
    pub(crate) fn new(id: SessionId, namespace: u32, window: usize) -> Self {
        Self {
            id,
            namespace,
            lanes: FxHashMap::default(),
            outstanding: 0,
            window,
            parked: Vec::new(),
            owned: Vec::new(),
            subscribers: FxHashMap::default(),
            listeners: FxHashMap::default(),
            listening_bytes: 0,
            is_cut: false,
            is_gone: false,
            held_until: None,
            holding: Vec::new(),
        }
    }

    /// Whether its window is used up.
    pub(crate) const fn is_full(&self) -> bool {
        self.outstanding >= self.window
    }
}

/// A lane of a session.
#[derive(Debug)]
pub(crate) struct LaneState {
    pub(crate) id: Lane,
    pub(crate) limit: Option<u32>,
    /// Messages that its subscribers hold together.
    pub(crate) held: u32,
    pub(crate) active: bool,
    /// Those that wait for the lane's credit, or for it to be active.
    pub(crate) parked: Vec<ConsumerRef>,
    /// The holder in each queue that it holds, or may hold, messages of.
    pub(crate) holders: FxHashMap<u32, u32>,
    pub(crate) subscribers: Vec<SubscriberId>,
    /// It was told that a consumer held a message for too long.
    pub(crate) timed_out: bool,
}

impl LaneState {
    pub(crate) fn new(id: Lane) -> Self {
        Self {
            id,
            limit: None,
            held: 0,
            active: true,
            parked: Vec::new(),
            holders: FxHashMap::default(),
            subscribers: Vec::new(),
            timed_out: false,
        }
    }

    /// Whether it takes one more message; those that settle themselves do not count.
    pub(crate) fn has_credit(&self, auto_settle: bool) -> bool {
        self.active && (auto_settle || self.limit.is_none_or(|limit| self.held < limit))
    }
}
