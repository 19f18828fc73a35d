//! Groups whose work the broker shares out.

use std::collections::{BTreeMap, BTreeSet};

use polybus_model::{Beat, BeatAnswer, SharedSummary, Standing};
use proptest::prelude::*;

use super::*;

fn joins(member: &str) -> Beat {
    Beat {
        group: "g".into(),
        member: member.into(),
        instance: None,
        client: "client".into(),
        host: "host".into(),
        standing: Standing::Joins,
        rebalance_timeout_ms: Some(REBALANCE_MS),
        reads: Some(vec![name("l")]),
        pattern: None,
        sight: Default::default(),
        assignor: None,
        owned: None,
    }
}

fn works(member: &str, epoch: u32, owned: Option<&[PartitionName]>) -> Beat {
    Beat {
        standing: Standing::Works(epoch),
        rebalance_timeout_ms: None,
        reads: None,
        owned: owned.map(<[_]>::to_vec),
        ..joins(member)
    }
}

fn beat(club: &mut Club, beat: Beat) -> Result<BeatAnswer, GroupError> {
    match club.now(GroupRequest::Beat(Box::new(beat))) {
        GroupReply::Beat(result) => result,
        other => panic!("{other:?}"),
    }
}

fn look(club: &mut Club) -> Result<SharedSummary, GroupError> {
    match club.now(GroupRequest::DescribeShared(vec![Ok("g".into())])) {
        GroupReply::SharedDescribed(mut found) => found.pop().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn l(partitions: std::ops::Range<u32>) -> Vec<PartitionName> {
    partitions.map(|partition| at("l", partition)).collect()
}

#[test]
fn a_first_member_has_all_at_once() {
    let mut club = Club::new();
    let answer = beat(&mut club, joins("a")).unwrap();
    assert_eq!(answer.assignment, Some(l(0..8)));
    let epoch = answer.epoch.unwrap();
    assert_eq!(epoch, 1);
    let answer = beat(&mut club, works("a", epoch, Some(&l(0..8)))).unwrap();
    assert_eq!((answer.epoch, answer.assignment), (Some(epoch), None));
    let seen = look(&mut club).unwrap();
    assert_eq!((seen.state, seen.epoch), (GroupState::Stable, epoch));
    assert_eq!(seen.assignor, "uniform");
    assert_eq!(seen.members[0].target, l(0..8));
    // Its clients are not those that share the work out themselves.
    assert_eq!(club.state(), GroupState::Gone);
    assert_eq!(club.join_now(join("b")), Err(GroupError::Inconsistent));
}

#[test]
fn what_one_gives_back_another_takes() {
    let mut club = Club::new();
    let one = beat(&mut club, joins("a")).unwrap().epoch.unwrap();
    let answer = beat(&mut club, joins("b")).unwrap();
    let two = answer.epoch.unwrap();
    assert_eq!(
        answer.assignment,
        Some(vec![]),
        "all of it is in other hands"
    );
    assert_eq!(look(&mut club).unwrap().state, GroupState::Reconciling);
    // It is told what to keep, in the epoch in which it has it.
    let answer = beat(&mut club, works("a", one, Some(&l(0..8)))).unwrap();
    assert_eq!(
        (answer.epoch, answer.assignment),
        (Some(one), Some(l(0..4)))
    );
    let answer = beat(&mut club, works("b", two, None)).unwrap();
    assert_eq!(answer.assignment, None);
    let answer = beat(&mut club, works("a", one, Some(&l(0..4)))).unwrap();
    assert_eq!(answer.epoch, Some(two));
    let answer = beat(&mut club, works("b", two, None)).unwrap();
    assert_eq!(answer.assignment, Some(l(4..8)));
    assert_eq!(look(&mut club).unwrap().state, GroupState::Stable);
}

#[test]
fn a_log_made_anew_is_given_back_and_handed_out_again() {
    let mut club = Club::new();
    let one = beat(&mut club, joins("a")).unwrap().epoch.unwrap();
    club.ask_of_log(LogRequest::Delete { name: name("l") });
    club.declare("l", 8);
    let answer = beat(&mut club, works("a", one, None)).unwrap();
    assert_eq!((answer.epoch, answer.assignment), (Some(one), Some(vec![])));
    let answer = beat(&mut club, works("a", one, Some(&[]))).unwrap();
    assert_eq!(answer.assignment, Some(l(0..8)));
    let last = answer.epoch.unwrap();
    assert!(last > one);
    let answer = beat(&mut club, works("a", last, Some(&l(0..8)))).unwrap();
    assert_eq!((answer.epoch, answer.assignment), (Some(last), None));
    assert_eq!(look(&mut club).unwrap().state, GroupState::Stable);
}

#[test]
fn who_does_not_give_back_is_out() {
    let mut club = Club::new();
    let one = beat(&mut club, joins("a")).unwrap().epoch.unwrap();
    let two = beat(&mut club, joins("b")).unwrap().epoch.unwrap();
    let mut last = None;
    for _ in 0..13 {
        club.wait(5_000);
        let _ = beat(&mut club, works("a", one, Some(&l(0..8))));
        last = beat(&mut club, works("b", last.unwrap_or(two), None))
            .unwrap()
            .epoch;
    }
    assert_eq!(
        beat(&mut club, works("a", one, None)),
        Err(GroupError::UnknownMember)
    );
    assert_eq!(look(&mut club).unwrap().members[0].assigned, l(0..8));
}

#[test]
fn a_member_that_is_not_heard_of_is_out() {
    let mut club = Club::new();
    let one = beat(&mut club, joins("a")).unwrap().epoch.unwrap();
    club.wait(44_999);
    assert!(beat(&mut club, works("a", one, None)).is_ok());
    club.wait(45_000);
    assert_eq!(club.state(), GroupState::Empty);
    assert_eq!(
        beat(&mut club, works("a", one, None)),
        Err(GroupError::UnknownMember)
    );
    assert!(beat(&mut club, joins("a")).unwrap().epoch > Some(one));
}

#[test]
fn epochs_that_are_not_known_are_fenced() {
    let mut club = Club::new();
    let one = beat(&mut club, joins("a")).unwrap().epoch.unwrap();
    let fenced = Err(GroupError::FencedEpoch);
    assert_eq!(beat(&mut club, works("a", one + 1, None)), fenced);
    assert_eq!(beat(&mut club, works("a", one - 1, None)), fenced);
    club.declare("l", 9);
    let two = beat(&mut club, works("a", one, Some(&l(0..8)))).unwrap();
    assert_eq!(two.assignment, Some(l(0..9)));
    // It missed that answer, and asks again as it is.
    let again = beat(&mut club, works("a", one, Some(&l(0..8)))).unwrap();
    assert_eq!(again.epoch, two.epoch);
    assert_eq!(beat(&mut club, works("a", one, Some(&l(0..10)))), fenced);
    // One that lost its way starts anew under its id.
    let anew = beat(&mut club, joins("a")).unwrap();
    assert_eq!((anew.epoch, anew.assignment), (two.epoch, Some(l(0..9))));
}

#[test]
fn lasting_members_keep_what_they_had() {
    let mut club = Club::new();
    let lasting = |id: &str, standing| Beat {
        instance: Some("one".into()),
        standing,
        ..joins(id)
    };
    let one = beat(&mut club, lasting("a1", Standing::Joins)).unwrap();
    let epoch = one.epoch.unwrap();
    let in_use = beat(&mut club, lasting("a2", Standing::Joins));
    assert_eq!(in_use, Err(GroupError::InstanceInUse));
    let fenced = beat(&mut club, lasting("a2", Standing::Works(epoch)));
    assert_eq!(fenced, Err(GroupError::Fenced));
    let paused = beat(&mut club, lasting("a1", Standing::Pauses)).unwrap();
    assert_eq!(paused.epoch, None);
    // Nobody else gets it meanwhile.
    let other = beat(&mut club, joins("b")).unwrap();
    assert_eq!(other.assignment, Some(vec![]));
    let back = beat(&mut club, lasting("a2", Standing::Joins)).unwrap();
    assert_eq!(back.assignment, Some(l(0..4)));
    let other = beat(&mut club, works("b", other.epoch.unwrap(), None)).unwrap();
    assert_eq!(other.assignment, Some(l(4..8)));
    // A tool sends it away by its name.
    assert_eq!(club.leave("", Some("one")), Ok(()));
    assert_eq!(look(&mut club).unwrap().members.len(), 1);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut club = Club::new();
    let refused = |club: &mut Club, change: &dyn Fn(&mut Beat)| {
        let mut one = joins("a");
        change(&mut one);
        beat(club, one).unwrap_err()
    };
    let club = &mut club;
    let invalid = |error| matches!(error, GroupError::InvalidRequest(_));
    assert!(invalid(refused(club, &|beat| beat.member.clear())));
    assert!(invalid(refused(club, &|beat| beat.reads = None)));
    assert!(invalid(refused(club, &|beat| beat.owned = Some(l(0..1)))));
    assert!(invalid(
        refused(club, &|beat| beat.instance = Some("".into()))
    ));
    assert!(invalid(
        refused(club, &|beat| beat.rebalance_timeout_ms = None)
    ));
    assert_eq!(
        refused(club, &|beat| beat.assignor = Some("sticky".into())),
        GroupError::UnknownAssignor
    );
    assert!(matches!(
        refused(club, &|beat| beat.pattern = Some("([".into())),
        GroupError::InvalidPattern(_)
    ));
    assert_eq!(
        refused(club, &|beat| beat.standing = Standing::Works(1)),
        GroupError::UnknownMember
    );
    assert_eq!(club.state(), GroupState::Gone);
    club.gather(&["x"]);
    assert_eq!(beat(club, joins("a")), Err(GroupError::NotFound));
}

#[test]
fn members_commit_and_look_in_their_epoch() {
    let mut club = Club::new();
    let epoch = beat(&mut club, joins("a")).unwrap().epoch.unwrap();
    assert!(
        club.commit(who("a", epoch), vec![offset("l", 0, 7)])
            .is_ok()
    );
    assert_eq!(
        club.commit(who("a", epoch - 1), vec![offset("l", 0, 7)]),
        Err(GroupError::StaleEpoch)
    );
    assert_eq!(
        club.commit(nobody(), vec![offset("l", 0, 7)]),
        Err(GroupError::UnknownMember)
    );
    let ask = |membership| GroupRequest::Offsets {
        membership,
        partitions: None,
        stable: false,
    };
    assert!(matches!(
        club.now(ask(who("a", epoch - 1))),
        GroupReply::Offsets(Err(GroupError::StaleEpoch))
    ));
    assert_eq!(club.offsets().len(), 1);
    // After a restart epochs go on, members have to come again.
    club.restart(true);
    assert_eq!(
        beat(&mut club, works("a", epoch, None)),
        Err(GroupError::UnknownMember)
    );
    assert!(beat(&mut club, joins("a")).unwrap().epoch > Some(epoch));
    assert_eq!(club.offsets().len(), 1);
}

#[test]
fn the_assignor_that_more_members_like_is_taken() {
    let mut club = Club::new();
    let likes = |id: &str, assignor: &str| Beat {
        assignor: Some(assignor.into()),
        reads: Some(vec![name("l"), name("m")]),
        ..joins(id)
    };
    beat(&mut club, likes("a", "range")).unwrap();
    beat(&mut club, likes("b", "range")).unwrap();
    beat(&mut club, likes("c", "uniform")).unwrap();
    let seen = look(&mut club).unwrap();
    assert_eq!(seen.assignor, "range");
    let first: Vec<_> = [0, 1, 2].map(|one| at("l", one)).into();
    assert_eq!(seen.members[0].target[..3], first);
}

/// What a member believes that it has.
#[derive(Clone, Debug, Default)]
struct Hand {
    epoch: u32,
    owned: BTreeSet<PartitionName>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Whoever comes, goes, is silent or slow: nothing is in two hands, and left alone all of it is in one.
    #[test]
    fn nothing_is_in_two_hands(steps in prop::collection::vec((0..6_usize, 0..12_u8, 0..20_000_u64), 1..120)) {
        let mut club = Club::new();
        let mut hands: BTreeMap<String, Hand> = BTreeMap::new();
        let mut epoch = 0;
        let mut partitions = 8;
        let settle = (0..200).map(|step| (step % 6, 5, 100));
        for (member, what, ms) in steps.into_iter().chain(settle) {
            let id = format!("m{member}");
            match what {
                0 => {
                    hands.remove(&id);
                    let leaves = Beat { standing: Standing::Leaves, ..works(&id, 0, None) };
                    let _ = beat(&mut club, leaves);
                }
                // It forgets all, and comes again with nothing.
                1 => { hands.remove(&id); }
                2 => club.wait(ms),
                3 if partitions < 20 => {
                    partitions += 1;
                    club.declare("l", partitions);
                }
                4 if ms < 2_000 => club.restart(ms % 2 == 0),
                _ => {}
            }
            if what < 2 {
                continue;
            }
            let hand = hands.entry(id.clone()).or_default();
            let said = if hand.epoch == 0 {
                joins(&id)
            } else {
                let owned: Vec<_> = hand.owned.iter().cloned().collect();
                works(&id, hand.epoch, Some(&owned))
            };
            match beat(&mut club, said) {
                Ok(answer) => {
                    hand.epoch = answer.epoch.unwrap();
                    prop_assert!(hand.epoch <= epoch + 8 || epoch == 0);
                    epoch = epoch.max(hand.epoch);
                    if let Some(assignment) = answer.assignment {
                        hand.owned = assignment.into_iter().collect();
                    }
                }
                Err(GroupError::UnknownMember | GroupError::FencedEpoch) => *hand = Hand::default(),
                Err(other) => prop_assert!(false, "{other:?}"),
            }
            // As far as the broker still counts on them.
            let Ok(seen) = look(&mut club) else {
                continue;
            };
            let mut held = BTreeSet::new();
            for one in &seen.members {
                for partition in &one.assigned {
                    prop_assert!(held.insert(partition.clone()), "{partition:?} is in two hands");
                }
            }
        }
        let seen = look(&mut club).unwrap();
        prop_assert_eq!(seen.state, GroupState::Stable);
        let held: usize = seen.members.iter().map(|one| one.assigned.len()).sum();
        prop_assert_eq!(held, partitions as usize);
        for one in &seen.members {
            prop_assert_eq!(&one.assigned, &one.target);
            let hand: Vec<_> = hands[&one.member].owned.iter().cloned().collect();
            prop_assert_eq!(&hand, &one.assigned);
        }
    }
}
