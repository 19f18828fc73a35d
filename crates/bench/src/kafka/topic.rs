//! Topics: made, found ready, measured and taken away.

use std::time::{Duration, Instant};

use polybus_kafka::codec::messages::create_topics::CreatableTopic;
use polybus_kafka::codec::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use polybus_kafka::codec::messages::{
    CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
    ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, MetadataResponse,
};

use super::wire::Wire;
use crate::error::BenchError;

/// How long a new topic's partitions may take to be there.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How long until it is looked again.
const TURN: Duration = Duration::from_millis(20);

/// The time that means a partition's end.
const LATEST: i64 = -1;

/// Makes topics with so many partitions each.
pub(crate) fn create(
    wire: &mut Wire,
    names: &[String],
    partitions: usize,
) -> Result<(), BenchError> {
    let topic = |name: &String| CreatableTopic {
        name: name.clone(),
        num_partitions: partitions as i32,
        replication_factor: 1,
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest {
        topics: names.iter().map(topic).collect(),
        ..CreateTopicsRequest::default()
    };
    let response: CreateTopicsResponse = wire.call(5, &request)?;
    for topic in &response.topics {
        if topic.error_code != 0 {
            let message = topic.error_message.clone().unwrap_or_default();
            let what = format!("creating {}: {message}", topic.name);
            return Err(BenchError::Closed(topic.error_code as u16, what));
        }
    }
    Ok(())
}

/// Takes a topic away.
pub(crate) fn delete(wire: &mut Wire, name: &str) -> Result<(), BenchError> {
    let request = DeleteTopicsRequest {
        topic_names: vec![name.to_owned()],
        timeout_ms: 30_000,
        ..DeleteTopicsRequest::default()
    };
    let response: DeleteTopicsResponse = wire.call(5, &request)?;
    match response.responses.iter().find(|done| done.error_code != 0) {
        Some(done) => {
            let what = format!("deleting {name}");
            Err(BenchError::Closed(done.error_code as u16, what))
        }
        None => Ok(()),
    }
}

/// The partitions' ends, as soon as all of them have a leader that answers.
pub(crate) fn ends(wire: &mut Wire, name: &str, partitions: usize) -> Result<Vec<i64>, BenchError> {
    let partition = |index| ListOffsetsPartition {
        partition_index: index as i32,
        timestamp: LATEST,
        ..ListOffsetsPartition::default()
    };
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: name.to_owned(),
            partitions: (0..partitions).map(partition).collect(),
        }],
        ..ListOffsetsRequest::default()
    };
    let begin = Instant::now();
    loop {
        let response: ListOffsetsResponse = wire.call(5, &request)?;
        let found = response.topics.iter().flat_map(|topic| &topic.partitions);
        let mut ends: Vec<Option<i64>> = vec![None; partitions];
        for partition in found.filter(|partition| partition.error_code == 0) {
            let index = usize::try_from(partition.partition_index).unwrap_or(usize::MAX);
            if let Some(end) = ends.get_mut(index) {
                *end = Some(partition.offset);
            }
        }
        if let Some(ends) = ends.into_iter().collect() {
            return Ok(ends);
        }
        if begin.elapsed() > READY_WITHIN {
            return Err(BenchError::Timeout(format!("{name} is not there")));
        }
        std::thread::sleep(TURN);
    }
}

/// How many partitions have a leader, of all topics but the broker's own.
pub(crate) fn partitions_led(wire: &mut Wire) -> Result<usize, BenchError> {
    let request = MetadataRequest {
        topics: None,
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    let response: MetadataResponse = wire.call(9, &request)?;
    let topics = response.topics.iter().filter(|topic| !topic.is_internal);
    let partitions = topics.flat_map(|topic| &topic.partitions);
    let led = partitions.filter(|partition| partition.error_code == 0 && partition.leader_id >= 0);
    Ok(led.count())
}

/// Waits until so many partitions have a leader.
pub(crate) fn wait_led(
    wire: &mut Wire,
    partitions: usize,
    within: Duration,
) -> Result<(), BenchError> {
    let begin = Instant::now();
    loop {
        let led = partitions_led(wire)?;
        if led >= partitions {
            return Ok(());
        }
        if begin.elapsed() > within {
            return Err(BenchError::Timeout(format!(
                "{led} of {partitions} partitions have a leader"
            )));
        }
        std::thread::sleep(TURN);
    }
}
