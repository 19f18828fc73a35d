//! A member of a group whose work the broker shares out, and what listings show of it.

use std::collections::BTreeSet;

use polybus_model::{Millis, Name, PartitionName, SharedMemberSummary};

use super::super::assignors::Assignor;
use super::super::timers::{Of, Timer, Timers};
use super::guests::Guest;

/// What of a member's memory does not depend on what it says.
const BYTES: usize = 768;

/// A member.
#[derive(Debug, Default)]
pub(super) struct Worker {
    pub(super) id: Box<str>,
    pub(super) instance: Option<Box<str>>,
    pub(super) client: Box<str>,
    pub(super) host: Box<str>,
    pub(super) rebalance_timeout: Millis,
    /// The logs that it names,
    pub(super) named: BTreeSet<Name>,
    /// and a pattern of the names of others.
    pub(super) pattern: Option<Box<str>>,
    /// What comes of both.
    pub(super) reads: BTreeSet<Name>,
    pub(super) assignor: Option<Assignor>,
    /// There if it speaks as where members share the work out themselves.
    pub(super) guest: Option<Guest>,
    pub(super) epoch: u32,
    pub(super) previous_epoch: u32,
    /// What it may have in its hands.
    pub(super) assigned: BTreeSet<PartitionName>,
    /// What it has yet to give back.
    pub(super) revoking: BTreeSet<PartitionName>,
    /// Others have yet to give back what is to be its own.
    pub(super) waiting: bool,
    /// It said that it will come back.
    pub(super) away: bool,
    pub(super) deadline: Millis,
    pub(super) armed: Option<Millis>,
    pub(super) revoke_armed: Option<Millis>,
}

impl Worker {
    pub(super) fn disarm(&mut self, at: u64, number: u64, timers: &mut Timers) {
        let timer = |of| Timer { group: number, of };
        timers.disarm(&mut self.armed, timer(Of::Worker(at)));
        timers.disarm(&mut self.revoke_armed, timer(Of::Revoke(at)));
    }

    /// About how much memory it takes.
    pub(super) fn weight(&self) -> usize {
        let names = self.named.iter().chain(&self.reads);
        let names = names.map(|name| 48 + name.as_str().len());
        let said = self.id.len() + self.client.len() + self.host.len();
        let pattern = self.pattern.as_ref().map_or(0, |text| text.len());
        let guest = self.guest.as_ref().map_or(0, Guest::weight);
        BYTES + said + pattern + guest + names.sum::<usize>()
    }

    /// As listings show it; `target` is what it is to have.
    pub(super) fn summary(&self, target: Option<&BTreeSet<PartitionName>>) -> SharedMemberSummary {
        SharedMemberSummary {
            member: self.id.to_string(),
            instance: self.instance.as_deref().map(Into::into),
            client: self.client.to_string(),
            host: self.host.to_string(),
            epoch: (!self.away).then_some(self.epoch),
            reads: self.named.iter().cloned().collect(),
            pattern: self.pattern.as_deref().map(Into::into),
            is_guest: self.guest.is_some(),
            assigned: self.assigned.iter().cloned().collect(),
            target: target.into_iter().flatten().cloned().collect(),
        }
    }
}
