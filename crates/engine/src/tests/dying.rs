//! Time to live, limits, dead letters, delays.

use bytes::Bytes;
use polybus_model::{
    DeadLetter, DeathReason, DelayedRetry, Event, Outcome, Overflow, QueueKind, QueueSettings,
    Reply, Request, Returns, TopicKind, TopicSettings,
};

use super::desk::{
    Desk, bodies, deliveries, durable, message, message_with, name, publish, subscribe,
};

fn to(topic: &str, key: Option<&str>) -> Option<DeadLetter> {
    Some(DeadLetter {
        topic: name(topic),
        key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
    })
}

fn send_ttl(desk: &mut Desk, queue: &str, body: &str, ttl: u64) -> super::desk::Told {
    let message = message_with("", queue, body, |parts| parts.ttl = Some(ttl));
    desk.batch(1, vec![Request::Publish(publish(message))])
}

#[test]
fn messages_expire_at_the_head_and_are_dead_lettered_with_their_history() {
    let mut desk = Desk::new();
    desk.declare("dead", durable());
    desk.declare(
        "q",
        QueueSettings {
            dead_letter: to("", Some("dead")),
            ..durable()
        },
    );
    send_ttl(&mut desk, "q", "long", 1_000);
    send_ttl(&mut desk, "q", "short", 10);
    desk.wait(500);
    assert!(desk.take(2, "dead").is_none(), "only the head expires");
    desk.wait(500);
    let first = desk.take(2, "dead").unwrap();
    assert_eq!(first.message.body(), b"long");
    let death = &first.message.deaths().unwrap()[0];
    assert_eq!(death.reason, DeathReason::Expired);
    assert_eq!((death.queue.as_str(), death.count), ("q", 1));
    assert_eq!(death.keys, [Bytes::from_static(b"q")]);
    assert_eq!(death.original_ttl, Some(1_000));
    assert_eq!(first.message.ttl(), None);
    assert_eq!(first.message.key(), b"dead");
    assert_eq!(desk.take(2, "dead").unwrap().message.body(), b"short");
}

#[test]
fn a_ttl_of_nothing_expires_unless_a_consumer_is_ready() {
    let mut desk = Desk::new();
    desk.declare("q", durable());
    send_ttl(&mut desk, "q", "gone", 0);
    assert!(desk.take(2, "q").is_none());
    desk.subscribe(2, subscribe("q", 1));
    assert_eq!(bodies(send_ttl(&mut desk, "q", "there", 0)), ["there"]);
    assert_eq!(desk.shelf.live(), 1);
}

#[test]
fn a_rejected_message_may_go_round_and_an_expired_one_not() {
    let mut desk = Desk::new();
    desk.declare(
        "loop",
        QueueSettings {
            dead_letter: to("", Some("loop")),
            message_ttl: Some(100),
            ..durable()
        },
    );
    desk.send("loop", &["x"]);
    for round in 0..3 {
        let taken = desk.take(2, "loop").unwrap();
        let count = taken.message.deaths().map_or(0, |deaths| deaths[0].count);
        assert_eq!(count, round);
        desk.settle(2, taken.lease.into_iter().collect(), Outcome::Reject);
    }
    desk.wait(100);
    // The last death but one was a rejection of the same queue: the cycle goes back only to the newest entry of it.
    assert!(desk.take(2, "loop").is_none());
    assert_eq!(desk.shelf.live(), 0);
}

#[test]
fn full_queues_drop_their_head_or_refuse() {
    let mut desk = Desk::new();
    desk.declare("dead", durable());
    desk.declare(
        "drop",
        QueueSettings {
            max_length: Some(2),
            dead_letter: to("", Some("dead")),
            ..durable()
        },
    );
    desk.send("drop", &["a", "b", "c", "d"]);
    assert_eq!(desk.drain("drop"), ["c", "d"]);
    assert_eq!(desk.drain("dead"), ["a", "b"]);
    desk.declare(
        "refuse",
        QueueSettings {
            max_bytes: Some(3),
            overflow: Overflow::RejectPublishDeadLetter,
            dead_letter: to("", Some("dead")),
            ..durable()
        },
    );
    let mut requests = Vec::new();
    for (number, body) in [(1, "xx"), (2, "yy"), (3, "z")] {
        let mut publish = publish(message("", "refuse", body));
        publish.confirm = Some(number);
        requests.push(Request::Publish(publish));
    }
    let told: Vec<_> = desk
        .batch(1, requests)
        .into_iter()
        .map(|(_, event)| match event {
            Event::Refused { number, .. } => ("refused", number),
            Event::Confirmed { through, .. } => ("confirmed", through),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, [("refused", 2), ("confirmed", 3)]);
    assert_eq!(desk.drain("refuse"), ["xx", "z"]);
    let dead = desk.take(2, "dead").unwrap();
    assert_eq!(dead.message.body(), b"yy");
    assert_eq!(
        dead.message.deaths().unwrap()[0].reason,
        DeathReason::MaxLength
    );
}

#[test]
fn a_length_of_nothing_keeps_only_what_is_delivered_at_once() {
    let mut desk = Desk::new();
    let settings = QueueSettings {
        max_length: Some(0),
        ..durable()
    };
    desk.declare("q", settings);
    desk.send("q", &["lost"]);
    desk.subscribe(2, subscribe("q", 1));
    assert_eq!(bodies(desk.send("q", &["a", "b"])), ["a", "b"]);
}

#[test]
fn quorum_queues_count_failures_up_to_their_limit() {
    let mut desk = Desk::new();
    desk.declare("dead", durable());
    desk.declare(
        "q",
        QueueSettings {
            kind: QueueKind::Quorum,
            delivery_limit: Some(1),
            dead_letter: to("", Some("dead")),
            ..durable()
        },
    );
    desk.send("q", &["x"]);
    let release = |failed| Outcome::Release { failed };
    for (failed, attempts) in [
        (false, None),
        (true, Some((0, 1))),
        (false, Some((1, 2))),
        (true, Some((1, 3))),
    ] {
        let taken = desk.take(2, "q").unwrap();
        let seen = taken.attempts.map(|one| (one.failed, one.all));
        assert_eq!(seen, attempts);
        desk.settle(2, taken.lease.into_iter().collect(), release(failed));
    }
    assert!(desk.take(2, "q").is_none());
    let dead = desk.take(2, "dead").unwrap();
    let reason = dead.message.deaths().unwrap()[0].reason;
    assert_eq!(reason, DeathReason::DeliveryLimit);
}

#[test]
fn only_returns_of_the_kind_named_wait() {
    for (of, waits) in [
        (Returns::All, [true, true]),
        (Returns::Failed, [true, false]),
        (Returns::Unfailed, [false, true]),
    ] {
        for (failed, waits) in [true, false].into_iter().zip(waits) {
            let mut desk = Desk::new();
            let (min, max) = (10, 10);
            let settings = QueueSettings {
                kind: QueueKind::Quorum,
                delayed_retry: Some(DelayedRetry { of, min, max }),
                ..durable()
            };
            desk.declare("q", settings);
            desk.send("q", &["x"]);
            let taken = desk.take(2, "q").unwrap();
            let release = Outcome::Release { failed };
            desk.settle(2, taken.lease.into_iter().collect(), release);
            assert_eq!(desk.take(2, "q").is_none(), waits, "{of:?} {failed}");
        }
    }
}

#[test]
fn a_returned_message_waits_for_its_retry() {
    let mut desk = Desk::new();
    desk.declare(
        "q",
        QueueSettings {
            kind: QueueKind::Quorum,
            delayed_retry: Some(DelayedRetry {
                of: Returns::All,
                min: 10,
                max: 15,
            }),
            ..durable()
        },
    );
    desk.send("q", &["x", "y"]);
    for wait in [10, 15, 15] {
        let taken = desk.take(2, "q").unwrap();
        assert_eq!(taken.message.body(), b"x");
        let release = Outcome::Release { failed: true };
        desk.settle(2, taken.lease.into_iter().collect(), release);
        desk.wait(wait - 1);
        let next = desk.take(2, "q").unwrap();
        assert_eq!(next.message.body(), b"y");
        let back = Outcome::Release { failed: false };
        desk.settle(2, next.lease.into_iter().collect(), back);
        desk.wait(10);
    }
}

#[test]
fn a_delayed_message_is_routed_when_it_is_due() {
    let mut desk = Desk::new();
    desk.declare("q", durable());
    let settings = TopicSettings {
        kind: TopicKind::Fanout,
        delayed: true,
        durable: true,
        auto_delete: false,
        internal: false,
        alternate: None,
        arguments: polybus_model::Table::new(),
    };
    let binding = polybus_model::Binding {
        source: name("later"),
        destination: polybus_model::Destination::Queue(name("q")),
        key: Bytes::new(),
        arguments: polybus_model::Table::new(),
    };
    desk.batch(
        1,
        vec![
            Request::DeclareTopic {
                name: name("later"),
                settings: Some(Box::new(settings)),
            },
            Request::Bind(Box::new(binding)),
        ],
    );
    let mut requests = Vec::new();
    for (body, delay) in [("c", Some(300)), ("a", None), ("b", Some(100))] {
        let mut publish = publish(message("later", "k", body));
        publish.delay = delay;
        requests.push(Request::Publish(publish));
    }
    desk.batch(1, requests);
    assert_eq!(desk.drain("q"), ["a"]);
    desk.wait(100);
    let delayed = desk.take(4, "q").unwrap();
    assert_eq!(delayed.message.body(), b"b");
    assert!(delayed.message.marks().delayed);
    desk.settle(4, delayed.lease.into_iter().collect(), Outcome::Accept);
    desk.wait(200);
    assert_eq!(desk.drain("q"), ["c"]);
    assert_eq!(desk.shelf.live(), 0);
}

#[test]
fn dead_letters_do_not_overtake_each_other_and_priorities_hold() {
    let mut desk = Desk::new();
    desk.declare("dead", durable());
    desk.declare(
        "q",
        QueueSettings {
            max_priority: Some(5),
            dead_letter: to("", Some("dead")),
            ..durable()
        },
    );
    let requests = [("a", None), ("b", Some(9)), ("c", Some(5)), ("d", Some(1))]
        .into_iter()
        .map(|(body, priority)| {
            let message = message_with("", "q", body, |parts| parts.priority = priority);
            Request::Publish(publish(message))
        })
        .collect();
    desk.batch(1, requests);
    let got = deliveries(desk.subscribe(2, subscribe("q", 1)));
    let order: Vec<_> = got.iter().map(super::desk::body).collect();
    assert_eq!(order, ["b", "c", "d", "a"]);
    let leases = got.iter().filter_map(|one| one.lease).collect();
    desk.settle(2, leases, Outcome::Reject);
    assert_eq!(desk.drain("dead"), ["b", "c", "d", "a"]);
}

#[test]
fn an_unused_queue_expires() {
    let mut desk = Desk::new();
    let settings = QueueSettings {
        expires: Some(100),
        ..durable()
    };
    desk.declare("q", settings);
    desk.wait(90);
    desk.take(2, "q");
    desk.wait(90);
    desk.subscribe(2, subscribe("q", 1));
    desk.wait(500);
    assert_eq!(desk.engine.queues("/").len(), 1);
    desk.detach(2);
    desk.wait(100);
    assert!(desk.engine.queues("/").is_empty());
    let told = desk.batch(1, vec![Request::Purge { queue: name("q") }]);
    assert!(matches!(told[0].1, Event::Reply { result: Err(_), .. }));
    let told = desk.batch(
        1,
        vec![Request::DeleteQueue {
            name: name("q"),
            if_unused: false,
            if_empty: false,
        }],
    );
    assert!(matches!(
        told[0].1,
        Event::Reply {
            result: Ok(Reply::Count(0)),
            ..
        }
    ));
}
