//! Readers whose pullers belong to groups: who comes first, who is pinned, what a restart keeps.

use bytes::Bytes;
use polybus_model::{
    Event, LiveNote, Misplaced, Notice, Precedence, Pull, PullGroups, PullStanding, ReaderError,
    ReaderReply, ReaderRequest, ReaderSettings, Reported, Unpinned,
};

use super::desk::{Desk, Told, name};
use super::live::{listen, subscribe};
use super::readers::{Got, desk, got, offsets, pull, settings};
use super::recovering::History;

fn grouped(precedence: Precedence) -> ReaderSettings {
    let names = vec!["A".to_owned(), "B".to_owned()];
    ReaderSettings {
        groups: Some(Box::new(PullGroups { names, precedence })),
        lease_ms: 60_000,
        ..settings()
    }
}

fn of_group() -> PullStanding {
    PullStanding {
        group: Some("A".into()),
        pin_offered: "one".into(),
        ..PullStanding::default()
    }
}

fn standing(key: &'static str, records: u32, standing: PullStanding) -> Pull {
    Pull {
        key: Bytes::from_static(key.as_bytes()),
        standing: Some(Box::new(standing)),
        ..pull(records)
    }
}

fn ranked(key: &'static str, records: u32, rank: u32) -> Pull {
    let of_rank = PullStanding { rank, ..of_group() };
    standing(key, records, of_rank)
}

fn pinned(key: &'static str, pin: &str) -> Pull {
    let with_pin = PullStanding {
        pin: Some(pin.into()),
        ..of_group()
    };
    standing(key, 5, with_pin)
}

/// The keys that were served, one for each record.
fn desk_of(precedence: Precedence) -> Desk {
    let mut desk = desk();
    desk.batch(2, vec![subscribe(listen(2, "other.box"))]);
    desk.declare_reader(grouped(precedence)).0.unwrap();
    desk
}

/// The subscribers of records, in order.
fn served(told: &Told) -> Vec<u32> {
    let each = told.iter().filter_map(|(_, event)| match event {
        Event::Records { targets, .. } => Some(targets.iter().map(|(_, to)| to.0)),
        _ => None,
    });
    each.flatten().collect()
}

fn pins(told: &Told) -> Vec<Option<String>> {
    let each = told.iter().filter_map(|(_, event)| match event {
        Event::Records { block, .. } => Some(block.pin.as_ref().map(ToString::to_string)),
        _ => None,
    });
    each.collect()
}

#[test]
fn the_lower_rank_is_served_first_and_the_same_in_turn() {
    let mut desk = desk_of(Precedence::Ranked);
    desk.pull_from(ranked("other.box", 2, 5));
    desk.pull_from(ranked("in.box", 1, 1));
    desk.pull_from(ranked("in.box", 1, 5));
    let told: Vec<u32> = (0..4).flat_map(|_| served(&desk.store_in("a"))).collect();
    assert_eq!(told, [1, 2, 1, 2]);
}

#[test]
fn a_pull_with_limits_waits_until_there_is_enough() {
    let mut desk = desk_of(Precedence::Overflow);
    let some_pending = PullStanding {
        pending_min: 3,
        ..of_group()
    };
    desk.pull_from(standing("in.box", 9, some_pending));
    let some_leased = PullStanding {
        leased_min: 2,
        ..of_group()
    };
    desk.pull_from(standing("other.box", 1, some_leased));
    assert!(served(&desk.store_in("a")).is_empty());
    assert!(served(&desk.store_in("b")).is_empty());
    // One goes out as there are three; then there are two again, and only one is leased.
    assert_eq!(served(&desk.store_in("c")), [1]);
    assert_eq!(served(&desk.store_in("d")), [1, 2]);
    assert_eq!(desk.described().pending, 1);
}

#[test]
fn one_is_pinned_and_gets_all_until_it_is_silent() {
    let mut desk = desk_of(Precedence::Pinned(2_000));
    desk.batch(2, vec![subscribe(listen(5, "report.r"))]);
    desk.pull_from(standing("in.box", 2, of_group()));
    desk.pull_from(standing("other.box", 9, of_group()));
    let told = desk.store_in("a");
    assert_eq!(
        (served(&told), pins(&told)),
        (vec![1], vec![Some("one".into())])
    );
    assert_eq!(
        reported(&told),
        [Reported::Pinned("A".into(), "one".into())]
    );
    assert_eq!(desk.described().pinned.unwrap().pin, "one");
    assert_eq!(served(&desk.store_in("b")), [1]);
    assert!(
        served(&desk.store_in("c")).is_empty(),
        "it has no pull left"
    );
    let told = desk.pull_from(pinned("in.box", "two"));
    assert_eq!(
        got(&told),
        [Got::Notice(Notice::Misplaced(Misplaced::OtherPin))]
    );
    assert_eq!(served(&desk.pull_from(pinned("in.box", "one"))), [1]);
    // It does not pull again in time.
    let told = desk.wait(2_000);
    assert!(reported(&told).contains(&Reported::Unpinned("A".into(), Unpinned::Silent)));
    let told = desk.store_in("d");
    assert!(got(&told).contains(&Got::Notice(Notice::OtherPin {
        records: 4,
        bytes: 0
    })));
    assert_eq!(pins(&told).last(), Some(&Some("one".into())));
    assert!(served(&told).iter().all(|to| *to == 2), "{told:?}");
}

fn reported(told: &Told) -> Vec<Reported> {
    let notes = told.iter().filter_map(|(_, event)| match event {
        Event::LiveMessage {
            note: Some(LiveNote::Report(report)),
            ..
        } => Some(report.what.clone()),
        _ => None,
    });
    notes.collect()
}

#[test]
fn whoever_is_pinned_can_be_unpinned() {
    let mut desk = desk_of(Precedence::Pinned(60_000));
    desk.batch(2, vec![subscribe(listen(5, "report.r"))]);
    desk.pull_from(standing("in.box", 9, of_group()));
    desk.store_in("a");
    let unpin = |desk: &mut Desk, group: &str| {
        let (reply, told) = desk.reader(ReaderRequest::Unpin {
            log: name("l"),
            name: "r".into(),
            group: group.into(),
        });
        (reply.unwrap(), told)
    };
    let (reply, _) = unpin(&mut desk, "C");
    assert_eq!(reply, ReaderReply::Done(Err(ReaderError::NoGroup)));
    let (reply, told) = unpin(&mut desk, "B");
    assert_eq!(reply, ReaderReply::Done(Ok(())));
    let wanted = Reported::Unpinned("A".into(), Unpinned::Asked);
    assert_eq!(reported(&told), [wanted]);
    assert!(desk.described().pinned.is_none());
}

#[test]
fn a_pull_stands_where_its_reader_lets_it() {
    let mut desk = desk_of(Precedence::Overflow);
    let refused = |desk: &mut Desk, pull: Pull| got(&desk.pull_from(pull));
    let misplaced = |why: Misplaced| [Got::Notice(Notice::Misplaced(why))];
    assert_eq!(refused(&mut desk, pull(1)), misplaced(Misplaced::NoGroup));
    let unknown = PullStanding {
        group: Some("C".into()),
        ..of_group()
    };
    let unknown = standing("in.box", 1, unknown);
    assert_eq!(
        refused(&mut desk, unknown),
        misplaced(Misplaced::UnknownGroup)
    );
    let pin = pinned("in.box", "x");
    assert_eq!(refused(&mut desk, pin), misplaced(Misplaced::NoPins));
    let low = ranked("in.box", 1, 10);
    assert_eq!(refused(&mut desk, low), misplaced(Misplaced::Rank));
    let silent = PullStanding {
        rank: u32::MAX,
        ..PullStanding::default()
    };
    assert_eq!(refused(&mut desk, standing("in.box", 1, silent)), []);
    assert_eq!(offsets(&desk.store_in("a")), [0]);
    desk.declare_reader(settings()).0.unwrap();
    let limits = PullStanding {
        leased_min: 1,
        ..of_group()
    };
    let limits = standing("in.box", 1, limits);
    assert_eq!(refused(&mut desk, limits), misplaced(Misplaced::NoOverflow));
}

#[test]
fn groups_survive_a_restart() {
    let all = [
        Precedence::Overflow,
        Precedence::Pinned(7),
        Precedence::Ranked,
    ];
    for (precedence, with_snapshot) in all.into_iter().flat_map(|one| [(one, false), (one, true)]) {
        let (mut desk, mut history) = (desk(), History::default());
        let wanted = ReaderSettings {
            sampled_percent: 30,
            ..grouped(precedence)
        };
        desk.declare_reader(wanted.clone()).0.unwrap();
        if with_snapshot {
            history.snapshot(&desk);
        }
        (desk.engine, desk.shelf) = history.recover(&desk, false);
        desk.attach_all();
        assert_eq!(desk.described().settings, wanted);
    }
}
