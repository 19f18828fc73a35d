//! The embeddable broker: the only one who runs the engine's effects.
//!
//! ```text
//! Connection::submit(batch) -> access -> Shard::handle -> engine -> effects
//!      ^                                                    |- events  -> mailbox -> Connection::take_events
//!      |                                                    |- records -> journal (group commit)
//!      `------ gated events, once their records are durable `- loads   -> read back
//! ```
//! What always holds: what a session is told is confirmed is on disk (at `fsync` durability); after the journal has refused
//! a write or a sync nothing is confirmed any more and [`Broker::failure`] tells why.

mod access;
pub mod admin;
mod broker;
mod clock;
mod connection;
mod ledger;
mod mailbox;
mod open;
mod options;
mod outlines;
mod room;
mod shard;
mod snapshot;
mod staging;
mod steps;
mod threads;
mod upkeep;

pub use broker::{Broker, ConnectError};
pub use clock::{Clock, SharedClock, SystemClock};
pub use connection::Connection;
pub use open::OpenError;
pub use options::{Durability, Options};
pub use polybus_engine::{HeaderReaders, RunReaders};
pub use steps::Steps;
