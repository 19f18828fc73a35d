//! A crash-safe log of opaque records, written in frames: one frame is one group commit, and the
//! atomic unit. It knows no message.
//!
//! ```text
//!  shard (under its lock)            committer threads (outside)        any thread
//!  Appender::begin, append  --seal-> Writer::write --> durable LSN      Reader::read, scan
//!        open frame                  segments on disk                   by Position
//! ```
//!
//! - [`Journal::open`] recovers a folder and hands out the [`Appender`], the [`Writer`], the
//!   [`Reader`] and the [`Recovery`], whose replay shows every record. Until that is accepted the
//!   folder stays as it was found.
//! - A record's [`Position`] is known when it is appended; it counts once the durable LSN has
//!   passed its number.
//! - Retirement is the caller's: copy what is live into a [`ColdWriter`], write a snapshot, release.
//! - So that a start need not read all that is kept, a complete segment may get an *outline*
//!   ([`Writer::write_outline`]): the fronts of its records, as far as the caller needs them.
//!
//! What always holds: acknowledged records are never shortened away, damage to them is an error
//! that names file and offset, a group is there as a whole or not at all, and after a failed write
//! or sync nothing is acknowledged any more. The crate has no thread, no clock and no randomness of
//! its own (but a new journal's identity). The format: `docs/internals/journal-format.md`.

mod appender;
mod blocks;
mod cold;
mod error;
mod format;
mod frame;
mod manifest;
mod options;
mod outline;
mod position;
mod progress;
mod reader;
mod recovery;
mod retire;
mod scan;
mod segment;
mod shared;
mod snapshot;
mod whole_file;
mod window;
mod writer;

pub mod io;

pub use appender::{Appended, Appender};
pub use cold::ColdWriter;
pub use error::{Error, Result};
pub use frame::{Large, SealedFrame};
pub use io::{CrashMode, FileIo, Io, IoFile, MemoryIo, OpenMode};
pub use options::{Durability, Options};
pub use outline::{Flaw, Front, Replayed};
pub use position::{Lsn, Position};
pub use reader::Reader;
pub use recovery::{Journal, Opened, Recovery, Torn};
pub use scan::{Record, Scan};
pub use segment::{SegmentInfo, SegmentKind};
pub use snapshot::Snapshot;
pub use writer::{Writer, Written};
