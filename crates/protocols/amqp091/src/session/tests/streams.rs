//! Consumers of streams: what they read, hold and tell.

use polybus_model::{
    Body, Ends, Event, FoundOffset, LogError, LogReply, LogRequest, Message, MessageParts, Origin,
    Place, Run, RunContent, Slice, Table, Value,
};

use super::world::*;
use crate::codec::*;
use crate::{ORIGIN, Settings};

fn run(offset: u64) -> Run {
    Run {
        offset,
        count: 1,
        time_max: None,
        stamped: None,
        transaction: None,
        ends: None,
        content: RunContent::Message(Message::new(MessageParts {
            origin: ORIGIN,
            topic: b"",
            key: b"s",
            properties: &[0, 0],
            body: Body::Copied(offset.to_string().as_bytes()),
            durable: true,
            priority: None,
            ttl: None,
            deaths: None,
        })),
    }
}

fn slice(runs: Vec<Run>) -> Result<Slice, LogError> {
    Ok(Slice {
        runs,
        ..Slice::default()
    })
}

/// Consumes from queue `s`, which has so many partitions.
fn reading(prefetch: u16, partitions: u32, offset: Value) -> World {
    reading_with(settings(), prefetch, partitions, offset)
}

fn reading_with(settings: Settings, prefetch: u16, partitions: u32, offset: Value) -> World {
    let mut world = World::with(settings);
    world.shake_hands(131_072, 60);
    world.send(1, &ChannelOpen {});
    world.take();
    world.broker.stream = Some(("s".to_owned(), partitions));
    let qos = BasicQos {
        prefetch_size: 0,
        prefetch_count: prefetch,
        global: false,
    };
    world.send(1, &qos);
    let mut arguments = Table::new();
    arguments.push("x-stream-offset", offset);
    let bytes = encode_table(&arguments);
    let consume = BasicConsume {
        queue: "s",
        consumer_tag: "ct",
        no_local: false,
        no_ack: false,
        exclusive: false,
        nowait: false,
        arguments: TableRef::new(&bytes),
    };
    world.send(1, &consume);
    assert_eq!(
        world.take(),
        [
            "1 basic.qos_ok",
            "1 basic.consume_ok { consumer_tag: \"ct\" }"
        ]
    );
    world
}

impl World {
    /// The offsets of the read under way.
    fn offsets_read(&self) -> Vec<u64> {
        match self.broker.asked.last() {
            Some((_, LogRequest::Read(request))) => {
                assert!(request.committed && request.bytes_min > 0);
                request.reads.iter().map(|read| read.offset).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    fn answer(&mut self, reply: LogReply) {
        let (number, _) = self.broker.asked.pop().expect("a request");
        let reply = Box::new(reply);
        self.event(Event::Log { number, reply });
    }

    fn answer_read(&mut self, runs: Vec<Run>) {
        self.answer(LogReply::Read(vec![slice(runs)]));
    }

    fn bodies(&mut self) -> Vec<String> {
        let told = self.take();
        let bodies = told.iter().filter_map(|one| one.strip_prefix("1 body "));
        bodies.map(str::to_owned).collect()
    }

    fn ack(&mut self, tag: u64, multiple: bool) {
        let ack = BasicAck {
            delivery_tag: tag,
            multiple,
        };
        self.send(1, &ack);
    }
}

#[test]
fn what_is_read_is_delivered_up_to_the_prefetch() {
    let mut world = reading(2, 1, Value::text("first"));
    assert_eq!(world.offsets_read(), [0]);
    world.answer_read((0..3).map(run).collect());
    let told = world.take();
    assert!(told[1].contains("x-stream-offset"), "{told:?}");
    assert_eq!(told.len(), 6, "two deliveries: {told:?}");
    assert!(
        world.broker.asked.is_empty(),
        "there is one left to deliver"
    );
    world.ack(1, false);
    assert_eq!(world.bodies(), ["2"]);
    assert!(world.broker.asked.is_empty(), "no credit");
    world.ack(0, true);
    assert_eq!(world.offsets_read(), [3]);
    assert!(world.broker.settled.is_empty(), "its acks are its own");
}

#[test]
fn where_it_begins_is_looked_up() {
    let mut world = reading(9, 2, Value::text("last"));
    match world.broker.asked.last() {
        Some((_, LogRequest::FindOffsets(wanted))) => {
            assert!(wanted.iter().all(|(_, place)| *place == Place::End));
        }
        other => panic!("{other:?}"),
    }
    let found = [7, 0, 7, 0].map(|offset| Ok(Some(FoundOffset { offset, run: None })));
    world.answer(LogReply::Offsets(found.to_vec()));
    assert_eq!(world.offsets_read(), [6, 0]);
    let slices = vec![slice(vec![run(6)]), slice(vec![run(0)])];
    world.answer(LogReply::Read(slices));
    let told = world.take().concat();
    assert!(told.contains("x-stream-partition"), "{told}");
    assert_eq!(world.offsets_read(), [7, 1]);
}

#[test]
fn what_was_given_up_is_passed_over_and_what_is_gone_ends_it() {
    let mut world = reading(9, 1, Value::I64(2));
    assert_eq!(world.offsets_read(), [2]);
    let out = LogError::OutOfRange { start: 5, end: 9 };
    world.answer(LogReply::Read(vec![Err(out)]));
    assert_eq!(world.offsets_read(), [5]);
    world.answer(LogReply::Read(vec![Err(LogError::NotFound)]));
    assert_eq!(
        world.take(),
        ["1 basic.cancel { consumer_tag: \"ct\", nowait: true }"]
    );
    assert!(world.broker.asked.is_empty());
}

#[test]
fn what_was_aborted_is_not_delivered() {
    let mut world = reading(9, 1, Value::text("first"));
    let of = |offset, producer| Run {
        transaction: Some(producer),
        ..run(offset)
    };
    let end = |offset, producer, committed| Run {
        ends: Some(Ends {
            producer,
            epoch: 0,
            committed,
        }),
        ..run(offset)
    };
    let runs = vec![
        of(0, 1),
        of(1, 2),
        end(2, 1, false),
        of(3, 1),
        end(4, 1, true),
        end(5, 2, true),
        run(6),
    ];
    let mut aborted = slice(runs);
    if let Ok(slice) = &mut aborted {
        slice.aborted = vec![(1, 0)];
    }
    world.answer(LogReply::Read(vec![aborted]));
    assert_eq!(world.bodies(), ["1", "3", "6"]);
    assert_eq!(world.offsets_read(), [7]);
}

#[test]
fn a_read_that_brings_nothing_at_once_is_not_asked_again_at_once() {
    let mut world = reading(9, 1, Value::text("first"));
    world.answer_read(Vec::new());
    assert!(world.broker.asked.is_empty());
    let now = world.now;
    world.wait_until(now + 100);
    world.turn();
    assert_eq!(world.offsets_read(), [0]);
    world.wait_until(now + 30_100);
    world.answer_read(Vec::new());
    assert_eq!(world.offsets_read(), [0], "after a wait, at once");
}

#[test]
fn an_answer_after_the_end_is_nobodys() {
    let mut world = reading(9, 1, Value::text("first"));
    let cancel = BasicCancel {
        consumer_tag: "ct",
        nowait: false,
    };
    world.send(1, &cancel);
    world.answer_read(vec![run(0)]);
    assert_eq!(world.take(), ["1 basic.cancel_ok { consumer_tag: \"ct\" }"]);
    world.consume(1, "s", "ct", false);
    world.take();
    assert_eq!(world.broker.asked.len(), 1, "the end of the log is asked");
}

#[test]
fn runs_of_others_are_read_by_the_settings() {
    let mut settings = settings();
    settings.messages_of = std::sync::Arc::new(|name, content, messages| {
        assert_eq!(name.as_str(), "s");
        if let RunContent::Packed { bytes, .. } = content {
            for (at, _) in (0..).zip(bytes) {
                let RunContent::Message(message) = run(u64::from(at)).content else {
                    return;
                };
                messages.push((at, message));
            }
        }
    });
    let packed = Run {
        count: 3,
        content: RunContent::Packed {
            origin: Origin(7),
            bytes: bytes::Bytes::from_static(b"abc"),
        },
        ..run(10)
    };
    let mut world = reading_with(settings, 9, 1, Value::I64(11));
    world.answer_read(vec![packed]);
    assert_eq!(
        world.bodies(),
        ["1", "2"],
        "what is before the offset is not wanted"
    );
    assert_eq!(world.offsets_read(), [13]);
}
