use bytes::BytesMut;
use polybus_model::{Attempts, Event, Lane, Outcome, Table, Value};

use polybus_session::Readers;

use super::world::*;
use crate::codec::*;
use crate::mapping::delivery::Foreigners;

fn confirming() -> World {
    let mut world = World::with_channel();
    world.declare(1, "q");
    world.send(1, &ConfirmSelect { nowait: false });
    assert_eq!(world.take(), ["1 confirm.select_ok"]);
    world
}

fn foreigners(readers: &Readers) -> Foreigners<'_> {
    Foreigners {
        readers,
        frame_max: 4096,
    }
}

fn with_headers<'a>(bytes: &'a [u8]) -> Properties<'a> {
    Properties {
        headers: Some(TableRef::new(bytes)),
        ..Properties::default()
    }
}

#[test]
fn publishes_are_confirmed_together() {
    let mut world = confirming();
    world.publish(1, "", "q", b"one");
    assert_eq!(
        world.take(),
        ["1 basic.ack { delivery_tag: 1, multiple: false }"]
    );
    let mut many = BytesMut::new();
    for _ in 0..3 {
        many.extend_from_slice(&published(1, "", "q", false, &Properties::default(), b"x"));
    }
    world.push(&many);
    assert_eq!(
        world.take(),
        ["1 basic.ack { delivery_tag: 4, multiple: true }"]
    );
}

#[test]
fn acks_never_cover_a_nack() {
    let mut world = confirming();
    world.broker.refuses.push(b"full".to_vec());
    let mut many = BytesMut::new();
    for key in ["q", "q", "full", "q", "full"] {
        many.extend_from_slice(&published(1, "", key, false, &Properties::default(), b"x"));
    }
    world.push(&many);
    assert_eq!(
        world.take(),
        [
            "1 basic.nack { delivery_tag: 3, multiple: false, requeue: true }",
            "1 basic.nack { delivery_tag: 5, multiple: false, requeue: true }",
            "1 basic.ack { delivery_tag: 2, multiple: true }",
            "1 basic.ack { delivery_tag: 4, multiple: false }",
        ]
    );
}

#[test]
fn returns_come_before_confirms() {
    let mut world = confirming();
    world.publish_with(1, "", "nowhere", true, &Properties::default(), b"abc");
    assert_eq!(
        world.take(),
        [
            "1 basic.return { reply_code: 312, reply_text: \"NO_ROUTE\", exchange: ShortBytes([]), routing_key: ShortBytes([110, 111, 119, 104, 101, 114, 101]) }",
            "1 header 3 {}",
            "1 body abc",
            "1 basic.ack { delivery_tag: 1, multiple: false }",
        ]
    );
}

#[test]
fn a_missing_exchange_closes_the_channel_and_nothing_after_it_is_heard() {
    let mut world = World::with_channel();
    world.declare(1, "q");
    let mut many = published(1, "nope", "q", false, &Properties::default(), b"x");
    many.extend_from_slice(&published(1, "", "q", false, &Properties::default(), b"x"));
    write_method(&mut many, 1, &declare("q2"));
    world.push(&many);
    assert_eq!(
        world.take(),
        ["1 channel.close 404 NOT_FOUND - no exchange 'nope' in vhost '/' (60,40)"]
    );
    assert!(!world.session.is_waiting());
    world.publish(1, "", "q", b"ignored");
    world.send(1, &declare("q3"));
    assert!(world.take().is_empty());
    assert!(world.broker.published.is_empty());
    world.send(1, &ChannelCloseOk {});
    world.send(1, &ChannelOpen {});
    world.publish(1, "", "q", b"heard");
    assert_eq!(world.take(), ["1 channel.open_ok"]);
    assert_eq!(world.broker.published.len(), 1);
}

#[test]
fn large_bodies_come_in_parts() {
    let mut world = World::with_channel();
    world.declare(1, "q");
    let body: Vec<u8> = (0..300_000u32).map(|i| i as u8).collect();
    world.publish(1, "", "q", &body);
    assert_eq!(world.broker.published[0].message.body(), body);
    world.consume(1, "q", "t", true);
    let bytes = world.take_bytes();
    let mut frames = Frames::new(&bytes, 131_072);
    let mut got = Vec::new();
    while let Ok(Some(frame)) = frames.next_frame() {
        if let Frame::Body { bytes, .. } = frame {
            got.extend_from_slice(bytes);
        }
    }
    assert_eq!(got, body);
}

#[test]
fn two_channels_publish_in_turns() {
    let mut world = World::with_channel();
    world.send(2, &ChannelOpen {});
    world.take();
    world.declare(1, "q");
    let one = published(1, "", "q", false, &Properties::default(), b"first");
    let two = published(2, "", "q", false, &Properties::default(), b"second");
    let cut = |bytes: &BytesMut| {
        let mut frames = Frames::new(bytes, 0);
        let mut cuts = vec![0];
        while let Ok(Some(_)) = frames.next_frame() {
            cuts.push(frames.consumed());
        }
        cuts.windows(2)
            .map(|w| bytes[w[0]..w[1]].to_vec())
            .collect::<Vec<_>>()
    };
    for (a, b) in cut(&one).iter().zip(cut(&two)) {
        world.push(a);
        world.push(&b);
    }
    let bodies: Vec<_> = world
        .broker
        .published
        .iter()
        .map(|p| p.message.body().to_vec())
        .collect();
    assert_eq!(bodies, [b"first".to_vec(), b"second".to_vec()]);
}

#[test]
fn properties_travel_byte_for_byte() {
    let mut world = World::with_channel();
    world.declare(1, "q");
    let mut headers = Table::new();
    headers.push("b", Value::I32(1));
    headers.push("a", Value::F64(2.5));
    headers.push("b", Value::text("again"));
    let bytes = encode_table(&headers);
    let properties = Properties {
        delivery_mode: Some(2),
        priority: Some(3),
        content_type: Some(b"text/plain"),
        cluster_id: Some(b"c"),
        ..with_headers(&bytes)
    };
    let mut raw = BytesMut::new();
    properties.encode(&mut raw);
    world.publish_with(1, "", "q", false, &properties, b"x");
    let message = &world.broker.published[0].message;
    assert_eq!(message.properties(), &raw[..]);
    assert!(message.is_durable());
    assert_eq!(message.priority(), Some(3));
    world.consume(1, "q", "t", true);
    let got = world.take_bytes();
    assert!(got.windows(raw.len()).any(|window| window == raw));
}

#[test]
fn bad_publishes_are_refused_as_measured() {
    let cc = encode_table(&{
        let mut table = Table::new();
        table.push("CC", Value::text("x"));
        table
    });
    for (properties, text) in [
        (
            Properties {
                expiration: Some(b"abc"),
                ..Properties::default()
            },
            "invalid expiration 'abc': no_integer",
        ),
        (
            Properties {
                user_id: Some(b"bob"),
                ..Properties::default()
            },
            "user_id property set to 'bob' but authenticated user was 'guest'",
        ),
        (
            with_headers(&cc),
            "invalid message: {unacceptable_type_in_header,\"CC\",longstr}",
        ),
        (
            Properties {
                reply_to: Some(b"amq.rabbitmq.reply-to"),
                ..Properties::default()
            },
            "fast reply consumer does not exist",
        ),
    ] {
        let mut world = World::with_channel();
        world.declare(1, "q");
        world.publish_with(1, "", "q", false, &properties, b"body");
        assert_eq!(
            world.take(),
            [format!(
                "1 channel.close 406 PRECONDITION_FAILED - {text} (60,40)"
            )]
        );
        assert!(world.broker.published.is_empty());
        world.send(1, &ChannelCloseOk {});
        world.send(1, &ChannelOpen {});
        assert_eq!(world.take(), ["1 channel.open_ok"]);
    }
}

#[test]
fn a_message_over_the_limit_is_refused_before_it_comes() {
    let mut world = World::with(crate::Settings {
        message_size_max: 1000,
        ..settings()
    });
    world.shake_hands(131_072, 0);
    world.send(1, &ChannelOpen {});
    world.take();
    world.publish(1, "", "q", &[0; 1001]);
    assert_eq!(
        world.take(),
        [
            "1 channel.close 406 PRECONDITION_FAILED - message size 1001 is larger than configured max size 1000 (60,40)"
        ]
    );
}

#[test]
fn unfinished_bodies_are_bounded() {
    let mut world = World::with(crate::Settings {
        assembling_bytes_max: 3000,
        ..settings()
    });
    world.shake_hands(131_072, 0);
    for channel in 1..=4 {
        world.send(channel, &ChannelOpen {});
        let publish = BasicPublish {
            routing_key: "q".into(),
            ..BasicPublish::default()
        };
        world.send(channel, &publish);
        let mut bytes = BytesMut::new();
        write_header(&mut bytes, channel, 1_000_000, PropertiesRef::NONE);
        write_body(&mut bytes, channel, &[0; 900], 4096);
        world.push(&bytes);
    }
    let last = world.take().pop().unwrap_or_default();
    assert!(
        last.starts_with("0 connection.close 506 RESOURCE_ERROR"),
        "{last}"
    );
}

#[test]
fn a_transaction_is_sent_as_one() {
    let mut world = World::with_channel();
    world.declare(1, "q");
    world.publish(1, "", "q", b"before");
    world.consume(1, "q", "t", false);
    world.take();
    world.send(1, &TxSelect {});
    world.publish(1, "", "other", b"in");
    world.send(
        1,
        &BasicAck {
            delivery_tag: 1,
            multiple: false,
        },
    );
    assert_eq!(world.take(), ["1 tx.select_ok"]);
    assert_eq!(
        (world.broker.published.len(), world.broker.settled.len()),
        (1, 0)
    );
    world.send(1, &TxCommit {});
    assert_eq!(world.take(), ["1 tx.commit_ok"]);
    assert_eq!(world.broker.published.len(), 2);
    assert_eq!(world.broker.settled, [(1, Outcome::Accept)]);
}

#[test]
fn a_rollback_gives_the_tags_back() {
    let mut world = World::with_channel();
    world.declare(1, "q");
    world.publish(1, "", "q", b"1");
    world.publish(1, "", "q", b"2");
    world.consume(1, "q", "t", false);
    world.send(1, &TxSelect {});
    world.send(
        1,
        &BasicAck {
            delivery_tag: 2,
            multiple: true,
        },
    );
    world.send(1, &TxRollback {});
    world.send(
        1,
        &BasicAck {
            delivery_tag: 1,
            multiple: false,
        },
    );
    world.take();
    world.send(1, &TxCommit {});
    assert_eq!(world.take(), ["1 tx.commit_ok"]);
    assert_eq!(world.broker.settled, [(1, Outcome::Accept)]);
}

#[test]
fn a_missing_exchange_in_a_transaction_is_told_at_once() {
    let mut world = World::with_channel();
    world.send(1, &TxSelect {});
    world.take();
    world.publish(1, "nope", "q", b"x");
    assert_eq!(
        world.take(),
        ["1 channel.close 404 NOT_FOUND - no exchange 'nope' in vhost '/' (60,40)"]
    );
}

#[test]
fn confirms_and_transactions_do_not_mix() {
    let mut world = World::with_channel();
    world.send(1, &TxCommit {});
    assert_eq!(
        world.take(),
        ["1 channel.close 406 PRECONDITION_FAILED - channel is not transactional (90,20)"]
    );
    let mut world = confirming();
    world.send(1, &TxSelect {});
    assert_eq!(
        world.take(),
        ["1 channel.close 406 PRECONDITION_FAILED - cannot switch from confirm to tx mode (90,10)"]
    );
    let mut world = World::with_channel();
    world.send(1, &TxSelect {});
    world.take();
    world.send(1, &ConfirmSelect { nowait: false });
    assert_eq!(
        world.take(),
        ["1 channel.close 406 PRECONDITION_FAILED - cannot switch from tx to confirm mode (85,10)"]
    );
}

#[test]
fn only_publishers_are_told_of_a_block() {
    let mut world = World::with_channel();
    world.event(Event::Blocked {
        reason: "low on disk",
    });
    assert!(world.take().is_empty());
    world.publish(1, "", "q", b"x");
    assert_eq!(
        world.take(),
        ["0 connection.blocked { reason: \"low on disk\" }"]
    );
    assert!(world.broker.published.is_empty() && world.session.is_waiting());
    world.event(Event::Unblocked);
    assert_eq!(world.take(), ["0 connection.unblocked"]);
    assert_eq!(world.broker.published.len(), 1);
}

#[test]
fn late_confirms_of_a_closed_channel_are_dropped() {
    let mut world = confirming();
    world.publish(1, "nope", "q", b"x");
    world.take();
    world.event(Event::Confirmed {
        lane: Lane(1),
        through: 1,
    });
    assert!(world.take().is_empty());
}

#[test]
fn a_dead_letter_is_rendered() {
    use std::sync::Arc;

    use polybus_model::{Body, Death, DeathReason, Message, MessageParts, Name};

    let name = |text: &str| Name::new(text).unwrap_or_else(|_| Name::empty());
    let mut raw = BytesMut::new();
    let mut headers = Table::new();
    headers.push("mine", Value::I32(1));
    let headers = encode_table(&headers);
    Properties {
        expiration: Some(b"100"),
        message_id: Some(b"m"),
        ..with_headers(&headers)
    }
    .encode(&mut raw);
    let death = Death {
        reason: DeathReason::Expired,
        queue: name("q"),
        topic: name(""),
        keys: vec!["q".into()],
        time: 7_000,
        count: 1,
        original_ttl: Some(100),
    };
    let message = Message::new(MessageParts {
        origin: crate::ORIGIN,
        topic: b"dlx",
        key: b"q",
        properties: &raw,
        body: Body::Copied(b"x"),
        durable: false,
        priority: None,
        ttl: None,
        deaths: Some(Arc::new(vec![death])),
    });
    let mut scratch = BytesMut::new();
    let attempts = Attempts { failed: 2, all: 3 };
    let rendered = crate::mapping::delivery::properties(
        &message,
        Some(attempts),
        foreigners(&Readers::default()),
        &mut scratch,
    );
    let fields = rendered.fields().unwrap_or_default();
    assert_eq!(
        (fields.expiration, fields.message_id),
        (None, Some(&b"m"[..]))
    );
    let headers = fields.headers.unwrap_or_default();
    let names: Vec<_> = headers
        .entries()
        .map(|e| String::from_utf8_lossy(e.name).into_owned())
        .collect();
    assert_eq!(
        names,
        [
            "mine",
            "x-death",
            "x-first-death-exchange",
            "x-first-death-queue",
            "x-first-death-reason",
            "x-last-death-exchange",
            "x-last-death-queue",
            "x-last-death-reason",
            "x-delivery-count",
            "x-acquired-count",
        ]
    );
    let Some(Value::Array(deaths)) = headers
        .decode()
        .ok()
        .and_then(|t| t.lookup("x-death").cloned())
    else {
        unreachable!("no x-death");
    };
    let Some(Value::Table(death)) = deaths.first() else {
        unreachable!("no entry")
    };
    let fields: Vec<_> = death.iter().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(
        fields,
        [
            "original-expiration",
            "count",
            "reason",
            "queue",
            "time",
            "exchange",
            "routing-keys"
        ]
    );
    assert_eq!(death.lookup("time"), Some(&Value::Timestamp(7)));
}

#[test]
fn what_the_broker_did_shows_in_the_headers() {
    use polybus_model::{Body, Marks, Message, MessageParts};

    let mut headers = Table::new();
    headers.push("CC", Value::Array(vec![Value::text("copy")]));
    headers.push("x-delay", Value::I32(300));
    let encoded = encode_table(&headers);
    let mut raw = BytesMut::new();
    with_headers(&encoded).encode(&mut raw);
    let seen = |delayed, rekeyed| {
        let message = Message::marked(
            MessageParts {
                origin: crate::ORIGIN,
                topic: b"x",
                key: b"k",
                properties: &raw,
                body: Body::Copied(b"x"),
                durable: false,
                priority: None,
                ttl: None,
                deaths: None,
            },
            Marks {
                delayed,
                rekeyed,
                ..Marks::default()
            },
        );
        let mut scratch = BytesMut::new();
        let properties = crate::mapping::delivery::properties(
            &message,
            None,
            foreigners(&Readers::default()),
            &mut scratch,
        );
        let fields = properties.fields().unwrap_or_default();
        let table = fields
            .headers
            .unwrap_or_default()
            .decode()
            .unwrap_or_default();
        let delay = table.lookup("x-delay").and_then(Value::as_i64);
        (delay, table.lookup("CC").is_some())
    };
    assert_eq!(seen(false, false), (Some(300), true));
    assert_eq!(seen(true, false), (Some(-300), true));
    assert_eq!(seen(false, true), (Some(300), false));
}

#[test]
fn what_another_protocol_said_is_told_in_this_ones_words() {
    use polybus_model::{Body, Message, MessageParts, Origin};

    let message = Message::new(MessageParts {
        origin: Origin(9),
        topic: b"x",
        key: b"k",
        properties: b"unread",
        body: Body::Copied(b"x"),
        durable: true,
        priority: None,
        ttl: None,
        deaths: None,
    });
    let readers = |headers_len: usize| {
        Readers::new(
            move |_| {
                let mut table = Table::new();
                table.push("kind", Value::text(&"n".repeat(headers_len)));
                table
            },
            |_, name| match name {
                "reply_to" => Some("answers".into()),
                "message_id" => Some("i".repeat(300).into()),
                _ => None,
            },
        )
    };
    let mut scratch = BytesMut::new();
    for (len, is_told) in [(3, true), (2000, true), (4000, false)] {
        let readers = readers(len);
        let foreigners = foreigners(&readers);
        let told = crate::mapping::delivery::properties(&message, None, foreigners, &mut scratch);
        let fields = told.fields().unwrap_or_default();
        assert_eq!(fields.reply_to, Some(&b"answers"[..]));
        assert_eq!(fields.message_id, None);
        let headers = fields.headers.unwrap_or_default();
        assert_eq!(headers.lookup(b"kind").is_some(), is_told);
    }
}
