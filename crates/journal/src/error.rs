//! What can go wrong: one enum that says what, where (file and offset), and what the caller can do.
//!
//! Full disk, a damaged folder, a second process and a poisoned journal are different variants,
//! because the caller does something different about each.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::position::{Lsn, Position};

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, where, and (in its text) what to do about it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The disk is full. Nothing acknowledged is lost.
    NoSpace {
        /// What was being done.
        doing: &'static str,
        /// The file it was done to.
        file: String,
    },
    /// The operating system refused.
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file it was done to.
        file: String,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Data that was acknowledged is damaged. No data was changed on disk.
    Corrupt {
        /// The damaged file.
        file: String,
        /// Where in the file.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// A newer program wrote this folder.
    NewerFormat {
        /// The file that says so.
        file: String,
        /// Its format.
        found: u32,
        /// The newest format this program reads.
        supported: u32,
    },
    /// Another process (or another journal of this one) has the folder open.
    Locked {
        /// The folder.
        folder: String,
    },
    /// An earlier write or sync failed (or the journal was closed), so nothing more is accepted.
    Poisoned {
        /// What failed first.
        cause: Arc<str>,
    },
    /// The segment was released, so its records are gone.
    Released {
        /// The segment's number.
        segment: u32,
    },
    /// The record will never be written: its appender is gone.
    NotWritten {
        /// Where the record would have been.
        position: Position,
    },
    /// The position does not name a record of this length.
    NoSuchRecord {
        /// The position asked for.
        position: Position,
    },
    /// A record, group or cold segment is too large. Nothing of it was added.
    TooLarge {
        /// How large it would become.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// The segment cannot be released yet.
    InUse {
        /// The segment's number.
        segment: u32,
        /// Why not.
        why: &'static str,
    },
    /// A snapshot may only hold what is durable.
    NotDurable {
        /// The LSN asked for.
        lsn: Lsn,
        /// The durable LSN.
        durable: Lsn,
    },
}

impl Error {
    /// Sorts an operating system error: a full disk is its own variant.
    pub(crate) fn io(doing: &'static str, file: &str, source: io::Error) -> Self {
        let file = file.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::NoSpace { doing, file }
            }
            _ => Self::Io {
                doing,
                file,
                source,
            },
        }
    }

    pub(crate) fn corrupt(file: &str, offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt {
            file: file.to_owned(),
            offset,
            what: what.into(),
        }
    }

    /// Whether the disk was full.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::NoSpace { .. })
    }

    /// Whether acknowledged data is damaged.
    #[must_use]
    pub fn is_corrupt(&self) -> bool {
        matches!(self, Self::Corrupt { .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSpace { doing, file } => write!(
                f,
                "the disk is full ({doing} {file}): free some space; nothing acknowledged is lost"
            ),
            Self::Io {
                doing,
                file,
                source,
            } => write!(f, "{doing} {file}: {source}"),
            Self::Corrupt { file, offset, what } => write!(
                f,
                "{file} is damaged at byte {offset}: {what}. No data was changed; copy the folder \
                 before anything else, then restore it from a replica or a backup"
            ),
            Self::NewerFormat {
                file,
                found,
                supported,
            } => write!(
                f,
                "{file} has format {found}, and this program reads up to {supported}: start the \
                 newer program that wrote it"
            ),
            Self::Locked { folder } => write!(
                f,
                "{folder} is in use by another process: stop that one, or choose another folder"
            ),
            Self::Poisoned { cause } => write!(
                f,
                "the journal stopped ({cause}): restart, so that it recovers from disk"
            ),
            Self::Released { segment } => write!(f, "segment {segment} was released"),
            Self::NotWritten { position } => {
                write!(f, "the record at {position} was never written")
            }
            Self::NoSuchRecord { position } => {
                write!(f, "no record of that length begins at {position}")
            }
            Self::TooLarge { bytes, bytes_max } => {
                write!(f, "{bytes} bytes are more than the {bytes_max} that fit")
            }
            Self::InUse { segment, why } => {
                write!(f, "segment {segment} cannot be released: {why}")
            }
            Self::NotDurable { lsn, durable } => write!(
                f,
                "a snapshot at {lsn} was refused: only {durable} is durable yet"
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
