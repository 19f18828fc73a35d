//! A topic gets a log.

use polybus_model::{Event, LogError, LogReply, LogRequest, LogSettings, Millis, Name, Request};

use super::visitor::Visitor;
use super::{Failure, Result, named};
use crate::broker::Broker;

/// The number of the only request.
const NUMBER: u64 = 1;

impl Broker {
    /// Gives a topic that there is a log of that many partitions: what is published to it from now on is kept for so long
    /// (none: for ever).
    ///
    /// # Errors
    /// There is no such topic, it has a log, or the settings do not do.
    pub fn add_log(
        &self,
        namespace: &str,
        topic: &str,
        partitions: u32,
        retention_ms: Option<Millis>,
    ) -> Result<()> {
        let name = named(topic)?;
        let mut visitor = Visitor::enter(self, namespace)?;
        visitor.ask(Request::DeclareTopic {
            name: name.clone(),
            settings: None,
        })?;
        let declare = LogRequest::Declare {
            name: name.clone(),
            settings: LogSettings {
                partitions,
                retention_ms,
                ..LogSettings::default()
            },
            dry_run: false,
        };
        visitor.submit(Request::Log {
            number: NUMBER,
            request: Box::new(declare),
        });
        loop {
            let Event::Log { reply, .. } = visitor.next_event()? else {
                continue;
            };
            return match *reply {
                LogReply::Logs(logs) => logs
                    .into_iter()
                    .try_for_each(|log| log.map(drop))
                    .map_err(|error| refused(&name, error)),
                _ => Ok(()),
            };
        }
    }
}

fn refused(topic: &Name, error: LogError) -> Failure {
    match error {
        LogError::Exists => Failure(format!("the topic '{topic}' has a log already")),
        LogError::Other(error) => Failure(error.to_string()),
        other => Failure(format!("the topic '{topic}' cannot have a log: {other:?}")),
    }
}
