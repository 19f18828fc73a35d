//! Listings, and deleting groups.

use super::*;

fn list(club: &mut Club) -> Vec<(String, GroupState, String)> {
    match club.now(GroupRequest::List) {
        GroupReply::Groups(groups) => groups
            .into_iter()
            .map(|one| (one.group, one.state, one.protocol_type))
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn delete(club: &mut Club, names: &[&str]) -> Vec<Result<(), GroupError>> {
    let names = names.iter().map(|name| Ok((*name).into())).collect();
    match club.now(GroupRequest::Delete(names)) {
        GroupReply::Deleted(results) => results,
        other => panic!("{other:?}"),
    }
}

#[test]
fn groups_are_listed_and_described() {
    let mut club = Club::new();
    assert_eq!(list(&mut club), []);
    club.gather(&["a", "b"]);
    let seen = club.describe();
    assert_eq!(seen.state, GroupState::Assigning);
    assert_eq!(seen.assignor, "");
    assert!(seen.members.iter().all(|one| one.metadata.is_empty()));
    club.assign(&["a", "b"], 1);
    let seen = club.describe();
    assert_eq!(seen.state, GroupState::Stable);
    assert_eq!(
        (seen.protocol_type.as_str(), seen.assignor.as_str()),
        ("consumer", "range")
    );
    let [a, b] = &seen.members[..] else {
        panic!("{seen:?}")
    };
    assert_eq!(
        (a.member.as_str(), &a.assignment[..], &a.metadata[..]),
        ("a", &b"a"[..], &b"a"[..])
    );
    assert_eq!((b.client.as_str(), b.host.as_str()), ("client", "host"));
    let other = Membership {
        group: "another".into(),
        ..nobody()
    };
    assert!(club.commit(other, vec![offset("l", 0, 1)]).is_ok());
    assert_eq!(
        list(&mut club),
        [
            ("another".into(), GroupState::Empty, String::new()),
            ("g".into(), GroupState::Stable, "consumer".into()),
        ]
    );
}

#[test]
fn what_is_refused_before_is_answered_so() {
    let mut club = Club::new();
    let asked = vec![Err(GroupError::Forbidden), Ok("g".into())];
    match club.now(GroupRequest::Describe(asked)) {
        GroupReply::Described(found) => {
            assert_eq!(found[0], Err(GroupError::Forbidden));
            assert_eq!(found[1].as_ref().unwrap().state, GroupState::Gone);
        }
        other => panic!("{other:?}"),
    }
    let refusal = GroupReply::Done(Err(GroupError::Forbidden));
    let reply = club.now(GroupRequest::Refused(Box::new(refusal)));
    assert!(matches!(
        reply,
        GroupReply::Done(Err(GroupError::Forbidden))
    ));
}

#[test]
fn only_groups_without_members_are_deleted() {
    let mut club = Club::new();
    club.settle(&["a"]);
    club.commit(who("a", 1), vec![offset("l", 0, 7)]).unwrap();
    assert_eq!(
        delete(&mut club, &["g", "h"]),
        [Err(GroupError::NotEmpty), Err(GroupError::NotFound)]
    );
    club.leave("a", None).unwrap();
    assert_eq!(delete(&mut club, &["g"]), [Ok(())]);
    assert_eq!(club.state(), GroupState::Gone);
    assert_eq!(club.offsets(), []);
    assert_eq!(club.desk.engine.groups.deadline(), None);
    club.restart(false);
    assert_eq!(club.state(), GroupState::Gone);
}

#[test]
fn groups_belong_to_their_namespace() {
    let mut club = Club::new();
    let there = name("there");
    club.desk
        .engine
        .add_namespace(&there, &mut club.desk.shelf)
        .unwrap();
    let session = polybus_model::SessionId(1);
    club.desk.engine.attach(session, &there).unwrap();
    club.ask_of_log(LogRequest::Declare {
        name: name("l"),
        settings: LogSettings::default(),
        dry_run: false,
    });
    club.commit(nobody(), vec![offset("l", 0, 7)]).unwrap();
    club.desk.engine.attach(session, &name("/")).unwrap();
    assert_eq!(club.state(), GroupState::Gone);
    club.desk.engine.attach(session, &there).unwrap();
    assert_eq!(club.offsets().len(), 1);
    let (now, mut out) = (club.desk.now, crate::Effects::default());
    let Desk { engine, shelf, .. } = &mut club.desk;
    assert!(engine.delete_namespace(&there, now, shelf, &mut out));
    assert_eq!(engine.groups.deadline(), None);
    engine.add_namespace(&there, shelf).unwrap();
    for _ in 0..2 {
        club.desk.engine.attach(session, &there).unwrap();
        assert_eq!(club.offsets(), []);
        club.restart(false);
    }
}
