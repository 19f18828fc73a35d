//! Administration: what the command line (and later the web) asks of a running broker. Plain structs in and out.

mod json;
mod keyed;
mod logs;
mod replay;
mod users;
mod view;
mod visitor;

pub use crate::access::KeptKeyRules as KeyRules;
pub use keyed::KeyedLog;
pub use logs::{Log, LogChange};
pub use replay::{Bound, Range, Replay, Replayed, Selection, Target};
pub use view::{
    Binding, ConnectionInfo, Consumer, Peeked, Permission, Queue, Status, Topic, Traffic, User,
};

use std::borrow::Borrow;
use std::sync::atomic::Ordering;

use polybus_engine::inspect;
use polybus_model::{
    Body, Error, Event, Kind, LeaseId, Message, MessageParts, Name, Origin, Outcome, Publish,
    Reply, Request, Resource, SessionId, Settle,
};
use serde::{Deserialize, Serialize};

use crate::access::Change;
use crate::broker::Broker;
use json::json_of_table;
use visitor::Visitor;

/// Bodies that one call shows: what is shown is in memory at once.
const SHOWN_BYTES_MAX: usize = 32 << 20;

/// Live subscribers that are looked at in one go.
const LIVE_LOOK: usize = 1024;

/// Why an administrative call failed, in a sentence for a person.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure(pub String);

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// The result of every call here.
pub type Result<T> = std::result::Result<T, Failure>;

impl Broker {
    /// How the broker is.
    #[must_use]
    pub fn status(&self) -> Status {
        let inner = &self.0;
        let disk_free_bytes = inner.shard.writer.free_bytes().ok();
        let connections = inner.connections().len();
        let (names, queues) = {
            let state = inner.shard.look();
            let names = state.engine.namespaces();
            let queues: Vec<_> = names
                .iter()
                .flat_map(|name| state.engine.queues(name.as_str()))
                .collect();
            (names.len(), queues)
        };
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            data: inner.options.data.display().to_string(),
            durability: format!("{:?}", inner.options.durability).to_lowercase(),
            connections,
            namespaces: names,
            queues: queues.len(),
            messages: queues.iter().map(|queue| queue.ready).sum(),
            disk_free_bytes,
            blocked: inner.is_blocked(),
            refusing: inner.is_out_of_room(),
        }
    }

    /// The namespaces, by name.
    #[must_use]
    pub fn namespaces(&self) -> Vec<String> {
        self.0
            .shard
            .look()
            .engine
            .namespaces()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    /// Adds a namespace. False if it is there already.
    ///
    /// # Errors
    /// The name is too long, or there are too many.
    pub fn add_namespace(&self, name: &str) -> Result<bool> {
        let name = named(name)?;
        self.durably(|inner| {
            inner
                .shard
                .turn(|engine, staging, _, _| engine.add_namespace(&name, staging))
                .map_err(told)
        })
    }

    /// Deletes a namespace with all in it; its connections are closed.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn delete_namespace(&self, name: &str) -> Result<()> {
        let name = named(name)?;
        for entry in self.0.connections() {
            if entry.summary.lock().namespace.as_deref() == Some(name.as_str()) {
                entry.mailbox.push(Event::Shutdown {
                    reason: format!("namespace '{name}' is deleted"),
                });
            }
        }
        self.durably(|inner| {
            let now = inner.clock.now();
            let found = inner
                .shard
                .turn(|engine, staging, _, out| engine.delete_namespace(&name, now, staging, out));
            if !found {
                return Err(Failure(format!("there is no namespace '{name}'")));
            }
            inner
                .change_catalog(&Change::DeleteNamespace {
                    name: name.to_string(),
                })
                .map_err(Failure)
        })
    }

    /// The queues of a namespace.
    ///
    /// # Errors
    /// There is no such namespace.
    pub fn queues(&self, namespace: &str) -> Result<Vec<Queue>> {
        let found = self.inspect(namespace, |engine| engine.queues(namespace))?;
        Ok(found.into_iter().map(Queue::from).collect())
    }

    /// The topics of a namespace.
    ///
    /// # Errors
    /// There is no such namespace.
    pub fn topics(&self, namespace: &str) -> Result<Vec<Topic>> {
        let found = self.inspect(namespace, |engine| engine.topics(namespace))?;
        Ok(found.into_iter().map(Topic::from).collect())
    }

    /// The bindings of a namespace.
    ///
    /// # Errors
    /// There is no such namespace.
    pub fn bindings(&self, namespace: &str) -> Result<Vec<Binding>> {
        let found = self.inspect(namespace, |engine| engine.bindings(namespace))?;
        Ok(found.into_iter().map(Binding::from).collect())
    }

    /// The consumers of a namespace.
    ///
    /// # Errors
    /// There is no such namespace.
    pub fn consumers(&self, namespace: &str) -> Result<Vec<Consumer>> {
        let found = self.inspect(namespace, |engine| engine.consumers(namespace))?;
        Ok(found.into_iter().map(Consumer::from).collect())
    }

    /// The open connections.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        self.0
            .connections()
            .iter()
            .map(|entry| {
                let summary = entry.summary.lock();
                ConnectionInfo {
                    id: entry.id.0,
                    peer: entry.peer.remote.to_string(),
                    protocol: if summary.protocol.is_empty() {
                        entry.protocol
                    } else {
                        summary.protocol
                    }
                    .into(),
                    tls: entry.peer.tls,
                    user: summary.user.clone(),
                    namespace: summary.namespace.clone(),
                    state: summary.state.into(),
                    channels: summary.lanes,
                    client: summary.client.clone(),
                    label: summary.label.clone(),
                    connected_at: entry.connected_at,
                    active_at: entry.active_at.load(Ordering::Relaxed),
                    number: summary.number,
                    traffic: summary.traffic.into(),
                }
            })
            .collect()
    }

    /// So many of a connection's live subscribers, in no order.
    #[must_use]
    pub fn live_of(&self, id: u64, most: usize) -> Vec<inspect::LiveSummary> {
        let (shard, session) = (&self.0.shard, SessionId(id));
        let all = shard.look().engine.live_of(session, most);
        // The broker goes on between the parts: there may be hundreds of thousands.
        let parts = all.chunks(LIVE_LOOK);
        parts
            .flat_map(|part| shard.look().engine.live_among(session, part))
            .collect()
    }

    /// Ends a connection, telling its peer the reason.
    ///
    /// # Errors
    /// There is no such connection.
    pub fn close_connection(&self, id: u64, reason: &str) -> Result<()> {
        let found = self
            .0
            .connections()
            .into_iter()
            .find(|entry| entry.id == SessionId(id));
        let entry = found.ok_or_else(|| Failure(format!("there is no connection {id}")))?;
        entry.mailbox.push(Event::Shutdown {
            reason: reason.to_owned(),
        });
        Ok(())
    }

    /// Drops a queue's ready messages; says how many.
    ///
    /// # Errors
    /// There is no such queue.
    pub fn purge(&self, namespace: &str, queue: &str) -> Result<u64> {
        match self.ask(
            namespace,
            Request::Purge {
                queue: named(queue)?,
            },
        )? {
            Reply::Count(count) => Ok(count),
            _ => Ok(0),
        }
    }

    /// Deletes a queue; says how many messages it had.
    ///
    /// # Errors
    /// There is no such queue, it belongs to a connection, or it is a log that was not declared as a queue.
    pub fn delete_queue(&self, namespace: &str, queue: &str) -> Result<u64> {
        let name = named(queue)?;
        let look = || Request::DeclareQueue {
            name: name.clone(),
            settings: None,
        };
        self.ask(namespace, look())?;
        let delete = Request::DeleteQueue {
            name: name.clone(),
            if_unused: false,
            if_empty: false,
        };
        let Reply::Count(count) = self.ask(namespace, delete)? else {
            return Ok(0);
        };
        if self.ask(namespace, look()).is_ok() {
            return Err(Failure(format!(
                "'{queue}' is the log of a topic and no queue; delete it with `polybus topics log delete {queue}`"
            )));
        }
        Ok(count)
    }

    /// The first ready messages of a queue, without taking them; fewer where they are large.
    ///
    /// # Errors
    /// There is no such queue, or a message cannot be read back.
    pub fn peek(&self, namespace: &str, queue: &str, count: usize) -> Result<Vec<Peeked>> {
        let found = self.inspect(namespace, |engine| engine.peek(namespace, queue, count))?;
        let found = found.ok_or_else(|| no_queue(namespace, queue))?;
        let mut shown = Vec::new();
        let mut bytes = 0;
        for one in found {
            let one = self.peeked(one)?;
            bytes += one.body_bytes;
            shown.push(one);
            if bytes >= SHOWN_BYTES_MAX {
                break;
            }
        }
        Ok(shown)
    }

    /// Publishes a message; says whether a queue took it.
    ///
    /// # Errors
    /// There is no such topic, or the message was refused.
    pub fn publish(
        &self,
        namespace: &str,
        topic: &str,
        key: &str,
        body: &[u8],
        durable: bool,
    ) -> Result<bool> {
        named(topic)?;
        let message = Message::new(MessageParts {
            origin: Origin(0),
            topic: topic.as_bytes(),
            key: key.as_bytes(),
            properties: &[],
            body: Body::Copied(body),
            durable,
            priority: None,
            ttl: None,
            deaths: None,
        });
        let publish = Publish {
            message,
            more_keys: Vec::new(),
            mandatory: true,
            confirm: Some(1),
            delay: None,
        };
        let mut visitor = Visitor::enter(self, namespace)?;
        visitor.submit(Request::Publish(publish));
        let mut routed = true;
        loop {
            match visitor.next_event()? {
                Event::Confirmed { .. } => return Ok(routed),
                Event::Returned { .. } => routed = false,
                Event::Refused { .. } => {
                    return Err(Failure("a full queue or disk refused the message".into()));
                }
                Event::Failed { error, .. } => return Err(told(error)),
                _ => {}
            }
        }
    }

    /// Takes up to `count` messages out of a queue, fewer where they are large; with `acknowledge` they are gone, otherwise they go back.
    ///
    /// # Errors
    /// There is no such queue.
    pub fn consume(
        &self,
        namespace: &str,
        queue: &str,
        count: usize,
        acknowledge: bool,
    ) -> Result<Vec<Peeked>> {
        let mut visitor = Visitor::enter(self, namespace)?;
        let mut taken = Vec::new();
        let mut leases: Vec<LeaseId> = Vec::new();
        let name = named(queue)?;
        let mut bytes = 0;
        while taken.len() < count && bytes < SHOWN_BYTES_MAX {
            let request = Request::Take {
                queue: name.clone(),
                auto_settle: false,
            };
            let Reply::Taken(Some(found)) = visitor.ask(request)? else {
                break;
            };
            leases.extend(found.lease);
            bytes += found.message.body().len();
            let view = inspect::Peeked {
                sequence: taken.len() as u64,
                redelivered: found.redelivered,
                message: Ok(found.message),
            };
            taken.push(self.peeked(view)?);
        }
        let outcome = if acknowledge {
            Outcome::Accept
        } else {
            Outcome::Release { failed: false }
        };
        visitor.submit(Request::Settle(Settle { leases, outcome }));
        Ok(taken)
    }

    /// Makes a change and waits until it is on disk.
    fn durably<T>(&self, change: impl FnOnce(&crate::broker::Inner) -> Result<T>) -> Result<T> {
        let result = change(&self.0)?;
        let lsn = self.0.shard.look().last_lsn();
        self.0.shard.wait_durable(lsn).map_err(Failure)?;
        Ok(result)
    }

    fn inspect<T>(
        &self,
        namespace: &str,
        look: impl FnOnce(&polybus_engine::Engine) -> T,
    ) -> Result<T> {
        let state = self.0.shard.look();
        if !state.has_namespace(&named(namespace)?) {
            return Err(Failure(format!("there is no namespace '{namespace}'")));
        }
        Ok(look(&state.engine))
    }

    fn ask(&self, namespace: &str, request: Request) -> Result<Reply> {
        Visitor::enter(self, namespace)?.ask(request)
    }

    fn peeked(&self, found: inspect::Peeked) -> Result<Peeked> {
        let message = match found.message {
            Ok(message) => message,
            Err((place, len)) => {
                let position = crate::staging::position_of(place);
                let payload = self
                    .0
                    .shard
                    .reader
                    .read(position, len)
                    .map_err(|error| Failure(error.to_string()))?;
                polybus_engine::record::decode_message(&payload)
                    .map_err(|error| Failure(error.to_string()))?
            }
        };
        let deaths = message.deaths().map(|deaths| {
            let lines = deaths
                .iter()
                .map(|one| format!("{} ({:?}, {} times)", one.queue, one.reason, one.count));
            lines.collect()
        });
        Ok(Peeked {
            sequence: found.sequence,
            topic: String::from_utf8_lossy(message.topic()).into_owned(),
            key: String::from_utf8_lossy(message.key()).into_owned(),
            durable: message.is_durable(),
            redelivered: found.redelivered,
            priority: message.priority(),
            headers: json_of_table(&self.0.options.header_readers.headers(&message)),
            deaths: deaths.unwrap_or_default(),
            body_bytes: message.body().len(),
            body: String::from_utf8_lossy(message.body()).into_owned(),
        })
    }
}

fn named(name: &str) -> Result<Name> {
    Name::new(name).map_err(|error| Failure(error.to_string()))
}

fn told(error: impl Borrow<Error>) -> Failure {
    Failure(error.borrow().to_string())
}

fn no_queue(namespace: &str, queue: &str) -> Failure {
    let name = |text| Name::new(text).unwrap_or_else(|_| Name::empty());
    told(Error {
        kind: Kind::NotFound,
        resource: Resource::Queue,
        name: name(queue),
        namespace: name(namespace),
    })
}
