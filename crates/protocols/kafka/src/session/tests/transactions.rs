//! Producers with transactions: what of their requests the broker is asked, and what its refusals are called in each version.

use polybus_model::{
    GroupError, GroupReply, GroupRequest, LogError, LogReply, LogRequest, TransactionState,
    TransactionSummary, Transactor,
};

use super::world::World;
use crate::codec::messages::add_partitions_to_txn::AddPartitionsToTxnTopic;
use crate::codec::messages::txn_offset_commit::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use crate::codec::messages::write_txn_markers::{WritableTxnMarker, WritableTxnMarkerTopic};
use crate::codec::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse, EndTxnRequest, EndTxnResponse, InitProducerIdRequest,
    InitProducerIdResponse, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
    WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};

fn who(producer: u64, epoch: u16) -> Transactor {
    Transactor {
        name: "t".into(),
        producer,
        epoch,
    }
}

/// A world whose broker answers the next requests about transactions so.
fn told(replies: impl IntoIterator<Item = LogReply>) -> World {
    let mut world = World::with_topic("l", 2);
    world.broker.transaction_replies = replies.into_iter().collect();
    world
}

fn refused(error: LogError) -> World {
    told([LogReply::Producer(Err(error))])
}

fn init(timeout_ms: i32, producer_id: i64, producer_epoch: i16) -> InitProducerIdRequest {
    InitProducerIdRequest {
        transactional_id: Some("t".into()),
        transaction_timeout_ms: timeout_ms,
        producer_id,
        producer_epoch,
    }
}

fn add(name: &str, partitions: &[i32]) -> AddPartitionsToTxnRequest {
    AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: "t".into(),
        v3_and_below_producer_id: 7,
        v3_and_below_producer_epoch: 2,
        v3_and_below_topics: vec![AddPartitionsToTxnTopic {
            name: name.into(),
            partitions: partitions.to_vec(),
        }],
        ..AddPartitionsToTxnRequest::default()
    }
}

fn codes(response: &AddPartitionsToTxnResponse) -> Vec<i16> {
    let topics = response.results_by_topic_v3_and_below.iter();
    let results = topics.flat_map(|topic| &topic.results_by_partition);
    results.map(|one| one.partition_error_code).collect()
}

fn end(committed: bool) -> EndTxnRequest {
    EndTxnRequest {
        transactional_id: "t".into(),
        producer_id: 7,
        producer_epoch: 2,
        committed,
    }
}

fn offsets(group: &str, partitions: &[(i32, i64)]) -> TxnOffsetCommitRequest {
    let partitions = partitions.iter();
    let partitions =
        partitions.map(
            |(partition_index, committed_offset)| TxnOffsetCommitRequestPartition {
                partition_index: *partition_index,
                committed_offset: *committed_offset,
                ..TxnOffsetCommitRequestPartition::default()
            },
        );
    TxnOffsetCommitRequest {
        transactional_id: "t".into(),
        group_id: group.into(),
        producer_id: 7,
        producer_epoch: 2,
        topics: vec![TxnOffsetCommitRequestTopic {
            name: "l".into(),
            partitions: partitions.collect(),
        }],
        ..TxnOffsetCommitRequest::default()
    }
}

#[test]
fn a_producer_is_opened_with_its_name_its_timeout_and_what_it_was() {
    let mut world = told([LogReply::Producer(Ok((7, 3)))]);
    let response: InitProducerIdResponse = world.ask(4, &init(60_000, 7, 2));
    let answer = (
        response.error_code,
        response.producer_id,
        response.producer_epoch,
    );
    assert_eq!(answer, (0, 7, 3));
    match &world.broker.transaction_requests[..] {
        [
            LogRequest::OpenProducer {
                transactional: Some(wanted),
                current,
            },
        ] => {
            assert_eq!((&wanted.name[..], wanted.timeout_ms), ("t", 60_000));
            assert_eq!(*current, Some((7, 2)));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_wrong_with_an_opening_is_told_without_asking() {
    let quarter = 15 * 60_000;
    for (timeout_ms, code) in [(0, 50), (-1, 50), (quarter + 1, 50)] {
        let mut world = told([]);
        let response: InitProducerIdResponse = world.ask(4, &init(timeout_ms, -1, -1));
        assert_eq!(response.error_code, code, "{timeout_ms}");
    }
    let nameless = InitProducerIdRequest {
        transactional_id: Some(String::new()),
        ..init(quarter, -1, -1)
    };
    let response: InitProducerIdResponse = told([]).ask(4, &nameless);
    assert_eq!(response.error_code, 42);
    let mut world = told([LogReply::Producer(Ok((7, 0)))]);
    let response: InitProducerIdResponse = world.ask(4, &init(quarter, -1, -1));
    assert_eq!(response.error_code, 0, "a quarter of an hour is allowed");
}

#[test]
fn refused_openings_by_version() {
    let unavailable = LogError::Unavailable("later".into());
    for (error, version, code) in [
        (LogError::Fenced, 3, 47),
        (LogError::Fenced, 4, 90),
        (LogError::UnknownProducer, 4, 49),
        (LogError::Forbidden, 4, 53),
        (LogError::Busy, 4, 51),
        (unavailable, 4, 15),
    ] {
        let mut world = refused(error.clone());
        let response: InitProducerIdResponse = world.ask(version, &init(1_000, 7, 2));
        let answer = (response.error_code, response.producer_id);
        assert_eq!(answer, (code, -1), "{error:?} in version {version}");
    }
}

#[test]
fn partitions_are_added_together_or_not_at_all() {
    let all = |results| told([LogReply::Added(Ok(results))]);
    let mut world = all(vec![Ok(()), Ok(())]);
    let response: AddPartitionsToTxnResponse = world.ask(3, &add("l", &[0, 1]));
    assert_eq!(codes(&response), [0, 0]);
    match &world.broker.transaction_requests[..] {
        [
            LogRequest::AddPartitions {
                transactor,
                partitions,
            },
        ] => {
            assert_eq!(*transactor, who(7, 2));
            let named = partitions
                .iter()
                .map(|one| (one.log.as_str(), one.partition));
            assert_eq!(named.collect::<Vec<_>>(), [("l", 0), ("l", 1)]);
        }
        other => panic!("{other:?}"),
    }
    let mut world = all(vec![Ok(()), Err(LogError::NotFound)]);
    let response: AddPartitionsToTxnResponse = world.ask(3, &add("l", &[0, 9]));
    assert_eq!(codes(&response), [55, 3], "the first was not tried");
    let mut world = all(vec![Err(LogError::Forbidden), Ok(())]);
    let response: AddPartitionsToTxnResponse = world.ask(3, &add("l", &[0, 1]));
    assert_eq!(codes(&response), [29, 55]);
    let mut world = all(vec![Ok(())]);
    let response: AddPartitionsToTxnResponse = world.ask(3, &add("l", &[0, -1]));
    assert_eq!(codes(&response), [55, 3], "no partition has such a number");
}

#[test]
fn a_fenced_producer_adds_nothing() {
    for (error, version, code) in [
        (LogError::Fenced, 1, 47),
        (LogError::Fenced, 2, 90),
        (LogError::UnknownProducer, 3, 49),
        (LogError::Forbidden, 3, 53),
    ] {
        let mut world = told([LogReply::Added(Err(error.clone()))]);
        let response: AddPartitionsToTxnResponse = world.ask(version, &add("l", &[0, 1]));
        assert_eq!(codes(&response), [code, code], "{error:?} in {version}");
        let mut world = told([LogReply::Done(Err(error.clone()))]);
        let group = AddOffsetsToTxnRequest {
            transactional_id: "t".into(),
            producer_id: 7,
            producer_epoch: 2,
            group_id: "g".into(),
        };
        let response: AddOffsetsToTxnResponse = world.ask(version, &group);
        // Of a group it is the group that is forbidden.
        let code = if error == LogError::Forbidden {
            30
        } else {
            code
        };
        assert_eq!(response.error_code, code, "{error:?} in {version}");
    }
    let unknown = AddPartitionsToTxnRequest {
        v3_and_below_producer_id: -1,
        ..add("l", &[0])
    };
    let mut world = told([]);
    let response: AddPartitionsToTxnResponse = world.ask(3, &unknown);
    assert_eq!(codes(&response), [49], "without asking");
}

#[test]
fn an_end_renews_the_epoch_for_clients_that_know_it() {
    for (version, renews) in [(0, false), (4, false), (5, true)] {
        for committed in [false, true] {
            let mut world = told([LogReply::Producer(Ok((7, 3)))]);
            let response: EndTxnResponse = world.ask(version, &end(committed));
            assert_eq!(response.error_code, 0);
            if renews {
                assert_eq!((response.producer_id, response.producer_epoch), (7, 3));
            }
            match &world.broker.transaction_requests[..] {
                [
                    LogRequest::End {
                        transactor,
                        committed: asked,
                        renew,
                    },
                ] => {
                    assert_eq!(*transactor, who(7, 2));
                    assert_eq!((*asked, *renew), (committed, renews));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn refused_ends_by_version() {
    for (error, version, code) in [
        (LogError::Fenced, 1, 47),
        (LogError::Fenced, 2, 90),
        (LogError::Fenced, 5, 90),
        (LogError::NoTransaction, 5, 48),
        (LogError::UnknownProducer, 3, 49),
        (LogError::Forbidden, 3, 53),
        (LogError::Busy, 3, 51),
    ] {
        let mut world = refused(error.clone());
        let response: EndTxnResponse = world.ask(version, &end(true));
        assert_eq!(response.error_code, code, "{error:?} in {version}");
    }
}

#[test]
fn offsets_of_a_transaction_are_kept_for_whoever_leads_the_group() {
    let mut world = told([]);
    world.broker.group_replies = vec![GroupReply::Committed(Ok(vec![
        Ok(()),
        Err(GroupError::MetadataTooLarge),
    ]))];
    let request = offsets("g", &[(0, 5), (-1, 5), (1, 6)]);
    let response: TxnOffsetCommitResponse = world.ask(3, &request);
    let partitions = response.topics[0].partitions.iter();
    let codes: Vec<_> = partitions.map(|one| one.error_code).collect();
    assert_eq!(codes, [0, 3, 12]);
    match &world.broker.group_requests[..] {
        [
            GroupRequest::CommitInTransaction {
                transactor,
                membership,
                offsets,
                ..
            },
        ] => {
            assert_eq!(*transactor, who(7, 2));
            assert_eq!((&membership.group[..], membership.generation), ("g", None));
            let offsets = offsets
                .iter()
                .map(|one| (one.partition.partition, one.offset));
            assert_eq!(offsets.collect::<Vec<_>>(), [(0, 5), (1, 6)]);
        }
        other => panic!("{other:?}"),
    }
    assert!(world.broker.transaction_requests.is_empty());
}

#[test]
fn newer_clients_have_their_group_added_by_the_way() {
    let mut world = told([LogReply::Done(Ok(()))]);
    world.broker.group_replies = vec![GroupReply::Committed(Ok(vec![Ok(())]))];
    let response: TxnOffsetCommitResponse = world.ask(5, &offsets("g", &[(0, 5)]));
    assert_eq!(response.topics[0].partitions[0].error_code, 0);
    match &world.broker.transaction_requests[..] {
        [LogRequest::AddGroup { transactor, group }] => {
            assert_eq!((transactor, &group[..]), (&who(7, 2), "g"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn refused_offsets() {
    for (error, code) in [
        (GroupError::FencedProducer, 47),
        (GroupError::UnknownProducer, 49),
        (GroupError::NoTransaction, 48),
        (GroupError::OldGeneration, 22),
        (GroupError::UnknownMember, 25),
        (GroupError::Fenced, 82),
        (GroupError::Forbidden, 30),
    ] {
        let mut world = told([]);
        world.broker.group_replies = vec![GroupReply::Committed(Err(error.clone()))];
        let response: TxnOffsetCommitResponse = world.ask(3, &offsets("g", &[(0, 5), (1, 5)]));
        let partitions = response.topics[0].partitions.iter();
        let codes: Vec<_> = partitions.map(|one| one.error_code).collect();
        assert_eq!(codes, [code, code], "{error:?}");
    }
    let unknown = TxnOffsetCommitRequest {
        producer_epoch: -1,
        ..offsets("g", &[(0, 5)])
    };
    let response: TxnOffsetCommitResponse = told([]).ask(3, &unknown);
    assert_eq!(response.topics[0].partitions[0].error_code, 49);
}

#[test]
fn an_administrator_aborts_what_is_open_under_that_epoch_only() {
    let open = TransactionSummary {
        transactor: who(7, 2),
        state: TransactionState::Open,
        timeout_ms: 1_000,
        since: Some(0),
        partitions: Vec::new(),
    };
    let marker = |producer_epoch, transaction_result| WritableTxnMarker {
        producer_id: 7,
        producer_epoch,
        transaction_result,
        topics: vec![WritableTxnMarkerTopic {
            name: "l".into(),
            partition_indexes: vec![0],
        }],
        ..WritableTxnMarker::default()
    };
    let mut world = told([
        LogReply::Transactions(vec![Ok(open)]),
        LogReply::Producer(Ok((7, 2))),
    ]);
    let request = WriteTxnMarkersRequest {
        markers: vec![marker(1, false), marker(2, true), marker(2, false)],
    };
    let response: WriteTxnMarkersResponse = world.ask(1, &request);
    let codes = response
        .markers
        .iter()
        .map(|one| one.topics[0].partitions[0].error_code);
    assert_eq!(codes.collect::<Vec<_>>(), [48, 48, 0]);
    match &world.broker.transaction_requests[..] {
        [
            LogRequest::Transactions(None),
            LogRequest::End {
                transactor,
                committed: false,
                renew: false,
            },
        ] => assert_eq!(*transactor, who(7, 2)),
        other => panic!("{other:?}"),
    }
}
