//! From appended to durable: what a turn appended is marked, and shown to readers when the broker says that the mark is
//! reached.
//!
//! What always holds: marks rise from turn to turn, and the ends move in their order only.

use std::collections::VecDeque;

use super::At;
use crate::turn::Turn;
use crate::{Effects, Engine, Store};

/// How far a partition went in a turn.
#[derive(Clone, Copy, Debug)]
struct Reached {
    mark: u64,
    at: At,
    end: u64,
    /// Bytes ever appended to it.
    bytes: u64,
}

/// What waits to be durable.
#[derive(Debug, Default)]
pub(super) struct Marks {
    last: u64,
    /// Partitions appended to in this turn.
    touched: Vec<At>,
    waiting: VecDeque<Reached>,
}

impl Marks {
    pub(super) fn touch(&mut self, at: At) {
        self.touched.push(at);
    }
}

impl Engine {
    /// The end of a turn: what it appended to logs waits for the disk.
    pub(crate) fn mark_appended(&mut self, turn: &mut Turn<'_, impl Store>) {
        if self.logs.marks.touched.is_empty() {
            return;
        }
        self.logs.marks.last += 1;
        let mark = self.logs.marks.last;
        let mut touched = std::mem::take(&mut self.logs.marks.touched);
        for at in touched.drain(..) {
            let Some(partition) = self.logs.partition_mut(at) else {
                continue;
            };
            partition.touched = false;
            let reached = Reached {
                mark,
                at,
                end: partition.next,
                bytes: partition.appended_bytes,
            };
            self.logs.marks.waiting.push_back(reached);
        }
        self.logs.marks.touched = touched;
        turn.out.durable = Some(mark);
    }

    /// All that was appended up to the end of the turn that gave this mark ([`Effects::durable`]) is durable: readers see
    /// it, and reads that waited for it are answered. Needs no time: reads whose time is over are the timer's.
    pub fn handle_durable(&mut self, mark: u64, store: &mut impl Store, out: &mut Effects) {
        let mut turn = self.begin(0, store, out);
        let mut ready = Vec::new();
        let marks = &mut self.logs.marks.waiting;
        let durable = marks.partition_point(|one| one.mark <= mark);
        let mut reached = std::mem::take(marks);
        for one in reached.drain(..durable) {
            let Some(partition) = self.logs.partition_mut(one.at) else {
                continue;
            };
            let more = one.bytes.saturating_sub(partition.durable_bytes);
            partition.durable_bytes = one.bytes.max(partition.durable_bytes);
            partition.end = one.end.max(partition.end);
            if partition.stable.reached(partition.end) {
                // More can be read than what has just become durable.
                ready.extend(&partition.waiters);
            }
            self.logs.count_down(one.at, more, &mut ready);
            self.readers.log_grew(one.at);
            self.origin_grew(one.at);
            self.send_copies(one.at, &mut turn);
        }
        self.logs.marks.waiting = reached;
        ready.sort_unstable();
        ready.dedup();
        for slot in ready {
            self.look_again(slot, &mut turn);
        }
        self.pay_owed(&mut turn);
        self.finish(&mut turn);
    }
}
