//! What listings show: plain copies of the state, never the state itself.

use bytes::Bytes;
use polybus_model::{
    Binding, LiveFilter, Message, Name, QueueSettings, SessionId, SubscriberId, Table,
    TopicSettings,
};

use crate::Engine;
use crate::queue::entry::REDELIVERED;
use crate::session::Session;

/// A queue, for listings.
#[derive(Clone, Debug)]
pub struct QueueSummary {
    /// Its name.
    pub name: Name,
    /// Its incarnation.
    pub incarnation: u64,
    /// What it was declared with.
    pub settings: QueueSettings,
    /// The session that owns it exclusively.
    pub owner: Option<SessionId>,
    /// Messages ready to be delivered.
    pub ready: u64,
    /// Messages that consumers hold.
    pub leased: u64,
    /// Messages that wait for a retry or to be dead-lettered.
    pub waiting: u64,
    /// Bytes of ready bodies.
    pub ready_bytes: u64,
    /// Bytes of messages in memory.
    pub memory_bytes: usize,
    /// Subscribers.
    pub consumers: u64,
}

/// A topic, for listings.
#[derive(Clone, Debug)]
pub struct TopicSummary {
    /// Its name.
    pub name: Name,
    /// What it was declared with.
    pub settings: TopicSettings,
}

/// A subscriber, for listings.
#[derive(Clone, Debug)]
pub struct ConsumerSummary {
    /// The queue.
    pub queue: Name,
    /// The session.
    pub session: SessionId,
    /// The lane.
    pub lane: polybus_model::Lane,
    /// What the peer calls it.
    pub tag: Bytes,
    /// Messages count as settled when sent.
    pub auto_settle: bool,
    /// No other subscriber beside it.
    pub exclusive: bool,
    /// Its priority.
    pub priority: i32,
    /// Its credit.
    pub credit: Option<u32>,
    /// Messages it holds.
    pub held: u64,
    /// It gets messages (false: it waits behind a single active one).
    pub active: bool,
    /// Its arguments.
    pub arguments: Table,
}

/// A live subscriber, for listings.
#[derive(Clone, Debug)]
pub struct LiveSummary {
    /// Which keys it wants.
    pub filter: LiveFilter,
    /// Of those who share under one name, one gets each message.
    pub share: Option<Bytes>,
    /// Messages that it has had.
    pub had: u64,
    /// It ends when it has had so many.
    pub most: Option<u64>,
}

/// A ready message, seen without taking it.
#[derive(Clone, Debug)]
pub struct Peeked {
    /// Its number in its queue.
    pub sequence: u64,
    /// It may have been delivered before.
    pub redelivered: bool,
    /// The message, where it is in memory; otherwise its place says where to read it.
    pub message: Result<Message, (crate::Place, u32)>,
}

impl Engine {
    /// The queues of a namespace, by name.
    #[must_use]
    pub fn queues(&self, namespace: &str) -> Vec<QueueSummary> {
        let Some(slot) = self.namespace_slot(namespace) else {
            return Vec::new();
        };
        let mut all: Vec<_> = self
            .queues
            .iter()
            .filter(|(_, queue)| queue.namespace == slot)
            .map(|(_, queue)| QueueSummary {
                name: queue.name.clone(),
                incarnation: queue.incarnation,
                settings: queue.settings.clone(),
                owner: queue.owner,
                ready: queue.ready.len(),
                leased: queue.leases.len(),
                waiting: (queue.waiting.len() + queue.dying.len()) as u64,
                ready_bytes: queue.ready.body_bytes(),
                memory_bytes: queue.hot_bytes(),
                consumers: queue.consumers.len() as u64,
            })
            .collect();
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The topics of a namespace (without the default one), by name.
    #[must_use]
    pub fn topics(&self, namespace: &str) -> Vec<TopicSummary> {
        let router = self
            .namespace_slot(namespace)
            .and_then(|slot| self.namespaces.get(slot))
            .map(|namespace| &namespace.router);
        let mut all: Vec<_> = router
            .into_iter()
            .flat_map(|router| router.topics())
            .map(|(name, settings)| TopicSummary {
                name: name.clone(),
                settings: settings.clone(),
            })
            .collect();
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The bindings of a namespace, the implicit ones of the default topic first.
    #[must_use]
    pub fn bindings(&self, namespace: &str) -> Vec<Binding> {
        self.namespace_slot(namespace)
            .and_then(|slot| self.namespaces.get(slot))
            .map(|namespace| {
                let router = &namespace.router;
                router
                    .default_bindings()
                    .chain(router.bindings().cloned())
                    .collect()
            })
            .unwrap_or_default()
    }

    /// The bindings that start at a topic (the empty name: the implicit ones).
    #[must_use]
    pub fn bindings_from(&self, namespace: &str, topic: &str) -> Vec<Binding> {
        self.namespace_slot(namespace)
            .and_then(|slot| self.namespaces.get(slot))
            .map(|namespace| namespace.router.bindings_from(topic))
            .unwrap_or_default()
    }

    /// The subscribers of a namespace, by queue.
    #[must_use]
    pub fn consumers(&self, namespace: &str) -> Vec<ConsumerSummary> {
        let Some(slot) = self.namespace_slot(namespace) else {
            return Vec::new();
        };
        let mut queues: Vec<_> = self
            .queues
            .iter()
            .map(|(_, queue)| queue)
            .filter(|queue| queue.namespace == slot && queue.consumers.len() > 0)
            .collect();
        queues.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let mut all = Vec::new();
        for queue in queues {
            for (at, consumer) in queue.consumers.in_order() {
                all.push(ConsumerSummary {
                    queue: queue.name.clone(),
                    session: consumer.session_id,
                    lane: consumer.lane_id,
                    tag: consumer.tag.clone(),
                    auto_settle: consumer.auto_settle,
                    exclusive: consumer.exclusive,
                    priority: consumer.priority,
                    credit: consumer.credit,
                    held: consumer.held.into(),
                    active: queue.consumers.is_active(at),
                    arguments: consumer.arguments.clone(),
                });
            }
        }
        all
    }

    /// The first ready messages of a queue, in order; none if there is no such queue.
    #[must_use]
    pub fn peek(&self, namespace: &str, queue: &str, limit: usize) -> Option<Vec<Peeked>> {
        let namespace = self.namespace_slot(namespace)?;
        let queue = self.queues.get(self.queue_slot(namespace, queue)?)?;
        let peeked = queue.ready.iter().take(limit).filter_map(|entry| {
            let redelivered = entry.has(REDELIVERED);
            let message = match (entry.message, entry.stand) {
                (Some(message), _) => Ok(message),
                (None, Some(stand)) => Err((stand.place, stand.len)),
                (None, None) => return None,
            };
            Some(Peeked {
                sequence: entry.sequence,
                redelivered,
                message,
            })
        });
        Some(peeked.collect())
    }

    /// A session's live subscribers, as many as that at most: what [`Engine::live_among`] is to be asked for, in parts.
    #[must_use]
    pub fn live_of(&self, session: SessionId, most: usize) -> Vec<(SubscriberId, u32)> {
        let listeners = self.live_session(session).map(|one| one.listeners.iter());
        let listeners = listeners.into_iter().flatten().take(most);
        listeners.map(|(id, number)| (*id, *number)).collect()
    }

    /// Those of a session's live subscribers that are still there.
    #[must_use]
    pub fn live_among(
        &self,
        session: SessionId,
        listeners: &[(SubscriberId, u32)],
    ) -> Vec<LiveSummary> {
        let Some(session) = self.live_session(session) else {
            return Vec::new();
        };
        let Some(namespace) = self.namespaces.get(session.namespace) else {
            return Vec::new();
        };
        // A number may be another's by now.
        let is_there =
            |(id, number): &&(SubscriberId, u32)| session.listeners.get(id) == Some(number);
        let there = listeners.iter().filter(is_there);
        let summary = |(_, number): &(SubscriberId, u32)| {
            let (listener, filter, share) = namespace.router.live.look_at(*number)?;
            Some(LiveSummary {
                filter: filter.clone(),
                share: share.cloned(),
                had: listener.had,
                most: (listener.most != u64::MAX).then_some(listener.most),
            })
        };
        there.filter_map(summary).collect()
    }

    fn live_session(&self, session: SessionId) -> Option<&Session> {
        let slot = self.session_slots.get(&session)?;
        self.sessions.get(*slot)
    }
}
