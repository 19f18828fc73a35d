//! Namespaces: each with its own names, topics and bindings.

use polybus_model::{Error, Kind, Millis, Name, Resource, TopicKind, TopicSettings};

use crate::record::{self, codec::Put, kind};
use crate::routing::Router;
use crate::turn::{Turn, fail};
use crate::{Effects, Engine, Store};

/// The topics that every namespace has from the start: name, kind, internal.
const PREDECLARED: [(&str, TopicKind, bool); 6] = [
    ("amq.direct", TopicKind::Direct, false),
    ("amq.fanout", TopicKind::Fanout, false),
    ("amq.topic", TopicKind::Pattern, false),
    ("amq.headers", TopicKind::Headers, false),
    ("amq.match", TopicKind::Headers, false),
    ("amq.rabbitmq.trace", TopicKind::Pattern, true),
];

/// The slot of no namespace.
const NOWHERE: u32 = u32::MAX;

/// A namespace.
#[derive(Debug)]
pub(crate) struct Namespace {
    pub(crate) name: Name,
    pub(crate) router: Router,
    pub(crate) topic_count: usize,
    pub(crate) binding_count: usize,
}

impl Engine {
    /// Adds a namespace with its predeclared topics; false if there is one of that name.
    ///
    /// # Errors
    /// Too many.
    pub fn add_namespace(&mut self, name: &Name, store: &mut impl Store) -> Result<bool, Error> {
        if self.namespace_slot(name.as_str()).is_some() {
            return Ok(false);
        }
        if self.namespaces.len() >= self.options.namespaces_max {
            let text = format!(
                "at most {} namespaces (namespaces_max)",
                self.options.namespaces_max
            );
            return Err(fail(
                Kind::LimitReached(text),
                Resource::Namespace,
                name,
                name,
            ));
        }
        self.create_namespace(name);
        let buffer = &mut self.work.buffer;
        record::begin(buffer, kind::NAMESPACE_ADDED);
        buffer.put_name(name);
        store.append(kind::NAMESPACE_ADDED, 0, 0, &[buffer], None, 0);
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
        let Some(slot) = self.namespace_slot(name.as_str()) else {
            return false;
        };
        let mut turn = self.begin(now, store, out);
        self.drop_namespace(slot, &mut turn);
        self.finish(&mut turn);
        let buffer = &mut self.work.buffer;
        record::begin(buffer, kind::NAMESPACE_DELETED);
        buffer.put_name(name);
        turn.append(buffer, 0);
        true
    }

    pub(crate) fn drop_namespace(&mut self, slot: u32, turn: &mut Turn<'_, impl Store>) {
        let queues: Vec<u32> = self
            .queues
            .iter()
            .filter(|(_, queue)| queue.namespace == slot)
            .map(|(at, _)| at)
            .collect();
        for queue in queues {
            self.delete_queue(queue, turn);
        }
        let logs = self.logs.all.values();
        let logs: Vec<u64> = logs
            .filter(|log| log.namespace == slot)
            .map(|log| log.id.0)
            .collect();
        for log in logs {
            self.drop_log(log, turn);
        }
        self.delayed.drop_namespace(slot, turn.store);
        self.groups.drop_namespace(slot);
        self.windows.drop_namespace(slot);
        self.logs.transactions.drop_namespace(slot);
        self.drop_estates(slot, turn);
        self.namespaces.remove(slot);
        // Whoever is still in it must not find itself in the next one that gets this slot.
        for (_, session) in self.sessions.iter_mut() {
            if session.namespace == slot {
                session.namespace = NOWHERE;
                self.live.forget_all_of(session);
            }
        }
    }

    /// The namespaces, by name.
    #[must_use]
    pub fn namespaces(&self) -> Vec<Name> {
        let mut names: Vec<_> = self
            .namespaces
            .iter()
            .map(|(_, namespace)| namespace.name.clone())
            .collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn namespace_slot(&self, name: &str) -> Option<u32> {
        self.namespaces
            .iter()
            .find(|(_, namespace)| namespace.name.as_str() == name)
            .map(|(slot, _)| slot)
    }

    pub(crate) fn namespace_name(&self, slot: u32) -> Name {
        self.namespaces
            .get(slot)
            .map_or_else(Name::empty, |namespace| namespace.name.clone())
    }

    pub(crate) fn create_namespace(&mut self, name: &Name) -> u32 {
        let mut router = Router::new(self.options.seed);
        for (topic, kind, internal) in PREDECLARED {
            if let Ok(topic) = Name::new(topic) {
                router.declare_topic(&topic, predeclared(kind, internal));
            }
        }
        self.namespaces.insert(Namespace {
            name: name.clone(),
            router,
            topic_count: PREDECLARED.len(),
            binding_count: 0,
        })
    }

    pub(crate) fn failure(
        &self,
        kind: Kind,
        resource: Resource,
        name: &Name,
        namespace: u32,
    ) -> Error {
        fail(kind, resource, name, &self.namespace_name(namespace))
    }
}

/// Whether a topic is there without being declared.
pub(crate) fn is_predeclared(name: &str) -> bool {
    PREDECLARED.iter().any(|(topic, ..)| *topic == name)
}

fn predeclared(kind: TopicKind, internal: bool) -> TopicSettings {
    TopicSettings {
        kind,
        delayed: false,
        durable: true,
        auto_delete: false,
        internal,
        alternate: None,
        arguments: polybus_model::Table::new(),
    }
}
