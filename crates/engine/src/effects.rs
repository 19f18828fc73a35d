//! What a turn of the engine brings about. The broker carries it out.

use polybus_model::{Event, SessionId};

use crate::logs::compaction::CompactionWork;
use crate::store::Place;

/// The outcome of one turn; reused from turn to turn.
#[derive(Debug, Default)]
pub struct Effects {
    /// Events to hand over at once, in order.
    pub events: Vec<(SessionId, Event)>,
    /// Events to hand over, in order, when all that has been appended up to the end of this turn is durable: replies to what
    /// changed durable state, and every `Confirmed`.
    pub gated: Vec<Gated>,
    /// Messages to read from the journal and give to [`crate::Engine::handle_loaded`].
    pub loads: Vec<Load>,
    /// Runs of logs to read from the journal and give to [`crate::Engine::handle_log_loaded`].
    pub log_loads: Vec<LogLoad>,
    /// Work on runs of logs, whose outcome goes to [`crate::Engine::handle_compacted`].
    pub compactions: Vec<CompactionLoad>,
    /// A mark to give to [`crate::Engine::handle_durable`] when all that has been appended up to the end of this turn is
    /// durable. Marks rise: of several that are reached together only the last one needs to be given.
    pub durable: Option<u64>,
    /// Sessions that are not to be read for now, or are again, in order.
    pub holds: Vec<Hold>,
}

/// Whether to read from a session.
#[derive(Clone, Copy, Debug)]
pub struct Hold {
    /// The session.
    pub session: SessionId,
    /// True: what it publishes is more than those can take who get it. It is let go by the engine, soon.
    pub holds: bool,
}

/// An event that waits for durability.
#[derive(Debug)]
pub struct Gated {
    /// Whom it is for.
    pub session: SessionId,
    /// The event.
    pub event: Event,
    /// False if nothing of it was appended in this turn: it needs only to keep its order behind earlier gated events of the
    /// session, and otherwise may go at once.
    pub needs_sync: bool,
}

/// A run of messages to bring back into memory.
#[derive(Debug)]
pub struct Load {
    /// The queue's incarnation.
    pub queue: u64,
    /// Sequence, place and payload length of each record.
    pub items: Vec<(u64, Place, u32)>,
}

/// Runs of logs to read back for one answer.
#[derive(Debug)]
pub struct LogLoad {
    /// The load's number.
    pub number: u64,
    /// Place and payload length of each record.
    pub items: Vec<(Place, u32)>,
}

/// Runs of logs to look at, and perhaps to write anew: background work, not to be done under a lock.
#[derive(Debug)]
pub struct CompactionLoad {
    /// The load's number.
    pub number: u64,
    /// Place and payload length of each record that has to be read back for it.
    pub items: Vec<(Place, u32)>,
    /// What is to be done with what was read back.
    pub work: CompactionWork,
}
