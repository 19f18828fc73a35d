//! `queue.declare` and `basic.consume` arguments to settings, checked as RabbitMQ checks them, in its order.
//! Arguments that no queue type knows are accepted, and kept for listings.

use polybus_model::{
    DeadLetter, DelayedRetry, Millis, Name, Overflow, QueueKind, QueueSettings, Returns, Table,
    Value,
};

use super::name;
use crate::codec::{BasicConsume, MethodId};
use crate::error::{Fault, erlang_string, queue_in, type_name};

/// The longest time to live or expiry, in milliseconds: 100 years.
const EXPIRY_MAX_MS: i64 = 3_153_600_000_000;
/// The attempts of a quorum queue whose declaration names no limit.
const DELIVERY_LIMIT_DEFAULT: u64 = 20;

/// The flags of `queue.declare`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueFlags {
    pub(crate) durable: bool,
    pub(crate) exclusive: bool,
    pub(crate) auto_delete: bool,
}

/// Where a text about a queue is to be told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub(crate) queue: &'a str,
    pub(crate) vhost: &'a str,
    pub(crate) method: MethodId,
}

impl Context<'_> {
    fn invalid(&self, argument: &str, why: impl AsRef<str>) -> Fault {
        let queue = queue_in(self.queue, self.vhost);
        Fault::precondition(
            self.method,
            format!("invalid arg '{argument}' for {queue}: {}", why.as_ref()),
        )
    }

    fn invalid_property(&self, property: &str) -> Fault {
        let queue = queue_in(self.queue, self.vhost);
        Fault::precondition(
            self.method,
            format!("invalid property '{property}' for {queue}"),
        )
    }
}

/// How an argument's value is checked.
#[derive(Clone, Copy)]
enum Check {
    /// Not at all.
    Any,
    /// 1 ms up to a century.
    Expires,
    /// 0 ms up to a century.
    Ttl,
    /// 0 or more.
    NonNegative,
    /// 1 or more.
    Positive,
    /// 0 to 255.
    Priority,
    Bool,
    Text,
    DeadLetterKey,
    /// One of these texts; else this reason.
    OneOf(&'static [&'static str], &'static str),
    /// One of these texts; else `unsupported <what> '<value>'`.
    Supported(&'static [&'static str], &'static str),
    Version,
    MaxAge,
}

/// What texts call a classic queue.
pub(crate) const CLASSIC_NAME: &str = "rabbit_classic_queue";
const STREAM_NAME: &str = "rabbit_stream_queue";

const SEGMENT_SIZE: &str = "x-stream-max-segment-size-bytes";
const SEGMENT_BYTES_MAX: i64 = 3_000_000_000;
const FILTER_SIZE: &str = "x-stream-filter-size-bytes";

const CLASSIC: u8 = 1;
const QUORUM: u8 = 2;
const STREAM: u8 = 4;

/// Every queue argument: its name, the queue types that know it, its check. In the order in which they are checked.
const ARGUMENTS: &[(&str, u8, Check)] = &[
    (
        "x-queue-type",
        CLASSIC | QUORUM | STREAM,
        Check::Supported(&["classic", "quorum", "stream"], "queue type"),
    ),
    ("x-expires", CLASSIC | QUORUM, Check::Expires),
    ("x-message-ttl", CLASSIC | QUORUM, Check::Ttl),
    ("x-dead-letter-exchange", CLASSIC | QUORUM, Check::Text),
    (
        "x-dead-letter-routing-key",
        CLASSIC | QUORUM,
        Check::DeadLetterKey,
    ),
    (
        "x-dead-letter-strategy",
        QUORUM,
        Check::OneOf(&["at-most-once", "at-least-once"], "invalid_dlx_strategy"),
    ),
    ("x-max-length", CLASSIC | QUORUM, Check::NonNegative),
    (
        "x-max-length-bytes",
        CLASSIC | QUORUM | STREAM,
        Check::NonNegative,
    ),
    ("x-max-in-memory-length", QUORUM, Check::NonNegative),
    ("x-max-in-memory-bytes", QUORUM, Check::NonNegative),
    ("x-max-priority", CLASSIC, Check::Priority),
    (
        "x-overflow",
        CLASSIC | QUORUM,
        Check::OneOf(
            &["drop-head", "reject-publish", "reject-publish-dlx"],
            "invalid_overflow",
        ),
    ),
    (
        "x-queue-mode",
        CLASSIC,
        Check::Supported(&["default", "lazy"], "queue mode"),
    ),
    ("x-queue-version", CLASSIC, Check::Version),
    ("x-single-active-consumer", CLASSIC | QUORUM, Check::Bool),
    (
        "x-quorum-initial-group-size",
        QUORUM | STREAM,
        Check::Positive,
    ),
    ("x-max-age", STREAM, Check::MaxAge),
    (SEGMENT_SIZE, STREAM, Check::NonNegative),
    (FILTER_SIZE, STREAM, Check::NonNegative),
    ("x-initial-cluster-size", STREAM, Check::Positive),
    (
        "x-queue-leader-locator",
        CLASSIC | QUORUM | STREAM,
        Check::OneOf(
            &["client-local", "balanced", "least-leaders", "random"],
            "invalid_queue_locator_arg",
        ),
    ),
    ("x-delivery-limit", QUORUM, Check::Any),
    // Other values than `all`, `returned`, `failed` and `disabled` are accepted, without effect.
    ("x-delayed-retry-type", QUORUM, Check::Text),
    ("x-delayed-retry-min", QUORUM, Check::NonNegative),
    ("x-delayed-retry-max", QUORUM, Check::NonNegative),
    ("x-consumer-timeout", CLASSIC | QUORUM, Check::NonNegative),
];

/// The settings that a `queue.declare` asks for.
///
/// # Errors
/// The fault with which RabbitMQ refuses them.
pub(crate) fn settings(
    flags: QueueFlags,
    arguments: Table,
    context: Context<'_>,
) -> Result<QueueSettings, Fault> {
    if let Some(value) = arguments.lookup("x-dead-letter-exchange")
        && !matches!(value, Value::Text(_))
    {
        return Err(Fault::precondition(
            context.method,
            format!(
                "invalid type '{}' for arg 'x-dead-letter-exchange' in {}",
                type_name(value),
                queue_in(context.queue, context.vhost)
            ),
        ));
    }
    let kind_bit = checked(&arguments, context)?;
    if kind_bit != CLASSIC {
        replicated(flags, context)?;
    }
    if kind_bit == STREAM {
        segments(&arguments, context)?;
    }
    Ok(collected(flags, kind_bit, arguments))
}

/// Checks all arguments; gives the queue type.
fn checked(arguments: &Table, context: Context<'_>) -> Result<u8, Fault> {
    if let (Some(value), Some((argument, _, check))) =
        (arguments.lookup("x-queue-type"), ARGUMENTS.first())
    {
        verify(*check, value, arguments).map_err(|why| context.invalid(argument, why))?;
    }
    let kind_name = kind_name(arguments);
    let kind_bit = match kind_name {
        CLASSIC_NAME => CLASSIC,
        STREAM_NAME => STREAM,
        _ => QUORUM,
    };
    for (argument, kinds, check) in ARGUMENTS {
        if kinds & kind_bit != 0
            && let Some(value) = arguments.lookup(argument)
        {
            verify(*check, value, arguments).map_err(|why| context.invalid(argument, why))?;
        }
    }
    for (argument, _) in arguments.iter() {
        if let Some((_, kinds, _)) = ARGUMENTS.iter().find(|(known, ..)| *known == argument)
            && kinds & kind_bit == 0
        {
            let queue = queue_in(context.queue, context.vhost);
            return Err(Fault::precondition(
                context.method,
                format!("invalid arg '{argument}' for {queue} of queue type {kind_name}"),
            ));
        }
    }
    Ok(kind_bit)
}

/// What texts call the queue type that these arguments name.
pub(crate) fn kind_name(arguments: &Table) -> &'static str {
    match arguments.lookup("x-queue-type").and_then(Value::as_str) {
        Some("quorum") => "rabbit_quorum_queue",
        Some("stream") => STREAM_NAME,
        _ => CLASSIC_NAME,
    }
}

/// What replicated queue types ask of the flags.
fn replicated(flags: QueueFlags, context: Context<'_>) -> Result<(), Fault> {
    if flags.auto_delete {
        Err(context.invalid_property("auto-delete"))
    } else if flags.exclusive {
        Err(context.invalid_property("exclusive-owner"))
    } else if !flags.durable {
        Err(context.invalid_property("non-durable"))
    } else {
        Ok(())
    }
}

/// What streams ask of the arguments about their files, which a log here has none of.
fn segments(arguments: &Table, context: Context<'_>) -> Result<(), Fault> {
    let number = |argument| arguments.lookup(argument).and_then(Value::as_i64);
    let refuse = |text: &str| Err(Fault::precondition(context.method, text));
    if number(SEGMENT_SIZE).is_some_and(|bytes| bytes > SEGMENT_BYTES_MAX) {
        return refuse("Exceeded max value for x-stream-max-segment-size-bytes");
    }
    if number(FILTER_SIZE).is_some_and(|bytes| !(16..=255).contains(&bytes)) {
        return refuse("Invalid value for x-stream-filter-size-bytes");
    }
    Ok(())
}

/// Checks that a consumer of a stream asks for nothing that only queues have.
pub(crate) fn stream_consumer(arguments: &Table, queue: &str) -> Result<(), Fault> {
    match arguments.lookup("x-priority") {
        None => Ok(()),
        Some(_) => Err(Fault::precondition(
            BasicConsume::ID,
            format!("invalid arg 'x-priority' for {queue} of queue type {STREAM_NAME}"),
        )),
    }
}

fn collected(flags: QueueFlags, kind_bit: u8, arguments: Table) -> QueueSettings {
    let number = |argument: &str| {
        arguments
            .lookup(argument)
            .and_then(Value::as_i64)
            .and_then(|v| u64::try_from(v).ok())
    };
    let text = |argument: &str| arguments.lookup(argument).and_then(Value::as_str);
    let quorum = kind_bit == QUORUM;
    QueueSettings {
        kind: match kind_bit {
            QUORUM => QueueKind::Quorum,
            STREAM => QueueKind::Log,
            _ => QueueKind::Classic,
        },
        durable: flags.durable,
        exclusive: flags.exclusive,
        auto_delete: flags.auto_delete,
        message_ttl: number("x-message-ttl"),
        expires: number("x-expires"),
        max_length: number("x-max-length"),
        max_bytes: number("x-max-length-bytes"),
        max_age: text("x-max-age").and_then(age_ms),
        overflow: match text("x-overflow") {
            Some("reject-publish") => Overflow::RejectPublish,
            // A quorum queue accepts the word, and drops the head.
            Some("reject-publish-dlx") if !quorum => Overflow::RejectPublishDeadLetter,
            _ => Overflow::DropHead,
        },
        dead_letter: dead_letter(&arguments),
        max_priority: number("x-max-priority").and_then(|v| u8::try_from(v).ok()),
        delivery_limit: if quorum {
            delivery_limit(&arguments)
        } else {
            None
        },
        delayed_retry: delayed_retry(text("x-delayed-retry-type"), &number),
        single_active: arguments
            .lookup("x-single-active-consumer")
            .and_then(Value::as_bool)
            .unwrap_or(false),
        consumer_timeout: number("x-consumer-timeout"),
        internal: false,
        arguments,
    }
}

fn dead_letter(arguments: &Table) -> Option<DeadLetter> {
    let topic: Name = name(arguments.lookup("x-dead-letter-exchange")?.as_str()?);
    let key = match arguments.lookup("x-dead-letter-routing-key") {
        Some(Value::Text(key)) => Some(key.clone()),
        _ => None,
    };
    Some(DeadLetter { topic, key })
}

/// 20 where nothing is said, none where a negative number is.
fn delivery_limit(arguments: &Table) -> Option<u64> {
    match arguments.lookup("x-delivery-limit").and_then(Value::as_i64) {
        None => Some(DELIVERY_LIMIT_DEFAULT),
        Some(limit) => u64::try_from(limit).ok(),
    }
}

fn delayed_retry(
    kind: Option<&str>,
    number: &dyn Fn(&str) -> Option<Millis>,
) -> Option<DelayedRetry> {
    let of = match kind? {
        "all" => Returns::All,
        "failed" => Returns::Failed,
        "returned" => Returns::Unfailed,
        _ => return None,
    };
    let min = number("x-delayed-retry-min").filter(|ms| *ms > 0)?;
    let max = number("x-delayed-retry-max").unwrap_or(Millis::MAX);
    Some(DelayedRetry {
        of,
        min,
        max: max.max(min),
    })
}

/// The priority and timeout that a `basic.consume` names.
///
/// # Errors
/// The fault with which RabbitMQ refuses them.
pub(crate) fn consumer(
    arguments: &Table,
    context: Context<'_>,
) -> Result<(i32, Option<Millis>), Fault> {
    let priority = match arguments.lookup("x-priority") {
        None => 0,
        Some(value) => {
            let wide = integer(value).map_err(|why| context.invalid("x-priority", why))?;
            wide.clamp(i32::MIN.into(), i32::MAX.into()) as i32
        }
    };
    if let Some(value) = arguments.lookup("x-cancel-on-ha-failover") {
        verify(Check::Bool, value, arguments)
            .map_err(|why| context.invalid("x-cancel-on-ha-failover", why))?;
    }
    let timeout = match arguments.lookup("x-consumer-timeout") {
        None => None,
        Some(value) => {
            verify(Check::NonNegative, value, arguments)
                .map_err(|why| context.invalid("x-consumer-timeout", why))?;
            value.as_i64().and_then(|v| Millis::try_from(v).ok())
        }
    };
    Ok((priority, timeout))
}

fn integer(value: &Value) -> Result<i64, String> {
    value
        .as_i64()
        .ok_or_else(|| erlang_string(&format!("expected integer, got {}", type_name(value))))
}

fn non_negative(value: &Value) -> Result<i64, String> {
    match integer(value)? {
        v if v < 0 => Err(format!("{{value_negative,{v}}}")),
        v => Ok(v),
    }
}

fn expiry(value: i64) -> Result<(), String> {
    if value < 0 {
        Err(format!("{{value_negative,{value}}}"))
    } else if value > EXPIRY_MAX_MS {
        Err(format!("{{value_too_large,{value}}}"))
    } else {
        Ok(())
    }
}

fn long_text(value: &Value) -> Result<&str, String> {
    match value {
        Value::Text(bytes) => Ok(std::str::from_utf8(bytes).unwrap_or_default()),
        other => Err(format!("{{unacceptable_type,{}}}", type_name(other))),
    }
}

/// Checks a value; the error is the reason as RabbitMQ prints it.
fn verify(check: Check, value: &Value, arguments: &Table) -> Result<(), String> {
    match check {
        Check::Any => Ok(()),
        Check::Expires => match integer(value)? {
            0 => Err("{value_zero,0}".to_owned()),
            v => expiry(v),
        },
        Check::Ttl => expiry(integer(value)?),
        Check::NonNegative => non_negative(value).map(drop),
        Check::Positive => match non_negative(value)? {
            0 => Err("{value_zero,0}".to_owned()),
            _ => Ok(()),
        },
        Check::Priority => match non_negative(value)? {
            v if v > 255 => Err(format!("{{max_value_exceeded,{v}}}")),
            _ => Ok(()),
        },
        Check::Bool => match value {
            Value::Bool(_) => Ok(()),
            other => Err(format!("{{unacceptable_type,{}}}", type_name(other))),
        },
        Check::Text => long_text(value).map(drop),
        Check::DeadLetterKey => {
            long_text(value)?;
            if arguments.lookup("x-dead-letter-exchange").is_some() {
                Ok(())
            } else {
                Err("routing_key_but_no_dlx_defined".to_owned())
            }
        }
        Check::OneOf(texts, why) => {
            if texts.contains(&long_text(value)?) {
                Ok(())
            } else {
                Err(why.to_owned())
            }
        }
        Check::Supported(texts, what) => {
            let text = long_text(value)?;
            if texts.contains(&text) {
                Ok(())
            } else {
                Err(erlang_string(&format!("unsupported {what} '{text}'")))
            }
        }
        Check::Version => match non_negative(value)? {
            1 | 2 => Ok(()),
            v => Err(erlang_string(&format!("unsupported queue version '{v}'"))),
        },
        Check::MaxAge => match age_ms(long_text(value)?) {
            Some(_) => Ok(()),
            None => Err("invalid_max_age".to_owned()),
        },
    }
}

/// An age in milliseconds: a number above zero and a unit, as `7D`.
pub(crate) fn age_ms(text: &str) -> Option<Millis> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = text.get(..text.len() - unit.len())?;
    let number = digits.parse::<u64>().ok().filter(|number| *number > 0)?;
    let seconds: u64 = match unit {
        "Y" => 365 * 86_400,
        "M" => 30 * 86_400,
        "D" => 86_400,
        "h" => 3_600,
        "m" => 60,
        "s" => 1,
        _ => return None,
    };
    Some(number.saturating_mul(seconds).saturating_mul(1_000))
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
