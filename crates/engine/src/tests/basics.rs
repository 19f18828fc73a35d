//! Publish, deliver, settle, return.

use polybus_model::{Event, Outcome, Request};

use super::desk::{Desk, bodies, deliveries, durable, message, publish, subscribe};

#[test]
fn a_message_goes_to_its_queue_and_ends_when_accepted() {
    let mut desk = Desk::new();
    desk.declare("q", durable());
    desk.send("q", &["a", "b"]);
    let got = deliveries(desk.subscribe(2, subscribe("q", 1)));
    assert_eq!(got.len(), 2);
    assert!(!got[0].redelivered);
    let leases = got.iter().filter_map(|delivery| delivery.lease).collect();
    desk.settle(2, leases, Outcome::Accept);
    assert_eq!(desk.shelf.live(), 0);
    assert!(desk.drain("q").is_empty());
}

#[test]
fn what_a_lost_session_held_returns_to_its_place() {
    let mut desk = Desk::new();
    desk.declare("q", durable());
    desk.send("q", &["a", "b", "c"]);
    let mut limited = subscribe("q", 1);
    limited.credit = Some(2);
    assert_eq!(bodies(desk.subscribe(2, limited)), ["a", "b"]);
    desk.detach(2);
    let again = deliveries(desk.subscribe(3, subscribe("q", 1)));
    let seen: Vec<_> = again
        .iter()
        .map(|delivery| (super::desk::body(delivery), delivery.redelivered))
        .collect();
    let expected = [("a", true), ("b", true), ("c", false)];
    assert_eq!(seen, expected.map(|(body, again)| (body.to_owned(), again)));
}

#[test]
fn confirms_come_once_a_batch_and_wait_only_for_what_is_durable() {
    let mut desk = Desk::new();
    desk.declare("q", durable());
    let numbered = |number, queue| {
        let mut publish = publish(message("", queue, "x"));
        publish.confirm = Some(number);
        Request::Publish(publish)
    };
    let told = desk.batch(
        1,
        vec![numbered(1, "q"), numbered(2, "none"), numbered(3, "q")],
    );
    let confirmed: Vec<_> = told
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Confirmed { through, .. } => Some(*through),
            _ => None,
        })
        .collect();
    assert_eq!(confirmed, [3]);
}
