//! The workloads that are measured again and again.

use crate::workload::{Routing, Settling, Shape, Workload};

fn named(name: &str, about: &str, target_ratio: Option<f64>, base: Workload) -> Workload {
    Workload {
        name: name.into(),
        about: about.into(),
        target_ratio,
        ..base
    }
}

/// All of them.
#[must_use]
pub fn catalog() -> Vec<Workload> {
    let durable = Workload::default;
    let transient = || Workload {
        durable: false,
        persistent: false,
        window: None,
        ..Workload::default()
    };
    let mut all = durable_ones(&durable);
    all.push(named(
        "transient-16b",
        "transient, no confirms, 16 B",
        Some(8.0),
        transient(),
    ));
    for queues in [1, 10, 50] {
        all.push(named(
            &format!("fanout-{queues}"),
            &format!("transient 16 B to a fanout exchange with {queues} queues"),
            Some(5.0),
            Workload {
                routing: Routing::Fanout,
                queues,
                ..transient()
            },
        ));
    }
    all.push(named(
        "topic-10k",
        "transient 16 B to a topic exchange with 10,000 bindings to 10 queues",
        Some(5.0),
        Workload {
            routing: Routing::Topic { bindings: 10_000 },
            queues: 10,
            ..transient()
        },
    ));
    all.push(named(
        "headers-1k",
        "transient 16 B to a headers exchange with 1,000 bindings to 10 queues",
        Some(5.0),
        Workload {
            routing: Routing::Headers { bindings: 1000 },
            queues: 10,
            ..transient()
        },
    ));
    all.extend(big_ones(&durable));
    all
}

fn durable_ones(durable: &dyn Fn() -> Workload) -> Vec<Workload> {
    let kib = |base: Workload| Workload {
        body_bytes: 1024,
        ..base
    };
    let drain = || Workload {
        shape: Shape::PublishThenDrain,
        ..durable()
    };
    // Where both brokers must sync before each confirm: see `Broker::durability`.
    let acked = || Workload {
        settling: Settling::Each { prefetch: 1000 },
        ..durable()
    };
    vec![
        named(
            "durable-16b",
            "durable, persistent, confirms in a window of 1,000, published and consumed at once, 16 B",
            Some(10.0),
            durable(),
        ),
        named(
            "durable-1k",
            "the same with 1 KiB",
            Some(10.0),
            kib(durable()),
        ),
        named(
            "ack-16b",
            "durable-16b, and the consumer acknowledges each message (prefetch 1,000)",
            Some(10.0),
            acked(),
        ),
        named(
            "drain-16b",
            "durable-16b, but all is published before it is consumed",
            Some(10.0),
            drain(),
        ),
        named("drain-1k", "the same with 1 KiB", Some(10.0), kib(drain())),
        named(
            "window-1",
            "durable 16 B, each confirm awaited before the next publish; the consumer acknowledges",
            Some(5.0),
            Workload {
                window: Some(1),
                ..acked()
            },
        ),
        named(
            "window-1-auto",
            "the same with an auto-ack consumer: RabbitMQ then confirms without writing the message",
            None,
            Workload {
                window: Some(1),
                ..durable()
            },
        ),
        named(
            "latency",
            "durable 16 B at a fixed rate (compare: half of what the slowest broker manages), acknowledged",
            None,
            Workload {
                rate_per_s: Some(5000),
                window: Some(20_000),
                ..acked()
            },
        ),
    ]
}

fn big_ones(durable: &dyn Fn() -> Workload) -> Vec<Workload> {
    let waiting = |messages| Workload {
        shape: Shape::PublishThenDrain,
        messages: Some(messages),
        on_demand: true,
        ..durable()
    };
    vec![
        named(
            "queues-1000",
            "durable 16 B, 1,000 queues, 50 publishing and 50 consuming connections, window 100 each",
            None,
            Workload {
                queues: 1000,
                publishers: 50,
                consumers: 50,
                window: Some(100),
                ..durable()
            },
        ),
        named(
            "large-64k",
            "durable 64 KiB, window 64",
            None,
            Workload {
                body_bytes: 64 * 1024,
                window: Some(64),
                ..durable()
            },
        ),
        named(
            "large-1m",
            "durable 1 MiB, window 16",
            None,
            Workload {
                body_bytes: 1024 * 1024,
                window: Some(16),
                ..durable()
            },
        ),
        named(
            "idle-5000",
            "5,000 connections that only exchange heartbeats, every 5 s",
            None,
            Workload {
                publishers: 0,
                consumers: 0,
                queues: 0,
                idle_connections: 5000,
                ..durable()
            },
        ),
        named(
            "backlog-1m",
            "1 million durable 16 B messages waiting, then drained",
            None,
            waiting(1_000_000),
        ),
        named(
            "backlog-10m",
            "10 million durable 16 B messages waiting, then drained",
            None,
            waiting(10_000_000),
        ),
    ]
}

/// The workload of that name.
#[must_use]
pub fn find(name: &str) -> Option<Workload> {
    catalog().into_iter().find(|workload| workload.name == name)
}

/// A few that show most, for a look at a broker: half a minute.
#[must_use]
pub fn short() -> Vec<Workload> {
    let names = [
        "ack-16b",
        "window-1",
        "latency",
        "transient-16b",
        "fanout-10",
    ];
    names.into_iter().filter_map(find).collect()
}

/// Those that a comparison runs when none is named.
#[must_use]
pub fn usual() -> Vec<Workload> {
    let mut all = catalog();
    all.retain(|workload| !workload.on_demand);
    all
}
