//! A connection: the greeting, a buffer that what arrives is read from in place, and the requests that are made by hand.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use super::line::{Said, next};
use crate::error::BenchError;
use crate::socket::{connect, shared};

/// How long a broker may be silent when something is due from it, or take nothing.
const SILENT_MAX: Duration = Duration::from_secs(20);

/// Room for one read, and for a message of which the rest is yet to come.
const BUFFER_BYTES: usize = 256 << 10;

/// Who connects: what polybus has from the start, and nats-server is given.
pub(crate) const USER: &str = "guest";
pub(crate) const PASSWORD: &str = "guest";

/// Where answers to requests made by hand come.
const INBOX: &str = "_INBOX.hand";

/// An open connection.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: TcpStream,
    buffer: Vec<u8>,
    begin: usize,
    end: usize,
}

impl Wire {
    /// Connects and logs in.
    pub(crate) fn open(address: &str) -> Result<Self, BenchError> {
        let mut wire = Self {
            socket: connect(address, SILENT_MAX)?,
            buffer: vec![0; BUFFER_BYTES],
            begin: 0,
            end: 0,
        };
        let connect = serde_json::json!({
            "verbose": false, "pedantic": false, "echo": true, "headers": true, "no_responders": true, "protocol": 1,
            "lang": "bench", "version": "1", "user": USER, "pass": PASSWORD,
        });
        wire.send(format!("CONNECT {connect}\r\n").as_bytes())?;
        wire.settle()?;
        Ok(wire)
    }

    /// Its socket.
    pub(crate) const fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// A second handle, for a thread that only writes or that ends it.
    pub(crate) fn hand(&self) -> Result<TcpStream, BenchError> {
        shared(&self.socket)
    }

    /// Writes all of it.
    pub(crate) fn send(&self, bytes: &[u8]) -> Result<(), BenchError> {
        write_all(&self.socket, bytes)
    }

    /// What has come and was not taken.
    pub(crate) fn unread(&self) -> &[u8] {
        self.buffer.get(self.begin..self.end).unwrap_or_default()
    }

    /// Takes so much of it.
    pub(crate) fn take(&mut self, count: usize) {
        self.begin = (self.begin + count).min(self.end);
    }

    /// Waits for more.
    pub(crate) fn fill(&mut self) -> Result<(), BenchError> {
        match self.fill_if_there()? {
            true => Ok(()),
            false => Err(BenchError::Timeout(format!(
                "the broker was silent for {SILENT_MAX:?}"
            ))),
        }
    }

    /// Reads more if there is some; a socket that does not wait tells that there is none.
    pub(crate) fn fill_if_there(&mut self) -> Result<bool, BenchError> {
        self.buffer.copy_within(self.begin..self.end, 0);
        self.end -= self.begin;
        self.begin = 0;
        if self.end == self.buffer.len() {
            self.buffer.resize(self.end * 2, 0);
        }
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        match (&self.socket).read(room) {
            Ok(0) => Err(BenchError::Protocol(
                "it closed without a word of why".into(),
            )),
            Ok(count) => {
                self.end += count;
                Ok(true)
            }
            Err(error) if is_nothing(&error) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    /// Waits until the broker has seen all that was sent. Messages that come meanwhile are dropped.
    pub(crate) fn settle(&mut self) -> Result<(), BenchError> {
        self.send(b"PING\r\n")?;
        self.until(|said| matches!(said, Said::Pong).then_some(()))
    }

    /// Asks JetStream, and waits for its answer.
    pub(crate) fn ask(&mut self, api: &str, body: &Value) -> Result<Value, BenchError> {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let length = body.len();
        let request = format!(
            "SUB {INBOX} 0\r\nPUB $JS.API.{api} {INBOX} {length}\r\n{body}\r\nUNSUB 0 1\r\n"
        );
        self.send(request.as_bytes())?;
        let answer = self.until(|said| match said {
            Said::Message(message) if message.subject == INBOX.as_bytes() => {
                Some((message.headers.to_vec(), message.body.to_vec()))
            }
            _ => None,
        })?;
        let text = String::from_utf8_lossy(&answer.1).into_owned();
        let value: Value = serde_json::from_slice(&answer.1).map_err(|_| {
            let head = String::from_utf8_lossy(&answer.0);
            BenchError::Protocol(format!("{api} is answered by {} {text}", head.trim()))
        })?;
        match value.get("error") {
            Some(error) => Err(BenchError::Protocol(format!(
                "{api} is answered by {error}"
            ))),
            None => Ok(value),
        }
    }

    fn until<T>(&mut self, mut wanted: impl FnMut(Said<'_>) -> Option<T>) -> Result<T, BenchError> {
        loop {
            while let Some((said, length)) = next(self.unread())? {
                let found = wanted(said);
                let is_ping = said == Said::Ping;
                self.take(length);
                if is_ping {
                    self.send(b"PONG\r\n")?;
                }
                if let Some(found) = found {
                    return Ok(found);
                }
            }
            self.fill()?;
        }
    }
}

/// Writes all of it.
pub(crate) fn write_all(mut socket: &TcpStream, bytes: &[u8]) -> Result<(), BenchError> {
    socket.write_all(bytes).map_err(failed)
}

/// Ends a connection, also for another thread that waits for it.
pub(crate) fn shut(socket: &TcpStream) {
    // One that is closed already needs no end.
    let _ = socket.shutdown(std::net::Shutdown::Both);
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

fn failed(error: io::Error) -> BenchError {
    if is_nothing(&error) {
        return BenchError::Timeout(format!("the broker took nothing for {SILENT_MAX:?}"));
    }
    BenchError::Io("talking to the broker".into(), error)
}
