//! A log: a name, settings, partitions.

use polybus_model::{LogId, LogSettings, LogSummary, Name};

use super::partition::Partition;
use super::publish::partition_of;
use super::record::Declared;

/// A log.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) id: LogId,
    /// Its namespace's slot.
    pub(crate) namespace: u32,
    pub(crate) name: Name,
    pub(crate) settings: LogSettings,
    /// The declaration made the topic of its name, so the deletion deletes that too.
    pub(crate) made_topic: bool,
    /// As many as the settings say.
    pub(crate) partitions: Vec<Partition>,
    /// The partition that the next message without a key goes to.
    keyless: u32,
}

impl Log {
    pub(crate) fn new(namespace: u32, declared: Declared) -> Self {
        let mut log = Self {
            id: LogId(declared.log),
            namespace,
            name: declared.name,
            settings: declared.settings,
            made_topic: declared.made_topic,
            partitions: Vec::new(),
            keyless: 0,
        };
        log.grow();
        log
    }

    /// Makes the partitions that the settings ask for.
    pub(super) fn grow(&mut self) {
        let count = self.settings.partitions as usize;
        if self.partitions.len() < count {
            self.partitions.resize_with(count, Partition::default);
        }
        if self.settings.keyed.is_some() {
            for partition in &mut self.partitions {
                partition.keyed.get_or_insert_default();
            }
        }
    }

    /// The partition for a message: always the same for a key, one after the other without.
    pub(super) fn partition_for(&mut self, key: &[u8]) -> u32 {
        let partitions = self.partitions.len() as u32;
        if !key.is_empty() {
            return partition_of(key, partitions);
        }
        let number = self.keyless % partitions.max(1);
        self.keyless = number + 1;
        number
    }

    pub(crate) fn summary(&self) -> LogSummary {
        LogSummary {
            name: self.name.clone(),
            id: self.id,
            settings: self.settings.clone(),
        }
    }

    pub(super) fn declared(&self, namespace: Name) -> Declared {
        Declared {
            namespace,
            log: self.id.0,
            name: self.name.clone(),
            made_topic: self.made_topic,
            settings: self.settings.clone(),
        }
    }
}
