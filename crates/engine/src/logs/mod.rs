//! Logs: records that stay, numbered, in partitions.
//!
//! ```text
//! append: check the writer, one record, an entry in the index, its bytes kept in memory     (append, producers, recent)
//!         -> a mark; when all of its turn is durable, handle_durable moves the ends        (durable)
//! read:   from memory, or a load for what is no longer there; or wait for an end to move   (read, waiting)
//!         who reads one part after the other finds the next one loaded                     (ahead)
//! lease:  what a group's window may hand out, read likewise                                 (lending)
//! publish to a topic with a log: appended; append to a log whose topic has bindings: handed on  (publish)
//! transaction: partitions and groups are added, runs appended, all of it ended in one turn
//!         (transactions, transacting, transaction_record; stable says up to where a partition is committed;
//!         owed: what is committed goes on to the bindings of the topic)
//! trim:   by request, age or size                                                          (offsets, retention)
//! compact: only the latest record of each key stays                                       (compaction)
//! remove: single runs go, or give way to others with fewer records                         (remove, holes)
//! keyed:  messages found by key, with rules of their own                                   (keyed)
//! snapshot + records -> the same logs                                                      (recovery)
//! ```
//! What always holds: readers see only what is durable; a run's bytes are written once, and the index points to them; a log's
//! id and a producer's number are never given again.

mod ahead;
mod append;
pub(crate) mod compaction;
mod define;
mod durable;
mod holes;
pub(crate) mod keyed;
pub(crate) mod lending;
mod log;
mod offsets;
mod owed;
pub(crate) mod partition;
mod producers;
pub(crate) mod publish;
mod queues;
mod read;
mod recent;
pub(crate) mod record;
pub(crate) mod recovery;
pub(crate) mod remove;
mod retention;
mod stable;
mod transacting;
mod transaction_record;
mod transactions;
mod waiting;

use std::collections::BTreeMap;

use polybus_model::{
    Event, LogError, LogId, LogReply, LogRequest, Millis, Name, PartitionName, SessionId, WhichLogs,
};

use crate::namespace::Namespace;
use crate::turn::{Asker, Turn};
use crate::{Engine, Options, Place, Store};
use ahead::Ahead;
use compaction::Compaction;
use durable::Marks;
use keyed::KeyedWork;
use keyed::follow::FollowWork;
use log::Log;
use owed::Owed;
use partition::Partition;
use read::Loadings;
use recent::Recent;
use remove::Removed;
use retention::Sweep;
use transactions::Transactions;
use waiting::Waiters;

/// Numbers of producers that one record sets aside.
const PRODUCERS_RESERVED: u64 = 1_000;

/// One partition of a log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct At {
    pub(crate) log: u64,
    pub(crate) partition: u32,
}

impl At {
    /// Behind all others.
    const LAST: Self = Self {
        log: u64::MAX,
        partition: u32::MAX,
    };
}

/// All logs of an engine. A namespace knows the ids of its own by name.
#[derive(Debug)]
pub(crate) struct Logs {
    pub(crate) all: BTreeMap<u64, Log>,
    pub(crate) next_id: u64,
    /// It rises when a log comes or goes, or gets more partitions.
    pub(crate) version: u64,
    /// Partitions of all logs.
    pub(crate) partition_count: usize,
    /// The number that the next producer gets, and the first one that is not yet set aside.
    next_producer: u64,
    reserved: u64,
    marks: Marks,
    recent: Recent,
    removed: Removed,
    keyed: KeyedWork,
    following: FollowWork,
    waiters: Waiters,
    pub(crate) loadings: Loadings,
    ahead: Ahead,
    sweep: Sweep,
    compaction: Compaction,
    pub(crate) transactions: Transactions,
    owed: Owed,
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            all: BTreeMap::new(),
            next_id: 1,
            version: 0,
            partition_count: 0,
            next_producer: 1,
            reserved: 1,
            marks: Marks::default(),
            recent: Recent::default(),
            removed: Removed::default(),
            keyed: KeyedWork::default(),
            following: FollowWork::default(),
            waiters: Waiters::default(),
            loadings: Loadings::default(),
            ahead: Ahead::default(),
            sweep: Sweep::default(),
            compaction: Compaction::default(),
            transactions: Transactions::default(),
            owed: Owed::default(),
        }
    }
}

/// Who asks, and under which number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    session: SessionId,
    /// The namespace's slot.
    namespace: u32,
    number: u64,
}

impl Caller {
    fn event(self, reply: LogReply) -> Event {
        Event::Log {
            number: self.number,
            reply: Box::new(reply),
        }
    }
}

/// Whether that part of a request is among the forbidden ones, which rise: a request may have very many of both.
fn is_forbidden(forbidden: &[u32], part: usize) -> bool {
    u32::try_from(part).is_ok_and(|part| forbidden.binary_search(&part).is_ok())
}

impl Logs {
    pub(crate) fn partition(&self, at: At) -> Option<&Partition> {
        self.all.get(&at.log)?.partitions.get(at.partition as usize)
    }

    pub(crate) fn partition_mut(&mut self, at: At) -> Option<&mut Partition> {
        let log = self.all.get_mut(&at.log)?;
        log.partitions.get_mut(at.partition as usize)
    }

    /// The record that holds the run with an offset, and how long it is, if it stands at `place`.
    pub(crate) fn stands_at(&self, at: At, offset: u64, place: Place) -> bool {
        self.partition(at)
            .and_then(|partition| partition.stand(offset))
            .is_some_and(|stand| stand.place == place)
    }

    /// A session is gone: nothing waits for it any more.
    pub(crate) fn forget_session(&mut self, session: SessionId) {
        for slot in self.waiters.of_session(session) {
            self.stop_waiting(slot);
        }
    }

    /// When something is to be looked after.
    pub(crate) fn deadline(&self, options: &Options) -> Option<Millis> {
        let due = [
            self.waiters.deadline(),
            self.sweep.deadline(),
            self.compaction.deadline(),
            self.transactions
                .deadline(options.transactional_ids_idle_ms_max),
            self.keyed.deadline(),
            self.following.deadline(),
            self.owed.resumes().then_some(0),
            self.ahead.deadline(),
        ];
        due.into_iter().flatten().min()
    }
}

impl Engine {
    /// Carries out what a session asks of logs.
    pub(crate) fn log_request(
        &mut self,
        asker: Asker,
        number: u64,
        request: LogRequest,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let caller = Caller {
            session: asker.id,
            namespace: asker.namespace,
            number,
        };
        let (request, forbidden) = match request {
            LogRequest::Partly { request, forbidden } => (*request, forbidden),
            request => (request, Vec::new()),
        };
        let forbids = |at: usize| is_forbidden(&forbidden, at);
        self.look_after_keyed(turn);
        match request {
            LogRequest::Append(appends) => self.append_runs(caller, appends, forbids, turn),
            LogRequest::Read(request) => self.read_logs(caller, request, forbidden, turn),
            LogRequest::FindOffsets(wanted) => {
                self.find_offsets(caller, wanted, forbidden, turn);
            }
            LogRequest::Trim(wanted) => self.trim_logs(caller, &wanted, forbids, turn),
            LogRequest::List(which) => {
                let found = self.which_logs(asker.namespace, &which, forbids);
                let logs = found.into_iter().map(|log| log.map(Log::summary));
                let event = caller.event(LogReply::Logs(logs.collect()));
                turn.tell(asker.id, event);
            }
            LogRequest::Sizes(which) => {
                let found = self.which_logs(asker.namespace, &which, forbids);
                let sizes = found.into_iter().flatten().map(|log| {
                    let bytes = log.partitions.iter().map(|one| one.bytes).collect();
                    (log.summary(), bytes)
                });
                let event = caller.event(LogReply::Sizes(sizes.collect()));
                turn.tell(asker.id, event);
            }
            LogRequest::Declare { .. } | LogRequest::Alter { .. } | LogRequest::Delete { .. } => {
                let result = match forbids(0) {
                    true => Err(LogError::Forbidden),
                    false => self.define_log(asker, request, turn),
                };
                let changed = result.is_ok();
                let event = caller.event(LogReply::Logs(vec![result]));
                turn.gate(asker.id, event, changed);
            }
            LogRequest::OpenProducer {
                transactional,
                current,
            } => {
                let result = match transactional {
                    Some(wanted) => {
                        self.open_transactional(asker.namespace, &wanted, current, turn)
                    }
                    None => Ok((self.new_producer(turn), 0)),
                };
                turn.gate(asker.id, caller.event(LogReply::Producer(result)), true);
            }
            LogRequest::AddPartitions {
                transactor,
                partitions,
            } => self.add_partitions(caller, &transactor, &partitions, forbids, turn),
            LogRequest::AddGroup { transactor, group } => {
                self.add_group(caller, &transactor, &group, forbids(0), turn);
            }
            LogRequest::End {
                transactor,
                committed,
                renew,
            } => self.end_transaction(caller, &transactor, committed, renew, turn),
            LogRequest::Transactions(names) => {
                let found = self.transaction_summaries(asker.namespace, names.as_deref());
                turn.tell(asker.id, caller.event(LogReply::Transactions(found)));
            }
            LogRequest::Writers(partitions) => {
                let found = partitions.iter().enumerate().map(|(part, name)| {
                    if forbids(part) {
                        return Err(LogError::Forbidden);
                    }
                    self.writers(asker.namespace, name)
                });
                let event = caller.event(LogReply::Writers(found.collect()));
                turn.tell(asker.id, event);
            }
            LogRequest::Store { .. }
            | LogRequest::Remove { .. }
            | LogRequest::Restore { .. }
            | LogRequest::Purge(_)
            | LogRequest::Pick(_)
            | LogRequest::ListKeys(_)
            | LogRequest::State { .. } => {
                self.keyed_request(caller, request, forbids(0), turn);
            }
            // The broker wraps once.
            LogRequest::Partly { .. } => {}
        }
    }

    fn new_producer(&mut self, turn: &mut Turn<'_, impl Store>) -> u64 {
        let logs = &mut self.logs;
        let number = logs.next_producer;
        logs.next_producer += 1;
        if number >= logs.reserved {
            logs.reserved = number + PRODUCERS_RESERVED;
            record::put_reserved(&mut self.work.buffer, logs.reserved);
            turn.append(&self.work.buffer, 0);
        }
        number
    }

    /// The logs that are asked for.
    fn which_logs(
        &self,
        namespace: u32,
        which: &WhichLogs,
        forbids: impl Fn(usize) -> bool,
    ) -> Vec<Result<&Log, LogError>> {
        let allow = |at: usize, log: Option<&'_ Log>| match log {
            _ if forbids(at) => Err(LogError::Forbidden),
            Some(_) => Ok(()),
            None => Err(LogError::NotFound),
        };
        let pick = |at: usize, id: Option<u64>| {
            let log = id.and_then(|id| self.logs.all.get(&id));
            let log = log.filter(|log| log.namespace == namespace);
            allow(at, log)?;
            log.ok_or(LogError::NotFound)
        };
        match which {
            WhichLogs::All => {
                let mut all: Vec<_> = self
                    .logs
                    .all
                    .values()
                    .filter(|log| log.namespace == namespace)
                    .collect();
                all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
                all.into_iter().map(Ok).collect()
            }
            WhichLogs::Named(names) | WhichLogs::Configured(names) => {
                let named = names.iter().enumerate();
                named
                    .map(|(at, name)| pick(at, self.log_id(namespace, name)))
                    .collect()
            }
            WhichLogs::WithIds(ids) => {
                let ids = ids.iter().enumerate();
                ids.map(|(at, id)| pick(at, Some(id.0))).collect()
            }
        }
    }

    /// The id of a namespace's log.
    pub(crate) fn log_id(&self, namespace: u32, name: &Name) -> Option<u64> {
        let namespace = self.namespaces.get(namespace)?;
        namespace.router.log_id(name.as_str())
    }

    /// Whether a log of that name survives a restart.
    pub(crate) fn is_durable_log(&self, namespace: &Namespace, name: &Name) -> bool {
        let id = namespace.router.log_id(name.as_str());
        let log = id.and_then(|id| self.logs.all.get(&id));
        log.is_some_and(|log| log.settings.durable)
    }

    /// The partition of that name.
    pub(crate) fn partition_at(
        &self,
        namespace: u32,
        name: &PartitionName,
    ) -> Result<At, LogError> {
        let log = self.log_id(namespace, &name.log);
        let at = At {
            log: log.ok_or(LogError::NotFound)?,
            partition: name.partition,
        };
        match self.logs.partition(at) {
            Some(_) => Ok(at),
            None => Err(LogError::NotFound),
        }
    }

    /// The partition of that name, if its log is the one with that id.
    pub(crate) fn partition_of(
        &self,
        namespace: u32,
        name: &PartitionName,
        id: Option<LogId>,
    ) -> Result<At, LogError> {
        let at = self.partition_at(namespace, name)?;
        if id.is_none_or(|id| id.0 == at.log) {
            Ok(at)
        } else {
            Err(LogError::Replaced)
        }
    }

    /// The names of a namespace's logs, in their order.
    #[must_use]
    pub fn log_names(&self, namespace: &Name) -> Vec<Name> {
        let slot = self.namespace_slot(namespace.as_str());
        let logs = self.logs.all.values();
        let logs = logs.filter(|log| Some(log.namespace) == slot);
        let mut names: Vec<_> = logs.map(|log| log.name.clone()).collect();
        names.sort_unstable();
        names
    }

    /// The name of a namespace's log with that id.
    #[must_use]
    pub fn log_name_of(&self, namespace: &Name, id: LogId) -> Option<Name> {
        let slot = self.namespace_slot(namespace.as_str());
        let log = self.logs.all.get(&id.0)?;
        (Some(log.namespace) == slot).then(|| log.name.clone())
    }

    /// How many partitions a namespace's log has.
    #[must_use]
    pub fn log_partitions(&self, namespace: &Name, name: &Name) -> Option<u32> {
        let slot = self.namespace_slot(namespace.as_str())?;
        let log = self.logs.all.get(&self.log_id(slot, name)?)?;
        Some(log.settings.partitions)
    }
}
