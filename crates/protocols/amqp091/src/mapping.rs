//! From this protocol's terms to the model's and back: arguments to settings, a publish to a message, a message to the
//! properties of a delivery. What RabbitMQ refuses is refused here in its words; nothing here keeps state.

pub(crate) mod deaths;
pub(crate) mod delivery;
pub(crate) mod exchange;
pub(crate) mod publish;
pub(crate) mod queue;
pub(crate) mod stream;

use polybus_model::Name;

use crate::codec::MethodId;
use crate::error::{Code, DEFAULT_EXCHANGE, Fault, reserved_name};

/// A name as declared: without line breaks, as RabbitMQ strips them.
pub(crate) fn stripped(text: &str) -> Name {
    if text.contains(['\r', '\n']) {
        name(&text.replace(['\r', '\n'], ""))
    } else {
        name(text)
    }
}

/// A name from a short string, which is never too long.
pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap_or_else(|_| Name::empty())
}

/// The fault of touching the default exchange.
pub(crate) fn default_exchange(method: MethodId) -> Fault {
    Fault::new(Code::AccessRefused, method, DEFAULT_EXCHANGE)
}

/// The fault of declaring a name that starts with `amq.`.
pub(crate) fn reserved(kind: &str, name: &str, method: MethodId) -> Fault {
    Fault::new(Code::AccessRefused, method, reserved_name(kind, name))
}
