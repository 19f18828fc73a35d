//! Tests of the codec as a whole: bytes that other implementations wrote, round trips, and input that means harm.

mod fixtures;
mod hostile;
mod round_trip;
mod tables;
mod whole;

use bytes::{Buf, BytesMut};
use polybus_session::Outbound;

use super::*;

const FRAME_MAX: u32 = 131_072;

fn content<'a>(properties: &'a [u8], body: &'a [u8]) -> Content<'a> {
    Content {
        properties: PropertiesRef::new(properties),
        body: ContentBody::Inline(body),
    }
}

fn outbound_bytes(outbound: &mut Outbound) -> Vec<u8> {
    let mut all = Vec::new();
    while !outbound.is_empty() {
        let mut slices = [std::io::IoSlice::new(&[]); 8];
        let filled = outbound.slices(&mut slices);
        let before = all.len();
        for part in &slices[..filled] {
            all.extend_from_slice(part);
        }
        outbound.advance(all.len() - before);
    }
    all
}

/// Reads frames as a session does, with input that comes in parts; gives what was read in words, and the error at the end.
fn read_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> (Vec<String>, Option<CodecError>) {
    let mut buffer = BytesMut::new();
    let mut seen = Vec::new();
    for part in parts {
        buffer.extend_from_slice(part);
        let mut frames = Frames::new(&buffer, FRAME_MAX);
        loop {
            match frames.next_frame() {
                Ok(Some(frame)) => {
                    if let Frame::Header { header, .. } = frame {
                        seen.push(format!("{:?}", header.properties.check()));
                    }
                    seen.push(format!("{frame:?}"));
                }
                Ok(None) => break,
                Err(error) => return (seen, Some(error)),
            }
        }
        let consumed = frames.consumed();
        buffer.advance(consumed);
    }
    (seen, None)
}

/// One frame, which has to be all there is.
fn read_one(bytes: &[u8]) -> Result<Frame<'_>, CodecError> {
    let mut frames = Frames::new(bytes, FRAME_MAX);
    let frame = frames.next_frame()?.expect("a whole frame");
    assert_eq!(frames.consumed(), bytes.len());
    Ok(frame)
}
