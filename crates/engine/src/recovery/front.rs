//! How much of a record recovery needs, once a snapshot knows what came of it: enough to say whose it is and where it stands.
//!
//! ```text
//! record  [ head: targets, lengths, run, ... | topic | key | properties | body ]
//! front    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^    of a message in a queue, of a run
//!          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^    of a message in a log, which may be found by its key
//!          all of it, where the body is the number that a key has come to
//! ```
//! What always holds: a recovery that is given the fronts of records that are cold or from before the snapshot, and nothing
//! of those that have none, comes to the same engine as one that is given all.

use crate::logs::record::{revision, run_head};
use crate::record::message::{glance, keyed_glance};
use crate::record::{self, Corrupt, kind};

/// What [`front`] says of a record. It counts up when recovery begins to need more: what was kept by an older number may
/// be too little then.
pub const FRONT_VERSION: u32 = 1;

/// How many bytes of a record, from its first on, recovery needs when it is cold or from before the snapshot. None if it
/// needs nothing of it.
///
/// # Errors
/// The record cannot be read.
pub fn front(kind: u8, payload: &[u8]) -> Result<Option<usize>, Corrupt> {
    let (inner, mut from) = record::open(payload)?;
    if inner != kind {
        return Err(Corrupt(format!("a record of kind {inner} filed as {kind}")));
    }
    match kind {
        kind::PUBLISH => {
            let mut targets = Vec::new();
            record::targets(&mut from, &mut targets)?;
            if targets.iter().all(|target| target.transient) {
                return Ok(None);
            }
            glance(&mut from)?;
        }
        kind::DELAYED => {
            record::delayed(&mut from)?;
            glance(&mut from)?;
        }
        _ => {
            if revision(kind, &mut from)?.is_none() {
                return Ok(None);
            }
            if run_head(&mut from)?.message {
                keyed_glance(&mut from)?;
            }
        }
    }
    Ok(Some(payload.len() - from.len()))
}
