//! Groups that move, with their members in them, from sharing the work out by themselves to letting the broker do it, and back.

use std::collections::BTreeSet;

use polybus_model::{Beat, BeatAnswer, SharedSummary, Sharing, Sight, Standing};

use super::*;

fn reads_l(member: &str) -> Join {
    Join {
        reads: Some(vec![name("l")]),
        ..join(member)
    }
}

fn l(partitions: std::ops::Range<u32>) -> Vec<PartitionName> {
    partitions.map(|partition| at("l", partition)).collect()
}

/// A member by itself that has all of `l`.
fn with_one(club: &mut Club) -> u32 {
    let number = club.ask_join(reads_l("a"));
    club.wait(DELAY_MS);
    let generation = club.joined(number).unwrap().unwrap().generation;
    let number = club.ask(GroupRequest::Sync {
        membership: who("a", generation),
        protocol_type: None,
        assignor: None,
        assignments: vec![("a".into(), Bytes::from_static(b"all"))],
        shares: vec![l(0..8)],
    });
    assert!(club.synced(number).unwrap().is_ok());
    generation
}

fn says(member: &str, standing: Standing, owned: Option<Vec<PartitionName>>) -> Beat {
    let joins = standing == Standing::Joins;
    Beat {
        group: "g".into(),
        member: member.into(),
        instance: None,
        client: "client".into(),
        host: "host".into(),
        standing,
        rebalance_timeout_ms: joins.then_some(REBALANCE_MS),
        reads: joins.then(|| vec![name("l")]),
        pattern: None,
        sight: Sight::default(),
        assignor: None,
        owned,
    }
}

fn beat(club: &mut Club, beat: Beat) -> BeatAnswer {
    match club.now(GroupRequest::Beat(Box::new(beat))) {
        GroupReply::Beat(result) => result.unwrap(),
        other => panic!("{other:?}"),
    }
}

fn look(club: &mut Club) -> SharedSummary {
    match club.now(GroupRequest::DescribeShared(vec![Ok("g".into())])) {
        GroupReply::SharedDescribed(mut found) => found.pop().unwrap().unwrap(),
        other => panic!("{other:?}"),
    }
}

/// A guest joins again with what it has in its hands; its epoch and share.
fn come_again(
    club: &mut Club,
    member: &str,
    owned: Vec<PartitionName>,
) -> (u32, Vec<PartitionName>) {
    let joined = club.join_now(Join {
        member: Some(member.into()),
        owned,
        ..reads_l(member)
    });
    let joined = joined.unwrap();
    assert_eq!(
        (joined.leader.as_str(), joined.assignor.as_str()),
        ("", "range")
    );
    let request = GroupRequest::Sync {
        membership: who(member, joined.generation),
        protocol_type: Some("consumer".into()),
        assignor: Some("range".into()),
        assignments: Vec::new(),
        shares: Vec::new(),
    };
    match club.now(request) {
        GroupReply::SyncedByBroker { share, .. } => (joined.generation, share),
        other => panic!("{other:?}"),
    }
}

#[test]
fn members_move_one_by_one_and_no_partition_has_two_owners() {
    let mut club = Club::new();
    let generation = with_one(&mut club);
    let answer = beat(&mut club, says("b", Standing::Joins, None));
    // The guest has all until it has given some back.
    assert_eq!(answer.assignment, Some(Vec::new()));
    let epoch = answer.epoch.unwrap();
    assert_eq!(
        club.heartbeat(who("a", generation)),
        Err(GroupError::Rebalancing)
    );
    let (same, kept) = come_again(&mut club, "a", l(0..8));
    assert_eq!((same, kept.len()), (generation, 4));
    assert_eq!(club.heartbeat(who("a", same)), Err(GroupError::Rebalancing));
    let empty = || Some(Vec::new());
    let waits = beat(&mut club, says("b", Standing::Works(epoch), empty()));
    assert_eq!(waits.assignment, None);
    let (next, held) = come_again(&mut club, "a", kept.clone());
    assert_eq!((next > generation, &held), (true, &kept));
    assert_eq!(club.heartbeat(who("a", next)), Ok(()));
    let got = beat(&mut club, says("b", Standing::Works(epoch), empty()));
    let got = got.assignment.unwrap();
    let all: BTreeSet<_> = kept.iter().chain(&got).collect();
    assert_eq!((kept.len(), got.len(), all.len()), (4, 4, 8));
    let guests: Vec<_> = look(&mut club)
        .members
        .iter()
        .map(|one| one.is_guest)
        .collect();
    assert_eq!(guests, [true, false]);
    assert!(
        club.commit(who("a", next), vec![offset("l", 0, 7)])
            .unwrap()[0]
            .is_ok()
    );
    club.leave("a", None).unwrap();
    let mut all = beat(&mut club, says("b", Standing::Works(epoch), Some(got)));
    all.assignment.as_mut().unwrap().sort();
    assert_eq!(all.assignment, Some(l(0..8)));
    assert_eq!(club.offsets(), [("l".into(), 0, 7)]);
}

#[test]
fn a_group_moves_back_when_only_guests_are_left() {
    let mut club = Club::new();
    let epoch = beat(&mut club, says("b", Standing::Joins, None))
        .epoch
        .unwrap();
    let joined = club.join_now(reads_l("a")).unwrap();
    assert_eq!(joined.leader, "");
    beat(&mut club, says("b", Standing::Leaves, None));
    let group = club.describe();
    assert_eq!(
        (group.state, group.sharing),
        (GroupState::Joining, Sharing::ByMembers)
    );
    assert_eq!(
        club.heartbeat(who("a", joined.generation)),
        Err(GroupError::Rebalancing)
    );
    let again = club.join_now(Join {
        member: Some("a".into()),
        ..reads_l("a")
    });
    let again = again.unwrap();
    assert_eq!(again.leader, "a");
    assert!(again.generation > joined.generation && again.generation > epoch);
    club.assign(&["a"], again.generation);
    assert_eq!(club.heartbeat(who("a", again.generation)), Ok(()));
}

#[test]
fn a_guest_that_is_not_heard_of_is_out() {
    let mut club = Club::new();
    with_one(&mut club);
    let epoch = beat(&mut club, says("b", Standing::Joins, None))
        .epoch
        .unwrap();
    club.wait(SESSION_MS);
    let all = beat(
        &mut club,
        says("b", Standing::Works(epoch), Some(Vec::new())),
    );
    assert_eq!(all.assignment, Some(l(0..8)));
    assert_eq!(look(&mut club).members.len(), 1);
}

#[test]
fn members_of_other_sorts_do_not_move() {
    let mut club = Club::new();
    beat(&mut club, says("b", Standing::Joins, None));
    let refused = |club: &mut Club, join: Join| club.join_now(join).unwrap_err();
    assert_eq!(refused(&mut club, join("a")), GroupError::Inconsistent);
    let other = Join {
        protocol_type: "connect".into(),
        ..reads_l("a")
    };
    assert_eq!(refused(&mut club, other), GroupError::Inconsistent);
    let unknown = Join {
        member: Some("x".into()),
        ..reads_l("x")
    };
    assert_eq!(refused(&mut club, unknown), GroupError::UnknownMember);
    club.join_now(reads_l("a")).unwrap();
    let stranger = Join {
        assignors: assignors(&["robin"], "c"),
        ..reads_l("c")
    };
    assert_eq!(refused(&mut club, stranger), GroupError::Inconsistent);
}
