//! Assignments, signs of life, and the end of members.

use super::*;

#[test]
fn the_leaders_assignments_are_waited_for() {
    let mut club = Club::new();
    club.gather(&["a", "b", "c"]);
    let b = club.ask_sync(who("b", 1), &[]);
    assert!(club.synced(b).is_none());
    let a = club.sync_now(who("a", 1), &[("a", "1"), ("b", "2"), ("stranger", "3")]);
    assert_eq!(a.as_deref(), Ok("1"));
    assert_eq!(club.synced(b).unwrap().as_deref(), Ok("2"));
    // Who was forgotten has nothing to do; who comes later is answered at once.
    assert_eq!(club.sync_now(who("c", 1), &[]).as_deref(), Ok(""));
    assert_eq!(club.state(), GroupState::Stable);
}

#[test]
fn a_sync_must_mean_the_same_as_the_group() {
    let mut club = Club::new();
    club.gather(&["a"]);
    let mut sync = |member: Membership, protocol_type: Option<&str>, assignor: Option<&str>| {
        let request = GroupRequest::Sync {
            membership: member,
            protocol_type: protocol_type.map(Into::into),
            assignor: assignor.map(Into::into),
            assignments: Vec::new(),
            shares: Vec::new(),
        };
        match club.now(request) {
            GroupReply::Synced(result) => result.map(|(kind, assignor, _)| (kind, assignor)),
            other => panic!("{other:?}"),
        }
    };
    let all = ("consumer".to_owned(), "range".to_owned());
    assert_eq!(
        sync(who("a", 1), Some("connect"), None),
        Err(GroupError::Inconsistent)
    );
    assert_eq!(
        sync(who("a", 1), None, Some("robin")),
        Err(GroupError::Inconsistent)
    );
    assert_eq!(
        sync(who("a", 2), None, None),
        Err(GroupError::OldGeneration)
    );
    assert_eq!(
        sync(who("b", 1), None, None),
        Err(GroupError::UnknownMember)
    );
    assert_eq!(sync(who("a", 1), Some("consumer"), Some("range")), Ok(all));
}

#[test]
fn members_live_while_they_give_signs_of_life() {
    let mut club = Club::new();
    club.settle(&["a", "b"]);
    for _ in 0..5 {
        club.wait(SESSION_MS - 1);
        assert_eq!(club.heartbeat(who("a", 1)), Ok(()));
        let _ = club.heartbeat(who("b", 1));
    }
    club.wait(SESSION_MS - 1);
    assert_eq!(club.heartbeat(who("a", 1)), Ok(()));
    assert_eq!(club.state(), GroupState::Stable);
    club.wait(1);
    assert_eq!(club.heartbeat(who("b", 1)), Err(GroupError::UnknownMember));
    assert_eq!(club.heartbeat(who("a", 1)), Err(GroupError::Rebalancing));
    let a = club.ask_join(again("a"));
    assert_eq!(club.joined(a).unwrap().unwrap().members.len(), 1);
}

#[test]
fn a_lost_connection_is_not_a_lost_member() {
    let mut club = Club::new();
    club.settle(&["a"]);
    club.desk.detach(1);
    let session = polybus_model::SessionId(1);
    club.desk.engine.attach(session, &name("/")).unwrap();
    assert_eq!(club.heartbeat(who("a", 1)), Ok(()));
}

#[test]
fn a_leader_that_is_lost_while_assigning_sends_the_others_back() {
    let mut club = Club::new();
    club.gather(&["a", "b"]);
    let b = club.ask_sync(who("b", 1), &[]);
    club.wait(SESSION_MS);
    assert_eq!(club.synced(b), Some(Err(GroupError::Rebalancing)));
    let b = club.ask_join(again("b"));
    let b = club.joined(b).unwrap().unwrap();
    assert_eq!((b.generation, b.leader.as_str()), (2, "b"));
}

#[test]
fn who_joins_and_never_syncs_is_out() {
    let mut club = Club::new();
    club.gather(&["a", "b"]);
    assert!(club.sync_now(who("a", 1), &[]).is_ok());
    for _ in 0..12 {
        club.wait(5_000);
        let _ = club.heartbeat(who("a", 1));
        let _ = club.heartbeat(who("b", 1));
    }
    assert_eq!(club.heartbeat(who("b", 1)), Err(GroupError::UnknownMember));
    assert_eq!(club.heartbeat(who("a", 1)), Err(GroupError::Rebalancing));
}

#[test]
fn leaving_is_heard_at_once() {
    let mut club = Club::new();
    club.settle(&["a", "b"]);
    assert_eq!(club.leave("c", None), Err(GroupError::UnknownMember));
    assert_eq!(club.leave("a", None), Ok(()));
    assert_eq!(club.heartbeat(who("b", 1)), Err(GroupError::Rebalancing));
    let b = club.ask_join(again("b"));
    assert_eq!(club.joined(b).unwrap().unwrap().leader, "b");
    assert_eq!(club.leave("b", None), Ok(()));
    assert_eq!(club.state(), GroupState::Empty);
    assert_eq!(club.leave("b", None), Err(GroupError::UnknownMember));
}

#[test]
fn leaving_ends_what_the_member_waits_for() {
    let mut club = Club::new();
    let a = club.ask_join(join("a"));
    assert_eq!(club.leave("a", None), Ok(()));
    assert_eq!(club.joined(a), Some(Err(GroupError::UnknownMember)));
    club.wait(DELAY_MS);
    assert_eq!(club.state(), GroupState::Empty);

    club.gather(&["a", "b"]);
    let b = club.ask_sync(who("b", 2), &[]);
    assert_eq!(club.leave("b", None), Ok(()));
    assert_eq!(club.synced(b), Some(Err(GroupError::UnknownMember)));
}

#[test]
fn an_id_given_out_may_be_given_back() {
    let mut club = Club::new();
    club.settle(&["a"]);
    let told = club.join_now(Join {
        id_first: true,
        ..join("b")
    });
    assert!(told.is_err());
    let a = club.ask_join(again("a"));
    assert!(club.joined(a).is_none());
    assert_eq!(club.leave("b", None), Ok(()));
    assert_eq!(club.joined(a).unwrap().unwrap().generation, 2);
}
