//! Reading into memory that idle connections do not hold.
//!
//! ```text
//! nothing or little kept:  [ kept ] -> thread's buffer [ kept | read... ] -> session -> rest, copied to [ kept ]
//! much kept (a large frame in parts):  [ kept | read... ] -> session -> rest stays
//! ```
//! Each thread has one large buffer that whoever reads borrows; what a session leaves of it (the beginning of a frame) is
//! copied out, so that a connection holds as much as it has not yet parsed and an idle one nothing.

use std::cell::RefCell;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What one read takes at most.
const READ_BYTES_MAX: usize = 128 * 1024;
/// With less than this kept, the next read goes through the thread's buffer.
const COPY_BYTES_MAX: usize = 4 * 1024;
/// The least that is read into a connection's own buffer.
const OWN_BYTES_MIN: usize = 16 * 1024;

thread_local! {
    static LARGE: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// What a connection has read and not parsed.
#[derive(Debug, Default)]
pub(super) struct Input {
    kept: BytesMut,
}

impl Input {
    /// Starts with bytes that were read before.
    pub(super) fn new(bytes: BytesMut) -> Self {
        Self { kept: bytes }
    }

    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Gives what waits to `parse`, without reading.
    pub(super) fn parse(&mut self, parse: impl FnOnce(&mut BytesMut)) {
        parse(&mut self.kept);
        self.release();
    }

    /// Reads once and gives what waits and what was read to `parse`, which leaves what it cannot use yet. Gives how many bytes
    /// were read; none is the end of the input, and then nothing is parsed.
    pub(super) fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        socket: &mut S,
        context: &mut Context<'_>,
        parse: impl FnOnce(&mut BytesMut),
    ) -> Poll<io::Result<usize>> {
        if self.kept.len() >= COPY_BYTES_MAX {
            // Doubles with what is kept, so that a large frame is copied a few times at most.
            let room = self.kept.len().clamp(OWN_BYTES_MIN, READ_BYTES_MAX);
            self.kept.reserve(room);
            let read = ready!(read_once(&mut self.kept, socket, context))?;
            if read > 0 {
                self.parse(parse);
            }
            return Poll::Ready(Ok(read));
        }
        LARGE.with_borrow_mut(|large| {
            large.clear();
            large.reserve(READ_BYTES_MAX);
            large.extend_from_slice(&self.kept);
            let read = ready!(read_once(large, socket, context))?;
            if read > 0 {
                parse(large);
                self.kept.clear();
                self.kept.extend_from_slice(large);
                self.release();
            }
            Poll::Ready(Ok(read))
        })
    }

    fn release(&mut self) {
        if self.kept.is_empty() {
            self.kept = BytesMut::new();
        }
    }
}

fn read_once<S: AsyncRead + Unpin>(
    into: &mut BytesMut,
    socket: &mut S,
    context: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    // A read that is not ready has read nothing, so the future may be made anew each time.
    pin!(socket.read_buf(into)).poll(context)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Parses frames of a length byte (in KiB) and a payload; gives what was parsed.
    fn frames(input: &mut BytesMut, parsed: &mut Vec<usize>) {
        while let Some(first) = input.first() {
            let len = 1 + usize::from(*first) * 1024;
            if input.len() < len {
                return;
            }
            drop(input.split_to(len));
            parsed.push(len);
        }
    }

    #[tokio::test]
    async fn frames_of_every_size_in_parts_and_nothing_held_between() {
        for part in [1, 100, 5000, 70_000, 1_000_000] {
            let mut bytes = Vec::new();
            for kib in [0u8, 1, 3, 4, 5, 63, 200, 0, 255] {
                bytes.push(kib);
                bytes.resize(bytes.len() + usize::from(kib) * 1024, kib);
            }
            let expected: usize = bytes.len();
            let (mut near, mut far) = tokio::io::duplex(part);
            let writer = tokio::spawn(async move {
                tokio::io::AsyncWriteExt::write_all(&mut far, &bytes)
                    .await
                    .unwrap();
            });
            let mut input = Input::default();
            let mut parsed = Vec::new();
            while poll_fn(|cx| input.poll_read(&mut near, cx, |buffer| frames(buffer, &mut parsed)))
                .await
                .unwrap()
                > 0
            {}
            writer.await.unwrap();
            assert_eq!(parsed.iter().sum::<usize>(), expected);
            assert_eq!(input.kept.capacity(), 0);
        }
    }
}
