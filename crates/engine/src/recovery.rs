//! From a snapshot and the records around it back to an engine.

use polybus_model::Millis;

use crate::record::Corrupt;
use crate::{Engine, Options, Place, Store};

/// Where a record stands in relation to the snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplayOrigin {
    /// A copy of an old record in cold storage.
    Cold,
    /// In the journal, but the snapshot already knows what came of it.
    BeforeSnapshot,
    /// In the journal, after the snapshot.
    AfterSnapshot,
}

/// A recovery under way.
pub struct Recovery {
    engine: Engine,
}

#[allow(unused_variables)]
impl Recovery {
    /// Starts without a snapshot.
    #[must_use]
    pub fn empty(options: Options) -> Self {
        Self {
            engine: Engine::new(options),
        }
    }

    /// Takes one record, in journal order (cold ones first).
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn replay(
        &mut self,
        origin: ReplayOrigin,
        kind: u8,
        place: Place,
        payload: &[u8],
    ) -> Result<(), Corrupt> {
        Ok(())
    }

    /// All records are in. `clean` says that the snapshot was the last act of an orderly end. Calls [`Store::adopt`] for
    /// each queue entry that points at a record.
    ///
    /// # Errors
    /// A message that must be there is not.
    pub fn finish(
        self,
        now: Millis,
        clean: bool,
        store: &mut impl Store,
    ) -> Result<Engine, Corrupt> {
        Ok(self.engine)
    }
}

impl Engine {
    /// Starts a recovery from a snapshot.
    ///
    /// # Errors
    /// The snapshot cannot be read.
    #[allow(unused_variables)]
    pub fn restore(options: Options, snapshot: &[u8]) -> Result<Recovery, Corrupt> {
        Ok(Recovery::empty(options))
    }
}
