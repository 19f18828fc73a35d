//! Programs that fetch and prepare peers.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::BenchError;

/// Is there such a program?
pub(crate) fn can_run(program: &str, argument: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(argument).stdin(Stdio::null());
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Runs a program to its end, or ends it after that time.
pub(crate) fn run(command: &mut Command, within: Duration, what: &str) -> Result<(), BenchError> {
    let mut child: Child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(BenchError::io(what))?;
    let begin = Instant::now();
    while begin.elapsed() < within {
        if let Some(status) = child.try_wait().map_err(BenchError::io(what))? {
            return match status.success() {
                true => Ok(()),
                false => Err(BenchError::Protocol(format!("{what}: {status}"))),
            };
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // It has had its time; one that ended meanwhile needs no end.
    let _ = child.kill();
    let _ = child.wait();
    Err(BenchError::Timeout(what.to_owned()))
}
