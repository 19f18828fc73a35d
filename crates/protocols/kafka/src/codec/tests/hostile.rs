//! Bytes that no honest client sends: refused, and nothing is allocated by what they say.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::super::{Api, CodecError, Reader, RequestHeader, split_frame};
use super::*;

fn read<M: Message>(bytes: &[u8], version: i16) -> Result<M, CodecError> {
    let bytes = Bytes::copy_from_slice(bytes);
    M::decode(&mut Reader::new(&bytes), version)
}

/// Sixteen bytes of Metadata 9 that ask for an array of 309 GB.
#[test]
fn a_count_allocates_nothing() {
    let frame = [
        0, 3, 0, 9, 0, 0, 0, 1, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 0x0f,
    ];
    let frame = Bytes::copy_from_slice(&frame);
    let mut reader = Reader::new(&frame);
    let header = RequestHeader::decode(&mut reader).unwrap();
    assert_eq!(header.api(), Some(Api::Metadata));
    let count = CodecError::Count(0xffff_fffe);
    assert_eq!(MetadataRequest::decode(&mut reader, 9), Err(count));
}

#[test]
fn an_array_may_not_take_more_than_its_allowance() {
    // Four million empty names in four megabytes would take a hundred in memory.
    let count = 4 * 1024 * 1024u32;
    let mut body = BytesMut::new();
    let mut writer = super::super::Writer::new(&mut body);
    writer.uvarint(count + 1);
    for _ in 0..count {
        writer.uvarint(1);
    }
    body.extend_from_slice(&[0]);
    let deleted = read::<DeleteGroupsRequest>(&body, 2);
    assert_eq!(deleted, Err(CodecError::TooMuch));
}

#[test]
fn negative_lengths() {
    let least = i32::MIN.to_be_bytes();
    let minimum = CodecError::Count(i32::MIN.into());
    assert_eq!(read::<MetadataRequest>(&least, 1), Err(minimum));
    let text = read::<FindCoordinatorRequest>(&[0xff, 0xfe], 0);
    assert_eq!(text, Err(CodecError::Count(-2)));
    let null = read::<FindCoordinatorRequest>(&[0xff, 0xff], 0);
    assert_eq!(null, Err(CodecError::Null));
}

#[test]
fn text_that_is_none() {
    let text = read::<FindCoordinatorRequest>(&[0, 1, 0xff], 0);
    assert_eq!(text, Err(CodecError::Text));
}

#[test]
fn variable_lengths_that_do_not_end() {
    let endless = Bytes::from_static(&[0xff; 11]);
    assert_eq!(Reader::new(&endless).uvarint(), Err(CodecError::Varint));
    assert_eq!(Reader::new(&endless).varint(), Err(CodecError::Varint));
    assert_eq!(Reader::new(&endless).varlong(), Err(CodecError::Varint));
    let cut = Bytes::from_static(&[0xff; 3]);
    assert_eq!(Reader::new(&cut).uvarint(), Err(CodecError::Truncated));
    let over = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x10]);
    assert_eq!(Reader::new(&over).uvarint(), Err(CodecError::Varint));
}

#[test]
fn unknown_tagged_fields_are_skipped_and_bounded() {
    // Heartbeat 4: four strings, then tagged fields: 9 with two bytes, 77 with none.
    let known = [2, b'g', 0, 0, 0, 5, 2, b'm', 0];
    let with = |tags: &[u8]| read::<HeartbeatRequest>(&[&known[..], tags].concat(), 4);
    let plain = with(&[0]).unwrap();
    assert_eq!(plain.generation_id, 5);
    assert_eq!(with(&[2, 9, 2, 1, 2, 77, 0]), Ok(plain));
    assert_eq!(with(&[1, 9, 3, 1, 2]), Err(CodecError::Truncated));
    assert_eq!(with(&[200, 1, 9, 0]), Err(CodecError::Count(200)));
}

#[test]
fn a_known_tagged_field_fills_its_size() {
    // ApiVersions 3's response: no error, no keys, no throttle, then tag 1: an int64.
    let head = [0, 0, 1, 0, 0, 0, 0, 1];
    let epoch = |field: &[u8]| {
        read::<ApiVersionsResponse>(&[&head[..], field].concat(), 3)
            .map(|response| response.finalized_features_epoch)
    };
    assert_eq!(epoch(&[1, 8, 0, 0, 0, 0, 0, 0, 0, 6]), Ok(6));
    assert_eq!(
        epoch(&[1, 9, 0, 0, 0, 0, 0, 0, 0, 6, 0]),
        Err(CodecError::TrailingBytes(1))
    );
    assert_eq!(
        epoch(&[1, 7, 0, 0, 0, 0, 0, 0, 0]),
        Err(CodecError::Truncated)
    );
}

#[test]
fn versions_that_nobody_has() {
    for version in [-1, 14, i16::MAX, i16::MIN] {
        let unknown = CodecError::UnknownVersion { api: 3, version };
        assert_eq!(read::<MetadataRequest>(&[0; 64], version), Err(unknown));
    }
}

#[test]
fn frames_over_the_limit_are_refused_by_their_size() {
    let split = |bytes: &[u8]| split_frame(&mut BytesMut::from(bytes), 100);
    assert_eq!(split(&[]), Ok(None));
    assert_eq!(split(&[0, 0, 0]), Ok(None));
    assert_eq!(split(&[0, 0, 0, 100]), Ok(None));
    assert_eq!(split(&[0, 0, 0, 0, 9]), Ok(Some(Bytes::new())));
    let over = |size_bytes| CodecError::FrameSize {
        size_bytes,
        limit_bytes: 100,
    };
    assert_eq!(split(&[0, 0, 0, 101]), Err(over(101)));
    assert_eq!(split(&[0xff, 0xff, 0xff, 0xff]), Err(over(-1)));
    // A client that speaks HTTP.
    assert!(split(b"GET / HTTP/1.1\r\n").is_err());
}

fn anything<M: Message>(bytes: &Bytes) {
    for version in M::API.versions() {
        let _ = M::decode(&mut Reader::new(bytes), version);
    }
}

proptest! {
    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        let _ = RequestHeader::decode(&mut Reader::new(&bytes));
        macro_rules! read_both {
            ($module:ident, $request:ident, $response:ident) => {
                anything::<$request>(&bytes);
                anything::<$response>(&bytes);
            };
        }
        each_message!(read_both);
    }
}
