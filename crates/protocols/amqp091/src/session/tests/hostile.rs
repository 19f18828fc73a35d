use bytes::{BufMut, BytesMut};
use polybus_model::{Table, Value};
use proptest::prelude::*;

use super::world::*;
use crate::codec::*;

fn frame(kind: u8, channel: u16, payload: &[u8], end: u8) -> BytesMut {
    let mut bytes = BytesMut::new();
    bytes.put_u8(kind);
    bytes.put_u16(channel);
    bytes.put_u32(payload.len() as u32);
    bytes.extend_from_slice(payload);
    bytes.put_u8(end);
    bytes
}

fn answer(bytes: &[u8]) -> String {
    let mut world = World::with_channel();
    world.push(bytes);
    let said = world.take();
    assert_eq!(said.len(), 1, "{said:?}");
    said.into_iter().next().unwrap_or_default()
}

#[test]
fn bad_frames_end_the_connection_as_measured() {
    for (bytes, text) in [
        (
            frame(9, 1, b"zz", 0xce),
            "501 FRAME_ERROR - type 9, all octets = <<\"zz\">>: unknown_frame (0,0)",
        ),
        (
            frame(1, 1, b"abcd", 0),
            "501 FRAME_ERROR - type 1, all octets = <<\"abcd\">>: {invalid_frame_end_marker,0} (0,0)",
        ),
        (
            frame(8, 1, b"", 0xce),
            "505 UNEXPECTED_FRAME - type 8, all octets = <<>> (0,0)",
        ),
        (
            frame(8, 0, b"abc", 0xce),
            "501 FRAME_ERROR - type 8, all octets = <<\"abc\">>: unknown_frame (0,0)",
        ),
        (
            frame(2, 1, &[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0xce),
            "505 UNEXPECTED_FRAME - expected method frame, got non method frame instead (0,0)",
        ),
        (
            frame(3, 1, b"abc", 0xce),
            "505 UNEXPECTED_FRAME - expected method frame, got non method frame instead (0,0)",
        ),
        (
            frame(1, 1, &[0, 50, 0, 10, 0], 0xce),
            "501 FRAME_ERROR - cannot decode <<0>> (50,10)",
        ),
        (
            frame(1, 0, &[0, 20, 0, 10, 0], 0xce),
            "504 CHANNEL_ERROR - unexpected method in connection state running (20,10)",
        ),
    ] {
        assert_eq!(answer(&bytes), format!("0 connection.close {text}"));
    }
    let mut too_large = frame(3, 1, b"", 0xce);
    too_large[3..7].copy_from_slice(&200_000u32.to_be_bytes());
    let said = answer(&too_large);
    assert!(said.contains("{frame_too_large,200000,131064}"), "{said}");
}

#[test]
fn methods_of_servers_are_refused() {
    let mut bytes = BytesMut::new();
    write_method(&mut bytes, 1, &QueueDeclareOk::default());
    assert_eq!(
        answer(&bytes),
        "0 connection.close 503 COMMAND_INVALID - unimplemented method (50,11)"
    );
    let mut bytes = BytesMut::new();
    write_method(&mut bytes, 1, &ConnectionClose::default());
    assert_eq!(
        answer(&bytes),
        "0 connection.close 503 COMMAND_INVALID - unimplemented method (10,50)"
    );
}

#[test]
fn content_out_of_order_is_refused() {
    let publish = BasicPublish {
        routing_key: "q".into(),
        ..BasicPublish::default()
    };
    let begin = || {
        let mut bytes = BytesMut::new();
        write_method(&mut bytes, 1, &publish);
        bytes
    };
    let mut body = begin();
    write_body(&mut body, 1, b"x", 4096);
    assert_eq!(
        answer(&body),
        "0 connection.close 505 UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead (60,40)"
    );
    let mut method = begin();
    write_method(&mut method, 1, &publish);
    assert_eq!(answer(&method), answer(&body));
    let mut other_class = begin();
    other_class.extend_from_slice(&frame(
        2,
        1,
        &[0, 50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        0xce,
    ));
    assert_eq!(
        answer(&other_class),
        "0 connection.close 505 UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead (60,40)"
    );
    let mut early = begin();
    write_header(&mut early, 1, 5, PropertiesRef::NONE);
    write_body(&mut early, 1, b"ab", 4096);
    let mut longer = early.clone();
    write_method(&mut early, 1, &publish);
    assert_eq!(
        answer(&early),
        "0 connection.close 505 UNEXPECTED_FRAME - expected content body, got non content body frame instead (60,40)"
    );
    write_body(&mut longer, 1, b"too much", 4096);
    assert_eq!(
        answer(&longer),
        "0 connection.close 501 FRAME_ERROR - content body frame exceeds remaining content size (60,40)"
    );
}

#[test]
fn a_body_in_many_parts_with_empty_ones_is_taken() {
    let mut world = World::with_channel();
    let mut bytes = BytesMut::new();
    write_method(
        &mut bytes,
        1,
        &BasicPublish {
            routing_key: "q".into(),
            ..BasicPublish::default()
        },
    );
    write_header(&mut bytes, 1, 5, PropertiesRef::NONE);
    for part in [&b""[..], b"ab", b"", b"cde"] {
        bytes.extend_from_slice(&frame(3, 1, part, 0xce));
    }
    world.push(&bytes);
    assert_eq!(world.broker.published[0].message.body(), b"abcde");
}

#[test]
fn immediate_is_refused() {
    let mut bytes = BytesMut::new();
    write_method(
        &mut bytes,
        1,
        &BasicPublish {
            immediate: true,
            ..BasicPublish::default()
        },
    );
    assert_eq!(
        answer(&bytes),
        "0 connection.close 540 NOT_IMPLEMENTED - immediate=true (60,40)"
    );
}

#[test]
fn bad_properties_end_the_connection() {
    let mut bytes = BytesMut::new();
    write_method(&mut bytes, 1, &BasicPublish::default());
    bytes.extend_from_slice(&frame(
        2,
        1,
        &[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x80, 0, 200],
        0xce,
    ));
    assert_eq!(
        answer(&bytes),
        "0 connection.close 541 INTERNAL_ERROR (0,0)"
    );
}

#[test]
fn tables_nested_deeper_than_any_are_refused() {
    let mut table = Table::new();
    for _ in 0..1_200 {
        let mut outer = Table::new();
        outer.push("t", Value::Table(table));
        table = outer;
    }
    let arguments = encode_table(&table);
    let mut bytes = BytesMut::new();
    write_method(
        &mut bytes,
        1,
        &QueueDeclare {
            arguments: TableRef::new(&arguments),
            ..declare("q")
        },
    );
    assert!(answer(&bytes).starts_with("0 connection.close 502 SYNTAX_ERROR"));
    let mut world = World::new();
    world.push(&PROTOCOL_HEADER);
    world.take();
    let start = ConnectionStartOk {
        client_properties: TableRef::new(&arguments),
        mechanism: "PLAIN",
        response: b"\0guest\0guest",
        locale: "",
    };
    world.send(0, &start);
    assert!(world.take().is_empty() && world.broker.log.is_empty());
    world.wait_until(3_000);
    assert!(world.session.is_done());
    // A chain of tables unwinds one by one when it is dropped.
    while let Some((_, Value::Table(inner))) = table.0.pop() {
        table = inner;
    }
}

#[test]
fn before_it_is_open_a_stranger_gets_no_answer() {
    for bytes in [
        frame(1, 0, &[0, 10, 0, 40, 1, b'/', 0, 0], 0xce),
        frame(1, 1, &[0, 20, 0, 10, 0], 0xce),
        frame(3, 1, b"abc", 0xce),
        frame(9, 0, b"", 0xce),
        frame(1, 0, &vec![0; 9_000], 0xce),
    ] {
        let mut world = World::new();
        world.push(&PROTOCOL_HEADER);
        world.take();
        world.push(&bytes);
        assert!(world.take().is_empty() && world.broker.log.is_empty());
        world.push(&bytes);
        world.wait_until(3_000);
        assert!(world.session.is_done());
    }
}

#[test]
fn a_channel_before_the_virtual_host_is_refused() {
    let mut world = World::new();
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
    world.take();
    world.send(1, &ChannelOpen {});
    assert_eq!(
        world.take(),
        ["0 connection.close 505 UNEXPECTED_FRAME - type 1, all octets = <<0,20,0,10,0>> (0,0)"]
    );
}

/// What a client of some skill sends in a session, with a bit of everything.
fn script() -> BytesMut {
    let mut bytes = BytesMut::new();
    let out = &mut bytes;
    for channel in [1, 2] {
        write_method(out, channel, &ChannelOpen {});
    }
    write_method(out, 1, &declare("q"));
    write_method(out, 1, &declare("q2"));
    write_method(out, 1, &ConfirmSelect { nowait: false });
    write_method(
        out,
        2,
        &BasicConsume {
            queue: "q2",
            consumer_tag: "t",
            nowait: true,
            ..BasicConsume::default()
        },
    );
    for body in [&b"one"[..], b"", &[7; 10_000]] {
        let properties = Properties {
            delivery_mode: Some(2),
            message_id: Some(b"id"),
            ..Properties::default()
        };
        out.extend_from_slice(&published(1, "", "q", false, &properties, body));
    }
    for _ in 0..3 {
        write_method(
            out,
            2,
            &BasicGet {
                queue: "q",
                no_ack: false,
            },
        );
    }
    write_method(
        out,
        2,
        &BasicAck {
            delivery_tag: 2,
            multiple: true,
        },
    );
    write_method(
        out,
        2,
        &BasicReject {
            delivery_tag: 3,
            requeue: false,
        },
    );
    out.extend_from_slice(&published(
        1,
        "",
        "none",
        true,
        &Properties::default(),
        b"back",
    ));
    write_method(out, 1, &ChannelClose::default());
    write_method(out, 0, &ConnectionClose::default());
    bytes
}

#[test]
fn a_session_is_the_same_in_whatever_pieces_it_comes() {
    let script = script();
    let outcome = |piece: usize| {
        let mut world = World::open();
        world.piece = piece;
        world.push(&script);
        assert!(world.session.is_done());
        // How many confirms share an ack is a matter of pieces; everything else is not.
        let mut said: Vec<String> = world
            .take()
            .into_iter()
            .filter(|s| !s.contains("basic.ack"))
            .collect();
        said.sort();
        let bodies: Vec<_> = world
            .broker
            .published
            .iter()
            .map(|p| p.message.body().to_vec())
            .collect();
        (said, bodies)
    };
    let whole = outcome(1 << 20);
    for piece in [1, 2, 3, 7, 100, 4097] {
        assert!(outcome(piece) == whole, "in pieces of {piece}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn noise_is_survived(noise in prop::collection::vec(any::<u8>(), 0..400), cut in 0usize..400) {
        for mut world in [World::new(), World::with_channel()] {
            world.push(&noise[..cut.min(noise.len())]);
            world.push(noise.get(cut..).unwrap_or_default());
            world.take_bytes();
        }
    }

    #[test]
    fn a_script_with_bytes_changed_is_survived(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), piece in 1usize..5000) {
        let mut bytes = script();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut world = World::open();
        world.piece = piece;
        world.push(&bytes);
        world.take();
        let now = world.now + 1_000_000;
        world.wait_until(now);
        prop_assert!(world.session.is_done());
    }

    #[test]
    fn frames_in_any_order_are_survived(order in prop::collection::vec(any::<prop::sample::Index>(), 0..40)) {
        let script = script();
        let mut frames = Frames::new(&script, 0);
        let mut cuts = vec![0];
        while let Ok(Some(_)) = frames.next_frame() {
            cuts.push(frames.consumed());
        }
        let mut world = World::open();
        for pick in order {
            let at = pick.index(cuts.len() - 1);
            world.push(&script[cuts[at]..cuts[at + 1]]);
        }
        world.take();
    }
}
