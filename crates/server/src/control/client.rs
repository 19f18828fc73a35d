//! Asking a running broker.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::wire::Request;

/// The longest reply that is taken.
const REPLY_BYTES_MAX: u64 = 1 << 30;
/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why there is no good reply.
#[derive(Debug)]
pub(crate) enum AskError {
    /// No broker answers: one line that says where and what to do.
    Unreachable(String),
    /// The broker refused, in its words.
    Refused(String),
}

/// Asks the broker behind a control socket.
pub(crate) fn ask(path: &Path, request: &Request) -> Result<Value, AskError> {
    let line = exchange(path, request).map_err(|error| {
        let shown = path.display();
        AskError::Unreachable(match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => format!(
                "no broker answers at {shown}; start one with `polybus serve`, or name its folder with --data"
            ),
            io::ErrorKind::PermissionDenied => format!(
                "{shown} cannot be opened: {error}; only the user that runs the broker may, so run this command as that user"
            ),
            _ => format!("the broker at {shown} did not answer: {error}"),
        })
    })?;
    let odd = || {
        AskError::Unreachable(format!(
            "what answers at {} is no broker of this version",
            path.display()
        ))
    };
    let mut reply: Value = serde_json::from_slice(&line).map_err(|_| odd())?;
    if let Some(reason) = reply.get("error").and_then(Value::as_str) {
        return Err(AskError::Refused(reason.to_owned()));
    }
    reply.get_mut("ok").map(Value::take).ok_or_else(odd)
}

fn exchange(path: &Path, request: &Request) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&line)?;
    let mut reply = Vec::new();
    BufReader::new(stream)
        .take(REPLY_BYTES_MAX)
        .read_until(b'\n', &mut reply)?;
    if reply.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "it closed the connection",
        ));
    }
    Ok(reply)
}
