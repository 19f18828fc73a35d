//! A log that compacts keeps the latest record of each key, and a tombstone for as long as it says; what is left is what was
//! sent, where it was said to be, in the order in which it was sent; no offset is given twice.

use std::collections::BTreeMap;

use polybus_model::Millis;

use crate::clerks::latest::{Sent, TOMBSTONES_MS};
use crate::clerks::packing::Packed;
use crate::violation::{Verdict, Violation};

pub(crate) const NAME: &str = "compacted_latest";
pub(crate) const TOMBSTONES: &str = "compacted_tombstones";

/// Records were appended there: behind all that is known to be anywhere.
pub(crate) fn check_appended(
    numbers: &[u64],
    offset: u64,
    sent: &mut BTreeMap<u64, Sent>,
) -> Verdict {
    let before = sent.values().filter_map(|one| one.offset).max();
    if before.is_some_and(|before| before >= offset) {
        return fault(format!(
            "{numbers:?} went to {offset}, and there was one at {before:?}"
        ));
    }
    for (number, at) in numbers.iter().zip(offset..) {
        if let Some(one) = sent.get_mut(number) {
            one.offset = Some(at);
        }
    }
    Ok(())
}

/// All that there is, in order. Where what was not answered stands is sure from now on.
pub(crate) fn check_seen(seen: &[(u64, Packed)], sent: &mut BTreeMap<u64, Sent>) -> Verdict {
    let mut before = None;
    for (offset, found) in seen {
        let place = (*offset, found.number);
        if before.is_some_and(|(at, number)| at >= place.0 || number >= place.1) {
            return fault(format!("{found:?} is at {offset}, behind {before:?}"));
        }
        before = Some(place);
        let Some(one) = sent.get_mut(&found.number) else {
            return fault(format!("{found:?} at {offset} was never sent"));
        };
        if (one.key, one.is_tombstone) != (found.key, found.is_tombstone) {
            return fault(format!("{found:?} at {offset} was sent as {one:?}"));
        }
        if *one.offset.get_or_insert(*offset) != *offset {
            return fault(format!("{found:?} is at {offset}, and was at {one:?}"));
        }
    }
    Ok(())
}

/// The latest of each key is among what there is.
pub(crate) fn check_latest(
    seen: &[(u64, Packed)],
    sent: &BTreeMap<u64, Sent>,
    now_max: Millis,
) -> Verdict {
    let mut latest = BTreeMap::new();
    for (number, one) in sent.iter().filter(|(_, one)| one.offset.is_some()) {
        latest.insert(one.key, (*number, one));
    }
    for (number, one) in latest.into_values() {
        if seen.iter().any(|(_, found)| found.number == number) {
            continue;
        }
        // One that was not answered may have been there, and have gone when its time was over.
        let mut later = sent
            .range(number..)
            .filter(|(_, other)| other.key == one.key);
        let is_over = |other: &Sent| {
            other.is_tombstone && now_max >= other.since.saturating_add(TOMBSTONES_MS)
        };
        if later.any(|(_, other)| is_over(other)) {
            continue;
        }
        let name = if one.is_tombstone { TOMBSTONES } else { NAME };
        let detail = format!("{number} is not there, the latest of its key: {one:?}");
        return Err(Violation::new(name, detail));
    }
    Ok(())
}

/// A run is not what was sent.
pub(crate) fn unreadable(offset: u64) -> Verdict {
    fault(format!("the run at {offset} cannot be read"))
}

fn fault(detail: String) -> Verdict {
    Err(Violation::new(NAME, detail))
}
