//! What is written is read back, however the bytes are cut.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

/// Field values to make methods of.
#[derive(Clone, Debug)]
struct Seed {
    texts: [String; 4],
    bytes: [Vec<u8>; 2],
    table: Bytes,
    number: u64,
    bits: u8,
}

prop_compose! {
    fn seeds()(
        texts in prop::array::uniform4("\\PC{0,60}"),
        bytes in prop::array::uniform2(prop::collection::vec(any::<u8>(), 0..60)),
        table in tables::any_table(),
        number in any::<u64>(),
        bits in any::<u8>(),
    ) -> Seed {
        Seed { texts, bytes, table: encode_table(&table), number, bits }
    }
}

impl Seed {
    fn bit(&self, at: u8) -> bool {
        self.bits >> at & 1 == 1
    }

    fn arguments(&self) -> TableRef<'_> {
        TableRef::new(&self.table)
    }

    fn connection_and_channel(&self) -> Vec<Method<'_>> {
        let [a, b, ..] = self.texts.each_ref().map(String::as_str);
        let [x, y] = self.bytes.each_ref().map(Vec::as_slice);
        let short = self.number as u16;
        let long = (self.number >> 16) as u32;
        let active = self.bit(0);
        vec![
            ConnectionStart {
                version_major: self.bits,
                version_minor: !self.bits,
                server_properties: self.arguments(),
                mechanisms: x,
                locales: y,
            }
            .into(),
            ConnectionStartOk {
                client_properties: self.arguments(),
                mechanism: a,
                response: x,
                locale: b,
            }
            .into(),
            ConnectionSecure { challenge: x }.into(),
            ConnectionSecureOk { response: y }.into(),
            ConnectionTune {
                channel_max: short,
                frame_max: long,
                heartbeat: !short,
            }
            .into(),
            ConnectionTuneOk {
                channel_max: short,
                frame_max: long,
                heartbeat: !short,
            }
            .into(),
            ConnectionOpen { virtual_host: a }.into(),
            ConnectionOpenOk {}.into(),
            ConnectionClose {
                reply_code: short,
                reply_text: a,
                class_id: !short,
                method_id: long as u16,
            }
            .into(),
            ConnectionCloseOk {}.into(),
            ConnectionBlocked { reason: a }.into(),
            ConnectionUnblocked {}.into(),
            ConnectionUpdateSecret {
                new_secret: x,
                reason: b,
            }
            .into(),
            ConnectionUpdateSecretOk {}.into(),
            ChannelOpen {}.into(),
            ChannelOpenOk {}.into(),
            ChannelFlow { active }.into(),
            ChannelFlowOk { active }.into(),
            ChannelClose {
                reply_code: short,
                reply_text: a,
                class_id: !short,
                method_id: long as u16,
            }
            .into(),
            ChannelCloseOk {}.into(),
            AccessRequest {
                realm: b,
                exclusive: active,
                passive: self.bit(1),
                active: self.bit(2),
                write: self.bit(3),
                read: self.bit(4),
            }
            .into(),
            AccessRequestOk { ticket: short }.into(),
        ]
    }

    fn exchange_and_queue(&self) -> Vec<Method<'_>> {
        let [a, b, c, _] = self.texts.each_ref().map(String::as_str);
        let arguments = self.arguments();
        let nowait = self.bit(4);
        let message_count = self.number as u32;
        vec![
            ExchangeDeclare {
                exchange: a,
                kind: b,
                passive: self.bit(0),
                durable: self.bit(1),
                auto_delete: self.bit(2),
                internal: self.bit(3),
                nowait,
                arguments,
            }
            .into(),
            ExchangeDeclareOk {}.into(),
            ExchangeDelete {
                exchange: a,
                if_unused: self.bit(0),
                nowait,
            }
            .into(),
            ExchangeDeleteOk {}.into(),
            ExchangeBind {
                destination: a,
                source: b,
                routing_key: c,
                nowait,
                arguments,
            }
            .into(),
            ExchangeBindOk {}.into(),
            ExchangeUnbind {
                destination: a,
                source: b,
                routing_key: c,
                nowait,
                arguments,
            }
            .into(),
            ExchangeUnbindOk {}.into(),
            QueueDeclare {
                queue: a,
                passive: self.bit(0),
                durable: self.bit(1),
                exclusive: self.bit(2),
                auto_delete: self.bit(3),
                nowait,
                arguments,
            }
            .into(),
            QueueDeclareOk {
                queue: a,
                message_count,
                consumer_count: !message_count,
            }
            .into(),
            QueueBind {
                queue: a,
                exchange: b,
                routing_key: c,
                nowait,
                arguments,
            }
            .into(),
            QueueBindOk {}.into(),
            QueuePurge { queue: a, nowait }.into(),
            QueuePurgeOk { message_count }.into(),
            QueueDelete {
                queue: a,
                if_unused: self.bit(0),
                if_empty: self.bit(1),
                nowait,
            }
            .into(),
            QueueDeleteOk { message_count }.into(),
            QueueUnbind {
                queue: a,
                exchange: b,
                routing_key: c,
                arguments,
            }
            .into(),
            QueueUnbindOk {}.into(),
        ]
    }

    fn basic(&self) -> Vec<Method<'_>> {
        let [a, b, c, d] = self.texts.each_ref().map(String::as_str);
        let [x, y] = self.bytes.each_ref().map(|bytes| ShortBytes(bytes));
        let delivery_tag = self.number;
        let [multiple, requeue, redelivered, nowait] = [0, 1, 2, 3].map(|at| self.bit(at));
        vec![
            BasicQos {
                prefetch_size: self.number as u32,
                prefetch_count: !self.number as u16,
                global: multiple,
            }
            .into(),
            BasicQosOk {}.into(),
            BasicConsume {
                queue: a,
                consumer_tag: b,
                no_local: self.bit(4),
                no_ack: self.bit(5),
                exclusive: self.bit(6),
                nowait,
                arguments: self.arguments(),
            }
            .into(),
            BasicConsumeOk { consumer_tag: a }.into(),
            BasicCancel {
                consumer_tag: b,
                nowait,
            }
            .into(),
            BasicCancelOk { consumer_tag: c }.into(),
            BasicPublish {
                exchange: c.into(),
                routing_key: d.into(),
                mandatory: multiple,
                immediate: requeue,
            }
            .into(),
            BasicReturn {
                reply_code: self.number as u16,
                reply_text: a,
                exchange: x,
                routing_key: y,
            }
            .into(),
            BasicDeliver {
                consumer_tag: a.into(),
                delivery_tag,
                redelivered,
                exchange: x,
                routing_key: y,
            }
            .into(),
            BasicGet {
                queue: a,
                no_ack: requeue,
            }
            .into(),
            BasicGetOk {
                delivery_tag,
                redelivered,
                exchange: x,
                routing_key: y,
                message_count: self.number as u32,
            }
            .into(),
            BasicGetEmpty {}.into(),
            BasicAck {
                delivery_tag,
                multiple,
            }
            .into(),
            BasicReject {
                delivery_tag,
                requeue,
            }
            .into(),
            BasicRecoverAsync { requeue }.into(),
            BasicRecover { requeue }.into(),
            BasicRecoverOk {}.into(),
            BasicNack {
                delivery_tag,
                multiple,
                requeue,
            }
            .into(),
            ConfirmSelect { nowait }.into(),
            ConfirmSelectOk {}.into(),
            TxSelect {}.into(),
            TxSelectOk {}.into(),
            TxCommit {}.into(),
            TxCommitOk {}.into(),
            TxRollback {}.into(),
            TxRollbackOk {}.into(),
        ]
    }

    fn every_method(&self) -> Vec<Method<'_>> {
        [
            self.connection_and_channel(),
            self.exchange_and_queue(),
            self.basic(),
        ]
        .concat()
    }

    fn properties(&self) -> Properties<'_> {
        let [a, b, c, d] = self.texts.each_ref().map(|text| text.as_bytes());
        let [x, y] = self.bytes.each_ref().map(Vec::as_slice);
        let has = |at: u8| self.number >> at & 1 == 1;
        Properties {
            content_type: has(0).then_some(a),
            content_encoding: has(1).then_some(b),
            headers: has(2).then_some(self.arguments()),
            delivery_mode: has(3).then_some(self.bits),
            priority: has(4).then_some(!self.bits),
            correlation_id: has(5).then_some(c),
            reply_to: has(6).then_some(d),
            expiration: has(7).then_some(x),
            message_id: has(8).then_some(y),
            timestamp: has(9).then_some(self.number),
            kind: has(10).then_some(d),
            user_id: has(11).then_some(a),
            app_id: has(12).then_some(b),
            cluster_id: has(13).then_some(x),
        }
    }
}

proptest! {
    #[test]
    fn every_method_is_read_as_written(seed in seeds(), channel in any::<u16>()) {
        let methods = seed.every_method();
        let ids: Vec<MethodId> = methods.iter().map(Encode::id).collect();
        prop_assert_eq!(ids, Method::IDS);
        let mut out = BytesMut::new();
        for method in methods {
            out.clear();
            write_method(&mut out, channel, &method);
            prop_assert!(out.len() <= FRAME_OVERHEAD + 4 + method.size_bound());
            prop_assert_eq!(read_one(&out), Ok(Frame::Method { channel, method }));
        }
    }

    #[test]
    fn properties_are_read_as_written(seed in seeds()) {
        let properties = seed.properties();
        let mut out = BytesMut::new();
        properties.encode(&mut out);
        let raw = PropertiesRef::new(&out);
        prop_assert_eq!(raw.fields(), Some(properties));
        prop_assert_eq!(raw.headers(), properties.headers);
        let routing = raw.check().expect("well-formed");
        prop_assert_eq!(routing.headers, properties.headers);
        prop_assert_eq!(routing.delivery_mode, properties.delivery_mode);
        prop_assert_eq!(routing.priority, properties.priority);
        prop_assert_eq!(routing.reply_to, properties.reply_to);
        prop_assert_eq!(routing.expiration, properties.expiration);
        prop_assert_eq!(routing.user_id, properties.user_id);
    }

    #[test]
    fn rewritten_headers_leave_all_else(seed in seeds()) {
        let before = seed.properties();
        let mut raw = BytesMut::new();
        before.encode(&mut raw);
        let raw = PropertiesRef::new(&raw);

        let mut same = BytesMut::new();
        rewrite_headers(raw, &mut same, |headers, writer| {
            headers.entries().for_each(|entry| writer.raw_entry(&entry));
        }).expect("well-formed");
        prop_assert_eq!(&same[..], raw.as_bytes());

        let mut more = BytesMut::from(&b"kept"[..]);
        rewrite_headers(raw, &mut more, |_, writer| writer.entry("x", &polybus_model::Value::I32(7))).expect("well-formed");
        let after = PropertiesRef::new(&more[4..]);
        let headers = Some(TableRef::new(b"\x01xI\0\0\0\x07"));
        prop_assert_eq!(after.fields(), Some(Properties { headers, ..before }));
    }

    #[test]
    fn cuts_do_not_matter(seed in seeds(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
        let stream = stream(&seed);
        let whole = read_parts([stream.as_ref()]);
        prop_assert_eq!(&whole.1, &None);
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        at.extend([0, stream.len()]);
        at.sort_unstable();
        let parts = at.windows(2).map(|pair| &stream[pair[0]..pair[1]]);
        prop_assert_eq!(read_parts(parts), whole);
    }
}

/// Every method, and a content.
fn stream(seed: &Seed) -> BytesMut {
    let mut out = BytesMut::new();
    for method in seed.every_method() {
        write_method(&mut out, 3, &method);
    }
    let mut properties = BytesMut::new();
    seed.properties().encode(&mut properties);
    write_header(
        &mut out,
        3,
        seed.table.len() as u64,
        PropertiesRef::new(&properties),
    );
    write_body(&mut out, 3, &seed.table, 20);
    write_heartbeat(&mut out);
    out
}

#[test]
fn cut_at_every_byte() {
    let seed = Seed {
        texts: ["one", "zwei", "três", "四"].map(str::to_owned),
        bytes: [vec![0, 255], vec![0xCE; 9]],
        table: Bytes::from_static(b"\x01aF\0\0\0\x04\x01bt\x01"),
        number: u64::MAX,
        bits: 0b1010_1010,
    };
    let stream = stream(&seed);
    let whole = read_parts([stream.as_ref()]);
    assert_eq!(whole.1, None);
    for at in 0..=stream.len() {
        let (before, after) = stream.split_at(at);
        assert_eq!(read_parts([before, after]), whole, "cut at {at}");
    }
    assert_eq!(read_parts(stream.chunks(1)), whole);
}

#[test]
fn bodies_are_split_at_frame_max() {
    let body: Vec<u8> = (0..100_000_u32).map(|i| i as u8).collect();
    let shared = Bytes::from(body.clone());
    let deliver = BasicDeliver {
        consumer_tag: "c".into(),
        delivery_tag: 1,
        ..BasicDeliver::default()
    };
    for frame_max in [0, 4096, 4104, 8192, 100_008, FRAME_MAX] {
        let mut outbound = Outbound::new();
        let inline = Content {
            properties: PropertiesRef::NONE,
            body: ContentBody::Inline(&body),
        };
        write_content(&mut outbound, 1, frame_max, &deliver, inline);
        let copied = outbound_bytes(&mut outbound);
        let by_reference = Content {
            body: ContentBody::Shared(&shared),
            ..inline
        };
        write_content(&mut outbound, 1, frame_max, &deliver, by_reference);
        assert_eq!(outbound_bytes(&mut outbound), copied);

        let mut frames = Frames::new(&copied, frame_max);
        let mut read = Vec::new();
        let mut sizes = Vec::new();
        while let Some(frame) = frames.next_frame().expect("well-formed") {
            match frame {
                Frame::Method { method, .. } => assert_eq!(method, deliver.into()),
                Frame::Header { header, .. } => assert_eq!(header.body_size, 100_000),
                Frame::Body { bytes, .. } => {
                    sizes.push(bytes.len() + FRAME_OVERHEAD);
                    read.extend_from_slice(bytes);
                }
                Frame::Heartbeat { .. } => panic!("no heartbeat was written"),
            }
        }
        assert_eq!(read, body);
        if frame_max > 0 {
            let (last, full) = sizes.split_last().expect("a frame");
            assert!(full.iter().all(|size| *size == frame_max as usize));
            assert!(*last <= frame_max as usize);
        } else {
            assert_eq!(sizes, [100_008]);
        }
    }
}

proptest! {
    #[test]
    fn a_delivery_is_written_as_any_method_with_content(
        names in prop::array::uniform3(prop::collection::vec(any::<u8>(), 0..300)),
        (delivery_tag, redelivered, channel) in any::<(u64, bool, u16)>(),
        properties in prop::collection::vec(any::<u8>(), 0..300),
        body in prop::collection::vec(any::<u8>(), 0..5_000),
        frame_max in prop::sample::select(vec![0, 8, 9, 100, 4_096, FRAME_MAX]),
        staged in 0usize..20,
    ) {
        let [consumer_tag, exchange, routing_key] = names.each_ref().map(|name| ShortBytes(name));
        let deliver = BasicDeliver { consumer_tag, delivery_tag, redelivered, exchange, routing_key };
        let shared = Bytes::copy_from_slice(&body);
        for body in [&body[..], b""] {
            for by_reference in [false, true] {
                let mut content = content(&properties, body);
                if by_reference && !body.is_empty() {
                    content.body = ContentBody::Shared(&shared);
                }
                let (mut one, mut other) = (Outbound::new(), Outbound::new());
                one.staged().extend_from_slice(&vec![7; staged]);
                other.staged().extend_from_slice(&vec![7; staged]);
                write_content(&mut one, channel, frame_max, &deliver, content);
                write_delivery(&mut other, channel, frame_max, &deliver, content);
                prop_assert_eq!(outbound_bytes(&mut other), outbound_bytes(&mut one));
            }
        }
    }
}

#[test]
fn empty_body_is_no_frame() {
    let mut outbound = Outbound::new();
    write_content(
        &mut outbound,
        1,
        4096,
        &BasicDeliver::default(),
        content(&[0, 0], b""),
    );
    let bytes = outbound_bytes(&mut outbound);
    let (seen, error) = read_parts([bytes.as_slice()]);
    // The method, and the header with its properties.
    assert_eq!((seen.len(), error), (3, None));
    let empty = Bytes::new();
    let shared = Content {
        properties: PropertiesRef::NONE,
        body: ContentBody::Shared(&empty),
    };
    write_content(&mut outbound, 1, 4096, &BasicDeliver::default(), shared);
    assert_eq!(outbound_bytes(&mut outbound), bytes);
}

#[test]
fn long_names_are_cut_at_a_letter() {
    let long = "é".repeat(200);
    let mut out = BytesMut::new();
    write_method(&mut out, 1, &ConnectionBlocked { reason: &long });
    let method = ConnectionBlocked {
        reason: &long[..254],
    }
    .into();
    assert_eq!(read_one(&out), Ok(Frame::Method { channel: 1, method }));
    out.clear();
    let key = [b'k'; 300];
    write_method(
        &mut out,
        1,
        &BasicDeliver {
            routing_key: ShortBytes(&key),
            ..BasicDeliver::default()
        },
    );
    let method = BasicDeliver {
        routing_key: ShortBytes(&key[..255]),
        ..BasicDeliver::default()
    }
    .into();
    assert_eq!(read_one(&out), Ok(Frame::Method { channel: 1, method }));
}

#[test]
fn headers_may_vanish() {
    let mut raw = BytesMut::new();
    Properties {
        headers: Some(TableRef::new(b"\x03BCCS\0\0\0\x01x")),
        priority: Some(1),
        ..Properties::default()
    }
    .encode(&mut raw);
    let mut out = BytesMut::new();
    rewrite_headers(PropertiesRef::new(&raw), &mut out, |_, _| ()).expect("well-formed");
    // As RabbitMQ does: what had headers has an empty table now.
    assert_eq!(out, &b"\x28\0\0\0\0\0\x01"[..]);
    out.clear();
    rewrite_headers(PropertiesRef::NONE, &mut out, |_, _| ()).expect("well-formed");
    assert_eq!(out, PropertiesRef::NONE.as_bytes());
}
