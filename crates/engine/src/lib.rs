//! Topics, queues, logs and groups: what a broker decides, and nothing else. No clock, task, file, thread or randomness:
//! time is a parameter, records go to a [`Store`], and what is to happen comes out as [`Effects`]. The same inputs give the
//! same effects.
//!
//! ```text
//! handle(batch) -> publish: route, one record, an entry in each queue      (publish, routing)
//!                  settle:  end the lease, or give back, or bury           (consume, letters)
//!                  define:  topics, bindings, queues, namespaces           (topics, queues, namespace)
//!                  groups:  join, sync, commit                             (groups)
//!                  live:    to those who listen, at once                   (live, routing)
//!               -> look after each queue touched: expire, deliver, limit   (deliver, queue)
//!               -> journal what ended, confirm, set timers                 (engine)
//! handle_loaded, handle_timeout, handle_detached: turns of the same kind
//! log requests: append, read, trim; handle_durable shows what was appended  (logs)
//! handle_compacted: what became of a step of compaction                    (logs/compaction)
//! snapshot + records -> Recovery -> Engine                                 (snapshot, recovery)
//! ```
//! What always holds: all records of a turn belong together; a message is in one place of its queue; nothing durable ends
//! without a record; no input makes the engine panic.

mod compaction;
mod consume;
mod copies;
mod delayed;
mod deliver;
mod effects;
mod engine;
mod estate;
mod groups;
pub mod inspect;
mod letters;
mod live;
mod logs;
mod namespace;
mod options;
mod publish;
mod queue;
mod queues;
pub mod record;
mod recovery;
mod routing;
mod session;
mod slab;
mod snapshot;
mod store;
mod topics;
mod turn;

pub use copies::Put;
pub use effects::{CompactionLoad, Effects, Gated, Hold, Load, LogLoad};
pub use engine::Engine;
pub use groups::GroupOptions;
pub use logs::compaction::{Compacted, CompactionWork};
pub use logs::publish::{RunReader, RunReaders};
pub use logs::record::decode_run;
pub use options::Options;
pub use record::Corrupt;
pub use recovery::front::{FRONT_VERSION, front};
pub use recovery::{Recovery, ReplayOrigin};
pub use routing::{HeaderReader, HeaderReaders, PropertyReader};
pub use store::{Place, Shared, Store, Stored};

#[cfg(test)]
mod tests;
