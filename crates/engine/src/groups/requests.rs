//! What sessions ask of groups.

use polybus_model::{
    Beat, BeatAnswer, Event, GroupError, GroupOffset, GroupReply, GroupRequest, GroupState,
    GroupSummary, Join, Joined, Leaver, Membership, Name, PartitionName, SharedSummary, Sharing,
    Standing,
};

use super::member::{Waiter, weight_of_join};
use super::offset::{Offset, weight};
use super::shared::Shared;
use super::work::Sync;
use super::{GroupOptions, Groups, Logs, Phase, record, tell};
use crate::turn::{Asker, Turn};
use crate::{Engine, Store};

/// The longest name of a group, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 1_024;

/// The most that one member may say when it joins, in bytes.
const MEMBER_BYTES_MAX: usize = 1 << 20;

/// One request, and all that it takes to answer it.
struct Asking<'a, 't, S> {
    groups: &'a mut Groups,
    options: &'a GroupOptions,
    /// The namespace's slot
    slot: u32,
    /// and name.
    namespace: &'a Name,
    logs: &'a Logs<'a>,
    waiter: Waiter,
    turn: &'a mut Turn<'t, S>,
}

impl Engine {
    /// Answers a request about groups, now or later.
    pub(crate) fn handle_group(
        &mut self,
        asker: Asker,
        number: u64,
        request: GroupRequest,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let request = match request {
            GroupRequest::CommitInTransaction {
                transactor,
                membership,
                offsets,
                forbidden,
            } => {
                let offsets = with_leave(offsets, &forbidden);
                let who = &transactor;
                self.commit_in_transaction(asker, number, who, &membership, offsets, turn);
                return;
            }
            GroupRequest::Offsets {
                membership,
                partitions,
                stable: true,
            } if self.logs.transactions.is_unstable(
                asker.namespace,
                &membership.group,
                partitions.as_deref(),
            ) =>
            {
                let reply = GroupReply::Offsets(Err(GroupError::Unstable));
                GroupRequest::Refused(Box::new(reply))
            }
            GroupRequest::Reader(request) => {
                self.reader_request(asker, number, *request, turn);
                return;
            }
            GroupRequest::Lease(request) => {
                self.lease(asker, number, *request, turn);
                return;
            }
            request => match self.answer_leasing(asker, number, request, turn) {
                Some(request) => request,
                None => return,
            },
        };
        let namespace = self.namespace_name(asker.namespace);
        let waiter = Waiter {
            session: asker.id,
            number,
        };
        let all = &self.logs.all;
        let router = self.namespaces.get(asker.namespace).map(|one| &one.router);
        let find = |log: &Name| {
            let log = all.get(&router?.log_id(log.as_str())?)?;
            Some((log.id, log.partitions.len() as u32))
        };
        let names = || {
            let logs = all.values().filter(|log| log.namespace == asker.namespace);
            logs.map(|log| log.name.clone()).collect()
        };
        let logs = Logs {
            find: &find,
            names: &names,
            version: self.logs.version,
        };
        let mut asking = Asking {
            groups: &mut self.groups,
            options: &self.options.groups,
            slot: asker.namespace,
            namespace: &namespace,
            logs: &logs,
            waiter,
            turn,
        };
        asking.answer(request);
    }
}

impl<S: Store> Asking<'_, '_, S> {
    fn answer(&mut self, request: GroupRequest) {
        let reply = match request {
            GroupRequest::Join(join) => match self.join(&join) {
                Some(result) => GroupReply::Joined(result),
                None => return,
            },
            GroupRequest::Sync {
                membership,
                protocol_type,
                assignor,
                assignments,
                shares,
            } => {
                let sync = Sync {
                    membership,
                    protocol_type,
                    assignor,
                    assignments,
                    shares,
                };
                match self.sync(sync) {
                    Some(reply) => reply,
                    None => return,
                }
            }
            GroupRequest::Beat(beat) => GroupReply::Beat(self.beat(&beat)),
            GroupRequest::Attend(beat) => GroupReply::Beat(self.attend(&beat)),
            GroupRequest::Heartbeat(who) => GroupReply::Done(self.heartbeat(&who)),
            GroupRequest::Leave { group, leavers } => {
                GroupReply::Left(self.leave(&group, &leavers))
            }
            GroupRequest::Commit {
                membership,
                offsets,
                forbidden,
            } => {
                let result = self.commit(&membership, with_leave(offsets, &forbidden));
                return self.when_durable(GroupReply::Committed(result));
            }
            GroupRequest::Offsets {
                membership,
                partitions,
                ..
            } => {
                let offsets = self.offsets(&membership, partitions);
                // What is told must not be taken back by a failure: it waits for the commits it tells of.
                return self.when_durable(GroupReply::Offsets(offsets));
            }
            GroupRequest::ForgetOffsets { group, partitions } => {
                let result = self.forget(&group, partitions);
                return self.when_durable(GroupReply::Committed(result));
            }
            GroupRequest::List => {
                let groups = self.groups.of_namespace(self.slot);
                GroupReply::Groups(groups.map(|group| group.summary(false)).collect())
            }
            GroupRequest::Describe(names) => {
                let names = names.into_iter();
                GroupReply::Described(names.map(|name| Ok(self.describe(name?))).collect())
            }
            GroupRequest::DescribeShared(names) => {
                let names = names.into_iter();
                let found = names.map(|name| self.describe_shared(&name?));
                GroupReply::SharedDescribed(found.collect())
            }
            GroupRequest::DescribeLeasing(names) => {
                let names = names.into_iter();
                let found = names.map(|name| self.describe_leasing(&name?));
                GroupReply::SharedDescribed(found.collect())
            }
            GroupRequest::Delete(names) => {
                let names = names.into_iter();
                let results = names.map(|name| self.delete(&name?)).collect();
                return self.when_durable(GroupReply::Deleted(results));
            }
            GroupRequest::Refused(reply) => *reply,
            // They are answered before.
            GroupRequest::CommitInTransaction { .. }
            | GroupRequest::Reader(_)
            | GroupRequest::Lease(_)
            | GroupRequest::Windows { .. }
            | GroupRequest::MoveWindows { .. }
            | GroupRequest::CloseWindows { .. }
            | GroupRequest::Settings(_)
            | GroupRequest::Configure { .. } => return,
        };
        tell(self.waiter, reply, self.turn);
    }

    fn when_durable(&mut self, reply: GroupReply) {
        let number = self.waiter.number;
        let reply = Box::new(reply);
        let event = Event::Group { number, reply };
        self.turn.gate(self.waiter.session, event, true);
    }

    fn find(&self, group: &str) -> Option<u64> {
        self.groups.find(self.slot, group)
    }

    fn create(&mut self, group: &str) -> Result<u64, GroupError> {
        if group.len() > NAME_BYTES_MAX {
            return Err(GroupError::InvalidName);
        }
        let most = self.options.groups_max;
        if self.groups.all.len() >= most {
            let text = format!("at most {most} groups (groups_max)");
            return Err(GroupError::Unavailable(text));
        }
        Ok(self.groups.create(self.slot, group))
    }

    /// Whether there is room for what a group is to remember.
    fn check_room(&self, bytes: usize) -> Result<(), GroupError> {
        let most = self.options.bytes_max;
        if self.groups.weight.saturating_add(bytes) <= most {
            return Ok(());
        }
        let text = format!("all groups together take at most {most} bytes (bytes_max)");
        Err(GroupError::Unavailable(text))
    }

    fn act<R>(
        &mut self,
        number: u64,
        act: impl FnOnce(&mut super::Group, &mut super::Round<'_>) -> R,
    ) -> Option<R> {
        self.groups
            .act(number, self.namespace, self.options, self.turn, act)
    }

    fn join(&mut self, join: &Join) -> Option<Result<Box<Joined>, GroupError>> {
        match self.admit(join) {
            Err(error) => Some(Err(error)),
            Ok(number) => {
                let (waiter, logs) = (self.waiter, self.logs);
                self.act(number, |group, round| match group.phase {
                    Phase::Shared => Some(group.with_shared(round, |shared, number, round| {
                        shared.join(join, number, logs, round)
                    })),
                    _ => group.join(join, waiter, round),
                })?
            }
        }
    }

    /// The group that a member may ask to join.
    fn admit(&mut self, join: &Join) -> Result<u64, GroupError> {
        if join.group.is_empty() {
            return Err(GroupError::InvalidName);
        }
        let timeouts = self.options.session_timeout_ms_min..=self.options.session_timeout_ms_max;
        if !timeouts.contains(&join.session_timeout_ms) {
            return Err(GroupError::InvalidTimeout);
        }
        let weight = weight_of_join(join);
        if weight > MEMBER_BYTES_MAX {
            let text = format!("a member may say at most {MEMBER_BYTES_MAX} bytes when it joins");
            return Err(GroupError::Unavailable(text));
        }
        self.check_room(weight)?;
        match self.find(&join.group) {
            Some(number) => Ok(number),
            None if join.member.is_none() => self.create(&join.group),
            None => Err(GroupError::UnknownMember),
        }
    }

    fn sync(&mut self, sync: Sync) -> Option<GroupReply> {
        let refused = |error| Some(GroupReply::Synced(Err(error)));
        let Some(number) = self.group_of(&sync.membership) else {
            return refused(GroupError::UnknownMember);
        };
        let parts = sync.assignments.iter().map(|(_, part)| 2 * part.len());
        if let Err(error) = self.check_room(parts.sum()) {
            return refused(error);
        }
        let waiter = self.waiter;
        self.act(number, |group, round| match group.phase {
            Phase::Shared => Some(group.with_shared(round, |shared, number, round| {
                let told = shared.sync(&sync.membership, number, round);
                match told {
                    Ok((assignor, share)) => GroupReply::SyncedByBroker { assignor, share },
                    Err(error) => GroupReply::Synced(Err(error)),
                }
            })),
            _ => group.sync(sync, waiter, round).map(GroupReply::Synced),
        })?
    }

    fn group_of(&self, who: &Membership) -> Option<u64> {
        self.find(&who.group)
    }

    fn heartbeat(&mut self, who: &Membership) -> Result<(), GroupError> {
        let number = self.group_of(who).ok_or(GroupError::UnknownMember)?;
        self.act(number, |group, round| match group.phase {
            Phase::Shared => group.with_shared(round, |shared, number, round| {
                shared.heartbeat(who, number, round)
            }),
            _ => group.heartbeat(who, round),
        })
        .unwrap_or(Err(GroupError::UnknownMember))
    }

    /// A sign of life of a member whose work the broker shares out.
    fn beat(&mut self, beat: &Beat) -> Result<BeatAnswer, GroupError> {
        let number = self.group_of_beat(beat)?;
        let logs = self.logs;
        self.act(number, |group, round| match group.phase {
            _ if group.leases() => Err(GroupError::NotFound),
            Phase::Empty | Phase::Shared => group.with_shared(round, |shared, number, round| {
                shared.beat(beat, number, logs, round)
            }),
            // Its members share the work out themselves, until one comes that lets the broker.
            _ if beat.standing == Standing::Joins && group.can_move() => {
                Shared::check_beat(beat)?;
                group.move_to_broker(round);
                group.with_shared(round, |shared, number, round| {
                    shared.beat(beat, number, logs, round)
                })
            }
            _ => Err(GroupError::NotFound),
        })
        .unwrap_or(Err(GroupError::UnknownMember))
    }

    /// A sign of life of a member of a group that leases.
    fn attend(&mut self, beat: &Beat) -> Result<BeatAnswer, GroupError> {
        let number = self.group_of_beat(beat)?;
        let logs = self.logs;
        self.act(number, |group, round| {
            let may_become = group.phase == Phase::Empty && group.offsets.is_empty();
            if !group.leases() && !may_become {
                return Err(GroupError::NotFound);
            }
            group.with_leasers(round, |leasers, number, round| {
                leasers.beat(beat, number, logs, round)
            })
        })
        .unwrap_or(Err(GroupError::UnknownMember))
    }

    /// The group of a sign of life; it comes into being with its first member.
    fn group_of_beat(&mut self, beat: &Beat) -> Result<u64, GroupError> {
        if beat.group.is_empty() {
            return Err(GroupError::InvalidName);
        }
        let names = beat.reads.iter().flatten().map(|name| name.as_str().len());
        let said = beat.member.len() + beat.client.len() + beat.host.len();
        self.check_room(said + names.map(|len| 64 + len).sum::<usize>())?;
        match self.find(&beat.group) {
            Some(number) => Ok(number),
            None if beat.standing == Standing::Joins => self.create(&beat.group),
            None => Err(GroupError::UnknownMember),
        }
    }

    fn leave(
        &mut self,
        group: &str,
        leavers: &[Leaver],
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        let unknown = || vec![Err(GroupError::UnknownMember); leavers.len()];
        let Some(number) = self.find(group) else {
            return Ok(unknown());
        };
        let results = self.act(number, |group, round| {
            let each = leavers.iter().map(|leaver| group.leave(leaver, round));
            each.collect()
        });
        Ok(results.unwrap_or_else(unknown))
    }

    fn commit(
        &mut self,
        who: &Membership,
        offsets: Vec<Result<GroupOffset, GroupError>>,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        let bytes = offsets
            .iter()
            .flatten()
            .map(|one| weight(&one.partition, &one.metadata));
        self.check_room(bytes.sum())?;
        let number = match self.group_of(who) {
            Some(number) => number,
            // A group that manages nothing comes into being with its first commit.
            None if who.generation.is_none() => self.create(&who.group)?,
            None => return Err(GroupError::OldGeneration),
        };
        let (now, namespace, logs) = (self.turn.now, self.namespace, self.logs);
        let mut record = Vec::new();
        let results = self.act(number, |group, round| {
            group.admit_commit(who, round)?;
            let (mut results, mut written) = (Vec::new(), Vec::new());
            for one in offsets {
                let one = match one {
                    Ok(one) => one,
                    Err(error) => {
                        results.push(Err(error));
                        continue;
                    }
                };
                let has = (logs.find)(&one.partition.log);
                if has.is_none_or(|(_, count)| one.partition.partition >= count) {
                    results.push(Err(GroupError::UnknownPartition));
                    continue;
                }
                if one.metadata.len() > round.options.remark_bytes_max {
                    results.push(Err(GroupError::MetadataTooLarge));
                    continue;
                }
                let offset = Offset {
                    offset: one.offset,
                    epoch: one.epoch,
                    remark: one.metadata.into(),
                    time: now,
                };
                group.set_offset(one.partition.clone(), offset);
                written.push(one.partition);
                results.push(Ok(()));
            }
            let found = |at| group.offsets.get_key_value(at);
            let written: Vec<_> = written.iter().filter_map(found).collect();
            if !written.is_empty() {
                group.recorded = true;
                record::put_offsets(&mut record, namespace, &group.name, &written);
            }
            Ok(results)
        });
        self.turn.append(&record, 0);
        results.unwrap_or(Err(GroupError::UnknownMember))
    }

    fn offsets(
        &self,
        who: &Membership,
        partitions: Option<Vec<PartitionName>>,
    ) -> Result<Vec<GroupOffset>, GroupError> {
        let number = self.group_of(who);
        let Some(group) = number.and_then(|number| self.groups.all.get(&number)) else {
            return Ok(Vec::new());
        };
        if let Some(shared) = group.shared.as_ref().filter(|_| !who.member.is_empty()) {
            shared.admit(&who.member, who.generation)?;
        }
        Ok(match partitions {
            None => group
                .offsets
                .keys()
                .filter_map(|at| group.offset(at))
                .collect(),
            Some(wanted) => wanted.iter().filter_map(|at| group.offset(at)).collect(),
        })
    }

    fn forget(
        &mut self,
        group: &str,
        partitions: Vec<PartitionName>,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        let number = self.find(group).ok_or(GroupError::NotFound)?;
        let group = self.groups.all.get(&number).ok_or(GroupError::NotFound)?;
        let may = partitions
            .iter()
            .map(|partition| group.may_forget(partition));
        let results: Vec<_> = may.collect();
        if group.phase != Phase::Empty && results.contains(&Err(GroupError::NotEmpty)) {
            return Err(GroupError::NotEmpty);
        }
        let allowed = partitions.into_iter().zip(&results);
        let mut allowed = allowed
            .filter_map(|(partition, may)| may.is_ok().then_some(partition))
            .collect();
        self.groups
            .forget_offsets(number, self.namespace, &mut allowed, self.turn);
        self.act(number, |_, _| ());
        Ok(results)
    }

    fn describe(&self, name: String) -> GroupSummary {
        let number = self.find(&name);
        match number.and_then(|number| self.groups.all.get(&number)) {
            Some(group) if group.phase != Phase::Shared && !group.leases() => group.summary(true),
            _ => GroupSummary {
                group: name,
                state: GroupState::Gone,
                sharing: Sharing::ByMembers,
                protocol_type: String::new(),
                assignor: String::new(),
                members: Vec::new(),
            },
        }
    }

    fn describe_shared(&self, name: &str) -> Result<SharedSummary, GroupError> {
        let number = self.find(name).ok_or(GroupError::NotFound)?;
        let group = self.groups.all.get(&number);
        let shared = group.and_then(|group| group.shared.as_ref());
        let shared = shared.ok_or(GroupError::NotFound)?;
        Ok(shared.summary(name))
    }

    fn describe_leasing(&self, name: &str) -> Result<SharedSummary, GroupError> {
        let number = self.find(name).ok_or(GroupError::NotFound)?;
        let group = self.groups.all.get(&number).filter(|one| one.leases());
        let group = group.ok_or(GroupError::NotFound)?;
        Ok(match &group.leasers {
            Some(leasers) => leasers.summary(name),
            None => super::Leasers::new(group.generation).summary(name),
        })
    }

    fn delete(&mut self, name: &str) -> Result<(), GroupError> {
        let number = self.find(name).ok_or(GroupError::NotFound)?;
        match self.groups.all.get(&number) {
            Some(group) if group.phase != Phase::Empty => Err(GroupError::NotEmpty),
            _ => {
                self.groups.delete(number, self.namespace, self.turn);
                Ok(())
            }
        }
    }
}

/// Offsets, without those that may not be remembered.
fn with_leave(
    offsets: Vec<GroupOffset>,
    forbidden: &[u32],
) -> Vec<Result<GroupOffset, GroupError>> {
    let each = (0..).zip(offsets);
    let each = each.map(|(at, one)| match forbidden.contains(&at) {
        true => Err(GroupError::Forbidden),
        false => Ok(one),
    });
    each.collect()
}
