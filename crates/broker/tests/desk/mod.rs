//! A broker on a simulated disk, and a session of it.

use std::sync::Arc;

use polybus_broker::{Broker, Connection, Options, Steps};
use polybus_journal::MemoryIo;
use polybus_model::{
    Batch, Body, Event, Lane, Message, MessageParts, Name, Origin, Publish, QueueSettings, Request,
};
use polybus_session::Peer;

pub(crate) fn open(disk: &MemoryIo) -> (Broker, Steps) {
    let options = Options {
        first_user: None,
        segment_bytes: 16 << 10,
        ..Options::new("simulated")
    };
    Broker::open_stepwise(options, Arc::new(disk.clone()), 1).unwrap()
}

pub(crate) fn connect(broker: &Broker, steps: &mut Steps) -> Connection {
    let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let peer = Peer {
        remote: nowhere,
        local: nowhere,
        tls: false,
        certificate_name: None,
    };
    let mut connection = broker.connect("test", &peer).unwrap();
    steps.enter(&mut connection, &name("/")).unwrap();
    for (queue, durable) in [("kept", true), ("not kept", false)] {
        let settings = QueueSettings {
            durable,
            ..QueueSettings::default()
        };
        submit(
            &mut connection,
            Request::DeclareQueue {
                name: name(queue),
                settings: Some(Box::new(settings)),
            },
        );
    }
    while steps.commit().unwrap() {}
    events(&mut connection);
    connection
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn submit(connection: &mut Connection, request: Request) {
    let requests = vec![(Lane(1), request)];
    connection.submit(&mut Batch { requests });
}

pub(crate) fn publish(connection: &mut Connection, queue: &str, number: u64) {
    let message = Message::new(MessageParts {
        origin: Origin(0),
        topic: b"",
        key: queue.as_bytes(),
        properties: b"",
        body: Body::Copied(b"body"),
        durable: true,
        priority: None,
        ttl: None,
        deaths: None,
    });
    let publish = Publish {
        message,
        more_keys: Vec::new(),
        mandatory: false,
        confirm: Some(number),
        delay: None,
    };
    submit(connection, Request::Publish(publish));
}

pub(crate) fn events(connection: &mut Connection) -> Vec<Event> {
    let mut events = Vec::new();
    connection.take_events(&mut events);
    events
}
