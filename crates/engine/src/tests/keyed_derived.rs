//! Keyed logs that rename what they take, and tell listeners of what they have.

use bytes::Bytes;
use polybus_model::{
    Copies, Destination, Event, FilterWord, FollowFrom, Followed, Follows, KeyedError,
    KeyedSettings, ListKeys, LiveFilter, LiveNote, LogError, LogReply, LogRequest, LogSettings,
    NewWord, RecordTtl, Renaming, Request, SubscribeLive, SubscriberId, Takes, Terms,
};

use super::desk::{Desk, Told, bodies, durable, message, name, subscribe};

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
    let keys = records(&mut desk, "l");
    assert_eq!(keys, [("b.x".to_owned(), 1), ("c.x".to_owned(), 1)]);
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

fn copying(from: &str, to: &str, takes: &str) -> LogSettings {
    settings(KeyedSettings {
        takes: Some(Takes {
            topic: name("amq.topic"),
            keys: vec![starting(takes)],
        }),
        copies: Some(Copies {
            topic: name("amq.topic"),
            renaming: rule(from, to),
            headers_only: false,
        }),
        ..KeyedSettings::default()
    })
}

fn records(desk: &mut Desk, log: &str) -> Vec<(String, u64)> {
    let listed = desk.log(LogRequest::ListKeys(ListKeys {
        partition: super::logs::at(log, 0),
        filter: LiveFilter::new([FilterWord::Rest]),
        after: None,
        is_count: false,
    }));
    let LogReply::Keys(Ok(listed)) = listed else {
        panic!("{listed:?}");
    };
    let keys = listed.keys.iter();
    keys.map(|(key, count)| (String::from_utf8_lossy(key).into_owned(), *count))
        .collect()
}

#[test]
fn copies_go_to_logs_and_queues_as_what_is_published_there() {
    let mut desk = Desk::new();
    desk.declare_log("l", copying("a", "b", "a")).unwrap();
    desk.declare_log("m", copying("b", "c", "b")).unwrap();
    desk.declare_log("n", copying("x", "y", "c")).unwrap();
    desk.declare("q", durable());
    desk.bind("amq.topic", "c.#", Destination::Queue(name("q")));
    desk.durable = false;
    store(&mut desk, "a.x", Terms::default());
    assert!(records(&mut desk, "m").is_empty());
    while desk.mark.is_some() {
        desk.tell_durable();
    }
    assert_eq!(records(&mut desk, "m"), [("b.x".to_owned(), 1)]);
    assert_eq!(records(&mut desk, "n"), [("c.x".to_owned(), 1)]);
    let told = desk.subscribe(2, subscribe("q", 1));
    assert_eq!(bodies(told), ["a.x"]);
}

#[test]
fn what_would_come_back_to_its_log_is_refused() {
    let mut desk = Desk::new();
    let circle = Err(LogError::from(KeyedError::Circle));
    desk.declare_log("l", copying("a", "b", "a")).unwrap();
    desk.declare_log("m", copying("b", "c", "b")).unwrap();
    let declared = desk.declare_log("n", copying("c", "a", "c"));
    assert_eq!(declared.map(|_| ()), circle);
    // What comes back is not copied on.
    desk.declare_log("o", copying("x", "y", "o")).unwrap();
    desk.declare_log("y", copying("y", "o", "y")).unwrap();
    // The copy of a log gives its records back to it.
    let mut mirror = copying("a", "e", "f");
    if let Some(keyed) = &mut mirror.keyed {
        keyed.takes = None;
        keyed.follows = Follows::One(Followed {
            log: name("p"),
            from: FollowFrom::Start,
            renamings: Vec::new(),
            label: Bytes::new(),
        });
    }
    desk.declare_log("mirror", mirror).unwrap();
    let declared = desk.declare_log("p", copying("x", "y", "e"));
    assert_eq!(declared.map(|_| ()), circle);
}

#[test]
fn copies_of_copies_come_to_an_end() {
    let mut desk = Desk::new();
    // Bound by hand: what it takes is not in its settings.
    let mut open = copying("a", "a", "a");
    if let Some(keyed) = &mut open.keyed {
        keyed.takes = None;
    }
    desk.declare_log("l", open).unwrap();
    desk.bind("amq.topic", "a.#", Destination::Log(name("l")));
    store(&mut desk, "a.x", Terms::default());
    assert_eq!(records(&mut desk, "l"), [("a.x".to_owned(), 17)]);
}
