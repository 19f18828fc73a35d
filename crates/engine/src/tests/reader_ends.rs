//! What readers leave behind: what their logs give up, dead letters, and what a restart finds.

use std::sync::Arc;

use bytes::Bytes;
use polybus_model::{
    Acknowledging, Declaring, Event, Keeps, KeyedSettings, LiveNote, LogReply, LogRequest, Message,
    ReaderError, ReaderOutcome, ReaderReply, ReaderRequest, ReaderSettings, ReaderStart, Reported,
    Request, ResetRefused,
};

use super::desk::{Desk, Told, durable, name};
use super::live::{filter, listen, subscribe};
use super::readers::{Got, desk, desk_with, got, offsets, pull, pushing, settings};
use super::recovering::History;

#[test]
fn work_goes_when_it_is_done_and_is_not_shared() {
    let mut desk = desk_with(KeyedSettings {
        keeps: Keeps::Unsettled,
        ..KeyedSettings::default()
    });
    desk.store_in("a");
    desk.store_in("b");
    desk.declare_reader(settings()).0.unwrap();
    let (reply, _) = desk.reader(ReaderRequest::Declare {
        log: name("l"),
        name: "other".into(),
        settings: Box::new(settings()),
        declaring: Declaring::Any,
    });
    assert_eq!(reply, Some(ReaderReply::Reader(Err(ReaderError::Overlaps))));
    desk.pull_from(pull(2));
    desk.settle_record(0, ReaderOutcome::Accept);
    assert_eq!(desk.read_all("l", 0, 1), ["b"]);
    desk.settle_record(1, ReaderOutcome::Accept);
    assert_eq!(desk.described().leased, 0);
    let LogReply::State(Ok(state)) = desk.log(LogRequest::State {
        partition: super::logs::at("l", 0),
        removed: false,
    }) else {
        panic!("state");
    };
    assert_eq!(state.1.records, 0);
}

#[test]
fn what_nobody_wants_is_not_kept() {
    let mut desk = desk_with(KeyedSettings {
        keeps: Keeps::Wanted,
        ..KeyedSettings::default()
    });
    let records = |desk: &mut Desk| {
        let reply = desk.log(LogRequest::State {
            partition: super::logs::at("l", 0),
            removed: false,
        });
        match reply {
            LogReply::State(Ok(state)) => state.1.records,
            other => panic!("{other:?}"),
        }
    };
    desk.store_in("a");
    assert_eq!(records(&mut desk), 0);
    desk.declare_reader(ReaderSettings {
        filters: vec![filter("a")],
        ..settings()
    })
    .0
    .unwrap();
    desk.store_in("a");
    desk.store_in("b");
    desk.store_in("a");
    assert_eq!(records(&mut desk), 2);
    desk.pull_from(pull(1));
    desk.settle_record(1, ReaderOutcome::Accept);
    assert_eq!(records(&mut desk), 1);
    desk.reader(ReaderRequest::Delete {
        log: name("l"),
        name: "r".into(),
    });
    assert_eq!(records(&mut desk), 0);
}

#[test]
fn what_failed_for_good_is_a_dead_letter() {
    let mut desk = desk();
    desk.declare("dead", durable());
    let bind = polybus_model::Binding {
        source: name("amq.fanout"),
        destination: polybus_model::Destination::Queue(name("dead")),
        key: Bytes::new(),
        arguments: polybus_model::Table::new(),
    };
    desk.batch(1, vec![Request::Bind(Box::new(bind))]);
    // More than stays in memory: the letter has to be read back.
    for _ in 0..30 {
        desk.store_in("a");
    }
    desk.declare_reader(ReaderSettings {
        attempts_max: Some(1),
        dead_letters: Some(name("amq.fanout")),
        ..settings()
    })
    .0
    .unwrap();
    desk.pull_from(pull(2));
    desk.settle_record(0, ReaderOutcome::Reject("bad".into()));
    let taken = desk.take(1, "dead").unwrap();
    let reason = |message: &Message| {
        let deaths: &Arc<Vec<_>> = message.deaths().unwrap();
        (deaths[0].reason, deaths[0].queue.clone())
    };
    let rejected = polybus_model::DeathReason::Rejected;
    assert_eq!(reason(&taken.message), (rejected, name("l")));
    desk.wait(1_000);
    let taken = desk.take(1, "dead").unwrap();
    let exhausted = polybus_model::DeathReason::DeliveryLimit;
    assert_eq!(reason(&taken.message), (exhausted, name("l")));
    assert_eq!(desk.described().leased, 0);
}

#[test]
fn a_listener_without_room_is_waited_for() {
    let mut desk = desk();
    desk.batch(2, vec![subscribe(listen(2, "to.me"))]);
    desk.declare_reader(pushing("to.me")).0.unwrap();
    let large = "k".repeat(60_000);
    for _ in 0..20 {
        desk.store_in(&large);
    }
    let handed = desk.described().delivered.sequence;
    assert!((3..12).contains(&handed), "{handed}");
    let drained = Request::Drained { bytes: 10_000_000 };
    let told = desk.batch(2, vec![drained]);
    assert!(offsets(&told).len() >= 3, "{told:?}");
}

#[test]
fn what_becomes_of_records_is_reported_to_who_listens() {
    let mut desk = desk();
    for _ in 0..3 {
        desk.store_in("a");
    }
    let twice = ReaderSettings {
        attempts_max: Some(1),
        ..settings()
    };
    desk.declare_reader(twice).0.unwrap();
    desk.pull_from(pull(1));
    let told = desk.settle_record(0, ReaderOutcome::Reject("unread".into()));
    assert!(reports(&told).is_empty(), "nobody listens");
    desk.batch(2, vec![subscribe(listen(5, "report.r"))]);
    desk.pull_from(pull(2));
    let told = desk.settle_record(1, ReaderOutcome::Reject("bad".into()));
    assert_eq!(
        reports(&told),
        [(1, 1, 2, Reported::Rejected("bad".into()))]
    );
    let again = desk.settle_record(1, ReaderOutcome::Reject("bad".into()));
    assert!(reports(&again).is_empty(), "it is settled");
    let told = desk.settle_record(2, ReaderOutcome::Release(0));
    let wanted = [
        (2, 1, 3, Reported::Released),
        (2, 1, 3, Reported::Exhausted),
    ];
    assert_eq!(reports(&told), wanted);
}

#[test]
fn a_reader_begins_anew_where_it_may() {
    let reset = |desk: &mut Desk, to| {
        let (reply, told) = desk.reader(ReaderRequest::Reset {
            log: name("l"),
            name: "r".into(),
            to,
        });
        match reply {
            Some(ReaderReply::Reader(result)) => (result, told),
            other => panic!("{other:?}"),
        }
    };
    let mut desk = desk();
    for _ in 0..5 {
        desk.store_in("a");
    }
    desk.declare_reader(settings()).0.unwrap();
    assert_eq!(offsets(&desk.pull_from(pull(5))), [0, 1, 2, 3, 4]);
    desk.settle_record(0, ReaderOutcome::Accept);
    desk.pull_from(pull(9));
    let (summary, told) = reset(&mut desk, None);
    assert_eq!(got(&told)[0], Got::Record(1, 1, 1));
    assert_eq!(offsets(&told), [1, 2, 3, 4]);
    // It is told before the waiting pull gets what there is again.
    let summary = summary.unwrap();
    assert_eq!((summary.leased, summary.pending), (0, 4));
    assert_eq!((summary.settled.offset, summary.delivered.sequence), (1, 0));
    let history = History::default();
    let (summary, told) = reset(&mut desk, Some(3));
    assert_eq!(
        (summary.unwrap().settled.offset, offsets(&told)),
        (3, vec![3, 4])
    );
    assert_eq!(reset(&mut desk, Some(7)).0.unwrap().pending, 0);
    assert_eq!(offsets(&desk.store_in("a")), [] as [u64; 0]);
    assert_eq!(offsets(&desk.store_in("a")), [] as [u64; 0]);
    reset(&mut desk, Some(2)).0.unwrap();
    (desk.engine, desk.shelf) = history.recover(&desk, false);
    desk.attach_all();
    desk.batch(2, vec![subscribe(listen(1, "in.box"))]);
    let told = desk.pull_from(pull(9));
    // Three of them went out with the reset, and were counted with it.
    assert_eq!(got(&told)[0], Got::Record(2, 1, 4));
    let start = |start| ReaderSettings {
        start,
        ..settings()
    };
    for (start, why) in [
        (start(ReaderStart::Offset(3)), ResetRefused::BelowStart),
        (
            start(ReaderStart::Time(u64::MAX)),
            ResetRefused::BelowStartTime,
        ),
        (start(ReaderStart::Next), ResetRefused::NotByOffset),
    ] {
        desk.reader(ReaderRequest::Delete {
            log: name("l"),
            name: "r".into(),
        });
        desk.declare_reader(start).0.unwrap();
        let refused = reset(&mut desk, Some(1)).0;
        assert_eq!(refused, Err(ReaderError::ResetRefused(why)));
    }
}

#[test]
fn so_many_of_a_hundred_are_told_how_long_they_took() {
    let mut desk = desk();
    desk.declare_reader(ReaderSettings {
        sampled_percent: 40,
        ..settings()
    })
    .0
    .unwrap();
    desk.batch(2, vec![subscribe(listen(5, "report.r"))]);
    let mut all = Vec::new();
    for offset in 0..10 {
        desk.store_in("a");
        desk.pull_from(pull(1));
        desk.wait(7);
        let told = desk.settle_record(offset, ReaderOutcome::Accept);
        all.extend(reports(&told));
        let again = desk.settle_record(offset, ReaderOutcome::Accept);
        assert!(reports(&again).is_empty(), "it is settled");
    }
    let sampled = [2, 4, 7, 9].map(|at: u64| (at, 1, at + 1, Reported::Settled(7)));
    assert_eq!(all, sampled);
}

/// Offset, attempts, number of the delivery, and what became of it.
fn reports(told: &Told) -> Vec<(u64, u32, u64, Reported)> {
    let notes = told.iter().filter_map(|(_, event)| match event {
        Event::LiveMessage {
            note: Some(LiveNote::Report(report)),
            ..
        } => Some(report),
        _ => None,
    });
    let each = notes.map(|one| (one.offset, one.attempts, one.sequence, one.what.clone()));
    each.collect()
}

#[test]
fn a_listener_that_falls_behind_misses_nothing() {
    let mut desk = desk();
    desk.batch(2, vec![subscribe(listen(2, "to.me"))]);
    let large = "k".repeat(60_000);
    for _ in 0..60 {
        desk.store_in(&large);
    }
    let never = ReaderSettings {
        acknowledging: Acknowledging::Never,
        ..pushing("to.me")
    };
    let (_, mut told) = desk.declare_reader(never);
    let mut seen = Vec::new();
    while !told.is_empty() {
        seen.extend(offsets(&told));
        let bytes = told.iter().map(|(_, event)| match event {
            Event::Records { bytes, .. } => *bytes,
            _ => 0,
        });
        // Little by little: it is full, and not, and full again.
        let (bytes, mut next) = (bytes.sum::<usize>(), Vec::new());
        for part in [bytes / 3, bytes / 3, bytes - bytes / 3 * 2] {
            next.extend(desk.batch(2, vec![Request::Drained { bytes: part }]));
        }
        told = next;
    }
    assert_eq!(seen, (0..60).collect::<Vec<_>>());
}

#[test]
fn readers_survive_a_restart() {
    for with_snapshot in [false, true] {
        let mut desk = desk();
        let mut history = History::default();
        for _ in 0..5 {
            desk.store_in("a");
        }
        desk.declare_reader(ReaderSettings {
            attempts_max: Some(3),
            leases_ms: vec![100, 200],
            filters: vec![filter("a"), filter("b.*.c.>")],
            dead_letters: Some(name("amq.fanout")),
            ..settings()
        })
        .0
        .unwrap();
        desk.pull_from(pull(3));
        desk.settle_record(1, ReaderOutcome::Accept);
        desk.settle_record(2, ReaderOutcome::Release(0));
        if with_snapshot {
            history.snapshot(&desk);
        }
        let before = desk.described();
        let (engine, shelf) = history.recover(&desk, false);
        (desk.engine, desk.shelf) = (engine, shelf);
        for session in 1..=4 {
            desk.engine
                .attach(polybus_model::SessionId(session), &name("/"))
                .unwrap();
        }
        desk.batch(2, vec![subscribe(listen(1, "in.box"))]);
        let after = desk.described();
        assert_eq!(after.settings, before.settings);
        assert_eq!(after.delivered.sequence, before.delivered.sequence);
        let told = desk.pull_from(pull(9));
        assert_eq!(offsets(&told), [0, 2, 3, 4]);
        let again = got(&told);
        assert!(matches!(again[1], Got::Record(2, 2, _)), "{again:?}");
    }
}
