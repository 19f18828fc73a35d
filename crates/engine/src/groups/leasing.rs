//! What sessions ask of groups that lease, and what becomes of what comes back.
//!
//! ```text
//! lease: settle -> the windows of the group;  then lend from them   (logs/lending)
//! a window with more to hand out than before  -> those who wait for it
//! records that failed -> their runs (logs/lending) -> dead letters -> buried
//! a session is gone -> what it leased is ready again
//! ```
//! What always holds: a lease belongs to a member on one connection, and ends with it.

use std::collections::BTreeMap;

use polybus_model::{
    Beginning, DeathReason, Event, GroupError, GroupReply, GroupRequest, GroupSettings, LeasePart,
    LeaseRequest, LogError, Name, PartitionName, Run, SessionId, Verdict, WindowSummary,
};

use super::leased::{Failure, Owner, Settlement};
use super::requests::NAME_BYTES_MAX;
use crate::letters::FailedRecords;
use crate::logs::At;
use crate::logs::lending::Lease;
use crate::turn::{Asker, Turn};
use crate::{Engine, Store};

/// At most so many members lease over one connection.
const HOLDERS_MAX: usize = 1_024;

/// The members that lease, by their connections: each with the number that its leases are under.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    last_number: u64,
    sessions: BTreeMap<SessionId, Members>,
}

/// The numbers of a connection's members, by group and id.
type Members = BTreeMap<(Box<str>, Box<str>), u64>;

impl Holders {
    fn number(&mut self, session: SessionId, request: &LeaseRequest) -> Result<u64, GroupError> {
        let members = self.sessions.entry(session).or_default();
        let name = (
            request.group.as_str().into(),
            request.member.as_str().into(),
        );
        if let Some(number) = members.get(&name) {
            return Ok(*number);
        }
        if members.len() >= HOLDERS_MAX {
            return Err(GroupError::Full);
        }
        self.last_number += 1;
        members.insert(name, self.last_number);
        Ok(self.last_number)
    }
}

impl Engine {
    /// Answers what is asked of groups that lease; gives back what is not of them alone.
    pub(super) fn answer_leasing(
        &mut self,
        asker: Asker,
        number: u64,
        request: GroupRequest,
        turn: &mut Turn<'_, impl Store>,
    ) -> Option<GroupRequest> {
        let slot = asker.namespace;
        let reply = match request {
            GroupRequest::Windows { group, partitions } => {
                let partitions = partitions.as_deref();
                GroupReply::Windows(self.window_summaries(slot, &group, partitions))
            }
            GroupRequest::MoveWindows { group, to } => {
                GroupReply::Committed(self.move_windows(slot, &group, &to, turn))
            }
            GroupRequest::CloseWindows { group, logs } => {
                GroupReply::Committed(self.close_windows(slot, &group, &logs, turn))
            }
            GroupRequest::Settings(names) => {
                let names = names.into_iter();
                let all = names.map(|name| Ok(self.group_settings(slot, &name?)));
                GroupReply::Settings(all.collect())
            }
            GroupRequest::Configure { group, settings } => {
                GroupReply::Done(self.configure_group(slot, &group, *settings, turn))
            }
            GroupRequest::Delete(names) => {
                for name in names.iter().flatten() {
                    if self.idle_leasing_group(slot, name).is_ok() {
                        self.close_all_windows(slot, name, turn);
                    }
                }
                return Some(GroupRequest::Delete(names));
            }
            request => return Some(request),
        };
        let reply = Box::new(reply);
        // What is told must not be taken back by a failure.
        turn.gate(asker.id, Event::Group { number, reply }, true);
        None
    }

    fn configure_group(
        &mut self,
        slot: u32,
        group: &str,
        settings: GroupSettings,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<(), GroupError> {
        if group.is_empty() || group.len() > NAME_BYTES_MAX {
            return Err(GroupError::InvalidName);
        }
        let most = self.options.groups.groups_max;
        let known = &mut self.groups.settings;
        if known.of(slot, group).is_none() && known.len() >= most {
            let text = format!("at most {most} groups (groups_max)");
            return Err(GroupError::Unavailable(text));
        }
        let namespace = self.namespace_name(slot);
        let known = &mut self.groups.settings;
        known.configure(slot, &namespace, group, settings, turn);
        Ok(())
    }

    /// A member settles what it has, and asks for more.
    pub(super) fn lease(
        &mut self,
        asker: Asker,
        number: u64,
        request: LeaseRequest,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let found = self.groups.find(asker.namespace, &request.group);
        let found = found.and_then(|number| self.groups.all.get(&number));
        let leases = found.is_some_and(super::Group::leases);
        let holder = match leases {
            true => self.holders.number(asker.id, &request),
            false => Err(GroupError::NotFound),
        };
        let holder = match holder {
            Ok(holder) => holder,
            Err(error) => {
                let reply = Box::new(GroupReply::Leased(Err(error)));
                turn.tell(asker.id, Event::Group { number, reply });
                return;
            }
        };
        let settings = self.group_settings(asker.namespace, &request.group);
        let until = self.time(turn).saturating_add(settings.lease_ms);
        let parts = request.parts.iter();
        let settled = parts
            .map(|part| self.settle_part(asker.namespace, &request.group, holder, until, part));
        let settled: Vec<_> = settled.collect();
        if request.ends {
            self.release_holder(asker.namespace, &request.group, holder, false);
            if let Some(members) = self.holders.sessions.get_mut(&asker.id) {
                members.retain(|_, number| *number != holder);
            }
        }
        let lease = Lease::new(asker, number, request, holder, settled);
        self.lend(lease, turn);
    }

    /// How a group leases.
    pub(crate) fn group_settings(&self, namespace: u32, group: &str) -> GroupSettings {
        let settings = self.groups.settings.of(namespace, group);
        settings.cloned().unwrap_or_default()
    }

    /// Settles what a part names: all of it, or nothing.
    fn settle_part(
        &mut self,
        namespace: u32,
        group: &str,
        holder: u64,
        until: u64,
        part: &LeasePart,
    ) -> Result<(), GroupError> {
        if part.settles.is_empty() {
            return Ok(());
        }
        let at = self.partition_of(namespace, &part.partition, part.id);
        let at = at.map_err(|_| GroupError::UnknownPartition)?;
        let window = self.windows.find(namespace, group, at);
        let settles = &part.settles;
        self.windows
            .act(window.ok_or(GroupError::NotLeased)?, |window| {
                let holds = |one: &polybus_model::Settling| {
                    one.first < one.end && window.holds(one.first..one.end, holder)
                };
                if !settles.iter().all(holds) {
                    return Err(GroupError::NotLeased);
                }
                for one in settles {
                    let range = one.first..one.end;
                    let how = match one.how {
                        Verdict::Accept => Settlement::Accept,
                        Verdict::Reject => Settlement::Reject,
                        Verdict::Release => Settlement::Release {
                            counted: true,
                            due: None,
                        },
                        Verdict::Extend => {
                            window.extend(range, Some(holder), until);
                            continue;
                        }
                    };
                    window.settle(range, Some(holder), how);
                }
                Ok(())
            })
            .unwrap_or(Err(GroupError::NotLeased))
    }

    /// The group's window to a partition; it is opened where there is none.
    pub(crate) fn window(
        &mut self,
        namespace: u32,
        group: &str,
        at: At,
        settings: &GroupSettings,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<u64, LogError> {
        let now = self.time(turn);
        let log = self.logs.all.get(&at.log).ok_or(LogError::NotFound)?;
        let durable = log.settings.durable;
        let partition = self.logs.partition(at).ok_or(LogError::NotFound)?;
        let start = partition.start;
        let number = match self.windows.find(namespace, group, at) {
            Some(number) => number,
            None => {
                let begin = match settings.beginning {
                    Beginning::Start => start,
                    Beginning::End => partition.end,
                    Beginning::Age(ms) => partition.offset_at(now.saturating_sub(ms)),
                };
                let owner = Owner {
                    namespace,
                    group: group.into(),
                };
                let name = self.namespace_name(namespace);
                self.windows.open(&name, owner, at, begin, durable, turn)
            }
        };
        self.windows.act(number, |window| {
            window.set_attempts_max(settings.attempts_max);
            window.trim(start);
        });
        Ok(number)
    }

    /// What a holder has in the windows of a group comes back.
    fn release_holder(&mut self, namespace: u32, group: &str, holder: u64, counted: bool) {
        let windows: Vec<u64> = self
            .windows
            .of_group(namespace, group)
            .map(|one| one.1)
            .collect();
        for number in windows {
            self.windows
                .act(number, |window| window.release_all(holder, counted));
        }
    }

    /// A session is gone without a word: what was leased over it comes back, as one attempt more.
    pub(crate) fn release_session(&mut self, namespace: u32, session: SessionId) {
        let members = self.holders.sessions.remove(&session);
        for ((group, _), holder) in members.into_iter().flatten() {
            self.release_holder(namespace, &group, holder, true);
        }
    }

    /// Looks after windows with more to hand out, or to bury, than before.
    pub(crate) fn look_after_windows(&mut self, turn: &mut Turn<'_, impl Store>) {
        while let Some(number) = self.windows.take_stirred() {
            if self.readers.has(number) {
                // It is looked after there.
                continue;
            }
            while let Some((failed, failure)) = self
                .windows
                .act(number, |window| window.take_failed())
                .flatten()
            {
                self.bury_records(number, failed, failure, turn);
            }
            let Some((owner, at)) = self.windows.owner(number) else {
                continue;
            };
            let (namespace, group) = (owner.namespace, owner.group.clone());
            for slot in self.logs.waiting_lessees(at, namespace, &group) {
                self.look_again(slot, turn);
            }
        }
    }

    /// The runs of records that failed are there: they become dead letters.
    pub(crate) fn post_failed(
        &mut self,
        number: u64,
        range: std::ops::Range<u64>,
        failure: Failure,
        run: &Run,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let Some((owner, at)) = self.windows.owner(number) else {
            return;
        };
        let (namespace, group) = (owner.namespace, owner.group.clone());
        let log = self.logs.all.get(&at.log).map(|log| log.name.clone());
        let to = self.group_settings(namespace, &group).dead_letter;
        if let (Some(log), Some(to)) = (log, to) {
            let failed = FailedRecords {
                namespace,
                group: &group,
                log: &log,
                to: &to,
                range: range.clone(),
                reason: match failure {
                    Failure::Exhausted => DeathReason::DeliveryLimit,
                    Failure::Rejected => DeathReason::Rejected,
                },
            };
            self.post_records(&failed, run, turn);
        }
        self.windows.act(number, |window| window.bury(range));
    }

    /// How far a group has come.
    pub(super) fn window_summaries(
        &self,
        namespace: u32,
        group: &str,
        partitions: Option<&[PartitionName]>,
    ) -> Result<Vec<WindowSummary>, GroupError> {
        self.leasing_group(namespace, group)?;
        let summary = |(at, number): (At, u64)| {
            let log = self.logs.all.get(&at.log)?;
            let partition = log.partitions.get(at.partition as usize)?;
            let window = self.windows.get(number)?;
            let fresh = partition.end.saturating_sub(window.next());
            Some(WindowSummary {
                partition: PartitionName {
                    log: log.name.clone(),
                    partition: at.partition,
                },
                log: log.id,
                floor: window.floor().max(partition.start),
                lag: fresh + window.unsettled(),
                leased: window.leased(),
            })
        };
        let all = self.windows.of_group(namespace, group).filter_map(summary);
        let is_wanted = |one: &WindowSummary| match partitions {
            None => true,
            Some(wanted) => wanted.contains(&one.partition),
        };
        Ok(all.filter(is_wanted).collect())
    }

    /// The number of a group that leases.
    fn leasing_group(&self, namespace: u32, group: &str) -> Result<&super::Group, GroupError> {
        let number = self.groups.find(namespace, group);
        let found = number.and_then(|number| self.groups.all.get(&number));
        found.filter(|one| one.leases()).ok_or(GroupError::NotFound)
    }

    /// A group that leases, and has no members.
    fn idle_leasing_group(&self, namespace: u32, group: &str) -> Result<(), GroupError> {
        let found = self.leasing_group(namespace, group)?;
        if found.phase == super::Phase::Empty {
            Ok(())
        } else {
            Err(GroupError::NotEmpty)
        }
    }

    /// Lets a group begin anew at offsets.
    pub(super) fn move_windows(
        &mut self,
        slot: u32,
        group: &str,
        to: &[(PartitionName, u64)],
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        self.idle_leasing_group(slot, group)?;
        let namespace = self.namespace_name(slot);
        let mut results = Vec::new();
        for (partition, offset) in to {
            let Ok(at) = self.partition_at(slot, partition) else {
                results.push(Err(GroupError::UnknownPartition));
                continue;
            };
            let owner = Owner {
                namespace: slot,
                group: group.into(),
            };
            let log = self.logs.all.get(&at.log);
            let durable = log.is_some_and(|log| log.settings.durable);
            self.windows
                .open(&namespace, owner, at, *offset, durable, turn);
            results.push(Ok(()));
        }
        Ok(results)
    }

    /// Forgets how far a group has come in logs.
    pub(super) fn close_windows(
        &mut self,
        slot: u32,
        group: &str,
        logs: &[Name],
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        self.idle_leasing_group(slot, group)?;
        let mut results = Vec::new();
        for log in logs {
            let id = self.log_id(slot, log);
            let of_log = self.windows.of_group(slot, group);
            let of_log: Vec<u64> = of_log
                .filter(|(at, _)| Some(at.log) == id)
                .map(|(_, number)| number)
                .collect();
            results.push(if of_log.is_empty() {
                Err(GroupError::UnknownPartition)
            } else {
                Ok(())
            });
            for number in of_log {
                self.windows.close(number, turn);
            }
        }
        Ok(results)
    }

    /// A group is deleted, and its windows with it.
    pub(super) fn close_all_windows(
        &mut self,
        slot: u32,
        group: &str,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let all: Vec<u64> = self
            .windows
            .of_group(slot, group)
            .map(|one| one.1)
            .collect();
        for number in all {
            self.windows.close(number, turn);
        }
    }
}
