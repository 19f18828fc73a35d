//! Publishes: a run of them is one block.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use polybus_model::{Error, Lane, LiveBlock, LiveItem, Request};

use super::{Connection, Phase};
use crate::ORIGIN;
use crate::codec::{Operation, Operations, Publication, is_literal, write_error, write_unheard};
use crate::error::{INVALID_PUBLISH_SUBJECT, publish_refused};
use crate::mapping::jetstream::terms;

/// Runs up to so many bytes are copied: a small one would keep the whole of a read's memory.
const COPY_BYTES_MAX: usize = 16 * 1024;
/// The most messages that room is made for in advance.
const BLOCK_LEN_MAX: usize = 8 * 1024;

impl Connection {
    /// Takes the publishes at the front of the input, up to what is none.
    pub(super) fn take_run(&mut self, input: &mut BytesMut) {
        if self.phase != Phase::Running {
            return;
        }
        let mut operations = Operations::new(input, self.limits());
        let mut items = Vec::new();
        let mut demanded = Vec::new();
        let mut consumed = 0;
        // What cannot be read, or is no publish, ends the run; it is looked at again by itself.
        while let Ok(Some(Operation::Publish(publication, has_headers))) =
            operations.next_operation()
        {
            if has_headers && !self.connect.headers {
                break;
            }
            let subject = publication.subject.start as usize..publication.subject.end as usize;
            let subject = input.get(subject).unwrap_or_default();
            if subject.first() == Some(&b'$') && self.is_for_broker(subject) {
                break;
            }
            if self.permissions.is_some() && !self.may_publish(subject) {
                consumed = operations.consumed();
                continue;
            }
            if has_headers {
                let block = self.headers_in(input, &publication);
                let number = u32::try_from(items.len()).unwrap_or(u32::MAX);
                demanded.extend(terms(subject, block).map(|terms| (number, Arc::new(terms))));
            }
            if items.is_empty() {
                items.reserve_exact(self.block_len);
            }
            self.traffic.bytes_in += u64::from(publication.body.end - publication.body.start)
                + u64::from(publication.headers_len);
            if self.connect.pedantic || self.connect.verbose {
                self.answer_publish(subject);
            }
            items.push(self.item(publication));
            consumed = operations.consumed();
        }
        if items.is_empty() {
            input.advance(consumed);
            return;
        }
        self.traffic.messages_in += items.len() as u64;
        self.block_len = items.len().min(BLOCK_LEN_MAX);
        let bytes = if consumed <= COPY_BYTES_MAX {
            let copied = Bytes::copy_from_slice(input.get(..consumed).unwrap_or_default());
            input.advance(consumed);
            copied
        } else {
            input.split_to(consumed).freeze()
        };
        let block = LiveBlock::new(ORIGIN, self.topic.clone(), bytes, items).with_terms(demanded);
        self.requests
            .push((Lane::default(), Request::PublishLive(Arc::new(block))));
    }

    /// The header block of a publish.
    fn headers_in<'a>(&self, input: &'a [u8], publication: &Publication) -> &'a [u8] {
        let body = publication.body.start as usize;
        let headers = body.saturating_sub(publication.headers_len as usize)..body;
        input.get(headers).unwrap_or_default()
    }

    #[inline]
    fn item(&self, publication: Publication) -> LiveItem {
        let has_reply = !publication.reply.is_empty();
        let mut item = LiveItem::new(publication.subject, publication.body)
            .with_headers(publication.headers_len)
            .with_rest(publication.rest);
        if has_reply {
            item = item
                .with_reply(publication.reply)
                .wanting(LiveItem::WANTS_STORED);
            if self.connect.no_responders {
                item = item.wanting(LiveItem::WANTS_UNHEARD);
            }
        }
        item
    }

    /// What a pedantic or verbose client is told of a publish. A bad subject is published all the same, as ever.
    #[cold]
    fn answer_publish(&mut self, subject: &[u8]) {
        if self.connect.pedantic && !is_literal(subject) {
            self.complain(INVALID_PUBLISH_SUBJECT);
        }
        self.confirm();
    }

    /// Nobody has heard these requests: whoever waits for their answers is told.
    pub(super) fn tell_unheard(&mut self, block: &LiveBlock, items: &[u32]) {
        for item in items.iter().filter_map(|at| block.item(*at)) {
            let (reply, subject) = (block.reply(item), block.key(item));
            let waiting = self.subscriptions.waiting_for(reply);
            let Some(found) = waiting.and_then(|id| self.subscriptions.find(id)) else {
                continue;
            };
            found.delivered += 1;
            write_unheard(&mut self.out, reply, found.sid(), subject);
        }
    }

    /// The broker did not take these.
    pub(super) fn tell_refused(&mut self, block: &LiveBlock, items: &[u32], error: &Error) {
        for item in items.iter().filter_map(|at| block.item(*at)) {
            let text = publish_refused(error, block.key(item));
            write_error(self.out.staged(), &text);
        }
    }
}
