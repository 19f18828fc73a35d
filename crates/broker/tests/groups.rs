//! Offsets are told of when they are on disk, and are there after a loss of power.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod desk;

use polybus_broker::Connection;
use polybus_journal::{CrashMode, MemoryIo};
use polybus_model::{
    Event, GroupOffset, GroupReply, GroupRequest, LogRequest, LogSettings, Membership,
    PartitionName, Request,
};

use desk::{connect, events, name, open, publish, submit};

fn nobody() -> Membership {
    Membership {
        group: "readers".into(),
        generation: None,
        member: String::new(),
        instance: None,
    }
}

fn ask(connection: &mut Connection, number: u64, request: GroupRequest) {
    let request = Box::new(request);
    submit(connection, Request::Group { number, request });
}

fn commit(connection: &mut Connection, number: u64, offset: u64) {
    let one = GroupOffset {
        partition: PartitionName {
            log: name("log"),
            partition: 0,
        },
        offset,
        epoch: None,
        metadata: String::new(),
    };
    let commit = GroupRequest::Commit {
        membership: nobody(),
        offsets: vec![one],
        forbidden: Vec::new(),
    };
    ask(connection, number, commit);
}

fn look(connection: &mut Connection, number: u64) {
    let look = GroupRequest::Offsets {
        membership: nobody(),
        partitions: None,
        stable: false,
    };
    ask(connection, number, look);
}

/// The answers about groups that have come: the offset that they tell, if they tell one.
fn answers(connection: &mut Connection) -> Vec<(u64, Option<u64>)> {
    let answers = events(connection).into_iter().filter_map(|event| {
        let Event::Group { number, reply } = event else {
            return None;
        };
        match *reply {
            GroupReply::Committed(Ok(results)) => {
                assert_eq!(results, [Ok(())]);
                Some((number, None))
            }
            GroupReply::Offsets(Ok(offsets)) => {
                Some((number, offsets.first().map(|one| one.offset)))
            }
            other => panic!("{other:?}"),
        }
    });
    answers.collect()
}

#[test]
fn offsets_are_told_of_when_they_are_durable() {
    let disk = MemoryIo::new();
    {
        let (broker, mut steps) = open(&disk);
        let mut connection = connect(&broker, &mut steps);
        let declare = LogRequest::Declare {
            name: name("log"),
            settings: LogSettings::default(),
            dry_run: false,
        };
        let request = Box::new(declare);
        submit(&mut connection, Request::Log { number: 1, request });
        while steps.commit().unwrap() {}
        events(&mut connection);

        publish(&mut connection, "kept", 1);
        commit(&mut connection, 2, 7);
        look(&mut connection, 3);
        assert_eq!(answers(&mut connection), [], "it might be lost yet");
        assert!(steps.is_commit_due(), "somebody waits");
        while steps.commit().unwrap() {}
        assert_eq!(answers(&mut connection), [(2, None), (3, Some(7))]);
        // With nothing on its way a look waits for nothing.
        look(&mut connection, 4);
        assert_eq!(answers(&mut connection), [(4, Some(7))]);
        commit(&mut connection, 5, 8);
    }
    disk.crash(CrashMode::LoseUnsynced, 1);
    let (broker, mut steps) = open(&disk);
    let mut connection = connect(&broker, &mut steps);
    look(&mut connection, 1);
    let told = answers(&mut connection);
    assert!(matches!(told[..], [(1, Some(7 | 8))]), "{told:?}");
}
