//! Topics and bindings: declared, compared, deleted, journaled.

use polybus_model::{
    Binding, Destination, Error, Kind, Name, Reply, Reserved, Resource, TopicKind, TopicSettings,
    Value,
};

use crate::record::codec::Put;
use crate::record::{self, kind, settings};
use crate::routing::{BindError, Removed, validate_binding, validate_topic};
use crate::turn::{Answer, Asker, Turn};
use crate::{Engine, Store};

/// What the name of everything starts with that only the broker declares.
const RESERVED_PREFIX: &str = "amq.";

impl Engine {
    pub(crate) fn declare_topic(
        &mut self,
        asker: Asker,
        name: &Name,
        settings: Option<TopicSettings>,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<Answer, Error> {
        let refuse =
            |engine: &Self, kind| Err(engine.failure(kind, Resource::Topic, name, asker.namespace));
        if name.is_empty() {
            return refuse(self, Kind::Reserved(Reserved::DefaultTopic));
        }
        let Some(namespace) = self.namespaces.get(asker.namespace) else {
            return refuse(self, Kind::NotFound);
        };
        let existing = namespace.router.topic(name.as_str());
        let settings = match (existing, settings) {
            (Some(_), None) => return Ok(Answer::Now(Reply::Done)),
            (None, None) => return refuse(self, Kind::NotFound),
            (Some(existing), Some(settings)) => {
                return match difference(existing, &settings) {
                    None => Ok(Answer::Now(Reply::Done)),
                    Some(kind) => refuse(self, kind),
                };
            }
            (None, Some(settings)) => settings,
        };
        if name.as_str().starts_with(RESERVED_PREFIX) {
            return refuse(self, Kind::Reserved(Reserved::Name));
        }
        if let Err(fault) = validate_topic(&settings) {
            return refuse(self, Kind::InvalidRouting(Box::new(fault)));
        }
        let max = self.options.topics_max;
        if namespace.topic_count >= max {
            let text = format!("at most {max} topics to a namespace (topics_max)");
            return refuse(self, Kind::LimitReached(text));
        }
        let durable = settings.durable;
        if durable {
            let buffer = &mut self.work.buffer;
            put_topic_declared(buffer, &namespace.name, name, &settings);
            turn.append(buffer, 0);
        }
        if let Some(namespace) = self.namespaces.get_mut(asker.namespace)
            && namespace.router.declare_topic(name, settings)
        {
            namespace.topic_count += 1;
        }
        Ok(answer(durable))
    }

    pub(crate) fn delete_topic(
        &mut self,
        asker: Asker,
        name: &Name,
        if_unused: bool,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<Answer, Error> {
        let refuse =
            |engine: &Self, kind| Err(engine.failure(kind, Resource::Topic, name, asker.namespace));
        if name.is_empty() {
            return refuse(self, Kind::Reserved(Reserved::DefaultTopic));
        }
        let Some(namespace) = self.namespaces.get_mut(asker.namespace) else {
            return refuse(self, Kind::NotFound);
        };
        if name.as_str().starts_with(RESERVED_PREFIX) {
            return refuse(self, Kind::Reserved(Reserved::OwnTopic));
        }
        let Some(settings) = namespace.router.topic(name.as_str()) else {
            return Ok(Answer::Now(Reply::Done));
        };
        let durable = settings.durable;
        if if_unused && namespace.router.has_bindings_as_source(name.as_str()) {
            return refuse(self, Kind::InUse);
        }
        if let Some(removed) = namespace.router.delete_topic(name.as_str()) {
            self.removed(asker.namespace, &removed, turn);
        }
        Ok(answer(durable))
    }

    pub(crate) fn bind(
        &mut self,
        asker: Asker,
        binding: Binding,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<Answer, Error> {
        let binding = &self.with_destination_told(asker.namespace, binding);
        self.check_not_default(asker, binding)?;
        let durable = self.check_bind(asker, binding)?;
        let max = self.options.bindings_max;
        let Some(namespace) = self.namespaces.get_mut(asker.namespace) else {
            return Ok(Answer::Silent);
        };
        if namespace.binding_count >= max {
            let text = format!("at most {max} bindings to a namespace (bindings_max)");
            return Err(self.failure(
                Kind::LimitReached(text),
                Resource::Topic,
                &binding.source,
                asker.namespace,
            ));
        }
        match namespace.router.bind(binding) {
            Ok(false) => Ok(Answer::Now(Reply::Done)),
            Ok(true) => {
                namespace.binding_count += 1;
                if durable {
                    put_binding(&mut self.work.buffer, kind::BOUND, &namespace.name, binding);
                    turn.append(&self.work.buffer, 0);
                }
                Ok(answer(durable))
            }
            Err(error) => Err(self.bind_error(asker, binding, error)),
        }
    }

    /// The binding, which leads to a log where it names a queue that is one.
    fn with_destination_told(&self, namespace: u32, mut binding: Binding) -> Binding {
        if let Destination::Queue(name) = &binding.destination
            && let Some(namespace) = self.namespaces.get(namespace)
            && namespace.router.queue_slot(name.as_str()).is_none()
            && namespace.router.log_id(name.as_str()).is_some()
        {
            binding.destination = Destination::Log(name.clone());
        }
        binding
    }

    /// Whether the binding may be made, and whether it survives a restart.
    fn check_bind(&self, asker: Asker, binding: &Binding) -> Result<bool, Error> {
        let Some(namespace) = self.namespaces.get(asker.namespace) else {
            return Ok(false);
        };
        let router = &namespace.router;
        let Some(source) = router.topic(binding.source.as_str()) else {
            return Err(self.bind_error(asker, binding, BindError::NoSource));
        };
        let destination_durable = match &binding.destination {
            Destination::Topic(name) => match router.topic(name.as_str()) {
                Some(settings) => settings.durable,
                None => return Err(self.bind_error(asker, binding, BindError::NoDestination)),
            },
            Destination::Queue(name) => match router.queue_slot(name.as_str()) {
                Some(slot) => {
                    self.check_owner(asker, slot)?;
                    self.queues.get(slot).is_some_and(|queue| queue.persistent)
                }
                None => return Err(self.bind_error(asker, binding, BindError::NoDestination)),
            },
            Destination::Log(name) => match router.log_id(name.as_str()) {
                Some(_) => self.is_durable_log(namespace, name),
                None => return Err(self.bind_error(asker, binding, BindError::NoDestination)),
            },
        };
        if let Err(fault) = validate_binding(source, binding) {
            return Err(self.failure(
                Kind::InvalidRouting(Box::new(fault)),
                Resource::Topic,
                &binding.source,
                asker.namespace,
            ));
        }
        Ok(source.durable && destination_durable)
    }

    fn check_not_default(&self, asker: Asker, binding: &Binding) -> Result<(), Error> {
        let to_default =
            matches!(&binding.destination, Destination::Topic(name) if name.is_empty());
        if binding.source.is_empty() || to_default {
            return Err(self.failure(
                Kind::Reserved(Reserved::DefaultTopic),
                Resource::Topic,
                &Name::empty(),
                asker.namespace,
            ));
        }
        Ok(())
    }

    fn bind_error(&self, asker: Asker, binding: &Binding, error: BindError) -> Error {
        let (resource, name) = match (error, &binding.destination) {
            (BindError::NoSource, _) => (Resource::Topic, &binding.source),
            (BindError::NoDestination, Destination::Topic(name)) => (Resource::Topic, name),
            (BindError::NoDestination, Destination::Queue(name) | Destination::Log(name)) => {
                (Resource::Queue, name)
            }
        };
        self.failure(Kind::NotFound, resource, name, asker.namespace)
    }

    pub(crate) fn unbind(
        &mut self,
        asker: Asker,
        binding: Binding,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<Answer, Error> {
        let binding = &self.with_destination_told(asker.namespace, binding);
        self.check_not_default(asker, binding)?;
        let Some(namespace) = self.namespaces.get(asker.namespace) else {
            return Ok(Answer::Silent);
        };
        if let Destination::Queue(name) = &binding.destination
            && let Some(slot) = namespace.router.queue_slot(name.as_str())
            && self.check_owner(asker, slot).is_err()
            && namespace
                .router
                .bindings_to(&binding.destination)
                .contains(binding)
        {
            self.check_owner(asker, slot)?;
        }
        let durable = self.check_bind(asker, binding).unwrap_or(false);
        let Some(namespace) = self.namespaces.get_mut(asker.namespace) else {
            return Ok(Answer::Silent);
        };
        let Some(removed) = namespace.router.unbind(binding) else {
            return Ok(Answer::Now(Reply::Done));
        };
        if durable {
            put_binding(
                &mut self.work.buffer,
                kind::UNBOUND,
                &namespace.name,
                binding,
            );
            turn.append(&self.work.buffer, 0);
        }
        self.removed(asker.namespace, &removed, turn);
        Ok(answer(durable))
    }

    /// Counts and journals what went from a namespace's router. Bindings of what is gone need no record of their own.
    pub(crate) fn removed(
        &mut self,
        namespace: u32,
        removed: &Removed,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let Some(namespace) = self.namespaces.get_mut(namespace) else {
            return;
        };
        namespace.binding_count = namespace
            .binding_count
            .saturating_sub(removed.bindings.len());
        namespace.topic_count = namespace.topic_count.saturating_sub(removed.topics.len());
        for topic in &removed.topics {
            let buffer = &mut self.work.buffer;
            record::begin(buffer, kind::TOPIC_DELETED);
            buffer.put_name(&namespace.name);
            buffer.put_name(topic);
            turn.append(buffer, 0);
        }
        for listener in &removed.listeners {
            self.tell_listening_ended(listener, turn);
        }
    }
}

fn answer(durable: bool) -> Answer {
    if durable {
        Answer::Durable(Reply::Done)
    } else {
        Answer::Now(Reply::Done)
    }
}

pub(crate) fn put_topic_declared(
    out: &mut Vec<u8>,
    namespace: &Name,
    name: &Name,
    topic: &TopicSettings,
) {
    record::begin(out, kind::TOPIC_DECLARED);
    out.put_name(namespace);
    out.put_name(name);
    settings::put_topic(out, topic);
}

pub(crate) fn put_binding(out: &mut Vec<u8>, kind: u8, namespace: &Name, binding: &Binding) {
    record::begin(out, kind);
    out.put_name(namespace);
    settings::put_binding(out, binding);
}

/// In what a declaration differs from what there is.
fn difference(current: &TopicSettings, received: &TopicSettings) -> Option<Kind> {
    let differ = |field: &str, received: Value, current: Value| {
        (received != current).then(|| Kind::inequivalent(field, Some(received), Some(current)))
    };
    differ("type", type_name(received), type_name(current))
        .or_else(|| {
            let (received, current) = (received.durable, current.durable);
            differ("durable", Value::Bool(received), Value::Bool(current))
        })
        .or_else(|| {
            let (received, current) = (received.auto_delete, current.auto_delete);
            differ("auto_delete", Value::Bool(received), Value::Bool(current))
        })
        .or_else(|| {
            let (received, current) = (received.internal, current.internal);
            differ("internal", Value::Bool(received), Value::Bool(current))
        })
        .or_else(|| {
            (received.alternate != current.alternate).then(|| {
                let [received, current] = [received, current].map(alternate);
                Kind::inequivalent("alternate-exchange", received, current)
            })
        })
}

fn alternate(settings: &TopicSettings) -> Option<Value> {
    settings
        .alternate
        .as_ref()
        .map(|name| Value::text(name.as_str()))
}

/// What the kind of a topic is called where it is compared.
fn type_name(settings: &TopicSettings) -> Value {
    Value::text(match settings.kind {
        _ if settings.delayed => "x-delayed-message",
        TopicKind::Direct => "direct",
        TopicKind::Fanout => "fanout",
        TopicKind::Pattern => "topic",
        TopicKind::Headers => "headers",
        TopicKind::ConsistentHash => "x-consistent-hash",
    })
}
