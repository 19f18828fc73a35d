//! Sessions that leave. One with hundreds of thousands of listeners would keep everyone waiting while each is taken out of the
//! routing: they hear nothing any more at once, and go a slice at a time, each slice in a turn of its own.

use std::collections::VecDeque;

use polybus_model::{Millis, SubscriberId};

use crate::Engine;
use crate::routing::Listener;
use crate::session::Session;

/// Listeners that are taken out in one turn.
const SLICE: usize = 1024;

/// Whose listeners are on their way out.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    waiting: VecDeque<Leaver>,
}

#[derive(Debug)]
struct Leaver {
    /// The session's slot.
    session: u32,
    /// Its listeners' numbers, of which some may have gone another way since.
    listeners: Vec<(SubscriberId, u32)>,
}

impl Leaving {
    /// Those who wait are not kept waiting.
    pub(super) fn deadline(&self) -> Option<Millis> {
        (!self.waiting.is_empty()).then_some(0)
    }
}

impl Engine {
    /// A session hears nothing any more, for good.
    pub(crate) fn leave(&mut self, slot: u32) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        if session.is_cut {
            return;
        }
        session.is_cut = true;
        if session.listeners.len() <= SLICE {
            self.end_listening(slot);
            return;
        }
        let listeners = session.listeners.iter();
        let leaver = Leaver {
            session: slot,
            listeners: listeners.map(|(id, number)| (*id, *number)).collect(),
        };
        self.live.leaving.waiting.push_back(leaver);
    }

    /// A session that is gone gives its slot up with its last listener.
    pub(crate) fn free_when_left(&mut self, slot: u32) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        session.is_gone = true;
        if session.listeners.is_empty() {
            self.sessions.remove(slot);
        }
    }

    /// Takes the next slice of listeners out.
    pub(crate) fn see_leavers_off(&mut self) {
        let Some(leaver) = self.live.leaving.waiting.front_mut() else {
            return;
        };
        let slot = leaver.session;
        let from = leaver.listeners.len().saturating_sub(SLICE);
        let slice = leaver.listeners.split_off(from);
        for (subscriber, number) in slice {
            let session = self.sessions.get(slot);
            // It may have ended, and its number be another's.
            if session.is_some_and(|one| one.listeners.get(&subscriber) == Some(&number)) {
                self.end_listener(slot, number);
            }
        }
        if from > 0 {
            return;
        }
        self.live.leaving.waiting.pop_front();
        if self.sessions.get(slot).is_some_and(|one| one.is_gone) {
            self.sessions.remove(slot);
        }
    }

    /// Takes a session's listener out.
    pub(super) fn end_listener(&mut self, session: u32, number: u32) {
        let Some(slot) = self.sessions.get(session).map(|one| one.namespace) else {
            return;
        };
        let Some(namespace) = self.namespaces.get_mut(slot) else {
            return;
        };
        let live = &mut namespace.router.live;
        self.readers.listener_leaves(slot, live.filter_of(number));
        if let Some(listener) = live.remove(number) {
            self.forget_listener(&listener);
        }
    }

    /// A listener is no longer in the routing; whether its session still knew it.
    pub(super) fn forget_listener(&mut self, listener: &Listener) -> bool {
        let Some(session) = self.sessions.get_mut(listener.session) else {
            return false;
        };
        if session.listeners.remove(&listener.subscriber).is_none() {
            return false;
        }
        session.listening_bytes -= listener.bytes as usize;
        self.live.count -= 1;
        self.live.bytes -= listener.bytes as usize;
        true
    }
}

impl super::LiveWork {
    /// What a session listened to is gone as a whole.
    pub(crate) fn forget_all_of(&mut self, session: &mut Session) {
        self.count -= session.listeners.len();
        self.bytes -= session.listening_bytes;
        session.listeners.clear();
        session.listening_bytes = 0;
    }
}
