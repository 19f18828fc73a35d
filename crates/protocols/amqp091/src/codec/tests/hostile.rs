//! Input that means harm is refused with the right code, and harms nothing.

use proptest::prelude::*;

use super::*;

fn refused(bytes: &[u8], frame_max: u32) -> (CodecError, ReplyCode) {
    let mut frames = Frames::new(bytes, frame_max);
    let error = frames.next_frame().expect_err("it is malformed");
    assert!(!error.to_string().is_empty());
    (error, error.reply_code())
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let size = (payload.len() as u32).to_be_bytes();
    [&[kind, 0, 1], &size[..], payload, &[FRAME_END]].concat()
}

#[test]
fn oversized_frame_is_refused_by_its_head() {
    let (error, code) = refused(&[1, 0, 0, 0xff, 0xff, 0xff, 0xff], FRAME_MAX);
    let limit = FRAME_MAX;
    assert_eq!(
        error,
        CodecError::FrameTooLarge {
            kind: 1,
            size: u32::MAX,
            limit
        }
    );
    assert_eq!(code, ReplyCode::FrameError);
    // Clients that forget the octets around the payload are let through, as RabbitMQ does.
    let full = frame(3, &[0; 4096]);
    assert!(matches!(Frames::new(&full, 4096).next_frame(), Ok(Some(_))));
    let over = frame(3, &[0; 4097]);
    assert_eq!(refused(&over, 4096).1, ReplyCode::FrameError);
    assert!(matches!(Frames::new(&over, 0).next_frame(), Ok(Some(_))));
}

#[test]
fn limit_can_change_between_frames() {
    let bytes = [frame(3, &[0; 100]), frame(3, &[0; 100])].concat();
    let mut frames = Frames::new(&bytes, 100);
    assert!(matches!(frames.next_frame(), Ok(Some(_))));
    frames.set_frame_max(99);
    assert!(matches!(
        frames.next_frame(),
        Err(CodecError::FrameTooLarge { .. })
    ));
    assert_eq!(frames.consumed(), 108);
}

#[test]
fn broken_frames() {
    let mut bytes = frame(3, b"body");
    bytes.pop();
    bytes.push(0);
    assert_eq!(
        refused(&bytes, 4096).0,
        CodecError::FrameEnd { kind: 3, octet: 0 }
    );
    for kind in [0, 4, 5, 6, 7, 9, b'A', b'G', 255] {
        assert_eq!(
            refused(&[kind, 0, 0, 0, 0, 0, 0], 4096).0,
            CodecError::FrameKind(kind)
        );
    }
    for (kind, payload) in [
        (8, &b"x"[..]),
        (1, b"\0\x0a\0"),
        (2, b"\0\x3c\0\0\0\0\0\0\0\0\0"),
    ] {
        assert_eq!(
            refused(&frame(kind, payload), 4096),
            (CodecError::FrameShape(kind), ReplyCode::FrameError)
        );
    }
}

#[test]
fn broken_methods() {
    let unknown = MethodId::new(60, 7);
    assert_eq!(
        refused(&frame(1, &[0, 60, 0, 7]), 4096),
        (
            CodecError::UnknownMethod(unknown),
            ReplyCode::NotImplemented
        )
    );
    assert_eq!(
        (unknown.name(), unknown.sender(), unknown.to_string()),
        (None, None, "60.7".to_owned())
    );

    let publish = BasicPublish::ID;
    assert_eq!(publish.to_string(), "basic.publish");
    assert_eq!(publish.sender(), Some(Sender::Client));
    let short = b"\0\x3c\0\x28\0\0\x05x";
    assert_eq!(
        refused(&frame(1, short), 4096),
        (CodecError::Fields(publish), ReplyCode::FrameError)
    );
    let long = b"\0\x3c\0\x28\0\0\0\0\0more";
    assert_eq!(
        refused(&frame(1, long), 4096).0,
        CodecError::Fields(publish)
    );
    let no_text = b"\0\x3c\0\x28\0\0\x01x\x03a\xffb\0";
    let (error, code) = refused(&frame(1, no_text), 4096);
    assert_eq!(
        (error, code),
        (CodecError::Text(publish), ReplyCode::FrameError)
    );
    assert_eq!(error.method_id(), Some(publish));
    let no_text = b"\0\x0a\0\x28\x01\xff\0\0";
    assert_eq!(
        refused(&frame(1, no_text), 4096).0,
        CodecError::Text(ConnectionOpen::ID)
    );

    let table = b"\0\x32\0\x14\0\0\x01q\x01x\x01k\0\0\0\0\x03\x01az";
    let error = CodecError::Arguments(QueueBind::ID, TableError::UnknownType(b'z'));
    assert_eq!(
        refused(&frame(1, table), 4096),
        (error, ReplyCode::SyntaxError)
    );
}

#[test]
fn broken_properties() {
    let cases: [&[u8]; 8] = [
        b"",
        b"\x80",
        b"\x80\0",
        b"\x80\0\x05json",
        b"\0\0\0",
        b"\0\x01",
        b"\0\x02",
        b"\x20\0\0\0\0\x01",
    ];
    for bytes in cases {
        let raw = PropertiesRef::new(bytes);
        assert_eq!(raw.check(), Err(CodecError::Properties), "{bytes:?}");
        assert_eq!(raw.fields(), None, "{bytes:?}");
    }
    let mut out = BytesMut::new();
    assert_eq!(
        rewrite_headers(PropertiesRef::new(b"\x80\0"), &mut out, |_, _| ()),
        Err(CodecError::Properties)
    );
    assert!(out.is_empty());
    let headers = PropertiesRef::new(b"\x20\0\0\0\0\x02\x01a").check();
    let error = headers.expect_err("its table ends early");
    assert_eq!(
        (error, error.reply_code()),
        (
            CodecError::Headers(TableError::Truncated),
            ReplyCode::SyntaxError
        )
    );
}

/// A start-ok, the first thing a stranger can send, with so deep a table that a recursive parser dies of it.
#[test]
fn deep_table_before_authentication() {
    let mut table = Vec::new();
    for _ in 0..10_000 {
        let mut outer = b"\0F".to_vec();
        outer.extend_from_slice(&(table.len() as u32).to_be_bytes());
        outer.append(&mut table);
        table = outer;
    }
    let fields = [
        &(table.len() as u32).to_be_bytes()[..],
        &table,
        b"\x05PLAIN\0\0\0\0\0",
    ]
    .concat();
    let payload = [&b"\0\x0a\0\x0b"[..], &fields].concat();
    let error = CodecError::Arguments(ConnectionStartOk::ID, TableError::TooDeep);
    assert_eq!(refused(&frame(1, &payload), FRAME_MAX).0, error);
}

/// What decoding makes of a frame full of the values that cost least on the wire and most in memory.
#[test]
fn memory_is_bounded() {
    fn size(value: &polybus_model::Value) -> usize {
        use polybus_model::Value;
        match value {
            Value::Array(values) => {
                values.capacity() * size_of::<Value>() + values.iter().map(size).sum::<usize>()
            }
            Value::Table(table) => {
                table.0.capacity() * size_of::<(String, Value)>()
                    + table
                        .0
                        .iter()
                        .map(|(name, value)| name.capacity() + size(value))
                        .sum::<usize>()
            }
            _ => 0,
        }
    }
    let entries: [&[u8]; 4] = [
        b"\0V",
        b"\0A\0\0\0\x01V",
        b"\0F\0\0\0\x02\0V",
        b"\0A\0\0\0\x06A\0\0\0\x01V",
    ];
    for entry in entries {
        let bytes = entry.repeat(FRAME_MAX as usize / entry.len());
        let worst = (1..=bytes.len() / entry.len())
            .rev()
            .step_by(1000)
            .find_map(|count| TableRef::new(&bytes[..count * entry.len()]).decode().ok())
            .map_or(0, |table| size(&polybus_model::Value::Table(table)));
        assert!(worst < 16 * 1024 * 1024, "{worst} bytes of {entry:?}");
    }
}

proptest! {
    #[test]
    fn noise_is_read_alike_however_cut(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in any::<prop::sample::Index>()) {
        let (before, after) = bytes.split_at(cut.index(bytes.len() + 1));
        prop_assert_eq!(read_parts([before, after]), read_parts([bytes.as_slice()]));
    }

    #[test]
    fn noise_in_frames_harms_nothing(kind in 1_u8..4, class in prop::sample::select(Method::IDS), noise in prop::collection::vec(any::<u8>(), 0..100)) {
        let id = [class.class.to_be_bytes(), class.method.to_be_bytes()].concat();
        let payload = [if kind == 1 { &id[..] } else { &[] }, &noise].concat();
        let bytes = frame(kind, &payload);
        let (before, after) = bytes.split_at(bytes.len() / 2);
        prop_assert_eq!(read_parts([before, after]), read_parts([bytes.as_slice()]));
        let raw = PropertiesRef::new(&noise);
        // What is checked can be rewritten, and what can be rewritten is checked for all but its headers.
        let mut out = BytesMut::new();
        let rewritten = rewrite_headers(raw, &mut out, |_, _| ());
        if raw.check().is_ok() {
            prop_assert!(rewritten.is_ok() && raw.fields().is_some());
        }
    }

    #[test]
    fn damage_harms_nothing(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut outbound = Outbound::new();
        let properties = b"\x30\0\0\0\0\x08\x01aS\0\0\0\x01b\x02";
        let publish = BasicPublish { exchange: "exchange".into(), routing_key: "key".into(), ..BasicPublish::default() };
        for _ in 0..2 {
            write_content(&mut outbound, 1, 30, &publish, content(properties, b"a body that takes two frames"));
        }
        let mut bytes = outbound_bytes(&mut outbound);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let whole = read_parts([bytes.as_slice()]);
        prop_assert_eq!(read_parts(bytes.chunks(1)), whole);
    }
}
