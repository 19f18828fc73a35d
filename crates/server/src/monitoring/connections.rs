//! `/connz`: who is connected, and who was lately.
//!
//! ```text
//! open ones (the broker's list) + gone ones (the protocol's) -> state, cid, user, filter -> sort -> offset, limit -> subscriptions
//! ```
//! Subscriptions are asked for only of the connections that are listed, and of all of them together no more than
//! [`SUBSCRIPTIONS_LISTED`].

use std::cmp::Reverse;
use std::net::SocketAddr;

use polybus_broker::Broker;
use polybus_broker::admin::{ConnectionInfo, Traffic};
use polybus_model::{LiveFilter, Millis};
use polybus_nats::{Gone, filter_of, subject_of, time_text};
use serde_json::{Map, Value, json};

use super::{PROTOCOL, uptime};
use crate::http::Query;

/// As many connections are listed if nobody says otherwise.
const LISTED: usize = 1024;
/// As many subscriptions a page has at most.
const SUBSCRIPTIONS_LISTED: usize = 100_000;

/// One connection of a listing.
struct Row {
    info: ConnectionInfo,
    /// When it went, and why.
    gone: Option<(Millis, String)>,
}

/// What is to be told of subscriptions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Subscriptions {
    None,
    Subjects,
    Details,
}

/// The open connections of the protocol.
pub(super) fn open(broker: &Broker) -> Vec<ConnectionInfo> {
    let mut all = broker.connections();
    all.retain(|connection| connection.protocol == PROTOCOL);
    all
}

/// The page's listing: how many there are, where it begins, how many it may have, and the connections.
///
/// # Errors
/// A text that says what of the query nobody understands.
pub(super) fn list(
    broker: &Broker,
    gone: &[Gone],
    query: &Query<'_>,
    now: Millis,
) -> Result<Value, String> {
    let mut rows = rows(broker, gone, query)?;
    sort(&mut rows, query.lookup("sort").unwrap_or("cid"), now)?;
    let total = rows.len();
    let offset = query.count("offset").unwrap_or(0);
    let limit = query.count("limit").filter(|limit| *limit > 0);
    let limit = limit.unwrap_or(LISTED);
    let wanted = match query.lookup("subs") {
        Some("detail") => Subscriptions::Details,
        Some("1" | "true") => Subscriptions::Subjects,
        _ => Subscriptions::None,
    };
    let mut room = SUBSCRIPTIONS_LISTED;
    let listed = rows.iter().skip(offset).take(limit).map(|row| {
        let mut told = told(row, now);
        if wanted != Subscriptions::None && row.gone.is_none() {
            tell_subscriptions(broker, &row.info, wanted, &mut room, &mut told);
        }
        Value::Object(told)
    });
    let listed: Vec<Value> = listed.collect();
    Ok(json!({
        "now": time_text(now),
        "num_connections": listed.len(),
        "total": total,
        "offset": offset,
        "limit": limit,
        "connections": listed,
    }))
}

fn rows(broker: &Broker, gone: &[Gone], query: &Query<'_>) -> Result<Vec<Row>, String> {
    let (wants_open, wants_gone) = match query.lookup("state").unwrap_or("open") {
        "open" => (true, false),
        "closed" => (false, true),
        "any" | "all" => (true, true),
        other => {
            let other = other.escape_default();
            return Err(format!("state is open, closed or all, not '{other}'"));
        }
    };
    let mut rows = Vec::new();
    if wants_open {
        let open = open(broker).into_iter();
        rows.extend(open.map(|info| Row { info, gone: None }));
    }
    if wants_gone {
        rows.extend(gone.iter().map(row_of_gone));
    }
    if let Some(number) = query.count("cid") {
        rows.retain(|row| row.info.number == number as u64);
    }
    if let Some(user) = query.text("user") {
        rows.retain(|row| row.info.user.as_deref() == Some(&*user));
    }
    if let Some(subject) = query.text("filter_subject") {
        let filter = filter_of(subject.as_bytes());
        let filter = filter.ok_or("filter_subject is no subject")?;
        // What listens to any of what the filter is for.
        let listens = |row: &Row| {
            let all = broker.live_of(row.info.id, SUBSCRIPTIONS_LISTED);
            all.iter().any(|one| one.filter.overlaps(&filter))
        };
        rows.retain(|row| row.gone.is_none() && listens(row));
    }
    Ok(rows)
}

fn row_of_gone(gone: &Gone) -> Row {
    let summary = &gone.summary;
    let reason = gone.reason.clone();
    Row {
        info: ConnectionInfo {
            id: 0,
            peer: gone.remote.to_string(),
            protocol: PROTOCOL.to_owned(),
            tls: gone.is_encrypted,
            user: summary.user.clone(),
            namespace: summary.namespace.clone(),
            state: "closed".to_owned(),
            channels: 0,
            client: summary.client.clone(),
            label: summary.label.clone(),
            connected_at: gone.connected_at,
            active_at: gone.gone_at,
            number: summary.number,
            traffic: summary.traffic.into(),
        },
        gone: Some((
            gone.gone_at,
            reason.unwrap_or_else(|| "Client Closed".into()),
        )),
    }
}

/// Sorts as nats-server does: the greatest first, but for numbers and times of coming.
fn sort(rows: &mut [Row], by: &str, now: Millis) -> Result<(), String> {
    let most = |rows: &mut [Row], of: fn(&Traffic) -> u64| {
        rows.sort_by_key(|row| Reverse(of(&row.info.traffic)));
    };
    match by {
        "cid" => rows.sort_by_key(|row| row.info.number),
        "start" => rows.sort_by_key(|row| (row.info.connected_at, row.info.number)),
        "subs" => most(rows, |traffic| traffic.subscriptions),
        "pending" => most(rows, |traffic| traffic.pending),
        "msgs_to" => most(rows, |traffic| traffic.messages_out),
        "msgs_from" => most(rows, |traffic| traffic.messages_in),
        "bytes_to" => most(rows, |traffic| traffic.bytes_out),
        "bytes_from" => most(rows, |traffic| traffic.bytes_in),
        "last" => rows.sort_by_key(|row| Reverse(row.info.active_at)),
        "idle" => rows.sort_by_key(|row| row.info.active_at),
        "uptime" => rows.sort_by_key(|row| Reverse(lived(row, now))),
        "stop" => rows.sort_by_key(|row| Reverse(row.gone.as_ref().map_or(0, |gone| gone.0))),
        "reason" => rows.sort_by(|a, b| {
            let reason = |row: &Row| row.gone.as_ref().map(|gone| gone.1.clone());
            reason(a).cmp(&reason(b))
        }),
        other => {
            let other = other.escape_default();
            return Err(format!("connections are not sorted by '{other}'"));
        }
    }
    Ok(())
}

fn lived(row: &Row, now: Millis) -> Millis {
    let until = row.gone.as_ref().map_or(now, |gone| gone.0);
    until.saturating_sub(row.info.connected_at)
}

fn told(row: &Row, now: Millis) -> Map<String, Value> {
    let (info, traffic) = (&row.info, row.info.traffic);
    let address = info.peer.parse::<SocketAddr>().ok();
    let (lang, version) = match info.client.as_deref() {
        Some(software) => software.split_once(' ').unwrap_or((software, "")),
        None => ("", ""),
    };
    let until = row.gone.as_ref().map_or(now, |gone| gone.0);
    let told = json!({
        "cid": info.number,
        "kind": "Client",
        "type": "nats",
        "ip": address.map(|at| at.ip().to_string()),
        "port": address.map(|at| at.port()),
        "start": time_text(info.connected_at),
        "last_activity": time_text(info.active_at),
        "uptime": uptime(lived(row, now)),
        "idle": uptime(until.saturating_sub(info.active_at)),
        "pending_bytes": traffic.pending,
        "in_msgs": traffic.messages_in,
        "out_msgs": traffic.messages_out,
        "in_bytes": traffic.bytes_in,
        "out_bytes": traffic.bytes_out,
        "subscriptions": traffic.subscriptions,
        "name": info.label,
        "lang": lang,
        "version": version,
        "tls_version": info.tls.then_some("yes"),
        "authorized_user": info.user,
        "account": "$G",
    });
    let Value::Object(mut told) = told else {
        return Map::new();
    };
    if let Some((at, reason)) = &row.gone {
        told.insert("stop".into(), time_text(*at).into());
        told.insert("reason".into(), reason.as_str().into());
    }
    told
}

fn tell_subscriptions(
    broker: &Broker,
    info: &ConnectionInfo,
    wanted: Subscriptions,
    room: &mut usize,
    told: &mut Map<String, Value>,
) {
    let mut all = details(broker, info, *room, None);
    *room -= all.len();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    if wanted == Subscriptions::Details {
        let details = all.into_iter().map(|(_, detail)| detail).collect();
        told.insert("subscriptions_list_detail".into(), details);
    } else {
        let subjects = all.into_iter().map(|(subject, _)| subject).collect();
        told.insert("subscriptions_list".into(), subjects);
    }
}

/// So many of a connection's subscriptions, of those that a subject reaches if one is named: the subject, and all there is to
/// tell.
pub(super) fn details(
    broker: &Broker,
    info: &ConnectionInfo,
    most: usize,
    reached_by: Option<&LiveFilter>,
) -> Vec<(String, Value)> {
    let all = broker.live_of(info.id, most).into_iter();
    let is_reached = |filter: &LiveFilter| reached_by.is_none_or(|subject| filter.covers(subject));
    let all = all.filter(|one| is_reached(&one.filter)).map(|one| {
        let subject = subject_of(&one.filter);
        let mut detail = json!({
            "account": "$G",
            "subject": subject,
            "msgs": one.had,
            "cid": info.number,
        });
        if let Value::Object(detail) = &mut detail {
            let share = one.share.map(|name| String::from_utf8_lossy(&name).into());
            detail.extend(share.map(|name: String| ("qgroup".into(), name.into())));
            detail.extend(one.most.map(|most| ("max".into(), most.into())));
        }
        (subject, detail)
    });
    all.collect()
}
