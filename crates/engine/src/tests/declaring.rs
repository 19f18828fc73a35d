//! Declarations, their comparison, their end; batches that fail in the middle; transactions.

use bytes::Bytes;
use polybus_model::{
    Batch, Binding, Destination, Event, Kind, Lane, QueueSettings, Reply, Request, Reserved, Table,
    TopicKind, TopicSettings, Transaction, Value,
};

use super::desk::{Desk, Told, bodies, durable, message, name, publish, subscribe};

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

fn declare_topic(topic: &str, settings: TopicSettings) -> Request {
    Request::DeclareTopic {
        name: name(topic),
        settings: Some(Box::new(settings)),
    }
}

fn binding(source: &str, queue: &str) -> Binding {
    Binding {
        source: name(source),
        destination: Destination::Queue(name(queue)),
        key: Bytes::new(),
        arguments: Table::new(),
    }
}

fn failure(told: &Told) -> Kind {
    match &told[..] {
        [
            (
                _,
                Event::Reply {
                    result: Err(error), ..
                }
                | Event::Failed { error, .. },
            ),
        ] => error.kind.clone(),
        other => panic!("{other:?}"),
    }
}

fn is_done(told: &Told) -> bool {
    told.iter()
        .all(|(_, event)| matches!(event, Event::Reply { result: Ok(_), .. }))
}

#[test]
fn a_queue_is_compared_field_by_field() {
    let mut desk = Desk::new();
    let with = |ttl: Option<Value>| {
        let mut settings = durable();
        settings.arguments = Table(
            ttl.map(|ttl| ("x-message-ttl".to_owned(), ttl))
                .into_iter()
                .collect(),
        );
        Request::DeclareQueue {
            name: name("q"),
            settings: Some(Box::new(settings)),
        }
    };
    assert!(is_done(&desk.batch(1, vec![with(Some(Value::I32(5)))])));
    assert!(is_done(&desk.batch(1, vec![with(Some(Value::I64(5)))])));
    let kind = failure(&desk.batch(1, vec![with(None)]));
    let expected = Kind::inequivalent("x-message-ttl", None, Some(Value::I32(5)));
    assert_eq!(kind, expected);
    let transient = Request::DeclareQueue {
        name: name("q"),
        settings: Some(Box::default()),
    };
    let kind = failure(&desk.batch(1, vec![transient]));
    assert!(matches!(kind, Kind::Inequivalent(difference) if difference.field == "durable"));
}

#[test]
fn what_the_broker_keeps_for_itself_is_refused() {
    let mut desk = Desk::new();
    let refused = |kind: Kind, what| assert_eq!(kind, Kind::Reserved(what));
    let told = desk.batch(1, vec![declare_topic("", topic(TopicKind::Direct))]);
    refused(failure(&told), Reserved::DefaultTopic);
    let told = desk.batch(1, vec![declare_topic("amq.x", topic(TopicKind::Direct))]);
    refused(failure(&told), Reserved::Name);
    let told = desk.batch(
        1,
        vec![declare_topic("amq.direct", topic(TopicKind::Direct))],
    );
    assert!(is_done(&told));
    let delete = Request::DeleteTopic {
        name: name("amq.topic"),
        if_unused: false,
    };
    refused(failure(&desk.batch(1, vec![delete])), Reserved::OwnTopic);
    let told = desk.batch(1, vec![Request::Bind(Box::new(binding("", "q")))]);
    refused(failure(&told), Reserved::DefaultTopic);
}

#[test]
fn a_failed_request_stops_its_lane_for_the_batch_only() {
    let mut desk = Desk::new();
    desk.declare("q", durable());
    let to = |topic: &str, body: &str| Request::Publish(publish(message(topic, "q", body)));
    let requests = vec![
        (Lane(1), to("", "a")),
        (Lane(1), to("missing", "lost")),
        (Lane(2), to("", "b")),
        (Lane(1), to("", "lost")),
    ];
    let told = desk.raw(1, Batch { requests });
    assert_eq!(failure(&told), Kind::NotFound);
    assert_eq!(desk.drain("q"), ["a", "b"]);
    desk.send("q", &["c"]);
    assert_eq!(desk.drain("q"), ["c"]);
}

#[test]
fn an_auto_delete_topic_goes_with_its_last_binding_and_a_queue_with_its_bindings() {
    let mut desk = Desk::new();
    desk.declare("q", durable());
    let mut settings = topic(TopicKind::Fanout);
    settings.auto_delete = true;
    desk.batch(
        1,
        vec![
            declare_topic("t", settings),
            Request::Bind(Box::new(binding("t", "q"))),
        ],
    );
    let publish_to_t = Request::Publish(publish(message("t", "", "x")));
    desk.batch(1, vec![publish_to_t]);
    let delete = Request::DeleteQueue {
        name: name("q"),
        if_unused: false,
        if_empty: false,
    };
    let told = desk.batch(1, vec![delete]);
    assert!(matches!(
        told[0].1,
        Event::Reply {
            result: Ok(Reply::Count(1)),
            ..
        }
    ));
    assert!(
        desk.engine
            .topics("/")
            .iter()
            .all(|one| one.name.as_str() != "t")
    );
    assert_eq!(desk.engine.bindings("/").len(), 0);
}

#[test]
fn deleting_a_queue_answers_first_and_then_ends_its_subscriptions() {
    let mut desk = Desk::new();
    desk.declare("q", durable());
    desk.subscribe(1, subscribe("q", 7));
    let delete = |if_unused| Request::DeleteQueue {
        name: name("q"),
        if_unused,
        if_empty: false,
    };
    assert_eq!(failure(&desk.batch(1, vec![delete(true)])), Kind::InUse);
    let told = desk.batch(1, vec![delete(false)]);
    assert!(
        matches!(
            &told[..],
            [
                (_, Event::Reply { .. }),
                (_, Event::SubscriptionEnded { .. })
            ]
        ),
        "{told:?}"
    );
}

#[test]
fn a_transaction_is_all_or_nothing() {
    let mut desk = Desk::new();
    desk.declare("q", durable());
    let transaction = |topics: &[&str]| {
        let publishes = topics
            .iter()
            .map(|topic| publish(message(topic, "q", "x")))
            .collect();
        Request::Transaction(Box::new(Transaction {
            publishes,
            settles: Vec::new(),
        }))
    };
    let told = desk.batch(1, vec![transaction(&["", "missing"])]);
    assert_eq!(failure(&told), Kind::NotFound);
    assert!(desk.drain("q").is_empty());
    assert!(is_done(&desk.batch(1, vec![transaction(&["", ""])])));
    assert_eq!(desk.drain("q"), ["x", "x"]);
}

#[test]
fn an_unroutable_mandatory_message_comes_back() {
    let mut desk = Desk::new();
    let mut publish = publish(message("", "nowhere", "x"));
    publish.mandatory = true;
    publish.confirm = Some(1);
    let told = desk.batch(1, vec![Request::Publish(publish)]);
    assert!(
        matches!(
            &told[..],
            [(_, Event::Returned { .. }), (_, Event::Confirmed { .. })]
        ),
        "{told:?}"
    );
}

#[test]
fn a_namespace_is_its_own_world() {
    let mut desk = Desk::new();
    let added = desk.engine.add_namespace(&name("other"), &mut desk.shelf);
    assert_eq!(added, Ok(true));
    desk.engine
        .attach(polybus_model::SessionId(9), &name("other"))
        .unwrap();
    desk.declare("q", durable());
    desk.send("q", &["here"]);
    let declare = Request::DeclareQueue {
        name: name("q"),
        settings: Some(Box::new(QueueSettings::default())),
    };
    assert!(is_done(&desk.batch(9, vec![declare])));
    let told = desk.subscribe(9, subscribe("q", 1));
    assert!(bodies(told).is_empty());
    let mut out = crate::Effects::default();
    let now = desk.now;
    let gone = desk
        .engine
        .delete_namespace(&name("other"), now, &mut desk.shelf, &mut out);
    assert!(gone);
    assert!(matches!(
        out.events[..],
        [(_, Event::SubscriptionEnded { .. })]
    ));
    assert_eq!(desk.engine.namespaces(), [name("/")]);
    assert_eq!(desk.drain("q"), ["here"]);
}

#[test]
fn a_queue_is_empty_when_nothing_of_it_is_ready() {
    let delete = || {
        let name = name("q");
        Request::DeleteQueue {
            name,
            if_unused: false,
            if_empty: true,
        }
    };
    let mut desk = Desk::new();
    desk.declare("q", durable());
    desk.send("q", &["ready", "held"]);
    assert_eq!(failure(&desk.batch(1, vec![delete()])), Kind::NotEmpty);
    desk.take(2, "q");
    desk.take(2, "q");
    let told = desk.batch(1, vec![delete()]);
    assert!(
        matches!(
            told[..],
            [(
                _,
                Event::Reply {
                    result: Ok(Reply::Count(0)),
                    ..
                }
            )]
        ),
        "{told:?}"
    );
}
