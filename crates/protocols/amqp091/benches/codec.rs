//! What the codec's hot paths cost: figures are per message, of a read that holds a hundred.
//!
//! `cargo bench -p polybus-amqp091 --bench codec`

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use divan::Bencher;
use divan::counter::ItemsCount;
use polybus_amqp091::codec::{
    BasicAck, BasicDeliver, BasicPublish, Content, ContentBody, Frame, Frames, Method, Properties,
    PropertiesRef, TableRef, encode_table, write_content, write_method,
};
use polybus_model::{Table, Value};
use polybus_session::Outbound;

const MESSAGES: usize = 100;
const FRAME_MAX: u32 = 131_072;

fn main() {
    divan::main();
}

fn headers() -> Bytes {
    let mut table = Table::new();
    table.push("tenant", Value::text("acme"));
    table.push("attempt", Value::I32(3));
    table.push(
        "traceparent",
        Value::text("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    );
    encode_table(&table)
}

fn properties(with_headers: bool) -> BytesMut {
    let headers = headers();
    let mut out = BytesMut::new();
    Properties {
        content_type: Some(b"application/json"),
        delivery_mode: Some(2),
        headers: with_headers.then(|| TableRef::new(&headers)),
        ..Properties::default()
    }
    .encode(&mut out);
    out
}

fn publishes(body: usize, with_headers: bool) -> Vec<u8> {
    let properties = properties(with_headers);
    let body = vec![b'x'; body];
    let publish = BasicPublish {
        exchange: "sales_exchange".into(),
        routing_key: "sale.created".into(),
        ..BasicPublish::default()
    };
    let mut outbound = Outbound::new();
    for _ in 0..MESSAGES {
        let content = Content {
            properties: PropertiesRef::new(&properties),
            body: ContentBody::Inline(&body),
        };
        write_content(&mut outbound, 1, FRAME_MAX, &publish, content);
    }
    outbound.staged().to_vec()
}

fn parse_publishes(bencher: Bencher<'_, '_>, input: &[u8], check: bool) {
    bencher.counter(ItemsCount::new(MESSAGES)).bench_local(|| {
        let mut frames = Frames::new(black_box(input), FRAME_MAX);
        let mut seen = 0;
        while let Ok(Some(frame)) = frames.next_frame() {
            match frame {
                Frame::Method {
                    method: Method::BasicPublish(publish),
                    ..
                } => seen += black_box(publish).routing_key.as_bytes().len(),
                Frame::Header { header, .. } => {
                    if check {
                        seen += usize::from(black_box(header.properties.check()).is_ok());
                    } else {
                        black_box(header);
                    }
                }
                Frame::Body { bytes, .. } => seen += black_box(bytes).len(),
                _ => return 0,
            }
        }
        assert_eq!(frames.consumed(), input.len());
        seen
    });
}

#[divan::bench(args = [128, 1024])]
fn publish_parse(bencher: Bencher<'_, '_>, body: usize) {
    parse_publishes(bencher, &publishes(body, false), true);
}

/// Frames and fields alone, the properties unchecked.
#[divan::bench(args = [128, 1024])]
fn publish_parse_unchecked(bencher: Bencher<'_, '_>, body: usize) {
    parse_publishes(bencher, &publishes(body, false), false);
}

#[divan::bench(args = [128, 1024])]
fn publish_parse_with_headers(bencher: Bencher<'_, '_>, body: usize) {
    parse_publishes(bencher, &publishes(body, true), true);
}

#[divan::bench]
fn ack_parse(bencher: Bencher<'_, '_>) {
    let mut input = BytesMut::new();
    for delivery_tag in 0..MESSAGES as u64 {
        let multiple = false;
        write_method(
            &mut input,
            1,
            &BasicAck {
                delivery_tag,
                multiple,
            },
        );
    }
    bencher.counter(ItemsCount::new(MESSAGES)).bench_local(|| {
        let mut frames = Frames::new(black_box(&input), FRAME_MAX);
        let mut sum = 0;
        while let Ok(Some(Frame::Method { method, .. })) = frames.next_frame() {
            if let Method::BasicAck(ack) = method {
                sum += ack.delivery_tag;
            }
        }
        sum
    });
}

fn write_delivers(bencher: Bencher<'_, '_>, body: ContentBody<'_>) {
    let properties = properties(true);
    let mut outbound = Outbound::new();
    bencher.counter(ItemsCount::new(MESSAGES)).bench_local(|| {
        for delivery_tag in 0..MESSAGES as u64 {
            let deliver = BasicDeliver {
                consumer_tag: "ctag1.6c1b2b6a".into(),
                delivery_tag,
                redelivered: false,
                exchange: "sales_exchange".into(),
                routing_key: "sale.created".into(),
            };
            let content = Content {
                properties: PropertiesRef::new(black_box(&properties)),
                body: black_box(body),
            };
            write_content(&mut outbound, 1, FRAME_MAX, &deliver, content);
        }
        let len = outbound.len();
        outbound.advance(len);
    });
}

#[divan::bench(args = [128, 1024])]
fn deliver_write(bencher: Bencher<'_, '_>, body: usize) {
    write_delivers(bencher, ContentBody::Inline(&vec![b'x'; body]));
}

#[divan::bench(args = [16 * 1024, 1024 * 1024])]
fn deliver_write_shared(bencher: Bencher<'_, '_>, body: usize) {
    write_delivers(bencher, ContentBody::Shared(&Bytes::from(vec![b'x'; body])));
}

#[divan::bench]
fn ack_write(bencher: Bencher<'_, '_>) {
    let mut out = BytesMut::new();
    bencher.counter(ItemsCount::new(MESSAGES)).bench_local(|| {
        out.clear();
        for delivery_tag in 0..MESSAGES as u64 {
            let multiple = false;
            write_method(
                &mut out,
                1,
                &BasicAck {
                    delivery_tag,
                    multiple,
                },
            );
        }
        out.len()
    });
}

#[divan::bench]
fn headers_scan(bencher: Bencher<'_, '_>) {
    let headers = headers();
    bencher.bench_local(|| TableRef::new(black_box(&headers)).lookup(b"BCC"));
}

#[divan::bench]
fn headers_decode(bencher: Bencher<'_, '_>) {
    let headers = headers();
    bencher.bench_local(|| TableRef::new(black_box(&headers)).decode());
}
