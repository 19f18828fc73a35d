//! What a group was confirmed to remember, or was told, is never followed by something older, not after a restart either.

use std::ops::RangeInclusive;

use crate::logs::Partition;
use crate::violation::{Verdict, Violation};

pub(crate) const NAME: &str = "group_offsets";

/// An offset is remembered (0: none is).
pub(crate) fn check(
    group: &str,
    partition: &Partition,
    found: u64,
    may_be: RangeInclusive<u64>,
) -> Verdict {
    if may_be.contains(&found) {
        return Ok(());
    }
    let name = &partition.name;
    let detail = format!("{group} in {name:?}: {found} is remembered, {may_be:?} would be right");
    Err(Violation::new(NAME, detail))
}
