//! Numbers that are made of those of other logs.

use bytes::Bytes;
use polybus_model::{
    Addition, FollowFrom, Followed, Follows, KeyedSettings, KeyedWriter, LogReply, LogRequest,
    LogSettings, Message, Tally, TallyParts, Terms,
};

use super::desk::{Desk, message, name};
use super::recovering::History;
use crate::Options;

/// As properties: `added|log,key,value;..`.
fn tallied(message: &Message, added: &Tally, parts: &TallyParts) -> Message {
    let mut text = format!("{added}|");
    for (log, of_log) in parts {
        for (key, value) in of_log {
            let (log, key) = (String::from_utf8_lossy(log), String::from_utf8_lossy(key));
            text.push_str(&format!("{log},{key},{value};"));
        }
    }
    message.with_properties(text.as_bytes())
}

fn parts(properties: &[u8]) -> Option<TallyParts> {
    let text = std::str::from_utf8(properties).ok()?;
    let mut all = TallyParts::new();
    for part in text.split_once('|')?.1.split_terminator(';') {
        let mut words = part.split(',');
        let mut next = || Some(Bytes::copy_from_slice(words.next()?.as_bytes()));
        let (log, key, value) = (next()?, next()?, next()?);
        let value = Tally::parse(&value)?;
        all.entry(log).or_default().insert(key, value);
    }
    Some(all)
}

fn options() -> Options {
    Options {
        keyed_writer: KeyedWriter {
            tallied: Some(tallied),
            parts: Some(parts),
            ..KeyedWriter::default()
        },
        ..Options::default()
    }
}

fn settings(follows: &[&str]) -> LogSettings {
    let followed = |log: &&str| Followed {
        log: name(log),
        from: FollowFrom::Start,
        renamings: Vec::new(),
        label: Bytes::new(),
    };
    LogSettings {
        keyed: Some(Box::new(KeyedSettings {
            tallies: true,
            follows: match follows {
                [] => Follows::Nobody,
                logs => Follows::Several(logs.iter().map(followed).collect()),
            },
            ..KeyedSettings::default()
        })),
        ..LogSettings::default()
    }
}

fn add(desk: &mut Desk, log: &str, number: &str) {
    let stored = desk.log(LogRequest::Store {
        log: name(log),
        message: message(log, "k", ""),
        terms: Box::new(Terms {
            adds: Tally::parse(number.as_bytes()).map(Addition::Of),
            ..Terms::default()
        }),
    });
    assert!(matches!(stored, LogReply::Stored(Ok(_))), "{stored:?}");
    desk.wait(1);
}

#[test]
fn numbers_of_others_are_added_up_once() {
    let mut desk = Desk::with(options());
    for log in ["a", "b"] {
        desk.declare_log(log, settings(&[])).unwrap();
    }
    desk.declare_log("sum", settings(&["a", "b"])).unwrap();
    let last = |desk: &mut Desk| desk.read_all("sum", 0, 0).pop();
    for (log, number) in [("a", "5"), ("b", "7"), ("a", "-2")] {
        add(&mut desk, log, number);
    }
    assert_eq!(last(&mut desk).as_deref(), Some("{\"val\":\"10\"}"));
    add(&mut desk, "sum", "100");
    let recovered = History::default().recover_with(&desk, false, options());
    desk.crash(recovered);
    add(&mut desk, "a", "-3");
    assert_eq!(last(&mut desk).as_deref(), Some("{\"val\":\"107\"}"));
    add(&mut desk, "b", "1");
    assert_eq!(last(&mut desk).as_deref(), Some("{\"val\":\"108\"}"));
}
