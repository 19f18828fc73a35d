//! Keyed logs that rename what they take, and tell listeners of what they have.

use bytes::Bytes;
use polybus_model::{
    Copies, Event, FilterWord, KeyedSettings, LiveFilter, LiveNote, LogReply, LogRequest,
    LogSettings, NewWord, RecordTtl, Renaming, Request, SubscribeLive, SubscriberId, Terms,
};

use super::desk::{Desk, Told, message, name};

fn starting(word: &str) -> LiveFilter {
    LiveFilter::new([FilterWord::Exact(word.as_bytes()), FilterWord::Rest])
}

/// From what begins with one word to what begins with another.
fn rule(from: &str, to: &str) -> Renaming {
    let text = NewWord::Text(Bytes::copy_from_slice(to.as_bytes()));
    Renaming {
        keys: starting(from),
        to: Some(vec![text, NewWord::Rest(1)]),
    }
}

fn settings(keyed: KeyedSettings) -> LogSettings {
    LogSettings {
        keyed: Some(Box::new(keyed)),
        ..LogSettings::default()
    }
}

fn store(desk: &mut Desk, key: &str, terms: Terms) -> LogReply {
    desk.log(LogRequest::Store {
        log: name("l"),
        message: message("l", key, key),
        terms: Box::new(terms),
    })
}

fn listen(desk: &mut Desk, word: &str) {
    let subscribe = SubscribeLive {
        subscriber: SubscriberId(1),
        topic: name("amq.topic"),
        filter: starting(word),
        share: None,
        echo: true,
    };
    desk.batch(2, vec![Request::SubscribeLive(Box::new(subscribe))]);
}

/// Keys of copies, with the offsets before them.
fn copies(told: Told) -> Vec<(String, u64, Option<u64>)> {
    let copies = told.into_iter().filter_map(|(_, event)| match event {
        Event::LiveMessage {
            message,
            note: Some(LiveNote::Copy(note)),
            ..
        } => {
            let key = String::from_utf8_lossy(message.key()).into_owned();
            Some((key, note.offset, note.before))
        }
        _ => None,
    });
    copies.collect()
}

#[test]
fn a_message_is_known_by_its_new_key() {
    let mut desk = Desk::new();
    let keyed = KeyedSettings {
        renames: Some(rule("a", "b")),
        ..KeyedSettings::default()
    };
    desk.declare_log("l", settings(keyed)).unwrap();
    for key in ["a.x", "c.x"] {
        store(&mut desk, key, Terms::default());
    }
    let state = desk.log(LogRequest::State {
        partition: super::logs::at("l", 0),
        keys: Some(LiveFilter::new([FilterWord::Rest])),
        removed: false,
    });
    let LogReply::State(Ok(state)) = state else {
        panic!("{state:?}");
    };
    let keys: Vec<&[u8]> = state
        .1
        .key_records
        .iter()
        .map(|(key, _)| &key[..])
        .collect();
    assert_eq!(keys, [b"b.x", b"c.x"]);
}

#[test]
fn copies_are_told_when_their_records_are_durable() {
    let mut desk = Desk::new();
    let keyed = KeyedSettings {
        copies: Some(Copies {
            topic: name("amq.topic"),
            renaming: rule("a", "told"),
            headers_only: false,
        }),
        ..KeyedSettings::default()
    };
    desk.declare_log("l", settings(keyed)).unwrap();
    listen(&mut desk, "told");
    desk.durable = false;
    for key in ["a.x", "b.x", "a.x"] {
        store(&mut desk, key, Terms::default());
    }
    // What is refused is not told.
    let ttl = Some(RecordTtl::For(5_000));
    store(
        &mut desk,
        "a.y",
        Terms {
            ttl,
            ..Terms::default()
        },
    );
    let told = copies(desk.tell_durable());
    let key = || "told.x".to_owned();
    assert_eq!(told, [(key(), 0, None), (key(), 2, Some(0))]);
    assert!(copies(desk.tell_durable()).is_empty());
}
