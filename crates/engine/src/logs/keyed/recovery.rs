//! Keyed logs under recovery: keys and times to live out of the messages' own records, ids out of theirs and the snapshot's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use polybus_model::{KeyedSettings, Millis, ReadParts, Tally};

use super::record::MessageId;
use super::schedule_record::Scheduled;
use super::{Duplicates, Expiry};
use crate::logs::partition::Partition;
use crate::record::codec::Bounded;
use crate::record::{Corrupt, message};

/// What was seen of a message.
#[derive(Debug)]
struct SeenMessage {
    key: Arc<[u8]>,
    ttl: Option<Millis>,
    ends_key: bool,
}

/// What was seen of a partition's messages.
#[derive(Debug, Default)]
pub(in crate::logs) struct SeenMessages {
    keys: BTreeSet<Arc<[u8]>>,
    /// By their offsets.
    messages: BTreeMap<u64, SeenMessage>,
    /// By their offsets: those that say what number their keys have come to, if the log is one that adds.
    sums: BTreeMap<u64, Tally>,
    /// The properties of these.
    tallied: BTreeMap<u64, Box<[u8]>>,
    duplicates: Duplicates,
    /// By their offsets: those on schedules, and when they are due.
    schedules: BTreeMap<u64, Scheduled>,
}

impl SeenMessages {
    /// Takes the message of a run.
    pub(in crate::logs) fn note(
        &mut self,
        offset: u64,
        from: &mut Bounded<'_>,
    ) -> Result<(), Corrupt> {
        let glance = message::keyed_glance(from)?;
        if let Some(sum) = glance.tally {
            self.sums.insert(offset, sum);
            self.tallied.insert(offset, glance.properties.into());
        }
        let key = match self.keys.get(glance.key) {
            Some(key) => Arc::clone(key),
            None => {
                let key: Arc<[u8]> = Arc::from(glance.key);
                self.keys.insert(Arc::clone(&key));
                key
            }
        };
        let seen = SeenMessage {
            key,
            ttl: glance.ttl,
            ends_key: glance.ends_key,
        };
        self.messages.insert(offset, seen);
        Ok(())
    }

    /// Takes a message's id.
    pub(in crate::logs) fn note_id(&mut self, one: &MessageId<'_>) {
        self.duplicates.note(one.id, one.offset, one.time);
    }

    /// Takes when a message is due.
    pub(in crate::logs) fn note_schedule(&mut self, one: Scheduled) {
        self.schedules.insert(one.offset, one);
    }

    /// Takes what the snapshot says of ids.
    pub(in crate::logs) fn set_duplicates(&mut self, duplicates: Duplicates) {
        self.duplicates = duplicates;
    }

    /// Fills in what a partition of a keyed log knows of its runs.
    pub(in crate::logs) fn fill(
        mut self,
        partition: &mut Partition,
        rules: &KeyedSettings,
        read: Option<ReadParts>,
        now: Millis,
    ) -> Result<(), Corrupt> {
        let runs: Vec<_> = partition.from(0).map(|(run, _)| run).collect();
        let Some(keyed) = &mut partition.keyed else {
            return Ok(());
        };
        for run in runs {
            let Some(seen) = self.messages.remove(&run.offset) else {
                return Err(Corrupt(format!(
                    "the record with offset {} is no message, in a log whose records are found by key",
                    run.offset
                )));
            };
            if let Some(sum) = self.sums.remove(&run.offset).filter(|_| rules.tallies) {
                keyed.sums.insert(run.offset, sum);
                let properties = self.tallied.remove(&run.offset);
                if let Some(parts) = properties.and_then(|bytes| read?(&bytes)) {
                    keyed.parts.insert(run.offset, Arc::new(parts));
                }
            }
            if let Some(one) = self.schedules.remove(&run.offset) {
                keyed
                    .schedules
                    .set(one.offset, one.due, Arc::new(one.schedule));
            }
            let ttl = seen.ttl.filter(|_| rules.expires);
            let entered = (&*seen.key, seen.ends_key);
            keyed.enter(run.offset, entered, run.time, Expiry::of(ttl, run.time));
        }
        keyed.duplicates = self.duplicates;
        let window = rules.duplicates_ms;
        keyed.duplicates.expire(now.saturating_sub(window));
        Ok(())
    }
}
