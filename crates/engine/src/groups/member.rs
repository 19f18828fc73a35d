//! A member of a group, and one that waits for an answer.

use bytes::Bytes;
use polybus_model::{Assignor, Join, MemberSummary, Millis, Name, PartitionName, SessionId};

/// Who waits for an answer, and the session's number for it. If the session is gone, the answer is not heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Waiter {
    pub(super) session: SessionId,
    pub(super) number: u64,
}

/// What of a member's memory does not depend on what it says.
const BYTES: usize = 512;

/// And of a partition in its share.
const SHARE_BYTES: usize = 32;

/// A member.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: Box<str>,
    pub(super) instance: Option<Box<str>>,
    pub(super) client: Box<str>,
    pub(super) host: Box<str>,
    pub(super) session_timeout: Millis,
    pub(super) rebalance_timeout: Millis,
    /// Names differ from each other.
    pub(super) assignors: Vec<Assignor>,
    pub(super) reads: Option<Vec<Name>>,
    pub(super) assignment: Bytes,
    /// The same as partitions, where the session could read it.
    pub(super) share: Vec<PartitionName>,
    /// Its join waits for the others.
    pub(super) joining: Option<Waiter>,
    /// Its sync waits for the leader.
    pub(super) syncing: Option<Waiter>,
    /// It has not yet been told that it is a member.
    pub(super) is_new: bool,
    /// It is out then, unless it waits for the group.
    pub(super) deadline: Millis,
    pub(super) armed: Option<Millis>,
}

impl Member {
    /// The member that a join makes. What it keeps is copied: the request's bytes are part of what was read with it.
    pub(super) fn new(id: Box<str>, join: &Join) -> Self {
        let mut member = Self {
            id,
            instance: join.instance.as_deref().map(Into::into),
            client: join.client.as_str().into(),
            host: join.host.as_str().into(),
            session_timeout: 0,
            rebalance_timeout: 0,
            assignors: Vec::new(),
            reads: None,
            assignment: Bytes::new(),
            share: Vec::new(),
            joining: None,
            syncing: None,
            is_new: true,
            deadline: 0,
            armed: None,
        };
        member.update(join);
        member
    }

    /// One that was a guest where the broker shared the work out: its id and lasting name, the client and its address, the
    /// timeouts of its session and of rebalances, and what it said when it joined. What it had in its hands is not known to others.
    pub(super) fn of_guest(
        (id, instance): (Box<str>, Option<Box<str>>),
        (client, host): (Box<str>, Box<str>),
        (session_timeout, rebalance_timeout): (Millis, Millis),
        assignors: Vec<Assignor>,
        reads: Vec<Name>,
    ) -> Self {
        Self {
            id,
            instance,
            client,
            host,
            session_timeout,
            rebalance_timeout,
            assignors,
            reads: Some(reads),
            assignment: Bytes::new(),
            share: Vec::new(),
            joining: None,
            syncing: None,
            is_new: false,
            deadline: 0,
            armed: None,
        }
    }

    /// Takes over what a later join says anew.
    pub(super) fn update(&mut self, join: &Join) {
        self.session_timeout = join.session_timeout_ms;
        self.rebalance_timeout = join.rebalance_timeout_ms;
        self.reads.clone_from(&join.reads);
        self.assignors.clear();
        for assignor in &join.assignors {
            if !self.assignors.iter().any(|one| one.name == assignor.name) {
                self.assignors.push(Assignor {
                    name: assignor.name.clone(),
                    metadata: Bytes::copy_from_slice(&assignor.metadata),
                });
            }
        }
    }

    /// Whether a join says what is known.
    pub(super) fn matches(&self, join: &Join) -> bool {
        self.assignors == join.assignors
    }

    /// The bytes for an assignor.
    pub(super) fn metadata(&self, assignor: &str) -> Bytes {
        let found = self.assignors.iter().find(|one| one.name == assignor);
        found.map_or_else(Bytes::new, |one| one.metadata.clone())
    }

    /// Whether the group owes it something, so that it need not give a sign of life.
    pub(super) fn is_waiting(&self) -> bool {
        !self.is_new && (self.joining.is_some() || self.syncing.is_some())
    }

    /// About how much memory it takes.
    pub(super) fn weight(&self) -> usize {
        BYTES
            + self.id.len()
            + self.instance.as_ref().map_or(0, |name| name.len())
            + self.client.len()
            + self.host.len()
            + self.assignment.len()
            + SHARE_BYTES * self.share.len()
            + weight_of(&self.assignors, self.reads.as_deref())
    }

    /// As listings show it: with its part in the work if the assignor is named.
    pub(super) fn summary(&self, assignor: Option<&str>) -> MemberSummary {
        MemberSummary {
            member: self.id.to_string(),
            instance: self.instance.as_deref().map(Into::into),
            client: self.client.to_string(),
            host: self.host.to_string(),
            metadata: assignor.map_or_else(Bytes::new, |name| self.metadata(name)),
            assignment: assignor.map_or_else(Bytes::new, |_| self.assignment.clone()),
        }
    }
}

/// About how much memory it takes what a member says.
fn weight_of(assignors: &[Assignor], reads: Option<&[Name]>) -> usize {
    let assignors = assignors
        .iter()
        .map(|one| 64 + one.name.len() + one.metadata.len());
    let reads = reads.unwrap_or_default().iter();
    assignors.sum::<usize>() + reads.map(|name| 32 + name.as_str().len()).sum::<usize>()
}

/// About how much memory a member that wants to join will take.
pub(super) fn weight_of_join(join: &Join) -> usize {
    BYTES
        + join.new_member.len()
        + join.instance.as_ref().map_or(0, String::len)
        + join.client.len()
        + join.host.len()
        + weight_of(&join.assignors, join.reads.as_deref())
}
