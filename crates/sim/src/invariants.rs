//! What must always hold, one file each. A check looks at the ledger and at what has just been seen, and says what is wrong.

pub(crate) mod answers;
pub(crate) mod confirmed_kept;
pub(crate) mod confirms;
pub(crate) mod counts;
pub(crate) mod credit;
pub(crate) mod damage;
pub(crate) mod healthy;
pub(crate) mod limits;
pub(crate) mod memory;
pub(crate) mod nothing_invented;
pub(crate) mod opens;
pub(crate) mod order;
pub(crate) mod progress;
pub(crate) mod redelivered;
pub(crate) mod settled_gone;
pub(crate) mod whole_turns;
