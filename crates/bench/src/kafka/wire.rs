//! A connection: requests out, answers in, all with a time limit.

use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use polybus_kafka::codec::{Message, Reader, read_response_header, write_request};

use crate::error::BenchError;
use crate::socket::{connect, shared};

/// How long a broker may be silent when something is due from it, or take nothing.
const SILENT_MAX: Duration = Duration::from_secs(60);

/// Greater answers are taken for nonsense.
const FRAME_BYTES_MAX: usize = 256 << 20;

/// What the client calls itself.
pub(crate) const CLIENT_ID: &str = "bench";

/// An open connection.
#[derive(Debug)]
pub(crate) struct Wire {
    input: BufReader<TcpStream>,
    frame: BytesMut,
    out: BytesMut,
    correlation_id: i32,
}

impl Wire {
    /// Connects; Kafka has no handshake.
    pub(crate) fn open(address: &str) -> Result<Self, BenchError> {
        Ok(Self {
            input: BufReader::with_capacity(64 << 10, connect(address, SILENT_MAX)?),
            frame: BytesMut::new(),
            out: BytesMut::new(),
            correlation_id: 0,
        })
    }

    /// A second handle, for a thread that only writes.
    pub(crate) fn writer(&self) -> Result<TcpStream, BenchError> {
        shared(self.input.get_ref())
    }

    /// Ends it, also for a thread that writes.
    pub(crate) fn shut(&self) {
        // One that is closed already needs no end.
        let _ = self.input.get_ref().shutdown(std::net::Shutdown::Both);
    }

    /// Asks and waits for the answer.
    pub(crate) fn call<Q: Message, A: Message>(
        &mut self,
        version: i16,
        request: &Q,
    ) -> Result<A, BenchError> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        self.out.clear();
        write_request(
            &mut self.out,
            version,
            self.correlation_id,
            Some(CLIENT_ID),
            request,
        );
        write_all(self.input.get_ref(), &self.out)?;
        self.answer(version)
    }

    /// Writes a request that is made already.
    pub(crate) fn send(&self, request: &[u8]) -> Result<(), BenchError> {
        write_all(self.input.get_ref(), request)
    }

    /// Waits for the next answer.
    pub(crate) fn answer<A: Message>(&mut self, version: i16) -> Result<A, BenchError> {
        let frame = self.next_frame()?;
        let mut reader = Reader::new(&frame);
        let wrong = |error: polybus_kafka::codec::CodecError| {
            BenchError::Protocol(format!("the answer to {}: {error}", A::API.name()))
        };
        read_response_header(&mut reader, A::API, version).map_err(wrong)?;
        A::decode(&mut reader, version).map_err(wrong)
    }

    fn next_frame(&mut self) -> Result<Bytes, BenchError> {
        let mut size = [0; 4];
        self.input.read_exact(&mut size).map_err(failed)?;
        let size = usize::try_from(i32::from_be_bytes(size)).unwrap_or(usize::MAX);
        if size > FRAME_BYTES_MAX {
            return Err(BenchError::Protocol(format!("an answer of {size} bytes")));
        }
        // Nothing is left of the frame before, so that its memory is used again.
        self.frame.resize(size, 0);
        self.input.read_exact(&mut self.frame).map_err(failed)?;
        Ok(self.frame.split().freeze())
    }
}

/// Writes all of it.
pub(crate) fn write_all(mut socket: &TcpStream, bytes: &[u8]) -> Result<(), BenchError> {
    socket.write_all(bytes).map_err(failed)
}

fn failed(error: io::Error) -> BenchError {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            BenchError::Timeout(format!("the broker was silent for {SILENT_MAX:?}"))
        }
        _ => BenchError::Io("talking to the broker".into(), error),
    }
}
