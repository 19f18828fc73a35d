//! Publishes and acks that come whole are taken in runs. Whatever comes, the broker is asked the same, and the peer told the
//! same, as if each byte had come by itself, which no run survives.

use bytes::BytesMut;
use polybus_model::{Table, Value};
use proptest::prelude::*;

use super::world::*;
use crate::codec::*;

/// What a client does next.
#[derive(Clone, Debug)]
enum Step {
    Publish {
        channel: u16,
        kind: usize,
        body: usize,
    },
    Ack {
        channel: u16,
        tag: u64,
        multiple: bool,
    },
    Reject(u64),
    Heartbeat,
}

/// Kinds of publishes; from this one on each ends its channel or the connection.
const KINDS_GOOD: usize = 5;
const KINDS: usize = 11;
/// The broker finds that there is no such exchange: how much comes before it says so is a matter of pieces.
const KIND_NOWHERE: usize = KINDS - 1;

fn steps(kinds: usize, tags: u64) -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1u16..4, 0..kinds, prop_oneof![Just(0usize), 1..40usize, Just(5_000)])
            .prop_map(|(channel, kind, body)| Step::Publish { channel, kind, body }),
        6 => (1u16..4, 1..=tags, prop::bool::weighted(0.1))
            .prop_map(|(channel, tag, multiple)| Step::Ack { channel, tag, multiple }),
        1 => (1..=tags).prop_map(Step::Reject),
        1 => Just(Step::Heartbeat),
    ]
}

fn headers(kind: usize) -> BytesMut {
    let mut table = Table::new();
    match kind {
        2 => table.push("BCC", Value::Array(vec![Value::text("q2")])),
        3 => table.push("x-delay", Value::I64(5)),
        _ => table.push("CC", Value::text("no list")),
    }
    BytesMut::from(&encode_table(&table)[..])
}

fn publish(out: &mut BytesMut, channel: u16, kind: usize, body: usize) {
    let with_headers = headers(kind);
    let plain = Properties {
        delivery_mode: Some(2),
        ..Properties::default()
    };
    let properties = match kind {
        1 => Properties::default(),
        2 | 3 | 5 => Properties {
            headers: Some(TableRef::new(&with_headers)),
            ..plain
        },
        4 => Properties {
            expiration: Some(b"60000"),
            user_id: Some(b"guest"),
            priority: Some(3),
            ..plain
        },
        6 => Properties {
            expiration: Some(b"soon"),
            ..plain
        },
        7 => Properties {
            user_id: Some(b"another"),
            ..plain
        },
        8 => Properties {
            reply_to: Some(b"amq.rabbitmq.reply-to"),
            ..plain
        },
        _ => plain,
    };
    let at = out.len();
    let body = vec![b'b'; body];
    let exchange = if kind == KIND_NOWHERE { "nowhere" } else { "" };
    out.extend_from_slice(&published(
        channel,
        exchange,
        "q",
        kind == 1,
        &properties,
        &body,
    ));
    if kind == 9 {
        // The last bit of the method: immediate.
        let bits = at + 7 + 4 + 2 + 1 + 2;
        out[bits] |= 2;
    }
}

fn write(out: &mut BytesMut, step: &Step) {
    match *step {
        Step::Publish {
            channel,
            kind,
            body,
        } => publish(out, channel, kind, body),
        Step::Ack {
            channel,
            tag,
            multiple,
        } => {
            let ack = BasicAck {
                delivery_tag: tag,
                multiple,
            };
            write_method(out, channel, &ack);
        }
        Step::Reject(delivery_tag) => {
            let reject = BasicReject {
                delivery_tag,
                requeue: false,
            };
            write_method(out, 3, &reject);
        }
        Step::Heartbeat => write_heartbeat(out),
    }
}

/// Channel 1 publishes with confirms, 2 within a transaction, 3 plainly; 3 holds 20 deliveries of `held`.
fn prepared() -> World {
    let mut world = World::open();
    for channel in 1..4 {
        world.send(channel, &ChannelOpen {});
    }
    world.send(1, &declare("q"));
    world.send(1, &declare("held"));
    world.send(1, &ConfirmSelect { nowait: true });
    world.send(2, &TxSelect {});
    world.consume(3, "held", "t", false);
    for number in 0..20 {
        world.publish(3, "", "held", &[number]);
    }
    world.take();
    world
}

/// What the broker was asked and the peer was told, when it comes in such pieces.
fn outcome(script: &[u8], piece: usize) -> (Vec<String>, Vec<String>, usize, bool) {
    let mut world = prepared();
    world.piece = piece;
    world.one_by_one = piece == 1;
    world.push(script);
    // How many confirms share an ack is a matter of pieces; everything else is not.
    let said = world
        .take()
        .into_iter()
        .filter(|said| !said.contains("basic.ack"))
        .collect();
    let published = world
        .broker
        .published
        .iter()
        .map(|publish| {
            let message = &publish.message;
            let (priority, ttl) = (message.priority(), message.ttl());
            let (properties, body) = (message.properties(), message.body());
            format!("{publish:?} {priority:?} {ttl:?} {properties:?} {body:?}")
        })
        .collect();
    let settled = world.broker.settled.iter().map(|(leases, _)| leases).sum();
    (said, published, settled, world.session.is_done())
}

#[test]
fn acks_of_a_run_are_one_settlement() {
    let mut world = prepared();
    let mut bytes = BytesMut::new();
    for delivery_tag in 1..=20 {
        let ack = BasicAck {
            delivery_tag,
            multiple: false,
        };
        write_method(&mut bytes, 3, &ack);
    }
    world.push(&bytes);
    let leases: Vec<_> = world.broker.settled.iter().map(|one| one.0).collect();
    assert_eq!(leases, [20]);
    // Twice is once too often.
    world.push(&bytes[..21]);
    assert_eq!(
        world.take(),
        ["3 channel.close 406 PRECONDITION_FAILED - unknown delivery tag 1 (60,80)"]
    );
}

#[test]
fn what_is_wrong_in_a_run_ends_it_where_it_is() {
    for kind in KINDS_GOOD..KINDS {
        let mut script = BytesMut::new();
        publish(&mut script, 1, 0, 3);
        publish(&mut script, 1, kind, 3);
        publish(&mut script, 1, 0, 3);
        let (said, published, ..) = outcome(&script, usize::MAX);
        assert_eq!(said.len(), 1, "kind {kind}: {said:?}");
        assert!(said[0].contains("close"), "kind {kind}: {said:?}");
        assert_eq!(published.len(), 21, "kind {kind}");
        assert_eq!(outcome(&script, 1).0, said, "kind {kind}");
    }
}

#[test]
fn deliveries_come_the_same_in_runs_and_one_by_one() {
    let outcome = |one_by_one: bool| {
        let mut world = prepared();
        world.one_by_one = one_by_one;
        world.send(3, &declare("mine"));
        world.consume(3, "mine", "auto", true);
        world.send(1, &declare("others"));
        world.consume(1, "others", "manual", false);
        let mut script = BytesMut::new();
        for (number, key) in ["held", "held", "mine", "others", "held", "none"]
            .into_iter()
            .cycle()
            .take(30)
            .enumerate()
        {
            let body = vec![b'x'; number * 400];
            let plain = Properties::default();
            script.extend_from_slice(&published(3, "", key, true, &plain, &body));
        }
        world.push(&script);
        // A channel that closes drops what is on its way to it, and only that.
        let close = ChannelClose::default();
        write_method(&mut script, 3, &close);
        world.push(&script);
        world.take()
    };
    let said = outcome(true);
    assert!(said.len() > 100, "{}", said.len());
    assert_eq!(outcome(false), said);
}

#[test]
fn a_block_holds_up_publishes_that_come_whole() {
    let mut world = prepared();
    let before = world.broker.published.len();
    world.event(polybus_model::Event::Blocked { reason: "low" });
    let mut script = BytesMut::new();
    write(&mut script, &Step::Heartbeat);
    publish(&mut script, 3, 0, 3);
    world.push(&script);
    assert_eq!(world.broker.published.len(), before);
    assert_eq!(world.take_names(), ["0 connection.blocked"]);
    world.event(polybus_model::Event::Unblocked);
    assert_eq!(world.broker.published.len(), before + 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn runs_do_what_single_bytes_do(
        good in prop::collection::vec(steps(KINDS_GOOD, 20), 0..30),
        all in prop::collection::vec(steps(KIND_NOWHERE, 25), 0..6),
        piece in 1usize..400,
    ) {
        let mut script = BytesMut::new();
        for step in good.iter().chain(&all) {
            write(&mut script, step);
        }
        let by_bytes = outcome(&script, 1);
        prop_assert_eq!(&outcome(&script, usize::MAX), &by_bytes);
        prop_assert_eq!(&outcome(&script, piece), &by_bytes);
    }
}
