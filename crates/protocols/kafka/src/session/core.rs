//! What every part of a session needs: settings, what to ask, where to write.

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use polybus_model::{Lane, Millis, Name, PartitionName, Request};
use polybus_session::{Outbound, Peer};

use super::fetch_sessions::FetchSessions;
use super::known::KnownTopics;
use super::pending::Ask;
use super::share_sessions::ShareSessions;
use super::throttle::Throttle;
use crate::Settings;

/// The shared part of a session.
pub(super) struct Core {
    pub(super) settings: Arc<Settings>,
    pub(super) peer: Peer,
    pub(super) out: Outbound,
    pub(super) requests: Vec<(Lane, Request)>,
    /// The time of the input or event that is being handled.
    pub(super) now: Millis,
    /// What the client calls itself.
    pub(super) client: String,
    pub(super) known: KnownTopics,
    pub(super) fetches: FetchSessions,
    pub(super) shares: ShareSessions,
    pub(super) throttle: Throttle,
    /// Bytes that the request that is being read, and its answer, may take.
    pub(super) cost: usize,
    next_number: u64,
}

impl Core {
    pub(super) fn new(settings: Arc<Settings>, peer: Peer, now: Millis) -> Self {
        let host = peer.remote.ip().to_canonical().to_string();
        Self {
            known: KnownTopics::new(settings.identity),
            settings,
            peer,
            out: Outbound::new(),
            requests: Vec::new(),
            now,
            client: String::new(),
            fetches: FetchSessions::default(),
            shares: ShareSessions::default(),
            throttle: Throttle::new(host),
            cost: 0,
            next_number: 0,
        }
    }

    /// Asks the broker; gives the number of the first question.
    pub(super) fn ask(&mut self, asks: Vec<Ask>) -> u64 {
        let first = self.next_number;
        for ask in asks {
            let number = self.next_number;
            self.next_number += 1;
            let request = match ask {
                Ask::Log(request) => Request::Log {
                    number,
                    request: Box::new(request),
                },
                Ask::Group(request) => Request::Group {
                    number,
                    request: Box::new(request),
                },
                Ask::Access(request) => Request::Access {
                    number,
                    request: Box::new(request),
                },
            };
            self.requests.push((Lane::default(), request));
        }
        first
    }

    /// The host that clients are told to connect to.
    pub(super) fn host(&self) -> String {
        match &self.settings.advertised_host {
            Some(host) => host.clone(),
            None => self.peer.local.ip().to_string(),
        }
    }

    /// The port that clients are told to connect to.
    pub(super) fn port(&self) -> i32 {
        let port = self.settings.advertised_port;
        port.unwrap_or_else(|| self.peer.local.port()).into()
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("peer", &self.peer)
            .field("client", &self.client)
            .field("next_number", &self.next_number)
            .finish_non_exhaustive()
    }
}

/// Leaves out what is named again: a short question that names one large thing very often would have an answer without end.
pub(super) fn keep_first<T, K: Eq + Hash>(named: &mut Vec<T>, key: impl Fn(&T) -> K) {
    let mut seen = HashSet::with_capacity(named.len());
    named.retain(|one| seen.insert(key(one)));
}

/// A partition by the numbers and names of the wire; none where there cannot be such a one.
pub(super) fn partition(topic: &str, index: i32) -> Option<PartitionName> {
    Some(PartitionName {
        log: Name::new(topic).ok()?,
        partition: u32::try_from(index).ok()?,
    })
}

/// An offset as the wire has it.
pub(super) fn wire_offset(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

/// A partition's number as the wire has it.
pub(super) fn wire_index(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}
