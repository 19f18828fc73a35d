//! What reaches a log by any way is appended to it, once: by topics on the way, bindings and the default topic.

use bytes::Bytes;
use polybus_model::{
    Binding, Destination, Event, LogRequest, LogSettings, Publish, QueueSettings, Request, Table,
    TopicKind, TopicSettings,
};

use super::desk::{Desk, Told, durable, message, name, publish};
use super::logs::{ORIGIN, bytes, run};
use super::recovering::History;
use crate::Options;

fn topic(kind: TopicKind) -> TopicSettings {
    TopicSettings {
        kind,
        delayed: false,
        durable: true,
        auto_delete: false,
        internal: false,
        alternate: None,
        arguments: Table::new(),
    }
}

pub(super) fn queue(text: &str) -> Destination {
    Destination::Queue(name(text))
}

pub(super) fn to_topic(text: &str) -> Destination {
    Destination::Topic(name(text))
}

impl Desk {
    fn declare_topic(&mut self, topic: &str, settings: TopicSettings) {
        let request = Request::DeclareTopic {
            name: name(topic),
            settings: Some(Box::new(settings)),
        };
        self.batch(1, vec![request]);
    }

    pub(super) fn bind(&mut self, source: &str, key: &str, destination: Destination) -> Told {
        let binding = Binding {
            source: name(source),
            destination,
            key: Bytes::copy_from_slice(key.as_bytes()),
            arguments: Table::new(),
        };
        self.batch(1, vec![Request::Bind(Box::new(binding))])
    }

    fn publish_to(&mut self, topic: &str, key: &str, body: &str) -> Told {
        let publish = Publish {
            mandatory: true,
            confirm: Some(1),
            ..publish(message(topic, key, body))
        };
        self.batch(1, vec![Request::Publish(publish)])
    }

    fn restart(&mut self, history: &History) {
        (self.engine, self.shelf) = history.recover(self, true);
        self.engine
            .attach(polybus_model::SessionId(1), &name("/"))
            .unwrap();
    }
}

fn with_log(log: &str) -> Desk {
    let mut desk = Desk::new();
    desk.declare_log(log, LogSettings::default()).unwrap();
    desk
}

fn is_confirmed(told: &Told) -> bool {
    matches!(told[..], [(_, Event::Confirmed { .. })])
}

fn is_returned(told: &Told) -> bool {
    matches!(told.first(), Some((_, Event::Returned { .. })))
}

#[test]
fn a_log_gets_what_its_topic_is_bound_to_and_each_message_once() {
    let mut desk = with_log("l");
    desk.bind("amq.topic", "order.#", to_topic("l"));
    desk.bind("amq.topic", "#.paid", to_topic("l"));
    desk.bind("amq.topic", "*.paid", queue("l"));
    desk.bind("l", "", to_topic("amq.topic"));
    assert!(is_confirmed(&desk.publish_to(
        "amq.topic",
        "order.paid",
        "a"
    )));
    assert!(is_returned(&desk.publish_to("amq.topic", "other", "b")));
    assert!(is_confirmed(&desk.publish_to(
        "amq.topic",
        "bill.paid",
        "c"
    )));
    assert!(is_confirmed(&desk.publish_to("l", "other", "d")));
    assert_eq!(desk.read_all("l", 0, 0), ["a", "c", "d"]);
}

#[test]
fn a_log_has_a_name_among_the_queues() {
    let mut desk = with_log("l");
    assert!(is_confirmed(&desk.publish_to("", "l", "a")));
    assert!(is_returned(&desk.publish_to("", "m", "b")));
    desk.declare("q", durable());
    desk.bind("l", "", queue("q"));
    desk.bind("amq.direct", "k", queue("l"));
    assert!(is_confirmed(&desk.publish_to("amq.direct", "k", "c")));
    assert_eq!(desk.read_all("l", 0, 0), ["a", "c"]);
    assert_eq!(
        desk.drain("q"),
        ["c"],
        "what reaches a log reaches its topic's bindings"
    );
    desk.declare("l", durable());
    assert!(is_confirmed(&desk.publish_to("", "l", "d")));
    assert_eq!(desk.drain("l"), ["d"], "a queue comes before a log");
    assert_eq!(desk.read_all("l", 0, 0).len(), 2);
}

#[test]
fn alternates_and_dead_letters_and_what_waited_reach_logs() {
    let mut desk = with_log("l");
    let to_log = TopicSettings {
        alternate: Some(name("l")),
        ..topic(TopicKind::Direct)
    };
    desk.declare_topic("first", to_log);
    assert!(is_confirmed(&desk.publish_to("first", "nowhere", "a")));
    desk.declare_topic("dead", topic(TopicKind::Fanout));
    desk.bind("dead", "", queue("l"));
    let dying = QueueSettings {
        max_length: Some(0),
        dead_letter: Some(polybus_model::DeadLetter {
            topic: name("dead"),
            key: None,
        }),
        ..durable()
    };
    desk.declare("q", dying);
    desk.send("q", &["b"]);
    let waits = TopicSettings {
        delayed: true,
        ..topic(TopicKind::Fanout)
    };
    for delayed in ["slow", "slower"] {
        desk.declare_topic(delayed, waits.clone());
        desk.bind(delayed, "", to_topic("l"));
        desk.bind("amq.fanout", "", to_topic(delayed));
    }
    let late = Publish {
        delay: Some(5),
        ..publish(message("amq.fanout", "", "c"))
    };
    desk.batch(1, vec![Request::Publish(late)]);
    assert_eq!(desk.read_all("l", 0, 0), ["a", "b"]);
    desk.wait(5);
    assert_eq!(
        desk.read_all("l", 0, 0),
        ["a", "b", "c"],
        "once, though it waited in two"
    );
}

/// Each byte is a message.
fn by_byte(
    topic: &polybus_model::Name,
    run: &Bytes,
    messages: &mut Vec<(u32, polybus_model::Message)>,
) {
    for (at, byte) in (0..).zip(run) {
        let body = char::from(*byte).to_string();
        messages.push((at, message(topic.as_str(), "", &body)));
    }
}

#[test]
fn what_is_appended_to_one_log_reaches_others() {
    let mut desk = Desk::with(Options {
        run_readers: crate::RunReaders::new().with(ORIGIN, by_byte),
        ..Options::default()
    });
    for log in ["one", "two"] {
        desk.declare_log(log, LogSettings::default()).unwrap();
    }
    desk.bind("one", "", to_topic("two"));
    desk.bind("two", "", to_topic("one"));
    desk.append("one", 0, run("ab", 2)).unwrap();
    assert_eq!(desk.read_all("one", 0, 0), ["ab"]);
    assert_eq!(desk.read_all("two", 0, 0), ["a", "b"]);
}

#[test]
fn bindings_to_a_log_last_as_long_as_it_does() {
    let (mut desk, mut history) = (with_log("l"), History::default());
    desk.bind("amq.direct", "k", queue("l"));
    desk.restart(&history);
    assert!(is_confirmed(&desk.publish_to("amq.direct", "k", "a")));
    history.snapshot(&desk);
    desk.restart(&history);
    assert!(is_confirmed(&desk.publish_to("amq.direct", "k", "b")));
    assert_eq!(desk.read_all("l", 0, 0), ["a", "b"]);
    desk.log(LogRequest::Delete { name: name("l") });
    desk.declare_log("l", LogSettings::default()).unwrap();
    assert!(is_returned(&desk.publish_to("amq.direct", "k", "c")));
    desk.restart(&history);
    assert!(is_returned(&desk.publish_to("amq.direct", "k", "d")));
}

#[test]
fn a_log_outlives_the_topic_in_front_of_it() {
    let mut desk = with_log("l");
    desk.bind("amq.direct", "k", queue("l"));
    let delete = Request::DeleteTopic {
        name: name("l"),
        if_unused: false,
    };
    desk.batch(1, vec![delete]);
    desk.publish_to("amq.direct", "k", "a");
    desk.declare_topic("l", topic(TopicKind::Direct));
    desk.publish_to("l", "", "b");
    let read = desk.read(super::logs::read_of("l", 0, 0)).unwrap();
    let read: Vec<_> = read.runs.iter().map(|run| bytes(&run.content)).collect();
    assert_eq!(read, ["a", "b"]);
}
