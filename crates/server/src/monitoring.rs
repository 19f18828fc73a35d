//! What tools for NATS look at over HTTP: `/varz`, `/connz`, `/subsz`, `/jsz` and `/healthz`, with nats-server's names for
//! what there is. What there is not (routes, leaf nodes, gateways) is left out or none.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use polybus_broker::Broker;
use polybus_broker::admin::ConnectionInfo;
use polybus_model::Millis;
use polybus_nats::{ReportWants, Totals, VERSION, jetstream_report, server_id, time_text};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::clock::{Clock, millis};
use crate::config::{Config, Nats};
use crate::http::{Page, Pages, Query};

/// As many connections are listed if nobody says otherwise.
const CONNECTIONS_LISTED: usize = 1024;
/// The protocol's name in listings.
const PROTOCOL: &str = "NATS";

/// The pages.
pub(crate) struct Monitoring {
    broker: Broker,
    clock: Clock,
    started_at: Millis,
    totals: Arc<Totals>,
    nats: Nats,
    connections_max: u64,
    has_tls: bool,
    /// Where clients connect, and where these pages are.
    listens: Option<SocketAddr>,
    address: SocketAddr,
}

impl Monitoring {
    /// Pages about this broker.
    pub(crate) fn new(
        broker: Broker,
        clock: Clock,
        totals: Arc<Totals>,
        config: &Config,
        listens: Option<SocketAddr>,
        address: SocketAddr,
    ) -> Self {
        Self {
            broker,
            clock,
            started_at: clock.now(),
            totals,
            nats: config.nats.clone(),
            connections_max: config.limits.connections,
            has_tls: config.tls.certificate.is_some(),
            listens,
            address,
        }
    }

    fn connections(&self) -> Vec<ConnectionInfo> {
        let mut all = self.broker.connections();
        all.retain(|connection| connection.protocol == PROTOCOL);
        all
    }

    fn varz(&self) -> Value {
        let now = self.clock.now();
        let open = self.connections();
        let gone = self.totals.traffic();
        let sum =
            |gone: u64, each: fn(&ConnectionInfo) -> u64| gone + open.iter().map(each).sum::<u64>();
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let lived_s = (now.saturating_sub(self.started_at) as f64 / 1000.0).max(0.001);
        json!({
            "server_id": server_id(self.broker.identity()),
            "server_name": self.nats.server_name,
            "version": VERSION,
            "polybus_version": env!("CARGO_PKG_VERSION"),
            "proto": 1,
            "go": "",
            "host": self.listens.map(|at| at.ip().to_string()),
            "port": self.listens.map(|at| at.port()),
            "auth_required": self.nats.auth,
            "tls_required": self.has_tls && self.nats.tls.is_required(),
            "http_host": self.address.ip().to_string(),
            "http_port": self.address.port(),
            "http_base_path": "",
            "max_connections": self.connections_max,
            "max_subscriptions": self.nats.subscriptions_max,
            "max_payload": self.nats.payload_bytes_max,
            "max_control_line": self.nats.line_bytes_max,
            "max_pending": self.nats.pending_bytes_max,
            "ping_interval": nanos(self.nats.ping_interval),
            "ping_max": self.nats.pings_max,
            "auth_timeout": self.nats.auth_timeout.as_secs_f64(),
            "write_deadline": nanos(self.nats.write_deadline),
            "start": time_text(self.started_at),
            "now": time_text(now),
            "uptime": uptime(now.saturating_sub(self.started_at)),
            "mem": resident_bytes(),
            "cores": std::thread::available_parallelism().map_or(1, usize::from),
            "cpu": (cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9) / lived_s * 100.0,
            "connections": open.len(),
            "total_connections": self.totals.connections(),
            "routes": 0,
            "remotes": 0,
            "leafnodes": 0,
            "in_msgs": sum(gone.messages_in, |c| c.traffic.messages_in),
            "out_msgs": sum(gone.messages_out, |c| c.traffic.messages_out),
            "in_bytes": sum(gone.bytes_in, |c| c.traffic.bytes_in),
            "out_bytes": sum(gone.bytes_out, |c| c.traffic.bytes_out),
            "slow_consumers": self.totals.slow(),
            "subscriptions": sum(0, |c| c.traffic.subscriptions),
        })
    }

    fn connz(&self, query: &Query<'_>) -> Value {
        let now = self.clock.now();
        let mut all = self.connections();
        match query.lookup("sort") {
            Some("subs") => all.sort_by_key(|c| std::cmp::Reverse(c.traffic.subscriptions)),
            Some("msgs_to") => all.sort_by_key(|c| std::cmp::Reverse(c.traffic.messages_out)),
            Some("msgs_from") => all.sort_by_key(|c| std::cmp::Reverse(c.traffic.messages_in)),
            Some("bytes_to") => all.sort_by_key(|c| std::cmp::Reverse(c.traffic.bytes_out)),
            Some("bytes_from") => all.sort_by_key(|c| std::cmp::Reverse(c.traffic.bytes_in)),
            _ => all.sort_by_key(|c| c.id),
        }
        let total = all.len();
        let offset = query.count("offset").unwrap_or(0);
        let limit = query.count("limit").filter(|limit| *limit > 0);
        let limit = limit.unwrap_or(CONNECTIONS_LISTED);
        let listed: Vec<Value> = all
            .iter()
            .skip(offset)
            .take(limit)
            .map(|connection| connection_value(connection, now))
            .collect();
        json!({
            "server_id": server_id(self.broker.identity()),
            "now": time_text(now),
            "num_connections": listed.len(),
            "total": total,
            "offset": offset,
            "limit": limit,
            "connections": listed,
        })
    }

    fn subsz(&self) -> Value {
        let open = self.connections();
        let subscriptions: u64 = open.iter().map(|c| c.traffic.subscriptions).sum();
        json!({
            "server_id": server_id(self.broker.identity()),
            "now": time_text(self.clock.now()),
            "num_subscriptions": subscriptions,
        })
    }

    fn jsz(&self, query: &Query<'_>) -> Value {
        let now = self.clock.now();
        let is_set = |name| matches!(query.lookup(name), Some("1" | "true"));
        let wants = ReportWants {
            streams: is_set("streams"),
            consumers: is_set("consumers"),
            config: is_set("config"),
        };
        // A namespace that is not there has no streams.
        let logs = self.broker.keyed_logs(&self.nats.namespace);
        let logs = logs.unwrap_or_default();
        let shown = logs
            .iter()
            .map(|one| (&one.log, &one.state, &one.readers[..]));
        let mut told = jetstream_report(shown, wants, now);
        let id = server_id(self.broker.identity());
        told.insert("server_id".into(), id.into());
        told.insert("now".into(), time_text(now).into());
        Value::Object(told)
    }

    fn healthz(&self) -> Page {
        let status = self.broker.status();
        if !status.refusing {
            return Page::json(&json!({ "status": "ok" }));
        }
        let why = "the disk is nearly full: no messages are taken";
        let body = json!({ "status": "unavailable", "status_code": 503, "error": why });
        Page::json(&body).with_status(StatusCode::SERVICE_UNAVAILABLE)
    }
}

impl Pages for Monitoring {
    fn page(&self, path: &str, query: &Query<'_>) -> Option<Page> {
        Some(match path {
            "/varz" => Page::json(&self.varz()),
            "/connz" => Page::json(&self.connz(query)),
            "/subsz" | "/subscriptionsz" => Page::json(&self.subsz()),
            "/jsz" => Page::json(&self.jsz(query)),
            "/healthz" => self.healthz(),
            "/" => Page::json(&json!(["/varz", "/connz", "/subsz", "/jsz", "/healthz"])),
            _ => return None,
        })
    }
}

fn connection_value(connection: &ConnectionInfo, now: Millis) -> Value {
    let address = connection.peer.parse::<SocketAddr>().ok();
    let (lang, version) = match connection.client.as_deref() {
        Some(software) => software.split_once(' ').unwrap_or((software, "")),
        None => ("", ""),
    };
    let traffic = connection.traffic;
    json!({
        "cid": connection.number,
        "kind": "Client",
        "type": "nats",
        "ip": address.map(|at| at.ip().to_string()),
        "port": address.map(|at| at.port()),
        "start": time_text(connection.connected_at),
        "uptime": uptime(now.saturating_sub(connection.connected_at)),
        "in_msgs": traffic.messages_in,
        "out_msgs": traffic.messages_out,
        "in_bytes": traffic.bytes_in,
        "out_bytes": traffic.bytes_out,
        "subscriptions": traffic.subscriptions,
        "name": connection.label,
        "lang": lang,
        "version": version,
        "tls_version": connection.tls.then_some("yes"),
        "authorized_user": connection.user,
    })
}

fn nanos(duration: Duration) -> u64 {
    millis(duration).saturating_mul(1_000_000)
}

/// A duration as nats-server has it: `1d2h3m4s`.
fn uptime(ms: Millis) -> String {
    let seconds = ms / 1000;
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "m"),
    ];
    let mut text = String::new();
    for (count, unit) in parts {
        if count > 0 || !text.is_empty() {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    text + &format!("{}s", seconds % 60)
}

/// The memory that the process holds; none where the system does not say.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_others_write_them() {
        assert_eq!((uptime(999), uptime(61_000)), ("0s".into(), "1m1s".into()));
        assert_eq!(uptime(90_061_000), "1d1h1m1s");
    }
}
