//! A stream's messages as one file: what `STREAM.SNAPSHOT` sends in chunks, and `STREAM.RESTORE` reads in others.
//!
//! ```text
//! archive = MAGIC | entries, each: tag u8 | length u32 | payload
//!   1 message: offset u64 | time u64 | flags u8 (1 ttl, 2 ends its subject) | [ttl u64] | subject length u16 |
//!              headers length u32 | subject | headers | body
//!   0 the end: next offset u64 | messages u64 | FNV-1a of all before this number u64
//! around it, as the command line of NATS reads along: identifier, then frames of S2 that are not compressed, each:
//!   1 u8 | length u24 (with the checksum) | masked CRC-32C u32 | up to 64 KiB
//! ```
//! Numbers are little-endian. It is this broker's own: clients keep it unread. What always holds: nothing is believed before
//! its bytes are there, and what does not fit is refused with words.

use bytes::{Buf, BytesMut};
use polybus_model::{Body, LiveProperties, Marks, Message, MessageParts, Millis, Name};

use crate::ORIGIN;
use crate::codec::is_literal;

const IDENTIFIER: &[u8] = b"\xff\x06\x00\x00S2sTwO";
const PLAIN_FRAME: u8 = 1;
const FRAME_HEAD_LEN: usize = 8;
const FRAME_BYTES_MAX: usize = 64 * 1024;
const MAGIC: &[u8] = b"Polybus stream 1\n";
const END: u8 = 0;
const MESSAGE: u8 = 1;
const TTL: u8 = 1;
const ENDS: u8 = 2;
/// Tag and length.
const HEAD_LEN: usize = 5;
const END_LEN: usize = 24;
/// No entry is longer.
const ENTRY_LEN_MAX: usize = 65 << 20;

/// The checksum of a frame: CRC-32C, masked as S2 does.
fn checksum(bytes: &[u8]) -> u32 {
    let crc = bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    });
    (!crc).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The hash of what went through.
#[derive(Clone, Copy, Debug)]
struct Sum(u64);

impl Sum {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// Puts an archive together.
#[derive(Debug)]
pub(crate) struct ArchiveWriter {
    /// What is not framed yet, and what is.
    plain: BytesMut,
    bytes: BytesMut,
    sum: Sum,
    messages: u64,
}

impl ArchiveWriter {
    pub(crate) fn new() -> Self {
        let mut writer = Self {
            plain: BytesMut::new(),
            bytes: BytesMut::from(IDENTIFIER),
            sum: Sum::new(),
            messages: 0,
        };
        writer.put(&[MAGIC]);
        writer
    }

    fn put(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.sum.add(part);
            self.plain.extend_from_slice(part);
        }
        while self.plain.len() >= FRAME_BYTES_MAX {
            self.frame();
        }
    }

    /// Frames what there is, as much as fits.
    fn frame(&mut self) {
        let len = self.plain.len().min(FRAME_BYTES_MAX);
        let frame = self.plain.split_to(len);
        let [low, mid, high, _] = (len as u32 + 4).to_le_bytes();
        self.bytes.extend_from_slice(&[PLAIN_FRAME, low, mid, high]);
        self.bytes
            .extend_from_slice(&checksum(&frame).to_le_bytes());
        self.bytes.extend_from_slice(&frame);
    }

    /// Adds a message, with the headers that it has for this protocol.
    pub(crate) fn message(
        &mut self,
        (offset, time): (u64, Millis),
        message: &Message,
        headers: &[u8],
    ) {
        let ends = if message.marks().ends_key { ENDS } else { 0 };
        let flags = message.ttl().map_or(0, |_| TTL) | ends;
        let mut head = Vec::with_capacity(64);
        head.extend_from_slice(&offset.to_le_bytes());
        head.extend_from_slice(&time.to_le_bytes());
        head.push(flags);
        if let Some(ttl) = message.ttl() {
            head.extend_from_slice(&ttl.to_le_bytes());
        }
        head.extend_from_slice(&(message.key().len() as u16).to_le_bytes());
        head.extend_from_slice(&(headers.len() as u32).to_le_bytes());
        let (key, body) = (message.key(), message.body());
        let len = head.len() + key.len() + headers.len() + body.len();
        let len = (len as u32).to_le_bytes();
        self.put(&[&[MESSAGE], &len, &head, key, headers, body]);
        self.messages += 1;
    }

    /// Adds the end.
    pub(crate) fn end(&mut self, next: u64) {
        let len = (END_LEN as u32).to_le_bytes();
        let numbers = [next, self.messages].map(u64::to_le_bytes);
        self.put(&[&[END], &len, numbers.as_flattened()]);
        self.plain.extend_from_slice(&self.sum.0.to_le_bytes());
        while !self.plain.is_empty() {
            self.frame();
        }
    }

    /// How much there is that was not taken.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes up to so many bytes.
    pub(crate) fn take(&mut self, most: usize) -> BytesMut {
        let len = most.min(self.bytes.len());
        self.bytes.split_to(len)
    }
}

/// A message out of an archive.
#[derive(Clone, Debug)]
pub(crate) struct Archived {
    pub(crate) offset: u64,
    pub(crate) time: Millis,
    pub(crate) message: Message,
}

/// Takes an archive apart.
#[derive(Debug)]
pub(crate) struct ArchiveReader {
    stream: Name,
    /// What is in frames, and what was taken out of them.
    framed: BytesMut,
    bytes: BytesMut,
    is_identified: bool,
    sum: Sum,
    messages: u64,
    /// Offsets rise.
    next: u64,
    is_begun: bool,
    /// The offset that the next message gets, once the end was read.
    end: Option<u64>,
}

impl ArchiveReader {
    /// Of messages for that stream.
    pub(crate) fn new(stream: Name) -> Self {
        Self {
            stream,
            framed: BytesMut::new(),
            bytes: BytesMut::new(),
            is_identified: false,
            sum: Sum::new(),
            messages: 0,
            next: 0,
            is_begun: false,
            end: None,
        }
    }

    /// The offset behind all, if the archive was whole.
    pub(crate) fn end(&self) -> Result<u64, String> {
        let end = self.end.ok_or("the archive ends too early");
        Ok(end?)
    }

    /// Takes the next bytes, and what messages are whole by them.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<Vec<Archived>, String> {
        self.framed.extend_from_slice(bytes);
        if !self.is_identified {
            if !skip(&mut self.framed, IDENTIFIER)? {
                return Ok(Vec::new());
            }
            self.is_identified = true;
        }
        while self.unframe()? {}
        if !self.is_begun {
            if !skip(&mut self.bytes, MAGIC)? {
                return Ok(Vec::new());
            }
            self.is_begun = true;
            self.sum.add(MAGIC);
        }
        let mut read = Vec::new();
        while let Some(one) = self.entry()? {
            read.extend(one);
        }
        if self.end.is_some() && !self.framed.is_empty() {
            return Err("the archive is followed by other bytes".to_owned());
        }
        Ok(read)
    }

    /// Takes the next bytes out of their frame; false if it is not whole.
    fn unframe(&mut self) -> Result<bool, String> {
        if self.end.is_some() {
            return Ok(false);
        }
        let Some((&[tag, low, mid, high, ref sum @ ..], rest)) =
            self.framed.split_first_chunk::<FRAME_HEAD_LEN>()
        else {
            return Ok(false);
        };
        let len = u32::from_le_bytes([low, mid, high, 0]) as usize;
        let len = len.checked_sub(4).filter(|len| *len <= FRAME_BYTES_MAX);
        let Some(len) = len.filter(|_| tag == PLAIN_FRAME) else {
            return Err(FOREIGN.to_owned());
        };
        let Some(frame) = rest.get(..len) else {
            return Ok(false);
        };
        if checksum(frame).to_le_bytes() != *sum {
            return Err(format!(
                "the archive is damaged behind message {}",
                self.messages
            ));
        }
        self.bytes.extend_from_slice(frame);
        self.framed.advance(FRAME_HEAD_LEN + len);
        Ok(true)
    }

    /// The next entry, if it is whole: a message, or the end.
    fn entry(&mut self) -> Result<Option<Option<Archived>>, String> {
        let damaged = || format!("the archive is damaged behind message {}", self.messages);
        if self.end.is_some() && !self.bytes.is_empty() {
            return Err("the archive is followed by other bytes".to_owned());
        }
        let Some((&[tag, ref len_bytes @ ..], rest)) = self.bytes.split_first_chunk::<HEAD_LEN>()
        else {
            return Ok(None);
        };
        let len = u32::from_le_bytes(*len_bytes) as usize;
        if len > ENTRY_LEN_MAX || (tag == END && len != END_LEN) || tag > MESSAGE {
            return Err(damaged());
        }
        let Some(payload) = rest.get(..len) else {
            return Ok(None);
        };
        if tag == END {
            let (numbers, sum) = payload.split_at_checked(END_LEN - 8).ok_or_else(damaged)?;
            for part in [&[END][..], len_bytes, numbers] {
                self.sum.add(part);
            }
            let (numbers, _) = numbers.as_chunks::<8>();
            let [next, messages] = numbers else {
                return Err(damaged());
            };
            let [next, messages] = [next, messages].map(|one| u64::from_le_bytes(*one));
            let is_whole = messages == self.messages && sum == self.sum.0.to_le_bytes();
            if !is_whole || next < self.next {
                return Err(damaged());
            }
            self.end = Some(next);
            self.bytes.advance(HEAD_LEN + len);
            return Ok(Some(None));
        }
        let archived = message(&self.stream, payload);
        let archived = archived.filter(|one| one.offset >= self.next);
        let archived = archived.ok_or_else(damaged)?;
        self.next = archived.offset.checked_add(1).ok_or_else(damaged)?;
        self.sum
            .add(self.bytes.get(..HEAD_LEN + len).unwrap_or_default());
        self.messages += 1;
        self.bytes.advance(HEAD_LEN + len);
        Ok(Some(Some(archived)))
    }
}

/// What is told of an archive that another server made.
const FOREIGN: &str =
    "this is no archive of a Polybus stream; messages of other servers' come by a mirror or a copy";

/// Takes what all archives begin with; false if it is not all there.
fn skip(bytes: &mut BytesMut, beginning: &[u8]) -> Result<bool, String> {
    let len = bytes.len().min(beginning.len());
    if bytes.get(..len) != beginning.get(..len) {
        return Err(FOREIGN.to_owned());
    }
    if len < beginning.len() {
        return Ok(false);
    }
    bytes.advance(len);
    Ok(true)
}

/// Reads a message's entry.
fn message(stream: &Name, payload: &[u8]) -> Option<Archived> {
    let (offset, rest) = payload.split_first_chunk::<8>()?;
    let (time, rest) = rest.split_first_chunk::<8>()?;
    let (flags, rest) = rest.split_first()?;
    let (ttl, rest) = match flags & TTL {
        0 => (None, rest),
        _ => {
            let (ttl, rest) = rest.split_first_chunk::<8>()?;
            (Some(u64::from_le_bytes(*ttl)), rest)
        }
    };
    let (subject_len, rest) = rest.split_first_chunk::<2>()?;
    let (headers_len, rest) = rest.split_first_chunk::<4>()?;
    let (subject, rest) = rest.split_at_checked(u16::from_le_bytes(*subject_len).into())?;
    let (headers, body) = rest.split_at_checked(u32::from_le_bytes(*headers_len) as usize)?;
    if flags & !(TTL | ENDS) != 0 || !is_literal(subject) {
        return None;
    }
    let properties = LiveProperties {
        reply: b"",
        headers,
    };
    let parts = MessageParts {
        origin: ORIGIN,
        topic: stream.as_str().as_bytes(),
        key: subject,
        properties: &properties.encoded(),
        body: Body::Copied(body),
        durable: true,
        priority: None,
        ttl,
        deaths: None,
    };
    let marks = Marks {
        ends_key: flags & ENDS != 0,
        ..Marks::default()
    };
    Some(Archived {
        offset: u64::from_le_bytes(*offset),
        time: u64::from_le_bytes(*time),
        message: Message::marked(parts, marks),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> Vec<u8> {
        let stream = Name::new("S").unwrap();
        let mut writer = ArchiveWriter::new();
        for offset in [3_u64, 4, 9] {
            let parts = MessageParts {
                origin: ORIGIN,
                topic: stream.as_str().as_bytes(),
                key: b"a.b",
                properties: b"",
                body: Body::Copied(b"body"),
                durable: true,
                priority: None,
                ttl: (offset == 4).then_some(5_000),
                deaths: None,
            };
            writer.message(
                (offset, 70),
                &Message::new(parts),
                b"NATS/1.0\r\nA: b\r\n\r\n",
            );
        }
        writer.end(12);
        writer.take(usize::MAX).to_vec()
    }

    fn reader() -> ArchiveReader {
        ArchiveReader::new(Name::new("S").unwrap())
    }

    #[test]
    fn an_archive_is_read_however_it_is_cut() {
        let bytes = archive();
        for cut in [1, 7, 40, bytes.len()] {
            let mut reader = reader();
            let mut read = Vec::new();
            for chunk in bytes.chunks(cut) {
                assert!(reader.end().is_err());
                read.extend(reader.read(chunk).unwrap());
            }
            let offsets: Vec<u64> = read.iter().map(|one| one.offset).collect();
            assert_eq!((offsets, reader.end()), (vec![3, 4, 9], Ok(12)));
            let one = &read[1].message;
            assert_eq!(
                (one.key(), one.body(), one.ttl()),
                (&b"a.b"[..], &b"body"[..], Some(5_000))
            );
        }
    }

    #[test]
    fn what_is_damaged_or_foreign_is_refused() {
        let bytes = archive();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x11;
            let mut reader = reader();
            let is_refused = reader.read(&damaged).is_err() || reader.end().is_err();
            assert!(is_refused, "byte {at}");
        }
        let mut more = bytes.clone();
        more.push(0);
        assert!(reader().read(&more).is_err());
        for foreign in [
            &b"\xff\x06\x00\x00S2sTwO\x00\x08\x00\x00cccc1234"[..],
            b"PK\x03\x04",
        ] {
            let error = reader().read(foreign).unwrap_err();
            assert!(error.contains("no archive of a Polybus stream"), "{error}");
        }
    }

    #[test]
    fn checksums_are_those_of_others() {
        // CRC-32C of "123456789" is e3069283; masked it is that rotated by 15 bits and a constant more.
        assert_eq!(
            checksum(b"123456789"),
            0xe306_9283_u32.rotate_right(15).wrapping_add(0xa282_ead8)
        );
    }
}
