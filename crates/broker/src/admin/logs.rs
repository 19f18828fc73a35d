//! Logs: what there is, and a log for any topic.

use polybus_model::{
    Event, LogError, LogReply, LogRequest, LogSettings, LogSummary, Millis, Name, Request,
    WhichLogs,
};
use serde::{Deserialize, Serialize};

use super::visitor::Visitor;
use super::{Failure, Result, named};
use crate::broker::Broker;

/// A log.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Log {
    /// Its name, which is that of the topic it belongs to.
    pub name: String,
    /// How many partitions.
    pub partitions: u32,
    /// Bytes of all partitions.
    pub bytes: u64,
    /// Records older than this go, in milliseconds.
    pub retention_ms: Option<Millis>,
    /// The oldest records of a partition go while it holds more bytes than this.
    pub retention_bytes: Option<u64>,
    /// Of the records with one key only the latest stays.
    pub compacts: bool,
    /// Its records are single messages that are found by key (a stream of JetStream).
    pub keyed: bool,
    /// It survives a restart.
    pub durable: bool,
}

/// What is to be otherwise with a log; nothing is left as it is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct LogChange {
    /// So many partitions.
    pub partitions: Option<u32>,
    /// Records older than this go, in milliseconds; 0: none goes for its age.
    pub retention_ms: Option<Millis>,
    /// The oldest records of a partition go while it holds more bytes than this; 0: none goes for its size.
    pub retention_bytes: Option<u64>,
}

impl LogChange {
    fn apply(self, settings: &mut LogSettings) {
        if let Some(partitions) = self.partitions {
            settings.partitions = partitions;
        }
        if let Some(ms) = self.retention_ms {
            settings.retention_ms = Some(ms).filter(|ms| *ms > 0);
        }
        if let Some(bytes) = self.retention_bytes {
            settings.retention_bytes = Some(bytes).filter(|bytes| *bytes > 0);
        }
    }
}

impl Broker {
    /// The logs of a namespace, by name.
    ///
    /// # Errors
    /// There is no such namespace.
    pub fn logs(&self, namespace: &str) -> Result<Vec<Log>> {
        let mut visitor = Visitor::enter(self, namespace)?;
        let LogReply::Sizes(found) = visitor.ask_log(LogRequest::Sizes(WhichLogs::All))? else {
            return Ok(Vec::new());
        };
        let mut logs: Vec<_> = found
            .into_iter()
            .map(|(log, bytes)| shown(log, bytes.iter().sum()))
            .collect();
        logs.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(logs)
    }

    /// Gives a topic a log: what is published to it from now on stays, to be read and replayed. The topic is made if it is
    /// not there.
    ///
    /// # Errors
    /// There is a log of that name, or no room for so many partitions.
    pub fn add_log(&self, namespace: &str, topic: &str, change: LogChange) -> Result<()> {
        let name = named(topic)?;
        let mut settings = LogSettings::default();
        change.apply(&mut settings);
        let declare = LogRequest::Declare {
            name: name.clone(),
            settings,
            dry_run: false,
        };
        Visitor::enter(self, namespace)?.define(&name, declare)
    }

    /// Changes a log's settings.
    ///
    /// # Errors
    /// There is no such log, or it would have fewer partitions than before.
    pub fn change_log(&self, namespace: &str, log: &str, change: LogChange) -> Result<()> {
        let name = named(log)?;
        let mut visitor = Visitor::enter(self, namespace)?;
        let which = WhichLogs::Named(vec![name.clone()]);
        let LogReply::Logs(mut found) = visitor.ask_log(LogRequest::List(which))? else {
            return Ok(());
        };
        let mut settings = match found.pop() {
            Some(Ok(log)) => log.settings,
            _ => return Err(define_failure(&name, &LogError::NotFound)),
        };
        change.apply(&mut settings);
        let alter = LogRequest::Alter {
            name: name.clone(),
            settings,
            dry_run: false,
        };
        visitor.define(&name, alter)
    }

    /// Deletes a log with all it holds; its topic stays, unless it was made with the log.
    ///
    /// # Errors
    /// There is no such log.
    pub fn delete_log(&self, namespace: &str, log: &str) -> Result<()> {
        let name = named(log)?;
        let delete = LogRequest::Delete { name: name.clone() };
        Visitor::enter(self, namespace)?.define(&name, delete)
    }
}

impl Visitor {
    pub(super) fn ask_log(&mut self, request: LogRequest) -> Result<LogReply> {
        let request = Box::new(request);
        self.submit(Request::Log { number: 0, request });
        loop {
            if let Event::Log { reply, .. } = self.next_event()? {
                return Ok(*reply);
            }
        }
    }

    fn define(&mut self, log: &Name, request: LogRequest) -> Result<()> {
        match self.ask_log(request)? {
            LogReply::Logs(mut done) => match done.pop() {
                Some(Err(error)) => Err(define_failure(log, &error)),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

fn shown(log: LogSummary, bytes: u64) -> Log {
    Log {
        name: log.name.to_string(),
        partitions: log.settings.partitions,
        bytes,
        retention_ms: log.settings.retention_ms,
        retention_bytes: log.settings.retention_bytes,
        compacts: log.settings.compacts,
        keyed: log.settings.keyed.is_some(),
        durable: log.settings.durable,
    }
}

fn define_failure(log: &Name, error: &LogError) -> Failure {
    Failure(match error {
        LogError::NotFound => format!("there is no log '{log}'"),
        LogError::Exists => format!("topic '{log}' has a log already"),
        LogError::Other(error) => error.to_string(),
        other => format!("log '{log}' cannot be so: {other:?}"),
    })
}
