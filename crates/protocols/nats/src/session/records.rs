//! Records of streams on their way to the client: each with the subject that acknowledges it.

use bytes::Bytes;
use polybus_model::{HandedRecord, LiveProperties, RecordBlock, SubscriberId};

use super::Connection;
use crate::ORIGIN;
use crate::codec::{Outgoing, is_literal};
use crate::mapping;
use crate::mapping::jetstream::{ack_prefix, headers_alone, pinned_headers, write_ack};

impl Connection {
    /// Writes records to whom they are for. One whose key is no subject cannot be told to a NATS client, and is not.
    pub(super) fn deliver_records(&mut self, block: &RecordBlock, targets: &[(u32, SubscriberId)]) {
        let prefix = ack_prefix(block);
        for &(at, subscriber) in targets {
            let Some(record) = block.records.get(at as usize) else {
                continue;
            };
            if is_literal(record.message.key()) {
                if let Some(permissions) = &mut self.permissions {
                    // Its acknowledgement is an answer like any.
                    let mut ack = bytes::BytesMut::new();
                    write_ack(&mut ack, &prefix, record);
                    permissions.note_reply(&ack);
                }
                self.deliver_record(block, record, &prefix, subscriber);
            }
        }
    }

    #[inline]
    fn deliver_record(
        &mut self,
        block: &RecordBlock,
        record: &HandedRecord,
        ack: &[u8],
        subscriber: SubscriberId,
    ) {
        let Some(found) = self.subscriptions.find(subscriber) else {
            return;
        };
        let message = &record.message;
        let foreign;
        let own = match message.origin() == ORIGIN {
            true => LiveProperties::decoded(message.properties()).headers,
            false => {
                foreign = mapping::properties(message, &self.settings.readers);
                &*foreign.headers
            }
        };
        let alone;
        let headers = match (self.connect.headers, block.headers_only) {
            (false, _) => b"",
            (true, false) => own,
            (true, true) => {
                alone = headers_alone(own, message.body().len());
                &*alone
            }
        };
        let pinned;
        let headers = match block.pin.as_deref().filter(|_| self.connect.headers) {
            Some(pin) => {
                pinned = pinned_headers(headers, pin);
                &*pinned
            }
            None => headers,
        };
        let (body, shared) = match block.headers_only {
            true => (&b""[..], None),
            false => (message.body(), message.shared_body()),
        };
        found.delivered += 1;
        self.traffic.messages_out += 1;
        self.traffic.bytes_out += (headers.len() + body.len()) as u64;
        Outgoing {
            subject: message.key(),
            sid: found.sid(),
            reply: b"",
            headers,
            body,
            shared: shared.filter(|whole: &&Bytes| !whole.is_empty()),
        }
        .write_with(&mut self.out, |out| write_ack(out, ack, record));
    }
}
