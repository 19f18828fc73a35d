//! Readers of single records: who gets what, what comes again, and what is said of it.

use bytes::Bytes;
use polybus_model::{
    Acknowledging, Declaring, Event, GroupReply, GroupRequest, KeyedSettings, LiveNote, LogReply,
    LogRequest, LogSettings, Notice, Pull, PullLimits, Push, ReaderError, ReaderOutcome,
    ReaderReply, ReaderRequest, ReaderSettings, ReaderStart, ReaderSummary, Request, Terms,
};

use super::desk::{Desk, Told, message, name};
use super::live::{filter, listen, subscribe};
use crate::Options;

/// What a subscriber got: records as offset, attempts and number of the delivery, and all else as it is.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Got {
    Record(u64, u32, u64),
    Notice(Notice),
}

pub(super) fn settings() -> ReaderSettings {
    ReaderSettings {
        topic: name("amq.topic"),
        push: None,
        pulls: PullLimits::default(),
        groups: None,
        sampled_percent: 0,
        start: ReaderStart::First,
        filters: Vec::new(),
        acknowledging: Acknowledging::Each,
        lease_ms: 1_000,
        leases_ms: Vec::new(),
        attempts_max: None,
        leased_max: None,
        keeps_pace: false,
        headers_only: false,
        bits_per_second: None,
        idle_ms: None,
        paused_until: None,
        durable: true,
        dead_letters: None,
        arguments: vec![("a".into(), "b".into())],
    }
}

pub(super) fn pushing(key: &'static str) -> ReaderSettings {
    ReaderSettings {
        push: Some(Push {
            key: Bytes::from_static(key.as_bytes()),
            heartbeat_ms: None,
            flow_control: false,
        }),
        ..settings()
    }
}

pub(super) fn pull(records: u32) -> Pull {
    Pull {
        key: Bytes::from_static(b"in.box"),
        records,
        bytes_max: None,
        each_bytes: 0,
        wait_ms: Some(10_000),
        no_wait: false,
        heartbeat_ms: None,
        standing: None,
    }
}

pub(super) fn got(told: &Told) -> Vec<Got> {
    let got = told.iter().flat_map(|(_, event)| match event {
        Event::LiveMessage {
            note: Some(LiveNote::Notice(notice)),
            ..
        } => vec![Got::Notice(*notice.clone())],
        Event::Records { block, targets, .. } => {
            let records = targets.iter().map(|(at, _)| &block.records[*at as usize]);
            let got = records.map(|one| Got::Record(one.offset, one.attempts, one.sequence));
            got.collect::<Vec<_>>()
        }
        _ => Vec::new(),
    });
    got.collect()
}

pub(super) fn offsets(told: &Told) -> Vec<u64> {
    let records = got(told).into_iter().filter_map(|one| match one {
        Got::Record(offset, ..) => Some(offset),
        Got::Notice(_) => None,
    });
    records.collect()
}

impl Desk {
    pub(super) fn reader(&mut self, request: ReaderRequest) -> (Option<ReaderReply>, Told) {
        let request = Request::Group {
            number: 7,
            request: Box::new(GroupRequest::Reader(Box::new(request))),
        };
        let mut told = self.batch(1, vec![request]);
        let at = told
            .iter()
            .position(|(_, event)| matches!(event, Event::Group { .. }));
        let reply = at.map(|at| match told.remove(at) {
            (_, Event::Group { reply, .. }) => match *reply {
                GroupReply::Reader(reply) => reply,
                other => panic!("{other:?}"),
            },
            _ => unreachable!(),
        });
        (reply, told)
    }

    pub(super) fn declare_reader(
        &mut self,
        settings: ReaderSettings,
    ) -> (Result<ReaderSummary, ReaderError>, Told) {
        let (reply, told) = self.reader(ReaderRequest::Declare {
            log: name("l"),
            name: "r".into(),
            settings: Box::new(settings),
            declaring: Declaring::Any,
        });
        match reply {
            Some(ReaderReply::Reader(result)) => (result.map(|one| *one), told),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn described(&mut self) -> ReaderSummary {
        let (reply, _) = self.reader(ReaderRequest::Describe {
            log: name("l"),
            name: "r".into(),
        });
        match reply {
            Some(ReaderReply::Reader(Ok(summary))) => *summary,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn pull_from(&mut self, pull: Pull) -> Told {
        let (reply, told) = self.reader(ReaderRequest::Pull {
            topic: name("amq.topic"),
            log: name("l"),
            name: "r".into(),
            pull,
        });
        assert!(reply.is_none());
        told
    }

    pub(super) fn settle_record(&mut self, offset: u64, outcome: ReaderOutcome) -> Told {
        let (_, told) = self.reader(ReaderRequest::Settle {
            log: name("l"),
            name: "r".into(),
            offset,
            outcome,
            is_awaited: true,
        });
        told
    }

    pub(super) fn store_in(&mut self, key: &str) -> Told {
        let request = LogRequest::Store {
            log: name("l"),
            message: message("l", key, key),
            terms: Box::new(Terms::default()),
        };
        self.ask(1, 3, request)
    }
}

pub(super) fn desk_with(keyed: KeyedSettings) -> Desk {
    let mut desk = Desk::with(Options {
        log_resident_bytes_max: 2_000,
        report_key: Some(|report| format!("report.{}", report.reader).into()),
        ..Options::default()
    });
    let settings = LogSettings {
        retention_ms: None,
        keyed: Some(Box::new(keyed)),
        ..LogSettings::default()
    };
    let reply = desk.log(LogRequest::Declare {
        name: name("l"),
        settings,
        dry_run: false,
    });
    assert!(matches!(reply, LogReply::Logs(logs) if logs[0].is_ok()));
    desk.batch(2, vec![subscribe(listen(1, "in.box"))]);
    desk
}

pub(super) fn desk() -> Desk {
    desk_with(KeyedSettings::default())
}

#[test]
fn a_pull_gets_what_it_asks_for_and_the_rest_when_it_comes() {
    let mut desk = desk();
    for key in ["a", "b", "a"] {
        desk.store_in(key);
    }
    desk.declare_reader(settings()).0.unwrap();
    let told = desk.pull_from(pull(2));
    assert_eq!(got(&told), [Got::Record(0, 1, 1), Got::Record(1, 1, 2)]);
    let told = desk.pull_from(pull(2));
    assert_eq!(got(&told), [Got::Record(2, 1, 3)]);
    let told = desk.store_in("c");
    assert_eq!(got(&told), [Got::Record(3, 1, 4)]);
    assert_eq!(got(&desk.store_in("d")), []);
    let summary = desk.described();
    assert_eq!(
        (summary.leased, summary.pending, summary.waiting),
        (4, 1, 0)
    );
    assert_eq!(
        (summary.delivered.sequence, summary.delivered.offset),
        (4, 4)
    );
    desk.settle_record(1, ReaderOutcome::Accept);
    desk.settle_record(0, ReaderOutcome::Accept);
    let summary = desk.described();
    assert_eq!((summary.leased, summary.settled.offset), (2, 2));
    assert_eq!(summary.settled.sequence, 2);
}

#[test]
fn what_is_not_settled_comes_again() {
    let mut desk = desk();
    desk.store_in("a");
    desk.store_in("b");
    desk.declare_reader(ReaderSettings {
        attempts_max: Some(2),
        ..settings()
    })
    .0
    .unwrap();
    assert_eq!(offsets(&desk.pull_from(pull(5))), [0, 1]);
    desk.settle_record(0, ReaderOutcome::Accept);
    let told = desk.wait(1_000);
    assert_eq!(got(&told), [Got::Record(1, 2, 3)]);
    desk.settle_record(1, ReaderOutcome::Extend);
    assert_eq!(got(&desk.wait(900)), []);
    let told = desk.wait(200);
    assert_eq!(got(&told), [], "it was tried as often as it may");
    assert_eq!(desk.described().leased, 0);
}

#[test]
fn a_release_waits_as_long_as_it_says() {
    let mut desk = desk();
    desk.store_in("a");
    desk.declare_reader(settings()).0.unwrap();
    desk.pull_from(pull(5));
    let told = desk.settle_record(0, ReaderOutcome::Release(0));
    assert_eq!(got(&told), [Got::Record(0, 2, 2)]);
    assert_eq!(got(&desk.settle_record(0, ReaderOutcome::Release(500))), []);
    assert_eq!(got(&desk.wait(499)), []);
    assert_eq!(got(&desk.wait(1)), [Got::Record(0, 3, 3)]);
}

#[test]
fn leases_follow_their_list() {
    let mut desk = desk();
    desk.store_in("a");
    desk.declare_reader(ReaderSettings {
        leases_ms: vec![100, 300],
        ..settings()
    })
    .0
    .unwrap();
    desk.pull_from(pull(5));
    assert_eq!(got(&desk.wait(100)), [Got::Record(0, 2, 2)]);
    assert_eq!(got(&desk.wait(299)), []);
    assert_eq!(got(&desk.wait(1)), [Got::Record(0, 3, 3)]);
    assert_eq!(got(&desk.wait(300)), [Got::Record(0, 4, 4)]);
}

#[test]
fn pulls_end_with_a_word() {
    let mut desk = desk();
    desk.declare_reader(ReaderSettings {
        pulls: PullLimits {
            waiting_max: Some(1),
            records_max: Some(10),
            wait_ms_max: Some(10_000),
            ..PullLimits::default()
        },
        lease_ms: 60_000,
        ..settings()
    })
    .0
    .unwrap();
    let no_wait = Pull {
        no_wait: true,
        wait_ms: None,
        ..pull(2)
    };
    let say = |notice| [Got::Notice(notice)];
    assert_eq!(got(&desk.pull_from(no_wait.clone())), say(Notice::Empty));
    assert_eq!(
        got(&desk.pull_from(pull(11))),
        say(Notice::RecordsExceeded(10))
    );
    let long = Pull {
        wait_ms: Some(10_001),
        ..pull(1)
    };
    assert_eq!(
        got(&desk.pull_from(long)),
        say(Notice::WaitExceeded(10_000))
    );
    assert_eq!(got(&desk.pull_from(pull(3))), []);
    assert_eq!(got(&desk.pull_from(pull(1))), say(Notice::TooManyPulls));
    desk.store_in("a");
    let told = desk.wait(10_000);
    let expired = Got::Notice(Notice::Expired {
        records: 2,
        bytes: 0,
    });
    assert!(got(&told).contains(&expired), "{told:?}");
    desk.settle_record(0, ReaderOutcome::Accept);
    desk.store_in("b");
    let told = desk.pull_from(no_wait);
    assert_eq!(
        got(&told),
        [
            Got::Record(1, 1, desk.described().delivered.sequence),
            Got::Notice(Notice::Empty)
        ]
    );
}

#[test]
fn bytes_bound_a_pull() {
    let mut desk = desk();
    for _ in 0..3 {
        desk.store_in("abcd");
    }
    desk.declare_reader(settings()).0.unwrap();
    let told = desk.pull_from(Pull {
        bytes_max: Some(18),
        ..pull(5)
    });
    let over = Got::Notice(Notice::BytesOver {
        records: 3,
        bytes: 2,
    });
    assert_eq!(
        got(&told),
        [Got::Record(0, 1, 1), Got::Record(1, 1, 2), over]
    );
    // What the protocol adds to each counts as well.
    let told = desk.pull_from(Pull {
        bytes_max: Some(18),
        each_bytes: 12,
        ..pull(5)
    });
    let over = Got::Notice(Notice::BytesOver {
        records: 5,
        bytes: 18,
    });
    assert_eq!(got(&told), [over]);
}

#[test]
fn filters_choose_by_key() {
    let mut desk = desk();
    for key in ["a.x", "b.x", "a.y", "c", "b.y"] {
        desk.store_in(key);
    }
    desk.declare_reader(ReaderSettings {
        filters: vec![filter("a.*"), filter("c")],
        ..settings()
    })
    .0
    .unwrap();
    assert_eq!(desk.described().pending, 3);
    assert_eq!(offsets(&desk.pull_from(pull(2))), [0, 2]);
    assert_eq!(desk.described().pending, 1);
    assert_eq!(offsets(&desk.pull_from(pull(2))), [3]);
    assert_eq!(offsets(&desk.store_in("b.z")), []);
    assert_eq!(offsets(&desk.store_in("a.z")), [6]);
}

#[test]
fn readers_start_where_they_say() {
    let starts = [
        (ReaderStart::First, vec![0, 1, 2, 3]),
        (ReaderStart::Last, vec![3]),
        (ReaderStart::LastOfEachKey, vec![2, 3]),
        (ReaderStart::Next, vec![]),
        (ReaderStart::Offset(1), vec![1, 2, 3]),
        (ReaderStart::Offset(99), vec![]),
        (ReaderStart::Time(1_010), vec![1, 2, 3]),
    ];
    for (start, expected) in starts {
        let mut desk = desk();
        for key in ["a", "b", "b", "a"] {
            desk.store_in(key);
            desk.wait(10);
        }
        let declared = desk.declare_reader(ReaderSettings {
            start,
            ..settings()
        });
        assert_eq!(
            declared.0.unwrap().pending,
            expected.len() as u64,
            "{start:?}"
        );
        assert_eq!(offsets(&desk.pull_from(pull(9))), expected, "{start:?}");
        assert_eq!(offsets(&desk.store_in("z")), [4], "{start:?}");
    }
}

#[test]
fn a_push_waits_for_someone_to_listen() {
    let mut desk = desk();
    desk.store_in("a");
    let declared = desk.declare_reader(pushing("to.me")).0.unwrap();
    assert!(!declared.is_heard);
    let told = desk.batch(2, vec![subscribe(listen(2, "to.*"))]);
    assert_eq!(got(&told), [Got::Record(0, 1, 1)]);
    assert_eq!(offsets(&desk.store_in("b")), [1]);
    assert!(desk.described().is_heard);
    let leave = Request::UnsubscribeLive {
        subscriber: polybus_model::SubscriberId(2),
        after: None,
    };
    desk.batch(2, vec![leave]);
    assert!(!desk.described().is_heard);
    assert_eq!(offsets(&desk.store_in("c")), []);
    let told = desk.batch(3, vec![subscribe(listen(2, "to.me"))]);
    assert_eq!(offsets(&told), [2]);
    let told = desk.pull_from(pull(1));
    assert_eq!(got(&told), [Got::Notice(Notice::Pushes)]);
}

#[test]
fn a_push_is_alive_and_asks_how_far_its_listener_is() {
    let mut desk = desk();
    let mut wanted = pushing("to.me");
    if let Some(push) = &mut wanted.push {
        push.heartbeat_ms = Some(100);
        push.flow_control = true;
    }
    wanted.acknowledging = Acknowledging::Never;
    desk.batch(2, vec![subscribe(listen(2, "to.me"))]);
    desk.declare_reader(wanted).0.unwrap();
    let beat = |sequence, offset, stalled| {
        Got::Notice(Notice::Heartbeat {
            sequence,
            offset,
            stalled,
        })
    };
    assert_eq!(got(&desk.wait(100)), [beat(0, 0, false)]);
    let large = "k".repeat(50_000);
    let mut all = Vec::new();
    for _ in 0..4 {
        all.extend(got(&desk.store_in(&large)));
    }
    let asked = all
        .iter()
        .any(|one| matches!(one, Got::Notice(Notice::FlowControl { .. })));
    assert!(asked, "{all:?}");
    for _ in 0..10 {
        desk.store_in(&large);
    }
    let stalled = desk.described().delivered.sequence;
    assert!(stalled < 14, "{stalled}");
    let told = desk.batch(2, vec![Request::Drained { bytes: 10_000_000 }]);
    assert_eq!(offsets(&told), []);
    let (reply, told) = desk.reader(ReaderRequest::Flow {
        log: name("l"),
        name: "r".into(),
    });
    assert_eq!(reply, Some(ReaderReply::Done(Ok(()))));
    assert!(!offsets(&told).is_empty());
    assert_eq!(desk.described().leased, 0);
}

#[test]
fn an_idle_reader_goes() {
    let mut desk = desk();
    let idle = ReaderSettings {
        idle_ms: Some(500),
        durable: false,
        ..settings()
    };
    desk.declare_reader(idle.clone()).0.unwrap();
    desk.wait(400);
    desk.pull_from(Pull {
        wait_ms: Some(300),
        ..pull(1)
    });
    desk.wait(700);
    desk.described();
    desk.wait(200);
    let (reply, _) = desk.reader(ReaderRequest::Describe {
        log: name("l"),
        name: "r".into(),
    });
    assert_eq!(reply, Some(ReaderReply::Reader(Err(ReaderError::NotFound))));
}

#[test]
fn one_settles_all_before_it() {
    let mut desk = desk();
    for _ in 0..4 {
        desk.store_in("a");
    }
    desk.declare_reader(ReaderSettings {
        acknowledging: Acknowledging::Through,
        ..settings()
    })
    .0
    .unwrap();
    desk.pull_from(pull(3));
    desk.settle_record(1, ReaderOutcome::Accept);
    let summary = desk.described();
    assert_eq!((summary.leased, summary.settled.offset), (1, 2));
}

#[test]
fn leases_are_bounded() {
    let mut desk = desk();
    for _ in 0..4 {
        desk.store_in("a");
    }
    desk.declare_reader(ReaderSettings {
        leased_max: Some(2),
        ..settings()
    })
    .0
    .unwrap();
    assert_eq!(offsets(&desk.pull_from(pull(4))), [0, 1]);
    assert_eq!(offsets(&desk.settle_record(0, ReaderOutcome::Accept)), [2]);
}

#[test]
fn a_pause_holds_all() {
    let mut desk = desk();
    desk.store_in("a");
    desk.declare_reader(settings()).0.unwrap();
    let pause = |until| ReaderRequest::Pause {
        log: name("l"),
        name: "r".into(),
        until,
    };
    desk.reader(pause(Some(2_000)));
    assert_eq!(got(&desk.pull_from(pull(1))), []);
    assert_eq!(got(&desk.wait(999)), []);
    assert_eq!(offsets(&desk.wait(1)), [0]);
}
#[test]
fn a_pull_gets_records_at_the_pace_they_were_stored_in() {
    let mut desk = desk();
    desk.store_in("a");
    desk.wait(500);
    desk.store_in("a");
    let paced = ReaderSettings {
        keeps_pace: true,
        ..settings()
    };
    desk.declare_reader(paced).0.unwrap();
    assert_eq!(offsets(&desk.pull_from(pull(2))), [0]);
    assert_eq!(got(&desk.wait(499)), []);
    assert_eq!(offsets(&desk.wait(1)), [1]);
}
