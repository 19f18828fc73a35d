//! What members say they read, and which logs come of that: by name, by pattern, and as logs come and go.

use std::collections::BTreeMap;

use polybus_model::{Beat, LogId, Name, Sight};

use super::{Logs, Said, Shared};

impl Shared {
    /// Takes over what a member says anew. Most say nothing but that they are there.
    pub(super) fn hear(&mut self, at: u64, beat: &Beat, said: Said) {
        let Some(member) = self.members.get_mut(&at) else {
            return;
        };
        if let Some(timeout) = beat.rebalance_timeout_ms {
            member.rebalance_timeout = timeout;
        }
        if said.assignor.is_some() && said.assignor != member.assignor {
            member.assignor = said.assignor;
            self.changed = true;
        }
        let is_known = *member.client == *beat.client && *member.host == *beat.host;
        if is_known && beat.reads.is_none() && beat.pattern.is_none() {
            return;
        }
        self.count(at, false);
        if let Some(member) = self.members.get_mut(&at) {
            member.client = beat.client.as_str().into();
            member.host = beat.host.as_str().into();
            if let Some(reads) = &beat.reads {
                member.named = reads.iter().cloned().collect();
            }
            if let Some(text) = &beat.pattern {
                if let Some(old) = member.pattern.take() {
                    self.patterns.remove(&old);
                }
                if let Some(regex) = said.pattern {
                    member.pattern = Some(text.as_str().into());
                    self.patterns.add(text, regex);
                }
            }
        }
        self.count(at, true);
        self.set_reads(at);
    }

    /// What a member reads, of what it names and of what its pattern fits.
    pub(super) fn set_reads(&mut self, at: u64) {
        let Some(member) = self.members.get(&at) else {
            return;
        };
        let mut reads = member.named.clone();
        if let Some(pattern) = &member.pattern {
            reads.extend(self.patterns.names(pattern).cloned());
        }
        if reads == member.reads {
            return;
        }
        self.changed = true;
        self.count(at, false);
        if let Some(member) = self.members.get_mut(&at) {
            member.reads = reads;
        }
        self.count(at, true);
    }

    /// A member may have a new pattern, or logs that its pattern fits may have come or gone.
    pub(super) fn look_at_patterns(&mut self, at: u64, sight: &Sight, logs: &Logs<'_>) {
        let member = self.members.get(&at);
        let pattern = member.and_then(|one| one.pattern.clone());
        let has_changed = pattern
            .as_ref()
            .is_some_and(|text| self.patterns.look(text, sight, logs));
        if has_changed {
            let of_all = self.members.iter();
            let with_it = of_all.filter(|(_, one)| one.pattern == pattern);
            let with_it: Vec<u64> = with_it.map(|(at, _)| *at).collect();
            with_it.into_iter().for_each(|at| self.set_reads(at));
        }
    }

    /// Logs may have come, gone, or grown, or others may be read. One that was made anew is gone until the next look: members
    /// give back what they have of the old one before they are given the new one.
    pub(super) fn look_at_logs(&mut self, logs: &Logs<'_>) {
        if self.seen == Some(logs.version) && !self.are_readers_new {
            return;
        }
        let found: Vec<_> = self
            .readers
            .keys()
            .filter_map(|name| Some((name.clone(), (logs.find)(name)?)))
            .collect();
        let is_as_it_was =
            |name: &Name, id: LogId| self.ids_of_logs.get(name).is_none_or(|old| *old == id);
        let there: BTreeMap<_, _> = found
            .iter()
            .filter(|(name, (id, _))| is_as_it_was(name, *id))
            .map(|(name, (_, partitions))| (name.clone(), *partitions))
            .collect();
        self.seen = (there.len() == found.len()).then_some(logs.version);
        self.are_readers_new = false;
        self.ids_of_logs = found
            .into_iter()
            .map(|(name, (id, _))| (name, id))
            .collect();
        if self.logs != there {
            self.logs = there;
            self.changed = true;
        }
    }
}
