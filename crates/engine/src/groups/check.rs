//! What must always hold of groups, looked at after every turn of a test.

use std::collections::{BTreeMap, BTreeSet};

use super::group::{Group, Phase};
use super::timers::Of;
use super::{Groups, offset};

impl Groups {
    pub(crate) fn check(&self) {
        let mut timers = BTreeSet::new();
        for group in self.all.values() {
            assert_eq!(
                self.find(group.namespace, &group.name),
                Some(group.number),
                "it is found by its name"
            );
            group.check();
            let shared = group.shared.as_ref().map(|shared| shared.check());
            let leasers = group.leasers.as_ref().map(|leasers| leasers.check());
            let members = shared.into_iter().chain(leasers).flatten();
            for (armed, of) in group.armed().chain(members) {
                timers.insert((armed, group.timer(of)));
            }
        }
        let names = self.names.values().map(BTreeMap::len).sum::<usize>();
        assert_eq!(names, self.all.len());
        self.timers.check(&timers);
        let weights = self.all.values().map(|group| group.weight);
        assert_eq!(self.weight, weights.sum::<usize>());
        assert!(self.told.is_empty());
    }
}

impl Group {
    fn armed(&self) -> impl Iterator<Item = (u64, Of)> {
        let members = self.members.iter();
        let members = members.filter_map(|(at, one)| Some((one.armed?, Of::Member(*at))));
        let expected = self.expected.iter();
        let expected = expected.filter_map(|(at, one)| Some((one.armed?, Of::Expected(*at))));
        let own = [
            (self.join_armed, Of::Join),
            (self.sync_armed, Of::Sync),
            (self.idle_armed, Of::Idle),
        ];
        let own = own.into_iter().filter_map(|(at, of)| Some((at?, of)));
        members.chain(expected).chain(own)
    }

    fn check(&self) {
        let joining = self.members.values().filter(|one| one.joining.is_some());
        assert_eq!(joining.count(), self.joining);
        let mut ids: BTreeMap<_, _> = self
            .members
            .iter()
            .map(|(at, one)| (one.id.clone(), *at))
            .collect();
        ids.extend(self.expected.iter().map(|(at, one)| (one.id.clone(), *at)));
        assert_eq!(ids, self.ids);
        let instances = self.members.iter();
        let instances: BTreeMap<_, _> = instances
            .filter_map(|(at, one)| Some((one.instance.clone()?, *at)))
            .collect();
        assert_eq!(instances, self.instances);
        let mut votes = BTreeMap::new();
        for one in self.members.values().flat_map(|one| &one.assignors) {
            *votes.entry(one.name.clone()).or_insert(0) += 1;
        }
        assert_eq!(votes, self.votes);
        let members = self.members.values().map(|one| one.weight());
        let offsets = self.offsets.iter();
        let offsets = offsets.map(|(at, one)| offset::weight(at, &one.remark));
        let shared = self.shared.as_ref().map_or(0, |shared| shared.weight());
        let leasers = self.leasers.as_ref().map_or(0, |leasers| leasers.weight());
        assert_eq!(
            self.weight,
            members.sum::<usize>() + offsets.sum::<usize>() + shared + leasers
        );
        assert!(!self.changed);
        assert_eq!(self.shared.is_some(), self.phase == Phase::Shared);
        assert_eq!(self.leasers.is_some(), self.phase == Phase::Leasing);
        match self.phase {
            Phase::Empty => {
                assert!(self.members.is_empty() && self.leader.is_none());
                assert!(self.idle_armed.is_some(), "somebody looks after it");
            }
            Phase::Joining => assert!(self.join_armed.is_some()),
            Phase::Assigning => assert!(self.sync_armed.is_some() && self.joining == 0),
            Phase::Shared | Phase::Leasing => assert!(self.members.is_empty()),
            Phase::Stable => assert!(self.members.values().all(|one| one.syncing.is_none())),
        }
        if let Some(leader) = self.leader {
            assert!(self.members.contains_key(&leader));
        }
        for member in self.members.values() {
            // Whoever is owed nothing is out one day.
            assert!(member.armed.is_some() || member.is_waiting());
        }
    }
}
