//! Publishes made beforehand: a ring of frames, of which only the stamp in each body changes.
//!
//! ```text
//! bytes: [ publish | header | body ][ publish | header | body ] ...      slot: where it ends, its stamp, its lane
//! stamp: | publisher 2 | number in its lane 6 | sent at, ns 8 |          as far as the body has room
//! ```
//! A lane is what keeps an order: the messages of a publisher to one queue (or to all, by a fanout exchange).

use bytes::BytesMut;
use polybus_amqp091::codec::{
    BasicPublish, Properties, TableRef, encode_table, write_body, write_header, write_method,
};

use crate::topology::{EXCHANGE, header_table, queue_name, topic_key};
use crate::workload::{Routing, Workload};

/// A ring has about this many bytes, or one of each message if that is more.
const RING_BYTES: usize = 128 * 1024;

const NUMBER_BITS: u32 = 48;

/// Who published a message and which of its lane it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    pub(crate) publisher: u16,
    pub(crate) number: u64,
}

impl Stamp {
    #[inline]
    const fn to_bits(self) -> u64 {
        (self.publisher as u64) << NUMBER_BITS | self.number
    }

    /// Reads the stamp of a body, if the body has room for one.
    #[inline]
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let bits = u64::from_be_bytes(*body.first_chunk()?);
        Some(Self {
            publisher: (bits >> NUMBER_BITS) as u16,
            number: bits & ((1 << NUMBER_BITS) - 1),
        })
    }

    /// Reads when the message was sent, if its body has room for that.
    #[inline]
    pub(crate) fn read_sent_ns(body: &[u8]) -> Option<u64> {
        let (_, rest) = body.split_first_chunk::<8>()?;
        Some(u64::from_be_bytes(*rest.first_chunk()?))
    }
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    end: usize,
    body: usize,
    lane: u32,
}

#[derive(Debug)]
pub(crate) struct Ring {
    bytes: Vec<u8>,
    slots: Vec<Slot>,
    cursor: usize,
    /// The next number of each lane.
    numbers: Vec<u64>,
    publisher: u16,
    stamp_bytes: usize,
}

impl Ring {
    pub(crate) fn new(workload: &Workload, publisher: u16, frame_max: u32) -> Self {
        let mut ring = Self {
            bytes: Vec::new(),
            slots: Vec::new(),
            cursor: 0,
            numbers: vec![0; lanes(workload)],
            publisher,
            stamp_bytes: match workload.body_bytes {
                0..8 => 0,
                8..16 => 8,
                _ => 16,
            },
        };
        let mut out = BytesMut::new();
        let body = vec![b'x'; workload.body_bytes];
        while out.len() < RING_BYTES {
            let before = ring.slots.len();
            ring.append_all(&mut out, workload, &body, frame_max);
            if ring.slots.len() == before {
                break;
            }
        }
        ring.bytes = out.to_vec();
        ring
    }

    /// Appends one of each message that this publisher sends.
    fn append_all(&mut self, out: &mut BytesMut, workload: &Workload, body: &[u8], frame_max: u32) {
        let queues = workload.queues.max(1);
        match workload.routing {
            Routing::Direct => {
                for queue in workload.share(self.publisher.into(), workload.publishers) {
                    let key = queue_name(queue);
                    let publish = BasicPublish {
                        routing_key: key.as_str().into(),
                        ..BasicPublish::default()
                    };
                    self.append(out, workload, queue, &publish, None, body, frame_max);
                }
            }
            Routing::Fanout => {
                let publish = BasicPublish {
                    exchange: EXCHANGE.into(),
                    ..BasicPublish::default()
                };
                self.append(out, workload, 0, &publish, None, body, frame_max);
            }
            Routing::Topic { bindings } => {
                for index in 0..bindings {
                    let key = topic_key(index);
                    let publish = BasicPublish {
                        exchange: EXCHANGE.into(),
                        routing_key: key.as_str().into(),
                        ..BasicPublish::default()
                    };
                    let lane = index % queues;
                    self.append(out, workload, lane, &publish, None, body, frame_max);
                }
            }
            Routing::Headers { bindings } => {
                for index in 0..bindings {
                    let publish = BasicPublish {
                        exchange: EXCHANGE.into(),
                        ..BasicPublish::default()
                    };
                    let headers = encode_table(&header_table(index));
                    let headers = Some(TableRef::new(&headers));
                    let lane = index % queues;
                    self.append(out, workload, lane, &publish, headers, body, frame_max);
                }
            }
        }
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "all of them are parts of one message"
    )]
    fn append(
        &mut self,
        out: &mut BytesMut,
        workload: &Workload,
        lane: u32,
        publish: &BasicPublish<'_>,
        headers: Option<TableRef<'_>>,
        body: &[u8],
        frame_max: u32,
    ) {
        let mut properties = BytesMut::new();
        Properties {
            headers,
            delivery_mode: Some(if workload.persistent { 2 } else { 1 }),
            ..Properties::default()
        }
        .encode(&mut properties);
        write_method(out, 1, publish);
        let properties = polybus_amqp091::codec::PropertiesRef::new(&properties);
        write_header(out, 1, body.len() as u64, properties);
        // The first body frame's payload comes after its head of seven.
        let at = out.len() + 7;
        write_body(out, 1, body, frame_max);
        self.slots.push(Slot {
            end: out.len(),
            body: at,
            lane,
        });
    }

    /// About how many bytes a message has on the wire.
    pub(crate) fn message_bytes(&self) -> usize {
        self.bytes.len() / self.slots.len().max(1)
    }

    /// Stamps the next messages, at most `most` and up to the ring's end, and gives how many and their bytes. `sent_ns` says
    /// when each was sent.
    #[inline]
    pub(crate) fn next_run(
        &mut self,
        most: usize,
        mut sent_ns: impl FnMut(usize) -> u64,
    ) -> (usize, &[u8]) {
        let count = most.min(self.slots.len() - self.cursor);
        let begin = match self.cursor.checked_sub(1) {
            Some(before) => self.slots.get(before).map_or(0, |slot| slot.end),
            None => 0,
        };
        let slots = self.slots.get(self.cursor..self.cursor + count);
        let slots = slots.unwrap_or_default();
        let end = slots.last().map_or(begin, |slot| slot.end);
        for (index, slot) in slots.iter().enumerate() {
            let Some(number) = self.numbers.get_mut(slot.lane as usize) else {
                continue;
            };
            let stamp = Stamp {
                publisher: self.publisher,
                number: *number,
            };
            *number += 1;
            let mut stamp_bytes = [0; 16];
            let (first, second) = stamp_bytes.split_at_mut(8);
            first.copy_from_slice(&stamp.to_bits().to_be_bytes());
            second.copy_from_slice(&sent_ns(index).to_be_bytes());
            let room = self.bytes.get_mut(slot.body..slot.body + self.stamp_bytes);
            if let (Some(room), Some(stamp)) = (room, stamp_bytes.get(..self.stamp_bytes)) {
                room.copy_from_slice(stamp);
            }
        }
        self.cursor = (self.cursor + count) % self.slots.len().max(1);
        (count, self.bytes.get(begin..end).unwrap_or_default())
    }

    /// How many messages were sent in each lane.
    pub(crate) fn into_numbers(self) -> Vec<u64> {
        self.numbers
    }
}

/// How many lanes a publisher has.
pub(crate) fn lanes(workload: &Workload) -> usize {
    match workload.routing {
        Routing::Fanout => 1,
        _ => workload.queues.max(1) as usize,
    }
}

#[cfg(test)]
mod tests {
    use polybus_amqp091::codec::{Frame, Frames};

    use super::*;

    fn bodies(bytes: &[u8]) -> Vec<(Stamp, u64)> {
        let mut frames = Frames::new(bytes, 4096);
        let mut found = Vec::new();
        while let Some(frame) = frames.next_frame().unwrap() {
            if let Frame::Body { bytes, .. } = frame {
                found.push((
                    Stamp::read(bytes).unwrap(),
                    Stamp::read_sent_ns(bytes).unwrap(),
                ));
            }
        }
        assert_eq!(frames.consumed(), bytes.len());
        found
    }

    #[test]
    fn numbers_go_on_over_the_ring_s_end() {
        let workload = Workload {
            publishers: 4,
            ..Workload::default()
        };
        let mut ring = Ring::new(&workload, 3, 4096);
        let slots = ring.slots.len();
        let mut next = 0;
        for _ in 0..5 {
            let (count, bytes) = ring.next_run(slots * 2 / 3 + 1, |_| 7);
            for (stamp, sent_ns) in bodies(bytes) {
                assert_eq!((stamp.publisher, stamp.number, sent_ns), (3, next, 7));
                next += 1;
            }
            assert!(count > 0);
        }
        assert_eq!(ring.into_numbers(), [next]);
    }

    #[test]
    fn each_queue_has_its_own_numbers() {
        let workload = Workload {
            queues: 5,
            publishers: 2,
            ..Workload::default()
        };
        let mut ring = Ring::new(&workload, 1, 4096);
        let (_, bytes) = ring.next_run(4, |_| 0);
        let numbers: Vec<_> = bodies(bytes)
            .iter()
            .map(|(stamp, _)| stamp.number)
            .collect();
        assert_eq!(numbers, [0, 0, 1, 1]);
        assert_eq!(ring.into_numbers(), [0, 2, 0, 2, 0]);
    }

    #[test]
    fn large_and_empty_bodies() {
        for body_bytes in [0, 7, 8, 15, 16, 10_000] {
            let workload = Workload {
                body_bytes,
                ..Workload::default()
            };
            let mut ring = Ring::new(&workload, 0, 4096);
            let (count, bytes) = ring.next_run(2, |_| 0);
            let mut frames = Frames::new(bytes, 4096);
            let mut size = 0;
            while let Some(frame) = frames.next_frame().unwrap() {
                if let Frame::Body { bytes, .. } = frame {
                    size += bytes.len();
                }
            }
            assert_eq!(size, count * body_bytes);
        }
    }
}
