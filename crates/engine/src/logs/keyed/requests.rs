//! What sessions ask of keyed logs only.

use polybus_model::{
    AppendedRun, KeyedState, LogError, LogReply, LogRequest, LogSummary, Message, Name, NewRun,
    PartitionName, RunContent, StoredRecord, Terms,
};

use crate::logs::{At, Caller};
use crate::turn::Turn;
use crate::{Engine, Store};

impl Engine {
    /// Carries out a request that only keyed logs know.
    pub(in crate::logs) fn keyed_request(
        &mut self,
        caller: Caller,
        request: LogRequest,
        forbidden: bool,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let denied = || Err(LogError::Forbidden);
        let (reply, changed) = match request {
            LogRequest::Store {
                log,
                message,
                terms,
            } => {
                let result = match forbidden {
                    true => denied(),
                    false => self.store_in(caller, &log, &message, &terms, turn),
                };
                // A message that comes again is confirmed when the first one is durable, too.
                let stored = result.is_ok();
                (LogReply::Stored(result), stored)
            }
            LogRequest::Remove { partition, offset } => {
                let result = match forbidden {
                    true => Err(LogError::Forbidden),
                    false => self.remove_record(caller, &partition, offset, turn),
                };
                (LogReply::Removed(result), true)
            }
            LogRequest::Restore {
                partition,
                records,
                next,
            } => {
                let result = match forbidden {
                    true => Err(LogError::Forbidden),
                    false => self.restore_records(caller, &partition, &records, next, turn),
                };
                (LogReply::Done(result), true)
            }
            LogRequest::Purge(purge) => {
                let result = match forbidden {
                    true => Err(LogError::Forbidden),
                    false => self.purge_log(caller, &purge, turn),
                };
                (LogReply::Removed(result), true)
            }
            LogRequest::Pick(pick) => {
                let result = match forbidden {
                    true => Err(LogError::Forbidden),
                    false => self.pick_records(caller, &pick),
                };
                turn.tell(caller.session, caller.event(LogReply::Picked(result)));
                return;
            }
            LogRequest::ListKeys(list) => {
                let result = match forbidden {
                    true => Err(LogError::Forbidden),
                    false => self.list_keys(caller, &list),
                };
                turn.tell(caller.session, caller.event(LogReply::Keys(result)));
                return;
            }
            LogRequest::State { partition, removed } => {
                let result = match forbidden {
                    true => Err(LogError::Forbidden),
                    false => self.state_of(caller, &partition, removed),
                };
                let event = caller.event(LogReply::State(result.map(Box::new)));
                turn.tell(caller.session, event);
                return;
            }
            _ => return,
        };
        turn.gate(caller.session, caller.event(reply), changed);
    }

    /// Appends the messages of a run to a keyed log, as any other log is appended to: each is a record of its own. If one is
    /// refused, those behind it are not appended.
    pub(in crate::logs) fn append_keyed(
        &mut self,
        namespace: u32,
        at: At,
        log: &Name,
        run: NewRun,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<AppendedRun, LogError> {
        let mut messages = Vec::new();
        self.options
            .run_readers
            .read(log, &run.content, &mut messages);
        if messages.len() != run.count as usize {
            let text =
                "the records of this log are single messages, and these cannot be read as such";
            return Err(LogError::Unsupported(text.to_owned()));
        }
        let mut first = None;
        for (_, message) in &messages {
            let stored = self.store(at, message, None, turn)?;
            first.get_or_insert(stored.offset);
        }
        if self.has_readers_by_topic(namespace, log) {
            self.hand_to_bindings(namespace, (at.log, log), &run.content, turn);
        }
        let producers_max = self.options.log_producers_max;
        let partition = self.logs.partition_mut(at).ok_or(LogError::NotFound)?;
        let offset = first.unwrap_or(partition.next);
        if let Some(writer) = run.writer {
            let producers = &mut partition.producers;
            producers.note(writer, run.count, offset, turn.now);
            producers.bound(producers_max);
        }
        Ok(AppendedRun {
            offset,
            start: partition.start,
            stamped: None,
        })
    }

    /// Appends a message that was routed to a keyed log, on the terms of the publish under way.
    pub(in crate::logs) fn store_routed(
        &mut self,
        at: At,
        message: &Message,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<AppendedRun, LogError> {
        let terms = self.work.terms.clone();
        let part = terms
            .as_ref()
            .and_then(|terms| Some((terms, terms.batch.as_ref()?)));
        let result = match part {
            Some(part) => self.store_part(at, message, part, turn),
            None => self.store(at, message, terms.as_deref(), turn),
        };
        let start = self.logs.partition(at).map_or(0, |one| one.start);
        let appended = result.as_ref().map(|stored| AppendedRun {
            offset: stored.offset,
            start,
            stamped: None,
        });
        let appended = appended.map_err(Clone::clone);
        if self.work.wants_stored
            && let Some(log) = self.logs.all.get(&at.log)
            && log
                .settings
                .keyed
                .as_ref()
                .is_some_and(|rules| !rules.silent)
        {
            self.work.stored.push((log.name.clone(), result));
        }
        appended
    }

    fn store_in(
        &mut self,
        caller: Caller,
        log: &Name,
        message: &Message,
        terms: &Terms,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<StoredRecord, LogError> {
        let id = self.log_id(caller.namespace, log);
        let at = At {
            log: id.ok_or(LogError::NotFound)?,
            partition: 0,
        };
        self.rules(at)?;
        let stored = self.store(at, message, Some(terms), turn)?;
        if !stored.duplicate && self.has_readers_by_topic(caller.namespace, log) {
            let content = RunContent::Message(message.clone());
            self.hand_to_bindings(caller.namespace, (at.log, log), &content, turn);
        }
        Ok(stored)
    }

    fn state_of(
        &self,
        caller: Caller,
        partition: &PartitionName,
        removed: bool,
    ) -> Result<(LogSummary, KeyedState), LogError> {
        let at = self.partition_at(caller.namespace, partition)?;
        let log = self.logs.all.get(&at.log).ok_or(LogError::NotFound)?;
        let state = self.keyed_state(caller, partition, removed)?;
        Ok((log.summary(), state))
    }
}
