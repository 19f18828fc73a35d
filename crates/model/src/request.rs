//! What a session asks of the broker.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::{
    AccessRequest, Binding, Error, GroupRequest, Lane, LeaseId, LiveBlock, LogRequest, Message,
    Millis, Name, QueueSettings, ScramHash, ScramProof, SubscribeLive, SubscriberId, Table,
    TopicSettings,
};

/// All that one read held: requests in order, each on its lane. A request that fails stops its lane: the lane's later
/// requests in the same batch are not carried out (the session has to tell its peer first).
#[derive(Debug, Default)]
pub struct Batch {
    /// The requests.
    pub requests: Vec<(Lane, Request)>,
}

/// One request. Those said to answer give exactly one [`crate::Event::Reply`] on their lane; the others give events only
/// where something is to be told ([`crate::Event::Failed`] if they fail).
#[derive(Debug)]
pub enum Request {
    /// Publish a message. Hot; no reply.
    Publish(Publish),
    /// Settle leases. Hot; no reply.
    Settle(Settle),
    /// Publish what a read held for live subscribers (and for whatever else its topic leads to). Hot; no reply, and it never
    /// fails its lane.
    PublishLive(Arc<LiveBlock>),
    /// Listen to a topic. No reply; [`crate::Event::LiveNotSubscribed`] if it fails, which does not stop its lane.
    SubscribeLive(Box<SubscribeLive>),
    /// Listen no more (one that is not there is fine). No reply; what was on its way may still come.
    UnsubscribeLive {
        /// Which.
        subscriber: SubscriberId,
        /// Only once it has had so many messages, counted from its beginning; then [`crate::Event::SubscriptionEnded`] says so.
        after: Option<u64>,
    },
    /// Who the peer is. Answers; the session must be open to nothing else before it succeeded.
    Authenticate(Credentials),
    /// With what a user's password is salted, so that it can be proven: before [`Credentials::Scram`]. Answers with
    /// [`crate::Reply::Salt`], whether there is such a user or not.
    LookUpSalt {
        /// The user.
        user: String,
        /// The hash function.
        hash: ScramHash,
    },
    /// Enter a namespace. Answers.
    Open {
        /// Its name.
        namespace: Name,
    },
    /// Declare a topic. Answers.
    DeclareTopic {
        /// Its name.
        name: Name,
        /// With what; none asks only whether it exists.
        settings: Option<Box<TopicSettings>>,
    },
    /// Delete a topic (one that is not there is fine). Answers.
    DeleteTopic {
        /// Its name.
        name: Name,
        /// Fail if it has bindings.
        if_unused: bool,
    },
    /// Bind a topic to a destination. Answers.
    Bind(Box<Binding>),
    /// Take a binding away (one that is not there is fine). Answers.
    Unbind(Box<Binding>),
    /// Declare a queue. Answers with its name and counts.
    DeclareQueue {
        /// Its name (the session makes up names that the peer leaves to the server).
        name: Name,
        /// With what; none asks only whether it exists.
        settings: Option<Box<QueueSettings>>,
    },
    /// Delete a queue (one that is not there is fine). Answers with how many messages it had.
    DeleteQueue {
        /// Its name.
        name: Name,
        /// Fail if it has subscribers.
        if_unused: bool,
        /// Fail if it has ready messages.
        if_empty: bool,
    },
    /// Drop a queue's ready messages. Answers with how many.
    Purge {
        /// Its name.
        queue: Name,
    },
    /// Subscribe to a queue. Answers; deliveries follow.
    Subscribe(Box<Subscribe>),
    /// End a subscription (one that is not there is fine); what it holds stays leased to the lane. Answers.
    Unsubscribe {
        /// Which.
        subscriber: SubscriberId,
    },
    /// Bound the messages that all subscribers of the lane hold together (none: unbounded). Answers.
    LaneCredit {
        /// How many.
        limit: Option<u32>,
    },
    /// Pause (false) or resume (true) deliveries to the lane. Answers.
    Flow {
        /// Deliver?
        active: bool,
    },
    /// Take one message now. Answers with [`crate::Reply::Taken`].
    Take {
        /// The queue.
        queue: Name,
        /// Settle it at once.
        auto_settle: bool,
    },
    /// Carry out publishes and settlements together: all or, where one is not allowed, none. Answers when durable.
    Transaction(Box<Transaction>),
    /// End a lane: its subscriptions end, what it holds goes back to its queues. Answers.
    CloseLane,
    /// Something of logs. Gives one [`crate::Event::Log`] with the same number, and never fails its lane.
    Log {
        /// The session's number for it.
        number: u64,
        /// What.
        request: Box<LogRequest>,
    },
    /// Something of groups. Gives one [`crate::Event::Group`] with the same number, and never fails its lane.
    Group {
        /// The session's number for it.
        number: u64,
        /// What.
        request: Box<GroupRequest>,
    },
    /// Something of users and what they may do. Gives one [`crate::Event::Access`] with the same number, and never fails its
    /// lane.
    Access {
        /// The session's number for it.
        number: u64,
        /// What.
        request: Box<AccessRequest>,
    },
    /// The session has written so many bytes of deliveries to its peer. Hot; no reply.
    Drained {
        /// Bytes as counted by [`Message::memory_size`].
        bytes: usize,
    },
    /// The broker puts this in place of a request that the session may not make; it fails in its turn, like any other.
    Refused {
        /// Why.
        error: Box<Error>,
        /// Whether the request that it replaces answers.
        answers: bool,
    },
}

impl Request {
    /// Whether it gives a [`crate::Event::Reply`].
    #[must_use]
    pub fn answers(&self) -> bool {
        match self {
            Self::Publish(_)
            | Self::Settle(_)
            | Self::PublishLive(_)
            | Self::SubscribeLive(_)
            | Self::UnsubscribeLive { .. }
            | Self::Drained { .. }
            | Self::Log { .. }
            | Self::Group { .. }
            | Self::Access { .. } => false,
            Self::Refused { answers, .. } => *answers,
            _ => true,
        }
    }
}

/// A message to publish.
#[derive(Debug)]
pub struct Publish {
    /// The message; its topic and key say where to.
    pub message: Message,
    /// Further keys to route by (AMQP CC and BCC).
    pub more_keys: Vec<Bytes>,
    /// Give it back if no destination wants it.
    pub mandatory: bool,
    /// The number to confirm it under, rising by one on its lane; none wants no confirm.
    pub confirm: Option<u64>,
    /// Wait so long in a delayed topic.
    pub delay: Option<Millis>,
}

/// Leases to settle, all alike.
#[derive(Debug)]
pub struct Settle {
    /// Which.
    pub leases: Vec<LeaseId>,
    /// How.
    pub outcome: Outcome,
}

/// How a delivery ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Done with.
    Accept,
    /// Back to its place in the queue.
    Release {
        /// It counts as a failed delivery (towards a delivery limit).
        failed: bool,
    },
    /// Refused for good: dead-lettered, or dropped where there is nowhere to.
    Reject,
}

/// A subscription to make.
#[derive(Debug)]
pub struct Subscribe {
    /// The queue.
    pub queue: Name,
    /// The session's number for it.
    pub subscriber: SubscriberId,
    /// What the peer calls it, for listings.
    pub tag: Bytes,
    /// Messages count as settled when they are sent.
    pub auto_settle: bool,
    /// No other subscriber beside it.
    pub exclusive: bool,
    /// Higher ones are served first.
    pub priority: i32,
    /// At most so many messages held at a time (none: unbounded).
    pub credit: Option<u32>,
    /// How long it may hold a message, if other than the queue's.
    pub consumer_timeout: Option<Millis>,
    /// It is to a queue that the session made for itself: the peer needs no permission.
    pub internal: bool,
    /// Arguments, for listings.
    pub arguments: Table,
}

/// Publishes and settlements that belong together.
#[derive(Debug, Default)]
pub struct Transaction {
    /// The publishes, in order; `confirm` is not used.
    pub publishes: Vec<Publish>,
    /// The settlements, in order.
    pub settles: Vec<Settle>,
}

/// Where a binding leads.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Destination {
    /// A queue of that name.
    Queue(Name),
    /// Another topic.
    Topic(Name),
    /// A log. Requests may call it a queue, where no queue has its name.
    Log(Name),
}

/// How a peer proves who it is. Never printed.
pub enum Credentials {
    /// A name and a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A proof that the peer knows the password. Answers with [`crate::Reply::Proven`].
    Scram(ScramProof),
    /// The name that the peer's verified TLS certificate gives.
    Certificate {
        /// The user.
        user: String,
    },
    /// A token or a key that the operator has given the user; the session has checked it.
    Checked {
        /// The user.
        user: String,
    },
    /// None at all: the operator lets such peers in as this user.
    Anonymous {
        /// The user.
        user: String,
    },
}

impl Credentials {
    /// Who the peer says it is.
    #[must_use]
    pub fn user(&self) -> &str {
        match self {
            Self::Password { user, .. }
            | Self::Scram(ScramProof { user, .. })
            | Self::Certificate { user }
            | Self::Checked { user }
            | Self::Anonymous { user } => user,
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => write!(f, "Password({user:?}, ..)"),
            Self::Scram(proof) => proof.fmt(f),
            Self::Certificate { user } => write!(f, "Certificate({user:?})"),
            Self::Checked { user } => write!(f, "Checked({user:?})"),
            Self::Anonymous { user } => write!(f, "Anonymous({user:?})"),
        }
    }
}
