//! Fetching, its sessions, and looking offsets up.

use super::world::{World, batch, fetch, produce};
use crate::codec::messages::fetch::ForgottenTopic;
use crate::codec::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use crate::codec::messages::{
    FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse, ProduceResponse,
};

fn fill(world: &mut World, index: i32, values: &[&str]) {
    let _: ProduceResponse = world.ask(9, &produce("t", index, 1, batch(values)));
}

fn told(response: &FetchResponse) -> Vec<(i32, i16, usize)> {
    let partitions = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partitions);
    partitions
        .map(|one| {
            (
                one.partition_index,
                one.error_code,
                one.records.as_ref().map_or(0, |r| r.len().min(1)),
            )
        })
        .collect()
}

#[test]
fn errors_are_of_single_partitions() {
    let mut world = World::with_topic("t", 2);
    fill(&mut world, 0, &["a"]);
    for version in 4..=12 {
        let response: FetchResponse =
            world.ask(version, &fetch("t", &[(0, 0), (1, 5), (2, 0), (0, -1)], 0));
        assert_eq!(
            told(&response),
            [(0, 0, 1), (1, 1, 0), (2, 3, 0), (0, 1, 0)]
        );
    }
}

#[test]
fn a_session_is_told_what_changed() {
    let mut world = World::with_topic("t", 3);
    let mut first = fetch("t", &[(0, 0), (1, 0), (2, 0)], 0);
    first.session_epoch = 0;
    let response: FetchResponse = world.ask(12, &first);
    let id = response.session_id;
    assert!(id > 0);
    assert_eq!(told(&response).len(), 3);
    let next = |epoch| FetchRequest {
        session_id: id,
        session_epoch: epoch,
        min_bytes: 1,
        ..FetchRequest::default()
    };
    let quiet: FetchResponse = world.ask(12, &next(1));
    assert_eq!((quiet.session_id, told(&quiet).len()), (id, 0));
    fill(&mut world, 1, &["a"]);
    let news: FetchResponse = world.ask(12, &next(2));
    assert_eq!(told(&news), [(1, 0, 1)]);
    let mut moved = fetch("t", &[(1, 1)], 0);
    moved.session_id = id;
    moved.session_epoch = 3;
    moved.forgotten_topics_data = vec![ForgottenTopic {
        topic: "t".into(),
        partitions: vec![2],
        ..ForgottenTopic::default()
    }];
    let quiet: FetchResponse = world.ask(12, &moved);
    assert_eq!(told(&quiet), []);
    fill(&mut world, 2, &["a"]);
    let quiet: FetchResponse = world.ask(12, &next(4));
    assert_eq!(told(&quiet), []);
    let wrong: FetchResponse = world.ask(12, &next(4));
    assert_eq!(wrong.error_code, 71);
    let mut last = fetch("t", &[(0, 0)], 0);
    last.session_id = id;
    let response: FetchResponse = world.ask(12, &last);
    assert_eq!(response.session_id, 0);
    let gone: FetchResponse = world.ask(12, &next(5));
    assert_eq!(gone.error_code, 70);
}

#[test]
fn offsets_by_place_and_time() {
    let mut world = World::with_topic("t", 1);
    fill(&mut world, 0, &["a", "b", "c"]);
    let mut look = |timestamp| {
        let request = ListOffsetsRequest {
            topics: vec![ListOffsetsTopic {
                name: "t".into(),
                partitions: vec![ListOffsetsPartition {
                    timestamp,
                    ..ListOffsetsPartition::default()
                }],
            }],
            ..ListOffsetsRequest::default()
        };
        let response: ListOffsetsResponse = world.ask(7, &request);
        let one = &response.topics[0].partitions[0];
        (one.offset, one.timestamp, one.leader_epoch)
    };
    assert_eq!(look(-1), (3, -1, 0));
    assert_eq!(look(-2), (0, -1, 0));
    assert_eq!(look(-3), (2, 1002, 0));
    assert_eq!(look(-4), (0, -1, 0));
    assert_eq!(look(-5), (-1, -1, -1));
    assert_eq!(look(1001), (1, 1001, 0));
    assert_eq!(look(5), (0, 1000, 0));
    assert_eq!(look(5000), (-1, -1, -1));
}
