//! What a session may do with topics, groups and the cluster, as clients are told that ask for it: a bit for each operation.

use polybus_model::{CLUSTER, Guarded, Operation, Operations};

use super::acls::OPERATIONS;
use super::core::Core;
use super::pending::Step;

/// What says that it was not asked for.
pub(super) const NOT_ASKED: i32 = i32::MIN;

/// What can be done with each sort of thing.
const fn possible(guarded: Guarded) -> &'static [Operation] {
    use Operation::{
        Alter, AlterSettings, ClusterAction, Create, Delete, Describe, DescribeSettings,
        IdempotentWrite, Read, Write,
    };
    match guarded {
        Guarded::Topic => &[
            Read,
            Write,
            Create,
            Delete,
            Alter,
            Describe,
            DescribeSettings,
            AlterSettings,
        ],
        Guarded::Group => &[Read, Delete, Describe, DescribeSettings, AlterSettings],
        Guarded::Cluster => &[
            Create,
            Alter,
            Describe,
            ClusterAction,
            DescribeSettings,
            AlterSettings,
            IdempotentWrite,
        ],
        Guarded::Transaction => &[Write, Describe],
    }
}

/// As clients are told.
pub(super) fn bits(guarded: Guarded, may: Operations) -> i32 {
    let possible = possible(guarded);
    let is_told = |one: &Operation| possible.contains(one) && may.contains(*one);
    let told = OPERATIONS.iter().filter(|(_, one)| is_told(one));
    told.fold(0, |bits, (number, _)| bits | 1 << number)
}

/// Goes on with the bits of these things, in their order; where they are not asked for, with what says so.
pub(super) fn with_bits(
    core: &mut Core,
    is_asked: bool,
    guarded: Guarded,
    names: &[String],
    then: impl FnOnce(&mut Core, Vec<i32>) -> Step + Send + 'static,
) -> Step {
    if !is_asked || names.is_empty() {
        return then(core, vec![NOT_ASKED; names.len()]);
    }
    let resources = names.iter().map(|name| (guarded, name.clone()));
    Step::allowed(resources.collect(), move |core, may| {
        let told = may.into_iter().map(|may| bits(guarded, may));
        then(core, told.collect())
    })
}

/// Goes on with those of the cluster.
pub(super) fn with_bits_of_cluster(
    core: &mut Core,
    is_asked: bool,
    then: impl FnOnce(&mut Core, i32) -> Step + Send + 'static,
) -> Step {
    let name = CLUSTER.to_owned();
    with_bits(core, is_asked, Guarded::Cluster, &[name], |core, bits| {
        then(core, bits.first().copied().unwrap_or(NOT_ASKED))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_has_its_bit() {
        let all: Operations = Operation::EACH.into_iter().collect();
        // Read 3, write 4, create 5, delete 6, alter 7, describe 8, cluster action 9, settings 10 and 11, idempotent write 12.
        assert_eq!(bits(Guarded::Topic, all), 0b1101_1111_1000);
        assert_eq!(bits(Guarded::Group, all), 0b1101_0100_1000);
        assert_eq!(bits(Guarded::Cluster, all), 0b1_1111_1010_0000);
        let some: Operations = [Operation::Read, Operation::Describe].into_iter().collect();
        assert_eq!(bits(Guarded::Group, some), 0b1_0000_1000);
        assert_eq!(bits(Guarded::Cluster, Operations::default()), 0);
    }
}
