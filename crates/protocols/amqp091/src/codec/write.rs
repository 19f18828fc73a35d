//! Frames on their way out.
//!
//! ```text
//! write_content: [ method ][ header ][ body | end ] ... in one go: staged together, large bodies by reference
//! ```

use bytes::{BufMut, Bytes, BytesMut};
use polybus_session::Outbound;

use super::frame::{CLASS_BASIC, FRAME_END, FRAME_OVERHEAD, FrameKind};
use super::method::Encode;
use super::properties::PropertiesRef;
use super::table::close;

/// Class, weight and body size of a content header.
pub(super) const HEADER_FIXED: usize = 12;

/// What follows a method with content.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// The properties.
    pub properties: PropertiesRef<'a>,
    /// The body.
    pub body: ContentBody<'a>,
}

/// A body to write.
#[derive(Clone, Copy, Debug)]
pub enum ContentBody<'a> {
    /// Bytes to copy.
    Inline(&'a [u8]),
    /// Bytes to pass on by reference, where that pays.
    Shared(&'a Bytes),
}

impl ContentBody<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Inline(bytes) => bytes.len(),
            Self::Shared(bytes) => bytes.len(),
        }
    }
}

/// Appends a method frame.
#[inline]
pub fn write_method(out: &mut BytesMut, channel: u16, method: &impl Encode) {
    out.reserve(FRAME_OVERHEAD + 4 + method.size_bound());
    put_method(out, channel, method);
}

/// Appends a content header frame. It cannot be split: the properties have to fit one frame, and those of a message that
/// came in one do.
pub fn write_header(
    out: &mut BytesMut,
    channel: u16,
    body_size: u64,
    properties: PropertiesRef<'_>,
) {
    out.reserve(FRAME_OVERHEAD + HEADER_FIXED + properties.as_bytes().len());
    put_header(out, channel, body_size, properties);
}

/// Appends a body as frames of at most `frame_max` octets (0: no limit); an empty one is no frame.
pub fn write_body(out: &mut BytesMut, channel: u16, body: &[u8], frame_max: u32) {
    let payload_max = payload_max(frame_max);
    out.reserve(body.len() + (body.len() / payload_max + 1) * FRAME_OVERHEAD);
    put_body(out, channel, body, payload_max);
}

/// Appends a heartbeat frame.
pub fn write_heartbeat(out: &mut BytesMut) {
    put_head(out, FrameKind::Heartbeat, 0, 0);
    out.put_u8(FRAME_END);
}

/// Writes a method with content (deliver, get-ok, return; publish for a client), all its frames in one go.
#[inline]
pub fn write_content(
    outbound: &mut Outbound,
    channel: u16,
    frame_max: u32,
    method: &impl Encode,
    content: Content<'_>,
) {
    let body_len = content.body.len();
    let payload_max = payload_max(frame_max);
    let fixed = 3 * FRAME_OVERHEAD + 4 + HEADER_FIXED;
    let size = fixed + method.size_bound() + content.properties.as_bytes().len();
    let out = outbound.staged();
    match content.body {
        ContentBody::Inline(body) => {
            let further = body_len / payload_max * FRAME_OVERHEAD;
            out.reserve(size + body_len + further);
            put_method(out, channel, method);
            put_header(out, channel, body_len as u64, content.properties);
            put_body(out, channel, body, payload_max);
        }
        ContentBody::Shared(body) => {
            out.reserve(size);
            put_method(out, channel, method);
            put_header(out, channel, body_len as u64, content.properties);
            push_body(outbound, channel, body, payload_max);
        }
    }
}

/// Writes a body by reference, a slice of it to a frame.
fn push_body(outbound: &mut Outbound, channel: u16, body: &Bytes, payload_max: usize) {
    let mut from = 0;
    while from < body.len() {
        let to = body.len().min(from.saturating_add(payload_max));
        put_head(outbound.staged(), FrameKind::Body, channel, to - from);
        outbound.push_shared(body.slice(from..to));
        outbound.staged().put_u8(FRAME_END);
        from = to;
    }
}

/// How much of a body a frame takes.
pub(super) const fn payload_max(frame_max: u32) -> usize {
    let frame_max = if frame_max == 0 { u32::MAX } else { frame_max };
    let room = (frame_max as usize).saturating_sub(FRAME_OVERHEAD);
    if room == 0 { 1 } else { room }
}

#[inline]
fn put_head(out: &mut BytesMut, kind: FrameKind, channel: u16, size: usize) {
    let [c1, c0] = channel.to_be_bytes();
    let [s3, s2, s1, s0] = (size as u32).to_be_bytes();
    out.extend_from_slice(&[kind as u8, c1, c0, s3, s2, s1, s0]);
}

#[inline]
fn put_method(out: &mut BytesMut, channel: u16, method: &impl Encode) {
    let id = method.id();
    let [c1, c0] = channel.to_be_bytes();
    let [i1, i0] = id.class.to_be_bytes();
    let [m1, m0] = id.method.to_be_bytes();
    let size_at = out.len() + 3;
    out.extend_from_slice(&[FrameKind::Method as u8, c1, c0, 0, 0, 0, 0, i1, i0, m1, m0]);
    method.encode(out);
    close(out, size_at);
    out.put_u8(FRAME_END);
}

#[inline]
fn put_header(out: &mut BytesMut, channel: u16, body_size: u64, properties: PropertiesRef<'_>) {
    let properties = properties.as_bytes();
    let [c1, c0] = channel.to_be_bytes();
    let [s3, s2, s1, s0] = ((HEADER_FIXED + properties.len()) as u32).to_be_bytes();
    let [k1, k0] = CLASS_BASIC.to_be_bytes();
    let kind = FrameKind::Header as u8;
    out.extend_from_slice(&[kind, c1, c0, s3, s2, s1, s0, k1, k0, 0, 0]);
    out.extend_from_slice(&body_size.to_be_bytes());
    out.extend_from_slice(properties);
    out.put_u8(FRAME_END);
}

#[inline]
fn put_body(out: &mut BytesMut, channel: u16, body: &[u8], payload_max: usize) {
    for part in body.chunks(payload_max) {
        put_head(out, FrameKind::Body, channel, part.len());
        out.extend_from_slice(part);
        out.put_u8(FRAME_END);
    }
}
