//! Records of keyed logs that are copied to other keys when they are due.

use bytes::Bytes;
use polybus_model::{
    KeyedError, KeyedSettings, LiveFilter, LogError, LogReply, LogRequest, LogSettings, RecordTtl,
    Recurrence, Schedule, ScheduleError, ScheduledNote, Scheduling, SessionId, StoredRecord, Takes,
    Terms,
};

use super::desk::{Desk, message, name};
use super::recovering::History;
use crate::{Options, RunReaders};

fn options(resident: usize) -> Options {
    let note = |_: &[u8], note: &ScheduledNote<'_>| {
        format!("{:?} {:?}", String::from_utf8_lossy(note.key), note.next).into_bytes()
    };
    Options {
        log_resident_bytes_max: resident,
        run_readers: RunReaders::new().with_copier(message("l", "k", "").origin(), note),
        ..Options::default()
    }
}

fn desk(resident: usize) -> Desk {
    let mut desk = Desk::with(options(resident));
    desk.attach_all();
    let filters = ["k", "t", "s"].map(|key| LiveFilter::exact(key.as_bytes()));
    let settings = LogSettings {
        keyed: Some(Box::new(KeyedSettings {
            takes: Some(Takes {
                topic: name("amq.topic"),
                keys: filters.to_vec(),
            }),
            schedules: true,
            rolls_up: true,
            ..KeyedSettings::default()
        })),
        ..LogSettings::default()
    };
    desk.declare_log("l", settings).unwrap();
    desk
}

fn scheduled(recurrence: Recurrence, target: &'static str) -> Terms {
    let schedule = Schedule {
        recurrence,
        target: Bytes::from_static(target.as_bytes()),
        source: None,
        ttl: None,
    };
    Terms {
        schedule: Some(Scheduling::Of(Box::new(schedule))),
        roll_up: Some(polybus_model::RollUp::Key),
        ..Terms::default()
    }
}

fn store(desk: &mut Desk, key: &str, body: &str, terms: Terms) -> Result<StoredRecord, LogError> {
    let store = LogRequest::Store {
        log: name("l"),
        message: message("l", key, body),
        terms: Box::new(terms),
    };
    match desk.log(store) {
        LogReply::Stored(result) => result,
        other => panic!("{other:?}"),
    }
}

fn restart(desk: &mut Desk, history: &History, resident: usize) {
    let (engine, shelf) = history.recover_with(desk, false, options(resident));
    (desk.engine, desk.shelf) = (engine, shelf);
    desk.engine.attach(SessionId(1), &name("/")).unwrap();
}

#[test]
fn a_copy_is_made_once_and_its_record_goes() {
    for resident in [0, 1 << 20] {
        let mut desk = desk(resident);
        let due = desk.now + 5_000;
        store(
            &mut desk,
            "k",
            "later",
            scheduled(Recurrence::Once(due), "t"),
        )
        .unwrap();
        store(&mut desk, "s", "other", Terms::default()).unwrap();
        desk.wait(4_000);
        assert_eq!(desk.read_all("l", 0, 0), ["later", "other"]);
        desk.wait(1_500);
        assert_eq!(desk.read_all("l", 0, 1), ["other", "later"]);
        desk.wait(60_000);
        assert_eq!(desk.read_all("l", 0, 1), ["other", "later"]);
    }
}

#[test]
fn what_comes_again_survives_restarts_and_is_not_made_up_for() {
    for with_snapshot in [false, true] {
        let mut desk = desk(0);
        let mut history = History::default();
        store(
            &mut desk,
            "k",
            "tick",
            scheduled(Recurrence::Every(10_000), "t"),
        )
        .unwrap();
        desk.wait(11_000);
        assert_eq!(desk.read_all("l", 0, 0), ["tick", "tick"]);
        if with_snapshot {
            history.snapshot(&desk);
        }
        restart(&mut desk, &history, 0);
        desk.wait(5_000);
        assert_eq!(desk.read_all("l", 0, 0).len(), 2);
        // It was away for a minute: one copy, not six.
        desk.now += 60_000;
        restart(&mut desk, &history, 0);
        desk.wait(1_000);
        assert_eq!(desk.read_all("l", 0, 0).len(), 3);
        desk.wait(10_000);
        assert_eq!(desk.read_all("l", 0, 0).len(), 4);
        // Another one takes its place; without it nothing comes.
        let due = desk.now + 1_000;
        store(
            &mut desk,
            "k",
            "last",
            scheduled(Recurrence::Once(due), "t"),
        )
        .unwrap();
        desk.wait(30_000);
        let all = desk.read_all("l", 0, 1);
        assert_eq!(all, ["tick", "tick", "tick", "last"]);
    }
}

#[test]
fn the_last_of_another_key_is_copied() {
    let mut desk = desk(1 << 20);
    let mut terms = scheduled(Recurrence::Once(desk.now + 1_000), "t");
    if let Some(Scheduling::Of(schedule)) = &mut terms.schedule {
        schedule.source = Some(Bytes::from_static(b"s"));
    }
    store(&mut desk, "k", "own", terms).unwrap();
    store(&mut desk, "s", "first", Terms::default()).unwrap();
    store(&mut desk, "s", "second", Terms::default()).unwrap();
    desk.wait(2_000);
    assert_eq!(desk.read_all("l", 0, 1), ["first", "second", "second"]);
}

#[test]
fn what_cannot_be_is_refused() {
    let mut desk = desk(0);
    let fail = |error: ScheduleError| LogError::from(KeyedError::Schedule(error));
    for target in ["k", "elsewhere"] {
        let refused = store(&mut desk, "k", "", scheduled(Recurrence::Once(0), target));
        assert_eq!(refused.unwrap_err(), fail(ScheduleError::Target));
    }
    let mut terms = scheduled(Recurrence::Once(0), "t");
    if let Some(Scheduling::Of(schedule)) = &mut terms.schedule {
        schedule.ttl = Some(RecordTtl::Never);
    }
    let refused = store(&mut desk, "k", "", terms);
    assert_eq!(refused.unwrap_err(), KeyedError::ExpiryDenied.into());
    let plain = LogSettings {
        keyed: Some(Box::default()),
        ..LogSettings::default()
    };
    desk.declare_log("m", plain).unwrap();
    let request = LogRequest::Store {
        log: name("m"),
        message: message("m", "k", ""),
        terms: Box::new(scheduled(Recurrence::Once(0), "t")),
    };
    let LogReply::Stored(refused) = desk.log(request) else {
        panic!("stored");
    };
    assert_eq!(refused.unwrap_err(), fail(ScheduleError::Off));
}
