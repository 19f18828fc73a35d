//! To whom a reader hands records: whoever listens to a key of its topic at that moment, as for any live message.

use polybus_model::{Body, Event, LiveNote, Message, MessageParts, Name, Notice};

use crate::turn::Turn;
use crate::{Engine, Store};

/// With more than this on the way to a session, readers wait for it.
const SESSION_BYTES_MAX: usize = 512 * 1024;

/// Whether there is anyone to hand to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Audience {
    /// Nobody listens.
    Nobody,
    /// The session in this slot listens, and all that do have as much as they may have on the way.
    Full(u32),
    /// Somebody.
    Ready,
}

impl Engine {
    /// Who listens to a key.
    pub(super) fn audience(&mut self, namespace: u32, topic: &Name, key: &[u8]) -> Audience {
        let Self {
            namespaces,
            sessions,
            ..
        } = self;
        let mut audience = Audience::Nobody;
        let Some(found) = namespaces.get_mut(namespace) else {
            return audience;
        };
        let Ok(topic) = found.router.live_topic(topic.as_str()) else {
            return audience;
        };
        let (listeners, _) = found.router.hear(topic, key);
        found.router.live.offer(listeners, |_, listener| {
            if let Some(session) = sessions.get(listener.session) {
                if session.outstanding <= SESSION_BYTES_MAX {
                    audience = Audience::Ready;
                } else if audience == Audience::Nobody {
                    audience = Audience::Full(listener.session);
                }
            }
            false
        });
        audience
    }

    /// Hands a message to those who listen to a key. False if nobody took it.
    pub(super) fn hand(
        &mut self,
        namespace: u32,
        (topic, key): (&Name, &[u8]),
        message: &Message,
        note: &LiveNote,
        turn: &mut Turn<'_, impl Store>,
    ) -> bool {
        let Self {
            namespaces,
            sessions,
            live,
            ..
        } = self;
        let Some(found) = namespaces.get_mut(namespace) else {
            return false;
        };
        let Ok(topic) = found.router.live_topic(topic.as_str()) else {
            return false;
        };
        let (listeners, _) = found.router.hear(topic, key);
        let bytes = message.memory_size();
        let heard = found.router.live.offer(listeners, |number, listener| {
            let Some(session) = sessions.get_mut(listener.session) else {
                return false;
            };
            let is_full = session.is_cut || session.outstanding > SESSION_BYTES_MAX;
            if is_full || listener.had >= listener.most {
                return false;
            }
            session.outstanding += bytes;
            live.count_for(number, listener);
            let event = Event::LiveMessage {
                subscriber: listener.subscriber,
                message: message.clone(),
                note: Some(note.clone()),
            };
            turn.tell(session.id, event);
            true
        });
        self.end_served(namespace, turn);
        heard
    }

    /// Says something to those who listen to a key.
    pub(super) fn notify(
        &mut self,
        namespace: u32,
        topic: &Name,
        key: &[u8],
        notice: Notice,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let message = Message::new(MessageParts {
            origin: polybus_model::Origin(0),
            topic: topic.as_str().as_bytes(),
            key,
            properties: &[],
            body: Body::Copied(&[]),
            durable: false,
            priority: None,
            ttl: None,
            deaths: None,
        });
        let note = LiveNote::Notice(Box::new(notice));
        self.hand(namespace, (topic, key), &message, &note, turn);
    }
}
