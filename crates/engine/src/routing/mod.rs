//! Where a message goes: one namespace's topics and bindings, and the names of its queues.

mod readers;

pub use readers::{HeaderReader, HeaderReaders, PropertyReader};

use bytes::Bytes;
use polybus_model::{Binding, Destination, Message, Name, TopicSettings};

/// One namespace's topics, bindings and queue names.
#[derive(Debug)]
pub(crate) struct Router {}

/// What went with a topic, a binding or a queue.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Removed {
    /// The bindings, in the order they went.
    pub(crate) bindings: Vec<Binding>,
    /// The topics, in the order they went (those of `auto_delete` among them).
    pub(crate) topics: Vec<Name>,
}

/// Why a binding cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BindError {
    /// There is no such source topic.
    NoSource,
    /// There is no such destination.
    NoDestination,
}

/// Why a message is not routed at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RouteError {
    /// There is no such topic.
    NotFound,
    /// The topic is internal and a client published to it.
    Internal,
}

/// What sort of publish it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RouteMode {
    /// A client publishes: internal topics refuse it. False for dead letters and for what waited in a delayed topic.
    pub(crate) by_client: bool,
    /// The message has a delay to serve: it stops at delayed topics. False routes through them.
    pub(crate) delay: bool,
}

/// How a message was routed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Routed {
    /// It stopped at one or more delayed topics: [`Router::delayed_at`] names them until the next call.
    pub(crate) delayed: bool,
}

/// Whether a topic may be declared so; the error is RabbitMQ's text.
pub(crate) fn validate_topic(_settings: &TopicSettings) -> Result<(), String> {
    Ok(())
}

/// Whether a topic of these settings takes such a binding; the error is RabbitMQ's text.
pub(crate) fn validate_binding(_source: &TopicSettings, _binding: &Binding) -> Result<(), String> {
    Ok(())
}

#[allow(unused_variables, clippy::unused_self)]
impl Router {
    /// An empty router. The seed keys its hash tables, against peers that choose names and keys to collide.
    pub(crate) fn new(seed: u64) -> Self {
        Self {}
    }

    /// A queue exists: the default topic routes to it, and bindings can lead to it. `slot` is what [`Router::route`] gives.
    pub(crate) fn queue_declared(&mut self, name: &Name, slot: u32) {}

    /// The slot of the queue with that name.
    pub(crate) fn queue_slot(&self, name: &str) -> Option<u32> {
        None
    }

    /// A queue is gone: its bindings go, and topics of `auto_delete` that lost their last binding as a source.
    pub(crate) fn remove_queue(&mut self, slot: u32) -> Removed {
        Removed::default()
    }

    /// Declares a topic; false if there is one of that name already (it stays as it is).
    pub(crate) fn declare_topic(&mut self, name: &Name, settings: TopicSettings) -> bool {
        false
    }

    /// A topic's settings.
    pub(crate) fn topic(&self, name: &str) -> Option<&TopicSettings> {
        None
    }

    /// Deletes a topic with all its bindings; none if there is none. The removed topics name it first.
    pub(crate) fn delete_topic(&mut self, name: &str) -> Option<Removed> {
        None
    }

    /// True if the topic has a binding as a source (it is "in use").
    pub(crate) fn has_bindings_as_source(&self, name: &str) -> bool {
        false
    }

    /// Makes a binding; false if there is the same already.
    pub(crate) fn bind(&mut self, binding: &Binding) -> Result<bool, BindError> {
        Ok(false)
    }

    /// Takes a binding away; none if there is no such binding.
    pub(crate) fn unbind(&mut self, binding: &Binding) -> Option<Removed> {
        None
    }

    /// Finds the queues that a message goes to: `out` is cleared and gets each queue's slot at most once, in the order of
    /// the bindings. Nothing in `out` and not `delayed` means unroutable.
    pub(crate) fn route(
        &mut self,
        topic: &[u8],
        message: &Message,
        more_keys: &[Bytes],
        mode: RouteMode,
        readers: &HeaderReaders,
        out: &mut Vec<u32>,
    ) -> Result<Routed, RouteError> {
        Err(RouteError::NotFound)
    }

    /// The delayed topics that the last routed message stopped at. When its delay is over, route it to each of them with
    /// a mode of neither `by_client` nor `delay`.
    pub(crate) fn delayed_at(&self) -> &[Name] {
        &[]
    }

    /// All topics (without the default topic), in a fixed order.
    pub(crate) fn topics(&self) -> impl Iterator<Item = (&Name, &TopicSettings)> {
        std::iter::empty()
    }

    /// All declared bindings (without the implicit ones of the default topic), in a fixed order.
    pub(crate) fn bindings(&self) -> impl Iterator<Item = &Binding> {
        std::iter::empty()
    }

    /// The implicit bindings: from the default topic to every queue under its name.
    pub(crate) fn default_bindings(&self) -> impl Iterator<Item = Binding> {
        std::iter::empty()
    }

    /// The bindings that start at a topic (the empty name: the implicit ones).
    pub(crate) fn bindings_from(&self, source: &str) -> Vec<Binding> {
        Vec::new()
    }

    /// The bindings that lead to a destination; a queue's implicit one comes first.
    pub(crate) fn bindings_to(&self, destination: &Destination) -> Vec<Binding> {
        Vec::new()
    }
}
