//! Replies as people see them: each listing is a choice of fields, in columns.

use serde_json::Value;

use crate::table::Table;

/// A listing's columns: the title and the field of the reply.
pub(super) type Columns = &'static [(&'static str, &'static str)];

pub(super) const QUEUES: Columns = &[
    ("name", "name"),
    ("kind", "kind"),
    ("durable", "durable"),
    ("ready", "ready"),
    ("unacked", "unacknowledged"),
    ("waiting", "waiting"),
    ("bytes", "bytes"),
    ("consumers", "consumers"),
    ("arguments", "arguments"),
];
pub(super) const TOPICS: Columns = &[
    ("name", "name"),
    ("kind", "kind"),
    ("durable", "durable"),
    ("internal", "internal"),
    ("delayed", "delayed"),
    ("alternate", "alternate"),
    ("arguments", "arguments"),
];
pub(super) const LOGS: Columns = &[
    ("name", "name"),
    ("partitions", "partitions"),
    ("bytes", "bytes"),
    ("retention-ms", "retention_ms"),
    ("retention-bytes", "retention_bytes"),
    ("compacts", "compacts"),
    ("keyed", "keyed"),
    ("durable", "durable"),
];
pub(super) const BINDINGS: Columns = &[
    ("topic", "source"),
    ("to", "destination_kind"),
    ("destination", "destination"),
    ("key", "key"),
    ("arguments", "arguments"),
];
pub(super) const CONSUMERS: Columns = &[
    ("queue", "queue"),
    ("tag", "tag"),
    ("connection", "connection"),
    ("channel", "channel"),
    ("acks", "acknowledges"),
    ("exclusive", "exclusive"),
    ("priority", "priority"),
    ("prefetch", "prefetch"),
    ("unacked", "unacknowledged"),
    ("active", "active"),
];
pub(super) const CONNECTIONS: Columns = &[
    ("id", "id"),
    ("peer", "peer"),
    ("protocol", "protocol"),
    ("tls", "tls"),
    ("user", "user"),
    ("namespace", "namespace"),
    ("state", "state"),
    ("channels", "channels"),
    ("client", "client"),
    ("label", "label"),
];
pub(super) const USERS: Columns = &[
    ("name", "name"),
    ("password", "has_password"),
    ("tags", "tags"),
];
pub(super) const PERMISSIONS: Columns = &[
    ("user", "user"),
    ("namespace", "namespace"),
    ("configure", "configure"),
    ("write", "write"),
    ("read", "read"),
];

/// A listing in columns.
pub(super) fn table(columns: Columns, reply: &Value) -> String {
    let titles: Vec<&str> = columns.iter().map(|(title, _)| *title).collect();
    let mut table = Table::new(&titles);
    for entry in reply.as_array().into_iter().flatten() {
        table.row(
            columns
                .iter()
                .map(|(_, field)| cell(entry.get(field)))
                .collect(),
        );
    }
    table.to_string()
}

/// A list of names.
pub(super) fn names(title: &str, reply: &Value) -> String {
    let mut table = Table::new(&[title]);
    for name in reply.as_array().into_iter().flatten() {
        table.row(vec![cell(Some(name))]);
    }
    table.to_string()
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::Bool(true)) => "yes".into(),
        Some(Value::Bool(false)) => "no".into(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(values)) => {
            let cells: Vec<String> = values.iter().map(|value| cell(Some(value))).collect();
            cells.join(" ")
        }
        Some(Value::Object(fields)) => {
            let cells: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{name}={}", cell(Some(value))))
                .collect();
            cells.join(" ")
        }
        Some(value) => value.to_string(),
    }
}

/// How the broker is.
pub(super) fn status(reply: &Value) -> String {
    let mut table = Table::new(&["polybus", ""]);
    let version = cell(reply.get("version"));
    let process = cell(reply.get("pid"));
    let blocked = reply.get("blocked").and_then(Value::as_bool) == Some(true);
    table.row(vec![
        "state".into(),
        if blocked {
            "ready, takes no messages: the disk is nearly full"
        } else {
            "ready"
        }
        .into(),
    ]);
    table.row(vec!["version".into(), version]);
    table.row(vec!["process".into(), format!("pid {process}")]);
    for listener in reply
        .get("listeners")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        table.row(vec![
            cell(listener.get("protocol")),
            cell(listener.get("address")),
        ]);
    }
    for field in [
        "data",
        "durability",
        "namespaces",
        "queues",
        "messages",
        "connections",
    ] {
        table.row(vec![field.into(), cell(reply.get(field))]);
    }
    if let Some(free) = reply.get("disk_free_bytes").and_then(Value::as_u64) {
        table.row(vec!["disk free".into(), format!("{} MiB", free >> 20)]);
    }
    let text = table.to_string();
    text.split_once('\n')
        .map_or(String::new(), |(_, rows)| rows.to_owned())
}

/// Messages, one after the other: a head line, then the body.
pub(super) fn messages(reply: &Value) -> String {
    let mut all = String::new();
    for message in reply.as_array().into_iter().flatten() {
        let mut head = vec![format!("#{}", cell(message.get("sequence")))];
        for field in ["topic", "key", "priority"] {
            let text = cell(message.get(field));
            if !text.is_empty() {
                head.push(format!("{field}={text}"));
            }
        }
        for (field, word) in [("durable", "durable"), ("redelivered", "redelivered")] {
            if message.get(field).and_then(Value::as_bool) == Some(true) {
                head.push(word.to_owned());
            }
        }
        head.push(format!("{} bytes", cell(message.get("body_bytes"))));
        for field in ["headers", "deaths"] {
            let text = cell(message.get(field));
            if !text.is_empty() {
                head.push(format!("{field}: {text}"));
            }
        }
        all += &disarmed(&head.join("  "), false);
        all.push('\n');
        all += &disarmed(&cell(message.get("body")), true);
        all += "\n";
    }
    all
}

/// What others wrote must not steer the terminal.
fn disarmed(text: &str, is_body: bool) -> String {
    let is_kept = |c: char| !c.is_control() || (is_body && matches!(c, '\n' | '\t'));
    text.chars()
        .map(|c| if is_kept(c) { c } else { '\u{fffd}' })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scratch::assert_same;

    #[test]
    fn queues_in_columns() {
        let reply = json!([
            {"name": "billing_queue", "kind": "classic", "durable": true, "exclusive": false, "auto_delete": false,
             "ready": 12, "unacknowledged": 3, "waiting": 0, "bytes": 123_456, "memory": 1, "consumers": 1,
             "arguments": {"x-dead-letter-exchange": "dead", "x-max-length": 5}},
            {"name": "q", "kind": "quorum", "durable": true, "ready": 0, "unacknowledged": 0, "waiting": 0, "bytes": 0,
             "consumers": 0, "arguments": {}},
        ]);
        assert_same(&table(QUEUES, &reply), "tests/shown/queues.txt");
        assert_eq!(table(USERS, &json!([])), "NAME  PASSWORD  TAGS\n");
    }

    #[test]
    fn the_status_in_rows() {
        let reply = json!({
            "version": "0.1.0", "data": "./data", "durability": "fsync", "connections": 2, "namespaces": 1, "queues": 3,
            "messages": 40, "disk_free_bytes": 5_368_709_120u64, "blocked": false, "pid": 17,
            "listeners": [{"protocol": "amqp", "address": "[::]:5672"}],
        });
        assert_same(&status(&reply), "tests/shown/status.txt");
    }

    #[test]
    fn messages_with_what_is_odd_disarmed() {
        let reply = json!([
            {"sequence": 7, "topic": "sales", "key": "sale.created", "durable": true, "redelivered": false, "priority": null,
             "headers": {"version": 1}, "deaths": ["q (Rejected, 1 times)"], "body_bytes": 15, "body": "{\"a\":\n\t1}\u{1b}[2J"},
            {"sequence": 8, "topic": "", "key": "q", "durable": false, "redelivered": true, "priority": 3, "headers": {},
             "deaths": [], "body_bytes": 0, "body": ""},
        ]);
        assert_same(&messages(&reply), "tests/shown/messages.txt");
    }
}
