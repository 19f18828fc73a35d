//! A WebSocket as a socket: what its messages carry is a stream of bytes, and so is what is written to it. Where one message
//! ends and the next begins means nothing. A message has a bound, and no extension is spoken.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

/// One message carries at most so many bytes of what is written.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// With so much unwritten, nothing more is taken.
const WRITE_BYTES_MAX: usize = 1 << 20;

/// A socket that speaks WebSocket below.
#[derive(Debug)]
pub(crate) struct WebSocket<S> {
    inner: WebSocketStream<S>,
    /// Of the last message, what has not been read.
    rest: Bytes,
}

/// Greets a browser, which asks by HTTP. Its messages have at most so many bytes.
///
/// # Errors
/// It does not ask for a WebSocket, or leaves.
pub(crate) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    socket: S,
    bytes_max: usize,
) -> Result<WebSocket<S>, Box<Error>> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(bytes_max))
        .max_frame_size(Some(bytes_max))
        .max_write_buffer_size(WRITE_BYTES_MAX);
    let inner = tokio_tungstenite::accept_async_with_config(socket, Some(config))
        .await
        .map_err(Box::new)?;
    Ok(WebSocket {
        inner,
        rest: Bytes::new(),
    })
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => io::Error::other(other),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_next(context)) {
                Some(Ok(Message::Binary(bytes))) => self.rest = bytes,
                Some(Ok(Message::Text(text))) => self.rest = text.into(),
                // Pings are answered below.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_)) | Err(Error::ConnectionClosed)) | None => {
                    return Poll::Ready(Ok(()));
                }
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
            }
        }
        let len = self.rest.len().min(into.remaining());
        into.put_slice(self.rest.get(..len).unwrap_or_default());
        self.rest.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.inner).poll_ready(context)).map_err(io_error)?;
        let mut message = BytesMut::new();
        for part in parts {
            let room = MESSAGE_BYTES_MAX - message.len();
            message.extend_from_slice(part.get(..room).unwrap_or(part));
            if message.len() == MESSAGE_BYTES_MAX {
                break;
            }
        }
        let len = message.len();
        Pin::new(&mut self.inner)
            .start_send(Message::Binary(message.freeze()))
            .map_err(io_error)?;
        Poll::Ready(Ok(len))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner)
            .poll_flush(context)
            .map_err(io_error)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.inner).poll_close(context)) {
            Ok(()) | Err(Error::ConnectionClosed) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(io_error(error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_stream_of_bytes_both_ways_and_no_message_beyond_the_bound() {
        let (near, far) = tokio::io::duplex(4096);
        let server = tokio::spawn(async move {
            let mut socket = accept(near, 100_000).await.unwrap();
            let mut got = vec![0; 200_000];
            socket.read_exact(&mut got).await.unwrap();
            socket.write_all(&got).await.unwrap();
            socket.flush().await.unwrap();
            let mut bin = Vec::new();
            socket.read_to_end(&mut bin).await.map(|_| bin.len())
        });
        let (client, _) = tokio_tungstenite::client_async("ws://localhost/", far)
            .await
            .unwrap();
        let mut client = WebSocket {
            inner: client,
            rest: Bytes::new(),
        };
        let sent: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
        client.write_all(&sent).await.unwrap();
        client.flush().await.unwrap();
        let mut got = vec![0; sent.len()];
        client.read_exact(&mut got).await.unwrap();
        assert!(got == sent);
        let huge = Message::Binary(vec![0; 100_001].into());
        Pin::new(&mut client.inner).start_send(huge).unwrap();
        drop(client.flush().await);
        let end = server.await.unwrap();
        assert!(end.unwrap_err().to_string().contains("too long"));
    }
}
