//! The hot paths read and write what the structs of the same messages do.

use bytes::{Bytes, BytesMut};
use polybus_session::Outbound;
use proptest::prelude::*;

use super::super::{
    Api, BatchBuilder, BatchHeader, CodecError, FetchHead, FetchWriter, FetchedPartition,
    ProduceReader, Reader, SentBatch, TopicRef, Writer, read_response_header, split_frame,
    write_share_fetch,
};
use super::batch::outbound_bytes;
use super::sample::{Sample, Source};
use super::*;
use crate::codec::messages::fetch::{AbortedTransaction, FetchableTopicResponse, PartitionData};
use crate::codec::messages::produce::{PartitionProduceData, TopicProduceData};

fn encode<M: Message>(message: &M, version: i16) -> Bytes {
    let mut out = BytesMut::new();
    message.encode(&mut Writer::new(&mut out), version);
    out.freeze()
}

/// Reads a produce request by the walk into the struct.
fn walk(body: &Bytes, version: i16) -> Result<ProduceRequest, CodecError> {
    let mut reader = ProduceReader::new(Reader::new(body), version)?;
    let mut request = ProduceRequest {
        transactional_id: reader.transactional_id.map(str::to_owned),
        acks: reader.acks,
        timeout_ms: reader.timeout_ms,
        topic_data: Vec::new(),
    };
    while let Some(topic) = reader.next_topic()? {
        let mut data = TopicProduceData::default();
        match topic {
            TopicRef::Name(name) => data.name = name.to_owned(),
            TopicRef::Id(id) => data.topic_id = id,
        }
        while let Some((index, records)) = reader.next_partition()? {
            data.partition_data
                .push(PartitionProduceData { index, records });
        }
        request.topic_data.push(data);
    }
    assert!(reader.next_topic()?.is_none(), "it stays at its end");
    Ok(request)
}

fn decode(body: &Bytes, version: i16) -> Result<ProduceRequest, CodecError> {
    let mut reader = Reader::new(body);
    let request = ProduceRequest::decode(&mut reader, version)?;
    reader.finish()?;
    Ok(request)
}

fn batch(value: &[u8]) -> Bytes {
    let mut builder = BatchBuilder::new();
    builder.push(5, None, Some(value), [].into_iter());
    builder.finish(0, 0).unwrap()
}

proptest! {
    #[test]
    fn a_produce_request_is_walked_as_it_is_decoded(mut source in Source::any()) {
        let request = ProduceRequest::sample(&mut source);
        for version in Api::Produce.versions() {
            let body = encode(&request, version);
            prop_assert_eq!(walk(&body, version), decode(&body, version));
            for cut in 0..body.len() {
                prop_assert!(walk(&body.slice(..cut), version).is_err());
            }
        }
    }

    #[test]
    fn any_bytes_are_walked_as_they_are_decoded(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let bytes = Bytes::from(bytes);
        for version in Api::Produce.versions() {
            // The one finds sooner what is wrong than the other.
            prop_assert_eq!(walk(&bytes, version).ok(), decode(&bytes, version).ok());
        }
    }

    #[test]
    fn a_fetch_response_is_written_as_it_is_encoded(
        topics in prop::collection::vec(
            prop::collection::vec(
                (any::<(i16, i64, i64, i64)>(), any::<Option<Vec<(i64, i64)>>>(),
                 prop::collection::vec((0usize..6000, any::<i64>()), 0..3)),
                0..3),
            0..3),
        throttle_time_ms: i32, session_id: i32,
    ) {
        for version in Api::Fetch.versions() {
            let head = FetchHead { throttle_time_ms, error_code: 3, session_id, topics: topics.len() };
            let mut writer = FetchWriter::new(version, 77, &head);
            let mut same = FetchResponse { throttle_time_ms, error_code: 3, session_id, ..FetchResponse::default() };
            for (number, partitions) in topics.iter().enumerate() {
                let mut topic = FetchableTopicResponse::default();
                let by_id = version >= 13;
                let name = format!("topic-{number}");
                let named = if by_id { TopicRef::Id([number as u8; 16]) } else { TopicRef::Name(&name) };
                writer.topic(named, partitions.len());
                topic.topic = name;
                topic.topic_id = [number as u8; 16];
                for (index, ((error_code, a, b, c), aborted, batches)) in partitions.iter().enumerate() {
                    let sent: Vec<_> = batches.iter().map(|(len, base_offset)| SentBatch {
                        bytes: batch(&vec![7; *len]), base_offset: *base_offset, leader_epoch: 1, stamped: None,
                    }).collect();
                    let partition = FetchedPartition {
                        index: index as i32, error_code: *error_code, high_watermark: *a, last_stable_offset: *b,
                        log_start_offset: *c, aborted: aborted.as_deref(),
                    };
                    writer.partition(&partition, sent.iter().cloned());
                    let records: Vec<u8> = sent.iter().flat_map(|batch| batch.to_bytes().to_vec()).collect();
                    topic.partitions.push(PartitionData {
                        partition_index: index as i32, error_code: *error_code, high_watermark: *a,
                        last_stable_offset: *b, log_start_offset: *c, records: Some(records.into()),
                        aborted_transactions: aborted.as_ref().map(|aborted| aborted.iter().map(
                            |(producer_id, first_offset)| AbortedTransaction { producer_id: *producer_id, first_offset: *first_offset }
                        ).collect()),
                        ..PartitionData::default()
                    });
                }
                same.responses.push(topic);
            }
            let mut out = Outbound::new();
            writer.finish(&mut out);
            let mut written = BytesMut::from(&outbound_bytes(&mut out)[..]);
            let frame = split_frame(&mut written, u32::MAX).unwrap().unwrap();
            prop_assert!(written.is_empty());
            let mut reader = Reader::new(&frame);
            prop_assert_eq!(read_response_header(&mut reader, Api::Fetch, version), Ok(77));
            prop_assert_eq!(frame.slice(frame.len() - reader.remaining()..), encode(&same, version));
        }
    }
}

proptest! {
    #[test]
    fn a_share_fetch_response_is_written_as_it_is_encoded(
        mut source in Source::any(),
        lens in prop::collection::vec(prop::collection::vec((0usize..6000, any::<i64>()), 0..3), 0..8),
    ) {
        let mut same = ShareFetchResponse::sample(&mut source);
        let partitions = same.responses.iter_mut().flat_map(|topic| &mut topic.partitions);
        let mut lens = lens.into_iter();
        let mut batches = Vec::new();
        for partition in partitions {
            let lens = lens.next().unwrap_or_default();
            let sent: Vec<_> = lens.iter().map(|(len, base_offset)| SentBatch {
                bytes: batch(&vec![7; *len]), base_offset: *base_offset, leader_epoch: 1, stamped: None,
            }).collect();
            let records: Vec<u8> = sent.iter().flat_map(|batch| batch.to_bytes().to_vec()).collect();
            partition.records = Some(records.into());
            batches.push(sent);
        }
        for version in Api::ShareFetch.versions() {
            let mut out = Outbound::new();
            write_share_fetch(&mut out, version, 77, &same, batches.clone());
            let mut written = BytesMut::from(&outbound_bytes(&mut out)[..]);
            let frame = split_frame(&mut written, u32::MAX).unwrap().unwrap();
            prop_assert!(written.is_empty());
            let mut reader = Reader::new(&frame);
            prop_assert_eq!(read_response_header(&mut reader, Api::ShareFetch, version), Ok(77));
            prop_assert_eq!(frame.slice(frame.len() - reader.remaining()..), encode(&same, version));
        }
    }
}

#[test]
fn records_are_slices_of_the_frame() {
    let batch = batch(b"value");
    let request = ProduceRequest {
        acks: -1,
        topic_data: vec![TopicProduceData {
            name: "orders".to_owned(),
            partition_data: vec![PartitionProduceData {
                index: 3,
                records: Some(batch.clone()),
            }],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    };
    let body = encode(&request, 9);
    let mut reader = ProduceReader::new(Reader::new(&body), 9).unwrap();
    assert_eq!(reader.next_topic(), Ok(Some(TopicRef::Name("orders"))));
    let (index, records) = reader.next_partition().unwrap().unwrap();
    let records = records.unwrap();
    assert_eq!((index, &records), (3, &batch));
    assert!(
        body.as_ptr_range().contains(&records.as_ptr()),
        "not copied"
    );
    assert_eq!(BatchHeader::parse(&records).unwrap().record_count, 1);
}
