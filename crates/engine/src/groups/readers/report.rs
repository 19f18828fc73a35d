//! Reports of records, for whoever listens for them.

use std::sync::Arc;

use polybus_model::{Body, LiveNote, Message, MessageParts, Origin, ReaderReport, Reported};

use crate::turn::Turn;
use crate::{Engine, Store};

impl Engine {
    /// Reports what became of a record that a reader handed out so often.
    pub(super) fn report(
        &mut self,
        number: u64,
        (offset, attempts): (u64, u32),
        what: Reported,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let (Some(key_of), Some(reader)) = (
            self.options.report_key.filter(|_| self.live.count > 0),
            self.readers.all.get(&number),
        ) else {
            return;
        };
        let report = ReaderReport {
            log: reader.log.clone(),
            reader: Arc::clone(&reader.name),
            offset,
            sequence: reader.handed.get(&offset).copied().unwrap_or(0),
            attempts,
            time: self.time(turn),
            what,
        };
        let message = Message::new(MessageParts {
            origin: Origin(0),
            topic: &[],
            key: &key_of(&report),
            properties: &[],
            body: Body::Copied(&[]),
            durable: false,
            priority: None,
            ttl: None,
            deaths: None,
        });
        let (namespace, topic) = (reader.namespace, reader.settings.topic.clone());
        let note = LiveNote::Report(Box::new(report));
        self.tell_copy(namespace, &topic, &message, &note, turn);
    }
}
