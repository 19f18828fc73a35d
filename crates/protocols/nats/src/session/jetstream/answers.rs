//! Answers on their way: written as the lines that they become, so that a block of them is delivered without another look.

use std::fmt::Write;
use std::sync::Arc;

use polybus_model::{LiveBlock, LiveItem, Name};

use crate::ORIGIN;

/// Answers that are not yet published.
#[derive(Debug, Default)]
pub(super) struct Answers {
    bytes: Vec<u8>,
    items: Vec<LiveItem>,
    /// How large the last block was: the next is likely to be as large.
    len_before: usize,
}

impl Answers {
    /// Adds an answer; one to nowhere is none.
    pub(super) fn add(&mut self, to: &[u8], headers: &[u8], body: &[u8]) {
        self.add_with_reply(to, b"", headers, body);
    }

    /// Adds one that is to be answered itself.
    pub(super) fn add_with_reply(&mut self, to: &[u8], reply: &[u8], headers: &[u8], body: &[u8]) {
        self.write(to, reply, headers, body, LiveItem::OF_BROKER);
    }

    /// Adds what is for live subscribers alone: neither answer nor message, but what the broker was asked or has to tell.
    pub(super) fn add_aside(&mut self, to: &[u8], reply: &[u8], headers: &[u8], body: &[u8]) {
        let wanting = LiveItem::OF_BROKER | LiveItem::LIVE_ONLY;
        self.write(to, reply, headers, body, wanting);
    }

    fn write(&mut self, to: &[u8], reply: &[u8], headers: &[u8], body: &[u8], wanting: u8) {
        if to.is_empty() {
            return;
        }
        if self.bytes.is_empty() {
            self.bytes.reserve(self.len_before.min(1 << 20));
        }
        let key = self.put(to);
        self.put(b" ");
        let rest = self.bytes.len();
        let reply = self.put(reply);
        if !reply.is_empty() {
            self.put(b" ");
        }
        let mut sizes = String::new();
        let all = headers.len() + body.len();
        // Writing to a text cannot fail.
        let _ = match headers.is_empty() {
            true => write!(sizes, "{all}\r\n"),
            false => write!(sizes, "{} {all}\r\n", headers.len()),
        };
        self.put(sizes.as_bytes());
        self.put(headers);
        let body = self.put(body);
        self.put(b"\r\n");
        let item = LiveItem::new(key, body)
            .with_reply(reply)
            .with_headers(u32::try_from(headers.len()).unwrap_or_default())
            .with_rest(u32::try_from(rest).unwrap_or(u32::MAX))
            .wanting(wanting);
        self.items.push(item);
    }

    fn put(&mut self, bytes: &[u8]) -> std::ops::Range<u32> {
        let end = |bytes: &Vec<u8>| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let from = end(&self.bytes);
        self.bytes.extend_from_slice(bytes);
        from..end(&self.bytes)
    }

    /// Takes what there is.
    pub(super) fn take(&mut self, topic: &Name) -> Option<Arc<LiveBlock>> {
        if self.items.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.bytes);
        self.len_before = bytes.len();
        let items = std::mem::take(&mut self.items);
        let block = LiveBlock::new(ORIGIN, topic.clone(), bytes.into(), items);
        Some(Arc::new(block))
    }
}
