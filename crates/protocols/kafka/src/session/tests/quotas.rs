//! Clients that are held to their quotas.

use std::time::Duration;

use polybus_model::{Metered, Quota, QuotaOwner, Whose};

use super::world::{World, batch, fetch, produce, settings};
use crate::codec::messages::create_partitions::CreatePartitionsTopic;
use crate::codec::messages::create_topics::CreatableTopic;
use crate::codec::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, FetchResponse, MetadataRequest, MetadataResponse,
    ProduceResponse,
};

/// A world with topic `t`, whose clients may do so much.
fn with_quota(owner: QuotaOwner, metered: Metered, rate: f64) -> World {
    let settings = settings();
    settings.quotas.replace([Quota {
        owner,
        metered,
        rate,
    }]);
    let mut world = World::with(settings);
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: "t".to_owned(),
            num_partitions: 1,
            replication_factor: 1,
            ..CreatableTopic::default()
        }],
        ..CreateTopicsRequest::default()
    };
    let _: CreateTopicsResponse = world.ask(7, &request);
    world
}

fn of_guest() -> QuotaOwner {
    QuotaOwner {
        user: Some(Whose::Named("guest".to_owned())),
        ..QuotaOwner::default()
    }
}

/// Whether the session reads again once it is told that its time has come, and not before.
fn is_silent_for(world: &mut World, silent_ms: u64) {
    assert!(world.session.is_waiting());
    let until = world.now + silent_ms;
    assert_eq!(world.session.poll_timeout(), Some(until));
    world.session.handle_timeout(until - 1);
    assert!(world.session.is_waiting());
    world.session.handle_timeout(until);
    assert!(!world.session.is_waiting());
    world.now = until;
}

#[test]
fn who_puts_in_too_much_is_answered_and_then_not_read() {
    let mut world = with_quota(of_guest(), Metered::BytesIn, 10.0);
    let value = "x".repeat(200);
    let request = produce("t", 0, -1, batch(&[&value]));
    let correlation = world.send(9, &request);
    let next = world.send(9, &request);
    let first: ProduceResponse = world.take(9, correlation);
    assert_eq!(first.responses[0].partition_responses[0].error_code, 0);
    let silent_ms = u64::try_from(first.throttle_time_ms).unwrap();
    assert!((15_000..40_000).contains(&silent_ms), "{silent_ms}");
    assert!(world.frame().is_none());
    is_silent_for(&mut world, silent_ms);
    world.turn();
    let second: ProduceResponse = world.take(9, next);
    assert!(second.throttle_time_ms > 20_000);
    assert!(world.session.is_waiting());
}

#[test]
fn who_takes_out_too_much_is_not_read_for_a_while() {
    let mut world = with_quota(of_guest(), Metered::BytesOut, 10.0);
    let value = "x".repeat(200);
    let request = produce("t", 0, -1, batch(&[&value]));
    let _: ProduceResponse = world.ask(9, &request);
    let fetched: FetchResponse = world.ask(11, &fetch("t", &[(0, 0)], 0));
    assert!(fetched.responses[0].partitions[0].records.is_some());
    let silent_ms = u64::try_from(fetched.throttle_time_ms).unwrap();
    assert!((10_000..30_000).contains(&silent_ms), "{silent_ms}");
    is_silent_for(&mut world, silent_ms);
}

#[test]
fn others_are_not_held_up() {
    let owner = QuotaOwner {
        client: Some(Whose::Named("other".to_owned())),
        ..QuotaOwner::default()
    };
    let mut world = with_quota(owner, Metered::BytesIn, 1.0);
    let request = produce("t", 0, -1, batch(&["a value of some length"]));
    let response: ProduceResponse = world.ask(9, &request);
    assert_eq!(response.throttle_time_ms, 0);
    assert!(!world.session.is_waiting());
}

#[test]
fn an_address_that_connects_too_often_waits() {
    let owner = QuotaOwner {
        host: Some(Whose::Named("127.0.0.1".to_owned())),
        ..QuotaOwner::default()
    };
    let settings = settings();
    settings.quotas.replace([Quota {
        owner,
        metered: Metered::Connections,
        rate: 0.1,
    }]);
    assert!(!World::with(settings.clone()).session.is_waiting());
    // Half as long as its handshake may take, at most.
    let mut second = World::with(settings);
    is_silent_for(&mut second, 5000);
    second.metadata(1, &MetadataRequest::default());
}

#[test]
fn who_takes_too_much_time_is_not_read_for_a_while() {
    // In a second a percent of it, and so ten percent at once.
    let mut world = with_quota(of_guest(), Metered::Time, 1.0);
    assert!(world.session.wants_time_spent());
    for spent_ms in [100, 3] {
        let told = world.metadata(12, &MetadataRequest::default());
        assert_eq!(told.throttle_time_ms, 0);
        let spent = Duration::from_millis(spent_ms);
        world.session.handle_time_spent(spent, 0);
    }
    is_silent_for(&mut world, 300);
    // What it costs to find that it may be read again does not keep it silent.
    world.session.handle_time_spent(Duration::from_secs(9), 300);
    assert!(!world.session.is_waiting());
    // Never longer than a second, and every answer says so.
    world.broker.sleeps = true;
    let first = world.send(12, &MetadataRequest::default());
    world.session.handle_time_spent(Duration::from_secs(1), 300);
    world.now = 400;
    let event = world.broker.wake(0);
    world.event(event);
    let told: MetadataResponse = world.take(12, first);
    assert_eq!(told.throttle_time_ms, 900);
    world.now = 300;
    is_silent_for(&mut world, 1000);
}

#[test]
fn nobody_is_told_of_time_without_a_quota_of_it() {
    let mut world = with_quota(of_guest(), Metered::BytesIn, 1.0);
    assert!(!world.session.wants_time_spent());
    world
        .session
        .handle_time_spent(Duration::from_secs(1000), 0);
    assert!(!world.session.is_waiting());
}

fn topics(names: &[(&str, i32)]) -> CreateTopicsRequest {
    let topics = names.iter().map(|(name, num_partitions)| CreatableTopic {
        name: (*name).to_owned(),
        num_partitions: *num_partitions,
        replication_factor: 1,
        ..CreatableTopic::default()
    });
    CreateTopicsRequest {
        topics: topics.collect(),
        ..CreateTopicsRequest::default()
    }
}

fn codes(response: &CreateTopicsResponse) -> Vec<i16> {
    let topics = response.topics.iter();
    topics.map(|topic| topic.error_code).collect()
}

#[test]
fn topics_are_made_and_deleted_as_far_as_the_quota_goes() {
    // Ten at once; the topic of `with_quota` has taken one.
    let mut world = with_quota(of_guest(), Metered::Changes, 1.0);
    let made: CreateTopicsResponse = world.ask(7, &topics(&[("a", 3), ("t", 5), ("b", 7)]));
    // What is there already costs nothing in the end; what takes all that is left is let through.
    assert_eq!(codes(&made), [0, 36, 0]);
    assert_eq!(made.throttle_time_ms, 0);
    let made: CreateTopicsResponse = world.ask(7, &topics(&[("c", 1)]));
    assert_eq!(codes(&made), [89]);
    assert_eq!(made.throttle_time_ms, 1000);
    is_silent_for(&mut world, 1000);

    let deletion = DeleteTopicsRequest {
        topic_names: vec!["a".to_owned(), "b".to_owned()],
        ..DeleteTopicsRequest::default()
    };
    let deleted: DeleteTopicsResponse = world.ask(5, &deletion);
    let codes_of = deleted.responses.iter().map(|one| one.error_code);
    assert_eq!(codes_of.collect::<Vec<_>>(), [0, 89]);
    assert_eq!(deleted.throttle_time_ms, 3000);
    is_silent_for(&mut world, 3000);

    let growth = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: "t".to_owned(),
            count: 3,
            assignments: None,
        }],
        ..CreatePartitionsRequest::default()
    };
    let grown: CreatePartitionsResponse = world.ask(3, &growth);
    assert_eq!(grown.results[0].error_code, 0);
    let grown: CreatePartitionsResponse = world.ask(
        3,
        &CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                count: 4,
                ..growth.topics[0].clone()
            }],
            ..growth
        },
    );
    assert_eq!(grown.results[0].error_code, 89);
}

#[test]
fn older_clients_are_never_refused_for_their_quota() {
    let mut world = with_quota(of_guest(), Metered::Changes, 1.0);
    let made: CreateTopicsResponse = world.ask(5, &topics(&[("a", 19)]));
    assert_eq!((codes(&made), made.throttle_time_ms), (vec![0], 10_000));
    is_silent_for(&mut world, 10_000);
    let made: CreateTopicsResponse = world.ask(5, &topics(&[("b", 1)]));
    assert_eq!((codes(&made), made.throttle_time_ms), (vec![0], 1000));
}
