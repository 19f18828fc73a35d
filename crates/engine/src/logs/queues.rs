//! Logs among the queues: declared, asked about, subscribed to and deleted by requests that name a queue.
//!
//! What always holds: where a queue and a log have one name, requests mean the queue. A log that was not declared as a queue
//! is never deleted as one: whoever deletes a queue that may not be there does not mean it.

use polybus_model::{
    Error, Kind, LogError, LogSettings, Name, QueueKind, QueueSettings, Reply, Resource, Value,
};

use super::log::Log;
use crate::turn::{Answer, Asker, Turn};
use crate::{Engine, Store};

/// The argument that says of what sort a queue is,
const KIND: &str = "x-queue-type";
/// and what it says of a log.
const LOG: &str = "stream";
/// The arguments that have to be the same, in the order in which they are compared.
const SIGNIFICANT: [&str; 5] = [
    KIND,
    "x-max-age",
    "x-max-length-bytes",
    "x-stream-filter-size-bytes",
    "x-stream-max-segment-size-bytes",
];
/// The largest message: what a log can take.
const RUN_BYTES_MAX: u32 = 128 << 20;

impl Engine {
    /// The log that a request names as a queue: none where there is a queue of that name.
    pub(crate) fn log_as_queue(&self, asker: Asker, name: &Name) -> Option<&Log> {
        let router = &self.namespaces.get(asker.namespace)?.router;
        if router.queue_slot(name.as_str()).is_some() {
            return None;
        }
        self.logs.all.get(&router.log_id(name.as_str())?)
    }

    /// Declares a queue that is a log, or asks about one; none if the declaration is about no log.
    pub(crate) fn declare_log_queue(
        &mut self,
        asker: Asker,
        name: &Name,
        settings: Option<&QueueSettings>,
        turn: &mut Turn<'_, impl Store>,
    ) -> Option<Result<Answer, Error>> {
        let wants_log = settings.is_some_and(|settings| settings.kind == QueueKind::Log);
        let Some(log) = self.log_as_queue(asker, name) else {
            let settings = settings.filter(|_| wants_log)?;
            let made = self.make_log_queue(asker, name, settings, turn);
            return Some(made);
        };
        if let Some(settings) = settings {
            if !wants_log && !is_declared_so(log) {
                return None;
            }
            if let Some(kind) = difference(log, settings) {
                return Some(Err(self.queue_failure(asker, name, kind)));
            }
        }
        let held = log.partitions.iter().map(|one| one.end - one.start);
        Some(Ok(Answer::Now(Reply::Queue {
            name: log.name.clone(),
            messages: held.sum(),
            consumers: 0,
        })))
    }

    fn make_log_queue(
        &mut self,
        asker: Asker,
        name: &Name,
        settings: &QueueSettings,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<Answer, Error> {
        let arguments = settings.arguments.iter();
        let settings = LogSettings {
            partitions: 1,
            retention_ms: settings.max_age,
            retention_bytes: settings.max_bytes,
            run_bytes_max: RUN_BYTES_MAX,
            arguments: arguments
                .filter_map(|(name, value)| Some((name.to_owned(), text_of(value)?)))
                .collect(),
            ..LogSettings::default()
        };
        match self.declare_log(asker, name.clone(), settings, false, turn) {
            Ok(_) => Ok(Answer::Durable(Reply::Queue {
                name: name.clone(),
                messages: 0,
                consumers: 0,
            })),
            Err(LogError::Other(error)) => Err(Error {
                resource: Resource::Queue,
                ..*error
            }),
            Err(_) => Err(self.queue_failure(asker, name, Kind::InUse)),
        }
    }

    /// Deletes a log that was declared as a queue; none if it was not.
    pub(crate) fn delete_log_queue(
        &mut self,
        asker: Asker,
        name: &Name,
        turn: &mut Turn<'_, impl Store>,
    ) -> Option<Answer> {
        let log = self.log_as_queue(asker, name)?;
        if !is_declared_so(log) {
            return None;
        }
        let id = log.id.0;
        self.delete_log(asker, id, turn)?;
        Some(Answer::Durable(Reply::Count(0)))
    }

    /// What is told to whoever takes out of a log, or empties it.
    pub(crate) fn refuse_of_log(&self, asker: Asker, name: &Name) -> Result<(), Error> {
        match self.log_as_queue(asker, name) {
            Some(_) => {
                let kind = Kind::Unsupported("is a log: what it holds is read, and stays");
                Err(self.queue_failure(asker, name, kind))
            }
            None => Ok(()),
        }
    }

    fn queue_failure(&self, asker: Asker, name: &Name, kind: Kind) -> Error {
        self.failure(kind, Resource::Queue, name, asker.namespace)
    }
}

/// Whether a log was declared as a queue.
fn is_declared_so(log: &Log) -> bool {
    argument(log, KIND) == Some(LOG)
}

fn argument<'a>(log: &'a Log, name: &str) -> Option<&'a str> {
    let mut arguments = log.settings.arguments.iter();
    let found = arguments.find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

/// In what a declaration differs from the log that there is.
fn difference(log: &Log, received: &QueueSettings) -> Option<Kind> {
    SIGNIFICANT.iter().find_map(|field| {
        let current = match *field {
            // Whatever its protocol called it.
            KIND => Some(LOG),
            _ if !is_declared_so(log) => return None,
            field => argument(log, field),
        };
        let received = received.arguments.lookup(field);
        if received.and_then(text_of).as_deref() == current {
            return None;
        }
        let current = current.map(Value::text);
        Some(Kind::inequivalent(field, received.cloned(), current))
    })
}

/// A value as text, where it has one.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Bool(value) => Some(value.to_string()),
        other => match other.as_i64() {
            Some(number) => Some(number.to_string()),
            None => other.as_str().map(str::to_owned),
        },
    }
}
