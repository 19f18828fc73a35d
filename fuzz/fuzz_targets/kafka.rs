//! Kafka: any bytes are read without a panic as any message in any version, what was read is read again from what is written
//! of it, and the hot paths agree with the structs; batches and their records, compressed or not, are read without a panic
//! and within their limit.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use polybus_kafka::codec::messages::*;
use polybus_kafka::codec::{
    BatchHeader, Batches, Compression, Message, ProduceReader, Reader, Records, RequestHeader,
    SentBatch, Writer, read_records, split_frame,
};

const FRAME_BYTES_MAX: u32 = 4096;
const RECORDS_BYTES_MAX: usize = 256 * 1024;

fuzz_target!(|data: &[u8]| {
    let Some((&what, rest)) = data.split_first() else {
        return;
    };
    let rest = Bytes::copy_from_slice(rest);
    match what {
        250 => frames(&rest),
        251 => batches(&rest),
        252 => batches(&with_crc(&rest)),
        253 => compressed(&rest),
        _ => message(what, &rest),
    }
});

/// As a server reads: frames, headers, and the bodies that they announce.
fn frames(input: &Bytes) {
    let mut input = BytesMut::from(&input[..]);
    while let Ok(Some(frame)) = split_frame(&mut input, FRAME_BYTES_MAX) {
        let mut reader = Reader::new(&frame);
        if let Ok(header) = RequestHeader::decode(&mut reader) {
            let body = frame.slice(frame.len() - reader.remaining()..);
            request(header.api_key, header.version, &body);
        }
    }
}

fn again<M: Message>(version: i16, bytes: &Bytes) {
    let Ok(read) = M::decode(&mut Reader::new(bytes), version) else {
        return;
    };
    let once = encode(&read, version);
    let mut reader = Reader::new(&once);
    let read = M::decode(&mut reader, version).expect("what was written is read");
    reader.finish().expect("and nothing else is there");
    assert_eq!(encode(&read, version), once);
}

fn encode<M: Message>(message: &M, version: i16) -> Bytes {
    let mut out = BytesMut::new();
    message.encode(&mut Writer::new(&mut out), version);
    out.freeze()
}

fn walk(version: i16, bytes: &Bytes) {
    let mut reader = Reader::new(bytes);
    let decoded = ProduceRequest::decode(&mut reader, version).ok();
    let decoded = decoded.filter(|_| reader.finish().is_ok());
    let walked = (|| {
        let mut walk = ProduceReader::new(Reader::new(bytes), version)?;
        let mut found = Vec::new();
        while walk.next_topic()?.is_some() {
            while let Some(partition) = walk.next_partition()? {
                found.push(partition);
            }
        }
        Ok::<_, polybus_kafka::codec::CodecError>(found)
    })();
    let expected = decoded.map(|request| {
        let topics = request.topic_data.into_iter();
        let partitions = topics.flat_map(|topic| topic.partition_data);
        partitions
            .map(|partition| (partition.index, partition.records))
            .collect()
    });
    assert_eq!(walked.ok(), expected);
}

/// The same with the first batch's CRC made right, so that what is behind the check is reached.
fn with_crc(input: &Bytes) -> Bytes {
    let mut bytes = input.to_vec();
    if bytes.len() > 21 {
        let length = (bytes.len() - 12) as i32;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[16] = 2;
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    bytes.into()
}

fn batches(input: &Bytes) {
    for (header, bytes) in Batches::new(input.clone()).flatten() {
        assert!(!header.is_control());
        assert_eq!(header.len_bytes, bytes.len());
        let sent = SentBatch {
            bytes: bytes.clone(),
            base_offset: 1_000,
            leader_epoch: 3,
            stamped: Some(5),
        };
        let sent = BatchHeader::parse(&sent.to_bytes()).expect("a batch that is sent is sound");
        assert_eq!((sent.base_offset, sent.max_timestamp), (1_000, 5));
        let Ok(records) = read_records(&header, &bytes, RECORDS_BYTES_MAX) else {
            continue;
        };
        for record in Records::new(&header, &records).flatten() {
            assert_eq!(record.headers.clone().count(), record.headers.len());
        }
    }
}

fn compressed(input: &Bytes) {
    let Some(compression) = input.first().copied().and_then(Compression::from_number) else {
        return;
    };
    if let Ok(plain) = compression.decompress(&input.slice(1..), RECORDS_BYTES_MAX) {
        assert!(plain.len() <= RECORDS_BYTES_MAX);
    }
}

fn request(key: i16, version: i16, body: &Bytes) {
    let what = u8::try_from(key).ok().filter(|key| *key < 125);
    if let Some(what) = what {
        each_version(what * 2, Some(version), body);
    }
}

/// The first byte is twice the API's number, and one more for the response; all versions are tried.
fn message(what: u8, body: &Bytes) {
    each_version(what, None, body);
}

fn each_version(what: u8, only: Option<i16>, body: &Bytes) {
    macro_rules! try_each {
        ($($request:ident $response:ident)*) => { $(
            let api = <$request as Message>::API;
            if i16::from(what / 2) == api.key() {
                for version in api.versions().filter(|version| only.is_none_or(|only| only == *version)) {
                    if what % 2 == 0 {
                        again::<$request>(version, body);
                    } else {
                        again::<$response>(version, body);
                    }
                    if what == 0 {
                        walk(version, body);
                    }
                }
            }
        )* };
    }
    try_each! {
        ProduceRequest ProduceResponse
        FetchRequest FetchResponse
        ListOffsetsRequest ListOffsetsResponse
        MetadataRequest MetadataResponse
        OffsetCommitRequest OffsetCommitResponse
        OffsetFetchRequest OffsetFetchResponse
        FindCoordinatorRequest FindCoordinatorResponse
        JoinGroupRequest JoinGroupResponse
        HeartbeatRequest HeartbeatResponse
        LeaveGroupRequest LeaveGroupResponse
        SyncGroupRequest SyncGroupResponse
        DescribeGroupsRequest DescribeGroupsResponse
        ListGroupsRequest ListGroupsResponse
        SaslHandshakeRequest SaslHandshakeResponse
        ApiVersionsRequest ApiVersionsResponse
        CreateTopicsRequest CreateTopicsResponse
        DeleteTopicsRequest DeleteTopicsResponse
        DeleteRecordsRequest DeleteRecordsResponse
        InitProducerIdRequest InitProducerIdResponse
        OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse
        AddPartitionsToTxnRequest AddPartitionsToTxnResponse
        AddOffsetsToTxnRequest AddOffsetsToTxnResponse
        EndTxnRequest EndTxnResponse
        WriteTxnMarkersRequest WriteTxnMarkersResponse
        TxnOffsetCommitRequest TxnOffsetCommitResponse
        DescribeAclsRequest DescribeAclsResponse
        CreateAclsRequest CreateAclsResponse
        DeleteAclsRequest DeleteAclsResponse
        DescribeConfigsRequest DescribeConfigsResponse
        AlterConfigsRequest AlterConfigsResponse
        DescribeLogDirsRequest DescribeLogDirsResponse
        SaslAuthenticateRequest SaslAuthenticateResponse
        CreatePartitionsRequest CreatePartitionsResponse
        DeleteGroupsRequest DeleteGroupsResponse
        ElectLeadersRequest ElectLeadersResponse
        IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse
        AlterPartitionReassignmentsRequest AlterPartitionReassignmentsResponse
        ListPartitionReassignmentsRequest ListPartitionReassignmentsResponse
        OffsetDeleteRequest OffsetDeleteResponse
        DescribeClientQuotasRequest DescribeClientQuotasResponse
        DescribeUserScramCredentialsRequest DescribeUserScramCredentialsResponse
        AlterUserScramCredentialsRequest AlterUserScramCredentialsResponse
        DescribeClusterRequest DescribeClusterResponse
        DescribeProducersRequest DescribeProducersResponse
        DescribeTransactionsRequest DescribeTransactionsResponse
        ListTransactionsRequest ListTransactionsResponse
        ConsumerGroupHeartbeatRequest ConsumerGroupHeartbeatResponse
        ConsumerGroupDescribeRequest ConsumerGroupDescribeResponse
        ListConfigResourcesRequest ListConfigResourcesResponse
        DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse
        ShareGroupHeartbeatRequest ShareGroupHeartbeatResponse
        ShareGroupDescribeRequest ShareGroupDescribeResponse
        ShareFetchRequest ShareFetchResponse
        ShareAcknowledgeRequest ShareAcknowledgeResponse
        DescribeShareGroupOffsetsRequest DescribeShareGroupOffsetsResponse
        AlterShareGroupOffsetsRequest AlterShareGroupOffsetsResponse
        DeleteShareGroupOffsetsRequest DeleteShareGroupOffsetsResponse
    }
}
