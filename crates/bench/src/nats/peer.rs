//! nats-server: where its binary comes from, and how it is started.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::wire::{PASSWORD, USER, Wire};
use crate::error::BenchError;
use crate::program::{can_run, run};
use crate::server::Broker;

/// What to build: the files that name its version.
const MODULE: [(&str, &str); 3] = [
    ("go.mod", include_str!("../../peers/nats/go.mod")),
    ("go.sum", include_str!("../../peers/nats/go.sum")),
    ("tools.go", include_str!("../../peers/nats/tools.go")),
];

const PACKAGE: &str = "github.com/nats-io/nats-server/v2";

/// How long Go may take to fetch and build it.
const BUILD_WITHIN: Duration = Duration::from_secs(400);

/// Where Debian's package has it.
const DEBIAN: &str = "/usr/sbin/nats-server";

/// The newest one, from this folder or built into it; why there is none otherwise.
pub(crate) fn find_or_build(folder: &Path) -> Result<Broker, String> {
    let folder = std::path::absolute(folder).map_err(|error| error.to_string())?;
    let binary = folder.join("nats-server");
    if !binary.is_file() {
        if !can_run("go", "version") {
            return Err(format!("no nats-server in {}, and no go", folder.display()));
        }
        build(&folder, &binary).map_err(|error| error.to_string())?;
    }
    Ok(Broker::NatsServer {
        binary,
        name: "nats-server",
    })
}

/// Debian's, from there or where it was unpacked to.
pub(crate) fn debian(at: Option<&Path>) -> Option<Broker> {
    let binary = at.unwrap_or_else(|| Path::new(DEBIAN)).to_owned();
    binary.is_file().then_some(Broker::NatsServer {
        binary,
        name: "nats-server-debian",
    })
}

fn build(folder: &Path, binary: &Path) -> Result<(), BenchError> {
    let at = || format!("building nats-server in {}", folder.display());
    fs::create_dir_all(folder).map_err(BenchError::io(at()))?;
    for (name, text) in MODULE {
        fs::write(folder.join(name), text).map_err(BenchError::io(at()))?;
    }
    let mut command = Command::new("go");
    command.args(["build", "-o"]).arg(binary).arg(PACKAGE);
    run(command.current_dir(folder), BUILD_WITHIN, &at())
}

/// What starts it on that port: as it comes, with JetStream and one user.
pub(crate) fn command(binary: &Path, folder: &Path, port: u16) -> Command {
    let mut command = Command::new(binary);
    command
        .args(["--addr", "127.0.0.1", "--port", &port.to_string()])
        .args(["--user", USER, "--pass", PASSWORD])
        .arg("--jetstream")
        .arg("--store_dir")
        .arg(folder.join("data"))
        .current_dir(folder);
    command
}

/// Does a broker that speaks NATS let someone in?
pub(crate) fn is_ready(address: &str) -> bool {
    Wire::open(address).is_ok()
}
