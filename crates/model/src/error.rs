//! What can go wrong with a request, in terms every protocol can put into its own words.

use std::fmt;

use bytes::Bytes;

use crate::{Name, Value};

/// A kind of thing with a name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Resource {
    /// A namespace.
    Namespace,
    /// A topic.
    Topic,
    /// A queue.
    Queue,
}

/// A setting that is not what it was declared as.
#[derive(Clone, PartialEq, Debug)]
pub struct Difference {
    /// Which: `durable`, `auto_delete`, `exclusive`, `type`, `internal`, or an argument's name.
    pub field: String,
    /// What the request said (none: not given).
    pub received: Option<Value>,
    /// What is in force (none: not given).
    pub current: Option<Value>,
}

/// Why a topic or a binding could not route.
#[derive(Clone, PartialEq, Debug)]
pub enum RoutingFault {
    /// A header and a property are named, of which only one can be hashed.
    TwoHashed,
    /// The header that is to be hashed is named by this.
    HashedHeader(Value),
    /// The property that is to be hashed is named by this.
    HashedProperty(Value),
    /// Headers are to be matched by this.
    MatchMode(Value),
    /// The weight of a hashed binding is no number above zero.
    Weight(Bytes),
}

/// What the broker keeps for itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reserved {
    /// The default topic stands as it is: nobody declares, deletes or binds it.
    DefaultTopic,
    /// The name: only the broker declares topics of such names.
    Name,
    /// The topic, since the broker made it: nobody deletes it.
    OwnTopic,
    /// The topic, since it is internal: only bindings lead to it.
    InternalTopic,
}

/// Which sort of failure it is.
#[derive(Clone, PartialEq, Debug)]
pub enum Kind {
    /// There is none of that name.
    NotFound,
    /// It exists with other settings.
    Inequivalent(Box<Difference>),
    /// It belongs to another session.
    Locked,
    /// It has an exclusive subscriber, or has subscribers and exclusive use was asked.
    ExclusiveUse,
    /// It still has subscribers or bindings.
    InUse,
    /// It still has messages.
    NotEmpty,
    /// The peer may not do that; the text says what.
    AccessRefused(String),
    /// The user or password is wrong.
    BadCredentials,
    /// A setting or argument has a bad value; the text says which and why.
    InvalidSetting(String),
    /// It could not route.
    InvalidRouting(Box<RoutingFault>),
    /// The broker keeps it for itself.
    Reserved(Reserved),
    /// The request makes no sense for this resource; the text says why.
    NotAllowed(String),
    /// No resource of this sort can do that; the text says what.
    Unsupported(&'static str),
    /// A bound of the broker is reached (queues, namespaces, subscribers); the text says which setting moves it.
    LimitReached(String),
    /// The broker cannot do it now; the text says why (the disk is full, the broker stops).
    Unavailable(String),
}

impl Kind {
    /// It exists with another `field`.
    #[must_use]
    pub fn inequivalent(field: &str, received: Option<Value>, current: Option<Value>) -> Self {
        Self::Inequivalent(Box::new(Difference {
            field: field.to_owned(),
            received,
            current,
        }))
    }
}

/// A failed request.
#[derive(Clone, PartialEq, Debug)]
pub struct Error {
    /// What happened.
    pub kind: Kind,
    /// What it happened to.
    pub resource: Resource,
    /// Its name.
    pub name: Name,
    /// The namespace it is in.
    pub namespace: Name,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.resource {
            Resource::Namespace => "namespace",
            Resource::Topic => "topic",
            Resource::Queue => "queue",
        };
        write!(
            f,
            "{what} '{}' in namespace '{}': ",
            self.name, self.namespace
        )?;
        match &self.kind {
            Kind::NotFound => f.write_str("does not exist"),
            Kind::Inequivalent(difference) => {
                write!(f, "exists with another '{}'", difference.field)
            }
            Kind::Locked => f.write_str("belongs to another connection"),
            Kind::ExclusiveUse => f.write_str("is in exclusive use"),
            Kind::InUse => f.write_str("is in use"),
            Kind::NotEmpty => f.write_str("is not empty"),
            Kind::BadCredentials => f.write_str("the user or password is wrong"),
            Kind::Reserved(reserved) => f.write_str(match reserved {
                Reserved::DefaultTopic => "the default topic stands as it is",
                Reserved::Name => "only the broker declares topics of that name",
                Reserved::OwnTopic => "it is the broker's own",
                Reserved::InternalTopic => "it is internal: only bindings lead to it",
            }),
            Kind::InvalidRouting(fault) => write!(f, "could not route: {fault:?}"),
            Kind::Unsupported(text) => f.write_str(text),
            Kind::AccessRefused(text)
            | Kind::InvalidSetting(text)
            | Kind::NotAllowed(text)
            | Kind::LimitReached(text)
            | Kind::Unavailable(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}
