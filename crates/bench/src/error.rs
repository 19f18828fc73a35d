//! What can go wrong with a run.

use std::{fmt, io};

/// Why a run gave no figures.
#[derive(Debug)]
pub enum BenchError {
    /// No broker answers there.
    Unreachable(String, io::Error),
    /// A socket, file or process failed while doing this.
    Io(String, io::Error),
    /// The server closed the channel or connection, in its words.
    Closed(u16, String),
    /// The server sent what is not AMQP or does not belong here.
    Protocol(String),
    /// This did not happen in time.
    Timeout(String),
    /// Messages got lost, came twice or in the wrong order: the server is broken.
    Wrong(String),
    /// The command line asks for what cannot be.
    Usage(String),
}

impl BenchError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io(what, error)
    }
}

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(address, error) => {
                write!(f, "no broker answers at {address}: {error}")
            }
            Self::Io(what, error) => write!(f, "{what}: {error}"),
            Self::Closed(code, text) => write!(f, "the server closed with {code}: {text}"),
            Self::Protocol(what) => write!(f, "the server broke the protocol: {what}"),
            Self::Timeout(what) => write!(f, "timed out: {what}"),
            Self::Wrong(what) => write!(f, "WRONG: {what}"),
            Self::Usage(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for BenchError {}
