//! Messages in memory stay within the bound that the broker was given, but for what is being delivered or read back.

use polybus_broker::admin;

use crate::violation::{Verdict, Violation};

pub(crate) const NAME: &str = "memory";

/// A queue keeps a small backlog in memory all the same, and reads back in runs.
const QUEUE_SLACK_BYTES: u64 = 192 << 10;

/// Compares with the broker's listing.
pub(crate) fn check(listed: &[admin::Queue], resident_bytes_max: usize) -> Verdict {
    let held: u64 = listed.iter().map(|queue| queue.memory).sum();
    let bound = 2 * resident_bytes_max as u64 + QUEUE_SLACK_BYTES * listed.len() as u64;
    if held > bound {
        let detail = format!("{held} bytes of messages are in memory, of {bound} at most");
        return Err(Violation::new(NAME, detail));
    }
    Ok(())
}
