//! The API of streams: requests of logs, and answers to whoever waits.

use polybus_model::{
    Event, KeyedError, KeyedState, LogError, LogId, LogReply, LogRequest, LogSettings, LogSummary,
    Name, Place, Stored, StoredRecord, WhichRecord,
};
use serde_json::Value;

use super::world::World;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A client that waits for answers.
fn client(world: &mut World) -> usize {
    let client = world.join();
    world.send(client, "SUB in.> 1\r\n");
    client
}

fn ask(world: &mut World, client: usize, api: &str, body: &str) -> (u64, LogRequest) {
    let line = format!("PUB $JS.API.{api} in.a {}\r\n{body}\r\n", body.len());
    world.send(client, &line);
    world.asked.pop().unwrap()
}

fn reply(world: &mut World, client: usize, number: u64, reply: LogReply) {
    let reply = Box::new(reply);
    world.tell(client, Event::Log { number, reply });
}

/// The JSON of the one answer.
fn heard(world: &mut World, client: usize) -> Value {
    let told = world.hear(client);
    let (line, rest) = told.split_once("\r\n").unwrap();
    assert!(line.starts_with("MSG in.a 1 "), "{told}");
    serde_json::from_str(rest.trim_ascii()).unwrap()
}

fn summary(settings: LogSettings) -> LogSummary {
    LogSummary {
        name: name("S"),
        id: LogId(1),
        settings,
    }
}

#[test]
fn a_stream_is_made_and_told() {
    let mut world = World::new();
    let a = client(&mut world);
    let config = r#"{"name":"S","subjects":["s.*"],"max_msgs":5}"#;
    let (number, request) = ask(&mut world, a, "STREAM.CREATE.S", config);
    let LogRequest::Declare {
        name: log,
        settings,
        ..
    } = request
    else {
        panic!("{request:?}");
    };
    assert_eq!(log, name("S"));
    let declared = LogReply::Logs(vec![Ok(summary(settings.clone()))]);
    reply(&mut world, a, number, declared);
    assert_eq!(world.hear(a), "");
    let (number, request) = world.asked.pop().unwrap();
    assert!(matches!(request, LogRequest::State { .. }));
    let state = KeyedState {
        start: 2,
        next: 7,
        records: 5,
        keys: 1,
        ..KeyedState::default()
    };
    let state = LogReply::State(Ok(Box::new((summary(settings), state))));
    reply(&mut world, a, number, state);
    let told = heard(&mut world, a);
    assert_eq!(
        told["type"],
        "io.nats.jetstream.api.v1.stream_create_response"
    );
    assert_eq!(told["did_create"], true);
    assert_eq!(told["config"]["max_msgs"], 5);
    assert_eq!(told["state"]["first_seq"], 3);
    assert_eq!(told["state"]["last_seq"], 7);
}

#[test]
fn what_cannot_be_is_told_in_numbers() {
    let mut world = World::new();
    let a = client(&mut world);
    let config = r#"{"name":"T"}"#;
    let line = format!(
        "PUB $JS.API.STREAM.CREATE.S in.a {}\r\n{config}\r\n",
        config.len()
    );
    world.send(a, &line);
    assert_eq!(heard(&mut world, a)["error"]["err_code"], 10056);
    // As async-nats asks: nothing, said aloud.
    let (number, request) = ask(&mut world, a, "STREAM.INFO.S", "null");
    assert!(
        matches!(request, LogRequest::List(_) | LogRequest::State { .. }),
        "{request:?}"
    );
    let gone = LogReply::Logs(vec![Err(LogError::NotFound)]);
    reply(&mut world, a, number, gone);
    assert_eq!(heard(&mut world, a)["error"]["err_code"], 10059);
    let (number, _) = ask(&mut world, a, "STREAM.DELETE.S", "");
    let gone = LogReply::Logs(vec![Err(LogError::NotFound)]);
    reply(&mut world, a, number, gone);
    let told = heard(&mut world, a);
    assert_eq!(told["error"]["err_code"], 10059);
    assert_eq!(told["error"]["code"], 404);
    let (number, request) = ask(&mut world, a, "STREAM.MSG.GET.S", r#"{"seq":4}"#);
    let LogRequest::FindOffsets(wanted) = request else {
        panic!("{request:?}");
    };
    assert_eq!(wanted[0].1, Place::Record(WhichRecord::At(3)));
    reply(&mut world, a, number, LogReply::Offsets(vec![Ok(None)]));
    assert_eq!(heard(&mut world, a)["error"]["err_code"], 10037);
}

#[test]
fn publishers_are_told_where_their_messages_went() {
    let mut world = World::new();
    let a = world.join_saying(",\"echo\":false");
    world.send(a, "SUB in.> 1\r\n");
    let head = "NATS/1.0\r\nNats-Msg-Id: m\r\n\r\n";
    let len = head.len();
    world.send(
        a,
        &format!(
            "PUB s.a in.a 1\r\nx\r\nHPUB s.a in.b {len} {}\r\n{head}y\r\n",
            len + 1
        ),
    );
    world.hear(a);
    let block = world.blocks.pop().unwrap();
    assert!(block.terms(0).is_none());
    assert_eq!(block.terms(1).unwrap().id.as_deref(), Some(&b"m"[..]));
    let taken = Stored {
        item: 0,
        log: name("S"),
        result: Ok(StoredRecord {
            log: name("S"),
            offset: 0,
            duplicate: false,
            more: None,
        }),
    };
    let refused = Stored {
        item: 1,
        log: name("S"),
        result: Err(KeyedError::RecordsMax.into()),
    };
    let stored = vec![taken, refused];
    world.tell(a, Event::Stored { block, stored });
    let told = world.hear(a);
    let expected = "MSG in.a 1 22\r\n{\"stream\":\"S\",\"seq\":1}\r\nMSG in.b 1 ";
    assert!(told.starts_with(expected), "{told}");
    assert!(told.contains("\"err_code\":10077"), "{told}");
}

#[test]
fn what_is_not_known_is_a_publish_like_any() {
    let mut world = World::new();
    let (a, b) = (client(&mut world), world.join());
    world.send(b, "SUB $JS.API.> 1\r\n");
    world.send(a, "PUB $JS.API.ODD.THING in.a 0\r\n\r\n");
    assert!(world.hear(b).starts_with("MSG $JS.API.ODD.THING"));
    assert!(world.asked.is_empty());
}
