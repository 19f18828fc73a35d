use super::world::*;
use crate::codec::*;

fn close(method: &impl Encode) -> Vec<String> {
    let mut world = World::with_channel();
    world.send(1, method);
    world.take()
}

#[test]
fn what_is_missing_is_told() {
    let missing = "NOT_FOUND - no queue 'nope' in vhost '/'";
    assert_eq!(
        close(&QueueDeclare {
            passive: true,
            ..declare("nope")
        }),
        [format!("1 channel.close 404 {missing} (50,10)")]
    );
    assert_eq!(
        close(&QueueDeclare {
            passive: true,
            nowait: true,
            ..declare("nope")
        }),
        [format!("1 channel.close 404 {missing} (50,10)")]
    );
    assert_eq!(
        close(&QueuePurge {
            queue: "nope",
            nowait: false
        }),
        [format!("1 channel.close 404 {missing} (50,30)")]
    );
    assert_eq!(
        close(&BasicGet {
            queue: "nope",
            no_ack: false
        }),
        [format!("1 channel.close 404 {missing} (60,70)")]
    );
    assert_eq!(
        close(&BasicConsume {
            queue: "nope",
            ..BasicConsume::default()
        }),
        [format!("1 channel.close 404 {missing} (60,20)")]
    );
    assert_eq!(
        close(&ExchangeDeclare {
            exchange: "nope",
            passive: true,
            ..ExchangeDeclare::default()
        }),
        ["1 channel.close 404 NOT_FOUND - no exchange 'nope' in vhost '/' (40,10)"]
    );
    assert_eq!(
        close(&QueueDelete {
            queue: "nope",
            ..QueueDelete::default()
        }),
        ["1 queue.delete_ok { message_count: 0 }"]
    );
    assert_eq!(
        close(&BasicGet {
            queue: "",
            no_ack: false
        }),
        ["1 channel.close 404 NOT_FOUND - no previously declared queue (60,70)"]
    );
}

#[test]
fn names_that_are_kept_are_refused() {
    assert_eq!(
        close(&declare("amq.foo")),
        [
            "1 channel.close 403 ACCESS_REFUSED - queue name 'amq.foo' contains reserved prefix 'amq.*' (50,10)"
        ]
    );
    let exchange = |exchange, kind| ExchangeDeclare {
        exchange,
        kind,
        durable: true,
        ..ExchangeDeclare::default()
    };
    assert_eq!(
        close(&exchange("amq.new", "direct")),
        [
            "1 channel.close 403 ACCESS_REFUSED - exchange name 'amq.new' contains reserved prefix 'amq.*' (40,10)"
        ]
    );
    assert_eq!(
        close(&exchange("amq.direct", "direct")),
        ["1 exchange.declare_ok"]
    );
    assert_eq!(
        close(&exchange("", "direct")),
        [
            "1 channel.close 403 ACCESS_REFUSED - operation not permitted on the default exchange (40,10)"
        ]
    );
    assert_eq!(
        close(&exchange("x", "foo")),
        ["0 connection.close 503 COMMAND_INVALID - invalid exchange type 'foo' (40,10)"]
    );
    assert_eq!(
        close(&ExchangeDelete {
            exchange: "amq.direct",
            ..ExchangeDelete::default()
        }),
        [
            "1 channel.close 403 ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed (40,20)"
        ]
    );
    assert_eq!(
        close(&QueueBind {
            queue: "q",
            ..QueueBind::default()
        }),
        [
            "1 channel.close 403 ACCESS_REFUSED - operation not permitted on the default exchange (50,20)"
        ]
    );
    assert_eq!(
        close(&ExchangeBind {
            source: "x",
            ..ExchangeBind::default()
        }),
        [
            "1 channel.close 403 ACCESS_REFUSED - operation not permitted on the default exchange (40,30)"
        ]
    );
}

#[test]
fn names_are_made_up_and_remembered() {
    let mut world = World::with_channel();
    world.send(1, &declare(""));
    let ok = world.take().remove(0);
    let name = ok.split('"').nth(1).unwrap_or_default().to_owned();
    assert!(name.starts_with("amq.gen-") && name.len() == 30, "{name}");
    world.send(
        1,
        &QueueBind {
            exchange: "amq.direct",
            ..QueueBind::default()
        },
    );
    world.publish(1, "amq.direct", &name, b"x");
    world.send(1, &QueuePurge::default());
    assert_eq!(
        world.take(),
        ["1 queue.bind_ok", "1 queue.purge_ok { message_count: 1 }"]
    );
    world.declare(1, "a\nb\r");
    world.send(
        1,
        &QueueDelete {
            queue: "ab",
            ..QueueDelete::default()
        },
    );
    assert_eq!(world.take(), ["1 queue.delete_ok { message_count: 0 }"]);
}

#[test]
fn no_wait_is_not_answered() {
    let mut world = World::with_channel();
    world.send(
        1,
        &QueueDeclare {
            nowait: true,
            ..declare("q")
        },
    );
    world.send(
        1,
        &ExchangeDeclare {
            exchange: "x",
            kind: "fanout",
            nowait: true,
            ..ExchangeDeclare::default()
        },
    );
    world.send(
        1,
        &QueueBind {
            queue: "q",
            exchange: "x",
            nowait: true,
            ..QueueBind::default()
        },
    );
    world.send(
        1,
        &BasicConsume {
            queue: "q",
            consumer_tag: "t",
            nowait: true,
            ..BasicConsume::default()
        },
    );
    world.send(
        1,
        &BasicCancel {
            consumer_tag: "t",
            nowait: true,
        },
    );
    world.send(
        1,
        &QueuePurge {
            queue: "q",
            nowait: true,
        },
    );
    world.send(
        1,
        &QueueDelete {
            queue: "q",
            nowait: true,
            ..QueueDelete::default()
        },
    );
    world.send(
        1,
        &ExchangeDelete {
            exchange: "x",
            nowait: true,
            ..ExchangeDelete::default()
        },
    );
    world.send(1, &ConfirmSelect { nowait: true });
    assert!(world.take().is_empty());
    assert!(!world.session.is_waiting());
}

#[test]
fn channels_are_opened_once_and_counted() {
    let mut world = World::with_channel();
    world.send(1, &ChannelOpen {});
    assert_eq!(
        world.take(),
        ["0 connection.close 504 CHANNEL_ERROR - second 'channel.open' seen (20,10)"]
    );
    let mut world = World::open();
    world.send(7, &BasicQos::default());
    assert_eq!(
        world.take(),
        ["0 connection.close 504 CHANNEL_ERROR - expected 'channel.open' (60,10)"]
    );
    let mut world = World::with(crate::Settings {
        channel_max: 2,
        ..settings()
    });
    world.push(&PROTOCOL_HEADER);
    world.start_ok("PLAIN", b"\0guest\0guest");
    world.send(
        0,
        &ConnectionTuneOk {
            channel_max: 0,
            frame_max: 0,
            heartbeat: 0,
        },
    );
    world.send(0, &ConnectionOpen { virtual_host: "/" });
    world.send(1, &ChannelOpen {});
    world.send(60_000, &ChannelOpen {});
    world.take();
    world.send(3, &ChannelOpen {});
    assert_eq!(
        world.take(),
        [
            "0 connection.close 530 NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2) (0,0)"
        ]
    );
}

#[test]
fn flow_cannot_be_stopped() {
    assert_eq!(
        close(&ChannelFlow { active: true }),
        ["1 channel.flow_ok { active: true }"]
    );
    assert_eq!(
        close(&ChannelFlow { active: false }),
        ["0 connection.close 540 NOT_IMPLEMENTED - active=false (20,20)"]
    );
}

#[test]
fn a_ticket_is_given_to_whoever_asks() {
    assert_eq!(
        close(&AccessRequest::default()),
        ["1 access.request_ok { ticket: 1 }"]
    );
}

#[test]
fn a_failed_channel_leaves_others_alone() {
    let mut world = World::with_channel();
    world.send(2, &ChannelOpen {});
    world.take();
    world.send(
        1,
        &QueuePurge {
            queue: "nope",
            nowait: false,
        },
    );
    assert_eq!(world.take_names(), ["1 channel.close"]);
    world.declare(2, "q");
    world.send(1, &ChannelClose::default());
    assert_eq!(world.take(), ["1 channel.close_ok"]);
    world.send(1, &ChannelCloseOk {});
    world.send(1, &ChannelOpen {});
    assert_eq!(world.take(), ["1 channel.open_ok"]);
}

#[test]
fn what_is_piped_behind_a_failure_is_dropped() {
    let mut world = World::with_channel();
    let mut bytes = bytes::BytesMut::new();
    write_method(&mut bytes, 1, &declare("q"));
    write_method(
        &mut bytes,
        1,
        &QueuePurge {
            queue: "nope",
            nowait: false,
        },
    );
    write_method(&mut bytes, 1, &declare("q2"));
    bytes.extend_from_slice(&published(1, "", "q", false, &Properties::default(), b"x"));
    world.push(&bytes);
    assert_eq!(
        world.take_names(),
        ["1 queue.declare_ok", "1 channel.close"]
    );
    assert!(world.broker.published.is_empty());
}

#[test]
fn a_timeout_overtakes_an_answer() {
    let mut world = World::with_channel();
    world.broker_sleeps = true;
    world.send(1, &declare("q"));
    assert!(world.session.is_waiting());
    let timeout = polybus_model::Event::ConsumerTimeout {
        lane: polybus_model::Lane(1),
        timeout: 5,
    };
    world.event(timeout);
    assert_eq!(world.take_names(), ["1 channel.close"]);
    world.broker_sleeps = false;
    world.turn();
    assert!(!world.session.is_waiting());
    assert!(world.take().is_empty());
    world.send(1, &ChannelCloseOk {});
    world.send(1, &ChannelOpen {});
    assert_eq!(world.take(), ["1 channel.open_ok"]);
}

#[test]
fn refusals_name_the_user() {
    use polybus_model::{Error, Kind, Name, Resource};

    let mut world = World::with_channel();
    let name = |text: &str| Name::new(text).unwrap_or_else(|_| Name::empty());
    let error = Error {
        kind: Kind::AccessRefused("the user may not write to it".to_owned()),
        resource: Resource::Topic,
        name: name("x"),
        namespace: name("/"),
    };
    let lane = polybus_model::Lane(1);
    let error = Box::new(error);
    world.event(polybus_model::Event::Failed { lane, error });
    assert_eq!(
        world.take(),
        [
            "1 channel.close 403 ACCESS_REFUSED - write access to exchange 'x' in vhost '/' refused for user 'guest' (60,40)"
        ]
    );
}

#[test]
fn a_failed_publish_and_a_close_may_cross() {
    let mut world = World::with_channel();
    let mut bytes = published(1, "nope", "q", false, &Properties::default(), b"x");
    write_method(&mut bytes, 1, &ChannelClose::default());
    world.push(&bytes);
    assert_eq!(
        world.take_names(),
        ["1 channel.close", "1 channel.close_ok"]
    );
    assert!(!world.session.is_waiting());
    world.send(1, &ChannelCloseOk {});
    world.send(1, &ChannelOpen {});
    assert_eq!(world.take(), ["1 channel.open_ok"]);
}

#[test]
fn a_failed_publish_and_a_fault_behind_it_close_once() {
    let mut world = World::with_channel();
    let mut bytes = published(1, "nope", "q", false, &Properties::default(), b"x");
    let ack = BasicAck {
        delivery_tag: 9,
        multiple: false,
    };
    write_method(&mut bytes, 1, &ack);
    world.push(&bytes);
    assert_eq!(world.take_names(), ["1 channel.close"]);
    assert!(!world.session.is_waiting());
    assert_eq!(
        world
            .broker
            .log
            .iter()
            .filter(|w| *w == "CloseLane")
            .count(),
        1
    );
    world.send(1, &ChannelCloseOk {});
    world.send(1, &ChannelOpen {});
    assert_eq!(world.take(), ["1 channel.open_ok"]);
}
