//! What a peer is told when something is wrong: reply code, reply text and the method at fault, worded as RabbitMQ words
//! them, since applications match on these texts. One conversion, [`Fault::from_broker`], decides for every error of the
//! broker. The code decides the scope: soft ones close the channel, hard ones the connection.

use std::fmt::Write;

use polybus_model::{Difference, Error, Kind, Reserved, Resource, RoutingFault, Value};

use crate::codec::{CodecError, MethodId};

/// No method in particular.
pub(crate) const NO_METHOD: MethodId = MethodId::new(0, 0);

/// The longest reply text, in bytes.
const TEXT_MAX: usize = 255;

/// A reply code: its number, its name, and whether it costs the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Code {
    ConnectionForced,
    AccessRefused,
    NotFound,
    ResourceLocked,
    PreconditionFailed,
    FrameError,
    SyntaxError,
    CommandInvalid,
    ChannelError,
    UnexpectedFrame,
    ResourceError,
    NotAllowed,
    NotImplemented,
    InternalError,
}

impl Code {
    fn row(self) -> (u16, &'static str) {
        match self {
            Self::ConnectionForced => (320, "CONNECTION_FORCED"),
            Self::AccessRefused => (403, "ACCESS_REFUSED"),
            Self::NotFound => (404, "NOT_FOUND"),
            Self::ResourceLocked => (405, "RESOURCE_LOCKED"),
            Self::PreconditionFailed => (406, "PRECONDITION_FAILED"),
            Self::FrameError => (501, "FRAME_ERROR"),
            Self::SyntaxError => (502, "SYNTAX_ERROR"),
            Self::CommandInvalid => (503, "COMMAND_INVALID"),
            Self::ChannelError => (504, "CHANNEL_ERROR"),
            Self::UnexpectedFrame => (505, "UNEXPECTED_FRAME"),
            Self::ResourceError => (506, "RESOURCE_ERROR"),
            Self::NotAllowed => (530, "NOT_ALLOWED"),
            Self::NotImplemented => (540, "NOT_IMPLEMENTED"),
            Self::InternalError => (541, "INTERNAL_ERROR"),
        }
    }

    pub(crate) fn number(self) -> u16 {
        self.row().0
    }

    /// True if it closes the connection and not only a channel.
    pub(crate) fn is_hard(self) -> bool {
        !matches!(
            self,
            Self::AccessRefused | Self::NotFound | Self::ResourceLocked | Self::PreconditionFailed
        )
    }
}

/// A peer's fault, or the broker's refusal, as the peer is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    pub(crate) code: Code,
    pub(crate) text: String,
    pub(crate) method: MethodId,
}

impl Fault {
    /// A fault with `NAME - explanation` as its text.
    pub(crate) fn new(code: Code, method: MethodId, explanation: impl AsRef<str>) -> Self {
        let explanation = explanation.as_ref();
        let name = code.row().1;
        let mut text = if explanation.is_empty() {
            name.to_owned()
        } else {
            format!("{name} - {explanation}")
        };
        if text.len() > TEXT_MAX {
            let mut end = TEXT_MAX - 3;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text.push_str("...");
        }
        Self { code, text, method }
    }

    pub(crate) fn precondition(method: MethodId, explanation: impl AsRef<str>) -> Self {
        Self::new(Code::PreconditionFailed, method, explanation)
    }

    /// What the codec found, in RabbitMQ's words. `frame` holds the frame's bytes as far as they came.
    pub(crate) fn from_codec(error: CodecError, frame: &[u8]) -> Self {
        let payload = frame
            .get(7..frame.len().saturating_sub(1))
            .unwrap_or_default();
        let kind = frame.first().copied().unwrap_or_default();
        let (code, text) = match error {
            CodecError::FrameTooLarge { kind, size, limit } => (
                Code::FrameError,
                format!(
                    "type {kind}, all octets = <<>>: {{frame_too_large,{size},{}}}",
                    limit.saturating_sub(8)
                ),
            ),
            CodecError::FrameEnd { kind, octet } => (
                Code::FrameError,
                format!(
                    "{}: {{invalid_frame_end_marker,{octet}}}",
                    snippet(kind, payload)
                ),
            ),
            CodecError::FrameKind(_) | CodecError::FrameShape(_) => (
                Code::FrameError,
                format!("{}: unknown_frame", snippet(kind, payload)),
            ),
            CodecError::Fields(_) => {
                let fields = payload.get(4..).unwrap_or_default();
                (
                    Code::FrameError,
                    format!("cannot decode {}", erlang_binary(fields)),
                )
            }
            CodecError::Text(_) => {
                return Self::new(Code::FrameError, NO_METHOD, "Malformed UTF-8 in shortstr");
            }
            CodecError::UnknownMethod(id) => (Code::NotImplemented, format!("unknown method {id}")),
            CodecError::Arguments(..) => (Code::SyntaxError, error.to_string()),
            CodecError::Properties | CodecError::Headers(_) => {
                return Self::new(Code::InternalError, NO_METHOD, "");
            }
        };
        Self::new(code, error.method_id().unwrap_or(NO_METHOD), text)
    }

    /// A frame that may not come here.
    pub(crate) fn unexpected_frame(frame: &[u8]) -> Self {
        let payload = frame
            .get(7..frame.len().saturating_sub(1))
            .unwrap_or_default();
        let kind = frame.first().copied().unwrap_or_default();
        Self::new(Code::UnexpectedFrame, NO_METHOD, snippet(kind, payload))
    }

    /// The broker's error in this protocol's words.
    pub(crate) fn from_broker(error: &Error, method: MethodId, user: &str) -> Self {
        let thing = described(error);
        let (code, text) = match &error.kind {
            Kind::NotFound => match error.resource {
                Resource::Namespace => {
                    (Code::NotAllowed, format!("vhost {} not found", error.name))
                }
                Resource::Topic | Resource::Queue => (Code::NotFound, format!("no {thing}")),
            },
            Kind::Inequivalent(difference) if difference.field == "exclusive" => {
                (Code::ResourceLocked, locked(&thing))
            }
            Kind::Inequivalent(difference) => {
                (Code::PreconditionFailed, inequivalent(difference, &thing))
            }
            Kind::Locked => (Code::ResourceLocked, locked(&thing)),
            Kind::ExclusiveUse => (Code::AccessRefused, format!("{thing} in exclusive use")),
            Kind::InUse => (Code::PreconditionFailed, format!("{thing} in use")),
            Kind::NotEmpty => (Code::PreconditionFailed, format!("{thing} not empty")),
            Kind::BadCredentials => (Code::AccessRefused, "login refused".to_owned()),
            Kind::InvalidSetting(text) => (Code::PreconditionFailed, text.clone()),
            Kind::InvalidRouting(fault) => (Code::PreconditionFailed, cannot_route(fault)),
            Kind::Unsupported(text) => (Code::NotImplemented, format!("{thing} {text}")),
            Kind::Reserved(what) => (Code::AccessRefused, reserved(*what, error, &thing)),
            Kind::AccessRefused(text) | Kind::NotAllowed(text) => match error.resource {
                Resource::Namespace => (Code::NotAllowed, text.clone()),
                Resource::Topic | Resource::Queue => {
                    (Code::AccessRefused, access_refused(text, &thing, user))
                }
            },
            Kind::LimitReached(text) => match error.resource {
                Resource::Namespace => (Code::NotAllowed, text.clone()),
                Resource::Topic | Resource::Queue => (Code::PreconditionFailed, text.clone()),
            },
            // RabbitMQ has no such error, and hard ones would cost the connection for what may be over soon.
            Kind::Unavailable(text) => (Code::PreconditionFailed, text.clone()),
        };
        Self::new(code, method, text)
    }
}

/// What is told to who touches the default exchange.
pub(crate) const DEFAULT_EXCHANGE: &str = "operation not permitted on the default exchange";

fn reserved(what: Reserved, error: &Error, exchange: &str) -> String {
    match what {
        Reserved::DefaultTopic => DEFAULT_EXCHANGE.to_owned(),
        Reserved::Name => reserved_name("exchange", error.name.as_str()),
        Reserved::OwnTopic => system_exchange(exchange),
        Reserved::InternalTopic => format!("cannot publish to internal {exchange}"),
    }
}

/// What is told to who declares a name that starts with `amq.`.
pub(crate) fn reserved_name(kind: &str, name: &str) -> String {
    format!("{kind} name '{name}' contains reserved prefix 'amq.*'")
}

/// What is told to who deletes an exchange of the broker's own.
pub(crate) fn system_exchange(exchange: &str) -> String {
    format!("deletion of system {exchange} not allowed")
}

/// RabbitMQ's words where the broker says what is not permitted.
fn access_refused(text: &str, thing: &str, user: &str) -> String {
    for (verb, access) in [
        ("the user may not configure", "configure"),
        ("the user may not write", "write"),
        ("the user may not read", "read"),
    ] {
        if text.starts_with(verb) {
            return format!("{access} access to {thing} refused for user '{user}'");
        }
    }
    text.to_owned()
}

/// `queue 'x' in vhost '/'`.
fn described(error: &Error) -> String {
    match error.resource {
        Resource::Namespace => format!("vhost '{}'", error.name),
        Resource::Topic => exchange_in(error.name.as_str(), error.namespace.as_str()),
        Resource::Queue => queue_in(error.name.as_str(), error.namespace.as_str()),
    }
}

/// How texts name a queue.
pub(crate) fn queue_in(name: &str, vhost: &str) -> String {
    format!("queue '{name}' in vhost '{vhost}'")
}

/// How texts name an exchange.
pub(crate) fn exchange_in(name: &str, vhost: &str) -> String {
    format!("exchange '{name}' in vhost '{vhost}'")
}

fn locked(thing: &str) -> String {
    format!(
        "cannot obtain exclusive access to locked {thing}. It could be originally declared on another connection or the \
         exclusive property value does not match that of the original declaration."
    )
}

fn inequivalent(difference: &Difference, thing: &str) -> String {
    let Difference {
        field,
        received,
        current,
    } = difference;
    let both = received.is_some() && current.is_some();
    let show = |value: Option<&Value>| match value {
        None => "none".to_owned(),
        Some(value) if both => format!("'{}'", shown(field, value)),
        Some(value) => format!(
            "the value '{}' of type '{}'",
            shown(field, value),
            type_name(value)
        ),
    };
    format!(
        "inequivalent arg '{field}' for {thing}: received {} but current is {}",
        show(received.as_ref()),
        show(current.as_ref())
    )
}

fn cannot_route(fault: &RoutingFault) -> String {
    let wrong_type = |field: &str, value: &Value| {
        let name = type_name(value);
        format!("Invalid {field} field type {name}; expected longstr")
    };
    match fault {
        RoutingFault::TwoHashed => {
            "hash-header and hash-property are mutually exclusive".to_owned()
        }
        RoutingFault::HashedHeader(value) => wrong_type("hash-header", value),
        RoutingFault::HashedProperty(value) => match value.as_str() {
            Some(property) => format!("Unsupported property: {property}"),
            None => wrong_type("hash-property", value),
        },
        RoutingFault::MatchMode(Value::Text(mode)) => format!(
            "Invalid x-match field value {}; expected all, any, all-with-x, or any-with-x",
            erlang_binary(mode)
        ),
        RoutingFault::MatchMode(value) => format!(
            "Invalid x-match field type {} (value {}); expected longstr",
            type_name(value),
            plain(value)
        ),
        RoutingFault::Weight(key) if is_integer(key) => {
            "The binding key must be greater than 0".to_owned()
        }
        RoutingFault::Weight(key) => {
            let key = erlang_binary(key);
            format!("The binding key must be an integer: {key}")
        }
    }
}

fn is_integer(text: &[u8]) -> bool {
    let sign = text.strip_prefix(b"-").or(text.strip_prefix(b"+"));
    let digits = sign.unwrap_or(text);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// A value as these texts show it. Topic kinds get their name on the wire.
fn shown(field: &str, value: &Value) -> String {
    let text = plain(value);
    if field != "type" {
        return text;
    }
    match text.to_ascii_lowercase().replace('_', "-").as_str() {
        "pattern" => "topic".to_owned(),
        "consistent-hash" | "consistenthash" => "x-consistent-hash".to_owned(),
        "delayed" => "x-delayed-message".to_owned(),
        _ => text,
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Void => "undefined".to_owned(),
        Value::Bool(v) => v.to_string(),
        Value::F32(v) => v.to_string(),
        Value::F64(v) => v.to_string(),
        Value::U64(v) | Value::Timestamp(v) => v.to_string(),
        Value::Text(v) | Value::Bytes(v) => String::from_utf8_lossy(v).into_owned(),
        Value::Decimal { scale, mantissa } => format!("{{{scale},{mantissa}}}"),
        Value::Array(_) => "[...]".to_owned(),
        Value::Table(_) => "{...}".to_owned(),
        other => other.as_i64().map_or_else(String::new, |v| v.to_string()),
    }
}

/// What RabbitMQ calls a value's type.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Void => "void",
        Value::Bool(_) => "bool",
        Value::I8(_) => "byte",
        Value::U8(_) => "unsignedbyte",
        Value::I16(_) => "short",
        Value::U16(_) => "unsignedshort",
        Value::I32(_) => "signedint",
        Value::U32(_) => "unsignedint",
        Value::I64(_) | Value::U64(_) => "long",
        Value::F32(_) => "float",
        Value::F64(_) => "double",
        Value::Decimal { .. } => "decimal",
        Value::Timestamp(_) => "timestamp",
        Value::Text(_) => "longstr",
        Value::Bytes(_) => "binary",
        Value::Array(_) => "array",
        Value::Table(_) => "table",
    }
}

/// `type 1, all octets = <<..>>`, or the first 16 of them.
fn snippet(kind: u8, payload: &[u8]) -> String {
    match payload.get(..16) {
        Some(first) if payload.len() > 16 => {
            format!("type {kind}, first 16 octets = {}", erlang_binary(first))
        }
        _ => format!("type {kind}, all octets = {}", erlang_binary(payload)),
    }
}

/// Bytes as Erlang prints a short binary: `<<"text">>` if printable, else `<<1,2,3>>`.
pub(crate) fn erlang_binary(bytes: &[u8]) -> String {
    let mut out = String::from("<<");
    if !bytes.is_empty() && bytes.iter().all(|b| (0x20..0x7f).contains(b)) {
        out.push_str(&erlang_string(&String::from_utf8_lossy(bytes)));
    } else {
        for (i, byte) in bytes.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let _ = write!(out, "{comma}{byte}");
        }
    }
    out.push_str(">>");
    out
}

/// A text as Erlang prints a string.
pub(crate) fn erlang_string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use polybus_model::Name;

    use super::*;

    fn error(kind: Kind) -> Fault {
        let error = Error {
            kind,
            resource: Resource::Queue,
            name: Name::new("q1").unwrap_or_else(|_| Name::empty()),
            namespace: Name::new("/").unwrap_or_else(|_| Name::empty()),
        };
        Fault::from_broker(&error, MethodId::new(50, 10), "u")
    }

    fn differs(field: &str, received: Option<Value>, current: Option<Value>) -> String {
        error(Kind::inequivalent(field, received, current)).text
    }

    #[test]
    fn texts_are_as_measured() {
        assert_eq!(
            error(Kind::NotFound).text,
            "NOT_FOUND - no queue 'q1' in vhost '/'"
        );
        assert_eq!(
            differs("durable", Some(Value::Bool(true)), Some(Value::Bool(false))),
            "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q1' in vhost '/': received 'true' but current is 'false'"
        );
        assert_eq!(
            differs("x-message-ttl", Some(Value::I32(1000)), None),
            "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'q1' in vhost '/': received the value '1000' of type 'signedint' but current is none"
        );
        assert_eq!(
            differs("x-message-ttl", None, Some(Value::I32(1000))),
            "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'q1' in vhost '/': received none but current is the value '1000' of type 'signedint'"
        );
        assert_eq!(
            differs(
                "x-message-ttl",
                Some(Value::I32(2000)),
                Some(Value::I32(1000))
            ),
            "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'q1' in vhost '/': received '2000' but current is '1000'"
        );
        let locked = error(Kind::Locked);
        assert_eq!(locked.code.number(), 405);
        assert!(locked.text.starts_with("RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q1' in vhost '/'. It could"));
    }

    #[test]
    fn what_cannot_route_is_worded_as_measured() {
        for (fault, text) in [
            (
                RoutingFault::MatchMode(Value::text("some")),
                "Invalid x-match field value <<\"some\">>; expected all, any, all-with-x, or any-with-x",
            ),
            (
                RoutingFault::MatchMode(Value::I32(1)),
                "Invalid x-match field type signedint (value 1); expected longstr",
            ),
            (
                RoutingFault::Weight("-0".into()),
                "The binding key must be greater than 0",
            ),
            (
                RoutingFault::Weight("foo".into()),
                "The binding key must be an integer: <<\"foo\">>",
            ),
            (
                RoutingFault::Weight("".into()),
                "The binding key must be an integer: <<>>",
            ),
            (
                RoutingFault::TwoHashed,
                "hash-header and hash-property are mutually exclusive",
            ),
            (
                RoutingFault::HashedProperty(Value::text("foo")),
                "Unsupported property: foo",
            ),
            (
                RoutingFault::HashedHeader(Value::Bool(true)),
                "Invalid hash-header field type bool; expected longstr",
            ),
        ] {
            let fault = error(Kind::InvalidRouting(Box::new(fault)));
            assert_eq!(fault.text, format!("PRECONDITION_FAILED - {text}"));
        }
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let fault = Fault::new(Code::NotFound, NO_METHOD, "ä".repeat(300));
        assert!(fault.text.len() <= TEXT_MAX && fault.text.ends_with("..."));
    }
}
