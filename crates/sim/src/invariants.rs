//! What must always hold, one file each. A check looks at the ledger and at what has just been seen, and says what is wrong.

pub(crate) mod answers;
pub(crate) mod confirmed_kept;
pub(crate) mod confirms;
pub(crate) mod counts;
pub(crate) mod credit;
pub(crate) mod damage;
pub(crate) mod group_offsets;
pub(crate) mod healthy;
pub(crate) mod limits;
pub(crate) mod log_answers;
pub(crate) mod log_dense;
pub(crate) mod log_durable;
pub(crate) mod log_kept;
pub(crate) mod log_once;
pub(crate) mod log_order;
pub(crate) mod log_start;
pub(crate) mod memory;
pub(crate) mod nothing_invented;
pub(crate) mod opens;
pub(crate) mod order;
pub(crate) mod progress;
pub(crate) mod redelivered;
pub(crate) mod settled_gone;
pub(crate) mod whole_turns;
