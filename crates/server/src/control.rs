//! The control socket: how the other commands reach a running broker. A Unix socket in the data folder that only the
//! broker's own user may open; one line of JSON asks, one line answers.
//!
//! ```text
//! polybus queues list  --{"op":"queues","namespace":"/"}-->  control.sock  --{"ok":[...]} or {"error":"..."}-->
//! ```

mod answer;
mod client;
mod wire;

pub(crate) use answer::Desk;
pub(crate) use client::{AskError, ask};
pub(crate) use wire::{Body, Request};

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tracing::warn;

/// Commands served at a time.
const VISITORS_MAX: usize = 16;
/// How long a command may be silent, or not read its reply.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// The longest path of a Unix socket.
const PATH_BYTES_MAX: usize = 107;

/// The socket; its file goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Makes the socket. One that an earlier broker left is replaced; the data folder's lock says that it is gone.
    ///
    /// # Errors
    /// A text that names the path and what to do.
    pub(crate) fn bind(path: &Path) -> Result<Self, String> {
        let failed = |error: io::Error| {
            format!(
                "control.socket: cannot make {}: {error}; choose another path with --control-socket",
                path.display()
            )
        };
        // Under another name first: it has its final permissions before anyone can find it.
        let fresh = path.with_extension(format!("{}", std::process::id()));
        if fresh.as_os_str().len() > PATH_BYTES_MAX {
            return Err(format!(
                "control.socket: the path {} is too long for a Unix socket; choose a shorter one with --control-socket",
                path.display()
            ));
        }
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(format!(
                "control.socket: another broker answers at {}; choose another path with --control-socket",
                path.display()
            ));
        }
        drop(std::fs::remove_file(&fresh));
        let listener = UnixListener::bind(&fresh).map_err(failed)?;
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        std::fs::rename(&fresh, path).map_err(failed)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    /// Answers for ever.
    pub(crate) async fn serve(self, desk: Arc<Desk>) {
        let visitors = Arc::new(Semaphore::new(VISITORS_MAX));
        while let Ok(permit) = Arc::clone(&visitors).acquire_owned().await {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let desk = Arc::clone(&desk);
                    tokio::spawn(async move {
                        drop(attend(stream, desk).await);
                        drop(permit);
                    });
                }
                Err(error) => {
                    warn!(%error, "cannot accept commands for now");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.path));
    }
}

/// Serves one command's connection.
async fn attend(stream: UnixStream, desk: Arc<Desk>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        let most = wire::request_bytes_max(desk.message_bytes_max());
        let mut bounded = (&mut read).take(most);
        let len = tokio::time::timeout(SILENCE_MAX, bounded.read_until(b'\n', &mut line)).await??;
        if len == 0 {
            return Ok(());
        }
        let is_too_long = line.last() != Some(&b'\n') && len as u64 == most;
        let mut reply = if is_too_long {
            wire::refusal(&format!("the request is longer than {most} bytes"))
        } else {
            let desk = Arc::clone(&desk);
            // Some calls wait for the disk.
            tokio::task::spawn_blocking(move || desk.answer_line(&line)).await?
        };
        reply.push(b'\n');
        tokio::time::timeout(SILENCE_MAX, write.write_all(&reply)).await??;
        if is_too_long {
            return Ok(());
        }
    }
}
