//! What is appended to a keyed log gets other keys first; copies of it are published when it is durable: to those who listen, to
//! queues and to other logs.
//!
//! What always holds: a copy is sent for a record that a restart would find again; once, and not again after a restart. Copies of
//! copies come to an end, whatever leads where.

use std::sync::Arc;

use bytes::Bytes;
use polybus_model::{CopyNote, KeyedSettings, LiveNote, LogError, Message, Terms};

use crate::logs::At;
use crate::routing::RouteMode;
use crate::turn::Turn;
use crate::{Engine, Store};

/// The longest key that a message can have.
const KEY_BYTES_MAX: usize = 65_535;
/// Copies of copies, at most: settings that would lead in circles are refused, but for those that bindings close.
const DEPTH_MAX: u8 = 16;

/// A record of which a copy is to be sent.
#[derive(Debug)]
pub(super) struct Owed {
    offset: u64,
    message: Message,
    time: polybus_model::Millis,
    /// The offset of its key's record before it.
    before: Option<u64>,
    /// How many copies of copies it is.
    depth: u8,
}

/// The message under the key that a log gives it; none if that is its own.
pub(super) fn renamed(
    message: &Message,
    rules: &KeyedSettings,
    offset: u64,
) -> Result<Option<Message>, LogError> {
    let renames = rules.renames.as_ref();
    let Some(key) = renames.and_then(|rule| rule.apply(message.key(), offset)) else {
        return Ok(None);
    };
    match key.len() > KEY_BYTES_MAX {
        true => Err(LogError::TooLarge),
        false => Ok(Some(message.with_key(&key))),
    }
}

/// What a message demands of another log than it was published to: not what its publisher expected of that one.
fn elsewhere(terms: Terms) -> Terms {
    Terms {
        log: None,
        offset: None,
        last_of_key: None,
        last_id: None,
        batch: None,
        bad: None,
        ends_schedule: None,
        ..terms
    }
}

impl Engine {
    /// A message was appended, behind another of its key or none: a copy is published if the log says so.
    pub(super) fn owe_copy(
        &mut self,
        at: At,
        (offset, before): (u64, Option<u64>),
        message: &Message,
        time: polybus_model::Millis,
    ) {
        let depth = self.work.copy_depth;
        let log = self.logs.all.get_mut(&at.log);
        let Some(log) = log.filter(|_| depth < DEPTH_MAX) else {
            return;
        };
        let rules = log.settings.keyed.as_deref();
        let Some(copies) = rules.and_then(|rules| rules.copies.as_ref()) else {
            return;
        };
        let partition = log.partitions.get_mut(at.partition as usize);
        if copies.renaming.keys.fits(message.key())
            && let Some(keyed) = partition.and_then(|one| one.keyed.as_mut())
        {
            keyed.owed.push_back(Owed {
                offset,
                message: message.clone(),
                time,
                before,
                depth,
            });
        }
    }

    /// More of a partition is durable: copies of it are sent.
    pub(in crate::logs) fn send_copies(&mut self, at: At, turn: &mut Turn<'_, impl Store>) {
        loop {
            let Some(log) = self.logs.all.get_mut(&at.log) else {
                return;
            };
            let (namespace, name) = (log.namespace, log.name.clone());
            let rules = log.settings.keyed.as_deref();
            let copies = rules.and_then(|rules| rules.copies.clone());
            let Some(partition) = log.partitions.get_mut(at.partition as usize) else {
                return;
            };
            let (Some(copies), Some(keyed)) = (copies, &mut partition.keyed) else {
                return;
            };
            let end = partition.end;
            let Some(owed) = keyed.owed.pop_front_if(|owed| owed.offset < end) else {
                return;
            };
            let Some(key) = copies.renaming.apply(owed.message.key(), owed.offset) else {
                continue;
            };
            if key.len() > KEY_BYTES_MAX {
                continue;
            }
            let note = CopyNote {
                log: name,
                key: Bytes::copy_from_slice(owed.message.key()),
                offset: owed.offset,
                time: owed.time,
                before: owed.before,
                headers_only: copies.headers_only,
            };
            let message = owed.message.with_key(&key);
            let told = LiveNote::Copy(Box::new(note.clone()));
            if self.tell_copy(namespace, &copies.topic, &message, &told, turn) {
                let writer = &self.options.keyed_writer;
                let copy = match writer.told {
                    Some(write) => write(&message, &note),
                    None => message,
                };
                let terms = writer.terms.and_then(|read| read(&owed.message));
                let copy = copy.readdressed(&copies.topic);
                self.work.copy_depth = owed.depth + 1;
                self.work.terms = terms.map(|terms| Arc::new(elsewhere(terms)));
                self.lead_copy_on(namespace, &copy, turn);
                self.work.terms = None;
                self.work.copy_depth = 0;
            }
        }
    }

    /// Sends a copy to where its key leads beside those who listen.
    fn lead_copy_on(&mut self, namespace: u32, message: &Message, turn: &mut Turn<'_, impl Store>) {
        // That something is durable comes without a time; what is appended has one.
        turn.now = self.time(turn);
        let mode = RouteMode {
            live: false,
            ..RouteMode::BROKER
        };
        let mut slots = std::mem::take(&mut self.work.slots);
        let readers = &self.options.header_readers;
        let routed = self.namespaces.get_mut(namespace).map(|one| {
            let topic = message.topic();
            one.router
                .route(topic, message, &[], mode, readers, &mut slots)
        });
        if let Some(Ok(routed)) = routed {
            self.tell_listeners(namespace, message, turn);
            if routed.logged {
                self.append_routed(namespace, message, turn);
            }
            if !slots.is_empty() {
                self.enqueue(message, &slots, turn);
            }
        }
        self.work.slots = slots;
    }
}
