//! Keyed logs with what they hold and who reads them, for pages that count them.

use polybus_model::{
    Event, GroupReply, GroupRequest, KeyedState, LogReply, LogRequest, LogSummary, Name,
    PartitionName, ReaderReply, ReaderRequest, ReaderSummary, Request, WhichLogs,
};

use super::Result;
use super::visitor::Visitor;
use crate::broker::Broker;

/// A keyed log.
#[derive(Clone, Debug)]
pub struct KeyedLog {
    /// What it is.
    pub log: LogSummary,
    /// What it holds.
    pub state: KeyedState,
    /// Who reads it.
    pub readers: Vec<ReaderSummary>,
}

impl Broker {
    /// The keyed logs of a namespace, by name.
    ///
    /// # Errors
    /// There is no such namespace.
    pub fn keyed_logs(&self, namespace: &str) -> Result<Vec<KeyedLog>> {
        let mut visitor = Visitor::enter(self, namespace)?;
        let LogReply::Logs(found) = visitor.ask_log(LogRequest::List(WhichLogs::All))? else {
            return Ok(Vec::new());
        };
        let mut all = Vec::new();
        for log in found.into_iter().flatten() {
            if log.settings.keyed.is_none() {
                continue;
            }
            let state = LogRequest::State {
                partition: PartitionName {
                    log: log.name.clone(),
                    partition: 0,
                },
                removed: false,
            };
            // One that is gone meanwhile is left out.
            if let LogReply::State(Ok(found)) = visitor.ask_log(state)? {
                let readers = visitor.readers_of(&log.name)?;
                let (log, state) = *found;
                all.push(KeyedLog {
                    log,
                    state,
                    readers,
                });
            }
        }
        Ok(all)
    }
}

impl Visitor {
    fn readers_of(&mut self, log: &Name) -> Result<Vec<ReaderSummary>> {
        let list = ReaderRequest::List { log: log.clone() };
        let request = Box::new(GroupRequest::Reader(Box::new(list)));
        self.submit(Request::Group { number: 0, request });
        loop {
            if let Event::Group { reply, .. } = self.next_event()? {
                return Ok(match *reply {
                    GroupReply::Reader(ReaderReply::Readers(Ok(readers))) => readers,
                    _ => Vec::new(),
                });
            }
        }
    }
}
