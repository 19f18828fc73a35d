//! The same for NATS: a load generator that speaks its protocol over plain sockets, and nats-server as the peer.
//!
//! ```text
//! Work (data) -> round: core:      publishers (PUBs made beforehand, stamped) ==> broker ==> subscribers (lines compared, not parsed)
//!                       request:   requesters, one in flight each            <=> broker <=> one service
//!                       JetStream: publish -> PubAcks counted; push and pull consumers, by stamps
//! compare: polybus, nats-server, others -> the same page and charts
//! ```
//! What always holds: a round in which a message was lost, doubled or came before its turn is an error, not a figure. No
//! publisher is further ahead of a subscriber than a window, so that no broker has to cut off a slow one.

mod compare;
mod core;
mod line;
mod page;
mod peer;
mod request;
mod ring;
mod round;
mod stream;
mod wire;
mod work;

pub use compare::{NatsComparison, NatsPlan, SPECIAL, compare};
pub use page::{render, write};
pub(crate) use peer::{command, is_ready};
pub use work::{Kind, Work, works};
