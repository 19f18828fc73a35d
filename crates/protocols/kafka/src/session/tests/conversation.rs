//! Order, bounds, what cannot be answered, and what is told of the cluster.

use bytes::BytesMut;
use polybus_model::{GroupError, GroupReply, Joined};

use super::world::{World, batch, fetch, produce, settings};
use crate::Settings;
use crate::codec::messages::list_config_resources::{
    ListConfigResourcesRequest, ListConfigResourcesResponse,
};
use crate::codec::messages::metadata::MetadataRequestTopic;
use crate::codec::messages::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use crate::codec::messages::{
    ApiVersionsRequest, ApiVersionsResponse, FetchResponse, FindCoordinatorRequest,
    FindCoordinatorResponse, JoinGroupRequest, JoinGroupResponse, MetadataRequest,
    MetadataResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest,
    OffsetFetchResponse, ProduceResponse,
};
use crate::codec::{Api, Message, Reader, Writer, read_response_header, write_request_header};

fn named(name: &str) -> MetadataRequest {
    MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some(name.to_owned()),
            ..MetadataRequestTopic::default()
        }]),
        ..MetadataRequest::default()
    }
}

#[test]
fn versions_unknown_and_known() {
    let mut world = World::new();
    let mut bytes = BytesMut::from(&[0, 0, 0, 0][..]);
    write_request_header(
        &mut Writer::new(&mut bytes),
        Api::ApiVersions,
        99,
        7,
        Some("x"),
    );
    let size = (bytes.len() - 4) as u32;
    bytes[..4].copy_from_slice(&size.to_be_bytes());
    world.push(&bytes);
    let frame = world.frame().unwrap();
    let mut reader = Reader::new(&frame);
    assert_eq!(
        read_response_header(&mut reader, Api::ApiVersions, 0),
        Ok(7)
    );
    let response = ApiVersionsResponse::decode(&mut reader, 0).unwrap();
    assert_eq!(response.error_code, 35);
    let produce = response
        .api_keys
        .iter()
        .find(|api| api.api_key == 0)
        .unwrap();
    assert_eq!((produce.min_version, produce.max_version), (0, 13));
    for version in 0..=4 {
        let known: ApiVersionsResponse = world.ask(version, &ApiVersionsRequest::default());
        assert_eq!(known.api_keys, response.api_keys);
    }
}

#[test]
fn what_is_not_spoken_ends_the_connection_with_a_line_for_the_log() {
    for (key, version, said) in [
        (999_i16, 0_i16, "API 999, which is not spoken here"),
        (0, 2, "version 2 of Produce, which is not spoken here"),
        (3, 99, "version 99 of Metadata, which is not spoken here"),
    ] {
        let mut world = World::new();
        world.metadata(1, &MetadataRequest::default());
        let mut bytes = vec![0, 0, 0, 10];
        bytes.extend_from_slice(&key.to_be_bytes());
        bytes.extend_from_slice(&version.to_be_bytes());
        bytes.extend_from_slice(&[0, 0, 0, 1, 0, 0]);
        world.push(&bytes);
        assert!(world.fault().contains(said), "{}", world.fault());
    }
}

#[test]
fn topics_are_made_when_they_are_asked_for() {
    let mut world = World::new();
    let response = world.metadata(12, &named("fresh"));
    let topic = &response.topics[0];
    assert_eq!((topic.error_code, topic.partitions.len()), (0, 1));
    assert_eq!(topic.partitions[0].leader_id, 1);
    let by_id = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            topic_id: topic.topic_id,
            name: None,
        }]),
        ..MetadataRequest::default()
    };
    assert_eq!(
        world.metadata(12, &by_id).topics[0].name.as_deref(),
        Some("fresh")
    );
    let mut unwanted = named("other");
    unwanted.allow_auto_topic_creation = false;
    assert_eq!(world.metadata(12, &unwanted).topics[0].error_code, 3);
    assert_eq!(
        world.metadata(12, &named("not a name")).topics[0].error_code,
        17
    );
    assert_eq!(
        world.metadata(12, &MetadataRequest::default()).topics.len(),
        1
    );
    let none = MetadataRequest {
        topics: Some(Vec::new()),
        ..MetadataRequest::default()
    };
    assert_eq!(world.metadata(12, &none).topics.len(), 0);
    assert_eq!(world.metadata(0, &none).topics.len(), 1);
}

#[test]
fn answers_come_in_the_order_of_the_requests() {
    let mut world = World::with_topic("t", 2);
    world.broker.sleeps = true;
    let first = world.send(9, &produce("t", 0, -1, batch(&["a"])));
    let second = world.send(9, &produce("t", 1, -1, batch(&["b"])));
    let third: i32 = world.send(3, &ApiVersionsRequest::default());
    assert_eq!(world.broker.slept.len(), 2, "both are asked at once");
    let event = world.broker.wake(1);
    world.event(event);
    assert!(world.frame().is_none());
    let event = world.broker.wake(0);
    world.event(event);
    for correlation in [first, second] {
        let response: ProduceResponse = world.take(9, correlation);
        assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
    }
    let _: ApiVersionsResponse = world.take(3, third);
}

#[test]
fn an_answer_that_asks_nothing_waits_for_none() {
    let mut world = World::with_topic("t", 1);
    world.broker.sleeps = true;
    world.send(9, &produce("t", 0, 0, batch(&["a"])));
    let none = MetadataRequest {
        topics: Some(Vec::new()),
        ..MetadataRequest::default()
    };
    let told = world.send(12, &none);
    assert!(world.frame().is_none());
    let event = world.broker.wake(0);
    world.event(event);
    let _: MetadataResponse = world.take(12, told);
}

#[test]
fn bytes_behind_a_request_are_left_alone() {
    let mut world = World::with_topic("t", 1);
    world.push(&[
        0, 0, 0, 18, 0, 3, 0, 13, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0,
    ]);
    let told: MetadataResponse = world.take(13, 7);
    assert_eq!(told.topics.len(), 1);
}

#[test]
fn too_much_in_flight_is_not_read() {
    let mut world = World::with(Settings {
        pending_max: 2,
        ..settings()
    });
    world.metadata(12, &named("t"));
    world.broker.sleeps = true;
    for _ in 0..3 {
        world.send(9, &produce("t", 0, 1, batch(&["a"])));
    }
    assert!(world.session.is_waiting());
    assert_eq!(world.broker.slept.len(), 2);
    let event = world.broker.wake(0);
    world.event(event);
    assert_eq!(world.broker.slept.len(), 2, "there is room for the third");
}

#[test]
fn a_read_that_waits_for_records() {
    let mut world = World::with_topic("t", 1);
    let read = world.send(11, &fetch("t", &[(0, 0)], 500));
    assert!(world.frame().is_none());
    world.send(9, &produce("t", 0, 0, batch(&["a"])));
    let response: FetchResponse = world.take(11, read);
    assert_eq!(response.responses[0].partitions[0].high_watermark, 1);
    assert!(world.frame().is_none(), "acks=0 is not answered");
}

#[test]
fn everything_in_single_bytes() {
    let mut world = World::new();
    world.piece = 1;
    world.metadata(12, &named("t"));
    let response: ProduceResponse = world.ask(9, &produce("t", 0, 1, batch(&["a", "b"])));
    assert_eq!(response.responses[0].partition_responses[0].base_offset, 0);
}

#[test]
fn the_frame_that_asks_for_309_gb_ends_its_connection() {
    let mut world = World::new();
    world.metadata(1, &MetadataRequest::default());
    world.push(&[
        0, 0, 0, 16, 0, 3, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f,
    ]);
    assert!(
        world
            .fault()
            .contains("Metadata, version 9, could not be read"),
        "{}",
        world.fault()
    );
}

#[test]
fn this_broker_coordinates() {
    let mut world = World::new();
    let request = FindCoordinatorRequest {
        key: "g".into(),
        coordinator_keys: vec!["g".into(), "h".into()],
        ..FindCoordinatorRequest::default()
    };
    let old: FindCoordinatorResponse = world.ask(2, &request);
    assert_eq!(
        (old.node_id, old.port, old.host.as_str()),
        (1, 9092, "127.0.0.1")
    );
    let new: FindCoordinatorResponse = world.ask(4, &request);
    assert_eq!(new.coordinators.len(), 2);
    let told: MetadataResponse = world.metadata(12, &MetadataRequest::default());
    assert_eq!(told.cluster_id.unwrap().len(), 22);
}

#[test]
fn what_has_settings_is_listed() {
    let mut world = World::with_topic("t", 1);
    let mut names = |version, resource_types: &[i8]| {
        let request = ListConfigResourcesRequest {
            resource_types: resource_types.to_vec(),
        };
        let told: ListConfigResourcesResponse = world.ask(version, &request);
        let resources = told.config_resources.into_iter();
        let names: Vec<String> = resources.map(|one| one.resource_name).collect();
        (told.error_code, names.join(" "))
    };
    assert_eq!(names(1, &[]), (0, "1 t".to_owned()));
    assert_eq!(names(1, &[2]), (0, "t".to_owned()));
    assert_eq!(names(1, &[16, 32]), (0, String::new()));
    assert_eq!(names(1, &[3]), (35, String::new()));
    assert_eq!(names(0, &[]), (0, String::new()));
}

#[test]
fn groups_are_told_in_kafkas_words() {
    let mut world = World::new();
    world.broker.group_replies = vec![
        GroupReply::Joined(Err(GroupError::MemberIdRequired("tests-1".into()))),
        GroupReply::Joined(Ok(Box::new(Joined {
            generation: 3,
            protocol_type: "consumer".into(),
            assignor: "range".into(),
            leader: "tests-1".into(),
            member: "tests-1".into(),
            members: vec![("tests-1".into(), None, b"x"[..].into())],
            skip_assignment: false,
        }))),
        GroupReply::Committed(Ok(vec![Ok(()), Err(GroupError::MetadataTooLarge)])),
        GroupReply::Offsets(Ok(Vec::new())),
    ];
    let mut join = JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 10_000,
        protocol_type: "consumer".into(),
        ..JoinGroupRequest::default()
    };
    let told: JoinGroupResponse = world.ask(5, &join);
    assert_eq!((told.error_code, told.member_id.as_str()), (79, "tests-1"));
    join.member_id = told.member_id;
    let joined: JoinGroupResponse = world.ask(7, &join);
    assert_eq!((joined.error_code, joined.generation_id), (0, 3));
    let partition = |partition_index, committed_offset| OffsetCommitRequestPartition {
        partition_index,
        committed_offset,
        ..OffsetCommitRequestPartition::default()
    };
    let commit = OffsetCommitRequest {
        group_id: "g".into(),
        topics: vec![OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![partition(0, 5), partition(-1, 5), partition(1, 6)],
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    };
    let committed: OffsetCommitResponse = world.ask(7, &commit);
    let partitions = committed.topics[0].partitions.iter();
    let codes: Vec<i16> = partitions.map(|one| one.error_code).collect();
    assert_eq!(codes, [0, 3, 12]);
    let asked = OffsetFetchRequest {
        group_id: "g".into(),
        topics: Some(vec![
            crate::codec::messages::offset_fetch::OffsetFetchRequestTopic {
                name: "t".into(),
                partition_indexes: vec![4],
            },
        ]),
        ..OffsetFetchRequest::default()
    };
    let told: OffsetFetchResponse = world.ask(5, &asked);
    let one = &told.topics[0].partitions[0];
    assert_eq!(
        (
            one.partition_index,
            one.committed_offset,
            one.committed_leader_epoch
        ),
        (4, -1, -1)
    );
}

/// Otherwise a short request would have an answer without end.
#[test]
fn what_is_named_again_is_told_once() {
    let mut world = World::with_topic("t", 50);
    let mut request = named("t");
    if let Some(topics) = &mut request.topics {
        *topics = vec![topics[0].clone(); 100_000];
    }
    let response = world.metadata(12, &request);
    assert_eq!(response.topics.len(), 1);
    assert_eq!(response.topics[0].partitions.len(), 50);
}
