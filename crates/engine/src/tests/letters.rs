//! Dead letters: their keys over several deaths, and that what dies does not pile up.

use bytes::Bytes;
use polybus_model::{
    DeadLetter, Marks, Origin, Outcome, Overflow, QueueSettings, Request, Table, Value,
};

use super::desk::{Desk, durable, message_with, name, publish, subscribe};
use crate::queue::DYING_MAX;
use crate::{HeaderReaders, Options};

fn to(key: Option<&str>) -> Option<DeadLetter> {
    Some(DeadLetter {
        topic: name(""),
        key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
    })
}

/// A desk where every message has a further key, `copy`, in its headers.
fn copying() -> Desk {
    let further = |_: &[u8]| {
        let mut headers = Table::new();
        headers.push("CC", Value::Array(vec![Value::text("copy")]));
        headers
    };
    Desk::with(Options {
        header_readers: HeaderReaders::new().with(Origin(1), further, |_, _| None),
        ..Options::default()
    })
}

fn reject(desk: &mut Desk, queue: &str) -> polybus_model::Message {
    let taken = desk.take(2, queue).unwrap();
    desk.settle(2, taken.lease.into_iter().collect(), Outcome::Reject);
    taken.message
}

fn keys(message: &polybus_model::Message, death: usize) -> Vec<String> {
    let keys = &message.deaths().unwrap()[death].keys;
    keys.iter()
        .map(|key| String::from_utf8_lossy(key).into_owned())
        .collect()
}

#[test]
fn a_dead_letter_keeps_its_further_keys_unless_it_gets_a_new_one() {
    let mut desk = copying();
    for queue in ["dead", "copy"] {
        desk.declare(queue, durable());
    }
    for (queue, key) in [("kept", None), ("new", Some("dead"))] {
        let settings = QueueSettings {
            dead_letter: to(key),
            ..durable()
        };
        desk.declare(queue, settings);
        desk.send(queue, &[queue]);
        reject(&mut desk, queue);
    }
    let copied = desk.take(2, "copy").unwrap().message;
    assert_eq!(copied.body(), b"kept");
    assert_eq!(keys(&copied, 0), ["kept", "copy"]);
    assert!(desk.take(2, "copy").is_none());
    let dead = desk.take(2, "dead").unwrap().message;
    assert_eq!(dead.body(), b"new");
    assert!(dead.marks().rekeyed);
}

#[test]
fn further_keys_once_lost_do_not_come_back() {
    let mut desk = copying();
    // The second queue's key is the one that the message has anyway: it loses its further keys all the same.
    for (queue, key) in [("a", None), ("b", Some("a")), ("copy", Some("b"))] {
        let settings = QueueSettings {
            dead_letter: to(key),
            ..durable()
        };
        desk.declare(queue, settings);
    }
    desk.send("a", &["x"]);
    let first = reject(&mut desk, "a");
    assert!(first.deaths().is_none());
    // By its own key to `a` again, and by the further one to `copy`.
    let again = desk.take(3, "a").unwrap().message;
    assert_eq!(keys(&again, 0), ["a", "copy"]);
    let copy = reject(&mut desk, "copy");
    assert_eq!(keys(&copy, 0), ["a", "copy"]);
    let moved = reject(&mut desk, "b");
    assert_eq!((moved.key(), moved.marks().rekeyed), (&b"b"[..], true));
    assert_eq!(
        keys(&moved, 0),
        ["a", "copy"],
        "its keys when it died in `copy`"
    );
    let back = reject(&mut desk, "a");
    assert_eq!(keys(&back, 0), ["b"], "its keys when it died in `b`");
    // `a` gives it no key, but there are no further ones left to go by.
    let last = desk.take(2, "a").unwrap().message;
    assert_eq!((last.key(), last.marks().rekeyed), (&b"a"[..], true));
    assert!(desk.take(2, "copy").is_none());
}

#[test]
fn a_record_keeps_what_was_done_to_a_message() {
    let marks = Marks {
        delayed: true,
        rekeyed: true,
        ends_key: true,
    };
    let message = message_with("", "q", "x", |_| {}).with_marks(marks);
    let mut payload = Vec::new();
    crate::record::put_publish(&mut payload, &[], &message);
    payload.extend_from_slice(message.inline_bytes());
    let read = crate::record::decode_message(&payload).unwrap();
    assert_eq!((read.marks(), read.body()), (marks, &b"x"[..]));
}

/// A desk whose memory is so small that a backlog is cold, and whose loads are not answered.
fn without_loads() -> Desk {
    let mut desk = Desk::with(Options {
        resident_bytes_max: 1,
        ..Options::default()
    });
    desk.loads = false;
    for (queue, limits) in [("dead", None), ("q", Some(100))] {
        let settings = QueueSettings {
            max_length: limits,
            dead_letter: limits.and_then(|_| to(Some("dead"))),
            ..durable()
        };
        desk.declare(queue, settings);
    }
    desk
}

fn fill(desk: &mut Desk, from: usize, count: usize) {
    for chunk in (from..from + count).collect::<Vec<_>>().chunks(500) {
        let requests = chunk.iter().map(|number| {
            let message = message_with("", "q", &number.to_string(), |_| {});
            Request::Publish(publish(message))
        });
        desk.batch(1, requests.collect());
    }
}

fn summary(desk: &Desk) -> (u64, u64, usize) {
    let queues = desk.engine.queues("/");
    let queue = queues.iter().find(|one| one.name.as_str() == "q").unwrap();
    (queue.ready, queue.waiting, queue.memory_bytes)
}

#[test]
fn cold_heads_that_overflow_wait_for_their_loads_where_they_are() {
    let mut desk = without_loads();
    fill(&mut desk, 0, 20_000);
    let (ready, dying, memory) = summary(&desk);
    assert_eq!(dying, DYING_MAX as u64, "no more may die");
    assert!(memory < 200_000, "{memory} bytes: what waits is cold");
    let dead = desk.engine.queues("/")[0].ready;
    assert_eq!(ready + dying + dead, 20_000, "nothing is lost");
    // The loads come: the limit holds, and all dead letters are in order.
    desk.loads = true;
    desk.answer_owed();
    let (ready, dying, _) = summary(&desk);
    assert_eq!((ready, dying), (100, 0));
    let dead = desk.drain("dead");
    let expected: Vec<_> = (0..19_900).map(|number| number.to_string()).collect();
    assert_eq!(dead, expected);
}

#[test]
fn a_deleted_queue_leaves_its_dead_letters() {
    let mut desk = without_loads();
    fill(&mut desk, 0, 20_000);
    let (ready, dying, _) = summary(&desk);
    let dead = desk.engine.queues("/")[0].ready;
    let delete = |queue: &str| Request::DeleteQueue {
        name: name(queue),
        if_unused: false,
        if_empty: false,
    };
    desk.batch(1, vec![delete("q")]);
    assert_eq!(desk.engine.queues("/").len(), 1);
    assert_eq!(
        desk.shelf.live() as u64,
        dead + dying,
        "nobody needs {ready}"
    );
    desk.loads = true;
    desk.answer_owed();
    let expected: Vec<_> = (0..dead + dying).map(|number| number.to_string()).collect();
    assert_eq!(desk.drain("dead"), expected);
    assert_eq!(desk.shelf.live(), 0);
}

#[test]
fn dead_letters_of_a_deleted_queue_end_with_their_namespace() {
    let mut desk = without_loads();
    fill(&mut desk, 0, 20_000);
    let delete = Request::DeleteQueue {
        name: name("q"),
        if_unused: false,
        if_empty: false,
    };
    desk.batch(1, vec![delete]);
    let mut out = crate::Effects::default();
    assert!(
        desk.engine
            .delete_namespace(&name("/"), desk.now, &mut desk.shelf, &mut out)
    );
    assert_eq!(desk.shelf.live(), 0);
    desk.loads = true;
    desk.answer_owed();
    assert_eq!(desk.shelf.live(), 0);
}

#[test]
fn nothing_is_delivered_while_no_more_may_die() {
    let mut desk = without_loads();
    fill(&mut desk, 0, 20_000);
    let told = desk.subscribe(2, subscribe("q", 1));
    assert!(super::desk::deliveries(told).is_empty());
    desk.loads = true;
    let told = desk.answer_owed();
    let got = super::desk::bodies(told);
    assert!(got.len() >= 100 && got.is_sorted_by_key(|body| body.parse::<u32>().unwrap()));
    assert_eq!(desk.drain("dead").len() + got.len(), 20_000);
}

#[test]
fn a_refused_message_dies_only_while_there_is_room() {
    let mut desk = without_loads();
    fill(&mut desk, 0, 20_000);
    let slot = desk.engine.queue_slot(0, "q").unwrap();
    let queue = desk.engine.queues.get_mut(slot).unwrap();
    queue.settings.overflow = Overflow::RejectPublishDeadLetter;
    let before = summary(&desk);
    fill(&mut desk, 20_000, 500);
    assert_eq!(summary(&desk), before);
}

#[test]
fn many_rejected_at_once_are_all_buried() {
    let mut desk = Desk::new();
    desk.declare("dead", durable());
    let settings = QueueSettings {
        dead_letter: to(Some("dead")),
        ..durable()
    };
    desk.declare("q", settings);
    let count = 2 * DYING_MAX;
    fill(&mut desk, 0, count);
    let got = super::desk::deliveries(desk.subscribe(2, subscribe("q", 1)));
    let leases: Vec<_> = got.iter().filter_map(|one| one.lease).collect();
    assert_eq!(leases.len(), count);
    fill(&mut desk, count, 1);
    let told = desk.settle(2, leases, Outcome::Reject);
    assert!(super::desk::deliveries(told).is_empty());
    assert_eq!(desk.drain("dead").len(), count);
}
