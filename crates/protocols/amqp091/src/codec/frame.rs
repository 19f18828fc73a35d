//! Frames: the units of the wire.
//!
//! ```text
//! | type 1 | channel 2 | size 4 | payload, size bytes | 0xCE |
//! ```
//! One read's bytes are walked by a cursor, so that a frame costs no split of the buffer; what is left at the end is the
//! start of a frame still coming.

use super::error::CodecError;
use super::method::{BasicAck, BasicPublish, Method, refusal, split};
use super::properties::PropertiesRef;

/// The octet that ends every frame.
pub const FRAME_END: u8 = 0xCE;

/// Octets of a frame that are not payload.
pub const FRAME_OVERHEAD: usize = 8;

/// Every peer takes frames of this size, and this is the limit until another is agreed.
pub const FRAME_MAX_MIN: u32 = 4096;

/// The class of messages, the only one with content.
pub const CLASS_BASIC: u16 = 60;

/// Octets of a frame before its payload.
pub(super) const HEAD: usize = FRAME_OVERHEAD - 1;

/// A frame's type octet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum FrameKind {
    /// A method.
    Method = 1,
    /// The header of a content: its size and properties.
    Header = 2,
    /// A part of a content's body.
    Body = 3,
    /// Proof of life.
    Heartbeat = 8,
}

/// A frame, borrowed from the read buffer.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Frame<'a> {
    /// A method.
    Method {
        /// The channel it is on.
        channel: u16,
        /// The method.
        method: Method<'a>,
    },
    /// The header of a content.
    Header {
        /// The channel it is on.
        channel: u16,
        /// The header.
        header: ContentHeader<'a>,
    },
    /// A part of a content's body.
    Body {
        /// The channel it is on.
        channel: u16,
        /// The part.
        bytes: &'a [u8],
    },
    /// Proof of life.
    Heartbeat {
        /// The channel it is on; by right only 0.
        channel: u16,
    },
}

impl Frame<'_> {
    /// The channel it is on.
    #[must_use]
    pub const fn channel(&self) -> u16 {
        match self {
            Self::Method { channel, .. }
            | Self::Header { channel, .. }
            | Self::Body { channel, .. }
            | Self::Heartbeat { channel } => *channel,
        }
    }
}

/// The header of a content. Its properties are not checked yet: see [`PropertiesRef::check`].
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ContentHeader<'a> {
    /// The class; by right only [`CLASS_BASIC`].
    pub class_id: u16,
    /// The body's size.
    pub body_size: u64,
    /// The properties, flags and fields, as they stand.
    pub properties: PropertiesRef<'a>,
}

/// A cursor over the frames that one read's bytes hold.
///
/// ```
/// # use polybus_amqp091::codec::{Frame, Frames};
/// let mut frames = Frames::new(&[8, 0, 0, 0, 0, 0, 0, 0xCE, 8, 0], 4096);
/// assert_eq!(frames.next_frame(), Ok(Some(Frame::Heartbeat { channel: 0 })));
/// assert_eq!(frames.next_frame(), Ok(None));
/// assert_eq!(frames.consumed(), 8);
/// ```
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    input: &'a [u8],
    pub(super) rest: &'a [u8],
    pub(super) payload_max: u32,
}

impl<'a> Frames<'a> {
    /// Walks `input`, with frames up to `frame_max` octets (0: no limit).
    #[inline]
    #[must_use]
    pub const fn new(input: &'a [u8], frame_max: u32) -> Self {
        let mut frames = Self {
            input,
            rest: input,
            payload_max: 0,
        };
        frames.set_frame_max(frame_max);
        frames
    }

    /// Changes the limit for the frames to come. As RabbitMQ does, the payload alone may reach it: quite a few clients forget
    /// the eight octets around it.
    #[inline]
    pub const fn set_frame_max(&mut self, frame_max: u32) {
        self.payload_max = if frame_max == 0 { u32::MAX } else { frame_max };
    }

    /// How many octets the frames given so far took: what the owner of the buffer lets go of.
    #[inline]
    #[must_use]
    pub const fn consumed(&self) -> usize {
        self.input.len() - self.rest.len()
    }

    /// The next frame, or none until more octets come.
    ///
    /// # Errors
    /// [`CodecError`] if the octets are no frame. A frame over the limit is refused before its payload has come.
    #[inline(always)]
    pub fn next_frame(&mut self) -> Result<Option<Frame<'a>>, CodecError> {
        let Some((&[kind, c1, c0, s3, s2, s1, s0], rest)) = self.rest.split_first_chunk::<HEAD>()
        else {
            return Ok(None);
        };
        let size = u32::from_be_bytes([s3, s2, s1, s0]);
        if !matches!(kind, 1..=3 | 8) {
            return Err(CodecError::FrameKind(kind));
        }
        if size > self.payload_max {
            let limit = self.payload_max;
            return Err(CodecError::FrameTooLarge { kind, size, limit });
        }
        let Some((payload, rest)) = rest.split_at_checked(size as usize) else {
            return Ok(None);
        };
        let Some((&octet, rest)) = rest.split_first() else {
            return Ok(None);
        };
        if octet != FRAME_END {
            return Err(CodecError::FrameEnd { kind, octet });
        }
        self.rest = rest;
        let channel = u16::from_be_bytes([c1, c0]);
        // The frames that come by the million are built in place: a method on its way through several enums is copied
        // each time, and the copies cost more than the parsing.
        match kind {
            1 => {
                let (id, fields) = split(payload)?;
                let method = match id {
                    BasicPublish::ID => match BasicPublish::parse(fields) {
                        Ok(publish) => Method::BasicPublish(publish),
                        Err(error) => return Err(refusal(id, error)),
                    },
                    BasicAck::ID => match BasicAck::parse(fields) {
                        Ok(ack) => Method::BasicAck(ack),
                        Err(error) => return Err(refusal(id, error)),
                    },
                    _ => Method::parse_any(id, fields)?,
                };
                Ok(Some(Frame::Method { channel, method }))
            }
            2 => {
                let header = ContentHeader::parse(payload)?;
                Ok(Some(Frame::Header { channel, header }))
            }
            3 => Ok(Some(Frame::Body {
                channel,
                bytes: payload,
            })),
            _ if payload.is_empty() => Ok(Some(Frame::Heartbeat { channel })),
            _ => Err(CodecError::FrameShape(kind)),
        }
    }
}

impl<'a> ContentHeader<'a> {
    #[inline]
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, CodecError> {
        let Some((&[c1, c0, _, _, s7, s6, s5, s4, s3, s2, s1, s0], properties)) =
            payload.split_first_chunk()
        else {
            return Err(CodecError::FrameShape(FrameKind::Header as u8));
        };
        Ok(Self {
            class_id: u16::from_be_bytes([c1, c0]),
            body_size: u64::from_be_bytes([s7, s6, s5, s4, s3, s2, s1, s0]),
            properties: PropertiesRef::new(properties),
        })
    }
}
