//! Keyed logs that follow others: what they take, that they take it once whenever the process ends, and what ends with time.

use polybus_model::{
    FilterWord, FollowFrom, FollowState, Followed, Follows, KeyedError, KeyedSettings, KeyedWriter,
    LiveFilter, LogError, LogReply, LogRequest, LogSettings, NewWord, PartitionName, RecordTtl,
    Renaming, RunContent, Terms,
};
use proptest::prelude::*;

use super::desk::{Desk, message, name};
use super::logs::{at, bytes, read_of};
use super::recovering::History;
use crate::Options;

fn settings(follows: Follows) -> LogSettings {
    LogSettings {
        keyed: Some(Box::new(KeyedSettings {
            follows,
            expires: true,
            ..KeyedSettings::default()
        })),
        ..LogSettings::default()
    }
}

fn followed(log: &str) -> Followed {
    Followed {
        log: name(log),
        from: FollowFrom::Start,
        renamings: Vec::new(),
        label: bytes::Bytes::new(),
    }
}

fn starting(word: &str) -> LiveFilter {
    LiveFilter::new([FilterWord::Exact(word.as_bytes()), FilterWord::Rest])
}

fn several(logs: &[&str]) -> Follows {
    Follows::Several(logs.iter().map(|log| followed(log)).collect())
}

fn store(desk: &mut Desk, log: &str, key: &str, body: &str) -> Result<u64, LogError> {
    let stored = desk.log(LogRequest::Store {
        log: name(log),
        message: message(log, key, body),
        terms: Box::new(Terms::default()),
    });
    match stored {
        LogReply::Stored(stored) => stored.map(|stored| stored.offset),
        other => panic!("{other:?}"),
    }
}

fn alter(desk: &mut Desk, log: &str, settings: LogSettings) -> Result<(), LogError> {
    let altered = desk.log(LogRequest::Alter {
        name: name(log),
        settings,
        dry_run: false,
    });
    match altered {
        LogReply::Logs(mut logs) => logs.remove(0).map(|_| ()),
        other => panic!("{other:?}"),
    }
}

fn remove(desk: &mut Desk, log: &str, offset: u64) {
    let partition = at(log, 0);
    desk.log(LogRequest::Remove { partition, offset });
}

/// Offsets, keys and bodies of what a log has.
fn held(desk: &mut Desk, log: &str) -> Vec<(u64, String, String)> {
    let start = state(desk, log).0;
    let slice = desk.read(read_of(log, 0, start)).unwrap();
    let held = slice.runs.iter().map(|run| {
        let RunContent::Message(message) = &run.content else {
            panic!("{run:?}");
        };
        let key = String::from_utf8_lossy(message.key()).into_owned();
        (run.offset, key, bytes(&run.content))
    });
    held.collect()
}

fn texts(desk: &mut Desk, log: &str) -> Vec<String> {
    held(desk, log).into_iter().map(|one| one.2).collect()
}

/// Start, next, and how far it is with whom it follows.
fn state(desk: &mut Desk, log: &str) -> (u64, u64, Vec<FollowState>) {
    let partition = PartitionName {
        log: name(log),
        partition: 0,
    };
    let told = desk.log(LogRequest::State {
        partition,
        removed: false,
    });
    let LogReply::State(Ok(state)) = told else {
        panic!("{told:?}");
    };
    (state.1.start, state.1.next, state.1.follows.clone())
}

#[test]
fn a_copy_has_the_offsets_of_its_origin() {
    let mut desk = Desk::new();
    desk.declare_log("m", settings(Follows::One(followed("o"))))
        .unwrap();
    desk.declare_log("o", settings(Follows::Nobody)).unwrap();
    for body in ["0", "1", "2"] {
        store(&mut desk, "o", "a.x", body).unwrap();
    }
    assert_eq!(held(&mut desk, "m"), held(&mut desk, "o"));
    let error = store(&mut desk, "m", "a.x", "own").unwrap_err();
    assert_eq!(error, KeyedError::IsCopy.into());
    // One that comes later takes what is left: what went before is a hole.
    remove(&mut desk, "o", 1);
    let from = FollowFrom::Offset(1);
    let late = Followed {
        from,
        ..followed("o")
    };
    desk.declare_log("late", settings(Follows::One(late)))
        .unwrap();
    store(&mut desk, "o", "a.x", "3").unwrap();
    remove(&mut desk, "o", 3);
    store(&mut desk, "o", "a.x", "4").unwrap();
    assert_eq!(texts(&mut desk, "late"), ["2", "3", "4"]);
    assert_eq!(state(&mut desk, "late").0, 2);
    assert_eq!(texts(&mut desk, "m"), ["0", "1", "2", "3", "4"]);
    // It becomes a log of its own.
    alter(&mut desk, "m", settings(Follows::Nobody)).unwrap();
    assert_eq!(store(&mut desk, "m", "a.x", "own"), Ok(5));
    store(&mut desk, "o", "a.x", "5").unwrap();
    assert_eq!(texts(&mut desk, "m").last().unwrap(), "own");
}

#[test]
fn a_copy_of_what_is_gone_has_holes_after_a_restart() {
    let mut desk = Desk::new();
    desk.declare_log("o", settings(Follows::Nobody)).unwrap();
    for body in ["0", "1", "2", "3", "4"] {
        store(&mut desk, "o", "a.x", body).unwrap();
    }
    remove(&mut desk, "o", 2);
    let keep = Renaming::keeping(starting("a"));
    let some = Followed {
        renamings: vec![keep],
        ..followed("o")
    };
    desk.declare_log("m", settings(Follows::One(some))).unwrap();
    store(&mut desk, "o", "b.x", "5").unwrap();
    store(&mut desk, "o", "a.x", "6").unwrap();
    let before = held(&mut desk, "m");
    let offsets: Vec<u64> = before.iter().map(|one| one.0).collect();
    assert_eq!(offsets, [0, 1, 3, 4, 6]);
    let recovered = History::default().recover(&desk, false);
    desk.crash(recovered);
    assert_eq!(held(&mut desk, "m"), before);
    store(&mut desk, "o", "a.x", "7").unwrap();
    assert_eq!(held(&mut desk, "m").last().unwrap().0, 7);
}

#[test]
fn sources_come_and_go() {
    let mut desk = Desk::new();
    for log in ["a", "b"] {
        desk.declare_log(log, settings(Follows::Nobody)).unwrap();
        store(&mut desk, log, "k.x", log).unwrap();
    }
    let renamed = Followed {
        renamings: vec![Renaming {
            keys: starting("k"),
            to: Some(vec![NewWord::Text("n".into()), NewWord::Word(1)]),
        }],
        ..followed("a")
    };
    desk.declare_log("s", settings(Follows::Several(vec![renamed.clone()])))
        .unwrap();
    store(&mut desk, "a", "other", "passed over").unwrap();
    assert_eq!(held(&mut desk, "s"), [(0, "n.x".into(), "a".into())]);
    // Another one beside it: the first goes on where it was.
    let both = Follows::Several(vec![followed("b"), renamed]);
    alter(&mut desk, "s", settings(both)).unwrap();
    desk.wait(1);
    store(&mut desk, "a", "k.y", "a2").unwrap();
    assert_eq!(texts(&mut desk, "s"), ["a", "b", "a2"]);
    let states = state(&mut desk, "s").2;
    assert!(
        states.iter().all(|one| one.is_there && one.lag == 0),
        "{states:?}"
    );
    // One that is deleted and made again is followed from its start.
    desk.log(LogRequest::Delete { name: name("b") });
    assert!(!state(&mut desk, "s").2[0].is_there);
    desk.declare_log("b", settings(Follows::Nobody)).unwrap();
    store(&mut desk, "b", "k.x", "b anew").unwrap();
    alter(&mut desk, "s", settings(several(&["b"]))).unwrap();
    store(&mut desk, "a", "k.z", "nobody's").unwrap();
    assert_eq!(texts(&mut desk, "s"), ["a", "b", "a2", "b anew"]);
}

#[test]
fn nobody_follows_itself() {
    let mut desk = Desk::new();
    desk.declare_log("a", settings(several(&["b"]))).unwrap();
    desk.declare_log("b", settings(Follows::One(followed("c"))))
        .unwrap();
    let circle = LogError::from(KeyedError::Circle);
    let error = desk.declare_log("c", settings(several(&["x", "a"])));
    assert_eq!(error.unwrap_err(), circle);
    let error = desk.declare_log("d", settings(several(&["d"])));
    assert_eq!(error.unwrap_err(), circle);
    desk.declare_log("c", settings(Follows::Nobody)).unwrap();
    assert_eq!(
        alter(&mut desk, "c", settings(several(&["a"]))),
        Err(circle)
    );
    // What goes through several arrives in one go.
    store(&mut desk, "c", "k", "one").unwrap();
    assert_eq!(texts(&mut desk, "a"), ["one"]);
}

#[test]
fn a_follower_that_is_full_waits_for_room() {
    let mut desk = Desk::new();
    desk.declare_log("o", settings(Follows::Nobody)).unwrap();
    let mut full = settings(several(&["o"]));
    let rules = full.keyed.as_mut().unwrap();
    rules.records_max = Some(1);
    rules.when_full = polybus_model::WhenFull::Refuse;
    desk.declare_log("s", full).unwrap();
    for body in ["0", "1"] {
        store(&mut desk, "o", "k", body).unwrap();
    }
    assert_eq!(state(&mut desk, "s").2[0].lag, 1);
    remove(&mut desk, "s", 0);
    desk.wait(2_000);
    assert_eq!(held(&mut desk, "s"), [(1, "k".into(), "1".into())]);
}

#[test]
fn a_log_begins_where_it_is_to() {
    let mut desk = Desk::new();
    let mut late = settings(Follows::Nobody);
    late.keyed.as_mut().unwrap().first = 99;
    desk.declare_log("l", late).unwrap();
    assert_eq!(store(&mut desk, "l", "k", "x"), Ok(99));
    let recovered = History::default().recover(&desk, false);
    desk.crash(recovered);
    assert_eq!(store(&mut desk, "l", "k", "y"), Ok(100));
    assert_eq!(state(&mut desk, "l").0, 99);
}

fn ended(log: &polybus_model::Name, key: &[u8], _stays: u64) -> polybus_model::Message {
    message(log.as_str(), std::str::from_utf8(key).unwrap(), "ended")
}

#[test]
fn a_key_that_went_for_its_age_is_marked_for_a_while() {
    let options = Options {
        keyed_writer: KeyedWriter {
            ended: Some(ended),
            ..KeyedWriter::default()
        },
        ..Options::default()
    };
    let mut desk = Desk::with(options.clone());
    let mut marked = settings(Follows::Nobody);
    marked.retention_ms = Some(10_000);
    marked.keyed.as_mut().unwrap().marker_ms = Some(4_000);
    desk.declare_log("l", marked).unwrap();
    for key in ["a", "b", "a"] {
        store(&mut desk, "l", key, key).unwrap();
        desk.wait(1_000);
    }
    // Shorter than what says that it went: it is made as long.
    let terms = Terms {
        ttl: Some(RecordTtl::For(1_000)),
        ..Terms::default()
    };
    desk.log(LogRequest::Store {
        log: name("l"),
        message: message("l", "c", "c"),
        terms: Box::new(terms),
    });
    desk.wait(2_000);
    assert_eq!(texts(&mut desk, "l"), ["a", "b", "a", "c"]);
    desk.wait(2_500);
    assert_eq!(texts(&mut desk, "l"), ["a", "b", "a", "ended"]);
    // The first of two went: its key has not ended. What stood for another went without a trace.
    desk.wait(3_600);
    assert_eq!(texts(&mut desk, "l"), ["a", "ended"]);
    let recovered = History::default().recover_with(&desk, false, options);
    desk.crash(recovered);
    desk.wait(2_500);
    assert_eq!(texts(&mut desk, "l"), ["ended", "ended"]);
    desk.wait(6_000);
    assert!(texts(&mut desk, "l").is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    Store {
        log: usize,
        key: usize,
    },
    /// What was appended is on disk now.
    Durable,
    Wait,
    Snapshot,
    /// The process ends, and of its last turns so many did not get to the disk.
    End(usize),
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (0..2_usize, 0..2_usize).prop_map(|(log, key)| Step::Store { log, key }),
        6 => Just(Step::Durable),
        2 => Just(Step::Wait),
        1 => Just(Step::Snapshot),
        3 => (0..4_usize).prop_map(Step::End),
    ]
}

const LOGS: [&str; 2] = ["a", "b"];
const KEYS: [&str; 2] = ["k.x", "l.x"];

fn filtered() -> Follows {
    let keep = Renaming::keeping(starting("k"));
    let some = Followed {
        renamings: vec![keep],
        ..followed("a")
    };
    Follows::Several(vec![some, followed("b")])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn what_is_followed_is_taken_once_whenever_the_process_ends(steps in prop::collection::vec(steps(), 1..60)) {
        let options = Options { log_resident_bytes_max: 600, ..Options::default() };
        let mut desk = Desk::with(options.clone());
        for log in LOGS {
            desk.declare_log(log, settings(Follows::Nobody)).unwrap();
        }
        desk.declare_log("m", settings(Follows::One(followed("a")))).unwrap();
        desk.declare_log("s", settings(filtered())).unwrap();
        desk.durable = false;
        let mut history = History::default();
        // Where each turn's records end; what is before the snapshot was on disk.
        let mut turns = vec![desk.shelf.records.len()];
        let mut body = 0;
        for step in steps {
            match step {
                Step::Store { log, key } => {
                    body += 1;
                    store(&mut desk, LOGS[log], KEYS[key], &body.to_string()).unwrap();
                }
                Step::Durable => {
                    desk.tell_durable();
                }
                Step::Wait => {
                    desk.wait(1);
                }
                Step::Snapshot => {
                    history.snapshot(&desk);
                    turns.clear();
                }
                Step::End(lost) => {
                    for _ in 0..lost {
                        if turns.len() > 1 {
                            turns.pop();
                        }
                    }
                    let stays = turns.last().copied().unwrap_or(desk.shelf.records.len());
                    desk.shelf.records.truncate(stays);
                    let recovered = history.recover_with(&desk, false, options.clone());
                    desk.crash(recovered);
                }
            }
            turns.push(desk.shelf.records.len());
        }
        desk.durable = true;
        desk.tell_durable();
        desk.wait(10);
        let (a, b) = (held(&mut desk, "a"), held(&mut desk, "b"));
        prop_assert_eq!(&held(&mut desk, "m"), &a);
        let taken = texts(&mut desk, "s");
        let of = |from: &[(u64, String, String)], all: bool| -> Vec<String> {
            let wanted = from.iter().filter(|one| all || one.1 == KEYS[0]);
            wanted.map(|one| one.2.clone()).collect()
        };
        let (of_a, of_b) = (of(&a, false), of(&b, true));
        let split = |own: &[String]| -> Vec<String> {
            taken.iter().filter(|one| own.contains(one)).cloned().collect()
        };
        prop_assert_eq!(split(&of_a), of_a.clone());
        prop_assert_eq!(split(&of_b), of_b.clone());
        prop_assert_eq!(taken.len(), of_a.len() + of_b.len());
    }
}
