//! The engine as the broker sees it.

use polybus_model::{Batch, Binding, Error, Message, Millis, Name, SessionId};

use crate::inspect::{ConsumerSummary, Peeked, QueueSummary, TopicSummary};
use crate::{Effects, Options, Place, Store};

/// Topics and queues of all namespaces, and who is connected to them.
pub struct Engine {
    options: Options,
}

#[allow(unused_variables)]
impl Engine {
    /// An engine with one empty namespace, `/`.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options }
    }

    /// A session enters a namespace (its request to open is granted).
    ///
    /// # Errors
    /// The namespace does not exist.
    pub fn attach(&mut self, session: SessionId, namespace: &Name) -> Result<(), Error> {
        Ok(())
    }

    /// Carries out a batch; `batch` is left empty, its memory kept.
    pub fn handle(
        &mut self,
        session: SessionId,
        batch: &mut Batch,
        now: Millis,
        store: &mut impl Store,
        out: &mut Effects,
    ) {
        let _ = &self.options;
    }

    /// The session is gone: subscriptions end, leases return, exclusive queues go.
    pub fn handle_detached(
        &mut self,
        session: SessionId,
        now: Millis,
        store: &mut impl Store,
        out: &mut Effects,
    ) {
    }

    /// Messages of a [`crate::Load`] are in memory. Those that could not be read are left out.
    pub fn handle_loaded(
        &mut self,
        queue: u64,
        messages: Vec<(u64, Message)>,
        now: Millis,
        store: &mut impl Store,
        out: &mut Effects,
    ) {
    }

    /// The time that [`Engine::poll_timeout`] named has come, or later.
    pub fn handle_timeout(&mut self, now: Millis, store: &mut impl Store, out: &mut Effects) {}

    /// When to call [`Engine::handle_timeout`] at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Millis> {
        None
    }

    /// Adds a namespace with its predeclared topics; false if there is one of that name.
    ///
    /// # Errors
    /// Too many.
    pub fn add_namespace(
        &mut self,
        name: &Name,
        store: &mut impl Store,
    ) -> Result<bool, Error> {
        Ok(true)
    }

    /// Deletes a namespace with all in it; false if there is none. Sessions in it are to be ended by the broker.
    pub fn delete_namespace(
        &mut self,
        name: &Name,
        now: Millis,
        store: &mut impl Store,
        out: &mut Effects,
    ) -> bool {
        true
    }

    /// The namespaces, by name.
    #[must_use]
    pub fn namespaces(&self) -> Vec<Name> {
        Vec::new()
    }

    /// Writes the durable state as it is at this moment to the end of `out`.
    pub fn snapshot(&self, out: &mut Vec<u8>) {}

    /// How many queue entries still point at the record there.
    pub fn live_targets(&mut self, place: Place, payload: &[u8]) -> usize {
        0
    }

    /// The record at `from` now stands at `to` too: the entries that pointed there point here. `to` needs as many
    /// references as [`Engine::live_targets`] said; those of `from` are released.
    pub fn relocate(&mut self, payload: &[u8], from: Place, to: Place, store: &mut impl Store) {}

    /// The queues of a namespace, by name.
    #[must_use]
    pub fn queues(&self, namespace: &str) -> Vec<QueueSummary> {
        Vec::new()
    }

    /// The topics of a namespace (without the default one), by name.
    #[must_use]
    pub fn topics(&self, namespace: &str) -> Vec<TopicSummary> {
        Vec::new()
    }

    /// The bindings of a namespace, the implicit ones of the default topic first.
    #[must_use]
    pub fn bindings(&self, namespace: &str) -> Vec<Binding> {
        Vec::new()
    }

    /// The subscribers of a namespace, by queue.
    #[must_use]
    pub fn consumers(&self, namespace: &str) -> Vec<ConsumerSummary> {
        Vec::new()
    }

    /// The first ready messages of a queue, in order; none if there is no such queue.
    #[must_use]
    pub fn peek(&self, namespace: &str, queue: &str, limit: usize) -> Option<Vec<Peeked>> {
        None
    }
}
