//! A log: a name, settings, partitions.

use polybus_model::{LogId, LogSettings, LogSummary, Name};

use super::partition::Partition;
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
    }

    pub(super) fn summary(&self) -> LogSummary {
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
