//! The message: one allocation that holds topic, key, the origin protocol's raw property bytes and the body.
//!
//! ```text
//! Message -> [ Head | topic | key | properties | body ]        bodies up to INLINE_BODY_MAX
//!            [ Head(body: Bytes) | topic | key | properties ]  larger ones, kept by reference
//! ```
//! A message never changes; [`Message::redirected`] makes the copy that a dead-letter topic routes, [`Message::with_marks`] one
//! that says more of what became of it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use triomphe::ThinArc;

use crate::joined::joined;
use crate::{Millis, Name};

/// Whose property bytes a message carries, so that the same protocol reads them back byte for byte.
/// Protocols are numbered here and nowhere else named; 0 is Polybus' own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Origin(pub u8);

/// Bodies up to this many bytes share the message's own allocation.
const INLINE_BODY_MAX: usize = 4 * 1024;

/// Why a message was dead-lettered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DeathReason {
    /// A consumer rejected it.
    Rejected,
    /// Its time to live ran out.
    Expired,
    /// The queue was full.
    MaxLength,
    /// It was delivered too often.
    DeliveryLimit,
}

/// One line of a message's dead-letter history: one per queue and reason, the latest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Death {
    /// Why.
    pub reason: DeathReason,
    /// Where from.
    pub queue: Name,
    /// The topic it had been published to then.
    pub topic: Name,
    /// Its keys then: the routing key, then the further ones (AMQP CC, without BCC).
    pub keys: Vec<Bytes>,
    /// When it first happened.
    pub time: Millis,
    /// How often.
    pub count: u64,
    /// The message's own time to live, taken away when it expired so that it does not expire again.
    pub original_ttl: Option<Millis>,
}

/// What the broker did to a message, for protocols that tell it in their properties (which stay as they came).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Marks {
    /// It has waited in a delayed topic.
    pub delayed: bool,
    /// A dead-lettering gave it a new key: the further keys in its properties no longer count.
    pub rekeyed: bool,
    /// It says that there is nothing more of its key.
    pub ends_key: bool,
}

/// What a message is made of; see [`Message::new`].
#[derive(Clone, Debug)]
pub struct MessageParts<'a> {
    /// Whose properties these are.
    pub origin: Origin,
    /// The topic it is published to (empty: the default topic).
    pub topic: &'a [u8],
    /// The key it is routed by.
    pub key: &'a [u8],
    /// The origin protocol's property bytes, as they came.
    pub properties: &'a [u8],
    /// The body.
    pub body: Body<'a>,
    /// True if it shall survive a restart in a durable queue.
    pub durable: bool,
    /// Its priority, if it names one.
    pub priority: Option<u8>,
    /// Its time to live in milliseconds, if it names one.
    pub ttl: Option<Millis>,
    /// Its dead-letter history, the latest first.
    pub deaths: Option<Arc<Vec<Death>>>,
}

/// A body to make a message of.
#[derive(Clone, Debug)]
pub enum Body<'a> {
    /// Bytes to copy.
    Copied(&'a [u8]),
    /// Bytes to share (copied all the same when they are few).
    Shared(Bytes),
}

struct Head {
    origin: Origin,
    durable: bool,
    marks: Marks,
    priority: Option<u8>,
    topic_len: u8,
    key_len: u16,
    properties_len: u32,
    ttl: Option<Millis>,
    shared_body: Option<Bytes>,
    deaths: Option<Arc<Vec<Death>>>,
}

/// A message, cheap to clone.
#[derive(Clone)]
pub struct Message(ThinArc<Head, u8>);

impl Message {
    /// Makes a message. A topic is cut at 255 bytes and a key at 65,535: sessions refuse longer ones before.
    #[must_use]
    pub fn new(parts: MessageParts<'_>) -> Self {
        Self::marked(parts, Marks::default())
    }

    /// Makes a message that something was done to already; see [`Message::new`].
    #[must_use]
    pub fn marked(parts: MessageParts<'_>, marks: Marks) -> Self {
        let topic = parts.topic.get(..255).unwrap_or(parts.topic);
        let key = parts.key.get(..65_535).unwrap_or(parts.key);
        let (inline, shared) = match &parts.body {
            Body::Copied(bytes) if bytes.len() <= INLINE_BODY_MAX => (*bytes, None),
            Body::Copied(bytes) => (&[][..], Some(Bytes::copy_from_slice(bytes))),
            Body::Shared(bytes) if bytes.len() <= INLINE_BODY_MAX => (bytes.as_ref(), None),
            Body::Shared(bytes) => (&[][..], Some(bytes.clone())),
        };
        let head = Head {
            origin: parts.origin,
            durable: parts.durable,
            marks,
            priority: parts.priority,
            topic_len: topic.len() as u8,
            key_len: key.len() as u16,
            properties_len: parts.properties.len() as u32,
            ttl: parts.ttl,
            shared_body: shared,
            deaths: parts.deaths,
        };
        Self(joined(head, [topic, key, parts.properties, inline]))
    }

    /// The copy that another topic routes: a new key (none: as before), no time to live, a longer history; all else shared
    /// or kept.
    #[must_use]
    pub fn redirected(&self, topic: &Name, key: Option<&[u8]>, deaths: Arc<Vec<Death>>) -> Self {
        let marks = Marks {
            rekeyed: self.marks().rekeyed || key.is_some(),
            ..self.marks()
        };
        let parts = MessageParts {
            topic: topic.as_str().as_bytes(),
            key: key.unwrap_or(self.key()),
            ttl: None,
            deaths: Some(deaths),
            ..self.parts()
        };
        Self::marked(parts, marks)
    }

    /// The copy for another topic, all else kept.
    #[must_use]
    pub fn readdressed(&self, topic: &Name) -> Self {
        let parts = MessageParts {
            topic: topic.as_str().as_bytes(),
            ..self.parts()
        };
        Self::marked(parts, self.marks())
    }

    /// The copy with this key instead.
    #[must_use]
    pub fn with_key(&self, key: &[u8]) -> Self {
        Self::marked(
            MessageParts {
                key,
                ..self.parts()
            },
            self.marks(),
        )
    }

    /// The copy with these property bytes instead.
    #[must_use]
    pub fn with_properties(&self, properties: &[u8]) -> Self {
        Self::marked(
            MessageParts {
                properties,
                ..self.parts()
            },
            self.marks(),
        )
    }

    /// The copy with these marks instead.
    #[must_use]
    pub fn with_marks(&self, marks: Marks) -> Self {
        Self::marked(self.parts(), marks)
    }

    /// The copy with this time to live instead.
    #[must_use]
    pub fn with_ttl(&self, ttl: Option<Millis>) -> Self {
        Self::marked(
            MessageParts {
                ttl,
                ..self.parts()
            },
            self.marks(),
        )
    }

    /// The copy with this body instead.
    #[must_use]
    pub fn with_body(&self, body: Bytes) -> Self {
        let parts = MessageParts {
            body: Body::Shared(body),
            ..self.parts()
        };
        Self::marked(parts, self.marks())
    }

    fn parts(&self) -> MessageParts<'_> {
        MessageParts {
            origin: self.origin(),
            topic: self.topic(),
            key: self.key(),
            properties: self.properties(),
            body: match self.shared_body() {
                Some(bytes) => Body::Shared(bytes.clone()),
                None => Body::Copied(self.body()),
            },
            durable: self.is_durable(),
            priority: self.priority(),
            ttl: self.ttl(),
            deaths: self.deaths().cloned(),
        }
    }

    fn head(&self) -> &Head {
        &self.0.header.header
    }

    fn part(&self, from: usize, len: usize) -> &[u8] {
        self.0.slice.get(from..from + len).unwrap_or_default()
    }

    /// Whose properties it carries.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.head().origin
    }

    /// The topic it was published to, as bytes of UTF-8.
    #[must_use]
    pub fn topic(&self) -> &[u8] {
        self.part(0, self.head().topic_len.into())
    }

    /// The key it was published with.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.part(self.head().topic_len.into(), self.head().key_len.into())
    }

    /// The origin protocol's property bytes.
    #[must_use]
    pub fn properties(&self) -> &[u8] {
        let head = self.head();
        self.part(
            usize::from(head.topic_len) + usize::from(head.key_len),
            head.properties_len as usize,
        )
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        let head = self.head();
        match &head.shared_body {
            Some(bytes) => bytes,
            None => {
                let from = usize::from(head.topic_len)
                    + usize::from(head.key_len)
                    + head.properties_len as usize;
                self.0.slice.get(from..).unwrap_or_default()
            }
        }
    }

    /// The body, if it is large enough to be kept by reference (then writing it vectored saves a copy).
    #[must_use]
    pub fn shared_body(&self) -> Option<&Bytes> {
        self.head().shared_body.as_ref()
    }

    /// The bytes `topic | key | properties | inline body`, as they stand together in memory.
    #[must_use]
    pub fn inline_bytes(&self) -> &[u8] {
        &self.0.slice
    }

    /// True if it shall survive a restart in a durable queue.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.head().durable
    }

    /// What the broker did to it.
    #[must_use]
    pub fn marks(&self) -> Marks {
        self.head().marks
    }

    /// Its priority, if it named one.
    #[must_use]
    pub fn priority(&self) -> Option<u8> {
        self.head().priority
    }

    /// Its time to live in milliseconds, if it named one.
    #[must_use]
    pub fn ttl(&self) -> Option<Millis> {
        self.head().ttl
    }

    /// Its dead-letter history, the latest first.
    #[must_use]
    pub fn deaths(&self) -> Option<&Arc<Vec<Death>>> {
        self.head().deaths.as_ref()
    }

    /// The memory that it holds, in bytes, roughly.
    #[must_use]
    pub fn memory_size(&self) -> usize {
        size_of::<Head>()
            + 24
            + self.0.slice.len()
            + self.head().shared_body.as_ref().map_or(0, Bytes::len)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("topic", &String::from_utf8_lossy(self.topic()))
            .field("key", &String::from_utf8_lossy(self.key()))
            .field("body_len", &self.body().len())
            .finish_non_exhaustive()
    }
}
