use super::world::*;
use crate::codec::*;

#[test]
fn starts_as_rabbitmq_does() {
    let mut world = World::new();
    world.push(&PROTOCOL_HEADER);
    let bytes = world.take_bytes();
    let mut frames = Frames::new(&bytes, 0);
    let Ok(Some(Frame::Method {
        method: Method::ConnectionStart(start),
        ..
    })) = frames.next_frame()
    else {
        unreachable!("no connection.start");
    };
    assert_eq!((start.version_major, start.version_minor), (0, 9));
    assert_eq!(start.mechanisms, b"PLAIN AMQPLAIN");
    assert_eq!(start.locales, b"en_US");
    let names: Vec<_> = start
        .server_properties
        .entries()
        .map(|e| String::from_utf8_lossy(e.name).into_owned())
        .collect();
    assert_eq!(
        names,
        [
            "capabilities",
            "cluster_name",
            "copyright",
            "information",
            "platform",
            "product",
            "version"
        ]
    );
    world.start_ok("PLAIN", b"\0guest\0guest");
    assert_eq!(
        world.take(),
        ["0 connection.tune { channel_max: 2047, frame_max: 131072, heartbeat: 60 }"]
    );
    world.send(
        0,
        &ConnectionTuneOk {
            channel_max: 10,
            frame_max: 8192,
            heartbeat: 5,
        },
    );
    world.send(0, &ConnectionOpen { virtual_host: "/" });
    assert_eq!(world.take(), ["0 connection.open_ok"]);
    let summary = world.session.summary();
    assert_eq!(summary.user.as_deref(), Some("guest"));
    assert_eq!(summary.client.as_deref(), Some("tests 1"));
    assert_eq!(summary.state, "running");
}

#[test]
fn another_version_is_told_ours() {
    for header in [
        &b"AMQP\x00\x00\x0a\x00"[..],
        b"GET / HT",
        b"AMQP\x01\x01\x00\x09",
    ] {
        let mut world = World::new();
        world.push(header);
        assert_eq!(world.take_bytes(), PROTOCOL_HEADER);
        assert!(world.session.is_done());
    }
}

#[test]
fn a_header_may_come_in_pieces() {
    let mut world = World::new();
    world.piece = 1;
    world.shake_hands(131_072, 0);
}

#[test]
fn a_wrong_password_is_told_to_clients_that_can_hear_it() {
    let mut world = World::new();
    world.push(&PROTOCOL_HEADER);
    world.take();
    world.start_ok("PLAIN", b"\0guest\0wrong");
    assert_eq!(
        world.take(),
        [
            "0 connection.close 403 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile. (0,0)"
        ]
    );
    world.send(0, &ConnectionCloseOk {});
    assert!(world.session.is_done());
}

#[test]
fn a_wrong_password_is_met_by_silence_otherwise() {
    let mut world = World::new();
    world.push(&PROTOCOL_HEADER);
    world.take();
    let start_ok = ConnectionStartOk {
        mechanism: "PLAIN",
        response: b"\0guest\0wrong",
        locale: "en_US",
        ..ConnectionStartOk::default()
    };
    world.send(0, &start_ok);
    assert!(world.take_bytes().is_empty() && !world.session.is_done());
    world.wait_until(2_999);
    assert!(!world.session.is_done());
    world.wait_until(3_000);
    assert!(world.session.is_done());
}

#[test]
fn malformed_logins_are_met_by_silence() {
    for (mechanism, response) in [
        ("PLAIN", &b"guest"[..]),
        ("AMQPLAIN", b"\x05LOGIN"),
        ("EXTERNAL", b""),
        ("CRAM-MD5", b""),
    ] {
        let mut world = World::new();
        world.push(&PROTOCOL_HEADER);
        world.take();
        world.start_ok(mechanism, response);
        assert!(world.take_bytes().is_empty() && world.broker.log.is_empty());
        world.wait_until(5_000);
        assert!(world.session.is_done());
    }
}

#[test]
fn a_certificate_logs_in() {
    let mut world = World::of_peer(settings(), Some("client1".to_owned()));
    world.push(&PROTOCOL_HEADER);
    world.take();
    world.start_ok("EXTERNAL", b"");
    assert_eq!(world.take_names(), ["0 connection.tune"]);
    assert_eq!(world.session.summary().user.as_deref(), Some("client1"));
}

#[test]
fn unknown_virtual_hosts_are_refused() {
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
    world.send(
        0,
        &ConnectionOpen {
            virtual_host: "nope",
        },
    );
    assert_eq!(
        world.take(),
        ["0 connection.close 530 NOT_ALLOWED - vhost nope not found (10,40)"]
    );
}

#[test]
fn tuning_above_the_offer_or_below_the_least_is_refused() {
    for (channel_max, frame_max) in [(4000, 131_072), (100, 4095), (100, 200_000)] {
        let mut world = World::new();
        world.push(&PROTOCOL_HEADER);
        world.start_ok("PLAIN", b"\0guest\0guest");
        world.take();
        world.send(
            0,
            &ConnectionTuneOk {
                channel_max,
                frame_max,
                heartbeat: 0,
            },
        );
        assert!(world.take_bytes().is_empty());
        world.wait_until(5_000);
        assert!(world.session.is_done());
    }
}

#[test]
fn a_slow_handshake_is_cut_off() {
    let mut world = World::new();
    world.push(&PROTOCOL_HEADER);
    world.wait_until(9_999);
    assert!(!world.session.is_done());
    world.wait_until(10_000);
    assert!(world.session.is_done());
}

#[test]
fn close_is_answered_and_ends_it() {
    let mut world = World::with_channel();
    world.send(
        0,
        &ConnectionClose {
            reply_code: 200,
            reply_text: "bye",
            class_id: 0,
            method_id: 0,
        },
    );
    assert_eq!(world.take(), ["0 connection.close_ok"]);
    assert!(world.session.is_done());
}

#[test]
fn update_secret_is_answered() {
    let mut world = World::open();
    world.send(
        0,
        &ConnectionUpdateSecret {
            new_secret: b"s",
            reason: "r",
        },
    );
    assert_eq!(world.take(), ["0 connection.update_secret_ok"]);
}

#[test]
fn a_shutdown_is_told() {
    let mut world = World::with_channel();
    world.event(polybus_model::Event::Shutdown {
        reason: "broker forced connection closure with reason 'shutdown'".to_owned(),
    });
    assert_eq!(
        world.take(),
        [
            "0 connection.close 320 CONNECTION_FORCED - broker forced connection closure with reason 'shutdown' (0,0)"
        ]
    );
    assert_eq!(
        world.broker.log.last().map(String::as_str),
        Some("CloseLane")
    );
    world.send(0, &ConnectionCloseOk {});
    assert!(world.session.is_done());
}
