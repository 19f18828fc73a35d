//! What clients are told when something is wrong, in nats-server's words: clients compare them.

use std::fmt;

use polybus_model::{Error, Kind};

use crate::codec::CodecError;

/// Why a connection ends. Each is told the client before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    UnknownOperation,
    LineTooLong,
    PayloadTooLarge,
    HeadersNotSupported,
    NoRespondersWithoutHeaders,
    BadProtocol,
    Unauthorized,
    AuthenticationTimeout,
    TlsRequired,
    Stale,
    TooSlow,
}

impl Fault {
    /// The text of the `-ERR`.
    pub(crate) fn text(&self) -> &'static str {
        match self {
            Self::UnknownOperation => "Unknown Protocol Operation",
            Self::LineTooLong => "maximum control line exceeded",
            Self::PayloadTooLarge => "Maximum Payload Violation",
            Self::HeadersNotSupported => "message headers not supported",
            Self::NoRespondersWithoutHeaders => "no responders requires headers support",
            Self::BadProtocol => "invalid client protocol",
            Self::Unauthorized => "Authorization Violation",
            Self::AuthenticationTimeout => "Authentication Timeout",
            Self::TlsRequired => "Secure Connection - TLS Required",
            Self::Stale => "Stale Connection",
            Self::TooSlow => "Slow Consumer",
        }
    }
}

impl From<CodecError> for Fault {
    fn from(error: CodecError) -> Self {
        match error {
            CodecError::UnknownOperation => Self::UnknownOperation,
            CodecError::LineTooLong => Self::LineTooLong,
            CodecError::PayloadTooLarge => Self::PayloadTooLarge,
        }
    }
}

/// A subject that may not be published to or subscribed to is no end of the connection.
pub(crate) const INVALID_SUBJECT: &str = "Invalid Subject";
/// In pedantic mode.
pub(crate) const INVALID_PUBLISH_SUBJECT: &str = "Invalid Publish Subject";
/// No more subscriptions on this connection.
pub(crate) const TOO_MANY_SUBSCRIPTIONS: &str = "maximum subscriptions exceeded";

/// What the client calls a subscription stands in each of its messages; clients count.
pub(crate) const SID_TOO_LONG: &str = "subscription id is too long, maximum allowed is 128";

/// A text between double quotation marks.
struct Quoted<'a>(&'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.0))
    }
}

/// A publish to what the user may not publish to.
pub(crate) fn publish_denied(subject: &[u8]) -> String {
    format!("Permissions Violation for Publish to {}", Quoted(subject))
}

/// A subscription to what the user may not subscribe to.
pub(crate) fn subscription_denied(subject: &[u8], queue: Option<&[u8]>) -> String {
    let told = format!(
        "Permissions Violation for Subscription to {}",
        Quoted(subject)
    );
    match queue {
        None => told,
        Some(queue) => format!("{told} using queue {}", Quoted(queue)),
    }
}

/// A publish that the broker refused.
pub(crate) fn publish_refused(error: &Error, subject: &[u8]) -> String {
    match &error.kind {
        Kind::AccessRefused(_) => publish_denied(subject),
        _ => error.to_string(),
    }
}

/// A subscription that the broker refused.
pub(crate) fn subscription_refused(error: &Error, subject: &[u8], queue: Option<&[u8]>) -> String {
    match &error.kind {
        Kind::AccessRefused(_) => subscription_denied(subject, queue),
        Kind::LimitReached(_) => TOO_MANY_SUBSCRIPTIONS.to_owned(),
        _ => error.to_string(),
    }
}
