//! What stands for a key whose last record went for its age, in logs that say so.

use polybus_model::{Millis, RecordTtl, Terms};

use crate::logs::At;
use crate::turn::Turn;
use crate::{Engine, Store};

impl Engine {
    /// The keys that end with these records, which go for their age: of those that are not marked as ended already.
    pub(super) fn ending_keys(&self, at: At, gone: &[u64]) -> Vec<Vec<u8>> {
        let log = self.logs.all.get(&at.log);
        let rules = log.and_then(|log| log.settings.keyed.as_deref());
        if rules.is_none_or(|rules| rules.marker_ms.is_none()) {
            return Vec::new();
        }
        let partition = self.logs.partition(at);
        let Some(keyed) = partition.and_then(|one| one.keyed.as_ref()) else {
            return Vec::new();
        };
        let unmarked = gone.iter().filter(|offset| !keyed.markers.contains(offset));
        let keys = unmarked.filter_map(|offset| {
            let key = keyed.keys.key_of(*offset)?;
            let last = keyed.keys.key(key)?.last_before(u64::MAX);
            (last == Some(*offset)).then(|| key.to_vec())
        });
        keys.collect()
    }

    /// Keys have ended: something stands for each for a while.
    pub(super) fn mark_ended(&mut self, at: At, keys: &[Vec<u8>], turn: &mut Turn<'_, impl Store>) {
        let Some(write) = self.options.keyed_writer.ended else {
            return;
        };
        for key in keys {
            let Some(log) = self.logs.all.get(&at.log) else {
                return;
            };
            let rules = log.settings.keyed.as_deref();
            let Some(stays_ms) = rules.and_then(|rules| rules.marker_ms) else {
                return;
            };
            let marker = write(&log.name, key, stays_ms);
            // Where there is no room for it, there is none: nobody waits for the answer.
            let _ = self.store_as_named(at, &marker, Some(&terms(stays_ms)), turn);
        }
    }
}

fn terms(stays_ms: Millis) -> Terms {
    Terms {
        ttl: Some(RecordTtl::For(stays_ms)),
        ends_key: true,
        ..Terms::default()
    }
}
