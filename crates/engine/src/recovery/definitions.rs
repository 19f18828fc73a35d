//! Namespaces, topics, queues and bindings while they are being recovered: plain maps, so that what went by itself at the
//! time (a topic of `auto_delete`) goes when its record says so, and not by itself again.

use std::collections::{BTreeMap, BTreeSet};

use polybus_model::{Binding, Destination, Name, QueueSettings, TopicSettings};
use rustc_hash::FxHashMap;

use crate::record::codec::Bounded;
use crate::record::{Corrupt, kind, settings};

/// A queue's definition.
#[derive(Debug)]
pub(crate) struct QueueDefinition {
    pub(crate) namespace: Name,
    pub(crate) name: Name,
    pub(crate) settings: QueueSettings,
}

/// One end of bindings.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct End {
    namespace: Name,
    of: Destination,
}

/// What always holds: `by_end` names each binding under its source and its destination.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    pub(crate) namespaces: BTreeSet<Name>,
    pub(crate) topics: BTreeMap<(Name, Name), TopicSettings>,
    /// By incarnation.
    pub(crate) queues: BTreeMap<u64, QueueDefinition>,
    /// By age.
    pub(crate) bindings: BTreeMap<u64, (Name, Binding)>,
    next_binding: u64,
    by_end: FxHashMap<End, BTreeSet<u64>>,
}

impl Definitions {
    /// Applies a record; false if it is none of a definition.
    pub(crate) fn apply(&mut self, kind: u8, from: &mut Bounded<'_>) -> Result<bool, Corrupt> {
        match kind {
            kind::NAMESPACE_ADDED => {
                self.namespaces.insert(from.name()?);
            }
            kind::NAMESPACE_DELETED => self.delete_namespace(&from.name()?),
            kind::TOPIC_DECLARED => {
                let at = (from.name()?, from.name()?);
                self.topics.insert(at, settings::topic(from)?);
            }
            kind::TOPIC_DELETED => {
                let (namespace, name) = (from.name()?, from.name()?);
                self.topics.remove(&(namespace.clone(), name.clone()));
                self.delete_bindings(namespace, Destination::Topic(name));
            }
            kind::QUEUE_DECLARED => {
                let (namespace, incarnation, name) = (from.name()?, from.u64()?, from.name()?);
                let settings = settings::queue(from)?;
                let queue = QueueDefinition {
                    namespace,
                    name,
                    settings,
                };
                self.queues.insert(incarnation, queue);
            }
            kind::QUEUE_DELETED => {
                if let Some(queue) = self.queues.remove(&from.u64()?) {
                    self.delete_bindings(queue.namespace, Destination::Queue(queue.name));
                }
            }
            kind::BOUND => {
                let namespace = from.name()?;
                self.bind(namespace, settings::binding(from)?);
            }
            kind::UNBOUND => {
                let namespace = from.name()?;
                self.unbind(&namespace, &settings::binding(from)?);
            }
            _ => return Ok(false),
        }
        if from.is_empty() {
            Ok(true)
        } else {
            Err(Corrupt::new("a definition is followed by other bytes"))
        }
    }

    fn ends(namespace: &Name, binding: &Binding) -> [End; 2] {
        let source = Destination::Topic(binding.source.clone());
        [source, binding.destination.clone()].map(|of| End {
            namespace: namespace.clone(),
            of,
        })
    }

    fn bind(&mut self, namespace: Name, binding: Binding) {
        let number = self.next_binding;
        self.next_binding += 1;
        for end in Self::ends(&namespace, &binding) {
            self.by_end.entry(end).or_default().insert(number);
        }
        self.bindings.insert(number, (namespace, binding));
    }

    fn unbind(&mut self, namespace: &Name, binding: &Binding) {
        let [_, end] = Self::ends(namespace, binding);
        let found = self.by_end.get(&end).and_then(|numbers| {
            numbers
                .iter()
                .find(|number| {
                    self.bindings
                        .get(number)
                        .is_some_and(|(_, one)| one == binding)
                })
                .copied()
        });
        if let Some(number) = found {
            self.forget(number);
        }
    }

    fn forget(&mut self, number: u64) {
        let Some((namespace, binding)) = self.bindings.remove(&number) else {
            return;
        };
        for end in Self::ends(&namespace, &binding) {
            if let Some(numbers) = self.by_end.get_mut(&end) {
                numbers.remove(&number);
                if numbers.is_empty() {
                    self.by_end.remove(&end);
                }
            }
        }
    }

    /// Forgets the bindings that begin or end there.
    pub(crate) fn delete_bindings(&mut self, namespace: Name, of: Destination) {
        let end = End { namespace, of };
        for number in self.by_end.get(&end).cloned().unwrap_or_default() {
            self.forget(number);
        }
    }

    fn delete_namespace(&mut self, name: &Name) {
        self.namespaces.remove(name);
        self.topics.retain(|(namespace, _), _| namespace != name);
        self.queues.retain(|_, queue| queue.namespace != *name);
        self.bindings.retain(|_, (namespace, _)| namespace != name);
        self.by_end.retain(|end, _| end.namespace != *name);
    }
}
