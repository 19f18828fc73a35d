//! A load generator that speaks raw AMQP 0-9-1, Kafka or NATS, and the comparison of brokers with it.
//!
//! ```text
//! Workload (data) -> run: setup -> publishers (threads) ==> broker ==> consumers (threads) -> check -> Figures
//!                               \- sampling: the server's CPU and memory from /proc
//! compare: starts each broker, alternates the runs, takes medians -> page, charts
//! ```
//! The client must not be the limit: publishes are frames made beforehand, written many at a time; what arrives is walked by
//! frame heads. The slow paths (handshake, declarations) use the codec of `polybus-amqp091`.
//!
//! What always holds: a run that lost, doubled or reordered a message is an error, not a figure.

mod bar;
mod catalog;
pub mod charts;
pub mod cli;
mod clock;
pub mod compare;
mod confirms;
mod consumer;
mod cost;
mod error;
mod frame;
mod histogram;
mod idle;
pub mod kafka;
mod ledger;
mod link;
pub mod machine;
pub mod nats;
pub mod page;
pub mod process;
mod program;
mod publisher;
mod ring;
mod rounds;
mod run;
pub mod server;
mod socket;
pub mod table;
mod topology;
mod walker;
mod workload;

pub use bar::Bar;
pub use catalog::{catalog, find, short, usual};
pub use error::BenchError;
pub use histogram::{Histogram, Latency};
pub use link::{Link, Target};
pub use run::{Figures, Progress, RunOptions, run};
pub use workload::{Routing, Settling, Shape, Workload};
