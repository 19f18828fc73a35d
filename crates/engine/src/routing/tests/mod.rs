//! Tests of routing, and what they share.

mod consistent;
mod headers;
mod kinds;
mod lifecycle;
mod pattern;

use bytes::Bytes;
use polybus_model::{
    Binding, Body, Destination, Message, MessageParts, Name, Origin, Table, TopicKind,
    TopicSettings, Value,
};

use super::{HeaderReaders, RouteError, RouteMode, Routed, Router};

const CLIENT: RouteMode = RouteMode::CLIENT;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn settings(kind: TopicKind) -> TopicSettings {
    TopicSettings {
        kind,
        delayed: false,
        durable: false,
        auto_delete: false,
        internal: false,
        alternate: None,
        arguments: Table::new(),
    }
}

fn auto_delete() -> TopicSettings {
    TopicSettings {
        auto_delete: true,
        ..settings(TopicKind::Fanout)
    }
}

fn to_queue(source: &str, queue: &str, key: &str) -> Binding {
    Binding {
        source: name(source),
        destination: Destination::Queue(name(queue)),
        key: Bytes::copy_from_slice(key.as_bytes()),
        arguments: Table::new(),
    }
}

fn to_topic(source: &str, topic: &str, key: &str) -> Binding {
    Binding {
        destination: Destination::Topic(name(topic)),
        ..to_queue(source, "", key)
    }
}

fn table(fields: &[(&str, Value)]) -> Table {
    let mut table = Table::new();
    for (name, value) in fields {
        table.push(name, value.clone());
    }
    table
}

thread_local! {
    /// The headers that the test protocol reads, whatever the bytes.
    static HEADERS: std::cell::RefCell<Table> = const { std::cell::RefCell::new(Table::new()) };
}

fn readers() -> HeaderReaders {
    HeaderReaders::new().with(
        Origin(1),
        |_| HEADERS.with_borrow(Table::clone),
        |bytes, property| (property == "message_id").then(|| Bytes::copy_from_slice(bytes)),
    )
}

fn message_with(topic: &str, key: &str, properties: &[u8]) -> Message {
    Message::new(MessageParts {
        origin: Origin(1),
        topic: topic.as_bytes(),
        key: key.as_bytes(),
        properties,
        body: Body::Copied(&[]),
        durable: false,
        priority: None,
        ttl: None,
        deaths: None,
    })
}

/// A router with queues `q0`, `q1`, ... in slots 100, 101, ...
fn router(queues: u32) -> Router {
    let mut router = Router::new(7);
    for number in 0..queues {
        router.queue_declared(&name(&format!("q{number}")), 100 + number);
    }
    router
}

impl Router {
    fn declare(&mut self, topic: &str, kind: TopicKind) {
        assert!(self.declare_topic(&name(topic), settings(kind)));
    }

    fn must_bind(&mut self, binding: &Binding) {
        assert_eq!(self.bind(binding), Ok(true));
    }

    /// Routes by all of it; the numbers of the queues.
    fn try_route(
        &mut self,
        topic: &str,
        keys: &[&str],
        mode: RouteMode,
    ) -> Result<(Vec<u32>, Routed), RouteError> {
        let message = message_with(topic, keys[0], b"");
        let more = keys[1..].iter();
        let more: Vec<_> = more
            .map(|key| Bytes::copy_from_slice(key.as_bytes()))
            .collect();
        let mut out = vec![9];
        let routed = self.route(
            topic.as_bytes(),
            &message,
            &more,
            mode,
            &readers(),
            &mut out,
        )?;
        self.check();
        Ok((out.into_iter().map(|slot| slot - 100).collect(), routed))
    }

    fn to(&mut self, topic: &str, key: &str) -> Vec<u32> {
        self.try_route(topic, &[key], CLIENT).unwrap().0
    }

    fn by_headers(&mut self, topic: &str, headers: Table) -> Vec<u32> {
        HEADERS.set(headers);
        self.to(topic, "")
    }

    /// Checks that every binding stands in all places it has to, and nothing else does.
    fn check(&self) {
        let mut incoming = 0;
        for (number, topic) in self.topics.iter() {
            assert_eq!(topic.bound.len(), topic.places.len());
            for (place, bound) in topic.bound.iter() {
                assert_eq!(topic.places.get(&bound.id), Some(&place));
                let list = match bound.hit.target.kind() {
                    super::Kind::Queue(queue) => &self.queues.get(queue).unwrap().incoming,
                    super::Kind::Topic(topic) => &self.topics.get(topic).unwrap().incoming,
                    super::Kind::Log(log) => &self.logs.get(log).unwrap().incoming,
                };
                let at = list[bound.incoming_at as usize];
                assert_eq!((at.topic, at.place), (number, place));
                incoming += 1;
            }
        }
        let topics = self.topics.iter().map(|(_, topic)| topic.incoming.len());
        let queues = self.queues.iter().map(|(_, queue)| queue.incoming.len());
        let logs = self.logs.iter().map(|(_, log)| log.incoming.len());
        let counted = topics.sum::<usize>() + queues.sum::<usize>() + logs.sum::<usize>();
        assert_eq!(incoming, counted);
        assert_eq!(self.topics.len(), self.topic_numbers.len());
        assert_eq!(self.queues.len(), self.queue_numbers.len());
        assert_eq!(self.queues.len(), self.slots.len());
    }
}
