//! Groups: members share the partitions of logs among themselves, and offsets say up to where they have come. As Kafka's
//! group coordinator has it. In its classic protocol the clients decide who does what, and the group sees to it that all
//! of them mean the same generation; in its newer one the broker decides.
//!
//! ```text
//! join, sync -> the group's phase moves (group, join, work) -> answers to all whom it concerns
//! commit     -> a record, the answer when it is durable     (requests, offset, record)
//!               or with a producer's transaction            (transactional)
//! beat       -> the broker decides who does what          (shared, assignors)
//! both       -> a group moves from the one to the other with its members in it   (moving, shared/guests)
//! deadlines  -> members that are not heard of, phases that take too long, groups and offsets nobody uses   (timers)
//! snapshot + records -> RecoveredGroups -> groups without members                                  (recovery)
//! lease      -> single records of a partition, each under a lease of its own                        (leased)
//! read       -> a log's records one by one, to live subscribers who listen or ask            (readers)
//! ```
//! What always holds: an answer that waits is given once, or its client is gone; every deadline is in `timers` once; the
//! sum of the groups' weights is `weight`; a group that is in no snapshot and no record is one without offsets.

mod assignors;
#[cfg(test)]
mod check;
mod group;
mod join;
mod leased;
mod leasers;
mod leasing;
mod member;
mod moving;
mod offset;
mod options;
pub(crate) mod readers;
mod record;
mod recovery;
mod requests;
mod settings;
mod shared;
mod timers;
mod transactional;
mod work;

use std::collections::BTreeMap;

use polybus_model::{Event, GroupReply, LogId, Millis, Name, PartitionName};
use rustc_hash::FxHashMap;

use crate::turn::Turn;
use crate::{Engine, Store};
use group::{Group, Phase, Round};
pub(crate) use leased::{Failure, Settlement, Window, Windows};
use leasers::Leasers;
pub(crate) use leasing::Holders;
use member::Waiter;
pub(crate) use offset::Offset;
pub use options::GroupOptions;
pub(crate) use readers::Readers;
pub(crate) use record::{offsets, put_offset_list, text};
pub(crate) use recovery::RecoveredGroups;
use settings::AllSettings;
use timers::{Of, Timer, Timers};

/// Deadlines of groups that are looked after in one turn; the rest follows in the next.
const TIMERS_PER_TURN: usize = 1_024;

/// A group without members and offsets is kept for so long, and with it its generation.
const BLANK_KEEP_MS: Millis = 10 * 60_000;

/// Answers on their way.
type Told = Vec<(Waiter, GroupReply)>;

/// The namespace's logs.
struct Logs<'a> {
    /// By its name: which one it is, and how many partitions it has.
    find: &'a dyn Fn(&Name) -> Option<(LogId, u32)>,
    /// The names of all.
    names: &'a dyn Fn() -> Vec<Name>,
    /// While this is the same, so is what the others give.
    version: u64,
}

/// The groups of all namespaces.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// By number.
    all: FxHashMap<u64, Group>,
    /// Their numbers by namespace and name.
    names: BTreeMap<u32, BTreeMap<Box<str>, u64>>,
    timers: Timers,
    next_number: u64,
    /// About how many bytes members and offsets take.
    weight: usize,
    told: Told,
    buffer: Vec<u8>,
    /// How groups lease.
    settings: AllSettings,
}

impl Groups {
    fn find(&self, namespace: u32, name: &str) -> Option<u64> {
        self.names.get(&namespace)?.get(name).copied()
    }

    fn create(&mut self, namespace: u32, name: &str) -> u64 {
        self.next_number += 1;
        let number = self.next_number;
        let names = self.names.entry(namespace).or_default();
        names.insert(name.into(), number);
        self.all.insert(number, Group::new(number, namespace, name));
        number
    }

    /// Forgets a group; nobody waits for an answer of it.
    fn forget(&mut self, number: u64) {
        let Some(mut group) = self.all.remove(&number) else {
            return;
        };
        group.disarm(&mut self.timers);
        self.weight -= group.reported;
        if let Some(names) = self.names.get_mut(&group.namespace) {
            names.remove(&group.name);
            if names.is_empty() {
                self.names.remove(&group.namespace);
            }
        }
    }

    /// Brings the sum of the weights up to date.
    fn account(&mut self, number: u64) {
        if let Some(group) = self.all.get_mut(&number) {
            self.weight = self.weight + group.weight - group.reported;
            group.reported = group.weight;
        }
    }

    /// The groups of a namespace, by name.
    fn of_namespace(&self, slot: u32) -> impl Iterator<Item = &Group> {
        let numbers = self.names.get(&slot).into_iter().flatten();
        numbers.filter_map(|(_, number)| self.all.get(number))
    }

    /// The next deadline.
    pub(crate) fn deadline(&self) -> Option<Millis> {
        self.timers.deadline()
    }

    /// Does something with a group, gives the answers that come of it, and journals what changed.
    fn act<R>(
        &mut self,
        number: u64,
        namespace: &Name,
        options: &GroupOptions,
        turn: &mut Turn<'_, impl Store>,
        act: impl FnOnce(&mut Group, &mut Round<'_>) -> R,
    ) -> Option<R> {
        let group = self.all.get_mut(&number)?;
        let mut round = Round {
            now: turn.now,
            options,
            timers: &mut self.timers,
            told: &mut self.told,
        };
        let result = act(group, &mut round);
        for (waiter, reply) in self.told.drain(..) {
            tell(waiter, reply, turn);
        }
        if std::mem::take(&mut group.changed) {
            group.recorded = true;
            record::put_past(&mut self.buffer, namespace, group);
            turn.append(&self.buffer, 0);
        }
        if group.phase == Phase::Empty {
            let due = if group.offsets.is_empty() {
                turn.now.saturating_add(BLANK_KEEP_MS)
            } else {
                let since = group.emptied.unwrap_or(turn.now);
                since.saturating_add(options.retention_ms)
            };
            let timer = group.timer(Of::Idle);
            self.timers.arm(&mut group.idle_armed, due, timer);
        } else if !group.offsets.is_empty() {
            let due = turn.now.saturating_add(options.unread_look_ms());
            let timer = group.timer(Of::Idle);
            self.timers.arm(&mut group.idle_armed, due, timer);
        }
        let is_nothing = group.is_blank() && !group.recorded;
        self.account(number);
        if is_nothing {
            self.forget(number);
        }
        Some(result)
    }

    /// Deletes a group, and says so in the journal.
    fn delete(&mut self, number: u64, namespace: &Name, turn: &mut Turn<'_, impl Store>) {
        if let Some(group) = self.all.get(&number).filter(|group| group.recorded) {
            let kind = crate::record::kind::GROUP_DELETED;
            record::put_group(&mut self.buffer, kind, namespace, &group.name);
            turn.append(&self.buffer, 0);
        }
        self.forget(number);
    }

    /// Forgets offsets, and says so in the journal.
    fn forget_offsets(
        &mut self,
        number: u64,
        namespace: &Name,
        partitions: &mut Vec<PartitionName>,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let Some(group) = self.all.get_mut(&number) else {
            return;
        };
        partitions.retain(|partition| group.forget_offset(partition));
        if !partitions.is_empty() {
            record::put_forgotten(&mut self.buffer, namespace, &group.name, partitions);
            turn.append(&self.buffer, 0);
        }
        self.account(number);
    }

    /// Nobody may use the group, or some of its offsets, any more.
    fn look_whether_idle(
        &mut self,
        number: u64,
        namespace: &Name,
        options: &GroupOptions,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let Some(group) = self.all.get_mut(&number) else {
            return;
        };
        group.idle_armed = None;
        if group.phase != Phase::Empty {
            let mut over = group.unread(turn.now, options.retention_ms);
            if group.offsets.len() > over.len() {
                let due = turn.now.saturating_add(options.unread_look_ms());
                let timer = group.timer(Of::Idle);
                self.timers.arm(&mut group.idle_armed, due, timer);
            }
            self.forget_offsets(number, namespace, &mut over, turn);
            return;
        }
        let (mut over, next) = group.expired(turn.now, options.retention_ms);
        let keep_until = group.emptied.map(|at| at.saturating_add(BLANK_KEEP_MS));
        let next = match next {
            Some(next) => Some(next),
            // How far it has come in its windows is not forgotten.
            None if group.leases() || !group.expected.is_empty() => {
                Some(turn.now.saturating_add(BLANK_KEEP_MS))
            }
            None => keep_until.filter(|until| *until > turn.now),
        };
        let Some(next) = next else {
            self.delete(number, namespace, turn);
            return;
        };
        let timer = group.timer(Of::Idle);
        self.timers.arm(&mut group.idle_armed, next, timer);
        if !over.is_empty() {
            self.forget_offsets(number, namespace, &mut over, turn);
        }
    }

    /// A namespace is gone, and its groups with it: the record that says so speaks for them.
    pub(crate) fn drop_namespace(&mut self, slot: u32) {
        let numbers: Vec<u64> = self.of_namespace(slot).map(|group| group.number).collect();
        for number in numbers {
            self.forget(number);
        }
        self.settings.drop_namespace(slot);
    }
}

fn tell(waiter: Waiter, reply: GroupReply, turn: &mut Turn<'_, impl Store>) {
    let number = waiter.number;
    let reply = Box::new(reply);
    turn.tell(waiter.session, Event::Group { number, reply });
}

impl Engine {
    /// Does what is due of groups.
    pub(crate) fn handle_group_timeouts(&mut self, turn: &mut Turn<'_, impl Store>) {
        for _ in 0..TIMERS_PER_TURN {
            let Some(Timer { group: number, of }) = self.groups.timers.pop(turn.now) else {
                break;
            };
            let Some(group) = self.groups.all.get(&number) else {
                continue;
            };
            let namespace = self.namespace_name(group.namespace);
            let options = &self.options.groups;
            match of {
                Of::Idle => self
                    .groups
                    .look_whether_idle(number, &namespace, options, turn),
                of => {
                    self.groups
                        .act(number, &namespace, options, turn, |group, round| {
                            group.ring(of, round);
                        });
                }
            }
        }
    }

    /// Leases that broke off come back.
    pub(crate) fn handle_window_timeouts(&mut self, turn: &mut Turn<'_, impl Store>) {
        for _ in 0..TIMERS_PER_TURN {
            let Some(number) = self.windows.tick(turn.now) else {
                break;
            };
            self.readers.stir(number);
        }
    }

    /// A log is gone: one that is made with its name later starts without offsets.
    pub(crate) fn forget_offsets_of(
        &mut self,
        namespace: u32,
        log: &Name,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let name = self.namespace_name(namespace);
        let groups = self.groups.of_namespace(namespace);
        let found: Vec<_> = groups
            .map(|group| {
                let first = PartitionName {
                    log: log.clone(),
                    partition: 0,
                };
                let partitions = group.offsets.range(first..).map(|(at, _)| at);
                let partitions = partitions.take_while(|at| at.log == *log);
                (group.number, partitions.cloned().collect::<Vec<_>>())
            })
            .filter(|(_, partitions)| !partitions.is_empty())
            .collect();
        for (number, mut partitions) in found {
            self.groups
                .forget_offsets(number, &name, &mut partitions, turn);
        }
    }
}
