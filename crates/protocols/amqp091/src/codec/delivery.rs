//! A delivery written in one go: what a consumer gets by the million.
//!
//! ```text
//! room for all -> | basic.deliver | header | body |       a body in one frame, or none
//! otherwise    -> write_content
//! ```
//! What always holds: the bytes are those of [`write_content`].

use bytes::BytesMut;
use polybus_session::Outbound;

use super::frame::{CLASS_BASIC, FRAME_END, FRAME_OVERHEAD, FrameKind};
use super::method::BasicDeliver;
use super::write::{Content, ContentBody, HEADER_FIXED, payload_max, write_content};

/// The method's id, the tag, and what else of it has a fixed length: three length octets and the bit.
const METHOD_FIXED: usize = 4 + 8 + 3 + 1;

const METHOD: u8 = FrameKind::Method as u8;
const HEADER: u8 = FrameKind::Header as u8;
const BODY: u8 = FrameKind::Body as u8;

/// Writes a delivery, all its frames in one go.
#[inline]
pub fn write_delivery(
    outbound: &mut Outbound,
    channel: u16,
    frame_max: u32,
    method: &BasicDeliver<'_>,
    content: Content<'_>,
) {
    match content.body {
        ContentBody::Inline(body) if body.len() <= payload_max(frame_max) => {
            put(outbound.staged(), channel, method, content, body);
        }
        _ => write_content(outbound, channel, frame_max, method, content),
    }
}

fn put(
    out: &mut BytesMut,
    channel: u16,
    method: &BasicDeliver<'_>,
    content: Content<'_>,
    body: &[u8],
) {
    let names = [method.consumer_tag, method.exchange, method.routing_key];
    let [tag, exchange, key] = names.map(|name| name.0.get(..255).unwrap_or(name.0));
    let properties = content.properties.as_bytes();
    let method_len = METHOD_FIXED + tag.len() + exchange.len() + key.len();
    let header_len = HEADER_FIXED + properties.len();
    let body_frame = match body.len() {
        0 => 0,
        len => FRAME_OVERHEAD + len,
    };
    let at = out.len();
    out.resize(
        at + 2 * FRAME_OVERHEAD + method_len + header_len + body_frame,
        0,
    );
    let mut room = Room(out.get_mut(at..).unwrap_or_default());
    // What has a fixed length is joined: each piece costs a check and a copy.
    let [c1, c0] = channel.to_be_bytes();
    let [k1, k0] = CLASS_BASIC.to_be_bytes();
    let [i1, i0] = BasicDeliver::ID.method.to_be_bytes();
    let [m3, m2, m1, m0] = (method_len as u32).to_be_bytes();
    let [h3, h2, h1, h0] = (header_len as u32).to_be_bytes();
    let [b3, b2, b1, b0] = (body.len() as u32).to_be_bytes();
    let [t7, t6, t5, t4, t3, t2, t1, t0] = method.delivery_tag.to_be_bytes();
    let bit = u8::from(method.redelivered);
    let (tag_len, exchange_len) = (tag.len() as u8, exchange.len() as u8);
    room.put(&[METHOD, c1, c0, m3, m2, m1, m0, k1, k0, i1, i0, tag_len]);
    room.put(tag);
    room.put(&[t7, t6, t5, t4, t3, t2, t1, t0, bit, exchange_len]);
    room.put(exchange);
    room.put(&[key.len() as u8]);
    room.put(key);
    room.put(&[FRAME_END, HEADER, c1, c0, h3, h2, h1, h0, k1, k0, 0, 0]);
    room.put(&(body.len() as u64).to_be_bytes());
    room.put(properties);
    if body.is_empty() {
        room.put(&[FRAME_END]);
    } else {
        room.put(&[FRAME_END, BODY, c1, c0, b3, b2, b1, b0]);
        room.put(body);
        room.put(&[FRAME_END]);
    }
    debug_assert!(
        room.0.is_empty(),
        "a delivery is as long as it was said to be"
    );
}

/// What is still to be written of a slice.
struct Room<'a>(&'a mut [u8]);

impl Room<'_> {
    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        if let Some((place, rest)) = std::mem::take(&mut self.0).split_at_mut_checked(bytes.len()) {
            place.copy_from_slice(bytes);
            self.0 = rest;
        }
    }
}
