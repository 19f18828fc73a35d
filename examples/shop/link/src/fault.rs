//! What can go wrong, sorted by what the program can do about it.

use std::{fmt, io};

use lapin::ErrorKind;

/// A fault, told in words for the person at the console.
#[derive(Debug)]
pub enum Fault {
    /// The options make no sense: say how to call the program.
    Usage(String),
    /// The broker is away: try again.
    Away(String),
    /// The broker said no: trying again changes nothing.
    Refused(String),
    /// Something of our own failed: a file, a database.
    Own(String),
}

/// Reply codes of AMQP that a retry does not cure: invalid path, access refused, resource locked, precondition failed, not
/// allowed, not implemented.
const REPLY_CODES_FINAL: [u16; 6] = [402, 403, 405, 406, 530, 540];

impl Fault {
    /// A fault with a file or database, naming it.
    pub fn own(what: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self::Own(format!("{what}: {error}"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) => write!(f, "{text} (--help shows what there is)"),
            Self::Away(text) | Self::Own(text) => f.write_str(text),
            Self::Refused(text) => write!(f, "the broker refused: {text}"),
        }
    }
}

impl std::error::Error for Fault {}

impl From<lapin::Error> for Fault {
    fn from(error: lapin::Error) -> Self {
        match error.kind() {
            ErrorKind::ProtocolError(amqp) if REPLY_CODES_FINAL.contains(&amqp.get_id()) => {
                Self::Refused(amqp.get_message().to_string())
            }
            ErrorKind::IOError(io) => Self::Away(plain_io(io)),
            _ => Self::Away(error.to_string()),
        }
    }
}

/// The words for a failed socket, without the library's wrapping.
fn plain_io(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nothing listens there".to_owned(),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::UnexpectedEof => "the connection was cut".to_owned(),
        _ => error.to_string(),
    }
}
