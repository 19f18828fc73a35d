//! Brokers that this process starts for itself, with ports and folders of their own, and ends by their own ids.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::error::BenchError;
use crate::kafka::{self, Jars};
use crate::link::{Link, Target};
use crate::nats;
use crate::process::Tree;

/// How long a broker may take to be ready or to stop.
const READY_WITHIN: Duration = Duration::from_secs(120);
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// Where Debian's package has the start script that does not change the user.
const RABBITMQ_SCRIPT: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// Which broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Broker {
    /// Polybus, from this binary.
    Polybus(PathBuf),
    /// RabbitMQ, as installed.
    RabbitMq,
    /// Polybus again, with Kafka's port open instead.
    PolybusKafka {
        /// The binary.
        binary: PathBuf,
        /// Without the sync of what is confirmed, as Kafka.
        is_unsynced: bool,
    },
    /// Apache Kafka.
    Kafka(Jars),
    /// Polybus again, with the port of NATS open instead.
    PolybusNats(PathBuf),
    /// nats-server.
    NatsServer {
        /// The binary.
        binary: PathBuf,
        /// To tell it from another.
        name: &'static str,
    },
}

impl Broker {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Polybus(_) | Self::PolybusNats(_) => "polybus",
            Self::RabbitMq => "rabbitmq",
            Self::PolybusKafka {
                is_unsynced: false, ..
            } => "polybus",
            Self::PolybusKafka {
                is_unsynced: true, ..
            } => "polybus-unsynced",
            Self::Kafka(_) => "kafka",
            Self::NatsServer { name, .. } => name,
        }
    }

    /// Is it there?
    #[must_use]
    pub fn is_installed(&self) -> bool {
        match self {
            Self::Polybus(binary)
            | Self::PolybusNats(binary)
            | Self::PolybusKafka { binary, .. }
            | Self::NatsServer { binary, .. } => binary.is_file(),
            Self::RabbitMq => Path::new(RABBITMQ_SCRIPT).is_file(),
            Self::Kafka(jars) => jars.version().is_some(),
        }
    }

    /// Polybus' own sides have to be there: they are what is measured.
    ///
    /// # Errors
    /// [`BenchError::Usage`] says how to build what is not.
    pub(crate) fn expect_installed(&self, binary: &Path) -> Result<(), BenchError> {
        if self.is_installed() {
            return Ok(());
        }
        Err(BenchError::Usage(format!(
            "{} is not there; build it with `cargo build --release -p polybus-server`",
            binary.display()
        )))
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> String {
        let mut command = match self {
            Self::Polybus(binary)
            | Self::PolybusNats(binary)
            | Self::PolybusKafka { binary, .. }
            | Self::NatsServer { binary, .. } => {
                let mut command = Command::new(binary);
                command.arg("--version");
                command
            }
            Self::Kafka(jars) => return jars.version().unwrap_or_else(|| self.name().into()),
            Self::RabbitMq => {
                let mut command = Command::new("dpkg-query");
                command.args(["-W", "-f", "${Package} ${Version}", "rabbitmq-server"]);
                command
            }
        };
        let output = command.output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_string());
        text.ok()
            .filter(|text| !text.is_empty())
            .unwrap_or_else(|| self.name().into())
    }

    const fn speaks_kafka(&self) -> bool {
        matches!(self, Self::PolybusKafka { .. } | Self::Kafka(_))
    }

    const fn speaks_nats(&self) -> bool {
        matches!(self, Self::PolybusNats(_) | Self::NatsServer { .. })
    }

    /// What it promises by a confirm of a persistent message on a durable queue.
    #[must_use]
    pub const fn durability(&self) -> &'static str {
        match self {
            Self::PolybusKafka {
                is_unsynced: false, ..
            } => {
                "fsync, the default: a batch is confirmed after the journal's frame that holds it was written through to the disk"
            }
            Self::PolybusKafka {
                is_unsynced: true, ..
            } => {
                "none: a batch is confirmed as soon as it was written to the journal's file, which is never synced"
            }
            Self::Kafka(_) => {
                "none, as it comes: a batch is confirmed (acks=all, one replica) as soon as it was written to the partition's \
                 file, which Kafka leaves to the system to sync"
            }
            Self::PolybusNats(_) => {
                "fsync, the default: a publish to a stream is acknowledged after the journal's frame that holds it was written \
                 through to the disk"
            }
            Self::NatsServer { .. } => {
                "none, as it comes: a publish to a stream on file is acknowledged as soon as it was taken; what is written is synced \
                 every two minutes (sync_interval)"
            }
            Self::Polybus(_) => {
                "fsync: a publish is confirmed after the journal's frame that holds it was written through to the disk \
                 (RWF_DSYNC); all that waits meanwhile shares the next frame"
            }
            Self::RabbitMq => {
                "classic durable queue: a publish is confirmed after the queue's index or message store was written and \
                 synced (fsync), in batches; but a message that an auto-ack consumer waits for is handed over and confirmed \
                 without being written (seen by strace: 9 syncs for 3,000 messages of window-1-auto, one for each message with acks \
                 or without a consumer)"
            }
        }
    }
}

/// A broker that runs.
#[derive(Debug)]
pub struct Server {
    broker: Broker,
    child: Child,
    folder: PathBuf,
    port: u16,
    guard: Option<Guard>,
    /// From its start until a connection was open.
    pub ready_in: Duration,
}

/// A process that ends a broker if this one dies without doing so: it reads from us until there is no more of us.
#[derive(Debug)]
struct Guard(Child);

impl Guard {
    fn over(group: u32) -> Result<Self, BenchError> {
        Command::new("sh")
            .args(["-c", "cat; kill -s TERM -- -$0", &group.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map(Self)
            .map_err(BenchError::io("starting a guard"))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // One that is gone already needs no end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Starts a broker on a free port with an empty folder below `under`.
    ///
    /// # Errors
    /// [`BenchError`] if it cannot be started or is not ready in time.
    pub fn start(broker: &Broker, under: &Path) -> Result<Self, BenchError> {
        let port = free_port()?;
        let folder = under.join(format!("{}-{port}", broker.name()));
        fs::create_dir_all(&folder)
            .map_err(BenchError::io(format!("making {}", folder.display())))?;
        Self::start_in(broker, folder, port)
    }

    fn start_in(broker: &Broker, folder: PathBuf, port: u16) -> Result<Self, BenchError> {
        let mut command = match broker {
            Broker::Polybus(binary) => polybus(binary, &folder, port),
            Broker::RabbitMq => rabbitmq(&folder, port)?,
            Broker::PolybusKafka {
                binary,
                is_unsynced,
            } => polybus_kafka(binary, &folder, port, *is_unsynced),
            Broker::Kafka(jars) => kafka::commands(jars, &folder, port, dist_port(port))?,
            Broker::PolybusNats(binary) => polybus_nats(binary, &folder, port),
            Broker::NatsServer { binary, .. } => nats::command(binary, &folder, port),
        };
        let begin = Instant::now();
        let log = fs::File::create(folder.join("stderr.log"))
            .map_err(BenchError::io("making a log file"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0)
            .spawn()
            .map_err(BenchError::io(format!("starting {}", broker.name())))?;
        let mut server = Self {
            broker: broker.clone(),
            child,
            folder,
            port,
            guard: None,
            ready_in: Duration::ZERO,
        };
        server.guard = Some(Guard::over(server.child.id())?);
        server.wait_ready(begin)?;
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn target(&self) -> Target {
        Target::new(format!("127.0.0.1:{}", self.port))
    }

    /// The process that was started; the one that works may be a child of it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Which it is.
    #[must_use]
    pub const fn broker(&self) -> &Broker {
        &self.broker
    }

    /// Kills it as a power cut would, without any goodbye, and starts it anew on the same folder.
    ///
    /// # Errors
    /// [`BenchError`] if it does not come back.
    pub fn crash_and_restart(self) -> Result<Self, BenchError> {
        self.restart(Signal::KILL, |_| Ok(()))
    }

    /// Asks it to end and starts it anew on the same folder, with something done to the folder meanwhile.
    pub(crate) fn stop_and_restart(
        self,
        meanwhile: impl FnOnce(&Path) -> Result<(), BenchError>,
    ) -> Result<Self, BenchError> {
        self.restart(Signal::TERM, meanwhile)
    }

    fn restart(
        mut self,
        signal: Signal,
        meanwhile: impl FnOnce(&Path) -> Result<(), BenchError>,
    ) -> Result<Self, BenchError> {
        self.end(signal);
        meanwhile(&self.folder)?;
        let broker = self.broker.clone();
        let (folder, port) = (std::mem::take(&mut self.folder), self.port);
        drop(self);
        Self::start_in(&broker, folder, port)
    }

    /// Polybus says `ready` on stdout; RabbitMQ is ready when it lets someone in.
    fn wait_ready(&mut self, begin: Instant) -> Result<(), BenchError> {
        let (said_ready, hears_ready) = mpsc::channel();
        if let Some(stdout) = self.child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if line.trim() == "ready" {
                        // The other end is gone once it is known.
                        let _ = said_ready.send(());
                    }
                }
            });
        }
        let target = self.target();
        while begin.elapsed() < READY_WITHIN {
            if let Ok(Some(status)) = self.child.try_wait() {
                let log = self.folder.join("stderr.log");
                let text = fs::read_to_string(log).unwrap_or_default();
                return Err(BenchError::Protocol(format!(
                    "{} ended with {status}: {}",
                    self.broker.name(),
                    text.trim()
                )));
            }
            let is_ready = match self.broker {
                Broker::Polybus(_) | Broker::PolybusKafka { .. } | Broker::PolybusNats(_) => {
                    hears_ready.recv_timeout(Duration::from_millis(50)).is_ok()
                }
                Broker::RabbitMq | Broker::Kafka(_) | Broker::NatsServer { .. } => {
                    std::thread::sleep(Duration::from_millis(20));
                    true
                }
            };
            let greeted: Option<fn(&str) -> bool> = match &self.broker {
                broker if broker.speaks_kafka() => Some(kafka::is_ready),
                broker if broker.speaks_nats() => Some(nats::is_ready),
                _ => None,
            };
            if let Some(greeted) = greeted.filter(|_| is_ready) {
                if greeted(&target.address) {
                    self.ready_in = begin.elapsed();
                    return Ok(());
                }
            } else if is_ready && let Ok(link) = Link::open(&target, 0) {
                self.ready_in = begin.elapsed();
                return link.close();
            }
        }
        Err(BenchError::Timeout(format!(
            "{} is not ready",
            self.broker.name()
        )))
    }

    fn end(&mut self, signal: Signal) {
        self.guard = None;
        let tree = Tree::of(self.child.id());
        let send = |signal| {
            for pid in tree.pids() {
                if let Some(pid) = i32::try_from(*pid).ok().and_then(Pid::from_raw) {
                    // One that has ended by itself needs no signal.
                    let _ = rustix::process::kill_process(pid, signal);
                }
            }
        };
        send(signal);
        let begin = Instant::now();
        while begin.elapsed() < STOP_WITHIN {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        send(Signal::KILL);
        // Reaped, so that no zombie is left.
        let _ = self.child.wait();
        if self.broker == Broker::RabbitMq {
            let port = epmd_port(self.port).to_string();
            let mut command = Command::new("epmd");
            command.env("ERL_EPMD_PORT", port).arg("-kill");
            // RabbitMQ leaves its port mapper running; this is ours alone, by its port.
            let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end(Signal::TERM);
        }
        if !self.folder.as_os_str().is_empty() {
            // What cannot be removed stays in /tmp.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn polybus(binary: &Path, folder: &Path, port: u16) -> Command {
    let mut command = Command::new(binary);
    command
        .args(["serve", "--amqp-listen", &format!("127.0.0.1:{port}")])
        .args(["--kafka-listen", "off", "--nats-listen", "off"])
        .arg("--data")
        .arg(folder.join("data"))
        .current_dir(folder);
    command
}

fn polybus_kafka(binary: &Path, folder: &Path, port: u16, is_unsynced: bool) -> Command {
    let mut command = Command::new(binary);
    command
        .args(["serve", "--amqp-listen", "off"])
        .args(["--nats-listen", "off"])
        .args(["--kafka-listen", &format!("127.0.0.1:{port}")])
        .args(["--durability", if is_unsynced { "none" } else { "fsync" }])
        .arg("--data")
        .arg(folder.join("data"))
        .current_dir(folder);
    command
}

fn polybus_nats(binary: &Path, folder: &Path, port: u16) -> Command {
    let mut command = Command::new(binary);
    command
        .args(["serve", "--amqp-listen", "off", "--kafka-listen", "off"])
        .args(["--nats-listen", &format!("127.0.0.1:{port}")])
        .args(["--nats-monitor-listen", "off"])
        .arg("--data")
        .arg(folder.join("data"))
        .current_dir(folder);
    command
}

fn rabbitmq(folder: &Path, port: u16) -> Result<Command, BenchError> {
    let plugins = folder.join("enabled_plugins");
    fs::write(&plugins, "[].\n").map_err(BenchError::io("writing RabbitMQ's plugin list"))?;
    let mut command = Command::new(RABBITMQ_SCRIPT);
    command
        .env("HOME", folder)
        .env("RABBITMQ_NODENAME", format!("bench{port}@localhost"))
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", port.to_string())
        .env("RABBITMQ_DIST_PORT", (dist_port(port)).to_string())
        .env("ERL_EPMD_PORT", epmd_port(port).to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_MNESIA_BASE", folder.join("mnesia"))
        .env("RABBITMQ_LOG_BASE", folder.join("log"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", plugins)
        .env("RABBITMQ_CONFIG_FILE", folder.join("none"))
        .env("RABBITMQ_PID_FILE", folder.join("pid"))
        .current_dir(folder);
    Ok(command)
}

const fn dist_port(port: u16) -> u16 {
    if port < 40_000 {
        port + 20_000
    } else {
        port - 20_000
    }
}

const fn epmd_port(port: u16) -> u16 {
    dist_port(port) + 1
}

fn free_port() -> Result<u16, BenchError> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(BenchError::io("finding a free port"))
}
