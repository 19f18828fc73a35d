//! The same for Kafka: a load generator that speaks its protocol over plain sockets, and Apache Kafka as the peer.
//!
//! ```text
//! Work (data) -> round: topic -> produce (requests made beforehand, 5 in flight) ==> broker
//!                             -> consume (fetches of 1 MiB, batches walked by their heads) <== broker -> check -> Figures
//! compare: polybus with fsync, polybus without, Kafka -> the same page and charts
//! ```
//! What always holds: a round whose batches did not all come back, each once, in order and with the CRC they were sent with,
//! is an error, not a figure.

mod compare;
mod consumer;
mod load;
mod page;
mod peer;
mod producer;
mod round;
mod topic;
mod wire;
mod work;

pub use compare::{KafkaComparison, KafkaPlan, ManyPartitions, SPECIAL, compare};
pub use page::{render, write};
pub use peer::Jars;
pub(crate) use peer::{commands, is_ready};
pub use work::{Kind, Work, works};
