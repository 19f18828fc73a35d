use polybus_model::{Event, Lane, Outcome};

use super::world::*;
use crate::codec::*;

fn consuming(messages: usize) -> World {
    let mut world = World::with_channel();
    world.declare(1, "q");
    for i in 0..messages {
        world.publish(1, "", "q", i.to_string().as_bytes());
    }
    world.consume(1, "q", "ct", false);
    world
}

#[test]
fn deliveries_follow_consume_ok() {
    let mut world = consuming(2);
    assert_eq!(
        world.take(),
        [
            "1 basic.consume_ok { consumer_tag: \"ct\" }",
            "1 basic.deliver { consumer_tag: ShortBytes([99, 116]), delivery_tag: 1, redelivered: false, exchange: ShortBytes([]), routing_key: ShortBytes([113]) }",
            "1 header 1 {}",
            "1 body 0",
            "1 basic.deliver { consumer_tag: ShortBytes([99, 116]), delivery_tag: 2, redelivered: false, exchange: ShortBytes([]), routing_key: ShortBytes([113]) }",
            "1 header 1 {}",
            "1 body 1",
        ]
    );
}

#[test]
fn acks_of_one_read_are_one_settlement() {
    let mut world = consuming(6);
    let mut acks = bytes::BytesMut::new();
    for tag in [2, 1, 4] {
        write_method(
            &mut acks,
            1,
            &BasicAck {
                delivery_tag: tag,
                multiple: false,
            },
        );
    }
    write_method(
        &mut acks,
        1,
        &BasicNack {
            delivery_tag: 3,
            multiple: false,
            requeue: false,
        },
    );
    write_method(
        &mut acks,
        1,
        &BasicAck {
            delivery_tag: 0,
            multiple: true,
        },
    );
    world.push(&acks);
    assert_eq!(
        world.broker.settled,
        [
            (3, Outcome::Accept),
            (1, Outcome::Reject),
            (2, Outcome::Accept),
        ]
    );
}

#[test]
fn nack_and_reject_differ_in_what_they_count() {
    let mut world = consuming(2);
    world.send(
        1,
        &BasicNack {
            delivery_tag: 1,
            multiple: false,
            requeue: true,
        },
    );
    world.send(
        1,
        &BasicReject {
            delivery_tag: 2,
            requeue: true,
        },
    );
    assert_eq!(
        world.broker.settled,
        [
            (1, Outcome::Release { failed: false }),
            (1, Outcome::Release { failed: true }),
        ]
    );
}

#[test]
fn unknown_tags_close_the_channel() {
    for (method, text) in [
        (
            Method::BasicAck(BasicAck {
                delivery_tag: 9,
                multiple: false,
            }),
            "unknown delivery tag 9 (60,80)",
        ),
        (
            Method::BasicAck(BasicAck {
                delivery_tag: 9,
                multiple: true,
            }),
            "unknown delivery tag 9 (60,80)",
        ),
        (
            Method::BasicAck(BasicAck {
                delivery_tag: 0,
                multiple: false,
            }),
            "unknown delivery tag 0 (60,80)",
        ),
        (
            Method::BasicNack(BasicNack {
                delivery_tag: 5,
                multiple: false,
                requeue: true,
            }),
            "unknown delivery tag 5 (60,120)",
        ),
        (
            Method::BasicReject(BasicReject {
                delivery_tag: 5,
                requeue: true,
            }),
            "unknown delivery tag 5 (60,90)",
        ),
    ] {
        let mut world = consuming(1);
        world.take();
        world.send(1, &method);
        assert_eq!(
            world.take(),
            [format!("1 channel.close 406 PRECONDITION_FAILED - {text}")]
        );
    }
    let mut world = World::with_channel();
    world.send(
        1,
        &BasicAck {
            delivery_tag: 0,
            multiple: true,
        },
    );
    assert!(world.take().is_empty());
}

#[test]
fn a_tag_cannot_be_settled_twice() {
    let mut world = consuming(3);
    world.take();
    world.send(
        1,
        &BasicAck {
            delivery_tag: 2,
            multiple: false,
        },
    );
    world.send(
        1,
        &BasicAck {
            delivery_tag: 2,
            multiple: false,
        },
    );
    assert_eq!(
        world.take(),
        ["1 channel.close 406 PRECONDITION_FAILED - unknown delivery tag 2 (60,80)"]
    );
}

#[test]
fn closing_a_channel_gives_back_what_it_held() {
    let mut world = consuming(2);
    world.take();
    world.send(1, &ChannelClose::default());
    assert_eq!(world.take(), ["1 channel.close_ok"]);
    world.send(1, &ChannelOpen {});
    world.send(
        1,
        &BasicGet {
            queue: "q",
            no_ack: true,
        },
    );
    assert_eq!(
        world.take()[1],
        "1 basic.get_ok { delivery_tag: 1, redelivered: true, exchange: ShortBytes([]), routing_key: ShortBytes([113]), message_count: 1 }"
    );
}

#[test]
fn recover_gives_all_back() {
    let mut world = consuming(2);
    world.take();
    world.send(1, &BasicRecover { requeue: true });
    assert_eq!(
        world.broker.settled,
        [(2, Outcome::Release { failed: false })]
    );
    assert_eq!(world.take()[0], "1 basic.recover_ok");
    world.send(1, &BasicRecover { requeue: false });
    assert_eq!(
        world.take(),
        ["0 connection.close 540 NOT_IMPLEMENTED - requeue=false (60,110)"]
    );
}

#[test]
fn get_counts_in_the_channels_tags() {
    let mut world = World::with_channel();
    world.declare(1, "q");
    world.send(
        1,
        &BasicGet {
            queue: "",
            no_ack: false,
        },
    );
    assert_eq!(world.take(), ["1 basic.get_empty"]);
    world.publish(1, "", "q", b"a");
    world.send(
        1,
        &BasicGet {
            queue: "q",
            no_ack: false,
        },
    );
    assert!(world.take()[0].starts_with("1 basic.get_ok { delivery_tag: 1, redelivered: false"));
    world.send(
        1,
        &BasicAck {
            delivery_tag: 1,
            multiple: false,
        },
    );
    assert_eq!(world.broker.settled, [(1, Outcome::Accept)]);
}

#[test]
fn consumer_tags_are_made_up_or_unique() {
    let mut world = World::with_channel();
    world.declare(1, "q");
    world.consume(1, "q", "", false);
    let ok = world.take().remove(0);
    let tag = ok.split('"').nth(1).unwrap_or_default();
    assert!(tag.starts_with("amq.ctag-") && tag.len() == 31, "{tag}");
    world.consume(1, "q", "mine", false);
    world.consume(1, "q", "mine", false);
    assert_eq!(
        world.take()[1],
        "0 connection.close 530 NOT_ALLOWED - attempt to reuse consumer tag 'mine' (60,20)"
    );
}

#[test]
fn cancel_ends_a_consumer_and_keeps_its_deliveries() {
    let mut world = consuming(1);
    world.take();
    world.send(
        1,
        &BasicCancel {
            consumer_tag: "ct",
            nowait: false,
        },
    );
    assert_eq!(world.take(), ["1 basic.cancel_ok { consumer_tag: \"ct\" }"]);
    world.publish(1, "", "q", b"later");
    assert!(world.take().is_empty());
    world.send(
        1,
        &BasicAck {
            delivery_tag: 1,
            multiple: false,
        },
    );
    assert_eq!(world.broker.settled, [(1, Outcome::Accept)]);
    world.send(
        1,
        &BasicCancel {
            consumer_tag: "zz",
            nowait: false,
        },
    );
    assert_eq!(world.take(), ["1 basic.cancel_ok { consumer_tag: \"zz\" }"]);
}

#[test]
fn a_consumer_is_told_that_its_queue_is_gone() {
    let mut world = consuming(0);
    world.take();
    world.send(
        1,
        &QueueDelete {
            queue: "q",
            ..QueueDelete::default()
        },
    );
    assert_eq!(
        world.take(),
        [
            "1 queue.delete_ok { message_count: 0 }",
            "1 basic.cancel { consumer_tag: \"ct\", nowait: true }",
        ]
    );
}

#[test]
fn qos_is_per_consumer_or_per_channel() {
    let mut world = World::with_channel();
    world.send(
        1,
        &BasicQos {
            prefetch_size: 0,
            prefetch_count: 5,
            global: false,
        },
    );
    assert_eq!(world.take(), ["1 basic.qos_ok"]);
    assert!(!world.broker.log.contains(&"LaneCredit".to_owned()));
    world.send(
        1,
        &BasicQos {
            prefetch_size: 0,
            prefetch_count: 5,
            global: true,
        },
    );
    assert_eq!(world.take(), ["1 basic.qos_ok"]);
    world.send(
        1,
        &BasicQos {
            prefetch_size: 0,
            prefetch_count: 0,
            global: false,
        },
    );
    assert_eq!(world.take(), ["1 basic.qos_ok"]);
    assert_eq!(
        world
            .broker
            .log
            .iter()
            .filter(|w| *w == "LaneCredit")
            .count(),
        2
    );
}

#[test]
fn a_timeout_closes_the_channel() {
    let mut world = consuming(1);
    world.take();
    world.event(Event::ConsumerTimeout {
        lane: Lane(1),
        timeout: 1000,
    });
    assert_eq!(
        world.take(),
        [
            "1 channel.close 406 PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 1000 ms. This timeout value can be configured, see consumers doc guide to learn more (0,0)"
        ]
    );
}

#[test]
fn direct_replies_find_their_way() {
    let mut world = World::with_channel();
    world.declare(1, "rpc");
    world.consume(1, "amq.rabbitmq.reply-to", "r", true);
    assert_eq!(world.take(), ["1 basic.consume_ok { consumer_tag: \"r\" }"]);
    let properties = Properties {
        reply_to: Some(b"amq.rabbitmq.reply-to"),
        ..Properties::default()
    };
    world.publish_with(1, "", "rpc", false, &properties, b"ask");
    let message = world.broker.published[0].message.clone();
    let fields = PropertiesRef::new(message.properties())
        .fields()
        .unwrap_or_default();
    let name = String::from_utf8_lossy(fields.reply_to.unwrap_or_default()).into_owned();
    assert!(name.starts_with("amq.rabbitmq.reply-to."), "{name}");
    world.send(
        1,
        &QueueDeclare {
            passive: true,
            ..declare(&name)
        },
    );
    assert_eq!(
        world.take(),
        [format!(
            "1 queue.declare_ok {{ queue: {name:?}, message_count: 0, consumer_count: 1 }}"
        )]
    );
    world.publish(1, "", &name, b"answer");
    assert_eq!(world.take().pop().as_deref(), Some("1 body answer"));
    world.consume(1, "amq.rabbitmq.reply-to", "r2", true);
    assert_eq!(
        world.take(),
        ["1 channel.close 406 PRECONDITION_FAILED - reply consumer already set (60,20)"]
    );
}

#[test]
fn direct_reply_consumers_cannot_acknowledge() {
    let mut world = World::with_channel();
    world.consume(1, "amq.rabbitmq.reply-to", "r", false);
    assert_eq!(
        world.take(),
        ["1 channel.close 406 PRECONDITION_FAILED - reply consumer cannot acknowledge (60,20)"]
    );
    let mut world = World::with_channel();
    world.send(1, &declare("amq.rabbitmq.reply-to"));
    assert_eq!(
        world.take(),
        [
            "1 queue.declare_ok { queue: \"amq.rabbitmq.reply-to\", message_count: 0, consumer_count: 1 }"
        ]
    );
    world.send(1, &declare("amq.rabbitmq.reply-to.gone"));
    assert_eq!(
        world.take(),
        [
            "1 channel.close 404 NOT_FOUND - no queue 'amq.rabbitmq.reply-to.gone' in vhost '/' (50,10)"
        ]
    );
}
