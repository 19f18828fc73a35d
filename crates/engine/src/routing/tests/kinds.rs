//! Direct, fan-out and the default topic; further keys, alternates, delays, chains and cycles of topics.

use super::*;

#[test]
fn direct_takes_the_equal_key() {
    let mut r = router(3);
    r.declare("d", TopicKind::Direct);
    r.must_bind(&to_queue("d", "q0", "black"));
    r.must_bind(&to_queue("d", "q1", "black"));
    r.must_bind(&to_queue("d", "q1", "green"));
    r.must_bind(&to_queue("d", "q2", ""));
    assert_eq!(r.to("d", "black"), [0, 1]);
    assert_eq!(r.to("d", "green"), [1]);
    assert_eq!(r.to("d", ""), [2]);
    assert_eq!(r.to("d", "blac"), []);
}

#[test]
fn fanout_ignores_keys_and_reaches_each_queue_once_in_order() {
    let mut r = router(4);
    r.declare("f", TopicKind::Fanout);
    for queue in ["q3", "q1", "q2"] {
        r.must_bind(&to_queue("f", queue, "a"));
    }
    r.must_bind(&to_queue("f", "q1", "b"));
    assert_eq!(r.to("f", "x"), [3, 1, 2]);
    assert!(r.unbind(&to_queue("f", "q1", "a")).is_some());
    assert_eq!(r.to("f", "x"), [3, 2, 1]);
}

#[test]
fn default_topic_takes_queue_names() {
    let mut r = router(3);
    assert_eq!(r.to("", "q1"), [1]);
    assert_eq!(r.to("", "nope"), []);
    let keys = ["q2", "nope", "q0", "q2"];
    assert_eq!(r.try_route("", &keys, CLIENT).unwrap().0, [2, 0]);
    assert_eq!(r.queue_slot("q1"), Some(101));
    r.remove_queue(101);
    assert_eq!(r.to("", "q1"), []);
    assert_eq!(r.queue_slot("q1"), None);
}

#[test]
fn further_keys_are_matched_each() {
    let mut r = router(3);
    for (topic, kind) in [("d", TopicKind::Direct), ("p", TopicKind::Pattern)] {
        r.declare(topic, kind);
        for queue in ["q0", "q1", "q2"] {
            r.must_bind(&to_queue(topic, queue, queue));
        }
        let routed = r.try_route(topic, &["q2", "x", "q0", "q2"], CLIENT);
        assert_eq!(routed.unwrap().0, [2, 0]);
        assert_eq!(r.try_route(topic, &["x", "q1"], CLIENT).unwrap().0, [1]);
    }
}

#[test]
fn unknown_and_internal_topics_are_refused() {
    let mut r = router(1);
    let internal = TopicSettings {
        internal: true,
        ..settings(TopicKind::Fanout)
    };
    r.declare_topic(&name("i"), internal);
    r.declare("f", TopicKind::Fanout);
    r.must_bind(&to_queue("i", "q0", ""));
    r.must_bind(&to_topic("f", "i", ""));
    let refused = r.try_route("i", &[""], CLIENT);
    assert_eq!(refused, Err(RouteError::Internal));
    let broker = RouteMode::BROKER;
    assert_eq!(r.try_route("i", &[""], broker).unwrap().0, [0]);
    assert_eq!(r.to("f", ""), [0]);
    let refused = r.try_route("nope", &[""], CLIENT);
    assert_eq!(refused, Err(RouteError::NotFound));
}

#[test]
fn chains_and_cycles_end() {
    let mut r = router(3);
    for topic in ["a", "b", "c"] {
        r.declare(topic, TopicKind::Fanout);
    }
    r.must_bind(&to_topic("a", "b", ""));
    r.must_bind(&to_topic("a", "c", ""));
    r.must_bind(&to_topic("b", "c", ""));
    r.must_bind(&to_topic("c", "a", ""));
    r.must_bind(&to_topic("c", "c", ""));
    r.must_bind(&to_queue("c", "q0", ""));
    r.must_bind(&to_queue("b", "q1", ""));
    r.must_bind(&to_queue("a", "q0", ""));
    assert_eq!(r.to("a", ""), [0, 1]);
    assert_eq!(r.to("b", ""), [1, 0]);
    // A topic that goes is not reached by another that gets its number.
    r.delete_topic("c").unwrap();
    r.declare("other", TopicKind::Fanout);
    r.must_bind(&to_queue("other", "q2", ""));
    assert_eq!(r.to("b", ""), [1]);
}

#[test]
fn a_long_chain_needs_no_stack() {
    let mut r = router(1);
    for number in 0..5_000 {
        r.declare(&format!("t{number}"), TopicKind::Fanout);
    }
    for number in 0..4_999 {
        let next = format!("t{}", number + 1);
        r.must_bind(&to_topic(&format!("t{number}"), &next, ""));
    }
    r.must_bind(&to_queue("t4999", "q0", ""));
    assert_eq!(r.to("t0", ""), [0]);
}

#[test]
fn alternates_take_what_matches_nothing() {
    let mut r = router(2);
    let with_alternate = |alternate: &str| TopicSettings {
        alternate: Some(name(alternate)),
        ..settings(TopicKind::Direct)
    };
    r.declare_topic(&name("d1"), with_alternate("d2"));
    r.declare_topic(&name("d2"), with_alternate("d1"));
    r.must_bind(&to_queue("d1", "q0", "one"));
    assert_eq!(r.to("d1", "one"), [0]);
    assert_eq!(r.to("d1", "two"), []);
    r.must_bind(&to_queue("d2", "q1", "two"));
    assert_eq!(r.to("d1", "two"), [1]);
    assert_eq!(r.to("d2", "one"), [0]);
    // A match that leads nowhere is a match, as is one to where the message was already.
    r.declare("hole", TopicKind::Direct);
    r.must_bind(&to_topic("d1", "hole", "two"));
    assert_eq!(r.to("d1", "two"), []);
    // An alternate that does not exist (yet) is none.
    r.declare_topic(&name("d3"), with_alternate("later"));
    assert_eq!(r.to("d3", "x"), []);
    r.declare("later", TopicKind::Fanout);
    r.must_bind(&to_queue("later", "q1", ""));
    assert_eq!(r.to("d3", "x"), [1]);
}

#[test]
fn one_key_that_matches_keeps_the_message_from_the_alternate() {
    let mut r = router(2);
    r.declare("rest", TopicKind::Fanout);
    r.must_bind(&to_queue("rest", "q1", ""));
    for (topic, kind) in [("d", TopicKind::Direct), ("p", TopicKind::Pattern)] {
        let with_alternate = TopicSettings {
            alternate: Some(name("rest")),
            ..settings(kind)
        };
        r.declare_topic(&name(topic), with_alternate);
        r.must_bind(&to_queue(topic, "q0", "k"));
        // Often enough to come from the cache as well.
        for _ in 0..3 {
            for keys in [["k", "x"], ["x", "k"]] {
                assert_eq!(r.try_route(topic, &keys, CLIENT).unwrap().0, [0]);
            }
            assert_eq!(r.try_route(topic, &["x", "y"], CLIENT).unwrap().0, [1]);
        }
    }
}

#[test]
fn delayed_topics_stop_what_has_a_delay() {
    let mut r = router(2);
    let delayed = TopicSettings {
        delayed: true,
        ..settings(TopicKind::Direct)
    };
    r.declare_topic(&name("x"), delayed.clone());
    r.declare_topic(&name("y"), delayed);
    r.declare("f", TopicKind::Fanout);
    r.must_bind(&to_queue("x", "q0", "k"));
    for binding in [
        to_topic("f", "x", ""),
        to_queue("f", "q1", ""),
        to_topic("f", "y", ""),
    ] {
        r.must_bind(&binding);
    }
    let delay = RouteMode {
        delay: true,
        ..RouteMode::CLIENT
    };
    let (queues, routed) = r.try_route("f", &["k"], delay).unwrap();
    assert_eq!((queues, routed.delayed), (vec![1], true));
    assert_eq!(r.delayed_at(), [name("x"), name("y")]);
    let (queues, routed) = r.try_route("x", &["k"], CLIENT).unwrap();
    assert_eq!((queues, routed.delayed), (vec![0], false));
    assert_eq!(r.delayed_at(), []);
}

#[test]
fn stamps_wrap() {
    let mut r = router(2);
    r.declare("f", TopicKind::Fanout);
    r.must_bind(&to_queue("f", "q0", ""));
    r.must_bind(&to_queue("f", "q0", "again"));
    r.reach.set_stamp(u32::MAX - 2);
    for _ in 0..6 {
        assert_eq!(r.to("f", ""), [0]);
    }
}
