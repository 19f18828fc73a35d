//! `polybus serve`: from the settings to a broker that is ready, and back.
//!
//! ```text
//! TLS, addresses taken -> data folder opened -> listening -> control socket -> "ready" -> a signal -> clients told -> all on disk
//! ```
//! What can fail quickly comes first; a client reaches the broker only once it has recovered.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use polybus_broker::{Broker, Options};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::cli::console::{Failure, print, tell};
use crate::clock::{Clock, millis};
use crate::config::{Config, Durability, Listen, Resolved};
use crate::control::{Control, Desk};
use crate::listener::{Bound, Server, accept, bind};
use crate::monitoring::Monitoring;
use crate::protocols::{Counts, Encryption, Port};
use crate::stop::Connections;
use crate::{http, protocols, tls};

/// How long clients may take to leave.
const PATIENCE: Duration = Duration::from_secs(3);

/// The setting that says where monitoring is.
const MONITORING: &str = "nats.monitor-listen";

/// A port whose addresses are taken.
struct Door {
    port: Port,
    bound: Vec<Bound>,
    tls: Option<tokio_rustls::TlsAcceptor>,
}

/// Serves until a signal, or until the broker fails.
pub(crate) fn serve(resolved: &Resolved) -> Result<(), Failure> {
    let config = &resolved.config;
    #[cfg(feature = "mimalloc")]
    crate::memory::use_small_pages();
    crate::log::start(&config.log);
    for note in &resolved.notes {
        warn!("{note}");
    }
    raise_file_limit(config.limits.connections);
    let acceptor = tls::acceptor(&config.tls).map_err(Failure::Failed)?;
    let doors = protocols::ports(config)
        .into_iter()
        .map(|port| {
            let bound = bind(port.setting, &port.listen)?;
            let tls = acceptor
                .clone()
                .filter(|_| port.encryption != Encryption::None);
            Ok(Door { port, bound, tls })
        })
        .collect::<Result<Vec<_>, String>>()
        .map_err(Failure::Failed)?;
    let monitoring = match config.nats.listen {
        Listen::Off => Vec::new(),
        Listen::At(_) => {
            bind(MONITORING, &config.nats.monitoring_listen).map_err(Failure::Failed)?
        }
    };
    let broker =
        Broker::open(options(config)).map_err(|error| Failure::Failed(error.to_string()))?;
    let runtime = runtime()
        .map_err(|error| Failure::Failed(format!("the system gives no threads: {error}")))?;
    let result = runtime.block_on(run(config, &broker, doors, monitoring));
    // Whoever did not leave in time is cut off here.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result?;
    broker
        .shutdown()
        .map_err(|reason| Failure::Failed(failed(&reason)))
}

/// The threads of the connections.
fn runtime() -> io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    #[cfg(feature = "mimalloc")]
    builder.on_thread_park(crate::memory::look_before_sleep);
    builder.on_thread_unpark(crate::connection::waking::note_sleep);
    builder.enable_all().build()
}

fn failed(reason: &str) -> String {
    format!(
        "the broker has failed: {reason}. What was confirmed is on disk; mend the disk and start again"
    )
}

async fn run(
    config: &Config,
    broker: &Broker,
    doors: Vec<Door>,
    monitoring: Vec<Bound>,
) -> Result<(), Failure> {
    let cannot_listen =
        |error: io::Error| Failure::Failed(format!("cannot listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot_listen)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot_listen)?;
    let server = Arc::new(Server {
        broker: broker.clone(),
        clock: Clock::start(),
        connections: Connections::default(),
        connections_max: config.limits.connections,
    });
    let counts = Counts {
        kafka: broker.quotas(),
        ..Counts::default()
    };
    let nats_door = doors.iter().find(|door| door.port.setting == "nats.listen");
    let nats_address = nats_door.and_then(|door| door.bound.first().map(|bound| bound.address));
    let mut addresses = Vec::new();
    let mut tasks = Vec::new();
    let mut greetings = Vec::new();
    for Door { port, bound, tls } in doors {
        let spoken = Arc::new((port.speak)(config, broker.identity(), &counts));
        for bound in bound {
            let address = bound.address.to_string();
            greetings.push((port.name, address.clone(), port.title));
            addresses.push((port.name, address));
            let listener = bound.listen(port.setting).map_err(Failure::Failed)?;
            tasks.push(tokio::spawn(accept(
                listener,
                tls.clone(),
                port.encryption,
                Arc::clone(&spoken),
                Arc::clone(&server),
            )));
        }
    }
    for bound in monitoring {
        let address = bound.address;
        greetings.push((
            "http",
            address.to_string(),
            "NATS monitoring: /varz /connz /subsz /jsz /healthz",
        ));
        let listener = bound.listen(MONITORING).map_err(Failure::Failed)?;
        let (clock, totals) = (server.clock, Arc::clone(&counts.nats));
        let pages = Monitoring::new(broker.clone(), clock, totals, config, nats_address, address);
        tasks.push(tokio::spawn(http::serve(listener, Arc::new(pages))));
    }
    let control = Control::bind(&config.control_socket()).map_err(Failure::Failed)?;
    let desk = Desk::new(broker.clone(), config.amqp.message_bytes_max, addresses);
    print(&welcome(config, &greetings));
    tasks.push(tokio::spawn(control.serve(Arc::new(desk))));
    #[cfg(feature = "mimalloc")]
    tasks.push(tokio::spawn(crate::memory::give_back()));
    print("ready\n");
    let failure = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        reason = broker.failure() => Some(reason),
    };
    for task in &tasks {
        task.abort();
    }
    if let Some(reason) = failure {
        return Err(Failure::Failed(failed(&reason)));
    }
    info!(connections = server.connections.count(), "stopping");
    tokio::select! {
        () = server.connections.stop(PATIENCE) => Ok(()),
        _ = terminate.recv() => Err(Failure::Failed("stopped at once".into())),
        _ = interrupt.recv() => Err(Failure::Failed("stopped at once".into())),
    }
}

/// What the broker is opened with.
fn options(config: &Config) -> Options {
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    Options {
        durability: match config.durability {
            Durability::Fsync => polybus_broker::Durability::Fsync,
            Durability::Interval => polybus_broker::Durability::Interval,
            Durability::None => polybus_broker::Durability::None,
        },
        resident_bytes_max: size(config.limits.memory),
        live_pending_bytes_max: config.nats.pending_bytes_max,
        queues_max: size(config.limits.queues),
        // The commands are the broker's connections too.
        connections_max: size(config.limits.connections.saturating_add(64)),
        disk_free_min_bytes: config.limits.disk_free_min,
        consumer_timeout_ms: config.amqp.consumer_timeout.map(millis),
        header_readers: protocols::header_readers(),
        run_readers: protocols::run_readers(),
        keyed_writer: polybus_nats::KEYED_WRITER,
        report_key: Some(polybus_nats::report_key),
        ..Options::new(config.data.clone())
    }
}

/// What listens where, how durable it is, what to try next.
fn welcome(config: &Config, greetings: &[(&'static str, String, &'static str)]) -> String {
    let mut text = format!("Polybus {}\n", env!("CARGO_PKG_VERSION"));
    let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:<10} {value}\n"));
    for (name, address, title) in greetings {
        line(name, &format!("{address}  {title}"));
    }
    if greetings.is_empty() {
        line("listens", "nowhere: every listener is off");
    }
    let durability = match config.durability {
        Durability::Fsync => "fsync: a message is confirmed when it is on disk",
        Durability::Interval => {
            "interval: a confirmed message is on disk within 100 ms; a power cut may lose those"
        }
        Durability::None => "none: a confirmed message survives the process, not a power cut",
    };
    line("durability", durability);
    line("data", &config.data.display().to_string());
    let socket = match &config.control_socket {
        Some(path) => format!(" --control-socket {}", path.display()),
        None if config.data == std::path::Path::new("./data") => String::new(),
        None => format!(" --data {}", config.data.display()),
    };
    line(
        "try",
        &format!("polybus status{socket};  polybus queues list{socket};  Ctrl-C stops"),
    );
    text
}

/// Each connection is a file to the system, and many systems give a process 1,024 unless it asks for more.
fn raise_file_limit(connections: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        let _ = setrlimit(Resource::Nofile, raised);
    }
    let current = getrlimit(Resource::Nofile).current;
    // Beside the connections: the journal's segments, the listeners.
    if current.is_some_and(|current| current < connections.saturating_add(256)) {
        tell(&format!(
            "polybus: note: the system allows this process {} open files, less than limits.connections ({connections}) needs; raise it with ulimit -n\n",
            current.unwrap_or(0)
        ));
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Sources, resolve};

    #[test]
    fn the_defaults_are_the_brokers() {
        let sources = Sources {
            folder: "/nowhere".into(),
            ..Sources::default()
        };
        let ours = super::options(&resolve(&sources).unwrap().config);
        let brokers = polybus_broker::Options::new("/nowhere");
        assert_eq!(ours.durability, brokers.durability);
        assert_eq!(ours.resident_bytes_max, brokers.resident_bytes_max);
        assert_eq!(ours.queues_max, brokers.queues_max);
        assert_eq!(ours.disk_free_min_bytes, brokers.disk_free_min_bytes);
        assert_eq!(ours.consumer_timeout_ms, brokers.consumer_timeout_ms);
    }

    #[test]
    fn the_welcome_says_what_listens_how_durable_and_what_to_try() {
        let mut sources = Sources {
            folder: "/nowhere".into(),
            ..Sources::default()
        };
        let config = resolve(&sources).unwrap().config;
        let greetings: Vec<_> = crate::protocols::ports(&config)
            .into_iter()
            .map(|port| (port.name, "[::]:1".to_owned(), port.title))
            .collect();
        let first = super::welcome(&config, &greetings);
        sources.flags = vec![
            ("data", "/var/lib/polybus".into()),
            ("durability", "none".into()),
        ];
        let config = resolve(&sources).unwrap().config;
        let second = super::welcome(&config, &[]);
        let shown = (first + &second).replace(env!("CARGO_PKG_VERSION"), "VERSION");
        crate::scratch::assert_same(&shown, "tests/shown/welcome.txt");
    }
}
