//! After a failure of the disk nothing is confirmed any more.

use std::sync::Arc;

use polybus_broker::{Broker, Connection, Options, Steps};
use polybus_journal::MemoryIo;
use polybus_model::{
    Batch, Body, Event, Lane, Message, MessageParts, Name, Origin, Publish, QueueSettings, Request,
};
use polybus_session::Peer;

fn open(disk: &MemoryIo) -> (Broker, Steps) {
    let options = Options {
        first_user: None,
        segment_bytes: 16 << 10,
        ..Options::new("simulated")
    };
    Broker::open_stepwise(options, Arc::new(disk.clone()), 1).unwrap()
}

fn connect(broker: &Broker, steps: &mut Steps) -> Connection {
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

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn submit(connection: &mut Connection, request: Request) {
    let requests = vec![(Lane(1), request)];
    connection.submit(&mut Batch { requests });
}

fn publish(connection: &mut Connection, queue: &str, number: u64) {
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

fn events(connection: &mut Connection) -> Vec<Event> {
    let mut events = Vec::new();
    connection.take_events(&mut events);
    events
}

/// What the journal refuses to take must not pass for something that is on disk already.
#[test]
fn what_comes_after_a_failed_sync_is_not_confirmed() {
    let disk = MemoryIo::new();
    let (broker, mut steps) = open(&disk);
    let mut connection = connect(&broker, &mut steps);
    disk.fail_sync(0);
    publish(&mut connection, "kept", 1);
    assert!(steps.commit().is_err());
    publish(&mut connection, "kept", 2);
    // Needs no disk, but its confirm would cover those before it.
    publish(&mut connection, "not kept", 3);
    assert!(steps.commit().is_err());
    let told = events(&mut connection);
    assert!(told.is_empty(), "{told:?}");
}

/// A failure of the upkeep ends the broker too: it says so, and confirms nothing behind its own back.
#[test]
fn what_comes_after_a_failed_upkeep_is_not_confirmed() {
    let disk = MemoryIo::new();
    let (broker, mut steps) = open(&disk);
    let mut connection = connect(&broker, &mut steps);
    disk.fail_sync(0);
    let failed = (0..20).any(|_| steps.upkeep().is_err());
    assert!(failed);
    publish(&mut connection, "kept", 1);
    assert!(steps.commit().is_err());
    let told = events(&mut connection);
    assert!(told.is_empty(), "{told:?}");
}
