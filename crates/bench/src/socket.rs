//! A plain socket to a broker, with time limits.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::BenchError;

/// How long connecting may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Connects to IP:PORT. The peer may be silent when something is due from it, or take nothing, for so long.
///
/// # Errors
/// [`BenchError`] if the address is none, or nobody is there.
pub(crate) fn connect(address: &str, silent_max: Duration) -> Result<TcpStream, BenchError> {
    let place: SocketAddr = address
        .parse()
        .map_err(|_| BenchError::Usage(format!("{address} is not IP:PORT")))?;
    let socket = TcpStream::connect_timeout(&place, CONNECT_WITHIN)
        .map_err(|error| BenchError::Unreachable(address.to_owned(), error))?;
    let set = |socket: &TcpStream| {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(silent_max))?;
        socket.set_write_timeout(Some(silent_max))
    };
    set(&socket).map_err(BenchError::io("setting up a socket"))?;
    Ok(socket)
}

/// A second handle, for a thread of its own.
///
/// # Errors
/// [`BenchError`] if the system gives no more.
pub(crate) fn shared(socket: &TcpStream) -> Result<TcpStream, BenchError> {
    socket
        .try_clone()
        .map_err(BenchError::io("sharing a socket"))
}
