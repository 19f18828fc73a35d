//! All windows: whose they are, what of them the journal is yet to be told, and when the next one is due.
//!
//! What always holds: a window is found by its number and by its owner and partition; one with a deadline is in `due` once,
//! not later than it; one with something to journal is in `touched` until the turn ends.

use std::collections::{BTreeMap, BTreeSet};

use polybus_model::{Millis, Name};
use rustc_hash::FxHashMap;

use super::record;
use super::window::Window;
use crate::Store;
use crate::logs::At;
use crate::turn::Turn;

/// Ranges that were only passed over are kept in memory up to so many.
const PASSED_OVER_MAX: usize = 1_024;

/// The group whose window it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Owner {
    /// Its namespace's slot.
    pub(crate) namespace: u32,
    /// Its name.
    pub(crate) group: Box<str>,
}

#[derive(Debug)]
struct Kept {
    owner: Owner,
    at: At,
    window: Window,
    /// The journal knows of it.
    durable: bool,
    armed: Option<Millis>,
    touched: bool,
}

/// The windows of all groups.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    all: FxHashMap<u64, Kept>,
    /// Their numbers by namespace, group and partition.
    owned: BTreeMap<u32, BTreeMap<Box<str>, BTreeMap<At, u64>>>,
    last_number: u64,
    due: BTreeSet<(Millis, u64)>,
    touched: Vec<u64>,
    stirred: Vec<u64>,
    buffer: Vec<u8>,
}

impl Windows {
    /// Opens a window from `start` on, in place of the one that the owner has to that partition, if it has one.
    pub(crate) fn open(
        &mut self,
        namespace: &Name,
        owner: Owner,
        at: At,
        start: u64,
        durable: bool,
        turn: &mut Turn<'_, impl Store>,
    ) -> u64 {
        let known = self.find(owner.namespace, &owner.group, at);
        let number = known.unwrap_or(self.last_number + 1);
        self.forget(number);
        if durable {
            record::put_opened(&mut self.buffer, number, namespace, &owner.group, at, start);
            turn.append(&self.buffer, 0);
        }
        self.insert(number, owner, at, Window::new(start), durable);
        number
    }

    fn insert(&mut self, number: u64, owner: Owner, at: At, window: Window, durable: bool) {
        self.last_number = self.last_number.max(number);
        let groups = self.owned.entry(owner.namespace).or_default();
        let partitions = groups.entry(owner.group.clone()).or_default();
        partitions.insert(at, number);
        let kept = Kept {
            owner,
            at,
            window,
            durable,
            armed: None,
            touched: false,
        };
        self.all.insert(number, kept);
    }

    /// A window comes back from the journal.
    pub(super) fn recover(&mut self, number: u64, owner: Owner, at: At, window: Window) {
        self.insert(number, owner, at, window, true);
        self.arm(number);
    }

    /// The window of a group on a partition.
    pub(crate) fn find(&self, namespace: u32, group: &str, at: At) -> Option<u64> {
        self.owned.get(&namespace)?.get(group)?.get(&at).copied()
    }

    /// The partitions that a group has windows to, with the windows' numbers.
    pub(crate) fn of_group(&self, namespace: u32, group: &str) -> impl Iterator<Item = (At, u64)> {
        let groups = self.owned.get(&namespace);
        let partitions = groups.and_then(|groups| groups.get(group));
        let partitions = partitions.into_iter().flatten();
        partitions.map(|(at, number)| (*at, *number))
    }

    /// A window.
    pub(crate) fn get(&self, number: u64) -> Option<&Window> {
        self.all.get(&number).map(|kept| &kept.window)
    }

    /// Whose it is, and to which partition.
    pub(crate) fn owner(&self, number: u64) -> Option<(&Owner, At)> {
        self.all.get(&number).map(|kept| (&kept.owner, kept.at))
    }

    /// Does something with a window; what the journal has to know of it is told at the end of the turn.
    pub(crate) fn act<R>(&mut self, number: u64, act: impl FnOnce(&mut Window) -> R) -> Option<R> {
        let kept = self.all.get_mut(&number)?;
        let result = act(&mut kept.window);
        if std::mem::take(&mut kept.window.stirred) {
            self.stirred.push(number);
        }
        if !kept.touched {
            kept.touched = true;
            self.touched.push(number);
        }
        self.arm(number);
        Some(result)
    }

    /// A window with more to hand out, or to bury, than before: to be looked after before the turn ends.
    pub(crate) fn take_stirred(&mut self) -> Option<u64> {
        self.stirred.pop()
    }

    /// The next deadline.
    pub(crate) fn deadline(&self) -> Option<Millis> {
        self.due.first().map(|(due, _)| *due)
    }

    /// A window in which leases broke off or waits ended: it has records to hand out, or to bury.
    pub(crate) fn tick(&mut self, now: Millis) -> Option<u64> {
        while self.deadline()? <= now {
            let (_, number) = self.due.pop_first()?;
            if let Some(kept) = self.all.get_mut(&number) {
                kept.armed = None;
            }
            if self.act(number, |window| window.tick(now)) == Some(true) {
                return Some(number);
            }
        }
        None
    }

    fn arm(&mut self, number: u64) {
        let Some(kept) = self.all.get_mut(&number) else {
            return;
        };
        if let Some(deadline) = kept.window.deadline()
            && kept.armed.is_none_or(|armed| deadline < armed)
        {
            if let Some(armed) = kept.armed.replace(deadline) {
                self.due.remove(&(armed, number));
            }
            self.due.insert((deadline, number));
        }
    }

    /// The end of a turn: the journal is told what was settled and what came back.
    pub(crate) fn journal(&mut self, turn: &mut Turn<'_, impl Store>) {
        let mut touched = std::mem::take(&mut self.touched);
        for number in touched.drain(..) {
            let Some(kept) = self.all.get_mut(&number).filter(|kept| kept.touched) else {
                continue;
            };
            kept.touched = false;
            let window = &mut kept.window;
            if !kept.durable {
                window.settled.clear();
                window.returned.clear();
                continue;
            }
            let is_news = window.is_news || window.settled.len() > PASSED_OVER_MAX;
            if is_news && record::put_settled(&mut self.buffer, number, window) {
                turn.append(&self.buffer, 0);
            }
            if !window.returned.is_empty() && record::put_returned(&mut self.buffer, number, window)
            {
                turn.append(&self.buffer, 0);
            }
        }
        self.touched = touched;
    }

    /// Closes a window, and says so in the journal.
    pub(crate) fn close(&mut self, number: u64, turn: &mut Turn<'_, impl Store>) {
        let durable = self.all.get(&number).is_some_and(|kept| kept.durable);
        if self.forget(number) && durable {
            record::put_closed(&mut self.buffer, number);
            turn.append(&self.buffer, 0);
        }
    }

    /// A log is gone, and the windows to it: the record that says so speaks for them. Gives whose they were.
    pub(crate) fn forget_log(&mut self, log: u64) -> Vec<Owner> {
        let of_it = self.all.iter().filter(|(_, kept)| kept.at.log == log);
        let mut numbers: Vec<_> = of_it
            .map(|(number, kept)| (*number, kept.owner.clone()))
            .collect();
        numbers.sort_unstable_by_key(|(number, _)| *number);
        let forget = |(number, owner)| {
            self.forget(number);
            owner
        };
        numbers.into_iter().map(forget).collect()
    }

    /// A namespace is gone, likewise.
    pub(crate) fn drop_namespace(&mut self, slot: u32) {
        let groups = self.owned.remove(&slot).unwrap_or_default();
        for (_, number) in groups.into_values().flatten() {
            self.forget(number);
        }
    }

    /// After recovery: windows that have lost their owners go, without a word.
    pub(crate) fn drop_orphans(&mut self, is_orphan: impl Fn(u64, &str) -> bool) {
        let all = self.all.iter();
        let orphans = all.filter(|(number, kept)| is_orphan(**number, &kept.owner.group));
        let orphans: Vec<u64> = orphans.map(|(number, _)| *number).collect();
        for number in orphans {
            self.forget(number);
        }
    }

    fn forget(&mut self, number: u64) -> bool {
        let Some(kept) = self.all.remove(&number) else {
            return false;
        };
        if let Some(armed) = kept.armed {
            self.due.remove(&(armed, number));
        }
        if let Some(groups) = self.owned.get_mut(&kept.owner.namespace)
            && let Some(partitions) = groups.get_mut(&kept.owner.group)
        {
            partitions.remove(&kept.at);
            if partitions.is_empty() {
                groups.remove(&kept.owner.group);
            }
            if groups.is_empty() {
                self.owned.remove(&kept.owner.namespace);
            }
        }
        true
    }

    /// The windows of a namespace as the records that would make them.
    pub(crate) fn put_definitions(
        &self,
        slot: u32,
        namespace: &Name,
        buffer: &mut Vec<u8>,
        put: &mut dyn FnMut(&[u8]),
    ) {
        for (group, partitions) in self.owned.get(&slot).into_iter().flatten() {
            for (at, number) in partitions {
                let kept = self.all.get(number).filter(|kept| kept.durable);
                if let Some(window) = kept.map(|kept| &kept.window) {
                    let opened = (namespace, &**group, *at);
                    record::put_window(buffer, *number, opened, window, put);
                }
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn check(&self) {
        let owned = self.owned.values().flatten().map(|(_, all)| all.len());
        assert_eq!(owned.sum::<usize>(), self.all.len());
        let armed = self.all.values().filter(|kept| kept.armed.is_some());
        assert_eq!(armed.count(), self.due.len());
        for (number, kept) in &self.all {
            kept.window.check();
            let found = self.find(kept.owner.namespace, &kept.owner.group, kept.at);
            assert_eq!(found, Some(*number));
            if let Some(deadline) = kept.window.deadline() {
                assert!(kept.armed.is_some_and(|armed| armed <= deadline));
            }
            assert!(!kept.touched && kept.window.returned.is_empty());
        }
    }
}
