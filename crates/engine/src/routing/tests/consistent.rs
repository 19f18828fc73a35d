//! Consistent hashing: shares by weight, few keys moved, what is hashed, what is refused.

use polybus_model::RoutingFault;

use super::super::hash::{keyed, stable_hash};
use super::super::{validate_binding, validate_topic};
use super::*;

const KEYS: u32 = 20_000;

/// A router whose topic `c` has bindings of those weights, each to the queue of its number.
fn weighted(weights: &[&str]) -> Router {
    let mut r = router(weights.len() as u32 + 1);
    r.declare("c", TopicKind::ConsistentHash);
    for (number, weight) in weights.iter().enumerate() {
        r.must_bind(&to_queue("c", &format!("q{number}"), weight));
    }
    r
}

fn assignment(r: &mut Router) -> Vec<u32> {
    let mut out = Vec::new();
    let readers = readers();
    let mut one = |key: u32| {
        let message = message_with("c", &format!("key-{key}"), b"");
        r.route(b"c", &message, &[], CLIENT, &readers, &mut out)
            .unwrap();
        assert_eq!(out.len(), 1);
        out[0] - 100
    };
    (0..KEYS).map(&mut one).collect()
}

fn share(assignment: &[u32], queue: u32) -> f64 {
    let hits = assignment.iter().filter(|q| **q == queue).count();
    hits as f64 / f64::from(KEYS)
}

#[test]
fn shares_follow_weights() {
    let equal = assignment(&mut weighted(&["1"; 5]));
    for queue in 0..5 {
        assert!((share(&equal, queue) - 0.2).abs() < 0.015);
    }
    let weights = ["1", "2", "3", "4", "10"];
    let weighted = assignment(&mut weighted(&weights));
    for (queue, weight) in [1.0, 2.0, 3.0, 4.0, 10.0].into_iter().enumerate() {
        assert!((share(&weighted, queue as u32) - weight / 20.0).abs() < 0.015);
    }
}

#[test]
fn few_keys_move() {
    let mut r = weighted(&["1", "2", "1", "3"]);
    let before = assignment(&mut r);
    r.must_bind(&to_queue("c", "q4", "3"));
    let after = assignment(&mut r);
    for (old, new) in before.iter().zip(&after) {
        assert!(old == new || *new == 4);
    }
    assert!((share(&after, 4) - 0.3).abs() < 0.015);
    r.unbind(&to_queue("c", "q1", "2")).unwrap();
    for (old, new) in after.iter().zip(&assignment(&mut r)) {
        assert!(old == new || *old == 1);
    }
    r.must_bind(&to_queue("c", "q1", "2"));
    assert_eq!(assignment(&mut r), after);
    r.unbind(&to_queue("c", "q4", "3")).unwrap();
    assert_eq!(assignment(&mut r), before);
}

#[test]
fn the_same_for_every_seed_and_order_and_for_ever() {
    let mut a = weighted(&["1", "2", "3"]);
    let mut b = Router::new(99);
    b.declare("c", TopicKind::ConsistentHash);
    for (queue, weight) in [(2, "3"), (0, "1"), (1, "2")] {
        b.queue_declared(&name(&format!("q{queue}")), 100 + queue);
        b.must_bind(&to_queue("c", &format!("q{queue}"), weight));
    }
    assert_eq!(assignment(&mut a), assignment(&mut b));
    // These two were computed by another implementation of the same words.
    assert_eq!(stable_hash(b""), 0xB334_BD7A_8D6C_58C2);
    assert_eq!(stable_hash(b"routing key"), 0x29A7_8F65_336C_834E);
    assert_ne!(stable_hash(b"a"), stable_hash(b"a\0"));
}

#[test]
fn a_destinations_eldest_binding_counts() {
    let mut r = weighted(&["1", "1"]);
    r.must_bind(&to_queue("c", "q1", "100"));
    assert!((share(&assignment(&mut r), 1) - 0.5).abs() < 0.02);
    r.unbind(&to_queue("c", "q1", "1")).unwrap();
    assert!(share(&assignment(&mut r), 1) > 0.97);
    r.unbind(&to_queue("c", "q1", "100")).unwrap();
    assert!(share(&assignment(&mut r), 1) == 0.0);
}

#[test]
fn great_weights_cost_nothing() {
    let huge = "9".repeat(100);
    let mut r = weighted(&["1", &huge, "4294967295", "+1"]);
    let shares = assignment(&mut r);
    assert!((share(&shares, 1) - 0.5).abs() < 0.02);
    r.remove_queue(101);
    r.remove_queue(102);
    assert!((share(&assignment(&mut r), 3) - 0.5).abs() < 0.02);
    r.remove_queue(100);
    r.remove_queue(103);
    assert_eq!(r.to("c", "x"), []);
    let shares = super::super::consistent::Shares::new(&settings(TopicKind::Direct), &keyed(1));
    assert!(shares.is_clean());
}

#[test]
fn hashes_what_it_is_told() {
    let mut r = router(8);
    for (topic, argument, of) in [
        ("header", "hash-header", "customer"),
        ("property", "hash-property", "message_id"),
    ] {
        let settings = TopicSettings {
            arguments: table(&[(argument, Value::text(of))]),
            ..settings(TopicKind::ConsistentHash)
        };
        assert_eq!(validate_topic(&settings), Ok(()));
        r.declare_topic(&name(topic), settings);
        for queue in 0..8 {
            r.must_bind(&to_queue(topic, &format!("q{queue}"), "1"));
        }
    }
    let mut by_customer = |value: Value, key: &str| {
        HEADERS.set(table(&[("customer", value)]));
        r.to("header", key)
    };
    let one = by_customer(Value::I32(1), "a");
    assert_eq!(one, by_customer(Value::I64(1), "b"));
    let spread: std::collections::BTreeSet<_> = (0..50)
        .map(|number| by_customer(Value::I32(number), "a"))
        .collect();
    assert_eq!(spread.len(), 8);
    HEADERS.set(Table::new());
    assert_eq!(r.to("header", "a"), r.to("header", "b"));
    let mut by_id = |id: &[u8], key: &str| {
        let mut out = Vec::new();
        let message = message_with("property", key, id);
        r.route(b"property", &message, &[], CLIENT, &readers(), &mut out)
            .unwrap();
        out
    };
    assert_eq!(by_id(b"1", "a"), by_id(b"1", "b"));
    let spread: std::collections::BTreeSet<_> = (0..50).map(|id| by_id(&[id], "a")).collect();
    assert_eq!(spread.len(), 8);
}

#[test]
fn only_the_first_key_is_hashed() {
    let mut r = weighted(&["1", "1", "1"]);
    let alone = r.to("c", "k");
    let keys = ["k", "l", "m", "n"];
    assert_eq!(r.try_route("c", &keys, CLIENT).unwrap().0, alone);
}

#[test]
fn bad_weights_and_arguments_are_refused() {
    let check = |key: &str| {
        let settings = settings(TopicKind::ConsistentHash);
        validate_binding(&settings, &to_queue("c", "q0", key))
    };
    for good in ["1", "20", "+3", "007"] {
        assert_eq!(check(good), Ok(()));
    }
    for bad in ["0", "-1", "00", "-0", "foo", "", "+", "1.5", "-", " 1"] {
        let fault = RoutingFault::Weight(bad.into());
        assert_eq!(check(bad), Err(fault));
    }
    let declare = |fields: &[(&str, Value)]| {
        validate_topic(&TopicSettings {
            arguments: table(fields),
            ..settings(TopicKind::ConsistentHash)
        })
    };
    let header = ("hash-header", Value::text("a"));
    let property = ("hash-property", Value::text("message_id"));
    let both = declare(&[header.clone(), property.clone()]);
    assert_eq!(both, Err(RoutingFault::TwoHashed));
    assert_eq!(declare(&[header]), Ok(()));
    assert_eq!(declare(&[property]), Ok(()));
    let foo = Value::text("foo");
    let fault = RoutingFault::HashedProperty(foo.clone());
    assert_eq!(declare(&[("hash-property", foo)]), Err(fault));
    let fault = RoutingFault::HashedHeader(Value::I32(1));
    assert_eq!(declare(&[("hash-header", Value::I32(1))]), Err(fault));
}
