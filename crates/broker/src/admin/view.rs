//! What listings show: plain structs, and how the engine's become them.

use polybus_engine::inspect;
use polybus_model::{Destination, Millis, QueueKind, TopicKind};
use serde::{Deserialize, Serialize};

use super::json::json_of_table;
use crate::access::KeptKeyRules;

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
    /// When something last came or went, as far as that was told.
    #[serde(default)]
    pub active_at: Millis,
    /// What the peer was told its number is; 0 where its protocol tells none.
    #[serde(default)]
    pub number: u64,
    /// What went through it, where its protocol counts that.
    #[serde(default)]
    pub traffic: Traffic,
}

/// What went through a connection, seen from the broker.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Traffic {
    /// Messages from the peer.
    pub messages_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Messages for the peer.
    pub messages_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Its subscriptions.
    pub subscriptions: u64,
    /// Bytes that wait for it.
    #[serde(default)]
    pub pending: u64,
}

impl From<polybus_session::Traffic> for Traffic {
    fn from(traffic: polybus_session::Traffic) -> Self {
        Self {
            messages_in: traffic.messages_in,
            bytes_in: traffic.bytes_in,
            messages_out: traffic.messages_out,
            bytes_out: traffic.bytes_out,
            subscriptions: traffic.subscriptions,
            pending: traffic.pending,
        }
    }
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
    /// Which subjects it may publish and subscribe to.
    #[serde(default, skip_serializing_if = "KeptKeyRules::is_empty")]
    pub subjects: KeptKeyRules,
}

impl From<inspect::QueueSummary> for Queue {
    fn from(queue: inspect::QueueSummary) -> Self {
        let kind = match queue.settings.kind {
            QueueKind::Classic => "classic",
            QueueKind::Quorum => "quorum",
            QueueKind::Log => "stream",
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
            Destination::Log(name) => ("log", name),
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
