//! Logs are declared, altered, deleted.

use polybus_model::{
    Error, Kind, LogError, LogId, LogRequest, LogSettings, LogSummary, Name, Resource, Table,
    TopicKind, TopicSettings,
};

use super::At;
use super::keyed::takes;
use super::log::Log;
use super::record::{Declared, PARTITIONS_MAX, put_altered, put_declared};
use crate::record::{self, codec::Put, kind};
use crate::turn::{Asker, Turn, fail};
use crate::{Engine, Store};

/// The largest run that any log takes: what one record of the journal can be asked to hold.
const RUN_BYTES_MAX: u32 = 128 << 20;

impl Engine {
    /// Carries out a declaration, alteration or deletion.
    pub(super) fn define_log(
        &mut self,
        asker: Asker,
        request: LogRequest,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<LogSummary, LogError> {
        match request {
            LogRequest::Declare {
                name,
                settings,
                dry_run,
            } => self.declare_log(asker, name, settings, dry_run, turn),
            LogRequest::Alter {
                name,
                settings,
                dry_run,
            } => self.alter_log(asker, &name, settings, dry_run, turn),
            LogRequest::Delete { name } => {
                let id = self.log_id(asker.namespace, &name);
                let id = id.ok_or(LogError::NotFound)?;
                self.delete_log(asker, id, turn).ok_or(LogError::NotFound)
            }
            _ => Err(LogError::NotFound),
        }
    }

    pub(super) fn declare_log(
        &mut self,
        asker: Asker,
        name: Name,
        settings: LogSettings,
        dry_run: bool,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<LogSummary, LogError> {
        if self.log_id(asker.namespace, &name).is_some() {
            return Err(LogError::Exists);
        }
        self.check_log_settings(asker, &name, &settings, 0)?;
        self.check_takes(asker.namespace, &name, &settings)?;
        self.check_rules(asker.namespace, &name, &settings)?;
        if dry_run {
            return Ok(LogSummary {
                name,
                id: LogId(0),
                settings,
            });
        }
        let made_topic = !self.has_topic(asker.namespace, &name);
        if made_topic {
            let made = self.declare_topic(asker, &name, Some(front_topic()), turn);
            made.map_err(|error| LogError::Other(Box::new(error)))?;
        }
        let logs = &mut self.logs;
        let id = logs.next_id;
        logs.next_id += 1;
        logs.partition_count += settings.partitions as usize;
        let declared = Declared {
            namespace: self.namespace_name(asker.namespace),
            log: id,
            name: name.clone(),
            made_topic,
            settings,
        };
        if declared.settings.durable {
            let buffer = &mut self.work.buffer;
            record::begin(buffer, kind::LOG_DECLARED);
            put_declared(buffer, &declared);
            turn.append(buffer, id);
        }
        let log = Log::new(asker.namespace, declared);
        let summary = log.summary();
        self.logs.all.insert(id, log);
        self.logs.version += 1;
        if let Some(namespace) = self.namespaces.get_mut(asker.namespace) {
            namespace.router.log_declared(&name, id);
        }
        self.start_sweeping(turn.now);
        let at = At {
            log: id,
            partition: 0,
        };
        let first = summary.settings.keyed.as_ref().map_or(0, |one| one.first);
        if let Err(error) = self.leave_hole(at, first, turn) {
            self.delete_log(asker, id, turn);
            return Err(error);
        }
        self.follow_as_set(id, turn.now);
        let takes = takes(&summary.settings);
        if let Err(error) = self.take_from_topic(asker, &name, None, takes, turn) {
            self.delete_log(asker, id, turn);
            return Err(error);
        }
        Ok(summary)
    }

    fn alter_log(
        &mut self,
        asker: Asker,
        name: &Name,
        settings: LogSettings,
        dry_run: bool,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<LogSummary, LogError> {
        let id = self.log_id(asker.namespace, name);
        let id = id.ok_or(LogError::NotFound)?;
        let log = self.logs.all.get(&id).ok_or(LogError::NotFound)?;
        let (had, durable) = (log.settings.partitions, log.settings.durable);
        let keyed = log.settings.keyed.is_some();
        self.check_log_settings(asker, name, &settings, had)?;
        self.check_takes(asker.namespace, name, &settings)?;
        self.check_rules(asker.namespace, name, &settings)?;
        if settings.partitions < had {
            let text = format!("it has {had} partitions, and can only get more");
            return Err(self.bad_setting(asker, name, text));
        }
        if settings.keyed.is_some() != keyed {
            let text = "whether records are found by key cannot be changed".to_owned();
            return Err(self.bad_setting(asker, name, text));
        }
        if settings.durable != durable {
            let text = "whether a log survives a restart cannot be changed".to_owned();
            return Err(self.bad_setting(asker, name, text));
        }
        let before = takes(&log.settings).cloned();
        let log = self.logs.all.get_mut(&id).ok_or(LogError::NotFound)?;
        if dry_run {
            return Ok(LogSummary {
                settings,
                ..log.summary()
            });
        }
        log.settings = settings;
        log.grow();
        let at = At {
            log: id,
            partition: 0,
        };
        self.logs.partition_count += (log.settings.partitions - had) as usize;
        self.logs.version += 1;
        if durable {
            put_altered(&mut self.work.buffer, id, &log.settings);
            turn.append(&self.work.buffer, id);
        }
        let summary = log.summary();
        self.follow_as_set(id, turn.now);
        self.journal_positions(at, turn);
        // Stricter limits hold at once.
        self.keep_key_limit(at, turn);
        self.touch_keyed(at);
        let now = takes(&summary.settings);
        self.take_from_topic(asker, name, before.as_ref(), now, turn)?;
        Ok(summary)
    }

    /// Whether there may be a log with these settings, of whose partitions there are `had` already.
    fn check_log_settings(
        &self,
        asker: Asker,
        name: &Name,
        settings: &LogSettings,
        had: u32,
    ) -> Result<(), LogError> {
        if name.is_empty() {
            let text = "a log needs a name".to_owned();
            return Err(self.bad_setting(asker, name, text));
        }
        if settings.partitions == 0 || settings.run_bytes_max > RUN_BYTES_MAX {
            let text =
                format!("a log needs a partition, and takes runs of {RUN_BYTES_MAX} bytes at most");
            return Err(self.bad_setting(asker, name, text));
        }
        if let Some(text) = unkeepable(settings) {
            return Err(self.bad_setting(asker, name, text.to_owned()));
        }
        let (one_max, all_max) = (
            self.options.log_partitions_max.min(PARTITIONS_MAX),
            self.options.partitions_max,
        );
        let more = settings.partitions.saturating_sub(had) as usize;
        if settings.partitions > one_max || self.logs.partition_count + more > all_max {
            let text = format!(
                "at most {one_max} partitions to a log (log_partitions_max), {all_max} in all (partitions_max)"
            );
            return Err(self.log_failure(asker, name, Kind::LimitReached(text)));
        }
        Ok(())
    }

    /// Whether the rules of a keyed log can be kept.
    fn check_rules(
        &self,
        namespace: u32,
        name: &Name,
        settings: &LogSettings,
    ) -> Result<(), LogError> {
        let Some(rules) = settings.keyed.as_deref() else {
            return Ok(());
        };
        if rules.first > i64::MAX as u64 / 2 {
            let text = "a first offset is less than 2^62".to_owned();
            return Err(LogError::Unsupported(text));
        }
        self.check_circles(namespace, name, rules)
    }

    fn bad_setting(&self, asker: Asker, name: &Name, text: String) -> LogError {
        self.log_failure(asker, name, Kind::InvalidSetting(text))
    }

    /// A log is named like the topic in front of it.
    fn log_failure(&self, asker: Asker, name: &Name, kind: Kind) -> LogError {
        let namespace = self.namespace_name(asker.namespace);
        let error: Error = fail(kind, Resource::Topic, name, &namespace);
        LogError::Other(Box::new(error))
    }

    fn has_topic(&self, namespace: u32, name: &Name) -> bool {
        self.namespaces
            .get(namespace)
            .is_some_and(|one| one.router.topic(name.as_str()).is_some())
    }

    /// Deletes a log, and the topic that its declaration made.
    pub(super) fn delete_log(
        &mut self,
        asker: Asker,
        id: u64,
        turn: &mut Turn<'_, impl Store>,
    ) -> Option<LogSummary> {
        let log = self.drop_log(id, turn)?;
        self.forget_offsets_of(log.namespace, &log.name, turn);
        self.windows.forget_log(log.id.0);
        if log.settings.durable {
            let buffer = &mut self.work.buffer;
            record::begin(buffer, kind::LOG_DELETED);
            buffer.put_u64(id);
            turn.append(buffer, id);
        }
        if log.made_topic {
            // It may be gone already: then there is nothing to delete.
            let _ = self.delete_topic(asker, &log.name, false, turn);
        }
        Some(log.summary())
    }

    /// Takes a log away, without a record. Reads that wait for it are answered.
    pub(crate) fn drop_log(&mut self, id: u64, turn: &mut Turn<'_, impl Store>) -> Option<Log> {
        self.forget_readers_of(id, turn);
        let mut log = self.logs.all.remove(&id)?;
        self.logs.version += 1;
        self.disarm_keyed(id);
        self.forget_follower(id);
        self.logs.owed.forget_log(id);
        self.logs.partition_count -= log.partitions.len();
        let removed = self
            .namespaces
            .get_mut(log.namespace)
            .map(|namespace| namespace.router.remove_log(log.name.as_str()));
        if let Some(removed) = removed {
            self.removed(log.namespace, &removed, turn);
        }
        let mut waiting = Vec::new();
        for partition in &mut log.partitions {
            let (bytes, runs) = partition.release_all(turn.store);
            self.logs.recent.freed(runs, bytes);
            waiting.extend(partition.waiters.drain());
        }
        waiting.sort_unstable();
        waiting.dedup();
        for slot in waiting {
            self.look_again(slot, turn);
        }
        Some(log)
    }
}

/// What about a log's rules can be kept by none.
fn unkeepable(settings: &LogSettings) -> Option<&'static str> {
    let keyed = settings.keyed.as_deref()?;
    if settings.partitions != 1 || settings.compacts {
        return Some(
            "a log whose records are found by key has one partition, and does not compact",
        );
    }
    let nothing = [
        keyed.records_max,
        keyed.key_records_max,
        settings.retention_bytes,
    ];
    nothing
        .contains(&Some(0))
        .then_some("a log that may hold nothing")
}

/// The topic in front of a log: whatever is published to it is for all that are bound to it.
fn front_topic() -> TopicSettings {
    TopicSettings {
        kind: TopicKind::Fanout,
        delayed: false,
        durable: true,
        auto_delete: false,
        internal: false,
        alternate: None,
        arguments: Table::new(),
    }
}
