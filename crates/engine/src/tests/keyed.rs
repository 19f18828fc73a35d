//! Keyed logs beside other ways to a log: routed publishes, runs of other protocols, transactions, settings.

use std::sync::Arc;

use polybus_model::{
    FilterWord, KeyedError, KeyedSettings, LiveFilter, LogError, LogReply, LogRequest, LogSettings,
    NewRun, Place, Request, RunContent, Takes, Terms, TransactionalProducer, Transactor,
    WhichRecord,
};

use super::desk::{Desk, message, name, publish};
use super::logs::{at, run};

fn keyed(takes: &[&'static [u8]]) -> LogSettings {
    let keys = takes
        .iter()
        .map(|word| LiveFilter::new([FilterWord::Exact(word), FilterWord::Rest]));
    LogSettings {
        keyed: Some(Box::new(KeyedSettings {
            takes: Some(Takes {
                topic: name("amq.topic"),
                keys: keys.collect(),
            }),
            ..KeyedSettings::default()
        })),
        ..LogSettings::default()
    }
}

fn altered(desk: &mut Desk, settings: LogSettings) -> Result<(), LogError> {
    let alter = LogRequest::Alter {
        name: name("l"),
        settings,
        dry_run: false,
    };
    match desk.log(alter) {
        LogReply::Logs(mut logs) => logs.remove(0).map(|_| ()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_log_takes_what_it_says_of_a_topic_and_no_two_take_the_same() {
    let mut desk = Desk::new();
    desk.declare_log("l", keyed(&[b"a", b"b"])).unwrap();
    let send = |desk: &mut Desk, key: &str| {
        desk.batch(
            1,
            vec![Request::Publish(publish(message("amq.topic", key, key)))],
        );
    };
    for key in ["a.x", "a", "b.y.z", "c.x"] {
        send(&mut desk, key);
    }
    assert_eq!(desk.read_all("l", 0, 0), ["a.x", "b.y.z"]);
    let error = desk.declare_log("m", keyed(&[b"c", b"b"])).unwrap_err();
    assert_eq!(error, KeyedError::Overlaps(name("l")).into());
    altered(&mut desk, keyed(&[b"c", b"a"])).unwrap();
    for key in ["b.y", "c.x"] {
        send(&mut desk, key);
    }
    assert_eq!(desk.read_all("l", 0, 0), ["a.x", "b.y.z", "c.x"]);
    desk.declare_log("m", keyed(&[b"b"])).unwrap();
    desk.log(LogRequest::Delete { name: name("l") });
    send(&mut desk, "a.x");
    desk.declare_log("n", keyed(&[b"a"])).unwrap();
    let literal = LiveFilter::new([FilterWord::Exact(b"#")]);
    let mut odd = keyed(&[]);
    odd.keyed.as_mut().unwrap().takes.as_mut().unwrap().keys = vec![literal];
    let error = desk.declare_log("o", odd).unwrap_err();
    assert!(matches!(error, LogError::Unsupported(_)));
}

#[test]
fn runs_of_others_become_messages_or_are_refused() {
    let mut desk = Desk::new();
    desk.declare_log("l", keyed(&[])).unwrap();
    let one = NewRun {
        crc: None,
        content: RunContent::Message(message("l", "k", "one")),
        ..run("", 1)
    };
    assert_eq!(desk.append("l", 0, one).unwrap().offset, 0);
    // Nobody here can read these.
    let error = desk.append("l", 0, run("packed", 2)).unwrap_err();
    assert!(matches!(error, LogError::Unsupported(_)));
    assert_eq!(desk.read_all("l", 0, 0), ["one"]);
}

#[test]
fn transactions_keep_out() {
    let mut desk = Desk::new();
    desk.declare_log("l", keyed(&[])).unwrap();
    let opened = desk.log(LogRequest::OpenProducer {
        transactional: Some(TransactionalProducer {
            name: "t".into(),
            timeout_ms: 10_000,
        }),
        current: None,
    });
    let LogReply::Producer(Ok((producer, epoch))) = opened else {
        panic!("a producer");
    };
    let added = desk.log(LogRequest::AddPartitions {
        transactor: Transactor {
            name: "t".into(),
            producer,
            epoch,
        },
        partitions: vec![at("l", 0)],
    });
    let LogReply::Added(Ok(results)) = added else {
        panic!("{added:?}");
    };
    assert!(matches!(results[..], [Err(LogError::Unsupported(_))]));
}

#[test]
fn what_is_found_is_told_when_it_is_durable() {
    let mut desk = Desk::new();
    desk.declare_log("l", keyed(&[])).unwrap();
    desk.durable = false;
    let store = LogRequest::Store {
        log: name("l"),
        message: message("l", "k", "one"),
        terms: Box::new(Terms::default()),
    };
    desk.log(store);
    let place = Place::Record(WhichRecord::LastOf {
        keys: LiveFilter::exact(b"k"),
        before: None,
    });
    let find = LogRequest::FindOffsets(vec![(at("l", 0), place)]);
    let request = Request::Log {
        number: 1,
        request: Box::new(find),
    };
    let mut batch = polybus_model::Batch::default();
    batch.requests.push((polybus_model::Lane(1), request));
    let mut out = crate::Effects::default();
    let session = polybus_model::SessionId(1);
    let (engine, shelf) = (&mut desk.engine, &mut desk.shelf);
    engine.handle(session, &mut batch, desk.now, shelf, &mut out);
    assert!(out.events.is_empty() && out.gated.len() == 1 && out.gated[0].needs_sync);
}

#[test]
fn a_block_tells_what_became_of_its_messages() {
    let mut desk = Desk::new();
    desk.declare_log("l", keyed(&[b"a"])).unwrap();
    let bytes = bytes::Bytes::from_static(b"a.xreply");
    let item = polybus_model::LiveItem::new(0..3, 3..8)
        .with_reply(3..8)
        .wanting(polybus_model::LiveItem::WANTS_STORED);
    let terms = Arc::new(Terms {
        offset: Some(7),
        ..Terms::default()
    });
    let (topic, origin) = (name("amq.topic"), polybus_model::Origin(3));
    let block = polybus_model::LiveBlock::new(origin, topic, bytes, vec![item, item]);
    let block = Arc::new(block.with_terms(vec![(1, terms)]));
    let told = desk.batch(1, vec![Request::PublishLive(block)]);
    let [(_, polybus_model::Event::Stored { stored, .. })] = &told[..] else {
        panic!("{told:?}");
    };
    let results: Vec<_> = stored
        .iter()
        .map(|one| (one.item, one.result.clone()))
        .collect();
    assert_eq!(results[0].1.as_ref().unwrap().offset, 0);
    assert_eq!(results[1], (1, Err(KeyedError::Offset(1).into())));
}
