//! Messages that are not in memory: kept out, loaded, moved.

use polybus_model::{DeadLetter, Outcome, QueueSettings, Request};

use super::desk::{
    Desk, Told, bodies, deliveries, durable, message_with, name, publish, subscribe,
};
use crate::{Options, Store};

fn small() -> Options {
    Options {
        resident_bytes_max: 100_000,
        ..Options::default()
    }
}

fn fill(desk: &mut Desk, queue: &str, count: usize, persistent: bool) {
    for at in 0..count {
        let body = format!("{at:06}{}", "x".repeat(200));
        let message = message_with("", queue, &body, |parts| parts.durable = persistent);
        desk.batch(1, vec![Request::Publish(publish(message))]);
    }
}

fn numbers(told: Told) -> Vec<usize> {
    bodies(told)
        .iter()
        .map(|body| body[..6].parse().unwrap())
        .collect()
}

fn comes_back_in_order(persistent: bool) {
    let mut desk = Desk::with(small());
    let settings = QueueSettings {
        durable: persistent,
        ..QueueSettings::default()
    };
    desk.declare("q", settings);
    fill(&mut desk, "q", 5_000, persistent);
    assert!(desk.engine.resident_bytes < 600_000);
    let mut auto = subscribe("q", 1);
    auto.auto_settle = true;
    let mut got = numbers(desk.subscribe(2, auto));
    loop {
        let told = desk.batch(2, vec![Request::Drained { bytes: 1 << 20 }]);
        if told.is_empty() {
            break;
        }
        got.extend(numbers(told));
    }
    assert_eq!(got, (0..5_000).collect::<Vec<_>>());
    assert_eq!(desk.shelf.live(), 0);
    assert_eq!(desk.engine.resident_bytes, 0);
}

#[test]
fn a_long_queue_leaves_memory_and_comes_back_in_order() {
    comes_back_in_order(true);
}

#[test]
fn a_transient_queue_leaves_memory_too() {
    comes_back_in_order(false);
}

#[test]
fn a_load_that_brought_nothing_is_asked_for_again() {
    let mut desk = Desk::with(small());
    desk.declare("q", durable());
    fill(&mut desk, "q", 3_000, true);
    desk.loads = false;
    let mut out = crate::Effects::default();
    let request = Request::Subscribe(Box::new(subscribe("q", 1)));
    let mut batch = polybus_model::Batch {
        requests: vec![(polybus_model::Lane(1), request)],
    };
    let id = polybus_model::SessionId(2);
    desk.engine
        .handle(id, &mut batch, desk.now, &mut desk.shelf, &mut out);
    let load = out.loads.pop().unwrap();
    let mut out = crate::Effects::default();
    desk.engine
        .handle_loaded(load.queue, Vec::new(), desk.now, &mut desk.shelf, &mut out);
    let again = out.loads.pop().unwrap();
    assert_eq!(again.items[0], load.items[0]);
}

#[test]
fn cold_messages_are_loaded_to_be_dead_lettered_in_order() {
    let mut desk = Desk::with(small());
    desk.declare("dead", durable());
    let settings = QueueSettings {
        message_ttl: Some(50),
        dead_letter: Some(DeadLetter {
            topic: name(""),
            key: Some("dead".into()),
        }),
        ..durable()
    };
    desk.declare("q", settings);
    fill(&mut desk, "q", 3_000, true);
    desk.wait(100);
    let got = desk.drain("dead");
    let numbers: Vec<usize> = got.iter().map(|body| body[..6].parse().unwrap()).collect();
    assert_eq!(numbers, (0..3_000).collect::<Vec<_>>());
    assert_eq!(desk.shelf.live(), 0);
}

#[test]
fn a_record_moves_with_all_that_point_at_it() {
    let mut desk = Desk::new();
    desk.declare("q", durable());
    desk.send("q", &["ready", "leased"]);
    let mut limited = subscribe("q", 1);
    limited.credit = Some(1);
    let held = deliveries(desk.subscribe(2, limited));
    assert_eq!(held.len(), 1);
    for record in desk.shelf.records.clone() {
        let (kind, from, payload) = record;
        let live = desk.engine.live_targets(from, &payload);
        if live > 0 {
            let moved = desk.shelf.append(kind, 0, 0, &[&payload], None, 0);
            desk.engine
                .relocate(&payload, from, moved.place, &mut desk.shelf);
            assert_eq!(desk.engine.live_targets(from, &payload), 0);
            assert_eq!(desk.engine.live_targets(moved.place, &payload), live);
        }
    }
    let leases = held.iter().filter_map(|one| one.lease).collect();
    desk.settle(2, leases, Outcome::Accept);
    desk.batch(2, vec![Request::CloseLane]);
    assert_eq!(desk.drain("q"), ["leased"]);
    assert_eq!(desk.shelf.live(), 0);
}
