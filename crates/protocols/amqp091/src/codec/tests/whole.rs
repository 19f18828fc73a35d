//! What is taken whole is what the frames say one by one; anything less than whole is left where it is.

use proptest::prelude::*;

use super::*;

fn publish_bytes(key: &str, properties: &[u8], body: &[u8]) -> BytesMut {
    let mut bytes = BytesMut::new();
    let method = BasicPublish {
        exchange: "topic".into(),
        routing_key: key.into(),
        mandatory: true,
        immediate: false,
    };
    write_method(&mut bytes, 7, &method);
    write_header(
        &mut bytes,
        7,
        body.len() as u64,
        PropertiesRef::new(properties),
    );
    write_body(&mut bytes, 7, body, FRAME_MAX);
    bytes
}

/// The publish that the next frames make, one by one, and where they end.
fn one_by_one<'a>(frames: &mut Frames<'a>) -> Option<WholePublish<'a>> {
    let Ok(Some(Frame::Method {
        channel: 7,
        method: Method::BasicPublish(method),
    })) = frames.next_frame()
    else {
        return None;
    };
    let Ok(Some(Frame::Header { channel: 7, header })) = frames.next_frame() else {
        return None;
    };
    let mut body = &[][..];
    if header.body_size > 0 {
        let Ok(Some(Frame::Body { channel: 7, bytes })) = frames.next_frame() else {
            return None;
        };
        body = bytes;
    }
    let is_whole = header.class_id == CLASS_BASIC && header.body_size == body.len() as u64;
    is_whole.then_some(WholePublish {
        method,
        properties: header.properties,
        body,
    })
}

fn same_either_way(bytes: &[u8]) -> Result<(), TestCaseError> {
    for frame_max in [0, 64, FRAME_MAX] {
        let (mut one, mut other) = (Frames::new(bytes, frame_max), Frames::new(bytes, frame_max));
        let whole = other.next_publish(7);
        prop_assert_eq!(one_by_one(&mut one), whole);
        let expected = whole.map_or(0, |_| one.consumed());
        prop_assert_eq!(other.consumed(), expected);

        let (mut one, mut other) = (Frames::new(bytes, frame_max), Frames::new(bytes, frame_max));
        let ack = match one.next_frame() {
            Ok(Some(Frame::Method {
                channel: 7,
                method: Method::BasicAck(ack),
            })) => Some(ack),
            _ => None,
        };
        prop_assert_eq!(other.next_ack(7), ack);
        let expected = ack.map_or(0, |_| one.consumed());
        prop_assert_eq!(other.consumed(), expected);
        prop_assert_eq!(other.rest_len(), bytes.len() - expected);
    }
    Ok(())
}

#[test]
fn a_publish_is_taken_when_its_last_byte_is_there() -> Result<(), TestCaseError> {
    for body in [&b""[..], b"body"] {
        let bytes = publish_bytes("key", b"\x10\0\x02", body);
        for cut in 0..bytes.len() {
            let mut frames = Frames::new(&bytes[..cut], FRAME_MAX);
            assert_eq!(frames.next_publish(7), None, "cut at {cut}");
            assert_eq!(frames.consumed(), 0);
            same_either_way(&bytes[..cut])?;
        }
        let mut frames = Frames::new(&bytes, FRAME_MAX);
        assert_eq!(frames.next_channel(), Some(7));
        assert_eq!(frames.next_publish(8), None);
        let whole = frames.next_publish(7).expect("it is whole");
        assert_eq!(
            (whole.method.routing_key.as_bytes(), whole.body),
            (&b"key"[..], body)
        );
        assert_eq!(whole.properties.as_bytes(), b"\x10\0\x02");
        assert_eq!(
            (frames.consumed(), frames.next_channel()),
            (bytes.len(), None)
        );
    }
    Ok(())
}

#[test]
fn frames_of_two_channels_are_no_whole_publish() -> Result<(), TestCaseError> {
    let bytes = publish_bytes("key", b"\0\0", b"body");
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == 7) {
        let mut other = bytes.clone();
        other[at] = 8;
        same_either_way(&other)?;
    }
    Ok(())
}

proptest! {
    #[test]
    fn whole_or_frame_by_frame_is_the_same(
        key in "\\PC{0,40}",
        properties in prop::collection::vec(any::<u8>(), 0..20),
        body in prop::collection::vec(any::<u8>(), 0..100),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = publish_bytes(&key, &properties, &body);
        write_method(&mut bytes, 7, &BasicAck { delivery_tag: 1, multiple: false });
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        same_either_way(&bytes)?;
        same_either_way(&bytes[..cut.index(bytes.len())])?;
    }

    #[test]
    fn an_ack_is_taken_as_a_frame_says_it(
        delivery_tag in any::<u64>(),
        multiple in any::<bool>(),
        change in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = BytesMut::new();
        write_method(&mut bytes, 7, &BasicAck { delivery_tag, multiple });
        if let Some((at, byte)) = change {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        same_either_way(&bytes)?;
        same_either_way(&bytes[..cut.index(bytes.len())])?;
    }
}
