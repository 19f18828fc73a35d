//! Who listens hears each message of its pattern that is published while it does, once and in the order of the publishes, and
//! nothing else; of those that share, one does. Who has left hears nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use polybus_model::SubscriberId;

use crate::violation::{Verdict, Violation};

pub(crate) const NAME: &str = "live_heard";

/// A listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listener {
    /// Which pattern it listens to.
    pub(crate) pattern: usize,
    /// With all others of that pattern that share.
    pub(crate) shares: bool,
}

/// What is yet to be heard of one turn's messages.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// By listener, in order.
    each: BTreeMap<u32, VecDeque<u64>>,
    /// By message: groups of which one hears it.
    shared: BTreeMap<u64, Vec<BTreeSet<u32>>>,
    /// The last that a listener heard of the turn.
    last: BTreeMap<u32, u64>,
}

impl Expected {
    /// A message is published to these listeners.
    pub(crate) fn publish(
        &mut self,
        message: u64,
        all: &BTreeMap<u32, Listener>,
        takes: impl Fn(&Listener) -> bool,
    ) {
        let mut sharing: BTreeMap<usize, BTreeSet<u32>> = BTreeMap::new();
        for (number, listener) in all.iter().filter(|(_, one)| takes(one)) {
            match listener.shares {
                true => drop(sharing.entry(listener.pattern).or_default().insert(*number)),
                false => self.each.entry(*number).or_default().push_back(message),
            }
        }
        if !sharing.is_empty() {
            self.shared.insert(message, sharing.into_values().collect());
        }
    }

    /// A listener has heard a message.
    pub(crate) fn heard(&mut self, listener: u32, message: Option<u64>) -> Verdict {
        let Some(message) = message else {
            return fault(format!("{listener} hears what nobody has said"));
        };
        if let Some(last) = self.last.insert(listener, message)
            && last >= message
        {
            return fault(format!("{listener} hears {message} behind {last}"));
        }
        if let Some(waits) = self.each.get_mut(&listener) {
            return match waits.pop_front() {
                Some(next) if next == message => Ok(()),
                next => fault(format!("{listener} hears {message} in place of {next:?}")),
            };
        }
        let groups = self.shared.get_mut(&message);
        let found = groups.and_then(|groups| {
            let at = groups.iter().position(|one| one.contains(&listener))?;
            Some(groups.remove(at))
        });
        match found {
            Some(_) => Ok(()),
            None => fault(format!("{listener} hears {message}, which is not for it")),
        }
    }

    /// The turn is over: all was heard, if it is sure that all was taken.
    pub(crate) fn check_all_heard(&mut self, is_sure: bool) -> Verdict {
        let turn = std::mem::take(self);
        let each = turn.each.iter().find(|(_, waits)| !waits.is_empty());
        let shared = turn.shared.iter().find(|(_, groups)| !groups.is_empty());
        match (each, shared) {
            _ if !is_sure => Ok(()),
            (Some((listener, waits)), _) => fault(format!("{listener} did not hear {waits:?}")),
            (_, Some((message, groups))) => fault(format!("none of {groups:?} heard {message}")),
            (None, None) => Ok(()),
        }
    }
}

/// A listener was refused.
pub(crate) fn not_subscribed(subscriber: SubscriberId) -> Verdict {
    fault(format!("{subscriber:?} may not listen"))
}

fn fault(detail: String) -> Verdict {
    Err(Violation::new(NAME, detail))
}
