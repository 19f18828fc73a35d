//! What the journal knows of groups: offsets, and how far generations have come. Members are not in it: after a restart
//! they join again, into a later generation. Layouts are in the crate's `record.rs`.

use polybus_model::{Millis, Name, PartitionName};

use super::group::Group;
use super::offset::Offset;
use crate::record::codec::{Bounded, Put};
use crate::record::{Corrupt, begin, kind};

/// Starts a record about a group.
pub(super) fn put_group(out: &mut Vec<u8>, kind: u8, namespace: &Name, group: &str) {
    begin(out, kind);
    out.put_name(namespace);
    out.put_bytes(group.as_bytes());
}

fn put_partition(out: &mut Vec<u8>, partition: &PartitionName) {
    out.put_name(&partition.log);
    out.put_u32(partition.partition);
}

fn partition(from: &mut Bounded<'_>) -> Result<PartitionName, Corrupt> {
    Ok(PartitionName {
        log: from.name()?,
        partition: from.u32()?,
    })
}

pub(crate) fn text(from: &mut Bounded<'_>) -> Result<String, Corrupt> {
    let text = std::str::from_utf8(from.bytes()?);
    text.map(str::to_owned)
        .map_err(|_| Corrupt::new("a group's text is not UTF-8"))
}

/// Offsets committed.
pub(super) fn put_offsets(
    out: &mut Vec<u8>,
    namespace: &Name,
    group: &str,
    offsets: &[(&PartitionName, &Offset)],
) {
    put_group(out, kind::OFFSETS_COMMITTED, namespace, group);
    put_offset_list(out, offsets);
}

/// Offsets, as [`offsets`] reads them.
pub(crate) fn put_offset_list(out: &mut Vec<u8>, offsets: &[(&PartitionName, &Offset)]) {
    out.put_u32(offsets.len() as u32);
    for (partition, offset) in offsets {
        put_partition(out, partition);
        out.put_u64(offset.offset);
        out.put_option(offset.epoch.map(Into::into));
        out.put_u64(offset.time);
        out.put_bytes(offset.remark.as_bytes());
    }
}

pub(crate) fn offsets(from: &mut Bounded<'_>) -> Result<Vec<(PartitionName, Offset)>, Corrupt> {
    let mut offsets = Vec::new();
    for _ in 0..from.u32()? {
        let (partition, offset) = (partition(from)?, from.u64()?);
        let epoch = from.option()?.map(u32::try_from).transpose();
        let epoch = epoch.map_err(|_| Corrupt::new("a leader epoch is too large"))?;
        let (time, remark) = (from.u64()?, text(from)?.into());
        let offset = Offset {
            offset,
            epoch,
            remark,
            time,
        };
        offsets.push((partition, offset));
    }
    Ok(offsets)
}

/// Offsets forgotten.
pub(super) fn put_forgotten(
    out: &mut Vec<u8>,
    namespace: &Name,
    group: &str,
    partitions: &[PartitionName],
) {
    put_group(out, kind::OFFSETS_FORGOTTEN, namespace, group);
    out.put_u32(partitions.len() as u32);
    for partition in partitions {
        put_partition(out, partition);
    }
}

pub(super) fn partitions(from: &mut Bounded<'_>) -> Result<Vec<PartitionName>, Corrupt> {
    let mut partitions = Vec::new();
    for _ in 0..from.u32()? {
        partitions.push(partition(from)?);
    }
    Ok(partitions)
}

/// What is durable of a group beside its offsets.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Past {
    pub(super) generation: u32,
    pub(super) protocol_type: Option<String>,
    /// Since when it has no members, if it had some and has none.
    pub(super) emptied: Option<Millis>,
}

pub(super) fn put_past(out: &mut Vec<u8>, namespace: &Name, group: &Group) {
    put_group(out, kind::GROUP_CHANGED, namespace, &group.name);
    out.put_u32(group.generation);
    out.put_u8(u8::from(group.protocol_type.is_some()));
    if let Some(protocol_type) = &group.protocol_type {
        out.put_bytes(protocol_type.as_bytes());
    }
    out.put_option(group.emptied);
}

pub(super) fn past(from: &mut Bounded<'_>) -> Result<Past, Corrupt> {
    let generation = from.u32()?;
    let typed = from.bool()?;
    Ok(Past {
        generation,
        protocol_type: if typed { Some(text(from)?) } else { None },
        emptied: from.option()?,
    })
}
