//! The dead-letter history: the `x-death` header and its kin, to the model's [`Death`] and back.

use bytes::Bytes;
use polybus_model::{Death, DeathReason, Millis, Table, Value};

use super::name;
use crate::codec::{RawValue, TableWriter, Values};

/// A history longer than this is cut: no broker writes one, a peer might.
const DEATHS_MAX: usize = 256;

/// The headers that are rendered from the history.
pub(crate) fn is_rendered(header: &[u8]) -> bool {
    header.strip_prefix(b"x-").is_some_and(|rest| {
        matches!(
            rest,
            b"death"
                | b"first-death-exchange"
                | b"first-death-queue"
                | b"first-death-reason"
                | b"last-death-exchange"
                | b"last-death-queue"
                | b"last-death-reason"
        )
    })
}

/// Reads an `x-death` header; none if it is not one that a broker wrote.
pub(crate) fn parse(values: Values<'_>) -> Option<Vec<Death>> {
    let mut deaths = Vec::new();
    for value in values.take(DEATHS_MAX) {
        deaths.push(parse_one(value)?);
    }
    Some(deaths)
}

fn parse_one(value: RawValue<'_>) -> Option<Death> {
    let table = value.as_table()?;
    let text = |field: &[u8]| std::str::from_utf8(table.lookup(field)?.as_text()?).ok();
    let keys = match table.lookup(b"routing-keys").and_then(RawValue::as_array) {
        Some(keys) => keys
            .filter_map(|key| key.as_text().map(Bytes::copy_from_slice))
            .collect(),
        None => Vec::new(),
    };
    let time_s = match table.lookup(b"time") {
        Some(time) if time.kind == b'T' => {
            <[u8; 8]>::try_from(time.bytes).map_or(0, u64::from_be_bytes)
        }
        _ => 0,
    };
    Some(Death {
        reason: match text(b"reason")? {
            "rejected" => DeathReason::Rejected,
            "expired" => DeathReason::Expired,
            "maxlen" => DeathReason::MaxLength,
            "delivery_limit" => DeathReason::DeliveryLimit,
            _ => return None,
        },
        queue: name(text(b"queue")?),
        topic: name(text(b"exchange").unwrap_or_default()),
        keys,
        time: time_s.saturating_mul(1000),
        count: table
            .lookup(b"count")
            .and_then(RawValue::as_i64)
            .and_then(|count| u64::try_from(count).ok())
            .unwrap_or(1),
        original_ttl: text(b"original-expiration").and_then(|ms| ms.parse::<Millis>().ok()),
    })
}

/// What the wire calls a reason.
pub(crate) fn reason_text(reason: DeathReason) -> &'static str {
    match reason {
        DeathReason::Rejected => "rejected",
        DeathReason::Expired => "expired",
        DeathReason::MaxLength => "maxlen",
        DeathReason::DeliveryLimit => "delivery_limit",
    }
}

/// Appends `x-death`, then who was first and who was last.
pub(crate) fn render(deaths: &[Death], headers: &mut TableWriter<'_>) {
    let (Some(last), Some(first)) = (deaths.first(), first_of(deaths)) else {
        return;
    };
    let history = deaths.iter().map(|death| Value::Table(rendered(death)));
    headers.entry("x-death", &Value::Array(history.collect()));
    for (which, death) in [("first", first), ("last", last)] {
        headers.entry(
            &format!("x-{which}-death-exchange"),
            &Value::text(death.topic.as_str()),
        );
        headers.entry(
            &format!("x-{which}-death-queue"),
            &Value::text(death.queue.as_str()),
        );
        headers.entry(
            &format!("x-{which}-death-reason"),
            &Value::text(reason_text(death.reason)),
        );
    }
}

/// The entry whose first death came first; of several in one instant, the one that has not come again since.
fn first_of(deaths: &[Death]) -> Option<&Death> {
    deaths.iter().rev().min_by_key(|death| death.time)
}

fn rendered(death: &Death) -> Table {
    let mut table = Table::new();
    if let Some(ttl) = death.original_ttl {
        table.push("original-expiration", Value::text(&ttl.to_string()));
    }
    let count = i64::try_from(death.count).unwrap_or(i64::MAX);
    table.push("count", Value::I64(count));
    table.push("reason", Value::text(reason_text(death.reason)));
    table.push("queue", Value::text(death.queue.as_str()));
    table.push("time", Value::Timestamp(death.time / 1000));
    table.push("exchange", Value::text(death.topic.as_str()));
    let keys = death.keys.iter().map(|key| Value::Text(key.clone()));
    table.push("routing-keys", Value::Array(keys.collect()));
    table
}
