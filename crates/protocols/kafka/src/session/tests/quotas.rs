//! Clients that are held to their quotas.

use polybus_model::{Metered, Quota, QuotaOwner, Whose};

use super::world::{World, batch, fetch, produce, settings};
use crate::codec::messages::create_topics::CreatableTopic;
use crate::codec::messages::{
    CreateTopicsRequest, CreateTopicsResponse, FetchResponse, MetadataRequest, ProduceResponse,
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
