//! Whole turns, from batches to effects.

mod basics;
mod compaction;
mod compaction_model;
mod consuming;
mod declaring;
pub(crate) mod desk;
mod dying;
mod groups;
mod keyed;
mod keyed_derived;
mod keyed_model;
mod letters;
mod live;
mod live_model;
mod log_limits;
mod log_model;
mod log_queues;
mod log_routing;
mod logs;
mod memory;
mod model;
mod reader_ends;
mod readers;
mod recovering;
mod transaction_bindings;
mod transaction_model;
mod transactions;
