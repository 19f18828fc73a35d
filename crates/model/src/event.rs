//! What the broker tells a session.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    AccessReply, Error, GroupReply, KeyRules, Lane, LeaseId, LiveBlock, LiveNote, LogReply,
    LogSummary, Message, Name, RecordBlock, Stored, SubscriberId,
};

/// Events are moved about by the million: what is rare and large in them is boxed.
const _: () = assert!(size_of::<Event>() <= 64 && size_of::<Delivery>() <= 48);

/// One event. The session is given them in order, many at a time.
#[derive(Debug)]
pub enum Event {
    /// A message for a subscriber. Hot.
    Delivery(Delivery),
    /// All publishes of the lane up to this number are taken care of: durable, or durable was not asked.
    /// Refused ones among them were told of before. Hot.
    Confirmed {
        /// The lane.
        lane: Lane,
        /// The last number.
        through: u64,
    },
    /// The publish with this number was refused by a full queue.
    Refused {
        /// The lane.
        lane: Lane,
        /// Its number.
        number: u64,
    },
    /// A mandatory publish that no destination wanted. Comes before its confirm.
    Returned {
        /// The lane.
        lane: Lane,
        /// The message.
        message: Message,
        /// Why.
        reason: ReturnReason,
    },
    /// The answer to a request that answers.
    Reply {
        /// The lane.
        lane: Lane,
        /// What it came to.
        result: Result<Reply, Box<Error>>,
    },
    /// A request without an answer failed (an unknown topic was published to); its lane's later requests in the batch were dropped.
    Failed {
        /// The lane.
        lane: Lane,
        /// Why.
        error: Box<Error>,
    },
    /// The answer to [`crate::Request::Log`] with this number.
    Log {
        /// The session's number for it.
        number: u64,
        /// What it came to.
        reply: Box<LogReply>,
    },
    /// The answer to [`crate::Request::Group`] with this number.
    Group {
        /// The session's number for it.
        number: u64,
        /// What it came to.
        reply: Box<GroupReply>,
    },
    /// The answer to [`crate::Request::Access`] with this number.
    Access {
        /// The session's number for it.
        number: u64,
        /// What it came to.
        reply: Box<AccessReply>,
    },
    /// Messages for live subscribers of the session: which of the block's go to which. Hot.
    Live {
        /// The messages.
        block: Arc<LiveBlock>,
        /// The number of a message in the block and whom it is for, in the order of the messages.
        targets: Vec<(u32, SubscriberId)>,
        /// What they are together, in bytes.
        bytes: usize,
    },
    /// A message for a live subscriber that did not come in a block.
    LiveMessage {
        /// The subscriber.
        subscriber: SubscriberId,
        /// The message.
        message: Message,
        /// What there is to say of it, if nobody published it.
        note: Option<LiveNote>,
    },
    /// Records for live subscribers of the session: which of the block's go to which. Hot.
    Records {
        /// The records.
        block: Arc<RecordBlock>,
        /// The number of a record in the block and whom it is for, in the order of the records.
        targets: Vec<(u32, SubscriberId)>,
        /// What they are together, in bytes.
        bytes: usize,
    },
    /// Nobody took these messages of a block of the session's own, which wanted that to be told.
    Unheard {
        /// The block.
        block: Arc<LiveBlock>,
        /// Which of its messages.
        items: Vec<u32>,
    },
    /// What keyed logs made of messages of a block of the session's own, which wanted that to be told; when what they took is
    /// durable.
    Stored {
        /// The block.
        block: Arc<LiveBlock>,
        /// What became of its messages, in their order.
        stored: Vec<Stored>,
    },
    /// These messages of a block of the session's own went nowhere: it may not publish them, or cannot now.
    LiveRefused {
        /// The block.
        block: Arc<LiveBlock>,
        /// Which of its messages.
        items: Vec<u32>,
        /// Why.
        error: Box<Error>,
    },
    /// A live subscription was not made.
    LiveNotSubscribed {
        /// Which.
        subscriber: SubscriberId,
        /// Why.
        error: Box<Error>,
    },
    /// The session is to end: its live subscribers get more than its peer reads. Nothing more is delivered to them.
    TooSlow {
        /// Bytes that waited for it.
        pending: usize,
    },
    /// The subscription was ended by the broker: its queue or topic is gone, or it had as many messages as it was to get.
    SubscriptionEnded {
        /// The lane.
        lane: Lane,
        /// Which.
        subscriber: SubscriberId,
    },
    /// A consumer held a message for too long; the lane is to be closed.
    ConsumerTimeout {
        /// The lane.
        lane: Lane,
        /// The limit in milliseconds.
        timeout: u64,
    },
    /// The broker takes no publishes for now (a low disk or memory): tell the peer.
    Blocked {
        /// Why, in words.
        reason: &'static str,
    },
    /// It takes them again.
    Unblocked,
    /// The session is to end: someone asked for it, or the broker stops.
    Shutdown {
        /// Why, in words.
        reason: String,
    },
}

/// Why a message came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReturnReason {
    /// No binding led anywhere.
    Unroutable,
}

/// How often a message was delivered before and came back.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Attempts {
    /// Times that counted as failed deliveries.
    pub failed: u32,
    /// All times.
    pub all: u32,
}

/// A message handed to a subscriber.
#[derive(Debug)]
pub struct Delivery {
    /// The subscriber's lane.
    pub lane: Lane,
    /// The subscriber.
    pub subscriber: SubscriberId,
    /// What to settle; none if it counts as settled already.
    pub lease: Option<LeaseId>,
    /// The message.
    pub message: Message,
    /// It may have been delivered before.
    pub redelivered: bool,
    /// Its earlier attempts, where the queue counts them and there were any.
    pub attempts: Option<Attempts>,
}

/// A message taken by [`crate::Request::Take`].
#[derive(Debug)]
pub struct Taken {
    /// What to settle; none if it counts as settled already.
    pub lease: Option<LeaseId>,
    /// The message.
    pub message: Message,
    /// It may have been delivered before.
    pub redelivered: bool,
    /// Its earlier attempts, where the queue counts them and there were any.
    pub attempts: Option<Attempts>,
    /// Ready messages that remain.
    pub remaining: u64,
}

/// What an answered request came to.
#[derive(Debug)]
pub enum Reply {
    /// Done.
    Done,
    /// The session is in its namespace, and these rules about keys hold for its user.
    Entered(Arc<KeyRules>),
    /// The queue, with its counts.
    Queue {
        /// Its name.
        name: Name,
        /// Ready messages.
        messages: u64,
        /// Subscribers.
        consumers: u64,
    },
    /// The queue to be subscribed to is a log: there is no subscription, the session reads it ([`crate::LogRequest::Read`]).
    Log(Box<LogSummary>),
    /// So many messages went (purge, delete).
    Count(u64),
    /// With what a password is salted, and how often it is hashed.
    Salt {
        /// The salt.
        salt: Bytes,
        /// The number.
        iterations: u32,
    },
    /// The peer has proven who it is; this proves to it who the broker is.
    Proven {
        /// The broker's signature.
        signature: Bytes,
    },
    /// The message taken, or none ready.
    Taken(Option<Box<Taken>>),
}
