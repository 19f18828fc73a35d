//! The broker under the demo: our own process, or one that is running already.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use shop_link::{Address, Fault, connect};
use tokio::time::{Instant, sleep};

use crate::program::Program;

/// How long a broker may take to start.
const START_S_MAX: u64 = 60;

/// Who runs the broker.
#[derive(Debug)]
pub(crate) enum Broker {
    /// We do: the binary, its data, and the process while it runs.
    Own {
        binary: PathBuf,
        folder: PathBuf,
        address: String,
        process: Option<Program>,
        starts: u32,
    },
    /// Someone else does; perhaps they told how to restart it.
    Running {
        address: String,
        restart_command: Option<String>,
    },
}

impl Broker {
    /// A broker of our own, not started yet, on a port that is free now.
    pub(crate) fn own(binary: PathBuf, folder: &Path) -> Result<Self, Fault> {
        let free =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let address = free
            .map_err(|error| Fault::own("cannot find a free port", error))?
            .to_string();
        Ok(Self::Own {
            binary,
            folder: folder.to_owned(),
            address,
            process: None,
            starts: 0,
        })
    }

    /// A broker that runs already.
    pub(crate) fn running(address: &str, restart_command: Option<&str>) -> Result<Self, Fault> {
        address.parse::<Address>()?;
        Ok(Self::Running {
            address: address.to_owned(),
            restart_command: restart_command.map(str::to_owned),
        })
    }

    /// Whether nobody else uses it.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self, Self::Own { .. })
    }

    /// Whether it can be killed and started again.
    pub(crate) fn can_restart(&self) -> bool {
        !matches!(
            self,
            Self::Running {
                restart_command: None,
                ..
            }
        )
    }

    /// Where it is, as an option for the programs.
    pub(crate) fn address(&self) -> &str {
        match self {
            Self::Own { address, .. } | Self::Running { address, .. } => address,
        }
    }

    /// Starts our own broker and waits until it is ready; a running one only has to answer.
    pub(crate) async fn start(&mut self) -> Result<(), Fault> {
        let Self::Own {
            binary,
            folder,
            address,
            process,
            starts,
        } = self
        else {
            let address = self.address();
            let link = connect(&address.parse()?, "demo")
                .await
                .map_err(|fault| match fault {
                    Fault::Away(why) => Fault::Away(format!(
                        "no broker at {address} ({why}); start one, or set POLYBUS_BIN"
                    )),
                    other => other,
                })?;
            link.close().await;
            return Ok(());
        };
        *starts += 1;
        let data = folder.join("broker-data");
        let words = [
            "serve".as_ref(),
            "--amqp-listen".as_ref(),
            address.as_ref(),
            "--kafka-listen".as_ref(),
            "off".as_ref(),
            "--nats-listen".as_ref(),
            "off".as_ref(),
            "--data".as_ref(),
            data.as_os_str(),
        ];
        let program = Program::start(&format!("broker-{starts}"), binary, folder, &words)?;
        let program = process.insert(program);
        let deadline = Instant::now() + Duration::from_secs(START_S_MAX);
        while !program.output().lines().any(|line| line.trim() == "ready") {
            program.expect_running()?;
            if Instant::now() > deadline {
                return Err(program.failed(format_args!(
                    "did not print `ready` in {START_S_MAX} seconds"
                )));
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// SIGKILL, as in a power cut; after `pause` it starts again with the same data.
    pub(crate) async fn kill_and_restart(&mut self, pause: Duration) -> Result<(), Fault> {
        match self {
            Self::Own { process, .. } => {
                if let Some(mut process) = process.take() {
                    process.kill();
                }
                sleep(pause).await;
                self.start().await
            }
            Self::Running {
                restart_command: None,
                ..
            } => Ok(()),
            Self::Running {
                address,
                restart_command: Some(command),
            } => {
                let status = tokio::task::block_in_place(|| {
                    std::process::Command::new("sh")
                        .arg("-c")
                        .arg(command)
                        .stdin(Stdio::null())
                        .status()
                });
                match status {
                    Ok(status) if status.success() => answers_again(address).await,
                    Ok(status) => Err(Fault::Own(format!("--restart-command failed ({status})"))),
                    Err(error) => Err(Fault::own("cannot run --restart-command", error)),
                }
            }
        }
    }

    /// Stops our own broker.
    pub(crate) fn stop(&mut self) {
        if let Self::Own { process, .. } = self {
            *process = None;
        }
    }
}

async fn answers_again(address: &str) -> Result<(), Fault> {
    let deadline = Instant::now() + Duration::from_secs(START_S_MAX);
    let parsed = address.parse()?;
    loop {
        match connect(&parsed, "demo").await {
            Ok(link) => {
                link.close().await;
                return Ok(());
            }
            Err(Fault::Away(_)) if Instant::now() < deadline => {
                sleep(Duration::from_millis(200)).await
            }
            Err(fault) => return Err(fault),
        }
    }
}
