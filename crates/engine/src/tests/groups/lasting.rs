//! Members that keep their place over a restart.

use super::*;

fn lasting(instance: &str, id: &str) -> Join {
    Join {
        instance: Some(instance.into()),
        ..join(id)
    }
}

fn named(instance: &str, id: &str, generation: u32) -> Membership {
    Membership {
        instance: Some(instance.into()),
        ..who(id, generation)
    }
}

/// `one` leads as `a1`, `two` is `b1`; both have their parts.
fn settled() -> Club {
    let mut club = Club::new();
    let joins = [
        club.ask_join(lasting("one", "a1")),
        club.ask_join(lasting("two", "b1")),
    ];
    club.wait(2 * DELAY_MS);
    for number in joins {
        assert_eq!(club.joined(number).unwrap().unwrap().generation, 1);
    }
    let b = club.ask_sync(named("two", "b1", 1), &[]);
    let a = club.sync_now(named("one", "a1", 1), &[("a1", "x"), ("b1", "y")]);
    assert_eq!(a.as_deref(), Ok("x"));
    assert_eq!(club.synced(b).unwrap().as_deref(), Ok("y"));
    club
}

#[test]
fn a_member_that_comes_back_takes_its_place_without_a_rebalance() {
    let mut club = settled();
    let joined = club.join_now(lasting("two", "b2")).unwrap();
    assert_eq!((joined.generation, joined.member.as_str()), (1, "b2"));
    assert_eq!(joined.leader, "a1");
    assert_eq!(club.state(), GroupState::Stable);
    let part = club.sync_now(named("two", "b2", 1), &[]);
    assert_eq!(part.as_deref(), Ok("y"));
    // The one before is fenced off, whatever it asks.
    let old = named("two", "b1", 1);
    assert_eq!(club.heartbeat(old.clone()), Err(GroupError::Fenced));
    assert_eq!(club.sync_now(old.clone(), &[]), Err(GroupError::Fenced));
    assert_eq!(club.commit(old, Vec::new()), Err(GroupError::Fenced));
    assert_eq!(club.leave("b1", Some("two")), Err(GroupError::Fenced));
    let rejoin = Join {
        member: Some("b1".into()),
        ..lasting("two", "b1")
    };
    assert_eq!(club.join_now(rejoin), Err(GroupError::Fenced));
    assert_eq!(club.heartbeat(who("b1", 1)), Err(GroupError::UnknownMember));
}

#[test]
fn a_leader_that_comes_back_does_not_assign() {
    let mut club = settled();
    // An old client is kept from believing that it leads.
    let joined = club.join_now(lasting("one", "a2")).unwrap();
    assert_eq!(
        (joined.member.as_str(), joined.leader.as_str()),
        ("a2", "a1")
    );
    assert_eq!(joined.members, []);
    assert!(!joined.skip_assignment);
    // A newer one is told to lead and not to assign.
    let mut join = lasting("one", "a3");
    join.can_skip_assignment = true;
    let joined = club.join_now(join).unwrap();
    assert_eq!(
        (joined.member.as_str(), joined.leader.as_str()),
        ("a3", "a3")
    );
    assert_eq!(joined.members.len(), 2);
    assert!(joined.skip_assignment);
    assert_eq!(
        club.sync_now(named("one", "a3", 1), &[]).as_deref(),
        Ok("x")
    );
    // An ordinary member that says it can is not told so.
    let mut join = lasting("two", "b2");
    join.can_skip_assignment = true;
    assert!(!club.join_now(join).unwrap().skip_assignment);
}

#[test]
fn another_choice_of_assignor_is_a_rebalance() {
    let mut club = Club::new();
    let mut join = lasting("one", "a1");
    join.assignors = assignors(&["range", "robin"], "x");
    let number = club.ask_join(join.clone());
    club.wait(DELAY_MS);
    assert_eq!(club.joined(number).unwrap().unwrap().assignor, "range");
    assert!(club.sync_now(named("one", "a1", 1), &[]).is_ok());
    join.new_member = "a2".into();
    join.assignors = assignors(&["robin", "range"], "x");
    let joined = club.join_now(join).unwrap();
    assert_eq!((joined.generation, joined.assignor.as_str()), (2, "robin"));
}

#[test]
fn while_assigning_a_return_is_a_rebalance_and_the_old_one_is_told() {
    let mut club = Club::new();
    let first = club.ask_join(lasting("one", "a1"));
    let second = club.ask_join(lasting("one", "a2"));
    assert_eq!(club.joined(first), Some(Err(GroupError::Fenced)));
    let b = club.ask_join(join("b"));
    club.wait(2 * DELAY_MS);
    assert_eq!(club.joined(second).unwrap().unwrap().leader, "a2");
    assert_eq!(club.joined(b).unwrap().unwrap().generation, 1);
    let waits = club.ask_sync(who("b", 1), &[]);
    let third = club.ask_join(lasting("one", "a3"));
    assert_eq!(club.synced(waits), Some(Err(GroupError::Rebalancing)));
    let b = club.ask_join(again("b"));
    assert_eq!(club.joined(b).unwrap().unwrap().generation, 2);
    assert_eq!(club.joined(third).unwrap().unwrap().member, "a3");
}

#[test]
fn one_that_is_away_keeps_its_place_until_its_session_is_over() {
    let mut club = settled();
    let c = club.ask_join(join("c"));
    // The leader is away, the other one comes: nobody waits for longer than the rebalance timeout.
    let mut b = again("b1");
    b.instance = Some("two".into());
    b.session_timeout_ms = 120_000;
    let b = club.ask_join(b);
    club.wait(SESSION_MS);
    // Its session is shorter than that here.
    let joined = club.joined(c).unwrap().unwrap();
    assert_eq!((joined.generation, joined.leader.as_str()), (2, "b1"));
    assert_eq!(club.joined(b).unwrap().unwrap().members.len(), 2);
}

#[test]
fn one_with_a_long_session_stays_through_a_rebalance() {
    let mut club = Club::new();
    let mut a = lasting("one", "a1");
    a.session_timeout_ms = 600_000;
    let a = club.ask_join(a);
    club.wait(DELAY_MS);
    assert!(club.joined(a).unwrap().is_ok());
    assert!(club.sync_now(named("one", "a1", 1), &[]).is_ok());
    let b = club.ask_join(join("b"));
    club.wait(REBALANCE_MS);
    let joined = club.joined(b).unwrap().unwrap();
    assert_eq!((joined.generation, joined.leader.as_str()), (2, "b"));
    let instances: Vec<_> = joined.members.iter().map(|one| one.1.clone()).collect();
    assert_eq!(instances, [Some("one".into()), None]);
}

#[test]
fn a_lasting_member_may_be_sent_away_by_its_name() {
    let mut club = settled();
    assert_eq!(
        club.leave("", Some("three")),
        Err(GroupError::UnknownMember)
    );
    assert_eq!(club.leave("", None), Err(GroupError::UnknownMember));
    assert_eq!(club.leave("", Some("two")), Ok(()));
    assert_eq!(
        club.heartbeat(named("two", "b1", 1)),
        Err(GroupError::UnknownMember)
    );
    assert_eq!(
        club.heartbeat(named("one", "a1", 1)),
        Err(GroupError::Rebalancing)
    );
}
