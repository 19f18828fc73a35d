//! How groups lease: what was said of it, before the group was there or after.

use std::collections::BTreeMap;

use polybus_model::{Beginning, GroupSettings, Name};

use super::record::{put_group, text};
use crate::Store;
use crate::record::codec::{Bounded, Put};
use crate::record::{Corrupt, kind};
use crate::turn::Turn;

const AT_START: u8 = 0;
const AT_END: u8 = 1;
const BY_AGE: u8 = 2;

/// The settings of groups that have any, by namespace and name.
#[derive(Debug, Default)]
pub(crate) struct AllSettings {
    all: BTreeMap<u32, BTreeMap<Box<str>, GroupSettings>>,
}

impl AllSettings {
    pub(super) fn len(&self) -> usize {
        self.all.values().map(BTreeMap::len).sum()
    }

    pub(super) fn of(&self, namespace: u32, group: &str) -> Option<&GroupSettings> {
        self.all.get(&namespace)?.get(group)
    }

    pub(super) fn set(&mut self, namespace: u32, group: &str, settings: GroupSettings) {
        let groups = self.all.entry(namespace).or_default();
        groups.insert(group.into(), settings);
    }

    /// Sets, and says so in the journal.
    pub(super) fn configure(
        &mut self,
        slot: u32,
        namespace: &Name,
        group: &str,
        settings: GroupSettings,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let mut record = Vec::new();
        put_settings(&mut record, namespace, group, &settings);
        turn.append(&record, 0);
        self.set(slot, group, settings);
    }

    pub(super) fn drop_namespace(&mut self, slot: u32) {
        self.all.remove(&slot);
    }

    pub(super) fn put_definitions(
        &self,
        slot: u32,
        namespace: &Name,
        buffer: &mut Vec<u8>,
        put: &mut dyn FnMut(&[u8]),
    ) {
        for (group, settings) in self.all.get(&slot).into_iter().flatten() {
            put_settings(buffer, namespace, group, settings);
            put(buffer);
        }
    }
}

fn put_settings(out: &mut Vec<u8>, namespace: &Name, group: &str, settings: &GroupSettings) {
    put_group(out, kind::GROUP_CONFIGURED, namespace, group);
    match settings.beginning {
        Beginning::Start => out.put_u8(AT_START),
        Beginning::End => out.put_u8(AT_END),
        Beginning::Age(ms) => {
            out.put_u8(BY_AGE);
            out.put_u64(ms);
        }
    }
    out.put_u64(settings.lease_ms);
    out.put_u8(u8::from(settings.committed));
    out.put_option(settings.attempts_max.map(Into::into));
    out.put_u32(settings.unsettled_max);
    out.put_u8(u8::from(settings.dead_letter.is_some()));
    if let Some(name) = &settings.dead_letter {
        out.put_name(name);
    }
    out.put_u32(settings.arguments.len() as u32);
    for (name, value) in &settings.arguments {
        out.put_bytes(name.as_bytes());
        out.put_bytes(value.as_bytes());
    }
}

/// What a record says behind the names of the namespace and the group.
pub(super) fn settings(from: &mut Bounded<'_>) -> Result<GroupSettings, Corrupt> {
    let beginning = match from.u8()? {
        AT_START => Beginning::Start,
        AT_END => Beginning::End,
        BY_AGE => Beginning::Age(from.u64()?),
        other => {
            return Err(Corrupt(format!(
                "a group begins in the unknown way {other}"
            )));
        }
    };
    let (lease_ms, committed) = (from.u64()?, from.bool()?);
    let attempts_max = from.option()?.map(u32::try_from).transpose();
    let attempts_max = attempts_max.map_err(|_| Corrupt::new("too many attempts"))?;
    let unsettled_max = from.u32()?;
    let dead_letter = if from.bool()? {
        Some(from.name()?)
    } else {
        None
    };
    let mut arguments = Vec::new();
    for _ in 0..from.u32()? {
        arguments.push((text(from)?, text(from)?));
    }
    Ok(GroupSettings {
        beginning,
        lease_ms,
        committed,
        attempts_max,
        unsettled_max,
        dead_letter,
        arguments,
    })
}
