//! What topics and bindings there are, for the management interface and for snapshots.

use bytes::Bytes;
use polybus_model::{Binding, Destination, Name, Table, TopicSettings};

use super::Router;

impl Router {
    /// All topics (without the default topic), in a fixed order.
    pub(crate) fn topics(&self) -> impl Iterator<Item = (&Name, &TopicSettings)> {
        let topics = self.topics.iter();
        topics.map(|(_, topic)| (&topic.name, &topic.settings))
    }

    /// All declared bindings (without the implicit ones of the default topic): topic by topic, each topic's in the order
    /// in which they were made.
    pub(crate) fn bindings(&self) -> impl Iterator<Item = &Binding> {
        let topics = self.topics.iter();
        topics.flat_map(|(_, topic)| topic.in_order().into_iter().map(|bound| &bound.binding))
    }

    /// The implicit bindings: from the default topic to every queue under its name, and to every log whose name no queue has.
    pub(crate) fn default_bindings(&self) -> impl Iterator<Item = Binding> {
        let queues = self.queues.iter().map(|(_, queue)| &queue.name);
        let logs = self.logs.iter().map(|(_, log)| &log.name);
        let logs = logs.filter(|name| self.queue_slot(name.as_str()).is_none());
        let to_queues = queues.cloned().map(Destination::Queue);
        let to_logs = logs.cloned().map(Destination::Log);
        to_queues.chain(to_logs).map(implicit)
    }

    /// The bindings that start at a topic (the empty name: the implicit ones), in the order in which they were made.
    pub(crate) fn bindings_from(&self, source: &str) -> Vec<Binding> {
        if source.is_empty() {
            return self.default_bindings().collect();
        }
        let topic = self.topic_numbered(source).map(|(_, topic)| topic);
        let bound = topic.map(super::topic::Topic::in_order).unwrap_or_default();
        bound
            .into_iter()
            .map(|bound| bound.binding.clone())
            .collect()
    }

    /// The bindings that lead to a destination, in the order in which they were made; a queue's implicit one comes first.
    pub(crate) fn bindings_to(&self, destination: &Destination) -> Vec<Binding> {
        let (implicit, incoming) = match destination {
            Destination::Queue(name) => match self.queue_numbered(name.as_str()) {
                Some((_, queue)) => (Some(implicit(destination.clone())), &*queue.incoming),
                None => (None, &[][..]),
            },
            Destination::Topic(name) => match self.topic_numbered(name.as_str()) {
                Some((_, topic)) => (None, &*topic.incoming),
                None => (None, &[][..]),
            },
            Destination::Log(name) => match self.log_numbered(name.as_str()) {
                Some((_, log)) => (Some(implicit(destination.clone())), &*log.incoming),
                None => (None, &[][..]),
            },
        };
        let mut bound: Vec<_> = incoming
            .iter()
            .filter_map(|at| self.topics.get(at.topic)?.bound.get(at.place))
            .collect();
        bound.sort_unstable_by_key(|bound| bound.hit.rank);
        let declared = bound.into_iter().map(|bound| bound.binding.clone());
        implicit.into_iter().chain(declared).collect()
    }
}

/// The default topic's binding to a queue or a log.
fn implicit(destination: Destination) -> Binding {
    let (Destination::Queue(name) | Destination::Topic(name) | Destination::Log(name)) =
        &destination;
    Binding {
        source: Name::empty(),
        key: Bytes::copy_from_slice(name.as_str().as_bytes()),
        destination,
        arguments: Table::new(),
    }
}
