//! The engine's [`Store`]: records are staged in the journal's open frame, and the ledger keeps count of who needs them.

use std::num::NonZeroU64;

use polybus_engine::{Place, Shared, Store, Stored};
use polybus_journal::{Appender, Large, Position};

use crate::ledger::Ledger;

/// Where a record goes that the journal did not take; the broker is failing then and nothing of it is ever confirmed.
const NOWHERE: Place = Place(NonZeroU64::MAX);

/// The journal's inlet and the ledger.
pub(crate) struct Staging {
    pub(crate) appender: Appender,
    pub(crate) ledger: Ledger,
    /// The first refusal of the journal.
    pub(crate) refusal: Option<String>,
}

impl Staging {
    pub(crate) fn new(appender: Appender, ledger: Ledger) -> Self {
        Self {
            appender,
            ledger,
            refusal: None,
        }
    }
}

impl Store for Staging {
    fn append(
        &mut self,
        kind: u8,
        queue: u64,
        sequence: u64,
        parts: &[&[u8]],
        shared: Option<Shared<'_>>,
        references: u32,
    ) -> Stored {
        let large = shared.map(|shared| Large {
            bytes: shared.bytes.clone(),
            crc: shared.crc.map(|crc| (crc.from, crc.crc)),
        });
        match self
            .appender
            .append_large(kind, queue, sequence, parts, large)
        {
            Ok(appended) => {
                self.ledger
                    .adopt(appended.position.segment, appended.len, references);
                Stored {
                    place: place_of(appended.position),
                    len: appended.len,
                }
            }
            Err(error) => {
                self.refusal.get_or_insert_with(|| error.to_string());
                Stored {
                    place: NOWHERE,
                    len: 0,
                }
            }
        }
    }

    fn adopt(&mut self, place: Place, len: u32) {
        self.ledger.adopt(position_of(place).segment, len, 1);
    }

    fn release(&mut self, place: Place, len: u32) {
        self.ledger.release(position_of(place).segment, len);
    }
}

/// The engine's name for a journal position.
pub(crate) fn place_of(position: Position) -> Place {
    Place(NonZeroU64::new(position.to_u64()).unwrap_or(NonZeroU64::MAX))
}

/// The journal position that a place names.
pub(crate) fn position_of(place: Place) -> Position {
    Position::from_u64(place.0.get())
}
