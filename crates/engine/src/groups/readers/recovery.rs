//! Readers while they are being recovered.

use std::collections::BTreeMap;

use polybus_model::Name;

use super::record::{self, Counted, Declared};
use super::{Reader, WINDOW_MARK};
use crate::Engine;
use crate::record::codec::Bounded;
use crate::record::{Corrupt, kind};

/// Readers as far as they are known, by number.
#[derive(Debug, Default)]
pub(crate) struct RecoveredReaders {
    found: BTreeMap<u64, (Declared, Counted)>,
}

impl RecoveredReaders {
    /// Applies a record; false if it is none of a reader.
    pub(crate) fn apply(&mut self, kind: u8, from: &mut Bounded<'_>) -> Result<bool, Corrupt> {
        match kind {
            kind::READER_DECLARED => {
                let declared = record::declared(from)?;
                let counted = self.found.remove(&declared.number);
                let counted = counted.map_or_else(Counted::default, |(_, counted)| counted);
                self.found.insert(declared.number, (declared, counted));
            }
            kind::READER_MANNERS => {
                let manners = record::manners(from)?;
                if let Some((declared, _)) = self.found.get_mut(&manners.number) {
                    manners.apply(&mut declared.settings);
                }
            }
            kind::READER_DELETED => {
                self.found.remove(&from.u64()?);
            }
            kind::READER_COUNTED => {
                let (number, counted) = record::counted(from)?;
                if let Some((_, known)) = self.found.get_mut(&number) {
                    *known = counted;
                }
            }
            _ => return Ok(false),
        }
        match from.is_empty() {
            true => Ok(true),
            false => Err(Corrupt::new("a reader's record is followed by other bytes")),
        }
    }

    /// A namespace is gone, and its readers with it.
    pub(crate) fn drop_namespace(&mut self, name: &Name) {
        self.found
            .retain(|_, (declared, _)| declared.namespace != *name);
    }

    /// Gives the readers to an engine that knows its logs and windows already; those of logs that are gone went with them.
    pub(crate) fn finish(self, engine: &mut Engine) {
        for (number, (declared, counted)) in self.found {
            let Some(namespace) = engine.namespace_slot(declared.namespace.as_str()) else {
                continue;
            };
            let Some(log) = engine.logs.all.get(&declared.at.log) else {
                continue;
            };
            let most = declared.settings.attempts_max;
            if engine.windows.get(number).is_none() {
                continue;
            }
            engine
                .windows
                .act(number, |window| window.set_attempts_max(most));
            let log = log.name.clone();
            let mut reader = Reader::new(
                number,
                namespace,
                declared.at,
                &log,
                &declared.name,
                declared.settings,
                declared.created,
            );
            reader.origin = declared.origin;
            reader.sequence = counted.sequence;
            reader.delivered_at = counted.delivered_at;
            reader.settled_at = counted.settled_at;
            engine.enter_reader(reader);
        }
        let readers = &engine.readers;
        let is_orphan = |number: u64, group: &str| {
            group.starts_with(WINDOW_MARK) && !readers.all.contains_key(&number)
        };
        engine.windows.drop_orphans(is_orphan);
    }
}

impl Engine {
    /// A reader comes back from the journal.
    fn enter_reader(&mut self, mut reader: Reader) {
        let partition = self.logs.partition(reader.at);
        if reader.origin.last_of_keys > 0
            && let Some(keyed) = partition.and_then(|one| one.keyed.as_ref())
        {
            reader.select_last_of_keys(&keyed.keys, reader.origin.first);
        }
        let number = reader.number;
        self.readers.insert(reader);
        self.readers.touch(number);
    }

    /// The readers of a namespace as the records that would make them.
    pub(crate) fn put_readers(&self, slot: u32, name: &Name, put: &mut dyn FnMut(&[u8])) {
        let mut buffer = Vec::new();
        for numbers in self.readers.names.values() {
            let of_log = numbers.values().filter_map(|one| self.readers.all.get(one));
            let kept = of_log.filter(|one| one.namespace == slot && one.settings.durable);
            for reader in kept {
                record::put_declared(&mut buffer, name, reader);
                put(&buffer);
                if record::put_manners(&mut buffer, reader) {
                    put(&buffer);
                }
                record::put_counted(&mut buffer, reader);
                put(&buffer);
            }
        }
    }
}
