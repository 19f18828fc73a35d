//! What is written is read again, of every message in every version, whole or cut at every byte.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::super::{
    Api, CodecError, Reader, RequestHeader, Writer, read_response_header, split_frame,
    write_request, write_response,
};
use super::sample::{Sample, Source};
use super::*;

fn encode<M: Message>(message: &M, version: i16) -> Bytes {
    let mut out = BytesMut::new();
    message.encode(&mut Writer::new(&mut out), version);
    out.freeze()
}

fn decode<M: Message>(bytes: &Bytes, version: i16) -> Result<M, CodecError> {
    let mut reader = Reader::new(bytes);
    let message = M::decode(&mut reader, version)?;
    reader.finish()?;
    Ok(message)
}

fn round_trip<M: Message + Sample + PartialEq + Debug>(mut source: Source) {
    let sample = M::sample(&mut source);
    for version in M::API.versions() {
        let written = encode(&sample, version);
        let read: M = decode(&written, version).unwrap();
        // What a version does not have is not written; the rest is the same.
        assert_eq!(
            encode(&read, version),
            written,
            "{} {version}",
            M::API.name()
        );
        assert_eq!(decode::<M>(&written, version).as_ref(), Ok(&read));
        for cut in 0..written.len() {
            let cut = decode::<M>(&written.slice(..cut), version);
            assert!(cut.is_err(), "{} {version}: {cut:?}", M::API.name());
        }
    }
}

macro_rules! round_trips {
    ($module:ident, $request:ident, $response:ident) => {
        mod $module {
            use super::*;

            proptest! {
                #![proptest_config(ProptestConfig::with_cases(24))]

                #[test]
                fn request(source in Source::any()) {
                    round_trip::<$request>(source);
                }

                #[test]
                fn response(source in Source::any()) {
                    round_trip::<$response>(source);
                }
            }
        }
    };
}

each_message!(round_trips);

#[test]
fn frames_and_headers() {
    let mut wire = BytesMut::new();
    let mut versions = Vec::new();
    for version in Api::Metadata.versions() {
        let request = MetadataRequest::default();
        write_request(&mut wire, version, version.into(), Some("me"), &request);
        versions.push(version);
    }
    for version in versions {
        let frame = split_frame(&mut wire, 1_000).unwrap().unwrap();
        let mut reader = Reader::new(&frame);
        let header = RequestHeader::decode(&mut reader).unwrap();
        assert_eq!(header.api(), Some(Api::Metadata));
        assert_eq!(header.version, version);
        assert_eq!(header.correlation_id, version.into());
        assert_eq!(header.client_id.as_deref(), Some("me"));
        MetadataRequest::decode(&mut reader, version).unwrap();
        reader.finish().unwrap();
    }
    assert!(wire.is_empty());
}

#[test]
fn the_response_to_api_versions_has_the_old_header() {
    for (version, header_bytes) in [(0, 4), (4, 4)] {
        let mut wire = BytesMut::new();
        let response = ApiVersionsResponse::default();
        write_response(&mut wire, version, 7, &response);
        let frame = split_frame(&mut wire, 1_000).unwrap().unwrap();
        let mut reader = Reader::new(&frame);
        let id = read_response_header(&mut reader, Api::ApiVersions, version);
        assert_eq!(id, Ok(7));
        assert_eq!(frame.len() - reader.remaining(), header_bytes);
        assert_eq!(
            ApiVersionsResponse::decode(&mut reader, version),
            Ok(response)
        );
    }
}

proptest! {
    #[test]
    fn integers(value: i64) {
        let mut out = BytesMut::new();
        let mut writer = Writer::new(&mut out);
        writer.varlong(value);
        writer.varint(value as i32);
        writer.uvarint(value as u32);
        let bytes = out.freeze();
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(reader.varlong(), Ok(value));
        prop_assert_eq!(reader.varint(), Ok(value as i32));
        prop_assert_eq!(reader.uvarint(), Ok(value as u32));
        prop_assert!(reader.finish().is_ok());
    }
}
