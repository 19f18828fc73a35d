//! From what is published to those who listen.

use std::sync::Arc;

use polybus_model::{
    Event, LiveBlock, LiveItem, LiveNote, Message, Stored, StoredMore, StoredRecord, SubscriberId,
};

use super::{LiveWork, TARGET_BYTES};
use crate::routing::{Listener, RouteMode};
use crate::session::Session;
use crate::slab::Slab;
use crate::turn::{Asker, Turn};
use crate::{Engine, Store};

impl Engine {
    /// A client publishes what one read held.
    pub(crate) fn publish_live(
        &mut self,
        asker: Asker,
        block: &Arc<LiveBlock>,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let Self {
            namespaces,
            sessions,
            live,
            options,
            ..
        } = self;
        let Some(namespace) = namespaces.get_mut(asker.namespace) else {
            return;
        };
        let topic = match namespace.router.live_topic(block.topic().as_str()) {
            Ok(topic) => topic,
            Err(error) => {
                let topic = block.topic().as_str().as_bytes();
                let error = self.route_error(asker.namespace, topic, error);
                let refused = Event::LiveRefused {
                    block: Arc::clone(block),
                    items: (0..).take(block.items().len()).collect(),
                    error: Box::new(error),
                };
                turn.tell(asker.id, refused);
                return;
            }
        };
        let mut unheard = Vec::new();
        for (at, item) in (0..).zip(block.items()) {
            let (found, leads_on) = namespace.router.hear(topic, block.key(item));
            let posted = Posted {
                at,
                bytes: item.len() + TARGET_BYTES,
                publisher: match item.wants(LiveItem::OF_BROKER) {
                    true => u32::MAX,
                    false => asker.session,
                },
            };
            let heard = namespace.router.live.offer(found, |number, listener| {
                live.post(posted, number, listener, sessions, options.live_pending_max)
            });
            if leads_on && !item.wants(LiveItem::LIVE_ONLY) {
                live.onward.push((at, heard));
            } else if !heard && item.wants(LiveItem::WANTS_UNHEARD) {
                unheard.push(at);
            }
        }
        self.send_letters(asker, block, turn);
        self.lead_on(asker, block, &mut unheard, turn);
        self.hold_for_last_told(asker.session, turn);
        self.end_served(asker.namespace, turn);
        if !unheard.is_empty() {
            unheard.sort_unstable();
            let block = Arc::clone(block);
            let items = unheard;
            turn.tell(asker.id, Event::Unheard { block, items });
        }
    }

    /// Hands each session what the block holds for it.
    fn send_letters(
        &mut self,
        asker: Asker,
        block: &Arc<LiveBlock>,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let mut written = std::mem::take(&mut self.live.written);
        for slot in written.drain(..) {
            let (targets, bytes) = self.live.take_letter(slot);
            let Some(session) = self.sessions.get_mut(slot) else {
                continue;
            };
            session.outstanding += bytes;
            if !targets.is_empty() {
                let block = Arc::clone(block);
                let event = Event::Live {
                    block,
                    targets,
                    bytes,
                };
                turn.tell(session.id, event);
            }
            if session.outstanding > self.options.live_pending_max {
                self.cut_off(slot, turn);
            } else {
                self.hold_if_full(asker.session, slot, turn);
            }
        }
        self.live.written = written;
    }

    /// Sends the messages on that go further than to those who listen.
    fn lead_on(
        &mut self,
        asker: Asker,
        block: &Arc<LiveBlock>,
        unheard: &mut Vec<u32>,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let mode = RouteMode {
            live: false,
            ..RouteMode::CLIENT
        };
        let mut onward = std::mem::take(&mut self.live.onward);
        let mut slots = std::mem::take(&mut self.work.slots);
        let mut stored = Vec::new();
        for (at, mut heard) in onward.drain(..) {
            let Some(item) = block.item(at) else {
                continue;
            };
            // A log that gives records by themselves keeps nothing of where its publisher waits for an answer.
            let is_asked = item.wants(LiveItem::WANTS_STORED);
            let message = match is_asked {
                true => block.message_without_reply(item),
                false => block.message(item),
            };
            let readers = &self.options.header_readers;
            let Some(namespace) = self.namespaces.get_mut(asker.namespace) else {
                continue;
            };
            let topic = message.topic();
            let routed = namespace
                .router
                .route(topic, &message, &[], mode, readers, &mut slots);
            let Ok(routed) = routed else {
                continue;
            };
            let leads_further =
                is_asked && !(slots.is_empty() && self.reached_keyed(asker.namespace));
            let message = match leads_further {
                true => block.message(item),
                false => message,
            };
            heard |= self.tell_listeners(asker.namespace, &message, turn);
            if routed.logged {
                self.work.terms = block.terms(at).cloned();
                self.work.wants_stored = item.wants(LiveItem::WANTS_STORED);
                self.work.publisher = asker.id;
                self.append_routed(asker.namespace, &message, turn);
                let became = self.work.stored.drain(..);
                stored.extend(became.map(|(log, result)| Stored {
                    item: at,
                    log,
                    result,
                }));
            }
            if !slots.is_empty() {
                self.enqueue(&message, &slots, turn);
            }
            let is_unheard = !heard && slots.is_empty() && !routed.logged;
            if is_unheard && item.wants(LiveItem::WANTS_UNHEARD) {
                unheard.push(at);
            }
        }
        self.work.terms = None;
        self.work.wants_stored = false;
        self.live.onward = onward;
        self.work.slots = slots;
        if !stored.is_empty() {
            let block = Arc::clone(block);
            // A message that comes again is confirmed when the first one is durable, too.
            let is_taken =
                |stored: &StoredRecord| stored.more.as_deref() != Some(&StoredMore::Held);
            let taken = stored
                .iter()
                .any(|one| one.result.as_ref().is_ok_and(is_taken));
            turn.gate(asker.id, Event::Stored { block, stored }, taken);
        }
    }

    /// Whether all that the message routed last has reached are keyed logs.
    fn reached_keyed(&self, namespace: u32) -> bool {
        let Some(namespace) = self.namespaces.get(namespace) else {
            return false;
        };
        let is_keyed = |log: &u64| {
            let log = self.logs.all.get(log);
            log.is_some_and(|log| log.settings.keyed.is_some())
        };
        let router = &namespace.router;
        !router.live.has_reached() && router.logs_reached().iter().all(is_keyed)
    }

    /// Tells those who listen to the topics that the message routed last has come through. True if anyone does.
    pub(crate) fn tell_listeners(
        &mut self,
        namespace: u32,
        message: &Message,
        turn: &mut Turn<'_, impl Store>,
    ) -> bool {
        let Self {
            namespaces,
            sessions,
            live,
            options,
            ..
        } = self;
        let Some(found) = namespaces.get_mut(namespace) else {
            return false;
        };
        if !found.router.live.has_reached() {
            return false;
        }
        let heard = found.router.live.offer_routed(|number, listener| {
            live.hand_single(
                (number, listener),
                (message, None),
                sessions,
                options.live_pending_max,
                turn,
            )
        });
        self.end_told(namespace, turn);
        heard
    }

    /// The end of telling of a single message: who has had all goes, and who has too much on the way.
    pub(super) fn end_told(&mut self, namespace: u32, turn: &mut Turn<'_, impl Store>) {
        self.end_served(namespace, turn);
        while let Some(slot) = self.live.slow.pop() {
            self.cut_off(slot, turn);
        }
    }
}

/// What is on the way to a session that takes nothing.
const CLOSED: usize = usize::MAX;

/// A message of a block, on its way to one session.
#[derive(Clone, Copy)]
pub(crate) struct Posted {
    /// Its number in the block.
    pub(crate) at: u32,
    pub(crate) bytes: usize,
    /// The slot of the session that publishes it.
    pub(crate) publisher: u32,
}

impl LiveWork {
    /// Puts a message into the letter to a listener's session, if the listener takes it.
    #[inline]
    pub(crate) fn post(
        &mut self,
        posted: Posted,
        number: u32,
        listener: &mut Listener,
        sessions: &Slab<Session>,
        pending_max: usize,
    ) -> bool {
        let is_own = listener.session == posted.publisher;
        if (is_own && !listener.echo) || listener.had >= listener.most {
            return false;
        }
        let Some(letter) = self.letters.get_mut(listener.session as usize) else {
            return false;
        };
        if !letter.is_open {
            letter.is_open = true;
            letter.before = match sessions.get(listener.session) {
                Some(session) if !session.is_cut => session.outstanding,
                // It takes nothing any more.
                _ => CLOSED,
            };
            letter.targets.reserve_exact(letter.len_before.max(4));
            self.written.push(listener.session);
        }
        if letter.before.saturating_add(letter.bytes) > pending_max {
            return false;
        }
        letter.targets.push((posted.at, listener.subscriber));
        letter.bytes += posted.bytes;
        self.count_for(number, listener);
        true
    }

    /// Closes a session's letter: whom it is for, and its bytes.
    fn take_letter(&mut self, slot: u32) -> (Vec<(u32, SubscriberId)>, usize) {
        let Some(letter) = self.letters.get_mut(slot as usize) else {
            return Default::default();
        };
        letter.len_before = letter.targets.len();
        letter.is_open = false;
        (
            std::mem::take(&mut letter.targets),
            std::mem::take(&mut letter.bytes),
        )
    }

    /// Closes all letters: the sessions' slots, whom each is for, and its bytes.
    pub(crate) fn take_letters(
        &mut self,
        mut each: impl FnMut(u32, Vec<(u32, SubscriberId)>, usize),
    ) {
        let mut written = std::mem::take(&mut self.written);
        for slot in written.drain(..) {
            let (targets, bytes) = self.take_letter(slot);
            each(slot, targets, bytes);
        }
        self.written = written;
    }

    /// What the open letter to a session holds.
    pub(crate) fn bytes_in_letter(&self, slot: u32) -> usize {
        self.letters
            .get(slot as usize)
            .map_or(0, |letter| letter.bytes)
    }

    /// Whether some listener has had all that it wanted.
    pub(crate) fn has_served(&self) -> bool {
        !self.served.is_empty()
    }

    /// Hands a single message to a listener, if it takes it.
    pub(super) fn hand_single(
        &mut self,
        (number, listener): (u32, &mut Listener),
        (message, note): (&Message, Option<&LiveNote>),
        sessions: &mut Slab<Session>,
        pending_max: usize,
        turn: &mut Turn<'_, impl Store>,
    ) -> bool {
        let Some(session) = sessions.get_mut(listener.session) else {
            return false;
        };
        if session.is_cut || listener.had >= listener.most {
            return false;
        }
        if session.outstanding > pending_max {
            self.slow.push(listener.session);
            return false;
        }
        session.outstanding += message.memory_size();
        self.last_told = Some(listener.session);
        self.count_for(number, listener);
        let event = Event::LiveMessage {
            subscriber: listener.subscriber,
            message: message.clone(),
            note: note.cloned(),
        };
        turn.tell(session.id, event);
        true
    }

    /// A listener has one message more.
    #[inline]
    pub(crate) fn count_for(&mut self, number: u32, listener: &mut Listener) {
        listener.had += 1;
        if listener.had == listener.most {
            self.served.push(number);
        }
    }
}
