use super::*;

const DURABLE: QueueFlags = QueueFlags {
    durable: true,
    exclusive: false,
    auto_delete: false,
};

fn table(entries: &[(&str, Value)]) -> Table {
    let mut table = Table::new();
    for (name, value) in entries {
        table.push(name, value.clone());
    }
    table
}

fn declare(flags: QueueFlags, entries: &[(&str, Value)]) -> Result<QueueSettings, String> {
    let context = Context {
        queue: "q",
        vhost: "/",
        method: MethodId::new(50, 10),
    };
    settings(flags, table(entries), context).map_err(|fault| fault.text)
}

#[track_caller]
fn refused(flags: QueueFlags, entries: &[(&str, Value)], text: &str) {
    assert_eq!(
        declare(flags, entries).err().as_deref(),
        Some(format!("PRECONDITION_FAILED - {text}").as_str())
    );
}

#[test]
fn bad_values_are_refused_as_measured() {
    let text = Value::text;
    for (argument, value, why) in [
        ("x-message-ttl", Value::I32(-1), "{value_negative,-1}"),
        (
            "x-message-ttl",
            text("a"),
            "\"expected integer, got longstr\"",
        ),
        (
            "x-message-ttl",
            Value::I64(10_000_000_000_000),
            "{value_too_large,10000000000000}",
        ),
        (
            "x-message-ttl",
            Value::F64(1.0),
            "\"expected integer, got double\"",
        ),
        ("x-expires", Value::I32(0), "{value_zero,0}"),
        ("x-max-length", Value::I32(-1), "{value_negative,-1}"),
        ("x-overflow", text("bad"), "invalid_overflow"),
        ("x-overflow", Value::I32(1), "{unacceptable_type,signedint}"),
        (
            "x-max-priority",
            Value::I32(256),
            "{max_value_exceeded,256}",
        ),
        (
            "x-dead-letter-routing-key",
            text("k"),
            "routing_key_but_no_dlx_defined",
        ),
        (
            "x-single-active-consumer",
            text("yes"),
            "{unacceptable_type,longstr}",
        ),
        (
            "x-queue-type",
            text("foo"),
            "\"unsupported queue type 'foo'\"",
        ),
        (
            "x-queue-type",
            Value::I32(1),
            "{unacceptable_type,signedint}",
        ),
        (
            "x-queue-mode",
            text("foo"),
            "\"unsupported queue mode 'foo'\"",
        ),
        (
            "x-queue-version",
            Value::I32(3),
            "\"unsupported queue version '3'\"",
        ),
    ] {
        let expected = format!("invalid arg '{argument}' for queue 'q' in vhost '/': {why}");
        refused(DURABLE, &[(argument, value)], &expected);
    }
    refused(
        DURABLE,
        &[("x-dead-letter-exchange", Value::I32(1))],
        "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'",
    );
    refused(
        DURABLE,
        &[("x-delivery-limit", Value::I32(1))],
        "invalid arg 'x-delivery-limit' for queue 'q' in vhost '/' of queue type rabbit_classic_queue",
    );
}

#[test]
fn quorum_queues_are_durable_and_shared() {
    let quorum = [("x-queue-type", Value::text("quorum"))];
    for (flags, property) in [
        (
            QueueFlags {
                durable: false,
                ..DURABLE
            },
            "non-durable",
        ),
        (
            QueueFlags {
                exclusive: true,
                ..DURABLE
            },
            "exclusive-owner",
        ),
        (
            QueueFlags {
                auto_delete: true,
                ..DURABLE
            },
            "auto-delete",
        ),
    ] {
        refused(
            flags,
            &quorum,
            &format!("invalid property '{property}' for queue 'q' in vhost '/'"),
        );
    }
    let made = declare(DURABLE, &quorum).unwrap_or_default();
    assert_eq!(made.kind, QueueKind::Quorum);
    assert_eq!(made.delivery_limit, Some(20));
    let unlimited = [quorum[0].clone(), ("x-delivery-limit", Value::I32(-1))];
    assert_eq!(
        declare(DURABLE, &unlimited)
            .unwrap_or_default()
            .delivery_limit,
        None
    );
    let prioritised = [quorum[0].clone(), ("x-max-priority", Value::I32(1))];
    refused(
        DURABLE,
        &prioritised,
        "invalid arg 'x-max-priority' for queue 'q' in vhost '/' of queue type rabbit_quorum_queue",
    );
}

#[test]
fn arguments_become_settings() {
    let made = declare(
        DURABLE,
        &[
            ("x-message-ttl", Value::I32(1000)),
            ("x-max-length", Value::I64(5)),
            ("x-overflow", Value::text("reject-publish-dlx")),
            ("x-dead-letter-exchange", Value::text("dlx")),
            ("x-dead-letter-routing-key", Value::text("k")),
            ("x-max-priority", Value::U8(9)),
            ("x-queue-mode", Value::text("lazy")),
            ("custom", Value::text("thing")),
        ],
    )
    .unwrap_or_default();
    assert_eq!(made.message_ttl, Some(1000));
    assert_eq!(made.max_length, Some(5));
    assert_eq!(made.overflow, Overflow::RejectPublishDeadLetter);
    assert_eq!(made.max_priority, Some(9));
    let dead_letter = made
        .dead_letter
        .map(|d| (d.topic.as_str().to_owned(), d.key));
    assert_eq!(dead_letter, Some(("dlx".to_owned(), Some("k".into()))));
    assert!(made.arguments.lookup("custom").is_some());
    assert!(made.arguments.lookup("x-queue-mode").is_some());
}

#[test]
fn delayed_retry_is_read() {
    for (kind, of) in [
        ("all", Some(Returns::All)),
        ("failed", Some(Returns::Failed)),
        ("returned", Some(Returns::Unfailed)),
        ("disabled", None),
        ("other", None),
    ] {
        let arguments = [
            ("x-queue-type", Value::text("quorum")),
            ("x-delayed-retry-type", Value::text(kind)),
            ("x-delayed-retry-min", Value::I32(100)),
            ("x-delayed-retry-max", Value::I32(1000)),
        ];
        let made = declare(DURABLE, &arguments).unwrap_or_default();
        let (min, max) = (100, 1000);
        let expected = of.map(|of| DelayedRetry { of, min, max });
        assert_eq!(made.delayed_retry, expected);
    }
}

#[test]
fn streams_are_logs_bounded_by_age_and_size() {
    let stream = |more: &[(&str, Value)]| {
        let mut arguments = vec![("x-queue-type", Value::text("stream"))];
        arguments.extend_from_slice(more);
        declare(DURABLE, &arguments)
    };
    let bounds = [
        ("x-max-age", Value::text("2D")),
        ("x-max-length-bytes", Value::I64(7)),
        ("x-stream-max-segment-size-bytes", Value::I64(5)),
        ("x-initial-cluster-size", Value::I32(3)),
    ];
    let settings = stream(&bounds).unwrap();
    assert_eq!(settings.kind, QueueKind::Log);
    assert_eq!(settings.max_age, Some(2 * 86_400_000));
    assert_eq!(settings.max_bytes, Some(7));
    for (name, value) in [
        ("x-stream-max-segment-size-bytes", Value::I64(3_000_000_001)),
        ("x-stream-filter-size-bytes", Value::I32(8)),
        ("x-max-age", Value::text("2W")),
        ("x-max-length", Value::I32(8)),
    ] {
        assert!(stream(&[(name, value)]).is_err(), "{name}");
    }
}
