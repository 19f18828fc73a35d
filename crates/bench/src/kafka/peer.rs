//! Apache Kafka: its jars, and how its broker is started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::topic::partitions_led;
use super::wire::Wire;
use crate::error::BenchError;
use crate::program::{can_run, run};

/// What to fetch: the one file that names its version.
const POM: &str = include_str!("../../peers/kafka/pom.xml");

/// How long Maven may take to fetch it.
const FETCH_WITHIN: Duration = Duration::from_secs(240);

/// How long a folder may take to be formatted.
const FORMAT_WITHIN: Duration = Duration::from_secs(60);

/// Options of the virtual machine, as Kafka's own start script has them.
const JAVA_OPTIONS: [&str; 9] = [
    "-Xms1g",
    "-Xmx1g",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-XX:MaxInlineLevel=15",
    "-Djava.awt.headless=true",
];

/// A folder with Kafka's jars.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Jars(PathBuf);

impl Jars {
    /// The jars that are there, or those that Maven can fetch; why there are none otherwise.
    pub(crate) fn find_or_fetch(folder: &Path) -> Result<Self, String> {
        let folder = std::path::absolute(folder).map_err(|error| error.to_string())?;
        if !can_run("java", "-version") {
            return Err("there is no java".into());
        }
        let jars = Self(folder);
        if jars.version().is_some() {
            return Ok(jars);
        }
        if !can_run("mvn", "-version") {
            return Err(format!("no jars in {}, and no mvn", jars.0.display()));
        }
        jars.fetch().map_err(|error| error.to_string())?;
        match jars.version() {
            Some(_) => Ok(jars),
            None => Err("mvn brought no Kafka".into()),
        }
    }

    fn fetch(&self) -> Result<(), BenchError> {
        let at = || format!("fetching Kafka into {}", self.0.display());
        fs::create_dir_all(&self.0).map_err(BenchError::io(at()))?;
        let pom = self.0.join("pom.xml");
        fs::write(&pom, POM).map_err(BenchError::io(at()))?;
        let mut command = Command::new("mvn");
        command.args(["-q", "-B", "-f"]).arg(&pom);
        command.arg("dependency:copy-dependencies");
        let into = format!("-DoutputDirectory={}", self.0.display());
        run(command.arg(into), FETCH_WITHIN, &at())
    }

    /// Kafka's version, told by the name of its jar.
    pub(crate) fn version(&self) -> Option<String> {
        let names = fs::read_dir(&self.0).ok()?.flatten();
        let mut names = names.filter_map(|entry| entry.file_name().into_string().ok());
        names.find_map(|name| {
            let version = name.strip_prefix("kafka-server-common-")?;
            version.strip_suffix(".jar").map(str::to_owned)
        })
    }

    fn java(&self, folder: &Path) -> Command {
        let mut command = Command::new("java");
        command.arg("-cp").arg(self.0.join("*")).current_dir(folder);
        command
    }
}

/// Prepares a folder if it is new, and gives what starts a broker in it.
pub(crate) fn commands(
    jars: &Jars,
    folder: &Path,
    port: u16,
    controller_port: u16,
) -> Result<Command, BenchError> {
    let properties = folder.join("server.properties");
    if !properties.is_file() {
        let data = folder.join("data");
        let text = format!(
            "process.roles=broker,controller\nnode.id=1\n\
             controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\n\
             controller.listener.names=CONTROLLER\nlog.dirs={}\n\
             offsets.topic.replication.factor=1\ntransaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\nshare.coordinator.state.topic.replication.factor=1\n\
             log.segment.delete.delay.ms=100\n",
            data.display()
        );
        fs::write(&properties, text).map_err(BenchError::io("writing Kafka's settings"))?;
        let mut format = jars.java(folder);
        format
            .args(["kafka.tools.StorageTool", "format", "--standalone", "-t"])
            .arg("polybus-bench-peer-00A")
            .arg("-c")
            .arg(&properties);
        run(&mut format, FORMAT_WITHIN, "formatting Kafka's folder")?;
    }
    let mut command = jars.java(folder);
    command.args(JAVA_OPTIONS);
    command.arg("kafka.Kafka").arg(properties);
    Ok(command)
}

/// Does a broker that speaks Kafka answer what a client asks first?
pub(crate) fn is_ready(address: &str) -> bool {
    Wire::open(address).is_ok_and(|mut wire| partitions_led(&mut wire).is_ok())
}
