//! Reading into memory that idle connections do not hold.
//!
//! ```text
//! nothing or little kept:  [ kept ] -> thread's buffer [ kept | read... ] -> session -> rest, copied to [ kept ]
//! much kept, a frame of known length:  [ kept | read, to the frame's end ] -> session, which takes all of it
//! much kept otherwise:  [ kept | read... ] -> session -> rest stays
//! ```
//! Each thread has one large buffer that whoever reads borrows; what a session leaves of it (the beginning of a frame) is
//! copied out, so that a connection holds as much as it has not yet parsed and an idle one nothing. A large frame gets room of its
//! own as soon as the session knows its length, and is read to its end and no further: so it is never copied again, and the next
//! one begins in front. Room is made ahead up to a bound only; what is longer doubles it as it comes.

use std::cell::RefCell;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What one read takes at most, where a frame's length is not known.
const READ_BYTES_MAX: usize = 128 * 1024;
/// With less than this kept, the next read goes through the thread's buffer.
const COPY_BYTES_MAX: usize = 4 * 1024;
/// The least that is read into a connection's own buffer.
const OWN_BYTES_MIN: usize = 16 * 1024;
/// Room that is made for a frame before it has come: a peer may say what it likes.
const ROOM_BYTES_MAX: usize = 2 * 1024 * 1024;
/// With less room left, the thread's buffer is made anew. What sessions keep of it (a batch on its way to a log) shares it as
/// long as that: were it left after each read, a small batch would hold all of a buffer.
const LEFT_BYTES_MIN: usize = 32 * 1024;
/// After a frame of so many bytes the next is expected to be large as well, and no more than its beginning is read to be
/// copied.
const BULK_BYTES_MIN: usize = 64 * 1024;

thread_local! {
    static LARGE: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// What a connection has read and not parsed. Whoever parses takes what it can use off the front, and gives how many bytes it
/// needs in all to go on; 0 where it does not know.
#[derive(Debug, Default)]
pub(super) struct Input {
    kept: BytesMut,
    wanted: usize,
    is_bulk: bool,
}

impl Input {
    /// Starts with bytes that were read before.
    pub(super) fn new(bytes: BytesMut) -> Self {
        Self {
            kept: bytes,
            ..Self::default()
        }
    }

    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Gives what waits to `parse`, without reading.
    pub(super) fn parse(&mut self, parse: impl FnOnce(&mut BytesMut) -> usize) {
        self.wanted = parse(&mut self.kept);
        self.release();
    }

    /// Reads once and gives what waits and what was read to `parse`. Gives how many bytes were read; none is the end of the
    /// input, and then nothing is parsed.
    pub(super) fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        socket: &mut S,
        context: &mut Context<'_>,
        parse: impl FnOnce(&mut BytesMut) -> usize,
    ) -> Poll<io::Result<usize>> {
        if self.kept.len() >= COPY_BYTES_MAX {
            let most = self.make_room();
            let read = ready!(read_once(&mut self.kept, most, socket, context))?;
            if read > 0 {
                self.parse(parse);
            }
            return Poll::Ready(Ok(read));
        }
        let most = if self.is_bulk {
            COPY_BYTES_MAX
        } else {
            READ_BYTES_MAX
        };
        LARGE.with_borrow_mut(|large| {
            large.clear();
            if large.capacity() < LEFT_BYTES_MIN {
                large.reserve(READ_BYTES_MAX);
            }
            large.extend_from_slice(&self.kept);
            let read = ready!(read_once(large, most, socket, context))?;
            if read > 0 {
                self.wanted = parse(large);
                self.is_bulk = self.wanted >= BULK_BYTES_MIN;
                self.kept.clear();
                self.kept
                    .reserve(large.len().max(self.wanted.min(ROOM_BYTES_MAX)));
                self.kept.extend_from_slice(large);
                self.release();
            }
            Poll::Ready(Ok(read))
        })
    }

    /// Makes room behind what is kept; gives how much is to be read.
    fn make_room(&mut self) -> usize {
        let len = self.kept.len();
        let missing = self.wanted.saturating_sub(len);
        if missing == 0 {
            // Doubles with what is kept, so that a large frame is copied a few times at most.
            self.kept.reserve(len.clamp(OWN_BYTES_MIN, READ_BYTES_MAX));
            return READ_BYTES_MAX;
        }
        if self.kept.capacity() == len {
            self.kept.reserve(missing.min(len.max(ROOM_BYTES_MAX)));
        }
        missing.min(self.kept.capacity() - len)
    }

    fn release(&mut self) {
        if self.kept.is_empty() {
            self.kept = BytesMut::new();
        }
    }
}

/// Reads once, `most` bytes at most.
fn read_once<S: AsyncRead + Unpin>(
    into: &mut BytesMut,
    most: usize,
    socket: &mut S,
    context: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    // A read that is not ready has read nothing, so the future may be made anew each time.
    pin!(socket.read_buf(&mut into.limit(most))).poll(context)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Parses frames of a length byte (in units) and a payload; gives the length of the one that is not all there.
    fn frames(input: &mut BytesMut, unit: usize, parsed: &mut Vec<usize>) -> usize {
        while let Some(first) = input.first() {
            let len = 1 + usize::from(*first) * unit;
            if input.len() < len {
                return len;
            }
            drop(input.split_to(len));
            parsed.push(len);
        }
        0
    }

    /// Reads frames that come in parts; gives the input as it is then.
    async fn read_all(unit: usize, part: usize, is_told: bool) -> Input {
        let mut bytes = Vec::new();
        for units in [0u8, 1, 3, 4, 5, 63, 200, 0, 255, 255, 1, 255] {
            bytes.push(units);
            bytes.resize(bytes.len() + usize::from(units) * unit, units);
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
        let mut parse = |buffer: &mut BytesMut| {
            let wanted = frames(buffer, unit, &mut parsed);
            if is_told { wanted } else { 0 }
        };
        while poll_fn(|cx| input.poll_read(&mut near, cx, &mut parse))
            .await
            .unwrap()
            > 0
        {
            let bound = 2 * ROOM_BYTES_MAX + 2 * input.len();
            assert!(!is_told || input.kept.capacity() <= bound);
        }
        writer.await.unwrap();
        assert_eq!(parsed.iter().sum::<usize>(), expected);
        input
    }

    #[tokio::test]
    async fn frames_of_every_size_in_parts_and_nothing_held_between() {
        for part in [1, 100, 5000, 70_000, 1_000_000] {
            for is_told in [false, true] {
                let input = read_all(1024, part, is_told).await;
                assert_eq!(input.kept.capacity(), 0);
            }
        }
    }

    #[tokio::test]
    async fn a_frame_beyond_the_room_that_is_made_ahead() {
        for is_told in [false, true] {
            let input = read_all(20_000, 100_000, is_told).await;
            assert_eq!(input.kept.capacity(), 0);
        }
    }
}
