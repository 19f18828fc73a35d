//! Logs as requests about queues see them.

use polybus_model::{
    Error, Event, Kind, LogRequest, LogSettings, QueueKind, QueueSettings, Reply, Request, Table,
    Value,
};

use super::desk::{Desk, durable, message, name, publish, subscribe};
use super::recovering::History;

fn stream(arguments: &[(&str, Value)]) -> QueueSettings {
    let mut table = Table::new();
    table.push("x-queue-type", Value::text("stream"));
    for (name, value) in arguments {
        table.push(name, value.clone());
    }
    QueueSettings {
        kind: QueueKind::Log,
        max_bytes: table
            .lookup("x-max-length-bytes")
            .and_then(Value::as_i64)
            .and_then(|bytes| u64::try_from(bytes).ok()),
        arguments: table,
        ..durable()
    }
}

impl Desk {
    fn answer(&mut self, request: Request) -> Result<Reply, Error> {
        let mut told = self.batch_on(1, 3, vec![request]);
        match told.remove(0) {
            (_, Event::Reply { result, .. }) => result.map_err(|error| *error),
            other => panic!("{other:?}"),
        }
    }

    /// Declares queue `l`, or asks about it; how many messages it has.
    fn declare_l(&mut self, settings: Option<QueueSettings>) -> Result<u64, Kind> {
        let request = Request::DeclareQueue {
            name: name("l"),
            settings: settings.map(Box::new),
        };
        match self.answer(request) {
            Ok(Reply::Queue { messages, .. }) => Ok(messages),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.kind),
        }
    }

    /// Deletes queue `l`; how many messages it had.
    fn delete_l(&mut self) -> u64 {
        let request = Request::DeleteQueue {
            name: name("l"),
            if_unused: false,
            if_empty: false,
        };
        match self.answer(request) {
            Ok(Reply::Count(count)) => count,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_log_is_declared_and_deleted_as_a_queue() {
    let (mut desk, mut history) = (Desk::new(), History::default());
    assert_eq!(desk.declare_l(None), Err(Kind::NotFound));
    let bound = [("x-max-length-bytes", Value::I64(5_000))];
    assert_eq!(desk.declare_l(Some(stream(&bound))), Ok(0));
    desk.batch(1, vec![Request::Publish(publish(message("", "l", "a")))]);
    for snapshot in [false, true] {
        if snapshot {
            history.snapshot(&desk);
        }
        (desk.engine, desk.shelf) = history.recover(&desk, true);
        for session in [1, 2] {
            let session = polybus_model::SessionId(session);
            desk.engine.attach(session, &name("/")).unwrap();
        }
        assert_eq!(desk.declare_l(None), Ok(1));
        let same = [("x-max-length-bytes", Value::I32(5_000))];
        assert_eq!(desk.declare_l(Some(stream(&same))), Ok(1));
        for other in [stream(&[]), durable()] {
            let refused = desk.declare_l(Some(other));
            assert!(matches!(refused, Err(Kind::Inequivalent(_))), "{refused:?}");
        }
    }
    assert_eq!(desk.read_all("l", 0, 0), ["a"]);
    assert_eq!(desk.delete_l(), 0);
    assert_eq!(desk.declare_l(None), Err(Kind::NotFound));
    assert_eq!(desk.declare_l(Some(durable())), Ok(0));
    let refused = desk.declare_l(Some(stream(&[])));
    assert!(matches!(refused, Err(Kind::Inequivalent(_))), "{refused:?}");
}

#[test]
fn a_log_of_another_protocol_is_a_queue_until_there_is_one() {
    let mut desk = Desk::new();
    desk.declare_log("l", LogSettings::default()).unwrap();
    assert_eq!(desk.declare_l(None), Ok(0));
    assert_eq!(desk.declare_l(Some(stream(&[]))), Ok(0));
    assert_eq!(desk.delete_l(), 0);
    assert_eq!(desk.declare_l(None), Ok(0), "whoever made it deletes it");
    assert_eq!(desk.declare_l(Some(durable())), Ok(0));
    desk.send("l", &["a"]);
    assert_eq!(desk.declare_l(None), Ok(1));
    assert!(desk.read_all("l", 0, 0).is_empty());
    assert_eq!(desk.delete_l(), 1);
    assert_eq!(desk.declare_l(None), Ok(0), "the log is seen again");
    desk.log(LogRequest::Delete { name: name("l") });
    assert_eq!(desk.declare_l(None), Err(Kind::NotFound));
}

#[test]
fn what_a_log_holds_is_read_and_not_taken() {
    let mut desk = Desk::new();
    desk.declare_l(Some(stream(&[]))).unwrap();
    let subscribed = desk.answer(Request::Subscribe(Box::new(subscribe("l", 1))));
    assert!(matches!(subscribed, Ok(Reply::Log(log)) if log.name == name("l")));
    let take = Request::Take {
        queue: name("l"),
        auto_settle: true,
    };
    for request in [take, Request::Purge { queue: name("l") }] {
        let refused = desk.answer(request).unwrap_err().kind;
        assert!(matches!(refused, Kind::Unsupported(_)), "{refused:?}");
    }
}
