//! What the codec's hot paths cost: times are of a request or response with a thousand records, the items of a second are
//! records.
//!
//! `cargo bench -p polybus-kafka --bench codec`

#![allow(clippy::expect_used, reason = "a bench that cannot be set up ends")]

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use divan::Bencher;
use divan::counter::ItemsCount;
use polybus_kafka::codec::messages::ProduceRequest;
use polybus_kafka::codec::messages::produce::{PartitionProduceData, TopicProduceData};
use polybus_kafka::codec::{
    Api, BatchBuilder, BatchHeader, Batches, FetchHead, FetchWriter, FetchedPartition, Message,
    ProduceReader, Reader, Records, RequestHeader, SentBatch, TopicRef, read_records, split_frame,
    write_request,
};
use polybus_session::Outbound;

const RECORDS: usize = 1_000;
const VERSION: i16 = 9;
/// Bytes in a value.
const VALUES: [usize; 3] = [16, 100, 1_024];

fn main() {
    divan::main();
}

fn batch(value_bytes: usize) -> Bytes {
    let value = vec![b'x'; value_bytes];
    let mut builder = BatchBuilder::new();
    for at in 0..RECORDS {
        builder.push(
            1_700_000_000_000 + at as i64,
            None,
            Some(&value),
            [].into_iter(),
        );
    }
    builder.finish(0, -1).expect("it has records")
}

/// A whole produce request, as it comes off the wire.
fn produce(value_bytes: usize) -> Bytes {
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            name: "orders".to_owned(),
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(batch(value_bytes)),
            }],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    };
    let mut wire = BytesMut::new();
    write_request(&mut wire, VERSION, 1, Some("producer-1"), &request);
    split_frame(&mut wire, u32::MAX)
        .expect("it has a size")
        .expect("it is whole")
}

/// From the frame to the records of each partition, without looking at them.
fn walk(frame: &Bytes) -> Bytes {
    let mut reader = Reader::new(frame);
    let header = RequestHeader::decode(&mut reader).expect("a header");
    assert_eq!(header.api(), Some(Api::Produce));
    let mut produce = ProduceReader::new(reader, header.version).expect("a body");
    let mut records = Bytes::new();
    while produce.next_topic().expect("a topic").is_some() {
        while let Some((_, found)) = produce.next_partition().expect("a partition") {
            records = found.expect("records");
        }
    }
    records
}

#[divan::bench]
fn open_produce(bencher: Bencher<'_, '_>) {
    let frame = produce(100);
    bencher
        .counter(ItemsCount::new(RECORDS))
        .bench_local(|| walk(black_box(&frame)));
}

/// The same by the struct.
#[divan::bench]
fn decode_produce(bencher: Bencher<'_, '_>) {
    let frame = produce(100);
    bencher.counter(ItemsCount::new(RECORDS)).bench_local(|| {
        let mut reader = Reader::new(black_box(&frame));
        let header = RequestHeader::decode(&mut reader).expect("a header");
        ProduceRequest::decode(&mut reader, header.version).expect("a body")
    });
}

/// With the check of the batch: its CRC is taken over all of it.
#[divan::bench(args = VALUES)]
fn open_and_check_produce(bencher: Bencher<'_, '_>, value_bytes: usize) {
    let frame = produce(value_bytes);
    bencher.counter(ItemsCount::new(RECORDS)).bench_local(|| {
        let mut batches = Batches::new(walk(black_box(&frame)));
        batches.next().expect("a batch").expect("a sound one")
    });
}

/// What a reader that is not Kafka's pays.
#[divan::bench(args = VALUES)]
fn read_each_record(bencher: Bencher<'_, '_>, value_bytes: usize) {
    let batch = batch(value_bytes);
    let header = BatchHeader::parse(&batch).expect("a sound batch");
    bencher.counter(ItemsCount::new(RECORDS)).bench_local(|| {
        let records = read_records(&header, black_box(&batch), usize::MAX).expect("records");
        Records::new(&header, &records)
            .map(|record| record.expect("a record").value.map_or(0, <[u8]>::len))
            .sum::<usize>()
    });
}

#[divan::bench(args = [false, true])]
fn write_fetch(bencher: Bencher<'_, '_>, stamped: bool) {
    let batch = batch(100);
    let mut out = Outbound::new();
    bencher.counter(ItemsCount::new(RECORDS)).bench_local(|| {
        let head = FetchHead {
            topics: 1,
            ..FetchHead::default()
        };
        let mut writer = FetchWriter::new(12, 1, &head);
        writer.topic(TopicRef::Name("orders"), 1);
        let partition = FetchedPartition {
            index: 0,
            error_code: 0,
            high_watermark: 1_000,
            last_stable_offset: 1_000,
            log_start_offset: 0,
            aborted: None,
        };
        let sent = SentBatch {
            bytes: black_box(&batch).clone(),
            base_offset: 77,
            leader_epoch: 0,
            stamped: stamped.then_some(1_700_000_000_000),
        };
        writer.partition(&partition, [sent]);
        writer.finish(&mut out);
        let written = out.len();
        out.advance(written);
        written
    });
}
