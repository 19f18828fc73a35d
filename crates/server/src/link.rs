//! The seam between a connection's driver and the broker, so that the driver's tests need no broker.

use std::task::{Context, Poll};

use polybus_model::{Batch, Event};
use polybus_session::PeerSummary;

/// A session's place in the broker. Dropping it ends the session there.
pub(crate) trait Link: Send {
    /// Carries out a batch and empties it.
    fn submit(&mut self, batch: &mut Batch);

    /// Moves what the broker has to tell to the end of `into`.
    fn take_events(&mut self, into: &mut Vec<Event>);

    /// Ready when there are events, or [`Link::may_read`] may have changed.
    fn poll_events(&mut self, context: &mut Context<'_>) -> Poll<()>;

    /// Whether the broker has room for more.
    fn may_read(&self) -> bool;

    /// What listings are to show.
    fn update_summary(&mut self, summary: PeerSummary);
}

impl Link for polybus_broker::Connection {
    fn submit(&mut self, batch: &mut Batch) {
        Self::submit(self, batch);
    }

    fn take_events(&mut self, into: &mut Vec<Event>) {
        Self::take_events(self, into);
    }

    fn poll_events(&mut self, context: &mut Context<'_>) -> Poll<()> {
        Self::poll_events(self, context)
    }

    fn may_read(&self) -> bool {
        Self::may_read(self)
    }

    fn update_summary(&mut self, summary: PeerSummary) {
        Self::update_summary(self, summary);
    }
}
