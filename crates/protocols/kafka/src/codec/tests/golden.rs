//! Bytes that real clients made (`golden/`): they are read, mean what was meant, and are written the same.

use bytes::{Bytes, BytesMut};

use super::super::{
    Api, BatchHeader, Batches, Compression, Reader, Records, RequestHeader, Writer, read_records,
    split_frame,
};
use super::*;

const MESSAGES: &str = include_str!("golden/messages.txt");
const FRAMES: &str = include_str!("golden/frames.txt");

fn unhex(text: &str) -> Bytes {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split(' ').collect())
}

fn check<M: Message>(version: i16, bytes: &Bytes) {
    let mut reader = Reader::new(bytes);
    let message = M::decode(&mut reader, version).unwrap();
    reader.finish().unwrap();
    let mut out = BytesMut::new();
    message.encode(&mut Writer::new(&mut out), version);
    assert_eq!(out, bytes, "{} {version}", M::API.name());
}

#[test]
fn every_message_in_every_version() {
    let mut checked = 0;
    for line in lines(MESSAGES) {
        let [name, first, last, hex] = line[..] else {
            panic!("{line:?}");
        };
        let bytes = unhex(hex);
        for version in first.parse().unwrap()..=last.parse().unwrap() {
            macro_rules! check_named {
                ($module:ident, $request:ident, $response:ident) => {
                    if name == stringify!($request) {
                        check::<$request>(version, &bytes);
                        checked += 1;
                    }
                    if name == stringify!($response) {
                        check::<$response>(version, &bytes);
                        checked += 1;
                    }
                };
            }
            each_message!(check_named);
        }
    }
    assert_eq!(checked, 458);
}

fn golden(name: &str) -> Bytes {
    let line = lines(FRAMES).find(|line| line[0] == name).unwrap();
    unhex(line[1])
}

/// Opens a framed request: its header, and the body read whole.
fn open<M: Message>(name: &str) -> (RequestHeader, M) {
    let mut wire = BytesMut::from(&golden(name)[..]);
    let frame = split_frame(&mut wire, 1_000).unwrap().unwrap();
    assert!(wire.is_empty());
    let mut reader = Reader::new(&frame);
    let header = RequestHeader::decode(&mut reader).unwrap();
    assert_eq!(header.api(), Some(M::API));
    assert_eq!(header.client_id.as_deref(), Some("app-1"));
    let message = M::decode(&mut reader, header.version).unwrap();
    reader.finish().unwrap();
    (header, message)
}

#[test]
fn the_first_words_of_clients() {
    let (header, first) = open::<ApiVersionsRequest>("librdkafka-first");
    assert_eq!(header.version, 3);
    assert_eq!(first.client_software_name, "confluent-kafka-python");
    assert_eq!(first.client_software_version, "2.16.1-rdkafka-2.16.0");
    let (header, first) = open::<ApiVersionsRequest>("ApiVersionsRequest-4");
    assert_eq!((header.version, header.correlation_id), (4, 1));
    assert_eq!(first.client_software_name, "kafka-python");
    assert_eq!(first.client_software_version, "3.0.12");
}

#[test]
fn metadata_is_asked_for() {
    for version in [0, 1, 9, 12] {
        let (_, request) = open::<MetadataRequest>(&format!("MetadataRequest-{version}"));
        let topics = request.topics.unwrap();
        assert_eq!(topics.len(), 1);
        assert_eq!(topics[0].name.as_deref(), Some("orders"));
        assert!(request.allow_auto_topic_creation);
    }
}

#[test]
fn records_are_produced() {
    for version in [3, 7, 9] {
        let (header, request) = open::<ProduceRequest>(&format!("ProduceRequest-{version}"));
        assert_eq!(header.api(), Some(Api::Produce));
        assert_eq!((request.acks, request.timeout_ms), (-1, 30_000));
        let topic = &request.topic_data[0];
        assert_eq!(
            (topic.name.as_str(), topic.partition_data[0].index),
            ("orders", 2)
        );
        let records = topic.partition_data[0].records.clone().unwrap();
        assert_eq!(records, golden("batch-none"));
    }
}

#[test]
fn records_are_fetched() {
    for version in [4, 11, 12] {
        let (_, request) = open::<FetchRequest>(&format!("FetchRequest-{version}"));
        assert_eq!(
            (request.max_wait_ms, request.min_bytes, request.max_bytes),
            (500, 1, 52_428_800)
        );
        assert_eq!(request.isolation_level, 1);
        let topic = &request.topics[0];
        assert_eq!(topic.topic, "orders");
        let partition = &topic.partitions[0];
        assert_eq!((partition.partition, partition.fetch_offset), (2, 77));
        assert_eq!(partition.partition_max_bytes, 1_048_576);
    }
}

#[test]
fn groups_are_joined() {
    for version in [2, 7, 9] {
        let (_, request) = open::<JoinGroupRequest>(&format!("JoinGroupRequest-{version}"));
        assert_eq!(
            (request.group_id.as_str(), request.member_id.as_str()),
            ("g", "m-1")
        );
        assert_eq!(
            (request.session_timeout_ms, request.rebalance_timeout_ms),
            (10_000, 300_000)
        );
        assert_eq!(request.protocols[0].name, "range");
        assert_eq!(request.protocols[0].metadata, &[0, 1][..]);
        assert_eq!(request.group_instance_id, None);
    }
}

#[test]
fn batches_of_clients_in_each_compression() {
    let compressions = [
        ("none", Compression::None),
        ("gzip", Compression::Gzip),
        ("snappy", Compression::Snappy),
        ("lz4", Compression::Lz4),
        ("zstd", Compression::Zstd),
    ];
    for (name, compression) in compressions {
        let batch = golden(&format!("batch-{name}"));
        let header = BatchHeader::parse(&batch).unwrap();
        assert_eq!(header.compression, compression);
        let records = read_records(&header, &batch, 10_000).unwrap();
        let records: Vec<_> = Records::new(&header, &records)
            .map(Result::unwrap)
            .collect();
        let times: Vec<_> = records.iter().map(|record| record.timestamp).collect();
        assert_eq!(
            times,
            [1_700_000_000_000, 1_700_000_000_005, 1_700_000_000_003]
        );
        assert_eq!(
            (records[0].key, records[0].value),
            (Some(&b"k1"[..]), Some(&b"v1"[..]))
        );
        assert_eq!(
            (records[1].key, records[1].value),
            (None, Some(&[b'x'; 64][..]))
        );
        assert_eq!((records[2].key, records[2].value), (Some(&b"k3"[..]), None));
        let trace = records[0].headers.clone().next().unwrap();
        assert_eq!((trace.name, trace.value), ("trace", Some(&b"abc"[..])));
    }
}

#[test]
fn an_idempotent_producers_batch() {
    let mut batches = Batches::new(golden("batch-idempotent"));
    let (header, _) = batches.next().unwrap().unwrap();
    assert!(header.is_transactional());
    assert_eq!(
        (
            header.producer_id,
            header.producer_epoch,
            header.base_sequence
        ),
        (4_000, 7, 12)
    );
    assert!(batches.next().is_none());
}
