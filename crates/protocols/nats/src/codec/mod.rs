//! NATS' lines and payloads, to operations and back. No state beyond the bytes: what is not whole yet stays where it is.
//!
//! ```text
//! PUB subject [reply] size CRLF payload CRLF      HPUB subject [reply] header-size size CRLF headers payload CRLF
//! SUB subject [queue] sid CRLF                    UNSUB sid [max] CRLF
//! CONNECT {json} CRLF                             PING CRLF   PONG CRLF   +OK CRLF   -ERR 'text' CRLF
//! ```
//! A line has a bound, a payload has a bound, and nothing is allocated for either: a publish is four ranges of the input.

mod connect;
mod headers;
mod info;
mod operation;
mod subject;
mod write;

#[cfg(test)]
mod tests;

pub use connect::Connect;
pub use headers::{HEADER_LINE, Headers};
pub use info::Info;
pub use operation::{Limits, Operation, Operations, Publication};
pub use subject::{is_literal, is_valid};
pub use write::{
    Outgoing, write_error, write_info, write_number, write_ok, write_ping, write_pong,
    write_unheard,
};

use std::fmt;

/// Why the bytes of a peer could not be read. After one of these its connection cannot go on: where the next operation starts
/// is not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CodecError {
    /// No such operation, or its arguments are not what it takes.
    UnknownOperation,
    /// A line is longer than the limit.
    LineTooLong,
    /// A payload is announced that is larger than the limit.
    PayloadTooLarge,
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownOperation => "an operation could not be read",
            Self::LineTooLong => "a line is longer than the limit",
            Self::PayloadTooLarge => "a payload is larger than the limit",
        })
    }
}

impl std::error::Error for CodecError {}
