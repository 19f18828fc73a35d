//! How long routing one message takes: `cargo bench -p polybus-engine --bench routing`.
//!
//! Routing is private to the engine, so its source is compiled in here rather than opened up for a measurement.

#![allow(dead_code, missing_docs, unreachable_pub, unused_imports)]

#[path = "../src/routing/mod.rs"]
mod routing;

use bytes::Bytes;
use divan::{Bencher, black_box};
use polybus_model::{
    Binding, Body, Destination, FilterWord, LiveFilter, Message, MessageParts, Name, Origin,
    SubscriberId, Table, TopicKind, TopicSettings, Value,
};
use routing::{HeaderReaders, RouteMode, Router, Wanted};

fn main() {
    divan::main();
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap_or_else(|_| Name::empty())
}

fn message(key: &str) -> Message {
    Message::new(MessageParts {
        origin: Origin(1),
        topic: b"topic",
        key: key.as_bytes(),
        properties: &[],
        body: Body::Copied(&[0; 128]),
        durable: false,
        priority: None,
        ttl: None,
        deaths: None,
    })
}

fn readers() -> HeaderReaders {
    let headers = |_: &[u8]| {
        let mut table = Table::new();
        table.push("format", Value::text("pdf"));
        table.push("type", Value::text("report"));
        table.push("tenant", Value::I32(777));
        table
    };
    HeaderReaders::new().with(Origin(1), headers, |_, _| None)
}

/// A router with that topic and bindings to as many queues as `queues`, taken in turn.
fn router(kind: TopicKind, queues: u32, bindings: impl Iterator<Item = (String, Table)>) -> Router {
    let mut router = Router::new(1);
    for number in 0..queues {
        router.queue_declared(&name(&format!("queue-{number}")), number);
    }
    let settings = TopicSettings {
        kind,
        delayed: false,
        durable: false,
        auto_delete: false,
        internal: false,
        alternate: None,
        arguments: Table::new(),
    };
    router.declare_topic(&name("topic"), settings);
    for ((key, arguments), number) in bindings.zip((0..queues).cycle()) {
        let queue = name(&format!("queue-{number}"));
        let _ = router.bind(&Binding {
            source: name("topic"),
            destination: Destination::Queue(queue),
            key: Bytes::from(key),
            arguments,
        });
    }
    router
}

/// Routes the messages in turn.
fn run(bencher: Bencher<'_, '_>, mut router: Router, topic: &[u8], messages: &[Message]) {
    let readers = readers();
    let mode = RouteMode::CLIENT;
    let mut out = Vec::new();
    let mut turn = messages.iter().cycle();
    bencher.bench_local(|| {
        if let Some(message) = turn.next() {
            let _ = black_box(router.route(topic, message, &[], mode, &readers, &mut out));
        }
        black_box(out.len())
    });
}

fn keys(count: u32) -> impl Iterator<Item = (String, Table)> {
    (0..count).map(|number| (format!("orders.eu.created.{number}"), Table::new()))
}

#[divan::bench(sample_count = 20, sample_size = 5_000)]
fn default_topic(bencher: Bencher<'_, '_>) {
    let messages: Vec<_> = (0..1_000)
        .map(|number| message(&format!("queue-{number}")))
        .collect();
    let router = router(TopicKind::Direct, 1_000, keys(1));
    run(bencher, router, b"", &messages);
}

#[divan::bench(sample_count = 20, sample_size = 5_000, args = [1, 10_000])]
fn direct(bencher: Bencher<'_, '_>, bindings: u32) {
    let messages: Vec<_> = (0..bindings.min(1_000))
        .map(|number| message(&format!("orders.eu.created.{number}")))
        .collect();
    let router = router(TopicKind::Direct, 1_000, keys(bindings));
    run(bencher, router, b"topic", &messages);
}

#[divan::bench(sample_count = 20, sample_size = 5_000, args = [1, 50, 1_000])]
fn fanout(bencher: Bencher<'_, '_>, queues: u32) {
    let router = router(TopicKind::Fanout, queues, keys(queues));
    run(bencher, router, b"topic", &[message("any")]);
}

/// Patterns of all sorts: exact, one word open, the tail open, the head open.
fn patterns(count: u32) -> impl Iterator<Item = (String, Table)> {
    (0..count).map(|number| {
        let (a, b) = (number % 100, number / 100);
        let pattern = match number % 5 {
            0 | 1 => format!("region{a}.shop{b}.orders.created"),
            2 => format!("region{a}.*.orders.kind{b}"),
            3 => format!("region{a}.shop{b}.#"),
            _ => format!("#.kind{number}"),
        };
        (pattern, Table::new())
    })
}

#[divan::bench(sample_count = 20, sample_size = 5_000)]
fn pattern_10_000_cached(bencher: Bencher<'_, '_>) {
    let messages: Vec<_> = (0..100)
        .map(|number| message(&format!("region{number}.shop7.orders.created")))
        .collect();
    let router = router(TopicKind::Pattern, 1_000, patterns(10_000));
    run(bencher, router, b"topic", &messages);
}

#[divan::bench(sample_count = 20, sample_size = 5_000)]
fn pattern_10_000_uncached(bencher: Bencher<'_, '_>) {
    // So many keys that the cache is of no use.
    let messages: Vec<_> = (0..200_000)
        .map(|number| {
            let (a, b) = (number % 100, number % 101);
            message(&format!("region{a}.shop{b}.orders.created.{number}"))
        })
        .collect();
    let router = router(TopicKind::Pattern, 1_000, patterns(10_000));
    run(bencher, router, b"topic", &messages);
}

#[divan::bench(sample_count = 20, sample_size = 5_000, args = [1, 1_000])]
fn headers(bencher: Bencher<'_, '_>, bindings: i32) {
    let arguments = (0..bindings).map(|number| {
        let mut table = Table::new();
        table.push("x-match", Value::text("all"));
        table.push("format", Value::text("pdf"));
        table.push("tenant", Value::I32(778 - bindings + number));
        (String::new(), table)
    });
    let router = router(TopicKind::Headers, 1_000, arguments);
    run(bencher, router, b"topic", &[message("")]);
}

#[divan::bench(sample_count = 20, sample_size = 5_000, args = [1, 10, 100, 1_000])]
fn consistent_hash(bencher: Bencher<'_, '_>, queues: u32) {
    let weights = (0..queues).map(|number| ((number % 3 + 1).to_string(), Table::new()));
    let messages: Vec<_> = (0..1_000)
        .map(|number| message(&format!("customer-{number}")))
        .collect();
    let router = router(TopicKind::ConsistentHash, queues, weights);
    run(bencher, router, b"topic", &messages);
}

/// A router with that many live subscribers of all sorts: exact, one word open, the tail open, inboxes.
fn listened(count: u32) -> Router {
    let mut router = router(TopicKind::Pattern, 1, std::iter::empty());
    for number in 0..count {
        let (a, b) = (number % 100, number / 100);
        let filter = match number % 4 {
            0 => format!("region{a}.*.orders.kind{b}"),
            1 => format!("region{a}.shop{b}.>"),
            2 => format!("*.shop{b}.orders.kind{a}"),
            _ => format!("_INBOX.{number}.*"),
        };
        listen(&mut router, number, &filter);
    }
    router
}

fn listen(router: &mut Router, number: u32, filter: &str) -> Option<u32> {
    let words = filter.split('.').map(|word| match word {
        "*" => FilterWord::AnyOne,
        ">" => FilterWord::Rest,
        word => FilterWord::Exact(word.as_bytes()),
    });
    let wanted = Wanted {
        session: number % 1_000,
        subscriber: SubscriberId(number),
        echo: true,
        filter: LiveFilter::new(words),
        share: None,
    };
    router.listen("topic", wanted)
}

/// Finds who hears a key and offers it to each.
fn hear(router: &mut Router, key: &str) -> u32 {
    let Ok(topic) = router.live_topic("topic") else {
        return 0;
    };
    let (found, _) = router.hear(topic, key.as_bytes());
    let mut count = 0;
    router.live.offer(found, |_, listener| {
        count += listener.subscriber.0;
        true
    });
    count
}

#[divan::bench(sample_count = 20, sample_size = 5_000)]
fn live_100_000_cached(bencher: Bencher<'_, '_>) {
    let mut router = listened(100_000);
    let keys: Vec<_> = (0..100)
        .map(|number| {
            format!(
                "region{number}.shop{}.orders.kind{}",
                number * 7,
                number * 7
            )
        })
        .collect();
    let mut turn = keys.iter().cycle();
    bencher.bench_local(|| turn.next().map(|key| black_box(hear(&mut router, key))));
}

#[divan::bench(sample_count = 20, sample_size = 5_000)]
fn live_100_000_never_seen(bencher: Bencher<'_, '_>) {
    let mut router = listened(100_000);
    let keys: Vec<_> = (0..200_000)
        .map(|number| {
            let (a, b) = (number % 100, number % 1_000);
            format!("region{a}.shop{b}.orders.kind{b}.{number}")
        })
        .collect();
    let mut turn = keys.iter().cycle();
    bencher.bench_local(|| turn.next().map(|key| black_box(hear(&mut router, key))));
}

/// Between any two messages a client makes an inbox and another goes.
#[divan::bench(sample_count = 20, sample_size = 5_000)]
fn live_100_000_cached_while_inboxes_come_and_go(bencher: Bencher<'_, '_>) {
    let mut router = listened(100_000);
    let keys: Vec<_> = (0..100)
        .map(|number| {
            format!(
                "region{number}.shop{}.orders.kind{}",
                number * 7,
                number * 7
            )
        })
        .collect();
    let mut turn = keys.iter().cycle();
    let mut inboxes = std::collections::VecDeque::new();
    let mut number = 1_000_000;
    bencher.bench_local(|| {
        number += 1;
        inboxes.extend(listen(&mut router, number, &format!("_INBOX.{number}.*")));
        if inboxes.len() > 100
            && let Some(oldest) = inboxes.pop_front()
        {
            black_box(router.live.remove(oldest));
        }
        turn.next().map(|key| black_box(hear(&mut router, key)))
    });
}

#[divan::bench(sample_count = 20, sample_size = 5_000, args = ["_INBOX.N", "_INBOX.N.*"])]
fn live_subscribe_and_unsubscribe(bencher: Bencher<'_, '_>, filter: &str) {
    let mut router = listened(100_000);
    let mut number = 1_000_000;
    bencher.bench_local(|| {
        number += 1;
        let filter = filter.replace('N', &number.to_string());
        let made = listen(&mut router, number, &filter);
        made.map(|made| black_box(router.live.remove(made)))
    });
}

#[divan::bench(sample_count = 20, sample_size = 1_000, args = [1, 100, 10_000])]
fn live_fan_out(bencher: Bencher<'_, '_>, count: u32) {
    let mut router = router(TopicKind::Pattern, 1, std::iter::empty());
    for number in 0..count {
        listen(&mut router, number, "news.*");
    }
    bencher.bench_local(|| black_box(hear(&mut router, "news.today")));
}
