//! To whom a reader hands records: whoever listens to a key of its topic at that moment, as for any live message.
//!
//! What is handed out in a turn is gathered: one block of records, and in each session's letter which of them are for whom.
//!
//! What always holds: what was gathered is sent before anything else is said to a listener, and before the turn's next reader
//! is fed.

use std::sync::Arc;

use polybus_model::{
    Body, Event, HandedRecord, LiveNote, Message, MessageParts, Name, Notice, RecordBlock,
};

use super::Reader;
use crate::live::{LiveWork, Posted, TARGET_BYTES};
use crate::routing::{Found, Live};
use crate::session::Session;
use crate::slab::Slab;
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

/// Records that one reader handed out and that are not yet sent.
#[derive(Debug, Default)]
pub(super) struct Handing {
    block: Option<RecordBlock>,
    len_before: usize,
}

impl Handing {
    /// The number that the next record has in the block.
    pub(super) fn next(&self) -> u32 {
        let len = self.block.as_ref().map_or(0, |block| block.records.len());
        u32::try_from(len).unwrap_or(u32::MAX)
    }

    /// Adds a record that the reader has handed out.
    pub(super) fn add(&mut self, reader: &Reader, record: HandedRecord) {
        let block = self.block.get_or_insert_with(|| RecordBlock {
            log: reader.log.clone(),
            reader: Arc::clone(&reader.name),
            headers_only: reader.settings.headers_only,
            is_settled: reader.settles_at_once(),
            pin: reader.pin_id(),
            records: Vec::with_capacity(self.len_before),
        });
        block.records.push(record);
    }

    fn take(&mut self) -> Option<RecordBlock> {
        let block = self.block.take()?;
        self.len_before = block.records.len();
        Some(block)
    }
}

/// Offers a record to the listeners that were found; true if one of them takes it.
pub(super) fn offer(
    (at, message): (u32, &Message),
    found: Found,
    listening: &mut Live,
    live: &mut LiveWork,
    sessions: &Slab<Session>,
) -> bool {
    let posted = Posted {
        at,
        bytes: message.memory_size() + TARGET_BYTES,
        publisher: u32::MAX,
    };
    listening.offer(found, |number, listener| {
        live.post(posted, number, listener, sessions, SESSION_BYTES_MAX)
    })
}

impl Engine {
    /// Who listens to a key.
    pub(super) fn audience(&mut self, namespace: u32, topic: &Name, key: &[u8]) -> Audience {
        let Self {
            namespaces,
            sessions,
            live,
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
            let slot = listener.session;
            if let Some(session) = sessions.get(slot)
                && listener.had < listener.most
                && !session.is_cut
            {
                if session.outstanding + live.bytes_in_letter(slot) <= SESSION_BYTES_MAX {
                    audience = Audience::Ready;
                } else if audience == Audience::Nobody {
                    audience = Audience::Full(slot);
                }
            }
            false
        });
        audience
    }

    /// Hands a record to those who listen to a key.
    pub(super) fn hand(
        &mut self,
        number: u64,
        key: &[u8],
        record: HandedRecord,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let Self {
            namespaces,
            sessions,
            live,
            readers,
            ..
        } = self;
        let Some(reader) = readers.all.get(&number) else {
            return;
        };
        let namespace = reader.namespace;
        let Some(found) = namespaces.get_mut(namespace) else {
            return;
        };
        let Ok(topic) = found.router.live_topic(reader.settings.topic.as_str()) else {
            return;
        };
        let (listeners, _) = found.router.hear(topic, key);
        let handing = &mut readers.handing;
        let offered = (handing.next(), &record.message);
        if offer(offered, listeners, &mut found.router.live, live, sessions) {
            handing.add(reader, record);
        }
        if live.has_served() {
            self.send_records(namespace, turn);
        }
    }

    /// Sends what was handed out so far.
    pub(super) fn send_records(&mut self, namespace: u32, turn: &mut Turn<'_, impl Store>) {
        let Self {
            readers,
            live,
            sessions,
            ..
        } = self;
        let block = readers.handing.take().map(Arc::new);
        // One to a session without room is open and empty.
        live.take_letters(|slot, targets, bytes| {
            let (Some(session), Some(block)) = (sessions.get_mut(slot), &block) else {
                return;
            };
            if targets.is_empty() {
                return;
            }
            session.outstanding += bytes;
            let block = Arc::clone(block);
            let event = Event::Records {
                block,
                targets,
                bytes,
            };
            turn.tell(session.id, event);
        });
        self.end_served(namespace, turn);
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
        self.send_records(namespace, turn);
        let Self {
            namespaces,
            sessions,
            live,
            ..
        } = self;
        let Some(found) = namespaces.get_mut(namespace) else {
            return;
        };
        let Ok(topic) = found.router.live_topic(topic.as_str()) else {
            return;
        };
        let (listeners, _) = found.router.hear(topic, key);
        let message = Message::new(MessageParts {
            origin: polybus_model::Origin(0),
            topic: &[],
            key,
            properties: &[],
            body: Body::Copied(&[]),
            durable: false,
            priority: None,
            ttl: None,
            deaths: None,
        });
        let bytes = message.memory_size();
        found.router.live.offer(listeners, |number, listener| {
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
                note: Some(LiveNote::Notice(Box::new(notice.clone()))),
            };
            turn.tell(session.id, event);
            true
        });
        self.end_served(namespace, turn);
    }
}
