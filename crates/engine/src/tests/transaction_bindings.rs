//! What transactions write reaches the bindings of the log's topic when they are committed, once, and never when they are
//! aborted; whatever happens in between.

use std::collections::BTreeMap;

use bytes::Bytes;
use polybus_model::{CompactionSettings, LogRequest, LogSettings, Message, Name, Transactor};
use proptest::prelude::*;

use super::desk::{Desk, body, deliveries, durable, message, name, subscribe};
use super::log_routing::{queue, to_topic};
use super::logs::{ORIGIN, at, run};
use super::recovering::History;
use crate::{Options, RunReaders};

/// A run is one message, of what stands behind the colon.
fn read_one(topic: &Name, run: &Bytes, messages: &mut Vec<(u32, Message)>) {
    let text = String::from_utf8_lossy(run);
    let body = text.split(':').next_back().unwrap_or_default();
    messages.push((0, message(topic.as_str(), "", body)));
}

fn options() -> Options {
    Options {
        run_readers: RunReaders::new().with(ORIGIN, read_one),
        ..Options::default()
    }
}

/// A log `l` of two partitions, to whose topic the queue `q` is bound.
fn bound() -> Desk {
    let mut desk = Desk::with(options());
    let settings = LogSettings {
        partitions: 2,
        ..LogSettings::default()
    };
    desk.declare_log("l", settings).unwrap();
    desk.declare("q", durable());
    desk.bind("l", "", queue("q"));
    desk
}

impl Desk {
    /// A new producer's transaction that has written these, to partition 0 and 1 in turns.
    fn begun(&mut self, id: &str, texts: &[&str]) -> Transactor {
        let who = self.open(id, None).unwrap();
        self.add(&who, &[0, 1]).unwrap();
        for (nth, text) in (0..).zip(texts) {
            self.put(&who, nth % 2, nth / 2, text).unwrap();
        }
        who
    }

    fn recover(&mut self, history: &History) {
        let recovered = history.recover_with(self, false, options());
        self.crash(recovered);
    }
}

#[test]
fn what_is_committed_arrives_once_and_what_is_aborted_never() {
    let mut desk = bound();
    desk.declare_log("other", LogSettings::default()).unwrap();
    desk.bind("l", "", to_topic("other"));
    let lost = desk.begun("lost", &["x", "y"]);
    let kept = desk.begun("kept", &["a", "b", "c"]);
    desk.append("l", 0, run("plain", 1)).unwrap();
    assert_eq!(desk.drain("q"), ["plain"], "nothing of what is open");
    desk.end(&lost, false, false).unwrap();
    assert!(desk.drain("q").is_empty());
    desk.end(&kept, true, false).unwrap();
    assert_eq!(desk.drain("q"), ["a", "c", "b"], "partition by partition");
    assert_eq!(desk.read_all("other", 0, 0), ["plain", "a", "c", "b"]);
    assert_eq!(
        desk.end(&kept, true, false),
        Ok((kept.producer, 0)),
        "again"
    );
    assert!(desk.drain("q").is_empty());
}

#[test]
fn it_arrives_when_the_commit_is_durable() {
    let mut desk = bound();
    let who = desk.begun("t", &["a"]);
    desk.durable = false;
    desk.end(&who, true, false).unwrap();
    assert!(desk.drain("q").is_empty());
    desk.tell_durable();
    assert_eq!(desk.drain("q"), ["a"]);
}

#[test]
fn a_transaction_goes_where_the_bindings_lead_when_it_ends() {
    let mut desk = Desk::with(options());
    desk.declare_log("l", LogSettings::default()).unwrap();
    desk.declare("q", durable());
    let who = desk.open("t", None).unwrap();
    desk.add(&who, &[0]).unwrap();
    desk.put(&who, 0, 0, "a").unwrap();
    desk.bind("l", "", queue("q"));
    desk.put(&who, 0, 1, "b").unwrap();
    desk.end(&who, true, false).unwrap();
    assert_eq!(desk.drain("q"), ["a", "b"]);

    desk.loads = false;
    desk.add(&who, &[0]).unwrap();
    desk.put(&who, 0, 2, "c").unwrap();
    desk.end(&who, true, false).unwrap();
    let delete = LogRequest::Delete { name: name("l") };
    desk.log(delete);
    desk.answer_owed();
    assert!(desk.drain("q").is_empty(), "it went with its log");
}

#[test]
fn what_is_owed_survives_and_is_paid_once() {
    for snapshot in [None, Some(0), Some(1), Some(2)] {
        let (mut desk, mut history) = (bound(), History::default());
        let mut take = |desk: &Desk, at| {
            if snapshot == Some(at) {
                history.snapshot(desk);
            }
        };
        let who = desk.begun("t", &["a", "b"]);
        take(&desk, 0);
        desk.loads = false;
        desk.end(&who, true, false).unwrap();
        take(&desk, 1);
        assert!(desk.answer_one_read(), "partition 0 is paid");
        take(&desk, 2);
        desk.recover(&history);
        desk.loads = true;
        assert_eq!(desk.drain("q"), ["a"]);
        desk.wait(0);
        assert_eq!(desk.drain("q"), ["b"], "{snapshot:?}");
        desk.recover(&history);
        desk.wait(0);
        assert!(desk.drain("q").is_empty(), "{snapshot:?}");
    }
}

#[test]
fn what_is_paid_after_a_crash_may_have_been_delivered_before() {
    let (mut desk, history) = (bound(), History::default());
    let who = desk.begun("t", &["a"]);
    desk.loads = false;
    desk.end(&who, true, false).unwrap();
    desk.recover(&history);
    desk.loads = true;
    desk.wait(0);
    let new = desk.begun("new", &["b"]);
    desk.end(&new, true, false).unwrap();
    let got = deliveries(desk.subscribe(1, subscribe("q", 1)));
    let flags = got.iter().map(|one| (body(one), one.redelivered));
    let expected = [("a".to_owned(), true), ("b".to_owned(), false)];
    assert_eq!(flags.collect::<Vec<_>>(), expected);
}

#[test]
fn what_an_older_version_handed_on_is_not_owed_again() {
    for snapshot in [false, true] {
        let (mut desk, mut history) = (bound(), History::default());
        let old = desk.begun("old", &["a", "b"]);
        let gone = desk.begun("gone", &["e"]);
        history.snapshot(&desk);
        history.is_older = true;
        desk.recover(&history);
        desk.wait(0);
        desk.put(&old, 0, 1, "c").unwrap();
        let new = desk.begun("new", &["d"]);
        if snapshot {
            history.snapshot(&desk);
            history.is_older = false;
        }
        desk.recover(&history);
        desk.wait(0);
        desk.end(&gone, true, false).unwrap();
        assert!(desk.drain("q").is_empty());
        desk.end(&old, true, false).unwrap();
        desk.end(&new, true, false).unwrap();
        assert_eq!(desk.drain("q"), ["c", "d"], "{snapshot}");
        let mut bytes = Vec::new();
        desk.engine.put_handed(&mut bytes);
        assert!(bytes.is_empty(), "it matters no more");
    }
}

#[test]
fn a_large_transaction_is_paid_in_slices_from_wherever_it_is() {
    let mut desk = Desk::with(Options {
        log_resident_bytes_max: 300 << 10,
        ..options()
    });
    desk.declare_log("l", LogSettings::default()).unwrap();
    desk.declare("q", durable());
    desk.bind("l", "", queue("q"));
    let (one, two) = (desk.open("1", None).unwrap(), desk.open("2", None).unwrap());
    desk.add(&one, &[0]).unwrap();
    desk.add(&two, &[0]).unwrap();
    for nth in 0..40 {
        for (who, which) in [(&one, 1), (&two, 2)] {
            let pad = "#".repeat(50 << 10);
            let text = format!("{pad}:{which}.{nth}");
            desk.put(who, 0, nth, &text).unwrap();
        }
    }
    desk.loads = false;
    desk.end(&one, true, false).unwrap();
    desk.end(&two, false, false).unwrap();
    let mut slices = 0;
    while desk.answer_one_read() {
        slices += 1;
        let history = History::default();
        desk.recover(&history);
        desk.wait(0);
    }
    assert!(slices > 3, "{slices}");
    let wanted: Vec<_> = (0..40).map(|nth| format!("1.{nth}")).collect();
    desk.loads = true;
    assert_eq!(desk.drain("q"), wanted);
}

#[test]
fn retention_and_compaction_leave_what_is_owed() {
    let mut desk = Desk::with(Options {
        log_sweep_ms: 100,
        ..options()
    });
    let settings = LogSettings {
        retention_ms: Some(1),
        compacts: true,
        compaction: CompactionSettings {
            dirty_permille: 0,
            ..CompactionSettings::default()
        },
        ..LogSettings::default()
    };
    desk.declare_log("l", settings).unwrap();
    desk.declare("q", durable());
    desk.bind("l", "", queue("q"));
    let keyed = |run: polybus_model::NewRun| polybus_model::NewRun { keyed: true, ..run };
    let who = desk.open("t", None).unwrap();
    desk.add(&who, &[0]).unwrap();
    for (nth, text) in (0..).zip(["a", "b"]) {
        let run = keyed(super::transactions::transactional(&who, nth, text));
        desk.append("l", 0, run).unwrap();
    }
    let partition = at("l", 0);
    let start = |desk: &Desk| {
        let at = desk.engine.partition_at(0, &partition).unwrap();
        desk.engine.logs.partition(at).unwrap().start
    };
    desk.wait(1_000);
    assert_eq!(start(&desk), 0, "it may come to be owed");
    desk.loads = false;
    desk.end(&who, true, false).unwrap();
    desk.append("l", 0, keyed(run("plain", 1))).unwrap();
    desk.wait(1_000);
    assert_eq!(start(&desk), 0);
    desk.answer_owed();
    assert_eq!(desk.drain("q"), ["plain", "a", "b"]);
    desk.loads = true;
    desk.wait(1_000);
    assert_eq!(start(&desk), 4);
}

const NAMES: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
enum Step {
    Put(usize, u32),
    End(usize, bool),
    Answer,
    Snapshot,
    Restart,
}

fn steps() -> impl Strategy<Value = Step> {
    let who = 0..NAMES.len();
    prop_oneof![
        10 => (who.clone(), 0..2_u32).prop_map(|(who, partition)| Step::Put(who, partition)),
        5 => (who, prop::bool::weighted(0.7)).prop_map(|(who, committed)| Step::End(who, committed)),
        5 => Just(Step::Answer),
        1 => Just(Step::Snapshot),
        2 => Just(Step::Restart),
    ]
}

/// A producer, what it wrote since its transaction began, and its sequences.
struct Producer {
    who: Transactor,
    wrote: Vec<(u32, String)>,
    sequences: [u32; 2],
}

/// What the queue got, by partition.
fn by_partition(bodies: &[String]) -> BTreeMap<char, Vec<&str>> {
    let mut all: BTreeMap<char, Vec<&str>> = BTreeMap::new();
    for body in bodies {
        let partition = body.chars().next().unwrap();
        all.entry(partition).or_default().push(body);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_queue_gets_all_that_is_committed_once_and_in_order(steps in prop::collection::vec(steps(), 1..60)) {
        let (mut desk, mut history) = (bound(), History::default());
        desk.loads = false;
        let mut producers = NAMES.map(|id| Producer {
            who: desk.begun(id, &[]),
            wrote: Vec::new(),
            sequences: [0; 2],
        });
        let (mut wanted, mut written) = (Vec::new(), 0);
        for step in steps {
            match step {
                Step::Put(at, partition) => {
                    let one = &mut producers[at];
                    written += 1;
                    let text = format!("{partition}.{written}");
                    desk.add(&one.who, &[partition]).unwrap();
                    let sequence = &mut one.sequences[partition as usize];
                    desk.put(&one.who, partition, *sequence, &text).unwrap();
                    *sequence += 1;
                    one.wrote.push((partition, text));
                }
                Step::End(at, committed) => {
                    let one = &mut producers[at];
                    // There may be nothing to end.
                    let _ = desk.end(&one.who, committed, false);
                    one.wrote.sort_by_key(|(partition, _)| *partition);
                    let wrote = one.wrote.drain(..).map(|(_, text)| text);
                    wanted.extend(wrote.filter(|_| committed));
                }
                Step::Answer => {
                    desk.answer_one_read();
                }
                Step::Snapshot => history.snapshot(&desk),
                Step::Restart => {
                    desk.recover(&history);
                    desk.wait(0);
                }
            }
        }
        desk.recover(&history);
        desk.loads = true;
        desk.wait(0);
        let got = desk.drain("q");
        prop_assert_eq!(by_partition(&got), by_partition(&wanted));
    }
}
