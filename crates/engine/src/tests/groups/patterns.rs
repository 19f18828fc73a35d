//! Members that say what they read with a pattern.

use polybus_model::{Beat, BeatAnswer, Sight, Standing};

use super::*;

fn says(member: &str, standing: Standing, pattern: Option<&str>) -> Beat {
    let joins = standing == Standing::Joins;
    Beat {
        group: "g".into(),
        member: member.into(),
        instance: None,
        client: "client".into(),
        host: "host".into(),
        standing,
        rebalance_timeout_ms: joins.then_some(REBALANCE_MS),
        reads: joins.then(Vec::new),
        pattern: pattern.map(Into::into),
        sight: Sight::default(),
        assignor: None,
        owned: None,
    }
}

fn beat(club: &mut Club, beat: Beat) -> BeatAnswer {
    match club.now(GroupRequest::Beat(Box::new(beat))) {
        GroupReply::Beat(result) => result.unwrap(),
        other => panic!("{other:?}"),
    }
}

/// The logs that a member has partitions of.
fn logs(answer: &BeatAnswer) -> Vec<&str> {
    let mut names: Vec<_> = answer.assignment.iter().flatten().collect();
    names.dedup_by(|one, next| one.log == next.log);
    names.iter().map(|one| one.log.as_str()).collect()
}

#[test]
fn logs_that_come_and_go_are_found() {
    let mut club = Club::new();
    let first = beat(&mut club, says("a", Standing::Joins, Some("[lx].*")));
    assert_eq!(logs(&first), ["l"]);
    let works = |club: &mut Club, epoch: Option<u32>, pattern| {
        beat(club, says("a", Standing::Works(epoch.unwrap()), pattern))
    };
    let same = works(&mut club, first.epoch, None);
    assert_eq!((same.epoch, same.assignment), (first.epoch, None));
    club.declare("x1", 1);
    club.declare("y1", 1);
    let more = works(&mut club, first.epoch, None);
    assert!(more.epoch > first.epoch);
    assert_eq!(logs(&more), ["l", "x1"]);
    club.drop_log("l");
    let less = works(&mut club, more.epoch, None);
    assert_eq!(logs(&less), ["x1"]);
    // It gives back what it has before it takes anything.
    let mut gives = says("a", Standing::Works(less.epoch.unwrap()), Some("y."));
    gives.owned = less.assignment;
    let other = beat(&mut club, gives);
    assert_eq!(other.assignment.as_deref(), Some(&[][..]));
    let mut done = says("a", Standing::Works(other.epoch.unwrap()), None);
    done.owned = Some(Vec::new());
    assert_eq!(logs(&beat(&mut club, done)), ["y1"]);
}

#[test]
fn members_with_one_pattern_share_what_it_fits() {
    let mut club = Club::new();
    let first = beat(&mut club, says("a", Standing::Joins, Some("l|m")));
    assert_eq!(logs(&first), ["l", "m"]);
    let second = beat(&mut club, says("b", Standing::Joins, Some("l|m")));
    assert!(second.assignment.is_some_and(|all| all.is_empty()));
    beat(&mut club, says("b", Standing::Leaves, None));
    // Names add to what a pattern fits, and an empty one is none.
    let mut names = says("c", Standing::Joins, Some(""));
    names.reads = Some(vec![name("m")]);
    beat(&mut club, names);
    beat(&mut club, says("a", Standing::Leaves, None));
    let left = beat(&mut club, says("c", Standing::Joins, Some("l")));
    let left = beat(
        &mut club,
        says("c", Standing::Works(left.epoch.unwrap()), Some("l")),
    );
    assert_eq!(left.assignment, None);
}

#[test]
fn a_pattern_finds_what_its_member_may_know_of() {
    let mut club = Club::new();
    let mut joins = says("a", Standing::Joins, Some(".*"));
    joins.sight = Sight::of(1, |name| name == "m");
    let first = beat(&mut club, joins.clone());
    assert_eq!(logs(&first), ["m"]);
    let mut works = says("a", Standing::Works(first.epoch.unwrap()), None);
    works.sight = Sight::all(2);
    assert_eq!(logs(&beat(&mut club, works)), ["l", "m"]);
}
