//! `/subsz`: what clients have subscribed to, and whom a subject would reach.

use polybus_broker::Broker;
use polybus_model::Millis;
use polybus_nats::{filter_of, time_text};
use serde_json::{Map, Value, json};

use super::connections;
use crate::http::Query;

/// As many subscriptions are listed if nobody says otherwise.
const LISTED: usize = 1024;
/// As many are looked at for one page.
const LOOKED_AT_MAX: usize = 1_000_000;

/// The counts, and with `subs=1` or `test=SUBJECT` the subscriptions.
///
/// # Errors
/// A text that says what of the query nobody understands.
pub(super) fn list(broker: &Broker, query: &Query<'_>, now: Millis) -> Result<Value, String> {
    let open = connections::open(broker);
    let count: u64 = open.iter().map(|c| c.traffic.subscriptions).sum();
    let mut told = Map::new();
    told.insert("now".into(), time_text(now).into());
    told.insert("num_subscriptions".into(), count.into());
    let test = query.text("test").filter(|subject| !subject.is_empty());
    let is_wanted = matches!(query.lookup("subs"), Some("1" | "true"));
    if !is_wanted && test.is_none() {
        return Ok(Value::Object(told));
    }
    let test = test
        .map(|subject| {
            let subject = filter_of(subject.as_bytes());
            subject.filter(|one| one.as_key().is_some())
        })
        .map(|subject| subject.ok_or("test is no subject that could be published to"))
        .transpose()?;
    let (mut room, mut found) = (LOOKED_AT_MAX, Vec::new());
    for connection in &open {
        let all = connections::details(broker, connection, room, test.as_ref());
        room = room.saturating_sub(all.len());
        found.extend(all);
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let offset = query.count("offset").unwrap_or(0);
    let limit = query.count("limit").filter(|limit| *limit > 0);
    let limit = limit.unwrap_or(LISTED);
    let total = found.len();
    let listed = found.into_iter().skip(offset).take(limit);
    let listed: Vec<Value> = listed.map(|(_, detail)| detail).collect();
    told.insert("total".into(), total.into());
    told.insert("offset".into(), offset.into());
    told.insert("limit".into(), limit.into());
    told.insert("subscriptions_list".into(), json!(listed));
    Ok(Value::Object(told))
}
