//! The receiving end of a socket: a buffer, and a walk over the frame heads in it.

use std::io;
use std::os::fd::AsFd;

use polybus_amqp091::codec::{FRAME_END, FRAME_OVERHEAD};
use rustix::net::RecvFlags;

use crate::error::BenchError;

/// Room for several of the greatest frames.
const ROOM: usize = 1024 * 1024;

const HEAD: usize = FRAME_OVERHEAD - 1;

/// A frame as it stands in the buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawFrame<'a> {
    pub(crate) kind: u8,
    pub(crate) channel: u16,
    pub(crate) payload: &'a [u8],
}

/// What a read gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Filled {
    Bytes,
    Nothing,
    End,
}

#[derive(Debug)]
pub(crate) struct Walker {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Walker {
    pub(crate) fn new() -> Self {
        Self::with_room(ROOM)
    }

    /// For the many connections that only idle.
    pub(crate) fn with_room(room: usize) -> Self {
        Self {
            buffer: vec![0; room].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }

    /// Reads once. A timeout, or nothing there when it may not wait, is [`Filled::Nothing`].
    pub(crate) fn fill(&mut self, socket: impl AsFd, may_wait: bool) -> io::Result<Filled> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        if room.is_empty() {
            return Err(io::Error::other("a frame beyond the agreed size"));
        }
        let flags = if may_wait {
            RecvFlags::empty()
        } else {
            RecvFlags::DONTWAIT
        };
        match rustix::net::recv(socket, room, flags) {
            Ok((0, _)) => Ok(Filled::End),
            Ok((count, _)) => {
                self.end += count;
                Ok(Filled::Bytes)
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(Filled::Nothing),
            Err(error) => Err(error.into()),
        }
    }

    /// The next whole frame.
    #[inline]
    pub(crate) fn next_frame(&mut self) -> Result<Option<RawFrame<'_>>, BenchError> {
        let bytes = self.buffer.get(self.start..self.end).unwrap_or_default();
        let Some((&[kind, c1, c0, s3, s2, s1, s0], rest)) = bytes.split_first_chunk::<HEAD>()
        else {
            return Ok(None);
        };
        let size = u32::from_be_bytes([s3, s2, s1, s0]) as usize;
        let Some((payload, rest)) = rest.split_at_checked(size) else {
            return Ok(None);
        };
        match rest.first() {
            None => return Ok(None),
            Some(&FRAME_END) => {}
            Some(octet) => {
                return Err(BenchError::Protocol(format!("a frame ends in {octet}")));
            }
        }
        self.start += size + FRAME_OVERHEAD;
        Ok(Some(RawFrame {
            kind,
            channel: u16::from_be_bytes([c1, c0]),
            payload,
        }))
    }
}
