//! Credit, turns, exclusivity, flow.

use bytes::Bytes;
use polybus_model::{
    Binding, Destination, Event, Kind, Outcome, QueueKind, QueueSettings, Request, SessionId,
    Settle, SubscriberId, Table, TopicKind, TopicSettings,
};

use super::desk::{
    Desk, bodies, body, deliveries, durable, message, message_with, name, publish, subscribe,
};
use crate::Options;

fn who(told: super::desk::Told) -> Vec<u32> {
    deliveries(told)
        .iter()
        .map(|delivery| delivery.subscriber.0)
        .collect()
}

#[test]
fn competing_consumers_take_turns_and_higher_priorities_come_first() {
    let mut desk = Desk::new();
    desk.declare("q", durable());
    for number in [1, 2, 3] {
        desk.subscribe(2, subscribe("q", number));
    }
    assert_eq!(who(desk.send("q", &["a", "b", "c", "d"])), [1, 2, 3, 1]);
    let mut first = subscribe("q", 9);
    first.priority = 1;
    first.credit = Some(2);
    desk.subscribe(3, first);
    assert_eq!(who(desk.send("q", &["e", "f", "g", "h"])), [9, 9, 2, 3]);
}

#[test]
fn credit_bounds_what_a_consumer_and_a_lane_hold() {
    let mut desk = Desk::new();
    desk.declare("q", durable());
    desk.batch(2, vec![Request::LaneCredit { limit: Some(3) }]);
    let mut one = subscribe("q", 1);
    one.credit = Some(2);
    desk.subscribe(2, one);
    desk.subscribe(2, subscribe("q", 2));
    let got = deliveries(desk.send("q", &["a", "b", "c", "d", "e"]));
    assert_eq!(got.len(), 3);
    let lease = got[1].lease.into_iter().collect();
    let more = desk.settle(2, lease, Outcome::Accept);
    assert_eq!(bodies(more), ["d"]);
    let more = desk.batch(2, vec![Request::LaneCredit { limit: None }]);
    assert_eq!(bodies(more), ["e"]);
}

#[test]
fn what_ends_as_it_comes_is_not_stored() {
    let mut desk = Desk::new();
    desk.declare("q", durable());
    let mut auto = subscribe("q", 1);
    auto.auto_settle = true;
    desk.subscribe(2, auto);
    let before = desk.shelf.records.len();
    assert_eq!(bodies(desk.send("q", &["a", "b"])), ["a", "b"]);
    assert_eq!(desk.shelf.records.len(), before);
    // For one that acknowledges it is stored.
    desk.subscribe(3, subscribe("q", 2));
    let got = deliveries(desk.send("q", &["c", "d"]));
    assert_eq!(got.iter().filter(|one| one.lease.is_some()).count(), 1);
    assert_eq!(desk.shelf.live(), 1);
}

#[test]
fn what_is_leased_as_it_comes_is_stored_and_returns_to_its_place() {
    let mut desk = Desk::new();
    desk.declare("q", durable());
    let mut one = subscribe("q", 1);
    one.credit = Some(2);
    desk.subscribe(2, one);
    let got = deliveries(desk.send("q", &["a", "b", "c"]));
    assert_eq!(got.iter().map(body).collect::<Vec<_>>(), ["a", "b"]);
    assert!(
        got.iter()
            .all(|one| one.lease.is_some() && !one.redelivered)
    );
    assert_eq!(desk.shelf.live(), 3);
    // One comes back and another is published in the same batch: the one that came back goes first.
    let lease = got[0].lease.into_iter().collect();
    let released = Request::Settle(Settle {
        leases: lease,
        outcome: Outcome::Release { failed: false },
    });
    let published = Request::Publish(publish(message("", "q", "d")));
    let again = deliveries(desk.batch(2, vec![released, published]));
    assert_eq!(again.len(), 1);
    assert_eq!(
        (body(&again[0]), again[0].redelivered),
        ("a".to_owned(), true)
    );
    desk.detach(2);
    assert_eq!(desk.drain("q"), ["a", "b", "c", "d"]);
    assert_eq!(desk.shelf.live(), 0);
}

#[test]
fn the_credit_that_one_message_uses_in_two_queues_is_counted_once_for_each() {
    let mut desk = Desk::new();
    let fanout = TopicSettings {
        kind: TopicKind::Fanout,
        delayed: false,
        durable: true,
        auto_delete: false,
        internal: false,
        alternate: None,
        arguments: Table::new(),
    };
    let mut requests = vec![Request::DeclareTopic {
        name: name("t"),
        settings: Some(Box::new(fanout)),
    }];
    for queue in ["q1", "q2"] {
        desk.declare(queue, durable());
        requests.push(Request::Bind(Box::new(Binding {
            source: name("t"),
            destination: Destination::Queue(name(queue)),
            key: Bytes::new(),
            arguments: Table::new(),
        })));
    }
    desk.batch(1, requests);
    desk.batch(2, vec![Request::LaneCredit { limit: Some(1) }]);
    desk.subscribe(2, subscribe("q1", 1));
    desk.subscribe(2, subscribe("q2", 2));
    let message = publish(message("t", "", "a"));
    let got = deliveries(desk.batch(1, vec![Request::Publish(message)]));
    assert_eq!(got.len(), 1, "the lane takes one");
    assert_eq!(desk.shelf.live(), 1, "one record for both queues");
    let lease = got[0].lease.into_iter().collect();
    let more = deliveries(desk.settle(2, lease, Outcome::Accept));
    assert_eq!(more.len(), 1);
    assert_ne!(more[0].subscriber, got[0].subscriber);
    let lease = more[0].lease.into_iter().collect();
    desk.settle(2, lease, Outcome::Accept);
    assert_eq!(desk.shelf.live(), 0);
}

#[test]
fn a_message_leased_as_it_comes_keeps_its_time_to_live() {
    let mut desk = Desk::new();
    desk.declare("q", durable());
    desk.subscribe(2, subscribe("q", 1));
    let message = message_with("", "q", "a", |parts| parts.ttl = Some(100));
    let got = deliveries(desk.batch(1, vec![Request::Publish(publish(message))]));
    desk.batch(2, vec![Request::Flow { active: false }]);
    desk.wait(99);
    let lease = got[0].lease.into_iter().collect();
    desk.settle(2, lease, Outcome::Release { failed: false });
    assert_eq!(desk.engine.queues("/")[0].ready, 1);
    desk.wait(1);
    assert_eq!(desk.engine.queues("/")[0].ready, 0);
    assert_eq!(desk.shelf.live(), 0);
}

#[test]
fn a_session_that_does_not_drain_gets_no_more() {
    let options = Options {
        session_window_bytes: 1,
        ..Options::default()
    };
    let mut desk = Desk::with(options);
    desk.declare("q", durable());
    let mut auto = subscribe("q", 1);
    auto.auto_settle = true;
    desk.subscribe(2, auto);
    let got = deliveries(desk.send("q", &["a", "b"]));
    assert_eq!(got.len(), 1, "one may always go");
    assert_eq!(got[0].lease, None);
    let bytes = got[0].message.memory_size();
    assert_eq!(
        bodies(desk.batch(2, vec![Request::Drained { bytes }])),
        ["b"]
    );
    assert_eq!(desk.shelf.live(), 0);
}

#[test]
fn a_paused_lane_gets_nothing_until_it_resumes() {
    let mut desk = Desk::new();
    desk.declare("q", durable());
    desk.subscribe(2, subscribe("q", 1));
    desk.batch(2, vec![Request::Flow { active: false }]);
    assert!(bodies(desk.send("q", &["a"])).is_empty());
    let told = desk.batch(2, vec![Request::Flow { active: true }]);
    assert_eq!(bodies(told), ["a"]);
}

#[test]
fn a_single_active_consumer_is_followed_by_the_next() {
    let mut desk = Desk::new();
    let settings = QueueSettings {
        single_active: true,
        ..durable()
    };
    desk.declare("q", settings);
    for session in [2, 3, 4] {
        desk.subscribe(session, subscribe("q", session as u32));
    }
    assert_eq!(who(desk.send("q", &["a", "b"])), [2, 2]);
    assert_eq!(who(desk.detach(2)), [3, 3]);
}

#[test]
fn a_quorum_queue_hands_over_to_a_higher_priority_when_nothing_is_held() {
    let mut desk = Desk::new();
    let settings = QueueSettings {
        kind: QueueKind::Quorum,
        single_active: true,
        ..durable()
    };
    desk.declare("q", settings);
    desk.subscribe(2, subscribe("q", 2));
    let held = deliveries(desk.send("q", &["a"]));
    let mut higher = subscribe("q", 3);
    higher.priority = 1;
    desk.subscribe(3, higher);
    assert!(
        who(desk.send("q", &["b"])).is_empty(),
        "it has to end first"
    );
    let leases = held.iter().filter_map(|one| one.lease).collect();
    assert_eq!(who(desk.settle(2, leases, Outcome::Accept)), [3]);
}

#[test]
fn exclusive_use_is_exclusive() {
    let mut desk = Desk::new();
    desk.declare("q", durable());
    let refused = |told: super::desk::Told| {
        matches!(
            &told[..],
            [(_, Event::Reply { result: Err(error), .. })] if error.kind == Kind::ExclusiveUse
        )
    };
    let exclusive = |number| {
        let mut one = subscribe("q", number);
        one.exclusive = true;
        one
    };
    desk.subscribe(2, exclusive(1));
    assert!(refused(desk.subscribe(3, subscribe("q", 1))));
    desk.batch(
        2,
        vec![Request::Unsubscribe {
            subscriber: SubscriberId(1),
        }],
    );
    desk.subscribe(3, subscribe("q", 1));
    assert!(refused(desk.subscribe(2, exclusive(1))));
}

#[test]
fn what_an_ended_subscription_held_stays_with_its_lane() {
    let mut desk = Desk::new();
    desk.declare("q", durable());
    desk.subscribe(2, subscribe("q", 1));
    let held = deliveries(desk.send("q", &["a", "b"]));
    desk.batch(
        2,
        vec![Request::Unsubscribe {
            subscriber: SubscriberId(1),
        }],
    );
    assert!(desk.take(3, "q").is_none());
    desk.settle(2, held[0].lease.into_iter().collect(), Outcome::Accept);
    desk.batch(2, vec![Request::CloseLane]);
    assert_eq!(desk.drain("q"), ["b"]);
    desk.settle(2, held[1].lease.into_iter().collect(), Outcome::Accept);
    assert_eq!(desk.shelf.live(), 0, "a stale lease settles nothing");
}

#[test]
fn who_holds_a_message_for_too_long_is_told_once() {
    let mut desk = Desk::new();
    desk.declare("q", durable());
    let mut slow = subscribe("q", 1);
    slow.consumer_timeout = Some(1_000);
    desk.subscribe(2, slow);
    desk.send("q", &["a"]);
    desk.wait(900);
    desk.send("q", &["b"]);
    let told = desk.wait(2_000);
    assert!(
        matches!(
            &told[..],
            [(SessionId(2), Event::ConsumerTimeout { timeout: 1_000, .. })]
        ),
        "{told:?}"
    );
}

#[test]
fn queues_go_with_their_last_consumer_or_their_owner() {
    let mut desk = Desk::new();
    let auto_delete = QueueSettings {
        auto_delete: true,
        ..durable()
    };
    desk.declare("auto", auto_delete);
    desk.take(2, "auto");
    desk.subscribe(2, subscribe("auto", 1));
    desk.send("auto", &["x"]);
    desk.batch(2, vec![Request::CloseLane]);
    assert!(desk.engine.queues("/").is_empty());
    let exclusive = QueueSettings {
        exclusive: true,
        ..durable()
    };
    desk.declare("mine", exclusive);
    let told = desk.subscribe(2, subscribe("mine", 1));
    assert!(matches!(
        &told[..],
        [(_, Event::Reply { result: Err(error), .. })] if error.kind == Kind::Locked
    ));
    desk.detach(1);
    assert!(desk.engine.queues("/").is_empty());
    assert_eq!(desk.shelf.live(), 0);
    assert_eq!(
        desk.engine.peek("/", name("mine").as_str(), 1).map(|_| ()),
        None
    );
}

#[test]
fn a_quorum_queue_knows_no_limit_of_a_lane() {
    let mut desk = Desk::new();
    let quorum = QueueSettings {
        kind: QueueKind::Quorum,
        ..durable()
    };
    desk.declare("q", quorum);
    desk.batch(2, vec![Request::LaneCredit { limit: Some(2) }]);
    let told = desk.subscribe(2, subscribe("q", 1));
    assert!(
        matches!(
            &told[..],
            [(_, Event::Reply { result: Err(error), .. })] if matches!(error.kind, Kind::Unsupported(_))
        ),
        "{told:?}"
    );
    desk.batch(2, vec![Request::LaneCredit { limit: None }]);
    desk.subscribe(2, subscribe("q", 1));
    assert_eq!(bodies(desk.send("q", &["x"])), ["x"]);
}
