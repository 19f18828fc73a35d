//! Appending, and topics' settings.

use bytes::{Bytes, BytesMut};

use super::world::{World, batch, fetch, produce};
use crate::codec::BatchBuilder;
use crate::codec::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use crate::codec::messages::describe_configs::DescribeConfigsResource;
use crate::codec::messages::{
    CreateTopicsRequest, CreateTopicsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    FetchResponse, InitProducerIdRequest, InitProducerIdResponse, MetadataRequest, ProduceResponse,
};

fn code(response: &ProduceResponse) -> (i16, i64) {
    let one = &response.responses[0].partition_responses[0];
    (one.error_code, one.base_offset)
}

#[test]
fn batches_are_checked_and_given_back_as_they_came() {
    let mut world = World::with_topic("t", 1);
    let records = batch(&["a", "b"]);
    for (version, offset) in (3..=12).zip((0..).step_by(2)) {
        let response: ProduceResponse = world.ask(version, &produce("t", 0, -1, records.clone()));
        assert_eq!(code(&response), (0, offset));
    }
    let response: FetchResponse = world.ask(12, &fetch("t", &[(0, 3)], 0));
    let got = response.responses[0].partitions[0].records.clone().unwrap();
    assert_eq!(got[..8], 2_u64.to_be_bytes());
    assert_eq!(got[12..16], [0; 4]);
    assert_eq!(got[16..records.len()], records[16..]);
    assert_eq!(got.len(), 9 * records.len());
}

#[test]
fn what_is_wrong_is_refused_by_partition_and_not_stored() {
    let mut world = World::with_topic("t", 1);
    let sound = batch(&["a"]);
    let mut damaged = BytesMut::from(&sound[..]);
    damaged[70] ^= 1;
    let doubled: Bytes = [&sound[..], &sound[..]].concat().into();
    let mut old = BytesMut::from(&sound[..]);
    old[16] = 1;
    for (records, wanted) in [
        (damaged.freeze(), 2),
        (sound.slice(..30), 2),
        (doubled, 87),
        (old.freeze(), 87),
        (Bytes::new(), 87),
    ] {
        let response: ProduceResponse = world.ask(9, &produce("t", 0, 1, records));
        assert_eq!(code(&response), (wanted, -1));
    }
    let wrong: ProduceResponse = world.ask(9, &produce("t", 7, 1, sound.clone()));
    assert_eq!(code(&wrong), (3, -1));
    let wrong: ProduceResponse = world.ask(9, &produce("t", 0, 2, sound.clone()));
    assert_eq!(code(&wrong), (21, -1));
    let right: ProduceResponse = world.ask(9, &produce("t", 0, 1, sound));
    assert_eq!(code(&right), (0, 0));
}

#[test]
fn a_failure_that_nobody_is_told_of_ends_the_connection() {
    let mut world = World::with_topic("t", 1);
    world.send(9, &produce("nowhere", 0, 0, batch(&["a"])));
    assert!(world.frame().is_none());
    assert!(
        world.fault().contains("nowhere-0: error 3"),
        "{}",
        world.fault()
    );
}

#[test]
fn topics_by_their_ids() {
    let mut world = World::with_topic("t", 1);
    let id = world.metadata(12, &MetadataRequest::default()).topics[0].topic_id;
    let mut request = produce("", 0, 1, batch(&["a"]));
    request.topic_data[0].topic_id = id;
    let response: ProduceResponse = world.ask(13, &request);
    assert_eq!(code(&response), (0, 0));
    let mut read = fetch("", &[(0, 0)], 0);
    read.topics[0].topic_id = id;
    let response: FetchResponse = world.ask(13, &read);
    assert_eq!(response.responses[0].topic_id, id);
    assert_eq!(response.responses[0].partitions[0].high_watermark, 1);
    world.remake("t");
    let response: FetchResponse = world.ask(13, &read);
    assert_eq!(response.responses[0].partitions[0].error_code, 100);
    let response: ProduceResponse = world.ask(13, &request);
    assert_eq!(
        code(&response),
        (100, -1),
        "the name is another topic's by now"
    );
    request.topic_data[0].topic_id = [9; 16];
    let response: ProduceResponse = world.ask(13, &request);
    assert_eq!(code(&response), (100, -1));
}

#[test]
fn the_brokers_time_where_the_topic_wants_it() {
    let mut world = World::new();
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: "t".into(),
            num_partitions: -1,
            replication_factor: -1,
            configs: vec![CreatableTopicConfig {
                name: "message.timestamp.type".into(),
                value: Some("LogAppendTime".into()),
            }],
            ..CreatableTopic::default()
        }],
        ..CreateTopicsRequest::default()
    };
    let made: CreateTopicsResponse = world.ask(7, &request);
    assert_eq!(
        (made.topics[0].error_code, made.topics[0].num_partitions),
        (0, 1)
    );
    let again: CreateTopicsResponse = world.ask(7, &request);
    assert_eq!(again.topics[0].error_code, 36);
    let response: ProduceResponse = world.ask(9, &produce("t", 0, 1, batch(&["a"])));
    assert_eq!(
        response.responses[0].partition_responses[0].log_append_time_ms,
        1234
    );
    let configs: DescribeConfigsResponse = world.ask(
        4,
        &DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type: 2,
                resource_name: "t".into(),
                configuration_keys: None,
            }],
            include_synonyms: true,
            ..DescribeConfigsRequest::default()
        },
    );
    let of = |name: &str| {
        let config = configs.results[0]
            .configs
            .iter()
            .find(|one| one.name == name)
            .unwrap();
        (
            config.value.clone().unwrap(),
            config.config_source,
            config.synonyms.len(),
        )
    };
    assert_eq!(of("message.timestamp.type"), ("LogAppendTime".into(), 1, 2));
    assert_eq!(of("retention.ms"), ("604800000".into(), 5, 1));
}

#[test]
fn topics_that_cannot_be_are_refused_with_a_reason() {
    let mut world = World::new();
    for (topic, wanted) in [
        (
            CreatableTopic {
                name: "a b".into(),
                num_partitions: 1,
                replication_factor: 1,
                ..CreatableTopic::default()
            },
            17,
        ),
        (
            CreatableTopic {
                name: "t".into(),
                num_partitions: 0,
                replication_factor: 1,
                ..CreatableTopic::default()
            },
            37,
        ),
        (
            CreatableTopic {
                name: "t".into(),
                num_partitions: 1,
                replication_factor: 3,
                ..CreatableTopic::default()
            },
            38,
        ),
    ] {
        let request = CreateTopicsRequest {
            topics: vec![topic],
            ..CreateTopicsRequest::default()
        };
        let response: CreateTopicsResponse = world.ask(6, &request);
        assert_eq!(response.topics[0].error_code, wanted);
        assert!(response.topics[0].error_message.is_some());
    }
}

#[test]
fn a_number_for_a_producer() {
    let mut world = World::new();
    let response: InitProducerIdResponse = world.ask(4, &InitProducerIdRequest::default());
    assert_eq!((response.error_code, response.producer_id), (0, 4000));
}

fn keyed_batch(keys: &[Option<&[u8]>]) -> Bytes {
    let mut builder = BatchBuilder::new();
    for key in keys {
        builder.push(5, *key, Some(b"v"), [].into_iter());
    }
    builder.finish(0, 0).unwrap()
}

#[test]
fn a_topic_that_compacts_takes_no_record_without_a_key() {
    let mut world = World::new();
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: "t".into(),
            num_partitions: 2,
            replication_factor: -1,
            configs: vec![CreatableTopicConfig {
                name: "cleanup.policy".into(),
                value: Some("compact".into()),
            }],
            ..CreatableTopic::default()
        }],
        ..CreateTopicsRequest::default()
    };
    let _: CreateTopicsResponse = world.ask(7, &request);
    let sound = keyed_batch(&[Some(b"a"), Some(b"")]);
    let keyless = keyed_batch(&[Some(b"a"), None, Some(b"b"), None]);
    // The first append finds out what the topic wants, the second knows it.
    for offset in [0, 2] {
        let mut both = produce("t", 0, 1, keyless.clone());
        let more = produce("t", 1, 1, sound.clone());
        both.topic_data[0]
            .partition_data
            .extend(more.topic_data[0].partition_data.clone());
        let response: ProduceResponse = world.ask(9, &both);
        let parts = &response.responses[0].partition_responses;
        assert_eq!((parts[0].error_code, parts[0].base_offset), (87, -1));
        let errors = parts[0].record_errors.iter();
        assert_eq!(
            errors.map(|one| one.batch_index).collect::<Vec<_>>(),
            [1, 3]
        );
        let text = parts[0].record_errors[0]
            .batch_index_error_message
            .as_deref();
        assert!(text.unwrap().contains("without key in topic partition t-0"));
        assert_eq!((parts[1].error_code, parts[1].base_offset), (0, offset));
    }
}
