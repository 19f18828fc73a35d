//! Live subscribers: destinations that get what is routed while they are there. Nothing is kept for them.
//!
//! ```text
//! one read of a publisher:  bytes  [ ..key.. reply .. headers body .. | ..key.. body .. ]     shared, never copied
//!                           items    ^ offsets of one message           ^ of the next         32 bytes each
//! ```
//! What a session's read held of live publishes travels as one [`LiveBlock`], and reaches each session that listens as one
//! [`crate::Event::Live`]: no allocation for a message, and none for a delivery. Only where something keeps the message (a queue, a
//! log) does an item become a [`Message`].
//!
//! Whoever is handed a block lets it go soon: a small message keeps the bytes of its whole read in memory.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::{Body, Message, MessageParts, Name, Origin, SubscriberId, Terms};

/// What one read held of live publishes.
#[derive(Clone, Debug)]
pub struct LiveBlock {
    origin: Origin,
    topic: Name,
    bytes: Bytes,
    items: Vec<LiveItem>,
    /// Of some messages, on what terms keyed logs take them; rising.
    terms: Vec<(u32, Arc<Terms>)>,
}

/// One message of a block, as offsets into the block's bytes. An offset outside of them stands for nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LiveItem {
    key: u32,
    key_len: u16,
    reply_len: u16,
    reply: u32,
    headers_len: u32,
    body: u32,
    body_len: u32,
    rest: u32,
    wants: u8,
}

const _: () = assert!(size_of::<LiveItem>() == 32);

impl LiveItem {
    /// The publisher wants to be told if nobody takes the message ([`crate::Event::Unheard`]).
    pub const WANTS_UNHEARD: u8 = 1;
    /// The publisher wants to be told where logs have put the message.
    pub const WANTS_STORED: u8 = 2;
    /// The broker answers by way of this session: it hears it itself, whether it wants its echo or not.
    pub const OF_BROKER: u8 = 4;
    /// It is for live subscribers alone: no binding leads it on.
    pub const LIVE_ONLY: u8 = 8;

    /// A message of a key and a body. A key is cut at 65,535 bytes: sessions refuse longer ones before.
    #[must_use]
    pub fn new(key: Range<u32>, body: Range<u32>) -> Self {
        Self {
            key: key.start,
            key_len: short(&key),
            reply_len: 0,
            reply: 0,
            headers_len: 0,
            body: body.start,
            body_len: body.end.saturating_sub(body.start),
            rest: body.start,
            wants: 0,
        }
    }

    /// With a key to answer to, of at most 65,535 bytes.
    #[must_use]
    pub fn with_reply(mut self, reply: Range<u32>) -> Self {
        self.reply = reply.start;
        self.reply_len = short(&reply);
        self
    }

    /// With so many bytes of headers, which stand just before the body.
    #[must_use]
    pub fn with_headers(mut self, len: u32) -> Self {
        self.headers_len = len;
        self
    }

    /// With a place before the body from which on sessions of the block's own protocol may copy what they write, as it came.
    #[must_use]
    pub fn with_rest(mut self, from: u32) -> Self {
        self.rest = from;
        self
    }

    /// With what the publisher wants to be told ([`LiveItem::WANTS_UNHEARD`], [`LiveItem::WANTS_STORED`]).
    #[must_use]
    pub fn wanting(mut self, wants: u8) -> Self {
        self.wants |= wants;
        self
    }

    /// Whether the publisher wants to be told that.
    #[must_use]
    pub fn wants(&self, what: u8) -> bool {
        self.wants & what != 0
    }

    /// Whether it names a key to answer to.
    #[must_use]
    pub fn has_reply(&self) -> bool {
        self.reply_len > 0
    }

    /// Whether it has headers.
    #[must_use]
    pub fn has_headers(&self) -> bool {
        self.headers_len > 0
    }

    /// The bytes of its parts together.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.key_len)
            + usize::from(self.reply_len)
            + self.headers_len as usize
            + self.body_len as usize
    }

    /// Whether all its parts are empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The length of its body.
    #[must_use]
    pub fn body_len(&self) -> u32 {
        self.body_len
    }

    /// The length of its headers.
    #[must_use]
    pub fn headers_len(&self) -> u32 {
        self.headers_len
    }
}

fn short(range: &Range<u32>) -> u16 {
    u16::try_from(range.end.saturating_sub(range.start)).unwrap_or(u16::MAX)
}

impl LiveBlock {
    /// A block of messages to one topic.
    #[must_use]
    pub fn new(origin: Origin, topic: Name, bytes: Bytes, items: Vec<LiveItem>) -> Self {
        Self {
            origin,
            topic,
            bytes,
            items,
            terms: Vec::new(),
        }
    }

    /// With the terms on which keyed logs take some of the messages, by their rising numbers.
    #[must_use]
    pub fn with_terms(mut self, terms: Vec<(u32, Arc<Terms>)>) -> Self {
        self.terms = terms;
        self
    }

    /// On what terms keyed logs take a message, if its publisher names any.
    #[must_use]
    pub fn terms(&self, item: u32) -> Option<&Arc<Terms>> {
        let at = self.terms.binary_search_by_key(&item, |(at, _)| *at).ok()?;
        self.terms.get(at).map(|(_, terms)| terms)
    }

    /// Whose headers these are.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The topic they are published to.
    #[must_use]
    pub fn topic(&self) -> &Name {
        &self.topic
    }

    /// All bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The messages, in order.
    #[must_use]
    pub fn items(&self) -> &[LiveItem] {
        &self.items
    }

    /// The message with that number.
    #[inline]
    #[must_use]
    pub fn item(&self, at: u32) -> Option<&LiveItem> {
        self.items.get(at as usize)
    }

    /// A message's key.
    #[inline]
    #[must_use]
    pub fn key(&self, item: &LiveItem) -> &[u8] {
        self.part(item.key, item.key_len.into())
    }

    /// The key to answer to; empty if there is none.
    #[inline]
    #[must_use]
    pub fn reply(&self, item: &LiveItem) -> &[u8] {
        self.part(item.reply, item.reply_len.into())
    }

    /// A message's headers as its protocol writes them; empty if there are none.
    #[must_use]
    pub fn headers(&self, item: &LiveItem) -> &[u8] {
        self.part(item.body.wrapping_sub(item.headers_len), item.headers_len)
    }

    /// A message's body.
    #[must_use]
    pub fn body(&self, item: &LiveItem) -> &[u8] {
        self.part(item.body, item.body_len)
    }

    /// From where a message's own protocol may copy, to the end of its body and `after` bytes behind it.
    #[inline]
    #[must_use]
    pub fn rest(&self, item: &LiveItem, after: u32) -> &[u8] {
        let end = item.body as usize + item.body_len as usize + after as usize;
        self.bytes.get(item.rest as usize..end).unwrap_or_default()
    }

    /// A message's body with the block's memory under it.
    #[must_use]
    pub fn shared_body(&self, item: &LiveItem) -> Bytes {
        let body = self.body(item);
        if body.is_empty() {
            Bytes::new()
        } else {
            self.bytes.slice_ref(body)
        }
    }

    /// A message as queues and logs keep it. Its properties are [`LiveProperties`]; it does not share the block's bytes.
    #[must_use]
    pub fn message(&self, item: &LiveItem) -> Message {
        self.message_answered_at(item, self.reply(item))
    }

    /// The message of an item, for where nobody answers it.
    #[must_use]
    pub fn message_without_reply(&self, item: &LiveItem) -> Message {
        self.message_answered_at(item, b"")
    }

    fn message_answered_at(&self, item: &LiveItem, reply: &[u8]) -> Message {
        let properties = LiveProperties {
            reply,
            headers: self.headers(item),
        };
        Message::new(MessageParts {
            origin: self.origin,
            topic: self.topic.as_str().as_bytes(),
            key: self.key(item),
            properties: &properties.encoded(),
            body: Body::Copied(self.body(item)),
            durable: true,
            priority: None,
            ttl: None,
            deaths: None,
        })
    }

    #[inline]
    fn part(&self, from: u32, len: u32) -> &[u8] {
        let from = from as usize;
        self.bytes
            .get(from..from + len as usize)
            .unwrap_or_default()
    }
}

/// The property bytes of a message that was published live: nothing if it has neither reply nor headers, else
///
/// ```text
/// reply length u16 LE | reply | headers as they came
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LiveProperties<'a> {
    /// The key to answer to; empty if there is none.
    pub reply: &'a [u8],
    /// The headers as their protocol writes them; empty if there are none.
    pub headers: &'a [u8],
}

impl<'a> LiveProperties<'a> {
    /// As bytes. A reply is cut at 65,535.
    #[must_use]
    pub fn encoded(&self) -> Vec<u8> {
        if self.reply.is_empty() && self.headers.is_empty() {
            return Vec::new();
        }
        let reply = self.reply.get(..65_535).unwrap_or(self.reply);
        [&(reply.len() as u16).to_le_bytes()[..], reply, self.headers].concat()
    }

    /// From bytes; of what is no such thing, nothing.
    #[must_use]
    pub fn decoded(bytes: &'a [u8]) -> Self {
        let split = bytes
            .split_first_chunk()
            .and_then(|(len, rest)| rest.split_at_checked(u16::from_le_bytes(*len).into()));
        let (reply, headers) = split.unwrap_or_default();
        Self { reply, headers }
    }
}

/// Which keys a live subscriber wants: words between dots, some of them open.
///
/// It is made word by word, so that what is a wildcard in one protocol and a letter in another is what it was meant to be.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct LiveFilter {
    /// The exact words joined by dots; an open one is empty.
    text: Vec<u8>,
    /// Which words are open, rising.
    open: Vec<u32>,
    len: u32,
    rest: bool,
}

/// What a filter takes beside its text,
const FILTER_BYTES: usize = 256;
/// and each word of an open one.
const WORD_BYTES: usize = 128;

/// A word of a filter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FilterWord<'a> {
    /// This word.
    Exact(&'a [u8]),
    /// Any one word.
    AnyOne,
    /// One word or more, whatever they are. The last of its filter.
    Rest,
}

impl LiveFilter {
    /// A filter of those words; a single empty one stands for the empty key. Words behind [`FilterWord::Rest`] do not count.
    pub fn new<'a>(words: impl IntoIterator<Item = FilterWord<'a>>) -> Self {
        let mut filter = Self::default();
        for word in words {
            if word == FilterWord::Rest {
                filter.rest = true;
                break;
            }
            if filter.len > 0 {
                filter.text.push(b'.');
            }
            match word {
                FilterWord::Exact(word) => filter.text.extend_from_slice(word),
                _ => filter.open.push(filter.len),
            }
            filter.len += 1;
        }
        if filter.text.is_empty() && filter.open.is_empty() && !filter.rest {
            // One empty word is the key that has no words.
            filter.len = 0;
        }
        filter.text.shrink_to_fit();
        filter.open.shrink_to_fit();
        filter
    }

    /// A filter for one key, whatever its letters.
    #[must_use]
    pub fn exact(key: &[u8]) -> Self {
        Self {
            text: key.to_vec(),
            open: Vec::new(),
            len: u32::from(!key.is_empty()),
            rest: false,
        }
    }

    /// About how many bytes of memory it takes to find the messages that it lets through, whatever its letters.
    #[must_use]
    pub fn memory_size(&self) -> usize {
        // Its text stands in the filter, where it is looked up, and with whoever asked for it; each word of an open one
        // is a node with an edge.
        let words = if self.as_key().is_some() {
            0
        } else {
            self.len as usize + 1
        };
        FILTER_BYTES + 4 * self.text.len() + 4 * self.open.len() + WORD_BYTES * words
    }

    /// The key, if it is the only one that fits.
    #[must_use]
    pub fn as_key(&self) -> Option<&[u8]> {
        (self.open.is_empty() && !self.rest).then_some(&*self.text)
    }

    /// Its words.
    pub fn words(&self) -> impl Iterator<Item = FilterWord<'_>> {
        let mut open = self.open.iter().copied().peekable();
        let words = self.text.split(|byte| *byte == b'.');
        let words = words.take(if self.len == 0 { 0 } else { usize::MAX });
        let words = (0_u32..).zip(words).map(move |(at, word)| {
            let is_open = open.next_if_eq(&at).is_some();
            if is_open {
                FilterWord::AnyOne
            } else {
                FilterWord::Exact(word)
            }
        });
        words.chain(self.rest.then_some(FilterWord::Rest))
    }

    /// What every key that fits begins with.
    #[must_use]
    pub fn prefix(&self) -> &[u8] {
        let Some(open) = self.open.first() else {
            return &self.text;
        };
        let mut dots = self.text.iter().enumerate();
        let mut dots = dots.by_ref().filter(|(_, byte)| **byte == b'.');
        let end = open.checked_sub(1).and_then(|before| {
            let (at, _) = dots.nth(before as usize)?;
            Some(at + 1)
        });
        self.text.get(..end.unwrap_or(0)).unwrap_or_default()
    }

    /// Whether some key fits both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let (mut ours, mut theirs) = (self.words(), other.words());
        loop {
            match (ours.next(), theirs.next()) {
                (None, None)
                | (Some(FilterWord::Rest), Some(_))
                | (Some(_), Some(FilterWord::Rest)) => return true,
                (Some(FilterWord::Exact(one)), Some(FilterWord::Exact(two))) if one != two => {
                    return false;
                }
                (Some(_), Some(_)) => {}
                _ => return false,
            }
        }
    }

    /// Whether all keys fit that fit the other.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let (mut ours, mut theirs) = (self.words(), other.words());
        loop {
            match (ours.next(), theirs.next()) {
                (Some(FilterWord::Rest), Some(_)) | (None, None) => return true,
                (Some(FilterWord::AnyOne), Some(FilterWord::AnyOne | FilterWord::Exact(_))) => {}
                (Some(FilterWord::Exact(one)), Some(FilterWord::Exact(two))) if one == two => {}
                _ => return false,
            }
        }
    }

    /// Whether a key fits. An empty key has no words.
    #[must_use]
    pub fn fits(&self, key: &[u8]) -> bool {
        let mut words = key.split(|byte| *byte == b'.');
        if key.is_empty() {
            words.next();
        }
        for wanted in self.words() {
            let fits = match (wanted, words.next()) {
                (FilterWord::Rest, Some(_)) => return true,
                (FilterWord::AnyOne, Some(_)) => true,
                (FilterWord::Exact(wanted), Some(word)) => wanted == word,
                (_, None) => false,
            };
            if !fits {
                return false;
            }
        }
        words.next().is_none()
    }
}

/// A live subscription to make.
#[derive(Clone, Debug)]
pub struct SubscribeLive {
    /// The session's number for it, unique among its live subscribers.
    pub subscriber: SubscriberId,
    /// The topic.
    pub topic: Name,
    /// Which keys of it.
    pub filter: LiveFilter,
    /// Of the subscribers that share under one name, one gets each message.
    pub share: Option<Bytes>,
    /// It gets what its own session publishes, too.
    pub echo: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> LiveFilter {
        LiveFilter::new(text.split('.').map(|word| match word {
            "*" => FilterWord::AnyOne,
            ">" => FilterWord::Rest,
            word => FilterWord::Exact(word.as_bytes()),
        }))
    }

    #[test]
    fn filters_fit_by_words() {
        let cases = [
            ("a.b", "a.b", true),
            ("a.b", "a.c", false),
            ("a.b", "a.b.c", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("a.*.c", "a.b.c", true),
            ("a.>", "a", false),
            ("a.>", "a.b", true),
            ("a.>", "a.b.c", true),
            (">", "a", true),
            (">", "", false),
            ("*.#", "a.#", true),
            ("*.#", "a.b", false),
            ("a..b", "a..b", true),
        ];
        for (text, key, fits) in cases {
            assert_eq!(filter(text).fits(key.as_bytes()), fits, "{text} {key}");
        }
        assert_eq!(filter("a.*").as_key(), None);
        assert_eq!(filter("a.b").as_key(), Some(&b"a.b"[..]));
        assert!(LiveFilter::exact(b"a.*").fits(b"a.*"));
        assert!(!LiveFilter::exact(b"a.*").fits(b"a.b"));
        assert!(LiveFilter::exact(b"").fits(b"") && LiveFilter::default().fits(b""));
    }

    #[test]
    fn filters_compare() {
        for (one, two, overlaps, covers) in [
            ("a.b", "a.b", true, true),
            ("a.*", "a.b", true, true),
            ("a.b", "a.*", true, false),
            ("a.>", "a.*.c", true, true),
            ("a.*.c", "a.>", true, false),
            ("a.*", "*.b", true, false),
            ("a.*", "a.b.c", false, false),
            (">", "x.y", true, true),
            ("*", ">", true, false),
        ] {
            assert_eq!(filter(one).overlaps(&filter(two)), overlaps, "{one} {two}");
            assert_eq!(filter(two).overlaps(&filter(one)), overlaps, "{two} {one}");
            assert_eq!(filter(one).covers(&filter(two)), covers, "{one} {two}");
        }
        for (text, prefix) in [
            ("a.b", "a.b"),
            ("a.*.c", "a."),
            ("a.b.>", "a.b"),
            ("*.a", ""),
            (">", ""),
        ] {
            assert_eq!(filter(text).prefix(), prefix.as_bytes(), "{text}");
        }
    }

    #[test]
    fn an_item_is_offsets_into_its_block() {
        let bytes = Bytes::from_static(b"HPUB a.b re 3 5\r\nH:1hi\r\n");
        let item = LiveItem::new(5..8, 20..22)
            .with_reply(9..11)
            .with_headers(3)
            .with_rest(9)
            .wanting(LiveItem::WANTS_UNHEARD);
        let topic = Name::new("amq.topic").unwrap();
        let block = LiveBlock::new(Origin(9), topic, bytes, vec![item]);
        let item = block.item(0).unwrap();
        assert_eq!(block.key(item), b"a.b");
        assert_eq!(block.reply(item), b"re");
        assert_eq!(block.headers(item), b"H:1");
        assert_eq!(block.body(item), b"hi");
        assert_eq!(&block.shared_body(item)[..], b"hi");
        assert_eq!(block.rest(item, 2), b"re 3 5\r\nH:1hi\r\n");
        assert_eq!(item.len(), 10);
        let message = block.message(item);
        assert_eq!(message.key(), b"a.b");
        assert_eq!(message.body(), b"hi");
        let properties = LiveProperties::decoded(message.properties());
        assert_eq!(
            (properties.reply, properties.headers),
            (&b"re"[..], &b"H:1"[..])
        );
    }

    #[test]
    fn what_lies_outside_of_a_block_is_nothing() {
        let item = LiveItem::new(5..9, 2..100).with_headers(50).with_rest(90);
        let topic = Name::empty();
        let block = LiveBlock::new(Origin(9), topic, Bytes::from_static(b"short"), vec![item]);
        let item = block.item(0).unwrap();
        assert!(block.key(item).is_empty() && block.body(item).is_empty());
        assert!(block.headers(item).is_empty() && block.rest(item, 2).is_empty());
        assert!(block.shared_body(item).is_empty() && block.item(1).is_none());
        for bytes in [&b""[..], b"\x01", b"\x09\x00abc"] {
            assert_eq!(LiveProperties::decoded(bytes), LiveProperties::default());
        }
    }
}
