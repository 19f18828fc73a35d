//! What producers with transactions ask, and the end of what is open for too long.
//!
//! What always holds: a transaction ends in one turn, and so with one group of records: its ends in all partitions, the
//! offsets of its groups and the producer's state are all there after a restart, or none of them is.

use bytes::Bytes;
use polybus_model::{
    LogError, LogReply, Name, Origin, PartitionName, RunContent, TransactionSummary,
    TransactionalProducer, Transactor, Writer, WriterSummary,
};

use super::record::RunHead;
use super::transaction_record::{put_forgotten, put_partitions, put_pending, put_state};
use super::transactions::{Open, PendingOffsets, Transactional};
use super::{At, Caller};
use crate::turn::Turn;
use crate::{Engine, Store};

/// Transactions that are ended in one turn because their time is over, and producers that are forgotten for it.
const OVERDUE_PER_TURN: usize = 256;
/// The groups that one transaction can have.
const GROUPS_MAX: usize = 100;

impl Engine {
    /// Gives a producer with transactions its number and next epoch; what is open of an earlier epoch is aborted.
    pub(super) fn open_transactional(
        &mut self,
        namespace: u32,
        wanted: &TransactionalProducer,
        current: Option<(u64, u16)>,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<(u64, u16), LogError> {
        let Some(number) = self.logs.transactions.find(namespace, &wanted.name) else {
            return Ok(self.new_transactional(namespace, wanted, turn));
        };
        let known = self.logs.transactions.by_number(number);
        let known = known.ok_or(LogError::UnknownProducer)?;
        let present = (number, known.epoch);
        if current.is_some() && current == known.before && known.open.is_none() {
            return Ok(present);
        }
        if current.is_some_and(|current| current != present) {
            return Err(LogError::Fenced);
        }
        self.end_open(number, false, turn);
        self.logs.transactions.change(number, |one| {
            one.timeout_ms = wanted.timeout_ms;
        });
        Ok(self.renew(number, current, turn))
    }

    fn new_transactional(
        &mut self,
        namespace: u32,
        wanted: &TransactionalProducer,
        turn: &mut Turn<'_, impl Store>,
    ) -> (u64, u16) {
        while self.logs.transactions.len() >= self.options.transactional_producers_max {
            let Some(oldest) = self.logs.transactions.oldest_idle() else {
                break;
            };
            self.forget_transactional(oldest, turn);
        }
        let number = self.new_producer(turn);
        let one = Transactional {
            namespace,
            name: wanted.name.clone(),
            epoch: 0,
            timeout_ms: wanted.timeout_ms,
            used: turn.now,
            ended: None,
            before: None,
            open: None,
        };
        self.logs.transactions.insert(number, one);
        self.journal_state(number, turn);
        (number, 0)
    }

    /// Gives a producer its next epoch, or another number when it has none left. Asking again with `before` is answered with
    /// the same.
    fn renew(
        &mut self,
        number: u64,
        before: Option<(u64, u16)>,
        turn: &mut Turn<'_, impl Store>,
    ) -> (u64, u16) {
        let Some(mut one) = self.logs.transactions.remove(number) else {
            return (number, 0);
        };
        let (number, epoch) = match one.next_epoch() {
            Some(epoch) => (number, epoch),
            None => {
                put_forgotten(&mut self.work.buffer, number);
                turn.append(&self.work.buffer, 0);
                (self.new_producer(turn), 0)
            }
        };
        one.epoch = epoch;
        one.before = before;
        one.used = turn.now;
        self.logs.transactions.insert(number, one);
        self.journal_state(number, turn);
        (number, epoch)
    }

    fn journal_state(&mut self, number: u64, turn: &mut Turn<'_, impl Store>) {
        if let Some(one) = self.logs.transactions.by_number(number) {
            let namespace = self.namespace_name(one.namespace);
            put_state(&mut self.work.buffer, &namespace, number, one);
            turn.append(&self.work.buffer, 0);
        }
    }

    /// Ends what is open of a producer: the producer's state is to be journaled behind it. False if nothing was open.
    fn end_open(&mut self, number: u64, committed: bool, turn: &mut Turn<'_, impl Store>) -> bool {
        let now = turn.now;
        let taken = self.logs.transactions.change(number, |one| {
            let open = one.open.take()?;
            one.ended = Some(committed);
            one.used = now;
            Some((one.namespace, one.epoch, open))
        });
        let Some((namespace, epoch, open)) = taken.flatten() else {
            return false;
        };
        for at in open.partitions {
            self.append_end(at, number, epoch, committed, turn);
        }
        if committed {
            for (group, offsets) in open.offsets {
                self.commit_pending(namespace, &group, offsets, turn);
            }
        }
        true
    }

    fn append_end(
        &mut self,
        at: At,
        producer: u64,
        epoch: u16,
        committed: bool,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let Some(partition) = self.logs.partition(at) else {
            return;
        };
        let Some(first) = partition.stable.open_since(producer) else {
            // Nothing was written to it.
            return;
        };
        let head = RunHead {
            log: at.log,
            partition: at.partition,
            offset: partition.next,
            count: 1,
            at: turn.now,
            time: None,
            stamped: true,
            writer: Some(Writer {
                producer,
                epoch,
                sequence: 0,
                transactional: true,
            }),
            ends: Some(committed),
            message: false,
        };
        let nothing = RunContent::Packed {
            origin: Origin(0),
            bytes: Bytes::new(),
        };
        self.append_run(&head, nothing, None, turn);
        if committed {
            self.owe(at, producer, (first, head.offset), turn);
        }
    }

    /// Ends a producer's transaction.
    pub(super) fn end_transaction(
        &mut self,
        caller: Caller,
        who: &Transactor,
        committed: bool,
        renew: bool,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let result = self.try_end(caller.namespace, who, committed, renew, turn);
        turn.gate(
            caller.session,
            caller.event(LogReply::Producer(result)),
            true,
        );
    }

    fn try_end(
        &mut self,
        namespace: u32,
        who: &Transactor,
        committed: bool,
        renew: bool,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<(u64, u16), LogError> {
        let asked = (who.producer, who.epoch);
        let transactions = &self.logs.transactions;
        let number = transactions.find(namespace, &who.name);
        let known = number.and_then(|number| Some((number, transactions.by_number(number)?)));
        if let Some((number, one)) = known
            && renew
            && one.before == Some(asked)
        {
            // It comes again: it was ended, and this was the answer.
            return match one.open.is_none() && one.ended == Some(committed) {
                true => Ok((number, one.epoch)),
                false => Err(LogError::Fenced),
            };
        }
        let number = transactions.admit(namespace, who)?;
        let one = transactions.by_number(number);
        let one = one.ok_or(LogError::UnknownProducer)?;
        if one.open.is_none() {
            return match (renew, committed) {
                (false, _) if one.ended == Some(committed) => Ok(asked),
                // The client need not know whether it began.
                (true, false) => {
                    let abort = |one: &mut Transactional| one.ended = Some(false);
                    self.logs.transactions.change(number, abort);
                    Ok(self.renew(number, Some(asked), turn))
                }
                _ => Err(LogError::NoTransaction),
            };
        }
        self.end_open(number, committed, turn);
        if renew {
            return Ok(self.renew(number, Some(asked), turn));
        }
        self.journal_state(number, turn);
        Ok(asked)
    }

    /// Aborts transactions that are open for too long, and fences their producers.
    pub(crate) fn abort_overdue(&mut self, turn: &mut Turn<'_, impl Store>) {
        for _ in 0..OVERDUE_PER_TURN {
            let Some(number) = self.logs.transactions.overdue(turn.now) else {
                return;
            };
            self.end_open(number, false, turn);
            self.renew(number, None, turn);
        }
    }

    /// Forgets producers that have done nothing for long: whoever comes again under such a name begins anew.
    pub(crate) fn forget_idle_transactional(&mut self, turn: &mut Turn<'_, impl Store>) {
        let idle_ms_max = self.options.transactional_ids_idle_ms_max;
        for _ in 0..OVERDUE_PER_TURN {
            let Some(number) = self.logs.transactions.expired(turn.now, idle_ms_max) else {
                return;
            };
            self.forget_transactional(number, turn);
        }
    }

    fn forget_transactional(&mut self, number: u64, turn: &mut Turn<'_, impl Store>) {
        self.logs.transactions.remove(number);
        put_forgotten(&mut self.work.buffer, number);
        turn.append(&self.work.buffer, 0);
    }

    /// Makes partitions part of a producer's transaction: all of them, or none.
    pub(super) fn add_partitions(
        &mut self,
        caller: Caller,
        who: &Transactor,
        partitions: &[PartitionName],
        forbids: impl Fn(usize) -> bool,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let admitted = self.logs.transactions.admit(caller.namespace, who);
        let result = admitted.map(|number| {
            let mut added = Vec::new();
            let results = partitions.iter().enumerate().map(|(part, name)| {
                let at = match forbids(part) {
                    true => Err(LogError::Forbidden),
                    false => self.partition_at(caller.namespace, name),
                };
                let at = at.and_then(|at| self.check_transactional(at));
                at.map(|at| added.push(at))
            });
            let results: Vec<_> = results.collect();
            if results.iter().all(Result::is_ok) {
                self.add_to(number, added, turn);
            }
            results
        });
        let event = caller.event(LogReply::Added(result));
        turn.gate(caller.session, event, true);
    }

    /// Whether transactions can write there: the records of a keyed log are messages, and none says how one has ended.
    fn check_transactional(&self, at: At) -> Result<At, LogError> {
        match self.logs.partition(at) {
            Some(partition) if partition.keyed.is_some() => {
                let text = "a log whose records are found by key takes no transactions";
                Err(LogError::Unsupported(text.to_owned()))
            }
            _ => Ok(at),
        }
    }

    fn add_to(&mut self, number: u64, added: Vec<At>, turn: &mut Turn<'_, impl Store>) {
        let transactions = &mut self.logs.transactions;
        let new = added
            .into_iter()
            .filter(|at| !transactions.has(number, *at));
        let new: Vec<At> = new.collect();
        if new.is_empty() {
            return;
        }
        let now = turn.now;
        let since = transactions.change(number, |one| {
            let open = one.open.get_or_insert_with(|| Open::new(now));
            open.partitions.extend(&new);
            open.since
        });
        put_partitions(&mut self.work.buffer, number, since.unwrap_or(now), &new);
        turn.append(&self.work.buffer, 0);
    }

    /// Makes a group's offsets part of a producer's transaction.
    pub(super) fn add_group(
        &mut self,
        caller: Caller,
        who: &Transactor,
        group: &str,
        is_forbidden: bool,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let admitted = match is_forbidden {
            true => Err(LogError::Forbidden),
            false => self.logs.transactions.admit(caller.namespace, who),
        };
        let result = admitted.and_then(|number| {
            if self.logs.transactions.has_group(number, group) {
                return Ok(());
            }
            let one = self.logs.transactions.by_number(number);
            let open = one.and_then(|one| one.open.as_ref());
            if open.is_some_and(|open| open.offsets.len() >= GROUPS_MAX) {
                let text = format!("a transaction can have at most {GROUPS_MAX} groups");
                return Err(LogError::Unavailable(text));
            }
            self.add_pending(number, group, PendingOffsets::new(), turn);
            Ok(())
        });
        turn.gate(caller.session, caller.event(LogReply::Done(result)), true);
    }

    /// Adds offsets of a group to a producer's transaction.
    pub(crate) fn add_pending(
        &mut self,
        number: u64,
        group: &str,
        offsets: PendingOffsets,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let now = turn.now;
        let buffer = &mut self.work.buffer;
        self.logs.transactions.change(number, |one| {
            let open = one.open.get_or_insert_with(|| Open::new(now));
            put_pending(buffer, number, open.since, group, &offsets);
            open.offsets
                .entry(group.to_owned())
                .or_default()
                .extend(offsets);
        });
        turn.append(&self.work.buffer, 0);
    }

    /// Producers with transactions as listings show them.
    pub(super) fn transaction_summaries(
        &self,
        namespace: u32,
        names: Option<&[String]>,
    ) -> Vec<Result<TransactionSummary, LogError>> {
        let transactions = &self.logs.transactions;
        let found: Vec<Option<u64>> = match names {
            None => {
                let all = transactions.of_namespace(namespace);
                all.into_iter().map(Some).collect()
            }
            Some(names) => {
                let names = names.iter();
                names
                    .map(|name| transactions.find(namespace, name))
                    .collect()
            }
        };
        let summaries = found.into_iter().map(|number| {
            let number = number.ok_or(LogError::UnknownProducer)?;
            let one = transactions.by_number(number);
            let one = one.ok_or(LogError::UnknownProducer)?;
            Ok(self.transaction_summary(number, one))
        });
        summaries.collect()
    }

    fn transaction_summary(&self, number: u64, one: &Transactional) -> TransactionSummary {
        let partitions = one.open.iter().flat_map(|open| &open.partitions);
        let named = partitions.filter_map(|at| {
            Some(PartitionName {
                log: self.log_name(at.log)?,
                partition: at.partition,
            })
        });
        TransactionSummary {
            transactor: Transactor {
                name: one.name.clone(),
                producer: number,
                epoch: one.epoch,
            },
            state: one.state(),
            timeout_ms: one.timeout_ms,
            since: one.open.as_ref().map(|open| open.since),
            partitions: named.collect(),
        }
    }

    fn log_name(&self, log: u64) -> Option<Name> {
        Some(self.logs.all.get(&log)?.name.clone())
    }

    /// Who writes to a partition.
    pub(super) fn writers(
        &self,
        namespace: u32,
        name: &PartitionName,
    ) -> Result<Vec<WriterSummary>, LogError> {
        let at = self.partition_at(namespace, name)?;
        let partition = self.logs.partition(at).ok_or(LogError::NotFound)?;
        let mut writers = partition.producers.summaries();
        for writer in &mut writers {
            writer.open_since = partition.stable.open_since(writer.producer);
        }
        Ok(writers)
    }
}
