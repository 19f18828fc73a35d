//! Messages of a keyed log that are appended together or not at all, and messages that add.

use std::sync::Arc;

use polybus_model::{
    Addition, BatchCommit, BatchError, BatchPart, Event, FilterWord, KeyedError, KeyedSettings,
    LastOfKey, LiveBlock, LiveFilter, LiveItem, LogError, LogSettings, Origin, Request, SessionId,
    StoredMore, StoredRecord, Takes, Tally, TallyError, Terms, WhenFull,
};

use super::desk::{Desk, name};
use super::recovering::History;
use crate::Options;

fn settings(change: impl FnOnce(&mut KeyedSettings)) -> LogSettings {
    let mut keyed = KeyedSettings {
        takes: Some(Takes {
            topic: name("amq.topic"),
            keys: vec![LiveFilter::new([FilterWord::Exact(b"a"), FilterWord::Rest])],
        }),
        duplicates_ms: 60_000,
        batches: true,
        ..KeyedSettings::default()
    };
    change(&mut keyed);
    LogSettings {
        keyed: Some(Box::new(keyed)),
        ..LogSettings::default()
    }
}

/// Publishes to `a.` and a letter on these terms; what the log makes of it.
fn send(desk: &mut Desk, text: &'static str, terms: Terms) -> Result<StoredRecord, LogError> {
    let bytes = bytes::Bytes::from_static(text.as_bytes());
    let body = 3..bytes.len() as u32;
    let item = LiveItem::new(0..3, body).wanting(LiveItem::WANTS_STORED);
    let block = LiveBlock::new(Origin(3), name("amq.topic"), bytes, vec![item]);
    let block = Arc::new(block.with_terms(vec![(0, Arc::new(terms))]));
    let mut told = desk.batch(1, vec![Request::PublishLive(block)]);
    match told.remove(0) {
        (_, Event::Stored { mut stored, .. }) => stored.remove(0).result,
        other => panic!("{other:?}"),
    }
}

fn part(number: u64, commit: Option<BatchCommit>) -> Terms {
    Terms {
        batch: Some(BatchPart {
            id: bytes::Bytes::from_static(b"b"),
            number: Some(number),
            commit,
        }),
        ..Terms::default()
    }
}

fn more(stored: Result<StoredRecord, LogError>) -> StoredMore {
    *stored.unwrap().more.unwrap()
}

fn fault(stored: Result<StoredRecord, LogError>) -> BatchError {
    match stored {
        Err(LogError::Keyed(error)) => match *error {
            KeyedError::Batch(error) => error,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn restart(desk: &mut Desk) {
    let (engine, shelf) = History::default().recover_with(desk, false, Options::default());
    (desk.engine, desk.shelf) = (engine, shelf);
    desk.engine.attach(SessionId(1), &name("/")).unwrap();
}

#[test]
fn a_batch_is_there_at_once() {
    let mut desk = Desk::new();
    desk.declare_log("l", settings(|_| {})).unwrap();
    assert_eq!(
        more(send(&mut desk, "a.x1", part(1, None))),
        StoredMore::Held
    );
    assert_eq!(
        more(send(&mut desk, "a.y2", part(2, None))),
        StoredMore::Held
    );
    assert!(desk.read_all("l", 0, 0).is_empty());
    let stored = send(&mut desk, "a.x3", part(3, Some(BatchCommit::Here))).unwrap();
    assert_eq!(stored.offset, 2);
    let messages = StoredMore::Batch {
        messages: 3,
        sum: None,
    };
    assert_eq!(stored.more.as_deref(), Some(&messages));
    assert_eq!(desk.read_all("l", 0, 0), ["1", "2", "3"]);
    send(&mut desk, "a.x4", part(1, None)).unwrap();
    let stored = send(&mut desk, "a.x-", part(2, Some(BatchCommit::Before))).unwrap();
    assert_eq!(stored.offset, 3);
    assert_eq!(desk.read_all("l", 0, 3), ["4"]);
}

#[test]
fn a_gap_or_silence_ends_a_batch() {
    let mut desk = Desk::new();
    desk.declare_log("l", settings(|_| {})).unwrap();
    send(&mut desk, "a.x1", part(1, None)).unwrap();
    let gap = send(&mut desk, "a.x3", part(3, None));
    assert_eq!(fault(gap), BatchError::Incomplete);
    let late = send(&mut desk, "a.x2", part(2, Some(BatchCommit::Here)));
    assert_eq!(fault(late), BatchError::Incomplete);
    send(&mut desk, "a.x1", part(1, None)).unwrap();
    desk.wait(9_000);
    send(&mut desk, "a.x2", part(2, None)).unwrap();
    desk.wait(9_000);
    send(&mut desk, "a.x3", part(3, None)).unwrap();
    desk.wait(10_200);
    let late = send(&mut desk, "a.x4", part(4, Some(BatchCommit::Here)));
    assert_eq!(fault(late), BatchError::Incomplete);
    assert!(desk.read_all("l", 0, 0).is_empty());
}

#[test]
fn one_that_is_refused_refuses_all() {
    let mut desk = Desk::new();
    let rules = settings(|rules| {
        rules.records_max = Some(3);
        rules.when_full = WhenFull::Refuse;
    });
    desk.declare_log("l", rules).unwrap();
    send(&mut desk, "a.x0", Terms::default()).unwrap();
    let last = |offset| {
        Some(LastOfKey {
            key: None,
            offset: Some(offset),
        })
    };
    let here = Some(BatchCommit::Here);
    // The second one expects another record than there is.
    send(&mut desk, "a.y1", part(1, None)).unwrap();
    let terms = Terms {
        last_of_key: last(7),
        ..part(2, here)
    };
    let refused = send(&mut desk, "a.x2", terms).unwrap_err();
    assert_eq!(refused, KeyedError::LastOfKey(Some(0)).into());
    // Of a key that the batch changed nothing can be expected.
    send(&mut desk, "a.x1", part(1, None)).unwrap();
    let terms = Terms {
        last_of_key: last(0),
        ..part(2, here)
    };
    assert_eq!(
        fault(send(&mut desk, "a.x2", terms)),
        BatchError::KeyWritten
    );
    // There is room for two more.
    send(&mut desk, "a.x1", part(1, None)).unwrap();
    send(&mut desk, "a.y2", part(2, None)).unwrap();
    let refused = send(&mut desk, "a.z3", part(3, here)).unwrap_err();
    assert_eq!(refused, KeyedError::RecordsMax.into());
    // The same message twice.
    let id = Some(bytes::Bytes::from_static(b"i"));
    let one = Terms {
        id: id.clone(),
        ..part(1, None)
    };
    send(&mut desk, "a.x1", one).unwrap();
    let two = Terms {
        id,
        ..part(2, here)
    };
    assert_eq!(fault(send(&mut desk, "a.x2", two)), BatchError::Duplicate);
    assert_eq!(desk.read_all("l", 0, 0), ["0"]);
    // What holds as of the batch's beginning holds for its later messages.
    send(&mut desk, "a.y1", part(1, None)).unwrap();
    let terms = Terms {
        last_of_key: last(0),
        offset: Some(2),
        ..part(2, here)
    };
    assert_eq!(send(&mut desk, "a.x2", terms).unwrap().offset, 2);
}

#[test]
fn open_batches_are_bounded() {
    let mut desk = Desk::new();
    desk.declare_log("l", settings(|_| {})).unwrap();
    let begin = |desk: &mut Desk, number: u8| {
        let batch = BatchPart {
            id: bytes::Bytes::copy_from_slice(&[number]),
            number: Some(1),
            commit: None,
        };
        let terms = Terms {
            batch: Some(batch),
            ..Terms::default()
        };
        send(desk, "a.x1", terms)
    };
    for number in 0..50 {
        begin(&mut desk, number).unwrap();
    }
    assert_eq!(fault(begin(&mut desk, 50)), BatchError::TooMany);
    desk.wait(10_200);
    begin(&mut desk, 50).unwrap();
    for number in 1..=1_000 {
        send(&mut desk, "a.x1", part(number, None)).unwrap();
    }
    let more = send(&mut desk, "a.x1", part(1_001, None));
    assert_eq!(fault(more), BatchError::TooLarge(1_000));
    assert!(desk.read_all("l", 0, 0).is_empty());
}

fn adding(text: &str) -> Terms {
    Terms {
        adds: Some(Tally::parse(text.as_bytes()).map_or(Addition::Unreadable, Addition::Of)),
        ..Terms::default()
    }
}

#[test]
fn what_adds_has_the_sum_for_a_body() {
    let mut desk = Desk::new();
    desk.declare_log("l", settings(|rules| rules.tallies = true))
        .unwrap();
    let mut add = |text, key| send(&mut desk, key, adding(text));
    let fail = |error: TallyError| LogError::from(KeyedError::Tally(error));
    add("5", "a.x").unwrap();
    let sum = more(add("-12", "a.x"));
    assert_eq!(sum, StoredMore::Sum(Tally::parse(b"-7").unwrap()));
    add("1", "a.y").unwrap();
    assert_eq!(add("1", "a.ybody").unwrap_err(), fail(TallyError::Body));
    assert_eq!(add("x", "a.y").unwrap_err(), fail(TallyError::Unreadable));
    let missing = send(&mut desk, "a.y", Terms::default());
    assert_eq!(missing.unwrap_err(), fail(TallyError::Missing));
    restart(&mut desk);
    let sum = more(send(&mut desk, "a.x", adding("100")));
    assert_eq!(sum, StoredMore::Sum(Tally::parse(b"93").unwrap()));
    let bodies = [
        r#"{"val":"5"}"#,
        r#"{"val":"-7"}"#,
        r#"{"val":"1"}"#,
        r#"{"val":"93"}"#,
    ];
    assert_eq!(desk.read_all("l", 0, 0), bodies);
    // In a batch one adds to what the one before it has come to.
    for (number, commit) in [(1, None), (2, Some(BatchCommit::Here))] {
        let terms = Terms {
            batch: part(number, commit).batch,
            ..adding("10")
        };
        send(&mut desk, "a.y", terms).unwrap();
    }
    assert_eq!(desk.read_all("l", 0, 5), [r#"{"val":"21"}"#]);
}
