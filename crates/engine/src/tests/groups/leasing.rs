//! Groups that lease: each record to one member at a time, until it is accepted, or failed.

use polybus_model::{
    Beat, BeatAnswer, Beginning, GroupSettings, LeasePart, LeaseRequest, Leased, Settling,
    Standing, Verdict,
};
use proptest::prelude::*;

use super::*;
use crate::tests::desk::{message, publish};

const LEASE_MS: Millis = 1_000;

fn attends(member: &str, standing: Standing) -> Beat {
    Beat {
        group: "g".into(),
        member: member.into(),
        instance: None,
        client: "client".into(),
        host: "host".into(),
        standing,
        rebalance_timeout_ms: None,
        reads: (standing == Standing::Joins).then(|| vec![name("l")]),
        pattern: None,
        sight: Default::default(),
        assignor: None,
        owned: None,
    }
}

fn settings() -> GroupSettings {
    GroupSettings {
        beginning: Beginning::Start,
        lease_ms: LEASE_MS,
        attempts_max: Some(3),
        ..GroupSettings::default()
    }
}

/// What a member asks of partition 0.
fn wish(member: &str, settles: &[(u64, u64, Verdict)], records_max: u32) -> LeaseRequest {
    let settles = settles.iter();
    LeaseRequest {
        group: "g".into(),
        member: member.into(),
        parts: vec![LeasePart {
            partition: at("l", 0),
            id: None,
            settles: settles
                .map(|(first, end, how)| Settling {
                    first: *first,
                    end: *end,
                    how: *how,
                })
                .collect(),
            reads: records_max > 0,
            forbidden: false,
        }],
        bytes_min: 1,
        wait_ms: 0,
        bytes_max: 1 << 20,
        records_max,
        exactly: true,
        ends: false,
    }
}

/// What was lent: first offset, end, attempts.
type Got = Vec<(u64, u64, u32)>;

fn got(reply: GroupReply) -> Result<Got, GroupError> {
    let GroupReply::Leased(leased) = reply else {
        panic!("{reply:?}");
    };
    let Leased { parts, .. } = *leased?;
    let mut all = Vec::new();
    for part in parts {
        part.settled?;
        let runs = part.slice.unwrap().runs;
        for lent in part.lent {
            let holds = |offset| {
                let mut runs = runs.iter();
                runs.any(|run| (run.offset..run.offset + u64::from(run.count)).contains(&offset))
            };
            assert!(
                (lent.first..lent.end).all(holds),
                "all that is lent is sent"
            );
            all.push((lent.first, lent.end, lent.attempts));
        }
    }
    Ok(all)
}

impl Club {
    fn leasing() -> Self {
        Self::leasing_with(settings(), Options::default())
    }

    fn leasing_with(settings: GroupSettings, options: Options) -> Self {
        let mut club = Self::with(options);
        club.configure(settings);
        for member in ["a", "b"] {
            club.attend(attends(member, Standing::Joins)).unwrap();
        }
        club
    }

    fn configure(&mut self, settings: GroupSettings) {
        let reply = self.now(GroupRequest::Configure {
            group: "g".into(),
            settings: Box::new(settings),
        });
        assert!(matches!(reply, GroupReply::Done(Ok(()))));
    }

    fn attend(&mut self, beat: Beat) -> Result<BeatAnswer, GroupError> {
        match self.now(GroupRequest::Attend(Box::new(beat))) {
            GroupReply::Beat(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    /// Appends a run of so many records to partition 0.
    fn append(&mut self, count: u32) {
        let run = crate::tests::logs::run("x", count);
        let append = polybus_model::Append {
            partition: at("l", 0),
            id: None,
            run,
        };
        let request = Request::Log {
            number: 1,
            request: Box::new(LogRequest::Append(vec![append])),
        };
        let told = self.desk.batch(1, vec![request]);
        self.hear(told);
        self.desk.engine.windows.check();
    }

    fn ask_as(&mut self, session: u64, request: LeaseRequest) -> u64 {
        self.asked += 1;
        let number = self.asked;
        let request = Request::Group {
            number,
            request: Box::new(GroupRequest::Lease(Box::new(request))),
        };
        let told = self.desk.batch(session, vec![request]);
        self.hear(told);
        self.desk.engine.windows.check();
        number
    }

    fn lease(&mut self, session: u64, request: LeaseRequest) -> Result<Got, GroupError> {
        let number = self.ask_as(session, request);
        got(self.answer(number).expect("an answer at once"))
    }

    fn windows(&mut self) -> Vec<(u64, u64)> {
        let reply = self.now(GroupRequest::Windows {
            group: "g".into(),
            partitions: None,
        });
        let GroupReply::Windows(windows) = reply else {
            panic!("{reply:?}");
        };
        let windows = windows.unwrap().into_iter();
        windows.map(|one| (one.floor, one.lag)).collect()
    }
}

#[test]
fn members_are_told_what_to_take_from() {
    let mut club = Club::new();
    let first = club.attend(attends("a", Standing::Joins)).unwrap();
    assert_eq!(first.assignment.unwrap().len(), 8);
    let second = club.attend(attends("b", Standing::Joins)).unwrap();
    assert_eq!(second.assignment.unwrap().len(), 4);
    let epoch = first.epoch.unwrap();
    let less = club.attend(attends("a", Standing::Works(epoch))).unwrap();
    assert_eq!(less.assignment.unwrap().len(), 4);
    // More members than partitions: several to each.
    for member in ["c", "d", "e", "f", "g", "h", "i"] {
        let told = club.attend(attends(member, Standing::Joins)).unwrap();
        assert!(!told.assignment.unwrap().is_empty());
    }
    assert_eq!(
        club.attend(attends("a", Standing::Works(99))),
        Err(GroupError::FencedEpoch)
    );
    club.attend(attends("a", Standing::Leaves)).unwrap();
    assert_eq!(
        club.attend(attends("a", Standing::Works(epoch))),
        Err(GroupError::UnknownMember)
    );
    club.wait(60_000);
    let reply = club.now(GroupRequest::DescribeLeasing(vec![Ok("g".into())]));
    let GroupReply::SharedDescribed(groups) = reply else {
        panic!("{reply:?}");
    };
    assert_eq!(groups[0].as_ref().unwrap().state, GroupState::Empty);
    let joined = club.join_now(join("x"));
    assert_eq!(joined, Err(GroupError::Inconsistent));
}

#[test]
fn records_are_settled_in_any_order() {
    let mut club = Club::leasing();
    club.append(10);
    assert_eq!(club.lease(1, wish("a", &[], 4)), Ok(vec![(0, 4, 1)]));
    assert_eq!(club.lease(2, wish("b", &[], 99)), Ok(vec![(4, 10, 1)]));
    let stranger = wish("b", &[(0, 1, Verdict::Accept)], 0);
    assert_eq!(club.lease(2, stranger), Err(GroupError::NotLeased));
    let settles = [(5, 10, Verdict::Accept), (4, 5, Verdict::Release)];
    assert_eq!(club.lease(2, wish("b", &settles, 0)), Ok(vec![]));
    assert_eq!(club.windows(), [(0, 5)]);
    assert_eq!(
        club.lease(1, wish("a", &[(0, 4, Verdict::Accept)], 99)),
        Ok(vec![(4, 5, 2)])
    );
    assert_eq!(club.windows(), [(4, 1)]);
    club.restart(false);
    assert_eq!(club.windows(), [(4, 1)]);
    assert_eq!(club.lease(1, wish("a", &[], 99)), Ok(vec![(4, 5, 2)]));
    club.restart(true);
    assert_eq!(club.lease(1, wish("a", &[], 99)), Ok(vec![(4, 5, 2)]));
}

#[test]
fn who_waits_gets_what_comes_and_what_comes_back() {
    let mut club = Club::leasing();
    let waits = |member| LeaseRequest {
        wait_ms: 500,
        ..wish(member, &[], 99)
    };
    let first = club.ask_as(1, waits("a"));
    assert!(club.answer(first).is_none());
    club.append(2);
    assert_eq!(got(club.answer(first).unwrap()), Ok(vec![(0, 2, 1)]));
    let second = club.ask_as(2, waits("b"));
    club.lease(1, wish("a", &[(0, 1, Verdict::Release)], 0))
        .unwrap();
    assert_eq!(got(club.answer(second).unwrap()), Ok(vec![(0, 1, 2)]));
    let third = club.ask_as(2, waits("b"));
    club.wait(500);
    assert_eq!(got(club.answer(third).unwrap()), Ok(vec![]));
    // A lease that is extended outlasts the others.
    club.lease(1, wish("a", &[(1, 2, Verdict::Extend)], 0))
        .unwrap();
    let fourth = club.ask_as(
        1,
        LeaseRequest {
            wait_ms: LEASE_MS,
            ..waits("a")
        },
    );
    club.wait(LEASE_MS);
    assert_eq!(got(club.answer(fourth).unwrap()), Ok(vec![(0, 1, 3)]));
}

#[test]
fn what_a_connection_held_comes_back_with_its_end() {
    let mut club = Club::leasing();
    club.append(4);
    club.lease(2, wish("b", &[], 2)).unwrap();
    let last = LeaseRequest {
        ends: true,
        ..wish("b", &[(0, 1, Verdict::Accept)], 0)
    };
    club.lease(2, last).unwrap();
    // An orderly end is no attempt,
    assert_eq!(club.lease(3, wish("b", &[], 1)), Ok(vec![(1, 2, 1)]));
    // a broken connection is one.
    let told = club.desk.detach(3);
    club.hear(told);
    assert_eq!(club.lease(1, wish("a", &[], 1)), Ok(vec![(1, 2, 2)]));
}

#[test]
fn what_failed_goes_where_the_group_says() {
    for memory in [usize::MAX, 0] {
        let options = Options {
            log_resident_bytes_max: memory,
            ..Options::default()
        };
        let policy = GroupSettings {
            dead_letter: Some(name("graveyard")),
            ..settings()
        };
        let mut club = Club::leasing_with(policy, options);
        club.declare("graveyard", 1);
        club.desk.declare("mourners", crate::tests::desk::durable());
        let bind = polybus_model::Binding {
            source: name("graveyard"),
            destination: polybus_model::Destination::Queue(name("mourners")),
            key: Bytes::new(),
            arguments: polybus_model::Table::new(),
        };
        club.desk.batch(1, vec![Request::Bind(Box::new(bind))]);
        let key = key_of_partition_0(&club);
        for body in ["refused", "poison", "fine"] {
            let request = Request::Publish(publish(message("l", &key, body)));
            let told = club.desk.batch(1, vec![request]);
            club.hear(told);
        }
        let reject = [(0, 1, Verdict::Reject)];
        assert_eq!(club.lease(1, wish("a", &[], 2)).unwrap().len(), 2);
        club.lease(1, wish("a", &reject, 0)).unwrap();
        for _ in 0..2 {
            club.wait(LEASE_MS);
            club.lease(1, wish("a", &[], 1)).unwrap();
        }
        club.wait(LEASE_MS);
        assert_eq!(club.windows(), [(2, 1)]);
        let reasons: Vec<_> = std::iter::from_fn(|| club.desk.take(4, "mourners"))
            .map(|taken| {
                let deaths = taken.message.deaths().unwrap().clone();
                let body = String::from_utf8_lossy(taken.message.body()).into_owned();
                (body, deaths[0].reason, deaths[0].queue.clone())
            })
            .collect();
        let expected = [
            (
                "refused".to_owned(),
                polybus_model::DeathReason::Rejected,
                name("g"),
            ),
            (
                "poison".to_owned(),
                polybus_model::DeathReason::DeliveryLimit,
                name("g"),
            ),
        ];
        assert_eq!(reasons, expected);
        assert_eq!(club.lease(1, wish("a", &[], 9)), Ok(vec![(2, 3, 1)]));
    }
}

/// A key that leads to partition 0 of the eight.
fn key_of_partition_0(club: &Club) -> String {
    let log = club.desk.engine.logs.all.values().next().unwrap();
    assert_eq!(log.name, name("l"));
    let mut keys = (0..).map(|n| format!("k{n}"));
    keys.find(|key| crate::logs::publish::partition_of(key.as_bytes(), 8) == 0)
        .unwrap()
}

#[test]
fn a_group_begins_where_it_is_told_and_is_bounded() {
    let mut club = Club::leasing_with(
        GroupSettings {
            beginning: Beginning::End,
            unsettled_max: 3,
            ..settings()
        },
        Options::default(),
    );
    club.append(5);
    assert_eq!(club.lease(1, wish("a", &[], 9)), Ok(vec![]));
    club.append(5);
    assert_eq!(club.lease(1, wish("a", &[], 9)), Ok(vec![(5, 8, 1)]));
    assert_eq!(club.lease(2, wish("b", &[], 9)), Ok(vec![]));
    club.lease(1, wish("a", &[(6, 7, Verdict::Accept)], 0))
        .unwrap();
    assert_eq!(club.lease(2, wish("b", &[], 9)), Ok(vec![(8, 9, 1)]));
    let moves = GroupRequest::MoveWindows {
        group: "g".into(),
        to: vec![(at("l", 0), 2)],
    };
    let reply = club.now(moves.clone());
    assert!(matches!(
        reply,
        GroupReply::Committed(Err(GroupError::NotEmpty))
    ));
    for member in ["a", "b"] {
        club.attend(attends(member, Standing::Leaves)).unwrap();
    }
    let reply = club.now(moves);
    assert!(matches!(reply, GroupReply::Committed(Ok(_))));
    assert_eq!(club.windows(), [(2, 8)]);
    let reply = club.now(GroupRequest::Delete(vec![Ok("g".into())]));
    assert!(
        matches!(&reply, GroupReply::Deleted(each) if each[0].is_ok()),
        "{reply:?}"
    );
    club.restart(false);
    club.attend(attends("a", Standing::Joins)).unwrap();
    assert_eq!(club.windows(), []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Whatever members, connections and the broker do: no record is leased twice at a time, what was accepted never comes
    /// again, and in the end all has been accepted.
    #[test]
    fn every_record_is_accepted_once(steps in proptest::collection::vec((0..8_u8, 0..4_u64, 1..5_u32), 1..80)) {
        let memory = steps.len() % 3 * 100;
        let options = Options { log_resident_bytes_max: memory, ..Options::default() };
        let policy = GroupSettings { attempts_max: None, unsettled_max: 7, ..settings() };
        let mut club = Club::leasing_with(policy, options);
        // Who holds a record, since when.
        let mut held: BTreeMap<u64, (u64, Millis)> = BTreeMap::new();
        let mut accepted = std::collections::BTreeSet::new();
        let mut appended = 0;
        for (what, who, count) in steps {
            let session = who % 3 + 1;
            let now = club.desk.now;
            held.retain(|_, (_, since)| *since + LEASE_MS > now);
            let own: Vec<u64> = held.iter().filter(|(_, one)| one.0 == session).map(|(at, _)| *at).collect();
            match what {
                0 | 1 => {
                    club.append(count);
                    appended += u64::from(count);
                }
                2 | 3 => {
                    let lent = club.lease(session, wish("a", &[], count)).unwrap();
                    for offset in lent.into_iter().flat_map(|(first, end, _)| first..end) {
                        prop_assert!(held.insert(offset, (session, now)).is_none());
                        prop_assert!(!accepted.contains(&offset));
                    }
                }
                4 | 5 => for offset in own {
                    let how = if offset % 3 == 0 { Verdict::Release } else { Verdict::Accept };
                    club.lease(session, wish("a", &[(offset, offset + 1, how)], 0)).unwrap();
                    held.remove(&offset);
                    if how == Verdict::Accept {
                        accepted.insert(offset);
                    }
                },
                6 if count == 1 => {
                    club.restart(who == 0);
                    held.clear();
                }
                6 => {
                    club.desk.detach(session);
                    club.desk.engine.attach(polybus_model::SessionId(session), &name("/")).unwrap();
                    held.retain(|_, one| one.0 != session);
                }
                _ => club.wait(u64::from(count) * 200),
            }
        }
        club.wait(LEASE_MS);
        for _ in 0..=appended {
            let lent = club.lease(1, wish("a", &[], 99)).unwrap();
            for (first, end, _) in lent {
                prop_assert!((first..end).all(|offset| accepted.insert(offset)));
                club.lease(1, wish("a", &[(first, end, Verdict::Accept)], 0)).unwrap();
            }
        }
        prop_assert!(accepted.into_iter().eq(0..appended));
    }
}
