//! Segments go only when nothing needs them, also not after a crash.

#![expect(clippy::unwrap_used, reason = "tests")]

mod desk;

use polybus_journal::{CrashMode, Io as _, MemoryIo};
use polybus_model::{Event, Outcome, Reply, Request, Settle};

use desk::{connect, events, name, open, publish, submit};

/// Takes a message and accepts it, without waiting for anything.
fn consume(connection: &mut polybus_broker::Connection) -> bool {
    submit(
        connection,
        Request::Take {
            queue: name("kept"),
            auto_settle: false,
        },
    );
    let taken = events(connection)
        .into_iter()
        .find_map(|event| match event {
            Event::Reply {
                result: Ok(Reply::Taken(taken)),
                ..
            } => taken,
            _ => None,
        });
    let Some(lease) = taken.and_then(|taken| taken.lease) else {
        return false;
    };
    let settle = Settle {
        leases: vec![lease],
        outcome: Outcome::Accept,
    };
    submit(connection, Request::Settle(settle));
    true
}

/// The settlement was only staged when its message's segment went: after a crash the snapshot knew of a message that was
/// nowhere any more, and the folder could not be opened.
#[test]
fn a_segment_goes_after_what_ended_its_messages_is_durable() {
    let disk = MemoryIo::new();
    let (broker, mut steps) = open(&disk);
    let mut connection = connect(&broker, &mut steps);
    for number in 1..=20 {
        publish(&mut connection, "kept", number);
        steps.commit().unwrap();
    }
    steps.upkeep().unwrap();
    let before = disk.list().unwrap();
    while consume(&mut connection) {}
    steps.upkeep().unwrap();
    assert_ne!(before, disk.list().unwrap(), "no segment went");
    disk.crash(CrashMode::LoseUnsynced, 1);
    drop((connection, steps, broker));
    let (broker, _steps) = open(&disk);
    assert_eq!(broker.queues("/").unwrap()[0].ready, 0);
}
