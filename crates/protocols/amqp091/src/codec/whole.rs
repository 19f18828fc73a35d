//! Whole publishes and acks, taken straight from the read buffer: what comes by the million, and nearly always in one piece.
//!
//! ```text
//! rest -> | basic.publish | header | body |   all there, one channel, well-formed  -> WholePublish, the cursor behind it
//!         anything else                                                            -> None, the cursor where it was
//! ```
//! Nothing is refused here: what is malformed, too large or still coming is left to [`Frames::next_frame`], which says what is
//! wrong with it. So a message means the same whichever way it takes.

use super::frame::{CLASS_BASIC, ContentHeader, FRAME_END, FrameKind, Frames, HEAD};
use super::method::{BasicAck, BasicPublish, MethodId, split};
use super::properties::PropertiesRef;

/// A publish of which all is there: the method, the content header and the body, which came in one frame or is empty.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct WholePublish<'a> {
    /// The method.
    pub method: BasicPublish<'a>,
    /// The properties, not checked yet: see [`PropertiesRef::check`].
    pub properties: PropertiesRef<'a>,
    /// The body, as long as the header says.
    pub body: &'a [u8],
}

impl<'a> Frames<'a> {
    /// The channel of the next frame, if there is a next frame.
    #[inline]
    #[must_use]
    pub fn next_channel(&self) -> Option<u16> {
        match self.rest {
            [_, c1, c0, ..] => Some(u16::from_be_bytes([*c1, *c0])),
            _ => None,
        }
    }

    /// How many octets are left behind the frames given so far.
    #[inline]
    #[must_use]
    pub const fn rest_len(&self) -> usize {
        self.rest.len()
    }

    /// The next publish, if all of it is there, on that channel.
    #[inline(always)]
    pub fn next_publish(&mut self, channel: u16) -> Option<WholePublish<'a>> {
        let rest = self.rest;
        let whole = self.read_publish(channel);
        if whole.is_none() {
            self.rest = rest;
        }
        whole
    }

    /// The next ack, if it is next and on that channel.
    #[inline(always)]
    pub fn next_ack(&mut self, channel: u16) -> Option<BasicAck> {
        let rest = self.rest;
        let ack = self
            .fields_of(BasicAck::ID, channel)
            .and_then(|fields| BasicAck::parse(fields).ok());
        if ack.is_none() {
            self.rest = rest;
        }
        ack
    }

    #[inline(always)]
    fn read_publish(&mut self, channel: u16) -> Option<WholePublish<'a>> {
        let method = BasicPublish::parse(self.fields_of(BasicPublish::ID, channel)?).ok()?;
        let header = ContentHeader::parse(self.payload_of(FrameKind::Header, channel)?).ok()?;
        let body = if header.body_size == 0 {
            &[]
        } else {
            self.payload_of(FrameKind::Body, channel)?
        };
        let is_whole = header.class_id == CLASS_BASIC && body.len() as u64 == header.body_size;
        is_whole.then_some(WholePublish {
            method,
            properties: header.properties,
            body,
        })
    }

    #[inline(always)]
    fn fields_of(&mut self, id: MethodId, channel: u16) -> Option<&'a [u8]> {
        let (found, fields) = split(self.payload_of(FrameKind::Method, channel)?).ok()?;
        (found == id).then_some(fields)
    }

    #[inline(always)]
    fn payload_of(&mut self, kind: FrameKind, channel: u16) -> Option<&'a [u8]> {
        let (&[found, c1, c0, s3, s2, s1, s0], rest) = self.rest.split_first_chunk::<HEAD>()?;
        let size = u32::from_be_bytes([s3, s2, s1, s0]);
        if found != kind as u8 || u16::from_be_bytes([c1, c0]) != channel || size > self.payload_max
        {
            return None;
        }
        let (payload, rest) = rest.split_at_checked(size as usize)?;
        let (&end, rest) = rest.split_first()?;
        self.rest = rest;
        (end == FRAME_END).then_some(payload)
    }
}
