//! How much of each journal segment queues still point to, so that a segment without any can go, and one with little can
//! be copied together.

use rustc_hash::FxHashMap;

/// What is still needed of one segment.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Live {
    /// Queue entries that point into it.
    pub(crate) references: u64,
    /// Bytes of records they point to, counted once per reference.
    pub(crate) bytes: u64,
}

/// The live references by segment number.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    segments: FxHashMap<u32, Live>,
}

impl Ledger {
    /// So many entries point to a record of that length.
    pub(crate) fn adopt(&mut self, segment: u32, len: u32, references: u32) {
        if references == 0 {
            return;
        }
        let live = self.segments.entry(segment).or_default();
        live.references += u64::from(references);
        live.bytes += u64::from(len) * u64::from(references);
    }

    /// One entry no longer does.
    pub(crate) fn release(&mut self, segment: u32, len: u32) {
        if let Some(live) = self.segments.get_mut(&segment) {
            live.references = live.references.saturating_sub(1);
            live.bytes = live.bytes.saturating_sub(len.into());
            if live.references == 0 {
                self.segments.remove(&segment);
            }
        }
    }

    /// What is needed of a segment.
    pub(crate) fn live(&self, segment: u32) -> Live {
        self.segments.get(&segment).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_without_references_is_not_live() {
        let mut ledger = Ledger::default();
        ledger.adopt(1, 100, 2);
        ledger.adopt(2, 7, 0);
        ledger.release(1, 100);
        assert_eq!(
            ledger.live(1),
            Live {
                references: 1,
                bytes: 100
            }
        );
        ledger.release(1, 100);
        assert_eq!(ledger.live(1), Live::default());
        assert_eq!(ledger.live(2), Live::default());
    }
}
