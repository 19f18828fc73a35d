//! From nobody to a generation, and to the next.

use super::*;
use crate::GroupOptions;

#[test]
fn members_that_come_within_a_moment_share_one_generation() {
    let mut club = Club::new();
    let a = club.ask_join(join("a"));
    club.wait(60);
    let b = club.ask_join(join("b"));
    club.wait(60);
    // The second one has put it off.
    assert_eq!(club.state(), GroupState::Joining);
    club.wait(80);
    let (a, b) = (club.joined(a).unwrap(), club.joined(b).unwrap());
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!((a.generation, b.generation), (1, 1));
    assert_eq!((a.leader.as_str(), b.leader.as_str()), ("a", "a"));
    assert_eq!((a.member.as_str(), b.member.as_str()), ("a", "b"));
    assert_eq!(a.assignor, "range");
    assert_eq!(a.protocol_type, "consumer");
    let of = |id: &'static str| (id.to_owned(), None, Bytes::from_static(id.as_bytes()));
    assert_eq!(a.members, [of("a"), of("b")]);
    assert_eq!(b.members, []);
    assert_eq!(club.state(), GroupState::Assigning);
}

#[test]
fn gathering_ends_with_the_rebalance_timeout() {
    let mut club = Club::new();
    let mut first = join("a");
    first.rebalance_timeout_ms = 250;
    let first = club.ask_join(first);
    for at in 0..3 {
        club.wait(90);
        club.ask_join(join(&format!("b{at}")));
    }
    assert_eq!(club.joined(first).unwrap().unwrap().generation, 1);
}

#[test]
fn a_member_may_be_told_its_id_first() {
    let mut club = Club::new();
    let asks = Join {
        id_first: true,
        ..join("a")
    };
    let told = club.join_now(asks.clone());
    assert_eq!(told, Err(GroupError::MemberIdRequired("a".into())));
    assert_eq!(club.state(), GroupState::Empty);
    let joins = club.ask_join(Join {
        id_first: true,
        ..again("a")
    });
    club.wait(DELAY_MS);
    assert_eq!(club.joined(joins).unwrap().unwrap().member, "a");

    // Who does not come back is waited for as long as a session lasts; a rebalance waits for it too.
    club.assign(&["a"], 1);
    let told = club.join_now(Join {
        id_first: true,
        ..join("b")
    });
    assert_eq!(told, Err(GroupError::MemberIdRequired("b".into())));
    let leads = club.ask_join(again("a"));
    assert!(club.joined(leads).is_none());
    club.wait(SESSION_MS);
    assert_eq!(club.joined(leads).unwrap().unwrap().generation, 2);
    assert_eq!(
        club.join_now(again("b")),
        Err(GroupError::UnknownMember),
        "its time was over"
    );
}

#[test]
fn a_group_that_only_was_asked_for_an_id_goes_with_it() {
    let mut club = Club::new();
    let told = club.join_now(Join {
        id_first: true,
        ..join("a")
    });
    assert!(told.is_err());
    club.wait(SESSION_MS);
    assert_eq!(club.state(), GroupState::Gone);
    assert_eq!(club.recorded(), []);
    assert_eq!(club.desk.engine.groups.deadline(), None);
}

#[test]
fn a_newcomer_makes_all_join_again() {
    let mut club = Club::new();
    club.settle(&["a", "b"]);
    let c = club.ask_join(join("c"));
    for id in ["a", "b"] {
        assert_eq!(club.heartbeat(who(id, 1)), Err(GroupError::Rebalancing));
    }
    assert_eq!(
        club.sync_now(who("a", 1), &[]),
        Err(GroupError::Rebalancing)
    );
    let b = club.ask_join(again("b"));
    assert!(club.joined(b).is_none());
    let a = club.ask_join(again("a"));
    let joined = [a, b, c].map(|number| club.joined(number).unwrap().unwrap());
    assert_eq!(joined.each_ref().map(|one| one.generation), [2, 2, 2]);
    assert_eq!(joined[0].members.len(), 3);
    assert_eq!(club.heartbeat(who("a", 1)), Err(GroupError::OldGeneration));
}

#[test]
fn who_does_not_come_back_in_time_is_out() {
    let mut club = Club::new();
    club.settle(&["a", "b"]);
    let c = club.ask_join(join("c"));
    // Signs of life do not help: it was told to join again.
    for _ in 0..12 {
        club.wait(5_000);
        let _ = club.heartbeat(who("a", 1));
        let _ = club.heartbeat(who("b", 1));
    }
    let joined = club.joined(c).unwrap().unwrap();
    assert_eq!((joined.generation, joined.leader.as_str()), (2, "c"));
    assert_eq!(club.heartbeat(who("a", 1)), Err(GroupError::UnknownMember));
}

#[test]
fn an_unchanged_member_is_answered_at_once() {
    let mut club = Club::new();
    club.settle(&["a", "b"]);
    let joined = club.join_now(again("b")).unwrap();
    assert_eq!((joined.generation, joined.leader.as_str()), (1, "a"));
    assert_eq!(club.state(), GroupState::Stable);

    // One that changed is not, and neither is the leader.
    let mut changed = again("b");
    changed.assignors = assignors(&["range"], "other");
    let changed = club.ask_join(changed);
    assert_eq!(club.state(), GroupState::Joining);
    let leader = club.ask_join(again("a"));
    assert_eq!(club.joined(changed).unwrap().unwrap().generation, 2);
    assert_eq!(club.joined(leader).unwrap().unwrap().members.len(), 2);
    // While assigning, an unchanged leader gets the members again.
    assert_eq!(club.join_now(again("a")).unwrap().members.len(), 2);
    club.assign(&["a", "b"], 2);
    let leader = club.ask_join(again("a"));
    assert_eq!(club.state(), GroupState::Joining);
    assert!(club.joined(leader).is_none());
}

#[test]
fn the_assignor_is_one_that_all_know_and_most_like() {
    let mut club = Club::new();
    let likes = |id, names: &[&str]| Join {
        assignors: assignors(names, id),
        ..join(id)
    };
    let a = club.ask_join(likes("a", &["sticky", "range", "robin"]));
    club.ask_join(likes("b", &["robin", "range"]));
    club.ask_join(likes("c", &["robin", "robin", "range"]));
    let stranger = club.join_now(likes("d", &["sticky"]));
    assert_eq!(stranger, Err(GroupError::Inconsistent));
    let stranger = club.join_now(Join {
        protocol_type: "connect".into(),
        ..join("d")
    });
    assert_eq!(stranger, Err(GroupError::Inconsistent));
    club.wait(2 * DELAY_MS);
    assert_eq!(club.joined(a).unwrap().unwrap().assignor, "robin");
}

#[test]
fn what_cannot_be_a_member_is_refused() {
    let mut club = Club::new();
    let refused = |club: &mut Club, change: &dyn Fn(&mut Join)| {
        let mut join = join("a");
        change(&mut join);
        let error = club.join_now(join).unwrap_err();
        assert_eq!(club.state(), GroupState::Gone);
        error
    };
    use GroupError::{Inconsistent, InvalidName, InvalidTimeout, UnknownMember};
    let club = &mut club;
    assert_eq!(refused(club, &|join| join.group.clear()), InvalidName);
    let long = |join: &mut Join| join.group = "g".repeat(1_025);
    assert_eq!(refused(club, &long), InvalidName);
    assert_eq!(
        refused(club, &|join| join.session_timeout_ms = 5_999),
        InvalidTimeout
    );
    assert_eq!(
        refused(club, &|join| join.session_timeout_ms = 1_800_001),
        InvalidTimeout
    );
    assert_eq!(refused(club, &|join| join.assignors.clear()), Inconsistent);
    assert_eq!(
        refused(club, &|join| join.protocol_type.clear()),
        Inconsistent
    );
    assert_eq!(
        refused(club, &|join| join.member = Some("x".into())),
        UnknownMember
    );
    let talkative = |join: &mut Join| {
        join.assignors = assignors(&["range"], &"x".repeat(1 << 20));
    };
    assert!(matches!(
        refused(club, &talkative),
        GroupError::Unavailable(_)
    ));
}

#[test]
fn groups_and_members_are_bounded() {
    let groups = GroupOptions {
        groups_max: 1,
        members_max: 2,
        bytes_max: 4_000,
        ..GroupOptions::default()
    };
    let mut club = Club::with(Options {
        groups,
        ..Options::default()
    });
    club.gather(&["a", "b"]);
    assert_eq!(club.join_now(join("c")), Err(GroupError::Full));
    let elsewhere = club.join_now(Join {
        group: "h".into(),
        ..join("c")
    });
    assert!(matches!(elsewhere, Err(GroupError::Unavailable(_))));
    let mut talkative = again("b");
    talkative.assignors = assignors(&["range"], &"x".repeat(3_000));
    assert!(matches!(
        club.join_now(talkative),
        Err(GroupError::Unavailable(_))
    ));
    let parts = [("a", "x".repeat(4_000))];
    let parts: Vec<_> = parts
        .iter()
        .map(|(id, part)| (*id, part.as_str()))
        .collect();
    assert!(matches!(
        club.sync_now(who("a", 1), &parts),
        Err(GroupError::Unavailable(_))
    ));
}

#[test]
fn a_new_member_whose_client_is_gone_holds_nothing_up_for_ever() {
    let mut club = Club::new();
    let mut slow = join("a");
    slow.rebalance_timeout_ms = 3_600_000;
    club.ask_join(slow);
    club.wait(DELAY_MS);
    club.assign(&["a"], 1);
    let b = club.ask_join(join("b"));
    for _ in 0..61 {
        club.wait(5_000);
        let _ = club.heartbeat(who("a", 1));
    }
    assert_eq!(
        club.joined(b),
        Some(Err(GroupError::UnknownMember)),
        "it is to ask again"
    );
}
