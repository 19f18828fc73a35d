//! Logs through whole turns: append, read, wait, trim, and what is refused.

use bytes::Bytes;
use polybus_model::{
    Append, AppendedRun, Event, Kind, LogError, LogReply, LogRequest, LogSettings, LogSummary,
    NewRun, Origin, PartitionName, Place, Publish, Read, ReadRequest, Request, RunContent, Slice,
    TopicKind, TopicSettings, WhichLogs, Writer,
};

use super::desk::{Desk, Shelf, Told, durable, message, name, publish};
use super::recovering::History;
use crate::logs::At;
use crate::turn::Turn;
use crate::{Effects, Engine, Options};

pub(super) const ORIGIN: Origin = Origin(9);

pub(super) fn at(log: &str, partition: u32) -> PartitionName {
    PartitionName {
        log: name(log),
        partition,
    }
}

pub(super) fn run(body: &str, count: u32) -> NewRun {
    NewRun {
        time_min: None,
        keyed: false,
        count,
        time_max: None,
        writer: None,
        crc: None,
        content: RunContent::Packed {
            origin: ORIGIN,
            bytes: Bytes::copy_from_slice(body.as_bytes()),
        },
    }
}

pub(super) fn written(body: &str, count: u32, sequence: u32) -> NewRun {
    NewRun {
        writer: Some(Writer {
            producer: 5,
            epoch: 0,
            sequence,
            transactional: false,
        }),
        ..run(body, count)
    }
}

pub(super) fn bytes(content: &RunContent) -> String {
    let bytes = match content {
        RunContent::Packed { bytes, .. } => bytes,
        RunContent::Message(message) => message.body(),
    };
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn read_of(log: &str, partition: u32, offset: u64) -> ReadRequest {
    ReadRequest {
        reads: vec![Read {
            partition: at(log, partition),
            id: None,
            offset,
            bytes_max: 1 << 20,
        }],
        bytes_max: 1 << 20,
        bytes_min: 1,
        wait_ms: 0,
        committed: false,
    }
}

pub(super) fn replies(told: Told) -> Vec<(u64, LogReply)> {
    let replies = told.into_iter().filter_map(|(_, event)| match event {
        Event::Log { number, reply } => Some((number, *reply)),
        _ => None,
    });
    replies.collect()
}

impl Desk {
    pub(super) fn ask(&mut self, session: u64, number: u64, request: LogRequest) -> Told {
        let request = Box::new(request);
        self.batch(session, vec![Request::Log { number, request }])
    }

    /// The one answer to a request.
    pub(super) fn log(&mut self, request: LogRequest) -> LogReply {
        let mut replies = replies(self.ask(1, 7, request));
        assert_eq!(replies.len(), 1, "{replies:?}");
        let (number, reply) = replies.remove(0);
        assert_eq!(number, 7);
        reply
    }

    pub(super) fn declare_log(
        &mut self,
        log: &str,
        settings: LogSettings,
    ) -> Result<LogSummary, LogError> {
        let declare = LogRequest::Declare {
            name: name(log),
            settings,
            dry_run: false,
        };
        match self.log(declare) {
            LogReply::Logs(mut logs) => logs.remove(0),
            other => panic!("{other:?}"),
        }
    }

    /// One turn that changes a partition from within the engine.
    pub(super) fn change_log<R>(
        &mut self,
        log: &str,
        partition: u32,
        change: impl FnOnce(&mut Engine, At, &mut Turn<'_, Shelf>) -> R,
    ) -> R {
        let mut out = Effects::default();
        let at = self.engine.partition_at(0, &at(log, partition)).unwrap();
        let mut turn = self.engine.begin(self.now, &mut self.shelf, &mut out);
        let result = change(&mut self.engine, at, &mut turn);
        self.engine.finish(&mut turn);
        self.told(out);
        result
    }

    pub(super) fn append(
        &mut self,
        log: &str,
        partition: u32,
        run: NewRun,
    ) -> Result<AppendedRun, LogError> {
        let append = Append {
            partition: at(log, partition),
            id: None,
            run,
        };
        match self.log(LogRequest::Append(vec![append])) {
            LogReply::Appended(mut results) => results.remove(0),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn read(&mut self, request: ReadRequest) -> Result<Slice, LogError> {
        match self.log(LogRequest::Read(request)) {
            LogReply::Read(mut slices) => slices.remove(0),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn read_all(&mut self, log: &str, partition: u32, from: u64) -> Vec<String> {
        let slice = self.read(read_of(log, partition, from)).unwrap();
        slice.runs.iter().map(|run| bytes(&run.content)).collect()
    }

    fn find(&mut self, place: Place) -> Option<(u64, Option<String>)> {
        match self.log(LogRequest::FindOffsets(vec![(at("l", 0), place)])) {
            LogReply::Offsets(mut found) => {
                let found = found.remove(0).unwrap()?;
                Some((found.offset, found.run.map(|run| bytes(&run.content))))
            }
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn desk() -> Desk {
    let mut desk = Desk::new();
    desk.declare_log("l", LogSettings::default()).unwrap();
    desk
}

#[test]
fn what_is_appended_is_read_from_any_of_its_offsets() {
    let mut desk = desk();
    assert_eq!(desk.append("l", 0, run("a", 3)).unwrap().offset, 0);
    assert_eq!(desk.append("l", 0, run("b", 1)).unwrap().offset, 3);
    let hello = NewRun {
        crc: None,
        content: RunContent::Message(message("l", "k", "hello")),
        ..run("", 1)
    };
    assert_eq!(desk.append("l", 0, hello).unwrap().offset, 4);
    assert_eq!(desk.read_all("l", 0, 2), ["a", "b", "hello"]);
    assert_eq!(desk.read_all("l", 0, 3), ["b", "hello"]);
    let slice = desk.read(read_of("l", 0, 5)).unwrap();
    assert_eq!((slice.start, slice.end, slice.runs.len()), (0, 5, 0));
    let error = desk.read(read_of("l", 0, 6)).unwrap_err();
    assert_eq!(error, LogError::OutOfRange { start: 0, end: 5 });
    for nowhere in [read_of("l", 1, 0), read_of("m", 0, 0)] {
        assert_eq!(desk.read(nowhere).unwrap_err(), LogError::NotFound);
    }
}

#[test]
fn readers_see_what_is_durable() {
    let mut desk = desk();
    desk.durable = false;
    desk.append("l", 0, run("a", 1)).unwrap();
    assert_eq!(desk.read(read_of("l", 0, 0)).unwrap().end, 0);
    assert_eq!(desk.read(read_of("l", 0, 1)).unwrap().end, 0);
    desk.tell_durable();
    assert_eq!(desk.read_all("l", 0, 0), ["a"]);
}

#[test]
fn a_read_stays_within_its_bounds_but_for_the_first_run() {
    let mut desk = desk();
    for _ in 0..10 {
        desk.append("l", 0, run(&"x".repeat(1000), 1)).unwrap();
    }
    let counted = |desk: &mut Desk, one: u32, all: u32| {
        let mut request = read_of("l", 0, 0);
        request.reads[0].bytes_max = one;
        request.bytes_max = all;
        desk.read(request).unwrap().runs.len()
    };
    assert_eq!(counted(&mut desk, 10, 10), 1);
    assert_eq!(counted(&mut desk, 3500, 1 << 20), 3);
    assert_eq!(counted(&mut desk, 1 << 20, 5500), 5);
}

#[test]
fn a_read_waits_for_enough_or_its_time() {
    let mut desk = desk();
    let mut request = read_of("l", 0, 0);
    request.wait_ms = 100;
    request.bytes_min = 2500;
    assert!(desk.ask(2, 1, LogRequest::Read(request.clone())).is_empty());
    desk.append("l", 0, run(&"x".repeat(1000), 1)).unwrap();
    let told = replies(desk.wait(100));
    assert!(matches!(&told[..], [(1, LogReply::Read(slices))]
        if slices[0].as_ref().unwrap().runs.len() == 1));

    assert!(desk.ask(2, 2, LogRequest::Read(request.clone())).is_empty());
    desk.append("l", 0, run("small", 1)).unwrap();
    let big = Append {
        partition: at("l", 0),
        id: None,
        run: run(&"x".repeat(1500), 1),
    };
    let told = replies(desk.ask(1, 3, LogRequest::Append(vec![big])));
    assert!(matches!(
        told[..],
        [(3, LogReply::Appended(_)), (2, LogReply::Read(_))]
    ));

    // What waited goes with its session or its log.
    request.reads[0].offset = 3;
    assert!(desk.ask(2, 4, LogRequest::Read(request.clone())).is_empty());
    assert!(desk.ask(3, 5, LogRequest::Read(request)).is_empty());
    assert!(desk.detach(2).is_empty());
    let told = replies(desk.ask(1, 6, LogRequest::Delete { name: name("l") }));
    assert!(
        matches!(&told[..], [(5, LogReply::Read(slices)), (6, LogReply::Logs(_))]
        if slices[0].as_ref().unwrap_err() == &LogError::NotFound)
    );
    assert!(desk.wait(1_000).is_empty());
    assert_eq!(desk.shelf.live(), 0);
}

#[test]
fn what_is_no_longer_in_memory_is_read_back() {
    let options = Options {
        log_resident_bytes_max: 3_000,
        ..Options::default()
    };
    let mut desk = Desk::with(options);
    desk.declare_log("l", LogSettings::default()).unwrap();
    let bodies: Vec<String> = (0..20)
        .map(|at| format!("{at}{}", "x".repeat(500)))
        .collect();
    for (time, body) in (100..).zip(&bodies) {
        let timed = NewRun {
            time_max: Some(time),
            ..run(body, 2)
        };
        desk.append("l", 0, timed).unwrap();
    }
    assert!(desk.engine.logs.recent_bytes() <= 3_000);
    assert_eq!(desk.read_all("l", 0, 0), bodies);
    assert_eq!(
        desk.find(Place::Time(103)),
        Some((6, Some(bodies[3].clone())))
    );

    // Moved while it was being read: it is read at its new place.
    desk.loads = false;
    assert!(
        desk.ask(2, 9, LogRequest::Read(read_of("l", 0, 0)))
            .is_empty()
    );
    let mut out = Effects::default();
    desk.engine
        .handle_log_loaded(2, Vec::new(), desk.now, &mut desk.shelf, &mut out);
    assert_eq!(out.log_loads.len(), 1, "asked again");
}

#[test]
fn what_comes_again_keeps_its_offset_also_after_a_restart() {
    let mut desk = desk();
    assert_eq!(desk.append("l", 0, written("a", 2, 0)).unwrap().offset, 0);
    assert_eq!(desk.append("l", 0, written("b", 2, 2)).unwrap().offset, 2);
    assert_eq!(desk.append("l", 0, written("a", 2, 0)).unwrap().offset, 0);
    let mut history = History::default();
    for snapshot in [false, true] {
        if snapshot {
            history.snapshot(&desk);
        }
        (desk.engine, desk.shelf) = history.recover(&desk, false);
        desk.engine
            .attach(polybus_model::SessionId(1), &name("/"))
            .unwrap();
        assert_eq!(desk.append("l", 0, written("b", 2, 2)).unwrap().offset, 2);
        let gap = desk.append("l", 0, written("d", 1, 6));
        assert_eq!(gap, Err(LogError::OutOfSequence));
    }
    assert_eq!(desk.append("l", 0, written("c", 1, 4)).unwrap().offset, 4);
    assert_eq!(desk.read_all("l", 0, 0), ["a", "b", "c"]);
}

#[test]
fn offsets_are_found_by_time_and_end() {
    let mut desk = desk();
    assert_eq!(desk.find(Place::LatestTime), None);
    for (body, time) in [("a", 10), ("b", 30), ("c", 20)] {
        let timed = NewRun {
            time_max: Some(time),
            ..run(body, 5)
        };
        desk.append("l", 0, timed).unwrap();
    }
    assert_eq!(desk.find(Place::Start), Some((0, None)));
    assert_eq!(desk.find(Place::End), Some((15, None)));
    assert_eq!(desk.find(Place::Time(11)), Some((5, Some("b".into()))));
    assert_eq!(desk.find(Place::Time(31)), None);
    assert_eq!(desk.find(Place::LatestTime), Some((5, Some("b".into()))));
}

#[test]
fn a_trimmed_log_begins_later() {
    let mut desk = desk();
    for body in ["a", "b", "c"] {
        desk.append("l", 0, run(body, 2)).unwrap();
    }
    let trim =
        |desk: &mut Desk, offset| match desk.log(LogRequest::Trim(vec![(at("l", 0), offset)])) {
            LogReply::Offsets(mut found) => found.remove(0).map(|found| found.unwrap().offset),
            other => panic!("{other:?}"),
        };
    assert_eq!(trim(&mut desk, Some(3)), Ok(3));
    assert_eq!(trim(&mut desk, Some(1)), Ok(3), "it stays");
    assert_eq!(desk.read_all("l", 0, 3), ["b", "c"]);
    assert!(desk.read(read_of("l", 0, 2)).is_err());
    let past = LogError::OutOfRange { start: 3, end: 6 };
    assert_eq!(trim(&mut desk, Some(7)), Err(past));
    assert_eq!(trim(&mut desk, None), Ok(6));
    assert_eq!(desk.shelf.live(), 0);
    assert_eq!(desk.append("l", 0, run("d", 1)).unwrap().offset, 6);
}

#[test]
fn what_is_old_or_too_much_goes() {
    let mut desk = Desk::new();
    let settings = LogSettings {
        retention_ms: Some(100_000),
        ..LogSettings::default()
    };
    desk.declare_log("l", settings.clone()).unwrap();
    desk.append("l", 0, run("old", 1)).unwrap();
    desk.wait(90_000);
    desk.append("l", 0, run("young", 1)).unwrap();
    desk.wait(40_000);
    assert_eq!(desk.read_all("l", 0, 1), ["young"]);
    assert_eq!(desk.read(read_of("l", 0, 1)).unwrap().start, 1);

    let sized = LogSettings {
        retention_bytes: Some(10_000),
        retention_ms: None,
        ..settings
    };
    desk.declare_log("sized", sized).unwrap();
    for _ in 0..5_000 {
        desk.append("sized", 0, run(&"x".repeat(1000), 1)).unwrap();
    }
    let held = |desk: &mut Desk| match desk.log(LogRequest::Sizes(WhichLogs::All)) {
        LogReply::Sizes(sizes) => sizes[1].1[0],
        other => panic!("{other:?}"),
    };
    assert!(held(&mut desk) < 2 << 20, "far too much goes at once");
    desk.wait(40_000);
    assert!((10_000..12_000).contains(&held(&mut desk)));
}

#[test]
fn a_log_brings_its_topic_and_takes_it_away() {
    let mut desk = desk();
    let has_topic = |desk: &mut Desk, topic: &str| {
        let ask = Request::DeclareTopic {
            name: name(topic),
            settings: None,
        };
        let told = desk.batch_on(1, 2, vec![ask]);
        matches!(told[..], [(_, Event::Reply { result: Ok(_), .. })])
    };
    assert!(has_topic(&mut desk, "l"));
    assert_eq!(
        desk.declare_log("l", LogSettings::default()),
        Err(LogError::Exists)
    );
    desk.log(LogRequest::Delete { name: name("l") });
    assert!(!has_topic(&mut desk, "l"));

    let settings = TopicSettings {
        kind: TopicKind::Direct,
        delayed: false,
        durable: true,
        auto_delete: false,
        internal: false,
        alternate: None,
        arguments: polybus_model::Table::new(),
    };
    let declare = Request::DeclareTopic {
        name: name("own"),
        settings: Some(Box::new(settings)),
    };
    desk.batch(1, vec![declare]);
    let id = desk.declare_log("own", LogSettings::default()).unwrap().id;
    assert_eq!(id.0, 2, "ids are never given again");
    desk.log(LogRequest::Delete { name: name("own") });
    assert!(has_topic(&mut desk, "own"));
}

#[test]
fn a_log_made_anew_is_not_the_one_that_was_meant() {
    let mut desk = Desk::new();
    let old = desk.declare_log("l", LogSettings::default()).unwrap().id;
    let with = |id| {
        let mut request = read_of("l", 0, 0);
        request.reads[0].id = id;
        request
    };
    desk.log(LogRequest::Delete { name: name("l") });
    let new = desk.declare_log("l", LogSettings::default()).unwrap().id;
    let mut append = |id| {
        let append = Append {
            partition: at("l", 0),
            id,
            run: run("a", 1),
        };
        match desk.log(LogRequest::Append(vec![append])) {
            LogReply::Appended(mut results) => results.remove(0).map(|run| run.offset),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(append(Some(old)), Err(LogError::Replaced));
    assert_eq!(append(Some(new)), Ok(0));
    let read = |desk: &mut Desk, id| desk.read(with(id)).map(|slice| slice.end);
    assert_eq!(read(&mut desk, Some(old)), Err(LogError::Replaced));
    assert_eq!(read(&mut desk, Some(new)), Ok(1));
    assert_eq!(read(&mut desk, None), Ok(1));
}

#[test]
fn settings_are_checked_and_partitions_only_grow() {
    let mut desk = desk();
    let alter = |desk: &mut Desk, partitions, dry_run| {
        let request = LogRequest::Alter {
            name: name("l"),
            settings: LogSettings {
                partitions,
                ..LogSettings::default()
            },
            dry_run,
        };
        match desk.log(request) {
            LogReply::Logs(mut logs) => logs.remove(0),
            other => panic!("{other:?}"),
        }
    };
    alter(&mut desk, 3, true).unwrap();
    assert!(desk.append("l", 2, run("a", 1)).is_err());
    alter(&mut desk, 3, false).unwrap();
    desk.append("l", 2, run("a", 1)).unwrap();
    for wrong in [2, 0, 1_000_000] {
        let error = alter(&mut desk, wrong, false).unwrap_err();
        assert!(matches!(error, LogError::Other(_)), "{wrong}");
    }
    let limited = LogSettings {
        partitions: 10_001,
        ..LogSettings::default()
    };
    let error = desk.declare_log("m", limited).unwrap_err();
    assert!(matches!(error, LogError::Other(error) if matches!(error.kind, Kind::LimitReached(_))));
    let small = LogSettings {
        run_bytes_max: 3,
        ..LogSettings::default()
    };
    desk.declare_log("small", small).unwrap();
    let error = desk.append("small", 0, run("four", 1));
    assert_eq!(error, Err(LogError::TooLarge));
}

#[test]
fn what_is_forbidden_is_so_part_by_part() {
    let mut desk = desk();
    let append = Append {
        partition: at("l", 0),
        id: None,
        run: run("a", 1),
    };
    let request = LogRequest::Partly {
        request: Box::new(LogRequest::Append(vec![append.clone(), append])),
        forbidden: vec![0],
    };
    let LogReply::Appended(results) = desk.log(request) else {
        panic!("appended");
    };
    assert_eq!(results[0], Err(LogError::Forbidden));
    assert_eq!(results[1].as_ref().unwrap().offset, 0);
    let request = LogRequest::Partly {
        request: Box::new(LogRequest::Delete { name: name("l") }),
        forbidden: vec![0],
    };
    let reply = desk.log(request);
    assert!(matches!(reply, LogReply::Logs(logs) if logs == [Err(LogError::Forbidden)]));
}

#[test]
fn what_is_published_to_the_topic_is_appended() {
    let mut desk = Desk::new();
    let three = LogSettings {
        partitions: 3,
        run_bytes_max: 20,
        ..LogSettings::default()
    };
    desk.declare_log("l", three).unwrap();
    let publish = |desk: &mut Desk, key: &str, body: &str| {
        let publish = Publish {
            mandatory: true,
            confirm: Some(1),
            ..publish(message("l", key, body))
        };
        desk.batch(2, vec![Request::Publish(publish)])
    };
    for body in ["a", "b"] {
        let told = publish(&mut desk, "21", body);
        assert!(
            matches!(told[..], [(_, Event::Confirmed { .. })]),
            "{told:?}"
        );
    }
    // Kafka's hash of `21` is -973932308.
    let partition = ((-973_932_308_i32 & i32::MAX) % 3) as u32;
    assert_eq!(desk.read_all("l", partition, 0), ["a", "b"]);
    let told = publish(&mut desk, "21", &"x".repeat(100));
    assert!(matches!(told[..], [(_, Event::Refused { .. })]), "{told:?}");
    for body in ["0", "1", "2"] {
        publish(&mut desk, "", body);
    }
    for other in 0..3 {
        let last = desk.read_all("l", other, 0).pop();
        assert_eq!(last, Some(other.to_string()), "one after the other");
    }
}

/// Each byte is a message.
fn by_byte(
    topic: &polybus_model::Name,
    run: &Bytes,
    messages: &mut Vec<(u32, polybus_model::Message)>,
) {
    for (at, byte) in (0..).zip(run) {
        let body = char::from(*byte).to_string();
        messages.push((at, message(topic.as_str(), "", &body)));
    }
}

#[test]
fn what_is_appended_goes_where_the_topic_is_bound() {
    let mut desk = Desk::with(Options {
        run_readers: crate::RunReaders::new().with(ORIGIN, by_byte),
        ..Options::default()
    });
    desk.declare_log("l", LogSettings::default()).unwrap();
    desk.append("l", 0, run("before", 6)).unwrap();
    desk.declare("q", durable());
    let binding = polybus_model::Binding {
        source: name("l"),
        destination: polybus_model::Destination::Queue(name("q")),
        key: Bytes::new(),
        arguments: polybus_model::Table::new(),
    };
    desk.batch(1, vec![Request::Bind(Box::new(binding))]);
    desk.append("l", 0, written("abc", 3, 0)).unwrap();
    desk.append("l", 0, written("abc", 3, 0)).unwrap();
    assert_eq!(desk.drain("q"), ["a", "b", "c"], "once");
    assert_eq!(desk.read_all("l", 0, 0), ["before", "abc"]);
}

#[test]
fn numbers_of_producers_are_never_given_again() {
    let mut desk = desk();
    let open = LogRequest::OpenProducer {
        transactional: None,
        current: None,
    };
    let mut seen = std::collections::BTreeSet::new();
    let mut history = History::default();
    for round in 0..4 {
        for _ in 0..700 {
            let LogReply::Producer(Ok((number, 0))) = desk.log(open.clone()) else {
                panic!("a producer");
            };
            assert!(seen.insert(number));
        }
        if round == 1 {
            history.snapshot(&desk);
        }
        (desk.engine, desk.shelf) = history.recover(&desk, false);
        desk.engine
            .attach(polybus_model::SessionId(1), &name("/"))
            .unwrap();
    }
}
