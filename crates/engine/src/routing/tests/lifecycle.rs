//! Bindings that come and go, and what goes with them; listings; a model check of it all.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::{BindError, Removed};
use super::*;

#[test]
fn the_same_binding_counts_once() {
    let mut r = router(2);
    r.declare("d", TopicKind::Direct);
    let plain = to_queue("d", "q0", "k");
    assert_eq!(r.bind(&plain), Ok(true));
    assert_eq!(r.bind(&plain), Ok(false));
    let with = |fields: &[(&str, Value)]| Binding {
        arguments: table(fields),
        ..plain.clone()
    };
    let nan = with(&[("n", Value::F64(f64::NAN))]);
    let others = [
        with(&[("a", Value::I32(1)), ("b", Value::Void)]),
        with(&[("a", Value::I64(1)), ("b", Value::Void)]),
        nan.clone(),
    ];
    for other in &others {
        assert_eq!(r.bind(other), Ok(true));
        assert_eq!(r.bind(other), Ok(false));
    }
    let turned = with(&[("b", Value::Void), ("a", Value::I32(1))]);
    assert_eq!(r.bind(&turned), Ok(false));
    assert_eq!(r.bindings().count(), 4);
    assert_eq!(r.to("d", "k"), [0]);
    assert!(r.unbind(&nan).is_some());
    assert!(r.unbind(&nan).is_none());
    assert!(r.unbind(&turned).is_some());
    assert!(r.unbind(&plain).is_some());
    assert_eq!(r.to("d", "k"), [0]);
    assert!(r.unbind(&others[1]).is_some());
    assert_eq!(r.to("d", "k"), []);
}

#[test]
fn bindings_need_both_ends() {
    let mut r = router(1);
    r.declare("d", TopicKind::Direct);
    let bound = r.bind(&to_queue("nope", "nope", ""));
    assert_eq!(bound, Err(BindError::NoSource));
    let bound = r.bind(&to_queue("d", "nope", ""));
    assert_eq!(bound, Err(BindError::NoDestination));
    let bound = r.bind(&to_topic("d", "nope", ""));
    assert_eq!(bound, Err(BindError::NoDestination));
    assert_eq!(r.unbind(&to_queue("d", "q0", "")), None);
    assert_eq!(r.unbind(&to_queue("nope", "q0", "")), None);
    assert_eq!(r.delete_topic("nope"), None);
    assert_eq!(r.remove_queue(5), Removed::default());
    assert!(!r.declare_topic(&name("d"), settings(TopicKind::Fanout)));
    assert!(!r.declare_topic(&Name::empty(), settings(TopicKind::Direct)));
}

#[test]
fn auto_delete_cascades() {
    let mut r = router(1);
    for topic in ["a", "b", "c"] {
        r.declare_topic(&name(topic), auto_delete());
    }
    r.declare("keep", TopicKind::Fanout);
    r.must_bind(&to_topic("keep", "a", ""));
    r.must_bind(&to_topic("a", "b", ""));
    r.must_bind(&to_topic("b", "c", ""));
    r.must_bind(&to_queue("c", "q0", ""));
    assert!(r.has_bindings_as_source("keep"));
    let removed = r.unbind(&to_queue("c", "q0", "")).unwrap();
    assert_eq!(removed.topics, [name("c"), name("b"), name("a")]);
    assert_eq!(
        removed.bindings,
        [
            to_queue("c", "q0", ""),
            to_topic("b", "c", ""),
            to_topic("a", "b", ""),
            to_topic("keep", "a", ""),
        ]
    );
    assert!(r.topic("keep").is_some() && !r.has_bindings_as_source("keep"));
    assert!(r.topic("a").is_none());
    r.check();
}

#[test]
fn auto_delete_waits_for_the_last_binding_as_a_source() {
    let mut r = router(2);
    r.declare_topic(&name("a"), auto_delete());
    r.declare("f", TopicKind::Fanout);
    r.must_bind(&to_topic("f", "a", ""));
    let removed = r.unbind(&to_topic("f", "a", "")).unwrap();
    assert_eq!(removed.topics, []);
    r.must_bind(&to_queue("a", "q0", ""));
    r.must_bind(&to_queue("a", "q1", ""));
    assert_eq!(r.remove_queue(100).topics, []);
    assert_eq!(r.remove_queue(101).topics, [name("a")]);
    // A cycle of them goes too, a topic bound to itself among them.
    for topic in ["x", "y"] {
        r.declare_topic(&name(topic), auto_delete());
    }
    r.must_bind(&to_topic("x", "y", ""));
    r.must_bind(&to_topic("y", "x", ""));
    r.must_bind(&to_topic("x", "x", ""));
    let removed = r.delete_topic("x").unwrap();
    assert_eq!(removed.topics, [name("x"), name("y")]);
    assert_eq!(removed.bindings.len(), 3);
    r.check();
}

#[test]
fn listings_have_the_implicit_bindings() {
    let mut r = router(2);
    r.declare("d", TopicKind::Direct);
    r.declare("e", TopicKind::Direct);
    let bindings = [
        to_queue("d", "q1", "b"),
        to_queue("e", "q1", "a"),
        to_queue("d", "q1", "a"),
        to_topic("d", "e", "x"),
    ];
    for binding in &bindings {
        r.must_bind(binding);
    }
    let [first, second, third, fourth] = bindings;
    let q1 = Destination::Queue(name("q1"));
    let implicit = to_queue("", "q1", "q1");
    let to_q1 = [
        implicit.clone(),
        first.clone(),
        second.clone(),
        third.clone(),
    ];
    assert_eq!(r.bindings_to(&q1), to_q1);
    let to_e = r.bindings_to(&Destination::Topic(name("e")));
    assert_eq!(to_e, std::slice::from_ref(&fourth));
    assert_eq!(r.bindings_to(&Destination::Topic(name("q1"))), []);
    let from_d = [first.clone(), third.clone(), fourth.clone()];
    assert_eq!(r.bindings_from("d"), from_d);
    assert_eq!(r.bindings_from(""), [to_queue("", "q0", "q0"), implicit]);
    let all: Vec<_> = r.bindings().cloned().collect();
    assert_eq!(all, [first, third, fourth, second]);
    let topics: Vec<_> = r.topics().map(|(name, _)| name.as_str()).collect();
    assert_eq!(topics, ["d", "e"]);
}

#[test]
fn a_queue_goes_with_all_its_bindings_quickly() {
    let mut r = router(2);
    r.declare("d", TopicKind::Direct);
    for number in 0..20_000 {
        r.must_bind(&to_queue("d", "q0", &number.to_string()));
        r.must_bind(&to_queue("d", "q1", &number.to_string()));
    }
    assert_eq!(r.remove_queue(100).bindings.len(), 20_000);
    assert_eq!(r.to("d", "77"), [1]);
    for number in 0..20_000 {
        assert!(
            r.unbind(&to_queue("d", "q1", &number.to_string()))
                .is_some()
        );
    }
    assert_eq!(r.to("d", "77"), []);
}

#[derive(Clone, Debug)]
enum Change {
    Declare(u8, u8, bool),
    Delete(u8),
    Bind(u8, u8, u8),
    Unbind(u8, u8, u8),
    DropQueue(u8),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (0..5_u8, 0..5_u8, any::<bool>()).prop_map(|(t, k, a)| Change::Declare(t, k, a)),
        (0..5_u8).prop_map(Change::Delete),
        (0..5_u8, 0..10_u8, 0..4_u8).prop_map(|(s, d, k)| Change::Bind(s, d, k)),
        (0..5_u8, 0..10_u8, 0..4_u8).prop_map(|(s, d, k)| Change::Bind(s, d, k)),
        (0..5_u8, 0..10_u8, 0..4_u8).prop_map(|(s, d, k)| Change::Bind(s, d, k)),
        (0..5_u8, 0..10_u8, 0..4_u8).prop_map(|(s, d, k)| Change::Unbind(s, d, k)),
        (0..5_u8).prop_map(Change::DropQueue),
    ]
}

/// Destinations 0 to 4 are topics, 5 to 9 queues; keys are weights, patterns and plain keys at once.
fn binding(source: u8, destination: u8, key: u8) -> Binding {
    let source = format!("t{source}");
    let key = ["1", "2", "#", "*"][usize::from(key)];
    if destination < 5 {
        to_topic(&source, &format!("t{destination}"), key)
    } else {
        to_queue(&source, &format!("q{}", destination - 5), key)
    }
}

/// A binding in the model: its ends by name.
type Edge = (String, String, u8);

#[derive(Default)]
struct Model {
    topics: Vec<(String, bool)>,
    edges: Vec<Edge>,
}

impl Model {
    fn remove_edges(&mut self, is_gone: impl Fn(&Edge) -> bool) {
        let (gone, kept): (Vec<_>, Vec<_>) = self.edges.drain(..).partition(|edge| is_gone(edge));
        self.edges = kept;
        let sources: BTreeSet<_> = gone.into_iter().map(|edge| edge.0).collect();
        for source in sources {
            if self.topics.contains(&(source.clone(), true))
                && self.edges.iter().all(|edge| edge.0 != source)
            {
                self.remove_topic(&source);
            }
        }
    }

    fn remove_topic(&mut self, topic: &str) {
        self.topics.retain(|(name, _)| name != topic);
        self.remove_edges(|edge| edge.0 == topic || edge.1 == topic);
    }
}

fn apply(r: &mut Router, model: &mut Model, change: &Change) {
    let kinds = [
        TopicKind::Direct,
        TopicKind::Fanout,
        TopicKind::Pattern,
        TopicKind::Headers,
        TopicKind::ConsistentHash,
    ];
    let end = |d: u8| {
        if d < 5 {
            format!("t{d}")
        } else {
            format!("q{}", d - 5)
        }
    };
    match *change {
        Change::Declare(topic, kind, auto_delete) => {
            let topic = format!("t{topic}");
            let settings = TopicSettings {
                auto_delete,
                ..settings(kinds[usize::from(kind)])
            };
            if r.declare_topic(&name(&topic), settings) {
                model.topics.push((topic, auto_delete));
            }
        }
        Change::Delete(topic) => {
            let topic = format!("t{topic}");
            let is_there = model.topics.iter().any(|(name, _)| *name == topic);
            assert_eq!(r.delete_topic(&topic).is_some(), is_there);
            model.remove_topic(&topic);
        }
        Change::Bind(s, d, k) => {
            if r.bind(&binding(s, d, k)) == Ok(true) {
                model.edges.push((end(s), end(d), k));
            }
        }
        Change::Unbind(s, d, k) => {
            let edge = (end(s), end(d), k);
            let is_there = model.edges.contains(&edge);
            assert_eq!(r.unbind(&binding(s, d, k)).is_some(), is_there);
            model.remove_edges(|other| *other == edge);
        }
        Change::DropQueue(queue) => {
            let slot = 100 + u32::from(queue);
            let removed = r.remove_queue(slot).bindings.len();
            r.queue_declared(&name(&format!("q{queue}")), slot);
            let before = model.edges.len();
            model.remove_edges(|edge| edge.1 == end(queue + 5));
            assert!(removed <= before);
        }
    }
}

proptest! {
    #[test]
    fn changes_keep_everything_together(changes in prop::collection::vec(change(), 1..80)) {
        let mut r = router(5);
        let mut model = Model::default();
        for change in &changes {
            apply(&mut r, &mut model, change);
            r.check();
            let topics: BTreeSet<_> = r.topics().map(|(name, _)| name.to_string()).collect();
            let expected: BTreeSet<_> = model.topics.iter().map(|(name, _)| name.clone()).collect();
            prop_assert_eq!(topics, expected);
            let bindings: BTreeSet<_> = r.bindings().map(|b| {
                let end = match &b.destination {
                    Destination::Queue(name)
                    | Destination::Topic(name)
                    | Destination::Log(name) => name.to_string(),
                };
                (b.source.to_string(), end, b.key.to_vec())
            }).collect();
            let expected: BTreeSet<_> = model.edges.iter().map(|(s, d, k)| {
                let key = ["1", "2", "#", "*"][usize::from(*k)];
                (s.clone(), d.clone(), key.as_bytes().to_vec())
            }).collect();
            prop_assert_eq!(bindings, expected);
        }
        for topic in 0..5 {
            if r.topic(&format!("t{topic}")).is_some() {
                r.to(&format!("t{topic}"), "1");
            }
        }
    }
}
