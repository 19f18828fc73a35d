//! What topics, queues and bindings are declared with.

use bytes::Bytes;

use crate::{Millis, Name, Table};

/// How a topic chooses among its bindings.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TopicKind {
    /// The binding's key equals the message's.
    Direct,
    /// Every binding.
    Fanout,
    /// Dot-separated words, `*` for one and `#` for any number.
    Pattern,
    /// Fields of the message's headers.
    Headers,
    /// A hash of the key (or of a header or property) picks one destination by weight.
    ConsistentHash,
}

/// A topic's settings.
#[derive(Clone, PartialEq, Debug)]
pub struct TopicSettings {
    /// How it routes.
    pub kind: TopicKind,
    /// True if messages wait in it for their own delay first (AMQP `x-delayed-message`).
    pub delayed: bool,
    /// It survives a restart.
    pub durable: bool,
    /// It goes when its last binding as a source goes.
    pub auto_delete: bool,
    /// Clients cannot publish to it; bindings to it can.
    pub internal: bool,
    /// Where messages go that no binding wants.
    pub alternate: Option<Name>,
    /// The arguments as declared, for equivalence and listings.
    pub arguments: Table,
}

/// A binding from a topic to a destination. Two are the same if all of it is the same.
#[derive(Clone, PartialEq, Debug)]
pub struct Binding {
    /// The topic it starts at.
    pub source: Name,
    /// Where it leads.
    pub destination: crate::Destination,
    /// The key or pattern.
    pub key: Bytes,
    /// Arguments (header fields and how to match them).
    pub arguments: Table,
}

/// What sort of queue it is, where sorts differ.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum QueueKind {
    /// The usual one.
    Classic,
    /// Always durable, counts deliveries.
    Quorum,
    /// A log, and no queue but by its name: it is read, and what it holds stays.
    Log,
}

/// What a full queue does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Overflow {
    /// Drops (or dead-letters) the oldest.
    DropHead,
    /// Refuses the newest.
    RejectPublish,
    /// Refuses the newest and dead-letters it.
    RejectPublishDeadLetter,
}

/// Where dead letters go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetter {
    /// The topic.
    pub topic: Name,
    /// The key, if not the message's own keys.
    pub key: Option<Bytes>,
}

/// Which messages that come back to their queue are meant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Returns {
    /// All of them.
    All,
    /// Those of failed deliveries.
    Failed,
    /// The others.
    Unfailed,
}

impl Returns {
    /// Whether a return is among them that `failed` or did not.
    #[must_use]
    pub const fn include(self, failed: bool) -> bool {
        match self {
            Self::All => true,
            Self::Failed => failed,
            Self::Unfailed => !failed,
        }
    }
}

/// How long a returned message waits before it is delivered again: `min(min * failed attempts, max)`, and `min` at least.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DelayedRetry {
    /// Which returned messages wait.
    pub of: Returns,
    /// Milliseconds for the first attempt.
    pub min: Millis,
    /// Milliseconds at most.
    pub max: Millis,
}

/// A queue's settings.
#[derive(Clone, PartialEq, Debug)]
pub struct QueueSettings {
    /// What sort.
    pub kind: QueueKind,
    /// It survives a restart.
    pub durable: bool,
    /// Only the declaring session sees it; it goes with the session.
    pub exclusive: bool,
    /// It goes when its last subscriber goes.
    pub auto_delete: bool,
    /// Every message's time to live.
    pub message_ttl: Option<Millis>,
    /// It goes when it was unused for so long.
    pub expires: Option<Millis>,
    /// At most so many ready messages.
    pub max_length: Option<u64>,
    /// At most so many bytes of ready messages.
    pub max_bytes: Option<u64>,
    /// Of a log: what is older goes, in milliseconds.
    pub max_age: Option<Millis>,
    /// What happens past them.
    pub overflow: Overflow,
    /// Where dead letters go.
    pub dead_letter: Option<DeadLetter>,
    /// Priorities from 0 to this (at most 255).
    pub max_priority: Option<u8>,
    /// Deliveries before a message is dead-lettered.
    pub delivery_limit: Option<u64>,
    /// Wait between deliveries.
    pub delayed_retry: Option<DelayedRetry>,
    /// Only one subscriber at a time gets messages.
    pub single_active: bool,
    /// How long a consumer may hold a message.
    pub consumer_timeout: Option<Millis>,
    /// The session makes it for a purpose of its own, under a name of its own: the peer needs no permission for it.
    pub internal: bool,
    /// The arguments as declared, for equivalence and listings.
    pub arguments: Table,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            kind: QueueKind::Classic,
            durable: false,
            exclusive: false,
            auto_delete: false,
            message_ttl: None,
            expires: None,
            max_length: None,
            max_bytes: None,
            max_age: None,
            overflow: Overflow::DropHead,
            dead_letter: None,
            max_priority: None,
            delivery_limit: None,
            delayed_retry: None,
            single_active: false,
            consumer_timeout: None,
            internal: false,
            arguments: Table::new(),
        }
    }
}
