//! Groups while they are being recovered.

use std::collections::BTreeMap;

use polybus_model::{GroupSettings, Millis, Name, PartitionName};

use super::leased::RecoveredWindows;
use super::offset::Offset;
use super::readers::RecoveredReaders;
use super::record::{self, Past};
use super::{BLANK_KEEP_MS, Groups, settings};
use crate::Engine;
use crate::record::codec::Bounded;
use crate::record::{Corrupt, kind};

/// A group as far as it is known.
#[derive(Debug, Default)]
struct Found {
    past: Past,
    offsets: BTreeMap<PartitionName, Offset>,
}

/// Groups by namespace and name.
#[derive(Debug, Default)]
pub(crate) struct RecoveredGroups {
    found: BTreeMap<(Name, String), Found>,
    windows: RecoveredWindows,
    readers: RecoveredReaders,
    settings: BTreeMap<(Name, String), GroupSettings>,
}

impl RecoveredGroups {
    /// Applies a record; false if it is none of a group.
    pub(crate) fn apply(&mut self, kind: u8, from: &mut Bounded<'_>) -> Result<bool, Corrupt> {
        if kind == kind::GROUP_CONFIGURED {
            let at = (from.name()?, record::text(from)?);
            self.settings.insert(at, settings::settings(from)?);
            return Ok(true);
        }
        if !(kind::OFFSETS_COMMITTED..=kind::GROUP_DELETED).contains(&kind) {
            return Ok(self.windows.apply(kind, from)? || self.readers.apply(kind, from)?);
        }
        let at = (from.name()?, record::text(from)?);
        match kind {
            kind::OFFSETS_COMMITTED => {
                let offsets = record::offsets(from)?;
                self.found.entry(at).or_default().offsets.extend(offsets);
            }
            kind::OFFSETS_FORGOTTEN => {
                let partitions = record::partitions(from)?;
                if let Some(found) = self.found.get_mut(&at) {
                    for partition in partitions {
                        found.offsets.remove(&partition);
                    }
                }
            }
            kind::GROUP_CHANGED => {
                self.found.entry(at).or_default().past = record::past(from)?;
            }
            _ => {
                self.found.remove(&at);
            }
        }
        if from.is_empty() {
            Ok(true)
        } else {
            Err(Corrupt::new("a group's record is followed by other bytes"))
        }
    }

    /// A namespace is gone, and its groups with it.
    pub(crate) fn drop_namespace(&mut self, name: &Name) {
        self.found.retain(|(namespace, _), _| namespace != name);
        self.settings.retain(|(namespace, _), _| namespace != name);
        self.windows.drop_namespace(name);
        self.readers.drop_namespace(name);
    }

    /// Gives the groups to an engine. Those that had members have been without them since now: they could not join.
    pub(crate) fn finish(self, engine: &mut Engine, now: Millis) {
        for ((namespace, name), found) in self.found {
            let Some(namespace) = engine.namespace_slot(namespace.as_str()) else {
                continue;
            };
            let number = engine.groups.create(namespace, &name);
            let router = engine.namespaces.get(namespace).map(|one| &one.router);
            let retention = engine.options.groups.retention_ms;
            let Groups { all, timers, .. } = &mut engine.groups;
            let Some(group) = all.get_mut(&number) else {
                continue;
            };
            group.generation = found.past.generation;
            if found.past.protocol_type.is_some() {
                group.emptied = Some(found.past.emptied.unwrap_or(now));
            }
            group.protocol_type = found.past.protocol_type;
            // Of a log that does not survive a restart, neither do its offsets.
            let is_there =
                |log: &Name| router.is_some_and(|router| router.log_id(log.as_str()).is_some());
            let offsets = found.offsets.into_iter();
            for (partition, offset) in offsets.filter(|(at, _)| is_there(&at.log)) {
                group.set_offset(partition, offset);
            }
            group.recorded = true;
            let (over, next) = group.expired(now, retention);
            let due = if over.is_empty() {
                next.unwrap_or(now.saturating_add(BLANK_KEEP_MS))
            } else {
                now
            };
            let timer = group.timer(super::timers::Of::Idle);
            timers.arm(&mut group.idle_armed, due, timer);
            engine.groups.account(number);
        }
        for ((namespace, name), settings) in self.settings {
            if let Some(slot) = engine.namespace_slot(namespace.as_str()) {
                engine.groups.settings.set(slot, &name, settings);
            }
        }
        self.windows.finish(engine);
        self.readers.finish(engine);
    }
}

impl Groups {
    /// The durable groups of a namespace as the records that made them.
    pub(crate) fn put_definitions(
        &self,
        slot: u32,
        namespace: &Name,
        buffer: &mut Vec<u8>,
        put: &mut dyn FnMut(&[u8]),
    ) {
        self.settings.put_definitions(slot, namespace, buffer, put);
        for group in self.of_namespace(slot).filter(|group| group.recorded) {
            if group.protocol_type.is_some() {
                record::put_past(buffer, namespace, group);
                put(buffer);
            }
            let offsets: Vec<_> = group.offsets.iter().collect();
            if !offsets.is_empty() {
                record::put_offsets(buffer, namespace, &group.name, &offsets);
                put(buffer);
            }
        }
    }
}
