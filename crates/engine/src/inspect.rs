//! What listings show: plain copies of the state, never the state itself.

use bytes::Bytes;
use polybus_model::{Message, Name, QueueSettings, SessionId, Table, TopicSettings};

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
