//! Frames and the headers in them.
//!
//! ```text
//! request:   i32 size | i16 api, i16 version, i32 correlation id, string client id | tagged fields (header v2) | body
//! response:  i32 size | i32 correlation id | tagged fields (header v1) | body
//! ```
//! Headers are of the newer kind where the API's version is flexible; the response to ApiVersions never is, so that a client
//! can read it before it knows what the server speaks.

use bytes::{Buf, Bytes, BytesMut};

use super::api::Api;
use super::error::CodecError;
use super::messages::Message;
use super::primitives::{Reader, Writer};

/// The greatest request, in bytes, unless the server is told another one: Kafka's default.
pub const FRAME_BYTES_MAX: u32 = 100 * 1024 * 1024;

/// The size in front of a frame.
const SIZE_BYTES: usize = 4;

/// Takes the next frame off the input, without its size. None: it is not all there yet. A size over the limit fails as
/// soon as it is read, before the frame is waited for.
pub fn split_frame(input: &mut BytesMut, limit_bytes: u32) -> Result<Option<Bytes>, CodecError> {
    let wanted = frame_bytes(input, limit_bytes)?;
    if wanted == 0 || input.len() < wanted {
        return Ok(None);
    }
    input.advance(SIZE_BYTES);
    Ok(Some(input.split_to(wanted - SIZE_BYTES).freeze()))
}

/// The bytes of the frame that the input begins with, its size among them; 0 while that is not all there.
pub(crate) fn frame_bytes(input: &[u8], limit_bytes: u32) -> Result<usize, CodecError> {
    let Some(size) = input.first_chunk() else {
        return Ok(0);
    };
    let size_bytes = i32::from_be_bytes(*size);
    let size = u32::try_from(size_bytes)
        .ok()
        .filter(|size| *size <= limit_bytes)
        .ok_or(CodecError::FrameSize {
            size_bytes,
            limit_bytes,
        })?;
    Ok(SIZE_BYTES + size as usize)
}

/// What stands in front of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestHeader {
    /// The API's number; it may be one that nobody knows.
    pub api_key: i16,
    /// The version of the API.
    pub version: i16,
    /// The number that the response carries back.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<String>,
}

impl RequestHeader {
    /// The API, if there is one of that number.
    #[must_use]
    pub fn api(&self) -> Option<Api> {
        Api::from_key(self.api_key)
    }

    /// True if this codec reads that version of that API.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.api()
            .is_some_and(|api| api.versions().contains(&self.version))
    }

    /// Reads a header. Of an API or version that nobody knows it reads what all headers have; the body cannot be read then.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let header = Self {
            api_key: reader.i16()?,
            version: reader.i16()?,
            correlation_id: reader.i32()?,
            // Not compact in any version.
            client_id: reader.str_or_null(false)?.map(str::to_owned),
        };
        if header.is_known()
            && header
                .api()
                .is_some_and(|api| api.is_flexible(header.version))
        {
            reader.skip_tagged()?;
        }
        Ok(header)
    }
}

/// Appends a whole request, as a client sends it.
pub fn write_request<M: Message>(
    out: &mut BytesMut,
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
    body: &M,
) {
    write_framed(out, |writer| {
        write_request_header(writer, M::API, version, correlation_id, client_id);
        body.encode(writer, version);
    });
}

/// Writes a request's header.
pub fn write_request_header(
    writer: &mut Writer<'_>,
    api: Api,
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
) {
    writer.i16(api.key());
    writer.i16(version);
    writer.i32(correlation_id);
    writer.str(client_id, false);
    if api.is_flexible(version) {
        writer.uvarint(0);
    }
}

/// Appends a whole response.
pub fn write_response<M: Message>(out: &mut BytesMut, version: i16, correlation_id: i32, body: &M) {
    write_framed(out, |writer| {
        write_response_header(writer, M::API, version, correlation_id);
        body.encode(writer, version);
    });
}

/// Writes a response's header.
#[inline]
pub fn write_response_header(writer: &mut Writer<'_>, api: Api, version: i16, correlation_id: i32) {
    writer.i32(correlation_id);
    if api.is_flexible(version) && api != Api::ApiVersions {
        writer.uvarint(0);
    }
}

/// Reads a response's header, as a client does: the correlation id.
pub fn read_response_header(
    reader: &mut Reader<'_>,
    api: Api,
    version: i16,
) -> Result<i32, CodecError> {
    let correlation_id = reader.i32()?;
    if api.is_flexible(version) && api != Api::ApiVersions {
        reader.skip_tagged()?;
    }
    Ok(correlation_id)
}

/// Appends what `write` writes, with its size in front.
fn write_framed(out: &mut BytesMut, write: impl FnOnce(&mut Writer<'_>)) {
    let at = out.len();
    out.extend_from_slice(&[0; SIZE_BYTES]);
    write(&mut Writer::new(out));
    let size = (out.len() - at - SIZE_BYTES) as i32;
    if let Some(place) = out.get_mut(at..at + SIZE_BYTES) {
        place.copy_from_slice(&size.to_be_bytes());
    }
}
