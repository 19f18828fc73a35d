//! Topic ids, and the names that they stand for.
//!
//! A topic's id is the data folder's number and the log's: `identity (8 bytes) | log id (8 bytes)`. So it says by itself
//! which log it means, in which data folder, and no table of them is kept on disk. What a session has looked up it
//! remembers, a bounded number of them.

use std::collections::{HashMap, HashSet};

use polybus_model::{LogId, LogReply, LogRequest, Name, WhichLogs};

use super::core::Core;
use super::pending::Step;
use crate::codec::Uuid;

/// As many names are remembered.
const NAMES_MAX: usize = 4096;

/// The id that stands for none.
pub(super) const NO_ID: Uuid = [0; 16];

/// What a session knows of topics' ids.
#[derive(Debug)]
pub(super) struct KnownTopics {
    identity: u64,
    names: HashMap<LogId, Name>,
    /// Topics that take no record without a key: found out by the first append.
    keyed: HashSet<String>,
}

impl KnownTopics {
    pub(super) fn new(identity: u64) -> Self {
        Self {
            // Kafka keeps the ids whose first half is zero for itself.
            identity: identity.max(1),
            names: HashMap::new(),
            keyed: HashSet::new(),
        }
    }

    /// The id of a log.
    pub(super) fn topic_id(&self, id: LogId) -> Uuid {
        let whole = u128::from(self.identity) << 64 | u128::from(id.0);
        whole.to_be_bytes()
    }

    /// The log of an id; none if it is not of this data folder.
    pub(super) fn log_id(&self, topic_id: &Uuid) -> Option<LogId> {
        let whole = u128::from_be_bytes(*topic_id);
        let is_ours = (whole >> 64) as u64 == self.identity;
        is_ours.then_some(LogId(whole as u64))
    }

    /// The name that an id stands for, if it was looked up before.
    pub(super) fn name(&self, topic_id: &Uuid) -> Option<&Name> {
        self.names.get(&self.log_id(topic_id)?)
    }

    pub(super) fn remember(&mut self, id: LogId, name: &Name) {
        if self.names.len() >= NAMES_MAX {
            self.names.clear();
        }
        self.names.insert(id, name.clone());
    }

    /// Whether a topic was found to take no record without a key.
    pub(super) fn wants_keys(&self, name: &str) -> bool {
        self.keyed.contains(name)
    }

    /// A topic takes no record without a key.
    pub(super) fn remember_keyed(&mut self, name: &str) {
        if self.keyed.len() >= NAMES_MAX {
            self.keyed.clear();
        }
        self.keyed.insert(name.to_owned());
    }

    /// A log of this name is gone, or another one by now.
    pub(super) fn forget(&mut self, name: &str) {
        self.names.retain(|_, known| known.as_str() != name);
        self.keyed.remove(name);
    }
}

/// Looks up what the session does not know yet of these ids, then goes on.
pub(super) fn with_names(
    core: &mut Core,
    ids: impl Iterator<Item = Uuid>,
    then: impl FnOnce(&mut Core) -> Step + Send + 'static,
) -> Step {
    let mut unknown: Vec<LogId> = ids
        .filter(|id| core.known.name(id).is_none())
        .filter_map(|id| core.known.log_id(&id))
        .collect();
    unknown.sort_unstable();
    unknown.dedup();
    unknown.truncate(NAMES_MAX);
    if unknown.is_empty() {
        return then(core);
    }
    let request = LogRequest::List(WhichLogs::WithIds(unknown));
    Step::log(request, move |core, reply| {
        let LogReply::Logs(logs) = reply else {
            return Step::misunderstood();
        };
        for log in logs.into_iter().flatten() {
            core.known.remember(log.id, &log.name);
        }
        then(core)
    })
}
