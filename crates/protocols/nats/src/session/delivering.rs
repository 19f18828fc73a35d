//! Messages on their way to the client.

use bytes::Bytes;
use polybus_model::{
    LiveBlock, LiveItem, LiveNote, LiveProperties, Message, ReaderReport, SubscriberId,
};

use super::Connection;
use crate::ORIGIN;
use crate::codec::{Outgoing, is_literal};
use crate::mapping;
use crate::mapping::jetstream::{advisory, copy_headers, reply_of, status_of};

/// The end of a payload, which stands behind it in a block as well.
const LINE_END_BYTES: u32 = 2;
/// What is passed by reference is at least so long, and at least a quarter of what it keeps in memory.
const SHARE_BYTES_MIN: usize = 4 * 1024;

impl Connection {
    /// Writes messages of a block to whom they are for.
    pub(super) fn deliver_block(&mut self, block: &LiveBlock, targets: &[(u32, SubscriberId)]) {
        let has_headers = self.connect.headers;
        let is_own = block.origin() == ORIGIN;
        for &(at, subscriber) in targets {
            if self.permissions.is_some() && !self.may_hear(block, at) {
                continue;
            }
            let (Some(item), Some(found)) = (block.item(at), self.subscriptions.find(subscriber))
            else {
                continue;
            };
            found.delivered += 1;
            self.traffic.messages_out += 1;
            self.traffic.bytes_out += u64::from(item.body_len() + item.headers_len());
            let rest = block.rest(item, LINE_END_BYTES);
            // The line as it came is there, and the client can read what it says.
            let is_whole =
                rest.len() > (item.body_len() + LINE_END_BYTES) as usize && rest.ends_with(b"\r\n");
            if is_own && is_whole && (has_headers || !item.has_headers()) {
                let name: &[u8] = if item.has_headers() {
                    b"HMSG "
                } else {
                    b"MSG "
                };
                let (subject, tag) = (block.key(item), found.tag());
                let staged = self.out.staged();
                staged.reserve(name.len() + subject.len() + tag.len() + rest.len());
                staged.extend_from_slice(name);
                staged.extend_from_slice(subject);
                staged.extend_from_slice(tag);
                if rest.len() >= SHARE_BYTES_MIN && rest.len() >= block.bytes().len() / 4 {
                    self.out.push_shared(block.bytes().slice_ref(rest));
                } else {
                    staged.extend_from_slice(rest);
                }
                continue;
            }
            self.deliver_item(block, item, subscriber);
        }
    }

    /// Whether the client may be handed a message of a block; what it may answer is noted.
    #[cold]
    fn may_hear(&mut self, block: &LiveBlock, at: u32) -> bool {
        let (Some(permissions), Some(item)) = (&mut self.permissions, block.item(at)) else {
            return true;
        };
        let may = permissions.may_hear(block.key(item));
        if may {
            permissions.note_reply(block.reply(item));
        }
        may
    }

    /// Writes a message part by part.
    #[cold]
    fn deliver_item(&mut self, block: &LiveBlock, item: &LiveItem, subscriber: SubscriberId) {
        let Some(found) = self.subscriptions.find(subscriber) else {
            return;
        };
        let headers = if self.connect.headers {
            block.headers(item)
        } else {
            b""
        };
        Outgoing {
            subject: block.key(item),
            sid: found.sid(),
            reply: block.reply(item),
            headers,
            body: block.body(item),
            shared: Some(block.bytes()),
        }
        .write(&mut self.out);
    }

    /// Writes a message that came another way. One whose key is no subject cannot be told to a NATS client, and is not.
    pub(super) fn deliver_message(
        &mut self,
        subscriber: SubscriberId,
        message: &Message,
        note: Option<&LiveNote>,
    ) {
        if let Some(LiveNote::Report(report)) = note {
            return self.deliver_report(subscriber, message.key(), report);
        }
        let subject = message.key();
        let Some(found) = self.subscriptions.find(subscriber) else {
            return;
        };
        let permissions = self.permissions.as_mut();
        if !is_literal(subject) || permissions.is_some_and(|one| !one.may_hear(subject)) {
            return;
        }
        let foreign;
        let properties = if message.origin() == ORIGIN {
            LiveProperties::decoded(message.properties())
        } else {
            foreign = mapping::properties(message, &self.settings.readers);
            LiveProperties {
                reply: &foreign.reply,
                headers: &foreign.headers,
            }
        };
        let (reply, told) = match note {
            None | Some(LiveNote::Report(_)) => (String::new(), Vec::new()),
            Some(LiveNote::Notice(notice)) => (reply_of(notice), status_of(notice)),
            Some(LiveNote::Copy(note)) => {
                let len = message.body().len();
                (String::new(), copy_headers(properties.headers, note, len))
            }
        };
        let is_bodiless = match note {
            Some(LiveNote::Copy(note)) => note.headers_only,
            _ => !told.is_empty(),
        };
        let headers = match told.is_empty() {
            true => properties.headers,
            false => &told,
        };
        let headers = if self.connect.headers { headers } else { b"" };
        let (body, shared) = match is_bodiless {
            false => (message.body(), message.shared_body()),
            true => (&b""[..], None),
        };
        if let Some(permissions) = &mut self.permissions {
            permissions.note_reply(match note {
                None => properties.reply,
                Some(_) => reply.as_bytes(),
            });
        }
        found.delivered += 1;
        self.traffic.messages_out += 1;
        self.traffic.bytes_out += (headers.len() + body.len()) as u64;
        Outgoing {
            subject,
            sid: found.sid(),
            reply: match note {
                None => properties.reply,
                Some(_) => reply.as_bytes(),
            },
            headers,
            body,
            shared: shared.filter(|whole: &&Bytes| !whole.is_empty()),
        }
        .write(&mut self.out);
    }

    /// Writes what a reader reports.
    #[cold]
    fn deliver_report(&mut self, subscriber: SubscriberId, subject: &[u8], report: &ReaderReport) {
        let Some(found) = self.subscriptions.find(subscriber) else {
            return;
        };
        let id = format!("{:022x}", (self.settings.random)());
        let body = advisory(report, id);
        found.delivered += 1;
        self.traffic.messages_out += 1;
        self.traffic.bytes_out += body.len() as u64;
        Outgoing {
            subject,
            sid: found.sid(),
            reply: b"",
            headers: b"",
            body: &body,
            shared: None,
        }
        .write(&mut self.out);
    }
}
