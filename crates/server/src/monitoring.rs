//! What tools for NATS look at over HTTP: `/varz`, `/connz`, `/subsz`, `/jsz` and `/healthz`, with nats-server's names for
//! what there is. What there is not (routes, leaf nodes, gateways) is left out or none.

mod connections;
mod subscriptions;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::StatusCode;
use polybus_broker::Broker;
use polybus_broker::admin::ConnectionInfo;
use polybus_model::Millis;
use polybus_nats::{ReportWants, Totals, VERSION, jetstream_report, server_id, time_text};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value, json};

use crate::clock::{Clock, millis};
use crate::config::{Config, Nats};
use crate::http::{Page, Pages, Query};

/// The share of the processor is measured over so long at least.
const CPU_MS_MIN: Millis = 500;
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
    cpu: Cpu,
}

/// The processor time that the process takes, as a share of one core since somebody last asked.
#[derive(Debug, Default)]
struct Cpu(Mutex<CpuLook>);

#[derive(Clone, Copy, Debug, Default)]
struct CpuLook {
    at: Millis,
    used_s: f64,
    percent: f64,
}

impl Cpu {
    fn percent(&self, now: Millis) -> f64 {
        let used = clock_gettime(ClockId::ProcessCPUTime);
        let used_s = used.tv_sec as f64 + used.tv_nsec as f64 / 1e9;
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let passed_ms = now.saturating_sub(last.at);
        // Two who ask in turn are told the same.
        if passed_ms >= CPU_MS_MIN {
            let percent = (used_s - last.used_s) / (passed_ms as f64 / 1000.0) * 100.0;
            *last = CpuLook {
                at: now,
                used_s,
                percent,
            };
        }
        last.percent
    }
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
            cpu: Cpu(Mutex::new(CpuLook {
                at: clock.now(),
                ..CpuLook::default()
            })),
        }
    }

    fn varz(&self) -> Value {
        let now = self.clock.now();
        let open = connections::open(&self.broker);
        let gone = self.totals.traffic();
        let sum =
            |gone: u64, each: fn(&ConnectionInfo) -> u64| gone + open.iter().map(each).sum::<u64>();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let settings = json!({
            "server_id": self.server_id(),
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
            "tls_timeout": self.nats.auth_timeout.as_secs_f64(),
            "jetstream": self.jetstream(),
            "config_load_time": time_text(self.started_at),
        });
        let counts = json!({
            "start": time_text(self.started_at),
            "now": time_text(now),
            "uptime": uptime(now.saturating_sub(self.started_at)),
            "mem": resident_bytes(),
            "cores": cores,
            "gomaxprocs": cores,
            "cpu": self.cpu.percent(now),
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
            "slow_consumer_stats": { "clients": self.totals.slow(), "routes": 0, "gateways": 0, "leafs": 0 },
            "subscriptions": sum(0, |c| c.traffic.subscriptions),
        });
        let Value::Object(mut told) = settings else {
            return Value::Null;
        };
        if let Value::Object(counts) = counts {
            told.extend(counts);
        }
        Value::Object(told)
    }

    /// What streams take, and may take.
    fn jetstream(&self) -> Value {
        let used = self.report(ReportWants::default());
        let count = |name: &str| used.get(name).cloned().unwrap_or_default();
        json!({
            "config": { "max_memory": -1, "max_storage": -1 },
            "stats": {
                "memory": count("memory"),
                "storage": count("storage"),
                "reserved_memory": 0,
                "reserved_storage": 0,
                "accounts": 1,
                "ha_assets": 0,
            },
        })
    }

    fn report(&self, wants: ReportWants) -> Map<String, Value> {
        // A namespace that is not there has no streams.
        let logs = self.broker.keyed_logs(&self.nats.namespace);
        let logs = logs.unwrap_or_default();
        let shown = logs
            .iter()
            .map(|one| (&one.log, &one.state, &one.readers[..]));
        jetstream_report(shown, wants, self.clock.now())
    }

    /// A listing with the server's id, or why there is none.
    fn listing(&self, listed: Result<Value, String>) -> Page {
        match listed {
            Ok(Value::Object(mut told)) => {
                told.insert("server_id".into(), self.server_id().into());
                Page::json(&Value::Object(told))
            }
            Ok(other) => Page::json(&other),
            Err(why) => Page::refusal(StatusCode::BAD_REQUEST, &why),
        }
    }

    fn server_id(&self) -> String {
        server_id(self.broker.identity())
    }

    fn jsz(&self, query: &Query<'_>) -> Value {
        let now = self.clock.now();
        let is_set = |name| matches!(query.lookup(name), Some("1" | "true"));
        let wants = ReportWants {
            streams: is_set("streams"),
            consumers: is_set("consumers"),
            config: is_set("config"),
        };
        let mut told = self.report(wants);
        told.insert("server_id".into(), self.server_id().into());
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
            "/connz" => {
                let gone = self.totals.gone();
                let now = self.clock.now();
                self.listing(connections::list(&self.broker, &gone, query, now))
            }
            "/subsz" | "/subscriptionsz" => {
                let now = self.clock.now();
                self.listing(subscriptions::list(&self.broker, query, now))
            }
            "/jsz" => Page::json(&self.jsz(query)),
            "/healthz" => self.healthz(),
            // A single server has no others.
            "/routez" => self.listing(Ok(json!({ "num_routes": 0, "routes": [] }))),
            "/gatewayz" => self.listing(Ok(json!({}))),
            "/leafz" => self.listing(Ok(json!({ "leafnodes": 0, "leafs": [] }))),
            "/accountz" => self.listing(Ok(json!({ "accounts": ["$G"] }))),
            "/" => Page::json(&json!([
                "/varz",
                "/connz",
                "/subsz",
                "/jsz",
                "/healthz",
                "/routez",
                "/gatewayz",
                "/leafz",
                "/accountz"
            ])),
            _ => return None,
        })
    }
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
