//! Offsets that are part of a producer's transaction: kept with it, and remembered by the group when it is committed.

use std::collections::BTreeMap;

use polybus_model::{
    Event, GroupError, GroupOffset, GroupReply, LogError, Membership, PartitionName, Transactor,
};

use super::offset::Offset;
use super::record;
use crate::turn::{Asker, Turn};
use crate::{Engine, Store};

impl Engine {
    /// Keeps offsets for the end of a producer's transaction.
    pub(super) fn commit_in_transaction(
        &mut self,
        asker: Asker,
        number: u64,
        who: &Transactor,
        membership: &Membership,
        offsets: Vec<Result<GroupOffset, GroupError>>,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let result = self.keep_offsets(asker.namespace, who, membership, offsets, turn);
        let reply = Box::new(GroupReply::Committed(result));
        turn.gate(asker.id, Event::Group { number, reply }, true);
    }

    fn keep_offsets(
        &mut self,
        namespace: u32,
        who: &Transactor,
        membership: &Membership,
        offsets: Vec<Result<GroupOffset, GroupError>>,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        let transactions = &self.logs.transactions;
        let producer = transactions.admit(namespace, who).map_err(of_producer)?;
        if !transactions.has_group(producer, &membership.group) {
            return Err(GroupError::NoTransaction);
        }
        self.admit_in_transaction(namespace, membership, turn)?;
        let remark_bytes_max = self.options.groups.remark_bytes_max;
        let (mut results, mut kept) = (Vec::new(), BTreeMap::new());
        for one in offsets {
            let one = match one {
                Ok(one) => one,
                Err(error) => {
                    results.push(Err(error));
                    continue;
                }
            };
            let result = if self.partition_at(namespace, &one.partition).is_err() {
                Err(GroupError::UnknownPartition)
            } else if one.metadata.len() > remark_bytes_max {
                Err(GroupError::MetadataTooLarge)
            } else {
                let offset = Offset {
                    offset: one.offset,
                    epoch: one.epoch,
                    remark: one.metadata.into(),
                    time: turn.now,
                };
                kept.insert(one.partition, offset);
                Ok(())
            };
            results.push(result);
        }
        if !kept.is_empty() {
            self.add_pending(producer, &membership.group, kept, turn);
        }
        Ok(results)
    }

    /// Whether a member may say where its group is to be.
    fn admit_in_transaction(
        &mut self,
        namespace: u32,
        who: &Membership,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<(), GroupError> {
        // Older clients do not say who they are; their producers are fenced by their epochs alone.
        if who.generation.is_none() && who.member.is_empty() && who.instance.is_none() {
            return Ok(());
        }
        let name = self.namespace_name(namespace);
        let options = &self.options.groups;
        match self.groups.find(namespace, &who.group) {
            None if who.generation.is_none() => Ok(()),
            None => Err(GroupError::OldGeneration),
            Some(number) => self
                .groups
                .act(number, &name, options, turn, |group, round| {
                    group.admit_commit(who, round)
                })
                .unwrap_or(Err(GroupError::UnknownMember)),
        }
    }

    /// A transaction is committed: a group is where it says.
    pub(crate) fn commit_pending(
        &mut self,
        namespace: u32,
        group: &str,
        offsets: BTreeMap<PartitionName, Offset>,
        turn: &mut Turn<'_, impl Store>,
    ) {
        // Logs may be gone by now.
        let offsets = offsets.into_iter();
        let offsets = offsets.filter(|(at, _)| self.partition_at(namespace, at).is_ok());
        let offsets: Vec<_> = offsets.collect();
        if offsets.is_empty() {
            return;
        }
        let name = self.namespace_name(namespace);
        let options = &self.options.groups;
        let number = self.groups.find(namespace, group);
        let number = number.unwrap_or_else(|| self.groups.create(namespace, group));
        let list: Vec<_> = offsets.iter().map(|(at, offset)| (at, offset)).collect();
        let mut buffer = Vec::new();
        record::put_offsets(&mut buffer, &name, group, &list);
        turn.append(&buffer, 0);
        self.groups.act(number, &name, options, turn, |group, _| {
            group.recorded = true;
            for (partition, offset) in offsets {
                group.set_offset(partition, offset);
            }
        });
    }
}

fn of_producer(error: LogError) -> GroupError {
    match error {
        LogError::Fenced => GroupError::FencedProducer,
        _ => GroupError::UnknownProducer,
    }
}
