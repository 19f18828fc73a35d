//! Who is to read which partitions, where the broker decides it. The same members and logs give the same shares; partitions
//! of a log go to members that read it, and to one each.

use std::collections::{BTreeMap, BTreeSet};

use polybus_model::{Name, PartitionName};

/// Partitions by member.
pub(super) type Shares = BTreeMap<u64, BTreeSet<PartitionName>>;

/// What is to be shared out.
pub(super) struct Work<'a> {
    /// The partitions of each log that somebody reads.
    pub(super) logs: &'a BTreeMap<Name, u32>,
    /// Members in their order, and the logs that they read.
    pub(super) members: Vec<(u64, &'a BTreeSet<Name>)>,
    /// Who had what until now.
    pub(super) before: &'a Shares,
}

/// A way to share.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Assignor {
    /// As many partitions for each as can be, and as few that change hands.
    Uniform,
    /// Of each log a run of partitions for each of its readers.
    Range,
}

impl Assignor {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "uniform" => Some(Self::Uniform),
            "range" => Some(Self::Range),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    pub(super) fn share(self, work: &Work<'_>) -> Shares {
        match self {
            Self::Uniform => uniform(work),
            Self::Range => range(work),
        }
    }
}

fn at(log: &Name, partition: u32) -> PartitionName {
    PartitionName {
        log: log.clone(),
        partition,
    }
}

fn range(work: &Work<'_>) -> Shares {
    let mut shares: Shares = work
        .members
        .iter()
        .map(|(member, _)| (*member, BTreeSet::new()))
        .collect();
    for (log, partitions) in work.logs {
        let readers: Vec<u64> = work
            .members
            .iter()
            .filter(|(_, reads)| reads.contains(log))
            .map(|(member, _)| *member)
            .collect();
        let Some(each) = partitions.checked_div(readers.len() as u32) else {
            continue;
        };
        let more = (partitions % readers.len() as u32) as usize;
        let mut next = 0;
        for (nth, reader) in readers.iter().enumerate() {
            let end = next + each + u32::from(nth < more);
            if let Some(share) = shares.get_mut(reader) {
                share.extend((next..end).map(|partition| at(log, partition)));
            }
            next = end;
        }
    }
    shares
}

/// What each keeps, then what is free to those who have least, then from those who have most to those who have least.
fn uniform(work: &Work<'_>) -> Shares {
    let mut shares = Shares::new();
    let mut free: BTreeSet<PartitionName> = work
        .logs
        .iter()
        .flat_map(|(log, count)| (0..*count).map(|partition| at(log, partition)))
        .collect();
    let same = work
        .members
        .windows(2)
        .all(|pair| matches!(pair, [a, b] if a.1 == b.1));
    let count = work.members.len().max(1);
    // Where all read the same, some keep one more than the others, and nothing has to be moved after that.
    let (each, mut more) = (free.len() / count, free.len() % count);
    for (member, reads) in &work.members {
        let had = work.before.get(member).into_iter().flatten();
        let most = if same {
            each + usize::from(more > 0)
        } else {
            usize::MAX
        };
        let mut share = BTreeSet::new();
        for partition in had.filter(|one| reads.contains(&one.log)) {
            if share.len() < most && free.remove(partition) {
                share.insert(partition.clone());
            }
        }
        more -= usize::from(share.len() > each).min(more);
        shares.insert(*member, share);
    }
    let mut scales = Scales::new(work, shares);
    for partition in free {
        if let Some(least) = scales.least(&partition.log) {
            scales.give(partition, least);
        }
    }
    scales.balance();
    scales.shares
}

/// Shares, and for each log its readers by how much they have.
struct Scales<'a> {
    shares: Shares,
    readers: BTreeMap<&'a Name, BTreeSet<(usize, u64)>>,
    reads: BTreeMap<u64, &'a BTreeSet<Name>>,
}

impl<'a> Scales<'a> {
    fn new(work: &Work<'a>, shares: Shares) -> Self {
        let mut readers: BTreeMap<&Name, BTreeSet<(usize, u64)>> = BTreeMap::new();
        for (member, reads) in &work.members {
            let load = shares.get(member).map_or(0, BTreeSet::len);
            for log in reads.iter() {
                readers.entry(log).or_default().insert((load, *member));
            }
        }
        Self {
            shares,
            readers,
            reads: work.members.iter().copied().collect(),
        }
    }

    fn least(&self, log: &Name) -> Option<u64> {
        let readers = self.readers.get(log)?;
        readers.first().map(|(_, member)| *member)
    }

    fn load(&self, member: u64) -> usize {
        self.shares.get(&member).map_or(0, BTreeSet::len)
    }

    /// Changes a share and where its member stands among the readers.
    fn change(&mut self, member: u64, change: impl FnOnce(&mut BTreeSet<PartitionName>)) {
        let Some(share) = self.shares.get_mut(&member) else {
            return;
        };
        let before = share.len();
        change(share);
        let after = share.len();
        for log in self.reads.get(&member).into_iter().copied().flatten() {
            if let Some(readers) = self.readers.get_mut(log) {
                readers.remove(&(before, member));
                readers.insert((after, member));
            }
        }
    }

    fn give(&mut self, partition: PartitionName, to: u64) {
        self.change(to, |share| {
            share.insert(partition);
        });
    }

    /// Moves partitions to readers that have at least two less. Each move brings the loads closer, so it ends.
    fn balance(&mut self) {
        loop {
            let mut moved = false;
            let members: Vec<u64> = self.shares.keys().copied().collect();
            for from in members {
                let share = self.shares.get(&from).cloned().unwrap_or_default();
                for partition in share.into_iter().rev() {
                    let Some(to) = self.least(&partition.log) else {
                        continue;
                    };
                    if self.load(to) + 1 < self.load(from) {
                        self.change(from, |share| {
                            share.remove(&partition);
                        });
                        self.give(partition, to);
                        moved = true;
                        // The others give as well before it gives more.
                        break;
                    }
                }
            }
            if !moved {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(log: u8) -> Name {
        Name::new(&format!("log-{log}")).unwrap()
    }

    fn share(
        assignor: Assignor,
        logs: &BTreeMap<Name, u32>,
        reads: &BTreeMap<u64, BTreeSet<Name>>,
        before: &Shares,
    ) -> Shares {
        assignor.share(&Work {
            logs,
            members: reads
                .iter()
                .map(|(member, reads)| (*member, reads))
                .collect(),
            before,
        })
    }

    /// Each partition that somebody reads has one reader, who reads its log.
    fn check(logs: &BTreeMap<Name, u32>, reads: &BTreeMap<u64, BTreeSet<Name>>, shares: &Shares) {
        let mut given = BTreeSet::new();
        for (member, share) in shares {
            for partition in share {
                assert!(reads[member].contains(&partition.log));
                assert!(partition.partition < logs[&partition.log]);
                assert!(
                    given.insert(partition.clone()),
                    "{partition:?} was given twice"
                );
            }
        }
        let read = |log: &Name| reads.values().any(|reads| reads.contains(log));
        let wanted = logs.iter().filter(|(log, _)| read(log));
        assert_eq!(
            given.len(),
            wanted.map(|(_, count)| *count as usize).sum::<usize>()
        );
    }

    #[test]
    fn ranges_are_runs() {
        let logs = BTreeMap::from([(name(0), 5), (name(1), 1)]);
        let reads = BTreeMap::from([
            (1, BTreeSet::from([name(0), name(1)])),
            (2, BTreeSet::from([name(0), name(1)])),
        ]);
        let shares = share(Assignor::Range, &logs, &reads, &Shares::new());
        let of = |member: u64| {
            shares[&member]
                .iter()
                .map(|one| (one.log.as_str().to_owned(), one.partition))
                .collect::<Vec<_>>()
        };
        let at = |log: &str, partition| (log.to_owned(), partition);
        assert_eq!(
            of(1),
            [
                at("log-0", 0),
                at("log-0", 1),
                at("log-0", 2),
                at("log-1", 0)
            ]
        );
        assert_eq!(of(2), [at("log-0", 3), at("log-0", 4)]);
    }

    fn subscriptions() -> impl Strategy<Value = BTreeMap<u64, BTreeSet<u8>>> {
        prop::collection::btree_map(0..12_u64, prop::collection::btree_set(0..4_u8, 0..4), 1..8)
    }

    proptest! {
        #[test]
        fn every_partition_has_one_reader(
            counts in prop::collection::vec(1..20_u32, 4),
            first in subscriptions(),
            second in subscriptions(),
        ) {
            let logs: BTreeMap<Name, u32> = counts.iter().enumerate().map(|(at, count)| (name(at as u8), *count)).collect();
            let named = |reads: BTreeMap<u64, BTreeSet<u8>>| -> BTreeMap<u64, BTreeSet<Name>> {
                reads.into_iter().map(|(member, reads)| (member, reads.into_iter().map(name).collect())).collect()
            };
            let (first, second) = (named(first), named(second));
            for assignor in [Assignor::Uniform, Assignor::Range] {
                let shares = share(assignor, &logs, &first, &Shares::new());
                check(&logs, &first, &shares);
                let again = share(assignor, &logs, &first, &shares);
                prop_assert_eq!(&again, &shares, "nothing moves without a reason");
                let later = share(assignor, &logs, &second, &shares);
                check(&logs, &second, &later);
            }
        }

        #[test]
        fn uniform_shares_differ_by_one_and_few_move(count in 1..60_u32, members in 1..9_u64, joins in any::<bool>()) {
            let logs = BTreeMap::from([(name(0), count), (name(1), count / 2)]);
            let all = BTreeSet::from([name(0), name(1)]);
            let of = |members: u64| -> BTreeMap<u64, BTreeSet<Name>> {
                (0..members).map(|member| (member, all.clone())).collect()
            };
            let (before, after) = if joins { (members, members + 1) } else { (members + 1, members) };
            let first = share(Assignor::Uniform, &logs, &of(before), &Shares::new());
            let second = share(Assignor::Uniform, &logs, &of(after), &first);
            for shares in [&first, &second] {
                let loads = shares.values().map(BTreeSet::len);
                prop_assert!(loads.clone().max().unwrap() - loads.min().unwrap() <= 1);
            }
            let moved: usize = second.iter().map(|(member, share)| {
                share.iter().filter(|one| !first.get(member).is_some_and(|had| had.contains(one))).count()
            }).sum();
            let total = (count + count / 2) as usize;
            prop_assert!(moved <= total.div_ceil(members as usize + 1) + 1, "{} of {} moved", moved, total);
        }
    }
}
