//! Frames as pika 1.3.2 writes them, byte for byte.

use polybus_model::Value;

use super::*;

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).expect("ascii"), 16).expect("hex"))
        .collect()
}

/// The frame is read as this method and this method is written as the frame.
fn assert_wire<'a>(hex: &str, method: impl Into<Method<'a>>) {
    let method = method.into();
    let bytes = unhex(hex);
    let channel = u16::from_be_bytes([bytes[1], bytes[2]]);
    let mut out = BytesMut::new();
    write_method(&mut out, channel, &method);
    assert_eq!(out, bytes, "{method:?}");
    assert_eq!(read_one(&bytes), Ok(Frame::Method { channel, method }));
}

#[test]
fn connection() {
    assert_wire(
        "01000000000039000a000a0009000000140770726f647563745300000007506f6c796275730000000e504c41494e20414d51504c41494e00000005656e5f5553ce",
        ConnectionStart {
            version_major: 0,
            version_minor: 9,
            server_properties: TableRef::new(b"\x07productS\0\0\0\x07Polybus"),
            mechanisms: b"PLAIN AMQPLAIN",
            locales: b"en_US",
        },
    );
    assert_wire(
        "01000000000054000a000b000000300770726f64756374530000000470696b610c6361706162696c6974696573460000000d0a62617369632e6e61636b740105504c41494e0000000c00677565737400677565737405656e5f5553ce",
        ConnectionStartOk {
            client_properties: TableRef::new(
                b"\x07productS\0\0\0\x04pika\x0ccapabilitiesF\0\0\0\x0d\x0abasic.nackt\x01",
            ),
            mechanism: "PLAIN",
            response: b"\0guest\0guest",
            locale: "en_US",
        },
    );
    assert_wire(
        "0100000000000c000a001e07ff00020000003cce",
        ConnectionTune {
            channel_max: 2047,
            frame_max: 131_072,
            heartbeat: 60,
        },
    );
    assert_wire(
        "0100000000000c000a001f07ff00020000003cce",
        ConnectionTuneOk {
            channel_max: 2047,
            frame_max: 131_072,
            heartbeat: 60,
        },
    );
    assert_wire(
        "01000000000008000a0028012f0000ce",
        ConnectionOpen { virtual_host: "/" },
    );
    assert_wire("01000000000005000a002900ce", ConnectionOpenOk {});
    assert_wire(
        "0100000000001c000a0032014011434f4e4e454354494f4e5f464f524345440032000ace",
        ConnectionClose {
            reply_code: 320,
            reply_text: "CONNECTION_FORCED",
            class_id: 50,
            method_id: 10,
        },
    );
    assert_wire("01000000000004000a0033ce", ConnectionCloseOk {});
    assert_wire(
        "01000000000010000a003c0b6c6f77206f6e206469736bce",
        ConnectionBlocked {
            reason: "low on disk",
        },
    );
    assert_wire("01000000000004000a003dce", ConnectionUnblocked {});
    assert_wire(
        "0100000000000c000a00460000000273330178ce",
        ConnectionUpdateSecret {
            new_secret: b"s3",
            reason: "x",
        },
    );
}

#[test]
fn channel() {
    assert_wire("010007000000050014000a00ce", ChannelOpen {});
    assert_wire("010007000000080014000b00000000ce", ChannelOpenOk {});
    assert_wire("010007000000050014001401ce", ChannelFlow { active: true });
    assert_wire(
        "01000700000014001400280194094e4f545f464f554e44003c0028ce",
        ChannelClose {
            reply_code: 404,
            reply_text: "NOT_FOUND",
            class_id: 60,
            method_id: 40,
        },
    );
    assert_wire("0100070000000400140029ce", ChannelCloseOk {});
}

#[test]
fn exchange() {
    assert_wire(
        "0100010000002d0028000a0000017805746f7069630a0000001a12616c7465726e6174652d65786368616e676553000000026165ce",
        ExchangeDeclare {
            exchange: "x",
            kind: "topic",
            durable: true,
            internal: true,
            arguments: TableRef::new(b"\x12alternate-exchangeS\0\0\0\x02ae"),
            ..ExchangeDeclare::default()
        },
    );
    assert_wire(
        "01000100000009002800140000017801ce",
        ExchangeDelete {
            exchange: "x",
            if_unused: true,
            nowait: false,
        },
    );
    assert_wire(
        "010001000000110028001e000001640173016b0000000000ce",
        ExchangeBind {
            destination: "d",
            source: "s",
            routing_key: "k",
            ..ExchangeBind::default()
        },
    );
    assert_wire(
        "0100010000001100280028000001640173016b0000000000ce",
        ExchangeUnbind {
            destination: "d",
            source: "s",
            routing_key: "k",
            ..ExchangeUnbind::default()
        },
    );
    assert_wire("0100010000000400280033ce", ExchangeUnbindOk {});
}

#[test]
fn queue() {
    assert_wire(
        "0100010000001f0032000a000001710a000000120c782d6d61782d6c656e6774684900000005ce",
        QueueDeclare {
            queue: "q",
            durable: true,
            auto_delete: true,
            arguments: TableRef::new(b"\x0cx-max-lengthI\0\0\0\x05"),
            ..QueueDeclare::default()
        },
    );
    assert_wire(
        "0100010000000e0032000b01710000000300000002ce",
        QueueDeclareOk {
            queue: "q",
            message_count: 3,
            consumer_count: 2,
        },
    );
    assert_wire(
        "010001000000130032001400000171017803612e2a0100000000ce",
        QueueBind {
            queue: "q",
            exchange: "x",
            routing_key: "a.*",
            nowait: true,
            ..QueueBind::default()
        },
    );
    assert_wire(
        "010001000000090032001e0000017100ce",
        QueuePurge {
            queue: "q",
            nowait: false,
        },
    );
    assert_wire(
        "01000100000009003200280000017102ce",
        QueueDelete {
            queue: "q",
            if_empty: true,
            ..QueueDelete::default()
        },
    );
    assert_wire(
        "0100010000001000320032000001710178016b00000000ce",
        QueueUnbind {
            queue: "q",
            exchange: "x",
            routing_key: "k",
            ..QueueUnbind::default()
        },
    );
}

#[test]
fn basic_confirm_and_tx() {
    assert_wire(
        "0100010000000b003c000a00000000003201ce",
        BasicQos {
            prefetch_size: 0,
            prefetch_count: 50,
            global: true,
        },
    );
    assert_wire(
        "0100010000001f003c001400000171016306000000100a782d7072696f7269747949fffffffdce",
        BasicConsume {
            queue: "q",
            consumer_tag: "c",
            no_ack: true,
            exclusive: true,
            arguments: TableRef::new(b"\x0ax-priorityI\xff\xff\xff\xfd"),
            ..BasicConsume::default()
        },
    );
    assert_wire(
        "01000100000007003c001e016300ce",
        BasicCancel {
            consumer_tag: "c",
            nowait: false,
        },
    );
    assert_wire(
        "0100010000000b003c002800000178017201ce",
        BasicPublish {
            exchange: "x".into(),
            routing_key: "r".into(),
            mandatory: true,
            immediate: false,
        },
    );
    assert_wire(
        "01000100000013003c00320138084e4f5f524f55544501780172ce",
        BasicReturn {
            reply_code: 312,
            reply_text: "NO_ROUTE",
            exchange: "x".into(),
            routing_key: "r".into(),
        },
    );
    assert_wire(
        "01000100000013003c003c016300000000000000090101780172ce",
        BasicDeliver {
            consumer_tag: "c".into(),
            delivery_tag: 9,
            redelivered: true,
            exchange: "x".into(),
            routing_key: "r".into(),
        },
    );
    assert_wire(
        "01000100000009003c00460000017101ce",
        BasicGet {
            queue: "q",
            no_ack: true,
        },
    );
    assert_wire(
        "01000100000015003c00470000000000000009000178017200000004ce",
        BasicGetOk {
            delivery_tag: 9,
            redelivered: false,
            exchange: "x".into(),
            routing_key: "r".into(),
            message_count: 4,
        },
    );
    assert_wire("01000100000005003c004800ce", BasicGetEmpty {});
    assert_wire(
        "0100010000000d003c0050000000000000000901ce",
        BasicAck {
            delivery_tag: 9,
            multiple: true,
        },
    );
    assert_wire(
        "0100010000000d003c005a000000000000000901ce",
        BasicReject {
            delivery_tag: 9,
            requeue: true,
        },
    );
    assert_wire("01000100000005003c006e01ce", BasicRecover { requeue: true });
    assert_wire(
        "0100010000000d003c0078000000000000000902ce",
        BasicNack {
            delivery_tag: 9,
            multiple: false,
            requeue: true,
        },
    );
    assert_wire(
        "010001000000050055000a00ce",
        ConfirmSelect { nowait: false },
    );
    assert_wire("01000100000004005a0014ce", TxCommit {});
}

const HEADER: &str = "020001000000cf003c00000000000000000005fffc106170706c69636174696f6e2f6a736f6e04677a697000000068016e4900000001036269676c0000010000000000017353000000047465787401627800000001010174740101765601644402ffffff8302747354000000005e0be100016141000000104900000001410000000653000000017801664600000008016b530000000176020502633115616d712e7261626269746d712e7265706c792d746f053630303030026d31000000005e0be100056f7264657205677565737403706f7302636cce";

#[test]
fn content_frames() {
    let bytes = unhex("0200010000000e003c000000000000000000050000ce");
    let mut out = BytesMut::new();
    write_header(&mut out, 1, 5, PropertiesRef::NONE);
    assert_eq!(out, bytes);
    let header = ContentHeader {
        class_id: CLASS_BASIC,
        body_size: 5,
        properties: PropertiesRef::NONE,
    };
    assert_eq!(read_one(&bytes), Ok(Frame::Header { channel: 1, header }));
    assert_eq!(PropertiesRef::NONE.check(), Ok(Routing::default()));

    let bytes = unhex("0300010000000568656c6c6fce");
    let mut out = BytesMut::new();
    write_body(&mut out, 1, b"hello", FRAME_MAX);
    assert_eq!(out, bytes);
    assert_eq!(
        read_one(&bytes),
        Ok(Frame::Body {
            channel: 1,
            bytes: b"hello"
        })
    );

    let bytes = unhex("08000000000000ce");
    let mut out = BytesMut::new();
    write_heartbeat(&mut out);
    assert_eq!(out, bytes);
    assert_eq!(read_one(&bytes), Ok(Frame::Heartbeat { channel: 0 }));
}

#[test]
fn every_property() {
    let bytes = unhex(HEADER);
    let Ok(Frame::Header { header, .. }) = read_one(&bytes) else {
        panic!("no header")
    };
    let fields = header.properties.fields().expect("well-formed");
    let headers = fields.headers.expect("headers");
    let expected = Properties {
        content_type: Some(b"application/json"),
        content_encoding: Some(b"gzip"),
        headers: Some(headers),
        delivery_mode: Some(2),
        priority: Some(5),
        correlation_id: Some(b"c1"),
        reply_to: Some(b"amq.rabbitmq.reply-to"),
        expiration: Some(b"60000"),
        message_id: Some(b"m1"),
        timestamp: Some(1_577_836_800),
        kind: Some(b"order"),
        user_id: Some(b"guest"),
        app_id: Some(b"pos"),
        cluster_id: Some(b"cl"),
    };
    assert_eq!(fields, expected);
    let routing = Routing {
        headers: Some(headers),
        delivery_mode: Some(2),
        priority: Some(5),
        reply_to: Some(b"amq.rabbitmq.reply-to"),
        expiration: Some(b"60000"),
        user_id: Some(b"guest"),
    };
    assert_eq!(header.properties.check(), Ok(routing));
    assert_eq!(header.properties.headers(), Some(headers));
    let mut out = BytesMut::new();
    expected.encode(&mut out);
    assert_eq!(out, header.properties.as_bytes());
}

#[test]
fn header_values() {
    let bytes = unhex(HEADER);
    let Ok(Frame::Header { header, .. }) = read_one(&bytes) else {
        panic!("no header")
    };
    let headers = header.properties.headers().expect("headers");
    let table = headers.decode().expect("well-formed");
    let mut inner = polybus_model::Table::new();
    inner.push("k", Value::text("v"));
    let expected = [
        ("n", Value::I32(1)),
        ("big", Value::I64(1 << 40)),
        ("s", Value::text("text")),
        ("b", Value::Bytes(vec![1].into())),
        ("t", Value::Bool(true)),
        ("v", Value::Void),
        (
            "d",
            Value::Decimal {
                scale: 2,
                mantissa: -125,
            },
        ),
        ("ts", Value::Timestamp(1_577_836_800)),
        (
            "a",
            Value::Array(vec![Value::I32(1), Value::Array(vec![Value::text("x")])]),
        ),
        ("f", Value::Table(inner)),
    ];
    let names: Vec<&str> = table.iter().map(|(name, _)| name).collect();
    assert_eq!(names, expected.each_ref().map(|(name, _)| *name));
    for (name, value) in &expected {
        assert_eq!(table.lookup(name), Some(value));
    }
    assert_eq!(encode_table(&table), headers.as_bytes());
}

#[test]
fn openings() {
    assert_eq!(Opening::detect(&PROTOCOL_HEADER), Opening::Amqp091);
    assert_eq!(
        Opening::detect(b"AMQP\0\0\x09\x01\x01more"),
        Opening::Amqp091
    );
    assert_eq!(Opening::detect(b"AMQP\0\x01\0\0"), Opening::Amqp10(0));
    assert_eq!(Opening::detect(b"AMQP\x03\x01\0\0"), Opening::Amqp10(3));
    assert_eq!(
        Opening::detect(b"AMQP\x01\x01\0\x09"),
        Opening::OtherVersion
    );
    assert_eq!(Opening::detect(b"GET / HT"), Opening::Other);
    assert_eq!(Opening::detect(b"AMX"), Opening::Other);
    for len in 0..8 {
        assert_eq!(Opening::detect(&PROTOCOL_HEADER[..len]), Opening::NeedMore);
    }
}
