//! Publishing, subscribing, and what is told in between.

use polybus_model::{Body, Event, Message, MessageParts, Origin, SubscriberId, Table, Value};

use polybus_session::Readers;

use super::world::{World, settings};
use crate::settings::Settings;

#[test]
fn what_is_published_reaches_who_has_subscribed() {
    let mut world = World::new();
    let (a, b) = (world.join(), world.join());
    world.send(a, "SUB order.* 1\r\nSUB order.> x7\r\n");
    world.send(
        b,
        "PUB order.created 5\r\nhello\r\nPUB other 1\r\nx\r\nPUB order.a.b re 0\r\n\r\n",
    );
    assert_eq!(
        world.hear(a),
        "MSG order.created 1 5\r\nhello\r\nMSG order.created x7 5\r\nhello\r\nMSG order.a.b x7 re 0\r\n\r\n"
    );
    assert_eq!(world.hear(b), "");
    let traffic = world.clients[0].session.summary().traffic;
    assert_eq!(
        (
            traffic.messages_out,
            traffic.bytes_out,
            traffic.subscriptions
        ),
        (3, 10, 2)
    );
    let traffic = world.clients[1].session.summary().traffic;
    assert_eq!((traffic.messages_in, traffic.bytes_in), (3, 6));
}

#[test]
fn headers_go_to_who_reads_them() {
    let mut world = World::new();
    let (a, b) = (world.join(), world.join_plainly());
    world.send(a, "SUB s 1\r\n");
    world.send(b, "SUB s 2\r\n");
    world.send(a, "HPUB s re 15 17\r\nNATS/1.0\r\nA:1\r\nhi\r\n");
    assert_eq!(
        world.hear(a),
        "HMSG s 1 re 15 17\r\nNATS/1.0\r\nA:1\r\nhi\r\n"
    );
    assert_eq!(world.hear(b), "MSG s 2 re 2\r\nhi\r\n");
    world.send(b, "HPUB s 3 3\r\nH:1\r\n");
    assert_eq!(world.hear(b), "-ERR 'message headers not supported'\r\n");
    assert!(world.clients[b].session.is_done());
}

#[test]
fn a_line_as_nobody_writes_it_is_written_anew() {
    let mut world = World::new();
    let a = world.join();
    world.send(a, "SUB s 1\r\nPUB  s   re   002\nhi\r\n");
    assert_eq!(world.hear(a), "MSG s 1 re 2\r\nhi\r\n");
}

#[test]
fn pong_comes_after_what_was_published_before_its_ping() {
    let mut world = World::new();
    let a = world.join();
    world.send(a, "SUB s 1\r\nPUB s 1\r\nx\r\nPING\r\n");
    assert_eq!(world.hear(a), "MSG s 1 1\r\nx\r\nPONG\r\n");
    // A client that drains gets what was on its way.
    world.send(a, "PUB s 1\r\ny\r\nUNSUB 1\r\nPING\r\nPUB s 1\r\nz\r\n");
    assert_eq!(world.hear(a), "MSG s 1 1\r\ny\r\nPONG\r\n");
}

#[test]
fn unsub_counts_from_the_beginning() {
    let mut world = World::new();
    let a = world.join();
    world.send(
        a,
        "SUB s 1\r\nUNSUB 1 2\r\nPUB s 0\r\n\r\nPUB s 0\r\n\r\nPUB s 0\r\n\r\n",
    );
    assert_eq!(world.hear(a), "MSG s 1 0\r\n\r\nMSG s 1 0\r\n\r\n");
    assert_eq!(world.clients[a].session.summary().traffic.subscriptions, 0);
    world.send(
        a,
        "SUB s 1\r\nPUB s 0\r\n\r\nPUB s 0\r\n\r\nUNSUB 1 1\r\nPUB s 0\r\n\r\n",
    );
    assert_eq!(world.hear(a), "MSG s 1 0\r\n\r\nMSG s 1 0\r\n\r\n");
    world.send(a, "UNSUB unknown\r\nPING\r\n");
    assert_eq!(world.hear(a), "PONG\r\n");
}

#[test]
fn a_client_without_echo_does_not_hear_itself() {
    let mut world = World::new();
    let (a, b) = (world.join_saying(",\"echo\":false"), world.join());
    world.send(a, "SUB s 1\r\nPUB s 0\r\n\r\n");
    assert_eq!(world.hear(a), "");
    world.send(b, "PUB s 0\r\n\r\n");
    assert_eq!(world.hear(a), "MSG s 1 0\r\n\r\n");
}

#[test]
fn a_request_that_nobody_hears_is_answered() {
    let mut world = World::new();
    let (a, b) = (world.join(), world.join());
    world.send(
        a,
        "SUB _INBOX.x.* 4\r\nPUB service _INBOX.x.1 0\r\n\r\nPUB service elsewhere 0\r\n\r\n",
    );
    assert_eq!(
        world.hear(a),
        "HMSG _INBOX.x.1 4 39 39\r\nNATS/1.0 503\r\nNats-Subject: service\r\n\r\n\r\n"
    );
    world.send(b, "SUB service 1\r\n");
    world.send(a, "PUB service _INBOX.x.2 1\r\n?\r\n");
    assert_eq!(world.hear(b), "MSG service 1 _INBOX.x.2 1\r\n?\r\n");
    world.send(b, "PUB _INBOX.x.2 1\r\n!\r\n");
    assert_eq!(world.hear(a), "MSG _INBOX.x.2 4 1\r\n!\r\n");
}

#[test]
fn what_is_refused_is_told_and_the_rest_goes_on() {
    let mut world = World::with(Settings {
        subscriptions_max: 4,
        ..settings()
    });
    let a = world.join();
    world.send(
        a,
        "SUB s 1\r\nSUB secret 2\r\nSUB secret q 3\r\nSUB a..b 4\r\nSUB b 5\r\nSUB c 6\r\n",
    );
    world.send(a, "PUB secret 0\r\n\r\nPUB s 0\r\n\r\nPING\r\n");
    let told = world.hear(a);
    let lines: Vec<&str> = told.split("\r\n").collect();
    let expected = [
        "-ERR 'Invalid Subject'",
        "-ERR 'maximum subscriptions exceeded'",
        "-ERR 'Permissions Violation for Subscription to \"secret\"'",
        "-ERR 'Permissions Violation for Subscription to \"secret\" using queue \"q\"'",
    ];
    for text in expected {
        assert!(lines.contains(&text), "{text} in {told}");
    }
    assert!(
        told.contains("-ERR 'Permissions Violation for Publish to \"secret\"'"),
        "{told}"
    );
    assert!(
        told.contains("MSG s 1 0\r\n\r\n") && told.ends_with("PONG\r\n"),
        "{told}"
    );
}

#[test]
fn what_cannot_be_read_ends_the_connection_with_words() {
    for (bytes, text) in [
        ("HELLO\r\n", "Unknown Protocol Operation"),
        ("PUB s 5\r\nhello!\r\n", "Unknown Protocol Operation"),
        ("PUB s 1048577\r\n", "Maximum Payload Violation"),
        ("CONNECT {\"protocol\":2}\r\n", "invalid client protocol"),
        (
            "CONNECT {\"no_responders\":true}\r\n",
            "no responders requires headers support",
        ),
        ("CONNECT nothing\r\n", "Unknown Protocol Operation"),
    ] {
        let mut world = World::new();
        let a = world.join();
        world.send(a, bytes);
        assert_eq!(world.hear(a), format!("-ERR '{text}'\r\n"), "{bytes}");
        assert!(world.clients[a].session.is_done());
    }
    let mut world = World::new();
    let a = world.join();
    world.send(a, &format!("SUB {} 1\r\n", "a".repeat(100_000)));
    assert_eq!(world.hear(a), "-ERR 'maximum control line exceeded'\r\n");
}

#[test]
fn the_silent_are_asked_and_given_up_and_the_rest_is_left_in_peace() {
    let mut world = World::new();
    let (a, b) = (world.join(), world.join());
    world.wait(119_000);
    world.send(b, "PUB s 0\r\n\r\n");
    world.wait(2_000);
    assert_eq!(
        (world.hear(a), world.hear(b)),
        ("PING\r\n".to_owned(), String::new())
    );
    world.send(a, "PONG\r\n");
    world.wait(400_000);
    assert!(
        world
            .hear(a)
            .ends_with("PING\r\nPING\r\n-ERR 'Stale Connection'\r\n")
    );
    assert!(world.clients[a].session.is_done());
}

#[test]
fn when_the_broker_stops_clients_are_told_and_let_go() {
    let mut world = World::new();
    let a = world.join();
    world.tell(
        a,
        Event::Shutdown {
            reason: String::new(),
        },
    );
    let told = world.hear(a);
    assert!(
        told.starts_with("INFO {") && told.contains("\"ldm\":true"),
        "{told}"
    );
    assert!(!world.clients[a].session.is_done());
    world.wait(1_000);
    assert!(world.clients[a].session.is_done());
}

#[test]
fn a_client_that_reads_too_little_is_cut_off() {
    let mut world = World::new();
    let a = world.join();
    world.tell(a, Event::TooSlow { pending: 1 });
    assert_eq!(world.hear(a), "-ERR 'Slow Consumer'\r\n");
    assert!(world.clients[a].session.is_done());
}

#[test]
fn messages_of_others_have_their_headers_and_only_valid_subjects_come() {
    let mut world = World::with(Settings {
        readers: Readers::new(
            |_| {
                let mut table = Table::new();
                table.push("kind", Value::text("a\r\nb"));
                table.push("n", Value::I32(5));
                table.push("no:name", Value::I32(5));
                table.push("list", Value::Array(Vec::new()));
                table
            },
            |_, name| match name {
                "reply_to" => Some("answers".into()),
                "message_id" => Some("m1".into()),
                _ => None,
            },
        ),
        ..settings()
    });
    let a = world.join();
    world.send(a, "SUB > 1\r\n");
    for key in ["order.created", "two words", "", "a..b", "a.*"] {
        let message = Message::new(MessageParts {
            origin: Origin(1),
            topic: b"amq.topic",
            key: key.as_bytes(),
            properties: b"",
            body: Body::Copied(b"body"),
            durable: false,
            priority: None,
            ttl: None,
            deaths: None,
        });
        world.tell_message(a, SubscriberId(0), message);
    }
    assert_eq!(
        world.hear(a),
        "HMSG order.created 1 answers 47 51\r\nNATS/1.0\r\nNats-Msg-Id: m1\r\nkind: a  b\r\nn: 5\r\n\r\nbody\r\n"
    );
}
