//! Publishes made beforehand: a ring of PUB lines and bodies, of which only the stamps change.
//!
//! ```text
//! [PUB bench.core 16\r\n | stamp 8 | ... |\r\n][PUB ...]      stamp: | publisher 2 | number 6 |, its highest bit: the last
//! ```
//! Where subjects or replies are to be new each time, ten digits in them are the number too.

use crate::error::BenchError;

/// A ring has about this many bytes: so much goes out by one write.
const RING_BYTES: usize = 128 << 10;

/// The least that a body has to hold.
pub(crate) const STAMP_BYTES: usize = 8;

const NUMBER_BITS: u32 = 48;
const LAST: u64 = 1 << 47;

/// How many digits there are in what is new each time.
pub(crate) const DIGITS: usize = 10;

/// What marks their place.
pub(crate) const FRESH: &str = "##########";

/// Which message of which publisher.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    pub(crate) publisher: u16,
    /// Of the last, which is counted no more: how many came before it.
    pub(crate) number: u64,
    pub(crate) is_last: bool,
}

impl Stamp {
    const fn bits(self) -> u64 {
        let last = if self.is_last { LAST } else { 0 };
        (self.publisher as u64) << NUMBER_BITS | last | self.number
    }

    /// Reads it from a body.
    #[inline]
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let bits = u64::from_be_bytes(*body.first_chunk()?);
        Some(Self {
            publisher: (bits >> NUMBER_BITS) as u16,
            number: bits & (LAST - 1),
            is_last: bits & LAST != 0,
        })
    }
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    end: usize,
    body: usize,
    fresh: Option<usize>,
}

/// The ring of one publisher.
#[derive(Debug)]
pub(crate) struct Ring {
    publisher: u16,
    bytes: Vec<u8>,
    slots: Vec<Slot>,
}

impl Ring {
    /// A ring of messages with bodies of this size, at most so many; `address` tells subject and reply of each.
    pub(crate) fn new(
        publisher: u16,
        body_bytes: usize,
        messages_max: usize,
        address: impl Fn(usize) -> String,
    ) -> Result<Self, BenchError> {
        if body_bytes < STAMP_BYTES {
            let what = format!("a body of {body_bytes} bytes has no room for a stamp");
            return Err(BenchError::Usage(what));
        }
        let mut ring = Self {
            publisher,
            bytes: Vec::with_capacity(RING_BYTES * 2),
            slots: Vec::new(),
        };
        while ring.slots.len() < messages_max.max(1) {
            if !ring.slots.is_empty() && ring.bytes.len() + body_bytes > RING_BYTES {
                break;
            }
            let line = format!("PUB {} {body_bytes}\r\n", address(ring.slots.len()));
            let fresh = line.find(FRESH).map(|at| ring.bytes.len() + at);
            ring.bytes.extend_from_slice(line.as_bytes());
            let body = ring.bytes.len();
            ring.bytes.resize(body + body_bytes, b'x');
            ring.bytes.extend_from_slice(b"\r\n");
            ring.slots.push(Slot {
                end: ring.bytes.len(),
                body,
                fresh,
            });
        }
        Ok(ring)
    }

    /// How many messages it holds.
    pub(crate) const fn len(&self) -> usize {
        self.slots.len()
    }

    /// The bytes of at most so many messages, from its beginning, numbered from there on.
    pub(crate) fn stamped(&mut self, first: u64, count: usize) -> &[u8] {
        self.put(first, count, false)
    }

    /// The last message, of which all have to come after so many.
    pub(crate) fn last(&mut self, count: u64) -> &[u8] {
        self.put(count, 1, true)
    }

    fn put(&mut self, first: u64, count: usize, is_last: bool) -> &[u8] {
        let mut end = 0;
        for (slot, number) in self.slots.iter().take(count).zip(first..) {
            let stamp = Stamp {
                publisher: self.publisher,
                number,
                is_last,
            };
            if let Some(place) = self.bytes.get_mut(slot.body..slot.body + STAMP_BYTES) {
                place.copy_from_slice(&stamp.bits().to_be_bytes());
            }
            if let Some(at) = slot.fresh
                && let Some(place) = self.bytes.get_mut(at..at + DIGITS)
            {
                put_digits(place, number);
            }
            end = slot.end;
        }
        self.bytes.get(..end).unwrap_or_default()
    }
}

/// Writes a number in decimal digits, as many as there is room for.
pub(crate) fn put_digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::{Said, next};
    use super::*;

    #[test]
    fn stamps_and_fresh_digits_are_written_into_each() {
        let mut ring = Ring::new(3, 16, 4, |index| format!("a.{index} r.{FRESH}")).unwrap();
        assert_eq!(ring.len(), 4);
        // As a server would send it.
        let sent = ring.stamped(41, 2).to_vec();
        let text = String::from_utf8_lossy(&sent).into_owned();
        assert!(text.contains("PUB a.0 r.0000000041 16\r\n"), "{text}");
        assert!(text.contains("PUB a.1 r.0000000042 16\r\n"), "{text}");
        let told = [b"MSG a 1 16\r\n", &ring.last(7)[text.len() / 2 - 18..]].concat();
        let Ok(Some((Said::Message(message), _))) = next(&told) else {
            panic!("no message");
        };
        let stamp = Stamp::read(message.body).unwrap();
        assert_eq!((stamp.publisher, stamp.number, stamp.is_last), (3, 7, true));
    }

    #[test]
    fn a_ring_is_filled_but_for_what_is_greater_than_itself() {
        assert!(Ring::new(0, 16, usize::MAX, |_| "a".into()).unwrap().len() > 3000);
        assert_eq!(
            Ring::new(0, 1 << 20, usize::MAX, |_| "a".into())
                .unwrap()
                .len(),
            1
        );
        assert!(Ring::new(0, 7, 1, |_| "a".into()).is_err());
    }
}
