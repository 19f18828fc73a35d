//! One turn: its inputs, and the work that it leaves for its end.

use polybus_model::{
    Error, Event, Kind, Lane, LogError, Millis, Name, Reply, Resource, SessionId, StoredRecord,
    Terms,
};

use crate::record::Target;
use crate::{Effects, Gated, Store};

/// What a turn works with.
pub(crate) struct Turn<'a, S> {
    pub(crate) now: Millis,
    pub(crate) store: &'a mut S,
    pub(crate) out: &'a mut Effects,
}

impl<S: Store> Turn<'_, S> {
    pub(crate) fn tell(&mut self, session: SessionId, event: Event) {
        self.out.events.push((session, event));
    }

    pub(crate) fn reply(&mut self, session: SessionId, lane: Lane, result: Result<Reply, Error>) {
        let result = result.map_err(Box::new);
        self.tell(session, Event::Reply { lane, result });
    }

    /// Stages a record that nobody points to.
    pub(crate) fn append(&mut self, payload: &[u8], queue: u64) {
        if let Some(kind) = payload.first() {
            self.store.append(*kind, queue, 0, &[payload], None, 0);
        }
    }

    pub(crate) fn gate(&mut self, session: SessionId, event: Event, needs_sync: bool) {
        self.out.gated.push(Gated {
            session,
            event,
            needs_sync,
        });
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    /// The session's slot.
    pub(crate) session: u32,
    pub(crate) id: SessionId,
    /// Its namespace's slot.
    pub(crate) namespace: u32,
    pub(crate) lane: Lane,
}

/// How a request is answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It is not.
    Silent,
    /// At once.
    Now(Reply),
    /// When what it changed is durable.
    Durable(Reply),
}

/// What a lane's publishes of this batch come to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Confirm {
    pub(crate) lane: Lane,
    pub(crate) through: u64,
    pub(crate) needs_sync: bool,
}

/// A queue that takes the message being published.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    pub(crate) slot: u32,
    pub(crate) target: Target,
    pub(crate) level: u8,
    pub(crate) durable: bool,
    pub(crate) cold: bool,
    /// The consumer that waits for it.
    pub(crate) consumer: Option<u32>,
}

/// What is carried through a turn; its memory is used again.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Queues to look after before the turn ends; those before `done` were, and may have something to journal.
    pub(crate) touched: Vec<u32>,
    pub(crate) done: usize,
    pub(crate) buffer: Vec<u8>,
    pub(crate) slots: Vec<u32>,
    /// On what terms keyed logs take the message being published, and what came of it in each that it reached.
    pub(crate) terms: Option<std::sync::Arc<Terms>>,
    pub(crate) stored: Vec<(Name, Result<StoredRecord, LogError>)>,
    pub(crate) wants_stored: bool,
    /// Who publishes it.
    pub(crate) publisher: SessionId,
    /// How many copies of copies it is.
    pub(crate) copy_depth: u8,
    /// The logs that the message being published reached.
    pub(crate) logs: Vec<u64>,
    pub(crate) plan: Vec<Planned>,
    pub(crate) targets: Vec<Target>,
    pub(crate) confirms: Vec<Confirm>,
    pub(crate) failed: Vec<Lane>,
    /// The message being published may have been delivered before, by a turn that was lost with a crash.
    pub(crate) redelivered: bool,
    /// Messages that may still expire in this turn.
    pub(crate) expiries_left: usize,
}

pub(crate) fn fail(kind: Kind, resource: Resource, name: &Name, namespace: &Name) -> Error {
    Error {
        kind,
        resource,
        name: name.clone(),
        namespace: namespace.clone(),
    }
}
