//! The seeded simulation: a broker without threads, clients, a clock and a disk that fails, all moved by one seed.
//!
//! ```text
//! seed -> schedule -> client batch | clerk | commit | load | timers | upkeep | time passes | fault
//!                       |                                              (one at a time, in random order)
//!                       v
//!               Broker::open_stepwise on a MemoryIo --events--> ledger --> invariants
//! crash, restart on what the disk kept, compare all that is there with all that must be (`ledger::audit`)
//! ```
//! The same seed gives the same run, to the last line of its trace. What has to hold is in `invariants/`, one file each;
//! development only. `cargo run -p polybus-sim -- --seed N` replays one with its trace.

mod clerks;
mod client;
mod clock;
mod disk;
mod invariants;
mod ledger;
mod logs;
mod random;
mod shape;
mod simulation;
mod tamper;
mod trace;
mod violation;

pub use simulation::{Failure, Outcome, Plan, run};
pub use tamper::Tamper;
pub use violation::Violation;
