//! Offsets: who may commit them, and how long they last.

use super::*;

const WEEK_MS: Millis = 7 * 24 * 3_600_000;

#[test]
fn members_commit_in_their_generation() {
    let mut club = Club::new();
    let g = club.settle(&["a", "b"]);
    assert_eq!(
        club.commit(who("a", g), vec![offset("l", 0, 7), offset("l", 1, 8)]),
        Ok(vec![Ok(()), Ok(())])
    );
    assert_eq!(
        club.commit(who("a", g + 1), vec![]),
        Err(GroupError::OldGeneration)
    );
    assert_eq!(
        club.commit(who("x", g), vec![]),
        Err(GroupError::UnknownMember)
    );
    // Whoever is not a member keeps out while there are some.
    assert_eq!(
        club.commit(nobody(), vec![offset("l", 0, 1)]),
        Err(GroupError::UnknownMember)
    );
    let c = club.ask_join(join("c"));
    // Those who are to join again may still say where they are.
    assert!(club.commit(who("a", g), vec![offset("l", 0, 9)]).is_ok());
    club.ask_join(again("a"));
    club.ask_join(again("b"));
    assert!(club.joined(c).unwrap().is_ok());
    assert_eq!(
        club.commit(who("a", g + 1), vec![offset("l", 0, 1)]),
        Err(GroupError::Rebalancing)
    );
    assert_eq!(club.offsets(), [("l".into(), 0, 9), ("l".into(), 1, 8)]);
}

#[test]
fn a_commit_is_a_sign_of_life() {
    let mut club = Club::new();
    let g = club.settle(&["a"]);
    for _ in 0..3 {
        club.wait(SESSION_MS - 1);
        assert!(club.commit(who("a", g), vec![offset("l", 0, 1)]).is_ok());
    }
}

#[test]
fn clients_that_assign_to_themselves_commit_without_members() {
    let mut club = Club::new();
    assert_eq!(
        club.commit(who("a", 1), vec![offset("l", 0, 1)]),
        Err(GroupError::OldGeneration)
    );
    assert_eq!(club.state(), GroupState::Gone);
    assert!(club.commit(nobody(), vec![offset("l", 0, 1)]).is_ok());
    assert_eq!(club.state(), GroupState::Empty);
    assert_eq!(
        club.commit(who("a", 1), vec![offset("l", 0, 2)]),
        Err(GroupError::UnknownMember)
    );
    let request = GroupRequest::Offsets {
        membership: nobody(),
        partitions: Some(vec![at("l", 1), at("l", 0)]),
        stable: true,
    };
    match club.now(request) {
        GroupReply::Offsets(Ok(found)) => assert_eq!(found, [offset("l", 0, 1)]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn long_remarks_are_refused_one_by_one() {
    let mut club = Club::new();
    let mut long = offset("l", 0, 1);
    long.metadata = "x".repeat(4_097);
    let results = club.commit(nobody(), vec![long, offset("l", 1, 2)]);
    assert_eq!(results, Ok(vec![Err(GroupError::MetadataTooLarge), Ok(())]));
    assert_eq!(club.offsets(), [("l".into(), 1, 2)]);
}

#[test]
fn a_commit_is_answered_when_it_is_durable_and_told_of_no_earlier() {
    let mut club = Club::new();
    let request = |number, request| Request::Group {
        number,
        request: Box::new(request),
    };
    let commit = GroupRequest::Commit {
        membership: nobody(),
        offsets: vec![offset("l", 0, 1)],
        forbidden: Vec::new(),
    };
    let look = GroupRequest::Offsets {
        membership: nobody(),
        partitions: None,
        stable: false,
    };
    let mut batch = polybus_model::Batch {
        requests: vec![
            (polybus_model::Lane(1), request(1, commit)),
            (polybus_model::Lane(1), request(2, look)),
        ],
    };
    let mut out = crate::Effects::default();
    let session = polybus_model::SessionId(1);
    let Desk { engine, shelf, .. } = &mut club.desk;
    engine.handle(session, &mut batch, 1_000, shelf, &mut out);
    assert!(out.events.is_empty());
    assert_eq!(out.gated.len(), 2);
    assert!(out.gated.iter().all(|one| one.needs_sync));
    assert_eq!(club.recorded(), [32], "one record for a commit");
}

#[test]
fn offsets_are_forgotten_if_nobody_reads_them() {
    let mut club = Club::new();
    let forget = |club: &mut Club, partitions: Vec<PartitionName>| {
        let request = GroupRequest::ForgetOffsets {
            group: "g".into(),
            partitions,
        };
        match club.now(request) {
            GroupReply::Committed(result) => result,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        forget(&mut club, vec![at("l", 0)]),
        Err(GroupError::NotFound)
    );
    let offsets = vec![offset("l", 0, 1), offset("m", 0, 2), offset("m", 1, 3)];
    club.commit(nobody(), offsets).unwrap();
    assert_eq!(
        forget(&mut club, vec![at("m", 1), at("x", 1)]),
        Ok(vec![Ok(()), Ok(())])
    );
    let mut reader = join("a");
    reader.reads = Some(vec![name("l")]);
    let reader = club.ask_join(reader);
    club.wait(DELAY_MS);
    assert!(club.joined(reader).unwrap().is_ok());
    assert_eq!(
        forget(&mut club, vec![at("l", 0), at("m", 0)]),
        Ok(vec![Err(GroupError::Subscribed), Ok(())])
    );
    assert_eq!(club.offsets(), [("l".into(), 0, 1)]);
    let secretive = club.ask_join(join("b"));
    assert_eq!(
        forget(&mut club, vec![at("l", 0)]),
        Err(GroupError::NotEmpty)
    );
    assert!(club.joined(secretive).is_none());
    club.restart(false);
    assert_eq!(club.offsets(), [("l".into(), 0, 1)]);
}

#[test]
fn offsets_of_what_no_member_reads_are_forgotten_while_members_work() {
    let mut club = Club::new();
    let reads_l = |member: &str| Join {
        reads: Some(vec![name("l")]),
        ..join(member)
    };
    let number = club.ask_join(reads_l("a"));
    club.wait(DELAY_MS);
    let g = club.joined(number).unwrap().unwrap().generation;
    club.assign(&["a"], g);
    let both = vec![offset("l", 0, 1), offset("m", 0, 2), offset("m", 1, 2)];
    club.commit(who("a", g), both).unwrap();
    let mut until = club.desk.now + WEEK_MS - 3_600_000;
    while club.desk.now < until {
        club.heartbeat(who("a", g)).unwrap();
        club.wait(SESSION_MS - 1);
    }
    assert_eq!(club.offsets().len(), 3);
    // It is looked from time to time.
    until += 2 * 3_600_000;
    while club.desk.now < until {
        club.heartbeat(who("a", g)).unwrap();
        club.wait(SESSION_MS - 1);
    }
    assert_eq!(club.offsets(), [("l".into(), 0, 1)]);
    club.restart(false);
    assert_eq!(club.offsets(), [("l".into(), 0, 1)]);
}

#[test]
fn offsets_outlive_the_last_member_by_their_retention() {
    let mut club = Club::new();
    let g = club.settle(&["a"]);
    club.commit(who("a", g), vec![offset("l", 0, 1)]).unwrap();
    for _ in 0..3 * WEEK_MS / 1_000_000 {
        // Few calls for a long time.
        club.desk.now += 1_000_000 - SESSION_MS + 1;
        let _ = club.heartbeat(who("a", g));
        club.wait(SESSION_MS - 1);
        let _ = club.heartbeat(who("a", g));
    }
    assert_eq!(club.offsets().len(), 1, "it has a member");
    club.leave("a", None).unwrap();
    club.wait(WEEK_MS - 1);
    assert_eq!(club.offsets().len(), 1);
    club.commit(nobody(), vec![offset("m", 0, 1)]).unwrap();
    club.wait(1);
    assert_eq!(club.offsets(), [("m".into(), 0, 1)]);
    club.wait(WEEK_MS - 1);
    assert_eq!(club.state(), GroupState::Gone);
    assert_eq!(club.desk.engine.groups.deadline(), None);
    club.restart(false);
    assert_eq!(club.state(), GroupState::Gone);
}

#[test]
fn offsets_of_a_group_that_never_had_members_last_from_their_commit() {
    let mut club = Club::new();
    club.commit(nobody(), vec![offset("l", 0, 1)]).unwrap();
    club.wait(WEEK_MS / 2);
    club.commit(nobody(), vec![offset("l", 1, 1)]).unwrap();
    club.restart(false);
    club.wait(WEEK_MS / 2);
    assert_eq!(club.offsets(), [("l".into(), 1, 1)]);
    club.restart(true);
    club.wait(WEEK_MS / 2);
    assert_eq!(club.state(), GroupState::Gone);
}

#[test]
fn offsets_and_generations_survive_a_restart_members_do_not() {
    for from_snapshot in [false, true] {
        let mut club = Club::new();
        let g = club.settle(&["a", "b"]);
        club.commit(who("a", g), vec![offset("l", 0, 7)]).unwrap();
        club.commit(who("b", g), vec![offset("l", 1, 8)]).unwrap();
        club.commit(who("a", g), vec![offset("l", 0, 9)]).unwrap();
        club.restart(from_snapshot);
        assert_eq!(club.state(), GroupState::Empty);
        assert_eq!(club.describe().protocol_type, "consumer");
        assert_eq!(club.offsets(), [("l".into(), 0, 9), ("l".into(), 1, 8)]);
        assert_eq!(club.heartbeat(who("a", g)), Err(GroupError::UnknownMember));
        assert_eq!(club.gather(&["a"]), g + 1);
    }
}

#[test]
fn a_group_without_offsets_is_kept_for_a_while() {
    let mut club = Club::new();
    club.settle(&["a"]);
    club.leave("a", None).unwrap();
    club.wait(10 * 60_000 - 1);
    assert_eq!(club.state(), GroupState::Empty);
    club.restart(true);
    club.wait(10 * 60_000);
    assert_eq!(club.state(), GroupState::Gone);
    club.restart(false);
    assert_eq!(club.state(), GroupState::Gone);
}

#[test]
fn a_corrupt_record_is_an_error_and_never_a_panic() {
    let mut club = Club::new();
    let g = club.settle(&["a"]);
    let offsets = vec![offset("l", 0, 7), offset("m", 1, 8)];
    club.commit(who("a", g), offsets).unwrap();
    club.leave("a", None).unwrap();
    let request = GroupRequest::ForgetOffsets {
        group: "g".into(),
        partitions: vec![at("m", 1)],
    };
    club.now(request);
    club.now(GroupRequest::Delete(vec![Ok("g".into())]));
    let records = &club.desk.shelf.records;
    assert_eq!(club.recorded(), [34, 32, 34, 33, 35]);
    for (kind, place, payload) in records.iter().filter(|one| one.0 >= 32 && one.0 < 36) {
        let replay = |payload: &[u8]| {
            let mut recovery = Recovery::empty(Options::default());
            recovery.replay(ReplayOrigin::AfterSnapshot, *kind, *place, payload)
        };
        assert!(replay(payload).is_ok());
        for cut in 0..payload.len() {
            assert!(replay(&payload[..cut]).is_err());
            for byte in [0, 1, 0x7F, 0xFF] {
                let mut damaged = payload.clone();
                damaged[cut] = byte;
                let _ = replay(&damaged);
            }
        }
    }
}

#[test]
fn offsets_of_what_is_not_there_are_refused() {
    let mut club = Club::new();
    let offsets = vec![
        offset("l", 8, 1),
        offset("nowhere", 0, 1),
        offset("l", 7, 1),
    ];
    use GroupError::UnknownPartition;
    assert_eq!(
        club.commit(nobody(), offsets),
        Ok(vec![Err(UnknownPartition), Err(UnknownPartition), Ok(())])
    );
    assert_eq!(
        club.commit(nobody(), vec![offset("nowhere", 0, 1)]),
        Ok(vec![Err(UnknownPartition)])
    );
}

#[test]
fn offsets_go_with_their_log() {
    let mut club = Club::new();
    club.commit(nobody(), vec![offset("l", 0, 1), offset("m", 0, 2)])
        .unwrap();
    club.ask_of_log(LogRequest::Delete { name: name("l") });
    club.declare("l", 8);
    assert_eq!(club.offsets(), [("m".into(), 0, 2)]);
    club.restart(false);
    assert_eq!(club.offsets(), [("m".into(), 0, 2)]);
}
