//! The groups of Kafka 4: topics by their ids on the wire, by their names to the broker.

use polybus_model::{
    Beat, BeatAnswer, GroupError, GroupReply, GroupRequest, GroupState, PartitionName,
    SharedMemberSummary, SharedSummary, Standing,
};

use super::world::World;
use crate::codec::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use crate::codec::messages::consumer_group_describe::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse,
};
use crate::codec::messages::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};

fn partition(partition: u32) -> PartitionName {
    PartitionName {
        log: polybus_model::Name::new("t").unwrap(),
        partition,
    }
}

fn answer(epoch: Option<u32>, assignment: Option<Vec<PartitionName>>) -> GroupReply {
    GroupReply::Beat(Ok(BeatAnswer {
        member: "m".into(),
        epoch,
        interval_ms: 5000,
        assignment,
    }))
}

fn last_beat(world: &World) -> &Beat {
    match world.broker.group_requests.last() {
        Some(GroupRequest::Beat(beat)) => beat,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_member_says_what_it_holds_by_ids() {
    let mut world = World::with_topic("t", 2);
    world.broker.group_replies = vec![
        answer(Some(1), Some(vec![partition(0), partition(1)])),
        answer(Some(2), None),
        answer(None, None),
        GroupReply::Beat(Err(GroupError::UnknownAssignor)),
        GroupReply::Beat(Err(GroupError::InvalidRequest("why".into()))),
    ];
    let join = ConsumerGroupHeartbeatRequest {
        group_id: "g".into(),
        member_id: "m".into(),
        rebalance_timeout_ms: 300_000,
        subscribed_topic_names: Some(vec!["t".into()]),
        topic_partitions: Some(Vec::new()),
        ..ConsumerGroupHeartbeatRequest::default()
    };
    let told: ConsumerGroupHeartbeatResponse = world.ask(1, &join);
    assert_eq!((told.error_code, told.member_epoch), (0, 1));
    let given = told.assignment.unwrap().topic_partitions;
    assert_eq!(given[0].partitions, [0, 1]);
    assert_eq!(last_beat(&world).standing, Standing::Joins);

    let mut works = ConsumerGroupHeartbeatRequest {
        group_id: "g".into(),
        member_id: "m".into(),
        member_epoch: 1,
        topic_partitions: Some(vec![
            TopicPartitions {
                topic_id: given[0].topic_id,
                partitions: vec![1],
            },
            TopicPartitions {
                topic_id: [7; 16],
                partitions: vec![0],
            },
        ]),
        ..ConsumerGroupHeartbeatRequest::default()
    };
    let told: ConsumerGroupHeartbeatResponse = world.ask(0, &works);
    assert!(told.member_epoch == 2 && told.assignment.is_none());
    let beat = last_beat(&world);
    assert_eq!(beat.standing, Standing::Works(1));
    assert_eq!(beat.owned, Some(vec![partition(1)]));
    assert!(beat.reads.is_none() && beat.rebalance_timeout_ms.is_none());

    works.member_epoch = -2;
    let told: ConsumerGroupHeartbeatResponse = world.ask(1, &works);
    assert_eq!(told.member_epoch, -2);
    assert_eq!(last_beat(&world).standing, Standing::Pauses);
    let told: ConsumerGroupHeartbeatResponse = world.ask(1, &join);
    assert_eq!(told.error_code, 112);
    let told: ConsumerGroupHeartbeatResponse = world.ask(1, &join);
    assert_eq!(
        (told.error_code, told.error_message.as_deref()),
        (42, Some("why"))
    );
    works.member_epoch = -3;
    let told: ConsumerGroupHeartbeatResponse = world.ask(1, &works);
    assert_eq!(told.error_code, 42, "there is no such epoch");
}

#[test]
fn groups_are_described_with_names_and_ids() {
    let mut world = World::with_topic("t", 2);
    let member = SharedMemberSummary {
        member: "m".into(),
        instance: None,
        client: "tests".into(),
        host: "/127.0.0.1".into(),
        epoch: None,
        pattern: None,
        is_guest: false,
        reads: vec![partition(0).log],
        assigned: vec![partition(0)],
        target: vec![partition(0), partition(1)],
    };
    let group = SharedSummary {
        group: "g".into(),
        state: GroupState::Reconciling,
        epoch: 3,
        assigned_epoch: 2,
        assignor: "uniform".into(),
        members: vec![member],
    };
    let each = vec![Ok(group), Err(GroupError::NotFound)];
    world.broker.group_replies = vec![GroupReply::SharedDescribed(each)];
    let request = ConsumerGroupDescribeRequest {
        group_ids: vec!["g".into(), "h".into()],
        ..ConsumerGroupDescribeRequest::default()
    };
    let told: ConsumerGroupDescribeResponse = world.ask(1, &request);
    let group = &told.groups[0];
    assert_eq!(
        (
            group.group_epoch,
            group.assignment_epoch,
            &*group.group_state
        ),
        (3, 2, "Reconciling")
    );
    let member = &group.members[0];
    assert_eq!(member.member_epoch, -2, "it is away");
    let target = &member.target_assignment.topic_partitions[0];
    assert_eq!(
        (&*target.topic_name, &target.partitions[..]),
        ("t", &[0, 1][..])
    );
    assert_ne!(target.topic_id, [0; 16]);
    assert_eq!(
        (told.groups[1].error_code, &*told.groups[1].group_id),
        (69, "h")
    );
}

#[test]
fn the_feature_is_told() {
    let mut world = World::new();
    let told: ApiVersionsResponse = world.ask(3, &ApiVersionsRequest::default());
    let feature = &told.finalized_features[0];
    assert_eq!(
        (&*feature.name, feature.max_version_level),
        ("group.version", 1)
    );
    assert_eq!(told.finalized_features_epoch, 0);
}
