//! Administration: what the command line (and later the web) asks of a running broker. Plain structs in and out.

use std::borrow::Borrow;

use bytes::Bytes;
use polybus_engine::inspect;
use polybus_model::{
    Batch, Body, Destination, Error, Event, Kind, Lane, LeaseId, Message, MessageParts, Millis,
    Name, Origin, Outcome, Publish, QueueKind, Reply, Request, Resource, SessionId, Settle, Table,
    TopicKind, Value,
};
use polybus_session::Peer;
use serde::{Deserialize, Serialize};

use crate::access::{Change, Passwords, Patterns, Permissions};
use crate::broker::Broker;
use crate::connection::Connection;

/// Bodies that one call shows: what is shown is in memory at once.
const SHOWN_BYTES_MAX: usize = 32 << 20;

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

/// How the broker is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Its version.
    pub version: String,
    /// The data folder.
    pub data: String,
    /// The level of durability: `fsync`, `interval`, `none`.
    pub durability: String,
    /// Open connections.
    pub connections: usize,
    /// Namespaces.
    pub namespaces: usize,
    /// Queues in all of them.
    pub queues: usize,
    /// Ready messages in all of them.
    pub messages: u64,
    /// Free bytes on the disk; none if it does not say.
    pub disk_free_bytes: Option<u64>,
    /// Publishers are told to wait, since the disk is nearly full.
    pub blocked: bool,
    /// Not even messages that were on their way are taken.
    pub refusing: bool,
}

/// A queue.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// `classic` or `quorum`.
    pub kind: String,
    /// It survives a restart.
    pub durable: bool,
    /// It goes with its connection.
    pub exclusive: bool,
    /// It goes with its last consumer.
    pub auto_delete: bool,
    /// Ready messages.
    pub ready: u64,
    /// Messages that consumers hold.
    pub unacknowledged: u64,
    /// Messages that wait for a retry.
    pub waiting: u64,
    /// Bytes of ready messages.
    pub bytes: u64,
    /// Bytes of messages in memory.
    pub memory: u64,
    /// Consumers.
    pub consumers: u64,
    /// What it was declared with.
    pub arguments: serde_json::Value,
}

/// A topic.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// `direct`, `fanout`, `pattern`, `headers`, `consistent-hash`.
    pub kind: String,
    /// Messages wait in it for their delay first.
    pub delayed: bool,
    /// It survives a restart.
    pub durable: bool,
    /// It goes with its last binding.
    pub auto_delete: bool,
    /// Clients cannot publish to it.
    pub internal: bool,
    /// Where unrouted messages go.
    pub alternate: Option<String>,
    /// What it was declared with.
    pub arguments: serde_json::Value,
}

/// A binding.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Binding {
    /// The topic it starts at (empty: the default topic).
    pub source: String,
    /// `queue` or `topic`.
    pub destination_kind: String,
    /// Where it leads.
    pub destination: String,
    /// Its key or pattern.
    pub key: String,
    /// Its arguments.
    pub arguments: serde_json::Value,
}

/// A connection.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ConnectionInfo {
    /// The broker's number for it.
    pub id: u64,
    /// The peer's address.
    pub peer: String,
    /// The protocol.
    pub protocol: String,
    /// It is encrypted.
    pub tls: bool,
    /// The user, once known.
    pub user: Option<String>,
    /// The namespace, once open.
    pub namespace: Option<String>,
    /// Where in its life it is.
    pub state: String,
    /// Open channels.
    pub channels: usize,
    /// What its software is.
    pub client: Option<String>,
    /// What it calls itself.
    pub label: Option<String>,
    /// When it came, in milliseconds since the Unix epoch.
    pub connected_at: Millis,
}

/// A consumer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Consumer {
    /// The queue.
    pub queue: String,
    /// What it calls itself.
    pub tag: String,
    /// The connection.
    pub connection: u64,
    /// The channel.
    pub channel: u16,
    /// It acknowledges.
    pub acknowledges: bool,
    /// It shares the queue with no one.
    pub exclusive: bool,
    /// Its priority.
    pub priority: i32,
    /// Messages it may hold; none: any number.
    pub prefetch: Option<u32>,
    /// Messages it holds.
    pub unacknowledged: u64,
    /// It gets messages.
    pub active: bool,
}

/// A message seen in a queue.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Peeked {
    /// Its number in the queue.
    pub sequence: u64,
    /// The topic it was published to.
    pub topic: String,
    /// Its key.
    pub key: String,
    /// It survives a restart.
    pub durable: bool,
    /// It may have been delivered before.
    pub redelivered: bool,
    /// Its priority.
    pub priority: Option<u8>,
    /// Its headers.
    pub headers: serde_json::Value,
    /// The queues where it died before: `queue (reason, n times)`.
    pub deaths: Vec<String>,
    /// Its body's length in bytes.
    pub body_bytes: usize,
    /// Its body, as text (what is not UTF-8 is replaced).
    pub body: String,
}

/// A user.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// It has a password.
    pub has_password: bool,
}

/// What a user may do in a namespace, as regular expressions over names.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Permission {
    /// The user.
    pub user: String,
    /// The namespace.
    pub namespace: String,
    /// What it may declare and delete.
    pub configure: String,
    /// What it may publish to.
    pub write: String,
    /// What it may consume from.
    pub read: String,
}

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
                }
            })
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
    /// There is no such queue, or it belongs to a connection.
    pub fn delete_queue(&self, namespace: &str, queue: &str) -> Result<u64> {
        let name = named(queue)?;
        self.ask(
            namespace,
            Request::DeclareQueue {
                name: name.clone(),
                settings: None,
            },
        )?;
        match self.ask(
            namespace,
            Request::DeleteQueue {
                name,
                if_unused: false,
                if_empty: false,
            },
        )? {
            Reply::Count(count) => Ok(count),
            _ => Ok(0),
        }
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

    /// The users, by name.
    #[must_use]
    pub fn users(&self) -> Vec<User> {
        let state = self.0.shard.look();
        let users = state.catalog.users();
        users
            .map(|(name, user)| User {
                name: name.clone(),
                tags: user.tags.clone(),
                has_password: user.hash.is_some(),
            })
            .collect()
    }

    /// Adds a user; without a password it can only come with a certificate.
    ///
    /// # Errors
    /// It is there already, or its password is too long.
    pub fn add_user(&self, name: &str, password: Option<&str>, tags: &[String]) -> Result<()> {
        if self.0.shard.look().catalog.user(name).is_some() {
            return Err(Failure(format!(
                "the user '{name}' exists already; change its password with `polybus users passwd`"
            )));
        }
        self.put_user(name, hashed(password)?, tags.to_vec())
    }

    /// Changes a user's password.
    ///
    /// # Errors
    /// There is no such user, or the password is too long.
    pub fn change_password(&self, name: &str, password: &str) -> Result<()> {
        let tags = self.known_user(name)?.tags;
        self.put_user(name, hashed(Some(password))?, tags)
    }

    /// Changes a user's tags.
    ///
    /// # Errors
    /// There is no such user.
    pub fn change_tags(&self, name: &str, tags: &[String]) -> Result<()> {
        let hash = self.known_user(name)?.hash;
        self.put_user(name, hash, tags.to_vec())
    }

    /// Deletes a user and its permissions; its connections are closed.
    ///
    /// # Errors
    /// There is no such user.
    pub fn delete_user(&self, name: &str) -> Result<()> {
        self.known_user(name)?;
        self.durably(|inner| {
            inner
                .change_catalog(&Change::DeleteUser {
                    name: name.to_owned(),
                })
                .map_err(Failure)
        })?;
        for entry in self.0.connections() {
            if entry.user.lock().as_deref() == Some(name) {
                entry.mailbox.push(Event::Shutdown {
                    reason: format!("the user '{name}' is deleted"),
                });
            }
        }
        Ok(())
    }

    /// All permissions, by user and namespace.
    #[must_use]
    pub fn permissions(&self) -> Vec<Permission> {
        let state = self.0.shard.look();
        let all = state.catalog.users().flat_map(|(name, user)| {
            user.permissions
                .iter()
                .map(move |(namespace, patterns)| Permission {
                    user: name.clone(),
                    namespace: namespace.clone(),
                    configure: patterns.configure.clone(),
                    write: patterns.write.clone(),
                    read: patterns.read.clone(),
                })
        });
        all.collect()
    }

    /// Says what a user may do in a namespace.
    ///
    /// # Errors
    /// There is no such user or namespace, or a pattern is no regular expression.
    pub fn set_permission(&self, permission: &Permission) -> Result<()> {
        self.known_user(&permission.user)?;
        self.inspect(&permission.namespace, |_| ())?;
        let patterns = Patterns {
            configure: permission.configure.clone(),
            write: permission.write.clone(),
            read: permission.read.clone(),
        };
        Permissions::new(&patterns).map_err(Failure)?;
        let (user, namespace) = (permission.user.clone(), permission.namespace.clone());
        let change = Change::PutPermissions {
            user,
            namespace,
            patterns,
        };
        self.durably(|inner| inner.change_catalog(&change).map_err(Failure))
    }

    /// Takes a user's permissions in a namespace away.
    ///
    /// # Errors
    /// It has none there.
    pub fn clear_permission(&self, user: &str, namespace: &str) -> Result<()> {
        if !self.known_user(user)?.permissions.contains_key(namespace) {
            return Err(Failure(format!(
                "the user '{user}' has no permissions in namespace '{namespace}'"
            )));
        }
        let change = Change::DeletePermissions {
            user: user.to_owned(),
            namespace: namespace.to_owned(),
        };
        self.durably(|inner| inner.change_catalog(&change).map_err(Failure))
    }

    fn known_user(&self, name: &str) -> Result<crate::access::User> {
        let found = self.0.shard.look().catalog.user(name).cloned();
        found.ok_or_else(|| Failure(format!("there is no user '{name}'")))
    }

    fn put_user(&self, name: &str, hash: Option<String>, tags: Vec<String>) -> Result<()> {
        if name.is_empty() || name.len() > Name::MAX {
            return Err(Failure(format!(
                "a user's name has 1 to {} bytes",
                Name::MAX
            )));
        }
        let change = Change::PutUser {
            name: name.to_owned(),
            hash,
            tags,
        };
        self.durably(|inner| inner.change_catalog(&change).map_err(Failure))
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

/// A short-lived session of the administrator's own, allowed everything.
struct Visitor {
    connection: Connection,
    events: std::collections::VecDeque<Event>,
}

impl Visitor {
    fn enter(broker: &Broker, namespace: &str) -> Result<Self> {
        let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let peer = Peer {
            remote: nowhere,
            local: nowhere,
            tls: false,
            certificate_name: None,
        };
        let mut connection = broker
            .connect("admin", &peer)
            .map_err(|error| Failure(error.to_string()))?;
        connection.enter_freely(&named(namespace)?).map_err(told)?;
        Ok(Self {
            connection,
            events: std::collections::VecDeque::new(),
        })
    }

    fn submit(&mut self, request: Request) {
        self.connection.submit(&mut Batch {
            requests: vec![(Lane(0), request)],
        });
    }

    fn ask(&mut self, request: Request) -> Result<Reply> {
        self.submit(request);
        loop {
            match self.next_event()? {
                Event::Reply { result, .. } => return result.map_err(told),
                Event::Failed { error, .. } => return Err(told(error)),
                _ => {}
            }
        }
    }

    fn next_event(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return match event {
                    Event::Shutdown { reason } => Err(Failure(reason)),
                    event => Ok(event),
                };
            }
            self.connection.wait_for_events();
            let mut events = Vec::new();
            self.connection.take_events(&mut events);
            self.events.extend(events);
        }
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

fn hashed(password: Option<&str>) -> Result<Option<String>> {
    password
        .map(Passwords::hash)
        .transpose()
        .map_err(|error| Failure(error.to_string()))
}

impl From<inspect::QueueSummary> for Queue {
    fn from(queue: inspect::QueueSummary) -> Self {
        let kind = match queue.settings.kind {
            QueueKind::Classic => "classic",
            QueueKind::Quorum => "quorum",
        };
        Self {
            name: queue.name.to_string(),
            kind: kind.into(),
            durable: queue.settings.durable,
            exclusive: queue.settings.exclusive,
            auto_delete: queue.settings.auto_delete,
            ready: queue.ready,
            unacknowledged: queue.leased,
            waiting: queue.waiting,
            bytes: queue.ready_bytes,
            memory: queue.memory_bytes as u64,
            consumers: queue.consumers,
            arguments: json_of_table(&queue.settings.arguments),
        }
    }
}

impl From<inspect::TopicSummary> for Topic {
    fn from(topic: inspect::TopicSummary) -> Self {
        let kind = match topic.settings.kind {
            TopicKind::Direct => "direct",
            TopicKind::Fanout => "fanout",
            TopicKind::Pattern => "pattern",
            TopicKind::Headers => "headers",
            TopicKind::ConsistentHash => "consistent-hash",
        };
        Self {
            name: topic.name.to_string(),
            kind: kind.into(),
            delayed: topic.settings.delayed,
            durable: topic.settings.durable,
            auto_delete: topic.settings.auto_delete,
            internal: topic.settings.internal,
            alternate: topic.settings.alternate.map(|name| name.to_string()),
            arguments: json_of_table(&topic.settings.arguments),
        }
    }
}

impl From<polybus_model::Binding> for Binding {
    fn from(binding: polybus_model::Binding) -> Self {
        let (destination_kind, destination) = match binding.destination {
            Destination::Queue(name) => ("queue", name),
            Destination::Topic(name) => ("topic", name),
        };
        Self {
            source: binding.source.to_string(),
            destination_kind: destination_kind.into(),
            destination: destination.to_string(),
            key: String::from_utf8_lossy(&binding.key).into_owned(),
            arguments: json_of_table(&binding.arguments),
        }
    }
}

impl From<inspect::ConsumerSummary> for Consumer {
    fn from(consumer: inspect::ConsumerSummary) -> Self {
        Self {
            queue: consumer.queue.to_string(),
            tag: String::from_utf8_lossy(&consumer.tag).into_owned(),
            connection: consumer.session.0,
            channel: consumer.lane.0,
            acknowledges: !consumer.auto_settle,
            exclusive: consumer.exclusive,
            priority: consumer.priority,
            prefetch: consumer.credit,
            unacknowledged: consumer.held,
            active: consumer.active,
        }
    }
}

/// Depth past which nested values are shown as `...`.
const JSON_DEPTH_MAX: usize = 32;

fn json_of_table(table: &Table) -> serde_json::Value {
    json_of(&Value::Table(table.clone()), 0)
}

fn json_of(value: &Value, depth: usize) -> serde_json::Value {
    if depth > JSON_DEPTH_MAX {
        return "...".into();
    }
    match value {
        Value::Void => serde_json::Value::Null,
        Value::Bool(v) => (*v).into(),
        Value::U64(v) | Value::Timestamp(v) => (*v).into(),
        Value::F32(v) => (*v).into(),
        Value::F64(v) => (*v).into(),
        Value::Decimal { scale, mantissa } => format!("{mantissa}e-{scale}").into(),
        Value::Text(bytes) | Value::Bytes(bytes) => text(bytes).into(),
        Value::Array(values) => values.iter().map(|one| json_of(one, depth + 1)).collect(),
        Value::Table(table) => {
            let fields = table
                .iter()
                .map(|(name, one)| (name.to_owned(), json_of(one, depth + 1)));
            serde_json::Value::Object(fields.collect())
        }
        whole => whole.as_i64().into(),
    }
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
