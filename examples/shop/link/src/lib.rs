//! The way to the broker, shared by the programs of the shop: options, connecting and waiting, declaring, consuming.
//!
//! What always holds: a broker that is away is waited for, since services start in any order and brokers restart; a broker that says *no*
//! (wrong password, queue of another kind) ends the program with one clear line, since waiting would not help.

mod address;
mod connection;
mod consumer;
mod fault;
mod options;
mod program;
mod topology;

pub use address::Address;
pub use connection::{Link, connect, wait_for_broker};
pub use consumer::{Incoming, Outcome, Worker, consume};
pub use fault::Fault;
pub use options::Options;
pub use program::{run, say, stop_asked};
pub use topology::{declare_sales, declare_work_queue};
